"""Decoding in general: dead letters, mutated records, and the fast way held to the generic one."""

import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from decoding import GOOD, MESSAGE, NAMES, TIME, block_of, decode, one, reason
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from footfall.envelope import SCHEMA
from footfall.errors import UsageError
from footfall.formats import ALWAYS, REASONS, Format, format_by_name
from footfall.json_scan import LEFT, Layout, Scan
from footfall.records import KEPT_BYTES, MAX_RECORD_BYTES, RecordBlock
from footfall.tables import DEAD_LETTERS


def _force_generic(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = Layout.scan
    again = [False]

    def leave(self: Layout, data: bytes, count: int) -> Scan:
        found = scan(self, data, count)
        if not again[0]:
            found.states[:] = LEFT
        again[0] = not again[0]
        return found

    monkeypatch.setattr(Layout, "scan", leave)


def both_ways(lines: list[bytes], name: str) -> None:
    """The fast way, the generic way, and each record alone must agree."""
    fast = decode(lines, name)
    assert fast.count == fast.events.height + fast.dead.height == len(lines)
    with pytest.MonkeyPatch.context() as patch:
        _force_generic(patch)
        slow = decode(lines, name)
    assert_frame_equal(fast.events, slow.events)
    assert_frame_equal(fast.dead, slow.dead)


BAD: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("empty", b" \t\r"),
    ("not_json", b"{"),
    ("not_json", b"nonsense"),
    ("not_json", b'{"a":1}}'),
    ("not_json", b'{"a":1} x'),
    ("not_json", b'{"a":NaN}'),
    ("not_json", b'{"a":01}'),
    ("not_json", b'{"a":"\x01"}'),
    ("not_json", b'{"a":"\\x"}'),
    ("not_json", b'{"a":"\\ud800"}'),
    ("not_json", b'{"a":[1,]}'),
    ("not_json", b'{"a":1,}'),
    ("not_json", b'{"a":1e999}'),
    ("not_json", b"1" * 5000 + b"x"),
    ("not_json", b"x" * MAX_RECORD_BYTES),
    ("not_an_object", b"[]"),
    ("not_an_object", b'"text"'),
    ("not_an_object", b"null"),
    ("nul", b'{"a":"\0"}'),
    ("nul", b'{"a":"\\u0000"}'),
    ("nul", b'{"a":{"\\u0000":[1]}}'),
    ("invalid_utf8", b'{"a":"\xff"}'),
    ("invalid_utf8", b'{"a":{"b":"\xed\xa0\x80"}}'),
    ("invalid_utf8", b'{"a":"\xc3"}'),
    ("too_deep", b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"),
    ("too_deep", b'{"a":' * 100_000),
    ("too_deep", b"[" * 200_000 + b"]" * 200_000),
]


@pytest.mark.parametrize(("expected", "line"), BAD, ids=[f"{code}-{i}" for i, (code, _) in enumerate(BAD)])
@pytest.mark.parametrize("name", ["footfall", "segment"])
def test_a_broken_record_is_a_dead_letter(expected: str, line: bytes, name: str) -> None:
    assert reason(line, name) == expected
    good = json.dumps(GOOD if name == "footfall" else MESSAGE).encode()
    if line.startswith(b'{"a":') and expected != "not_json":
        # The same damage within a record that is good otherwise.
        assert reason(good[:-1] + b"," + line[1:], name) == expected


def test_every_reason_has_a_test() -> None:
    tested = {code for code, _ in BAD} | {"too_large"}
    tested |= {
        "wrong_type",
        "bad_time",
        "bad_number",
        "overflow",
        "no_visitor",
        "no_event",
        "no_time",
    }  # flat
    assert set(REASONS) == tested | {"unknown_type"}  # segment


def test_nesting_up_to_the_bound_is_fine() -> None:
    inner = "[" * 63 + "]" * 63
    assert (
        one(json.dumps(GOOD).encode()[:-1] + b',"properties":' + inner.encode() + b"}")["properties"] == inner
    )


def test_brackets_in_strings_are_no_nesting() -> None:
    assert one({**GOOD, "url": "[{" * 100})["url"] == "[{" * 100


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert one({**GOOD, "element": "\\u0000"})["element"] == "\\u0000"


def test_a_record_too_large_keeps_its_beginning() -> None:
    kept = (json.dumps(GOOD).encode() + b" " * KEPT_BYTES)[
        :KEPT_BYTES
    ]  # what is kept would be good by itself
    decoded = format_by_name("footfall")(NAMES).decode(block_of([kept], oversized={0: MAX_RECORD_BYTES + 5}))
    (letter,) = decoded.dead.rows(named=True)
    assert decoded.events.height == 0
    assert (letter["reason"], letter["bytes"], letter["bytes_total"]) == (
        "too_large",
        kept,
        MAX_RECORD_BYTES + 5,
    )


def test_a_dead_letter_says_where_it_was() -> None:
    decoded = decode([json.dumps(GOOD).encode(), b"junk"])
    assert decoded.dead.schema == DEAD_LETTERS.schema
    (letter,) = decoded.dead.rows(named=True)
    assert {key: letter[key] for key in ("source_partition", "source_offset", "source", "line",
    "bytes_total")} == {
        "source_partition": "p", "source_offset": 101, "source": "file", "line": 12, "bytes_total": 4,
    }  # fmt: skip


def test_events_have_the_envelopes_columns() -> None:
    events = decode([json.dumps(GOOD).encode()]).events
    assert events.schema == {name: dtype for name, dtype in SCHEMA.items() if name != "source_partition"}


def test_an_empty_block_has_the_same_columns() -> None:
    assert decode([]).events.schema == decode([json.dumps(GOOD).encode()]).events.schema
    assert decode([]).count == 0


def test_only_wanted_columns_are_made_and_all_are_checked() -> None:
    lines = [
        json.dumps(record).encode() for record in (GOOD, {**GOOD, "value": 1e30}, {**GOOD, "currency": 5})
    ]
    decoded = decode(lines, columns=frozenset({"event"}))
    assert set(decoded.events.columns) == ALWAYS | {"event"}
    assert decoded.dead["reason"].to_list() == ["overflow", "wrong_type"]


def test_a_column_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        format_by_name("footfall")(NAMES, frozenset({"colour"}))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="footfall, segment"):
        format_by_name("csv")


