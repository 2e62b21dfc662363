"""How the time grows with the number of visitors: the same events, or as many, of ten times the visitors.

    python benchmarks/visitor_growth.py FEWER MORE [--runs N] [--json]

Both files are inputs of benchmark journey-1 (see README) with as many events at the same rate, MORE with ten times
the visitors of FEWER. Each is run as `footfall replay --store none` runs it, with one worker and journey-1's patterns,
in turn; the ratio is of the median times per event within one call.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from footfall.report import Report
from footfall.run import Run, RunRequest
from footfall.settings import Settings

PATTERNS = Path(__file__).parent / "journey1_patterns"


def run_once(path: Path) -> Report:
    """The report of one run."""
    settings = Settings(store="none", patterns=PATTERNS, workers=1)
    report = Run(RunRequest(settings, (str(path),))).execute().report
    if report is None:
        sys.exit(130)
    return report


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("fewer", type=Path)
    parser.add_argument("more", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    files = (arguments.fewer, arguments.more)
    per_event: dict[Path, list[float]] = {path: [] for path in files}
    reports: dict[Path, Report] = {}
    for _ in range(arguments.runs):
        for path in files:
            reports[path] = run_once(path)
            per_event[path].append(reports[path].seconds / reports[path].events)
    medians = {path: statistics.median(of) for path, of in per_event.items()}
    ratio = medians[arguments.more] / medians[arguments.fewer]
    if arguments.json:
        microseconds = {path.name: round(1e6 * median, 3) for path, median in medians.items()}
        print(json.dumps({"us_per_event": microseconds, "ratio": round(ratio, 3)}))
        return 0
    table = Table("input", "events", "sessions", "µs an event", "MB")
    for path in files:
        report = reports[path]
        mb = f"{report.peak_rss_mb:,.0f}"
        table.add_row(
            path.name, f"{report.events:,}", f"{report.sessions:,}", f"{1e6 * medians[path]:.2f}", mb
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"[bold]{ratio:.2f}[/] times the time per event (required: at most 1.2)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
