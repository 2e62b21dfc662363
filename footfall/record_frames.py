"""What became of a table's records, as bytes of a file: frames, each checked as a whole.

A frame has a header, the places, the records and their table's texts; every part begins at a multiple of 8 bytes. The
header says of which type the records are, so that those of another type, or of another meaning, aren't taken for
records of this one.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from footfall.errors import StateError
from footfall.record_table import Changes

FORMAT_VERSION = 1

_HEADER = struct.Struct("<4sHHIIQI")
_HEAD_SIZE = _HEADER.size + 4
_MAGIC = b"FFPR"
_UNKNOWN_TYPE = 0


def _padding(size: int) -> bytes:
    return bytes(-size % 8)


class RecordFrames:
    """Writes and reads the frames of one kind of records."""

    def __init__(self, kind: str, dtype: np.dtype[np.void], meaning: str = "") -> None:
        """Frames of such records.

        Args:
            kind: what the records are called in errors, in the plural.
            dtype: their type; a record has less than 64 KiB.
            meaning: what the type doesn't say of them; records of another meaning are refused.
        """
        self.kind = kind
        self.dtype = dtype
        said = f"{np.lib.format.dtype_to_descr(dtype)}{meaning}"
        self._fingerprint = zlib.crc32(said.encode()) or 1

    def frame(self, changes: Changes) -> bytes:
        """The changes as a frame."""
        slots, records, texts = (part.tobytes() for part in changes)
        payload = b"".join((slots, _padding(len(slots)), records, texts, _padding(len(texts))))
        checksum = zlib.crc32(payload)
        head = _HEADER.pack(
            _MAGIC,
            FORMAT_VERSION,
            self.dtype.itemsize,
            changes.slots.size,
            checksum,
            len(texts),
            self._fingerprint,
        )
        return head + zlib.crc32(head).to_bytes(4, "little") + payload

    def changes_in(self, path: Path, length: int) -> Iterator[Changes]:
        """The frames in a file's first `length` bytes.

        Raises:
            StateError: they aren't there, are damaged, or are of other records.
        """
        try:
            with path.open("rb", buffering=0) as file:
                at = 0
                while at < length:
                    head = file.read(_HEAD_SIZE)
                    count, text_size, checksum = self._read_header(head, path, at)
                    records_at = 4 * count + -(4 * count) % 8
                    texts_at = records_at + self.dtype.itemsize * count
                    size = texts_at + text_size + -text_size % 8
                    data = np.fromfile(file, np.uint8, size)
                    at += _HEAD_SIZE + size
                    if at > length or data.size < size or zlib.crc32(data.tobytes()) != checksum:
                        raise self._damaged(path, f"the frame that ends at byte {at} isn't whole")
                    yield Changes(
                        data[: 4 * count].view(np.int32),
                        data[records_at:texts_at].view(self.dtype),
                        data[texts_at : texts_at + text_size],
                    )
        except OSError as error:
            raise self._damaged(path, error.strerror or str(error)) from error

    def _read_header(self, head: bytes, path: Path, at: int) -> tuple[int, int, int]:
        """How many records and how many bytes of texts follow, and their checksum."""
        if len(head) < _HEAD_SIZE or zlib.crc32(head[:-4]) != int.from_bytes(head[-4:], "little"):
            raise self._damaged(path, f"no frame begins at byte {at}")
        magic, version, record_size, count, checksum, text_size, fingerprint = _HEADER.unpack(head[:-4])
        if magic != _MAGIC or version != FORMAT_VERSION:
            raise StateError(
                f"the {self.kind} in {path} have format {version}, this Footfall reads {FORMAT_VERSION}: finish the "
                "run with the version that began it, or start anew with an empty --state folder"
            )
        # Files written before there were records of other types don't say of which type theirs are.
        if record_size != self.dtype.itemsize or fingerprint not in (_UNKNOWN_TYPE, self._fingerprint):
            raise StateError(
                f"the {self.kind} in {path} were kept with other fields, or by another definition, than those of "
                "this run: finish the run with the version and the definitions that began it, or start anew with an "
                "empty --state folder"
            )
        return count, text_size, checksum

    def _damaged(self, path: Path, what: str) -> StateError:
        return StateError(
            f"the {self.kind} in {path} can't be restored: {what}. Put the file back from a copy of the state "
            "folder, or start anew with an empty --state folder"
        )
