"""Messages that wait to be posted, in a small database on disk: SQLite's, one file to a worker.

A spool (`footfall.spool`) sends rows in their order and many at a time; here each message has a fate and a time of its
own. What became of a message is remembered until it expires, so that a message that a restart makes again isn't posted
again. `commit` makes safe what was changed before; a process that is killed loses what was changed since.

Times are Unix times in ms.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from footfall.errors import SinkError
from footfall.spool_folder import SpoolFolder

FILE = "webhook.sqlite"
# A message that is due later than any pause allows has met a clock that was set back.
_FARTHEST_MS = 2 * 3_600_000
_KEPT_MS = 3_600_000
_FULL_PAUSE_SECONDS = 0.2
_ADOPTED_AT_ONCE = 1_000

_WAITING, _CLOSED, _DEAD = 0, 1, 2
_VERSION = 2
# `first` marks the message of each visitor that has waited longest, the only one that may be posted: what is due is
# found without a look at what isn't, however much that is. `expires` of a closed one says how long it is remembered.
_TABLES = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY,
    trigger_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    visitor_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    expires INTEGER NOT NULL,
    body BLOB NOT NULL,
    queued INTEGER NOT NULL,
    first INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    since INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    UNIQUE (trigger_id, revision)
);
CREATE INDEX IF NOT EXISTS waiting ON messages (number) WHERE state = 0;
CREATE INDEX IF NOT EXISTS of_visitor ON messages (visitor_id, number) WHERE state = 0;
CREATE INDEX IF NOT EXISTS ready ON messages (due, number) WHERE state = 0 AND first = 1;
CREATE INDEX IF NOT EXISTS closed ON messages (expires) WHERE state = 1;
CREATE INDEX IF NOT EXISTS dead ON messages (number) WHERE state = 2;
"""
_FIRST = "NOT EXISTS (SELECT 1 FROM messages AS before WHERE before.state = 0 AND before.visitor_id = ?3)"
_ADD = (
    "INSERT INTO messages (trigger_id, revision, visitor_id, rule, expires, body, queued, first) "
    f"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, {_FIRST}) ON CONFLICT DO NOTHING"
)
_ADOPT = (
    "INSERT INTO messages (trigger_id, revision, visitor_id, rule, expires, body, queued, state, tries, since, due, "
    f"reason, detail, first) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, {_FIRST}) "
    "ON CONFLICT DO NOTHING"
)
_NEXT = """
UPDATE messages SET first = 1 WHERE number = (
    SELECT number FROM messages WHERE state = 0 AND visitor_id = ? ORDER BY number LIMIT 1
)
"""
# What was never tried, what is to be tried again, and what met a clock that was set back; of them all the oldest.
_DUE = " UNION ALL ".join(
    f"SELECT * FROM (SELECT * FROM messages WHERE state = 0 AND first = 1 AND {due} ORDER BY due, number LIMIT ?3)"
    for due in ("due = 0", "due > 0 AND due <= ?1", "due > ?2")
)
_DUE = (
    "SELECT number, trigger_id, revision, visitor_id, rule, expires, body, tries, since "
    f"FROM ({_DUE}) ORDER BY number LIMIT ?3"
)

log = logging.getLogger(__name__)
T = TypeVar("T")


class NewMessage(NamedTuple):
    """A message to be posted: `body` is what is posted but for `sent_at`; after `expires` it isn't any more."""

    trigger_id: str
    revision: int
    visitor_id: str
    rule: str
    expires: int
    body: bytes


class WaitingMessage(NamedTuple):
    """A message that is due: `tries` have failed, the first of them at `since` (0: none has)."""

    number: int
    trigger_id: str
    revision: int
    visitor_id: str
    rule: str
    expires: int
    body: bytes
    tries: int
    since: int


class DeadMessage(NamedTuple):
    """A message that has been given up, and why."""

    number: int
    body: bytes
    reason: str
    detail: str


