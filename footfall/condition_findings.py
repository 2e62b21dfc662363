"""Why a condition isn't true of an event: which of its parts are false or unknown, and with which values.

The answers are those of the matcher: what depends on the event alone is a column of `EventValues`, the rest a closure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from footfall.envelope import SCHEMA
from footfall.expression import Expression
from footfall.expression_base import Compute
from footfall.expression_leaves import EventField, EventProperty, PolarsCondition
from footfall.expression_nodes import AllOf, AnyOf, Not
from footfall.expression_values import Kind, kind_of, time_from_ms
from footfall.pattern_lowering import EventValues, MatchBuild
from footfall.taken_closures import Moment
from footfall.taken_events import Aggregate, AnyEvent, EventCount, PickedEvent, PreviousEvent


@dataclass(frozen=True, slots=True)
class Finding:
    """A part of a condition that isn't as it must be.

    Attributes:
        part: the part in words.
        answer: what it is; None for unknown.
        values: what it was asked of: each value's name in words, and the value.
    """

    part: str
    answer: bool | None
    values: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        said = {None: "unknown", True: "true", False: "not true"}[self.answer]
        values = ", ".join(f"{name} = {value}" for name, value in self.values)
        return f'"{self.part}" is {said}' + (f": {values}" if values else "")


@dataclass(frozen=True, slots=True)
class _Value:
    words: str
    answer: Compute
    kind: Kind
    any_of: str | None


@dataclass(frozen=True, slots=True)
class _Part:
    node: Expression
    answer: Compute
    parts: tuple["_Part", ...]
    values: tuple[_Value, ...]


class ConditionFindings:
    """Conditions taken to pieces. All must be added before the values of events are evaluated.

    Args:
        values: where what depends on one event alone gets its slot.
    """

    def __init__(self, values: EventValues) -> None:
        self._build = MatchBuild(values)
        self._parts: dict[str, _Part] = {}

    def add(self, condition: Expression) -> None:
        """Take a condition to pieces."""
        self._parts.setdefault(condition.key(), self._part(condition))

    def of(self, condition: Expression, moment: Moment) -> tuple[Finding, ...]:
        """What isn't true in a condition that was added; nothing if it is true."""
        return tuple(_not_true(self._parts[condition.key()], moment))

    def is_true(self, condition: Expression, moment: Moment) -> bool:
        """Whether a condition that was added is true; unknown isn't."""
        return self._parts[condition.key()].answer(moment) is True

    def nearly(self, condition: Expression, moment: Moment) -> bool:
        """Whether a condition that was added is true, or the part of it that asks for the event's name is.

        Where it doesn't ask for the name alone, one part of several that is true will do.
        """
        whole = self._parts[condition.key()]
        parts = whole.parts if isinstance(whole.node, AllOf) else (whole,)
        named = [part for part in parts if _asks_name(part.node)]
        answers = [part.answer(moment) is True for part in named or parts]
        return all(answers) if named else any(answers)

    def values_of(self, condition: Expression, moment: Moment) -> tuple[tuple[str, str], ...]:
        """The values that a condition that was added is asked of."""
        return _values_said(_all_values(self._parts[condition.key()]), moment)

    def _part(self, node: Expression) -> _Part:
        if isinstance(node, (AllOf, AnyOf, Not)):
            return _Part(node, self._build(node), tuple(map(self._part, node.children)), ())
        return _Part(node, self._build(node), (), tuple(map(self._value, _asked(node))))

    def _value(self, node: Expression) -> _Value:
        kind = node.kind(SCHEMA)
        if isinstance(node, AnyEvent):
            read = self._build.value_of(node.operand)
            return _Value(
                f"{node.operand} of the {node.stage!r} events", lambda now: read(now.event), kind, node.stage
            )
        return _Value(str(node), self._build(node), kind, None)


def event_fields(conditions: Sequence[Expression]) -> list[Expression]:
    """The fields and properties of events that conditions read, each once; the event's name is left out."""
    found: dict[str, Expression] = {}
    for condition in conditions:
        for leaf in _leaves(condition):
            if str(leaf) != "event":
                found.setdefault(leaf.key(), leaf)
    return list(found.values())


def value_words(value: Any, kind: Kind) -> str:
    """A value as people read it; a text as it stands, in quotes."""
    if value is None:
        return "missing"
    if kind == "time":
        return time_from_ms(value).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    if kind == "number":
        return f"{value:.15g}"
    return repr(value) if kind == "text" else str(value).lower()


def _leaves(node: Expression) -> Iterator[Expression]:
    if isinstance(node, (EventField, EventProperty)):
        yield node
    elif isinstance(node, PolarsCondition):
        yield from _polars_fields(node)
    for child in node.children:
        yield from _leaves(child)


def _asks_name(node: Expression) -> bool:
    """Whether it asks for the event's name alone."""
    return not node.depends_on_match and node.columns() == {"event"}


def _polars_fields(node: PolarsCondition) -> Iterator[Expression]:
    for name in sorted(node.columns()):
        if kind_of(SCHEMA[name]) is not None:
            yield EventField(name)


def _asked(node: Expression) -> Iterator[Expression]:
    """The values that a part of a condition is asked of."""
    match node:
        case EventField() | EventProperty() | PickedEvent() | AnyEvent() | PreviousEvent() | EventCount():
            yield node
        case Aggregate():
            yield node
        case PolarsCondition():
            yield from _polars_fields(node)
        case _:
            for child in node.children:
                yield from _asked(child)


def _not_true(part: _Part, moment: Moment) -> Iterator[Finding]:
    answer = part.answer(moment)
    if answer is True:
        return
    if isinstance(part.node, (AllOf, AnyOf)):
        for each in part.parts:
            yield from _not_true(each, moment)
    elif isinstance(part.node, Not) and answer is False:
        (inner,) = part.parts
        yield Finding(str(inner.node), True, _values_said(_all_values(inner), moment))
    else:
        yield Finding(str(part.node), answer, _values_said(_all_values(part), moment))


def _all_values(part: _Part) -> Iterator[_Value]:
    yield from part.values
    for each in part.parts:
        yield from _all_values(each)


def _values_said(values: Iterator[_Value], moment: Moment) -> tuple[tuple[str, str], ...]:
    said: dict[str, str] = {}
    for value in values:
        if value.any_of is None:
            said[value.words] = value_words(value.answer(moment), value.kind)
            continue
        taken = [Moment(event, moment.partial) for event in moment.partial.taken(value.any_of)]
        said[value.words] = ", ".join(value_words(value.answer(each), value.kind) for each in taken) or "none"
    return tuple(said.items())
