"""`footfall replay`: a run with its progress, and its report for people or for programs."""

import sys

import msgspec
from rich.console import Console
from rich.table import Table as RichTable

from footfall.duration import format_duration
from footfall.progress import ProgressLine
from footfall.report import Report
from footfall.run import Outcome, Run, RunRequest
from footfall.scoring.report_table import report_table
from footfall.settings import Settings, redacted


def replay(settings: Settings, inputs: tuple[str, ...], *, as_json: bool, quiet: bool) -> int:
    """Run the main job over inputs and print its report; the exit code (130 if it was interrupted).

    Raises:
        FootfallError: the run can't begin, or failed.
    """
    progress = ProgressLine(quiet=quiet)
    try:
        outcome = Run(RunRequest(settings, inputs), watch=progress).execute()
    finally:
        progress.close()
    if outcome.report is None:
        print(_interrupted(outcome, settings), file=sys.stderr)
        return 130
    if as_json:
        sys.stdout.write(msgspec.json.encode(outcome.report.to_json()).decode() + "\n")
    else:
        print_report(outcome.report, settings)
    return 0


def _interrupted(outcome: Outcome, settings: Settings) -> str:
    read = f"interrupted after {outcome.records:,} records"
    if outcome.resumable:
        return f"{read}; give the same command again (with --state {settings.state}) to go on from there"
    return f"{read}; without --state nothing is kept: given again, the command begins anew, and rewrites its rows"


def print_report(report: Report, settings: Settings, console: Console | None = None) -> None:
    """Print a report for people."""
    console = console or Console(highlight=False)
    console.print(
        f"[bold]{report.events:,} events[/] of {report.records:,} records: {report.duplicates:,} duplicates dropped, "
        f"{report.late:,} late, {report.dead:,} dead letters, {report.clock_capped:,} clocks set back"
    )
    if report.dead_reasons:
        console.print(
            "dead letters: " + ", ".join(f"{why} {count:,}" for why, count in report.dead_reasons.items())
        )
    sums = report.session_sums
    console.print(
        f"[bold]{report.sessions:,} sessions[/] ({report.sessions_at_end:,} of them closed by the input's end), "
        f"{sums['page_views']:,} page views, {sums['clicks']:,} clicks, {sums['conversions']:,} conversions, "
        f"{sums['bounce']:,} of a single event"
    )
    table = RichTable(box=None, pad_edge=False)
    table.add_column("pattern")
    table.add_column("matches", justify="right")
    table.add_column("at the end", justify="right", style="dim")
    for name, count in report.matches.items():
        table.add_row(name, f"{count:,}", f"{report.matches_at_end.get(name, 0):,}")
    console.print(table)
    if report.early:
        console.print(f"{report.early:,} matches told early, {report.retracted:,} of them taken back")
    if report.timed_out:
        console.print(f"{report.timed_out:,} partial matches timed out, of patterns that tell those")
    if report.dropped_partials:
        console.print(
            f"[yellow]{report.dropped_partials:,} partial matches dropped[/]: a visitor had more than "
            f"{settings.partial_limit:,} of one pattern (--partial-limit)"
        )
    if report.pending:
        console.print(f"{report.pending:,} matches of patterns that wait longer than a day are still pending")
    if (models := report_table(report.scores)) is not None:
        console.print(models)
    console.print(
        f"{report.seconds:,.2f} s, {report.events_per_second:,.0f} records/s with {report.workers} "
        f"worker{'s' if report.workers > 1 else ''}, {report.peak_rss_mb:,.0f} MB"
    )
    where = redacted(settings.store) if settings.store != "none" else "no store"
    files = f" and {settings.out}" if settings.out else ""
    gap = format_duration(settings.gap)
    console.print(f"[dim]answer {report.answer} (gap {gap}); rows in {where}{files}[/]")
