"""The thread that sends waiting rows to a store, in inserts of a decent size, and tries again what fails.

A row that is sent twice replaces itself, so a sender that doesn't know whether an insert went through sends it again.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from footfall.backlog import Backlog, Batch
from footfall.errors import (
    FootfallError,
    SinkError,
    SpoolDamageError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
)
from footfall.run_messages import SinkStatus
from footfall.sink import fitting
from footfall.store import Store, StoreAddress, open_store
from footfall.store_http import ping
from footfall.store_lock import read_holder
from footfall.tables import TABLE_BY_NAME, Table

INSERT_ROWS = 100_000
SINK_NAME = "store"
# One insert holds its rows a few times over (Arrow, the engine's blocks), so it isn't let grow with the backlog.
_MOST_INSERT_ROWS = 500_000
_MOST_INSERT_BYTES = 256 << 20
# What a smaller insert may not meet: a query that takes too long, a socket that times out, memory that runs out.
_TOO_LARGE = frozenset({159, 209, 241})
_MOST_AGE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0
_FIRST_REFUSED_PAUSE_SECONDS = 5.0
_LONGEST_REFUSED_PAUSE_SECONDS = 60.0
_REPEAT_SECONDS = 60.0
_POLL_SECONDS = 0.1
_CLOSE_SECONDS = 5.0

log = logging.getLogger(__name__)
_chance = random.SystemRandom()


@dataclass(slots=True)
class _Trouble:
    """Why sending, or sending one table, pauses.

    Attributes:
        since: when it began.
        until: when it is tried again; monotonic seconds, all three.
        said: when it was told last.
        pause: how long the pause is by now, without jitter.
    """

    since: float
    until: float = 0.0
    said: float = float("-inf")
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Telling:
    """How a sender tells how it gets on.

    Attributes:
        report: gets a line when sending fails, and when it works again; None logs a warning, or an error where
            people must act.
        tell: gets a status at most once a second; None tells nobody.
        worker: the worker's number, for the status.
    """

    report: Callable[[str], None] | None = None
    tell: Callable[[SinkStatus], None] | None = None
    worker: int = 0


class StoreSender:
    """Sends backlogs to a store from a thread of its own.

    Args:
        address: the store.
        backlog: what to send.
        wake: what the backlog sets when something should be sent soon.
        telling: how to tell how it goes.
        wait_for_owner: seconds that an attempt to open an embedded store waits for a process that has it.
        give_up: takes the error once sending has failed for `patience` seconds, or can't succeed; the thread then
            ends. None: never, every failure is tried again.
        patience: see `give_up`.
    """

    def __init__(
        self,
        address: StoreAddress,
        backlog: Backlog,
        wake: threading.Event,
        telling: Telling,
        *,
        wait_for_owner: float = 0.0,
        give_up: Callable[[FootfallError], None] | None = None,
        patience: float = 0.0,
    ) -> None:
        self._address = address
        self._backlog = backlog
        self._wake = wake
        self._telling = telling
        self._wait_for_owner = wait_for_owner
        self._give_up = give_up
        self._patience = patience
        self.tables: dict[str, Table] = dict(TABLE_BY_NAME)
        self._store: Store | None = None
        self._served = False
        self._ending = threading.Event()
        self._progress = threading.Condition()
        self._hurry = False
        self._failure: FootfallError | None = None
        self._away: _Trouble | None = None
        self._refused: dict[str, _Trouble] = {}
        # Table -> rows in one insert at most, where that is fewer than everywhere.
        self._most_rows: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._errors = 0
        self._told = 0.0
        self._tell_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="store-sender", daemon=True)

    def open_store(self, wait_for_owner: float) -> None:
        """Open and migrate the store now, in the caller's thread; only before `start`.

        Raises:
            StoreError: it can't be opened.
        """
        self._store = _opened(self._address, wait_for_owner)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def drain(self, timeout: float | None = None) -> bool:
        """Send everything at once, and wait until it is in the store; False if it isn't after `timeout` seconds.

        Raises:
            FootfallError: the sender has given up.
        """
        with self._progress:
            self._hurry = True
            self._wake.set()
            self._progress.wait_for(
                lambda: self._failure is not None or not self._backlog.size().rows, timeout
            )
            if self._failure is not None:
                raise self._failure
            self._hurry = False
            return not self._backlog.size().rows

    def close(self) -> bool:
        """Stop, and free the store; an insert under way has some seconds to end. Whether the thread has ended."""
        with self._progress:
            self._failure = self._failure or SinkError("the sink is closed")
            self._progress.notify_all()
        self._ending.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)
        if self._thread.is_alive():
            # The insert holds the client: freeing it would wait for it.
            return False
        self._free()
        return True

    def tell_status(self, *, now: bool = False) -> None:
        """Tell how things stand, unless that was done within the last second and needn't be `now`."""
        tell = self._telling.tell
        if tell is None:
            return
        with self._tell_lock:
            moment = time.monotonic()
            if not now and moment - self._told < 1.0:
                return
            self._told = moment
        size = self._backlog.size()
        tell(
            SinkStatus(
                self._telling.worker,
                SINK_NAME,
                dict(self._sent),
                size.rows,
                size.size,
                round(size.oldest_seconds, 3),
                self._errors,
            )
        )

    # ---- the sending thread

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._backlog.tend()
                self.tell_status()
                table = self._due()
                if table is None:
                    self._wake.wait(_POLL_SECONDS)
                    self._wake.clear()
                else:
                    self._send(table)
            except Exception as error:
                # A thread that ends silently would hold the stream for ever.
                fault = StoreError(f"{self._address}: sending: {error!r}")
                if self._give_up is not None:
                    self._fail(fault)
                    return
                log.exception("sending rows to %s", self._address)
                self._ending.wait(_FIRST_REFUSED_PAUSE_SECONDS)
            if self._give_up is not None and self._failure is not None:
                return

    def _due(self) -> str | None:
        """The table to send next: the one that has waited longest of those that are many or old, if any is."""
        now = time.monotonic()
        if self._away is not None and now < self._away.until:
            return None
        free = [
            one
            for one in self._backlog.waiting()
            if one.table not in self._refused or now >= self._refused[one.table].until
        ]
        due = [one for one in free if one.rows >= INSERT_ROWS or now - one.since >= _MOST_AGE_SECONDS]
        if due:
            return min(due, key=lambda one: one.since).table
        if free and (self._hurry or self._backlog.pressed):
            return max(free, key=lambda one: one.rows).table
        return None

    def _send(self, name: str) -> None:
        try:
            most_rows = self._most_rows.get(name, _MOST_INSERT_ROWS)
            batch = self._backlog.take(name, most_rows, _MOST_INSERT_BYTES)
        except SpoolDamageError as error:
            self._errors += 1
            self._say(str(error), act=True)
            return
        except SinkError:
            return  # closed meanwhile
        if self._store is None:
            try:
                # The owner of an embedded store may have come back at another address, a server without its tables.
                self._store = self._reopened()
            except (StoreUnavailableError, StoreBusyError) as error:
                self._put_off(error)
                return
            except Exception as error:  # noqa: BLE001 - drivers raise what they like
                self._refuse(None, self._fault(error, "opening the store"))
                return
        try:
            self._store.insert(*self._rows(batch))
        except (StoreUnavailableError, StoreBusyError) as error:
            if error.code in _TOO_LARGE:
                # The same rows at once would fail for ever where the store has little memory.
                self._most_rows[name] = max(1, batch.rows // 4)
            self._put_off(error)
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse(name, self._fault(error, f"writing to {name}"))
        else:
            self._succeed(batch)

    def _reopened(self) -> Store:
        """The store; one that another process has served so far isn't opened here, where nobody else could use it."""
        if not self._served:
            store = _opened(self._address, self._wait_for_owner)
            self._served = self._give_up is None and self._address.folder is not None and not store.embedded
            return store
        gone = StoreUnavailableError(
            f"{self._address}: nobody serves it any more; start it again with: footfall store serve"
        )
        if self._address.folder is None or not _is_served(self._address.folder):
            raise gone
        store = _opened(self._address, self._wait_for_owner)
        if store.embedded:
            store.close()
            raise gone
        return store

    def _rows(self, batch: Batch) -> tuple[Table, pl.DataFrame]:
        table = self.tables.get(batch.table)
        if table is None:
            raise SinkError(
                "this version has no such table; its rows wait for one that has", table=batch.table
            )
        return table, pl.concat([_fitted(table, frame) for frame in batch.frames], rechunk=True)

    def _succeed(self, batch: Batch) -> None:
        self._backlog.done(batch)
        self._sent[batch.table] = self._sent.get(batch.table, 0) + batch.rows
        if batch.table in self._most_rows:
            self._most_rows[batch.table] *= 2
            if self._most_rows[batch.table] >= _MOST_INSERT_ROWS:
                del self._most_rows[batch.table]
        if self._refused.pop(batch.table, None) is not None:
            self._say(f"{self._address}: writing to {batch.table} works again")
        if self._away is not None:
            self._away = None
            self._say(f"{self._address}: sending works again")
        with self._progress:
            self._progress.notify_all()

    def _put_off(self, error: FootfallError) -> None:
        """Pause all sending after a failure that may pass."""
        now = time.monotonic()
        self._away = trouble = self._away or _Trouble(now)
        if self._give_up is not None and now >= trouble.since + self._patience:
            self._fail(error)
            return
        pause = min(max(trouble.pause * 2, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        self._pause(trouble, pause, error, act=False)

    def _refuse(self, table: str | None, error: FootfallError) -> None:
        """Pause a table (or all, for None) after a failure that only people can mend.

        Its rows were promised to be kept, and nothing is wrong with the stream: so it goes on, the error is told again
        and again, and once a grant, a password or a table is put right, the rows go out. A run that ended here would
        only come back to the same error.
        """
        if self._give_up is not None:
            self._fail(error)
            return
        now = time.monotonic()
        if table is None:
            self._away = trouble = self._away or _Trouble(now)
        else:
            trouble = self._refused.setdefault(table, _Trouble(now))
        pause = min(max(trouble.pause * 2, _FIRST_REFUSED_PAUSE_SECONDS), _LONGEST_REFUSED_PAUSE_SECONDS)
        self._pause(trouble, pause, error, act=True)

    def _pause(self, trouble: _Trouble, pause: float, error: FootfallError, *, act: bool) -> None:
        self._errors += 1
        self._free()
        now = time.monotonic()
        trouble.pause = pause
        trouble.until = now + pause * _chance.uniform(0.5, 1.0)
        if now - trouble.said >= _REPEAT_SECONDS:
            trouble.said = now
            rows = self._backlog.size().rows
            self._say(f"{error}; {rows} rows wait, and are sent again until it works", act=act)

    def _fault(self, error: Exception, doing: str) -> FootfallError:
        if isinstance(error, FootfallError):
            return error
        return StoreError(f"{self._address}: {doing}: {error!r}")

    def _fail(self, error: FootfallError) -> None:
        with self._progress:
            self._failure = self._failure or error
            self._progress.notify_all()
        if self._give_up is not None:
            self._give_up(error)

    def _free(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except (FootfallError, OSError):
                log.debug("closing the store failed", exc_info=True)

    def _say(self, line: str, *, act: bool = False) -> None:
        if self._telling.report is not None:
            self._telling.report(line)
        else:
            log.log(logging.ERROR if act else logging.WARNING, "%s", line)


def _opened(address: StoreAddress, wait_for_owner: float) -> Store:
    store = open_store(address, wait_for_owner=wait_for_owner)
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store


def _is_served(folder: Path) -> bool:
    holder = read_holder(folder)
    if holder is None or holder.url is None or not holder.serving:
        return False
    parts = urlsplit(holder.url)
    return ping(parts.hostname or "", parts.port or 0)


def _fitted(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows that an earlier version may have left, as the table has them now: columns that are new hold nulls."""
    new = [
        pl.lit(None, dtype).alias(name) for name, dtype in table.schema.items() if name not in frame.schema
    ]
    return fitting(table, frame.with_columns(new) if new else frame)
