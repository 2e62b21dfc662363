"""Compiles a pattern to its automaton: the states that a partial match goes through, and the moves between them.

The semantics are Flink CEP's, as its documentation states them. A stage becomes a wait, a loop a chain of waits with a
branch after each occurrence that may be the last, a not-stage a stop on the waits that follow it. Alternation is one
wait with several takes; permutation is a branch over which member comes first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from footfall.automaton_graph import (
    Absent,
    Branch,
    Ending,
    Flattening,
    Greedy,
    Node,
    NotNext,
    Reluctant,
    Take,
    Wait,
)
from footfall.automaton_states import Guard, MoveKind, StartAbsence, State
from footfall.clock import FOREVER
from footfall.errors import PatternError
from footfall.pattern_spec import Contiguity, LoopSpec, PatternSpec, StageSpec, Test

_Nots = tuple[tuple[int, bool], ...]
"""Not-stages in force: the number of each, and whether an event is spared that the stage after it takes.

One that stands behind a loop is in force wherever the loop is waited for again, and spares none of its own events.
"""


class _Skipped(NamedTuple):
    """An optional stage was just left out: what was said of the first event of the stages around goes for the next.

    Attributes:
        holding: tests that end the waiting.
        step_ms: bound on the step.
    """

    holding: tuple[Test, ...] = ()
    step_ms: int | None = None


_Next = Callable[[_Nots, _Skipped | None], Node]
"""What follows: given the not-stages in force, and whether an optional stage was just left out."""


class Automaton:
    """A compiled pattern. Immutable, and shared by all visitors.

    Attributes:
        spec: what it was compiled from.
        states: state 0 is where every match begins.
        stages: the name of each stage number of `Move.stage`.
        absences: what must not have come before a match begins.
        interest: the bits of an event's mask that matter to the pattern.
        sees_all: events without any of those bits may matter, too: they must all be taken.
        has_tests: some tests look at the partial match.
        has_steps: some moves are bound to the time since the last taken event.
        parts: for each name, a group's included, the numbers of the stages that take its events.
        permuted: for each stage number, the number of its permutation's first stage; empty without permutations.
        begins_until: events from this time (ms) on begin no match.
    """

    def __init__(self, spec: PatternSpec, *, begins_until: int = FOREVER) -> None:
        compiling = _Compiling(spec)
        self.spec = spec
        self.begins_until = begins_until
        self.states: tuple[State, ...] = Flattening(compiling.start(), keeps_apart=spec.gives_timeouts).states
        self.stages = tuple(compiling.stages)
        self.parts = compiling.parts
        self.absences = tuple(compiling.absences)
        self.permuted = tuple(compiling.permuted) if compiling.permutes else ()
        start = self.states[0]
        guards = [move.guard for state in self.states for move in state.moves]
        guards += [guard for state in self.states for move in state.moves for guard, _ in move.instead_of]
        guards += [stop for state in self.states for stop in state.stops]
        guards += [absence.guard for absence in self.absences]
        self.interest = 0
        for guard in guards:
            self.interest |= guard.bits
        self.has_tests = any(guard.tests for guard in guards)
        self.has_steps = any(
            state.step_limit_ms is not None or state.absent_ms is not None for state in self.states[1:]
        )
        self.starts_blank = any(
            move.kind is MoveKind.TAKE and not move.guard.need for move in start.moves
        ) or any(not absence.guard.need for absence in self.absences)
        self.sees_all = (
            self.starts_blank or spec.looks_back > 0 or any(state.restless for state in self.states[1:])
        )


@dataclass(frozen=True, slots=True)
class _Head:
    """How the first event of a stage is waited for.

    Attributes:
        nots: the not-stages in force.
        holding: tests that also end the waiting (until, but not before a loop's first event).
        step_ms: bound on the step into the stage.
    """

    contiguity: Contiguity
    nots: _Nots
    holding: tuple[Test, ...]
    step_ms: int | None = None


class _Compiling:
    """One compilation: stage numbers are given out as stages are met."""

    def __init__(self, spec: PatternSpec) -> None:
        self.spec = spec
        self.stages: list[str] = []
        self.absences: list[StartAbsence] = []
        self.permuted: list[int] = []
        self.permutes = False
        self.parts: dict[str, frozenset[int]] = {}
        self._numbers: dict[str, int] = {}
        self._nots: list[StageSpec] = []
        self._not_numbers: dict[str, int] = {}

    def start(self) -> Node:
        stages = list(self.spec.stages)
        while stages and stages[0].contiguity == "not_followed_by":
            absence = stages.pop(0)
            self.absences.append(StartAbsence(Guard.passing(absence.test), absence.absent_ms))
        if not stages:
            raise PatternError("it needs a stage that takes an event", pattern=self.spec.name)
        if stages[0].contiguity == "not_next":
            raise self.wrong(stages[0], "a pattern can't start with not_next")
        for stage in stages:
            self._name(stage)
        return self.sequence(stages, self._finish, (), "begin", ())((), None)

    def _name(self, stage: StageSpec) -> None:
        """Numbers stages in the pattern's own order, so that numbers don't depend on the order of compilation."""
        inner = (*stage.group, *stage.choices, *stage.members)
        first = len(self.stages)
        if stage.contiguity in {"not_next", "not_followed_by"}:
            return
        if stage.name in self.parts:
            raise self.wrong(stage, "two stages have this name")
        if not inner:
            self._numbers[stage.name] = first
            self.permuted.append(first)
            self.stages.append(stage.name)
        for part in inner:
            self._name(part)
        self.parts[stage.name] = frozenset(range(first, len(self.stages)))
        if stage.members:
            self.permutes = True
            self.permuted[first:] = [first] * (len(self.stages) - first)

    def wrong(self, stage: StageSpec, message: str) -> PatternError:
        return PatternError(message, pattern=self.spec.name, stage=stage.name)

    def not_number(self, stage: StageSpec) -> int:
        if stage.name not in self._not_numbers:
            self._not_numbers[stage.name] = len(self._nots)
            self._nots.append(stage)
        return self._not_numbers[stage.name]

    def stops(self, nots: _Nots) -> tuple[tuple[Guard, bool], ...]:
        sparing = {number for number, spares in nots if spares}
        firm = {Guard.passing(self._nots[number].test) for number, _ in nots if number not in sparing}
        guards = dict.fromkeys(Guard.passing(self._nots[number].test) for number, _ in nots)
        return tuple((guard, guard not in firm) for guard in guards)

    def _finish(self, nots: _Nots, skipped: _Skipped | None) -> Node:
        if not nots or skipped is not None:
            return Ending(skipped is not None)
        last = self._nots[nots[-1][0]]
        if last.step_within_ms is None and self.spec.within_ms is None:
            raise self.wrong(last, "not_followed_by at the end needs within, or the pattern would never end")
        return Absent(tuple(guard for guard, _ in self.stops(nots)), last.step_within_ms)

    def sequence(
        self,
        stages: Sequence[StageSpec],
        after: _Next,
        until: tuple[Test, ...],
        contiguity: Contiguity | None,
        holding: tuple[Test, ...],
        step_ms: int | None = None,
        behind: _Nots = (),
    ) -> _Next:
        """What enters the stages in order, then `after`.

        Args:
            stages: a pattern's stages, or a group's.
            after: what follows the last.
            until: tests that end a loop around the stages.
            contiguity: how the first stage is waited for; None: as it says itself.
            holding: what ends the waiting for the first stage.
            step_ms: bound on the step into the first stage.
            behind: the not-stages that directly follow the stages.
        """
        following = after
        for index in reversed(range(len(stages))):
            first = index == 0
            following = self._enter(
                stages,
                index,
                following,
                until,
                behind,
                _Head(
                    (contiguity if first else None) or stages[index].contiguity,
                    (),
                    holding if first else until,
                    step_ms if first else None,
                ),
            )
        return following

    def _enter(
        self,
        stages: Sequence[StageSpec],
        index: int,
        after: _Next,
        until: tuple[Test, ...],
        behind: _Nots,
        head: _Head,
    ) -> _Next:
        stage = stages[index]
        known: dict[tuple[_Nots, _Skipped | None], Node] = {}

        def build(nots: _Nots, skipped: _Skipped | None) -> Node:
            if stage.contiguity == "not_followed_by":
                return after(_united(nots, ((self.not_number(stage), True),)), None)
            if stage.contiguity == "not_next":
                if isinstance(plain := after((), None), Ending):
                    return NotNext(plain, stage.test)
                return NotNext(after(nots, None), stage.test)
            loop = _Loop(self, stage, after, until, self.lasting(stages, index, behind))
            if skipped is None:
                return loop.entered(replace(head, nots=nots))
            return loop.entered(replace(head, nots=nots, holding=skipped.holding, step_ms=skipped.step_ms))

        def enter(nots: _Nots, skipped: _Skipped | None) -> Node:
            if (nots, skipped) not in known:
                known[nots, skipped] = build(nots, skipped)
            return known[nots, skipped]

        return enter

    def lasting(self, stages: Sequence[StageSpec], index: int, behind: _Nots) -> _Nots:
        """The not-stages that directly follow a stage, `behind` those that follow all of them."""
        nots: _Nots = ()
        for follower in stages[index + 1 :]:
            if follower.contiguity != "not_followed_by":
                return nots
            nots = (*nots, (self.not_number(follower), False))
        return _united(nots, behind)

    def number(self, stage: StageSpec) -> int:
        return self._numbers[stage.name]


class _Loop:
    """A stage with its quantifier, in one place of the pattern: what waits for each of its occurrences.

    Args:
        compiling: gives out numbers.
        stage: the stage; one that comes exactly once is a loop of one.
        after: what follows the loop.
        until: tests that end a loop around it.
        lasting: the not-stages that directly follow: once the loop has come, they are in force where it is waited for
            again. That is not within a group's rounds.
    """

    def __init__(
        self,
        compiling: _Compiling,
        stage: StageSpec,
        after: _Next,
        until: tuple[Test, ...],
        lasting: _Nots,
    ) -> None:
        self._compiling = compiling
        self._stage = stage
        self._loop = loop = stage.loop
        self._after = after
        self._lasting = lasting
        self._around = until
        self._until = (*until, loop.until) if loop.has_until else until
        self._branches: dict[tuple[int, _Nots, _Skipped | None], Branch] = {}
        self._greedy: dict[tuple[int, bool], Greedy] = {}
        self._check(loop)

    def _check(self, loop: LoopSpec) -> None:
        wrong = self._compiling.wrong
        if loop.least < 1 or (loop.most is not None and loop.most < loop.least):
            raise wrong(self._stage, "a loop takes at least one event, and no fewer at most than at least")
        if loop.greedy and (self._stage.group or self._stage.members):
            raise wrong(self._stage, "greedy is not for groups")
        if loop.greedy and loop.reluctant:
            raise wrong(self._stage, "a loop is greedy or reluctant, not both")

    def entered(self, head: _Head) -> Node:
        """The stage, waited for as `head` says, or what follows where it is optional."""
        stage, loop = self._stage, self._loop
        steps = [
            step for step in (head.step_ms, stage.step_within_ms, loop.step_within_ms) if step is not None
        ]
        first = self._occurrence(1, replace(head, step_ms=min(steps, default=None)))
        if not loop.optional:
            return first
        left = self._left(head.nots, _Skipped(head.holding, head.step_ms))
        return self._either(Branch(), first, left)

    def heads(self) -> list[Take]:
        """The takes with which it can begin, for an alternation that it is a choice of."""
        stage = self._stage
        if self._loop.optional:
            raise self._compiling.wrong(
                stage, "a choice of an alternation can't be optional: make that optional"
            )
        step = stage.step_within_ms
        return self._takes(1, _Head("relaxed", (), (), step))

    def _takes(self, count: int, head: _Head) -> list[Take]:
        stage = self._stage
        if stage.choices:
            return self._choice_takes(count, head)
        if stage.members:
            raise self._compiling.wrong(stage, "a permutation can't be a choice of an alternation")
        if stage.group:
            rest = self._compiling.sequence(
                stage.group[1:],
                self.following(count),
                self._until,
                None,
                self._until,
                behind=self._lasting,
            )
            lasting = self._compiling.lasting(stage.group, 0, self._lasting)
            return _Loop(self._compiling, stage.group[0], rest, self._until, lasting).heads()
        guard = Guard.passing(stage.test).also(_none_of(self._until)) or Guard.never()
        following = self.following(count)
        return [Take(guard, self._compiling.number(stage), head.step_ms, lambda: following((), None))]

    def _choice_takes(self, count: int, head: _Head) -> list[Take]:
        """The takes of an alternation: what several choices would take goes to the first of them."""
        takes: list[Take] = []
        vain: list[Take] = []
        taken: list[Test] = []
        for choice in self._stage.choices:
            following = self.following(count)
            loop = _Loop(self._compiling, choice, following, self._until, self._lasting)
            clear = _none_of(tuple(taken))
            for take in loop.heads():
                steps = [step for step in (take.step_ms, head.step_ms) if step is not None]
                guard, step = take.guard.also(clear), min(steps, default=None)
                kept = vain if guard is None else takes
                kept.append(Take(guard or Guard.never(), take.stage, step, take.make_target))
            taken += _first_tests(choice)
        # Where none of them can ever come, the partial match waits in vain, as for any such stage.
        return takes or vain[:1]

    def _occurrence(self, count: int, head: _Head) -> Node:
        """What waits for the loop's `count`-th occurrence."""
        stage, following = self._stage, self.following(count)
        if stage.group:
            return self._compiling.sequence(
                stage.group,
                following,
                self._until,
                head.contiguity,
                head.holding,
                head.step_ms,
                self._lasting,
            )(head.nots, None)
        if stage.members:
            return self._permutation(stage.members, following, head)
        tests = _first_tests(stage)
        passing: tuple[Guard, ...] = ()
        if head.contiguity != "strict":
            over = _none_of((*tests, *head.holding) if head.contiguity != "any" else head.holding)
            passing = () if over is None else (over,)
        return Wait(self._takes(count, head), passing, self._compiling.stops(head.nots), head.step_ms)

    def _permutation(self, members: tuple[StageSpec, ...], after: _Next, head: _Head) -> Node:
        """The members in any order: a branch over which of them comes first, and so on, by what is left of them."""
        orders: dict[tuple[str, ...], _Next] = {}

        def joined(left: tuple[StageSpec, ...], member: StageSpec, arm: _Head) -> Node:
            others = tuple(other for other in left if other is not member)
            lasting = () if others else self._lasting
            relaxed: Contiguity = "relaxed" if arm.contiguity == "begin" else arm.contiguity
            loop = _Loop(self._compiling, member, remaining(others), self._until, lasting)
            return loop.entered(replace(arm, contiguity=relaxed))

        def remaining(left: tuple[StageSpec, ...]) -> _Next:
            if not left:
                return after
            names = tuple(member.name for member in left)
            if names in orders:
                return orders[names]
            known: dict[_Nots, Node] = {}

            def enter(nots: _Nots, _skipped: _Skipped | None) -> Node:
                if nots not in known:
                    known[nots] = branch = Branch()
                    branch.arms += [
                        joined(left, member, _Head(member.contiguity, nots, self._until)) for member in left
                    ]
                return known[nots]

            orders[names] = enter
            return enter

        return Branch([joined(members, member, head) for member in members])

    def following(self, count: int) -> _Next:
        """What follows the loop's `count`-th occurrence: another one, or what comes after the loop, or either."""
        loop = self._loop
        if loop.most is None:
            count = min(count, loop.least)

        def follow(nots: _Nots, skipped: _Skipped | None) -> Node:
            # What was said of the group's first event ends with the group.
            skipped = None if skipped is None else _Skipped(self._around)
            if loop.most is not None and count >= loop.most:
                return self._left(nots, skipped)
            if (count, nots, skipped) in self._branches:
                return self._branches[count, nots, skipped]
            lasting = _united(nots, self._lasting)
            head = _Head(loop.inner, lasting, self._until, loop.step_within_ms)
            if count < loop.least:
                return self._occurrence(count + 1, head)
            branch = self._branches[count, nots, skipped] = Branch()
            return self._either(branch, self._occurrence(count + 1, head), self._left(nots, skipped))

        return follow

    def _either(self, branch: Branch, again: Node, left: Node) -> Branch:
        branch.arms = [Reluctant(again, left)] if self._loop.reluctant else [again, left]
        return branch

    def _left(self, nots: _Nots, skipped: _Skipped | None) -> Node:
        """What comes after the loop, as it is once a greedy loop has been left."""
        loop = self._loop
        after = self._after(nots, skipped)
        if not loop.greedy or loop.least == loop.most:
            return after
        key = id(after), skipped is None
        if key not in self._greedy:
            tests = tuple(_first_tests(self._stage))
            self._greedy[key] = Greedy(after, tests, loop.until, loop.has_until, {}, taken=skipped is None)
        return self._greedy[key]


def _first_tests(stage: StageSpec) -> list[Test]:
    """The tests with which a stage can begin."""
    if stage.choices:
        return [test for choice in stage.choices for test in _first_tests(choice)]
    if stage.group:
        return _first_tests(stage.group[0])
    return [stage.test]


def _none_of(tests: Sequence[Test]) -> Guard | None:
    """The guard of events that fail every test; None where none can."""
    guard: Guard | None = Guard()
    for test in tests:
        guard = guard.also(Guard.failing(test)) if guard is not None else None
    return guard


def _united(nots: _Nots, more: _Nots) -> _Nots:
    return (*nots, *(entry for entry in more if entry not in nots))
