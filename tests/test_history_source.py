"""A past and topics as one source: partitions, positions on both sides of the handover, and when it is early again."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from engine_harness import NO_COUNTS, Engine, MemorySource
from reference import Record

from footfall.clock import FOREVER, ClockSettings
from footfall.expression import event
from footfall.history_plan import HistoryPlan
from footfall.history_source import HistorySource, PastAndLiveReader
from footfall.kafka_source import KafkaSource
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.records import RecordReader
from footfall.shard import Shard
from footfall.store_source import StoreSource

PAST = [b"past %d" % number for number in range(5)]
LIVE = [b"live %d" % number for number in range(4)]
PARTITION = "events/0000"


class LiveReader(RecordReader):
    """A topic of which more comes after a while, as the test says."""

    def __init__(self, lines: Sequence[bytes], position: int) -> None:
        self.noted: list[bool] = []
        self.closed = False
        self._inner = MemorySource({PARTITION: lines}).open(PARTITION, position)

    def read(self, max_records: int) -> Any:
        return self._inner.read(max_records)

    def position(self) -> Any:
        return self._inner.position()

    def progress(self) -> tuple[int, int | None]:
        return self._inner.progress()

    def read_until(self) -> int | None:
        return 17

    def note_dating(self, *, own: bool) -> None:
        self.noted.append(own)

    def lag(self) -> int | None:
        return 3

    def close(self) -> None:
        self.closed = True


@dataclass
class Topics:
    """Stands for the topics."""

    starts: Mapping[str, int]
    readers: list[LiveReader] = field(default_factory=list)

    def partitions(self) -> list[str]:
        return sorted(self.starts)

    def find_new_partitions(self) -> list[str]:
        return ["events/0009"]

    def identity(self) -> dict[str, Any]:
        return {"kind": "kafka"}

    def open(self, partition: str, position: Any | None) -> LiveReader:
        assert partition in self.starts
        self.readers.append(LiveReader(LIVE, position or 0))
        return self.readers[-1]


class StoredPast(StoreSource):
    """Stands for a store."""

    def open(self, partition: str, position: Any | None) -> Any:
        assert partition in self.stretches
        return MemorySource({partition: PAST}).open(partition, position)


def source() -> tuple[HistorySource, Topics]:
    topics = Topics({PARTITION: 5, "events/0001": 7})
    plan = HistoryPlan(
        pasts=(MemorySource({"z.ndjson": PAST, "a.ndjson": PAST}),),
        stored=StoredPast(cast("Any", None), {PARTITION: (0, 5)}),
        begins=topics.starts,
        since=1_000,
    )
    return HistorySource(plan, cast("KafkaSource", topics)), topics


def lines_of(reader: RecordReader, size: int) -> tuple[list[bytes], list[Any]]:
    """What there is at hand, and the positions before and after each read."""
    lines: list[bytes] = []
    positions = [reader.position()]
    while (block := reader.read(size)) is not None:
        lines += block.data.splitlines()
        positions.append(reader.position())
    return lines, positions


def test_the_pasts_partitions_stand_in_front_and_end() -> None:
    found, _ = source()
    assert found.live
    assert not found.releases
    assert found.partitions() == ["a.ndjson", "z.ndjson", PARTITION, "events/0001"]
    assert found.history == 2
    assert [found.is_live(name) for name in found.partitions()] == [False, False, True, True]
    assert found.starts == {"a.ndjson": 0, "z.ndjson": 0, PARTITION: 5, "events/0001": 7}
    assert found.find_new_partitions() == ["events/0009"]
    assert found.outset.since == 1_000
    assert found.outset.begins == {"a.ndjson": FOREVER, "z.ndjson": FOREVER, PARTITION: 5, "events/0001": 7}
    assert lines_of(found.open("a.ndjson", None), 2)[0] == PAST
    assert lines_of(found.open("events/0001", None), 2)[0] == LIVE


@pytest.mark.parametrize("size", [1, 2, 100])
def test_every_position_goes_on_where_it_was(size: int) -> None:
    found, _ = source()
    whole, positions = lines_of(found.open(PARTITION, None), size)
    assert whole == PAST + LIVE
    for position in positions:
        where, at = position
        left = PAST[at:] + LIVE if where == "past" else LIVE[at:]
        again = found.open(PARTITION, pickle.loads(pickle.dumps(position)))
        assert lines_of(again, size)[0] == left
    assert [where for where, _ in positions].count("past") > 1
    assert positions[-1] == ("live", len(LIVE))


def test_the_end_of_the_past_promises_nothing() -> None:
    found, topics = source()
    reader = found.open(PARTITION, None)
    assert isinstance(reader, PastAndLiveReader)
    for _ in PAST:
        assert reader.read(1) is not None
        assert reader.read_until() is None
        reader.note_dating(own=True)
    assert not topics.readers
    block = reader.read(1)
    assert block is not None
    assert block.data == LIVE[0] + b"\n"
    assert reader.read_until() == 17
    assert reader.lag() == 3
    reader.note_dating(own=False)
    assert topics.readers[0].noted == [False]
    reader.close()
    assert topics.readers[0].closed


def at(time: int, name: str) -> Record:
    return Record("v", f"{time}{name}", name, time, arrival=time)


def test_nothing_is_told_early_before_the_past_has_settled() -> None:
    pattern = Pattern("ab").begin("a", event == "a").followed_by("b", event == "b").within("1 s")
    plan = PatternPlan.compile([pattern], reserved=NO_COUNTS)
    engine = Engine(plan, clock=ClockSettings(10, 100, 1_000), partitions=2, early=True)
    engine.settings = replace(engine.settings, history=1)
    engine.shards = [Shard("s0", engine.settings)]

    def told(partition: int, *records: Record, ended: bool = False) -> list[tuple[str, int]]:
        """The matches told when these records come, by their first event's time, and what had then settled."""
        engine.read(partition, records, ended=ended)
        rounds = engine.feed()
        return [
            (status, int(time.timestamp() * 1_000))
            for each in rounds
            for status, time in each.matches.select("status", "first_time").iter_rows()
        ]

    # The topic is ahead of the past, whose records may yet come in between.
    assert told(1, at(5_000, "a"), at(5_010, "b")) == []
    assert told(0, at(1_000, "a"), at(1_010, "b")) == []
    # The past's match settles, and is told then.
    assert told(0, at(3_000, "x")) == [("fired", 1_000)]
    assert told(0, ended=True) == []
    # All that came before the topic's first records has settled with this one, so what follows is early again.
    assert told(1, at(6_000, "x")) == [("fired", 5_000)]
    engine.restart()
    assert told(1, at(6_050, "a"), at(6_060, "b")) == [("fired", 6_050)]
    assert engine.shards[0].settled < 6_060
