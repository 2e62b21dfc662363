"""The language in which patterns say what an event must be like: small immutable expressions.

    event == "click"
    (event == "page_view") & field("path").starts_with("/book")
    property_("price", "number") > 99.5

A comparison with a missing value is unknown, unknown is carried by Kleene's logic (`&`, `|`, `~`), and at the
top unknown is not true. Money (`value`) reads in units of its currency, as it was sent. Arithmetic is done in
64-bit floats, and a result that isn't finite (a division by zero) is unknown.

`==` builds a condition, so two expressions are compared by `same_as`, and `key()` is what to put in a dict.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import polars as pl

from footfall.errors import ExpressionError
from footfall.event_property import PropertyKind
from footfall.expression_leaves import EventField, EventProperty, PolarsCondition
from footfall.expression_nodes import (
    COMPARE,
    COMPUTE,
    AllOf,
    AnyOf,
    Arithmetic,
    Comparison,
    Constant,
    Expression,
    LowerCase,
    Membership,
    Not,
    NullTest,
    TextTest,
    constant,
)
from footfall.expression_values import plain_value, time_from_ms
from footfall.polars_condition import (
    JsonValue,
    not_row_by_row,
    polars_expression_from_json,
    polars_expression_json,
)
from footfall.taken_events import READERS as TAKEN_READERS

__all__ = [
    "Condition",
    "EventField",
    "EventProperty",
    "Expression",
    "PolarsCondition",
    "as_condition",
    "constant",
    "event",
    "expression_from_dict",
    "field",
    "polars_condition",
    "property_",
    "subtype",
]

Condition: TypeAlias = Expression | pl.Expr
"""What a stage takes as its condition: the language's own, or a Polars expression for what it lacks."""


def field(name: str) -> EventField:
    """The event's field of that name (see `footfall.envelope.FIELDS`)."""
    return EventField(name)


def property_(path: str | Sequence[str], type: PropertyKind = "text") -> EventProperty:  # noqa: A002  # reads best
    """A value in the event's properties, by its path: "service", "product.id", "products.0.id".

    Where a name itself has a dot in it, give the path as a list of names. A step of digits takes an item of a
    list (from 0). What `type` asks for and the event doesn't have is unknown: "text" takes texts and whole
    numbers, "number" takes numbers and texts that are one, "boolean" takes true and false.
    """
    return EventProperty(tuple(path.split(".") if isinstance(path, str) else path), type)


def polars_condition(expr: pl.Expr, *, words: str | None = None) -> PolarsCondition:
    """A condition written in Polars, for what the language lacks; `words` is how it prints, Polars' own if None.

    It reads the columns as they are (`value` in millionths), and must answer each event from that event
    alone.

    Raises:
        ExpressionError: it looks at other rows, calls Python, or casts strictly.
    """
    words = words or " ".join(str(expr).split())
    try:
        problem = not_row_by_row(polars_expression_json(expr))
    except ValueError as error:
        problem = str(error)
    if problem:
        raise ExpressionError(f"'{words}': {problem}")
    return PolarsCondition(expr, words)


def as_condition(condition: Condition) -> Expression:
    """The condition as the language has it; a Polars expression is taken as it is.

    Raises:
        ExpressionError: `polars_condition` refuses it.
    """
    return polars_condition(condition) if isinstance(condition, pl.Expr) else condition


def subtype(*names: str) -> Expression:
    """Whether the event is of one of these types, or of a subtype of one.

    The type is in the event's name: `booking_started` is a subtype of `booking`.

    Raises:
        ExpressionError: there is no name, or an empty one.
    """
    if not names or "" in names:
        raise ExpressionError("subtype takes names of events, such as 'booking'")
    own = event.is_in(names)
    return AnyOf((own, *(event.starts_with(f"{name}_") for name in names)))


def expression_from_dict(data: JsonValue) -> Expression:
    """The expression that `to_dict` wrote.

    Raises:
        ExpressionError: it is no such value.
    """
    if isinstance(data, (str, int, float)):
        return Constant(plain_value(data))
    name = next(iter(data)) if isinstance(data, dict) and data else None
    read = _READERS.get(str(name))
    if read is None:
        raise ExpressionError(f"{json.dumps(data)[:80]} is no expression")
    try:
        return read(data)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ExpressionError(f"{json.dumps(data)[:80]} is no expression: {error}") from error


def _read_binary(
    build: type[Comparison] | type[Arithmetic], body: JsonValue, known: Iterable[str]
) -> Expression:
    left, operator, right = body
    if operator not in known:
        raise ValueError(f"unknown operator {operator!r}")
    return build(operator, expression_from_dict(left), expression_from_dict(right))


def _read_logic(build: type[AllOf] | type[AnyOf], body: JsonValue) -> Expression:
    operands = tuple(expression_from_dict(item) for item in body)
    if not operands:
        raise ValueError("it has no operands")
    return build(operands)


def _read_membership(operand: JsonValue, values: JsonValue) -> Expression:
    constants = tuple(expression_from_dict(value) for value in values)
    if not all(isinstance(value, Constant) for value in constants):
        raise ValueError("is_in takes plain values")
    return Membership(expression_from_dict(operand), tuple(v for v in constants if isinstance(v, Constant)))


def _text_reader(test: str) -> Callable[[JsonValue], Expression]:
    return lambda data: TextTest(test, expression_from_dict(data[test][0]), data[test][1])


def _taken_reader(name: str) -> Callable[[JsonValue], Expression]:
    return lambda data: TAKEN_READERS[name](data[name], expression_from_dict)


_READERS: dict[str, Callable[[JsonValue], Expression]] = {
    "field": lambda data: EventField(str(data["field"])),
    "property": lambda data: EventProperty(tuple(data["property"]), data["type"]),
    "time": lambda data: Constant(time_from_ms(data["time"])),
    "compare": lambda data: _read_binary(Comparison, data["compare"], COMPARE),
    "arithmetic": lambda data: _read_binary(Arithmetic, data["arithmetic"], COMPUTE),
    "lower_case": lambda data: LowerCase(expression_from_dict(data["lower_case"])),
    "is_null": lambda data: NullTest(expression_from_dict(data["is_null"]), absent=True),
    "is_not_null": lambda data: NullTest(expression_from_dict(data["is_not_null"]), absent=False),
    "is_in": lambda data: _read_membership(*data["is_in"]),
    "all": lambda data: _read_logic(AllOf, data["all"]),
    "any": lambda data: _read_logic(AnyOf, data["any"]),
    "not": lambda data: Not(expression_from_dict(data["not"])),
    "polars": lambda data: PolarsCondition(polars_expression_from_json(data["polars"]), str(data["words"])),
    **{test: _text_reader(test) for test in TextTest.WORDS},
    **{name: _taken_reader(name) for name in TAKEN_READERS},
}


event = field("event")
