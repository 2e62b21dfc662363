"""The generic way to read one record: every check, one record at a time, through msgspec.

`json_scan` leaves to this module what it isn't sure of; what this says is what counts. Values are read from
their JSON text, so that no digit of an amount and no byte of the properties is lost on the way through a
Python object.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import msgspec

from footfall.envelope import EARLIEST_TIME_MS, LATEST_TIME_MS, MILLIONTHS
from footfall.json_scan import MAX_DEPTH

BLANKS = " \t\n\r\v\f"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)

_anything = msgspec.json.Decoder()
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class UnfitError(Exception):
    """A record that can't become an event; never leaves this package's decoding.

    Attributes:
        reason: a short stable code, one of `footfall.formats.REASONS`.
        detail: what exactly, naming the field where there is one.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


def read_members(line: bytes) -> dict[str, bytes]:
    """The record's top-level members, each as its JSON text; of a key given twice, the last.

    Raises:
        UnfitError: the line isn't one well-formed JSON object that Footfall takes, down to its last nested
            value.
    """
    if not line.strip(b" \t\r\n"):
        raise UnfitError("empty", "the line is blank")
    if b"\0" in line:
        raise UnfitError("nul", f"NUL byte at byte {line.index(0)}")
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise UnfitError("invalid_utf8", f"{error.reason} at byte {error.start}") from None
    if _depth(line) > MAX_DEPTH:
        raise UnfitError("too_deep", f"nested more than {MAX_DEPTH} deep")
    try:
        value = _anything.decode(line)
    except RecursionError:
        raise UnfitError("too_deep", "nested too deep") from None
    except (
        ValueError
    ) as error:  # msgspec's errors are ValueErrors, as is Python's limit on an integer's digits
        raise UnfitError("not_json", str(error)) from None
    if not isinstance(value, dict):
        raise UnfitError("not_an_object", f"the record is a JSON {_kind(line.strip())}")
    if b"\\u0000" in line and _has_nul(value):
        raise UnfitError("nul", "a string holds \\u0000")
    return members(line)


def members(text: bytes) -> dict[str, bytes]:
    """The members of an object that is known to be well-formed, each as its JSON text."""
    return {name: bytes(raw) for name, raw in _members.decode(text).items()}


def is_object(raw: bytes) -> bool:
    """Whether the JSON text is an object."""
    return raw[:1] == b"{"


def read_text(name: str, raw: bytes) -> str | None:
    """A string; None for null or blank.

    Raises:
        UnfitError: it is something else.
    """
    if raw[:1] == b'"':
        text: str = _anything.decode(raw)
        return text if text.strip(BLANKS) else None
    if raw == b"null":
        return None
    raise UnfitError("wrong_type", f"{name} must be a string, not a {_kind(raw)}")


def read_time(name: str, raw: bytes) -> int | None:
    """Milliseconds since 1970, UTC, of an ISO 8601 text or a whole number of them; None for null or blank.

    A text without an offset is UTC; digits beyond the millisecond are cut.

    Raises:
        UnfitError: it is no time, or none between 1970 and 2200.
    """
    first = raw[:1]
    if first == b'"':
        text = read_text(name, raw)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            value = (moment - _EPOCH) // _MILLISECOND
        except (ValueError, OverflowError):
            raise UnfitError("bad_time", f"{name} is no ISO 8601 time: {_short(text)}") from None
    elif raw == b"null":
        return None
    elif first in b"-0123456789":
        number = _decimal(raw.decode())
        if number.adjusted() > 18 or number != number.to_integral_value():
            raise UnfitError("bad_time", f"{name} is no whole number of milliseconds: {_short(raw.decode())}")
        value = int(number)
    else:
        raise UnfitError("wrong_type", f"{name} must be a string or a number, not a {_kind(raw)}")
    return bounded_time(name, value)


