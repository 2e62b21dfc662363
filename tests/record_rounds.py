"""A table of records that tests fill and empty, and what it must hold, as a dictionary."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from footfall.compiled import compiled
from footfall.record_log import RecordKind
from footfall.record_table import (
    CHANGED,
    KEYED,
    USED,
    RecordTable,
    find_record,
    free_place,
    mark_changed,
    new_place,
)

SUMS = np.dtype(
    [*KEYED, ("total", np.int64), ("mean", np.float64), ("slots", np.int64, (5,)), ("grid", np.int16, (2, 3))]
)
KIND = RecordKind("sums", lambda: RecordTable(SUMS), "sums of tests")
OTHER_KIND = RecordKind("others", lambda: RecordTable(SUMS))
ODD = 2
"""A bit of the records' own: the total is odd."""

Sums = tuple[int, float, list[int], list[list[int]], bool]
Model = dict[int, Sums]
NOTHING: Sums = (0, 0.0, [0] * 5, [[0] * 3] * 2, False)


@compiled
def _add(index: Any, records: Any, places: Any, changed: Any, visitors: Any, number: Any) -> None:
    for visitor in visitors:
        # Few homes in the index, at both of its ends, so that visitors get into each other's way.
        high, low = np.uint64(0) - np.uint64(visitor % 3), np.uint64(visitor)
        slot = find_record(index, records, high, low)
        if slot < 0:
            slot = new_place(index, records, places, high, low)
        record = records[slot]
        record.total += number
        record.mean = record.total / 4
        record.slots[number % 5] += number
        record.grid[number % 2, number % 3] += 1
        if record.total % 2:
            record.flags |= ODD
        else:
            record.flags &= ~ODD
        mark_changed(records, slot, places, changed)


@compiled
def _free(index: Any, records: Any, places: Any, changed: Any, visitors: Any) -> None:
    for visitor in visitors:
        slot = find_record(index, records, np.uint64(0) - np.uint64(visitor % 3), np.uint64(visitor))
        if slot >= 0:
            free_place(index, records, places, changed, slot)


def hash_of(visitor: int) -> tuple[int, int]:
    """The two halves of a visitor's hash."""
    return -(visitor % 3) % 2**64, visitor


def add(table: RecordTable, model: Model, visitors: Iterable[int], number: int) -> None:
    """Count a number in for each of the visitors."""
    those = np.array(list(visitors), np.int64)
    table.reserve(those.size)
    _add(table.index, table.records, table.places, table.changed, those, number)
    for visitor in those.tolist():
        total, _, slots, grid, _ = model.get(visitor, NOTHING)
        slots, grid = slots.copy(), [row.copy() for row in grid]
        total += number
        slots[number % 5] += number
        grid[number % 2][number % 3] += 1
        model[visitor] = (total, total / 4, slots, grid, bool(total % 2))


def free(table: RecordTable, model: Model, visitors: Iterable[int]) -> None:
    """Free those of the visitors that are there."""
    those = np.array(list(visitors), np.int64)
    _free(table.index, table.records, table.places, table.changed, those)
    for visitor in those.tolist():
        model.pop(visitor, None)


def all_of(table: RecordTable) -> Model:
    """Every record that there is, by visitor; each is where the index says."""
    found: Model = {}
    for record in table.records[: table.high_water]:
        if not record["flags"] & USED:
            continue
        visitor = int(record["low"])
        assert hash_of(visitor) == (record["high"], record["low"])
        assert table.records[table.find(*hash_of(visitor))] == record
        assert not record["flags"] & ~(USED | CHANGED | ODD)
        odd = bool(record["flags"] & ODD)
        sums = (
            int(record["total"]),
            float(record["mean"]),
            record["slots"].tolist(),
            record["grid"].tolist(),
        )
        found[visitor] = (*sums, odd)
    assert table.live == len(found)
    return found
