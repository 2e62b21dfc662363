"""How the time grows with the number of patterns: journey-1 with 3, 10, 30 and 100 of them.

    python benchmarks/pattern_growth.py FILE [--runs N] [--json]

The patterns are journey-1's three and variants of them with other thresholds, events and elements. Each run takes the
whole way from the file's bytes to counted results with one worker, as `footfall replay --store none` does; the counts
are run in turn, and the ratio is of medians within one call. Beside it stands what a hundred patterns found.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.run import Run, RunRequest
from footfall.settings import Settings

COUNTS = (3, 10, 30, 100)
_STARTS = ("booking_started", "price_checked", "form_submitted", "exit_intent")
_ENDS = ("booking_completed", "booking_started", "form_submitted", "exit_intent", "price_checked")


def variants() -> Iterator[Pattern]:
    """Journey-1's patterns and, without end, variants of them; all have names and meanings of their own."""
    for number in count():
        start, end = _STARTS[number % len(_STARTS)], _ENDS[(number // 2) % len(_ENDS)]
        minutes, clicks = 30 + 7 * (number // 4), 3 + number % 4
        yield (
            Pattern(f"absent_{number}")
            .begin("started", event == start)
            .not_followed_by("completed", event == (end if end != start else "booking_completed"))
            .within(f"{minutes} min")
        )
        yield (
            Pattern(f"rage_{number}")
            .begin("click", (event == "click") & (field("x") >= number // 4))
            .times(clicks)
            .within(f"{1000 + 50 * number} ms")
            .same("element")
            .skip_past_last()
        )
        yield (
            Pattern(f"leaving_{number}")
            .begin("checked", (event == "price_checked") & (field("y") >= number))
            .not_followed_by("booked", event == "booking_started")
            .followed_by("leaving", event == "exit_intent")
            .within(f"{10 + number} min")
        )


def run_once(path: str, patterns: list[Pattern]) -> tuple[float, int]:
    """Seconds of a run, and how many matches there were."""
    with tempfile.TemporaryDirectory() as folder:
        source = "import json\nfrom footfall.pattern import Pattern\n"
        for number, pattern in enumerate(patterns):
            source += f"P{number} = Pattern.from_json({json.dumps(pattern.to_json())})\n"
        (Path(folder) / "growth.py").write_text(source)
        settings = Settings(store="none", patterns=Path(folder), workers=1)
        report = Run(RunRequest(settings, (path,))).execute().report
        if report is None:
            sys.exit(130)
        return report.seconds, sum(report.matches.values())


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seconds: dict[int, list[float]] = {size: [] for size in COUNTS}
    matches: dict[int, int] = {}
    for _ in range(arguments.runs):
        for size in COUNTS:
            took, matches[size] = run_once(str(arguments.file), list(islice(variants(), size)))
            seconds[size].append(took)
    medians = {size: statistics.median(of) for size, of in seconds.items()}
    ratio = medians[COUNTS[-1]] / medians[COUNTS[0]]
    if arguments.json:
        print(json.dumps({"seconds": medians, "matches": matches, "ratio": round(ratio, 2)}))
        return 0
    table = Table("patterns", "seconds", "of three patterns", "matches")
    for size, median in medians.items():
        table.add_row(str(size), f"{median:.2f}", f"{median / medians[COUNTS[0]]:.2f}", f"{matches[size]:,}")
    Console(highlight=False).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
