"""Lengths of time as people write them ("30 min", "5 s", "1500 ms", "2h"), in whole milliseconds.

Every length inside the engine is an int of milliseconds; this module is where text becomes one and back.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

_UNITS_MS: dict[str, int] = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPELLINGS: dict[str, str] = {
    "millisecond": "ms", "milliseconds": "ms", "msec": "ms",
    "sec": "s", "second": "s", "seconds": "s",
    "m": "min", "mins": "min", "minute": "min", "minutes": "min",
    "hr": "h", "hour": "h", "hours": "h",
    "day": "d", "days": "d",
}  # fmt: skip
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)")
_WHOLE = re.compile(rf"\s*{_PART.pattern}(?:\s*{_PART.pattern})*\s*")
_ISO = re.compile(
    r"P(?:(?P<d>[0-9]+)D)?(?:T(?:(?P<h>[0-9]+)H)?(?:(?P<min>[0-9]+)M)?(?:(?P<s>[0-9]+(?:\.[0-9]+)?)S)?)?",
    re.IGNORECASE,
)

LONGEST_MS = 100 * 365 * _UNITS_MS["d"]
HOW_TO_WRITE = 'write a number and a unit (ms, s, min, h, d), as in "30 min" or "1500 ms"'


def parse_duration(value: str | int | timedelta) -> int:
    """The length in milliseconds, 0 or more.

    An int, or text of digits alone, is milliseconds. Parts add up: "1h 30min". ISO 8601 ("PT30M") is read
    too, with days as its largest unit.

    Raises:
        ValueError: it is no length, is negative, finer than a millisecond, or over 100 years; the message
            says what to write instead.
    """
    exact = None if isinstance(value, bool) else _exact_ms(value)
    if exact is None:
        raise ValueError(f"{value!r} is no length of time; {HOW_TO_WRITE}")
    if exact < 0:
        raise ValueError(f"{value!r} is negative; a length of time is 0 or more")
    if exact != int(exact):
        raise ValueError(f"{value!r} is finer than a millisecond")
    if exact > LONGEST_MS:
        raise ValueError(f"{value!r} is more than 100 years")
    return int(exact)


def format_duration(ms: int) -> str:
    """The shortest usual way to write it: the largest unit that divides it ("90 min", "1500 ms", "0 ms")."""
    for unit in ("d", "h", "min", "s"):
        if ms and ms % _UNITS_MS[unit] == 0:
            return f"{ms // _UNITS_MS[unit]} {unit}"
    return f"{ms} ms"


def _exact_ms(value: object) -> Decimal | None:
    if isinstance(value, timedelta):
        return Decimal(value // timedelta(microseconds=1)) / 1000
    if isinstance(value, int):
        return Decimal(value)
    return _exact_ms_of_text(value.strip().lower()) if isinstance(value, str) else None


def _exact_ms_of_text(text: str) -> Decimal | None:
    if re.fullmatch(r"-?[0-9]+", text, re.ASCII):
        return Decimal(text)
    if _WHOLE.fullmatch(text):
        return _sum_of_parts(_PART.findall(text))
    iso = _ISO.fullmatch(text)
    if iso and any(iso.groupdict().values()):
        return _sum_of_parts((number, unit) for unit, number in iso.groupdict().items() if number)
    return None


def _sum_of_parts(parts: Iterable[tuple[str, str]]) -> Decimal | None:
    total = Decimal(0)
    for number, unit in parts:
        scale = _UNITS_MS.get(_SPELLINGS.get(unit, unit))
        if scale is None:
            return None
        total += Decimal(number) * scale
    return total
