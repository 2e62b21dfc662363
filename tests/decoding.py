"""What the tests of decoding share: blocks, and one record decoded."""

import json
from typing import Any

from footfall.event_names import EventNames
from footfall.formats import REASONS, Decoded, format_by_name
from footfall.records import RecordBlock

NAMES = EventNames.load()
TIME = 1_760_000_000_000
GOOD: dict[str, Any] = {"message_id": "m", "visitor_id": "v", "event": "click", "event_time": TIME}
MESSAGE: dict[str, Any] = {
    "type": "track", "messageId": "m", "anonymousId": "v", "event": "Order Completed",
    "timestamp": "2024-01-02T03:04:05.678Z",
}  # fmt: skip


def block_of(lines: list[bytes], **more: Any) -> RecordBlock:  # the block's own fields
    data = b"".join(line + b"\n" for line in lines)
    return RecordBlock("p", 100, len(lines), data, "file", 11, **more)


def decode(lines: list[bytes], name: str = "footfall", columns: frozenset[str] | None = None) -> Decoded:
    return format_by_name(name)(NAMES, columns).decode(block_of(lines))


def one(record: dict[str, Any] | bytes, name: str = "footfall") -> dict[str, Any]:
    """The event that a record becomes, which must be good."""
    line = record if isinstance(record, bytes) else json.dumps(record).encode()
    decoded = decode([line], name)
    assert decoded.dead.rows() == []
    return decoded.events.row(0, named=True)


def reason(record: dict[str, Any] | bytes, name: str = "footfall") -> str:
    """Why a record, which must be bad, is a dead letter; a good one beside it must not care."""
    line = record if isinstance(record, bytes) else json.dumps(record).encode()
    decoded = decode([json.dumps(GOOD if name == "footfall" else MESSAGE).encode(), line], name)
    assert decoded.events.height == decoded.dead.height == 1
    letter = decoded.dead.row(0, named=True)
    assert letter["detail"]
    assert letter["bytes"] == line
    assert letter["reason"] in REASONS
    return str(letter["reason"])
