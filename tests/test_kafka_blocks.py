"""Messages as blocks; without a broker."""

from itertools import pairwise

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Message
from hypothesis import given
from hypothesis import strategies as st

from footfall.event_names import EventNames
from footfall.flat_format import FlatFormat
from footfall.kafka_blocks import TakenBlock, take_block
from footfall.records import KEPT_BYTES, MAX_RECORD_BYTES, RecordBlock

Headers = list[tuple[str, bytes | str | None]]


def _message(
    offset: int,
    value: bytes | None = b"{}",
    *,
    headers: Headers | None = None,
    stamp: int = 0,
    kind: int = TIMESTAMP_LOG_APPEND_TIME,
) -> Message:
    return Message(
        topic="events", partition=3, offset=offset, value=value, headers=headers, timestamp=(kind, stamp)
    )


def _taken(messages: list[Message], topic_format: str | None = None) -> TakenBlock:
    return take_block(messages, "events/0003", "events", topic_format)


def _blocks(messages: list[Message]) -> list[RecordBlock]:
    blocks = []
    while messages:
        found = _taken(messages)
        blocks.append(found.block)
        messages = messages[found.taken :]
    return blocks


def test_a_plain_run_is_one_block() -> None:
    found = _taken([_message(i, b"r%d" % i, stamp=100 + i) for i in range(5, 9)], "footfall")
    block = found.block
    assert (block.partition, block.source) == ("events/0003", "events")
    assert (block.data, block.count, found.taken) == (b"r5\nr6\nr7\nr8\n", 4, 4)
    assert (block.first_offset, block.first_line, block.offsets) == (5, 6, None)
    assert block.arrivals is not None
    assert block.arrivals.tolist() == [105, 106, 107, 108]
    assert block.format == "footfall"
    assert (found.own_arrival, found.broker_arrival) == (None, 108)
    assert not block.oversized


def test_gaps_are_told() -> None:
    block = _taken([_message(offset) for offset in (2, 3, 7)]).block
    assert block.offsets is not None
    assert block.offsets.tolist() == [2, 3, 7]


def test_newlines_in_a_value_make_no_further_record() -> None:
    block = _taken([_message(0, b'{"a":\n1}\n'), _message(1, b"\n"), _message(2, b"x")]).block
    assert block.data == b'{"a":\r1}\r\n\r\nx\n'


def test_what_has_no_value_is_an_empty_record_and_ends_as_a_dead_letter() -> None:
    good = b'{"message_id":"m","visitor_id":"v","event":"e","event_time":1700000000000}'
    block = _taken([_message(0, good), _message(1, None), _message(2, b""), _message(3, good)]).block
    assert block.data == good + b"\n\n\n" + good + b"\n"
    found = FlatFormat(EventNames(), frozenset({"message_id"})).decode(block)
    assert found.events["source_offset"].to_list() == [0, 3]
    assert found.dead["source_offset"].to_list() == [1, 2]


def test_what_is_too_large_is_cut() -> None:
    values = [
        b"a",
        b"x" * (MAX_RECORD_BYTES + 1),
        b"\n" * MAX_RECORD_BYTES,
        None,
        b"y" * (MAX_RECORD_BYTES + 5),
    ]
    block = _taken([_message(i, value) for i, value in enumerate(values)]).block
    lines = block.data.split(b"\n")
    assert [len(line) for line in lines] == [1, KEPT_BYTES, MAX_RECORD_BYTES, 0, KEPT_BYTES, 0]
    assert block.oversized == {1: MAX_RECORD_BYTES + 1, 4: MAX_RECORD_BYTES + 5}
    assert (
        FlatFormat(EventNames(), frozenset()).decode(block).dead["reason"].to_list().count("too_large") == 2
    )


