"""The compiled loops behind early answers: what each visitor's events looked like before and after disorder.

A *run* is a visitor's unsettled events in their final order, as far as they had come by some record. One is enough
where every new record came last in that order; each record that didn't closes a run and begins the next.
"""

from typing import Any

import numpy as np

from footfall.compiled import compiled, compiled_inline
from footfall.sessions import is_member, is_over, join_members, message_word, splits
from footfall.visitors import find_visitor

OPEN_SESSION = np.dtype(
    [
        ("start", np.int64),
        ("last", np.int64),
        ("number", np.int64),
        ("campaign", np.uint64),
        ("open", np.int64),
    ]
)
"""What of a session decides which events are in it; `number` is the session's among the members."""

UNCHANGED = -1
"""What stands for the record that changed the order, in a visitor's first run."""


@compiled
def group_events(
    by_visitor: Any,
    events: Any,
    ranks: Any,
    ending: Any,
    fresh_from: Any,
    all_late: Any,
    members_out: Any,
    enders_out: Any,
) -> Any:
    """Put together the events of each visitor in whose runs a match may end that is news.

    Args:
        by_visitor: the events' places, by visitor, each visitor's in the order in which they came.
        events: `EVENT` records.
        ranks: for each place that in the final order.
        ending: for each place whether its event may end a match.
        fresh_from: places from here on are new.
        all_late: every visitor's new events count as out of order.
        members_out: the places of those visitors' events, and where each one's start, and the end.
        enders_out: the places of events that may end such a match, and the groups that they are in.

    Returns:
        How many groups and enders there are, and the size of the largest group.
    """
    members, starts = members_out
    enders, ender_groups = enders_out
    groups = ends = count = largest = 0
    begin = 0
    while begin < by_visitor.size:
        first = events[by_visitor[begin]]
        end = begin
        late = all_late
        has_fresh = False
        highest = np.int64(-1)
        while end < by_visitor.size:
            place = by_visitor[end]
            event = events[place]
            if event.visitor_low != first.visitor_low or event.visitor_high != first.visitor_high:
                break
            if place >= fresh_from:
                has_fresh = True
                late = late or ranks[place] < highest
            highest = max(highest, ranks[place])
            end += 1
        wanted = False
        if has_fresh:
            for at in range(begin, end):
                place = by_visitor[at]
                if ending[place] and (late or place >= fresh_from):
                    enders[ends] = place
                    ender_groups[ends] = groups
                    ends += 1
                    wanted = True
        if wanted:
            for at in range(begin, end):
                members[count] = by_visitor[at]
                count += 1
            largest = max(largest, end - begin)
            groups += 1
            starts[groups] = count
        begin = end
    return groups, ends, largest


@compiled
def lay_out_runs(
    members: Any,
    starts: Any,
    ranks: Any,
    times: Any,
    fresh_from: Any,
    strict: Any,
    queue: Any,
    events_out: Any,
    runs_out: Any,
) -> Any:
    """Lay out the runs of groups of events; how many events and runs that takes.

    Args:
        members: the events' places, by visitor, each visitor's in the order in which they came.
        starts: where each visitor's members start, and the end.
        ranks: for each place that in the final order.
        times: for each place the event's time.
        fresh_from: places from here on are new.
        strict: an event of the same time as the latest one counts as disorder too.
        queue: room for the largest group.
        events_out: (place, run) of each event of the runs; only counted where they have no room.
        runs_out: (group, the place of the record that changed the order) of each run, as well.
    """
    places, run_of = events_out
    groups, changes = runs_out
    laid = runs = 0
    for group in range(starts.size - 1):
        change = np.int64(UNCHANGED)
        size = 0
        for member in range(starts[group], starts[group + 1]):
            place = members[member]
            if place >= fresh_from and size > 0:
                top = queue[size - 1]
                if ranks[place] < ranks[top] or (strict and times[place] <= times[top]):
                    if runs < groups.size:
                        groups[runs] = group
                        changes[runs] = change
                    for k in range(size):
                        if laid + k < places.size:
                            places[laid + k] = queue[k]
                            run_of[laid + k] = runs
                    laid += size
                    runs += 1
                    change = place
            at = size
            while at > 0 and ranks[queue[at - 1]] > ranks[place]:
                queue[at] = queue[at - 1]
                at -= 1
            queue[at] = place
            size += 1
        if runs < groups.size:
            groups[runs] = group
            changes[runs] = change
        for k in range(size):
            if laid + k < places.size:
                places[laid + k] = queue[k]
                run_of[laid + k] = runs
        laid += size
        runs += 1
    return laid, runs


