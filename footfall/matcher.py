"""The matcher: every pattern of a run over a shard's settled events, one visitor's at a time, in compiled loops.

A partial match awaits one step of its pattern. Each event that a visitor's partial matches can see moves them on:
a forbidden event ends them, an awaited one is taken (and, for `any`, also passed over), a strict step that gets
another event ends them. The visitor's clock moves to an event's time before the event is taken: what is due by
then times out, or, for a trailing absence, has come true. Skip strategies hold a match until no earlier partial
one of the same pattern and `same` value is alive, then drop what they rule out.

What a partial match has taken is a chain of nodes from the last event back, shared between branches and counted
by reference. All state is arrays: a snapshot is their bytes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.clock import FOREVER
from footfall.compiled import compiled, compiled_inline
from footfall.event_batch import Events
from footfall.pattern_plan import PatternPlan
from footfall.record_arrays import copied, grown
from footfall.visitors import VisitorTable

PARTIAL = np.dtype(
    [
        ("start", np.int64),
        ("last", np.int64),
        ("deadline", np.int64),
        ("start_event", np.int64),
        ("last_event", np.int64),
        ("key", np.uint64),
        ("pattern", np.int32),
        ("step", np.int32),
        ("node", np.int32),
        ("next", np.int32),
        ("fresh", np.int32),
        ("state", np.int32),
    ]
)
"""A partial match: times in ms, `*_event` numbers of events in the order taken, `key` the hash of the `same`
field, `step` the step it awaits, `fresh` while the visitor's very next event is the next one it sees."""

NODE = np.dtype(
    [
        ("row", np.int64),
        ("time", np.int64),
        ("message_high", np.uint64),
        ("message_low", np.uint64),
        ("prev", np.int32),
        ("refs", np.int32),
        ("stage", np.int32),
        ("unused", np.int32),
    ]
)
"""An event that a partial match has taken, and the one before it."""

MATCH = np.dtype(
    [
        ("first_time", np.int64),
        ("last_time", np.int64),
        ("settled_time", np.int64),
        ("visitor_high", np.uint64),
        ("visitor_low", np.uint64),
        ("first_node", np.int64),
        ("node_count", np.int64),
        ("pattern", np.int32),
        ("kind", np.int32),
    ]
)
"""A match: times in ms; its events are `node_count` nodes from `first_node` on, in the order taken. `kind` is 0, or
`TIMED_OUT` for a partial match whose time ran out."""

TIMED_OUT = 1

_RUNNING, _TRAILING, _COMPLETE = range(3)
_ANY, _STRICT = 3, 1
_TO_NEXT, _PAST_LAST = 1, 2
_FREE_PARTIAL, _PARTIALS, _FREE_NODE, _NODES, _OUT, _OUT_NODES, _FRESH, _EVENT, _PENDING = range(9)
_NEVER_DUE = np.iinfo(np.int64).max


def _room(partials: Any, patterns: Any) -> Any:
    """The most that one event can add to any of the pools: each partial match may branch, each pattern begin."""
    return 2 * (partials + patterns) + 4


_need = compiled_inline(_room)


@compiled_inline
def _new_node(pool: Any, counters: Any, fresh: Any, event: Any, stage: Any, prev: Any) -> Any:
    if counters[_FREE_NODE] >= 0:
        at = counters[_FREE_NODE]
        counters[_FREE_NODE] = pool[at].prev
    else:
        at = counters[_NODES]
        counters[_NODES] += 1
    node = pool[at]
    node.row = event.row
    node.time = event.time
    node.message_high = event.message_high
    node.message_low = event.message_low
    node.prev = prev
    node.refs = 1
    node.stage = stage
    fresh[counters[_FRESH]] = at
    counters[_FRESH] += 1
    return at


@compiled_inline
def _release(pool: Any, counters: Any, at: Any) -> None:
    while at >= 0:
        pool[at].refs -= 1
        if pool[at].refs > 0:
            break
        prev = pool[at].prev
        pool[at].row = -1
        pool[at].prev = counters[_FREE_NODE]
        counters[_FREE_NODE] = at
        at = prev


@compiled_inline
def _new_partial(partials: Any, counters: Any) -> Any:
    if counters[_FREE_PARTIAL] >= 0:
        at = counters[_FREE_PARTIAL]
        counters[_FREE_PARTIAL] = partials[at].next
    else:
        at = counters[_PARTIALS]
        counters[_PARTIALS] += 1
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
    partials[at].next = counters[_FREE_PARTIAL]
    counters[_FREE_PARTIAL] = at


