"""The encodings of bodies: HTTP's, and ClickHouse's own framing of compressed blocks.

All of them work on streams of byte chunks and hold one block at a time.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import lz4.block
import lz4.frame
import zstandard
from clickhouse_cityhash.cityhash import CityHash128  # type: ignore[import-untyped]  # it has no stubs

# In the order in which a response's encoding is chosen from what the client accepts.
RESPONSE_ENCODINGS = ("zstd", "lz4", "gzip", "deflate")
REQUEST_ENCODINGS = ("gzip", "deflate", "lz4", "zstd")

_FRAME_HEADER = struct.Struct("<BII")
_LZ4, _ZSTD, _PLAIN = 0x82, 0x90, 0x02
_MOST_BLOCK = 1 << 30
_BLOCK = 1 << 20
_GZIP, _ZLIB, _EITHER = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, zlib.MAX_WBITS | 32


class BodyError(Exception):
    """A body that isn't in the encoding that its header or setting names."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Decompressor(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


class Encoder:
    """Compresses a response in one of `RESPONSE_ENCODINGS`: `take` chunks, then `end` once."""

    def __init__(self, encoding: str) -> None:
        self._begin = b""
        self._compressor: _Compressor
        if encoding == "gzip":
            self._compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        elif encoding == "deflate":
            self._compressor = zlib.compressobj(1, zlib.DEFLATED, _ZLIB)
        elif encoding == "zstd":
            self._compressor = zstandard.ZstdCompressor(level=1).compressobj()
        elif encoding == "lz4":
            frame = lz4.frame.LZ4FrameCompressor()
            self._begin = frame.begin()
            self._compressor = frame
        else:
            raise ValueError(encoding)

    def take(self, data: bytes) -> bytes:
        """The bytes to send for these, often none yet."""
        begin, self._begin = self._begin, b""
        return begin + self._compressor.compress(data)

    def end(self) -> bytes:
        """The last bytes to send."""
        begin, self._begin = self._begin, b""
        return begin + self._compressor.flush()


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """A request's body without its HTTP encoding, one of `REQUEST_ENCODINGS`; frames may follow one another.

    Raises:
        BodyError: it isn't in that encoding, or is cut.
    """
    makers: dict[str, Callable[[], _Decompressor]] = {
        "gzip": lambda: zlib.decompressobj(_EITHER),
        "deflate": lambda: zlib.decompressobj(_EITHER),
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
        "lz4": lz4.frame.LZ4FrameDecompressor,
    }
    make = makers[encoding]
    decompressor = make()
    fed = False
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                if decompressor.eof:  # type: ignore[attr-defined]  # all four have it; their stubs disagree
                    decompressor = make()
                fed = True
                data = decompressor.decompress(rest)
                ended = decompressor.eof  # type: ignore[attr-defined]  # as above
                rest = (decompressor.unused_data or b"") if ended else b""  # type: ignore[attr-defined]  # as above
                if data:
                    yield data
    except (zlib.error, zstandard.ZstdError, RuntimeError) as error:
        raise BodyError(f"the body is not {encoding}: {error}") from error
    if fed and not decompressor.eof:  # type: ignore[attr-defined]  # as above
        raise BodyError(f"the {encoding} body is cut")


def framed(data: bytes, method: str) -> Iterator[bytes]:
    """Bytes in ClickHouse's framing (`compress=1`), as blocks of up to 1 MiB.

    Args:
        data: the bytes.
        method: LZ4, ZSTD or NONE, in any case; what else there is counts as LZ4.
    """
    for begin in range(0, len(data), _BLOCK):
        plain = data[begin : begin + _BLOCK]
        if method.upper() == "ZSTD":
            mark, body = _ZSTD, zstandard.ZstdCompressor(level=1).compress(plain)
        elif method.upper() == "NONE":
            mark, body = _PLAIN, plain
        else:
            mark, body = _LZ4, lz4.block.compress(plain, store_size=False)
        block = _FRAME_HEADER.pack(mark, len(body) + _FRAME_HEADER.size, len(plain)) + body
        yield _checksum(block) + block


def unframed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes in ClickHouse's framing (`decompress=1`).

    Raises:
        BodyError: a block's checksum, method or length is wrong.
    """
    waiting = bytearray()
    head = 16 + _FRAME_HEADER.size
    for chunk in chunks:
        waiting += chunk
        while len(waiting) >= head:
            mark, packed, plain = _FRAME_HEADER.unpack_from(waiting, 16)
            if not _FRAME_HEADER.size <= packed <= _MOST_BLOCK or plain > _MOST_BLOCK:
                raise BodyError("a compressed block of an impossible size")
            if len(waiting) < 16 + packed:
                break
            block = bytes(waiting[16 : 16 + packed])
            if _checksum(block) != bytes(waiting[:16]):
                raise BodyError("a compressed block's checksum doesn't match")
            del waiting[: 16 + packed]
            yield _unpacked(mark, block[_FRAME_HEADER.size :], plain)
    if waiting:
        raise BodyError("the last compressed block is cut")


def _unpacked(mark: int, body: bytes, size: int) -> bytes:
    try:
        if mark == _LZ4:
            data: bytes = lz4.block.decompress(body, uncompressed_size=size)
            return data
        if mark == _ZSTD:
            return zstandard.ZstdDecompressor().decompress(body, max_output_size=size)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise BodyError(f"a compressed block can't be read: {error}") from error
    if mark == _PLAIN:
        return body
    raise BodyError(f"compression method {mark:#x} is not known here: use LZ4, ZSTD or NONE")


def _checksum(block: bytes) -> bytes:
    number: int = CityHash128(block)
    return struct.pack("<QQ", number >> 64, number & 0xFFFFFFFFFFFFFFFF)
