"""The compiled loops of the matcher: what an event, and what time, does to a visitor's partial matches.

A partial match awaits one step of its pattern. Each event that a visitor's partial matches can see moves them on:
a forbidden event ends them, an awaited one is taken (and, for `any`, also passed over), a strict step that gets
another event ends them. The visitor's clock moves to an event's time before the event is taken: what is due by
then times out, or, for a trailing absence, has come true. Skip strategies hold a match until no earlier partial
one of the same pattern and `same` value is alive, then drop what they rule out.
"""

from typing import Any

import numpy as np

from footfall.compiled import compiled, compiled_inline
from footfall.match_lookahead import may_complete
from footfall.match_partials import (
    COMPLETE,
    RUNNING,
    TRAILING,
    drop,
    emit,
    hand_out,
    keep_to_limit,
    new_node,
    new_partial,
)
from footfall.match_records import EVENTS, FRESH, NODES, OUT, OUT_NODES, PARTIALS

_ANY, _STRICT = 3, 1
_NEVER_DUE = np.iinfo(np.int64).max
_BY_TIME = np.int64(-1)
_ALL = np.uint64(2**64 - 1)


def room_for(partials: Any, patterns: Any) -> Any:
    """The most that one event can add to any of the pools: each partial match may branch, each pattern begin."""
    return 2 * (partials + patterns) + 4


_need = compiled_inline(room_for)


@compiled_inline
def _wants(partial: Any, steps: Any, table: Any) -> Any:
    pattern = table[partial.pattern]
    if partial.state == RUNNING:
        return steps[pattern.first_step + partial.step].wants
    return pattern.trailing_kill if partial.state == TRAILING else np.uint64(0)


@compiled_inline
def _wait(visitors: Any, slot: Any, partials: Any, steps: Any, table: Any) -> None:
    """Note the visitor's next deadline, and the conditions that change anything for a partial match."""
    least = _NEVER_DUE
    wanted = np.uint64(0)
    at = visitors[slot].head
    while at >= 0:
        partial = partials[at]
        least = min(least, partial.deadline)
        wanted |= _wants(partial, steps, table)
        at = partial.next
    visitors[slot].next_deadline = least
    visitors[slot].wanted = wanted


@compiled_inline
def _end_unskipped(
    visitors: Any, slot: Any, partials: Any, pool: Any, counters: Any, table: Any, now: Any, out: Any
) -> Any:
    """End what is due by now of the patterns that skip nothing, each at its time; the next deadline that is left."""
    due = _NEVER_DUE
    before = -1
    at = visitors[slot].head
    while at >= 0:
        after = partials[at].next
        if partials[at].deadline <= now and table[partials[at].pattern].skip == 0:
            if partials[at].state == TRAILING:
                emit(visitors, slot, partials, pool, counters, at, (partials[at].deadline, _BY_TIME), out)
            drop(visitors, slot, partials, pool, counters, before, at)
        else:
            due = min(due, partials[at].deadline)
            before = at
        at = after
    return due


@compiled_inline
def _move_clock(
    visitors: Any, slot: Any, partials: Any, pool: Any, counters: Any, plan: Any, now: Any, out: Any
) -> None:
    steps, table = plan
    due = _end_unskipped(visitors, slot, partials, pool, counters, table, now, out)
    while due <= now:
        completed = False
        before = -1
        at = visitors[slot].head
        while at >= 0:
            after = partials[at].next
            if partials[at].deadline <= due:
                if partials[at].state == TRAILING and table[partials[at].pattern].skip != 0:
                    partials[at].state = COMPLETE
                    partials[at].deadline = _NEVER_DUE
                    before = at
                    completed = True
                else:
                    if partials[at].state == TRAILING:
                        emit(visitors, slot, partials, pool, counters, at, (due, _BY_TIME), out)
                    completed = completed or table[partials[at].pattern].skip != 0
                    drop(visitors, slot, partials, pool, counters, before, at)
            else:
                before = at
            at = after
        if completed:
            hand_out(visitors, slot, partials, pool, counters, table, (due, _BY_TIME), out)
        due = _NEVER_DUE
        at = visitors[slot].head
        while at >= 0:
            due = min(due, partials[at].deadline)
            at = partials[at].next
    _wait(visitors, slot, partials, steps, table)


