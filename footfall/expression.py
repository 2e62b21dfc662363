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
from dataclasses import dataclass
from difflib import get_close_matches

import polars as pl

from footfall.envelope import FIELD_BY_NAME, MILLIONTHS
from footfall.errors import ExpressionError
from footfall.event_property import PropertyKind, PropertyPath, property_reader
from footfall.expression_nodes import (
    COMPARE,
    COMPUTE,
    AllOf,
    AnyOf,
    Arithmetic,
    Comparison,
    Constant,
    Expression,
    Leaf,
    LowerCase,
    Membership,
    Not,
    NullTest,
    TextTest,
    constant,
)
from footfall.expression_values import Kind, kind_of, plain_value, time_from_ms
from footfall.polars_condition import (
    JsonValue,
    boolean_problem,
    not_row_by_row,
    polars_expression_from_json,
    polars_expression_json,
)

__all__ = [
    "EventField",
    "EventProperty",
    "Expression",
    "PolarsCondition",
    "constant",
    "event",
    "expression_from_dict",
    "field",
    "polars_condition",
    "property_",
]

_DTYPES: dict[PropertyKind, pl.DataType] = {
    "text": pl.String(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventField(Leaf):
    """A field of the event, by its name in the envelope. Made by `field`."""

    name: str

    def _kind(self, schema: pl.Schema) -> Kind:
        dtype = schema.get(self.name)
        if dtype is None:
            close = get_close_matches(self.name, schema.names(), n=1, cutoff=0.5)
            guess = f"did you mean {close[0]!r}? " if close else ""
            raise ExpressionError(
                f"events have no field {self.name!r}; {guess}Fields outside the envelope are properties: "
                f"write property_({self.name!r})"
            )
        kind = kind_of(dtype)
        if kind is None:
            raise ExpressionError(f"field {self.name!r} is {dtype}, which conditions can't read")
        return kind

    def _column(self, schema: pl.Schema) -> pl.Expr:
        column = pl.col(self.name)
        if self._is_money(schema):
            return column / MILLIONTHS
        return column.cast(pl.String) if isinstance(schema[self.name], (pl.Categorical, pl.Enum)) else column

    def _is_money(self, schema: pl.Schema) -> bool:
        known = FIELD_BY_NAME.get(self.name)
        return known is not None and known.sent == "money" and schema[self.name] == known.dtype

    def _reads(self) -> frozenset[str]:
        return frozenset((self.name,))

    def _json(self) -> JsonValue:
        return {"field": self.name}

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventProperty(Leaf):
    """A value inside the event's JSON properties. Made by `property_`."""

    path: PropertyPath
    type: PropertyKind

    def __post_init__(self) -> None:
        if not self.path or "" in self.path:
            raise ExpressionError(f"a property's path is one or more names; {self.path!r} isn't")
        if self.type not in _DTYPES:
            raise ExpressionError(f"a property's type is text, number or boolean, not {self.type!r}")

    def _kind(self, schema: pl.Schema) -> Kind:
        if schema.get("properties") != pl.String:
            raise ExpressionError(f"'{self}' needs a text column 'properties' with JSON")
        return self.type

    def _column(self, schema: pl.Schema) -> pl.Expr:  # noqa: ARG002  # properties are one text column
        read = property_reader(self.path, self.type)
        dtype = _DTYPES[self.type]

        def read_all(documents: pl.Series) -> pl.Series:
            return pl.Series(documents.name, [read(text) for text in documents.to_list()], dtype=dtype)

        return pl.col("properties").map_batches(read_all, return_dtype=dtype, is_elementwise=True)

    def _reads(self) -> frozenset[str]:
        return frozenset(("properties",))

    def _json(self) -> JsonValue:
        return {"property": list(self.path), "type": self.type}

    def __str__(self) -> str:
        return f"property {'.'.join(self.path)}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PolarsCondition(Leaf):
    """A Boolean Polars expression as it stands, for what the language lacks. Made by `polars_condition`."""

    expr: pl.Expr
    words: str

    def _kind(self, schema: pl.Schema) -> Kind:
        for name in sorted(self.columns()):
            if name not in schema:
                EventField(name).kind(schema)
        problem = boolean_problem(self.expr, schema)
        if problem:
            raise ExpressionError(f"'{self}': {problem}")
        return "boolean"

    def _column(self, schema: pl.Schema) -> pl.Expr:  # noqa: ARG002  # it names its columns itself
        return self.expr

    def _reads(self) -> frozenset[str]:
        return frozenset(self.expr.meta.root_names())

    def _json(self) -> JsonValue:
        return {"polars": polars_expression_json(self.expr), "words": self.words}

    def __str__(self) -> str:
        return self.words


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


def polars_condition(expr: pl.Expr, *, words: str) -> PolarsCondition:
    """A condition written in Polars, for what the language lacks; `words` is how it prints.

    It reads the columns as they are (`value` in millionths), and must answer each event from that event
    alone.

    Raises:
        ExpressionError: it looks at other rows, calls Python, or casts strictly.
    """
    try:
        problem = not_row_by_row(polars_expression_json(expr))
    except ValueError as error:
        problem = str(error)
    if problem:
        raise ExpressionError(f"'{words}': {problem}")
    return PolarsCondition(expr, words)


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
}


event = field("event")
