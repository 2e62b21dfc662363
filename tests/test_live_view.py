import io
import re
import threading
import time
from pathlib import Path

import pytest
from live_messages import Clock, Terminal, progress, shard_status, sink_status
from rich.cells import cell_len
from rich.console import Console

from footfall.live_snapshot import LiveSnapshot
from footfall.live_totals import LiveTotals
from footfall.live_view import LiveView, line, picture
from footfall.run_events import RunEvent
from footfall.run_messages import Notice, WorkerStarted

PATTERNS = {"booking_abandoned": 3, "rage_click": 11, "high_engagement_without_a_booking": 1, "inactive": 0}


def busy(clock: Clock, partitions: int = 10, extra_patterns: int = 0) -> LiveTotals:
    """A run two minutes in, one of whose partitions is far behind, with an alert and notices."""
    totals = LiveTotals(workers=2, wall=clock.wall, monotonic=clock.monotonic)
    patterns = PATTERNS | {f"pattern_{number}": 0 for number in range(extra_patterns)}
    for worker in (0, 1):
        totals.note(WorkerStarted(worker, 1.0))
    for second in range(1, 121):
        clock.now += 1
        for number in range(partitions):
            lag = 123_456 if number == 4 else number
            totals.note(
                progress(f"events-{number}", second * 1_000, lag=lag, watermark=clock.ms(ago=5 + number / 10))
            )
        totals.note(
            shard_status(
                "a",
                settled=clock.ms(ago=65),
                events=second * 500,
                matches={name: count * second for name, count in patterns.items()},
                state_bytes=18_800_000,
                snapshot_seconds=0.042,
                visitors=98_760,
                triggers={"abandonment": {"fired": second, "suppressed": 1}},
            )
        )
        totals.note(sink_status({}, worker=1))
        totals.note(
            sink_status({"events": second * 9_000}, waiting_rows=261_000, oldest_seconds=29, errors=3)
        )
    totals.happened(RunEvent(clock.ms(), "warning", "store_away", "the store takes nothing"))
    totals.happened(RunEvent(clock.ms(), "info", "notice", "a long notice that " + "goes on and " * 20))
    return totals


def drawn(now: LiveSnapshot, width: int, height: int, url: str = "") -> list[str]:
    """The picture's lines, without blanks at their ends."""
    console = Console(file=io.StringIO(), width=width, height=height, record=True, force_terminal=True)
    console.print(picture(now, width=width, height=height, url=url))
    return [text.rstrip() for text in console.export_text().splitlines()]


@pytest.fixture(scope="module")
def snapshot() -> LiveSnapshot:
    return busy(Clock()).snapshot()


def test_the_picture_at_80_columns(snapshot: LiveSnapshot) -> None:
    url = "http://127.0.0.1:9464"
    lines = drawn(snapshot, 80, 30, url)
    assert lines[0].split() == ["●", "running", "2", "min", "2", "of", "2", "workers", url + "/metrics"]
    assert lines[1] == " store_away: the store takes nothing"
    text = "\n".join(lines)
    for pattern in (
        r"records/s +10,000   lag +123,497   sessions",
        r"watermark +5\.9 s",
        r"settled +65\.0 s",
        r"state +18\.8 MB",
        r"snapshot +42 ms",
        r"partitions +lag +behind   matches +a minute +in all",
        r"events-4 +123,456 +5\.4 s   rage_click +660 +1,320",
        r"high_engagement_w\S*… +60 +120",
        r"clickhouse +9,000 +261k +29\.0 s +3   abandonment fired +60\.?0? +120",
        r"abandonment suppress\S* +0 +1",
    ):
        assert re.search(pattern, text), f"{pattern}\n{text}"
    rows = [row for row in lines if row.startswith(" events-")]
    assert [row.split()[0] for row in rows][:3] == ["events-4", "events-9", "events-8"], (
        "the worst come first"
    )


@pytest.mark.parametrize("width", [20, 40, 55, 76, 80, 90, 120, 200])
@pytest.mark.parametrize("height", [10, 24, 50])
def test_no_line_is_wider_than_the_terminal(snapshot: LiveSnapshot, width: int, height: int) -> None:
    lines = drawn(snapshot, width, height)
    assert max(map(cell_len, lines)) <= width
    assert any(text.lstrip().startswith("cli") for text in lines) or width < 40


