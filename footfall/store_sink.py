"""Rows into ClickHouse: they wait in memory or on disk, and a thread sends them.

In memory, `flush` waits until they are in the store: the way of a replay, which ends when all is there. With a spool
on disk `flush` only makes them safe there, and the stream goes on while the store is away, for as long as the spool
has room.
"""

import threading
from collections.abc import Callable
from typing import Any

import polars as pl

from footfall.backlog import MemoryBacklog
from footfall.errors import SinkError
from footfall.run_messages import SinkStatus
from footfall.sink import Sink, fitting
from footfall.store import StoreAddress
from footfall.store_sender import INSERT_ROWS, StoreSender, Telling
from footfall.tables import Table
from footfall.worker_spool import SpoolPlace, WorkerSpool

MEMORY_BYTES = 64 << 20
_WAIT_FOR_OWNER_SECONDS = 30.0
_OWNER_SECONDS_PER_TRY = 1.0


class StoreSink(Sink):
    """Sends rows to a store, embedded or not.

    Without `spool` the store is opened and migrated at the first part, failures that may pass are tried again for
    `patience` seconds and others end the run. With it the store may be away at any time, every failure is tried again
    for as long as it takes, and only a full spool makes `write` wait.

    Args:
        address: the store.
        memory_bytes: how much may wait in memory before `write` blocks, where there is no spool.
        patience: seconds for which a store that is away, busy or restarting (with a spool: a full disk under it) is
            waited for before the run ends.
        report: gets a line when sending fails and when it works again; None logs a warning, or an error where people
            must act. It must pickle if the sink is to.
        spool: where rows wait on disk; None for memory.
        tell: gets how the sink stands, at most once a second, from any thread. It must pickle if the sink is to.
        worker: the number of this worker, for `tell`; with a spool it is the spool's.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        memory_bytes: int = MEMORY_BYTES,
        patience: float = 600.0,
        report: Callable[[str], None] | None = None,
        spool: SpoolPlace | None = None,
        tell: Callable[[SinkStatus], None] | None = None,
        worker: int = 0,
    ) -> None:
        self._address = address
        self._memory_bytes = memory_bytes
        self._patience = patience
        self._place = spool
        self._telling = Telling(report, tell, worker if spool is None else spool.worker)
        self._begin()

    def __getstate__(self) -> dict[str, Any]:
        if self._sender is not None:
            raise SinkError("a sink that is open can't be pickled")
        names = ("_address", "_memory_bytes", "_patience", "_place", "_telling")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._begin()

    def _begin(self) -> None:
        self._backlog: MemoryBacklog | WorkerSpool | None = None
        self._sender: StoreSender | None = None
        self._handed: dict[str, int] = {}
        self._closed = False

    def open_part(self, part: str, resume: object | None) -> None:
        """Open the spool or the store, if no part did; rows that are written again replace themselves."""
        if self._closed:
            raise SinkError("the sink is closed")
        if self._sender is None:
            self._open()
        self._handed[part] = resume if isinstance(resume, int) else 0

    def _open(self) -> None:
        wake = threading.Event()
        if self._place is None:
            memory = MemoryBacklog(self._memory_bytes, INSERT_ROWS, wake)
            sender = StoreSender(
                self._address,
                memory,
                wake,
                self._telling,
                give_up=memory.fail,
                patience=self._patience,
            )
            sender.open_store(_WAIT_FOR_OWNER_SECONDS)
            self._backlog = memory
        else:
            self._backlog = WorkerSpool(self._place, self._patience, wake)
            sender = StoreSender(
                self._address,
                self._backlog,
                wake,
                self._telling,
                wait_for_owner=_OWNER_SECONDS_PER_TRY,
            )
        self._sender = sender
        sender.start()

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        """Let rows wait to be sent; blocks while there is no room for more."""
        if self._closed or part not in self._handed or self._backlog is None or self._sender is None:
            raise SinkError(f"part {part!r} isn't open", table=table.name)
        if frame.is_empty():
            return
        frame = fitting(table, frame)
        self._sender.tables[table.name] = table
        self._backlog.append(table.name, frame)
        self._handed[part] += frame.height
        self._sender.tell_status()

    def flush(self, part: str) -> int:
        """Make the rows of all parts durable, in the spool or in the store; how many the part has handed over."""
        if self._closed or part not in self._handed or self._sender is None:
            raise SinkError(f"part {part!r} isn't open")
        if isinstance(self._backlog, WorkerSpool):
            self._backlog.sync()
        else:
            self._sender.drain()
        return self._handed[part]

    def drain(self, timeout: float) -> bool:
        """Make durable what was written and wait until it is in the store; False if it isn't after so many seconds.

        For the end of a run whose rows should be there when it is done. A spool keeps what is left.

        Raises:
            FootfallError: the rows can't be kept.
        """
        if self._sender is None:
            return True
        if isinstance(self._backlog, WorkerSpool):
            self._backlog.sync()
        return self._sender.drain(timeout)

    def close(self) -> None:
        """Stop sending and free the store; an insert under way has some seconds to end."""
        if self._closed:
            return
        self._closed = True
        if self._sender is not None:
            self._sender.close()
            self._sender.tell_status(now=True)
        if isinstance(self._backlog, WorkerSpool):
            self._backlog.close()
