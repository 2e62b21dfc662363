"""An index of records by the hash of a visitor: open addressing, linear probing, deletion by shifting back.

It is an array of int32 with a power of two of places, at least twice as many as it has records: -1, or the place of a
record that has the hash's two halves as `high` and `low`. Compiled loops use it, and nothing of it is kept: it is made
anew from the records.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.compiled import compiled, compiled_inline

Index = npt.NDArray[np.int32]


@compiled_inline
def find_record(index: Any, records: Any, high: Any, low: Any) -> Any:
    """The place of the record with that hash, or -1."""
    mask = index.size - 1
    at = np.int64(high & np.uint64(mask))
    while True:
        slot = index[at]
        if slot < 0:
            return -1
        if records[slot].high == high and records[slot].low == low:
            return np.int64(slot)
        at = (at + 1) & mask


@compiled_inline
def insert_record(index: Any, slot: Any, high: Any) -> None:
    """Put in the place of a record that isn't there yet; there must be room."""
    mask = index.size - 1
    at = np.int64(high & np.uint64(mask))
    while index[at] >= 0:
        at = (at + 1) & mask
    index[at] = slot


@compiled_inline
def remove_record(index: Any, records: Any, slot: Any) -> None:
    """Take out the place of a record that is there."""
    mask = index.size - 1
    at = np.int64(records[slot].high & np.uint64(mask))
    while index[at] != slot:
        at = (at + 1) & mask
    hole = at
    while True:
        at = (at + 1) & mask
        other = index[at]
        if other < 0:
            break
        home = np.int64(records[other].high & np.uint64(mask))
        if ((at - home) & mask) >= ((at - hole) & mask):
            index[hole] = other
            hole = at
    index[hole] = -1


@compiled
def _fill(index: Any, records: Any, used: Any) -> None:
    for slot in range(used.size):
        if used[slot]:
            insert_record(index, slot, records[slot].high)


def new_index(records: npt.NDArray[np.void], used: npt.NDArray[np.bool_], most: int) -> Index:
    """An index of those records that are used, with room for `most` in all; `used` may be shorter than `records`."""
    index = np.full(1 << max(4, (2 * most - 1).bit_length()), -1, np.int32)
    _fill(index, records, used)
    return index
