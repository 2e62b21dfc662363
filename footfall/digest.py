"""The digest over what stands at the end of a run: a sum of hashes, one for each (kind, id and content).

A sum, so that neither order, nor batches, nor shards show in it, and so that what is retracted can be taken back.
Two runs that gave the same answers have the same digest; the converse fails with a chance of about 2⁻¹²⁸.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.hashing import U64, fold_words, hash_texts, text_seed

Words = Sequence[npt.NDArray[np.uint64]]

_LANE = 1 << 64
_NULL = 0x6E756C6C


def text_words(column: pl.Series) -> Words:
    """A text column as words: two hashes each, with null told apart from the empty text."""
    return hash_texts(column, null=_NULL)


def _words(column: pl.Series) -> Words:
    if column.dtype in (pl.String, pl.Binary):
        return text_words(column)
    numbers = column.cast(pl.Int64)
    if not column.null_count():
        return [numbers.to_numpy().view(np.uint64)]
    missing = column.is_null().to_numpy()
    return [np.where(missing, np.uint64(_NULL), numbers.fill_null(0).to_numpy().view(np.uint64))]


def row_hashes(kind: str, words: Words) -> tuple[U64, U64]:
    """The 128-bit hash of each row, from its kind and its words in their order."""
    seed = np.full(words[0].size, text_seed(kind), np.uint64)
    return fold_words(np.stack([seed, *words]))


def frame_words(rows: pl.DataFrame) -> Words:
    """All columns of a frame as words, in their order; their names don't count."""
    return [word for column in rows.iter_columns() for word in _words(column)]


@dataclass(slots=True)
class Digest:
    """A sum of hashes in two lanes of 64 bits."""

    high: int = 0
    low: int = 0

    def add(self, kind: str, words: Words, *, sign: int = 1) -> None:
        """Add rows of a kind, given as words, or take them back with sign -1."""
        if words[0].size == 0:
            return
        high, low = row_hashes(kind, words)
        self.high = (self.high + sign * int(high.sum())) % _LANE
        self.low = (self.low + sign * int(low.sum())) % _LANE

    def merge(self, other: "Digest") -> None:
        """Add another digest."""
        self.high = (self.high + other.high) % _LANE
        self.low = (self.low + other.low) % _LANE

    def __str__(self) -> str:
        return f"{self.high:016x}{self.low:016x}"