@pytest.mark.parametrize("height", [24, 25, 30, 40, 60])
@pytest.mark.parametrize("partitions", [1, 10, 200])
def test_many_rows_are_folded_so_that_the_picture_fits(height: int, partitions: int) -> None:
    now = busy(Clock(), partitions, extra_patterns=50).snapshot()
    lines = drawn(now, 80, height)
    assert len(lines) <= height, "\n".join(lines)
    assert any(re.search(r"… \d+ more", text) for text in lines)
    assert any("the store takes nothing" in text for text in lines)


def test_what_is_folded_is_added_up() -> None:
    now = busy(Clock(), 200).snapshot()
    rows = [text for text in drawn(now, 120, 60) if re.match(r" events-\d|  ?… \d+ more", text)]
    shown = [text.split() for text in rows[:-1]]
    folded = re.match(r" … (\d+) more +([\d,]+) +\S+ s +([\d,]+)", rows[-1])
    assert folded
    more, lag, records = folded.groups()
    assert len(shown) + int(more) == 200
    assert sum(int(row[1].replace(",", "")) for row in shown) + int(lag.replace(",", "")) == now.lag
    assert int(records.replace(",", "")) == int(more) * 120_000


def test_a_run_that_starts_says_what_is_missing_and_a_dead_one_why() -> None:
    totals = LiveTotals(partitions=["p0"], shards=["a"], workers=1)
    text = "\n".join(drawn(totals.snapshot(), 80, 24))
    assert "● starting" in text
    assert "1 of 1 partitions are not open yet: p0" in text
    assert "none yet" in text
    totals.happened(RunEvent(0, "error", "worker_died", "worker 0 was ended by SIGKILL"))
    text = "\n".join(drawn(totals.snapshot(), 80, 24))
    assert re.search(r"● restarting .* 0 of 1 worker +1 restart", text)
    assert "the workers are being started again: worker 0 was ended by SIGKILL" in text


def test_names_that_look_like_markup_or_orders_are_shown_as_they_are() -> None:
    totals = LiveTotals(workers=1)
    totals.note(shard_status(matches={"[bold]x[/nope]": 1}))
    totals.happened(RunEvent(0, "info", "notice", "[/red] :smile: \x1b[2Jgone\x07"))
    text = "\n".join(drawn(totals.snapshot(), 80, 24))
    assert "[bold]x[/nope]" in text
    assert "[/red] :smile:" in text
    assert "\x1b[2J" not in text


def test_the_line_for_a_log(snapshot: LiveSnapshot) -> None:
    assert line(snapshot) == (
        "running: 1,200,000 records, 10,000/s, lag 123,497, watermark 5.9 s behind, 900 matches/min, state 18.8 MB, "
        "261,000 rows wait, alerts: store_away"
    )
    assert line(LiveTotals().snapshot()) == (
        "starting: 0 records, -/s, lag -, watermark - behind, -/min matches, state 0 bytes"
    ).replace("-/min matches", "- matches/min")


def test_off_a_terminal_there_is_a_line_every_ten_seconds() -> None:
    clock = Clock()
    out = io.StringIO()
    totals = LiveTotals(wall=clock.wall, monotonic=clock.monotonic)
    view = LiveView(totals, out, monotonic=clock.monotonic)
    for _ in range(250):
        clock.now += 0.1
        view(progress())
    view(Notice(0, "warning", "the store is away"))
    view.close()
    lines = out.getvalue().splitlines()
    assert [text.partition(":")[0] for text in lines] == ["starting", "starting", "warning"]


def test_with_a_log_the_figures_are_an_event() -> None:
    clock = Clock()
    out = io.StringIO()
    totals = busy(clock)
    told: list[RunEvent] = []
    view = LiveView(totals, out, log=told.append, monotonic=clock.monotonic)
    clock.now += 11
    view(Notice(0, "warning", "the store is away"))
    view.close()
    assert out.getvalue() == ""
    assert (told[0].event, told[0].text) == ("progress", line(totals.snapshot()))
    assert told[0].fields["lag"] == 123_497
    assert told[0].fields["alerts"] == ["store_away"]


