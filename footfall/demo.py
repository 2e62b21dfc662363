"""`footfall demo`: simulate a day, replay it into a store of its own, and hold the findings against the plants."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl
from rich.console import Console
from rich.table import Table as RichTable

from footfall.progress import ProgressLine
from footfall.report import Report
from footfall.run import Run, RunRequest
from footfall.scoring.report_table import report_table
from footfall.settings import Settings
from footfall.simulate_command import write_traffic
from footfall.store import open_store, parse_dsn
from footfall.tables import TABLES

_FUNNEL = (
    ("came to the site", None),
    ("looked at a price", "price_checked"),
    ("began a booking", "booking_started"),
    ("completed a booking", "booking_completed"),
)
_BARS = 40


class _Plant(msgspec.Struct):
    pattern: str
    visitor_id: str
    stages: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Score:
    """How findings compare with plants: both are counted as multisets of (visitor, stages)."""

    planted: int
    found: int
    right: int

    @property
    def precision(self) -> float:
        """The share of the findings that were planted; 1 if nothing was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """The share of the plants that were found; 1 if nothing was planted."""
        return self.right / self.planted if self.planted else 1.0


def scores(plants_file: Path, matches: pl.DataFrame) -> dict[str, Score]:
    """Compare matches (columns pattern, visitor_id, stages as JSON) with a list of plants, pattern by pattern."""
    decoder = msgspec.json.Decoder(_Plant)
    counts: dict[str, dict[tuple[str, str], list[int]]] = {}

    def cell(pattern: str, visitor: str, stages: Mapping[str, list[str]]) -> list[int]:
        key = visitor, msgspec.json.encode(dict(stages), order="deterministic").decode()
        return counts.setdefault(pattern, {}).setdefault(key, [0, 0])

    with plants_file.open("rb") as lines:
        for line in lines:
            plant = decoder.decode(line)
            cell(plant.pattern, plant.visitor_id, plant.stages)[0] += 1
    for pattern, visitor, stages in matches.select("pattern", "visitor_id", "stages").iter_rows():
        cell(pattern, visitor, msgspec.json.decode(stages, type=dict[str, list[str]]))[1] += 1
    return {
        pattern: Score(
            planted=sum(planted for planted, _ in cells.values()),
            found=sum(found for _, found in cells.values()),
            right=sum(min(planted, found) for planted, found in cells.values()),
        )
        for pattern, cells in sorted(counts.items())
    }


def demo(folder: Path, *, visitors: int | None, seed: int) -> int:
    """Run the demonstration in a folder; 1 if the findings differ from the plants.

    Raises:
        FootfallError: it can't be run there.
    """
    console = Console(highlight=False)
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    console.rule("[bold]a day at a repair shop's site", align="left")
    chosen = {"seed": seed} if visitors is None else {"seed": seed, "visitors": visitors}
    traffic = write_traffic(chosen, folder / "traffic.ndjson", as_json=False)
    settings = Settings(store=f"chdb://{folder / 'store'}", workers=min(2, os.cpu_count() or 1))
    _empty_store(settings)
    progress = ProgressLine()
    try:
        outcome = Run(RunRequest(settings, (str(folder / "traffic.ndjson"),)), watch=progress).execute()
    finally:
        progress.close()
    if outcome.report is None:
        print("interrupted; the demonstration begins anew when it is run again", file=sys.stderr)
        return 130
    console.print()
    return _show(console, folder, settings, outcome.report, traffic.plants_file, began)


def _empty_store(settings: Settings) -> None:
    """Take out what an earlier demonstration left, so that the plants are all there is to find."""
    store = open_store(parse_dsn(settings.store, database=settings.database))
    try:
        store.migrate()
        for table in TABLES:
            store.command(f"TRUNCATE TABLE {table.name}")
    finally:
        store.close()


def _program() -> str:
    """How to call this program from here."""
    called = Path(sys.argv[0])
    if called.name != "footfall":
        return "footfall"
    here = Path.cwd()
    return str(called.relative_to(here)) if called.is_relative_to(here) else str(called)


