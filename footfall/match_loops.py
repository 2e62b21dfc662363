"""The compiled loops of the matcher: what an event, and what time, does to a visitor's partial matches.

A partial match awaits one step of its pattern. Each event that a visitor's partial matches can see moves them on:
a forbidden event ends them, an awaited one is taken (and, for `any`, also passed over), a strict step that gets
another event ends them. The visitor's clock moves to an event's time before the event is taken: what is due by
then times out, or, for a trailing absence, has come true. Skip strategies hold a match until no earlier partial
one of the same pattern and `same` value is alive, then drop what they rule out.

What a partial match has taken is a chain of nodes from the last event back, shared between branches and counted
by reference.
"""

from typing import Any

import numpy as np

from footfall.compiled import compiled, compiled_inline
from footfall.match_records import (
    EVENTS,
    FREE_NODE,
    FREE_PARTIAL,
    FRESH,
    NODES,
    OUT,
    OUT_NODES,
    PARTIALS,
)

_RUNNING, _TRAILING, _COMPLETE = range(3)
_ANY, _STRICT = 3, 1
_TO_NEXT, _PAST_LAST = 1, 2
_NEVER_DUE = np.iinfo(np.int64).max
_BY_TIME = np.int64(-1)


def room_for(partials: Any, patterns: Any) -> Any:
    """The most that one event can add to any of the pools: each partial match may branch, each pattern begin."""
    return 2 * (partials + patterns) + 4


_need = compiled_inline(room_for)


@compiled_inline
def _new_node(pool: Any, counters: Any, fresh: Any, event: Any, stage: Any, prev: Any) -> Any:
    if counters[FREE_NODE] >= 0:
        at = counters[FREE_NODE]
        counters[FREE_NODE] = pool[at].prev
    else:
        at = counters[NODES]
        counters[NODES] += 1
    node = pool[at]
    node.row = event.row
    node.time = event.time
    node.message_high = event.message_high
    node.message_low = event.message_low
    node.prev = prev
    node.refs = 1
    node.stage = stage
    fresh[counters[FRESH]] = at
    counters[FRESH] += 1
    return at


@compiled_inline
def _release(pool: Any, counters: Any, at: Any) -> None:
    while at >= 0:
        pool[at].refs -= 1
        if pool[at].refs > 0:
            break
        prev = pool[at].prev
        pool[at].row = -1
        pool[at].prev = counters[FREE_NODE]
        counters[FREE_NODE] = at
        at = prev


@compiled_inline
def _new_partial(partials: Any, counters: Any) -> Any:
    if counters[FREE_PARTIAL] >= 0:
        at = counters[FREE_PARTIAL]
        counters[FREE_PARTIAL] = partials[at].next
    else:
        at = counters[PARTIALS]
        counters[PARTIALS] += 1
    return at


@compiled_inline
def _drop(visitors: Any, slot: Any, partials: Any, pool: Any, counters: Any, before: Any, at: Any) -> None:
    """Take a partial match out of its visitor's list, in which `before` stands before it (-1: none)."""
    after = partials[at].next
    if before < 0:
        visitors[slot].head = after
    else:
        partials[before].next = after
    if visitors[slot].tail == at:
        visitors[slot].tail = before
    visitors[slot].partials -= 1
    _release(pool, counters, partials[at].node)
    partials[at].next = counters[FREE_PARTIAL]
    counters[FREE_PARTIAL] = at


@compiled_inline
def _emit(
    visitors: Any, slot: Any, partials: Any, pool: Any, counters: Any, at: Any, when: Any, out: Any
) -> None:
    matches, nodes, _ = out
    match = matches[counters[OUT]]
    counters[OUT] += 1
    partial = partials[at]
    match.first_time = partial.start
    match.last_time = partial.last
    match.settled_time, match.row = when
    match.visitor_high = visitors[slot].high
    match.visitor_low = visitors[slot].low
    match.pattern = partial.pattern
    match.kind = 0
    count = 0
    node = partial.node
    while node >= 0:
        count += 1
        node = pool[node].prev
    match.first_node = counters[OUT_NODES]
    match.node_count = count
    counters[OUT_NODES] += count
    place = counters[OUT_NODES] - 1
    node = partial.node
    while node >= 0:
        nodes[place] = pool[node]
        place -= 1
        node = pool[node].prev


