"""The matcher: every pattern of a run over a shard's settled events, one visitor's at a time, in compiled loops.

All state is arrays: a snapshot is their bytes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.clock import FOREVER
from footfall.early_loops import copy_partials, count_partials
from footfall.event_batch import Events
from footfall.match_lookahead import link_events
from footfall.match_loops import forget_long_waits, move_clocks, room_for, take_events
from footfall.match_records import (
    EVENTS,
    FRESH,
    MATCH,
    NODE,
    NODES,
    OUT,
    OUT_NODES,
    PARTIAL,
    PARTIALS,
    PENDING,
)
from footfall.pattern_plan import PatternPlan
from footfall.record_arrays import copied, grown, keep_records
from footfall.visitors import VISITOR, VisitorTable

_NO_LIMIT = np.iinfo(np.int32).max
_ROOM = 1_024


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

    def kept(self, mask: npt.NDArray[np.bool_]) -> "Matches":
        """Those that the mask names, with their events alone."""
        if mask.all():
            return self
        counts = self.records["node_count"]
        # The records lie in the order of their events.
        nodes = keep_records(self.nodes, np.repeat(mask, counts))
        records = keep_records(self.records, mask)
        counts = records["node_count"]
        records["first_node"] = np.cumsum(counts) - counts
        outputs = [text for text, is_kept in zip(self.outputs, mask.tolist(), strict=False) if is_kept]
        return Matches(records, nodes, outputs)


@dataclass(slots=True)
class Matcher:
    """A shard's partial matches of all patterns of a plan.

    State kept across a restart: the partial matches and the events they have taken. The plan isn't part of it;
    a state is only ever used with the plan that made it, or one that has grown from it.

    Attributes:
        dropped: for each row of the plan's table how many partial matches its limit has cost.
    """

    partials: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(256, PARTIAL))
    pool: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(256, NODE))
    counters: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.array([-1, 0, -1, 0, 0, 0, 0, 0, 0], np.int64)
    )
    next_due: int = FOREVER
    dropped: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
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
        for counter in (OUT, OUT_NODES, FRESH):
            self.counters[counter] = 0
        longest = int(plan.table["step_count"].max()) if plan.table.size else 1
        limit = plan.automata.limit or _NO_LIMIT
        if self.dropped.size != plan.table.size:
            # A plan that has grown has its new patterns behind the others.
            self.dropped = np.append(self.dropped, np.zeros(plan.table.size - self.dropped.size, np.int64))
        excess = np.zeros(plan.table.size, np.int64)
        next_of = np.empty(events.size, np.int64)
        crowd = np.zeros(visitors.records.size, np.int64)
        link_events(places_of, visitors.records, next_of, np.full(visitors.records.size, -1, np.int64), crowd)
        taken = 0
        while plan.table.size:
            taken = take_events(
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
                limit,
                (self.dropped, excess),
                (next_of, crowd, until),
                out,
                taken,
            )
            if taken == events.size:
                break
            stuck = visitors.records[places_of[taken]]
            out = self._grow(out, longest, room_for(int(stuck["partials"]), plan.table.size))
        if events.size:
            self.next_due = min(self.next_due, self._least_deadline(places_of, visitors))
        if at_end and plan.table.size:
            self.counters[PENDING] += forget_long_waits(
                visitors.records,
                visitors.high_water,
                self.partials,
                self.pool,
                self.counters,
                plan.steps,
                plan.table,
            )
        if self.next_due <= until:
            out = self._advance(plan, until, visitors, out, longest)
        self._out = out
        matches, nodes, _ = out
        found = Matches(copied(matches[: self.counters[OUT]]), copied(nodes[: self.counters[OUT_NODES]]))
        found.records["pattern"] = plan.numbers[found.records["pattern"]]
        return found

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
            begin = move_clocks(
                visitors.records,
                visitors.high_water,
                self.partials,
                self.pool,
                self.counters,
                (plan.steps, plan.table),
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
        self.partials = _with_room(self.partials, int(self.counters[PARTIALS]) + need)
        self.pool = _with_room(self.pool, int(self.counters[NODES]) + need)
        matches = _with_room(matches, int(self.counters[OUT]) + need)
        nodes = _with_room(nodes, int(self.counters[OUT_NODES]) + need * longest)
        fresh = _with_room(fresh, int(self.counters[FRESH]) + need)
        return matches, nodes, fresh

    def fork(self, slots: npt.NDArray[np.int64], visitors: VisitorTable) -> tuple["Matcher", VisitorTable]:
        """A matcher with copies of some visitors' partial matches, and those visitors' table.

        `slots` has a visitor's place for each copy (-1 for one who isn't there; the same one may come again). Copy
        i is at place i, under the name (i, i). What the fork does leaves this matcher as it is.
        """
        count, nodes = count_partials(slots, visitors.records, self.partials, self.pool)
        # With room for what the copies begin, or the loops would stop for more again and again.
        partials, pool = np.zeros(2 * count + _ROOM, PARTIAL), np.zeros(2 * nodes + _ROOM, NODE)
        records = np.zeros(slots.size, VISITOR)
        copy_partials(slots, visitors.records, self.partials, self.pool, records, partials, pool)
        records["high"] = records["low"] = np.arange(slots.size)
        counters = np.array([-1, count, -1, nodes, 0, 0, 0, self.counters[EVENTS], 0], np.int64)
        out = np.zeros(_ROOM, MATCH), np.zeros(4 * _ROOM, NODE), np.zeros(_ROOM, np.int64)
        forked = Matcher(partials, pool, counters, _out=out)
        return forked, VisitorTable(records, places=np.array([-1, slots.size, slots.size], np.int64))

    @property
    def pending(self) -> int:
        """How many absences that wait longer than 24 h were still waited for when the input ended."""
        return int(self.counters[PENDING])

    def fresh_rows(self, since: int) -> npt.NDArray[np.int64]:
        """The rows from `since` on that the last round's new nodes hold, if they are still held."""
        if self._out is None:
            return np.zeros(0, np.int64)
        nodes = self._out[2][: self.counters[FRESH]]
        rows: npt.NDArray[np.int64] = self.pool["row"][nodes]
        return rows[rows >= since]

    def held_rows(self) -> npt.NDArray[np.int64]:
        """All rows that partial matches hold."""
        pool = self.pool[: self.counters[NODES]]
        rows: npt.NDArray[np.int64] = pool["row"][pool["refs"] > 0]
        return rows

    def __getstate__(self) -> tuple[Any, ...]:
        partials = copied(self.partials[: max(256, int(self.counters[PARTIALS]))])
        pool = copied(self.pool[: max(256, int(self.counters[NODES]))])
        return partials, pool, self.counters.copy(), self.next_due, self.dropped.copy()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.partials, self.pool, self.counters, self.next_due, self.dropped = state
        self._out = None