def test_a_wrong_count_is_refused() -> None:
    for count in (1, 3):
        with pytest.raises(ValueError, match="lines"):
            format_by_name("footfall")(NAMES).decode(RecordBlock("p", 0, count, b"{}\n{}\n", "f", 1))


def test_arrival_comes_from_the_transport_where_the_record_has_none() -> None:
    lines = [
        json.dumps(record).encode()
        for record in (GOOD, {**GOOD, "arrival_time": TIME + 7}, {**GOOD, "x": "1"})
    ]
    block = block_of([lines[2], *lines[:2]], arrivals=np.array([1, 2, 3]))
    events = format_by_name("footfall")(NAMES).decode(block).events
    assert events["arrival_time"].dt.timestamp("ms").to_list() == [2, TIME + 7]


# --- the two ways agree ---

TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["", " ", "\t\n", "a\\b", 'q"q', "é", "😀", "Order Completed", "page", "track", "$pageview", "--",
        "0.5", "1e3",
         "12345678901234567890", "-0.0000005", "0.0000015", "https://a.example/p?utm_source=x&utm_medium=y%20z#f",
         "/p?q=1", "https://a.example", "mailto:x", "//h/p", "?utm_term=t", "https:\\/\\/a/b",
         "2024-02-29T12:00:00Z", "2023-02-29T12:00:00Z", "2024-01-01", "2024-01-01 10:00:00.1234567+02:00",
         "2024-01-01T00:00:00.999-23:59", "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z",
         "1970-01-01T00:00:00+01:00",
         "Mozilla/5.0 (compatible; Googlebot/2.1)", "2024-01-01T10:00:00,5Z", "2024-01-01T24:00:00Z"]
    ),
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    TEXTS,
    st.integers(-10, 10),
    st.integers(TIME - 10**6, TIME + 10**6),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [0.5, 1.5, 2.5, -0.5, 2147483647.4, 2147483647.5, -2147483648.5, 9223372036854.775, 1e-7, float(TIME)]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
