"""The nodes of the condition language: what they mean, how they are evaluated, how they print.

Pattern authors use `footfall.expression`, which says what the language means and makes the first node of
every condition; the operators and methods here make the others.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import polars as pl

from footfall import expression_closures as closures
from footfall.envelope import TIME
from footfall.errors import ExpressionError
from footfall.expression_base import Build, Compute, Node
from footfall.expression_values import Kind, Scalar, epoch_ms, plain_value
from footfall.polars_condition import JsonValue


class Expression(Node):
    """A node, with the operators and methods that build larger ones from it.

    Because `==` builds a condition, an equal expression isn't found in a set or a dict: use `key()` there.
    """

    __slots__ = ()

    @property
    def children(self) -> "tuple[Expression, ...]":
        """The expressions that this one is made of, from left to right."""
        return self._children()

    @abstractmethod
    def _children(self) -> "tuple[Expression, ...]": ...

    def is_null(self) -> "Expression":
        """Whether the event lacks it; never unknown."""
        return NullTest(self, absent=True)

    def is_not_null(self) -> "Expression":
        """Whether the event has it; never unknown."""
        return NullTest(self, absent=False)

    def is_in(self, values: Iterable[Scalar]) -> "Expression":
        """Whether it is one of these values, all of one type; of none, if the list is empty."""
        if isinstance(values, str):
            raise ExpressionError(f"is_in takes a list of values; write is_in([{values!r}])")
        return Membership(self, tuple(Constant(plain_value(value)) for value in values))

    def starts_with(self, text: str) -> "Expression":
        """Whether the text begins with `text`, letter for letter."""
        return TextTest("starts_with", self, text)

    def ends_with(self, text: str) -> "Expression":
        """Whether the text ends with `text`, letter for letter."""
        return TextTest("ends_with", self, text)

    def contains(self, text: str) -> "Expression":
        """Whether `text` stands in the text, letter for letter; it is no regular expression."""
        return TextTest("contains", self, text)

    def lower(self) -> "Expression":
        """The text in lower case."""
        return LowerCase(self)

    def __eq__(self, other: object) -> "Expression":  # type: ignore[override]  # == builds a condition
        return Comparison("==", self, constant(other))

    def __ne__(self, other: object) -> "Expression":  # type: ignore[override]  # != builds a condition
        return Comparison("!=", self, constant(other))

    def __lt__(self, other: object) -> "Expression":
        return Comparison("<", self, constant(other))

    def __le__(self, other: object) -> "Expression":
        return Comparison("<=", self, constant(other))

    def __gt__(self, other: object) -> "Expression":
        return Comparison(">", self, constant(other))

    def __ge__(self, other: object) -> "Expression":
        return Comparison(">=", self, constant(other))

    __hash__ = Node.__hash__

    def __add__(self, other: object) -> "Expression":
        return Arithmetic("+", self, constant(other))

    def __radd__(self, other: object) -> "Expression":
        return Arithmetic("+", constant(other), self)

    def __sub__(self, other: object) -> "Expression":
        return Arithmetic("-", self, constant(other))

    def __rsub__(self, other: object) -> "Expression":
        return Arithmetic("-", constant(other), self)

    def __mul__(self, other: object) -> "Expression":
        return Arithmetic("*", self, constant(other))

    def __rmul__(self, other: object) -> "Expression":
        return Arithmetic("*", constant(other), self)

    def __truediv__(self, other: object) -> "Expression":
        return Arithmetic("/", self, constant(other))

    def __rtruediv__(self, other: object) -> "Expression":
        return Arithmetic("/", constant(other), self)

    def __neg__(self) -> "Expression":
        return Arithmetic("-", constant(0), self)

    def __and__(self, other: object) -> "Expression":
        return AllOf(_operands(AllOf, self, other, "&"))

    def __rand__(self, other: object) -> "Expression":
        return AllOf(_operands(AllOf, other, self, "&"))

    def __or__(self, other: object) -> "Expression":
        return AnyOf(_operands(AnyOf, self, other, "|"))

    def __ror__(self, other: object) -> "Expression":
        return AnyOf(_operands(AnyOf, other, self, "|"))

    def __invert__(self) -> "Expression":
        return Not(self)


class Leaf(Expression):
    """A node without operands."""

    __slots__ = ()

    def _children(self) -> tuple[Expression, ...]:
        return ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Constant(Leaf):
    """A value that stands in the pattern. Made by `constant`."""

    value: Scalar

    def _kind(self, schema: pl.Schema) -> Kind:  # noqa: ARG002  # the same under every schema
        match self.value:
            case bool():
                return "boolean"
            case str():
                return "text"
            case datetime():
                return "time"
            case _:
                return "number"

    def _column(self, schema: pl.Schema) -> pl.Expr:  # noqa: ARG002  # the same under every schema
        if isinstance(self.value, datetime):
            return pl.lit(epoch_ms(self.value)).cast(TIME)
        return pl.lit(self.value)

    def _compute(self, build: Build) -> Compute:  # noqa: ARG002  # the same everywhere
        value = epoch_ms(self.value) if isinstance(self.value, datetime) else self.value
        return lambda _: value

    def _json(self) -> JsonValue:
        return {"time": epoch_ms(self.value)} if isinstance(self.value, datetime) else self.value

    def __str__(self) -> str:
        return self.value.isoformat() if isinstance(self.value, datetime) else repr(self.value)


COMPARE: dict[str, tuple[str, Callable[[pl.Expr, pl.Expr], pl.Expr]]] = {
    "==": ("is", lambda left, right: left == right),
    "!=": ("is not", lambda left, right: left != right),
    "<": ("is less than", lambda left, right: left < right),
    "<=": ("is at most", lambda left, right: left <= right),
    ">": ("is greater than", lambda left, right: left > right),
    ">=": ("is at least", lambda left, right: left >= right),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Binary(Expression):
    operator: str
    left: Expression
    right: Expression

    def _children(self) -> tuple[Expression, ...]:
        return (self.left, self.right)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison(_Binary):
    """Two values of one type compared; texts by their characters' code points."""

    def _kind(self, schema: pl.Schema) -> Kind:
        left, right = self.left.kind(schema), self.right.kind(schema)
        if left != right:
            cure = self.left.cure(right) or self.right.cure(left) or "; compare values of one type"
            raise ExpressionError(f"'{self}' compares a {left} with a {right}{cure}")
        if left == "boolean" and self.operator not in ("==", "!="):
            raise ExpressionError(f"'{self}' asks which of two booleans is greater; use == or !=")
        return "boolean"

    def _column(self, schema: pl.Schema) -> pl.Expr:
        return COMPARE[self.operator][1](self.left.column(schema), self.right.column(schema))

    def _compute(self, build: Build) -> Compute:
        return closures.compared(self.operator, build(self.left), build(self.right))

    def _json(self) -> JsonValue:
        return {"compare": [self.left.to_dict(), self.operator, self.right.to_dict()]}

    def __str__(self) -> str:
        return f"{_inner(self.left)} {COMPARE[self.operator][0]} {_inner(self.right)}"


