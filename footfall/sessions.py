"""Sessions: a visitor's events without a gap, with duplicates taken out, in event-time order.

A session ends when more than `gap` passes without an event, when an event would make it longer than
`max_length`, or (if asked for) when an event later than its start names a campaign other than the session's first
one, or the first one. It is over, and its state dropped, as soon as the watermark shows that no event can extend
it.

A record whose message is already in the session that its time falls into is a duplicate: it is dropped, extends
nothing, and is counted. The copy with the first position stays. Where the copy that is read later in a partition
has the earlier time (by at most `gap`), it is therefore the one that is dropped; `superseded` finds those before
the loop, which needs only copies that have been read already.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.clock import FOREVER
from footfall.compiled import compiled, compiled_inline
from footfall.event_batch import HAS_CURRENCY, HAS_PATH, HAS_REFERRER, HAS_USER, HAS_UTM, HAS_VALUE, Events
from footfall.visitors import VISITOR, VisitorTable, add_visitor, find_visitor

PAGE_VIEW, CLICK, CONVERSION = range(3)
"""The bits of an event's mask that sessions count by: the first conditions of every plan."""

_PAGE_SALT = np.uint64(0x9E3779B97F4A7C15)
_LARGEST = np.iinfo(np.int64).max

_NEXT_SESSION, _MEMBERS_USED, _CLOSED, _TOUCHED, _ROUND = range(5)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Bounds in milliseconds, and whether an event of another campaign begins a new session."""

    gap: int = 1_800_000
    max_length: int = 86_400_000
    split_on_campaign: bool = False


@compiled_inline
def _mix(word: Any) -> Any:
    word ^= word >> np.uint64(31)
    word *= np.uint64(0x7FB5D329728EA185)
    word ^= word >> np.uint64(27)
    word *= np.uint64(0x81DADEF4BC2DD44D)
    return word ^ (word >> np.uint64(33))


@compiled_inline
def join_members(
    keys: Any, owners: Any, sessions: Any, session: Any, slot: Any, word: Any, counters: Any
) -> Any:
    """Add (session, word) to the members; False if it was there."""
    key = _mix(word ^ _mix(np.uint64(session)))
    mask = keys.size - 1
    at = np.int64(key & np.uint64(mask))
    while owners[at] >= 0:
        if keys[at] == key and sessions[at] == session:
            return False
        at = (at + 1) & mask
    keys[at] = key
    owners[at] = slot
    sessions[at] = session
    counters[_MEMBERS_USED] += 1
    return True


@compiled_inline
def is_member(keys: Any, owners: Any, sessions: Any, session: Any, word: Any) -> Any:
    """Whether (session, word) is among the members."""
    key = _mix(word ^ _mix(np.uint64(session)))
    mask = keys.size - 1
    at = np.int64(key & np.uint64(mask))
    while owners[at] >= 0:
        if keys[at] == key and sessions[at] == session:
            return True
        at = (at + 1) & mask
    return False


@compiled
def _keep_live(old: Any, new: Any, visitors: Any, counters: Any) -> None:
    keys, owners, sessions = old
    new_keys, new_owners, new_sessions = new
    mask = new_keys.size - 1
    used = 0
    for i in range(keys.size):
        slot = owners[i]
        if slot < 0 or not visitors[slot].used or not visitors[slot].open:
            continue
        if visitors[slot].session != sessions[i]:
            continue
        at = np.int64(keys[i] & np.uint64(mask))
        while new_owners[at] >= 0:
            at = (at + 1) & mask
        new_keys[at] = keys[i]
        new_owners[at] = slot
        new_sessions[at] = sessions[i]
        used += 1
    counters[_MEMBERS_USED] = used


@compiled
def _count_live(owners: Any, sessions: Any, visitors: Any) -> Any:
    live = 0
    for i in range(owners.size):
        slot = owners[i]
        if (
            slot >= 0
            and visitors[slot].used
            and visitors[slot].open
            and visitors[slot].session == sessions[i]
        ):
            live += 1
    return live


@compiled_inline
def message_word(event: Any) -> Any:
    """What stands for an event's message among the members."""
    return event.message_high ^ (event.message_low << np.uint64(1))


