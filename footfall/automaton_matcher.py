"""The matcher of the patterns that the compiled loops of `matcher` can't run: an automaton for each visitor.

It sees only events that a pattern awaits (or all events of visitors who have something under way, where a pattern
needs that). An event's number is that of its row in the shard. What tests may ask of an event later, its values by
slot, is kept for as long as a partial match holds the event.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.automaton_memory import Key, Memory, pack_memories, unpack_memories
from footfall.automaton_plan import AutomatonPlan, PlannedAutomaton
from footfall.automaton_prefilter import FEED, IF_LIVE, SEEN, SKIP, WAIT, SeenEvents
from footfall.clock import FOREVER
from footfall.clock import NEVER as BEFORE_ALL
from footfall.condition_words import WORD_BITS
from footfall.event_batch import Events
from footfall.kept_events import KeptEvents, Values
from footfall.match_records import MATCH, NODE, TIMED_OUT
from footfall.matcher import Matches
from footfall.visitor_automaton import NEVER, Match, VisitorAutomaton

_WORD = (1 << WORD_BITS) - 1

_SLACK = 4_096
"""What waits before a pre-filter is all looked at again once it is so many more events than twice those left then."""


@dataclass(slots=True)
class AutomatonMatcher:
    """The automata of a shard's visitors.

    State kept across a restart: all of it but the plan, which `settle` gives anew; it must be an equal one, or one that
    has grown from it (`go_on_with`).

    Attributes:
        next_due: nothing changes before this time without an event.
        dropped: by pattern's number how many partial matches its limit has cost.
        pending: how many absences that wait longer than 24 h were still waited for when the input ended.
        lenient: a skip to a stage that took no event raises nothing, whatever the pattern says.
    """

    next_due: int = FOREVER
    dropped: Counter[int] = field(default_factory=Counter)
    pending: int = 0
    lenient: bool = False
    _visitors: dict[Key, VisitorAutomaton] = field(default_factory=dict)
    _waiting: dict[int, SeenEvents] = field(default_factory=dict)
    _swept: dict[int, int] = field(default_factory=dict)
    _values: dict[tuple[int, int, int], dict[int, None]] = field(default_factory=dict)
    _taken: KeptEvents = field(default_factory=KeptEvents)
    _due: list[tuple[int, Key]] = field(default_factory=list)
    _memories: list[tuple[int, Key]] = field(default_factory=list)
    _fresh: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _last: dict[Key, int] = field(default_factory=dict)
    _frozen: list[tuple[Key, Memory]] = field(default_factory=list)

    def settle(
        self,
        plan: AutomatonPlan,
        events: Events,
        lanes: npt.NDArray[np.uint64],
        places_of: npt.NDArray[np.int64],
        values: Values,
        until: int,
        *,
        at_end: bool = False,
        only: Mapping[int, npt.NDArray[np.bool_]] | None = None,
    ) -> Matches:
        """Take events in their final order (those with place -1 are left out), then move all clocks to `until`.

        `lanes` are as in a `ShardBatch`; `values` gives, for places among `events`, the frame of the plan's values.
        With `at_end`, absences that wait longer than 24 h stay as they are, and are counted in `pending`. `only` says
        by pattern's number which events it is to take, where that isn't all.
        """
        self._thaw(plan)
        out = _Out()
        self._fresh = np.zeros(0, np.int64)
        if plan.patterns:
            # All shards of a process share the plan: what its tests read is this one's until the round is over.
            plan.values.read = self._taken.value
            self._take_events(plan, events, lanes, places_of, values, until, out, only)
            self._move_clocks(plan, until, out, at_end=at_end)
        return out.matches()

    def _take_events(
        self,
        plan: AutomatonPlan,
        events: Events,
        lanes: npt.NDArray[np.uint64],
        places_of: npt.NDArray[np.int64],
        values: Values,
        until: int,
        out: "_Out",
        only: Mapping[int, npt.NDArray[np.bool_]] | None,
    ) -> None:
        masks = np.column_stack([events["mask"], lanes[:, plan.same_fields :]])
        seen: list[tuple[PlannedAutomaton, SeenEvents, npt.NDArray[np.int8], npt.NDArray[np.bool_]]] = []
        for planned in plan.patterns:
            taken_by = None if only is None else only[planned.number]
            if taken_by is not None and not taken_by.any():
                continue
            places = self._seen_by(planned, events, masks, places_of)
            if taken_by is not None:
                places = places[taken_by[places]]
            mine = _seen_events(events, lanes, masks, places, planned.same)
            seen.append((planned, *self._sift(planned, mine, until)))
        wanted = [mine.records["place"][fates != SKIP] for _, mine, fates, _ in seen]
        places = np.unique(np.concatenate([np.zeros(0, np.int64), *wanted]))
        self._taken.begin_round(places, events, values)
        touched: set[Key] = set()
        fresh: list[npt.NDArray[np.int64]] = []
        for planned, mine, fates, may_wait in seen:
            fed = fates >= IF_LIVE
            waits = fates == WAIT
            turned_away = self._feed(plan, planned, (mine.kept(fed), fates[fed]), out, touched)
            at = np.flatnonzero(fed)[turned_away]
            waits[at[may_wait[at]]] = True
            if (
                planned.prefilter is not None and only is None
            ):  # else this matcher goes when the round is over
                left = planned.prefilter.left(mine, waits, until)
                rest = self._waiting.get(planned.number)
                self._waiting[planned.number] = left if rest is None else rest.followed_by(left)
                self._swept.setdefault(planned.number, left.records.size)
                fresh.append(mine.records["row"][waits & (mine.records["place"] >= 0)])
        if only is None:
            self._keep(fresh, touched, int(events["row"][0]) if events.size else 0)

    def _keep(self, waiting: Sequence[npt.NDArray[np.int64]], touched: set[Key], since: int) -> None:
        """Keep of the round's events those that wait, and those that automata hold; `since` is the first one's row."""
        held: set[int] = set()
        for key in touched:
            automaton = self._visitors.get(key)
            if automaton is not None:
                held |= automaton.held_events(since)
        self._fresh = np.unique(np.concatenate([np.array([*held], np.int64), *waiting]))
        self._taken.end_round(self._fresh)

    def _sift(
        self, planned: PlannedAutomaton, seen: SeenEvents, until: int
    ) -> tuple[SeenEvents, npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
        """The events that wait and the new ones, what becomes of each, and which may wait on."""
        if planned.prefilter is None:
            count = seen.records.size
            return seen, np.full(count, FEED, np.int8), np.zeros(count, np.bool_)
        number = planned.number
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            if waiting.records.size <= 2 * self._swept.get(number, 0) + _SLACK:
                # Time alone only lets the others go, which can wait.
                waiting, self._waiting[number] = waiting.parted_by(seen.records["low"])
            else:
                self._swept.pop(number, None)
            seen = waiting.followed_by(seen)
        records = seen.records
        keys = zip(*(records[name].tolist() for name in ("high", "low", "same")), strict=True)
        live = np.fromiter(((number, *key) in self._visitors for key in keys), np.bool_, records.size)
        return seen, *planned.prefilter.decide(seen, live, until)

    def _seen_by(
        self,
        planned: PlannedAutomaton,
        events: Events,
        masks: npt.NDArray[np.uint64],
        places_of: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        """The places of the events that the pattern must see."""
        automaton = planned.automaton
        words = [(automaton.interest >> WORD_BITS * word) & _WORD for word in range(masks.shape[1])]
        awaited: npt.NDArray[np.bool_] = np.any((masks & np.array(words, np.uint64)) != 0, axis=1)
        if automaton.starts_blank or automaton.spec.looks_back:
            awaited[:] = True
        elif automaton.sees_all:
            waiting = [key[2] for key in self._visitors if key[0] == planned.number]
            visitors = np.unique(
                np.concatenate([events["visitor_low"][awaited], np.array(waiting, np.uint64)])
            )
            awaited |= np.isin(events["visitor_low"], visitors)
        if planned.begins_from != BEFORE_ALL:
            awaited &= events["time"] >= planned.begins_from
        return np.flatnonzero(awaited & (places_of >= 0))

    def _feed(
        self,
        plan: AutomatonPlan,
        planned: PlannedAutomaton,
        seen: tuple[SeenEvents, npt.NDArray[np.int8]],
        out: "_Out",
        touched: set[Key],
    ) -> list[int]:
        """Feed events to their automata; which of them there was none for."""
        automaton, number = planned.automaton, planned.number
        rows = list(_rows(*seen))
        if planned.ties_by is not None:
            slot = planned.ties_by
            rows.sort(key=lambda row: (row[3], _ordered(self._taken.value(row[2], slot))))
        turned_away = []
        for at, same_key, row, time, mask, high, low, may_begin in rows:
            if planned.same >= 0 and same_key == 0:
                continue
            key = (number, high, low, same_key)
            visitor = self._living(planned, key, time, out)
            if visitor is None:
                if not (mask & automaton.interest or automaton.starts_blank or automaton.spec.looks_back):
                    continue
                if not may_begin or time >= automaton.begins_until:
                    turned_away.append(at)
                    continue
                visitor = self._begun(plan, planned, key, time, out)
            before = visitor.next_deadline
            dropped = visitor.dropped
            for match in visitor.take(row, time, mask):
                self._give_out(planned, key, match, out, -1 if match.by_time else row)
            if visitor.dropped > dropped:
                self.dropped[number] += visitor.dropped - dropped
            touched.add(key)
            self._note(planned, key, visitor, before, time)
        return turned_away

    def _begun(
        self, plan: AutomatonPlan, planned: PlannedAutomaton, key: Key, time: int, out: "_Out"
    ) -> VisitorAutomaton:
        """A new automaton for the key; of a pattern's values for one visitor there are as many as the limit allows."""
        if planned.same >= 0:
            if plan.limit is not None and len(self._values.get(key[:3], ())) >= plan.limit:
                self._make_room(planned, key, time, out, plan.limit)
            self._values.setdefault(key[:3], {})[key[3]] = None
        automaton = VisitorAutomaton(planned.automaton, limit=plan.limit, lenient=self.lenient)
        self._visitors[key] = automaton
        return automaton

    def _make_room(self, planned: PlannedAutomaton, key: Key, time: int, out: "_Out", limit: int) -> None:
        """Drop the value that has been followed for longest, unless one of them is over by now."""
        for value in list(self._values[key[:3]]):
            self._living(planned, (*key[:3], value), time, out)
        values = self._values.get(key[:3], {})
        if len(values) >= limit:
            oldest = (*key[:3], next(iter(values)))
            self.dropped[key[0]] += self._visitors[oldest].open_partials
            self._forget(oldest)

    def _living(self, planned: PlannedAutomaton, key: Key, time: int, out: "_Out") -> VisitorAutomaton | None:
        """The key's automaton at that time; None if there is none, or it has nothing under way any more.

        When a round ends doesn't show in that: what the round's end would have forgotten is forgotten here.
        """
        visitor = self._visitors.get(key)
        if visitor is None:
            return None
        for match in visitor.advance(time):
            self._give_out(planned, key, match, out)
        if self._is_over(planned, key, visitor, time):
            self._forget(key)
            return None
        return visitor

    def _is_over(self, planned: PlannedAutomaton, key: Key, visitor: VisitorAutomaton, time: int) -> bool:
        if visitor.open_partials or visitor.holds_matches:
            return False
        if planned.memory_ms is not None and key in self._last:
            return time - self._last[key] >= planned.memory_ms
        # Where there is a pre-filter, it remembers what mustn't come before a match.
        return planned.prefilter is not None or not visitor.remembers

    def _note(
        self,
        planned: PlannedAutomaton,
        key: Key,
        visitor: VisitorAutomaton,
        before: int,
        time: int | None = None,
    ) -> None:
        """Note what the automaton waits for now, or that it is over; `time` is that of an event it has taken."""
        if planned.memory_ms is not None and time is not None:
            if key not in self._last:
                heapq.heappush(self._memories, (time + planned.memory_ms, key))
            self._last[key] = time
        if planned.memory_ms is None and self._is_over(planned, key, visitor, 0):
            self._forget(key)
        elif visitor.next_deadline not in {before, NEVER}:
            heapq.heappush(self._due, (visitor.next_deadline, key))

    def _forget(self, key: Key) -> None:
        del self._visitors[key]
        self._last.pop(key, None)
        values = self._values.get(key[:3])
        if values is not None:
            del values[key[3]]
            if not values:
                del self._values[key[:3]]

    def _move_clocks(self, plan: AutomatonPlan, until: int, out: "_Out", *, at_end: bool) -> None:
        if at_end:
            self._forget_long_waits(plan)
        while self._due and self._due[0][0] <= until:
            deadline, key = heapq.heappop(self._due)
            planned, visitor = plan.planned(key[0]), self._visitors.get(key)
            if visitor is None:
                continue
            for match in visitor.advance(deadline):
                self._give_out(planned, key, match, out)
            self._note(planned, key, visitor, deadline)
        self._forget_memories(plan, until)
        self.next_due = min((heap[0][0] for heap in (self._due, self._memories) if heap), default=FOREVER)

    def _forget_memories(self, plan: AutomatonPlan, until: int) -> None:
        """Forget what is remembered of visitors whose last event is too long ago; each key stands there once."""
        again = []
        while self._memories and self._memories[0][0] <= until:
            _, key = heapq.heappop(self._memories)
            visitor, memory_ms = self._visitors.get(key), plan.planned(key[0]).memory_ms
            if visitor is None or memory_ms is None or key not in self._last:
                continue
            over = self._last[key] + memory_ms
            if over > until:
                again.append((over, key))
            elif self._is_over(plan.planned(key[0]), key, visitor, until):
                self._forget(key)
            else:
                again.append((max(until + 1, min(visitor.next_deadline, FOREVER - 1)), key))
        for entry in again:
            heapq.heappush(self._memories, entry)

    def _forget_long_waits(self, plan: AutomatonPlan) -> None:
        long = {planned.number for planned in plan.patterns if planned.waits_over_24h}
        for key in [key for key in self._visitors if key[0] in long]:
            self.pending += self._visitors[key].awaited_absences
            self._forget(key)

    def _give_out(
        self, planned: PlannedAutomaton, key: Key, match: Match, out: "_Out", row: int = -1
    ) -> None:
        nodes = [
            (
                event,
                self._taken[event].time,
                self._taken[event].message_high,
                self._taken[event].message_low,
                planned.stage_number(stage),
            )
            for stage, event in match.steps
        ]
        out.add(planned.number, key, match, nodes, row, planned.outputs_text(match))

    def fresh_rows(self, since: int) -> npt.NDArray[np.int64]:
        """The rows from `since` on that partial matches hold since the last round."""
        return self._fresh[np.searchsorted(self._fresh, since) :]

    def held_rows(self) -> npt.NDArray[np.int64]:
        """All rows that partial matches hold; what is kept of other events goes."""
        held: set[int] = set()
        for visitor in self._visitors.values():
            held |= visitor.held_events()
        waiting = (seen.records["row"][seen.records["spent"] == 0] for seen in self._waiting.values())
        rows = np.unique(np.concatenate([np.array([*held], np.int64), *waiting]))
        self._taken.sweep(rows)
        return rows

    @property
    def live(self) -> int:
        """How many automata are live: one for each visitor, pattern and `same` value with something under way."""
        return len(self._visitors) + len(self._frozen)

    def fork(
        self,
        plan: AutomatonPlan,
        visitors: Sequence[tuple[int, int]],
        wanted: Mapping[int, npt.NDArray[np.bool_]],
    ) -> "AutomatonMatcher":
        """A matcher with copies of some visitors' automata; what it does leaves this one as it is.

        `visitors` has the hash of a visitor for each copy (the same one may come again); copy i has the name (i, i).
        `wanted` says by pattern's number for which copies it is to be there.
        """
        self._thaw(plan)
        forked = AutomatonMatcher(lenient=True, _taken=KeptEvents(under=self._taken))
        for planned in plan.patterns:
            number = planned.number
            copies = np.flatnonzero(wanted[number]).tolist()
            for copy in copies:
                high, low = visitors[copy]
                values = self._values.get((number, high, low), {}) if planned.same >= 0 else {0: None}
                for value in values:
                    key = (number, high, low, value)
                    automaton = self._visitors.get(key)
                    if automaton is not None:
                        forked._adopt(planned, (number, copy, copy, value), automaton.copy())
                        if key in self._last:
                            forked._last[number, copy, copy, value] = self._last[key]
            if copies and number in self._waiting:
                waiting = self._waiting[number].of_copies({copy: visitors[copy] for copy in copies})
                if waiting is not None:
                    forked._waiting[number] = waiting
        return forked

    def go_on_with(self, plan: AutomatonPlan, words: int, settled: int) -> None:
        """Go on with a plan that has grown from the one so far, and masks of that many words.

        All up to the time `settled` has been taken. Patterns that begin no more keep only what is under way.
        """
        self._frozen += [(key, visitor.memory()) for key, visitor in self._visitors.items()]
        self._frozen = [
            (key, memory)
            for key, memory in self._frozen
            if memory[0] or memory[1] or settled < plan.planned(key[0]).automaton.begins_until
        ]
        live = {key for key, _ in self._frozen}
        self._last = {key: time for key, time in self._last.items() if key in live}
        self._visitors, self._values, self._due, self._memories = {}, {}, [], []
        self._waiting = {number: seen.widened(words) for number, seen in self._waiting.items()}

    def _adopt(self, planned: PlannedAutomaton, key: Key, automaton: VisitorAutomaton) -> None:
        self._visitors[key] = automaton
        if planned.same >= 0:
            self._values.setdefault(key[:3], {})[key[3]] = None

    def _thaw(self, plan: AutomatonPlan) -> None:
        for key, kept in self._frozen:
            automaton = plan.planned(key[0]).automaton
            visitor = VisitorAutomaton.recalled(automaton, kept, limit=plan.limit)
            self._adopt(plan.planned(key[0]), key, visitor)
            if visitor.next_deadline != NEVER:
                heapq.heappush(self._due, (visitor.next_deadline, key))
            memory = plan.planned(key[0]).memory_ms
            if memory is not None:
                heapq.heappush(self._memories, (self._last[key] + memory, key))
        self._frozen = []

    def __getstate__(self) -> tuple[Any, ...]:
        frozen = [*self._frozen, *((key, visitor.memory()) for key, visitor in self._visitors.items())]
        return (
            self.next_due, self.dropped, self.pending, pack_memories(frozen), self._taken, self._last, self._waiting,
        )  # fmt: skip

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.next_due, self.dropped, self.pending, frozen, self._taken, self._last, self._waiting = state
        self._frozen = unpack_memories(*frozen)
        self._visitors, self._values, self._due, self._fresh = {}, {}, [], np.zeros(0, np.int64)
        self._swept = {number: seen.records.size for number, seen in self._waiting.items()}
        self._memories, self.lenient = [], False


