"""A shard's profiles as arrays: one record a known visitor, an index by the visitor's hash, their texts in one heap.

The heap holds each profile's texts (visitor, user, first source, first campaign) one after another; a changed text
goes to the heap's end, with the others of its profile, and the heap is packed when most of it is dead. The table
remembers which places changed, so that a log can write these alone; where the texts lie is not in the log.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from footfall.compiled import compiled, compiled_inline
from footfall.hash_index import find_record, insert_record, new_index, remove_record
from footfall.record_arrays import copied, grown, take_records

PROFILE = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("first_seen", np.int64),
        ("last_seen", np.int64),
        ("events", np.int64),
        ("sessions", np.int64),
        ("page_views", np.int64),
        ("clicks", np.int64),
        ("conversions", np.int64),
        ("value", np.int64),
        ("last_conversion", np.int64),
        ("currency", np.uint64),
        ("text_at", np.int64),
        ("visitor_size", np.int32),
        ("user_size", np.int32),
        ("source_size", np.int32),
        ("campaign_size", np.int32),
        ("flags", np.int32),
        ("next_free", np.int32),
    ]
)
"""One profile: times in ms (`last_conversion` is `NEVER` before the first one), `value` in millionths, sizes of the
texts in bytes (-1 for none) and where in the heap they begin."""

USED, UTM_KNOWN, CURRENCY_KNOWN, CHANGED, TEXTS_CHANGED = (1 << bit for bit in range(5))

_FIRST_FREE, _HIGH_WATER, _LIVE, _CHANGES, _TEXT_END, _TEXT_DEAD = range(6)
_DEAD_SLACK = 65_536

Bytes = npt.NDArray[np.uint8]


class Changes(NamedTuple):
    """What became of some places: `records[i]` stands at `slots[i]` now.

    `texts` are the texts of those records that have `USED` and `TEXTS_CHANGED`, one after another; the others'
    texts are what they were. A record without `USED` means that its place is free.
    """

    slots: npt.NDArray[np.int32]
    records: npt.NDArray[np.void]
    texts: Bytes


class TextColumn(NamedTuple):
    """Texts as compiled loops read them: where each begins in `data`, and its bytes (-1: there is none)."""

    starts: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int32]
    data: Bytes


@compiled_inline
def text_bytes(profile: Any) -> Any:
    """How many bytes a profile's texts take in the heap."""
    size = np.int64(0)
    size += max(profile.visitor_size, 0)
    size += max(profile.user_size, 0)
    size += max(profile.source_size, 0)
    size += max(profile.campaign_size, 0)
    return size


@compiled_inline
def mark_changed(records: Any, slot: Any, places: Any, changed: Any) -> None:
    """Put a place on the list of the changed ones, once."""
    if not records[slot].flags & CHANGED:
        records[slot].flags |= CHANGED
        changed[places[_CHANGES]] = slot
        places[_CHANGES] += 1


@compiled_inline
def new_place(index: Any, records: Any, places: Any, high: Any, low: Any) -> Any:
    """A free place for a visitor who isn't there yet; capacity must have been seen to."""
    if places[_FIRST_FREE] >= 0:
        slot = places[_FIRST_FREE]
        places[_FIRST_FREE] = records[slot].next_free
    else:
        slot = places[_HIGH_WATER]
        places[_HIGH_WATER] += 1
    places[_LIVE] += 1
    records[slot].high = high
    records[slot].low = low
    insert_record(index, slot, high)
    return slot


@compiled_inline
def append_text(heap: Any, places: Any, source: Any, start: Any, size: Any) -> None:
    """Copy a text's bytes to the heap's end; room must have been seen to."""
    end = places[_TEXT_END]
    for k in range(size):
        heap[end + k] = source[start + k]
    places[_TEXT_END] = end + max(size, 0)


@compiled_inline
def text_end(places: Any) -> Any:
    """Where the next text goes."""
    return places[_TEXT_END]


@compiled_inline
def count_dead(places: Any, size: Any) -> None:
    """That many bytes of the heap aren't used any more."""
    places[_TEXT_DEAD] += size


@compiled
def _find(index: Any, records: Any, high: Any, low: Any) -> Any:
    return find_record(index, records, high, low)


