"""The compiled loop of a round: events, sessions that close and matches, in event-time order, visitor by visitor.

Before an event changes what is kept of its visitor, what is due by then comes out: moments after the visitor's last
event, and labels whose horizon has passed. So what is known at a moment never depends on what came later, nor on
where rounds end.
"""

from typing import Any

import numpy as np

from footfall.clock import FOREVER, NEVER
from footfall.compiled import compiled, compiled_inline
from footfall.event_batch import HAS_VALUE
from footfall.hash_index import find_record
from footfall.record_table import USED, free_place, mark_changed, new_place
from footfall.scoring.feature import DAY_MS
from footfall.scoring.feature_plan import (
    ADD,
    ADD_ELAPSED,
    ADD_ONE,
    ADD_TO_RING,
    ADD_VALUE,
    BEGINS,
    CODE,
    EARNS,
    HAPPENS,
    HIGHEST,
    MONEY,
    MULTIPLY,
    PLAIN,
    PUSH,
    RAISE,
    RING,
    SECONDS,
    SET_CODE,
    SET_FIRST,
    SET_FIRST_CODE,
    SET_TIME,
    SINCE,
    STAYS_AWAY,
    SUBTRACT,
)

AT_SESSION_END, AT_EVENT, AFTER_LAST_EVENT, AT_TRIGGER = range(4)

MOMENT = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("id_high", np.uint64),
        ("id_low", np.uint64),
        ("time", np.int64),
        ("models", np.int64),
        ("detail", np.int64),
        ("source", np.int64),
        ("kind", np.int64),
    ]
)
"""A moment at which models predict: its visitor, its id, the models (a bit each), and where it comes from: a closed
session (`source` its place among the round's), an event (its place in the round), time alone (`detail` the ms since
the visitor's last event), or a trigger that waits for scores (its place among the round's): nothing is learnt there."""

LABEL = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("id_high", np.uint64),
        ("id_low", np.uint64),
        ("time", np.int64),
        ("due", np.int64),
        ("value", np.float64),
        ("model", np.int64),
    ]
)
"""What came of a prediction: `time` is when that was known, `due` when its horizon was over, `value` 1 or 0, or money
in units."""

WAIT = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("flags", np.int32),
        ("next_free", np.int32),
        ("deadline", np.int64),
        ("base", np.int64),
        ("place", np.int32),
        ("next", np.int32),
        ("model", np.int32),
        ("spare", np.int32),
    ]
)
"""A prediction that waits for its label: its id, its visitor's place, and the next one of the visitor (-1: none)."""

CLOSE = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("first_high", np.uint64),
        ("first_low", np.uint64),
        ("time", np.int64),
        ("source", np.int64),
    ]
)
"""A session that closed, and its first event; in the order of their times."""

MATCHED = np.dtype([("high", np.uint64), ("low", np.uint64), ("time", np.int64), ("slot", np.int64)])
"""A settled match that a slot counts; in the order of their times."""

ASKED = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("trigger_high", np.uint64),
        ("trigger_low", np.uint64),
        ("time", np.int64),
        ("models", np.int64),
        ("source", np.int64),
    ]
)
"""A trigger that waits for scores as of a time, and the models that it asks; in the order of their times."""

EVENT_AT, CLOSE_AT, MATCH_AT, ASKED_AT, VISITOR_AT, WAIT_AT, MOMENTS, LABELS, NEXT_TIMER, NEXT_DEADLINE = (
    range(10)
)
"""The places of a round's cursor: how far each part is, how much has come out, and when the scans are due next."""

_LARGEST = np.iinfo(np.int64).max


def featured(slots: int) -> np.dtype[np.void]:
    """The type of what is kept of a visitor, with so many slots."""
    return np.dtype(
        [
            ("high", np.uint64),
            ("low", np.uint64),
            ("flags", np.int32),
            ("next_free", np.int32),
            ("last_seen", np.int64),
            ("next_timer", np.int64),
            ("timer", np.int32),
            ("had", np.int32),
            ("head", np.int32),
            ("waits", np.int32),
            ("soonest", np.int64),
            ("slots", np.int64, (slots,)),
        ]
    )


