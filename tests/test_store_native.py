import pytest

from footfall.store_native import UnskippableTypeError, with_protocol

_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def column(name: str, kind: str, data: bytes) -> tuple[bytes, bytes]:
    head = bytes([len(name)]) + name.encode() + bytes([len(kind)]) + kind.encode()
    return head, data


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


# Each entry is a type and two rows of it, as the engine writes them at revision 0.
COLUMNS = [
    ("UInt8", b"\x01\x02"),
    ("DateTime64(3, 'UTC')", b"12345678" * 2),
    ("Decimal(18, 4)", b"12345678" * 2),
    ("Decimal(38, 4)", b"1234567812345678" * 2),
    ("FixedString(3)", b"abcdef"),
    ("Enum8('a(' = 1, 'LowCardinality(' = 2)", b"\x01\x02"),
    ("String", b"\x00" + b"\xc8\x01" + b"x" * 200),
    ("Nullable(String)", b"\x01\x00" + b"\x00" + b"\x02ab"),
    ("Nullable(Nothing)", b"\x01\x0100"),
    ("Array(String)", number(1) + number(3) + b"\x01a\x01b\x01c"),
    ("Array(Array(UInt16))", number(1) + number(1) + number(2) + b"1234"),
    ("Array(UInt8)", number(0) * 2),
    ("Tuple(a UInt8, `b c` Nullable(UInt16))", b"\x01\x02" + b"\x00\x00" + b"1122"),
    ("Tuple()", b"00"),
    ("Map(String, UInt8)", number(1) + number(1) + b"\x01k" + b"\x05"),
    (
        "LowCardinality(String)",
        number(1) + number(0x600) + number(2) + b"\x00\x01x" + number(2) + b"\x00\x01",
    ),
    (
        "Array(LowCardinality(Nullable(String)))",
        number(1) + number(1) + number(1) + number(0x600) + number(2) + b"\x00\x01x" + number(1) + b"\x01",
    ),
    ("Point", b"12345678" * 4),
    ("SimpleAggregateFunction(sum, UInt64)", b"12345678" * 2),
    ("IntervalDay", b"12345678" * 2),
]


def test_every_column_gets_its_mark() -> None:
    columns = [column(f"c{place}", kind, data) for place, (kind, data) in enumerate(COLUMNS)]
    begin = bytes([len(columns), 2])
    block = begin + b"".join(head + data for head, data in columns)
    wanted = _INFO + begin + b"".join(head + b"\x00" + data for head, data in columns)
    assert b"".join(with_protocol([block])) == wanted
    assert b"".join(with_protocol([block + block, b"", block])) == wanted * 3


def test_a_block_without_rows_has_heads_alone() -> None:
    head, _ = column("c", "LowCardinality(String)", b"")
    assert b"".join(with_protocol([b"\x01\x00" + head])) == _INFO + b"\x01\x00" + head + b"\x00"


@pytest.mark.parametrize(
    "kind", ["JSON", "Dynamic", "Variant(String, UInt8)", "AggregateFunction(uniq, String)"]
)
def test_other_types_are_named(kind: str) -> None:
    head, _ = column("c", kind, b"")
    with pytest.raises(UnskippableTypeError, match=kind[:7]):
        list(with_protocol([b"\x01\x01" + head + b"12345678"]))
