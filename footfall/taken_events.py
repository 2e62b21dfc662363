"""Conditions on what the partial match has taken so far: of one event, of any, of all together, or of those before.

    last("viewed").field("path") == field("path")
    taken("added").sum("value", plus_current=True) > 500
    any_of("viewed").property_("service") == "iphone"
    prev("event") == "search"

They name stages; a stage that has taken nothing gives an unknown value (and no event that could be `any_of` it).
The event at hand doesn't count as taken, unless `plus_current` asks for it. `prev` is of the visitor's events,
taken or not.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import polars as pl

from footfall.errors import ExpressionError
from footfall.event_property import PropertyKind
from footfall.expression_base import Build, Compute, Node
from footfall.expression_leaves import EventField, EventProperty
from footfall.expression_nodes import AllOf, AnyOf, Constant, Expression, Not
from footfall.expression_values import Kind
from footfall.polars_condition import JsonValue
from footfall.taken_closures import AGGREGATES, aggregated, any_taken, counted, picked, previous

Pick = Literal["first", "last"]

MOST_BACK = 1000


class _OfEvents(Expression):
    """A node that reads an expression of events other than the one at hand."""

    __slots__ = ()
    operand: Expression

    def _children(self) -> tuple[Expression, ...]:
        return (self.operand,)

    def _kind(self, schema: pl.Schema) -> Kind:
        if self.operand.depends_on_match:
            raise ExpressionError(f"'{self}' looks at the match twice; ask it of the events' own values")
        return self.operand.kind(schema)

    def _column(self, schema: pl.Schema) -> pl.Expr:  # noqa: ARG002  # no schema has such a column
        raise ExpressionError(f"'{self}' depends on the partial match, so it is no column")

    def _looks_further(self) -> bool:
        return True

    @abstractmethod
    def _compute(self, build: Build) -> Compute: ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PickedEvent(_OfEvents):
    """A value of the first or last event that a stage took, or of the one `offset` places from there."""

    pick: Pick
    stage: str
    offset: int
    operand: Expression

    def _compute(self, build: Build) -> Compute:
        return picked(
            self.stage, self.offset if self.pick == "first" else -1 - self.offset, _slot(build, self)
        )

    def _stages(self) -> frozenset[str]:
        return frozenset((self.stage,))

    def _json(self) -> JsonValue:
        return {self.pick: [self.stage, self.offset, self.operand.to_dict()]}

    def __str__(self) -> str:
        place = f" ({self.offset} {'later' if self.pick == 'first' else 'earlier'})" if self.offset else ""
        return f"{self.operand} of the {self.pick} {self.stage!r}{place}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnyEvent(_OfEvents):
    """A value of some event that a stage took: the comparison or test that it stands in is true of one."""

    stage: str
    operand: Expression

    def _compute(self, build: Build) -> Compute:
        return any_taken(_slot(build, self))

    def _stages(self) -> frozenset[str]:
        return frozenset((self.stage,))

    def _json(self) -> JsonValue:
        return {"any_taken": [self.stage, self.operand.to_dict()]}

    def __str__(self) -> str:
        return f"{self.operand} of any {self.stage!r}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventCount(Expression):
    """How many events a stage took."""

    stage: str
    plus_current: bool

    def _children(self) -> tuple[Expression, ...]:
        return ()

    def _kind(self, schema: pl.Schema) -> Kind:  # noqa: ARG002  # the same under every schema
        return "number"

    def _column(self, schema: pl.Schema) -> pl.Expr:  # noqa: ARG002  # no schema has such a column
        raise ExpressionError(f"'{self}' depends on the partial match, so it is no column")

    def _compute(self, build: Build) -> Compute:  # noqa: ARG002  # it reads no value
        return counted(self.stage, plus_current=self.plus_current)

    def _looks_further(self) -> bool:
        return True

    def _stages(self) -> frozenset[str]:
        return frozenset((self.stage,))

    def _json(self) -> JsonValue:
        return {"event_count": [self.stage, self.plus_current]}

    def __str__(self) -> str:
        return f"number of {self.stage!r}{_with_this(self.plus_current)}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Aggregate(_OfEvents):
    """A figure over the values of all events that a stage took, missing ones left out."""

    WORDS: ClassVar[dict[str, str]] = {
        "count": "number of known values",
        "sum": "sum",
        "min": "smallest",
        "max": "largest",
        "mean": "mean",
        "distinct": "number of different values",
    }
    function: str
    stage: str
    operand: Expression
    plus_current: bool

    def __post_init__(self) -> None:
        if self.function not in AGGREGATES:
            raise ExpressionError(f"{self.function!r} is unknown; use {', '.join(AGGREGATES)}")

    def _kind(self, schema: pl.Schema) -> Kind:
        kind = _OfEvents._kind(self, schema)  # noqa: SLF001  # super() has no cell in a class with slots
        if self.function in ("count", "distinct"):
            return "number"
        if self.function in ("sum", "mean") and kind != "number":
            raise ExpressionError(f"'{self}' adds numbers, and '{self.operand}' is a {kind}")
        if kind == "boolean":
            raise ExpressionError(f"'{self}' asks which of two booleans is greater; count them instead")
        return kind

    def _compute(self, build: Build) -> Compute:
        return aggregated(self.function, self.stage, _slot(build, self), plus_current=self.plus_current)

    def _stages(self) -> frozenset[str]:
        return frozenset((self.stage,))

    def _json(self) -> JsonValue:
        return {"aggregate": [self.function, self.stage, self.operand.to_dict(), self.plus_current]}

    def __str__(self) -> str:
        return (
            f"{self.WORDS[self.function]} of {self.operand} over {self.stage!r}"
            f"{_with_this(self.plus_current)}"
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PreviousEvent(_OfEvents):
    """A value of the visitor's `count`-th event before the one at hand, matched or not."""

    operand: Expression
    count: int

    def _compute(self, build: Build) -> Compute:
        return previous(self.count, _slot(build, self))

    def _json(self) -> JsonValue:
        return {"previous": [self.operand.to_dict(), self.count]}

    def __str__(self) -> str:
        return f"{self.operand} of the event {'before' if self.count == 1 else f'{self.count} before'}"