@compiled_inline
def _mixed(word: Any) -> Any:
    word ^= word >> np.uint64(33)
    word *= np.uint64(0xFF51AFD7ED558CCD)
    word ^= word >> np.uint64(33)
    word *= np.uint64(0xC4CEB9FE1A85EC53)
    return word ^ (word >> np.uint64(33))


@compiled_inline
def _joined(high: Any, low: Any, word: Any) -> Any:
    first = _mixed(high ^ (word + np.uint64(0x9E3779B97F4A7C15)))
    second = _mixed(low + first * np.uint64(0xD1342543DE82EF95) + word)
    return first ^ (second >> np.uint64(7)), second


@compiled_inline
def prediction_words(id_high: Any, id_low: Any, seed: Any) -> Any:
    """The two words of a prediction's id: a hash of its moment's, and of the model's name."""
    return _joined(id_high, id_low, seed)


@compiled_inline
def _ring_add(slots: Any, slot: Any, time: Any) -> None:
    day = time // DAY_MS
    last = slots[slot]
    if last == 0:
        slots[slot] = day
    elif day > last:
        for gone in range(max(last + 1, day - 31), day + 1):
            bucket = gone & 31
            at = slot + 1 + (bucket >> 2)
            slots[at] &= ~(np.int64(0xFFFF) << np.int64(16 * (bucket & 3)))
        slots[slot] = day
    bucket = day & 31
    at = slot + 1 + (bucket >> 2)
    shift = np.int64(16 * (bucket & 3))
    if (slots[at] >> shift) & np.int64(0xFFFF) < 0xFFFF:
        slots[at] += np.int64(1) << shift


@compiled_inline
def _ring_count(slots: Any, slot: Any, time: Any, days: Any) -> Any:
    last = slots[slot]
    count = np.int64(0)
    if last == 0:
        return count
    today = time // DAY_MS
    for day in range(max(today - days + 1, last - 31), last + 1):
        bucket = day & 31
        count += (slots[slot + 1 + (bucket >> 2)] >> np.int64(16 * (bucket & 3))) & np.int64(0xFFFF)
    return count


@compiled_inline
def _evaluate(slots: Any, time: Any, steps: Any, ends: Any, row: Any) -> None:
    stack = np.empty(17, np.float64)
    at = 0
    for k in range(ends.size):
        top = 0
        while at < ends[k]:
            step = steps[at]
            at += 1
            code = step.code
            slot = step.slot
            if code == PLAIN:
                stack[top] = slots[slot]
            elif code == RING:
                stack[top] = _ring_count(slots, slot, time, step.days)
            elif code == SINCE:
                stack[top] = np.nan if slots[slot] == NEVER else (time - slots[slot]) / 86_400_000.0
            elif code == MONEY:
                stack[top] = slots[slot] / 1_000_000.0
            elif code == SECONDS:
                stack[top] = slots[slot] / 1_000.0
            elif code == CODE:
                stack[top] = np.nan if slots[slot] < 0 else np.float64(slots[slot])
            elif code == HIGHEST:
                stack[top] = np.nan if slots[slot] == NEVER else slots[slot] / 1_000_000.0
            elif code == PUSH:
                stack[top] = step.number
            else:
                top -= 2
                left = stack[top]
                right = stack[top + 1]
                if code == ADD:
                    stack[top] = left + right
                elif code == SUBTRACT:
                    stack[top] = left - right
                elif code == MULTIPLY:
                    stack[top] = left * right
                elif right == 0.0:
                    stack[top] = np.nan
                else:
                    stack[top] = left / right
            top += 1
        row[k] = stack[0]


