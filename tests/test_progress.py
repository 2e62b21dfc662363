import io

import pytest

from footfall.progress import ProgressLine
from footfall.run_messages import Notice, Progress, WorkerStarted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("footfall.progress.time.monotonic", lambda: now[0])
    return now


def test_a_terminal_has_one_line_that_is_written_over(clock: list[float]) -> None:
    out = Terminal()
    line = ProgressLine(out)
    line(WorkerStarted(0, 1.0))
    for number in range(1, 4):
        clock[0] += 1
        line(Progress("a", 1_000 * number, 10 * number, 100, 0))
    assert out.getvalue().count("\r\x1b[2K") == 3
    assert out.getvalue().endswith("3,000 records, 1,000/s, 30% read, at 1970-01-01 00:00:00")
    line.close()
    line.close()
    assert out.getvalue().endswith("\r\x1b[2K")
    assert "\n" not in out.getvalue()


def test_a_log_has_a_line_every_few_seconds(clock: list[float]) -> None:
    out = io.StringIO()
    line = ProgressLine(out)
    for _ in range(120):
        clock[0] += 0.1
        line(Progress("a", 5, 1, None, None))
    line.close()
    assert out.getvalue().splitlines() == ["5 records, 0/s"] * 2


def test_partitions_add_up_and_a_resumed_run_counts_its_own_speed(clock: list[float]) -> None:
    line = ProgressLine(io.StringIO())
    line(Progress("a", 10_000, 0, 50, None))
    line(Progress("b", 20_000, 0, 50, 5_000))
    line(Progress("a", 10_500, 25, 50, 61_000))
    assert line.line(1.0) == "30,500 records, 500/s, 25% read, at 1970-01-01 00:00:05"
    line(Progress("b", 20_000, 0, None, 5_000))
    assert "read" not in line.line(1.0)


def test_notices_stand_on_lines_of_their_own_even_when_it_is_quiet(clock: list[float]) -> None:
    out = Terminal()
    line = ProgressLine(out)
    clock[0] += 1
    line(Progress("a", 1, 0, None, None))
    line(Notice(0, "warning", "the store is away"))
    assert out.getvalue().endswith("\r\x1b[2Kwarning: the store is away\n")
    out = Terminal()
    quiet = ProgressLine(out, quiet=True)
    clock[0] += 1
    quiet(Progress("a", 1, 0, None, None))
    quiet(Notice(0, "warning", "the store is away"))
    quiet.close()
    assert out.getvalue() == "warning: the store is away\n"
