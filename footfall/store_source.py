"""Records from a store: what an earlier run has kept in its tables, in the order in which that run read it.

Each source partition of then is a partition again, read by offsets in pages: matched events, late ones and dead
letters alike. What the store doesn't have, nobody gets: copies that were dropped, and events that hadn't settled when
the earlier run stopped.
"""

import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from footfall.envelope import SCHEMA
from footfall.errors import MissingStoreError, SourceError, StoreError, StoreUnavailableError, UsageError
from footfall.records import RecordReader, RecordSource
from footfall.store import Store, StoreAddress, open_store, owner_address
from footfall.store_owner import ensure_owner
from footfall.stored_records import STORED, StoredBlock
from footfall.tables import DEAD_LETTERS, EVENTS, LATE_EVENTS

PAGE_OFFSETS = 100_000
"""How many offsets a page spans: the rows of one are in memory."""

_OWNER_WAIT = 30.0
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.5
_NO_TABLE = 60
_NAMES = tuple(SCHEMA)
# A row that a run with other settings wrote again may differ in what those settings decide, and in no more.
_SAME = "source_offset, visitor_id, message_id, event_time_sent"
_WHERE = (
    "source_partition = {partition:String} AND source_offset >= {first:Int64} AND source_offset < {end:Int64}"
)

Stretch = tuple[int, int]
"""The offsets of a partition that belong to it: the first, and the one behind the last."""


class StoreSource(RecordSource):
    """A store's source partitions as partitions; a reader connects when it first reads.

    Args:
        address: the store.
        stretches: partition -> the offsets that are read.
    """

    releases = False

    def __init__(self, address: StoreAddress, stretches: Mapping[str, Stretch]) -> None:
        self.address = address
        self.stretches = stretches
        self._owner: Callable[[], Any] | None = None
        self._url: str | None = None

    def attend(self) -> None:
        """See that an embedded store can be reached by several processes, for as long as this object is there.

        Raises:
            StoreBusyError: a process has the folder and doesn't serve it.
            MissingStoreError: it isn't there.
            StoreError: it can't be served.
        """
        if self.address.folder is not None and self._owner is None:
            if not self.address.folder.absolute().is_dir():
                raise MissingStoreError(
                    f"there is no store at {self.address}: fill it with footfall replay, or name another one"
                )
            owner = ensure_owner(self.address, wait=_OWNER_WAIT)
            self._url = owner.url
            self._owner = weakref.finalize(self, owner.close)

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """The store, for questions; see `attend`."""
        self.attend()
        store = open_store(self._reached(), create=False)
        try:
            yield store
        finally:
            store.close()

    def partitions(self) -> list[str]:
        """The partitions' names, sorted."""
        return sorted(self.stretches)

    def open(self, partition: str, position: tuple[int, int] | None) -> "StoreReader":
        """A reader from that position on: where its page begins, and how many of the page's records are read."""
        return StoreReader(self._reached(), partition, self.stretches[partition], position)

    def identity(self) -> dict[str, Any]:
        """The store's name without a password, and the offsets that are read."""
        stretches = {name: list(self.stretches[name]) for name in self.partitions()}
        return {"kind": "store", "store": str(self.address), "partitions": stretches}

    def _reached(self) -> StoreAddress:
        """Where it is reached: a process that writes to another embedded store can't open this one itself."""
        return self.address if self._url is None else owner_address(self.address, self._url)

    def __getstate__(self) -> tuple[StoreAddress, Mapping[str, Stretch], str | None]:
        return self.address, self.stretches, self._url

    def __setstate__(self, state: tuple[StoreAddress, Mapping[str, Stretch], str | None]) -> None:
        self.address, self.stretches, self._url = state
        self._owner = None


def store_stretches(store: Store) -> dict[str, Stretch]:
    """Every source partition that the store has records of, with its offsets.

    Raises:
        UsageError: it has none.
        StoreError: it can't be asked.
    """
    tables = " UNION ALL ".join(
        f"SELECT source_partition, source_offset FROM {table.name}"
        for table in (EVENTS, LATE_EVENTS, DEAD_LETTERS)
    )
    sql = (
        "SELECT source_partition, min(source_offset) AS first, max(source_offset) + 1 AS end "
        f"FROM ({tables}) GROUP BY source_partition SETTINGS final = 0"
    )
    try:
        found = store.query(sql)
    except StoreError as error:
        if error.code == _NO_TABLE:
            raise UsageError(f"{store.address} has no tables of Footfall's") from error
        raise
    stretches = {str(name): (int(first), int(end)) for name, first, end in found.iter_rows()}
    if not stretches:
        raise UsageError(f"{store.address} has no events to read")
    return stretches


def whole_store(address: StoreAddress) -> StoreSource:
    """All that a store has now.

    Raises:
        FootfallError: it isn't there, can't be asked, or is empty.
    """
    source = StoreSource(address, {})
    with source.opened() as store:
        source.stretches = store_stretches(store)
    return source


