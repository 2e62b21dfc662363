"""The durable part of a shard's profiles: files that only grow, beside the recovery store.

    FOLDER/<shard>/00000007.profiles     frames, one behind the other

At a snapshot the profiles that changed since the last one are appended as a frame and made durable; the snapshot itself
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
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from footfall.clock import NEVER
from footfall.errors import StateError
from footfall.profile_table import PROFILE, Changes, ProfileTable
from footfall.profiles import HORIZON, Profiles

_log = logging.getLogger(__name__)

KEPT_SNAPSHOTS = 8
"""A file that the last so many snapshots of its shard don't refer to is deleted."""

COMPACTION_SLACK = 4 << 20
"""How many bytes beyond twice what the profiles take the files may have before they are compacted."""

FORMAT_VERSION = 1

_SUFFIX = ".profiles"
_HEADER = struct.Struct("<4sHHIIQI")
_HEAD_SIZE = _HEADER.size + 4
_MAGIC = b"FFPR"
_SLICE = 8_192
_WRITE_AHEAD = 16_384
_MOST_FILES = 24

# One thread for all shards of a process, so that one compaction runs at a time; it is waited for at the process's end.
_background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="profile-log")


@dataclass(frozen=True, slots=True)
class LogReference:
    """What a snapshot says of the profiles: the files that hold them, and how much of each.

    Attributes:
        parts: names and lengths in bytes, in the order in which they are to be read.
        settled: the event time up to which the profiles had settled.
    """

    parts: tuple[tuple[str, int], ...] = ()
    settled: int = NEVER

    @property
    def size(self) -> int:
        """How many bytes it refers to."""
        return sum(length for _, length in self.parts)


def _padding(size: int) -> bytes:
    return bytes(-size % 8)


def _frame(changes: Changes) -> bytes:
    """Header, places, records and texts; every part begins at a multiple of 8 bytes."""
    slots, records, texts = (part.tobytes() for part in changes)
    payload = b"".join((slots, _padding(len(slots)), records, texts, _padding(len(texts))))
    head = _HEADER.pack(
        _MAGIC, FORMAT_VERSION, PROFILE.itemsize, changes.slots.size, zlib.crc32(payload), len(texts), 0
    )
    return head + zlib.crc32(head).to_bytes(4, "little") + payload