@dataclass(frozen=True, slots=True)
class TakenEvent:
    """One of a stage's events: its values are made by the methods. Made by `first`, `last` and `any_of`."""

    stage: str
    pick: Pick | Literal["any"]
    offset: int = 0

    def of(self, value: Expression) -> Expression:
        """The value of an expression on that event, which must depend on the event alone."""
        _needs_expression(value)
        if self.pick == "any":
            return AnyEvent(self.stage, value)
        return PickedEvent(self.pick, self.stage, self.offset, value)

    def field(self, name: str) -> Expression:
        """That event's field."""
        return self.of(EventField(name))

    def property_(self, path: str | Sequence[str], type: PropertyKind = "text") -> Expression:  # noqa: A002  # as in property_
        """A value in that event's properties, as `footfall.expression.property_` reads it."""
        return self.of(EventProperty(tuple(path.split(".") if isinstance(path, str) else path), type))


@dataclass(frozen=True, slots=True)
class TakenEvents:
    """All events that a stage took so far. Made by `taken`.

    Each method takes a field's name, or an expression that depends on the event alone; what is missing is left
    out. `plus_current` counts the event at hand too. Over nothing, `count`, `sum` and `distinct` are 0, and
    `min`, `max` and `mean` unknown.
    """

    stage: str

    def count(self, of: str | Expression | None = None, *, plus_current: bool = False) -> Expression:
        """How many events there are; with `of`, how many of them have it."""
        if of is None:
            return EventCount(self.stage, plus_current)
        return Aggregate("count", self.stage, _value(of), plus_current)

    def sum(self, of: str | Expression, *, plus_current: bool = False) -> Expression:
        """The sum, rounded once; unknown if it is too large for a float."""
        return Aggregate("sum", self.stage, _value(of), plus_current)

    def min(self, of: str | Expression, *, plus_current: bool = False) -> Expression:
        """The smallest value; of texts, the first by code points."""
        return Aggregate("min", self.stage, _value(of), plus_current)

    def max(self, of: str | Expression, *, plus_current: bool = False) -> Expression:
        """The largest value."""
        return Aggregate("max", self.stage, _value(of), plus_current)

    def mean(self, of: str | Expression, *, plus_current: bool = False) -> Expression:
        """The sum divided by the number of values."""
        return Aggregate("mean", self.stage, _value(of), plus_current)

    def distinct(self, of: str | Expression, *, plus_current: bool = False) -> Expression:
        """How many different values there are."""
        return Aggregate("distinct", self.stage, _value(of), plus_current)


def first(stage: str, offset: int = 0) -> TakenEvent:
    """The first event that a stage took; with `offset` 1 the second, and so on."""
    return TakenEvent(_stage_name(stage), "first", _back(offset, 0, "offset"))


