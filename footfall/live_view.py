"""A live run in the terminal: a picture that is drawn over while standard error is one, else a line now and then."""

import io
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from rich import filesize
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from footfall.live_snapshot import LiveSnapshot, PartitionFigures
from footfall.live_totals import LiveTotals
from footfall.run_events import Field, RunEvent
from footfall.run_messages import Message, Notice

_REFRESHES = 2.0
_EVERY_IN_LOG = 10.0
_SIDE_BY_SIDE = 76
_NARROW = 44
_ROOMY = 90
# What stands around the tables' rows: the head, six lines of figures, two headings, and blank lines between and below.
_LINES_BESIDES = 15
_MOST_ROWS, _LEAST_ROWS = 12, 3
_NOTICES = 4
_LONGEST_NOTICE, _LONGEST_WARNING = 2, 3
_LAYOUT = Console(file=io.StringIO())
_UNKNOWN = "-"
_PHASES = {
    "running": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "stopping": "yellow",
    "ended": "dim",
}
_LEVELS = {"warning": "yellow", "error": "red", "critical": "red"}


class _Terminal(Console):
    """A console whose reader may go: Rich's own then ends the process."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class LiveView:
    """Takes a run's messages and shows its figures; `close` leaves the last picture where it is."""

    def __init__(
        self,
        totals: LiveTotals,
        out: TextIO | None = None,
        *,
        url: str = "",
        log: Callable[[RunEvent], None] | None = None,
        pictures: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show them on `out`, standard error if it is None.

        Args:
            totals: where the figures come from; the view only reads them.
            out: where to show them.
            url: where metrics are served, for the head line.
            log: takes the figures as an event `progress` every few seconds where `out` is no terminal; without it
                they are written to `out` as text, and notices too.
            pictures: whether a picture is drawn on a terminal; otherwise it is treated as any other place.
            monotonic: a clock in seconds that never goes back.
        """
        self._totals = totals
        self._out = out or sys.stderr
        self._url = url
        self._log = log
        self._monotonic = monotonic
        self._shown = monotonic()
        self._console = _Terminal(file=self._out, highlight=False, emoji=False, markup=False)
        self.terminal = self._console.is_terminal and not self._console.is_dumb_terminal and pictures
        self._live: Live | None = None

    def open(self) -> None:
        """Begin the picture on a terminal; the first message does so too."""
        if self.terminal and self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._picture,
                refresh_per_second=_REFRESHES,
                redirect_stdout=False,
                redirect_stderr=self._out is sys.stderr,
            )
            with suppress(OSError):
                self._live.start()

    def __call__(self, message: Message) -> None:
        """Take a message. The figures are those of `totals`, which is to have had it before."""
        if self.terminal:
            self.open()
            return
        if isinstance(message, Notice) and self._log is None:
            self._out.write(f"{message.level}: {message.text}\n")
            self._out.flush()
        now = self._monotonic()
        if now - self._shown >= _EVERY_IN_LOG:
            self._shown = now
            self._write_line()

    def close(self) -> None:
        """End the picture. Calling it twice is fine."""
        live, self._live = self._live, None
        self.terminal = False
        if live is not None:
            with suppress(OSError, ValueError):
                live.stop()

    def _picture(self) -> RenderableType:
        size = self._console.size
        return picture(self._totals.snapshot(), width=size.width, height=size.height, url=self._url)

    def _write_line(self) -> None:
        now = self._totals.snapshot()
        if self._log is None:
            self._out.write(line(now) + "\n")
            self._out.flush()
        else:
            self._log(RunEvent(now.time, "info", "progress", line(now), _line_fields(now)))


def line(now: LiveSnapshot) -> str:
    """A run's figures on one line, for a log."""
    parts = [
        f"{now.phase}: {now.records:,} records",
        f"{_rate(now.records_per_second[0])}/s",
        f"lag {_count(now.lag)}",
        f"watermark {_seconds(now.watermark_delay)} behind",
        f"{_rate(_sum(now.matches_per_minute.values()))} matches/min",
        f"state {filesize.decimal(now.state_bytes)}",
    ]
    if waiting := sum(sink.waiting_rows for sink in now.sinks):
        parts.append(f"{waiting:,} rows wait")
    if now.alerts:
        parts.append(f"alerts: {' '.join(now.alerts)}")
    return ", ".join(parts)


def _line_fields(now: LiveSnapshot) -> dict[str, Field]:
    return {
        "phase": now.phase,
        "records": now.records,
        "records_per_second": _rounded(now.records_per_second[0]),
        "events": now.events,
        "lag": now.lag,
        "watermark_delay_seconds": _rounded(now.watermark_delay),
        "settled_delay_seconds": _rounded(now.settled_delay),
        "matches": sum(now.matches.values()),
        "late": now.late,
        "dead": now.dead,
        "state_bytes": now.state_bytes,
        "sink_waiting_rows": sum(sink.waiting_rows for sink in now.sinks),
        "restarts": now.restarts,
        "alerts": list(now.alerts),
    }


def picture(now: LiveSnapshot, *, width: int, height: int, url: str = "") -> RenderableType:
    """A run's figures as a picture that fits a terminal of that size in characters."""
    inner = max(1, width - 2)
    warnings = list(_warnings(now, inner, height - _LINES_BESIDES - 2 * _LEAST_ROWS - 1))
    groups = list(_notices(now, inner))
    side_by_side = width >= _SIDE_BY_SIDE
    room = height - _LINES_BESIDES - len(warnings)
    upper, lower, notices = _rows(now, room, sum(map(len, groups)), pairs=side_by_side)
    tables = [
        _partitions(now, upper, records=not side_by_side or width >= _ROOMY),
        _counts("matches", [((name,), count) for name, count in now.matches.items()], now, upper),
        _sinks(now, lower),
        _counts("triggers", list(now.triggers.items()), now, lower),
    ]
    body: list[RenderableType] = []
    if side_by_side:
        for left, right in zip(tables[::2], tables[1::2], strict=True):
            pair = Table.grid(expand=True, padding=(0, 3, 0, 0), pad_edge=False)
            pair.add_column(ratio=1)
            pair.add_column(ratio=1)
            pair.add_row(left, right)
            body += [Text(), pair]
    else:
        for each in tables:
            body += [Text(), each]
    parts = [_head(now, url, width), *warnings, Text(), _figures(now, width), *body, *_last(groups, notices)]
    # The line below is for what the terminal echoes, such as ^C: at the end of a full line it would begin another one,
    # which the next picture knows nothing of.
    return Group(Padding(Group(*parts), (0, 1), expand=True), Text())


def _rows(now: LiveSnapshot, room: int, wanted: int, *, pairs: bool) -> tuple[int, int, int]:
    """How many rows the two upper tables, the two lower ones and the notices, which want some, get of the room."""
    upper = max(1, len(now.partitions), len(now.matches))
    lower = max(1, len(now.sinks), len(now.triggers))
    if not pairs:
        # One above the other, and of figures too there are more lines: a terminal so narrow scrolls, or is cut.
        room = room // 2 - 6
    notices = min(_NOTICES, wanted, max(1, room // 5))
    lower = min(lower, max(_LEAST_ROWS, (room - notices) // 3))
    upper = min(upper, max(_LEAST_ROWS, room - notices - lower), _MOST_ROWS)
    return upper, lower, notices


def _head(now: LiveSnapshot, url: str, width: int) -> RenderableType:
    style = "red" if now.troubles and now.phase != "ended" else _PHASES.get(now.phase, "")
    left = Text.assemble(("● ", style), (now.phase, f"bold {style}"), f"  {_seconds(now.up_seconds)}")
    left.append(f"  {now.workers_alive} of {now.workers} worker{'' if now.workers == 1 else 's'}")
    if now.restarts:
        left.append(f"  {now.restarts} restart{'' if now.restarts == 1 else 's'}", "yellow")
    head = Table.grid(expand=True)
    head.add_column(no_wrap=True, overflow="ellipsis")
    if url and left.cell_len + len(url) + 12 <= width:
        head.add_column(justify="right", no_wrap=True)
        head.add_row(left, Text(f"{url}/metrics", "dim"))
    else:
        head.add_row(left)
    return head


def _warnings(now: LiveSnapshot, width: int, room: int) -> Iterable[RenderableType]:
    """What is wrong, each on a line, and on more where there is room for so many lines in all."""
    found = [(text, "" if now.phase == "ended" else "red") for text in now.troubles]
    if now.phase in {"starting", "restarting"}:
        found += [(text, "yellow") for text in now.missing]
    found += [(f"{name}: {text}" if text else name, "yellow") for name, text in now.alerts.items()]
    spare = max(0, room - len(found))
    for text, style in found:
        lines = _wrapped(text, style, width, min(_LONGEST_WARNING, 1 + spare))
        spare -= len(lines) - 1
        yield from lines


def _figures(now: LiveSnapshot, width: int) -> RenderableType:
    """The figures in columns of a name and a value each: three where there is room, else two or one."""
    short, long = now.records_per_second
    dead = ("red" if now.dead else "", f"{now.dead:,}")
    figures: list[tuple[str, str | tuple[str, str]]] = [
        ("records/s", _rate(short)),
        ("lag", _count(now.lag)),
        ("sessions", f"{now.sessions:,}"),
        ("over 60 s", _rate(long)),
        ("watermark", _seconds(now.watermark_delay)),
        ("duplicates", f"{now.duplicates:,}"),
        ("events/s", _rate(now.events_per_second[0])),
        ("settled", _seconds(now.settled_delay)),
        ("late", f"{now.late:,}"),
        ("records", f"{now.records:,}"),
        ("state", filesize.decimal(now.state_bytes)),
        ("dead", dead),
        ("events", f"{now.events:,}"),
        ("snapshot", _seconds(now.snapshot_seconds)),
        ("retracted", f"{now.retracted:,}"),
        ("waiting", f"{now.waiting:,}"),
        ("visitors", f"{now.visitors:,}"),
        ("partials", f"{now.partials:,}"),
    ]
    across = 3 if width >= _SIDE_BY_SIDE else 2 if width >= _NARROW else 1
    # Two columns read downwards in the order of three: each column of the widest form stays together.
    columns = [figures[start::3] for start in range(3)]
    if across < 3:
        flat = [figure for column in columns for figure in column]
        share = -(-len(flat) // across)
        columns = [flat[start : start + share] for start in range(0, len(flat), share)]
    grid = Table.grid(expand=True, padding=(0, 3, 0, 0), pad_edge=False)
    inner = []
    for column in columns:
        grid.add_column(ratio=1)
        table = Table.grid(expand=True, padding=(0, 1, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for name, value in column:
            style, text = ("", value) if isinstance(value, str) else value
            table.add_row(name, Text(text, style))
        inner.append(table)
    grid.add_row(*inner)
    return grid


def _table(title: str, *headings: str, pad: int = 2) -> Table:
    """A table whose first column is names that give way, the others numbers that don't."""
    table = Table(box=None, expand=True, padding=(0, pad, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(Text(title, "bold"), no_wrap=True, overflow="ellipsis", ratio=1, min_width=len(title))
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _add_row(table: Table, *cells: str, style: str = "") -> None:
    """Add cells as they are: a pattern's name is no markup."""
    table.add_row(*(Text(_plain(cell)) for cell in cells), style=style)


def _partitions(now: LiveSnapshot, rows: int, *, records: bool) -> Table:
    def badness(each: PartitionFigures) -> tuple[float, float, str]:
        return -(each.lag or 0), -(each.delay or 0.0), each.partition

    def cells(name: str, lag: int | None, delay: float | None, count: int) -> list[str]:
        return [name, _count(lag), _seconds(delay), *([f"{count:,}"] if records else [])]

    table = _table("partitions", "lag", "behind", *(["records"] if records else []))
    worst = sorted(now.partitions, key=badness)
    shown = _shown(len(worst), rows)
    for each in worst[:shown]:
        _add_row(table, *cells(each.partition, each.lag, each.delay, each.records))
    if rest := worst[shown:]:
        lags = [each.lag for each in rest if each.lag is not None]
        delay = max((each.delay for each in rest if each.delay is not None), default=None)
        total = sum(each.records for each in rest)
        _add_row(table, *cells(_more(rest), sum(lags) if lags else None, delay, total), style="dim")
    return _or_nothing(table)


def _counts(title: str, totals: Sequence[tuple[tuple[str, ...], int]], now: LiveSnapshot, rows: int) -> Table:
    """Matches by pattern or triggers by rule and status, the most frequent first."""
    table = _table(title, "a minute", "in all")
    counts = []
    for key, total in totals:
        rate = (
            now.triggers_per_minute.get((key[0], key[1]))
            if len(key) == 2
            else now.matches_per_minute.get(key[0])
        )
        counts.append((rate, total, " ".join(key)))
    counts.sort(key=lambda each: (-(each[0] or 0.0), -each[1], each[2]))
    shown = _shown(len(counts), rows)
    for rate, total, name in counts[:shown]:
        _add_row(table, name, _rate(rate), f"{total:,}")
    if rest := counts[shown:]:
        rates, sums = _sum(rate for rate, _, _ in rest), sum(total for _, total, _ in rest)
        _add_row(table, _more(rest), _rate(rates), f"{sums:,}", style="dim")
    return _or_nothing(table)


def _sinks(now: LiveSnapshot, rows: int) -> Table:
    table = _table("sinks", "rows/s", "wait", "for", "errors", pad=1)
    shown = _shown(len(now.sinks), rows)
    for sink in now.sinks[:shown]:
        oldest = _seconds(sink.oldest_seconds) if sink.waiting_rows else _UNKNOWN
        _add_row(
            table,
            sink.sink,
            _rate(sink.rows_per_second),
            _short(sink.waiting_rows),
            oldest,
            f"{sink.errors:,}",
            style="yellow" if sink.away else "",
        )
    if rest := now.sinks[shown:]:
        waiting, errors = sum(sink.waiting_rows for sink in rest), sum(sink.errors for sink in rest)
        rate = _rate(_sum(sink.rows_per_second for sink in rest))
        _add_row(table, _more(rest), rate, _short(waiting), _UNKNOWN, f"{errors:,}", style="dim")
    return _or_nothing(table)


def _notices(now: LiveSnapshot, width: int) -> Iterable[list[Text]]:
    """The notices' lines, the oldest first."""
    for notice in now.notices:
        moment = f"{datetime.fromtimestamp(notice.time / 1000, UTC):%H:%M:%S}"
        style = _LEVELS.get(notice.level, "dim")
        yield _wrapped(f"{moment} {notice.text}", style, width, _LONGEST_NOTICE)


def _last(groups: Sequence[list[Text]], rows: int) -> list[RenderableType]:
    """As many of the last notices as have room in so many lines, and a blank line above them."""
    shown: list[RenderableType] = []
    for lines in reversed(groups):
        left = rows - len(shown)
        if left <= 0:
            break
        shown = [*(_joined(lines, left)), *shown]
    return [Text(), *shown] if groups else []


def _wrapped(text: str, style: str, width: int, most: int) -> list[Text]:
    """A text on at most so many lines, the last of which is cut where that isn't enough."""
    whole = Text(_plain(" ".join(text.split())), style)
    return _joined(list(whole.wrap(_LAYOUT, width)), most)


def _joined(lines: Sequence[Text], most: int) -> list[Text]:
    rest = lines[most - 1 :]
    last = Text(" ").join(rest) if rest else None
    made = [*lines[: most - 1], *([last] if last is not None else [])]
    for each in made:
        each.no_wrap, each.overflow = True, "ellipsis"
    return made


def _plain(text: str) -> str:
    """The text without what would give the terminal orders."""
    return "".join(sign if sign.isprintable() else "·" for sign in text)


def _shown(count: int, rows: int) -> int:
    """How many of `count` rows are shown each on its own, so that with the line for the rest there are `rows`."""
    return count if count <= rows else rows - 1


def _more(rest: Sequence[object]) -> str:
    return f"… {len(rest):,} more"


def _or_nothing(table: Table) -> Table:
    if not table.row_count:
        _add_row(table, "none yet", style="dim")
    return table


def _sum(rates: Iterable[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _short(value: int) -> str:
    """A count in at most five characters or so: 9,999 and then 261k, 1.2M."""
    if value < 10_000:
        return f"{value:,}"
    return f"{value / 1e3:.0f}k" if value < 999_500 else f"{value / 1e6:,.1f}M"


def _rate(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _seconds(value: float | None) -> str:
    """A length of time in few characters: 35 ms, 5.1 s, 12 min, 3.5 h, 12 d."""
    if value is None:
        return _UNKNOWN
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    for most, size, unit in ((100, 1, "s"), (5_400, 60, "min"), (172_800, 3_600, "h")):
        if value < most:
            scaled = value / size
            return f"{scaled:.1f} {unit}" if unit != "min" else f"{scaled:.0f} {unit}"
    return f"{value / 86_400:,.0f} d"