def _append(descriptor: int, at: int, data: bytes) -> int:
    """Write the data from that length on; the length that the file has then."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, at)
        at += written
        rest = rest[written:]
    return at


def _changes_in(path: Path, length: int) -> Iterator[Changes]:
    """The frames in a file's first `length` bytes.

    Raises:
        StateError: they aren't there, or are damaged.
    """
    try:
        with path.open("rb", buffering=0) as file:
            at = 0
            while at < length:
                head = file.read(_HEAD_SIZE)
                count, text_size, checksum = _read_header(head, path, at)
                records_at = 4 * count + -(4 * count) % 8
                texts_at = records_at + PROFILE.itemsize * count
                size = texts_at + text_size + -text_size % 8
                data = np.fromfile(file, np.uint8, size)
                at += _HEAD_SIZE + size
                if at > length or data.size < size or zlib.crc32(data.tobytes()) != checksum:
                    raise _damaged(path, f"the frame that ends at byte {at} isn't whole")
                yield Changes(
                    data[: 4 * count].view(np.int32),
                    data[records_at:texts_at].view(PROFILE),
                    data[texts_at : texts_at + text_size],
                )
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error


def _read_header(head: bytes, path: Path, at: int) -> tuple[int, int, int]:
    """How many records and how many bytes of texts follow, and their checksum."""
    if len(head) < _HEAD_SIZE or zlib.crc32(head[:-4]) != int.from_bytes(head[-4:], "little"):
        raise _damaged(path, f"no frame begins at byte {at}")
    magic, version, record_size, count, checksum, text_size, _ = _HEADER.unpack(head[:-4])
    if magic != _MAGIC or version != FORMAT_VERSION or record_size != PROFILE.itemsize:
        raise StateError(
            f"the profiles in {path} have format {version}, this Footfall reads {FORMAT_VERSION}: finish the run "
            "with the version that began it, or start anew with an empty --state folder"
        )
    return count, text_size, checksum


def _damaged(path: Path, what: str) -> StateError:
    return StateError(
        f"the profiles in {path} can't be restored: {what}. Put the file back from a copy of the state folder, or "
        "start anew with an empty --state folder"
    )


def _read(folder: Path, reference: LogReference) -> ProfileTable:
    table = ProfileTable()
    for name, length in reference.parts:
        for changes in _changes_in(folder / name, length):
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

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.stem) for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal()]
        number = max(numbers, default=0)
        while True:
            number += 1
            self.name = f"{number:08d}{_SUFFIX}"
            try:
                self.descriptor = os.open(folder / self.name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
                break
            except FileExistsError:
                continue
        self.length = 0
        self._synced = 0
        _sync_folder(folder)

    def append(self, changes: Changes) -> None:
        """Add a frame behind what is known to be there."""
        self.length = _append(self.descriptor, self.length, _frame(changes))

    def sync(self) -> None:
        """Make durable what was appended, if anything was since the last time."""
        if self._synced < self.length:
            os.fdatasync(self.descriptor)
            self._synced = self.length

    def close(self) -> None:
        os.close(self.descriptor)


def _compacted(folder: Path, reference: LogReference) -> tuple[str, int]:
    """Write the state that a reference names to a file of its own: its name and length."""
    table = _read(folder, reference)
    file = _NewFile(folder)
    try:
        for start in range(0, table.high_water, _SLICE):
            file.append(table.whole(start, start + _SLICE))
            # Bit by bit, or a snapshot that is made durable meanwhile would wait for all of it.
            file.sync()
    except BaseException:
        (folder / file.name).unlink(missing_ok=True)
        raise
    finally:
        file.close()
    return file.name, file.length


@dataclass(slots=True)
class ProfileLog:
    """One shard's files: `snapshot` appends what changed, `restore` reads what a snapshot refers to.

    Attributes:
        folder: the shard's own folder. All workers that may run the shard see the same one.
    """

    folder: Path
    _parts: list[tuple[str, int]] = field(default_factory=list)
    _file: _NewFile | None = None
    _snapshots: int = 0
    _seen: dict[str, int] | None = None
    _compaction: "Future[tuple[str, int]] | None" = None

    @classmethod
    def of_shard(cls, folder: Path, shard: str) -> "ProfileLog":
        """The log of the shard with that name, in a folder that has those of all shards."""
        return cls(folder / shard)

    def restore(self, reference: LogReference, horizon: int = HORIZON) -> Profiles:
        """The profiles as they were when the snapshot was taken that holds this reference.

        Raises:
            StateError: a file is missing, damaged or of another version.
        """
        profiles = Profiles(horizon, _read(self.folder, reference), reference.settled)
        self._parts = list(reference.parts)
        return profiles

    def write_ahead(self, profiles: Profiles) -> None:
        """Append what has changed where that is a lot, so that a snapshot never has much to do; call after rounds."""
        if profiles.table.changes_pending < _WRITE_AHEAD:
            return
        file = self._append(profiles)
        _background.submit(_sync_file, self.folder / file.name)

    def snapshot(self, profiles: Profiles) -> LogReference:
        """Make the profiles durable; what the shard's snapshot has to hold of them.

        Raises:
            StateError: the folder can't be written. Nothing is lost; the last snapshot stands.
        """
        self._snapshots += 1
        self._adopt_compaction()
        try:
            if profiles.table.changes_pending:
                self._append(profiles)
            if self._file is not None:
                self._file.sync()
        except OSError as error:
            raise self._unwritable(error) from error
        reference = LogReference(self._all_parts(), profiles.settled)
        self._forget_old_files(reference)
        self._compact_if_due(reference, profiles.table)
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
            f"the profiles can't be written to {self.folder}: {error.strerror}; make room there, or give the folder "
            "back, and start again: the run goes on from its last snapshot"
        )

    def _append(self, profiles: Profiles) -> _NewFile:
        try:
            if self._file is None:
                self._file = _NewFile(self.folder)
            self._file.append(profiles.table.changes())
        except OSError as error:
            raise self._unwritable(error) from error
        profiles.table.forget_changes()
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

    def _compact_if_due(self, reference: LogReference, table: ProfileTable) -> None:
        live = table.live * (PROFILE.itemsize + 4) + table.live_text_bytes
        if self._compaction is not None or (
            reference.size <= 2 * live + COMPACTION_SLACK and len(reference.parts) <= _MOST_FILES
        ):
            return
        self._roll()
        self._compaction = _background.submit(_compacted, self.folder, reference)

    def _adopt_compaction(self) -> None:
        if self._compaction is None or not self._compaction.done():
            return
        error = self._compaction.exception()
        if error is None:
            # Whatever was written meanwhile is in the file that was begun with the compaction.
            self._parts = [self._compaction.result()]
        else:
            _log.warning(
                "the profiles in %s can't be compacted, and grow until they can: %s", self.folder, error
            )
        self._compaction = None

    def _forget_old_files(self, reference: LogReference) -> None:
        """Delete the files that none of the last snapshots refers to, those of runs that ended included."""
        if self._seen is None:
            found = self.folder.glob(f"*{_SUFFIX}")
            self._seen = {path.name: self._snapshots for path in found}
        for name, _ in reference.parts:
            self._seen[name] = self._snapshots
        old = [name for name, last in self._seen.items() if last <= self._snapshots - KEPT_SNAPSHOTS]
        if old:
            for name in old:
                del self._seen[name]
            _background.submit(_delete, [self.folder / name for name in old])
