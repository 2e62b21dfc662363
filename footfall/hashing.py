"""Hashes that name things: stable across processes, versions and machines.

The function is MurmurHash3 x64 128 (Austin Appleby's public-domain reference, smhasher `MurmurHash3.cpp`),
seed 0, over the UTF-8 bytes. Null hashes to (0, 0), which no text does in practice.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.compiled import compiled, compiled_inline

U64 = npt.NDArray[np.uint64]

_C1 = np.uint64(0x87C37B91114253D5)
_C2 = np.uint64(0x4CF5AD432745937F)
_F1 = np.uint64(0xFF51AFD7ED558CCD)
_F2 = np.uint64(0xC4CEB9FE1A85EC53)
_N1 = np.uint64(0x52DCE729)
_N2 = np.uint64(0x38495AB5)


@compiled_inline
def _rotl(x: Any, r: Any) -> Any:
    return (x << np.uint64(r)) | (x >> np.uint64(64 - r))


@compiled_inline
def _fmix(k: Any) -> Any:
    k ^= k >> np.uint64(33)
    k *= _F1
    k ^= k >> np.uint64(33)
    k *= _F2
    k ^= k >> np.uint64(33)
    return k


@compiled_inline
def _word(data: Any, at: Any) -> Any:
    # Spelt out, with an unsigned index, so that the compiler makes one 8-byte load of it.
    a = np.uint64(at)
    return (
        np.uint64(data[a])
        | np.uint64(data[a + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[a + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[a + np.uint64(3)]) << np.uint64(24)
        | np.uint64(data[a + np.uint64(4)]) << np.uint64(32)
        | np.uint64(data[a + np.uint64(5)]) << np.uint64(40)
        | np.uint64(data[a + np.uint64(6)]) << np.uint64(48)
        | np.uint64(data[a + np.uint64(7)]) << np.uint64(56)
    )


@compiled_inline
def _tail(data: Any, at: Any, size: Any) -> Any:
    word = np.uint64(0)
    for k in range(size):
        word |= np.uint64(data[np.uint64(at + k)]) << np.uint64(8 * k)
    return word


@compiled_inline
def _murmur(data: Any, start: Any, end: Any, seed: Any) -> Any:
    h1 = seed
    h2 = seed
    length = end - start
    at = start
    for _ in range(length // 16):
        k1 = _word(data, at)
        k2 = _word(data, at + 8)
        at += 16
        k1 = _rotl(k1 * _C1, 31) * _C2
        h1 = (_rotl(h1 ^ k1, 27) + h2) * np.uint64(5) + _N1
        k2 = _rotl(k2 * _C2, 33) * _C1
        h2 = (_rotl(h2 ^ k2, 31) + h1) * np.uint64(5) + _N2
    left = end - at
    if left > 8:
        k2 = _tail(data, at + 8, left - 8)
        h2 ^= _rotl(k2 * _C2, 33) * _C1
    if left > 0:
        k1 = _tail(data, at, min(left, 8))
        h1 ^= _rotl(k1 * _C1, 31) * _C2
    h1 ^= np.uint64(length)
    h2 ^= np.uint64(length)
    h1 += h2
    h2 += h1
    h1 = _fmix(h1)
    h2 = _fmix(h2)
    h1 += h2
    h2 += h1
    return h1, h2


@compiled
def _hash_slices(data: Any, offsets: Any, valid: Any, first: Any, null: Any, high: Any, low: Any) -> None:
    for i in range(high.size):
        bit = first + i
        if valid.size and not (valid[bit >> 3] >> (bit & 7)) & 1:
            high[i] = np.uint64(0)
            low[i] = null
        else:
            high[i], low[i] = _murmur(data, offsets[i], offsets[i + 1], np.uint64(0))


@compiled
def _fold(words: Any, high: Any, low: Any) -> None:
    for i in range(words.shape[1]):
        h1 = np.uint64(0)
        h2 = np.uint64(0)
        for j in range(words.shape[0]):
            k = words[j, i]
            h1 = (_rotl(h1 ^ (_rotl(k * _C1, 31) * _C2), 27) + h2) * np.uint64(5) + _N1
            h2 = (_rotl(h2 ^ (_rotl(k * _C2, 33) * _C1), 31) + h1) * np.uint64(5) + _N2
        h1 += h2
        h2 += h1
        h1 = _fmix(h1)
        h2 = _fmix(h2)
        h1 += h2
        h2 += h1
        high[i] = h1
        low[i] = h2


@compiled
def _hex(high: Any, low: Any, digits: Any, out: Any) -> None:
    for i in range(high.size):
        for half in range(2):
            word = high[i] if half == 0 else low[i]
            for k in range(16):
                nibble = (word >> np.uint64(60 - 4 * k)) & np.uint64(15)
                out[i * 32 + half * 16 + k] = digits[nibble]


_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


_NO_BYTES = np.zeros(1, np.uint8)
_ALL_VALID = np.zeros(0, np.uint8)


def hash_texts(texts: pl.Series, *, null: int = 0) -> tuple[U64, U64]:
    """Hash a String or Binary column row by row: the high and the low 64 bits; (0, `null`) where it is null."""
    count = len(texts)
    nulls = texts.null_count()
    if nulls == count:
        return np.zeros(count, np.uint64), np.full(count, null, np.uint64)
    high, low = np.empty(count, np.uint64), np.empty(count, np.uint64)
    arrow: Any = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    validity, offsets, data = arrow.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[arrow.offset : arrow.offset + count + 1]
    valid = _ALL_VALID if nulls == 0 else np.frombuffer(validity, dtype=np.uint8)
    content = np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else _NO_BYTES
    _hash_slices(content, bounds, valid, arrow.offset, np.uint64(null), high, low)
    return high, low


def fold_words(words: U64) -> tuple[U64, U64]:
    """Fold an array of shape (parts, rows) into a 128-bit name for each row (Murmur's own mixing steps)."""
    high = np.empty(words.shape[1], np.uint64)
    low = np.empty(words.shape[1], np.uint64)
    _fold(np.ascontiguousarray(words), high, low)
    return high, low


def hex_names(high: U64, low: U64) -> pl.Series:
    """Names of 32 hexadecimal digits, as a String column."""
    out = np.empty(high.size * 32, np.uint8)
    _hex(high, low, _DIGITS, out)
    text = out.tobytes().decode("ascii")
    return pl.Series("name", [text[i : i + 32] for i in range(0, len(text), 32)], dtype=pl.String)


@cache
def text_seed(text: str) -> int:
    """The low 64 bits of a single text's hash."""
    _, low = hash_texts(pl.Series([text], dtype=pl.String))
    return int(low[0])
