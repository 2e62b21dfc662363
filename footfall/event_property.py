"""Reading one value out of an event's JSON properties, the same way for a column and for a single event."""

import math
import re
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal, TypeAlias

import msgspec

PropertyKind = Literal["text", "number", "boolean"]
# What msgspec decodes a JSON value to.
Decoded: TypeAlias = Any

PropertyPath = tuple[str, ...]

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,6}", re.ASCII)


@lru_cache(maxsize=1_024)
def property_reader(path: PropertyPath, kind: PropertyKind) -> Callable[[str | None], Any]:
    """A function from a document to its value at `path`: a str, a float or a bool; None where there is none.

    A step of digits takes an item of a list, from 0. "text" gives texts and whole numbers (ids are sent as
    either), "number" gives numbers and texts that are one, "boolean" true and false. It raises nothing: a
    document that isn't JSON has no values.
    """
    convert = _CONVERT[kind]
    # Only the first step is decoded into Python objects; the rest of a document is skipped over.
    document_type = msgspec.defstruct("Document", [("value", Any, None)], rename={"value": path[0]})
    decode = msgspec.json.Decoder(document_type).decode
    take = attrgetter("value")
    rest = path[1:]

    def read(document: str | None) -> Decoded:
        if document is None:
            return None
        try:
            value: Decoded = take(decode(document))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        for step in rest:
            value = _step_into(value, step)
        return None if value is None else convert(value)

    return read


def _step_into(value: Decoded, step: str) -> Decoded:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and _DIGITS.fullmatch(step) and int(step) < len(value):
        return value[int(step)]
    return None


def _text(value: Decoded) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _number(value: Decoded) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _boolean(value: Decoded) -> bool | None:
    return value if isinstance(value, bool) else None


_CONVERT: dict[PropertyKind, Callable[[Any], Any]] = {"text": _text, "number": _number, "boolean": _boolean}
