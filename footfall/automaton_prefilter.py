"""The pre-filter before an automaton: the events that a visitor has enough others of, close enough together.

A pattern that takes at least n events within its bound needs n of them that close together. Until a visitor (and value
of the `same` field) has them, its events wait here, as arrays; those whose time is over go without having cost an
automaton anything. What they could have begun would have ended unfinished: it can't have held another match up
either, since what completes within its bound would have been enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.clock import FOREVER
from footfall.compiled import compiled
from footfall.condition_words import WORD_BITS
from footfall.record_arrays import join_records, keep_records, take_records
from footfall.visitor_places import places_of_visitors

SEEN = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("same", np.uint64),
        ("row", np.int64),
        ("time", np.int64),
        ("place", np.int64),
        ("spent", np.int8),
    ]
)
"""An event that a pattern sees: its visitor, the hash of its `same` field's value (0 without one), the number of its
row, its time in ms, its place in the round (-1 if it came before), and whether it is kept only for what must not come
before a match."""

SKIP, WAIT, IF_LIVE, FEED = range(4)
"""What becomes of an event: it is dropped, it waits, it is for an automaton that lives, it may begin one."""
_MAY_WAIT = 4
_TAKES, _BEGINS, _ABSENT = 1, 2, 4


@dataclass(frozen=True, slots=True)
class SeenEvents:
    """Events that a pattern sees, in their final order: `SEEN` records, and their masks, shape (events, words)."""

    records: npt.NDArray[np.void]
    masks: npt.NDArray[np.uint64]

    @classmethod
    def none(cls, words: int) -> "SeenEvents":
        """No events, with masks of that many words."""
        return cls(np.zeros(0, SEEN), np.zeros((0, words), np.uint64))

    def kept(self, mask: npt.NDArray[np.bool_]) -> "SeenEvents":
        """Those that the mask names."""
        return SeenEvents(keep_records(self.records, mask), self.masks[mask])

    def widened(self, words: int) -> "SeenEvents":
        """The same with masks of that many words, the new ones empty."""
        more = words - self.masks.shape[1]
        return self if not more else SeenEvents(self.records, np.pad(self.masks, ((0, 0), (0, more))))

    def followed_by(self, later: "SeenEvents") -> "SeenEvents":
        """These, and then the others."""
        if not self.records.size:
            return later
        records = join_records([self.records, later.records])
        return SeenEvents(records, np.concatenate([self.masks, later.masks]))

    def parted_by(self, visitors: npt.NDArray[np.uint64]) -> tuple["SeenEvents", "SeenEvents"]:
        """Those of some visitors, by the low words of their hashes, and perhaps a few more; and the others."""
        near = np.zeros(self.records.size, np.bool_)
        near[places_of_visitors(self.records["low"], visitors)] = True
        return self.kept(near), self.kept(~near)

    def of_copies(self, visitors: Mapping[int, tuple[int, int]]) -> "SeenEvents | None":
        """Those of some visitors, each as often as it stands there, and for number i under the name (i, i)."""
        copies: dict[tuple[int, int], list[int]] = {}
        for copy, visitor in visitors.items():
            copies.setdefault(visitor, []).append(copy)
        near = places_of_visitors(self.records["low"], np.array([low for _, low in copies], np.uint64))
        keys = zip(*(self.records[name][near].tolist() for name in ("high", "low")), strict=True)
        found = [
            (place, copy)
            for place, key in zip(near.tolist(), keys, strict=True)
            for copy in copies.get(key, ())
        ]
        if not found:
            return None
        places, names = np.array(found).T
        records = take_records(self.records, places)
        records["high"] = records["low"] = names
        return SeenEvents(records, self.masks[places])

    def having(self, bits: int) -> npt.NDArray[np.bool_]:
        """Which have one of the mask's bits."""
        words = [(bits >> WORD_BITS * word) & (1 << WORD_BITS) - 1 for word in range(self.masks.shape[1])]
        found: npt.NDArray[np.bool_] = np.any((self.masks & np.array(words, np.uint64)) != 0, axis=1)
        return found


