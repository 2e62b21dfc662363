"""Live partitions whose records come when a test says so, and what an input makes of them."""

import json
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from footfall.clock import NEVER, ClockSettings
from footfall.dataflow import _NamedFormat
from footfall.envelope import SCHEMA
from footfall.errors import SourceError
from footfall.event_batch import Mark, ShardBatch
from footfall.event_names import EventNames
from footfall.input import InputSettings, Item, PartitionInput
from footfall.letters import Letters
from footfall.pattern_plan import PatternPlan
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import ReadAhead
from footfall.reading_round import ReadingRound
from footfall.records import RecordBlock, RecordReader, RecordSource
from footfall.row_frames import whole_rows

BEGIN = 1_760_000_000_000
SHARDS = ("s0", "s1", "s2")
ROUND_MS = 400
CLOCK = ClockSettings(lateness=300, idle_bound=2_000, future_jump=1_000)
BROKEN = "broken"


@dataclass
class ScriptedReader(RecordReader):
    """Gives the blocks that have been put at hand; the position is the number of blocks given."""

    given: int = 0
    at_hand: list[RecordBlock] = field(default_factory=list)
    told: list[bool] = field(default_factory=list)
    now: int | None = None
    damage: SourceError | None = None

    def read(self, max_records: int) -> RecordBlock | None:
        assert max_records > 0
        if self.damage is not None:
            raise self.damage
        if not self.at_hand:
            return None
        self.given += 1
        return self.at_hand.pop(0)

    def has_more(self) -> bool:
        return bool(self.at_hand)

    def position(self) -> int:
        return self.given

    def progress(self) -> tuple[int, int | None]:
        return self.given, None

    def read_until(self) -> int | None:
        return None if self.at_hand else self.now

    def note_dating(self, *, own: bool) -> None:
        self.told.append(own)

    def close(self) -> None:
        pass


@dataclass
class ScriptedSource(RecordSource):
    """Live partitions with these readers."""

    readers: Mapping[str, ScriptedReader]
    live = True

    def partitions(self) -> list[str]:
        return list(self.readers)

    def open(self, partition: str, position: Any | None) -> RecordReader:
        return self.readers[partition]

    def identity(self) -> dict[str, Any]:
        return {}


class Unhindered(ReadAhead):
    """Has no partition wait for another, so that each is read whenever it is asked."""

    def must_wait(self, before: int) -> bool:
        return False


@dataclass
class Inputs:
    """An input's partitions, and what has come of them, each item with its giver's epoch."""

    parts: dict[str, PartitionInput]
    readers: dict[str, ScriptedReader]
    stop: threading.Event
    items: list[tuple[int, Item]] = field(default_factory=list)

    def ask(self, name: str) -> list[Item]:
        """Call a partition once."""
        part = self.parts[name]
        found = list(part.next_batch())
        self.items += [(part.epoch, item) for item in found]
        return found

    def batches(self) -> list[tuple[int, ShardBatch]]:
        """The shards' batches, each with the epoch that it was given in."""
        return [(epoch, batch) for epoch, (_, batch) in self.items if isinstance(batch, ShardBatch)]

    def letters(self) -> list[tuple[int, str, Letters]]:
        """The letters, each with its epoch and key."""
        return [(epoch, key, each) for epoch, (key, each) in self.items if isinstance(each, Letters)]


def new_inputs(
    count: int,
    *,
    together: bool,
    columns: Sequence[str] = tuple(SCHEMA),
    ahead: ReadAhead | None = None,
    early: bool = True,
    tell: Callable[[Any], None] = lambda message: None,
) -> Inputs:
    """So many partitions, p0, p1, …, that are read together, or each alone."""
    readers = {f"p{number}": ScriptedReader() for number in range(count)}
    settings = InputSettings(
        source=ScriptedSource(readers),
        new_format=_NamedFormat("footfall", EventNames()),
        clock=CLOCK,
        in_force=PlanInForce(PatternPlan.compile([])),
        shard_names=SHARDS,
        batch_size=1_000,
        read_ahead=10**9,
        event_columns=tuple(columns),
        early=early,
    )
    reading = ReadingRound(settings) if together else None
    table = ahead or Unhindered.alone([NEVER] * count, 10**9)
    stop = threading.Event()
    parts = {
        name: PartitionInput(settings, name, None, ahead=table, tell=tell, stop=stop, together=reading)
        for name in readers
    }
    return Inputs(parts, readers, stop)


KINDS = (
    "good", "good", "good", "escaped", "dated", "late", "early", "far", "alias", "nothing", "cut", "list", "nobody",
    "latin", "nul", "unnamed", "timeless", "large", "deep",
)  # fmt: skip


