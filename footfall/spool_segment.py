"""A file of a spool: 8 bytes that say what it is, then records (`footfall.spool_record`).

A crash can cut off or spoil only what no record behind it knew to be safe on disk, and only in the spool's last file:
that is dropped. Any other fault is damage, and an error. But for the marks of what has been sent, nothing in a file
ever changes.
"""

import logging
import os
import re
from pathlib import Path

import polars as pl

from footfall.errors import SpoolDamageError
from footfall.spool_record import MAGIC, Record, mark_sent, pack_record, read_head, read_payload, unpack_rows

FILE_HEAD = b"FFSPOOL1"
SUFFIX = ".spool"
_NAME = re.compile(r"([0-9]{8,})" + re.escape(SUFFIX))

log = logging.getLogger(__name__)


class Segment:
    """One open file. Its methods raise OSError as the system does.

    Attributes:
        number: its place among its spool's files.
        size: where the next record goes; `synced` is up to where it is safe on disk.
        unsent: the number of its records that have not been sent, and `unsent_bytes` their size.
    """

    def __init__(self, path: Path, number: int, descriptor: int) -> None:
        self.path = path
        self.number = number
        self.size = 0
        self.synced = 0
        self.unsent = 0
        self.unsent_bytes = 0
        self._descriptor = descriptor

    @classmethod
    def begin(cls, folder: Path, number: int) -> "Segment":
        """A new file."""
        path = folder / f"{number:08d}{SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        segment = cls(path, number, descriptor)
        try:
            segment._write(FILE_HEAD)
        except OSError:
            segment.close()
            path.unlink(missing_ok=True)
            raise
        segment.size = len(FILE_HEAD)
        return segment

    @classmethod
    def take_up(cls, path: Path, number: int, *, last: bool) -> tuple["Segment", list[Record]]:
        """A file that is there, and its records. Of the spool's last one the end that a crash left is cut off.

        Raises:
            SpoolDamageError: something is wrong that was safe on disk.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        segment = cls(path, number, descriptor)
        try:
            records, end = _scan(descriptor, path, last=last)
            if last:
                if os.fstat(descriptor).st_size > end:
                    log.warning("%s: an unfinished end is cut off at byte %d", path, end)
                    os.ftruncate(descriptor, end)
                os.fsync(descriptor)
        except BaseException:
            segment.close()
            raise
        segment.size = segment.synced = end
        for record in records:
            if not record.sent:
                segment.count(record, 1)
        return segment, records

    def append(self, table: str, rows: pl.DataFrame) -> Record:
        """Write a record behind the others."""
        record, packed = pack_record(table, rows, offset=self.size, synced=self.synced)
        try:
            self._write(packed)
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size = record.end
        self.count(record, 1)
        return record

    def count(self, record: Record, number: int) -> None:
        """Count a record as unsent (1), or as unsent no longer (-1)."""
        self.unsent += number
        self.unsent_bytes += number * (record.end - record.offset)

    def sync(self) -> None:
        """Make all that was appended before safe on disk."""
        size = self.size
        os.fsync(self._descriptor)
        self.synced = size

    def rows(self, record: Record) -> pl.DataFrame:
        """A record's rows.

        Raises:
            SpoolDamageError: they aren't those that were written, or can't be read.
        """
        what = f"{record.rows} rows of {record.table}"
        try:
            payload = read_payload(self._descriptor, record)
        except OSError as error:
            raise _damage(self.path, record.offset, f"{what} can't be read ({error.strerror})") from error
        if payload is None:
            raise _damage(self.path, record.offset, f"{what} are damaged")
        return unpack_rows(payload)

    def mark(self, record: Record) -> None:
        """Note that a record's rows have been sent. A note that is lost sends them once more."""
        try:
            mark_sent(self._descriptor, record)
        except OSError as error:
            log.debug("%s: %s", self.path, error)

    def remove(self) -> None:
        """Close the file and remove it."""
        self.close()
        try:
            self.path.unlink()
        except OSError as error:
            log.warning("%s can't be removed (%s): its rows will be sent again", self.path, error.strerror)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        offset = self.size
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            offset += written
            view = view[written:]


def numbered_files(folder: Path) -> list[tuple[int, Path]]:
    """The files of a folder and their numbers, in order."""
    return sorted(
        (int(match[1]), path)
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name)) is not None
    )


def _scan(descriptor: int, path: Path, *, last: bool) -> tuple[list[Record], int]:
    """A file's records, and where they end. Of the last file the rows are checked too, of others when they are read."""
    size = os.fstat(descriptor).st_size
    begun = os.pread(descriptor, len(FILE_HEAD), 0)
    if begun != FILE_HEAD:
        if last and not _known_safe(descriptor, 0, size):
            return [], 0
        raise _damage(path, 0, "this is no file of a spool, or its beginning is damaged")
    records: list[Record] = []
    offset = len(FILE_HEAD)
    while offset < size:
        record = read_head(descriptor, offset, size)
        if record is None or (last and read_payload(descriptor, record) is None):
            if last and not _known_safe(descriptor, offset, size):
                break
            raise _damage(path, offset, "the file is damaged from here on")
        records.append(record)
        offset = record.end
    return records, offset


def _damage(path: Path, offset: int, what: str) -> SpoolDamageError:
    """The error for damage to what was safe on disk."""
    return SpoolDamageError(
        f"{what}; check the disk, and put back a good copy of the file or move it to another folder: its rows that "
        "were not sent are then missing in the store until they are replayed",
        file=str(path),
        offset=offset,
    )


def _known_safe(descriptor: int, offset: int, size: int) -> bool:
    """Whether a later record knew the file to be safe beyond `offset`."""
    rest = os.pread(descriptor, size - offset, offset)
    found = rest.find(MAGIC, 1)
    while found >= 0:
        record = read_head(descriptor, offset + found, size)
        if record is not None and record.synced > offset:
            return True
        found = rest.find(MAGIC, found + 1)
    return False
