"""A partition that is held says up to when anything of it may have been taken or settled."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine_harness import MemorySource, line_of
from reference import Record
from test_shard_properties import START

from footfall.clock import ClockSettings
from footfall.dataflow import _NamedFormat
from footfall.event_names import EventNames
from footfall.input import InputSettings, RecordInput
from footfall.pattern_plan import PatternPlan
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import NOT_READ, ReadAhead, ReadingTable
from footfall.records import RecordReader
from footfall.settings import Settings

MINUTE = 60_000
CLOCK = ClockSettings(lateness=5_000, idle_bound=MINUTE, future_jump=10**9)


@dataclass(frozen=True)
class QuietSource(MemorySource):
    """Partitions without an end; each stands at its end at the time `now`."""

    now: int = 0
    live = True

    def open(self, partition: str, position: Any | None) -> RecordReader:
        reader = super().open(partition, position)
        reader.read_until = lambda: self.now  # type: ignore[method-assign]  # the memory's readers know no time
        return reader


def held_at(tmp_path: Path, *records: Record, now: int = NOT_READ) -> int | None:
    """Up to when the only partition says that it has been read, once it has read the records and stands quiet."""
    source = QuietSource({"p0": [line_of(record) for record in records]}, now)
    settings = InputSettings(
        source=source,
        new_format=_NamedFormat(Settings(store="none").format, EventNames.load(None)),
        clock=CLOCK,
        in_force=PlanInForce(PatternPlan.compile([])),
        shard_names=("s0",),
        batch_size=100,
        read_ahead=10**9,
        event_columns=(),
    )
    table = ReadingTable(tmp_path / "table", 1)
    ahead = ReadAhead.mapped(tmp_path / "table", 10**9)
    source_input = RecordInput(settings, ahead=ahead, tell=lambda message: None, stop=threading.Event())
    partition = source_input.build_part("input", "p0", None)
    for _ in range(3):
        partition.next_batch()
    table.hold()
    assert table.held_at() is None
    assert partition.next_batch() == []
    at = table.held_at()
    partition.close()
    table.close()
    return at


def test_it_is_the_latest_event_of_a_busy_one(tmp_path: Path) -> None:
    records = [
        Record("ann", f"m{time}", "a", START + time, arrival=START + 10_000) for time in (0, 9_000, 4_500)
    ]
    assert held_at(tmp_path, *records) == START + 9_000


def test_it_is_the_watermark_of_one_that_has_been_quiet(tmp_path: Path) -> None:
    """What absences have settled there by now was decided by the rules in force so far."""
    now = START + 60 * MINUTE
    assert held_at(tmp_path, Record("ann", "m", "a", START), now=now) == now - MINUTE - 1


def test_it_is_the_watermark_where_events_come_long_after_they_happened(tmp_path: Path) -> None:
    late = Record("ann", "m", "a", START, arrival=START + 60 * MINUTE)
    assert held_at(tmp_path, late, replace(late, message="n", arrival=START + 70 * MINUTE)) == (
        START + 69 * MINUTE - 1
    )


def test_it_is_no_time_where_nothing_has_been_read(tmp_path: Path) -> None:
    assert held_at(tmp_path) == NOT_READ