@compiled_inline
def _hand_out(
    visitors: Any,
    slot: Any,
    partials: Any,
    pool: Any,
    counters: Any,
    table: Any,
    when: Any,
    out: Any,
) -> None:
    """Emit the complete matches that nothing earlier holds back, and drop what their strategy rules out."""
    again = True
    while again:
        again = False
        before = -1
        at = visitors[slot].head
        while at >= 0:
            if partials[at].state == _COMPLETE:
                held = False
                earlier = visitors[slot].head
                while earlier != at:
                    if (
                        partials[earlier].pattern == partials[at].pattern
                        and partials[earlier].key == partials[at].key
                        and partials[earlier].state != _COMPLETE
                        and partials[earlier].start_event < partials[at].start_event
                    ):
                        held = True
                        break
                    earlier = partials[earlier].next
                if not held:
                    pattern = partials[at].pattern
                    key = partials[at].key
                    skip = table[pattern].skip
                    start_event = partials[at].start_event
                    last_event = partials[at].last_event
                    _emit(visitors, slot, partials, pool, counters, at, when, out)
                    _drop(visitors, slot, partials, pool, counters, before, at)
                    before = -1
                    at = visitors[slot].head
                    while at >= 0:
                        after = partials[at].next
                        other = partials[at]
                        if (
                            other.pattern == pattern
                            and other.key == key
                            and (
                                (skip == _PAST_LAST and other.start_event <= last_event)
                                or (skip == _TO_NEXT and other.start_event == start_event)
                            )
                        ):
                            _drop(visitors, slot, partials, pool, counters, before, at)
                        else:
                            before = at
                        at = after
                    again = True
                    break
            before = at
            at = partials[at].next


@compiled_inline
def _keep_to_limit(
    visitors: Any,
    slot: Any,
    partials: Any,
    pool: Any,
    counters: Any,
    table: Any,
    limit: Any,
    dropped: Any,
) -> Any:
    """Drop, and count by pattern, the oldest partial matches over the limit; whether that may let a match out.

    Matches that wait for an earlier partial one count towards the limit, and are never dropped by it.
    """
    totals, excess = dropped
    excess[:] = -limit
    at = visitors[slot].head
    while at >= 0:
        excess[partials[at].pattern] += 1
        at = partials[at].next
    frees = False
    before = -1
    at = visitors[slot].head
    while at >= 0:
        after = partials[at].next
        pattern = partials[at].pattern
        if excess[pattern] > 0 and partials[at].state != _COMPLETE:
            excess[pattern] -= 1
            totals[pattern] += 1
            frees = frees or table[pattern].skip != 0
            _drop(visitors, slot, partials, pool, counters, before, at)
        else:
            before = at
        at = after
    return frees


@compiled_inline
def _next_deadline(visitors: Any, slot: Any, partials: Any) -> None:
    least = _NEVER_DUE
    at = visitors[slot].head
    while at >= 0:
        least = min(least, partials[at].deadline)
        at = partials[at].next
    visitors[slot].next_deadline = least


