"""What scores cost: journey-1 without them, and with the default champion scoring and learning at every session's end.

    python benchmarks/score_cost.py FILE [--runs N] [--workers N] [--json]

FILE is the benchmark's input (see README), run with the patterns in `journey1_patterns/`. The model is the shipped
`lead` with all its features, but a horizon of 1 h and the label `booking_completed`, and without its challenger. The
runs with and without it are taken in turn; what is compared is each pair's time, and its processor time. Exits with 1
if the median pair's time is more than 30 % above that without scores.
"""

import argparse
import resource
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
from journey1 import deal_out
from rich.console import Console
from rich.table import Table

from footfall.run import Run, RunRequest
from footfall.settings import Settings

MOST = 1.30
_PATTERNS = Path(__file__).parent / "journey1_patterns"
_MODEL = """
from dataclasses import replace

from footfall import event
from footfall.pattern_files import read_folder
from footfall.scoring.score_model import happens

lead = replace(
    next(model for model in read_folder().models if model.name == "lead"),
    label=happens(event == "booking_completed", within="1 h"),
    challengers=[],
)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took: seconds from the first record to the last answer, and processor seconds of all of it."""

    seconds: float
    processor: float
    answer: str


def run_once(inputs: list[str], workers: int, patterns: Path) -> Cost:
    """One run."""
    settings = Settings(store="none", patterns=patterns, workers=workers)
    before = _processor()
    report = Run(RunRequest(settings, tuple(inputs))).execute().report
    if report is None:
        sys.exit(130)
    return Cost(report.seconds, _processor() - before, report.answer)


def _processor() -> float:
    """Processor seconds of the workers that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs; medians are shown")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scored = Path(folder) / "patterns"
        scored.mkdir()
        for path in _PATTERNS.glob("*.py"):
            (scored / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        (scored / "model.py").write_text(_MODEL, encoding="utf-8")
        inputs = [str(arguments.file)]
        if arguments.workers > 1:
            inputs = deal_out(arguments.file, Path(folder), arguments.workers)
        run_once(inputs, arguments.workers, scored)  # what is compiled for these features is kept
        pairs = [
            tuple(run_once(inputs, arguments.workers, patterns) for patterns in (_PATTERNS, scored))
            for _ in range(arguments.runs)
        ]
    result = {
        "workers": arguments.workers,
        "seconds": [round(statistics.median(pair[kind].seconds for pair in pairs), 3) for kind in (0, 1)],
        "processor": [round(statistics.median(pair[kind].processor for pair in pairs), 3) for kind in (0, 1)],
        "times": round(statistics.median(scores.seconds / plain.seconds for plain, scores in pairs), 3),
        "all_times": [round(scores.seconds / plain.seconds, 3) for plain, scores in pairs],
        "answers": sorted({each.answer for pair in pairs for each in pair}),
        "most": MOST,
    }
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        table = Table(box=None, pad_edge=False)
        for name in ("", "seconds", "processor s"):
            table.add_column(name, justify="right")
        for kind, name in enumerate(("without scores", "with scores")):
            table.add_row(name, *(f"{result[key][kind]:.2f}" for key in ("seconds", "processor")))
        console = Console(highlight=False)
        console.print(table)
        console.print(f"{result['times']:.2f} times, at most {MOST:.2f}; all pairs: {result['all_times']}")
    if len(result["answers"]) != 2:
        sys.stderr.write("the runs of one kind gave different answers\n")
        return 1
    return 0 if result["times"] <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
