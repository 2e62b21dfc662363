"""A spool: rows on disk, between a stream that must not wait and a store that may be away.

Files are appended to one after the other and removed when all rows in them have been sent. Where room gets short, what
still waits in a file that has mostly been sent is written anew, so that rows which the store refuses keep no more room
than they need. Rows are held in memory
until there are enough for a record that compresses well; `sync` writes what is held and makes everything safe on
disk. Only safe rows are handed out, so that no file ever says of rows that a crash took back that they were sent.
"""

import errno
import logging
import threading
import time
from pathlib import Path

import polars as pl

from footfall.backlog import BacklogSize, Batch, Waiting
from footfall.errors import SinkError, SpoolDamageError
from footfall.spool_folder import SpoolFolder
from footfall.spool_rows import Entries, Entry, Held, pieces
from footfall.spool_segment import Segment, numbered_files

SPOOL_LIMIT = 10_000_000_000
# A larger record compresses no better, and takes longer to write at a snapshot.
_HELD_BYTES = 4 << 20
# So many records' rows are held at most, when nobody tends or the disk is slow.
_HELD_MOST = 4
_SYNC_SECONDS = 1.0
_FULL_PAUSE_SECONDS = 0.2
# A file of which no more than this share waits is written anew, once half of all room is used.
_SPARSE = 0.5
_SPARSE_PAUSE_SECONDS = 10.0
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

log = logging.getLogger(__name__)


