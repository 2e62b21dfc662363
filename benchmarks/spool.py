"""What the spool costs: rows appended and synced, read back, and sent, against inserting them directly.

    python benchmarks/spool.py EVENTS [--rows N] [--frame-rows N] [--snapshot-rows N] [--json]

EVENTS is a folder of event rows as Parquet, such as OUT/events after

    footfall simulate --visitors 50000 day.ndjson
    footfall replay day.ndjson --store none --out OUT

The store is an embedded one in a process of its own, as `footfall store serve` runs it. Rows come in frames of so many
rows, and a snapshot of eight parts follows on every so many.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl
from rich.console import Console
from rich.table import Table

from footfall.spool import Spool
from footfall.store import StoreAddress
from footfall.store_owner import ensure_owner
from footfall.store_sink import StoreSink
from footfall.tables import EVENTS
from footfall.worker_spool import SpoolPlace

PARTS = tuple(f"p{number}" for number in range(8))


class Measured(NamedTuple):
    """Seconds of wall clock and of this process's processors, and the longest snapshot's seconds."""

    seconds: float
    cpu: float
    longest_snapshot: float = 0.0


def frames_of(folder: Path, rows: int, frame_rows: int) -> list[pl.DataFrame]:
    """The folder's rows in frames, repeated until there are enough."""
    files = [pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    found = pl.concat(files).select(EVENTS.schema.names()).sort("event_time", "message_id")
    while found.height < rows:
        found = pl.concat([found, found])
    found = found.head(rows)
    return [found.slice(first, frame_rows) for first in range(0, rows, frame_rows)]


def write_all(
    frames: list[pl.DataFrame],
    write: Callable[[str, pl.DataFrame], None],
    snapshot: Callable[[], None],
    snapshot_rows: int,
) -> Measured:
    """Write all frames with a snapshot after every so many rows."""
    began, cpu = time.perf_counter(), time.process_time()
    longest = 0.0
    rows = 0
    for number, frame in enumerate(frames):
        write(PARTS[number % len(PARTS)], frame)
        rows += frame.height
        if rows >= snapshot_rows or number == len(frames) - 1:
            rows = 0
            at = time.perf_counter()
            snapshot()
            longest = max(longest, time.perf_counter() - at)
    return Measured(time.perf_counter() - began, time.process_time() - cpu, longest)


def through_sink(
    sink: StoreSink, frames: list[pl.DataFrame], snapshot_rows: int
) -> tuple[Measured, Measured]:
    """Writing alone, and all until the rows are in the store."""
    for part in PARTS:
        sink.open_part(part, None)
    began, cpu = time.perf_counter(), time.process_time()

    def snapshot() -> None:
        for part in PARTS:
            sink.flush(part)

    writing = write_all(frames, lambda part, rows: sink.write(part, EVENTS, rows), snapshot, snapshot_rows)
    if not sink.drain(600):
        raise SystemExit("the store didn't take the rows within 10 minutes")
    whole = Measured(time.perf_counter() - began, time.process_time() - cpu)
    sink.close()
    return writing, whole


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("events", type=Path)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--frame-rows", type=int, default=1_000)
    parser.add_argument("--snapshot-rows", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    frames = frames_of(given.events, given.rows, given.frame_rows)
    measured: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as place:
        spool = Spool(Path(place) / "alone")
        measured["append and sync"] = write_all(
            frames, lambda _, rows: spool.append("events", rows), spool.sync, given.snapshot_rows
        )
        bytes_a_row = spool.disk_bytes / given.rows
        began, cpu = time.perf_counter(), time.process_time()
        while spool.waiting():
            spool.done(spool.take("events", 500_000, 1 << 30))
        measured["read back"] = Measured(time.perf_counter() - began, time.process_time() - cpu)
        spool.close()
        for name, spooled in (("direct", False), ("spooled", True)):
            address = StoreAddress("embedded", folder=Path(place) / name)
            owner = ensure_owner(address)
            at = SpoolPlace(Path(place) / "spools") if spooled else None
            sink = StoreSink(address, spool=at)
            writing, whole = through_sink(sink, frames, given.snapshot_rows)
            measured[f"{name}: the stream"] = writing
            measured[f"{name}: until in the store"] = whole
            owner.close()
    share = measured["append and sync"].cpu / measured["direct: until in the store"].seconds
    if given.json:
        facts = {name: one._asdict() for name, one in measured.items()}
        print(json.dumps({"rows": given.rows, "bytes_a_row": bytes_a_row, "share": share, **facts}))
        return
    table = Table("", "rows/s", "µs a row", "of processor", "longest snapshot")
    for name, one in measured.items():
        longest = f"{1e3 * one.longest_snapshot:.0f} ms" if one.longest_snapshot else ""
        table.add_row(
            name,
            f"{given.rows / one.seconds:,.0f}",
            f"{1e6 * one.seconds / given.rows:.2f}",
            f"{1e6 * one.cpu / given.rows:.2f}",
            longest,
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"{bytes_a_row:.0f} bytes a row on disk")
    console.print(f"appending and syncing takes {100 * share:.0f} % of the time of inserting directly")


if __name__ == "__main__":
    main()
