"""A live partition's reader is told whether the events that were read have arrivals of their own."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from engine_harness import MemorySource, line_of
from reference import Record
from test_shard_properties import START

from footfall.clock import ClockSettings
from footfall.dataflow import _NamedFormat
from footfall.event_names import EventNames
from footfall.input import InputSettings, RecordInput
from footfall.pattern_plan import PatternPlan
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import ReadAhead
from footfall.records import RecordBlock, RecordReader
from footfall.settings import Settings

STAMPS = [START + 100, START + 200, START + 300]


@dataclass
class Dated(RecordReader):
    """Gives its lines in one block, with the arrivals that the transport says, then stands at the end."""

    lines: Sequence[bytes]
    stamps: Sequence[int] | None
    told: list[bool] = field(default_factory=list)
    _given: bool = False

    def read(self, max_records: int) -> RecordBlock | None:
        if self._given or not self.lines:
            return None
        self._given = True
        stamps = None if self.stamps is None else np.array(self.stamps[: len(self.lines)], np.int64)
        data = b"".join(line + b"\n" for line in self.lines)
        return RecordBlock("p0", 0, len(self.lines), data, "p0", 1, arrivals=stamps)

    def position(self) -> int:
        return int(self._given)

    def progress(self) -> tuple[int, int | None]:
        return 0, None

    def note_dating(self, *, own: bool) -> None:
        self.told.append(own)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class OneReader(MemorySource):
    """A live partition with that reader."""

    reader: Any = None
    live = True

    def open(self, partition: str, position: Any | None) -> RecordReader:
        reader: RecordReader = self.reader
        return reader


def told_of(lines: Sequence[bytes], stamps: Sequence[int] | None) -> list[bool]:
    reader = Dated(lines, stamps)
    settings = InputSettings(
        source=OneReader({"p0": []}, reader),
        new_format=_NamedFormat(Settings(store="none").format, EventNames.load(None)),
        clock=ClockSettings(),
        in_force=PlanInForce(PatternPlan.compile([])),
        shard_names=("s0",),
        batch_size=100,
        read_ahead=10**9,
        event_columns=(),
    )
    ahead = ReadAhead.alone([0], 10**9)
    source = RecordInput(settings, ahead=ahead, tell=lambda message: None, stop=threading.Event())
    partition = source.build_part("input", "p0", None)
    for _ in range(3):
        partition.next_batch()
    partition.close()
    return reader.told


PLAIN = Record("ann", "m", "a", START)
OWN = replace(PLAIN, arrival=START + 150)


@pytest.mark.parametrize(
    ("records", "stamps", "own"),
    [
        ([PLAIN, PLAIN, PLAIN], STAMPS, False),
        ([PLAIN, OWN, PLAIN], STAMPS, True),
        ([OWN, OWN, OWN], STAMPS, True),
        # What both say alike needs nobody's word.
        ([PLAIN, replace(PLAIN, arrival=STAMPS[1])], STAMPS, False),
        ([PLAIN], None, False),
        ([OWN], None, True),
    ],
)
def test_who_dates_the_events(records: list[Record], stamps: list[int] | None, *, own: bool) -> None:
    lines = [line_of(replace(record, message=f"m{n}")) for n, record in enumerate(records)]
    assert told_of(lines, stamps) == [own]


def test_dead_letters_say_nothing() -> None:
    assert told_of([b"no record", b"none either"], STAMPS) == []
    lines = [b"no record", line_of(PLAIN), b"none either"]
    assert told_of(lines, STAMPS) == [False]
    assert told_of([lines[0], line_of(OWN), lines[2]], STAMPS) == [True]


def test_what_records_say_does_not_count_where_the_broker_alone_does() -> None:
    block = RecordBlock(
        "p0", 0, 2, line_of(OWN) + b"\n" + line_of(replace(PLAIN, message="n")) + b"\n", "p0", 1,
        arrivals=np.array(STAMPS[:2], np.int64), own_arrivals=False,
    )  # fmt: skip
    decoder = _NamedFormat("footfall", EventNames.load(None))(None, frozenset())
    assert decoder.decode(block).events["arrival_time"].to_physical().to_list() == STAMPS[:2]
    broken = replace(block, data=line_of(OWN)[:-1] + b',"x":1.5e0}\n' + line_of(PLAIN) + b"\n")
    assert decoder.decode(broken).events["arrival_time"].to_physical().to_list() == STAMPS[:2]