@compiled_inline
def _emit(
    visitors: Any, slot: Any, partials: Any, pool: Any, counters: Any, at: Any, time: Any, out: Any
) -> None:
    matches, nodes, _ = out
    match = matches[counters[_OUT]]
    counters[_OUT] += 1
    partial = partials[at]
    match.first_time = partial.start
    match.last_time = partial.last
    match.settled_time = time
    match.visitor_high = visitors[slot].high
    match.visitor_low = visitors[slot].low
    match.pattern = partial.pattern
    match.kind = 0
    count = 0
    node = partial.node
    while node >= 0:
        count += 1
        node = pool[node].prev
    match.first_node = counters[_OUT_NODES]
    match.node_count = count
    counters[_OUT_NODES] += count
    place = counters[_OUT_NODES] - 1
    node = partial.node
    while node >= 0:
        nodes[place] = pool[node]
        place -= 1
        node = pool[node].prev


@compiled_inline
def _hand_out(
    visitors: Any, slot: Any, partials: Any, pool: Any, counters: Any, table: Any, time: Any, out: Any
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
                    _emit(visitors, slot, partials, pool, counters, at, time, out)
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
                        _emit(visitors, slot, partials, pool, counters, at, due, out)
                    completed = completed or table[partials[at].pattern].skip != 0
                    _drop(visitors, slot, partials, pool, counters, before, at)
            else:
                before = at
            at = after
        if completed:
            _hand_out(visitors, slot, partials, pool, counters, table, due, out)
        _next_deadline(visitors, slot, partials)


@compiled
def _run(
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
    out: Any,
    begin: Any,
) -> Any:
    """Take events from `begin` on; the number of the first one not taken for want of room, or how many there are."""
    matches, out_nodes, fresh_nodes = out
    for i in range(begin, events.size):
        slot = places_of[i]
        if slot < 0:
            continue
        counters[_EVENT] += 1
        event = events[i]
        mask = event.mask
        matters = mask & interest[0] != 0
        for word in range(1, interest.size):
            matters = matters or lanes[i, fields + word - 1] & interest[word] != 0
        if not matters and not (sees_all and (visitors[slot].partials > 0 or sees_all == 2)):
            continue
        need = _need(visitors[slot].partials, table.size)
        if (
            counters[_PARTIALS] + need > partials.size
            or counters[_NODES] + need > pool.size
            or counters[_FRESH] + need > fresh_nodes.size
            or counters[_OUT] + need > matches.size
            or counters[_OUT_NODES] + need * longest > out_nodes.size
        ):
            counters[_EVENT] -= 1
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
                partial.last_event = counters[_EVENT]
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
                    _emit(visitors, slot, partials, pool, counters, at, time, out)
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
            partial.start_event = counters[_EVENT]
            partial.last_event = counters[_EVENT]
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
                    _emit(visitors, slot, partials, pool, counters, at, time, out)
                    _drop(visitors, slot, partials, pool, counters, before, at)
        if completed:
            _hand_out(visitors, slot, partials, pool, counters, table, time, out)
        _next_deadline(visitors, slot, partials)
    return events.size


@compiled
def _move_clocks(
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
            if counters[_OUT] + need > matches.size or counters[_OUT_NODES] + need * longest > out_nodes.size:
                due[0] = least
                return slot
            _move_clock(visitors, slot, partials, pool, counters, table, now, out)
        least = min(least, visitors[slot].next_deadline)
    due[0] = least
    return count


@compiled
def _forget_long_waits(visitors: Any, count: Any, partials: Any, pool: Any, counters: Any, table: Any) -> Any:
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


def _with_room(array: npt.NDArray[Any], wanted: int) -> npt.NDArray[Any]:
    if wanted <= array.size:
        return array
    return grown(array, max(wanted, 2 * array.size))


@dataclass(slots=True)
class Matches:
    """What a round has matched: `MATCH` records, and the `NODE` records that they point into.

    `outputs` has the JSON text of each match's outputs ("" for none); it is empty where no pattern has any.
    """

    records: npt.NDArray[np.void]
    nodes: npt.NDArray[np.void]
    outputs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Matcher:
    """A shard's partial matches of all patterns of a plan.

    State kept across a restart: the partial matches and the events they have taken. The plan isn't part of it;
    a state is only ever used with the plan that made it (their versions are part of the run's identity).
    """

    partials: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(256, PARTIAL))
    pool: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(256, NODE))
    counters: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.array([-1, 0, -1, 0, 0, 0, 0, 0, 0], np.int64)
    )
    next_due: int = FOREVER
    _out: tuple[npt.NDArray[np.void], npt.NDArray[np.void], npt.NDArray[np.int64]] | None = None

    def settle(
        self,
        plan: PatternPlan,
        events: Events,
        lanes: npt.NDArray[np.uint64],
        places_of: npt.NDArray[np.int64],
        until: int,
        visitors: VisitorTable,
        *,
        at_end: bool = False,
    ) -> Matches:
        """Take events in their final order (those with place -1 are left out), then move all clocks to `until`.

        With `at_end`, these are the input's last events: before the clocks move, the absences that wait longer
        than 24 h are dropped and counted in `pending`.
        """
        out = self._out
        if out is None:
            out = np.zeros(256, MATCH), np.zeros(1024, NODE), np.zeros(256, np.int64)
        for counter in (_OUT, _OUT_NODES, _FRESH):
            self.counters[counter] = 0
        longest = int(plan.table["step_count"].max()) if plan.table.size else 1
        taken = 0
        while plan.table.size:
            taken = _run(
                events,
                lanes,
                len(plan.same_fields),
                places_of,
                visitors.records,
                self.partials,
                self.pool,
                self.counters,
                plan.steps,
                plan.table,
                plan.interest,
                plan.sees_all,
                longest,
                out,
                taken,
            )
            if taken == events.size:
                break
            stuck = visitors.records[places_of[taken]]
            out = self._grow(out, longest, _room(int(stuck["partials"]), plan.table.size))
        if events.size:
            self.next_due = min(self.next_due, self._least_deadline(places_of, visitors))
        if at_end and plan.table.size:
            self.counters[_PENDING] += _forget_long_waits(
                visitors.records, visitors.high_water, self.partials, self.pool, self.counters, plan.table
            )
        if self.next_due <= until:
            out = self._advance(plan, until, visitors, out, longest)
        self._out = out
        matches, nodes, _ = out
        return Matches(copied(matches[: self.counters[_OUT]]), copied(nodes[: self.counters[_OUT_NODES]]))

    def _least_deadline(self, places_of: npt.NDArray[np.int64], visitors: VisitorTable) -> int:
        taken = places_of[places_of >= 0]
        return int(visitors.records["next_deadline"][taken].min()) if taken.size else FOREVER

    def _advance(
        self,
        plan: PatternPlan,
        until: int,
        visitors: VisitorTable,
        out: tuple[npt.NDArray[np.void], npt.NDArray[np.void], npt.NDArray[np.int64]],
        longest: int,
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void], npt.NDArray[np.int64]]:
        due = np.array([FOREVER], np.int64)
        begin = 0
        while True:
            begin = _move_clocks(
                visitors.records,
                visitors.high_water,
                self.partials,
                self.pool,
                self.counters,
                plan.table,
                until,
                longest,
                out,
                begin,
                due,
            )
            if begin == visitors.high_water:
                self.next_due = int(due[0])
                return out
            out = self._grow(out, longest, int(visitors.records[begin]["partials"]))

    def _grow(
        self,
        out: tuple[npt.NDArray[np.void], npt.NDArray[np.void], npt.NDArray[np.int64]],
        longest: int,
        need: int,
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void], npt.NDArray[np.int64]]:
        """Make room for `need` more of everything, as the loops ask for before they take an event."""
        matches, nodes, fresh = out
        self.partials = _with_room(self.partials, int(self.counters[_PARTIALS]) + need)
        self.pool = _with_room(self.pool, int(self.counters[_NODES]) + need)
        matches = _with_room(matches, int(self.counters[_OUT]) + need)
        nodes = _with_room(nodes, int(self.counters[_OUT_NODES]) + need * longest)
        fresh = _with_room(fresh, int(self.counters[_FRESH]) + need)
        return matches, nodes, fresh

    @property
    def pending(self) -> int:
        """How many absences that wait longer than 24 h were still waited for when the input ended."""
        return int(self.counters[_PENDING])

    def fresh_rows(self, since: int) -> npt.NDArray[np.int64]:
        """The rows from `since` on that the last round's new nodes hold, if they are still held."""
        if self._out is None:
            return np.zeros(0, np.int64)
        nodes = self._out[2][: self.counters[_FRESH]]
        rows: npt.NDArray[np.int64] = self.pool["row"][nodes]
        return rows[rows >= since]

    def held_rows(self) -> npt.NDArray[np.int64]:
        """All rows that partial matches hold."""
        pool = self.pool[: self.counters[_NODES]]
        rows: npt.NDArray[np.int64] = pool["row"][pool["refs"] > 0]
        return rows

    def __getstate__(self) -> tuple[Any, ...]:
        partials = copied(self.partials[: max(256, int(self.counters[_PARTIALS]))])
        pool = copied(self.pool[: max(256, int(self.counters[_NODES]))])
        return partials, pool, self.counters.copy(), self.next_due

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.partials, self.pool, self.counters, self.next_due = state
        self._out = None
