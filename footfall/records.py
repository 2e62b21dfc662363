"""Records as they come in, before they are decoded, and the interface that every source offers.

A source has partitions, each an ordered run of records at offsets 0, 1, 2 …; reading a partition from a
position gives the same records every time. Kafka, files and tables all sit behind `RecordSource`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_RECORD_BYTES = 1 << 20
KEPT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """Consecutive records of one partition.

    Attributes:
        partition: the source partition's name.
        first_offset: the offset of the block's first record; the others follow one by one.
        count: how many records there are.
        data: the records' bytes, a newline after each (the last one included). A record of over
            `MAX_RECORD_BYTES` stands here as its first `KEPT_BYTES`.
        source: the file (or topic) that they come from, for people.
        first_line: the 1-based line of the first record in that file.
        oversized: index in the block -> full size in bytes, of the records that were cut.
        arrivals: arrival time of each record (ms, UTC) where the transport knows it, as a topic with log append
            time does; a record's own arrival field goes before it, unless the block says otherwise.
        offsets: each record's offset, ascending, where they don't follow one by one (a compacted topic, one with
            transactions); None where they do.
        format: the format that all these records say they are in; None: that of their partition.
        own_arrivals: what records say of their arrival counts, even where the transport knows it.
    """

    partition: str
    first_offset: int
    count: int
    data: bytes
    source: str
    first_line: int
    oversized: Mapping[int, int] = field(default_factory=dict)
    arrivals: npt.NDArray[np.int64] | None = None
    offsets: npt.NDArray[np.int64] | None = None
    format: str | None = None
    own_arrivals: bool = True

    def offsets_of_records(self) -> npt.NDArray[np.int64]:
        """Each record's offset."""
        if self.offsets is not None:
            return self.offsets
        return np.arange(self.first_offset, self.first_offset + self.count)


class RecordReader(ABC):
    """Reads one partition. It is used by one thread, and owns what it opens until `close`."""

    @abstractmethod
    def read(self, max_records: int) -> RecordBlock | None:
        """The next records, at most `max_records` and at least one; None at the partition's end.

        A live partition has no end: None says that nothing is at hand, and the next `read` may give records. It
        doesn't wait.

        Raises:
            SourceError: the partition can't be read any further (a damaged file, say). What was returned
                before stays valid, and everything readable before the damage has been returned.
        """

    def has_more(self) -> bool:
        """Whether reading on at once may give more records: False if the last `read` has given all that was at hand."""
        return True

    @abstractmethod
    def position(self) -> Any:
        """Where the next `read` goes on: a small value that pickles, to be given to `RecordSource.open`."""

    @abstractmethod
    def progress(self) -> tuple[int, int | None]:
        """Bytes of the input consumed so far, and in all where that is known; compressed bytes count as such."""

    def read_until(self) -> int | None:
        """When a live partition stands at its end: a time (ms) before which no record arrives any more, else None.

        It is measured by the clock that dates the records' arrivals: a record that is read later has an arrival
        that isn't before it.
        """
        return None

    def note_dating(self, *, own: bool) -> None:  # noqa: B027 - most sources needn't know
        """Be told of the events read last from a live partition whether one had an arrival of its own, in a field."""

    def lag(self) -> int | None:
        """How many records there are behind the position; None where that isn't known."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Free what is open. Calling it twice is fine."""


class RecordSource(ABC):
    """A set of partitions. It pickles, and opens nothing before `open`.

    Attributes:
        live: partitions have no end; they are read until the run is stopped.
        releases: a partition's end is the end of its visitors' journeys, which closes open sessions and releases
            absences (files); otherwise it is a stretch, and what is open stays so.
    """

    live = False
    releases = True

    @property
    def history(self) -> int:
        """How many of the partitions, the first ones, hold nothing but the past of those that are read live."""
        return 0

    def is_live(self, partition: str) -> bool:  # noqa: ARG002 - most sources have partitions of one kind
        """Whether that partition has no end."""
        return self.live

    @abstractmethod
    def partitions(self) -> list[str]:
        """The partitions' names, without doubles, in the order of their numbers; fixed for the run."""

    @abstractmethod
    def open(self, partition: str, position: Any | None) -> RecordReader:
        """A reader of that partition, from its start or from a `position` that a reader of it gave.

        Raises:
            SourceError: it can't be opened, or doesn't reach that position.
        """

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What makes this input itself and no other (JSON types): a state folder refuses another one."""
