import io
from collections import Counter
from dataclasses import replace

import pytest

from footfall.simulate_plan import MONDAY, Simulation
from footfall.simulate_play import Played
from footfall.simulate_sending import SendingView, beginning_lines, sending_line
from footfall.simulate_to_kafka import Beginning

NOON = MONDAY + 12 * 3_600_000
PLAN = Simulation(rate=40, start=NOON)
BEGINNING = Beginning(
    topic="events", servers="broker:9092", partitions=10, plan=PLAN, now=NOON, speed=1.0, dated=False
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_it_says_what_it_will_do() -> None:
    assert beginning_lines(BEGINNING) == [
        "sending to topic events (10 partitions) at broker:9092 for 1 d; Ctrl-C or SIGTERM ends it",
        "30,000 visitors make about 40 events/s on average, 65/s at this hour, which takes 5 min to build up",
        "times are the clock's, and the broker dates the records",
    ]


def test_a_faster_run_says_to_which_time_it_goes() -> None:
    lines = beginning_lines(replace(BEGINNING, speed=60.0, dated=True))
    assert lines[0].partition(";")[0].endswith("for 24 min")
    assert "about 2,400 events/s on average" in lines[1]
    assert lines[1].endswith("which takes 5 s to build up")
    assert lines[2].startswith(
        "times go from 2026-03-02 12:00:00 UTC to 2026-03-03 12:00:00 UTC, 60 times as fast as the clock; "
    )
    assert len(lines) == 3
    ahead = beginning_lines(replace(BEGINNING, speed=60.0, dated=True, now=NOON - 3_600_000))
    assert ahead[3] == "they begin ahead of the clock, where the topic's records end"


@pytest.mark.parametrize(
    ("behind", "waiting", "line"),
    [
        (0.2, 0, "1,234 records sent, 40/s, on time, at 2026-03-02 12:00:00"),
        (75.0, 7, "1,234 records sent, 40/s, 75 s behind, at 2026-03-02 12:00:00, 7 not acknowledged yet"),
    ],
)
def test_a_line_says_how_many_how_fast_and_how_far_behind(behind: float, waiting: int, line: str) -> None:
    played = Played(NOON, records=1_234, behind=behind, plants=Counter())
    assert sending_line(played, waiting, 40.0) == line


def test_off_a_terminal_there_is_a_line_every_ten_seconds() -> None:
    out, clock = io.StringIO(), Clock()
    view = SendingView(out, clock)
    view.begin(BEGINNING)
    played = Played(NOON)
    for _ in range(250):
        clock.now += 0.1
        played.records += 4
        view.note(played, 0)
    view.close()
    lines = out.getvalue().splitlines()
    assert len(lines) == 3 + 2
    assert all("40/s" in line for line in lines[3:])
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_one_line_is_written_over_and_gone_at_the_end() -> None:
    out, clock = Terminal(), Clock()
    view = SendingView(out, clock)
    view.begin(BEGINNING)
    for number in range(100):
        clock.now += 0.1
        view.note(Played(NOON, records=number), 0)
    shown = out.getvalue()
    assert shown.count("\n") == 3
    assert 40 <= shown.count("\r\x1b[2K") <= 50
    view.away("no connection")
    view.back()
    view.close()
    assert (
        out.getvalue().removeprefix(shown)
        == "\r\x1b[2Kwarning: Kafka is away: no connection\nKafka is back\n"
    )


def test_the_rate_is_that_of_the_last_seconds() -> None:
    out, clock = Terminal(), Clock()
    view = SendingView(out, clock)
    view.begin(BEGINNING)
    played = Played(NOON)
    for number in range(400):
        clock.now += 0.1
        played.records += 10 if number < 300 else 1
        view.note(played, 0)
    assert out.getvalue().rpartition("\r\x1b[2K")[2].split(", ")[1:2] == ["10/s"]