@compiled_inline
def _emit(
    records: Any, place: Any, waits: Any, plan: Any, out: Any, cursor: Any,
    time: Any, kind: Any, models: Any, first: Any, second: Any, detail: Any, source: Any, begin: Any,
) -> None:  # fmt: skip
    """A moment of the visitor: its row of features, and a wait for each model's label."""
    _, _, _, _, steps, ends, model_records, _, _ = plan
    moments, rows, _ = out
    wait_index, wait_records, wait_places, wait_changed = waits
    record = records[place]
    at = cursor[MOMENTS]
    cursor[MOMENTS] += 1
    high, low = _joined(record.high, record.low, np.uint64(kind))
    high, low = _joined(high, low, np.uint64(time))
    high, low = _joined(high, low, first)
    high, low = _joined(high, low, second)
    moment = moments[at]
    moment.high = record.high
    moment.low = record.low
    moment.id_high = high
    moment.id_low = low
    moment.time = time
    moment.models = models
    moment.detail = detail
    moment.source = source
    moment.kind = kind
    _evaluate(record.slots, time, steps, ends, rows[at])
    if kind == AT_TRIGGER:
        return
    for number in range(model_records.size):
        if not (models >> number) & 1:
            continue
        model = model_records[number]
        id_high, id_low = _joined(high, low, model.seed)
        if find_record(wait_index, wait_records, id_high, id_low) >= 0:
            continue
        one = new_place(wait_index, wait_records, wait_places, id_high, id_low)
        wait = wait_records[one]
        wait.deadline = begin + model.horizon
        wait.base = record.slots[model.earned_slot] if model.label == EARNS else 0
        wait.place = place
        wait.model = number
        wait.next = record.head
        record.soonest = wait.deadline if record.head < 0 else min(record.soonest, wait.deadline)
        record.head = one
        record.waits += 1
        mark_changed(wait_records, one, wait_places, wait_changed)
        cursor[NEXT_DEADLINE] = min(cursor[NEXT_DEADLINE], wait.deadline)


@compiled_inline
def _set_timer(record: Any, timers: Any, cursor: Any) -> None:
    """Have the next of the moments after the last event wait, from `record.timer` on."""
    record.next_timer = FOREVER
    while record.timer < timers.size:
        timer = timers[record.timer]
        if (record.had >> timer.once) & 1:
            record.next_timer = record.last_seen + timer.delay
            cursor[NEXT_TIMER] = min(cursor[NEXT_TIMER], record.next_timer)
            return
        record.timer += 1


@compiled_inline
def _fire_timers(
    records: Any, place: Any, table: Any, waits: Any, plan: Any, out: Any, cursor: Any, before: Any
) -> None:
    """The moments after the visitor's last event that are due before a time."""
    _, _, _, _, _, _, _, timers, _ = plan
    record = records[place]
    while record.next_timer < before:
        timer = timers[record.timer]
        _emit(
            records, place, waits, plan, out, cursor, record.next_timer, AFTER_LAST_EVENT, timer.models,
            np.uint64(record.last_seen), np.uint64(timer.delay), timer.delay, -1, record.last_seen,
        )  # fmt: skip
        record.timer += 1
        _set_timer(record, timers, cursor)
        mark_changed(records, place, table[2], table[3])


@compiled_inline
def _tell(record: Any, wait: Any, time: Any, value: Any, labels: Any, cursor: Any) -> None:
    label = labels[cursor[LABELS]]
    cursor[LABELS] += 1
    label.high = record.high
    label.low = record.low
    label.id_high = wait.high
    label.id_low = wait.low
    label.time = time
    label.due = wait.deadline
    label.value = value
    label.model = wait.model


@compiled_inline
def _expired_value(record: Any, wait: Any, model: Any) -> Any:
    if model.label == EARNS:
        # Refunds may outweigh what was earned: learners of values take nothing below 0.
        return max(record.slots[model.earned_slot] - wait.base, 0) / 1_000_000.0
    return 1.0 if model.label == STAYS_AWAY else 0.0