@dataclass(frozen=True, slots=True)
class Prefilter:
    """What a pattern needs before an automaton is worth its while.

    Attributes:
        least: how many events a match takes at least; more than one.
        within_ms: the pattern's bound.
        begins: the bits of the mask of which a match's first event has one.
        takes: the bits of which each taken event has one.
        absent: the bits of which an event has one that must not come before the first; 0 where none matters.
        absent_ms: for how long.
        begins_until: events from this time (ms) on begin nothing.
    """

    least: int
    within_ms: int
    begins: int
    takes: int
    absent: int
    absent_ms: int
    begins_until: int = FOREVER

    def decide(
        self, seen: SeenEvents, live: npt.NDArray[np.bool_], until: int
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
        """What becomes of each event, and which of those that are for a live automaton wait if there is none.

        Args:
            seen: what was kept, and the new events.
            live: whether the event's key has an automaton as the round begins.
            until: all events up to this time are in hand.
        """
        records = seen.records
        order = np.lexsort((records["row"], records["same"], records["high"], records["low"]))
        fates = np.zeros(records.size, np.int8)
        unspent = records["spent"] == 0
        kinds = np.zeros(records.size, np.int8)
        kinds[seen.having(self.takes) & unspent] |= _TAKES
        kinds[seen.having(self.begins) & unspent & (records["time"] < self.begins_until)] |= _BEGINS
        kinds[seen.having(self.absent)] |= _ABSENT
        _decide(order, records, kinds, live, self.least, (self.within_ms, self.absent_ms), until, fates)
        fates[~unspent] = SKIP
        may_wait = fates == _MAY_WAIT
        fates[may_wait] = IF_LIVE
        return fates, may_wait

    def left(self, seen: SeenEvents, waits: npt.NDArray[np.bool_], until: int) -> SeenEvents:
        """What is kept when a round is over: what waits, and what must not come before another match begins."""
        forbids = seen.having(self.absent) & (seen.records["time"] + self.absent_ms - 1 > until)
        kept = seen.kept(waits | forbids)
        records = take_records(kept.records, np.arange(kept.records.size))
        records["place"] = -1
        records["spent"] = ~waits[waits | forbids]
        return SeenEvents(records, kept.masks)


@compiled
def _decide(
    order: Any, seen: Any, kinds: Any, live: Any, least: Any, bounds: Any, until: Any, fates: Any
) -> None:
    """Decide on events, `order` putting each key's together."""
    within, absent_ms = bounds
    count = order.size
    begin = 0
    while begin < count:
        first = seen[order[begin]]
        end = begin
        lives = False
        while end < count:
            event = seen[order[end]]
            if event.high != first.high or event.low != first.low or event.same != first.same:
                break
            lives = lives or live[order[end]]
            end += 1
        # `ahead` is where the n-th taken event from here ends, `found` how many there are up to it.
        ahead = begin
        found = 0
        waits_to = np.int64(-1)
        barred = False
        last_absent = np.int64(0)
        for at in range(begin, end):
            i = order[at]
            time = seen[i].time
            over = time + within - 1
            free = not barred or time - last_absent >= absent_ms
            starts = False
            if kinds[i] & _TAKES:
                if ahead < at:
                    ahead = at
                    found = 0
                while found < least and ahead < end:
                    if kinds[order[ahead]] & _TAKES:
                        found += 1
                    ahead += 1
                starts = found == least and seen[order[ahead - 1]].time <= over
                found -= 1
            may_begin = kinds[i] & _BEGINS and free
            if starts and may_begin:
                fates[i] = FEED
                lives = True
            elif (may_begin and found + 1 < least and over > until) or time <= waits_to:
                # What comes after a beginning that waits may be part of what it begins.
                fates[i] = _MAY_WAIT if lives else WAIT
                if may_begin and over > until:
                    waits_to = max(waits_to, over)
            else:
                fates[i] = IF_LIVE if lives else SKIP
            if kinds[i] & _ABSENT:
                barred = True
                last_absent = time
        begin = end
