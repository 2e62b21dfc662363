"""A table of records of one size, found by the hash of a visitor: what changed is known, so a log can write that alone.

The records are of any structured type that has the fields of `KEYED` among its own, and arrays among those where it
likes. Compiled loops work on a table's arrays, by the functions here; there must be room (`RecordTable.reserve`)
before such a loop takes new places. The bits of `flags` other than `USED` and `CHANGED` are the records' own.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from footfall.compiled import compiled, compiled_inline
from footfall.errors import StateError
from footfall.hash_index import find_record, insert_record, new_index, remove_record
from footfall.record_arrays import copied, grown, take_records

KEYED = (("high", np.uint64), ("low", np.uint64), ("flags", np.int32), ("next_free", np.int32))
"""The fields that every table's records have: a type of records begins with `[*KEYED, ...]`."""

USED, CHANGED = 1, 8

PLACES = 4
"""How many counters a table has in `places`; a table that builds on this one has its own behind them."""

_FIRST_FREE, _HIGH_WATER, _LIVE, _CHANGES = range(PLACES)

Bytes = npt.NDArray[np.uint8]

__all__ = [
    "CHANGED",
    "KEYED",
    "USED",
    "Changes",
    "RecordTable",
    "find_record",
    "free_place",
    "mark_changed",
    "new_place",
]


class Changes(NamedTuple):
    """What became of some places: `records[i]` stands at `slots[i]` now.

    A record without `USED` means that its place is free. `texts` is what a table keeps beside its records, if
    anything (`footfall.profile_table`).
    """

    slots: npt.NDArray[np.int32]
    records: npt.NDArray[np.void]
    texts: Bytes = np.zeros(0, np.uint8)


@compiled_inline
def mark_changed(records: Any, slot: Any, places: Any, changed: Any) -> None:
    """Put a place on the list of the changed ones, once."""
    if not records[slot].flags & CHANGED:
        records[slot].flags |= CHANGED
        changed[places[_CHANGES]] = slot
        places[_CHANGES] += 1


@compiled_inline
def new_place(index: Any, records: Any, places: Any, high: Any, low: Any) -> Any:
    """A free place for a visitor who isn't there yet; room must have been seen to.

    Its record is `USED` and theirs, and otherwise zero. It isn't marked as changed: whoever fills it does that.
    """
    if places[_FIRST_FREE] >= 0:
        slot = places[_FIRST_FREE]
        places[_FIRST_FREE] = records[slot].next_free
    else:
        slot = places[_HIGH_WATER]
        places[_HIGH_WATER] += 1
    places[_LIVE] += 1
    # The place may have had another visitor, and be on the list of changed ones.
    flags = records[slot].flags & CHANGED
    records[slot : slot + 1].view(np.uint8)[:] = 0
    records[slot].high = high
    records[slot].low = low
    records[slot].flags = flags | USED
    insert_record(index, slot, high)
    return slot


@compiled_inline
def free_place(index: Any, records: Any, places: Any, changed: Any, slot: Any) -> None:
    """Give up a place that is in use, and mark it as changed; the record's own fields stay until it is used anew."""
    remove_record(index, records, slot)
    records[slot].flags &= CHANGED
    mark_changed(records, slot, places, changed)
    records[slot].next_free = places[_FIRST_FREE]
    places[_FIRST_FREE] = slot
    places[_LIVE] -= 1


@compiled
def _find(index: Any, records: Any, high: Any, low: Any) -> Any:
    return find_record(index, records, high, low)


@compiled
def _forget(records: Any, changed: Any, places: Any, lasting: Any) -> None:
    for i in range(places[_CHANGES]):
        records[changed[i]].flags &= lasting
    places[_CHANGES] = 0


@compiled
def _apply(slots: Any, changes: Any, records: Any, lasting: Any) -> None:
    for i in range(slots.size):
        records[slots[i]] = changes[i]
        records[slots[i]].flags &= lasting


@compiled
def _recount(records: Any, places: Any) -> None:
    places[_FIRST_FREE] = -1
    live = 0
    for slot in range(places[_HIGH_WATER]):
        if records[slot].flags & USED:
            live += 1
        else:
            records[slot].next_free = places[_FIRST_FREE]
            places[_FIRST_FREE] = slot
    places[_LIVE] = live