@compiled_inline
def is_over(session: Any, time: Any, gap: Any, max_length: Any) -> Any:
    """Whether an event of that time can't be in the session any more (`session` has `start` and `last`)."""
    return time - session.last > gap or time - session.start > max_length


@compiled_inline
def splits(session: Any, event: Any, split_on_campaign: Any) -> Any:
    """Whether the event's campaign begins a new session."""
    # No two sessions of a visitor begin at the same time: a copy could begin both, and give them one name.
    return (
        split_on_campaign
        and event.campaign
        and event.campaign != session.campaign
        and event.time > session.start
    )


@compiled_inline
def _close(visitors: Any, slot: Any, at: Any, closed: Any, closed_at: Any, counters: Any) -> None:
    closed[counters[_CLOSED]] = visitors[slot]
    closed_at[counters[_CLOSED]] = at
    counters[_CLOSED] += 1
    visitors[slot].open = 0


@compiled_inline
def _saturated_sum(a: Any, b: Any) -> Any:
    if b > 0 and a > _LARGEST - b:
        return _LARGEST
    if b < 0 and a < -_LARGEST - b:
        return -_LARGEST
    return a + b


@compiled
def _run(
    events: Any,
    dropped: Any,
    places_of: Any,
    visitors: Any,
    index: Any,
    places: Any,
    members: Any,
    closed: Any,
    closed_at: Any,
    touched: Any,
    counters: Any,
    bounds: Any,
) -> None:
    keys, owners, sessions = members
    gap, max_length, split_on_campaign = bounds
    for i in range(events.size):
        event = events[i]
        time = event.time
        places_of[i] = -1
        if dropped[i]:
            continue
        slot = find_visitor(index, visitors, event.visitor_high, event.visitor_low)
        if slot < 0:
            slot = add_visitor(index, visitors, places, event.visitor_high, event.visitor_low)
        visitor = visitors[slot]
        if visitor.open and is_over(visitor, time, gap, max_length):
            at = min(visitor.last + gap, visitor.start + max_length)
            _close(visitors, slot, at, closed, closed_at, counters)
        word = message_word(event)
        if visitor.open and is_member(keys, owners, sessions, visitor.session, word):
            dropped[i] = True
            continue
        if visitor.open and splits(visitor, event, split_on_campaign):
            _close(visitors, slot, time, closed, closed_at, counters)
        if not visitor.open:
            visitor.open = 1
            visitor.session = counters[_NEXT_SESSION]
            counters[_NEXT_SESSION] += 1
            visitor.start = time
            visitor.last = time
            visitor.events = 0
            visitor.page_views = 0
            visitor.clicks = 0
            visitor.conversions = 0
            visitor.pages = 0
            visitor.value = 0
            visitor.longest_idle = 0
            visitor.currency = 0
            visitor.campaign = event.campaign
            visitor.mixed = 0
            visitor.first_high = event.message_high
            visitor.first_low = event.message_low
            visitor.first_row = event.row
            visitor.entry_row = -1
            visitor.exit_row = -1
            visitor.referrer_row = -1
            visitor.utm_row = -1
            visitor.user_row = -1
            visitor.currency_row = -1
        join_members(keys, owners, sessions, visitor.session, slot, word, counters)
        places_of[i] = slot
        if visitor.round != counters[_ROUND]:
            visitor.round = counters[_ROUND]
            touched[counters[_TOUCHED]] = slot
            counters[_TOUCHED] += 1
        visitor.longest_idle = max(visitor.longest_idle, time - visitor.last)
        visitor.last = time
        visitor.events += 1
        visitor.page_views += np.int64((event.mask >> np.uint64(PAGE_VIEW)) & np.uint64(1))
        visitor.clicks += np.int64((event.mask >> np.uint64(CLICK)) & np.uint64(1))
        visitor.conversions += np.int64((event.mask >> np.uint64(CONVERSION)) & np.uint64(1))
        if event.campaign != 0 and visitor.campaign == 0:
            visitor.campaign = event.campaign
        marks = event.marks
        if marks & HAS_PATH:
            if visitor.entry_row < 0:
                visitor.entry_row = event.row
            visitor.exit_row = event.row
            if join_members(keys, owners, sessions, visitor.session, slot, event.page ^ _PAGE_SALT, counters):
                visitor.pages += 1
        if marks & HAS_REFERRER and visitor.referrer_row < 0:
            visitor.referrer_row = event.row
        if marks & HAS_UTM and visitor.utm_row < 0:
            visitor.utm_row = event.row
        if marks & HAS_USER:
            visitor.user_row = event.row
        if marks & HAS_VALUE:
            if marks & HAS_CURRENCY and visitor.currency_row < 0:
                visitor.currency_row = event.row
                visitor.currency = event.currency
            if marks & HAS_CURRENCY and event.currency != visitor.currency:
                visitor.mixed = 1
            else:
                visitor.value = _saturated_sum(visitor.value, event.value)


