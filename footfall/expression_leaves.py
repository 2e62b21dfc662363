"""The nodes that read an event: its fields, its properties, and what is written in Polars itself."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import polars as pl

from footfall.envelope import FIELD_BY_NAME, MILLIONTHS, TIME
from footfall.errors import ExpressionError
from footfall.event_property import PropertyKind, PropertyPath, property_reader
from footfall.expression_base import Build, Compute
from footfall.expression_closures import finite
from footfall.expression_nodes import Leaf
from footfall.expression_values import Kind, epoch_ms, kind_of
from footfall.polars_condition import JsonValue, boolean_problem, polars_expression_json

Row = Mapping[str, Any]

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
        dtype = schema[self.name]
        if self._is_money(schema):
            return column / MILLIONTHS
        if isinstance(dtype, (pl.Categorical, pl.Enum)):
            return column.cast(pl.String)
        if dtype.is_float():
            return pl.when(column.is_finite()).then(column.cast(pl.Float64))
        return column.cast(TIME) if dtype.is_temporal() and dtype != TIME else column

    def _compute(self, build: Build) -> Compute:
        name = self.name
        if self._is_money(build.schema):
            return _known(name, lambda value: float(value) / MILLIONTHS)
        dtype = build.schema[name]
        if dtype.is_float():
            return _known(name, finite)
        return _known(name, epoch_ms) if dtype.is_temporal() else lambda row: row[name]

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

    def cure(self, wanted: Kind) -> str:
        """It with another type."""
        if wanted == self.type or wanted not in _DTYPES:
            return ""
        path = json.dumps(list(self.path) if any("." in name for name in self.path) else ".".join(self.path))
        return f'; write property_({path}, "{wanted}")'

    def read_all(self, documents: pl.Series) -> pl.Series:
        """The value in each of the documents."""
        read = property_reader(self.path, self.type)
        return pl.Series(
            documents.name, [read(text) for text in documents.to_list()], dtype=_DTYPES[self.type]
        )

    def _column(self, schema: pl.Schema) -> pl.Expr:  # noqa: ARG002  # properties are one text column
        dtype = _DTYPES[self.type]
        return pl.col("properties").map_batches(self.read_all, return_dtype=dtype, is_elementwise=True)

    def _compute(self, build: Build) -> Compute:  # noqa: ARG002  # properties are one text column
        return _known("properties", property_reader(self.path, self.type))

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

    def _compute(self, build: Build) -> Compute:
        # Polars alone knows what it means, so it is asked about a frame of one row.
        names = sorted(self.columns())
        schema = pl.Schema({name: build.schema[name] for name in names})

        def answer(row: Row) -> bool | None:
            frame = pl.DataFrame({name: [row[name]] for name in names}, schema=schema)
            found: bool | None = frame.select(self.expr).item()
            return found

        return answer

    def _reads(self) -> frozenset[str]:
        return frozenset(self.expr.meta.root_names())

    def _json(self) -> JsonValue:
        return {"polars": polars_expression_json(self.expr), "words": self.words}

    def __str__(self) -> str:
        return self.words


def _known(name: str, read: Callable[[Any], Any]) -> Compute:
    def value(row: Row) -> Any:
        raw = row[name]
        return None if raw is None else read(raw)

    return value
