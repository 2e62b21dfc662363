"""How long a snapshot holds the stream: a million known visitors, ten thousand of them active, in one worker.

    python benchmarks/snapshot_pause.py [--known N] [--active N] [--snapshots N] [--shards N] [--folder FOLDER] [--json]

The active visitors have open sessions and partial matches of benchmark journey-1's patterns in real shards; the known
ones have profiles. Between two snapshots each active visitor does one thing. A snapshot is the shard's state as bytes
and, beside it, the profiles: appended to the log and made durable, or, for comparison, pickled whole. Half of the
snapshots are taken while the log is compacted as well. The pause of all shards is that of one after the other, as
one worker takes them; what the recovery store then does with the bytes isn't in it. "At work" is what the processor
needs of it; the rest is waiting, for the disk or for a busy machine. Exits with 1 at a pause of 200 ms or more.
"""

import argparse
import json
import pickle
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from footfall import record_log
from footfall.dataflow import pattern_plan
from footfall.envelope import SCHEMA
from footfall.event_batch import QUOTED, ShardBatch, split_by_shard
from footfall.pattern_files import load_patterns
from footfall.profile_log import ProfileLog
from footfall.profiles import Profiles
from footfall.record_log import LogReference
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Shard, ShardSettings

PATTERNS = Path(__file__).parent / "journey1_patterns"
LONGEST_MS = 200.0
_START = 1_760_000_000_000
_DAY = 86_400_000
_ROUND = 65_536
_JOURNEY = (
    "page_view",
    "click",
    "price_checked",
    "page_view",
    "click",
    "booking_started",
    "scroll_milestone",
)


@dataclass(slots=True)
class Member:
    """A shard with its profiles and their log."""

    shard: Shard
    log: ProfileLog
    profiles: Profiles = field(default_factory=Profiles)
    reference: LogReference = field(default_factory=LogReference)

    def take(self, batch: ShardBatch) -> None:
        """Have the profiles take a batch; all of it settles."""
        count = batch.events.size
        nothing = np.zeros(count, np.bool_)
        until = int(batch.events["time"].max(initial=self.profiles.settled))
        self.profiles.begin_round(batch.events, nothing, nothing, batch.rows, np.arange(count), until)
        self.profiles.end_round()
        self.log.write_ahead(self.profiles)


@dataclass(frozen=True, slots=True)
class Pause:
    """One snapshot of all shards, in ms: of each shard's state, of its profiles; and what was written.

    `working` is the processor's time in all of it; the rest is waiting, for the disk or for a busy machine.
    """

    states: list[float]
    profiles: list[float]
    working: float
    state_bytes: int
    log_bytes: int

    @property
    def longest_shard(self) -> float:
        """The longest pause for one shard."""
        return max(map(sum, zip(self.states, self.profiles, strict=True)))

    @property
    def all_shards(self) -> float:
        """The pause for all of them, one after the other."""
        return sum(self.states) + sum(self.profiles)


class Feed:
    """Makes events of visitors, and deals them out to the shards."""

    def __init__(self, settings: Settings) -> None:
        self.plan = pattern_plan(settings, load_patterns(PATTERNS))
        self._columns = [name for name in SCHEMA if name in {*QUOTED, *self.plan.row_columns}]
        self._shards = settings.shards
        self._read = 0

    def batches(self, visitors: pl.Series, event: str, time_ms: int) -> list[ShardBatch]:
        """One event of each visitor, 1 ms after the other, for each shard."""
        count = len(visitors)
        known = {
            "visitor_id": pl.format("visitor-{}-of-the-benchmark", visitors),
            "user_id": pl.format("user-{}@shop.example", visitors),
            "message_id": pl.format("message-{}", pl.int_range(self._read, self._read + count)),
            "event": pl.lit(event),
            "event_time": pl.lit(time_ms) + pl.int_range(0, count),
            "source_offset": pl.int_range(self._read, self._read + count),
            "path": pl.format("/offers/{}", visitors % 50),
            "utm_source": pl.format("source-{}", visitors % 7),
            "utm_campaign": pl.format("campaign-{}", visitors % 90),
        }
        frame = pl.select(
            known.get(name, pl.lit(None)).cast(kind).alias(name) for name, kind in SCHEMA.items()
        )
        self._read += count
        end = time_ms + count
        return split_by_shard(frame, self.plan, self._columns, 0, self._shards, watermark=end, ended=False)


