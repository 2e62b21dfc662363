"""The partial matches of one visitor and one pattern: what each event does to them, and what time does.

Matches come out ordered by their first event. Those with the same first event come in order of preference: at the
event where they part, the one that stays with an earlier stage before the one that has moved on, and the one that
took the event before the one that passed it over.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from footfall.automaton import Automaton
from footfall.automaton_memory import Memory, Node, Partial, Snapshot, Whole, folded, unfolded
from footfall.automaton_states import Guard, Move, MoveKind, State
from footfall.errors import MatchError
from footfall.pattern_spec import PartialTest

NEVER = 1 << 62
"""A deadline that is never reached: later than any time in milliseconds."""

# Stage number and place of each event of a match.
_Steps = tuple[tuple[int, int], ...]

_TAKE = MoveKind.TAKE


class _Arrival(NamedTuple):
    """An event that came: the caller's number of it, its time, its mask, its place in the visitor's stream."""

    event: int
    time: int
    mask: int
    place: int


@dataclass(frozen=True, slots=True)
class Match:
    """A match, or a partial match whose time ran out.

    Attributes:
        steps: the events taken, in order, each with the name of the stage that took it.
        time: when it came out: the time of the event that let it out, or the deadline that did.
        by_time: time let it out, not an event.
        timed_out: it is a partial match that ran out of time.
    """

    steps: tuple[tuple[str, int], ...]
    time: int
    by_time: bool = False
    timed_out: bool = False

    @property
    def events(self) -> tuple[int, ...]:
        """The events taken, in order."""
        return tuple(event for _, event in self.steps)

    @property
    def first(self) -> int:
        """The event with which it begins."""
        return self.steps[0][1]

    @property
    def last(self) -> int:
        """The event with which it ends."""
        return self.steps[-1][1]

    def stages(self) -> dict[str, list[int]]:
        """The events by stage, stages in the order in which they took their first."""
        by_stage: dict[str, list[int]] = {}
        for stage, event in self.steps:
            by_stage.setdefault(stage, []).append(event)
        return by_stage


class _View:
    """A partial match as tests of the event at hand, which has the mask, see it."""

    __slots__ = ("_answers", "_automaton", "_mask", "_node", "_past")

    def __init__(self, automaton: Automaton, node: Node | None, past: Sequence[int], mask: int) -> None:
        self._automaton = automaton
        self._node = node
        self._past = past
        self._mask = mask
        self._answers: dict[int, bool] = {}

    def asked(self, test: PartialTest, event: int) -> bool:
        """The test's answer about the event at hand; a take and a pass ask the same."""
        answer = self._answers.get(id(test))
        if answer is None:
            bit = getattr(test, "bit", None)
            answer = (bit is None or self._mask >> bit & 1 == 1) and test(event, self)
            self._answers[id(test)] = answer
        return answer

    def taken(self, stage: str) -> list[int]:
        numbers = self._automaton.parts.get(stage, frozenset())
        return [node[1] for node in _path(self._node) if node[0] in numbers]

    def before(self, count: int) -> int:
        return self._past[-count] if 0 < count <= len(self._past) else -1


