"""The compiled loops of a round of profiles: its events taken, a profile as of a time, and the table written.

A round has its own copies of the profiles that it touches, an index of them, and its events chained by visitor; the
table changes only when it is written back. Arrays passed here have room for as many profiles as there are events.
"""

from typing import Any

import numpy as np

from footfall.clock import NEVER
from footfall.compiled import compiled, compiled_inline
from footfall.event_batch import HAS_CURRENCY, HAS_USER, HAS_UTM, HAS_VALUE
from footfall.profile_table import (
    CURRENCY_KNOWN,
    TEXTS_CHANGED,
    UTM_KNOWN,
    append_text,
    count_dead,
    text_bytes,
    text_end,
)
from footfall.record_table import CHANGED, USED, find_record, mark_changed, new_place
from footfall.sessions import CLICK, CONVERSION, PAGE_VIEW

TOUCHED = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("slot", np.int64),
        ("first", np.int64),
        ("last", np.int64),
        ("user", np.int64),
        ("utm", np.int64),
        ("anew", np.int64),
    ]
)
"""One profile that a round touches: its visitor, its place (-1: it is new), the visitor's first and last event in the
round, the events that its user and its campaign come from (-1: the table knows), and whether it began anew."""

_LARGEST = np.iinfo(np.int64).max


@compiled_inline
def _saturated_sum(a: Any, b: Any) -> Any:
    if b > 0 and a > _LARGEST - b:
        return _LARGEST
    if b < 0 and a < -_LARGEST - b:
        return -_LARGEST
    return a + b


@compiled_inline
def _blank(profile: Any, touched: Any, high: Any, low: Any) -> None:
    profile.high = high
    profile.low = low
    profile.flags = 0
    profile.text_at = 0
    profile.visitor_size = 0
    profile.user_size = -1
    profile.source_size = -1
    profile.campaign_size = -1
    touched.slot = -1


@compiled_inline
def _take_event(profile: Any, touched: Any, event: Any, i: Any, begins: Any, horizon: Any) -> None:
    time = event.time
    if not profile.flags & USED or time - profile.last_seen > horizon:
        touched.anew = 1
        touched.user = -1
        touched.utm = -1
        profile.flags = (profile.flags & (CHANGED | TEXTS_CHANGED)) | USED
        profile.first_seen = time
        profile.events = 0
        profile.sessions = 0
        profile.page_views = 0
        profile.clicks = 0
        profile.conversions = 0
        profile.value = 0
        profile.last_conversion = NEVER
        profile.currency = 0
        profile.user_size = -1
        profile.source_size = -1
        profile.campaign_size = -1
    profile.last_seen = time
    profile.events += 1
    profile.sessions += np.int64(begins)
    profile.page_views += np.int64((event.mask >> np.uint64(PAGE_VIEW)) & np.uint64(1))
    profile.clicks += np.int64((event.mask >> np.uint64(CLICK)) & np.uint64(1))
    marks = event.marks
    if marks & HAS_USER:
        touched.user = i
    if marks & HAS_UTM and not profile.flags & UTM_KNOWN:
        profile.flags |= UTM_KNOWN
        touched.utm = i
    if not (event.mask >> np.uint64(CONVERSION)) & np.uint64(1):
        return
    profile.conversions += 1
    profile.last_conversion = time
    if marks & HAS_VALUE:
        if marks & HAS_CURRENCY and not profile.flags & CURRENCY_KNOWN:
            profile.flags |= CURRENCY_KNOWN
            profile.currency = event.currency
        if not marks & HAS_CURRENCY or event.currency == profile.currency:
            profile.value = _saturated_sum(profile.value, event.value)


@compiled_inline
def _find_touched(local: Any, touched: Any, high: Any, low: Any) -> Any:
    """The place in the round's own index: of the visitor, or the blank one where they belong."""
    mask = local.size - 1
    at = np.int64(high & np.uint64(mask))
    while local[at] >= 0:
        own = touched[local[at]]
        if own.high == high and own.low == low:
            break
        at = (at + 1) & mask
    return at


@compiled
def take_round(
    events: Any,
    dropped: Any,
    places_of: Any,
    begins: Any,
    index: Any,
    records: Any,
    numbers: Any,
    local: Any,
    profiles: Any,
    touched: Any,
    later: Any,
    horizon: Any,
) -> Any:
    """Take a round's events, dropped ones left out; how many profiles they touch.

    `profiles` and `touched` get one record for each of those, `local` (filled with -1, at least twice as large)
    their index by hash, `numbers` (filled with -1) that by `places_of`; both are empty where no places are known.
    `later` gets for each event the next one of its visitor, or -1.
    """
    count = 0
    known = numbers.size > 0
    for i in range(events.size):
        if dropped[i]:
            continue
        event = events[i]
        high = event.visitor_high
        low = event.visitor_low
        j = numbers[places_of[i]] if known else local[_find_touched(local, touched, high, low)]
        if j < 0:
            j = count
            count += 1
            local[_find_touched(local, touched, high, low)] = j
            if known:
                numbers[places_of[i]] = j
            touched[j].high = high
            touched[j].low = low
            touched[j].first = i
            touched[j].user = -1
            touched[j].utm = -1
            touched[j].anew = 0
            slot = find_record(index, records, high, low)
            if slot < 0:
                _blank(profiles[j], touched[j], high, low)
            else:
                profiles[j] = records[slot]
                touched[j].slot = slot
        else:
            later[touched[j].last] = i
        touched[j].last = i
        later[i] = -1
        _take_event(profiles[j], touched[j], event, i, begins[i], horizon)
    return count


