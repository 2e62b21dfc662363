"""Benchmark journey-1: sessions and three patterns over a million events, exact, and how fast.

    python benchmarks/journey1.py FILE [--workers N] [--json]

FILE is the benchmark's input (see README). It is run as `footfall replay --store none` runs it, with the patterns
in `journey1_patterns/`. With `--workers 2` the events are first dealt out to two partitions by visitor, and one
worker and two run over those in turn. Beside each rate stands that of the decoding alone, taken in the same run:
msgspec, typed, one thread, nothing kept. Exits with 1 if an answer differs from the known ones.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from footfall.run import Run, RunRequest
from footfall.settings import Settings

EVENTS = 1_000_000
KNOWN = {
    "sessions": 62_592,
    "session_events": 1_000_000,
    "session_ms": 24_165_201_368,
    "session_views_and_clicks": 395_864_611_207,
    "P1": 20_501,
    "P2": 14_461,
    "P3": 5_730,
}
_VIEW_WEIGHT = 1_000_003
_BLOCK = 8 << 20


class Record(msgspec.Struct, gc=False):
    """A record of the benchmark, as the floor under the engine decodes it."""

    event_id: str
    event_type: str
    user_id: str
    ts: int
    page_url: str
    element: str
    x: int
    y: int
    properties: msgspec.Raw


def decode_rate(path: Path) -> tuple[float, int]:
    """Records per second of typed decoding alone, and how many there are.

    One thread; blocks are freed before the next is read.
    """
    decoder = msgspec.json.Decoder(Record)
    count, seconds = 0, 0.0
    with path.open("rb") as file:
        rest = b""
        while block := file.read(_BLOCK):
            data, _, tail = (rest + block).rpartition(b"\n")
            rest = tail
            began = time.perf_counter()
            records = decoder.decode_lines(data)
            seconds += time.perf_counter() - began
            count += len(records)
            del records
    return count / seconds, count


def deal_out(path: Path, folder: Path, partitions: int) -> list[str]:
    """Deal the records out to files by visitor, each in the order of the whole."""
    user = msgspec.defstruct("User", [("user_id", str)])
    decoder = msgspec.json.Decoder(user)
    paths = [folder / f"part-{number}.ndjson" for number in range(partitions)]
    files = [each.open("wb") for each in paths]
    with path.open("rb") as lines:
        for line in lines:
            visitor: Any = decoder.decode(line)
            files[int(visitor.user_id[1:]) % partitions].write(line)
    for file in files:
        file.close()
    return [str(each) for each in paths]


def run_once(inputs: list[str], workers: int, batch_size: int) -> dict[str, Any]:
    """One run: its answers and its figures."""
    settings = Settings(
        store="none",
        patterns=Path(__file__).parent / "journey1_patterns",
        workers=workers,
        batch_size=batch_size,
    )
    began = time.perf_counter()
    report = Run(RunRequest(settings, tuple(inputs))).execute().report
    if report is None:
        sys.exit(130)
    sums = report.session_sums
    return {
        "workers": workers,
        "records": report.records,
        "seconds": report.seconds,
        "wall_seconds": round(time.perf_counter() - began, 3),
        "events_per_second": report.events_per_second,
        "peak_rss_mb": report.peak_rss_mb,
        "late": report.late,
        "answer": report.answer,
        "answers": {
            "sessions": report.sessions,
            "session_events": sums["events"],
            "session_ms": sums["duration_ms"],
            "session_views_and_clicks": sums["page_views"] * _VIEW_WEIGHT + sums["clicks"],
            **report.matches,
        },
    }


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3, help="runs of each kind, in turn; medians are shown")
    parser.add_argument("--batch-size", type=int, default=Settings.batch_size)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    kinds = sorted({1, arguments.workers})
    runs: dict[int, list[dict[str, Any]]] = {workers: [] for workers in kinds}
    decode: list[float] = []
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        inputs = [str(arguments.file)]
        if arguments.workers > 1:
            inputs = deal_out(arguments.file, Path(folder), arguments.workers)
        for _ in range(arguments.runs):
            rate, count = decode_rate(arguments.file)
            decode.append(rate)
            for workers in kinds:
                runs[workers].append(run_once(inputs, workers, arguments.batch_size))
    decode_only = statistics.median(decode)
    rates = {kind: statistics.median(run["events_per_second"] for run in of) for kind, of in runs.items()}
    whole = [run for of in runs.values() for run in of]
    known = count == EVENTS
    wrong = sorted(
        {
            f"{name}: {run['answers'].get(name)} instead of {right}"
            for run in whole
            for name, right in KNOWN.items()
            if known and run["answers"].get(name) != right
        }
    )
    wrong += sorted({f"{run['records']} records of {count}" for run in whole if run["records"] != count})
    if len({run["answer"] for run in whole}) != 1:
        wrong.append("the runs gave different answers")
    result = {
        "decode_only_per_second": round(decode_only),
        "events_per_second": {str(kind): round(rate) for kind, rate in rates.items()},
        "of_decode_only": {str(kind): round(rate / decode_only, 3) for kind, rate in rates.items()},
        "peak_rss_mb": {str(kind): max(run["peak_rss_mb"] for run in of) for kind, of in runs.items()},
        "scaling": round(rates[arguments.workers] / rates[1], 3),
        "answers": whole[0]["answers"],
        "checked": known,
        "wrong": wrong,
        "runs": whole,
    }
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        show(result, Console(highlight=False))
    return 1 if wrong else 0


def show(result: dict[str, Any], console: Console) -> None:
    """Print the result for people."""
    table = Table(box=None, pad_edge=False)
    for name in ("workers", "events/s", "of decoding alone", "peak MB"):
        table.add_column(name, justify="right")
    for kind, rate in result["events_per_second"].items():
        table.add_row(
            kind, f"{rate:,}", f"{result['of_decode_only'][kind]:.2f}", f"{result['peak_rss_mb'][kind]:,.0f}"
        )
    console.print(f"decoding alone, one thread: {result['decode_only_per_second']:,} records/s")
    console.print(table)
    if len(result["events_per_second"]) > 1:
        console.print(f"scaling: {result['scaling']:.2f} times one worker")
    for name, value in result["answers"].items():
        console.print(f"{name:>26} {value:,}")
    if result["wrong"]:
        console.print("[bold red]wrong:[/] " + "; ".join(result["wrong"]))
    else:
        console.print(
            "all answers exact" if result["checked"] else "no known answers for an input of this size"
        )


if __name__ == "__main__":
    sys.exit(main())
