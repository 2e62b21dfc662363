"""The durable part of a shard's table of records: files that only grow, beside the recovery store.

    FOLDER/<shard>/00000007.profiles     frames, one behind the other
    FOLDER/<shard>/00000003.features     those of another table, which has nothing to do with the first

At a snapshot the records that changed since the last one are appended as a frame and made durable; the snapshot itself
holds a `LogReference`, the names and lengths of the files that together give the state. A file is never written before
the length that a reference names: what lies behind it is the rest of a run that ended, and is ignored. A log that is
restored goes on in a new file, so two processes never write to the same one.

When most of what the files hold is out of date, a thread writes the state that a reference names to a new file,
frame by frame, and the next snapshot refers to that in their place. It reads files alone; the shard goes on meanwhile.

A file is deleted when the last `KEPT_SNAPSHOTS` snapshots of its shard don't refer to it. Recovery goes back to the
newest epoch that all workers have finished, and Bytewax reads no input more than one epoch ahead of that; so it never
goes back by more than two of a shard's own snapshots, however long they take.
"""

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from footfall.clock import NEVER
from footfall.errors import StateError
from footfall.record_frames import RecordFrames
from footfall.record_table import Changes, RecordTable

_log = logging.getLogger(__name__)

KEPT_SNAPSHOTS = 8
"""A file that the last so many snapshots of its shard don't refer to is deleted."""

COMPACTION_SLACK = 4 << 20
"""How many bytes beyond twice what the records take the files may have before they are compacted."""

# In bytes of records.
_SLICE = 1 << 20
_WRITE_AHEAD = 2 << 20
_MOST_FILES = 24

# One thread for all logs of a process, so that one compaction runs at a time; it is waited for at the process's end.
_background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="record-log")
_syncs = ThreadPoolExecutor(max_workers=4, thread_name_prefix="record-sync")

Table = TypeVar("Table", bound=RecordTable)


@dataclass(frozen=True, slots=True)
class RecordKind(Generic[Table]):
    """What a log's records are.

    Attributes:
        name: what they are called, in the plural: the files' suffix, and what errors say. A word, since a log takes all
            files with its suffix for its own.
        make: makes a table without any.
        meaning: what the records' type doesn't say of them, such as how the features are declared whose sums they hold.
            Files of another type or meaning are refused.
    """

    name: str
    make: Callable[[], Table]
    meaning: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise StateError(
                f"records of a log can't be called {self.name!r}: give them a name that is one word"
            )

    @property
    def suffix(self) -> str:
        """What the names of the files end with."""
        return f".{self.name}"

    def frames(self) -> RecordFrames:
        """What writes and reads the records."""
        return RecordFrames(self.name, self.make().records.dtype, self.meaning)


@dataclass(frozen=True, slots=True)
class LogReference:
    """What a snapshot says of a table: the files that hold its records, and how much of each.

    Attributes:
        parts: names and lengths in bytes, in the order in which they are to be read.
        settled: the event time (ms) up to which the table's owner had settled.
    """

    parts: tuple[tuple[str, int], ...] = ()
    settled: int = NEVER

    @property
    def size(self) -> int:
        """How many bytes it refers to."""
        return sum(length for _, length in self.parts)


def _append(descriptor: int, at: int, data: bytes) -> int:
    """Write the data from that length on; the length that the file has then."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, at)
        at += written
        rest = rest[written:]
    return at


def _read(folder: Path, kind: RecordKind[Table], reference: LogReference) -> Table:
    table, frames = kind.make(), kind.frames()
    for name, length in reference.parts:
        for changes in frames.changes_in(folder / name, length):
            table.apply(changes)
    table.settle_down()
    return table


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    """Have the system write a file out: opened anew, so that a fault is told to the snapshot's own sync as well."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _delete(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


