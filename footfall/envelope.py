"""The event envelope: the one place that says which fields an event has.

The Polars schema, the ClickHouse columns, the JSON Schema that `schemas/` publishes and the structs that the
input formats decode into are all made from `FIELDS`, so they can't drift apart.

Times are UTC with millisecond resolution. `value` is money in millionths (Int64), so that sums are exact.
"""

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

TIME = pl.Datetime("ms", "UTC")
MILLIONTHS = 1_000_000

# ClickHouse's DateTime64 starts in 1900; a site's events don't predate the web, and a year of four digits
# beyond 2200 is a unit error (microseconds taken for milliseconds) rather than a time.
EARLIEST_TIME_MS = 0
LATEST_TIME_MS = 7_258_118_400_000

Sent = Literal["text", "time", "number", "money", "object"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the envelope.

    Attributes:
        name: the field's name, in frames, tables, patterns and the flat JSON format alike.
        dtype: its type in a frame.
        clickhouse: its type in the store.
        nullable: whether an event can lack it once it is decoded.
        sent: how a record carries it in the flat format; None where Footfall itself fills it.
        about: what it means, for the published schema.
    """

    name: str
    dtype: pl.DataType
    clickhouse: str
    nullable: bool
    sent: Sent | None
    about: str


def _text(name: str, about: str, *, clickhouse: str = "Nullable(String)") -> Field:
    return Field(name, pl.String(), clickhouse, nullable=True, sent="text", about=about)


def _name(name: str, about: str) -> Field:
    return _text(name, about, clickhouse="LowCardinality(Nullable(String))")


def _told(name: str, about: str) -> Field:
    return Field(name, pl.String(), "LowCardinality(Nullable(String))", nullable=True, sent=None, about=about)


def _flag(name: str, about: str) -> Field:
    return Field(name, pl.Boolean(), "Bool", nullable=False, sent=None, about=about)


FIELDS: tuple[Field, ...] = (
    Field(
        "message_id",
        pl.String(),
        "String",
        False,
        "text",
        "Names the message; a hash of the record if absent",
    ),
    Field("visitor_id", pl.String(), "String", False, "text", "Who acted: an anonymous or a known visitor"),
    _text("user_id", "The known user, where there is one"),
    Field(
        "event", pl.String(), "LowCardinality(String)", False, "text", "What happened, as a normalised name"
    ),
    Field(
        "event_original",
        pl.String(),
        "LowCardinality(String)",
        False,
        None,
        "The event's name as it was sent",
    ),
    Field("event_time", TIME, "DateTime64(3, 'UTC')", False, "time", "When it happened, as used"),
    Field("event_time_sent", TIME, "DateTime64(3, 'UTC')", False, None, "When it happened, as sent"),
    Field("arrival_time", TIME, "Nullable(DateTime64(3, 'UTC'))", True, "time", "When the record came in"),
    Field(
        "source_partition",
        pl.String(),
        "LowCardinality(String)",
        False,
        None,
        "The partition it was read from",
    ),
    Field("source_offset", pl.Int64(), "Int64", False, None, "Its position in that partition, from 0"),
    _text("url", "The page's address"),
    _text("path", "The page's path; taken from the address if absent"),
    _text("referrer", "The page that led here"),
    _name("utm_source", "Campaign source"),
    _name("utm_medium", "Campaign medium"),
    _name("utm_campaign", "Campaign name"),
    _name("utm_term", "Campaign term"),
    _name("utm_content", "Campaign content"),
    _text("element", "The element that was acted on, as a CSS selector or a name"),
    Field("x", pl.Int32(), "Nullable(Int32)", True, "number", "Pointer position, pixels from the left"),
    Field("y", pl.Int32(), "Nullable(Int32)", True, "number", "Pointer position, pixels from the top"),
    Field(
        "value",
        pl.Int64(),
        "Nullable(Int64)",
        True,
        "money",
        "Money: a number as sent, in millionths as used",
    ),
    _name("currency", "The value's currency"),
    Field("properties", pl.String(), "String", False, "object", "Everything else, as JSON text"),
    _flag("late", "It came after its partition's watermark: stored and counted, not matched"),
    _flag("clock_capped", "Its time lay in the future and was set back"),
    _flag("bot", "Its user agent names a robot"),
    _told("device", "What its user agent says it was on: desktop, phone or tablet"),
    _told("browser", "The browser's brand, as its user agent says it"),
)

FIELD_BY_NAME = {field.name: field for field in FIELDS}
SCHEMA = pl.Schema({field.name: field.dtype for field in FIELDS})

# Other names that the flat format reads without any setting; the field's own name goes first, then this order.
ALIASES: dict[str, tuple[str, ...]] = {
    "message_id": ("event_id", "messageId"),
    "visitor_id": ("anonymous_id", "anonymousId"),
    "user_id": ("userId",),
    "event": ("event_type", "event_name"),
    "event_time": ("ts", "timestamp"),
    "arrival_time": ("received_at", "receivedAt"),
    "url": ("page_url",),
    "path": ("page_path",),
    "referrer": ("referer",),
}


def json_schema() -> dict[str, Any]:
    """The published contract of one record in the flat format (JSON Schema, draft 2020-12)."""
    kinds: dict[Sent, Any] = {
        "text": {"type": ["string", "null"]},
        "time": {
            "anyOf": [
                {"type": "string", "description": "ISO 8601; UTC where no offset is given"},
                {"type": "integer", "description": "milliseconds since 1970-01-01T00:00:00Z"},
                {"type": "null"},
            ]
        },
        "number": {"type": ["number", "null"]},
        "money": {"type": ["number", "string", "null"], "description": "a string holds a decimal number"},
        "object": {},
    }
    properties: dict[str, Any] = {}
    for field in FIELDS:
        if field.sent is None:
            continue
        for name in (field.name, *ALIASES.get(field.name, ())):
            about = field.about if name == field.name else f"Alias of {field.name}"
            properties[name] = {**kinds[field.sent], "title": about}
    required = [
        {"anyOf": [{"required": [name]} for field in group for name in (field, *ALIASES.get(field, ()))]}
        for group in (("visitor_id", "user_id"), ("event",), ("event_time",))
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Footfall event",
        "description": "One record of the flat format. Unknown fields are kept, in properties.",
        "type": "object",
        "properties": properties,
        "allOf": required,
        "additionalProperties": True,
    }
