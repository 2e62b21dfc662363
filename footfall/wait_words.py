"""What partial matches wait for, and why an event didn't serve or ended them, in words.

The facts are the automaton's (`observed_automaton`); here the guards of its states are read again to name the stage,
bound or condition behind them.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from footfall.automaton import Automaton
from footfall.automaton_states import Guard, Move, MoveKind, State
from footfall.condition_findings import ConditionFindings
from footfall.duration import format_duration
from footfall.expression import Expression
from footfall.match_trace import Reason, span_words
from footfall.observed_automaton import Path
from footfall.pattern import Pattern
from footfall.pattern_spec import StageSpec, Test
from footfall.pattern_stage import Stage
from footfall.taken_closures import Moment


@dataclass(frozen=True, slots=True)
class Look:
    """An event as a partial match sees it.

    Attributes:
        event: its number.
        mask: the bits of the conditions that it meets.
        since: ms since the last taken event; 0 before the first.
        view: what the partial match took.
    """

    event: int
    mask: int
    since: int
    view: "TakenView"

    @property
    def moment(self) -> Moment:
        """The same for conditions."""
        return Moment(self.event, self.view)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A stage that a partial match waits for, or that must not come meanwhile.

    Attributes:
        stage: its name.
        words: the stage, and which of its occurrences.
    """

    stage: str
    words: str


class TakenView:
    """A partial match's events, as conditions ask for them.

    Attributes:
        path: the events, each with the number of the stage that took it.
    """

    def __init__(self, automaton: Automaton, path: Path, past: Sequence[int]) -> None:
        self._automaton = automaton
        self.path = path
        self._past = past

    def taken(self, stage: str) -> Sequence[int]:
        """The events that a stage took."""
        numbers = self._automaton.parts.get(stage, frozenset())
        return [event for number, event in self.path if number in numbers]

    def before(self, count: int) -> int:
        """The visitor's `count`-th event before; -1 for none."""
        return self._past[-count] if 0 < count <= len(self._past) else -1


