"""Runs a pattern's automaton over one visitor's events, and writes down what happens to each partial match."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from footfall.automaton import Automaton
from footfall.clock import FOREVER
from footfall.duration import format_duration
from footfall.match_trace import (
    Entry,
    PartialMatch,
    Reason,
    SeenEvent,
    Trace,
    TracedMatch,
    TraceInput,
    TraceTimes,
    What,
)
from footfall.observed_automaton import (
    Begun,
    Expired,
    Fact,
    Limited,
    Live,
    Moved,
    ObservedAutomaton,
    Path,
    Released,
    Repeated,
    Skipped,
)
from footfall.pattern_spec import Skip
from footfall.trace_elsewhere import Elsewhere, elsewhere_words
from footfall.visitor_automaton import NEVER, Match
from footfall.wait_words import Look, TakenView, WaitWords

_SKIPPED: dict[Skip, str] = {
    "no_skip": "",
    "to_next": "begins with the same event",
    "past_last": "began no later than that match's last event",
    "to_first": "began before that match's first event of {stage}",
    "to_last": "began before that match's last event of {stage}",
}
_MOST_WAITS = 20
"""So many partial matches are named that an event only leaves waiting; the others are counted."""


def trace_pattern(automaton: Automaton, words: WaitWords, given: TraceInput) -> Trace:
    """Run the pattern's automaton over a visitor's events, and write down what happens.

    Raises:
        MatchError: the pattern's skip strategy must hit a stage, and doesn't.
    """
    return _Tracing(automaton, words, given).run()


@dataclass(slots=True)
class _Lane:
    """The run for one value of the `same` field.

    Attributes:
        same: that value.
        automaton: the run.
        rows: the partial matches by what they took.
        past: the events that came.
        last: the time of the last of them.
        cause: the numbers of the matches that came out, by what they took.
        value: the value in words.
        before: what was under way before the event, or the time, that is looked at.
        expired: what time has ended since.
        whole_at: since when matches are whole.
    """

    same: str
    automaton: ObservedAutomaton
    rows: dict[Path, PartialMatch] = field(default_factory=dict)
    past: list[int] = field(default_factory=list)
    last: int = 0
    cause: dict[Path, int] = field(default_factory=dict)
    value: str = ""
    before: Sequence[Live] = ()
    expired: list[Expired] = field(default_factory=list)
    whole_at: dict[Path, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Now:
    """What is being looked at: the event, or the time without one.

    Attributes:
        states: the states of what is under way afterwards, by path.
        deadlines: when the last of them is over.
    """

    time: int
    event: int | None
    mask: int = 0
    at_end: bool = False
    states: dict[Path, list[int]] = field(default_factory=dict)
    deadlines: dict[Path, int] = field(default_factory=dict)

    def see(self, live: Sequence[Live]) -> None:
        """What is under way now."""
        self.states, self.deadlines = _states(live), {}
        for each in live:
            self.deadlines[each.path] = max(each.deadline, self.deadlines.get(each.path, each.deadline))


class _Tracing:
    def __init__(self, automaton: Automaton, words: WaitWords, given: TraceInput) -> None:
        self._automaton = automaton
        self._spec = automaton.spec
        self._words = words
        self._given = given
        self._times = TraceTimes(given.events)
        first = tuple(each.stage for each in words.awaited([0], ()))
        self._trace = Trace(list(given.events), end=given.end, begins_with=first)
        self._lanes: dict[str, _Lane] = {}
        self._elsewhere = Elsewhere(given.same)

    def run(self) -> Trace:
        given = self._given
        seen = frozenset(given.order)
        for event in given.events:
            if event.number in seen:
                self._take(event.number)
            elif event.fate == "same":
                self._look_elsewhere(_Now(event.time, event.number, given.masks[event.number]), None, ())
        for lane in self._lanes.values():
            self._advance(lane, _Now(given.end, None))
        if not given.stays_open:
            releases = [lane.automaton.copy().advance(FOREVER - 1) for lane in self._lanes.values()]
            self._trace.end_releases = any(releases)
        for lane in self._lanes.values():
            self._end(lane)
        return self._trace

    def _lane(self, event: SeenEvent) -> _Lane:
        lane = self._lanes.get(event.same)
        memory = self._given.memory_ms
        if lane is None:
            lane = self._lanes[event.same] = _Lane(event.same, self._new())
            lane.value = self._value(event)
        elif memory is not None and not lane.automaton.open_partials and event.time - lane.last >= memory:
            lane.automaton, lane.past = self._new(), []
        lane.last = event.time
        return lane

    def _value(self, event: SeenEvent) -> str:
        """The event's value of the `same` field in words; empty for none."""
        return dict(event.fields).get(self._given.same, "")

    def _new(self) -> ObservedAutomaton:
        return ObservedAutomaton(self._automaton, limit=self._given.limit)

    def _take(self, number: int) -> None:
        event = self._trace.events[number]
        for lane in self._lanes.values():
            self._advance(lane, _Now(event.time, None))
        lane = self._lane(event)
        now = _Now(event.time, number, self._given.masks[number])
        before, held = lane.automaton.live(), lane.automaton.held()
        lane.before, lane.expired = before, []
        told = len(self._trace.entries)
        barred = lane.automaton.beginnings(event.time)
        lane.automaton.take(number, event.time, now.mask)
        now.see(lane.automaton.live())
        facts = _facts(lane)
        self._moves(lane, now, before, facts)
        begun = [fact for fact in facts if isinstance(fact, Begun)]
        for fact in begun:
            for path in dict.fromkeys((*fact.taken, *fact.whole)):
                self._begins(lane, now, path)
        if not begun:
            look = Look(number, now.mask, 0, TakenView(self._automaton, (), lane.past))
            reasons = self._words.why_not_begun(look, barred, event.near)
            self._trace.events[number] = replace(event, not_begun=reasons)
        self._come_out(lane, now, facts, held)
        lane.past.append(number)
        self._look_elsewhere(now, lane, {entry.stage for entry in self._trace.entries[told:]})

    def _look_elsewhere(self, now: _Now, own: _Lane | None, taken: Container[str]) -> None:
        """Note where the event would have been wanted, had it another value of the `same` field.

        Args:
            now: the event.
            own: the run that it belongs to; None if it has no value.
            taken: the stages that took it there: of these it is not said.
        """
        event = self._trace.events[now.event or 0]
        found: dict[str, list[str]] = {}
        for lane in self._lanes.values() if event.near else ():
            if lane is own or not lane.automaton.open_partials:
                continue
            live = [each for each in lane.automaton.live() if each.deadline > now.time]
            last = {each.path: each.last for each in live}
            for path, states in _states(live).items():
                view = TakenView(self._automaton, path, lane.past)
                wanted = self._words.wanted(states, Look(event.number, now.mask, now.time - last[path], view))
                for stage, forbids in wanted.items():
                    if forbids or stage not in taken:
                        found.setdefault(stage, []).append(lane.value)
                        partial = lane.rows[path].number
                        self._elsewhere.note(partial, stage, forbids=forbids, missing=own is None)
        if found:
            said = elsewhere_words(event.name, found, self._given.same, self._value(event))
            self._trace.events[event.number] = replace(event, elsewhere=said)

    def _moves(self, lane: _Lane, now: _Now, before: Sequence[Live], facts: Iterable[Fact]) -> None:
        """What the event did to each partial match that was under way."""
        moved: dict[Path, list[Moved]] = {}
        for fact in facts:
            if isinstance(fact, Moved):
                moved.setdefault(fact.path, []).append(fact)
        near = () if now.event is None else self._trace.events[now.event].near
        last = {live.path: live.last for live in before}
        waits = 0
        for path, numbers in _states(before).items():
            row, own = lane.rows[path], moved.get(path, [])
            # Those for which nothing was noted aren't touched by such an event.
            passed = len(own) < len(numbers) or any(fact.passed for fact in own)
            after = dict.fromkeys(one for fact in own for one in (*fact.taken, *fact.whole) if one != path)
            for place, longer in enumerate(after):
                split = passed or place > 0
                self._takes(lane, now, row if not split else None, longer, row)
            ends = not passed and not after and not any(path in fact.whole for fact in own)
            stages = self._told(now, path, numbers, near) if passed and not after else frozenset()
            waits += bool(stages)
            if not (ends or (stages and waits <= _MOST_WAITS)):
                continue
            view = TakenView(self._automaton, path, lane.past)
            look = Look(now.event or 0, now.mask, now.time - last[path], view)
            if ends:
                self._ends(now, row, *self._words.why_ended(numbers, look))
            else:
                self._waits(now, row, path, stages, numbers, look)
        if waits > _MOST_WAITS and now.event is not None:
            self._trace.unsaid[now.event] = waits - _MOST_WAITS

    def _told(self, now: _Now, path: Path, states: Sequence[int], near: Iterable[str]) -> frozenset[str]:
        """The stages of which is said why they didn't take, or forbid, an event that is passed over.

        It is near to them, or they are waited for no longer.
        """
        before, after = self._words.names_of(states), self._words.names_of(now.states.get(path, states))
        return (before.union(self._words.forbidding(states, path)) & frozenset(near)) | (before - after)

    def _add(self, now: _Now, row: PartialMatch, what: What, words: str, **more: Any) -> None:
        self._trace.entries.append(
            Entry(row.number, what, now.time, now.event, words, at_end=now.at_end, **more)
        )

    def _row(self, lane: _Lane, parent: PartialMatch | None, path: Path) -> PartialMatch:
        number = len(self._trace.partials) + 1
        row = PartialMatch(number, parent.number if parent else None, lane.same, self._steps(path))
        self._trace.partials.append(row)
        if parent:
            self._elsewhere.split(parent.number, number)
        return row

    def _steps(self, path: Path) -> list[tuple[str, int]]:
        return [(self._automaton.stages[number], event) for number, event in path]

    def _begins(self, lane: _Lane, now: _Now, path: Path) -> None:
        row = lane.rows[path] = self._row(lane, None, path)
        stage = row.steps[-1][0]
        self._add(
            now, row, "begins", f"begins: taken by {stage!r}", stage=stage, details=self._needs(now, path)
        )

    def _takes(
        self, lane: _Lane, now: _Now, own: PartialMatch | None, path: Path, parent: PartialMatch
    ) -> None:
        """A partial match takes the event; without a row of its own, it splits from its parent."""
        row = lane.rows[path] = own or self._row(lane, parent, path)
        row.steps = self._steps(path)
        stage = row.steps[-1][0]
        split = "" if own else f"splits from #{parent.number}: "
        self._add(
            now, row, "takes", f"{split}taken by {stage!r}", stage=stage, details=self._needs(now, path)
        )

    def _needs(self, now: _Now, path: Path) -> tuple[str, ...]:
        """What a partial match waits for, and what must not come, until when."""
        deadline = now.deadlines.get(path, NEVER)
        time = "" if deadline == NEVER else self._times.words(deadline)
        until, before = (f" until {time}", f" before {time}") if time else ("", "")
        states = now.states.get(path, ())
        said = [f"waits{until} for {each.words}" for each in self._words.awaited(states, path)]
        return (
            *said,
            *(f"{each.stage!r} must not come{before}" for each in self._words.forbidden(states, path)),
        )

    def _waits(
        self,
        now: _Now,
        row: PartialMatch,
        path: Path,
        stages: frozenset[str],
        states: Sequence[int],
        look: Look,
    ) -> None:
        """A partial match passes an event over; of these stages is said why."""
        details = self._words.not_taken(states, look, stages)
        details += self._words.not_forbidden(states, look, stages)
        # A skip strategy may have dropped it meanwhile; that has an entry of its own.
        after = now.states.get(path, states)
        left = [f"{each.stage!r}" for each in self._words.awaited(after, path)]
        lost = [name for name in self._words.names_of(states) if name not in self._words.names_of(after)]
        words = f"waits on for {' or '.join(left)}" if left else "waits on for its time to be over"
        words += f", and no longer for {' or '.join(map(repr, lost))}" if lost else ""
        self._add(now, row, "waits", words, details=details)

    def _ends(
        self, now: _Now, row: PartialMatch, reason: Reason, words: str, details: tuple[str, ...] = ()
    ) -> None:
        if row.status == "ended":
            return
        # What it has given, or holds, stays.
        stays = bool(row.matches) or (row.status == "held" and reason not in ("skip", "repeat"))
        head = "goes no further" if stays else "ends"
        self._add(now, row, "ends", f"{head}: {words}", details=details)
        if stays:
            return
        row.status, row.reason, row.ending, row.details = "ended", reason, words, details
        row.ended_at, row.end_event = now.time, now.event

    def _come_out(self, lane: _Lane, now: _Now, facts: Iterable[Fact], held: Sequence[Path]) -> None:
        """Matches, what the skip strategy dropped, and what waits for an earlier partial match."""
        gone: set[int] = set()
        for fact in facts:
            if isinstance(fact, (Moved, Begun)):
                lane.whole_at.update(dict.fromkeys(fact.whole, now.time))
            elif isinstance(fact, Released):
                self._fires(lane, now, fact)
            elif (
                isinstance(fact, (Skipped, Repeated, Limited))
                and (number := lane.rows[fact.path].number) not in gone
            ):
                gone.add(number)
                self._dropped(lane, now, fact)
        known = list(held)
        for path in lane.automaton.held():
            if path in known:
                known.remove(path)
                continue
            row = lane.rows[path]
            first = next((lane.rows[live.path].number for live in lane.automaton.live()), 0)
            row.status, row.ending = "held", f"whole, and held back by #{first}, which began earlier"
            self._add(now, row, "holds", row.ending)

    def _dropped(self, lane: _Lane, now: _Now, fact: Skipped | Repeated | Limited) -> None:
        row = lane.rows[fact.path]
        goes_on = row.number in {lane.rows[path].number for path in now.states}
        if isinstance(fact, Repeated):
            if not goes_on:
                self._ends(now, row, "repeat", "the same events made a match in another order already")
        elif isinstance(fact, Limited):
            if not goes_on:
                limit = f"there are more than {self._given.limit:,} partial matches, and the oldest go"
                self._ends(now, row, "limit", limit)
        else:
            cause = lane.cause.get(fact.after, 0)
            if cause in row.matches:
                return
            why = _SKIPPED[self._spec.skip].format(stage=repr(self._spec.skip_stage))
            said = f"the skip strategy ({self._spec.skip}) drops it after match {cause}: it {why}"
            if fact.after == fact.path and not fact.whole:
                said = f"the skip strategy ({self._spec.skip}) lets it end with match {cause}"
            self._ends(now, row, "skip", said)

    def _fires(self, lane: _Lane, now: _Now, fact: Released) -> None:
        row, match = lane.rows[fact.path], fact.match
        number = len(self._trace.matches) + 1
        lane.cause[fact.path] = number
        at_end = match.time > max(self._given.end, self._trace.events[match.last].time)
        whole_at = None if match.timed_out else lane.whole_at.get(fact.path)
        whole_at = None if whole_at == match.time else whole_at
        traced = TracedMatch(
            number,
            row.number,
            match.steps,
            match.time,
            match.by_time,
            match.timed_out,
            at_end,
            whole_at=whole_at,
            let_out="" if whole_at is None else self._let_out(lane, match),
            elsewhere=self._elsewhere.forbidden(row.number),
        )
        self._trace.matches.append(traced)
        words = _fires_words(traced)
        since = "" if whole_at is None else self._times.words(whole_at)
        details = (f"it was whole at {since}, and waited until {traced.let_out}",) if since else ()
        row.matches.append(number)
        row.status, row.ending, row.ended_at, row.end_event = "fired", words, match.time, now.event
        when = replace(now, time=match.time, at_end=at_end)
        self._add(when, row, "fires", words, match=number, details=details)

    def _let_out(self, lane: _Lane, match: Match) -> str:
        """What became of the last partial match that began before the match, which it held back, in words."""
        timed = [fact.path for fact in lane.expired]
        paths = [*(live.path for live in lane.before if live.path not in timed), *timed]
        path = next((path for path in reversed(paths) if path[0][1] < match.first), None)
        if path is None:
            return "nothing that began earlier was left"
        row = lane.rows[path]
        came = [number for number in row.matches if self._trace.matches[number - 1].time == match.time]
        if came:
            became = f"came out as match {came[-1]}"
        elif path in timed:
            became = "ran out of time"
        else:
            became = "ended" if row.status == "ended" or row.matches else "was dropped"
        return f"#{row.number}, which began earlier, {became}"

    def _advance(self, lane: _Lane, now: _Now) -> None:
        """Time moves on."""
        if now.time < lane.automaton.next_deadline:
            return
        before, held = {live.path: live for live in lane.automaton.live()}, lane.automaton.held()
        states = _states(lane.automaton.live())
        lane.before, lane.expired = list(before.values()), []
        lane.automaton.advance(now.time)
        facts = _facts(lane)
        now.see(lane.automaton.live())
        left = set(now.states)
        spared = {fact.path for fact in facts if isinstance(fact, Released)}
        spared.update(held)
        time = now.time
        for fact in facts:
            if isinstance(fact, Expired):
                time = fact.time
                lane.expired.append(fact)
                if fact.whole:
                    lane.whole_at[fact.path] = time
                    spared.add(fact.path)
                elif fact.path not in left and fact.path not in spared:
                    left.add(fact.path)
                    self._runs_out(lane, replace(now, time=time), fact, before[fact.path], states[fact.path])
            else:
                self._come_out(lane, replace(now, time=time), [fact], lane.automaton.held())
        self._come_out(lane, replace(now, time=time), (), held)

    def _runs_out(self, lane: _Lane, now: _Now, fact: Expired, live: Live, states: Sequence[int]) -> None:
        row, within = lane.rows[fact.path], self._spec.within_ms
        if now.at_end:
            return
        awaited = self._words.awaited(states, fact.path)
        waits = tuple(f"it waited for {each.words}" for each in awaited)
        waits += self._elsewhere.awaited(row.number, {each.stage for each in awaited})
        if within is not None and live.first + within <= fact.time:
            words = f"within {format_duration(within)} ran out at {self._times.words(fact.time)}"
            self._ends(now, row, "within", words, waits)
            return
        step = format_duration(fact.time - live.last)
        words = f"the step's bound of {step} after its last event ran out at {self._times.words(fact.time)}"
        self._ends(now, row, "step", words, waits)

    def _end(self, lane: _Lane) -> None:
        """The input ends: what is under way stays open, but for what only waits for its time to be over."""
        now = _Now(self._given.end, None, at_end=True)
        now.see(lane.automaton.live())
        for path, states in now.states.items():
            row, details = lane.rows[path], self._needs(now, path)
            details += self._elsewhere.awaited(row.number, self._words.names_of(states))
            words = f"still open: the input's clock stops at {self._times.words(self._given.end)}"
            if self._trace.end_releases:
                words = "still open when the input ends"
            self._add(now, row, "open", words, details=details)
            if row.status != "held" and not row.matches:
                row.status, row.ending, row.details = "open", words, details
        if not self._given.stays_open:
            self._advance(lane, replace(now, time=FOREVER - 1))


def _facts(lane: _Lane) -> list[Fact]:
    facts, lane.automaton.facts = lane.automaton.facts, []
    return facts


def _states(live: Iterable[Live]) -> dict[Path, list[int]]:
    states: dict[Path, list[int]] = {}
    for each in live:
        states.setdefault(each.path, []).append(each.state)
    return states


def _fires_words(match: TracedMatch) -> str:
    said = f"match {match.number}"
    if match.timed_out:
        said += ": it timed out, and the pattern gives that out"
    elif match.by_time and match.whole_at is None:
        said += ": its time is over, and nothing forbidden came"
    if match.elsewhere:
        said += f"; {' and '.join(match.elsewhere)}"
    return f"{said} (by the input's end alone)" if match.at_end else said