@compiled_inline
def _move_clock(
    visitors: Any, slot: Any, partials: Any, pool: Any, counters: Any, table: Any, now: Any, out: Any
) -> None:
    while visitors[slot].next_deadline <= now:
        due = visitors[slot].next_deadline
        completed = False
        before = -1
        at = visitors[slot].head
        while at >= 0:
            after = partials[at].next
            if partials[at].deadline <= due:
                if partials[at].state == _TRAILING and table[partials[at].pattern].skip != 0:
                    partials[at].state = _COMPLETE
                    partials[at].deadline = _NEVER_DUE
                    before = at
                    completed = True
                else:
                    if partials[at].state == _TRAILING:
                        _emit(visitors, slot, partials, pool, counters, at, (due, _BY_TIME), out)
                    completed = completed or table[partials[at].pattern].skip != 0
                    _drop(visitors, slot, partials, pool, counters, before, at)
            else:
                before = at
            at = after
        if completed:
            _hand_out(visitors, slot, partials, pool, counters, table, (due, _BY_TIME), out)
        _next_deadline(visitors, slot, partials)


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
    out: Any,
    begin: Any,
) -> Any:
    """Take events from `begin` on; the number of the first one not taken for want of room, or how many there are."""
    matches, out_nodes, fresh_nodes = out
    for i in range(begin, events.size):
        slot = places_of[i]
        if slot < 0:
            continue
        counters[EVENTS] += 1
        event = events[i]
        mask = event.mask
        matters = mask & interest[0] != 0
        for word in range(1, interest.size):
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
        _move_clock(visitors, slot, partials, pool, counters, table, time, out)
        completed = False
        before = -1
        at = visitors[slot].head
        while at >= 0:
            after = partials[at].next
            partial = partials[at]
            pattern = table[partial.pattern]
            if partial.state == _COMPLETE or (pattern.same >= 0 and lanes[i, pattern.same] != partial.key):
                before = at
                at = after
                continue
            mask = event.mask if pattern.word == 0 else lanes[i, fields + pattern.word - 1]
            if partial.state == _TRAILING:
                if mask & pattern.trailing_kill:
                    completed = completed or pattern.skip != 0
                    _drop(visitors, slot, partials, pool, counters, before, at)
                else:
                    before = at
                at = after
                continue
            step = steps[pattern.first_step + partial.step]
            if mask & step.kill or (partial.fresh and mask & step.kill_next):
                completed = completed or pattern.skip != 0
                _drop(visitors, slot, partials, pool, counters, before, at)
                at = after
                continue
            if step.condition < 0 or (mask >> np.uint64(step.condition)) & np.uint64(1):
                if step.contiguity == _ANY:
                    waiting = _new_partial(partials, counters)
                    partials[waiting] = partials[at]
                    partials[waiting].fresh = 0
                    pool[partial.node].refs += 1
                    partials[at].next = waiting
                    if visitors[slot].tail == at:
                        visitors[slot].tail = waiting
                    visitors[slot].partials += 1
                partial.node = _new_node(pool, counters, fresh_nodes, event, step.stage, partial.node)
                partial.step += 1
                partial.fresh = 1
                partial.last = time
                partial.last_event = counters[EVENTS]
                last = at
                if step.contiguity == _ANY:
                    last = partial.next
                if partial.step < pattern.step_count:
                    before = last
                elif pattern.trailing_kill:
                    partial.state = _TRAILING
                    before = last
                elif pattern.skip != 0:
                    partial.state = _COMPLETE
                    partial.deadline = _NEVER_DUE
                    completed = True
                    before = last
                else:
                    _emit(visitors, slot, partials, pool, counters, at, (time, event.row), out)
                    _drop(visitors, slot, partials, pool, counters, before, at)
                    if last != at:
                        before = last
            elif step.contiguity == _STRICT:
                completed = completed or pattern.skip != 0
                _drop(visitors, slot, partials, pool, counters, before, at)
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
            key = np.uint64(0)
            if pattern.same >= 0:
                key = lanes[i, pattern.same]
                if key == 0:
                    continue
            at = _new_partial(partials, counters)
            partial = partials[at]
            partial.pattern = number
            partial.step = 1
            partial.start = time
            partial.last = time
            partial.start_event = counters[EVENTS]
            partial.last_event = counters[EVENTS]
            partial.key = key
            partial.fresh = 1
            partial.state = _RUNNING
            partial.next = -1
            partial.deadline = _NEVER_DUE
            if pattern.within_ms >= 0:
                partial.deadline = time + pattern.within_ms
            partial.node = _new_node(pool, counters, fresh_nodes, event, step.stage, -1)
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
                    partial.state = _TRAILING
                elif pattern.skip != 0:
                    partial.state = _COMPLETE
                    partial.deadline = _NEVER_DUE
                    completed = True
                else:
                    _emit(visitors, slot, partials, pool, counters, at, (time, event.row), out)
                    _drop(visitors, slot, partials, pool, counters, before, at)
        if visitors[slot].partials > limit and _keep_to_limit(
            visitors, slot, partials, pool, counters, table, limit, dropped
        ):
            completed = True
        if completed:
            _hand_out(visitors, slot, partials, pool, counters, table, (time, event.row), out)
        _next_deadline(visitors, slot, partials)
    return events.size


@compiled
def move_clocks(
    visitors: Any,
    count: Any,
    partials: Any,
    pool: Any,
    counters: Any,
    table: Any,
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
            _move_clock(visitors, slot, partials, pool, counters, table, now, out)
        least = min(least, visitors[slot].next_deadline)
    due[0] = least
    return count


@compiled
def forget_long_waits(visitors: Any, count: Any, partials: Any, pool: Any, counters: Any, table: Any) -> Any:
    """Drop and count the trailing absences whose patterns wait too long to be released at an input's end."""
    pending = 0
    for slot in range(count):
        if not visitors[slot].used or visitors[slot].partials == 0:
            continue
        before = -1
        at = visitors[slot].head
        while at >= 0:
            after = partials[at].next
            if partials[at].state == _TRAILING and table[partials[at].pattern].waits_over_24h:
                _drop(visitors, slot, partials, pool, counters, before, at)
                pending += 1
            else:
                before = at
            at = after
        _next_deadline(visitors, slot, partials)
    return pending
