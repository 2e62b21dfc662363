"""What the matchers keep of each live visitor: benchmark journey-1's three patterns over a million events.

    python benchmarks/matcher_memory.py FILE [--json]

FILE is an input of benchmark journey-1 (see README). The engine's own parts run in this process, with one shard and
batches of 8,192 records. After each batch the bytes of the matchers' state are taken: partial matches and the events
that they have taken, as allocated (with the room to grow) and as used, what is kept of the rows that they quote, and
the state of both matchers as a snapshot writes it. Live visitors are those with an open session or a partial match.
What waits for the watermark, sessions and the ids against duplicates don't count. Exits with 1 above 400 bytes.
"""

import argparse
import json
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from footfall.clock import ClockSettings, PartitionClock
from footfall.dataflow import pattern_plan
from footfall.event_batch import ENGINE_COLUMNS, QUOTED, split_by_shard
from footfall.event_names import EventNames
from footfall.file_source import FileSource
from footfall.flat_format import FlatFormat
from footfall.match_records import NODES, PARTIALS
from footfall.pattern_files import load_patterns
from footfall.row_frames import present
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Shard, ShardSettings

PATTERNS = Path(__file__).parent / "journey1_patterns"
MOST_BYTES = 400
_BATCH = 8_192


@dataclass(frozen=True, slots=True)
class Taken:
    """The state at one time, in bytes, and the live visitors."""

    visitors: int
    allocated: int
    used: int
    rows: int
    snapshot: int

    @property
    def per_visitor(self) -> float:
        """All that is kept in memory, by live visitor."""
        return (self.allocated + self.rows) / self.visitors


def take(shard: Shard) -> Taken:
    """The shard's matchers' state now."""
    matcher, automata = shard.matcher, shard.automata
    held = np.union1d(matcher.held_rows(), automata.held_rows())
    quoted = 0
    for numbers, rows in shard.rows.segments:
        share = float(np.isin(numbers, held).mean()) if numbers.size else 0.0
        quoted += round(share * rows.select(present(rows, QUOTED)).estimated_size())
    used = int(matcher.counters[PARTIALS]) * matcher.partials.itemsize
    used += int(matcher.counters[NODES]) * matcher.pool.itemsize
    return Taken(
        visitors=max(1, shard.visitors.live),
        allocated=matcher.partials.nbytes + matcher.pool.nbytes,
        used=used,
        rows=quoted,
        snapshot=len(pickle.dumps((matcher, automata), protocol=5)),
    )


def measure(path: Path) -> list[Taken]:
    """The state after each batch of the file."""
    settings = Settings(store="none", patterns=PATTERNS)
    plan = pattern_plan(settings, load_patterns(PATTERNS))
    columns = frozenset({*ENGINE_COLUMNS, *QUOTED, *plan.columns, "event"}) - {"late", "clock_capped"}
    decoder = FlatFormat(EventNames.load(None), columns - {"source_partition"})
    rows = [name for name in (*QUOTED, *plan.row_columns) if name != "source_partition"]
    source = FileSource((str(path),), partitioned=False)
    reader = source.open(source.partitions()[0], None)
    clock = PartitionClock(ClockSettings())
    shard = Shard(
        "s", ShardSettings(SessionSettings(), plan, partitions=1, wants_rows=False, event_columns=())
    )
    states = []
    while (block := reader.read(_BATCH)) is not None:
        events = clock.take(decoder.decode(block).events, ended=False).filter(~pl.col("late"))
        shard.take(split_by_shard(events, plan, rows, 0, 1, watermark=clock.watermark, ended=False))
        states.append(take(shard))
    reader.close()
    return states


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    states = measure(arguments.file)
    crowded = [state for state in states if state.visitors >= max(s.visitors for s in states) // 2]
    worst = max(crowded, key=lambda state: state.per_visitor)
    if arguments.json:
        figures = {name: getattr(worst, name) for name in Taken.__slots__}
        print(json.dumps({**figures, "per_visitor": round(worst.per_visitor, 1)}))
    else:
        table = Table("at its worst", "bytes", "a live visitor")
        for name in ("allocated", "used", "rows", "snapshot"):
            bytes_kept = getattr(worst, name)
            table.add_row(name, f"{bytes_kept:,}", f"{bytes_kept / worst.visitors:,.0f}")
        console = Console(highlight=False)
        console.print(table)
        console.print(
            f"[bold]{worst.per_visitor:,.0f} bytes[/] a live visitor, of {worst.visitors:,} "
            f"(allocated and rows; required: at most {MOST_BYTES})"
        )
    return int(worst.per_visitor > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
