"""A visitor's partial matches as the compiled loops keep them: a list, and chains of the events that they have taken.

Places come from pools and go back to them. A match comes out here, by its pattern's skip strategy; so does what a
limit costs.
"""

from typing import Any

from footfall.compiled import compiled_inline
from footfall.match_records import FREE_NODE, FREE_PARTIAL, FRESH, NODES, OUT, OUT_NODES, PARTIALS

RUNNING, TRAILING, COMPLETE = range(3)
"""The states of a partial match: it awaits a step, it waits for an absence to come true, or to be let out."""

TO_NEXT, PAST_LAST = 1, 2


@compiled_inline
def new_node(pool: Any, counters: Any, fresh: Any, event: Any, stage: Any, prev: Any) -> Any:
    """Take a place for an event that is taken, after `prev`."""
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
def release(pool: Any, counters: Any, at: Any) -> None:
    """Let go of a chain of events from `at` back, as far as nothing else holds it."""
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
def new_partial(partials: Any, counters: Any) -> Any:
    """Take a place for a partial match."""
    if counters[FREE_PARTIAL] >= 0:
        at = counters[FREE_PARTIAL]
        counters[FREE_PARTIAL] = partials[at].next
    else:
        at = counters[PARTIALS]
        counters[PARTIALS] += 1
    return at


@compiled_inline
def drop(visitors: Any, slot: Any, partials: Any, pool: Any, counters: Any, before: Any, at: Any) -> None:
    """Take a partial match out of its visitor's list, in which `before` stands before it (-1: none)."""
    after = partials[at].next
    if before < 0:
        visitors[slot].head = after
    else:
        partials[before].next = after
    if visitors[slot].tail == at:
        visitors[slot].tail = before
    visitors[slot].partials -= 1
    release(pool, counters, partials[at].node)
    partials[at].next = counters[FREE_PARTIAL]
    counters[FREE_PARTIAL] = at


@compiled_inline
def emit(
    visitors: Any, slot: Any, partials: Any, pool: Any, counters: Any, at: Any, when: Any, out: Any
) -> None:
    """Give a match out, with `when`: its time, and the row of the event that let it out."""
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
def hand_out(
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
            if partials[at].state == COMPLETE:
                held = False
                earlier = visitors[slot].head
                while earlier != at:
                    if (
                        partials[earlier].pattern == partials[at].pattern
                        and partials[earlier].key == partials[at].key
                        and partials[earlier].state != COMPLETE
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
                    emit(visitors, slot, partials, pool, counters, at, when, out)
                    drop(visitors, slot, partials, pool, counters, before, at)
                    before = -1
                    at = visitors[slot].head
                    while at >= 0:
                        after = partials[at].next
                        other = partials[at]
                        if (
                            other.pattern == pattern
                            and other.key == key
                            and (
                                (skip == PAST_LAST and other.start_event <= last_event)
                                or (skip == TO_NEXT and other.start_event == start_event)
                            )
                        ):
                            drop(visitors, slot, partials, pool, counters, before, at)
                        else:
                            before = at
                        at = after
                    again = True
                    break
            before = at
            at = partials[at].next


@compiled_inline
def keep_to_limit(
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
        if excess[pattern] > 0 and partials[at].state != COMPLETE:
            excess[pattern] -= 1
            totals[pattern] += 1
            frees = frees or table[pattern].skip != 0
            drop(visitors, slot, partials, pool, counters, before, at)
        else:
            before = at
        at = after
    return frees
