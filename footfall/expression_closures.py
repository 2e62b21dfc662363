"""The operations of the condition language on plain values: one event's, where `column` works on all at once.

Each function takes closures and gives one. None is unknown. What Python and Polars would do differently is
settled here in Polars' way.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from footfall.expression_base import Compute

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPUTE: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def compared(name: str, left: Compute, right: Compute) -> Compute:
    """`left` compared with `right`; a whole number meets a float as a float, as in a column."""
    compare = _COMPARE[name]

    def answer(now: Any) -> bool | None:
        one, other = left(now), right(now)
        if one is None or other is None:
            return None
        if type(one) is float or type(other) is float:
            return compare(float(one), float(other))
        return compare(one, other)

    return answer


def computed(name: str, left: Compute, right: Compute) -> Compute:
    """Arithmetic in 64-bit floats; what isn't finite is unknown."""
    compute = _COMPUTE[name]

    def answer(now: Any) -> float | None:
        one, other = left(now), right(now)
        if one is None or other is None:
            return None
        try:
            return finite(compute(float(one), float(other)))
        except ZeroDivisionError:
            return None

    return answer


def finite(number: float) -> float | None:
    """The number, unless it is infinite or none."""
    return number if math.isfinite(number) else None


def lower_case(operand: Compute) -> Compute:
    """The text in lower case. Polars' Unicode tables are newer than Python's, so Polars does all but ASCII."""

    def answer(now: Any) -> str | None:
        text: str | None = operand(now)
        if text is None or text.isascii():
            return text if text is None else text.lower()
        lower: str = pl.Series([text]).str.to_lowercase()[0]
        return lower

    return answer


def text_tested(test: str, operand: Compute, text: str) -> Compute:
    """Whether a text starts with, ends with or contains another."""

    def answer(now: Any) -> bool | None:
        value: str | None = operand(now)
        if value is None:
            return None
        if test == "starts_with":
            return value.startswith(text)
        return value.endswith(text) if test == "ends_with" else text in value

    return answer


def null_tested(operand: Compute, *, absent: bool) -> Compute:
    """Whether a value is missing (`absent`), or is there."""
    return lambda now: (operand(now) is None) is absent


def is_one_of(operand: Compute, values: Sequence[Compute]) -> Compute:
    """Whether a value is one of several."""
    return one_is_true([compared("==", operand, value) for value in values], empty=operand)


def all_are_true(parts: Sequence[Compute]) -> Compute:
    """False if one is false, else unknown if one is unknown, else true."""

    def answer(now: Any) -> bool | None:
        known = True
        for part in parts:
            value = part(now)
            if value is False:
                return False
            known = known and value is not None
        return True if known else None

    return answer


def one_is_true(parts: Sequence[Compute], *, empty: Compute | None = None) -> Compute:
    """True if one is true, else unknown if one is unknown, else false.

    Where there are no parts, it is false, or unknown where `empty` is.
    """

    def answer(now: Any) -> bool | None:
        known = bool(parts) or empty is None or empty(now) is not None
        for part in parts:
            value = part(now)
            if value is True:
                return True
            known = known and value is not None
        return False if known else None

    return answer


def negated(operand: Compute) -> Compute:
    """True if it is false, and the reverse; unknown stays unknown."""

    def answer(now: Any) -> bool | None:
        value: bool | None = operand(now)
        return None if value is None else not value

    return answer
