"""A visitor's automaton that writes down what became of each partial match, for those who ask why.

What it does is what `VisitorAutomaton` does: each step is the base class's own, and the facts are read off before and
after. So a run that isn't observed pays nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from footfall.automaton import Automaton
from footfall.automaton_memory import Node, Partial, Whole
from footfall.automaton_states import State
from footfall.visitor_automaton import Match, VisitorAutomaton, _Arrival

Path = tuple[tuple[int, int], ...]
"""The events that a partial match took: stage number and event, in their order."""


@dataclass(frozen=True, slots=True)
class Moved:
    """An event came to a partial match.

    Attributes:
        path: what it had taken.
        passed: it goes on waiting.
        taken: what it has taken where the event joined it and it goes on; one for each stage that took the event.
        whole: those that are whole by that; `path` itself where the event completes it without being taken.
    """

    path: Path
    passed: bool
    taken: tuple[Path, ...]
    whole: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Begun:
    """An event began matches: those that go on, and those that are whole already."""

    taken: tuple[Path, ...]
    whole: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Expired:
    """A partial match's time was over at `time`; `whole`: it waited for that."""

    path: Path
    state: int
    time: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Released:
    """A match came out, or a partial match that timed out where the pattern gives those."""

    path: Path
    match: Match


@dataclass(frozen=True, slots=True)
class Skipped:
    """The skip strategy dropped a partial match, or (`whole`) a match that waited, after the match of path `after`."""

    path: Path
    after: Path
    whole: bool


@dataclass(frozen=True, slots=True)
class Repeated:
    """A match was left out: it differs from another one in nothing but the order of a permutation."""

    path: Path


@dataclass(frozen=True, slots=True)
class Limited:
    """A partial match was dropped since there were too many."""

    path: Path


Fact = Moved | Begun | Expired | Released | Skipped | Repeated | Limited


@dataclass(frozen=True, slots=True)
class Live:
    """A partial match in one of its states: several have the same path where it may go on in several ways.

    Attributes:
        path: what it has taken.
        state: the number of its state.
        first: the time of the first event.
        last: the time of the last event.
        deadline: when its time is over; `NEVER` for never.
    """

    path: Path
    state: int
    first: int
    last: int
    deadline: int


class ObservedAutomaton(VisitorAutomaton):
    """A `VisitorAutomaton` that keeps the facts of what it does.

    Attributes:
        facts: in their order; whoever reads them may empty the list.
    """

    __slots__ = ("_reached", "_unlimited", "facts")

    def __init__(self, automaton: Automaton, *, limit: int | None = None) -> None:
        super().__init__(automaton, limit=limit)
        self.facts: list[Fact] = []
        self._reached: list[tuple[int, Path]] = []
        self._unlimited: list[Partial] = []

    def live(self) -> list[Live]:
        """The partial matches under way, the first begun first."""
        return [
            Live(_path(partial[1]), partial[0], partial[2][2], partial[1][2], self._deadline(partial))
            for partial in self._partials
        ]

    def held(self) -> list[Path]:
        """The matches that are whole and wait for a partial match that began earlier."""
        return [_path(last) for last, _ in self._held]

    def beginnings(self, time: int) -> list[int]:
        """The numbers of the absences at the start that forbid a match to begin at that time."""
        return [
            number
            for number, (absence, last) in enumerate(zip(self._automaton.absences, self._absent, strict=True))
            if last is not None and (absence.absent_ms is None or time - last < absence.absent_ms)
        ]

    def _step(self, event: int, time: int, mask: int) -> list[Whole]:
        done = super()._step(event, time, mask)
        # The limit drops the oldest, which come first.
        dropped = self._unlimited[: len(self._unlimited) - len(self._partials)]
        self.facts += [Limited(_path(partial[1])) for partial in dropped]
        self._unlimited = []
        return done

    def _move(
        self, partial: Partial, state: State, arrival: _Arrival, partials: list[Partial], done: list[Whole]
    ) -> None:
        live, whole = len(partials), len(done)
        super()._move(partial, state, arrival, partials, done)
        path, moved = _path(partial[1]), partials[live:]
        self.facts.append(
            Moved(
                path,
                any(each[1] is partial[1] for each in moved),
                _distinct([_path(each[1]) for each in moved if each[1] is not partial[1]]),
                _distinct([_path(last) for last, _ in done[whole:]]),
            )
        )

    def _begin(self, arrival: _Arrival, partials: list[Partial], done: list[Whole]) -> None:
        live, whole = len(partials), len(done)
        super()._begin(arrival, partials, done)
        begun = _distinct([_path(each[1]) for each in partials[live:]])
        ended = _distinct([_path(last) for last, _ in done[whole:]])
        if begun or ended:
            self.facts.append(Begun(begun, ended))
        self._unlimited = list(partials)

    def _expired(self, deadline: int) -> list[Match]:
        for partial in self._partials:
            if self._deadline(partial) <= deadline:
                absent = self._automaton.states[partial[0]].absent
                self.facts.append(Expired(_path(partial[1]), partial[0], deadline, absent))
        return super()._expired(deadline)

    def _released(self, done: list[Whole], time: int, *, by_time: bool) -> list[Match]:
        partials = self._partials
        waiting = [*self._held, *done]
        places = {_path(last): root[3] for last, root in waiting}
        left = Counter(_path(last) for last, _ in waiting)
        self._reached = []
        came = len(self.facts)
        out = super()._released(done, time, by_time=by_time)
        left.subtract(fact.path for fact in self.facts[came:] if isinstance(fact, Released))
        left.subtract(self.held())
        kept = {id(partial) for partial in self._partials}
        for partial in partials:
            if id(partial) not in kept:
                path = _path(partial[1])
                self.facts.append(Skipped(path, self._cause(partial[2][3]) or path, whole=False))
        for path in left.elements():
            cause = self._cause(places[path])
            self.facts.append(Repeated(path) if cause is None else Skipped(path, cause, whole=True))
        return out

    def _cause(self, place: int) -> Path | None:
        """The match of this release that let no other begin at that place."""
        return next((path for reached, path in self._reached if place < reached), None)

    def _skipped_to(self, last: Node, root: Node) -> int:
        place = super()._skipped_to(last, root)
        self._reached.append((place, _path(last)))
        return place

    def _match(self, last: Node, time: int, *, by_time: bool, timed_out: bool = False) -> Match:
        match = super()._match(last, time, by_time=by_time, timed_out=timed_out)
        self.facts.append(Released(_path(last), match))
        return match


def _path(last: Node) -> Path:
    steps: list[tuple[int, int]] = []
    node: Node | None = last
    while node is not None:
        steps.append((node[0], node[1]))
        node = node[4]
    return tuple(reversed(steps))


def _distinct(paths: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(paths))
