"""What a pattern means to the matcher: stages whose tests are bits of an event's mask, or look at the partial match.

`Pattern` is what people write; `lower` (in `pattern_plan`) makes this of it, and `automaton` compiles it. Semantics:
Flink CEP's, as its documentation states them; where a field says more, it is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Contiguity = Literal["begin", "strict", "relaxed", "any", "not_next", "not_followed_by"]
Inner = Literal["relaxed", "strict", "any"]
Skip = Literal["no_skip", "to_next", "past_last", "to_first", "to_last"]


class PartialView(Protocol):
    """A partial match, as a test sees it. Events are numbered by the caller's own numbers."""

    def taken(self, stage: str) -> Sequence[int]:
        """The events that a stage has taken so far, in order; those of all rounds of a loop or group."""

    def before(self, count: int) -> int:
        """The visitor's `count`-th event before the one at hand, matched or not; -1 where there is none."""


class PartialTest(Protocol):
    """A test of an event that also depends on the partial match. Unknown is False.

    It may have an attribute `bit`: the number of a bit that is set in the mask of every event that can pass it; then
    it isn't asked about others, which don't pass.
    """

    def __call__(self, event: int, partial: PartialView) -> bool:
        """Whether the event passes."""


Test = int | PartialTest | None
"""A bit of the event's mask (its value, `1 << k`), a test of event and partial match, or None: every event passes."""


@dataclass(frozen=True, slots=True)
class LoopSpec:
    """How often a stage (or group) comes.

    Attributes:
        least: occurrences at least, from 1.
        most: at most; None for no bound.
        optional: it may also not come at all.
        inner: contiguity between occurrences.
        greedy: it takes all it can before what follows may begin.
        reluctant: it takes no more than it must: once it has its least, what follows is waited for, and another
            occurrence begins only on an event that what follows can neither take nor pass over.
        until: an event that passes this ends the loop, and isn't taken.
        step_within_ms: exclusive bound between each occurrence and the one before, the first's own step included.
    """

    least: int = 1
    most: int | None = 1
    optional: bool = False
    inner: Inner = "relaxed"
    greedy: bool = False
    reluctant: bool = False
    until: Test = None
    has_until: bool = False
    step_within_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage: of single events, or a `group` of stages, or `choices` (alternation), or `members` in any order.

    An alternation is waited for like one stage whose test is that of any choice; an event that several choices would
    take goes to the first of them. A permutation stands for all orders of its members, each a sequence of its own.

    Attributes:
        step_within_ms: exclusive bound on the time from the last accepted event to this stage's first one.
        absent_ms: for a `not_followed_by` at the start alone: how long none may have come before the next event.
    """

    name: str
    contiguity: Contiguity
    test: Test = None
    loop: LoopSpec = LoopSpec()
    step_within_ms: int | None = None
    group: tuple["StageSpec", ...] = ()
    choices: tuple["StageSpec", ...] = ()
    members: tuple["StageSpec", ...] = ()
    absent_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PatternSpec:
    """A pattern.

    Attributes:
        within_ms: exclusive bound from a match's first event; None for none.
        skip_stage: the stage of `to_first` and `to_last`.
        skip_must_hit: raise where that stage took no event, rather than act as no-skip.
        gives_timeouts: partial matches that time out are given out too.
        looks_back: how many events back a test may ask for with `PartialView.before`; all events must be seen then.
    """

    name: str
    stages: tuple[StageSpec, ...]
    within_ms: int | None = None
    skip: Skip = "no_skip"
    skip_stage: str | None = None
    skip_must_hit: bool = False
    gives_timeouts: bool = False
    looks_back: int = 0
