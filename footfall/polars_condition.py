"""Which Polars expressions may stand as a condition: those whose answer for a row depends on that row alone.

Polars' own `meta.is_row_separable` takes `shift` and `sum().over()` for row by row, so the expression's tree
is read instead, and only what is known to be safe is let through. That also keeps code (Python functions,
plugins) out of patterns that come as JSON.
"""

import io
import json
from typing import Any, TypeAlias

import polars as pl
from polars.exceptions import PolarsError

# What json.loads gives.
JsonValue: TypeAlias = Any

_BOOLEAN = {
    "Not", "IsNull", "IsNotNull", "IsNan", "IsNotNan", "IsFinite", "IsInfinite", "IsBetween", "IsIn",
    "IsClose", "AnyHorizontal", "AllHorizontal",
}  # fmt: skip
_TEXT = {
    "Contains", "StartsWith", "EndsWith", "ContainsAny", "Lowercase", "Uppercase", "LenChars", "LenBytes",
    "Slice", "Head", "Tail", "Extract", "Find", "JsonPathMatch", "StripChars", "StripCharsStart",
    "StripCharsEnd", "StripPrefix", "StripSuffix", "Replace", "ReplaceAll", "ConcatHorizontal",
    "CountMatches",
}  # fmt: skip
_TIME = {
    "Year", "Month", "Day", "Hour", "Minute", "Second", "Millisecond", "WeekDay", "OrdinalDay", "Week",
    "Quarter", "IsoYear", "Date", "Time", "TotalDays", "TotalHours", "TotalMinutes", "TotalSeconds",
    "TotalMilliseconds", "ConvertTimeZone",
}  # fmt: skip
_FAMILIES = {"Boolean": _BOOLEAN, "StringExpr": _TEXT, "TemporalExpr": _TIME}
_FUNCTIONS = {
    "Abs", "Negate", "FillNull", "Coalesce", "Clip", "Round", "Floor", "Ceil", "Sign", "Pow", "Log",
    "MaxHorizontal", "MinHorizontal",
}  # fmt: skip


def polars_expression_json(expr: pl.Expr) -> JsonValue:
    """The expression as Polars serialises it, as a JSON value.

    Raises:
        ValueError: it has no such form (it calls a Python function, say).
    """
    try:
        return json.loads(expr.meta.serialize(format="json"))
    except (PolarsError, ValueError, TypeError) as error:
        raise ValueError(f"it has no serialised form ({_first_line(error)})") from error


def polars_expression_from_json(tree: JsonValue) -> pl.Expr:
    """The expression again, from `polars_expression_json`'s value; nothing but row-by-row parts is read.

    Raises:
        ValueError: a part isn't allowed in a condition, or this version of Polars can't read it.
    """
    try:
        problem = not_row_by_row(tree)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("it isn't in the form in which Polars serialises an expression") from error
    if problem:
        raise ValueError(problem)
    try:
        return pl.Expr.deserialize(io.StringIO(json.dumps(tree)), format="json")
    except (PolarsError, ValueError, TypeError) as error:
        raise ValueError(f"this version of Polars can't read it ({_first_line(error)})") from error


def not_row_by_row(tree: JsonValue) -> str | None:
    """What in the serialised expression keeps it from being answered row by row; None if nothing does."""
    if not isinstance(tree, dict) or len(tree) != 1:
        return f"{_short(tree)} isn't allowed in a condition"
    ((kind, body),) = tree.items()
    if kind in ("Column", "Literal"):
        return None
    if kind == "Cast" and body.get("options") == "Strict":
        return "a strict cast ends the run at the first value that doesn't fit; write cast(..., strict=False)"
    parts = _parts(kind, body)
    if parts is None:
        return f"{_function_name(kind, body)} isn't allowed in a condition: it doesn't answer row by row"
    return next((problem for part in parts if (problem := not_row_by_row(part))), None)


def boolean_problem(expr: pl.Expr, schema: pl.Schema) -> str | None:
    """Why the expression gives no Boolean on a frame of that schema; None if it does."""
    empty_row = pl.DataFrame({name: pl.Series([None], dtype=dtype) for name, dtype in schema.items()})
    try:
        answer = empty_row.select(expr)
    except PolarsError as error:
        return f"Polars can't evaluate it: {_first_line(error)}"
    if answer.width != 1 or answer.dtypes[0] != pl.Boolean:
        given = ", ".join(str(dtype) for dtype in answer.dtypes)
        return f"it gives {given}, and a condition must be true or false"
    if expr.meta.is_scalar():
        return "it doesn't look at the event"
    return None


def _parts(kind: str, body: JsonValue) -> list[Any] | None:
    match kind:
        case "BinaryExpr":
            return [body["left"], body["right"]]
        case "Ternary":
            return [body["predicate"], body["truthy"], body["falsy"]]
        case "Cast":
            return [body["expr"]]
        case "Alias":
            return [body[0]]
        case "Function" if _allowed(body["function"]):
            return list(body["input"])
        case _:
            return None


def _allowed(function: JsonValue) -> bool:
    family = _name_of(function)
    if family in _FAMILIES:
        return isinstance(function, dict) and _name_of(function[family]) in _FAMILIES[family]
    return family in _FUNCTIONS


def _name_of(node: JsonValue) -> str:
    return str(next(iter(node))) if isinstance(node, dict) and node else str(node)


def _function_name(kind: str, body: JsonValue) -> str:
    if kind != "Function":
        return kind
    function = body["function"]
    family = _name_of(function)
    return _name_of(function[family]) if family in _FAMILIES and isinstance(function, dict) else family


def _short(tree: JsonValue) -> str:
    text = str(tree)
    return text if len(text) <= 60 else text[:57] + "..."


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
