"""The way out of a shard: rows to every sink, totals to the parent, control records from one part."""

import pickle
from dataclasses import dataclass, field

import polars as pl
import pytest
from control_records import control_record
from store_rows import rows

from footfall.answer_output import AnswerOutput, OutputPart
from footfall.control_record import ControlRecord
from footfall.control_table import control_rows, records_of
from footfall.dataflow import plan_in_force
from footfall.letters import Letters
from footfall.plan_in_force import PlanInForce
from footfall.run_messages import Message, PartitionDone
from footfall.settings import Settings
from footfall.sink import Sink
from footfall.tables import CONTROLS, DEAD_LETTERS, Table

RECORDS = tuple(control_record(number) for number in range(3))
SHARDS = ("s0", "s1")
DEAD = Letters(dead=rows(DEAD_LETTERS, 2))


@dataclass
class Kept(Sink):
    """A sink that keeps what it gets."""

    opened: list[tuple[str, object | None]] = field(default_factory=list)
    written: list[tuple[str, str, pl.DataFrame]] = field(default_factory=list)

    def open_part(self, part: str, resume: object | None) -> None:
        self.opened.append((part, resume))

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        assert frame.schema == table.schema
        self.written.append((part, table.name, frame))

    def flush(self, part: str) -> object:
        return f"{part}: {len(self.written)}"

    def close(self) -> None:
        self.written.clear()

    @property
    def records(self) -> list[tuple[str, tuple[ControlRecord, ...]]]:
        """For each write of control records its part and the records."""
        return [(part, records_of(frame)) for part, table, frame in self.written if table == CONTROLS.name]


def part_of(
    name: str, sinks: list[Sink], in_force: PlanInForce | None, resume: bytes | None = None
) -> OutputPart:
    output = AnswerOutput(SHARDS, sinks, _ignore, in_force)
    return output.build_part("sink", name, resume)


def _ignore(_: Message) -> None:
    pass


@pytest.fixture
def in_force() -> PlanInForce:
    return plan_in_force(Settings(), RECORDS[:1], live=True)


def test_the_first_part_writes_control_records_once_and_before_all_else(in_force: PlanInForce) -> None:
    sinks = [Kept(), Kept()]
    part = part_of("s0", [*sinks], in_force)
    assert [sink.written for sink in sinks] == [[], []]
    for _ in range(3):
        part.write_batch([DEAD])
    for sink in sinks:
        assert [table for _, table, _ in sink.written] == [CONTROLS.name, *[DEAD_LETTERS.name] * 3]
        assert sink.records == [("s0", RECORDS[:1])]
        assert sink.written[0][2].equals(control_rows(RECORDS[:1]))


def test_records_that_come_meanwhile_are_written_when_they_are_there(in_force: PlanInForce) -> None:
    sink = Kept()
    part = part_of("s0", [sink], in_force)
    part.write_batch([])
    for record in RECORDS[1:]:
        in_force.take_up(record)
    part.write_batch([])
    part.write_batch([DEAD])
    assert sink.records == [("s0", RECORDS[:1]), ("s0", RECORDS[1:])]


def test_the_other_parts_write_none(in_force: PlanInForce) -> None:
    sink = Kept()
    part = part_of("s1", [sink], in_force)
    part.write_batch([DEAD])
    in_force.take_up(RECORDS[1])
    part.write_batch([DEAD])
    assert [table for _, table, _ in sink.written] == [DEAD_LETTERS.name] * 2


def test_a_run_that_is_not_live_writes_none() -> None:
    sink = Kept()
    for name in SHARDS:
        part_of(name, [sink], None).write_batch([DEAD])
    assert sink.records == []


def test_without_sinks_nothing_is_amiss(in_force: PlanInForce) -> None:
    part = part_of("s0", [], in_force)
    part.write_batch([DEAD])
    assert pickle.loads(part.snapshot()) == ({}, [])


def test_a_restart_writes_them_again_since_they_may_have_been_lost(in_force: PlanInForce) -> None:
    """The same rows once more replace themselves, wherever they went."""
    sink = Kept()
    part = part_of("s0", [sink], in_force)
    part.write_batch([DEAD])
    state = part.snapshot()
    again = Kept()
    in_force = plan_in_force(Settings(), RECORDS[:2], live=True)
    part = part_of("s0", [again], in_force, state)
    assert again.opened == [("s0", "s0: 2")]
    part.write_batch([DEAD])
    assert again.records == [("s0", RECORDS[:2])]
    both = pl.concat(frame for _, table, frame in (*sink.written, *again.written) if table == CONTROLS.name)
    assert records_of(both) == RECORDS[:2]


def test_totals_are_told_when_they_come_and_again_by_a_restart() -> None:
    told: list[Message] = []
    done = PartitionDone("p0", 5, 1, 0, 0, (0, 0), {})
    output = AnswerOutput(SHARDS, [Kept()], told.append)
    assert output.list_parts() == list(SHARDS)
    assert [output.part_fn(name) for name in SHARDS] == [0, 1]
    part = output.build_part("sink", "s1", None)
    part.write_batch([Letters(done=done)])
    assert told == [done]
    output.build_part("sink", "s1", part.snapshot())
    assert told == [done, done]
