"""A pattern as a picture: boxes for its stages, and arrows that say how each joins on to what comes before.

`picture_of` makes the picture of a pattern; `footfall.pattern_picture_svg` and `footfall.pattern_picture_text` draw
it. A picture holds words and structure, no places and no sizes. All its texts are fit to be shown: what can't be
printed stands as an escape, and only conditions have more than one line.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from footfall.duration import format_duration
from footfall.expression_nodes import AllOf, AnyOf, Expression
from footfall.pattern import Pattern
from footfall.pattern_spec import Contiguity, Inner, Skip
from footfall.pattern_stage import Stage

LONGEST_CONDITION = 240
"""How many signs of a condition a picture shows; all of it stands in the pattern's words."""

ArrowKind = Literal["begin", "strict", "relaxed", "any", "end"]


@dataclass(frozen=True, slots=True)
class StageBox:
    """A stage that takes events.

    Attributes:
        name: the stage's name.
        condition: what its events must be like, in words; a line for each of several conditions that all must hold.
            A line of more than `LONGEST_CONDITION` signs is cut.
        loop: how often it comes, the words of an arrow back to itself; "" where it comes once.
        optional: whether it may be left out.
    """

    name: str
    condition: str
    loop: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class GroupBox:
    """Several stages, one after another, that are repeated or left out together.

    Attributes:
        name: the group's name; "" for none.
        steps: its stages.
        loop: as a stage's.
        optional: as a stage's.
    """

    name: str
    steps: tuple["Step", ...]
    loop: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ChoiceBox:
    """Several stages side by side, of which one is gone through, or each in any order, as `words` says.

    Attributes:
        words: what is done with the branches, such as "one of these" or "each once, in any order".
        branches: the stages or groups.
        loop: as a stage's.
        optional: as a stage's.
    """

    words: str
    branches: tuple["Shape", ...]
    loop: str = ""
    optional: bool = False


Shape = StageBox | GroupBox | ChoiceBox


@dataclass(frozen=True, slots=True)
class Guard:
    """A stage that says what must not come: it stands beside the arrow that it guards.

    Attributes:
        words: when it must not come, such as "not followed by".
        name: the stage's name.
        condition: what the forbidden events are like, in words.
    """

    words: str
    name: str
    condition: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """The way to a stage, or to the match.

    Attributes:
        kind: how it is drawn.
        words: what it says; "" for nothing.
        guards: what must not come on the way.
    """

    kind: ArrowKind
    words: str = ""
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """An arrow and what it leads to."""

    arrow: Arrow
    shape: Shape


@dataclass(frozen=True, slots=True)
class Picture:
    """A pattern's picture.

    Attributes:
        name: the pattern's name.
        facts: its severity and version.
        description: its description; "" for none.
        steps: its stages, in order.
        end: the arrow to the match.
        within: the words of the bracket around the whole; "" for none.
        notes: what else holds for the whole, a sentence each.
        to_the_end: whether the bracket's time must have passed before there is a match, since something must not
            come in it.
    """

    name: str
    facts: str
    description: str
    steps: tuple[Step, ...]
    end: Arrow
    within: str
    notes: tuple[str, ...]
    to_the_end: bool = False


_ARROWS: dict[Contiguity, tuple[ArrowKind, str]] = {
    "begin": ("begin", "starts with"),
    "strict": ("strict", "directly followed by"),
    "relaxed": ("relaxed", "followed by"),
    "any": ("any", "followed by any"),
}
_GUARDS: dict[Contiguity, str] = {
    "not_next": "not directly followed by",
    "not_followed_by": "not followed by",
}
_INNER: dict[Inner, str] = {
    "relaxed": "others may come between",
    "strict": "in a row",
    "any": "in any combination",
}
_ORDERS: dict[Inner, str] = {
    "relaxed": "each once, in any order",
    "strict": "each once, in any order, in a row",
    "any": "each once, in any order, in any combination",
}
_SKIPS: dict[Skip, str] = {
    "no_skip": "Every match counts.",
    "to_next": "After a match, others that begin with the same event are dropped.",
    "past_last": "After a match, the next one begins behind its last event.",
    "to_first": "After a match, others that begin before its first event of {stage} are dropped.",
    "to_last": "After a match, others that begin before its last event of {stage} are dropped.",
}