@dataclass(slots=True)
class _Page:
    """The rows of a page, and in which order they are given: events below `events.height`, dead letters behind."""

    first: int
    events: pl.DataFrame
    dead: pl.DataFrame
    order: np.ndarray[Any, np.dtype[np.int64]]
    offsets: np.ndarray[Any, np.dtype[np.int64]]
    taken: int = 0


class StoreReader(RecordReader):
    """Reads one partition's rows in the order of their offsets. Its positions are (first offset of a page, taken)."""

    def __init__(
        self, address: StoreAddress, partition: str, stretch: Stretch, position: tuple[int, int] | None
    ) -> None:
        self._address = address
        self._partition = partition
        self._next, self._end = stretch
        self._skip = 0
        if position is not None:
            self._next, self._skip = position
        self._page: _Page | None = None
        self._store: Store | None = None

    def read(self, max_records: int) -> StoredBlock | None:
        """The next records; None at the end of the stretch.

        Raises:
            SourceError: the store can't be asked, or has been away for a minute.
        """
        if max_records < 1:
            raise ValueError(f"max_records must be at least 1, not {max_records}")
        while self._page is None:
            if self._next >= self._end:
                return None
            self._page = self._patiently_read_page()
        return self._block(self._page, max_records)

    def position(self) -> tuple[int, int]:
        """Where the next `read` goes on."""
        return (self._next, self._skip) if self._page is None else (self._page.first, self._page.taken)

    def progress(self) -> tuple[int, None]:
        """Nothing: what the rows take in the store isn't known."""
        return 0, None

    def lag(self) -> int:
        """How many offsets there are to the end of the stretch."""
        page = self._page
        at = self._next if page is None else int(page.offsets[page.taken])
        return max(self._end - at, 0)

    def close(self) -> None:
        """Leave the store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _patiently_read_page(self) -> _Page | None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self._read_page()
            except StoreError as error:
                away = isinstance(error, StoreUnavailableError) and time.monotonic() < until
                if not away:
                    raise SourceError(str(error), source=self._partition) from error
            time.sleep(_PAUSE_SECONDS)

    def _read_page(self) -> _Page | None:
        if self._store is None:
            self._store = open_store(self._address, create=False)
        first = self._next
        end = min(first + PAGE_OFFSETS, self._end)
        place = {"partition": self._partition, "first": first, "end": end}
        columns = ", ".join(_NAMES)
        events = " UNION ALL ".join(
            f"SELECT {columns} FROM {table.name} WHERE {_WHERE}" for table in (EVENTS, LATE_EVENTS)
        )
        sql = f"SELECT {columns} FROM ({events}) ORDER BY {_SAME}, event_time LIMIT 1 BY {_SAME} SETTINGS final = 0"
        found = _cast(self._store.query(sql, place), SCHEMA)
        columns = ", ".join(DEAD_LETTERS.schema.names())
        sql = (
            f"SELECT {columns} FROM {DEAD_LETTERS.name} WHERE {_WHERE} "
            "ORDER BY source_offset, digest LIMIT 1 BY source_offset, digest SETTINGS final = 0"
        )
        dead = _cast(self._store.query(sql, place), DEAD_LETTERS.schema)
        offsets = np.concatenate([found["source_offset"].to_numpy(), dead["source_offset"].to_numpy()])
        if not offsets.size:
            self._next, self._skip = self._first_behind(end), 0
            return None
        order = np.argsort(offsets, kind="stable")
        page = _Page(first, found, dead, order, offsets[order], self._skip)
        self._next, self._skip = end, 0
        return page if page.taken < order.size else None

    def _first_behind(self, offset: int) -> int:
        """The first offset from that one on of which there is a row; the end of the stretch, if there is none."""
        if self._store is None or offset >= self._end:
            return self._end
        tables = " UNION ALL ".join(
            f"SELECT min(source_offset) AS first, count() AS rows FROM {table.name} WHERE {_WHERE}"
            for table in (EVENTS, LATE_EVENTS, DEAD_LETTERS)
        )
        place = {"partition": self._partition, "first": offset, "end": self._end}
        found = self._store.query(f"SELECT first FROM ({tables}) WHERE rows > 0 SETTINGS final = 0", place)
        return int(found["first"].min() or 0) if found.height else self._end  # type: ignore[arg-type] # an Int64 column

    def _block(self, page: _Page, max_records: int) -> StoredBlock:
        until = min(page.taken + max_records, page.order.size)
        chosen = page.order[page.taken : until]
        offsets = page.offsets[page.taken : until]
        count = page.events.height
        block = StoredBlock(
            partition=self._partition,
            first_offset=int(offsets[0]),
            count=int(chosen.size),
            data=b"",
            source=str(self._address),
            first_line=0,
            offsets=offsets,
            format=STORED,
            events=page.events[chosen[chosen < count]],
            dead=page.dead[chosen[chosen >= count] - count],
        )
        page.taken = until
        if until == page.order.size:
            self._page = None
        return block


def _cast(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