@compiled
def _sweep(index: Any, records: Any, places: Any, changed: Any, start: Any, end: Any, oldest: Any) -> None:
    for slot in range(start, end):
        if records[slot].flags & USED and records[slot].last_seen < oldest:
            remove_record(index, records, slot)
            places[_TEXT_DEAD] += text_bytes(records[slot])
            records[slot].flags &= CHANGED
            mark_changed(records, slot, places, changed)
            records[slot].next_free = places[_FIRST_FREE]
            places[_FIRST_FREE] = slot
            places[_LIVE] -= 1


@compiled
def _pack(records: Any, places: Any, old: Any, new: Any) -> None:
    end = 0
    for slot in range(places[_HIGH_WATER]):
        if not records[slot].flags & USED:
            continue
        start = records[slot].text_at
        size = text_bytes(records[slot])
        for k in range(size):
            new[end + k] = old[start + k]
        records[slot].text_at = end
        end += size
    places[_TEXT_END] = end
    places[_TEXT_DEAD] = 0


@compiled
def _changed_bytes(records: Any) -> Any:
    size = 0
    for i in range(records.size):
        if records[i].flags & USED and records[i].flags & TEXTS_CHANGED:
            size += text_bytes(records[i])
    return size


@compiled
def _gather_texts(records: Any, heap: Any, out: Any) -> None:
    end = 0
    for i in range(records.size):
        if records[i].flags & USED and records[i].flags & TEXTS_CHANGED:
            start = records[i].text_at
            size = text_bytes(records[i])
            for k in range(size):
                out[end + k] = heap[start + k]
            end += size


@compiled
def _forget(records: Any, changed: Any, places: Any) -> None:
    for i in range(places[_CHANGES]):
        records[changed[i]].flags &= USED | UTM_KNOWN | CURRENCY_KNOWN
    places[_CHANGES] = 0


@compiled
def _apply(slots: Any, changes: Any, records: Any, text_at: Any) -> None:
    for i in range(slots.size):
        slot = slots[i]
        before = records[slot].text_at
        records[slot] = changes[i]
        flags = changes[i].flags
        records[slot].flags = flags & (USED | UTM_KNOWN | CURRENCY_KNOWN)
        if flags & USED and flags & TEXTS_CHANGED:
            records[slot].text_at = text_at
            text_at += text_bytes(changes[i])
        else:
            records[slot].text_at = before


@compiled
def _recount(records: Any, places: Any) -> None:
    places[_FIRST_FREE] = -1
    live = 0
    used = 0
    for slot in range(places[_HIGH_WATER]):
        if records[slot].flags & USED:
            live += 1
            used += text_bytes(records[slot])
        else:
            records[slot].next_free = places[_FIRST_FREE]
            places[_FIRST_FREE] = slot
    places[_LIVE] = live
    places[_TEXT_DEAD] = places[_TEXT_END] - used


