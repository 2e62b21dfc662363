"""What is no pattern: checks of one stage beside those before it, and of a whole pattern.

Everything raises `PatternError` with the pattern's and the stage's name.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile
from typing import NoReturn, get_args

import polars as pl

from footfall.duration import format_duration
from footfall.errors import ExpressionError, PatternError
from footfall.expression import Expression
from footfall.pattern_spec import Contiguity, Inner
from footfall.pattern_stage import LONGEST_STAGE_NAME, Stage
from footfall.taken_events import of_several

LONGEST_WITHIN_MS = 400 * 86_400_000
MOST_TIMES = 1000


def check_stage(stage: Stage, before: Sequence[Stage], schema: pl.Schema, pattern: str) -> None:
    """Make sure that a stage may come after those before it, for what is known at that point.

    Raises:
        PatternError: it may not.
    """
    _check_names(stage, before, pattern)
    _check_place(stage, before, pattern)
    _check_kind(stage, pattern)
    if stage.forbids:
        _check_absence(stage, before, pattern)
    else:
        _check_loop(stage, pattern)
        if stage.optional and before and before[-1].greedy:
            _refuse("an optional stage can't follow a greedy one", pattern, stage)
    _check_bounds(stage, before, pattern)
    _check_parts(stage, schema, pattern)
    for condition in (stage.condition, stage.until):
        if condition is not None:
            check_condition(condition, schema, pattern, stage)


def check_condition(condition: object, schema: pl.Schema, pattern: str, stage: Stage) -> None:
    """Make sure that it is a condition on events of that schema.

    Raises:
        PatternError: it isn't.
    """
    if not isinstance(condition, Expression):
        _refuse(
            f"{condition!r} is no condition; write one with field, property_ or event, "
            'as in event == "click"',
            pattern,
            stage,
        )
    try:
        condition.check(schema)
    except ExpressionError as error:
        raise PatternError(str(error), pattern=pattern, stage=stage.name) from error
    problem = of_several(condition)
    if problem:
        _refuse(problem, pattern, stage)


def check_whole(stages: Sequence[Stage], pattern: str, *, bounded: bool) -> None:
    """Make sure that the stages are whole: there is one that takes events, and the end can be reached.

    Args:
        stages: the pattern's stages.
        pattern: its name.
        bounded: whether it has a `within`.

    Raises:
        PatternError: they aren't; or a condition asks what a stage took that can't have taken anything by then.
    """
    if not any(not stage.forbids for stage in stages):
        raise PatternError("it has no stage; start with .begin(name, condition)", pattern=pattern)
    for stage in takewhile(lambda one: one.contiguity == "not_followed_by", trailing(stages)):
        if not bounded and stage.step_within_ms is None:
            _refuse(
                "an absence at the end needs .within(...), or it would be waited for without end",
                pattern,
                stage,
            )
    every = [one for stage in stages for one in stage.walk()]
    _check_references(stages, set(), set(), every, pattern)


def check_taker(name: str, stages: Sequence[Stage], pattern: str, purpose: str) -> None:
    """Make sure that there is a stage of that name which takes events.

    Raises:
        PatternError: there is none.
    """
    every = [one for stage in stages for one in stage.walk()]
    problem = _no_taker(name, every)
    if problem:
        raise PatternError(f"{purpose} stage {name!r}, {problem}", pattern=pattern, stage=name)


def trailing(stages: Sequence[Stage]) -> Iterator[Stage]:
    """The stages at the end that forbid events, the last one first."""
    for stage in reversed(stages):
        if not stage.forbids:
            return
        yield stage


def bound(ms: int, word: str, pattern: str, stage: str | None) -> int:
    """The bound itself, if it is one that a match can keep to.

    Raises:
        PatternError: it isn't.
    """
    if not _is_count(ms) or not 0 < ms <= LONGEST_WITHIN_MS:
        said = format_duration(ms) if _is_count(ms) else repr(ms)
        raise PatternError(
            f"{word} {said} is impossible: it must be more than 0 and at most 400 days",
            pattern=pattern,
            stage=stage,
        )
    return ms


def _check_names(stage: Stage, before: Sequence[Stage], pattern: str) -> None:
    known = {one.name for other in before for one in other.walk()}
    for one in stage.walk():
        if not _is_text(one.name) or not 0 < len(one.name.strip()) <= LONGEST_STAGE_NAME:
            _refuse(f"a stage's name is a text of 1 to {LONGEST_STAGE_NAME} characters", pattern, one)
        if one.name in known:
            _refuse("the name is taken by an earlier stage; names are unique in a pattern", pattern, one)
        known.add(one.name)


def _check_place(stage: Stage, before: Sequence[Stage], pattern: str) -> None:
    if stage.contiguity not in get_args(Contiguity):
        known = ", ".join(get_args(Contiguity))
        _refuse(f"contiguity {stage.contiguity!r} is unknown; use {known}", pattern, stage)
    begun = any(not one.forbids for one in before)
    if not begun and stage.contiguity != "begin" and stage.absent_ms is None:
        _refuse("the first stage is written with .begin(...)", pattern, stage)
    if begun and stage.contiguity == "begin":
        _refuse("begin is for the first stage; use next, followed_by or followed_by_any", pattern, stage)
    if begun and stage.absent_ms is not None:
        _refuse("absent comes before .begin(...); use not_followed_by or not_next here", pattern, stage)
    if before and before[-1].forbids and before[-1].step_within_ms is not None:
        _refuse("only an absence at the end has a bound of its own; use .within(...)", pattern, before[-1])


def _check_kind(stage: Stage, pattern: str) -> None:
    if sum(map(bool, (stage.group, stage.choices, stage.members))) + (stage.condition is not None) > 1:
        _refuse("a stage is of single events, a group, an alternation or a permutation", pattern, stage)
    for word in ("optional", "greedy", "reluctant"):
        if not isinstance(getattr(stage, word), bool):
            _refuse(f"{word} is true or false, not {getattr(stage, word)!r}", pattern, stage)
    if stage.inner not in get_args(Inner):
        _refuse(f"inner {stage.inner!r} is unknown; use {', '.join(get_args(Inner))}", pattern, stage)


def _check_absence(stage: Stage, before: Sequence[Stage], pattern: str) -> None:
    if stage.condition is None:
        _refuse("a stage that forbids events needs a condition that says which", pattern, stage)
    if (stage.times, stage.more, stage.inner) != (1, 0, "relaxed") or stage.until is not None:
        _refuse("a stage that forbids events can't be repeated", pattern, stage)
    if stage.greedy or stage.reluctant or stage.each_within_ms is not None:
        _refuse("a stage that forbids events can't be repeated", pattern, stage)
    if stage.optional:
        _refuse("a stage that forbids events can't be optional", pattern, stage)
    if before and before[-1].optional:
        _refuse(
            f"a stage that forbids events can't follow an optional one ({before[-1].name!r}); "
            "write two patterns, one with it and one without",
            pattern,
            stage,
        )
    if stage.absent_ms is not None and getattr(stage.condition, "depends_on_match", False):
        _refuse(
            "absent comes before any event is taken, and is told from an event alone: it can't ask for taken events, "
            "nor for those before it (prev)",
            pattern,
            stage,
        )


def _check_loop(stage: Stage, pattern: str) -> None:
    if not _is_count(stage.times) or not 1 <= stage.times <= MOST_TIMES:
        _refuse(f"times takes a whole number from 1 to {MOST_TIMES}, not {stage.times!r}", pattern, stage)
    if stage.more is not None and (
        not _is_count(stage.more) or stage.more < 0 or stage.times + stage.more > MOST_TIMES
    ):
        _refuse(f"times takes two whole numbers, the first not over the second, up to {MOST_TIMES}",
                pattern, stage)  # fmt: skip
    if stage.members and (stage.loops or stage.optional):
        _refuse("a permutation comes once; put it into a group to repeat it or leave it out", pattern, stage)
    if stage.until is not None and not stage.loops:
        _refuse(
            "until comes after the loop's at_least or one_or_more, which has no upper bound: .one_or_more().until(...)",
            pattern,
            stage,
        )
    if stage.until is not None and stage.more is not None:
        _refuse("until ends a loop without an upper bound: at_least or one_or_more", pattern, stage)
    if not stage.loops:
        _check_single(stage, pattern)
    if stage.greedy and stage.reluctant:
        _refuse("a loop is greedy or reluctant, not both", pattern, stage)
    if stage.group and (stage.greedy or stage.reluctant):
        _refuse("a group can be neither greedy nor reluctant", pattern, stage)
    if stage.greedy and stage.inner == "any":
        _refuse("a loop is greedy or takes combinations, not both", pattern, stage)


def _check_single(stage: Stage, pattern: str) -> None:
    if stage.greedy or stage.reluctant:
        _refuse("greedy and reluctant are about a loop; put times, at_least or one_or_more before it",
                pattern, stage)  # fmt: skip
    if stage.each_within_ms is not None:
        _refuse("each_within is about a loop", pattern, stage)
    if stage.inner != "relaxed" and not stage.members:
        _refuse("consecutive and combinations are about a stage with times(2) or more before it",
                pattern, stage)  # fmt: skip


def _check_bounds(stage: Stage, before: Sequence[Stage], pattern: str) -> None:
    for word in ("step_within", "each_within", "absent"):
        ms = getattr(stage, f"{word}_ms")
        if ms is not None:
            bound(ms, word, pattern, stage.name)
    if stage.step_within_ms is not None and stage.contiguity in ("begin", "not_next"):
        _refuse("a bound on the step needs an event before it and one that ends it", pattern, stage)
    if stage.absent_ms is not None and stage.contiguity != "not_followed_by":
        _refuse("absent is for a stage that forbids events", pattern, stage)
    if stage.contiguity == "begin" and stage.optional and before:
        _refuse("after absent, the first stage can't be optional", pattern, stage)


def _check_parts(stage: Stage, schema: pl.Schema, pattern: str) -> None:
    for part in (*stage.choices, *stage.members):
        if part.parts or part.contiguity != "begin" or part != Stage(part.name, "begin", part.condition):
            _refuse("either and all_of_any_order take stages of single events", pattern, part)
        if part.condition is not None:
            check_condition(part.condition, schema, pattern, part)
    if len(stage.choices) == 1 or len(stage.members) == 1:
        _refuse("either and all_of_any_order take two stages or more", pattern, stage)
    before: list[Stage] = []
    for part in stage.group:
        if part.absent_ms is not None:
            _refuse("absent is for the start of the whole pattern, not of a group", pattern, part)
        check_stage(part, before, schema, pattern)
        before.append(part)
    if before and before[-1].contiguity == "not_followed_by":
        _refuse("not_followed_by can't end a group; put it behind the group", pattern, before[-1])


def _check_references(
    stages: Sequence[Stage], known: set[str], around: Collection[str], every: Sequence[Stage], pattern: str
) -> None:
    """`known` are the stages that come before, `around` those in the same loop or permutation."""
    for stage in stages:
        own = {one.name for one in stage.takers()}
        again = own if stage.loops or stage.members else set()
        allowed = known.union(around, again, () if stage.parts else own)
        for condition in (stage.condition, stage.until):
            for name in sorted(frozenset() if condition is None else condition.stages()):
                problem = _no_taker(name, every)
                if problem is None and name not in allowed:
                    problem = "which comes later; only earlier stages and the stage itself have taken events"
                if problem:
                    _refuse(f"it asks what stage {name!r} took, {problem}", pattern, stage)
        _check_references(stage.parts, set(known), again.union(around), every, pattern)
        known |= own


def _no_taker(name: str, every: Sequence[Stage]) -> str | None:
    found = next((one for one in every if one.name == name), None)
    if found is None:
        takers = ", ".join(one.name for one in every if not one.parts and not one.forbids)
        return f"and there is no such stage; the stages that take events are {takers}"
    if found.forbids:
        return "which forbids events and takes none"
    return (
        f"which is made of others; name one of {', '.join(one.name for one in found.takers())}"
        if (found.parts)
        else None
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse(message: str, pattern: str, stage: Stage) -> NoReturn:
    raise PatternError(message, pattern=pattern, stage=str(stage.name))