@compiled_inline
def _resolve(
    records: Any, place: Any, table: Any, waits: Any, plan: Any, out: Any, cursor: Any,
    time: Any, mask: Any, begins: Any, comes: Any,
) -> None:  # fmt: skip
    """Tell the labels of the visitor that an event, or the time before it, settles; `comes`: there is an event."""
    _, _, _, _, _, _, model_records, _, _ = plan
    labels = out[2]
    wait_index, wait_records, wait_places, wait_changed = waits
    record = records[place]
    before = np.int32(-1)
    at = record.head
    record.soonest = _LARGEST
    while at >= 0:
        wait = wait_records[at]
        model = model_records[wait.model]
        following = wait.next
        over = False
        if wait.deadline < time:
            _tell(record, wait, wait.deadline, _expired_value(record, wait, model), labels, cursor)
            over = True
        elif comes and model.label != EARNS:
            counts = begins and model.label_session
            if model.label_bit >= 0:
                word = mask[model.label_bit >> 6]
                counts |= (word >> np.uint64(model.label_bit & 63)) & np.uint64(1) != 0
            if counts:
                _tell(record, wait, time, 1.0 if model.label == HAPPENS else 0.0, labels, cursor)
                over = True
        if over:
            if before < 0:
                record.head = following
            else:
                wait_records[before].next = following
                mark_changed(wait_records, before, wait_places, wait_changed)
            record.waits -= 1
            mark_changed(records, place, table[2], table[3])
            free_place(wait_index, wait_records, wait_places, wait_changed, at)
        else:
            record.soonest = min(record.soonest, wait.deadline)
            before = at
        at = following


@compiled_inline
def _has(masks: Any, i: Any, bit: Any) -> Any:
    """Whether an event has a bit."""
    return (masks[i, bit >> 6] >> np.uint64(bit & 63)) & np.uint64(1) != 0


@compiled_inline
def _settles(model_records: Any, masks: Any, i: Any, begins: Any) -> Any:
    """Whether an event settles labels of any model."""
    for number in range(model_records.size):
        model = model_records[number]
        if model.label == EARNS:
            continue
        if begins and model.label_session:
            return True
        bit = model.label_bit
        if bit >= 0 and _has(masks, i, bit):
            return True
    return False


@compiled_inline
def _change(
    record: Any, event: Any, i: Any, masks: Any, begins: Any, lanes: Any, codes: Any, operations: Any, groups: Any,
    resets: Any, blank: Any,
) -> None:  # fmt: skip
    """Have an event change the visitor's slots."""
    slots = record.slots
    if begins:
        for k in range(resets.size):
            slots[resets[k]] = blank[resets[k]]
    for g in range(groups.size):
        bit = groups[g].bit
        if bit >= 0:
            if not _has(masks, i, bit):
                continue
        elif bit == BEGINS and not begins:
            continue
        for k in range(groups[g].first, groups[g].end):
            slot = operations[k].slot
            kind = operations[k].kind
            if kind == ADD_ONE:
                slots[slot] += 1
            elif kind == SET_TIME:
                slots[slot] = event.time
            elif kind == ADD_ELAPSED:
                if not begins:
                    slots[slot] += event.time - record.last_seen
            elif kind == ADD_VALUE:
                if event.marks & HAS_VALUE:
                    value = event.value
                    if value > 0 and slots[slot] > _LARGEST - value:
                        slots[slot] = _LARGEST
                    elif value < 0 and slots[slot] < -_LARGEST - value:
                        slots[slot] = -_LARGEST
                    else:
                        slots[slot] += value
            elif kind == SET_FIRST:
                if slots[slot] == NEVER:
                    slots[slot] = event.time
            elif kind == ADD_TO_RING:
                _ring_add(slots, slot, event.time)
            elif kind == RAISE:
                slots[slot] = max(slots[slot], lanes[i, operations[k].lane])
            elif kind == SET_CODE or (kind == SET_FIRST_CODE and slots[slot] < 0):
                slots[slot] = codes[operations[k].lane, i]