def last(stage: str, offset: int = 0) -> TakenEvent:
    """The last event that a stage took so far; with `offset` 1 the one before it, and so on."""
    return TakenEvent(_stage_name(stage), "last", _back(offset, 0, "offset"))


def any_of(stage: str) -> TakenEvent:
    """Some event that a stage took: a comparison with its value is true if it is true of one of them.

    Several values of `any_of` one stage in one comparison are of the same event. `~` before the comparison
    asks that it be true of none.
    """
    return TakenEvent(_stage_name(stage), "any")


def taken(stage: str) -> TakenEvents:
    """All events that a stage took so far, for figures over them."""
    return TakenEvents(_stage_name(stage))


def prev(of: str | Expression, n: int = 1) -> Expression:
    """A value of the visitor's `n`-th event before the one at hand, matched or not; unknown if there is none.

    `of` is a field's name, or an expression that depends on the event alone.
    """
    return PreviousEvent(_value(of), _back(n, 1, "n"))


def any_stages(node: Node) -> frozenset[str]:
    """The stages of which a node asks for any event."""
    own = frozenset((node.stage,)) if isinstance(node, AnyEvent) else frozenset[str]()
    return own.union(*(any_stages(child) for child in node.children))


def of_several(node: Node) -> str | None:
    """Why a condition can't be asked, if a comparison in it is with any event of one stage and of another."""
    asked = any_stages(node)
    if len(asked) < 2:
        return None
    if isinstance(node, (AllOf, AnyOf, Not)):
        return next((problem for child in node.children if (problem := of_several(child))), None)
    return f"'{node}' asks for any event of several stages at once; compare with one of them at a time"


def events_back(node: Node) -> int:
    """How many events back `prev` goes in it, at most; 0 where there is no `prev`."""
    own = node.count if isinstance(node, PreviousEvent) else 0
    return max(own, max(map(events_back, node.children), default=0))


def of_match_alone(node: Node) -> str | None:
    """Why a value can't be said of a finished match; None if it can.

    A finished match has no event at hand: each event must be one that a stage took, and one alone.
    """
    match node:
        case AnyEvent():
            return f"'{node}' may be several values; use first, last or an aggregate"
        case PreviousEvent():
            return f"'{node}' is of an event at hand, and a match has none; use first or last"
        case EventCount(plus_current=True) | Aggregate(plus_current=True):
            return f"'{node}' counts an event at hand, and a match has none; leave plus_current out"
        case PickedEvent() | Aggregate() | EventCount() | Constant():
            return None
    if not node.children:
        return f"'{node}' is of no stage; write last('a stage').field(...)"
    return next((problem for child in node.children if (problem := of_match_alone(child))), None)


def _slot(build: Build, node: _OfEvents) -> Callable[[int], object]:
    return build.value_of(node.operand)


def _with_this(plus_current: bool) -> str:  # noqa: FBT001  # a word for a flag
    return " and this event" if plus_current else ""


def _stage_name(stage: object) -> str:
    if not isinstance(stage, str) or not stage.strip():
        raise ExpressionError(f"a stage is named by its text, not {stage!r}")
    return stage


def _back(count: object, least: int, name: str) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or not least <= count <= MOST_BACK:
        raise ExpressionError(f"{name} is a whole number from {least} to {MOST_BACK}, not {count!r}")
    return count


def _value(of: object) -> Expression:
    return EventField(of) if isinstance(of, str) else _needs_expression(of)


def _needs_expression(value: object) -> Expression:
    if not isinstance(value, Expression):
        raise ExpressionError(f"{value!r} is neither a field's name nor an expression")
    return value


Read = Callable[[JsonValue], Expression]

READERS: dict[str, Callable[[JsonValue, Read], Expression]] = {
    "first": lambda body, read: first(body[0], body[1]).of(read(body[2])),
    "last": lambda body, read: last(body[0], body[1]).of(read(body[2])),
    "any_taken": lambda body, read: any_of(body[0]).of(read(body[1])),
    "event_count": lambda body, _: EventCount(_stage_name(body[0]), body[1] is True),
    "aggregate": lambda body, read: Aggregate(body[0], _stage_name(body[1]), read(body[2]), body[3] is True),
    "previous": lambda body, read: prev(read(body[0]), body[1]),
}
"""Reads what `to_dict` of these nodes wrote; the second argument reads the expressions inside."""
