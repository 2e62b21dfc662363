"""Partitions that are read together under Bytewax itself: a run that breaks off goes on as if it hadn't."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import bytewax.operators as op
import numpy as np
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import AbortExecution
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main
from scripted_partitions import BEGIN, SHARDS, line

from footfall.clock import ClockSettings
from footfall.dataflow import _NamedFormat, is_letters
from footfall.envelope import SCHEMA
from footfall.event_batch import ShardBatch
from footfall.event_names import EventNames
from footfall.input import InputSettings, RecordInput
from footfall.pattern_plan import PatternPlan
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import NOT_READ, ReadAhead
from footfall.records import RecordBlock, RecordReader, RecordSource

PARTITIONS, RECORDS = 4, 300
Place = tuple[int, int]
"""Of a record: its partition's number and its offset."""


@dataclass
class BreakOff:
    """Breaks the run off after so many reads; never, if that is 0."""

    after: int
    done: bool = False

    def __call__(self) -> None:
        self.after -= 1
        if not self.after:
            self.done = True
            raise AbortExecution


@dataclass
class DribblingReader(RecordReader):
    """Gives a few records now and then; the last one stops the run."""

    name: str
    offset: int
    random: Random
    stop: threading.Event
    unread: set[str]
    break_off: BreakOff

    def read(self, max_records: int) -> RecordBlock | None:
        self.break_off()
        count = min(self.random.choice([0, 1, 2, 5]), RECORDS - self.offset)
        if self.random.random() < 0.05:
            time.sleep(0.002)
        if self.offset == RECORDS:
            self.unread.discard(self.name)
            if not self.unread:
                self.stop.set()
        if not count:
            return None
        times = BEGIN + 10 * np.arange(self.offset, self.offset + count)
        lines = [line("good", int(each), int(each)) + b"\n" for each in times]
        block = RecordBlock(self.name, self.offset, count, b"".join(lines), "topic", 1, arrivals=times)
        self.offset += count
        return block

    def has_more(self) -> bool:
        return False

    def position(self) -> int:
        return self.offset

    def progress(self) -> tuple[int, int | None]:
        return self.offset, None

    def close(self) -> None:
        pass


@dataclass
class DribblingSource(RecordSource):
    """Live partitions of `RECORDS` records each."""

    random: Random
    stop: threading.Event
    break_off: BreakOff
    unread: set[str] = field(default_factory=lambda: {f"p{number}" for number in range(PARTITIONS)})
    live = True

    def partitions(self) -> list[str]:
        return [f"p{number}" for number in range(PARTITIONS)]

    def open(self, partition: str, position: Any | None) -> RecordReader:
        return DribblingReader(partition, position or 0, self.random, self.stop, self.unread, self.break_off)

    def identity(self) -> dict[str, Any]:
        return {}


class Seen(StatefulBatchLogic[ShardBatch, list[Place], list[Place]]):
    """Keeps which records its shard has had; at the end it gives them out."""

    def __init__(self, seen: list[Place] | None) -> None:
        self.seen = list(seen or [])

    def on_batch(self, values: list[ShardBatch]) -> tuple[list[list[Place]], bool]:
        for batch in values:
            self.seen += zip(batch.events["partition"].tolist(), batch.events["offset"].tolist(), strict=True)
        return [], StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[list[list[Place]], bool]:
        return [self.seen], StatefulBatchLogic.RETAIN

    def snapshot(self) -> list[Place]:
        return list(self.seen)


class _Collecting(StatelessSinkPartition[tuple[str, list[Place]]]):
    def __init__(self, found: list[Place]) -> None:
        self.found = found

    def write_batch(self, items: list[tuple[str, list[Place]]]) -> None:
        for _, places in items:
            self.found += places


class Collecting(DynamicSink[tuple[str, list[Place]]]):
    """Collects what is given out at the end."""

    def __init__(self, found: list[Place]) -> None:
        self.found = found

    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> StatelessSinkPartition[tuple[str, list[Place]]]:
        return _Collecting(self.found)


def run_leg(folder: Path, random: Random, break_off: BreakOff) -> Sequence[Place]:
    """One leg of a run: up to where it breaks off, or to its end, when all that was seen comes."""
    stop = threading.Event()
    settings = InputSettings(
        source=DribblingSource(random, stop, break_off),
        new_format=_NamedFormat("footfall", EventNames()),
        clock=ClockSettings(),
        in_force=PlanInForce(PatternPlan.compile([])),
        shard_names=SHARDS,
        batch_size=1_000,
        read_ahead=10**9,
        event_columns=tuple(SCHEMA),
        early=True,
    )
    ahead = ReadAhead.alone([NOT_READ] * PARTITIONS, 10**9)
    found: list[Place] = []
    flow = Dataflow("leg")
    items = op.input("records", flow, RecordInput(settings, ahead=ahead, tell=lambda _: None, stop=stop))
    batches: Any = op.branch("letters", items, is_letters).falses
    seen = op.stateful_batch("seen", batches, Seen)
    op.output("out", seen, Collecting(found))
    run_main(flow, epoch_interval=timedelta(milliseconds=3), recovery_config=RecoveryConfig(str(folder)))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_each_record_is_seen_once_however_often_the_run_breaks_off(tmp_path: Path, seed: int) -> None:
    init_db_dir(tmp_path, 1)
    random = Random(seed)
    broken_off = 0
    for leg in range(9):
        break_off = BreakOff(random.randint(20, 250) if leg < 8 else 0)
        found = run_leg(tmp_path, random, break_off)
        broken_off += break_off.done
        if not break_off.done:
            break
    assert broken_off > 1
    assert sorted(found) == [(number, offset) for number in range(PARTITIONS) for offset in range(RECORDS)]
