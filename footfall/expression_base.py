"""What every node of the condition language can do: say its type, its columns, its words, and how it is evaluated.

A node is evaluated in two ways. `column` gives a Polars expression, for a whole frame; `compute` gives a
closure, for one event at a time. Both give the same value for the same event: texts are `str`, numbers `int` or
`float` (always finite), booleans `bool`, times whole milliseconds since 1970 in the closure and Polars' own in
the column, and unknown is null and None.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from footfall.envelope import SCHEMA
from footfall.errors import ExpressionError
from footfall.expression_values import Kind, canonical_json
from footfall.polars_condition import JsonValue

Compute = Callable[[Any], Any]
"""Gives a node's value from whatever its `Build` evaluates on: a row, or an event and a partial match."""


class Build(Protocol):
    """How the closures of a tree are made, and what they are given when they run."""

    @property
    def schema(self) -> pl.Schema:
        """The schema of the events."""

    def __call__(self, node: "Node") -> Compute:
        """The closure of a node."""

    def value_of(self, node: "Node") -> Callable[[int], Any]:
        """The value of an event-only expression, by the event's number."""


class Node(ABC):
    """One node: a value that an event has, or a condition on it. Immutable; hashable by meaning."""

    __slots__ = ()

    @property
    def children(self) -> "tuple[Node, ...]":
        """The expressions that this one is made of, from left to right."""
        return self._children()

    def kind(self, schema: pl.Schema) -> Kind:
        """What it gives on a frame of that schema.

        Raises:
            ExpressionError: it can't give anything there: a column is unknown, or types don't go together.
        """
        return self._kind(schema)

    def column(self, schema: pl.Schema) -> pl.Expr:
        """The same in Polars, null where it is unknown, once `kind` has passed.

        Raises:
            ExpressionError: it looks at the partial match, which no column has.
        """
        return self._column(schema)

    def compute(self, build: Build) -> Compute:
        """The same as a closure, None where it is unknown, once `kind` has passed."""
        return self._compute(build)

    def to_dict(self) -> JsonValue:
        """The same as a JSON value, for `expression_from_dict`."""
        return self._json()

    def cure(self, wanted: Kind) -> str:
        """How to write it so that it gives a value of that type, with "; " before it; "" if that can't be told."""
        return next((cure for child in self.children if (cure := child.cure(wanted))), "")

    def columns(self) -> frozenset[str]:
        """The event columns that it reads."""
        return self._reads().union(*(child.columns() for child in self.children))

    def stages(self) -> frozenset[str]:
        """The stages whose events it looks at."""
        return self._stages().union(*(child.stages() for child in self.children))

    @property
    def depends_on_match(self) -> bool:
        """Whether the answer needs more than the event at hand, so that it can't be a column."""
        return self._looks_further() or any(child.depends_on_match for child in self.children)

    @abstractmethod
    def _children(self) -> "tuple[Node, ...]": ...

    @abstractmethod
    def _kind(self, schema: pl.Schema) -> Kind: ...

    @abstractmethod
    def _column(self, schema: pl.Schema) -> pl.Expr: ...

    @abstractmethod
    def _compute(self, build: Build) -> Compute: ...

    @abstractmethod
    def _json(self) -> JsonValue: ...

    def _reads(self) -> frozenset[str]:
        return frozenset()

    def _stages(self) -> frozenset[str]:
        return frozenset()

    def _looks_further(self) -> bool:
        return False

    def check(self, schema: pl.Schema = SCHEMA) -> None:
        """Make sure that it is a condition on events of that schema.

        Raises:
            ExpressionError: a column is unknown, types don't go together, or it isn't true or false.
        """
        kind = self.kind(schema)
        if kind != "boolean":
            raise ExpressionError(f"'{self}' is a {kind}, and a condition must be true or false; compare it")

    def to_polars(self, schema: pl.Schema = SCHEMA) -> pl.Expr:
        """The condition as a Boolean Polars expression without nulls: unknown is not true.

        Raises:
            ExpressionError: as `check` does, and if it looks at the partial match.
        """
        self.check(schema)
        return self.column(schema).fill_null(False)

    def to_closure(self, schema: pl.Schema = SCHEMA) -> Callable[[Mapping[str, Any]], bool]:
        """The condition as a function of one event, a mapping from its columns to their values.

        It says what `to_polars` says of the same row (as `DataFrame.to_dicts` gives it).

        Raises:
            ExpressionError: as `check` does, and if it looks at the partial match.
        """
        self.check(schema)
        answer = self.compute(RowBuild(schema))
        return lambda row: answer(row) is True

    def key(self) -> str:
        """Its meaning as canonical JSON: the order of what `&` and `|` join doesn't matter."""
        return canonical_json(self.to_dict())

    def same_as(self, other: "Node") -> bool:
        """Whether both mean the same."""
        return self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def __bool__(self) -> bool:
        raise ExpressionError(
            f"'{self}' is a condition on events to come, not true or false now; write & for 'and', "
            "| for 'or', ~ for 'not', each comparison in parentheses, .is_in([...]) for 'in', and "
            "(1 < x) & (x < 5) for 1 < x < 5"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


@dataclass(frozen=True, slots=True)
class RowBuild:
    """Makes closures that are given one event's row: a mapping from columns to their values."""

    schema: pl.Schema

    def __call__(self, node: Node) -> Compute:
        """The closure of a node."""
        return node.compute(self)

    def value_of(self, node: Node) -> Callable[[int], Any]:
        """There are no other events.

        Raises:
            ExpressionError: always.
        """
        raise ExpressionError(f"'{node}' is asked of the partial match, and there is only an event")