@compiled
def _close_due(
    visitors: Any, count: Any, until: Any, bounds: Any, closed: Any, closed_at: Any, counters: Any
) -> Any:
    gap, max_length, _ = bounds
    next_due = _LARGEST
    for slot in range(count):
        visitor = visitors[slot]
        if visitor.used and visitor.open:
            over = min(visitor.last + gap, visitor.start + max_length)
            if over <= until:
                _close(visitors, slot, over, closed, closed_at, counters)
            else:
                next_due = min(next_due, over)
    return next_due


@compiled
def _mark_superseded(events: Any, order: Any, gap: Any, table: Any, out: Any) -> None:
    # `order` lists the events from the latest back; `table` has, of each message, the copy that stays and was met last:
    # among those that stay within the gap, it is the one that was read first.
    mask = table.size - 1
    for k in range(order.size):
        i = order[k]
        event = events[i]
        word = _mix(event.message_low ^ _mix(event.visitor_low ^ np.uint64(event.partition)))
        at = np.int64(word & np.uint64(mask))
        while True:
            j = table[at]
            if j < 0:
                table[at] = i
                break
            other = events[j]
            if (
                other.message_low == event.message_low
                and other.message_high == event.message_high
                and other.visitor_low == event.visitor_low
                and other.visitor_high == event.visitor_high
                and other.partition == event.partition
            ):
                if other.offset < event.offset and other.time - event.time <= gap:
                    out[i] = True
                else:
                    table[at] = i
                break
            at = (at + 1) & mask


def superseded(events: Events, order: npt.NDArray[np.int64], gap: int) -> npt.NDArray[np.bool_]:
    """Which events are copies that a copy of an earlier position and a later time (by at most `gap`) replaces.

    A copy that is replaced itself replaces none.

    `events` are all that are in hand (about to be settled, or waiting), `order` sorts them by time, the latest
    first.
    """
    out = np.zeros(events.size, np.bool_)
    table = np.full(1 << max(4, (2 * events.size).bit_length()), -1, np.int64)
    _mark_superseded(events, order, gap, table, out)
    return out


@dataclass(slots=True)
class ClosedSessions:
    """Sessions that a round has closed: their visitor records, and the time each was over at."""

    records: npt.NDArray[np.void]
    times: npt.NDArray[np.int64]


