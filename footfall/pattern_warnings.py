"""What is likely not meant in a whole pattern: a run takes it, and `footfall patterns check` says it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from footfall.event_names import EventNames, snake_name
from footfall.expression_base import Node
from footfall.expression_leaves import EventField
from footfall.expression_nodes import Comparison, Constant, LowerCase, Membership
from footfall.pattern import Pattern
from footfall.pattern_stage import Stage
from footfall.taken_events import AnyEvent, PickedEvent, PreviousEvent

_EVENT_NAME = EventField("event")


@dataclass(frozen=True, slots=True)
class PatternWarning:
    """Something that is worth a second look.

    Attributes:
        message: what it is, and what to do.
        stage: the stage that it is about; None where it is about the whole pattern.
    """

    message: str
    stage: str | None = None


def pattern_warnings(pattern: Pattern, names: EventNames) -> Iterator[PatternWarning]:
    """What is likely not meant in a pattern, in the order of its stages, then of the whole.

    Args:
        pattern: a pattern that `check` has passed.
        names: what event names become in a replay.
    """
    for stage in pattern.stages:
        for one in stage.walk():
            yield from _stage_names(one, names)
            if one.forbids:
                yield from _cut_by_same(one, pattern.same_field)
    if pattern.within_ms is None:
        yield from _without_end(pattern)


def name_warnings(pattern: Pattern, names: EventNames) -> Iterator[PatternWarning]:
    """Which event names of a pattern no event of a run has, since they become others there."""
    for stage in pattern.stages:
        for one in stage.walk():
            yield from _stage_names(one, names)


def condition_warnings(condition: Node, names: EventNames) -> Iterator[PatternWarning]:
    """The same for one condition, as a trigger rule's withdrawal."""
    yield from _names_that_never_come([condition], None, names)


def compared_names(node: Node) -> Iterator[str]:
    """The event names that a condition compares with by ==, != and is_in, wherever they stand in it."""
    match node:
        case Comparison(operator="==" | "!=", left=left, right=right):
            for asked, with_ in ((left, right), (right, left)):
                if _is_event_name(asked) and isinstance(with_, Constant):
                    yield str(with_.value)
        case Membership(operand=operand, values=values) if _is_event_name(operand):
            yield from (str(value.value) for value in values)
    for child in node.children:
        yield from compared_names(child)


def _is_event_name(node: Node) -> bool:
    while isinstance(node, (LowerCase, PickedEvent, AnyEvent, PreviousEvent)):
        node = node.operand
    return node.same_as(_EVENT_NAME)


def _stage_names(stage: Stage, names: EventNames) -> Iterator[PatternWarning]:
    conditions = [condition for condition in (stage.condition, stage.until) if condition is not None]
    yield from _names_that_never_come(conditions, stage.name, names)


def _names_that_never_come(
    conditions: Iterable[Node], stage: str | None, names: EventNames
) -> Iterator[PatternWarning]:
    for name in dict.fromkeys(name for condition in conditions for name in compared_names(condition)):
        normal = names.normalise(name)
        if not normal:
            yield PatternWarning(f"no event of a run is called {name!r}", stage)
        elif normal != name:
            by = "" if normal == snake_name(name) else " by the table of event names"
            yield PatternWarning(
                f"no event of a run is called {name!r}: names are normalised there, and it becomes "
                f"{normal!r}{by}; write {normal!r}",
                stage,
            )


def _cut_by_same(stage: Stage, same: str | None) -> Iterator[PatternWarning]:
    # A condition that reads the field itself was written with it in mind.
    if same is not None and stage.condition is not None and same not in stage.condition.columns():
        yield PatternWarning(
            f"with same({same!r}), only an event with the same {same!r} counts as one that must not come; "
            f"one with another {same!r}, or without it, does not",
            stage.name,
        )


def _without_end(pattern: Pattern) -> Iterator[PatternWarning]:
    """For a pattern without `within`: where a partial match may wait for ever."""
    stages = [one for stage in pattern.stages for one in stage.walk() if not one.forbids]
    for stage in stages:
        called = _growing(stage)
        if called:
            yield PatternWarning(
                f"{called} without .within(...): a visitor's partial matches may grow up to partial_limit, "
                "beyond which the oldest are dropped; add .within(...)",
                stage.name,
            )
    if _may_wait_for_ever(pattern, stages) and not _each_step_bounded(pattern):
        yield PatternWarning(
            "a skip strategy without .within(...): here a match may wait for ever for an earlier partial match that "
            "could still rule it out; add .within(...)"
        )


def _may_wait_for_ever(pattern: Pattern, stages: list[Stage]) -> bool:
    """Whether a match can find an earlier partial match that nothing ends and that its own events didn't complete.

    Partial matches of one pattern wait for like events, so that the earlier one is complete by then too and the skip
    strategy ends it. Not so where a condition asks what was taken, and where the strategy leaves partial matches alive
    that begin with the match's own first event.
    """
    if pattern.skip == "no_skip":
        return False
    if any(condition.stages() for stage in pattern.stages for condition in stage.conditions()):
        return True
    return pattern.skip in ("to_first", "to_last") and any(
        stage.most is None or stage.optional for stage in stages
    )


def _growing(stage: Stage) -> str | None:
    """What makes more and more partial matches at a stage that no time bounds; None if nothing does."""
    if stage.most is None and stage.inner == "any" and stage.each_within_ms is None:
        return "a loop without an upper bound that takes combinations,"
    if stage.contiguity == "any" and stage.step_within_ms is None:
        return "followed_by_any"
    return None


def _each_step_bounded(pattern: Pattern) -> bool:
    """Whether each step is seen to have a bound of its own, so that a partial match that nothing feeds ends."""
    takers = [stage for stage in pattern.stages if not stage.forbids]
    return (
        not any(stage.group or stage.members for stage in takers)
        and all(stage.each_within_ms is not None for stage in takers if stage.loops)
        and all(stage.step_within_ms is not None or stage.each_within_ms is not None for stage in takers[1:])
    )