@compiled
def find_visitors(index: Any, visitors: Any, events: Any, slots: Any) -> None:
    """For each event its visitor's place in the table; -1 for one who isn't there."""
    for i in range(events.size):
        slots[i] = find_visitor(index, visitors, events[i].visitor_high, events[i].visitor_low)


@compiled
def drop_copies(
    events: Any,
    run_of: Any,
    slots: Any,
    visitors: Any,
    members: Any,
    fresh: Any,
    counters: Any,
    bounds: Any,
    out: Any,
) -> None:
    """Mark the copies among the events of runs, as sessions would; those marked already are left out.

    `members` are those of the open sessions, `fresh` blank ones with room for all events; `out` is the marks and
    one `OPEN_SESSION`.
    """
    gap, max_length, split_on_campaign = bounds
    dropped, scratch = out
    session = scratch[0]
    known = False
    number = np.int64(0)
    last_run = np.int64(-1)
    for i in range(events.size):
        event = events[i]
        if run_of[i] != last_run:
            last_run = run_of[i]
            slot = slots[last_run]
            number += 1
            known = slot >= 0 and visitors[slot].open != 0
            session.open = 0
            if known:
                session.open = 1
                session.start = visitors[slot].start
                session.last = visitors[slot].last
                session.campaign = visitors[slot].campaign
                session.number = visitors[slot].session
        if dropped[i]:
            continue
        if session.open and is_over(session, event.time, gap, max_length):
            session.open = 0
        word = message_word(event)
        if session.open and (
            is_member(fresh[0], fresh[1], fresh[2], number, word)
            or (known and is_member(members[0], members[1], members[2], session.number, word))
        ):
            dropped[i] = True
            continue
        if session.open and splits(session, event, split_on_campaign):
            session.open = 0
        if not session.open:
            session.open = 1
            session.start = event.time
            session.campaign = event.campaign
            known = False
            number += 1
        session.last = event.time
        if event.campaign != 0 and session.campaign == 0:
            session.campaign = event.campaign
        join_members(fresh[0], fresh[1], fresh[2], number, 0, word, counters)


@compiled_inline
def _chain(pool: Any, node: Any) -> Any:
    length = 0
    while node >= 0:
        length += 1
        node = pool[node].prev
    return length


@compiled
def count_partials(slots: Any, visitors: Any, partials: Any, pool: Any) -> Any:
    """How many partial matches, and events taken by them, copies of these visitors' need room for."""
    count = nodes = 0
    for i in range(slots.size):
        if slots[i] < 0:
            continue
        at = visitors[slots[i]].head
        while at >= 0:
            count += 1
            nodes += _chain(pool, partials[at].node)
            at = partials[at].next
    return count, nodes


@compiled
def copy_partials(
    slots: Any, visitors: Any, partials: Any, pool: Any, copies: Any, new_partials: Any, new_pool: Any
) -> None:
    """Give each of `copies`, visitors that are blank, the partial matches of the visitor of its slot."""
    count = nodes = 0
    for i in range(slots.size):
        copy = copies[i]
        copy.used = 1
        copy.head = -1
        copy.tail = -1
        copy.next_deadline = np.iinfo(np.int64).max
        if slots[i] < 0:
            continue
        copy.next_deadline = visitors[slots[i]].next_deadline
        copy.wanted = visitors[slots[i]].wanted
        at = visitors[slots[i]].head
        while at >= 0:
            new_partials[count] = partials[at]
            new_partials[count].next = -1
            if copy.tail < 0:
                copy.head = count
            else:
                new_partials[copy.tail].next = count
            copy.tail = count
            copy.partials += 1
            node = partials[at].node
            length = _chain(pool, node)
            new_partials[count].node = nodes + length - 1
            for back in range(length):
                here = nodes + length - 1 - back
                new_pool[here] = pool[node]
                new_pool[here].prev = here - 1 if back < length - 1 else -1
                new_pool[here].refs = 1
                node = pool[node].prev
            nodes += length
            count += 1
            at = partials[at].next