def new_members(size: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Blank members; `size` is a power of two, and at least twice as many as will join."""
    return np.zeros(size, np.uint64), np.full(size, -1, np.int32), np.zeros(size, np.int64)


@dataclass(slots=True)
class SessionTracker:
    """A shard's open sessions (they stand in the visitor table) and what is in them.

    `members` is one open-addressing set of (session, message) and (session, page); the entries of closed
    sessions go when it is rebuilt, so that it is bounded by what open sessions hold. Its keys are 64-bit: two
    messages of one session are taken for one with a probability of about n²/2⁶⁵ for n events in it.
    """

    settings: SessionSettings
    members: tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32], npt.NDArray[np.int64]] = field(
        default_factory=lambda: new_members(64)
    )
    counters: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(5, np.int64))
    next_due: int = FOREVER

    @property
    def bounds(self) -> tuple[int, int, bool]:
        """The settings as the loops take them."""
        return self.settings.gap, self.settings.max_length, self.settings.split_on_campaign

    def _reserve_members(self, more: int, visitors: VisitorTable) -> None:
        keys, owners, sessions = self.members
        if 2 * (int(self.counters[_MEMBERS_USED]) + more) <= keys.size:
            return
        live = int(_count_live(owners, sessions, visitors.records))
        new = new_members(1 << max(6, (3 * (live + more)).bit_length()))
        _keep_live(self.members, new, visitors.records, self.counters)
        self.members = new

    def settle(
        self, events: Events, dropped: npt.NDArray[np.bool_], until: int, visitors: VisitorTable
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], ClosedSessions]:
        """Take events in their final order, then let the clock reach `until`.

        Duplicates are marked in `dropped`, which says beforehand which ones are superseded.

        Returns:
            The place of each event's visitor (-1 for a dropped one), the places of the visitors that took an
            event, and the sessions that closed, in the order of their ends.
        """
        count = events.size
        visitors.reserve(count)
        self._reserve_members(2 * count, visitors)
        self.counters[_CLOSED] = 0
        self.counters[_TOUCHED] = 0
        self.counters[_ROUND] = (self.counters[_ROUND] + 1) & 0x7FFFFFFF
        settings = self.settings
        places_of = np.empty(count, np.int64)
        touched = np.empty(count, np.int64)
        room = count + visitors.live + count
        closed = np.empty(room, VISITOR)
        closed_at = np.empty(room, np.int64)
        bounds = self.bounds
        _run(
            events,
            dropped,
            places_of,
            visitors.records,
            visitors.index,
            visitors.places,
            self.members,
            closed,
            closed_at,
            touched,
            self.counters,
            bounds,
        )
        touched = touched[: self.counters[_TOUCHED]]
        if touched.size:
            last, start = visitors.records["last"][touched], visitors.records["start"][touched]
            over = np.minimum(last + settings.gap, start + settings.max_length)
            self.next_due = min(self.next_due, int(over.min()))
        if self.next_due <= until:
            self.next_due = int(
                _close_due(
                    visitors.records,
                    visitors.high_water,
                    until,
                    bounds,
                    closed,
                    closed_at,
                    self.counters,
                )
            )
        over = int(self.counters[_CLOSED])
        return places_of, touched, ClosedSessions(closed[:over], closed_at[:over])

    def open_sessions(self, visitors: VisitorTable) -> int:
        """How many sessions are open."""
        return int(visitors.records["open"][: visitors.high_water].sum())

    def __getstate__(self) -> tuple[Any, ...]:
        keys, owners, sessions = self.members
        taken = np.flatnonzero(owners >= 0)
        entries = keys[taken], owners[taken], sessions[taken]
        return self.settings, keys.size, entries, self.counters.copy(), self.next_due

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.settings, size, entries, self.counters, self.next_due = state
        self.members = new_members(size)
        _fill(entries, self.members)


@compiled
def _fill(entries: Any, members: Any) -> None:
    keys, owners, sessions = entries
    new_keys, new_owners, new_sessions = members
    mask = new_keys.size - 1
    for i in range(keys.size):
        at = np.int64(keys[i] & np.uint64(mask))
        while new_owners[at] >= 0:
            at = (at + 1) & mask
        new_keys[at] = keys[i]
        new_owners[at] = owners[i]
        new_sessions[at] = sessions[i]