def _seen_events(
    events: Events,
    lanes: npt.NDArray[np.uint64],
    masks: npt.NDArray[np.uint64],
    places: npt.NDArray[np.int64],
    same: int,
) -> SeenEvents:
    records = np.zeros(places.size, SEEN)
    for name, source in (("high", "visitor_high"), ("low", "visitor_low"), ("row", "row"), ("time", "time")):
        records[name] = events[source][places]
    records["place"] = places
    if same >= 0:
        records["same"] = lanes[places, same]
    return SeenEvents(records, masks[places])


def _rows(
    seen: SeenEvents, fates: npt.NDArray[np.int8]
) -> Iterable[tuple[int, int, int, int, int, int, int, bool]]:
    """Of each event its number, `same` value, row, time, mask and visitor, and whether it may begin an automaton."""
    masks = seen.masks[:, 0].tolist()
    for word in range(1, seen.masks.shape[1]):
        more = seen.masks[:, word].tolist()
        masks = [mask | (high << WORD_BITS * word) for mask, high in zip(masks, more, strict=True)]
    same, row, time, *visitor = (
        seen.records[name].tolist() for name in ("same", "row", "time", "high", "low")
    )
    return zip(range(len(masks)), same, row, time, masks, *visitor, (fates == FEED).tolist(), strict=True)