@compiled
def take_events(
    events: Any,
    lanes: Any,
    fields: Any,
    places_of: Any,
    visitors: Any,
    partials: Any,
    pool: Any,
    counters: Any,
    steps: Any,
    table: Any,
    interest: Any,
    sees_all: Any,
    longest: Any,
    limit: Any,
    dropped: Any,
    ahead: Any,
    out: Any,
    begin: Any,
) -> Any:
    """Take events from `begin` on; the number of the first one not taken for want of room, or how many there are."""
    matches, out_nodes, fresh_nodes = out
    next_of, crowd, until = ahead
    plan = steps, table
    for i in range(begin, events.size):
        slot = places_of[i]
        if slot < 0:
            continue
        counters[EVENTS] += 1
        event = events[i]
        mask = event.mask
        folded = mask
        matters = mask & interest[0] != 0
        for word in range(1, interest.size):
            folded |= lanes[i, fields + word - 1]
            matters = matters or lanes[i, fields + word - 1] & interest[word] != 0
        if not matters and not (sees_all and (visitors[slot].partials > 0 or sees_all == 2)):
            continue
        need = _need(visitors[slot].partials, table.size)
        if (
            counters[PARTIALS] + need > partials.size
            or counters[NODES] + need > pool.size
            or counters[FRESH] + need > fresh_nodes.size
            or counters[OUT] + need > matches.size
            or counters[OUT_NODES] + need * longest > out_nodes.size
        ):
            counters[EVENTS] -= 1
            return i
        time = event.time
        if visitors[slot].next_deadline <= time:
            _move_clock(visitors, slot, partials, pool, counters, plan, time, out)
        completed = False
        moved = visitors[slot].wanted == _ALL or folded & visitors[slot].wanted != 0
        before = -1
        at = visitors[slot].head if moved else -1
        while at >= 0:
            after = partials[at].next
            partial = partials[at]
            pattern = table[partial.pattern]
            if partial.state == COMPLETE or (pattern.same >= 0 and lanes[i, pattern.same] != partial.key):
                before = at
                at = after
                continue
            mask = event.mask if pattern.word == 0 else lanes[i, fields + pattern.word - 1]
            if partial.state == TRAILING:
                if mask & pattern.trailing_kill:
                    completed = completed or pattern.skip != 0
                    drop(visitors, slot, partials, pool, counters, before, at)
                else:
                    before = at
                at = after
                continue
            step = steps[pattern.first_step + partial.step]
            takes = step.condition < 0 or (mask >> np.uint64(step.condition)) & np.uint64(1) != 0
            forbidden = mask & step.kill != 0
            # An event that is taken isn't in between, unless its own loop forbids it.
            if (forbidden and not (takes and step.spares)) or (partial.fresh and mask & step.kill_next):
                completed = completed or pattern.skip != 0
                drop(visitors, slot, partials, pool, counters, before, at)
                at = after
                continue
            if takes:
                branches = step.contiguity == _ANY and not forbidden
                if branches:
                    waiting = new_partial(partials, counters)
                    partials[waiting] = partials[at]
                    partials[waiting].fresh = 0
                    pool[partial.node].refs += 1
                    partials[at].next = waiting
                    if visitors[slot].tail == at:
                        visitors[slot].tail = waiting
                    visitors[slot].partials += 1
                partial.node = new_node(pool, counters, fresh_nodes, event, step.stage, partial.node)
                partial.step += 1
                partial.fresh = 1
                partial.last = time
                partial.last_event = counters[EVENTS]
                last = at
                if branches:
                    last = partial.next
                if partial.step < pattern.step_count:
                    before = last
                elif pattern.trailing_kill:
                    partial.state = TRAILING
                    before = last
                elif pattern.skip != 0:
                    partial.state = COMPLETE
                    partial.deadline = _NEVER_DUE
                    completed = True
                    before = last
                else:
                    emit(visitors, slot, partials, pool, counters, at, (time, event.row), out)
                    drop(visitors, slot, partials, pool, counters, before, at)
                    if last != at:
                        before = last
            elif step.contiguity == _STRICT:
                completed = completed or pattern.skip != 0
                drop(visitors, slot, partials, pool, counters, before, at)
            else:
                partial.fresh = 0
                before = at
            at = after
        for number in range(table.size):
            pattern = table[number]
            step = steps[pattern.first_step]
            mask = event.mask if pattern.word == 0 else lanes[i, fields + pattern.word - 1]
            if step.condition >= 0 and not (mask >> np.uint64(step.condition)) & np.uint64(1):
                continue
            if time < pattern.begins_from or time >= pattern.begins_until:
                continue
            key = np.uint64(0)
            if pattern.same >= 0:
                key = lanes[i, pattern.same]
                if key == 0:
                    continue
            if (
                pattern.looks_ahead
                and crowd[slot] <= limit
                and not may_complete(i, events, lanes, fields, next_of, until, steps, pattern)
            ):
                continue
            moved = True
            at = new_partial(partials, counters)
            partial = partials[at]
            partial.pattern = number
            partial.step = 1
            partial.start = time
            partial.last = time
            partial.start_event = counters[EVENTS]
            partial.last_event = counters[EVENTS]
            partial.key = key
            partial.fresh = 1
            partial.state = RUNNING
            partial.next = -1
            partial.deadline = _NEVER_DUE
            if pattern.within_ms >= 0:
                partial.deadline = time + pattern.within_ms
            partial.node = new_node(pool, counters, fresh_nodes, event, step.stage, -1)
            if visitors[slot].tail >= 0:
                partials[visitors[slot].tail].next = at
                before = visitors[slot].tail
            else:
                visitors[slot].head = at
                before = -1
            visitors[slot].tail = at
            visitors[slot].partials += 1
            if pattern.step_count == 1:
                if pattern.trailing_kill:
                    partial.state = TRAILING
                elif pattern.skip != 0:
                    partial.state = COMPLETE
                    partial.deadline = _NEVER_DUE
                    completed = True
                else:
                    emit(visitors, slot, partials, pool, counters, at, (time, event.row), out)
                    drop(visitors, slot, partials, pool, counters, before, at)
        if visitors[slot].partials > limit and keep_to_limit(
            visitors, slot, partials, pool, counters, table, limit, dropped
        ):
            completed = True
        if completed:
            hand_out(visitors, slot, partials, pool, counters, table, (time, event.row), out)
        if moved:
            _wait(visitors, slot, partials, steps, table)
    return events.size