FLAT_KEYS = st.sampled_from(
    ["message_id", "event_id", "visitor_id", "user_id", "userId", "event", "event_type", "event_time", "ts",
    "timestamp",
     "arrival_time", "url", "page_url", "path", "referrer", "utm_source", "utm_term", "element", "x", "y",
     "value",
     "currency", "properties", "user_agent", "late", "other", "é"]
)  # fmt: skip
INNER = st.dictionaries(
    st.sampled_from(["url", "path", "revenue", "total", "value", "currency", "element", "selector", "name",
    "other"]),
    SCALARS, max_size=4,
)  # fmt: skip
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "page", "identify", "group", "alias", "screen", "other", "", None,
        1]),
        "messageId": SCALARS, "anonymousId": TEXTS, "userId": SCALARS, "event": SCALARS, "timestamp": SCALARS,
        "originalTimestamp": SCALARS, "sentAt": SCALARS, "receivedAt": SCALARS, "properties": INNER | VALUES,
        "traits": VALUES, "other": VALUES,
        "context": st.fixed_dictionaries(
            {}, optional={"page": INNER | SCALARS, "campaign": INNER | SCALARS, "userAgent": SCALARS,
            "x": VALUES}
        ) | SCALARS,
    },
)  # fmt: skip


@st.composite
def json_lines(draw: st.DrawFn, records: st.SearchStrategy[Any], base: dict[str, Any]) -> bytes:
    record = {**(base if draw(st.integers(0, 3)) else {}), **draw(records)}
    text = json.dumps(
        record, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    )
    if draw(st.integers(0, 5)) == 0:
        text = text.replace("/", "\\/")
    if draw(st.integers(0, 9)) == 0 and len(text) > 2:
        text = text[:-1] + f', "{draw(FLAT_KEYS)}": {json.dumps(draw(SCALARS))}' + "}"
    line = text.encode("utf-8", "surrogatepass").replace(b"\n", b"")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(line)))
        line = (
            line[:at] + draw(st.binary(max_size=2)).replace(b"\n", b"") + line[at + draw(st.integers(0, 2)) :]
        )
    return line


@settings(max_examples=300, deadline=None)
@given(st.lists(json_lines(st.dictionaries(FLAT_KEYS, VALUES, max_size=5), GOOD), min_size=1, max_size=6))
def test_the_fast_way_agrees_with_the_generic_one_flat(lines: list[bytes]) -> None:
    both_ways(lines, "footfall")