@dataclass(slots=True)
class _Out:
    """The matches of a round, as they come."""

    records: list[tuple[int, ...]] = field(default_factory=list)
    nodes: list[tuple[int, ...]] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def add(
        self,
        number: int,
        key: Key,
        match: Match,
        nodes: Sequence[tuple[int, ...]],
        row: int,
        outputs: str,
    ) -> None:
        kind = TIMED_OUT if match.timed_out else 0
        first, last = nodes[0][1], nodes[-1][1]
        record = (first, last, match.time, key[1], key[2], len(self.nodes), len(nodes), row, number, kind)
        self.records.append(record)
        self.nodes.extend((*node[:4], -1, 0, node[4], 0) for node in nodes)
        self.outputs.append(outputs)

    def matches(self) -> Matches:
        return Matches(np.array(self.records, MATCH), np.array(self.nodes, NODE), self.outputs)


def joined(parts: Iterable[Matches]) -> Matches:
    """One round's matches from several matchers."""
    records, nodes, outputs = [], [], []
    count = 0
    for part in parts:
        moved = part.records.copy()
        moved["first_node"] += count
        count += part.nodes.size
        records.append(moved)
        nodes.append(part.nodes)
        outputs += part.outputs or [""] * part.records.size
    return Matches(np.concatenate(records), np.concatenate(nodes), outputs)


def _ordered(value: Any) -> tuple[bool, Any]:
    """A value to sort by; events without one come first."""
    return value is not None, value if value is not None else 0