class _NewFile:
    """A file that this process began, and alone writes to."""

    def __init__(self, folder: Path, kind: RecordKind[Table]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.stem) for path in folder.glob(f"*{kind.suffix}") if path.stem.isdecimal()]
        number = max(numbers, default=0)
        while True:
            number += 1
            self.name = f"{number:08d}{kind.suffix}"
            try:
                self.descriptor = os.open(folder / self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
                break
            except FileExistsError:
                continue
        self.length = 0
        self._frames = kind.frames()
        self._synced = 0
        self._syncing: tuple[int, Future[None]] | None = None
        _sync_folder(folder)

    def append(self, changes: Changes) -> None:
        """Add a frame behind what is known to be there."""
        self.length = _append(self.descriptor, self.length, self._frames.frame(changes))

    def begin_sync(self) -> None:
        """Have a thread make durable what was appended; `sync` waits for it."""
        if self._syncing is None and self._synced < self.length:
            self._syncing = self.length, _syncs.submit(os.fdatasync, self.descriptor)

    def sync(self) -> None:
        """Make durable what was appended, if anything was since the last time."""
        if self._syncing is not None:
            (length, synced), self._syncing = self._syncing, None
            synced.result()
            self._synced = length
        if self._synced < self.length:
            os.fdatasync(self.descriptor)
            self._synced = self.length

    def close(self) -> None:
        if self._syncing is not None:
            self._syncing[1].exception()
        os.close(self.descriptor)


def _compacted(folder: Path, kind: RecordKind[Table], reference: LogReference) -> tuple[str, int]:
    """Write the state that a reference names to a file of its own: its name and length."""
    table = _read(folder, kind, reference)
    file = _NewFile(folder, kind)
    at_once = max(1, _SLICE // table.records.itemsize)
    try:
        for start in range(0, table.high_water, at_once):
            file.append(table.whole(start, start + at_once))
            # Bit by bit, or a snapshot that is made durable meanwhile would wait for all of it.
            file.sync()
    except BaseException:
        (folder / file.name).unlink(missing_ok=True)
        raise
    finally:
        file.close()
    return file.name, file.length


class RecordLog(Generic[Table]):
    """One table's files: `snapshot` appends what changed, `restore` reads what a snapshot refers to.

    Logs of several tables of a shard may be in the same folder.

    Attributes:
        folder: the shard's own folder. All workers that may run the shard see the same one.
        kind: what the records are.
    """

    def __init__(self, folder: Path, kind: RecordKind[Table]) -> None:
        self.folder = folder
        self.kind = kind
        self._parts: list[tuple[str, int]] = []
        self._file: _NewFile | None = None
        self._snapshots = 0
        self._seen: dict[str, int] | None = None
        self._compaction: Future[tuple[str, int]] | None = None

    @classmethod
    def of_shard(cls, folder: Path, shard: str, kind: RecordKind[Table]) -> "RecordLog[Table]":
        """The log of the shard with that name, in a folder that has those of all shards."""
        return cls(folder / shard, kind)

    def restore(self, reference: LogReference) -> Table:
        """The table as it was when the snapshot was taken that holds this reference.

        Raises:
            StateError: a file is missing or damaged, or is of another version, type or meaning.
        """
        table = _read(self.folder, self.kind, reference)
        self._parts = list(reference.parts)
        return table

    def write_ahead(self, table: Table) -> None:
        """Append what has changed where that is a lot, so that a snapshot never has much to do; call after rounds.

        Raises:
            StateError: the folder can't be written.
        """
        if table.changes_pending * table.records.itemsize < _WRITE_AHEAD:
            return
        file = self._append(table)
        _background.submit(_sync_file, self.folder / file.name)

    def begin_snapshot(self, table: Table) -> None:
        """Append what changed and begin to make it durable; `snapshot` must follow, and waits for it.

        A shard with several logs begins with all of them first: the disk then makes them durable at the same time,
        in little more than one alone takes. Without it, `snapshot` does all that itself.

        Raises:
            StateError: the folder can't be written.
        """
        if table.changes_pending:
            self._append(table)
        if self._file is not None:
            self._file.begin_sync()

    def snapshot(self, table: Table, settled: int = NEVER) -> LogReference:
        """Make the table durable; what the shard's snapshot has to hold of it.

        Args:
            table: the one that `restore` gave or that this log has had from the beginning.
            settled: what the reference is to say of that (ms).

        Raises:
            StateError: the folder can't be written. Nothing is lost; the last snapshot stands.
        """
        self._snapshots += 1
        self._adopt_compaction()
        try:
            if table.changes_pending:
                self._append(table)
            if self._file is not None:
                self._file.sync()
        except OSError as error:
            raise self._unwritable(error) from error
        reference = LogReference(self._all_parts(), settled)
        self._forget_old_files(reference)
        self._compact_if_due(reference, table)
        return reference

    def close(self) -> None:
        """Let the compaction end, and close the file."""
        if self._compaction is not None:
            if not self._compaction.cancel():
                self._compaction.exception()
            self._compaction = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _unwritable(self, error: OSError) -> StateError:
        return StateError(
            f"the {self.kind.name} can't be written to {self.folder}: {error.strerror}; make room there, or give the "
            "folder back, and start again: the run goes on from its last snapshot"
        )

    def _append(self, table: Table) -> _NewFile:
        try:
            if self._file is None:
                self._file = _NewFile(self.folder, self.kind)
            self._file.append(table.changes())
        except OSError as error:
            raise self._unwritable(error) from error
        table.forget_changes()
        return self._file

    def _all_parts(self) -> tuple[tuple[str, int], ...]:
        last = [] if self._file is None or not self._file.length else [(self._file.name, self._file.length)]
        return (*self._parts, *last)

    def _roll(self) -> None:
        """What comes from now on goes to a new file."""
        self._parts = list(self._all_parts())
        if self._file is not None:
            self._file.close()
            self._file = None

    def _compact_if_due(self, reference: LogReference, table: Table) -> None:
        if self._compaction is not None or (
            reference.size <= 2 * table.live_bytes + COMPACTION_SLACK and len(reference.parts) <= _MOST_FILES
        ):
            return
        self._roll()
        self._compaction = _background.submit(_compacted, self.folder, self.kind, reference)

    def _adopt_compaction(self) -> None:
        if self._compaction is None or not self._compaction.done():
            return
        error = self._compaction.exception()
        if error is None:
            # Whatever was written meanwhile is in the file that was begun with the compaction.
            self._parts = [self._compaction.result()]
        else:
            _log.warning(
                "the %s in %s can't be compacted, and grow until they can: %s",
                self.kind.name,
                self.folder,
                error,
            )
        self._compaction = None

    def _forget_old_files(self, reference: LogReference) -> None:
        """Delete the files that none of the last snapshots refers to, those of runs that ended included."""
        if self._seen is None:
            found = self.folder.glob(f"*{self.kind.suffix}")
            self._seen = {path.name: self._snapshots for path in found}
        for name, _ in reference.parts:
            self._seen[name] = self._snapshots
        old = [name for name, last in self._seen.items() if last <= self._snapshots - KEPT_SNAPSHOTS]
        if old:
            for name in old:
                del self._seen[name]
            _background.submit(_delete, [self.folder / name for name in old])