@compiled
def move_clocks(
    visitors: Any,
    count: Any,
    partials: Any,
    pool: Any,
    counters: Any,
    plan: Any,
    now: Any,
    longest: Any,
    out: Any,
    begin: Any,
    due: Any,
) -> Any:
    """Let every visitor's clock reach `now`; the place to go on from for want of room, or `count`."""
    matches, out_nodes, _ = out
    least = due[0]
    for slot in range(begin, count):
        if not visitors[slot].used or visitors[slot].partials == 0:
            continue
        if visitors[slot].next_deadline <= now:
            need = visitors[slot].partials
            if counters[OUT] + need > matches.size or counters[OUT_NODES] + need * longest > out_nodes.size:
                due[0] = least
                return slot
            _move_clock(visitors, slot, partials, pool, counters, plan, now, out)
        least = min(least, visitors[slot].next_deadline)
    due[0] = least
    return count


@compiled
def forget_long_waits(
    visitors: Any, count: Any, partials: Any, pool: Any, counters: Any, steps: Any, table: Any
) -> Any:
    """Drop and count the trailing absences whose patterns wait too long to be released at an input's end."""
    pending = 0
    for slot in range(count):
        if not visitors[slot].used or visitors[slot].partials == 0:
            continue
        before = -1
        at = visitors[slot].head
        while at >= 0:
            after = partials[at].next
            if partials[at].state == TRAILING and table[partials[at].pattern].waits_over_24h:
                drop(visitors, slot, partials, pool, counters, before, at)
                pending += 1
            else:
                before = at
            at = after
        _wait(visitors, slot, partials, steps, table)
    return pending