def bounded_time(name: str, value: int) -> int:
    """The time, if it is one that a site's event can have.

    Raises:
        UnfitError: it lies outside 1970 to 2200.
    """
    if not EARLIEST_TIME_MS <= value <= LATEST_TIME_MS:
        raise UnfitError("bad_time", f"{name} lies outside 1970 to 2200: {_short(str(value))} ms")
    return value


def read_whole(name: str, raw: bytes) -> int | None:
    """A number as Int32, rounded half to even; None for null.

    Raises:
        UnfitError: it is no number, or doesn't fit.
    """
    if raw == b"null":
        return None
    if raw[:1] not in b"-0123456789":
        raise UnfitError("wrong_type", f"{name} must be a number, not a {_kind(raw)}")
    return _fixed(name, raw.decode(), 1, 31)


def read_money(name: str, raw: bytes) -> int | None:
    """A number, or a string with one in it, in millionths, rounded half to even; None for null or blank.

    Raises:
        UnfitError: it is no number ("wrong_type", "bad_number"), or doesn't fit ("overflow").
    """
    if raw[:1] == b'"':
        text = read_text(name, raw)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            raise UnfitError("bad_number", f"{name} is no decimal number: {_short(text)}")
    elif raw == b"null":
        return None
    elif raw[:1] in b"-0123456789":
        text = raw.decode()
    else:
        raise UnfitError("wrong_type", f"{name} must be a number or a string, not a {_kind(raw)}")
    return _fixed(name, text, MILLIONTHS, 63)


READERS: dict[str, Callable[[str, bytes], Any]] = {
    "text": read_text,
    "time": read_time,
    "number": read_whole,
    "money": read_money,
}


def merge_properties(own: bytes | None, unknown: dict[str, bytes]) -> bytes:
    """The properties with the record's unknown fields in them, as JSON text.

    Without unknown fields it is the record's own value as sent. Otherwise an own value that is no object goes
    under "properties", and an unknown field whose name the own ones have already goes under "record.NAME".
    """
    if own == b"null":
        own = None
    if not unknown:
        return b"{}" if own is None else own
    merged: dict[str, bytes] = {}
    if own is not None:
        merged = members(own) if is_object(own) else {"properties": own}
    for name, raw in unknown.items():
        free = name
        while free in merged:
            free = f"record.{free}"
        merged[free] = raw
    return msgspec.json.encode({name: msgspec.Raw(raw) for name, raw in merged.items()})


def _decimal(text: str) -> Decimal:
    """The number, exactly; one whose exponent Decimal can't hold is taken as 0 or as beyond all bounds."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return Decimal(0) if "e-" in text.lower() else Decimal("1e1000")


def _fixed(name: str, text: str, scale: int, bits: int) -> int:
    number = _decimal(text)
    if number.adjusted() > 20:
        raise UnfitError("overflow", f"{name} is too large: {_short(text)}")
    # With 20 digits before the point and at most 6 kept after it, 60 digits lose nothing but the digits that
    # are cut anyway; whether those lie above or below one half is kept by a last digit that sticks.
    digits = number.as_tuple()
    if len(digits.digits) > 50:
        kept = Decimal((digits.sign, (*digits.digits[:49], 1 if any(digits.digits[49:]) else 0), 0))
        number = kept.scaleb(number.adjusted() - 49, _EXACT)
    scaled = _EXACT.multiply(number, Decimal(scale))
    value = int(scaled.to_integral_value(ROUND_HALF_EVEN))
    if abs(value) >= 1 << bits:
        raise UnfitError("overflow", f"{name} is too large: {_short(text)}")
    return value


def _depth(line: bytes) -> int:
    if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", line)):
        if bracket in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _has_nul(value: object) -> bool:
    """Whether a string in a decoded value, keys included, holds a NUL; it is at most `MAX_DEPTH` deep."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _has_nul(inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(_has_nul(inner) for inner in value)
    return False


def _kind(raw: bytes) -> str:
    kinds = {b'"': "string", b"{": "object", b"[": "list", b"t": "boolean", b"f": "boolean", b"n": "null"}
    return kinds.get(raw[:1], "number")


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