def test_on_a_terminal_a_picture_is_drawn_over_and_left_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "30")
    out = Terminal()
    view = LiveView(busy(Clock()), out)
    assert view.terminal
    view(progress())
    deadline = time.monotonic() + 10
    while out.getvalue().count("rage_click") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    view.close()
    view.close()
    text = out.getvalue()
    assert text.count("rage_click") >= 3, "drawn at once, drawn over, and once more at the end"
    assert "\x1b[?25l" in text
    assert text.rstrip("\n").endswith("\x1b[?25h"), "the cursor is shown again"


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cant_draw_gets_lines(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    out = Terminal()
    view = LiveView(LiveTotals(), out)
    assert not view.terminal
    view(Notice(0, "warning", "the store is away"))
    view.close()
    assert out.getvalue() == "warning: the store is away\n"


def test_a_terminal_that_is_gone_doesnt_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setenv("TERM", "xterm-256color")
    view = LiveView(LiveTotals(), Gone())
    view(progress())
    view.close()


class Screen(Terminal):
    """What a terminal of that size shows, by the few orders that a picture that is drawn over needs."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.rows = [""]
        self.row = self.column = 0
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            self._write(text)
        return len(text)

    def _write(self, text: str) -> None:
        for order, sign in re.findall(r"\x1b\[([?0-9;]*[A-Za-z])|(.|\n)", text):
            if order.endswith("A"):
                self.row = max(len(self.rows) - self.height, 0, self.row - int(order[:-1] or 1))
            elif order == "2K":
                self.rows[self.row] = ""
            elif sign == "\r":
                self.column = 0
            elif sign == "\n":
                self._line_feed()
            elif sign:
                if self.column == self.width:
                    self._line_feed()
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + sign + row[self.column + 1 :]
                self.column += 1

    def _line_feed(self) -> None:
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.rows):
            self.rows.append("")


@pytest.mark.parametrize("height", [30, 50])
@pytest.mark.parametrize("echo", ["", "^C", "^C^C"])
def test_nothing_of_an_older_picture_stays_when_the_terminal_echoes_and_the_picture_grows(
    height: int, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", str(height))
    screen = Screen(80, height)
    totals = busy(Clock(), partitions=3)
    view = LiveView(totals, screen)
    view.open()
    deadline = time.monotonic() + 10
    while "2 of 2 workers" not in "\n".join(screen.rows) and time.monotonic() < deadline:
        time.sleep(0.01)
    screen.write(echo)
    totals.happened(RunEvent(0, "info", "run_stopping", "the workers take a last snapshot"))
    totals.happened(RunEvent(0, "warning", "broker_away", "Kafka takes nothing"))
    view.close()
    shown = "\n".join(screen.rows)
    assert shown.count("2 of 2 workers") == 1, shown
    assert "broker_away: Kafka takes nothing" in shown


def test_long_alerts_and_notices_are_wrapped_where_there_is_room() -> None:
    totals = busy(Clock(), partitions=3)
    why = "the state can't be kept " + "because of this " * 7 + "END"
    totals.happened(RunEvent(0, "warning", "broker_away", why))
    tall = drawn(totals.snapshot(), 80, 50)
    assert sum("because of this" in text for text in tall) == 2 + 2, (
        "the alert and the notice, on two lines each"
    )
    assert sum(text.endswith("END") for text in tall) == 2
    low = drawn(totals.snapshot(), 80, 24)
    assert len(low) <= 24
    assert sum("because of this" in text for text in low) >= 1
    totals.happened(RunEvent(0, "warning", "webhook_away", "x" * 3_000))
    huge = drawn(totals.snapshot(), 80, 50)
    assert sum("xxxx" in text for text in huge) <= 3 + 2
    assert any(text.endswith("…") for text in huge)


def test_dead_letters_leave_room_for_other_notices() -> None:
    totals = LiveTotals(workers=1)
    totals.happened(RunEvent(0, "info", "run_started", "10 partitions, 1 worker"))
    for minute in range(30):
        text = f"{minute + 1} records couldn't be decoded: not JSON"
        totals.happened(RunEvent(minute * 60_000, "warning", "dead_letters", text))
    lines = drawn(totals.snapshot(), 80, 50)
    assert [text.split(" ", 2)[2] for text in lines if re.match(r" \d\d:\d\d:\d\d ", text)] == [
        "10 partitions, 1 worker",
        "30 records couldn't be decoded: not JSON",
    ]
