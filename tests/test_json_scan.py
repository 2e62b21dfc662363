"""The scanner alone: where values stand, and what it leaves to the generic way."""

from itertools import pairwise

import numpy as np
import pytest

from footfall.json_scan import (
    ABSENT,
    ARRAY,
    DECIMAL,
    ESCAPED,
    INTEGER,
    LEFT,
    NULL,
    OBJECT,
    TAKEN,
    TEXT,
    TRUE,
    Layout,
)

LAYOUT = Layout({"a": (("a",), ("alias",)), "b": (("inner", "b"),), "inner": (("inner",),)})


def found(line: bytes) -> dict[str, tuple[int, bytes]]:
    """Slot -> kind and bytes of a record that must be taken, absent slots left out."""
    scan = LAYOUT.scan(line + b"\n", 1)
    assert scan.states.tolist() == [TAKEN]
    return {
        name: (int(scan.kinds[slot, 0]), line[scan.starts[slot, 0] :][: scan.lengths[slot, 0]])
        for name, slot in LAYOUT.slots.items()
        if scan.kinds[slot, 0] != ABSENT
    }


@pytest.mark.parametrize(
    ("raw", "kind", "value"),
    [
        (b'"text"', TEXT, b"text"), (b'"a\\"b"', ESCAPED, b'a\\"b'), (b'""', TEXT, b""), (b"-12", INTEGER,
        b"-12"),
        (b"0.50", DECIMAL, b"0.50"), (b"true", TRUE, b"true"), (b"null", NULL, b"null"),
        (b'{"x":[1,{"y":"]}"}]}', OBJECT, b'{"x":[1,{"y":"]}"}]}'), (b"[ ]", ARRAY, b"[ ]"), (b"[[],{}]",
        ARRAY, b"[[],{}]"),
    ],
)  # fmt: skip
def test_kinds(raw: bytes, kind: int, value: bytes) -> None:
    for line in (b'{"a":%b}', b' { "other" : [ {} ] ,\t"alias" : %b , "z" : 1 } \r'):
        assert found(line % raw) == {"a": (kind, value)}


def test_nested_keys_are_found_in_their_place_alone() -> None:
    inner = b'{"b":2,"c":{"b":3}}'
    assert found(b'{"b":1,"inner":%b}' % inner) == {"b": (INTEGER, b"2"), "inner": (OBJECT, inner)}
    assert found(b'{"inner":[{"b":2}]}') == {"inner": (ARRAY, b'[{"b":2}]')}


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"}", b"[]", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a":1 "b":2}', b'{"a":1}{', b"{a:1}",
        b'{"a":01}',
        b'{"a":1.}', b'{"a":+1}', b'{"a":.5}', b'{"a":1e5}', b'{"a":1234567890123456789}', b'{"a":nul}',
        b'{"a":"\t"}',
        b'{"a":"\\q"}', b'{"a":"\\u12g4"}', b'{"a":"\\u0000"}', b'{"a":"\\ud83d\\ude00"}', b'{"a":"x}',
        b'{"a":[1,]}',
        b'{"a":[,]}', b'{"a":[}}', b'{"a":[1}', b'{"a":{"b"]}', b'{"a":1,"a":2}', b'{"a":1,"alias":2}',
        b'{"\\u0061":1}',
        b'{"inner":{"b":1,"b":2}}', b'{"inner":{},"inner":{}}', b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    ],
)  # fmt: skip
def test_what_it_is_not_sure_of_is_left(line: bytes) -> None:
    data = b'{"a":1}\n' + line + b'\n{"a":2}\n'
    scan = LAYOUT.scan(data, 3)
    assert scan.states.tolist() == [TAKEN, LEFT, TAKEN]
    bounds = scan.bounds.tolist()
    assert [data[start:end] for start, end in pairwise(bounds)] == data.splitlines(keepends=True)


def test_unknown_top_level_keys_are_marked() -> None:
    lines = [b'{"a":1}', b'{"a":1,"x":2}', b'{"inner":{"x":2}}']
    scan = LAYOUT.scan(b"\n".join([*lines, b""]), 3)
    assert scan.unknown.tolist() == [0, 1, 0]
    assert Layout({"a": (("a",),)}, frozenset({"a"})).scan(lines[0] + b"\n", 1).unknown.tolist() == [1]


def test_what_came_before_does_not_matter() -> None:
    lines = [b'{"a":1,"inner":{"b":2}}', b'{"inner":{"b":2},"alias":1}', b'{"x":0,"a":1}'] * 3
    together = Layout({"a": (("a",), ("alias",)), "b": (("inner", "b"),)}).scan(
        b"\n".join([*lines, b""]), len(lines)
    )
    for row, line in enumerate(lines):
        alone = Layout({"a": (("a",), ("alias",)), "b": (("inner", "b"),)}).scan(line + b"\n", 1)
        assert np.array_equal(together.kinds[:, row], alone.kinds[:, 0])


def test_data_that_are_not_whole_lines_are_refused() -> None:
    with pytest.raises(ValueError, match="newline"):
        LAYOUT.scan(b"{}", 1)
    for count in (0, 1, 3):
        with pytest.raises(ValueError, match="lines"):
            LAYOUT.scan(b"{}\n{}\n", count)