COMPUTE: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Arithmetic(_Binary):
    """Numbers computed in 64-bit floats, or two times subtracted, which gives milliseconds."""

    def _kind(self, schema: pl.Schema) -> Kind:
        kinds = (self.left.kind(schema), self.right.kind(schema))
        if kinds != ("number", "number") and not (kinds == ("time", "time") and self.operator == "-"):
            cure = self.cure("number") or "; use numbers"
            raise ExpressionError(f"'{self}' computes with a {kinds[0]} and a {kinds[1]}{cure}")
        return "number"

    def _column(self, schema: pl.Schema) -> pl.Expr:
        left, right = self.left.column(schema), self.right.column(schema)
        if self.left.kind(schema) == "time":
            return (left - right).dt.total_milliseconds().cast(pl.Float64)
        result = COMPUTE[self.operator](left.cast(pl.Float64), right.cast(pl.Float64))
        return pl.when(result.is_finite()).then(result)

    def _compute(self, build: Build) -> Compute:
        return closures.computed(self.operator, build(self.left), build(self.right))

    def _json(self) -> JsonValue:
        return {"arithmetic": [self.left.to_dict(), self.operator, self.right.to_dict()]}

    def __str__(self) -> str:
        return f"{_inner(self.left)} {self.operator} {_inner(self.right)}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Unary(Expression):
    operand: Expression

    def _children(self) -> tuple[Expression, ...]:
        return (self.operand,)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LowerCase(_Unary):
    """A text in lower case (Unicode's simple rules)."""

    def _kind(self, schema: pl.Schema) -> Kind:
        return _needs_text(self.operand, schema, str(self))

    def cure(self, wanted: Kind) -> str:  # noqa: ARG002  # a text is all that it can give
        """Nothing: it is a text whatever its operand."""
        return ""

    def _column(self, schema: pl.Schema) -> pl.Expr:
        return self.operand.column(schema).str.to_lowercase()

    def _compute(self, build: Build) -> Compute:
        return closures.lower_case(build(self.operand))

    def _json(self) -> JsonValue:
        return {"lower_case": self.operand.to_dict()}

    def __str__(self) -> str:
        return f"{_inner(self.operand)} in lower case"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TextTest(Expression):
    """Whether a text starts with, ends with or contains another, letter for letter."""

    WORDS: ClassVar[dict[str, str]] = {
        "starts_with": "starts with",
        "ends_with": "ends with",
        "contains": "contains",
    }
    test: str
    operand: Expression
    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ExpressionError(f"{self.test} takes a text, not {self.text!r}")

    def _children(self) -> tuple[Expression, ...]:
        return (self.operand,)

    def _kind(self, schema: pl.Schema) -> Kind:
        _needs_text(self.operand, schema, str(self))
        return "boolean"

    def _column(self, schema: pl.Schema) -> pl.Expr:
        text = self.operand.column(schema).str
        match self.test:
            case "starts_with":
                return text.starts_with(self.text)
            case "ends_with":
                return text.ends_with(self.text)
            case _:
                return text.contains(self.text, literal=True)

    def _compute(self, build: Build) -> Compute:
        return closures.text_tested(self.test, build(self.operand), self.text)

    def _json(self) -> JsonValue:
        return {self.test: [self.operand.to_dict(), self.text]}

    def __str__(self) -> str:
        return f"{_inner(self.operand)} {self.WORDS[self.test]} {self.text!r}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NullTest(_Unary):
    """Whether a value is missing, or is there."""

    absent: bool

    def _kind(self, schema: pl.Schema) -> Kind:
        self.operand.kind(schema)
        return "boolean"

    def _column(self, schema: pl.Schema) -> pl.Expr:
        value = self.operand.column(schema)
        return value.is_null() if self.absent else value.is_not_null()

    def _compute(self, build: Build) -> Compute:
        return closures.null_tested(build(self.operand), absent=self.absent)

    def _json(self) -> JsonValue:
        return {"is_null" if self.absent else "is_not_null": self.operand.to_dict()}

    def __str__(self) -> str:
        return f"{_inner(self.operand)} is {'missing' if self.absent else 'given'}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Membership(_Unary):
    """Whether a value is one of several constants of its type."""

    values: tuple[Constant, ...]

    def _kind(self, schema: pl.Schema) -> Kind:
        kind = self.operand.kind(schema)
        for value in self.values:
            if value.kind(schema) != kind:
                found = value.kind(schema)
                cure = self.operand.cure(found)
                raise ExpressionError(f"'{self}' looks for {value}, a {found}, in a {kind}{cure}")
        return "boolean"

    def _column(self, schema: pl.Schema) -> pl.Expr:
        operand = self.operand.column(schema)
        if not self.values:
            return pl.when(operand.is_not_null()).then(False)
        if self.operand.kind(schema) == "text":
            return operand.is_in([value.value for value in self.values])
        return pl.any_horizontal([operand == value.column(schema) for value in self.values])

    def _compute(self, build: Build) -> Compute:
        return closures.is_one_of(build(self.operand), [build(value) for value in self.values])

    def _json(self) -> JsonValue:
        return {"is_in": [self.operand.to_dict(), [value.to_dict() for value in self.values]]}

    def __str__(self) -> str:
        return f"{_inner(self.operand)} is one of {', '.join(map(str, self.values)) or 'no values'}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Logic(Expression):
    OPERATOR: ClassVar[str]
    WORD: ClassVar[str]
    NAME: ClassVar[str]
    operands: tuple[Expression, ...]

    def _children(self) -> tuple[Expression, ...]:
        return self.operands

    def _kind(self, schema: pl.Schema) -> Kind:
        for operand in self.operands:
            _needs_condition(operand, schema, self.OPERATOR)
        return "boolean"

    def _json(self) -> JsonValue:
        return {self.NAME: [operand.to_dict() for operand in self.operands]}

    def __str__(self) -> str:
        return f" {self.WORD} ".join(
            f"({operand})" if isinstance(operand, _Logic) else str(operand) for operand in self.operands
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AllOf(_Logic):
    """True if every operand is; false if one is false; else unknown."""

    OPERATOR, WORD, NAME = "&", "and", "all"

    def _column(self, schema: pl.Schema) -> pl.Expr:
        return pl.all_horizontal([operand.column(schema) for operand in self.operands])

    def _compute(self, build: Build) -> Compute:
        return closures.all_are_true([build(operand) for operand in self.operands])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AnyOf(_Logic):
    """True if an operand is; false if every one is false; else unknown."""

    OPERATOR, WORD, NAME = "|", "or", "any"

    def _column(self, schema: pl.Schema) -> pl.Expr:
        return pl.any_horizontal([operand.column(schema) for operand in self.operands])

    def _compute(self, build: Build) -> Compute:
        return closures.one_is_true([build(operand) for operand in self.operands])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Not(_Unary):
    """True if the operand is false; unknown stays unknown."""

    def _kind(self, schema: pl.Schema) -> Kind:
        _needs_condition(self.operand, schema, "~")
        return "boolean"

    def _column(self, schema: pl.Schema) -> pl.Expr:
        return self.operand.column(schema).not_()

    def _compute(self, build: Build) -> Compute:
        return closures.negated(build(self.operand))

    def _json(self) -> JsonValue:
        return {"not": self.operand.to_dict()}

    def __str__(self) -> str:
        return f"not ({self.operand})"


def constant(value: object) -> Expression:
    """The value as an expression; an expression stays itself.

    Raises:
        ExpressionError: as `plain_value` does.
    """
    return value if isinstance(value, Expression) else Constant(plain_value(value))


def _operands(node: type[_Logic], left: object, right: object, operator: str) -> tuple[Expression, ...]:
    found: list[Expression] = []
    for side in (left, right):
        if isinstance(side, pl.Expr):
            found.append(_polars(side))
            continue
        if not isinstance(side, Expression):
            raise ExpressionError(
                f"{side!r} stands beside {operator}, which joins conditions; put each in parentheses: "
                f'(event == "click") {operator} (field("x") > 3)'
            )
        found.extend(side.children if isinstance(side, node) else (side,))
    return tuple(found)


def _polars(side: pl.Expr) -> Expression:
    from footfall.expression import polars_condition  # noqa: PLC0415 - that module is built on this one

    return polars_condition(side)


def _needs_text(operand: Expression, schema: pl.Schema, words: str) -> Kind:
    kind = operand.kind(schema)
    if kind != "text":
        raise ExpressionError(f"'{words}' needs a text, and '{operand}' is a {kind}")
    return kind


def _needs_condition(operand: Expression, schema: pl.Schema, operator: str) -> None:
    kind = operand.kind(schema)
    if kind != "boolean":
        raise ExpressionError(f"{operator} joins conditions, and '{operand}' is a {kind}; compare it first")


def _inner(operand: Expression) -> str:
    loose = isinstance(operand, (_Binary, _Logic, TextTest, NullTest, Membership, Not))
    return f"({operand})" if loose else str(operand)