def line(kind: str, number: int, time: int) -> bytes:
    """A record of that kind, sent at that time."""
    record: dict[str, Any] = {
        "message_id": f"m{number}", "visitor_id": f"v{number % 5}", "event": "page_view", "event_time": time,
        "url": f"https://a.example/{number}?utm_source=b", "note": number,
    }  # fmt: skip
    changes: dict[str, dict[str, Any]] = {
        "escaped": {"visitor_id": 'a "ü" \\', "properties": {"a": "\n"}},
        "dated": {"arrival_time": time + 40},
        "late": {"event_time": time - 1_500},
        "early": {"event_time": time + 600},
        "far": {"event_time": time + 5_000},
        "alias": {"ts": time - 7, "user_id": "u"},
        "nobody": {"visitor_id": None},
        "unnamed": {"event": "--"},
        "timeless": {"event_time": "soon"},
        "deep": {"properties": json.loads("[" * 70 + "]" * 70)},
    }
    raw = {
        "nothing": b"  ",
        "cut": b'{"visitor_id": "a"',
        "list": b"[1]",
        "latin": b'{"visitor_id": "\xff", "event": "a", "event_time": 1}',
        "nul": b'{"visitor_id": "\\u0000", "event": "a", "event_time": 1}',
    }
    return raw.get(kind) or json.dumps(record | changes.get(kind, {})).encode()


@dataclass(frozen=True)
class BlockPlan:
    """A block to come: its records' kinds, how many offsets are left out within it, and what kind it is itself."""

    kinds: tuple[str, ...]
    gap: int = 0
    format: str | None = None
    dated: bool = True
    own_arrivals: bool = True


_plans = st.builds(
    BlockPlan,
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=4).map(tuple),
    st.sampled_from([0, 0, 0, 3]),
    st.sampled_from([None, None, None, None, "segment", "a-format-that-is-none"]),
    st.sampled_from([True, True, True, True, True, False]),
    st.sampled_from([True, True, True, False]),
)
Script = list[list[list[BlockPlan]]]
"""By round, then by partition: the blocks that are at hand."""


def scripts(partitions: int, rounds: int) -> st.SearchStrategy[Script]:
    """What may come."""
    share = st.lists(_plans, max_size=2)
    return st.lists(st.lists(share, min_size=partitions, max_size=partitions), min_size=1, max_size=rounds)


def blocks_of(script: Script) -> list[list[list[RecordBlock]]]:
    """The script's blocks; each partition's records have offsets from 0 on and arrivals that rise."""
    counts = [[0, 0] for _ in script[0]]  # records and left-out offsets of each partition
    found = []
    for turn, shares in enumerate(script):
        row = []
        for partition, plans in enumerate(shares):
            blocks = []
            for plan in plans:
                records, left_out = counts[partition]
                size = len(plan.kinds)
                now = BEGIN + turn * ROUND_MS
                times = [now + 9 * (records + each) + partition for each in range(size)]
                lines = [
                    line(kind, 100 * partition + records + each, time)
                    for each, (kind, time) in enumerate(zip(plan.kinds, times, strict=True))
                ]
                offsets: npt.NDArray[np.int64] = records + left_out + np.arange(size)
                offsets[size // 2 :] += plan.gap
                large = [each for each, kind in enumerate(plan.kinds) if kind == "large"]
                blocks.append(
                    RecordBlock(
                        f"p{partition}",
                        int(offsets[0]),
                        size,
                        b"".join(each + b"\n" for each in lines),
                        "topic",
                        int(offsets[0]) + 1,
                        dict.fromkeys(large, 2_000_000),
                        np.array(times) + 20 if plan.dated else None,
                        offsets if plan.gap else None,
                        plan.format,
                        plan.own_arrivals,
                    )
                )
                counts[partition] = [records + size, left_out + plan.gap]
            row.append(blocks)
        found.append(row)
    return found


def outcome(inputs: Inputs) -> dict[str, Any]:
    """All that came of each partition, and its state at the end, however it was cut into batches."""
    found: dict[str, Any] = {}
    for name, part in inputs.parts.items():
        reader = inputs.readers[name]
        shards = [_of_shard(inputs, shard, part.number) for shard in range(len(SHARDS))]
        position, done, clock, totals = pickle.loads(part.snapshot())
        held = None if clock.held is None else clock.held.rows()
        state = position, done, held, clock.watermark, clock.max_event_time, clock.last_arrival, totals
        found[name] = shards, _letters(inputs, part.number), state, reader.told
    return found


def _of_shard(inputs: Inputs, shard: int, number: int) -> Any:
    marks, events, lanes, rows = list[Mark](), list[Any](), list[Any](), list[Any]()
    watermarks = list[int]()
    for _, batch in inputs.batches():
        if batch.shard != shard:
            continue
        own = batch.events["partition"] == number
        events += batch.events[own].tolist()
        lanes += batch.lanes[own].tolist()
        watermarks += [] if batch.watermarks is None else batch.watermarks[own].tolist()
        rows += whole_rows(batch.rows, tuple(SCHEMA)).filter(own).rows() if own.any() else []
        marks += [mark for mark in batch.marks if mark.partition == number]
    last = [max((mark[part] for mark in marks), default=None) for part in (1, 2, 3)]
    return events, lanes, watermarks, rows, last


def _letters(inputs: Inputs, number: int) -> Any:
    """There are as many shards as partitions at least, so that the key tells whose they are."""
    mine = [each for _, key, each in inputs.letters() if key == SHARDS[number]]
    late = [row for each in mine if each.late is not None for row in each.late.rows(named=True)]
    return late, [row for each in mine if each.dead is not None for row in each.dead.rows(named=True)]
