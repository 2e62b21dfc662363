"""A shard's profiles as arrays: one record a known visitor, an index by the visitor's hash, their texts in one heap.

The heap holds each profile's texts (visitor, user, first source, first campaign) one after another; a changed text
goes to the heap's end, with the others of its profile, and the heap is packed when most of it is dead. Records, index
and what changed are those of any table (`footfall.record_table`); where the texts lie is not in the log.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from footfall.compiled import compiled, compiled_inline
from footfall.record_table import CHANGED, PLACES, USED, Bytes, Changes, RecordTable, free_place

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

UTM_KNOWN, CURRENCY_KNOWN, TEXTS_CHANGED = 2, 4, 16
"""Bits of `flags` beside those of every table. The `texts` of `Changes` are those of the records that have `USED` and
`TEXTS_CHANGED`, one after another; the others' texts are what they were."""

_TEXT_END, _TEXT_DEAD = PLACES, PLACES + 1
_DEAD_SLACK = 65_536


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
def _sweep(index: Any, records: Any, places: Any, changed: Any, start: Any, end: Any, oldest: Any) -> None:
    for slot in range(start, end):
        if records[slot].flags & USED and records[slot].last_seen < oldest:
            places[_TEXT_DEAD] += text_bytes(records[slot])
            free_place(index, records, places, changed, slot)


@compiled
def _all_text_bytes(records: Any) -> Any:
    size = 0
    for slot in range(records.size):
        if records[slot].flags & USED:
            size += text_bytes(records[slot])
    return size


@compiled
def _pack(records: Any, places: Any, old: Any, new: Any) -> None:
    end = 0
    for slot in range(records.size):
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
def _apply(slots: Any, changes: Any, records: Any, text_at: Any, lasting: Any) -> None:
    for i in range(slots.size):
        slot = slots[i]
        before = records[slot].text_at
        records[slot] = changes[i]
        records[slot].flags &= lasting
        flags = changes[i].flags
        if flags & USED and flags & TEXTS_CHANGED:
            records[slot].text_at = text_at
            text_at += text_bytes(changes[i])
        else:
            records[slot].text_at = before


class ProfileTable(RecordTable):
    """The arrays of a shard's profiles; `records` is indexed by place.

    Compiled loops work on the arrays; `places` holds the counters that they share. A pickled table is a whole one.

    Attributes:
        heap: the profiles' texts.
    """

    __slots__ = ("heap",)

    passing: ClassVar[int] = CHANGED | TEXTS_CHANGED

    def __init__(self) -> None:
        super().__init__(PROFILE)

    def _begin(self, dtype: np.dtype[np.void]) -> None:
        super()._begin(dtype)
        self.places = np.concatenate([self.places, np.zeros(2, np.int64)])
        self.heap: Bytes = np.zeros(1_024, np.uint8)

    @property
    def live_text_bytes(self) -> int:
        """How many bytes the profiles' texts take."""
        return int(self.places[_TEXT_END] - self.places[_TEXT_DEAD])

    @property
    def live_bytes(self) -> int:
        """How many bytes a log needs for what there is, each profile and its texts once."""
        return super().live_bytes + self.live_text_bytes

    @property
    def memory(self) -> int:
        """How many bytes the arrays take, room for growth included."""
        return super().memory + self.heap.nbytes

    def reserve_texts(self, more: int) -> None:
        """Make room for `more` bytes of texts; the heap is packed first where most of it is dead."""
        end, dead = int(self.places[_TEXT_END]), int(self.places[_TEXT_DEAD])
        if dead > _DEAD_SLACK + end // 2:
            packed = np.zeros(max(1_024, end - dead + more), np.uint8)
            _pack(self.records[: self.high_water], self.places, self.heap, packed)
            self.heap = packed
        else:
            self._grow_heap(end, more)

    def _grow_heap(self, end: int, more: int) -> None:
        if end + more > self.heap.size:
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
        return self._with_texts(super().changes())

    def whole(self, start: int, end: int) -> Changes:
        """All profiles from place `start` to `end` (or the last one), as copies, as if they had just been added."""
        whole = super().whole(start, end)
        whole.records["flags"] |= TEXTS_CHANGED
        return self._with_texts(whole)

    def _with_texts(self, changes: Changes) -> Changes:
        texts = np.empty(int(_changed_bytes(changes.records)), np.uint8)
        _gather_texts(changes.records, self.heap, texts)
        return changes._replace(texts=texts)

    def apply(self, changes: Changes) -> None:
        """Take over what another table's `changes` or `whole` gave; `settle_down` must follow the last of them."""
        if not changes.slots.size:
            return
        self._reserve_slots(changes.slots)
        end, more = int(self.places[_TEXT_END]), changes.texts.size
        self._grow_heap(end, more)
        self.heap[end : end + more] = changes.texts
        _apply(changes.slots, changes.records, self.records, end, ~self.passing)
        self.places[_TEXT_END] = end + more

    def settle_down(self) -> None:
        """Count and index what `apply` has brought."""
        super().settle_down()
        used = int(_all_text_bytes(self.records[: self.high_water]))
        self.places[_TEXT_DEAD] = self.places[_TEXT_END] - used
        self.reserve_texts(0)

    def load_loops(self) -> None:
        """Call each of the loops once, so that no round or snapshot waits for one; the profiles stay as they are."""
        super().load_loops()
        packed = np.zeros(self.heap.size, np.uint8)
        _pack(self.records[: self.high_water], self.places, self.heap, packed)
        self.heap = packed
        blank = ProfileTable()
        blank.apply(self.whole(0, self.high_water))
        blank.settle_down()