@compiled
def profile_as_of(
    high: Any,
    low: Any,
    time: Any,
    events: Any,
    begins: Any,
    index: Any,
    records: Any,
    local: Any,
    touched: Any,
    later: Any,
    horizon: Any,
    found: Any,
    source: Any,
) -> Any:
    """Whether a visitor has a profile as of a time.

    `found` and `source`, arrays of one record, get the profile and where its texts come from.
    """
    source[0].user = -1
    source[0].utm = -1
    source[0].anew = 0
    slot = find_record(index, records, high, low)
    if slot < 0:
        _blank(found[0], source[0], high, low)
    else:
        found[0] = records[slot]
        source[0].slot = slot
    if local.size:
        j = local[_find_touched(local, touched, high, low)]
        if j >= 0:
            i = touched[j].first
            source[0].first = i
            while i >= 0 and events[i].time <= time:
                _take_event(found[0], source[0], events[i], i, begins[i], horizon)
                i = later[i]
    return found[0].flags & USED and time - found[0].last_seen <= horizon


@compiled_inline
def _differs(heap: Any, start: Any, size: Any, column: Any, k: Any) -> Any:
    starts, sizes, data = column
    if size != sizes[k]:
        return True
    same = True
    for b in range(size):
        same &= heap[start + b] == data[starts[k] + b]
    return not same


@compiled_inline
def _append_from(heap: Any, places: Any, column: Any, k: Any) -> Any:
    starts, sizes, data = column
    append_text(heap, places, data, starts[k], sizes[k])
    return sizes[k]


@compiled
def write_back(
    count: Any,
    profiles: Any,
    touched: Any,
    index: Any,
    records: Any,
    places: Any,
    changed: Any,
    heap: Any,
    columns: Any,
) -> None:
    """Write the profiles that a round touched to the table; there must be room.

    The columns (visitors, users, sources, campaigns) hold, in order, the texts of those of them that need such.
    """
    visitors, users, sources, campaigns = columns
    visitor_k, user_k, utm_k = np.int64(0), np.int64(0), np.int64(0)
    for j in range(count):
        own = touched[j]
        slot = own.slot
        is_new = slot < 0
        has_user = own.user >= 0
        has_utm = own.utm >= 0
        start = np.int64(0)
        rewrite = is_new or own.anew or has_utm
        if is_new:
            slot = new_place(index, records, places, profiles[j].high, profiles[j].low)
        else:
            old = records[slot]
            # The heap may have been packed since the copy was made.
            start = old.text_at
            profiles[j].text_at = start
            if has_user and not rewrite:
                rewrite = _differs(heap, start + old.visitor_size, old.user_size, users, user_k)
            if rewrite:
                count_dead(places, text_bytes(old))
        if is_new:
            # The place may have had another visitor, and be on the list of changed ones.
            profiles[j].flags |= records[slot].flags & CHANGED
        if rewrite:
            profile = profiles[j]
            end = text_end(places)
            # Sizes of texts that began anew are -1 by now: nothing is copied for them.
            from_user = start + profile.visitor_size
            from_source = from_user + max(profile.user_size, 0)
            from_campaign = from_source + max(profile.source_size, 0)
            if is_new:
                profile.visitor_size = _append_from(heap, places, visitors, visitor_k)
            else:
                append_text(heap, places, heap, start, profile.visitor_size)
            if has_user:
                profile.user_size = _append_from(heap, places, users, user_k)
            else:
                append_text(heap, places, heap, from_user, profile.user_size)
            if has_utm:
                profile.source_size = _append_from(heap, places, sources, utm_k)
                profile.campaign_size = _append_from(heap, places, campaigns, utm_k)
            else:
                append_text(heap, places, heap, from_source, profile.source_size)
                append_text(heap, places, heap, from_campaign, profile.campaign_size)
            profile.text_at = end
            profile.flags |= TEXTS_CHANGED
        visitor_k += np.int64(is_new)
        user_k += np.int64(has_user)
        utm_k += np.int64(has_utm)
        records[slot] = profiles[j]
        mark_changed(records, slot, places, changed)
