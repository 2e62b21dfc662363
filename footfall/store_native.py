"""ClickHouse's Native blocks, rewritten for clients that ask for a protocol version.

The embedded engine writes Native as of revision 0. A client that sends `client_protocol_version`
(clickhouse-go, and so Grafana's plugin) expects each block to begin with its block info, and each column to
say that it has no custom serialisation. Both are inserted here; finding a column's end needs its type, and
nothing of its values.
"""

import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from footfall.compiled import compiled

# The revision since which a column says whether its serialisation is a custom one. Clients of older revisions
# (clickhouse-connect asks for 54405) find out that they get revision 0, and read that.
CUSTOM_SERIALIZATION_REVISION = 54454

_HAS_KEYS = 1 << 9
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_NO_CUSTOM = b"\x00"

_WIDTHS = {
    "Nothing": 1, "Bool": 1, "Int8": 1, "UInt8": 1, "Enum8": 1, "Int16": 2, "UInt16": 2, "Enum16": 2,
    "BFloat16": 2, "Date": 2, "Int32": 4, "UInt32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "IPv4": 4,
    "Time": 4, "Int64": 8, "UInt64": 8, "Float64": 8, "DateTime64": 8, "Time64": 8, "Decimal32": 4,
    "Decimal64": 8, "Decimal128": 16, "Decimal256": 32, "Int128": 16, "UInt128": 16, "UUID": 16, "IPv6": 16,
    "Int256": 32, "UInt256": 32,
}  # fmt: skip
_GEOMETRY = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "Polygon": "Array(Ring)",
    "MultiLineString": "Array(LineString)",
    "MultiPolygon": "Array(Polygon)",
}
_TYPE = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)

Skip = Callable[[npt.NDArray[np.uint8], int, int], int]


class UnskippableTypeError(Exception):
    """A column's type whose bytes can't be skipped here; its name is the message."""


def with_protocol(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Revision 0 blocks, whole ones in each chunk, as those of a revision with custom serialisation.

    Raises:
        UnskippableTypeError: a column's type has a serialisation that this module doesn't know (Dynamic,
            JSON, Variant, the states of aggregate functions).
    """
    skips: dict[str, Skip] = {}
    for chunk in chunks:
        if chunk:
            yield b"".join(_rewritten(chunk, skips))


def _rewritten(chunk: bytes, skips: dict[str, Skip]) -> Iterator[bytes]:
    data = np.frombuffer(chunk, dtype=np.uint8)
    at = 0
    while at < len(chunk):
        begin = at
        columns, at = _varint(chunk, at)
        rows, at = _varint(chunk, at)
        yield _BLOCK_INFO + chunk[begin:at]
        for _ in range(columns):
            begin = at
            length, at = _varint(chunk, at)
            at += length
            length, at = _varint(chunk, at)
            kind = chunk[at : at + length].decode()
            at += length
            yield chunk[begin:at] + _NO_CUSTOM
            if kind not in skips:
                skips[kind] = _column(kind)
            begin = at
            if rows:
                at = skips[kind](data, at, rows)
            yield chunk[begin:at]


def _varint(chunk: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = chunk[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def _column(kind: str) -> Skip:
    """Past a whole column, which begins with the key version of every low-cardinality type in it."""
    prefix = 8 * len(re.findall(r"\bLowCardinality\(", re.sub(r"'(?:[^'\\]|\\.)*'", "", kind)))
    value = _skip(kind)
    return lambda data, at, rows: value(data, at + prefix, rows)


def _skip(kind: str) -> Skip:
    """How to get past a column of that type: (data, position, rows) -> the position after it."""
    match = _TYPE.fullmatch(kind)
    if match is None:
        raise UnskippableTypeError(kind)
    name, inner = match.group(1), match.group(2) or ""
    if name in _WIDTHS:
        return _fixed(_WIDTHS[name])
    if name.startswith("Interval"):
        return _fixed(8)
    if name in _GEOMETRY:
        return _skip(_GEOMETRY[name])
    maker = _MAKERS.get(name)
    if maker is None:
        raise UnskippableTypeError(kind)
    return maker(inner)


def _fixed(width: int) -> Skip:
    return lambda _, at, rows: at + width * rows


def _low_cardinality(key: Skip) -> Skip:
    def skip(data: npt.NDArray[np.uint8], at: int, _: int) -> int:
        kind, at = _number(data, at), at + 8
        if kind & _HAS_KEYS:
            keys, at = _number(data, at), at + 8
            at = key(data, at, keys)
        rows, at = _number(data, at), at + 8
        return at + (rows << (kind & 0xFF))

    return skip


def _number(data: npt.NDArray[np.uint8], at: int) -> int:
    return int.from_bytes(data[at : at + 8].tobytes(), "little")


def _array(value: Skip) -> Skip:
    def skip(data: npt.NDArray[np.uint8], at: int, rows: int) -> int:
        end = at + 8 * rows
        total = _number(data, end - 8)
        return value(data, end, total) if total else end

    return skip


def _tuple(values: list[Skip]) -> Skip:
    def skip(data: npt.NDArray[np.uint8], at: int, rows: int) -> int:
        for value in values:
            at = value(data, at, rows)
        return at if values else at + rows

    return skip


def _element(part: str) -> Skip:
    """An element of a tuple: a type, or a name (quoted if need be) and a type."""
    match = re.match(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*)\s+(?=[A-Z])", part)
    return _skip(part[match.end() :] if match else part)


def _arguments(inner: str) -> list[str]:
    """A type's arguments, split at the commas that are in no bracket or quotes."""
    parts: list[str] = []
    depth = begin = 0
    quote = ""
    at = 0
    while at < len(inner):
        sign = inner[at]
        if quote:
            if sign == "\\":
                at += 1
            elif sign == quote:
                quote = ""
        elif sign in "'`":
            quote = sign
        elif sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(inner[begin:at].strip())
            begin = at + 1
        at += 1
    if inner[begin:].strip():
        parts.append(inner[begin:].strip())
    return parts


def _strings(_: str) -> Skip:
    return _skip_strings


def _decimal(inner: str) -> Skip:
    digits = int(inner.split(",", maxsplit=1)[0])
    return _fixed(next(width for most, width in ((9, 4), (18, 8), (38, 16), (76, 32)) if digits <= most))


def _nullable(inner: str) -> Skip:
    value = _skip(inner)
    return lambda data, at, rows: value(data, at + rows, rows)


def _dictionary(inner: str) -> Skip:
    nullable = _TYPE.fullmatch(inner)
    return _low_cardinality(
        _skip(nullable.group(2) if nullable and nullable.group(1) == "Nullable" else inner)
    )


def _elements(inner: str) -> Skip:
    return _tuple([_element(part) for part in _arguments(inner)])


@compiled
def _skip_strings(data: npt.NDArray[np.uint8], at: int, rows: int) -> int:
    for _ in range(rows):
        length = 0
        shift = 0
        while True:
            byte = int(data[at])
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        at += length
    return at


_MAKERS: dict[str, Callable[[str], Skip]] = {
    "String": _strings,
    "FixedString": lambda inner: _fixed(int(inner)),
    "Decimal": _decimal,
    "Nullable": _nullable,
    "LowCardinality": _dictionary,
    "Array": lambda inner: _array(_skip(inner)),
    "Tuple": _elements,
    "Map": lambda inner: _array(_elements(inner)),
    "Nested": lambda inner: _array(_elements(inner)),
    "SimpleAggregateFunction": lambda inner: _skip(_arguments(inner)[1]),
}