def _show(
    console: Console, folder: Path, settings: Settings, report: Report, plants_file: Path, began: float
) -> int:
    store = open_store(parse_dsn(settings.store, database=settings.database))
    try:
        hours = store.query(
            "SELECT toHour(start_time) AS hour, count() AS sessions FROM sessions GROUP BY hour ORDER BY hour"
        )
        visits = store.query(
            "SELECT event, uniqExact(visitor_id) AS visitors FROM events WHERE NOT bot GROUP BY event "
            "UNION ALL SELECT '', uniqExact(visitor_id) FROM events WHERE NOT bot"
        )
        stored = {
            table.name: int(store.query(f"SELECT count() FROM {table.name}").item()) for table in TABLES
        }
        found = scores(plants_file, store.query("SELECT pattern, visitor_id, stages FROM matches"))
    finally:
        store.close()

    console.rule("[bold]sessions by hour", align="left")
    top = max(hours["sessions"].to_list(), default=1)
    for hour, count in hours.iter_rows():
        console.print(f"{hour:02d}:00 {'█' * round(count / top * _BARS):<{_BARS}} {count:,}", style="cyan")
    sums = report.session_sums
    console.print(
        f"\n{report.events:,} events of {report.records:,} records ({report.duplicates:,} copies dropped, "
        f"{report.late:,} late, {report.dead:,} dead letters), {report.sessions:,} sessions, "
        f"{sums['page_views']:,} page views, {sums['conversions']:,} conversions"
    )

    console.rule("[bold]the booking funnel, visitors", align="left")
    by_event = dict(visits.iter_rows())
    whole = max(1, by_event.get("", 0))
    for words, event in _FUNNEL:
        count = by_event.get(event or "", 0)
        console.print(
            f"{words:<20} {'█' * round(count / whole * _BARS):<{_BARS}} {count:,} ({count / whole:.1%})"
        )

    console.rule("[bold]patterns found, against those planted", align="left")
    table = RichTable(box=None, pad_edge=False)
    table.add_column("pattern")
    for name in ("planted", "found", "precision", "recall"):
        table.add_column(name, justify="right")
    for pattern in sorted({*report.matches, *found}):
        score = found.get(pattern, Score(0, 0, 0))
        shares = (f"{score.precision:.4f}", f"{score.recall:.4f}") if pattern in found else ("-", "-")
        table.add_row(pattern, f"{score.planted:,}", f"{score.found:,}", *shares)
    console.print(table)
    if report.pending:
        console.print(
            f"[dim]{report.pending:,} absences wait for longer than the day lasts (customer_inactive: 30 days without "
            "an event; footfall simulate --duration shows it)[/]"
        )

    if (models := report_table(report.scores)) is not None:
        console.rule("[bold]scores", align="left")
        console.print(models)
        if not stored["model_quality"]:
            console.print(
                "[dim]predictions wait for what happens within 7 days or more; before that models have nothing to "
                "learn from (footfall simulate --lives shows it)[/]"
            )

    rows = ", ".join(f"{name} {count:,}" for name, count in stored.items() if count)
    console.rule("[bold]in ClickHouse", align="left")
    console.print(rows)
    console.print(
        f"[dim]replayed at {report.events_per_second:,.0f} records/s; {time.monotonic() - began:.0f} s in all[/]"
    )
    program = _program()
    where = f"--store {settings.store}"
    console.rule("[bold]try next", align="left")
    for command in (
        f'{program} query {where} "SELECT pattern, count() FROM matches GROUP BY pattern"',
        f"{program} replay {folder / 'traffic.ndjson'} --store none --gap 10min",
        f"{program} store serve {where}",
    ):
        console.print(f"  {command}", markup=False, soft_wrap=True)
    wrong = [pattern for pattern, score in found.items() if not score.planted == score.found == score.right]
    if wrong:
        console.print(f"[bold red]found and planted differ: {', '.join(wrong)}[/]")
        return 1
    return 0