@compiled
def take_round(
    events: Any, masks: Any, dropped: Any, begins: Any, lanes: Any, codes: Any, closes: Any, matched: Any,
    asked: Any, table: Any, waits: Any, plan: Any, out: Any, cursor: Any, horizon: Any, room: Any,
) -> Any:  # fmt: skip
    """Take a round's events, closed sessions and matches, as far as there is room; whether all of it is taken.

    Args:
        events: `EVENT` records in their final order; `masks` (events, words), `dropped` and `begins` go with them.
        lanes: shape (events, numbers): the numbers of the events, in millionths; `NEVER` where there is none.
        codes: shape (categories, events): the codes of the events that begin a session.
        closes: `CLOSE` records.
        matched: `MATCHED` records.
        asked: `ASKED` records.
        table: index, records, places and changes of what is kept of the visitors; there is room for all new ones.
        waits: the same of the predictions that wait; there is room for those of all moments.
        plan: operations, their groups, resets, blank, steps, ends, models, timers, bits of `once`.
        out: room for moments, rows of features, and labels.
        cursor: where the round is.
        horizon: how long (ms) a visitor is known after their last event.
        room: how many labels and moments may come out of one event at most, moments only.
    """
    index, records, places, changed = table
    operations, groups, resets, blank, _, _, model_records, timers, once_bits = plan
    moments, _, labels = out
    no_mask = np.zeros(masks.shape[1], np.uint64)
    at_close = np.int64(0)
    for number in range(model_records.size):
        if model_records[number].at_session_end:
            at_close |= np.int64(1) << number
    while True:
        event_time = events[cursor[EVENT_AT]].time if cursor[EVENT_AT] < events.size else FOREVER
        close_time = closes[cursor[CLOSE_AT]].time if cursor[CLOSE_AT] < closes.size else FOREVER
        match_time = matched[cursor[MATCH_AT]].time if cursor[MATCH_AT] < matched.size else FOREVER
        ask_time = asked[cursor[ASKED_AT]].time if cursor[ASKED_AT] < asked.size else FOREVER
        if (
            cursor[EVENT_AT] >= events.size
            and cursor[CLOSE_AT] >= closes.size
            and cursor[MATCH_AT] >= matched.size
            and cursor[ASKED_AT] >= asked.size
        ):
            return True
        if cursor[MOMENTS] + room > moments.size:
            return False
        if cursor[CLOSE_AT] < closes.size and close_time <= min(event_time, match_time, ask_time):
            close = closes[cursor[CLOSE_AT]]
            place = find_record(index, records, close.high, close.low)
            if place >= 0 and at_close:
                _fire_timers(records, place, table, waits, plan, out, cursor, close.time)
                _emit(
                    records, place, waits, plan, out, cursor, close.time, AT_SESSION_END, at_close,
                    close.first_high, close.first_low, 0, close.source, close.time,
                )  # fmt: skip
                mark_changed(records, place, places, changed)
            cursor[CLOSE_AT] += 1
        elif cursor[EVENT_AT] < events.size and event_time <= min(match_time, ask_time):
            i = cursor[EVENT_AT]
            if dropped[i]:
                cursor[EVENT_AT] += 1
                continue
            event = events[i]
            place = find_record(index, records, event.visitor_high, event.visitor_low)
            if place < 0:
                place = new_place(index, records, places, event.visitor_high, event.visitor_low)
                record = records[place]
                record.head = -1
                record.last_seen = NEVER
                record.next_timer = FOREVER
            record = records[place]
            if cursor[LABELS] + record.waits + room * model_records.size > labels.size:
                return False
            if record.next_timer < event.time:
                _fire_timers(records, place, table, waits, plan, out, cursor, event.time)
            if record.head >= 0 and (
                record.soonest < event.time or _settles(model_records, masks, i, begins[i])
            ):
                _resolve(
                    records, place, table, waits, plan, out, cursor, event.time, masks[i], begins[i], True
                )  # fmt: skip
            if record.last_seen == NEVER or event.time - record.last_seen > horizon:
                for k in range(blank.size):
                    record.slots[k] = blank[k]
                record.had = 0
            _change(record, event, i, masks, begins[i], lanes, codes, operations, groups, resets, blank)
            record.last_seen = event.time
            for k in range(once_bits.size):
                if _has(masks, i, once_bits[k]):
                    record.had |= 1 << k
            if record.had:
                record.timer = 0
                _set_timer(record, timers, cursor)
            mark_changed(records, place, places, changed)
            models = np.int64(0)
            for number in range(model_records.size):
                bit = model_records[number].event_bit
                if bit >= 0 and _has(masks, i, bit):
                    models |= np.int64(1) << number
            if models:
                _emit(
                    records, place, waits, plan, out, cursor, event.time, AT_EVENT, models,
                    event.message_high, event.message_low, 0, i, event.time,
                )  # fmt: skip
            cursor[EVENT_AT] += 1
        elif cursor[MATCH_AT] < matched.size and match_time <= ask_time:
            match = matched[cursor[MATCH_AT]]
            place = find_record(index, records, match.high, match.low)
            if place >= 0:
                record = records[place]
                if cursor[LABELS] + record.waits + room * model_records.size > labels.size:
                    return False
                _fire_timers(records, place, table, waits, plan, out, cursor, match.time)
                if record.head >= 0 and record.soonest < match.time:
                    # Before the slots change: what is earned by a deadline is read from them.
                    _resolve(
                        records, place, table, waits, plan, out, cursor, match.time, no_mask, False, False
                    )  # fmt: skip
                record.slots[match.slot] += 1
                mark_changed(records, place, places, changed)
            cursor[MATCH_AT] += 1
        else:
            ask = asked[cursor[ASKED_AT]]
            place = find_record(index, records, ask.high, ask.low)
            # Whether a visitor is known goes by time, not by when they were forgotten.
            if place >= 0 and ask.time - records[place].last_seen <= horizon:
                _fire_timers(records, place, table, waits, plan, out, cursor, ask.time)
                _emit(
                    records, place, waits, plan, out, cursor, ask.time, AT_TRIGGER, ask.models,
                    ask.trigger_high, ask.trigger_low, 0, ask.source, ask.time,
                )  # fmt: skip
            else:
                # Forgotten since: the trigger is decided without scores.
                moment = moments[cursor[MOMENTS]]
                moment.high = ask.high
                moment.low = ask.low
                moment.time = ask.time
                moment.source = ask.source
                moment.kind = AT_TRIGGER
                cursor[MOMENTS] += 1
            cursor[ASKED_AT] += 1


