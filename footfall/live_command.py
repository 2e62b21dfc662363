"""`footfall live`: the run on Kafka, and its totals when it stops."""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console

from footfall.live_report import LiveReport
from footfall.live_run import STATE, LiveRun
from footfall.scoring.report_table import report_table
from footfall.settings import Settings, redacted


def live(settings: Settings, *, as_json: bool, quiet: bool, history: Sequence[str] = ()) -> int:
    """Run live until a signal comes, and print the totals; the exit code is 128 and the signal's number.

    Raises:
        FootfallError: the run can't begin, or can't go on.
    """
    outcome = LiveRun(settings, quiet=quiet, history=history).execute()
    if as_json:
        sys.stdout.write(msgspec.json.encode(outcome.report.to_json()).decode() + "\n")
    else:
        print_totals(outcome.report, settings)
    return 128 + outcome.signal


def print_totals(report: LiveReport, settings: Settings, console: Console | None = None) -> None:
    """Print a live run's totals for people."""
    console = console or Console(highlight=False)
    console.print(
        f"[bold]{report.events:,} events[/] of {report.records:,} records: {report.duplicates:,} duplicates dropped, "
        f"{report.late:,} late, {report.dead:,} dead letters; {report.waiting:,} wait to settle"
    )
    found = ", ".join(f"{name} {count:,}" for name, count in report.matches.items() if count)
    console.print(f"[bold]{report.sessions:,} sessions[/]; matches: {found or 'none'}")
    if report.early:
        console.print(f"{report.early:,} matches told early, {report.retracted:,} of them taken back")
    for rule, counts in report.triggers.items():
        console.print(f"{rule}: " + ", ".join(f"{count:,} {status}" for status, count in counts.items()))
    if (models := report_table(report.scores)) is not None:
        console.print(models)
    state = settings.state or STATE
    console.print(
        f"[dim]answer {report.answer}; {_where_rows_are(report, settings)}; "
        f"given again, the command goes on from {state}[/]"
    )


def _where_rows_are(report: LiveReport, settings: Settings) -> str:
    store = redacted(settings.store)
    said = [f"rows in {store}" if settings.store != "none" else "no store"]
    if rows := report.unsent.get("store"):
        said = [f"{rows:,} row{_s(rows)} wait{_verb(rows)} in the spool for {store}"]
    if messages := report.unsent.get("webhook"):
        said.append(f"{messages:,} message{_s(messages)} wait{_verb(messages)} for the webhook")
    return "; ".join(said)


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _verb(count: int) -> str:
    return "s" if count == 1 else ""
