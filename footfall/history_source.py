"""A live run's records from the first one it has to know: its past, then the topics.

Past and present are partitions of one run, read in step, so state flows from one into the other, and a restart finds
both in the same snapshots. A topic partition that a store has the past of is one partition still: its rows first, then
the topic from the offset behind them, under one clock. Other pasts (files, partitions that are no topic's) stand in
front; they end.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from footfall.clock import FOREVER
from footfall.held_back import Outset
from footfall.history_plan import HistoryPlan
from footfall.kafka_source import KafkaSource
from footfall.records import RecordBlock, RecordReader, RecordSource

_PAST, _LIVE = "past", "live"

Position = tuple[str, Any]

log = logging.getLogger(__name__)


class HistorySource(RecordSource):
    """The past and the topics as one source.

    Args:
        plan: the past.
        live: the topics; their partitions begin where the plan says.

    Attributes:
        starts: partition -> the offset at which it begins in its topic; 0 for those of the past alone.
    """

    live = True
    releases = False

    def __init__(self, plan: HistoryPlan, live: KafkaSource) -> None:
        self._plan = plan
        self._topics = live
        self._pasts: dict[str, RecordSource] = {
            name: past for past in plan.pasts for name in past.partitions()
        }
        self.starts: Mapping[str, int] = {**dict.fromkeys(self._pasts, 0), **live.starts}

    @property
    def history(self) -> int:
        """How many partitions are of the past alone; they come first."""
        return len(self._pasts)

    @property
    def outset(self) -> Outset:
        """What isn't sent."""
        return Outset(self._plan.since, {**dict.fromkeys(self._pasts, FOREVER), **self._plan.begins})

    def partitions(self) -> list[str]:
        """The partitions of the past alone, then those of the topics."""
        return [*self._pasts, *self._topics.partitions()]

    def is_live(self, partition: str) -> bool:
        """Whether that partition is, or will be, read from a topic."""
        return partition not in self._pasts

    def find_new_partitions(self) -> list[str]:
        """See `KafkaSource.find_new_partitions`."""
        return self._topics.find_new_partitions()

    def attend(self) -> None:
        """Make embedded stores ready to be read by the workers, for as long as this object is there.

        Raises:
            FootfallError: one of them can't be opened.
        """
        for source in self._plan.stores():
            source.attend()

    def open(self, partition: str, position: Any | None) -> RecordReader:
        """A reader of that partition, wherever it stands: in the past, or in the topic."""
        past = self._pasts.get(partition)
        if past is not None:
            return past.open(partition, position)
        stored = self._plan.stored
        if stored is None or partition not in stored.stretches:
            return self._topics.open(partition, position)
        return PastAndLiveReader(
            partition,
            position,
            lambda at: stored.open(partition, at),
            lambda at: self._topics.open(partition, at),
            self._plan.begins[partition],
        )

    def identity(self) -> dict[str, Any]:
        """The topics' identity; which history there is stands beside it."""
        return self._topics.identity()


class PastAndLiveReader(RecordReader):
    """Reads a partition's past to its end, then goes on live; its positions say in which of the two they are.

    Args:
        partition: its name.
        position: where to begin.
        open_past: opens the past at a position of its own, or at its beginning.
        open_live: the same for the topic.
        begins: the offset at which the topic's part begins.
    """

    def __init__(
        self,
        partition: str,
        position: Position | None,
        open_past: Callable[[Any | None], RecordReader],
        open_live: Callable[[Any | None], RecordReader],
        begins: int,
    ) -> None:
        where, at = position or (_PAST, None)
        self._partition = partition
        self._open_live = open_live
        self._begins = begins
        self._where = where
        self._reader = open_past(at) if where == _PAST else open_live(at)

    def read(self, max_records: int) -> RecordBlock | None:
        """The next records of the past, or of the topic; None while it has none at hand."""
        block = self._reader.read(max_records)
        if block is not None or self._where == _LIVE:
            return block
        self._reader.close()
        self._reader = self._open_live(None)
        self._where = _LIVE
        log.info("%s: its history has been read; it goes on live at offset %d", self._partition, self._begins)
        return self._reader.read(max_records)

    def has_more(self) -> bool:
        """See `RecordReader.has_more`."""
        return self._where == _PAST or self._reader.has_more()

    def position(self) -> Position:
        """Where the next `read` goes on."""
        return self._where, self._reader.position()

    def progress(self) -> tuple[int, int | None]:
        """See `RecordReader.progress`."""
        return self._reader.progress()

    def read_until(self) -> int | None:
        """See `RecordReader.read_until`: nothing is promised before the topic is read."""
        return self._reader.read_until() if self._where == _LIVE else None

    def note_dating(self, *, own: bool) -> None:
        """See `RecordReader.note_dating`: what the past says of arrivals says nothing of the topic's clock."""
        if self._where == _LIVE:
            self._reader.note_dating(own=own)

    def lag(self) -> int | None:
        """How many records there are behind the position; of the past, how many offsets to its end."""
        return self._reader.lag()

    def close(self) -> None:
        """Free what is open."""
        self._reader.close()