@compiled
def scan_visitors(
    table: Any, waits: Any, plan: Any, out: Any, cursor: Any, until: Any, horizon: Any, room: Any
) -> Any:
    """The moments of all visitors up to a time, and those forgotten whose horizon is over; whether all are done."""
    index, records, places, changed = table
    moments = out[0]
    while cursor[VISITOR_AT] < places[1]:
        place = cursor[VISITOR_AT]
        record = records[place]
        if record.flags & USED:
            if record.next_timer <= until:
                if cursor[MOMENTS] + room > moments.size:
                    return False
                _fire_timers(records, place, table, waits, plan, out, cursor, until + 1)
            if record.next_timer > until:
                cursor[NEXT_TIMER] = min(cursor[NEXT_TIMER], record.next_timer)
            if record.head < 0 and record.next_timer == FOREVER and until - record.last_seen > horizon:
                free_place(index, records, places, changed, place)
        cursor[VISITOR_AT] += 1
    return True


@compiled
def scan_waits(table: Any, waits: Any, plan: Any, out: Any, cursor: Any, until: Any) -> Any:
    """The labels of all predictions whose horizon is over by a time; whether all are done."""
    _, records, _, _ = table
    _, wait_records, wait_places, _ = waits
    labels = out[2]
    no_mask = np.zeros(1, np.uint64)
    while cursor[WAIT_AT] < wait_places[1]:
        wait = wait_records[cursor[WAIT_AT]]
        if wait.flags & USED:
            if wait.deadline <= until:
                place = np.int64(wait.place)
                if cursor[LABELS] + records[place].waits > labels.size:
                    return False
                _resolve(records, place, table, waits, plan, out, cursor, until + 1, no_mask, False, False)
            else:
                cursor[NEXT_DEADLINE] = min(cursor[NEXT_DEADLINE], wait.deadline)
        cursor[WAIT_AT] += 1
    return True