class RecordTable:
    """The arrays of a table of records.

    A pickled table is a whole one: nothing of it counts as changed when it is loaded.

    Attributes:
        records: indexed by place.
        index: finds a record's place by its hash (`footfall.hash_index`).
        changed: the places that changed, as many as `changes_pending`.
        places: the counters that compiled loops share.
    """

    __slots__ = ("changed", "index", "places", "records")

    passing: ClassVar[int] = CHANGED
    """The bits of `flags` that say something of the last changes only, and aren't kept."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        """Make a table without records.

        Args:
            dtype: the records' type.

        Raises:
            StateError: it lacks one of the fields of `KEYED`.
        """
        fields: Mapping[str, Any] = dtype.fields or {}
        lacking = [name for name, kind in KEYED if name not in fields or fields[name][0] != np.dtype(kind)]
        if lacking:
            raise StateError(
                f"a table's records have no field {', '.join(lacking)} of the type that KEYED says: begin their "
                "type with *KEYED"
            )
        self._begin(dtype)

    def _begin(self, dtype: np.dtype[np.void]) -> None:
        self.records: npt.NDArray[np.void] = np.zeros(16, dtype)
        self.index = np.full(32, -1, np.int32)
        self.changed = np.zeros(16, np.int32)
        self.places = np.array([-1, 0, 0, 0], np.int64)

    @property
    def live(self) -> int:
        """How many records there are."""
        return int(self.places[_LIVE])

    @property
    def high_water(self) -> int:
        """How many places have ever been in use."""
        return int(self.places[_HIGH_WATER])

    @property
    def changes_pending(self) -> int:
        """How many places changed since `forget_changes`."""
        return int(self.places[_CHANGES])

    @property
    def live_bytes(self) -> int:
        """How many bytes a log needs for what there is, each record once."""
        return self.live * (self.records.itemsize + self.changed.itemsize)

    @property
    def memory(self) -> int:
        """How many bytes the arrays take, room for growth included."""
        return self.records.nbytes + self.index.nbytes + self.changed.nbytes

    def find(self, high: int, low: int) -> int:
        """The place of the visitor with that hash, or -1."""
        return int(_find(self.index, self.records, np.uint64(high), np.uint64(low)))

    def reserve(self, more: int) -> None:
        """Make room for `more` new records; `records`, `index` and `changed` may be other arrays from then on."""
        wanted = self.live + more
        self._reserve_places(wanted)
        if 2 * wanted > self.index.size:
            self._reindex(wanted)

    def _reindex(self, most: int) -> None:
        used = (self.records["flags"][: self.high_water] & USED) != 0
        self.index = new_index(self.records, used, most)

    def _reserve_places(self, wanted: int) -> None:
        if wanted > self.records.size:
            size = max(wanted, 2 * self.records.size)
            self.records = grown(self.records, size)
            self.changed = np.concatenate([self.changed, np.zeros(size - self.changed.size, np.int32)])

    def changes(self) -> Changes:
        """What changed since `forget_changes`, as copies."""
        slots = self.changed[: self.changes_pending].copy()
        return Changes(slots, take_records(self.records, slots.astype(np.int64)))

    def whole(self, start: int, end: int) -> Changes:
        """All records from place `start` to `end` (or the last one), as copies, as if they had just been added."""
        records = copied(self.records[start : min(end, self.high_water)])
        used = np.flatnonzero(records["flags"] & USED)
        return Changes((start + used).astype(np.int32), take_records(records, used))

    def forget_changes(self) -> None:
        """From now on nothing counts as changed: it has been written."""
        _forget(self.records, self.changed, self.places, ~self.passing)

    def apply(self, changes: Changes) -> None:
        """Take over what another table's `changes` or `whole` gave; `settle_down` must follow the last of them."""
        if changes.slots.size:
            self._reserve_slots(changes.slots)
            _apply(changes.slots, changes.records, self.records, ~self.passing)

    def _reserve_slots(self, slots: npt.NDArray[np.int32]) -> None:
        highest = int(slots.max()) + 1
        self._reserve_places(highest)
        self.places[_HIGH_WATER] = max(self.high_water, highest)

    def settle_down(self) -> None:
        """Count and index what `apply` has brought."""
        _recount(self.records, self.places)
        self._reindex(max(16, self.live))

    def load_loops(self) -> None:
        """Call each of the loops once, so that no round or snapshot waits for one; the records stay as they are."""
        self.find(0, 0)
        blank = RecordTable(self.records.dtype)
        blank.apply(self.whole(0, 1))
        blank.settle_down()
        blank.forget_changes()

    def __getstate__(self) -> Changes:
        return self.whole(0, self.high_water)

    def __setstate__(self, state: Changes) -> None:
        self._begin(state.records.dtype)
        self.apply(state)
        self.settle_down()
