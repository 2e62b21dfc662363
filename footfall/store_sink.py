"""Rows into ClickHouse: a spool per table, and one thread that sends them in inserts of a decent size.

The stream waits only when the spool is full. A row that is sent twice replaces itself, so a sender that
doesn't know whether an insert went through sends it again.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from footfall.errors import FootfallError, SinkError, StoreBusyError, StoreError, StoreUnavailableError
from footfall.sink import Sink, fitting
from footfall.store import Store, StoreAddress, open_store
from footfall.tables import Table

SPOOL_BYTES = 64 << 20
INSERT_ROWS = 100_000
# One insert holds its rows a few times over (Arrow, the engine's blocks), so it isn't let grow with the
# spool.
_MOST_INSERT_ROWS = 500_000
_MOST_AGE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0
_CLOSE_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Spooled:
    part: str
    frame: pl.DataFrame
    size: int


@dataclass(slots=True)
class _TableSpool:
    table: Table
    waiting: deque[_Spooled] = field(default_factory=deque)
    rows: int = 0
    since: float = 0.0


class StoreSink(Sink):
    """Sends rows to a store, embedded or not, which it opens and migrates at the first part.

    Args:
        address: the store.
        spool_bytes: how much may wait in memory before `write` blocks.
        patience: seconds for which failures that may pass (a server that is away, busy or restarting) are
            tried again before they end the run. Meanwhile rows wait in the spool.
        wait_for_owner: seconds to wait for the embedded folder when another process has it.
        report: gets a line when sending fails and when it works again; None logs a warning. It must pickle.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        spool_bytes: int = SPOOL_BYTES,
        patience: float = 600.0,
        wait_for_owner: float = 30.0,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._address = address
        self._spool_bytes = spool_bytes
        self._patience = patience
        self._wait_for_owner = wait_for_owner
        self._report = report
        self._begin()

    def __getstate__(self) -> dict[str, Any]:
        if self._thread is not None:
            raise SinkError("a sink that is open can't be pickled")
        names = ("_address", "_spool_bytes", "_patience", "_wait_for_owner", "_report")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._begin()

    def _begin(self) -> None:
        self._store: Store | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._tables: dict[str, _TableSpool] = {}
        self._bytes = 0
        self._pending: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._hurry = False
        self._failure: FootfallError | None = None
        self._ending = threading.Event()

    def open_part(self, part: str, resume: object | None) -> None:
        """Open the store, if no part did; rows that are written again replace themselves."""
        if self._ending.is_set():
            raise SinkError("the sink is closed")
        if self._thread is None:
            self._store = open_store(self._address, wait_for_owner=self._wait_for_owner)
            self._store.migrate()
            self._thread = threading.Thread(target=self._send_all, name="store-sink", daemon=True)
            self._thread.start()
        with self._changed:
            self._pending[part] = 0
            self._sent[part] = resume if isinstance(resume, int) else 0

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        """Put rows into the spool; blocks while it is full."""
        if part not in self._pending:
            raise SinkError(f"part {part!r} isn't open", table=table.name)
        if frame.is_empty():
            return
        frame = fitting(table, frame)
        size = int(frame.estimated_size())
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._failure is not None or not self._bytes or self._bytes + size <= self._spool_bytes
                )
            )
            self._raise_failure()
            spool = self._tables.setdefault(table.name, _TableSpool(table))
            if not spool.waiting:
                spool.since = time.monotonic()
            spool.waiting.append(_Spooled(part, frame, size))
            spool.rows += frame.height
            self._bytes += size
            self._pending[part] += frame.height
            self._changed.notify_all()

    def flush(self, part: str) -> int:
        """Wait until the part's rows are in the store; the number of rows that the part has sent in all."""
        if part not in self._pending:
            raise SinkError(f"part {part!r} isn't open")
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._failure is not None or not self._pending[part])
            self._raise_failure()
            return self._sent[part]

    def close(self) -> None:
        """Stop sending and free the store; an insert under way has some seconds to end."""
        self._ending.set()
        with self._changed:
            self._failure = self._failure or SinkError("the sink is closed")
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)
            if self._thread.is_alive():
                # The insert holds the client: freeing it would wait for it.
                return
        self._free()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _free(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except (FootfallError, OSError):
                log.debug("closing the store failed", exc_info=True)

    # ---- the sending thread

    def _send_all(self) -> None:
        while True:
            taken = self._next()
            if taken is None:
                return
            table, batch = taken
            try:
                self._insert(table, pl.concat([one.frame for one in batch], rechunk=True))
            except FootfallError as error:
                self._fail(error)
                return
            except Exception as error:  # noqa: BLE001 - a thread that ends silently would hold the stream for ever
                self._fail(StoreError(f"{self._address}: writing to {table.name}: {error!r}"))
                return
            with self._changed:
                for one in batch:
                    self._bytes -= one.size
                    self._pending[one.part] -= one.frame.height
                    self._sent[one.part] += one.frame.height
                self._hurry = self._hurry and any(self._pending.values())
                self._changed.notify_all()

    def _fail(self, error: FootfallError) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _next(self) -> tuple[Table, list[_Spooled]] | None:
        """The next insert's rows, once they are many, old or wanted by a flush; None at the end."""
        with self._changed:
            while not self._ending.is_set():
                now = time.monotonic()
                filled = [spool for spool in self._tables.values() if spool.waiting]
                full = self._bytes * 2 > self._spool_bytes
                due = [
                    spool
                    for spool in filled
                    if self._hurry
                    or full
                    or spool.rows >= INSERT_ROWS
                    or now - spool.since >= _MOST_AGE_SECONDS
                ]
                if due:
                    return self._take(max(due, key=lambda spool: spool.rows))
                oldest = min((spool.since for spool in filled), default=None)
                self._changed.wait(None if oldest is None else max(0.01, oldest + _MOST_AGE_SECONDS - now))
            return None

    def _take(self, spool: _TableSpool) -> tuple[Table, list[_Spooled]]:
        batch: list[_Spooled] = []
        rows = 0
        while spool.waiting and (not batch or rows + spool.waiting[0].frame.height <= _MOST_INSERT_ROWS):
            batch.append(spool.waiting.popleft())
            rows += batch[-1].frame.height
        spool.rows -= rows
        spool.since = time.monotonic()
        return spool.table, batch

    def _insert(self, table: Table, frame: pl.DataFrame) -> None:
        until = 0.0
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                if self._store is None:
                    # The owner of an embedded store may have come back at another address.
                    self._store = open_store(self._address)
                self._store.insert(table, frame)
            except (StoreUnavailableError, StoreBusyError) as error:
                now = time.monotonic()
                if not until:
                    until = now + self._patience
                    self._say(f"{error}; {frame.height} rows wait, and are sent again until it works")
                if now >= until or self._ending.wait(pause):
                    raise
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                self._free()
                continue
            if until:
                self._say(f"{self._address}: sending works again")
            return

    def _say(self, line: str) -> None:
        if self._report is None:
            log.warning("%s", line)
        else:
            self._report(line)