def picture_of(pattern: Pattern) -> Picture:
    """The picture of a pattern."""
    steps, guards = _steps(pattern.stages)
    within = "" if pattern.within_ms is None else f"less than {format_duration(pattern.within_ms)}"
    return Picture(
        name=pattern.name,
        facts=f"{pattern.severity} · version {pattern.version}",
        description=printable(pattern.description),
        steps=steps,
        end=Arrow("end", _end_words(pattern) if guards else "", guards),
        within=within,
        notes=_notes(pattern),
        to_the_end=bool(guards) and pattern.stages[-1].contiguity == "not_followed_by",
    )


def _end_words(pattern: Pattern) -> str:
    last = pattern.stages[-1]
    if last.contiguity == "not_next":
        return "once the next event has come"
    if last.step_within_ms is not None:
        return f"once {format_duration(last.step_within_ms)} have passed since the last event"
    return f"once {format_duration(pattern.within_ms or 0)} have passed"


def _notes(pattern: Pattern) -> tuple[str, ...]:
    notes = []
    if pattern.same_field is not None:
        notes.append(f"For each {pattern.same_field} on its own.")
    notes.append(_SKIPS[pattern.skip].format(stage=pattern.skip_stage))
    if pattern.ties_by is not None:
        notes.append(f"Events at the same time are taken in the order of their {pattern.ties_by}.")
    if pattern.gives_timeouts:
        notes.append("Partial matches that run out of time are given out too.")
    notes += [f"Gives {name}: {value}." for name, value in pattern.outputs]
    return tuple(printable(note) for note in notes)


def _steps(stages: Sequence[Stage]) -> tuple[tuple[Step, ...], tuple[Guard, ...]]:
    """The steps, and the guards behind the last of them."""
    steps: list[Step] = []
    guards: tuple[Guard, ...] = ()
    for stage in stages:
        if stage.forbids:
            guards += (_guard(stage),)
            continue
        kind, words = _ARROWS[stage.contiguity]
        if stage.step_within_ms is not None:
            words += f", less than {format_duration(stage.step_within_ms)} after the event before"
        shape, behind = _shape(stage)
        steps.append(Step(Arrow(kind, words, guards), shape))
        guards = behind
    return tuple(steps), guards


def _guard(stage: Stage) -> Guard:
    words = _GUARDS[stage.contiguity]
    if stage.absent_ms is not None:
        words = f"not preceded for {format_duration(stage.absent_ms)} by"
    return Guard(words, printable(stage.name), _condition(stage))


def _shape(stage: Stage) -> tuple[Shape, tuple[Guard, ...]]:
    """What stands for a stage that takes events, and the guards behind it that a group ends with."""
    loop = _loop(stage)
    if stage.group:
        steps, guards = _steps(stage.group)
        return GroupBox(printable(stage.name), steps, loop, stage.optional), guards
    if stage.parts:
        words = "one of these" if stage.choices else _ORDERS[stage.inner]
        branches = tuple(_shape(part)[0] for part in stage.parts)
        return ChoiceBox(words, branches, loop, stage.optional), ()
    return StageBox(printable(stage.name), _condition(stage), loop, stage.optional), ()


def _condition(stage: Stage) -> str:
    if stage.condition is None:
        return "any event"
    if not isinstance(stage.condition, AllOf):
        return _short(str(stage.condition))
    first, *more = stage.condition.operands
    return "\n".join([_short(_part(first)), *(f"and {_short(_part(operand))}" for operand in more)])


def _part(operand: Expression) -> str:
    return f"({operand})" if isinstance(operand, AnyOf) else str(operand)


def _short(words: str) -> str:
    line = printable(words)
    return line if len(line) <= LONGEST_CONDITION else line[: LONGEST_CONDITION - 1].rstrip() + "…"


def _loop(stage: Stage) -> str:
    if not stage.loops:
        return ""
    if stage.most is None:
        words = [f"{stage.times} or more times"]
    else:
        words = [
            f"{stage.times} times" if stage.most == stage.times else f"{stage.times} to {stage.most} times"
        ]
    words.append(_INNER[stage.inner])
    if stage.greedy or stage.reluctant:
        words.append("as often as possible" if stage.greedy else "as seldom as possible")
    if stage.each_within_ms is not None:
        words.append(f"each less than {format_duration(stage.each_within_ms)} after the one before")
    if stage.until is not None:
        words.append(f"until {stage.until}")
    return printable(", ".join(words))


def printable(text: str) -> str:
    """The text on one line: runs of white space are a blank, and what has no shape is its escape."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign).startswith("C") else sign
        for sign in line
    )