def test_a_block_is_cut_where_the_format_changes() -> None:
    named: list[Headers | None] = [
        None,
        [("trace", b"1")],
        [("format", b"segment")],
        [("format", "segment")],
        None,
        [("format", b"a"), ("format", b"b")],
    ]
    blocks = _blocks([_message(i, headers=headers) for i, headers in enumerate(named)])
    assert [(block.format, block.count) for block in blocks] == [
        (None, 2),
        ("segment", 2),
        (None, 1),
        ("b", 1),
    ]
    assert [block.first_offset for block in blocks] == [0, 2, 4, 5]


def test_a_header_goes_before_the_topics_format() -> None:
    messages = [_message(0), _message(1, headers=[("format", b"segment")])]
    assert _taken(messages, "footfall").block.format == "footfall"
    assert _taken(messages[1:], "footfall").block.format == "segment"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1700000000123", 1_700_000_000_123),
        (b"2023-11-14T22:13:20.123Z", 1_700_000_000_123),
        (b"2023-11-14T23:13:20.123+01:00", 1_700_000_000_123),
        (b"2023-11-14T22:13:20", 1_700_000_000_000),
        (b"yesterday", 7),
        (b"", 7),
        (b"-5", 7),
        (b"9" * 30, 7),
        (b"\xff\xfe", 7),
        (None, 7),
    ],
)
def test_a_republishers_arrival_goes_before_the_brokers(text: bytes | None, expected: int) -> None:
    found = _taken([_message(0, headers=[("arrival_time", text)], stamp=7)])
    assert found.block.arrivals is not None
    assert found.block.arrivals.tolist() == [expected]
    assert (found.own_arrival, found.broker_arrival) == ((None, 7) if expected == 7 else (expected, None))


def test_the_producers_time_is_no_arrival() -> None:
    found = _taken([_message(0, stamp=5, kind=TIMESTAMP_CREATE_TIME)])
    assert found.block.arrivals is None
    assert (found.own_arrival, found.broker_arrival) == (None, None)


def test_a_block_is_cut_where_arrivals_begin_or_end() -> None:
    made = TIMESTAMP_CREATE_TIME
    messages = [
        _message(0, kind=made),
        _message(1, kind=made, headers=[("x", b"")]),
        _message(2, kind=made, headers=[("arrival_time", b"12")]),
        _message(3, stamp=13),
        _message(4, kind=made),
    ]
    blocks = _blocks(messages)
    arrivals = [None if block.arrivals is None else block.arrivals.tolist() for block in blocks]
    assert arrivals == [None, [12, 13], None]


_CHOICES = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME]),
        st.sampled_from([None, b"a", b"b"]),
        st.sampled_from([None, b"5", b"never"]),
        st.one_of(st.none(), st.binary(max_size=6)),
    ),
    min_size=1,
    max_size=12,
)


@given(choices=_CHOICES)
def test_blocks_hold_every_message_once_with_what_is_its_own(
    choices: list[tuple[int, int, bytes | None, bytes | None, bytes | None]],
) -> None:
    messages, offset = [], 0
    expected = []
    for step, kind, form, arrival, value in choices:
        offset += step
        headers: Headers = [("format", form)] if form else []
        headers += [("arrival_time", arrival)] if arrival else []
        messages.append(_message(offset, value, headers=headers or None, stamp=offset, kind=kind))
        stamp = offset if kind == TIMESTAMP_LOG_APPEND_TIME else None
        told = 5 if arrival == b"5" else stamp
        expected.append((offset, (value or b"").replace(b"\n", b"\r"), form and form.decode(), told))
    blocks = _blocks(messages)
    found = []
    for block in blocks:
        arrivals = [None] * block.count if block.arrivals is None else block.arrivals.tolist()
        lines = block.data.split(b"\n")[:-1]
        assert len(lines) == block.count
        for row, at in enumerate(block.offsets_of_records().tolist()):
            found.append((at, lines[row], block.format, arrivals[row]))
    assert found == expected
    for one, two in pairwise(blocks):  # and no cut is needless
        assert one.format != two.format or (one.arrivals is None) != (two.arrivals is None)