class WaitWords:
    """What the states of a pattern's automaton mean.

    Args:
        pattern: the pattern.
        automaton: made of it.
        findings: takes the pattern's conditions.
    """

    def __init__(self, pattern: Pattern, automaton: Automaton, findings: ConditionFindings) -> None:
        self._pattern = pattern
        self._automaton = automaton
        self._findings = findings
        self._stages = {stage.name: stage for top in pattern.stages for stage in top.walk()}
        self._forbidding: dict[Guard, list[str]] = {}
        self._places = {part.name: place for place, top in enumerate(pattern.stages) for part in top.walk()}
        self._taking: dict[Test, list[str]] = {}
        self._ending: dict[Test, list[str]] = {}
        self._not_next: dict[Test, str] = {}
        self._names: dict[tuple[int, ...], frozenset[str]] = {}
        for spec in _all_specs(automaton.spec.stages):
            self._note(spec)
        for condition in (condition for stage in pattern.stages for condition in stage.conditions()):
            findings.add(condition)

    def _note(self, spec: StageSpec) -> None:
        if spec.contiguity in ("not_next", "not_followed_by"):
            self._forbidding.setdefault(Guard.passing(spec.test), []).append(spec.name)
            if spec.contiguity == "not_next":
                self._not_next[spec.test] = spec.name
        elif not (spec.group or spec.choices or spec.members):
            self._taking.setdefault(spec.test, []).append(spec.name)
        if spec.loop.has_until:
            self._ending.setdefault(spec.loop.until, []).append(spec.name)

    def awaited(self, states: Iterable[int], path: Path) -> tuple[Awaited, ...]:
        """The stages that a partial match in these states waits for, in order of preference."""
        found: dict[str, Awaited] = {}
        for move in self._takes(states):
            name = self._automaton.stages[move.stage]
            found.setdefault(name, Awaited(name, self._stage_words(name, path, move.step_ms)))
        return tuple(found.values())

    def _stage_words(self, name: str, path: Path, step_ms: int | None) -> str:
        stage = self._stages[name]
        number = self._automaton.stages.index(name)
        before = sum(taken == number for taken, _ in path)
        words = f"{name!r}"
        if stage.loops:
            words += f" (event {before + 1}; it takes {_most_words(stage)})"
        if step_ms is not None:
            words += f", less than {format_duration(step_ms)} after the event before"
        return words

    def names_of(self, states: Sequence[int]) -> frozenset[str]:
        """The names of the stages that a partial match in these states waits for."""
        known = tuple(states)
        if known not in self._names:
            stages = self._automaton.stages
            self._names[known] = frozenset(stages[move.stage] for move in self._takes(known))
        return self._names[known]

    def forbidding(self, states: Iterable[int], path: Path) -> list[str]:
        """The names of the stages whose events must not come meanwhile."""
        stops = [stop for state in self._of(states) for stop in state.stops]
        return [name for stop in stops if (name := self._forbidding_name(stop, path)) is not None]

    def forbidden(self, states: Iterable[int], path: Path) -> tuple[Awaited, ...]:
        """What must not come meanwhile."""
        names = dict.fromkeys(self.forbidding(states, path))
        return tuple(Awaited(name, f"{name!r}") for name in names)

    def _forbidding_name(self, stop: Guard, path: Path) -> str | None:
        """The stage that forbids such events: of several alike, the next one behind the stage that took the last."""
        names = self._forbidding.get(stop)
        if not names:
            return None
        after = self._places[self._automaton.stages[path[-1][0]]] if path else -1
        return next((name for name in names if self._places[name] >= after), names[-1])

    def wanted(self, states: Iterable[int], look: Look) -> dict[str, bool]:
        """The stages that would take the event, or (True) forbid it; those that want any event at all are left out."""
        found: dict[str, bool] = {}
        for state in self._of(states):
            for stop in state.stops:
                if _holds(stop, look) and (name := self._forbidding_name(stop, look.view.path)) is not None:
                    found[name] = True
        for move in self._takes(states):
            name = self._automaton.stages[move.stage]
            in_time = move.step_ms is None or look.since < move.step_ms
            if in_time and self._stages[name].condition is not None and _holds(move.guard, look):
                found.setdefault(name, False)
        return found

    def not_taken(
        self, states: Iterable[int], look: Look, near: Container[str] | None = None
    ) -> tuple[str, ...]:
        """For each stage that is awaited (of `near` alone, if given), why it didn't take the event."""
        said: dict[str, str] = {}
        for move in self._takes(states):
            name = self._automaton.stages[move.stage]
            if near is None or name in near:
                said.setdefault(name, f"not taken by {name!r}: {self._why_not(move, name, look)}")
        return tuple(said.values())

    def not_forbidden(self, states: Iterable[int], look: Look, near: Container[str]) -> tuple[str, ...]:
        """For each stage of `near` that must not come, why the event is none such."""
        said = []
        for each in self.forbidden(states, look.view.path):
            condition = self._stages[each.stage].condition
            if each.stage in near and condition is not None:
                findings = self._findings.of(condition, look.moment)
                said.append(f"not forbidden by {each.stage!r}: {'; '.join(map(str, findings))}")
        return tuple(said)

    def _why_not(self, move: Move, name: str, look: Look) -> str:
        condition = self._stages[name].condition
        findings = () if condition is None else self._findings.of(condition, look.moment)
        if findings:
            return "; ".join(map(str, findings))
        if move.step_ms is not None and look.since >= move.step_ms:
            return _too_slow(look.since, move.step_ms)
        said = next(filter(None, map(self._failed, _failing(move.guard, look))), None)
        if said is None:
            said = "what follows the loop comes first" if move.instead_of else "a stage before it forbids it"
        return said

    def _failed(self, test: Test) -> str | None:
        """What a test means that an event had to fail and passes."""
        if test in self._ending:
            return f"the until of {self._ending[test][0]!r} is met ({self._until_words(test)})"
        if test in self._not_next:
            return f"it is what {self._not_next[test]!r} forbids"
        return f"{self._taking[test][0]!r} comes first" if test in self._taking else None

    def why_ended(self, states: Sequence[int], look: Look) -> tuple[Reason, str, tuple[str, ...]]:
        """Why the event ended a partial match: of which kind that is, a sentence, and more about it."""
        for stop in (stop for state in self._of(states) for stop in state.stops):
            if _holds(stop, look):
                return self._stopped(stop, look)
        moves = [move for state in self._of(states) for move in state.moves]
        passing = [move for move in moves if move.kind is MoveKind.PASS]
        details = self.not_taken(states, look)
        if not passing:
            names = " or ".join(f"{each.stage!r}" for each in self.awaited(states, ()))
            return "contiguity", f"{names} had to come directly next, and another event came", details
        slow = [move.step_ms for move in moves if move.step_ms is not None and look.since >= move.step_ms]
        if slow and all(move.step_ms is not None and look.since >= move.step_ms for move in passing):
            return "step", f"the step's bound: {_too_slow(look.since, max(slow))}", ()
        failing = [test for move in passing for test in _failing(move.guard, look)]
        for test in failing:
            if test in self._ending:
                return "until", f"the until of {self._ending[test][0]!r} came", (self._until_words(test),)
        waiting = {each.stage for each in self.awaited(states, ())}
        names_of = [name for test in failing for name in self._taking.get(test, ()) if name not in waiting]
        if names_of:
            said = f"{names_of[0]!r} takes all it can, and this event is one more after it was left"
            return "greedy", said, ()
        return "refused", "the event is what it waits for, but can't be taken", details

    def _stopped(self, stop: Guard, look: Look) -> tuple[Reason, str, tuple[str, ...]]:
        name = self._forbidding_name(stop, look.view.path)
        if name is None:
            return "forbidden", "such an event must not come here", ()
        kind = (
            "not directly followed by" if self._stages[name].contiguity == "not_next" else "not followed by"
        )
        condition = self._stages[name].condition
        values = () if condition is None else self._findings.values_of(condition, look.moment)
        said = "".join(f"; {word} = {value}" for word, value in values)
        return (
            "forbidden",
            f"{name!r} must not come, and came",
            (f"{kind} {self._condition_words(name)}{said}",),
        )

    def why_not_begun(self, look: Look, barred: Sequence[int], near: Container[str]) -> tuple[str, ...]:
        """Why no match begins with the event, for the first stages of `near`.

        Args:
            look: the event.
            barred: the numbers of the absences at the start that forbid it.
            near: the stages that the event is near to.
        """
        if barred and any(self._automaton.stages[move.stage] in near for move in self._takes([0])):
            stage = self._pattern.stages[barred[0]]
            since = "" if stage.absent_ms is None else f" less than {format_duration(stage.absent_ms)} ago"
            return (f"an event of {stage.name!r} came{since}: {self._condition_words(stage.name)}",)
        return self.not_taken([0], look, near)

    def near(self, look: Look) -> tuple[str, ...]:
        """The stages whose condition, or until, the event meets or nearly meets."""
        found = []
        for name, stage in self._stages.items():
            asked = [condition for condition in (stage.condition, stage.until) if condition is not None]
            if any(self._findings.nearly(condition, look.moment) for condition in asked) or (
                stage.condition is None and not stage.parts
            ):
                found.append(name)
        return tuple(found)

    def _condition_words(self, name: str) -> str:
        condition: Expression | None = self._stages[name].condition
        return "any event" if condition is None else str(condition)

    def _until_words(self, test: Test) -> str:
        until = self._stages[self._ending[test][0]].until
        return f"until {until}"

    def _of(self, states: Iterable[int]) -> list[State]:
        return [self._automaton.states[number] for number in states]

    def _takes(self, states: Iterable[int]) -> list[Move]:
        return [move for state in self._of(states) for move in state.moves if move.kind is MoveKind.TAKE]


def _all_specs(stages: Iterable[StageSpec]) -> Iterable[StageSpec]:
    for stage in stages:
        yield stage
        yield from _all_specs((*stage.group, *stage.choices, *stage.members))


def _most_words(stage: Stage) -> str:
    if stage.most is None:
        return f"{stage.times} or more"
    return f"{stage.times}" if stage.most == stage.times else f"{stage.times} to {stage.most}"


def _too_slow(since: int, step_ms: int) -> str:
    return f"{span_words(since)} after the event before, not in less than {format_duration(step_ms)}"


def _holds(guard: Guard, look: Look) -> bool:
    return look.mask & guard.need == guard.need and not any(True for _ in _failing(guard, look))


def _failing(guard: Guard, look: Look) -> Iterable[Test]:
    """The tests that forbid the event, or that it doesn't meet."""
    for bit in range(guard.forbid.bit_length()):
        if guard.forbid & look.mask & 1 << bit:
            yield 1 << bit
    for test, wanted in guard.tests:
        if test(look.event, look.view) is not wanted:
            yield test
