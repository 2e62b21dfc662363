"""The plain values that conditions hold, the types they tell apart, and an expression's canonical text."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl

from footfall.errors import ExpressionError
from footfall.polars_condition import JsonValue

Kind = Literal["text", "number", "boolean", "time"]
Scalar = str | int | float | bool | datetime

_LARGEST_WHOLE = 2**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain_value(value: object) -> Scalar:
    """The value, if a condition can hold it: a text, a number within ±2**53, a boolean, a time with its zone.

    Raises:
        ExpressionError: it is None, or nothing of these.
    """
    match value:
        case None:
            raise ExpressionError("a comparison with None is never true; write .is_null() or .is_not_null()")
        case bool() | str():
            return value
        case int() | float():
            if not math.isfinite(value) or abs(value) > _LARGEST_WHOLE:
                raise ExpressionError(f"{value} isn't within ±2**53, where numbers are exact")
            return int(value) if value == int(value) else value
        case datetime():
            if value.tzinfo is None:
                raise ExpressionError(f"{value} has no time zone; write datetime(..., tzinfo=UTC)")
            return value
        case _:
            raise ExpressionError(
                f"a condition can't hold {value!r} ({type(value).__name__}); "
                "use a text, a number, True, False or a time"
            )


def epoch_ms(time: datetime) -> int:
    """Milliseconds since 1970 in UTC, rounded down."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def time_from_ms(ms: int) -> datetime:
    """The time, in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)


def kind_of(dtype: pl.DataType) -> Kind | None:
    """What conditions take a column of that type for; None where they can't read it."""
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        return "text"
    if isinstance(dtype, pl.Boolean):
        return "boolean"
    if isinstance(dtype, pl.Datetime):
        return "time" if dtype.time_zone else None
    return "number" if dtype.is_numeric() else None


def canonical_json(data: JsonValue) -> str:
    """The expression's JSON with what `&`, `|` and `is_in` list sorted and without doubles."""
    match data:
        case {"all": parts} | {"any": parts}:
            keys = sorted({canonical_json(part) for part in parts})
            return keys[0] if len(keys) == 1 else f'{{"{next(iter(data))}":[{",".join(keys)}]}}'
        case {"is_in": [operand, values]}:
            return _canonical_membership(operand, values)
        case {"polars": tree}:
            return json.dumps({"polars": tree}, sort_keys=True, separators=(",", ":"))
        case dict():
            return (
                "{" + ",".join(f"{json.dumps(k)}:{canonical_json(v)}" for k, v in sorted(data.items())) + "}"
            )
        case list():
            return "[" + ",".join(canonical_json(item) for item in data) + "]"
        case _:
            return json.dumps(data)


def _canonical_membership(operand: JsonValue, values: JsonValue) -> str:
    keys = sorted({canonical_json(value) for value in values})
    if len(keys) == 1:
        return f'{{"compare":[{canonical_json(operand)},"==",{keys[0]}]}}'
    return f'{{"is_in":[{canonical_json(operand)},[{",".join(keys)}]]}}'
