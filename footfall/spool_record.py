"""One record in a spool's file: a head (48 bytes), the table's name, the rows as a compressed Arrow IPC stream.

The head carries a checksum of its own and one of the rows, and how far its file was known to be safe on disk when the
record was written. When the rows have been sent, a mark is written over four zero bytes of the head.
"""

import os
import struct
import time
import zlib
from dataclasses import dataclass
from typing import cast

import polars as pl
import pyarrow as pa

MAGIC = b"\x89FFR"
# Magic; mark; checksums of head and rows; length of the rows; number of rows; their bytes in memory; length of
# the name; nothing; when written (ms); how far the file was safe.
_HEAD = struct.Struct("<4sIIIIIIHHqQ")
_MARK_OFFSET = 4
_SUMMED_FROM = 12
_SENT = 0x53454E54
_MOST_NAME = 255

# On event rows, level 1 takes the time of lz4 and a third of its room, and less time than writing plain bytes.
_OPTIONS = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1), use_threads=False)


@dataclass(frozen=True, slots=True)
class Record:
    """Where a record is in its file, and what its head says.

    Attributes:
        table: whose rows they are.
        rows: their number.
        frame_bytes: about what they take in memory.
        written: when it was written, Unix time in ms.
        synced: how much of the file was safe on disk then.
        offset: where it begins, in bytes; `start` is where its rows begin, `end` where the next record does.
        checksum: of its rows, CRC-32.
        sent_mark: what is written into the head when the rows have been sent.
        sent: whether that has been done.
    """

    table: str
    rows: int
    frame_bytes: int
    written: int
    synced: int
    offset: int
    start: int
    end: int
    checksum: int
    sent_mark: int
    sent: bool = False


def pack_record(table: str, frame: pl.DataFrame, *, offset: int, synced: int) -> tuple[Record, bytes]:
    """A record as it is to be written at `offset`, and its bytes."""
    rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    packed = pa.BufferOutputStream()
    with pa.ipc.new_stream(packed, rows.schema, options=_OPTIONS) as writer:
        writer.write_table(rows)
    payload = packed.getvalue()
    name = table.encode()
    written = time.time_ns() // 1_000_000
    checksum = zlib.crc32(payload)
    frame_bytes = min(int(frame.estimated_size()), 0xFFFF_FFFF)
    fields = (checksum, payload.size, frame.height, frame_bytes, len(name), 0, written, synced)
    summed = zlib.crc32(name, zlib.crc32(_HEAD.pack(MAGIC, 0, 0, *fields)[_SUMMED_FROM:]))
    start = offset + _HEAD.size + len(name)
    record = Record(
        table=table,
        rows=frame.height,
        frame_bytes=frame_bytes,
        written=written,
        synced=synced,
        offset=offset,
        start=start,
        end=start + payload.size,
        checksum=checksum,
        sent_mark=summed ^ _SENT,
    )
    return record, b"".join((_HEAD.pack(MAGIC, 0, summed, *fields), name, memoryview(payload)))


def read_head(descriptor: int, offset: int, size: int) -> Record | None:
    """The record at `offset` of a file of `size` bytes; None where none begins or not all of it is there."""
    head = os.pread(descriptor, _HEAD.size + _MOST_NAME, offset)
    if len(head) < _HEAD.size:
        return None
    magic, mark, summed, checksum, length, rows, frame_bytes, name_length, _, written, synced = (
        _HEAD.unpack_from(head)
    )
    name = head[_HEAD.size : _HEAD.size + name_length]
    start = offset + _HEAD.size + name_length
    if (
        magic != MAGIC
        or summed != zlib.crc32(name, zlib.crc32(head[_SUMMED_FROM : _HEAD.size]))
        or start + length > size
    ):
        return None
    return Record(
        table=name.decode(),
        rows=rows,
        frame_bytes=frame_bytes,
        written=written,
        synced=synced,
        offset=offset,
        start=start,
        end=start + length,
        checksum=checksum,
        sent_mark=summed ^ _SENT,
        sent=mark == summed ^ _SENT,
    )


def read_payload(descriptor: int, record: Record) -> pa.Buffer | None:
    """A record's rows as they were packed, in memory that Arrow owns (see `footfall.frame_pickling`).

    None where they aren't those that were written.
    """
    memory = pa.allocate_buffer(record.end - record.start)
    view = memoryview(memory)
    filled = 0
    while filled < len(view):
        count = os.preadv(descriptor, [view[filled:]], record.start + filled)
        if not count:
            return None
        filled += count
    return memory if zlib.crc32(view) == record.checksum else None


def unpack_rows(payload: pa.Buffer) -> pl.DataFrame:
    """The rows that were packed."""
    with pa.ipc.open_stream(payload) as reader:
        return cast("pl.DataFrame", pl.from_arrow(reader.read_all(), rechunk=False))


def mark_sent(descriptor: int, record: Record) -> None:
    """Note in the file that the record's rows have been sent. A mark that a crash undoes sends them again."""
    os.pwrite(descriptor, struct.pack("<I", record.sent_mark), record.offset + _MARK_OFFSET)