@settings(max_examples=300, deadline=None)
@given(st.lists(json_lines(MESSAGES, MESSAGE), min_size=1, max_size=6))
def test_the_fast_way_agrees_with_the_generic_one_segment(lines: list[bytes]) -> None:
    both_ways(lines, "segment")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(json_lines(st.dictionaries(FLAT_KEYS, VALUES, max_size=4), GOOD), min_size=2, max_size=8),
    st.data(),
)
def test_batches_do_not_matter(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(lines) - 1))
    decoder = format_by_name("footfall")(NAMES)
    whole = decode(lines)
    first = decoder.decode(block_of(lines[:at]))
    rest = decoder.decode(
        RecordBlock("p", 100 + at, len(lines) - at, block_of(lines[at:]).data, "file", 11 + at)
    )
    assert_frame_equal(whole.events, pl.concat([first.events, rest.events]))
    assert_frame_equal(whole.dead, pl.concat([first.dead, rest.dead]))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(json_lines(st.dictionaries(FLAT_KEYS, VALUES, max_size=4), GOOD), max_size=4),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_blocks_that_are_decoded_together_are_decoded_as_each_alone(
    written: list[list[bytes]],
    dated: bool,  # noqa: FBT001 - Hypothesis gives it by its place
) -> None:
    decoder = format_by_name("footfall")(NAMES)
    assert isinstance(decoder, Format)
    blocks = [
        # The offsets of a later partition's records may well be lower.
        RecordBlock(
            f"p{number}",
            50 - 10 * number,
            len(lines),
            block_of(lines).data,
            f"file {number}",
            7 * number,
            {0: 3_000_000} if number == 2 and lines else {},
            np.arange(len(lines)) + TIME if dated else None,
        )
        for number, lines in enumerate(written)
    ]
    alone = [decoder.decode(block) for block in blocks]
    joint = decoder.decode_together(blocks)
    for number, each in enumerate(alone):
        start, end = joint.bounds[number : number + 2].tolist()
        assert_frame_equal(joint.events[start:end], each.events)
        assert_frame_equal(joint.dead[number], each.dead)
    assert joint.bounds[-1] == joint.events.height


def test_blocks_of_several_kinds_arent_decoded_together() -> None:
    decoder = format_by_name("footfall")(NAMES)
    assert isinstance(decoder, Format)
    plain = block_of([b"{}"])
    for other in (
        block_of([b"{}"], arrivals=np.array([TIME])),
        block_of([b"{}"], own_arrivals=False),
    ):
        with pytest.raises(ValueError, match="together"):
            decoder.decode_together([plain, other])


def test_a_wrong_count_is_refused_beside_one_that_makes_up_for_it() -> None:
    blocks = [RecordBlock("p", 0, count, b"{}\n{}\n", "f", 1) for count in (1, 3)]
    decoder = format_by_name("footfall")(NAMES)
    assert isinstance(decoder, Format)
    with pytest.raises(ValueError, match="lines"):
        decoder.decode_together(blocks)


# --- a hundred thousand mutated records ---


def mutated(count: int, seed: int) -> Iterator[tuple[bytes, bool]]:
    """Lines, and whether each is a good record that was left untouched."""
    rng = random.Random(seed)
    junk = [b"", b"\0", b"\xff", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u0000", b"\\ud800",
    b"1e999", b"-",
            b"NaN", b"null", b"true", b"\r", b" ", b"\xc3\xa9", b"9" * 30, b"[" * 100, b'"x":', b"\x7f",
            b"\x1f"]  # fmt: skip
    for i in range(count):
        record = {
            **GOOD, "message_id": f"m{i}", "visitor_id": f"v{i % 97}", "event_time": TIME + i,
            "url": f"https://shop.example/p/{i % 13}?utm_source=s{i % 3}", "value": i / 8, "x": i % 1000,
            "properties": {"price": 9.5, "tags": ["a", "b"], "name": "caf\u00e9"}, "note": "n",
        }  # fmt: skip
        line = json.dumps(record, ensure_ascii=i % 2 == 0).encode()
        if i % 3 == 0:
            yield line, True
            continue
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(line) + 1)
            line = line[:at] + rng.choice(junk) + line[at + rng.choice((0, 0, 1, 2, 20)) :]
        yield line, False


@pytest.mark.parametrize("name", ["footfall"])
def test_a_hundred_thousand_mutated_records(name: str) -> None:
    decoder: Format = format_by_name(name)(NAMES)
    lines = list(mutated(100_000, seed=7))
    good = dead = 0
    for start in range(0, len(lines), 10_000):
        part = lines[start : start + 10_000]
        decoded = decoder.decode(block_of([line for line, _ in part]))
        assert decoded.count == len(part) == decoded.events.height + decoded.dead.height
        untouched = {100 + row for row, (_, whole) in enumerate(part) if whole}
        assert untouched <= set(decoded.events["source_offset"].to_list())
        good += decoded.events.height
        dead += decoded.dead.height
    assert good + dead == len(lines)
    assert dead > 30_000
