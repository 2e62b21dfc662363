"""Small patterns over letters, for the tests of the automaton: each letter is a bit of an event's mask."""

from collections.abc import Sequence
from dataclasses import replace

from footfall.automaton import Automaton
from footfall.pattern_spec import Contiguity, LoopSpec, PatternSpec, StageSpec, Test
from footfall.visitor_automaton import Match, VisitorAutomaton


def bit(letter: str) -> int:
    return 1 << (ord(letter) - ord("a"))


def mask(letters: str) -> int:
    return sum(bit(letter) for letter in letters)


def stage(
    name: str,
    contiguity: Contiguity = "relaxed",
    loop: LoopSpec | None = None,
    *,
    test: Test = 0,
    step_within_ms: int | None = None,
    absent_ms: int | None = None,
) -> StageSpec:
    """A stage that takes the events with the letter that its name begins with, unless a test is given."""
    return StageSpec(
        name,
        contiguity,
        bit(name[0]) if test == 0 else test,
        loop or LoopSpec(),
        step_within_ms,
        absent_ms=absent_ms,
    )


def group(
    name: str, *stages: StageSpec, contiguity: Contiguity = "relaxed", loop: LoopSpec | None = None
) -> StageSpec:
    return StageSpec(
        name, contiguity, loop=loop or LoopSpec(), group=(replace(stages[0], contiguity="begin"), *stages[1:])
    )


def either(*names: str, contiguity: Contiguity = "relaxed", loop: LoopSpec | None = None) -> StageSpec:
    return StageSpec(
        "|".join(names),
        contiguity,
        loop=loop or LoopSpec(),
        choices=tuple(stage(name, "begin") for name in names),
    )


def in_any_order(*names: str, contiguity: Contiguity = "relaxed", inner: Contiguity = "relaxed") -> StageSpec:
    return StageSpec("&".join(names), contiguity, members=tuple(stage(name, inner) for name in names))


def pattern(*stages: StageSpec, **settings: object) -> PatternSpec:
    """The first stage begins, unless it is an absence."""
    begun = [
        replace(one, contiguity="begin") if index == 0 and not one.absent_ms else one
        for index, one in enumerate(stages)
    ]
    return replace(PatternSpec("test", tuple(begun)), **settings)  # type: ignore[arg-type]  # tests name the fields


def optional(**settings: object) -> LoopSpec:
    return replace(LoopSpec(optional=True), **settings)  # type: ignore[arg-type]  # tests name the fields


def some(**settings: object) -> LoopSpec:
    """One or more."""
    return replace(LoopSpec(most=None), **settings)  # type: ignore[arg-type]  # tests name the fields


def letters(text: str) -> list[tuple[int, int]]:
    """Events, one a word of letters, 1 ms apart from 0: time and mask. `-` is an event with no letter."""
    return [(time, mask(word.replace("-", ""))) for time, word in enumerate(text.split())]


def run(spec: PatternSpec, text: str, until: int | None = None) -> list[Match]:
    """What comes out for events numbered from 0, their times the same; then time goes on to `until`."""
    visitor = VisitorAutomaton(Automaton(spec))
    out: list[Match] = []
    for event, (time, bits) in enumerate(letters(text)):
        out += visitor.take(event, time, bits)
    return out + list(visitor.advance(until)) if until is not None else out


def events_of(matches: Sequence[Match]) -> list[tuple[int, ...]]:
    return [match.events for match in matches]
