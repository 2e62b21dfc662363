"""The states of a pattern's automaton, as the matcher walks them: numbered, every proceed edge followed beforehand.

A state lists its moves in order of preference: an earlier stage before a later one, a take before a pass. What
`automaton` compiles is this; `visitor_automaton` runs it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from footfall.pattern_spec import PartialTest, Test


class MoveKind(IntEnum):
    """What a move does with the event."""

    TAKE = 0
    """The event joins the partial match (Flink's take)."""
    PASS = 1
    """The event is passed over, and the partial match goes on waiting (Flink's ignore)."""
    COMPLETE = 2
    """The event isn't taken, and by that completes the match (a trailing not-next)."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A conjunction of tests of an event.

    Attributes:
        need: bits of the event's mask that must all be set.
        forbid: bits that must all be clear.
        tests: tests of event and partial match, each with the outcome it must have.
    """

    need: int = 0
    forbid: int = 0
    tests: tuple[tuple[PartialTest, bool], ...] = ()

    @classmethod
    def passing(cls, test: Test) -> Self:
        """The guard that events passing the test satisfy.

        A test of the partial match may have an attribute `bit`: the number of a bit that is set in the mask of every
        event that can pass it.
        """
        if test is None:
            return cls()
        if isinstance(test, int):
            return cls(need=test)
        bit = getattr(test, "bit", None)
        return cls(need=1 << bit if isinstance(bit, int) else 0, tests=((test, True),))

    @classmethod
    def failing(cls, test: Test) -> Self | None:
        """The guard that events failing the test satisfy; None where none can."""
        if test is None:
            return None
        if isinstance(test, int):
            return cls(forbid=test)
        return cls(tests=((test, False),))

    def also(self, other: "Guard | None") -> "Guard | None":
        """The conjunction of two guards; None where nothing can satisfy both."""
        if other is None:
            return None
        need, forbid = self.need | other.need, self.forbid | other.forbid
        if need & forbid:
            return None
        return Guard(need, forbid, (*self.tests, *(test for test in other.tests if test not in self.tests)))

    @classmethod
    def never(cls) -> Self:
        """The guard that no event satisfies."""
        return cls(need=1, forbid=1)

    @property
    def bits(self) -> int:
        """Every bit of the mask that matters to it."""
        named = (getattr(test, "bit", None) for test, _ in self.tests)
        return (
            self.need | self.forbid | sum(1 << bit for bit in {bit for bit in named if isinstance(bit, int)})
        )


@dataclass(frozen=True, slots=True)
class Move:
    """One way on from a state.

    Attributes:
        kind: what it does with the event.
        guard: what the event must satisfy.
        targets: the states that the partial match is in afterwards; none where it can't go on.
        stage: number of the stage that takes the event; -1 unless it is a take.
        completes: the partial match is a whole match once the event is taken.
        step_ms: exclusive bound on the time since the last taken event; None for none.
        spared: the stops that don't forbid it though the same event satisfies them: the event is not in between.
        instead_of: guards and steps of moves that come first: it isn't made where one of them can be (reluctant loops).
    """

    kind: MoveKind
    guard: Guard
    targets: tuple[int, ...]
    stage: int = -1
    completes: bool = False
    step_ms: int | None = None
    spared: tuple[Guard, ...] = ()
    instead_of: tuple[tuple[Guard, int | None], ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Where a partial match waits for its next event.

    Attributes:
        moves: in order of preference; each that can be made is made, the first of them first.
        stops: an event that satisfies one of them ends the partial match, but for moves that are spared.
        absent: it is a whole match once its time is over (a trailing not-followed-by).
        absent_ms: its time, counted from the last taken event, where that isn't the pattern's `within`.
        step_limit_ms: the longest time after the last taken event at which a move can still be made; None for no limit.
        interest: bits of the mask that matter here.
        restless: an event with none of those bits may change something, too.
    """

    moves: tuple[Move, ...]
    stops: tuple[Guard, ...] = ()
    absent: bool = False
    absent_ms: int | None = None
    step_limit_ms: int | None = None
    interest: int = 0
    restless: bool = False


@dataclass(frozen=True, slots=True)
class StartAbsence:
    """What must not have come before a match begins.

    Attributes:
        guard: the events that must not have come.
        absent_ms: how long none may have come before the first event; None for never.
    """

    guard: Guard
    absent_ms: int | None