@dataclass(slots=True)
class ProfileTable:
    """The arrays of a shard's profiles; `records` is indexed by place.

    Compiled loops work on the arrays; `places` holds the counters that they share. A pickled table is a whole one.
    """

    records: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(16, PROFILE))
    index: npt.NDArray[np.int32] = field(default_factory=lambda: np.full(32, -1, np.int32))
    changed: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(16, np.int32))
    heap: Bytes = field(default_factory=lambda: np.zeros(1_024, np.uint8))
    places: npt.NDArray[np.int64] = field(default_factory=lambda: np.array([-1, 0, 0, 0, 0, 0], np.int64))

    @property
    def live(self) -> int:
        """How many profiles there are."""
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
    def live_text_bytes(self) -> int:
        """How many bytes the profiles' texts take."""
        return int(self.places[_TEXT_END] - self.places[_TEXT_DEAD])

    @property
    def memory(self) -> int:
        """How many bytes the arrays take, room for growth included."""
        arrays = (self.records, self.index, self.changed, self.heap)
        return sum(array.nbytes for array in arrays)

    def find(self, high: int, low: int) -> int:
        """The place of the visitor with that hash, or -1."""
        return int(_find(self.index, self.records, np.uint64(high), np.uint64(low)))

    def reserve(self, more: int) -> None:
        """Make room for `more` new profiles."""
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

    def reserve_texts(self, more: int) -> None:
        """Make room for `more` bytes of texts; the heap is packed first where most of it is dead."""
        end, dead = int(self.places[_TEXT_END]), int(self.places[_TEXT_DEAD])
        if dead > _DEAD_SLACK + end // 2:
            packed = np.zeros(max(1_024, end - dead + more), np.uint8)
            _pack(self.records, self.places, self.heap, packed)
            self.heap = packed
        elif end + more > self.heap.size:
            larger = np.zeros(max(end + more, 2 * self.heap.size), np.uint8)
            larger[:end] = self.heap[:end]
            self.heap = larger

    def sweep(self, start: int, end: int, oldest: int) -> None:
        """Free those of the places from `start` to `end` whose visitor was last seen before `oldest`."""
        _sweep(self.index, self.records, self.places, self.changed, start, min(end, self.high_water), oldest)

    def texts_of(self, profile: Any) -> tuple[str | None, str | None, str | None, str | None]:
        """Visitor, user, first source and first campaign of a record of this table."""
        at = int(profile["text_at"])
        texts: list[str | None] = []
        for name in ("visitor_size", "user_size", "source_size", "campaign_size"):
            size = int(profile[name])
            texts.append(None if size < 0 else self.heap[at : at + size].tobytes().decode())
            at += max(size, 0)
        visitor, user, source, campaign = texts
        return visitor, user, source, campaign

    def changes(self) -> Changes:
        """What changed since `forget_changes`, as copies."""
        slots = self.changed[: self.changes_pending].copy()
        return self._changes_at(slots, take_records(self.records, slots.astype(np.int64)))

    def whole(self, start: int, end: int) -> Changes:
        """All profiles from place `start` to `end`, as if they had just been added."""
        records = copied(self.records[start : min(end, self.high_water)])
        used = np.flatnonzero(records["flags"] & USED)
        records = take_records(records, used)
        records["flags"] |= TEXTS_CHANGED
        return self._changes_at((start + used).astype(np.int32), records)

    def _changes_at(self, slots: npt.NDArray[np.int32], records: npt.NDArray[np.void]) -> Changes:
        texts = np.empty(int(_changed_bytes(records)), np.uint8)
        _gather_texts(records, self.heap, texts)
        return Changes(slots, records, texts)

    def forget_changes(self) -> None:
        """From now on nothing counts as changed: it has been written."""
        _forget(self.records, self.changed, self.places)

    def apply(self, changes: Changes) -> None:
        """Take over what another table's `changes` or `whole` gave; `settle_down` must follow the last of them."""
        if not changes.slots.size:
            return
        highest = int(changes.slots.max()) + 1
        self._reserve_places(highest)
        self.places[_HIGH_WATER] = max(self.high_water, highest)
        end, more = int(self.places[_TEXT_END]), changes.texts.size
        if end + more > self.heap.size:
            larger = np.zeros(max(end + more, 2 * self.heap.size), np.uint8)
            larger[:end] = self.heap[:end]
            self.heap = larger
        self.heap[end : end + more] = changes.texts
        _apply(changes.slots, changes.records, self.records, end)
        self.places[_TEXT_END] = end + more

    def settle_down(self) -> None:
        """Count and index what `apply` has brought."""
        _recount(self.records, self.places)
        self._reindex(max(16, self.live))
        self.reserve_texts(0)

    def load_loops(self) -> None:
        """Call each of the loops once; the profiles stay as they are."""
        self.find(0, 0)
        packed = np.zeros(self.heap.size, np.uint8)
        _pack(self.records, self.places, self.heap, packed)
        self.heap = packed
        ProfileTable().apply(self.whole(0, self.high_water))
        _forget(self.records, self.changed[:0], self.places.copy() * 0)
        self.settle_down()

    def __getstate__(self) -> Changes:
        return self.whole(0, self.high_water)

    def __setstate__(self, state: Changes) -> None:
        blank = ProfileTable()
        self.records, self.index, self.changed = blank.records, blank.index, blank.changed
        self.heap, self.places = blank.heap, blank.places
        self.apply(state)
        self.settle_down()
