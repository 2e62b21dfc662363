import gzip
import zlib
from collections.abc import Iterator

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from footfall.store_codec import (
    REQUEST_ENCODINGS,
    RESPONSE_ENCODINGS,
    BodyError,
    Encoder,
    decoded,
    framed,
    unframed,
)

BODIES = st.binary(max_size=3000) | st.binary(max_size=40).map(lambda part: part * 5000)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


@pytest.mark.parametrize("encoding", RESPONSE_ENCODINGS)
@given(body=BODIES, size=st.integers(1, 5000))
def test_what_is_encoded_can_be_decoded(encoding: str, body: bytes, size: int) -> None:
    encoder = Encoder(encoding)
    packed = b"".join([*map(encoder.take, cut(body, size)), encoder.end()])
    assert b"".join(decoded(cut(packed, size), encoding)) == body


def test_other_programs_bodies_are_decoded() -> None:
    body = b"some rows\n" * 1000
    assert b"".join(decoded([gzip.compress(body) + gzip.compress(body)], "gzip")) == body * 2
    assert b"".join(decoded([zlib.compress(body)], "deflate")) == body
    assert b"".join(decoded([zstandard.ZstdCompressor().compress(body)], "zstd")) == body
    assert b"".join(decoded([lz4.frame.compress(body)], "lz4")) == body


@pytest.mark.parametrize("encoding", REQUEST_ENCODINGS)
def test_what_is_none_or_cut_is_an_error(encoding: str) -> None:
    with pytest.raises(BodyError):
        list(decoded([b"no such thing"], encoding))
    encoder = Encoder(encoding)
    packed = encoder.take(b"x" * 100_000) + encoder.end()
    with pytest.raises(BodyError):
        list(decoded([packed[:-3]], encoding))


@pytest.mark.parametrize("method", ["LZ4", "zstd", "none"])
@given(body=BODIES, size=st.integers(1, 5000))
def test_framing_and_back(method: str, body: bytes, size: int) -> None:
    assert b"".join(unframed(cut(b"".join(framed(body, method)), size))) == body


def test_the_checksum_is_the_one_that_clickhouses_clients_compute() -> None:
    block = b"".join(framed(b"abc" * 20, "LZ4"))
    assert block[16] == 0x82
    assert block[:16].hex() == "eb836ae303bb81c70d6b8bd63a9d9d7e"


def test_a_damaged_block_is_an_error() -> None:
    block = bytearray(b"".join(framed(b"abc" * 20, "LZ4")))
    for place in (0, 17, len(block) - 1):
        wrong = bytearray(block)
        wrong[place] ^= 1
        with pytest.raises(BodyError):
            list(unframed([bytes(wrong)]))
    with pytest.raises(BodyError, match="cut"):
        list(unframed([bytes(block[:-1])]))
