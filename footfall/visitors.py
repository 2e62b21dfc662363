"""A shard's live visitors: one record each, found by the hash of the visitor, freed when nothing is open.

A visitor is live while they have an open session or a partial match. Records live in a growing array with a
list of free places; an index (`footfall.hash_index`) finds them. Both are plain arrays, so that compiled loops can
use them and a snapshot is their bytes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.compiled import compiled, compiled_inline
from footfall.hash_index import find_record, insert_record, new_index, remove_record
from footfall.record_arrays import copied, grown

VISITOR = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("session", np.int64),
        ("start", np.int64),
        ("last", np.int64),
        ("events", np.int64),
        ("page_views", np.int64),
        ("clicks", np.int64),
        ("conversions", np.int64),
        ("pages", np.int64),
        ("value", np.int64),
        ("longest_idle", np.int64),
        ("currency", np.uint64),
        ("campaign", np.uint64),
        ("first_high", np.uint64),
        ("first_low", np.uint64),
        ("first_row", np.int64),
        ("entry_row", np.int64),
        ("exit_row", np.int64),
        ("referrer_row", np.int64),
        ("utm_row", np.int64),
        ("user_row", np.int64),
        ("currency_row", np.int64),
        ("next_deadline", np.int64),
        ("wanted", np.uint64),
        ("head", np.int32),
        ("tail", np.int32),
        ("partials", np.int32),
        ("next_free", np.int32),
        ("used", np.int32),
        ("open", np.int32),
        ("mixed", np.int32),
        ("round", np.int32),
    ]
)
"""One live visitor: their open session (times in ms, `session` a number never used twice in a shard, `*_row` the
numbers of the rows that it quotes, -1 for none) and their partial matches (a list from `head` to `tail`, and the
conditions that change anything for one of them, all words of them in one)."""

ROW_FIELDS = ("first_row", "entry_row", "exit_row", "referrer_row", "utm_row", "user_row", "currency_row")

_FIRST_FREE, _HIGH_WATER, _LIVE = range(3)

find_visitor = find_record
"""The place of the visitor with that hash, or -1; takes index, records, high, low."""


@compiled_inline
def add_visitor(index: Any, visitors: Any, places: Any, high: Any, low: Any) -> Any:
    """Take a free place for a visitor who isn't there yet; capacity must have been seen to."""
    if places[_FIRST_FREE] >= 0:
        slot = places[_FIRST_FREE]
        places[_FIRST_FREE] = visitors[slot].next_free
    else:
        slot = places[_HIGH_WATER]
        places[_HIGH_WATER] += 1
    places[_LIVE] += 1
    visitor = visitors[slot]
    visitor.high = high
    visitor.low = low
    visitor.used = 1
    visitor.open = 0
    visitor.round = -1
    visitor.head = -1
    visitor.tail = -1
    visitor.partials = 0
    visitor.next_deadline = np.iinfo(np.int64).max
    visitor.wanted = np.uint64(0)
    insert_record(index, slot, high)
    return slot


@compiled_inline
def _remove(index: Any, visitors: Any, places: Any, slot: Any) -> None:
    remove_record(index, visitors, slot)
    visitors[slot].used = 0
    visitors[slot].next_free = places[_FIRST_FREE]
    places[_FIRST_FREE] = slot
    places[_LIVE] -= 1


@compiled
def _free_idle(index: Any, visitors: Any, places: Any) -> None:
    for slot in range(places[_HIGH_WATER]):
        visitor = visitors[slot]
        if visitor.used and not visitor.open and visitor.partials == 0:
            _remove(index, visitors, places, slot)


@dataclass(slots=True)
class VisitorTable:
    """The arrays of a shard's live visitors; `records` is indexed by place."""

    records: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(16, VISITOR))
    index: npt.NDArray[np.int32] = field(default_factory=lambda: np.full(32, -1, np.int32))
    places: npt.NDArray[np.int64] = field(default_factory=lambda: np.array([-1, 0, 0], np.int64))

    @property
    def live(self) -> int:
        """How many visitors are live."""
        return int(self.places[_LIVE])

    @property
    def high_water(self) -> int:
        """How many places have ever been in use; records beyond it are blank."""
        return int(self.places[_HIGH_WATER])

    def reserve(self, more: int) -> None:
        """Make room for `more` new visitors."""
        wanted = self.live + more
        if wanted > self.records.size:
            self.records = grown(self.records, max(wanted, 2 * self.records.size))
        if 2 * wanted > self.index.size:
            self._reindex(wanted)

    def free_idle(self) -> None:
        """Free the visitors that have neither an open session nor a partial match."""
        _free_idle(self.index, self.records, self.places)

    def _reindex(self, most: int) -> None:
        self.index = new_index(self.records, self.records["used"][: self.high_water] != 0, most)

    def __getstate__(self) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
        return copied(self.records[: max(16, self.high_water)]), self.places.copy()

    def __setstate__(self, state: tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]) -> None:
        self.records, self.places = state
        self._reindex(self.records.size)
