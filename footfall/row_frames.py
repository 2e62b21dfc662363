"""Frames of events' rows in which columns without a value are left out.

Most envelope columns have no value in most batches; carried along, they would be gathered, joined and sent like the
others. A column that a frame lacks is null in all its rows.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.envelope import SCHEMA


def present_rows(column: pl.Series) -> npt.NDArray[np.bool_]:
    """Where a column has values; read from its own bits, which for a few rows is quicker than an expression."""
    nulls = column.null_count()
    if nulls in {0, len(column)}:
        return np.full(len(column), nulls == 0)
    array = column.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    present: npt.NDArray[np.bool_] = np.unpackbits(bits, bitorder="little").view(np.bool_)
    return present[array.offset : array.offset + len(array)]


def whole_numbers(column: pl.Series, absent: int) -> npt.NDArray[np.int64]:
    """A column of Int64 or of times in ms as whole numbers, `absent` where it has no value; it may be read-only."""
    nulls = column.null_count()
    if nulls == len(column):
        return np.full(len(column), absent, np.int64)
    numbers = column.cast(pl.Int64)
    if nulls:
        numbers = pl.Series(numbers.to_arrow().fill_null(absent))
    return numbers.to_numpy()


def nulls(name: str, height: int) -> pl.Series:
    """A column of the envelope without a value."""
    return _null(name).new_from_index(0, height)


@cache
def _null(name: str) -> pl.Series:
    return pl.Series(name, [None], dtype=SCHEMA[name])


def filled_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with those columns alone that have a value; with all, if it has no rows."""
    height = frame.height
    if height == 0:
        return frame
    filled = [column for column in frame.iter_columns() if column.null_count() < height]
    # A frame without columns would have no rows either.
    return pl.DataFrame(filled) if filled else frame


def column_of(frame: pl.DataFrame, name: str) -> pl.Series:
    """A column, whether the frame has it or not."""
    return frame[name] if name in frame.columns else nulls(name, frame.height)


def whole_rows(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The frame with exactly these columns."""
    if frame.columns == list(names):
        return frame
    height = frame.height
    known = {column.name: column for column in frame.iter_columns()}
    return pl.DataFrame([known[name] if name in known else nulls(name, height) for name in names])


def rows_at(frame: pl.DataFrame, places: npt.NDArray[np.int64]) -> pl.DataFrame:
    """The rows at these places, column by column.

    Polars does the same to a frame in a thread of its own, for which a busy machine may have to be waited for.
    """
    wanted = pl.Series(places.astype(np.uint32))
    return pl.DataFrame([column[wanted] for column in frame.iter_columns()])


def present(frame: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of the names that the frame has; the first of its own, if it has none of them."""
    return [name for name in names if name in frame.columns] or frame.columns[:1]


def join_rows(frames: Sequence[pl.DataFrame], *, rechunk: bool = False) -> pl.DataFrame:
    """All rows, one frame's after the other's, with every column that one of them has."""
    filled = [frame for frame in frames if frame.height] or list(frames[:1])
    first = filled[0].columns
    if any(frame.columns != first for frame in filled):
        known = set[str]().union(*(frame.columns for frame in filled))
        names = [name for name in SCHEMA if name in known]
        filled = [whole_rows(frame, names) for frame in filled]
    joined = filled[0]
    for frame in filled[1:]:
        joined = joined.vstack(frame)
    return joined.rechunk() if rechunk and len(filled) > 1 else joined