def build(settings: Settings, folder: Path, known: int, active: int) -> tuple[list[Member], Feed, pl.Series]:
    """The shards with all their visitors, those that are active, and what makes their events."""
    feed = Feed(settings)
    shard_settings = ShardSettings(SessionSettings(), feed.plan, 1, wants_rows=False, event_columns=())
    members = []
    for number in range(settings.shards):
        shard = Shard(f"s{number:04d}", shard_settings)
        members.append(Member(shard, ProfileLog.of_shard(folder, shard.name)))
    for start in range(0, known, _ROUND):
        visitors = pl.int_range(start, min(start + _ROUND, known), eager=True)
        batches = feed.batches(visitors, "page_view", _START - 30 * _DAY + start)
        for member, batch in zip(members, batches, strict=True):
            member.take(batch)
    chosen = pl.int_range(0, known, eager=True).gather_every(max(1, known // active)).head(active)
    for number, event in enumerate(_JOURNEY):
        act(members, feed, chosen, event, _START + 20_000 * number)
    return members, feed, chosen


def act(members: list[Member], feed: Feed, visitors: pl.Series, event: str, time_ms: int) -> None:
    """Have each of the visitors do one thing."""
    for member, batch in zip(members, feed.batches(visitors, event, time_ms), strict=True):
        member.shard.take([batch])
        member.take(batch)


def take_snapshot(members: list[Member], *, with_log: bool) -> Pause:
    """A snapshot of all shards, one after the other."""
    states, profiles, state_bytes, log_bytes = [], [], 0, 0
    worked = time.thread_time()
    for member in members:
        began = time.perf_counter()
        state_bytes += len(member.shard.snapshot())
        between = time.perf_counter()
        if with_log:
            before = member.reference.size
            member.reference = member.log.snapshot(member.profiles)
            log_bytes += max(0, member.reference.size - before)
        else:
            log_bytes += len(pickle.dumps(member.profiles, protocol=5))
        ended = time.perf_counter()
        states.append(1_000 * (between - began))
        profiles.append(1_000 * (ended - between))
    working = 1_000 * (time.thread_time() - worked)
    return Pause(states, profiles, working, state_bytes, log_bytes)


def restore_seconds(members: list[Member]) -> float:
    """How long it takes to restore all profiles from the log; they are checked by their number."""
    began = time.perf_counter()
    restored = sum(member.log.restore(member.reference).table.live for member in members)
    seconds = time.perf_counter() - began
    if restored != sum(member.profiles.table.live for member in members):
        sys.exit("the restored profiles aren't those that were kept")
    return seconds


def measure(
    folder: Path, known: int, active: int, snapshots: int, shards: int
) -> tuple[dict[str, float], dict[str, list[Pause]]]:
    """Figures of the case, and the pauses of each way."""
    members, feed, chosen = build(
        Settings(store="none", patterns=PATTERNS, shards=shards), folder, known, active
    )
    now = _START + 20_000 * len(_JOURNEY)
    # Some to warm up: nothing has been made durable so far.
    for number in range(2):
        take_snapshot(members, with_log=number == 0)
    pauses: dict[str, list[Pause]] = {"log": [], "log, compacting": [], "pickled whole": []}
    slack = record_log.COMPACTION_SLACK
    for way, found in pauses.items():
        # Without any slack a compaction begins with each snapshot.
        record_log.COMPACTION_SLACK = -(1 << 40) if way == "log, compacting" else slack
        for _ in range(snapshots if way != "pickled whole" else min(3, snapshots)):
            act(members, feed, chosen, "click", now)
            now += 20_000
            found.append(take_snapshot(members, with_log=way != "pickled whole"))
    record_log.COMPACTION_SLACK = slack
    figures: dict[str, float] = {
        "known": sum(member.profiles.table.live for member in members),
        "active": sum(member.shard.visitors.live for member in members),
        "partial_matches": int(sum(member.shard.visitors.records["partials"].sum() for member in members)),
        "profiles_mb": round(sum(member.profiles.table.memory for member in members) / 1e6, 1),
        "restore_s": round(restore_seconds(members), 3),
    }
    for member in members:
        member.log.close()
    return figures, pauses


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--known", type=int, default=1_000_000)
    parser.add_argument("--active", type=int, default=10_000)
    parser.add_argument("--snapshots", type=int, default=20)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument(
        "--folder", type=Path, help="a folder on the disk to measure; a temporary one if left out"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures, pauses = measure(
            Path(folder), arguments.known, arguments.active, arguments.snapshots, arguments.shards
        )
    rows = {
        way: {
            "longest_ms": round(max(pause.all_shards for pause in found), 1),
            "median_ms": round(statistics.median(pause.all_shards for pause in found), 1),
            "working_ms": round(max(pause.working for pause in found), 1),
            "longest_shard_ms": round(max(pause.longest_shard for pause in found), 1),
            "of_it_profiles_ms": round(max(sum(pause.profiles) for pause in found), 1),
            "state_kb": round(max(pause.state_bytes for pause in found) / 1e3),
            "profiles_kb": round(max(pause.log_bytes for pause in found) / 1e3),
        }
        for way, found in pauses.items()
    }
    longest = max(row["longest_ms"] for way, row in rows.items() if way != "pickled whole")
    if arguments.json:
        print(json.dumps({**figures, "pauses": rows}))
        return int(longest >= LONGEST_MS)
    console = Console(highlight=False)
    console.print(", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in figures.items()))
    table = Table("ms", "longest", "median", "at work", "a shard", "profiles", "state, kB", "prof., kB")
    for way, row in rows.items():
        table.add_row(way, *(f"{value:,}" for value in row.values()))
    console.print(table)
    times = rows["pickled whole"]["longest_ms"] / rows["log"]["longest_ms"]
    console.print(
        f"longest pause [bold]{longest} ms[/] (required: under {LONGEST_MS:.0f}); pickled whole: {times:.0f}x"
    )
    return int(longest >= LONGEST_MS)


if __name__ == "__main__":
    sys.exit(main())
