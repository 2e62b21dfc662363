"""One input as a stream of NDJSON bytes, whatever it is stored as: plain, gzip, zstd or Parquet.

What a file is, its first bytes decide, not its name.
"""

import sys
import zlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import BinaryIO

import zstandard

from footfall.errors import SourceError

STDIN = "-"

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PARQUET = b"PAR1"
_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\x7fELF": "a program",
    b"SQLite format": "an SQLite database",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
}
_COMPRESSED = 1 << 16
# A zstd block of 3 bytes can stand for 128 KiB, and its reader has no bound on what a call returns.
_ZSTD_COMPRESSED = 1 << 12


class ByteStream(ABC):
    """Bytes of NDJSON, read once from front to back."""

    @abstractmethod
    def read(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end and only there.

        Raises:
            SourceError: the input is damaged here; all that could be read before has been returned.
        """

    @abstractmethod
    def skip(self, size: int) -> None:
        """Pass over the first `size` bytes; called at most once, before any `read`.

        Raises:
            SourceError: there aren't as many.
        """

    @abstractmethod
    def consumed(self) -> int:
        """How many bytes of the input, as it is stored, have been read."""

    @abstractmethod
    def close(self) -> None:
        """Free what is open; calling it twice is fine."""


def open_stream(path: str, name: str) -> ByteStream:
    """Open a file, or standard input for `STDIN`; errors call it `name`.

    Raises:
        SourceError: it can't be opened, or is plainly something else than NDJSON.
    """
    if path == STDIN:
        return _sniffed(sys.stdin.buffer, name, path=None)
    try:
        file = Path(path).open("rb")  # noqa: SIM115  # the stream owns it
    except OSError as error:
        raise SourceError(f"it can't be opened: {error.strerror}", source=name) from error
    try:
        return _sniffed(file, name, path=path)
    except BaseException:
        file.close()
        raise


def _sniffed(file: BinaryIO, name: str, path: str | None) -> ByteStream:
    peeked = file.peek(16)[:16] if hasattr(file, "peek") else b""
    if peeked.startswith(_GZIP):
        return _Compressed(file, name, _Gzip(), _COMPRESSED, owned=path is not None)
    if peeked.startswith(_ZSTD):
        return _Compressed(file, name, _Zstd(), _ZSTD_COMPRESSED, owned=path is not None)
    if peeked.startswith(_PARQUET):
        if path is None:
            raise SourceError("Parquet can't be read from standard input; give the file's name", source=name)
        # Imported here: pyarrow's Parquet reader is slow to load, and most inputs aren't Parquet.
        from footfall.parquet_source import ParquetStream  # noqa: PLC0415

        file.close()
        return ParquetStream(path, name)
    for magic, what in _FOREIGN.items():
        if peeked.startswith(magic):
            raise SourceError(
                f"it looks like {what}, not NDJSON (plain, .gz or .zst) or Parquet", source=name
            )
    return _Plain(file, name, owned=path is not None)


class _Plain(ByteStream):
    def __init__(self, file: BinaryIO, name: str, *, owned: bool) -> None:
        self._file = file
        self._name = name
        self._owned = owned
        self._consumed = 0

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise SourceError(f"it can't be read: {error.strerror}", source=self._name) from error
        self._consumed += len(data)
        return data

    def skip(self, size: int) -> None:
        if not self._owned:
            skip_by_reading(self, size, self._name)
            return
        if self._file.seek(0, 2) < size:
            raise shrunk(self._name)
        self._file.seek(size)
        self._consumed = size

    def consumed(self) -> int:
        return self._consumed

    def close(self) -> None:
        if self._owned:
            self._file.close()


class _Unpacker(ABC):
    """Unpacks the members (gzip) or frames (zstd) of a file one after the other."""

    kind: str

    @abstractmethod
    def unpack(self, data: bytes, size: int) -> tuple[bytes, bytes]:
        """What the data hold, about `size` bytes where it can choose, and the data left over."""

    @abstractmethod
    def complete(self) -> bool:
        """Whether the last member is complete."""


class _Gzip(_Unpacker):
    kind = "gzip"

    def __init__(self) -> None:
        self._member = zlib.decompressobj(31)
        self._begun = False

    def unpack(self, data: bytes, size: int) -> tuple[bytes, bytes]:
        if self._member.eof:
            data = data.lstrip(b"\0")  # tar and tapes pad with zeros
            if not data:
                return b"", b""
            self._member = zlib.decompressobj(31)
        out = self._member.decompress(data, size)
        return out, self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def complete(self) -> bool:
        return self._member.eof


class _Zstd(_Unpacker):
    kind = "zstd"

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor().decompressobj()

    def unpack(self, data: bytes, size: int) -> tuple[bytes, bytes]:  # noqa: ARG002  # a small input bounds it
        if self._frame.eof:
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        out = self._frame.decompress(data)
        return out, self._frame.unused_data if self._frame.eof else b""

    def complete(self) -> bool:
        return self._frame.eof


class _Compressed(ByteStream):
    def __init__(self, file: BinaryIO, name: str, unpacker: _Unpacker, step: int, *, owned: bool) -> None:
        self._file = file
        self._name = name
        self._unpacker = unpacker
        self._step = step
        self._owned = owned
        self._rest = b""
        self._ready = b""
        self._consumed = 0
        self._damage: SourceError | None = None

    def read(self, size: int) -> bytes:
        parts = [self._ready]
        got = len(self._ready)
        while got < size and self._damage is None:
            if not self._rest:
                self._rest = self._file.read(self._step)
                self._consumed += len(self._rest)
                if not self._rest:
                    if not self._unpacker.complete():
                        self._damage = SourceError(
                            f"its {self._unpacker.kind} data end in the middle; the file was cut off",
                            source=self._name,
                        )
                    break
            try:
                out, self._rest = self._unpacker.unpack(self._rest, size - got)
            except (zlib.error, zstandard.ZstdError) as error:
                text = f"its {self._unpacker.kind} data are damaged: {error}"
                self._damage = SourceError(text, source=self._name)
                break
            parts.append(out)
            got += len(out)
        if self._damage is not None and not got:
            raise self._damage
        data = b"".join(parts)
        self._ready = data[size:]
        return data[:size] if self._ready else data

    def skip(self, size: int) -> None:
        skip_by_reading(self, size, self._name)

    def consumed(self) -> int:
        return self._consumed

    def close(self) -> None:
        if self._owned:
            self._file.close()


def skip_by_reading(stream: ByteStream, size: int, name: str) -> None:
    """Pass over `size` bytes of a stream that can't seek.

    Raises:
        SourceError: there aren't as many.
    """
    while size > 0:
        data = stream.read(min(size, 1 << 20))
        if not data:
            raise shrunk(name)
        size -= len(data)


def shrunk(name: str) -> SourceError:
    """The error for an input that ends before a position which it once had."""
    return SourceError(
        "it is shorter than when the run began; restore it, or start anew without --state", source=name
    )
