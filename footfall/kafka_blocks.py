"""Kafka messages as record blocks: bytes joined, offsets and arrival times as columns.

A block holds messages that say the same of their format, and that all have an arrival time or all have none.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from footfall.records import KEPT_BYTES, MAX_RECORD_BYTES, RecordBlock

FORMAT_HEADER = "format"
ARRIVAL_HEADER = "arrival_time"

_LOGGER = logging.getLogger("footfall.kafka")
_LONGEST_FORMAT = 64
_LATEST_MS = 253_402_300_800_000  # the year 10000: no arrival time is later


@dataclass(frozen=True, slots=True)
class TakenBlock:
    """A block, and what its making told.

    Attributes:
        block: the records.
        taken: how many messages are in it.
        own_arrival: the latest arrival (ms) that a header gave, or None.
        broker_arrival: the latest arrival (ms) that the broker gave, or None.
    """

    block: RecordBlock
    taken: int
    own_arrival: int | None
    broker_arrival: int | None


def take_block(
    messages: Sequence[Message],
    partition: str,
    topic: str,
    topic_format: str | None,
    *,
    own_arrivals_count: bool = True,
) -> TakenBlock:
    """The longest block that these messages begin with; they are one partition's, in order, at least one.

    A message without a value is an empty record, a newline in a value a carriage return: to JSON both are white
    space, and neither may stand in a text. A header `format` goes before `topic_format`; a header `arrival_time`
    (ms, or ISO 8601) before the broker's time, which counts only where it is the time of the append. Unless
    `own_arrivals_count`, the broker's time goes before the header.
    """
    own_arrivals: list[int | None] = []
    headers = _headers(messages)
    # Reading a header is slow, but asking whether there is any isn't.
    if any(headers):
        messages, topic_format, own_arrivals = _same_headers(messages, headers, topic_format)
    count = len(messages)
    times = np.fromiter(chain.from_iterable(map(Message.timestamp, messages)), np.int64, 2 * count)
    appended = times[::2] == TIMESTAMP_LOG_APPEND_TIME
    stamps = times[1::2].copy()
    own_arrival: int | None = None
    dated = appended
    if own_arrivals:
        if not own_arrivals_count:
            own_arrivals = [
                None if by else one for one, by in zip(own_arrivals, appended.tolist(), strict=True)
            ]
        own = np.array([each is not None for each in own_arrivals])
        dated = appended | own
        appended = appended & ~own
        stamps[own] = [each for each in own_arrivals if each is not None]
    if bool(dated[0]) != bool(dated.all() if dated[0] else dated.any()):
        count = int(np.argmax(dated != dated[0]))
        messages, appended, dated, stamps = messages[:count], appended[:count], dated[:count], stamps[:count]
        own_arrivals = own_arrivals[:count]
    if own_arrivals and (own := np.array([each is not None for each in own_arrivals])).any():
        own_arrival = int(stamps[own].max())
    data, oversized = _joined(messages)
    offsets = np.fromiter(map(Message.offset, messages), np.int64, count)
    first = int(offsets[0])
    block = RecordBlock(
        partition=partition,
        first_offset=first,
        count=count,
        data=data,
        source=topic,
        first_line=first + 1,
        oversized=oversized,
        arrivals=stamps if dated[0] else None,
        offsets=None if int(offsets[-1]) - first == count - 1 else offsets,
        format=topic_format,
        own_arrivals=own_arrivals_count,
    )
    broker = int(stamps[appended].max()) if appended.any() else None
    return TakenBlock(block, count, own_arrival, broker)


def _joined(messages: Sequence[Message]) -> tuple[bytes, dict[int, int]]:
    """The messages' values, a newline after each, and the sizes of those that were cut."""
    values = list(map(Message.value, messages))
    values.append(b"")
    try:
        data = b"\n".join(values)  # type: ignore[arg-type] # a value may be None, which is the error below
    except TypeError:
        values = [value or b"" for value in values]
        data = b"\n".join(values)  # type: ignore[arg-type] # none is None any more
    oversized: dict[int, int] = {}
    if len(data) > MAX_RECORD_BYTES:
        for row, value in enumerate(values):
            if value is not None and len(value) > MAX_RECORD_BYTES:
                oversized[row] = len(value)
                values[row] = value[:KEPT_BYTES]
        if oversized:
            data = b"\n".join(values)  # type: ignore[arg-type] # none is None any more
    if data.count(b"\n") != len(values) - 1:
        data = b"\n".join([(value or b"").replace(b"\n", b"\r") for value in values])
    return data, oversized


_Headers = dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]] | None


def _headers(messages: Sequence[Message]) -> list[_Headers]:
    """Each message's headers; none where one's name isn't UTF-8, at which the client fails."""
    found: list[_Headers] = []
    left = iter(messages)
    while True:
        try:
            found.extend(map(Message.headers, left))
        except SystemError:
            message = messages[len(found)]
            _LOGGER.debug(
                "%s/%s, offset %s: a header's name isn't UTF-8; its headers are left out",
                message.topic(), message.partition(), message.offset(),
            )  # fmt: skip
            # What the client has made of them so far isn't whole, and to be seen by nobody.
            message.set_headers([])
            found.append(None)
        else:
            return found


def _same_headers(
    messages: Sequence[Message], headers: Sequence[_Headers], topic_format: str | None
) -> tuple[Sequence[Message], str | None, list[int | None]]:
    """The messages up to the first that names another format, that format, and the arrivals that headers give."""
    arrivals: list[int | None] = []
    first: str | None = None
    for row, message in enumerate(messages):
        # The last one of a name counts, as Kafka's own lastHeader has it.
        own = dict(headers[row] or ())
        named = _format_of(own, topic_format)
        if not row:
            first = named
        elif named != first:
            return messages[:row], first, arrivals
        arrivals.append(_arrival_of(own, message))
    return messages, first, arrivals


def _format_of(headers: Mapping[str, bytes | str | None], topic_format: str | None) -> str | None:
    value = headers.get(FORMAT_HEADER)
    if value is None:
        return topic_format
    text = value if isinstance(value, str) else value.decode("ascii", "replace")
    return text.strip()[:_LONGEST_FORMAT] or topic_format


def _arrival_of(headers: Mapping[str, bytes | str | None], message: Message) -> int | None:
    value = headers.get(ARRIVAL_HEADER)
    if value is None:
        return None
    text = (value if isinstance(value, str) else value.decode("ascii", "replace")).strip()
    try:
        if text.isdigit():
            found = int(text)
        else:
            moment = datetime.fromisoformat(text)
            found = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except ValueError:
        found = -1
    if 0 <= found < _LATEST_MS:
        return found
    _LOGGER.debug(
        "%s/%s, offset %s: header arrival_time is no time: %.80r",
        message.topic(),
        message.partition(),
        message.offset(),
        text,
    )
    return None
