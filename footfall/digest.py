"""The digest over what stands at the end of a run: a sum of hashes, one for each (kind, id and content).

A sum, so that neither order, nor batches, nor shards show in it, and so that what is retracted can be taken back.
Two runs that gave the same answers have the same digest; the converse fails with a chance of about 2⁻¹²⁸.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.hashing import U64, fold_words, hash_texts, text_seed

_LANE = 1 << 64
_NULL = np.uint64(0x6E756C6C)


def _words(column: pl.Series) -> list[npt.NDArray[np.uint64]]:
    """The column as words: two hashes for a text, the value itself for a number, a time or a flag."""
    missing = column.is_null().to_numpy() if column.null_count() else None
    if column.dtype in (pl.String, pl.Binary):
        words = list(hash_texts(column))
    else:
        numbers = column.cast(pl.Int64)
        words = [(numbers if missing is None else numbers.fill_null(0)).to_numpy().view(np.uint64)]
    if missing is not None:
        words[-1] = np.where(missing, _NULL, words[-1])
    return words


def row_hashes(kind: str, rows: pl.DataFrame) -> tuple[U64, U64]:
    """The 128-bit hash of each row, from its kind and all its columns in their order (not their names)."""
    words = [np.full(rows.height, text_seed(kind), np.uint64)]
    for column in rows.iter_columns():
        words += _words(column)
    return fold_words(np.stack(words))


@dataclass(slots=True)
class Digest:
    """A sum of hashes in two lanes of 64 bits."""

    high: int = 0
    low: int = 0

    def add(self, kind: str, rows: pl.DataFrame, *, sign: int = 1) -> None:
        """Add rows of a kind, or take them back with sign -1."""
        if rows.height == 0:
            return
        high, low = row_hashes(kind, rows)
        self.high = (self.high + sign * int(high.sum())) % _LANE
        self.low = (self.low + sign * int(low.sum())) % _LANE

    def merge(self, other: "Digest") -> None:
        """Add another digest."""
        self.high = (self.high + other.high) % _LANE
        self.low = (self.low + other.low) % _LANE

    def __str__(self) -> str:
        return f"{self.high:016x}{self.low:016x}"
