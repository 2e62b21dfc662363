"""Numbered rows in segments: frames that grow at the end, merge as they grow, and are pickled once where they stay.

A snapshot takes all that is kept, most of which stood in the one before as well. So a segment remembers its packed form
for as long as it isn't merged with another or swept.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.frame_pickling import packed_frame

Rows = npt.NDArray[np.int64]
Join = Callable[[Sequence[pl.DataFrame]], pl.DataFrame]
"""Puts frames together to one that isn't in pieces."""

_Packed = tuple[Callable[..., pl.DataFrame], tuple[Any, ...]]

_MOST_REMEMBERED = 100_000
"""The packed form of a segment with more rows isn't remembered: it would cost as much memory again."""


class RowSegment:
    """Rows by their numbers, which ascend. It never changes.

    Args:
        numbers: the rows' numbers.
        rows: the rows.
    """

    __slots__ = ("_packed", "numbers", "rows")

    def __init__(self, numbers: Rows, rows: pl.DataFrame) -> None:
        self.numbers = numbers
        self.rows = rows
        self._packed: _Packed | None = None

    def kept(self, wanted: Rows) -> "RowSegment | None":
        """What is left if only wanted rows stay; None if nothing is. `wanted` ascend, without doubles."""
        mask = np.isin(self.numbers, wanted, assume_unique=True)
        if mask.all():
            return self
        return RowSegment(self.numbers[mask], self.rows.filter(pl.Series(mask))) if mask.any() else None

    def __iter__(self) -> Iterator[Any]:
        """The numbers, then the rows."""
        yield self.numbers
        yield self.rows

    def __getstate__(self) -> tuple[Rows, _Packed]:
        packed = self._packed
        if packed is None:
            packed = packed_frame(self.rows)
            if self.numbers.size <= _MOST_REMEMBERED:
                self._packed = packed
        return self.numbers, packed

    def __setstate__(self, state: tuple[Rows, _Packed]) -> None:
        self.numbers, (rebuild, arguments) = state
        self.rows = rebuild(*arguments)
        self._packed = None


def append_segment(segments: list[RowSegment], new: RowSegment, join: Join) -> None:
    """Put a segment behind those there are, and merge the last ones while they are about as large.

    Its numbers are higher than all before.
    """
    segments.append(new)
    while len(segments) > 1 and segments[-2].numbers.size < 2 * segments[-1].numbers.size:
        older, newer = segments[-2:]
        segments[-2:] = [
            RowSegment(np.concatenate([older.numbers, newer.numbers]), join([older.rows, newer.rows]))
        ]