class Spool:
    """The rows in one folder. One thread appends and syncs, one takes, a third may tend; `close` is for any.

    Args:
        folder: where the files are; it is made.
        limit_bytes: how large the files may grow together before `append` blocks. What is held in memory may come
            on top: half as much, and at most 16 MB.
        patience: seconds for which a full disk is waited for, in `append` and `sync`, before it is an error.
        wait: seconds to wait for a process that has the folder and may be about to end.
        wake: what wakes whoever takes, when it should be soon.

    Attributes:
        busy: is set when `tend` should be called soon: whoever calls it clears it.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int = SPOOL_LIMIT,
        *,
        patience: float = 600.0,
        wait: float = 10.0,
        wake: threading.Event | None = None,
    ) -> None:
        """Lock the folder and find what waits there.

        Raises:
            SpoolDamageError: a file is damaged where it was safe on disk.
            SinkError: another process has the folder, or it can't be written.
        """
        self._limit = limit_bytes
        self._patience = patience
        self._wake = wake or threading.Event()
        self.busy = threading.Event()
        self._held_limit = max(1, min(_HELD_BYTES, limit_bytes // 8))
        self._segment_bytes = min(max(limit_bytes // 128, 1 << 16), 1 << 30)
        # Locked in this order. `writing` is for whoever changes files, `reading` for whoever needs them open.
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._changed = threading.Condition()
        self._segments: list[Segment] = []
        self._active: Segment | None = None
        self._last_number = 0
        self._folder_synced = False
        self._tables: dict[str, Entries] = {}
        self._unsynced: list[Entry] = []
        self._held: dict[str, Held] = {}
        self._held_bytes = 0
        self._rows = 0
        self._record_bytes = 0
        self._blocked = False
        # Files that can't be written anew, since rows in them are damaged, and when one that can is tried again.
        self._staying: set[int] = set()
        self._sparse_at = 0.0
        self._broken: SinkError | None = None
        self._closed = False
        self._folder = SpoolFolder(folder, wait)
        try:
            self._find()
        except BaseException:
            self._free()
            raise

    # ---- appending

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Take rows of a table; they are safe after the next `sync`. Blocks while the spool is full.

        Raises:
            SinkError: they can't be written: the disk stayed full, or has failed.
        """
        if frame.is_empty():
            return
        size = int(frame.estimated_size())
        with self._changed:
            self._check()
            while not self._room():
                self._blocked = True
                self.busy.set()
                self._wake.set()
                self._changed.wait(_FULL_PAUSE_SECONDS)
                self._check()
            self._blocked = False
            self._held.setdefault(table, Held(time.monotonic())).frames.append((frame, size))
            self._held_bytes += size
            self._rows += frame.height
            if self._held_bytes >= self._held_limit:
                self.busy.set()
            write = self._held_bytes >= _HELD_MOST * self._held_limit
        if write:
            with self._writing:
                self._write_held(self._patience)

    def sync(self) -> None:
        """Make all rows safe that were appended before. Does nothing where nothing is new.

        Raises:
            SinkError: they can't be written: the disk stayed full, or has failed.
        """
        with self._writing:
            with self._changed:
                self._check()
            self._write_held(self._patience)
            self._sync_active()

    def tend(self) -> None:
        """Write rows once there are enough for a record, make those safe that have waited for a second, free files.

        It raises nothing, and doesn't wait for whoever appends.
        """
        with self._changed:
            if not self._usable():
                return
            oldest = self._oldest_unsafe()
            sync = oldest is not None and (self._blocked or time.monotonic() - oldest >= _SYNC_SECONDS)
            write = sync or self._held_bytes >= self._held_limit
            sparse = self._sparse()
        if not (write or sparse or self._spent()) or not self._writing.acquire(blocking=False):
            return
        try:
            if not self._usable():
                return
            if write:
                self._write_held(None)
            if sync:
                self._sync_active()
            if self._spent():
                self._retire_active()
            if sparse is not None:
                self._write_anew(sparse)
        except (SinkError, OSError) as error:
            # Whoever appends or syncs next meets the same error and deals with it.
            log.debug("%s: %s", self._folder.path, error)
        finally:
            self._writing.release()

    # ---- taking

    @property
    def pressed(self) -> bool:
        """Whether `append` waits for room, or more than half of it is used."""
        return self._blocked or self.disk_bytes * 2 > self._limit

    @property
    def disk_bytes(self) -> int:
        """The size of all files together, which the limit is about."""
        with self._changed:
            return sum(segment.size for segment in self._segments)

    def waiting(self) -> list[Waiting]:
        """The tables of which rows are safe and not sent."""
        with self._changed:
            return [
                Waiting(table, entries.rows, entries.queue[0].since)
                for table, entries in self._tables.items()
                if entries.queue
            ]

    def take(self, table: str, most_rows: int, most_bytes: int) -> Batch:
        """A table's oldest rows, up to so many (and bytes of memory), but at least one record.

        Raises:
            SpoolDamageError: the oldest record is damaged. It is passed over until the spool is opened again; its
                rows stay where they are, and count as waiting.
            SinkError: the spool is closed.
        """
        with self._changed:
            chosen: list[Entry] = []
            rows = size = 0
            for entry in self._tables[table].queue:
                rows += entry.record.rows
                size += entry.record.frame_bytes
                if chosen and (rows > most_rows or size > most_bytes):
                    break
                chosen.append(entry)
        frames: list[pl.DataFrame] = []
        with self._reading:
            if self._closed:
                raise SinkError("the spool is closed")
            for entry in chosen:
                try:
                    frames.append(entry.segment.rows(entry.record))
                except SpoolDamageError:
                    if frames:
                        break
                    with self._changed:
                        self._tables[table].queue.popleft()
                        self._tables[table].rows -= entry.record.rows
                    raise
        return Batch(table, tuple(frames), sum(frame.height for frame in frames), len(frames))

    def done(self, batch: Batch) -> None:
        """Forget rows that have been sent, and remove the files that hold nothing else."""
        with self._reading:
            if self._closed:
                return
            spent: list[Segment] = []
            with self._changed:
                entries = self._tables[batch.table]
                taken = [entries.queue.popleft() for _ in range(batch.count)]
            # No file access under `changed`, which whoever appends needs; until it is counted, no file goes.
            for entry in taken:
                entry.segment.mark(entry.record)
            with self._changed:
                for segment, record in ((entry.segment, entry.record) for entry in taken):
                    entries.rows -= record.rows
                    self._rows -= record.rows
                    self._record_bytes -= record.end - record.offset
                    segment.count(record, -1)
                    if not segment.unsent and segment is not self._active:
                        self._segments.remove(segment)
                        spent.append(segment)
                self._changed.notify_all()
            for segment in spent:
                segment.remove()

    def size(self) -> BacklogSize:
        """How much waits, in files and in memory."""
        with self._changed:
            ages = [entries.queue[0].since for entries in self._tables.values() if entries.queue]
            unsafe = self._oldest_unsafe()
            if unsafe is not None:
                ages.append(unsafe)
            oldest = max(0.0, time.monotonic() - min(ages)) if ages else 0.0
            # What has been sent and can't go yet takes room as well; a file's worth of it is as it should be.
            taken = max(self._record_bytes, self.disk_bytes - self._segment_bytes)
            return BacklogSize(self._rows, taken + self._held_bytes, oldest)

    def close(self, *, remove: bool = False) -> None:
        """Free the folder. What was synced stays; what wasn't may be gone. Calling it twice is fine.

        Args:
            remove: remove the folder too, if nothing waits in it.
        """
        with self._writing, self._reading, self._changed:
            if self._closed:
                return
            self._closed = True
            if self._active is not None and not self._active.unsent:
                self._retire_active()
            if remove and not self._segments:
                try:
                    self._folder.remove()
                except OSError as error:
                    log.debug("%s isn't removed: %s", self._folder.path, error)
            self._changed.notify_all()
            self._free()

    # ---- within

    def _check(self) -> None:
        if self._closed:
            raise SinkError("the spool is closed")
        if self._broken is not None:
            raise self._broken

    def _usable(self) -> bool:
        return not self._closed and self._broken is None

    def _room(self) -> bool:
        return self.disk_bytes + self._held_bytes < self._limit or not (self._segments or self._held_bytes)

    def _oldest_unsafe(self) -> float | None:
        times = [held.since for held in self._held.values()]
        times += [entry.since for entry in self._unsynced[:1]]
        return min(times, default=None)

    def _spent(self) -> bool:
        """Whether the file that is written to holds nothing to send, and its room is wanted."""
        with self._changed:
            active = self._active
            return (
                active is not None
                and not active.unsent
                and (self._blocked or active.size * 2 > self._segment_bytes)
            )

    def _write_held(self, patience: float | None) -> None:
        """Write what is held in memory; `writing` is locked. Without patience a full disk is an OSError."""
        until: float | None = None
        while True:
            try:
                while (table := self._held_table()) is not None:
                    self._write_table(table)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise self._unwritable(error) from error
                if patience is None:
                    raise
                if until is None:
                    until = time.monotonic() + patience
                    log.warning("the disk of the spool %s is full; rows wait for room", self._folder.path)
                if time.monotonic() >= until:
                    raise SinkError(
                        f"the disk of the spool {self._folder.path} is full, and stayed so for {patience:.0f} s: "
                        "make room there, or give the spool another disk. What was safe in it stays so"
                    ) from error
                self._await_room()
                continue
            if until is not None:
                log.warning("the disk of the spool %s has room again", self._folder.path)
            return

    def _held_table(self) -> str | None:
        with self._changed:
            return next(iter(self._held), None)

    def _write_table(self, table: str) -> None:
        with self._changed:
            held = self._held[table]
            taken = list(held.frames)
        # Some pieces may be written when the disk is full: written again, rows replace themselves.
        for rows in pieces([frame for frame, _ in taken], self._held_limit):
            segment = self._active
            if segment is None or segment.size >= self._segment_bytes:
                segment = self._next_segment()
            record = segment.append(table, rows)
            with self._changed:
                self._unsynced.append(Entry(segment, record, held.since))
                self._record_bytes += record.end - record.offset
                self._rows += record.rows
        with self._changed:
            del held.frames[: len(taken)]
            self._rows -= sum(frame.height for frame, _ in taken)
            self._held_bytes -= sum(size for _, size in taken)
            if held.frames:
                held.since = time.monotonic()
            else:
                del self._held[table]

    def _next_segment(self) -> Segment:
        """Begin a file; the one before is safe from then on, so that only the last can have a torn end."""
        self._sync_active()
        segment = Segment.begin(self._folder.path, self._last_number + 1)
        with self._changed:
            self._last_number = segment.number
            self._folder_synced = False
            before, self._active = self._active, segment
            self._segments.append(segment)
            spent = before is not None and not before.unsent
            if before is not None and spent:
                self._segments.remove(before)
        if before is not None and spent:
            before.remove()
        return segment

    def _sync_active(self) -> None:
        segment = self._active
        if segment is None or segment.synced == segment.size:
            return
        try:
            segment.sync()
            if not self._folder_synced:
                self._folder.sync()
                self._folder_synced = True
        except OSError as error:
            # What a failed fsync leaves on the disk can't be known, nor mended by another one.
            self._broken = self._unwritable(error)
            raise self._broken from error
        with self._changed:
            for entry in self._unsynced:
                self._make_ready(entry)
            self._unsynced.clear()

    def _make_ready(self, entry: Entry) -> None:
        entries = self._tables.setdefault(entry.record.table, Entries())
        entries.queue.append(entry)
        entries.rows += entry.record.rows

    def _await_room(self) -> None:
        # What is written can be sent, and its room freed.
        self._sync_active()
        if self._active is not None and not self._active.unsent:
            self._retire_active()
        else:
            self._wake.set()
            with self._changed:
                self._changed.wait(_FULL_PAUSE_SECONDS)

    def _retire_active(self) -> None:
        with self._changed:
            segment, self._active = self._active, None
            if segment is not None:
                self._segments.remove(segment)
                self._changed.notify_all()
        if segment is not None:
            segment.remove()

    def _find(self) -> None:
        """Take up the files that are there; new rows go to a new one."""
        try:
            paths = numbered_files(self._folder.path)
            self._last_number = paths[-1][0] if paths else 0
            for number, path in paths:
                self._take_up(path, number)
            if paths:
                self._folder.sync()
        except OSError as error:
            raise self._unwritable(error) from error

    def _take_up(self, path: Path, number: int) -> None:
        segment, records = Segment.take_up(path, number, last=number == self._last_number)
        if not segment.unsent:
            segment.remove()
            return
        self._segments.append(segment)
        now = time.monotonic()
        for record in records:
            if not record.sent:
                age = max(0.0, time.time() - record.written / 1000)
                self._make_ready(Entry(segment, record, now - age))
                self._rows += record.rows
                self._record_bytes += record.end - record.offset

    def _sparse(self) -> Segment | None:
        """The oldest file that keeps much room for few rows, where room gets short."""
        if not self.pressed or time.monotonic() < self._sparse_at:
            return None
        return next(
            (
                segment
                for segment in self._segments
                if segment is not self._active
                and segment.number not in self._staying
                and 0 < segment.unsent_bytes <= _SPARSE * segment.size
            ),
            None,
        )

    def _write_anew(self, segment: Segment) -> None:
        """Write what waits in a file to the one that is written to, and remove it; `writing` is locked.

        A crash in between leaves rows in both, which are then sent twice. A batch that is under way stays valid: each
        record keeps its place in the queue.
        """
        moved: list[tuple[Entries, int, Entry]] = []
        with self._reading:
            with self._changed:
                found = [
                    (entries, place, entry)
                    for entries in self._tables.values()
                    for place, entry in enumerate(entries.queue)
                    if entry.segment is segment
                ]
            if self._closed or segment not in self._segments:
                return
            if len(found) != segment.unsent:  # one that is damaged is in no queue
                self._staying.add(segment.number)
                return
            try:
                for entries, place, entry in found:
                    rows = segment.rows(entry.record)
                    target = self._active
                    if target is None or target.size >= self._segment_bytes:
                        target = self._next_segment()
                    record = target.append(entry.record.table, rows)
                    moved.append((entries, place, Entry(target, record, entry.since)))
                self._sync_active()
            except (SinkError, OSError) as error:
                if isinstance(error, SpoolDamageError):
                    self._staying.add(segment.number)
                else:
                    self._sparse_at = time.monotonic() + _SPARSE_PAUSE_SECONDS
                for _, _, entry in moved:
                    entry.segment.mark(entry.record)
                    entry.segment.count(entry.record, -1)
                raise
            with self._changed:
                for entries, place, entry in moved:
                    old = entries.queue[place].record
                    entries.queue[place] = entry
                    self._record_bytes += entry.record.end - entry.record.offset - (old.end - old.offset)
                self._segments.remove(segment)
                self._changed.notify_all()
            segment.remove()

    def _unwritable(self, error: OSError) -> SinkError:
        return SinkError(
            f"the spool {self._folder.path} can't be written: {error.strerror}; check the disk and the rights there, "
            "or name another folder"
        )

    def _free(self) -> None:
        for segment in self._segments:
            segment.close()
        self._segments.clear()
        self._folder.close()