class VisitorAutomaton:
    """The partial matches of one visitor and one pattern.

    Args:
        automaton: the pattern, shared by all visitors.
        limit: partial matches, and matches that they hold up, at most; beyond it the oldest partial ones are dropped
            and counted. None for no limit.
        lenient: a skip to a stage that took no event acts as no skip even where the pattern says that it raises.

    Attributes:
        dropped: partial matches dropped because of the limit, so far.
        next_deadline: the time from which `advance` changes something; `NEVER` where time alone changes nothing.
    """

    __slots__ = (
        "_absent",
        "_automaton",
        "_held",
        "_lenient",
        "_limit",
        "_partials",
        "_past",
        "_place",
        "_restless",
        "dropped",
        "next_deadline",
    )

    def __init__(self, automaton: Automaton, *, limit: int | None = None, lenient: bool = False) -> None:
        self._automaton = automaton
        self._limit = limit
        self._lenient = lenient
        self._partials: list[Partial] = []
        # Whole matches that wait for a partial match that began earlier (skip strategies alone): last and first event.
        self._held: list[Whole] = []
        self._absent: list[int | None] = [None] * len(automaton.absences)
        self._past: deque[int] | None = (
            deque(maxlen=automaton.spec.looks_back) if automaton.spec.looks_back else None
        )
        self._place = 0
        self._restless = automaton.starts_blank
        self.dropped = 0
        self.next_deadline = NEVER

    @property
    def open_partials(self) -> int:
        """How many partial matches are under way."""
        return len(self._partials)

    @property
    def awaited_absences(self) -> int:
        """How many of them lack nothing but the time to be over."""
        states = self._automaton.states
        return sum(states[partial[0]].absent for partial in self._partials)

    @property
    def holds_matches(self) -> bool:
        """Matches are held up by a partial one that began earlier."""
        return bool(self._held)

    @property
    def remembers(self) -> bool:
        """Something is kept beside partial matches: held matches, events that forbid a beginning, or the latest."""
        return bool(self._held or self._past) or any(time is not None for time in self._absent)

    @property
    def idle(self) -> bool:
        """Nothing is under way or remembered: a new one would do as well, so this one can be removed."""
        return not (self._partials or self.remembers)

    def held_events(self, since: int = -1) -> set[int]:
        """The events that it may still ask for or give out: those taken, and the latest where tests look back.

        With `since`, those from that number on, where what was taken before one with a lower number has a lower one.
        """
        events = {event for event in self._past or () if event >= since}
        seen: set[int] = set()
        for end in [partial[1] for partial in self._partials] + [whole[0] for whole in self._held]:
            node: Node | None = end
            # By identity: another path may hold the same event after other ones.
            while node is not None and node[1] >= since and id(node) not in seen:
                seen.add(id(node))
                events.add(node[1])
                node = node[4]
        return events

    def take(self, event: int, time: int, mask: int) -> Sequence[Match]:
        """Takes the visitor's next event.

        Args:
            event: the caller's number of the event, from 0.
            time: its time in ms; time advances to it first. Events must come in order.
            mask: the bits of the tests that it passes.

        Returns:
            The matches that came out, and partial matches that timed out where the pattern gives those.

        Raises:
            MatchError: a skip strategy's stage isn't where it must be.
        """
        out: Sequence[Match] = self.advance(time) if time >= self.next_deadline else ()
        self._place += 1
        automaton = self._automaton
        if mask & automaton.interest or self._restless:
            done = self._step(event, time, mask)
            if done or self._held:
                out = [*out, *self._released(done, time, by_time=False)]
            self._settle()
        if self._past is not None:
            self._past.append(event)
        return out

    def advance(self, time: int) -> Sequence[Match]:
        """Moves time on; an event at that very time comes after.

        Args:
            time: ms; an earlier time than before changes nothing.

        Returns:
            What came out by that, in the order of the deadlines.
        """
        if time < self.next_deadline:
            return ()
        out: list[Match] = []
        while self.next_deadline <= time and self.next_deadline < NEVER:
            deadline = self.next_deadline
            out += self._expired(deadline)
            self._settle()
        return out

    def _step(self, event: int, time: int, mask: int) -> list[Whole]:
        """Gives the event to every partial match; returns those that are whole now."""
        automaton = self._automaton
        states = automaton.states
        partials: list[Partial] = []
        done: list[Whole] = []
        arrival = _Arrival(event, time, mask, self._place)
        for partial in self._partials:
            state = states[partial[0]]
            if mask & state.interest or state.restless:
                self._move(partial, state, arrival, partials, done)
            else:
                partials.append(partial)
        if time < automaton.begins_until:
            self._begin(arrival, partials, done)
        if self._limit is not None and len(partials) + len(self._held) > self._limit:
            # Matches that are held up count, too; without the partial ones that hold them up they come out.
            excess = min(len(partials), len(partials) + len(self._held) - self._limit)
            self.dropped += excess
            del partials[:excess]
        self._partials = partials
        return done

    def _move(
        self, partial: Partial, state: State, arrival: _Arrival, partials: list[Partial], done: list[Whole]
    ) -> None:
        """Makes every move that one partial match can make; what comes of it is added to `partials` and `done`."""
        _, node, root = partial
        event, time, mask, place = arrival
        view = _View(self._automaton, node, self._past or (), mask) if self._automaton.has_tests else None
        stopped = [stop for stop in state.stops if _holds(stop, mask, event, view)] if state.stops else None
        since = time - node[2]
        for move in state.moves:
            guard = move.guard
            if mask & guard.need != guard.need or mask & guard.forbid:
                continue
            if stopped and not (move.spared and all(stop in move.spared for stop in stopped)):
                continue
            if (move.step_ms is not None and since >= move.step_ms) or not _holds(guard, mask, event, view):
                continue
            if move.instead_of and _preceded(move, mask, event, view, since):
                continue
            last: Node = (move.stage, event, time, place, node) if move.kind is _TAKE else node
            partials.extend([(target, last, root) for target in move.targets])
            if move.completes:
                done.append((last, root))

    def _begin(self, arrival: _Arrival, partials: list[Partial], done: list[Whole]) -> None:
        """Begins matches with the event."""
        automaton = self._automaton
        event, time, mask, place = arrival
        view = _View(automaton, None, self._past or (), mask) if automaton.has_tests else None
        free: bool | None = None if automaton.absences else True
        for move in automaton.states[0].moves:
            guard = move.guard
            if move.kind is not _TAKE or mask & guard.need != guard.need or mask & guard.forbid:
                continue
            if free is None:
                free = self._is_free(time)
            if not free or not _holds(guard, mask, event, view):
                continue
            if move.instead_of and _preceded(move, mask, event, view, 0):
                continue
            node: Node = (move.stage, event, time, place, None)
            partials.extend([(target, node, node) for target in move.targets])
            if move.completes:
                done.append((node, node))
        for index, absence in enumerate(automaton.absences):
            if _holds(absence.guard, mask, event, view):
                self._absent[index] = time

    def _is_free(self, time: int) -> bool:
        """Whether no event that forbids a beginning came too lately."""
        return all(
            last is None or (absence.absent_ms is not None and time - last >= absence.absent_ms)
            for absence, last in zip(self._automaton.absences, self._absent, strict=True)
        )

    def _expired(self, deadline: int) -> list[Match]:
        """Ends the partial matches whose time is over at the deadline."""
        spec = self._automaton.spec
        kept: list[Partial] = []
        done: list[Whole] = []
        out: list[Match] = []
        for partial in self._partials:
            if self._deadline(partial) > deadline:
                kept.append(partial)
            elif self._automaton.states[partial[0]].absent:
                done.append(partial[1:])
            elif spec.gives_timeouts:
                out.append(self._match(partial[1], deadline, by_time=True, timed_out=True))
        self._partials = kept
        out += self._released(done, deadline, by_time=True)
        return out

    def _deadline(self, partial: Partial) -> int:
        state = self._automaton.states[partial[0]]
        within = self._automaton.spec.within_ms
        deadline = NEVER if within is None else partial[2][2] + within
        if state.absent_ms is not None:
            deadline = min(deadline, partial[1][2] + state.absent_ms)
        if state.step_limit_ms is not None:
            deadline = min(deadline, partial[1][2] + state.step_limit_ms)
        return deadline

    def _released(self, done: list[Whole], time: int, *, by_time: bool) -> list[Match]:
        """What comes out now of the matches that are done and those that were held, by the skip strategy."""
        automaton = self._automaton
        if automaton.permuted:
            done = self._without_repeats(done)
        if automaton.spec.skip == "no_skip":
            return [self._match(last, time, by_time=by_time) for last, _ in done]
        held = sorted([*self._held, *done], key=_place_of_first)
        out: list[Match] = []
        while held and not (self._partials and self._partials[0][2][3] < held[0][1][3]):
            last, root = held.pop(0)
            out.append(self._match(last, time, by_time=by_time))
            place = self._skipped_to(last, root)
            self._partials = [partial for partial in self._partials if partial[2][3] >= place]
            held = [match for match in held if match[1][3] >= place]
        self._held = held
        return out

    def _skipped_to(self, last: Node, root: Node) -> int:
        """The place before which no other match may begin, by the skip strategy."""
        spec = self._automaton.spec
        if spec.skip == "to_next":
            return root[3] + 1
        if spec.skip == "past_last":
            return last[3] + 1
        numbers = self._automaton.parts.get(spec.skip_stage or "", frozenset())
        places = [node[3] for node in _path(last) if node[0] in numbers]
        if not places:
            if spec.skip_must_hit and not self._lenient:
                raise MatchError(
                    f"{spec.skip} can't skip to stage {spec.skip_stage!r}: it took no event of the match",
                    pattern=spec.name,
                )
            return 0
        place = places[0] if spec.skip == "to_first" else places[-1]
        if spec.skip_must_hit and place == root[3] and not self._lenient:
            raise MatchError(
                f"{spec.skip} can't skip to stage {spec.skip_stage!r}: its event is the match's first",
                pattern=spec.name,
            )
        return place

    def _without_repeats(self, done: list[Whole]) -> list[Whole]:
        """Leaves out matches that differ in nothing but the order of a permutation.

        Equal matches of one and the same order are those of different loops: each counts.
        """
        permuted = self._automaton.permuted
        found: dict[_Steps, dict[_Steps, list[Whole]]] = {}
        for last, root in done:
            taken = [(node[0], node[3]) for node in _path(last)]
            orders = found.setdefault(tuple((permuted[stage], place) for stage, place in taken), {})
            orders.setdefault(tuple(taken), []).append((last, root))
        kept = {id(whole[0]): whole for orders in found.values() for whole in max(orders.values(), key=len)}
        return [whole for whole in done if id(whole[0]) in kept]

    def _match(self, last: Node, time: int, *, by_time: bool, timed_out: bool = False) -> Match:
        stages = self._automaton.stages
        return Match(tuple((stages[node[0]], node[1]) for node in _path(last)), time, by_time, timed_out)

    def _settle(self) -> None:
        """Works out what to wait for."""
        automaton, partials = self._automaton, self._partials
        states = automaton.states
        self._restless = automaton.starts_blank or any(states[partial[0]].restless for partial in partials)
        if not partials:
            self.next_deadline = NEVER
        elif automaton.has_steps:
            self.next_deadline = min(map(self._deadline, partials))
        else:  # partial matches are in the order of their first events
            self.next_deadline = self._deadline(partials[0])

    def copy(self) -> "VisitorAutomaton":
        """One that goes its own way from here on, and is lenient."""
        twin = VisitorAutomaton(self._automaton, limit=self._limit, lenient=True)
        twin._partials, twin._held, twin._absent = self._partials, self._held, list(self._absent)
        if twin._past is not None:
            twin._past.extend(self._past or ())
        twin._place, twin._restless = self._place, self._restless
        twin.dropped, twin.next_deadline = self.dropped, self.next_deadline
        return twin

    def memory(self) -> Memory:
        """All that it remembers, without the automaton; it is still its own, and only to be read."""
        return self._partials, self._held, self._absent, tuple(self._past or ()), self._place, self.dropped

    @classmethod
    def recalled(
        cls, automaton: Automaton, memory: Memory, *, limit: int | None = None
    ) -> "VisitorAutomaton":
        """One that goes on with a memory; `automaton` must be compiled from an equal pattern."""
        visitor = cls(automaton, limit=limit)
        partials, held, absent, past, visitor._place, visitor.dropped = memory
        visitor._partials, visitor._held, visitor._absent = list(partials), list(held), list(absent)
        if visitor._past is not None:
            visitor._past.extend(past)
        visitor._settle()
        return visitor

    def snapshot(self) -> Snapshot:
        """All that it remembers, without the automaton: small, and picklable."""
        return folded(self.memory())

    @classmethod
    def restored(
        cls, automaton: Automaton, snapshot: Snapshot, *, limit: int | None = None
    ) -> "VisitorAutomaton":
        """The one that `snapshot` was taken of; `automaton` must be compiled from an equal pattern."""
        return cls.recalled(automaton, unfolded(snapshot), limit=limit)


def _path(node: Node | None) -> Iterable[Node]:
    """The taken events up to a node, first to last."""
    nodes: list[Node] = []
    while node is not None:
        nodes.append(node)
        node = node[4]
    nodes.reverse()
    return nodes


def _place_of_first(match: Whole) -> int:
    return match[1][3]


def _holds(guard: Guard, mask: int, event: int, view: _View | None) -> bool:
    """Whether an event satisfies a guard; the view is there wherever the pattern has tests."""
    if mask & guard.need != guard.need or mask & guard.forbid:
        return False
    if view is not None:
        for test, wanted in guard.tests:
            if view.asked(test, event) is not wanted:
                return False
    return True


def _preceded(move: Move, mask: int, event: int, view: _View | None, since: int) -> bool:
    """Whether one of the moves that come before this one can be made."""
    return any(
        (step is None or since < step) and _holds(guard, mask, event, view) for guard, step in move.instead_of
    )