class WebhookQueue:
    """The queue in a folder, which is locked. Any thread may call anything; calls exclude each other.

    Attributes:
        waiting: how many messages wait.
        waiting_bytes: the size of their bodies.
    """

    def __init__(self, folder: Path, *, wait: float = 10.0, patience: float = 600.0) -> None:
        """Open the queue, making it if need be.

        Args:
            folder: where the file is.
            wait: seconds to wait for a process that has the folder and may be about to end.
            patience: seconds for which `add` and `commit` wait while the disk is full.

        Raises:
            SinkError: another process has the folder, it can't be written, or the file is damaged.
        """
        self._path = folder / FILE
        self._patience = patience
        self._lock = threading.Lock()
        self._closed = False
        # What isn't committed yet: a full disk may take the whole transaction back.
        self._added: list[tuple[NewMessage, int]] = []
        self._begun = False
        self._folder = SpoolFolder(folder, wait)
        try:
            with self._told("opened"):
                self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                try:
                    self._prepare()
                except BaseException:
                    self._database.close()
                    raise
        except BaseException:
            self._folder.close()
            raise

    def _prepare(self) -> None:
        version = self._one("PRAGMA user_version")[0]
        if version not in (0, _VERSION):
            raise SinkError(
                f"the webhook's queue {self._path} is of another version ({version}): go on with the version of "
                "Footfall that wrote it until it is empty, or move it away and lose what waits there"
            )
        self._database.executescript(_TABLES)
        self._database.execute(f"PRAGMA user_version = {_VERSION}")
        self._count()

    def _count(self) -> None:
        count = "SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0) FROM messages WHERE state = 0"
        self.waiting, self.waiting_bytes = self._one(count)

    # ---- filling

    def add(self, messages: Sequence[NewMessage], now: int) -> int:
        """Take messages; how many were new. One that is known, whatever became of it, changes nothing.

        Raises:
            SinkError: they can't be written, or the disk stayed full.
        """
        return self._patiently(lambda: self._add(messages, now))

    def _add(self, messages: Sequence[NewMessage], now: int) -> int:
        new = 0
        with self._changing():
            for message in messages:
                if self._database.execute(_ADD, (*message, now)).rowcount > 0:
                    self._added.append((message, now))
                    self.waiting += 1
                    self.waiting_bytes += len(message.body)
                    new += 1
        return new

    def knows(self, message: NewMessage) -> bool:
        """Whether `add` would change nothing, since the message is there or was."""
        with self._lock, self._told("read"):
            if self._closed:
                return False
            known = "SELECT COUNT(*) FROM messages WHERE trigger_id = ? AND revision = ?"
            return bool(self._database.execute(known, (message.trigger_id, message.revision)).fetchone()[0])

    def commit(self, *, patient: bool = False) -> None:
        """Make safe what was changed before. Does nothing where nothing is new.

        Args:
            patient: wait while the disk is full.

        Raises:
            SinkError: it can't be written. What was added isn't lost: try again.
        """
        if patient:
            self._patiently(self._commit)
        else:
            self._commit()

    def _commit(self) -> None:
        with self._lock, self._told("written"):
            if self._closed:
                raise SinkError("the webhook's queue is closed")
            self._end_transaction()

    def _end_transaction(self) -> None:
        if self._begun:
            self._begin()
            self._database.execute("COMMIT")
            self._begun = False
            self._added.clear()

    def adopt(self, folder: Path) -> int:
        """Take over what is in the folder of a worker that doesn't exist any more, and remove it; how much waited.

        Raises:
            SinkError: another process has that folder, or it can't be read.
        """
        other = WebhookQueue(folder, wait=0.0)
        try:
            waited = other.waiting
            for rows in other._everything():
                with self._changing():
                    for row in rows:
                        added = self._database.execute(_ADOPT, row).rowcount > 0
                        if added and row[7] == _WAITING:
                            self.waiting += 1
                            self.waiting_bytes += len(row[5])
            self.commit()
            other._remove()
        finally:
            other.close()
        return waited

    # ---- taking

    def due(self, now: int, most: int, besides: Collection[str]) -> list[WaitingMessage]:
        """Messages that are due, oldest first: of each visitor the first that waits, and none of those in `besides`."""
        with self._lock, self._told("read"):
            if self._closed:
                return []
            found = self._database.execute(_DUE, (now, now + _FARTHEST_MS, most + len(besides)))
            messages = (WaitingMessage._make(row) for row in found.fetchall())
            return [message for message in messages if message.visitor_id not in besides][:most]

    def oldest(self) -> int | None:
        """When the message was queued that has waited longest; None where none waits."""
        with self._lock, self._told("read"):
            if self._closed:
                return None
            row = self._database.execute(
                "SELECT queued FROM messages WHERE state = 0 ORDER BY number LIMIT 1"
            ).fetchone()
            return None if row is None else int(row[0])

    def delivered(self, message: WaitingMessage) -> None:
        """Forget a message's body, and remember that it is done with."""
        with self._changing():
            self._end(message, _CLOSED, "", "")

    def put_off(self, message: WaitingMessage, since: int, due: int) -> None:
        """Note that a try failed; the next one is due then."""
        with self._changing():
            self._database.execute(
                "UPDATE messages SET tries = tries + 1, since = ?, due = ? WHERE number = ? AND state = 0",
                (since, due, message.number),
            )

    def give_up(self, message: WaitingMessage, reason: str, detail: str) -> None:
        """Make a message a dead one, for `dead` to tell."""
        with self._changing():
            self._end(message, _DEAD, reason, detail)

    def dead(self, besides: Collection[int], most: int = 1_000) -> list[DeadMessage]:
        """Messages that were given up and aren't buried, but for those numbers; oldest first."""
        with self._lock, self._told("read"):
            if self._closed:
                return []
            found = self._database.execute(
                "SELECT number, body, reason, detail FROM messages WHERE state = 2 ORDER BY number LIMIT ?",
                (most + len(besides),),
            )
            rows = (DeadMessage._make(row) for row in found.fetchall())
            return [row for row in rows if row.number not in besides][:most]

    def bury(self, numbers: Iterable[int]) -> None:
        """Forget dead messages' bodies: they are kept elsewhere."""
        with self._changing():
            self._database.executemany(
                "UPDATE messages SET state = 1, body = x'' WHERE number = ? AND state = 2",
                [(number,) for number in numbers],
            )

    def tidy(self, now: int) -> None:
        """Forget what has expired and is done with, and give room back to the disk."""
        with self._changing():
            self._database.execute("DELETE FROM messages WHERE state = 1 AND expires < ?", (now - _KEPT_MS,))
            self._end_transaction()
            # As a script, since the module takes but one step of a statement that gives no rows.
            self._database.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        """Free the folder. What was committed stays; what wasn't may be gone. Calling it twice is fine."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with suppress(sqlite3.Error):
                self._database.close()
            self._folder.close()

    # ---- within

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock, self._told("written"):
            if self._closed:
                raise SinkError("the webhook's queue is closed")
            self._begin()
            yield

    def _patiently(self, change: Callable[[], T]) -> T:
        """Make a change, for which a full disk is waited for."""
        until: float | None = None
        while True:
            try:
                return change()
            except SinkError as error:
                cause = error.__cause__
                if not isinstance(cause, sqlite3.Error) or cause.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                if until is None:
                    until = time.monotonic() + self._patience
                    log.warning("%s", error)
                if time.monotonic() >= until:
                    raise
            time.sleep(_FULL_PAUSE_SECONDS)

    def _begin(self) -> None:
        """Begin a transaction if none is open; what a full disk took back is added again."""
        if self._database.in_transaction:
            return
        self._database.execute("BEGIN IMMEDIATE")
        if self._begun:
            for message, queued in self._added:
                self._database.execute(_ADD, (*message, queued))
            self._count()
        self._begun = True

    def _end(self, message: WaitingMessage, state: int, reason: str, detail: str) -> None:
        body = message.body if state == _DEAD else b""
        changed = self._database.execute(
            "UPDATE messages SET state = ?, body = ?, reason = ?, detail = ? WHERE number = ? AND state = 0",
            (state, body, reason, detail, message.number),
        )
        if changed.rowcount > 0:
            self._database.execute(_NEXT, (message.visitor_id,))
            self.waiting -= 1
            self.waiting_bytes -= len(message.body)

    def _everything(self) -> Iterator[list[tuple[Any, ...]]]:
        last = -1
        while True:
            rows = self._database.execute(
                "SELECT trigger_id, revision, visitor_id, rule, expires, body, queued, state, tries, since, due, "
                "reason, detail, number FROM messages WHERE number > ? ORDER BY number LIMIT ?",
                (last, _ADOPTED_AT_ONCE),
            ).fetchall()
            if not rows:
                return
            last = rows[-1][-1]
            yield [row[:-1] for row in rows]

    def _remove(self) -> None:
        self._database.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(FILE + suffix).unlink(missing_ok=True)
        try:
            self._folder.remove()
        except OSError as error:
            log.debug("%s isn't removed: %s", self._path.parent, error)

    def _one(self, query: str) -> tuple[int, ...]:
        row: tuple[int, ...] = self._database.execute(query).fetchone()
        return row

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise SinkError(
                f"the webhook's queue {self._path} can't be {doing}: {error}; check the disk and the rights there"
            ) from error
        except sqlite3.Error as error:
            raise SinkError(
                f"the webhook's queue {self._path} can't be {doing}: {error}; if the file is damaged, move it away: "
                "what waited in it isn't posted then, and is still in the triggers' table and topic"
            ) from error
