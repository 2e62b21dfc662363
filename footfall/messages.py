"""The messages that go out to Kafka: what each contract's fields are, and rows of the tables as JSON.

`CONTRACTS` is the one place that says what a message holds; the JSON Schemas in `schemas/messages/` are made from
it. In every message:

- `schema` is the contract's name and version, such as `footfall.trigger/1`. A version only ever gains optional
  fields; whatever would break a reader makes the next version. So readers ignore fields that they don't know.
- Every field of the contract is there; one without a value is null.
- Times are ISO 8601 in UTC with milliseconds: `2025-01-31T12:00:00.000Z`.
- Money is an exact decimal number in a string, without exponent or needless zeros: `"129.9"`.
- What is JSON text in a table (such as `evidence`, `stages`, `properties`) is a JSON value here, its numbers
  digit by digit as they are; text that is no JSON becomes a JSON string, and empty text null. Bytes are base64.

A message is one line.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec
import numpy as np
import orjson
import polars as pl

from footfall.envelope import FIELDS, MILLIONTHS, TIME
from footfall.tables import (
    CONTROLS,
    DEAD_LETTERS,
    EVENTS,
    LATE_EVENTS,
    MATCHES,
    SCORES,
    SESSIONS,
    TRIGGERS,
    Table,
)

Kind = Literal["text", "time", "integer", "number", "boolean", "money", "json", "bytes"]

_LINE_ENDS = re.compile(r"[\r\n]+")
_OBJECT: Mapping[str, Any] = {"type": "object"}
_OBJECTS: Mapping[str, Any] = {"type": "array", "items": {"type": "object"}}
_IDS_BY_STAGE: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
}
_KINDS: Mapping[Kind, Mapping[str, Any]] = {
    "text": {"type": "string"},
    "time": {
        "type": "string",
        "format": "date-time",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
    },
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "money": {"type": "string", "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]{0,5}[1-9])?$"},
    "json": {},
    "bytes": {"type": "string", "contentEncoding": "base64"},
}


@dataclass(frozen=True, slots=True)
class MessageField:
    """One field of a message.

    Attributes:
        name: its name.
        kind: how its value is written; the module says how.
        about: what it means.
        nullable: whether it may be null.
        required: whether a message of this version must have it. Only the fields that a version began with are.
        values: all that a text may be; empty where it may be anything.
        shape: the JSON Schema of a `json` value.
        stored_as: the table's column, where that has another name.
    """

    name: str
    kind: Kind
    about: str
    nullable: bool = False
    required: bool = True
    values: tuple[str, ...] = ()
    shape: Mapping[str, Any] = field(default_factory=dict)
    stored_as: str = ""

    @property
    def column(self) -> str:
        """The table's column that holds it."""
        return self.stored_as or self.name

    def json_schema(self) -> dict[str, Any]:
        """The published schema of the value."""
        schema: dict[str, Any] = {**_KINDS[self.kind], **self.shape}
        if self.values:
            schema["enum"] = [*self.values, *([None] if self.nullable else [])]
        if self.nullable and "type" in schema:
            schema["type"] = [schema["type"], "null"]
        return {**schema, "description": self.about}


@dataclass(frozen=True, slots=True)
class MessageContract:
    """One kind of message: its name without `footfall.`, its version, and its fields in order.

    `omitted` names the columns of its tables that no message shows. `sent` says that each message carries `sent_at`,
    the time at which it was sent.
    """

    name: str
    version: int
    about: str
    fields: tuple[MessageField, ...]
    omitted: tuple[str, ...] = ()
    sent: bool = False

    @property
    def schema(self) -> str:
        """What a message's field `schema` says."""
        return f"footfall.{self.name}/{self.version}"

    @property
    def file_name(self) -> str:
        """The published schema's file in `schemas/messages/`."""
        return f"{self.name}.v{self.version}.schema.json"

    def json_schema(self) -> dict[str, Any]:
        """The published contract (JSON Schema, draft 2020-12); fields that it doesn't name are allowed."""
        properties: dict[str, Any] = {
            "schema": {"const": self.schema, "description": "The contract's name and version"}
        }
        properties |= {each.name: each.json_schema() for each in self.fields}
        required = ["schema", *(each.name for each in self.fields if each.required)]
        if self.sent:
            properties["sent_at"] = MessageField("sent_at", "time", _SENT_AT).json_schema()
            required.append("sent_at")
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.schema,
            "description": self.about,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": True,
        }


_SENT_AT = "When this copy was sent; no part of the message's identity"
_STATUSES = ("fired", "retracted", "timed_out")


def _text(name: str, about: str, *, nullable: bool = False) -> MessageField:
    return MessageField(name, "text", about, nullable=nullable)


def _time(name: str, about: str) -> MessageField:
    return MessageField(name, "time", about)


def _integer(name: str, about: str) -> MessageField:
    return MessageField(name, "integer", about)


def _flag(name: str, about: str) -> MessageField:
    return MessageField(name, "boolean", about)


def _json(name: str, about: str, shape: Mapping[str, Any], *, nullable: bool = False) -> MessageField:
    return MessageField(name, "json", about, nullable=nullable, shape=shape)


_REVISION = _integer(
    "revision",
    "0 at first, higher each time the status changes: ignore a revision that isn't higher than the one you have",
)
_AT_END = _flag("at_end", "Closed by the end of the input, not by what was in it")

TRIGGER = MessageContract(
    "trigger",
    1,
    "A trigger for marketing automation. It is told at least once: act on a trigger_id once, withdraw it when a higher "
    "revision is retracted.",
    (
        _text(
            "trigger_id",
            "Names the trigger: a hash of the rule's name, the visitor and the match's first event",
        ),
        _REVISION,
        MessageField(
            "status",
            "text",
            "fired: act on it; retracted: it was disproved, withdraw it",
            values=("fired", "retracted"),
        ),
        _text("rule", "The trigger rule's name"),
        _text("rule_version", "The version of the rule that decided"),
        _text("pattern", "The name of the pattern that the rule waits for"),
        _text("pattern_version", "The version of the pattern that matched"),
        _text("match_id", "Names the match that the trigger comes from"),
        _text("visitor_id", "Whom it is about: an anonymous or a known visitor"),
        _text("user_id", "The known user, where there is one", nullable=True),
        _text("session_id", "The session of the match's first event, where it is known", nullable=True),
        _time("event_time", "When the match's first event happened"),
        _time("due_time", "When the rule's wait was over, in event time"),
        _time("expires_time", "After this the trigger isn't sent any more; don't act on it later"),
        _time("decided_time", "The event time at which the rule decided"),
        _text("action", "What the rule asks for, such as the name of a campaign"),
        _json("evidence", "Stage -> ids of the messages that it took", _IDS_BY_STAGE),
        _json("fields", "The fields that the rule adds for the message", _OBJECT),
        _json("scores", "Score -> its value when the rule decided", _OBJECT),
    ),
    omitted=("topic",),
    sent=True,
)

SESSION = MessageContract(
    "session",
    1,
    "A visitor's session, told when it has closed.",
    (
        _text("session_id", "Names the session: a hash of the visitor and the session's first event"),
        _REVISION,
        MessageField(
            "status", "text", "fired: it stands; retracted: it doesn't any more", values=_STATUSES[:2]
        ),
        _text("visitor_id", "Whose session it is"),
        _text("user_id", "The known user, where there is one", nullable=True),
        _time("start_time", "Time of its first event"),
        _time("end_time", "Time of its last event"),
        _integer("duration_ms", "From its first to its last event, in ms"),
        _integer("events", "Its events"),
        _integer("page_views", "Its page views"),
        _integer("clicks", "Its clicks"),
        _integer("conversions", "Its conversions"),
        _integer("distinct_pages", "How many pages it saw"),
        _integer("longest_idle_ms", "Its longest time without an event, in ms"),
        _flag("bounce", "It had one event"),
        _text("entry_page", "The path of its first page", nullable=True),
        _text("exit_page", "The path of its last page", nullable=True),
        _text("referrer", "The page that led to it", nullable=True),
        _text("utm_source", "Campaign source", nullable=True),
        _text("utm_medium", "Campaign medium", nullable=True),
        _text("utm_campaign", "Campaign name", nullable=True),
        _text("utm_term", "Campaign term", nullable=True),
        _text("utm_content", "Campaign content", nullable=True),
        MessageField("value", "money", "The sum of its events' values"),
        _text("currency", "The values' currency", nullable=True),
        _flag("mixed_currencies", "Its values are in several currencies, so that their sum means nothing"),
        _AT_END,
    ),
)

MATCH = MessageContract(
    "match",
    1,
    "A pattern's match.",
    (
        _text(
            "match_id",
            "Names the match: a hash of visitor, pattern, version, the stages' events and the ordinal",
        ),
        _REVISION,
        MessageField(
            "status",
            "text",
            "fired: it stands; retracted: it was disproved; timed_out: a partial match that ran out of time",
            values=_STATUSES,
        ),
        _text("pattern", "The pattern's name"),
        _text("pattern_version", "The version of the pattern that matched"),
        _text("visitor_id", "Whose events matched"),
        _time("first_time", "Time of its first event"),
        _time("last_time", "Time of its last event"),
        _time("settled_time", "The event time at which it was certain"),
        _json("stages", "Stage -> ids of the messages that it took", _IDS_BY_STAGE),
        _integer("ordinal", "Its number among matches that are equal but for that, from 0"),
        _json(
            "outputs",
            "What the pattern's output asks for; null where it asks for nothing",
            _OBJECT,
            nullable=True,
        ),
        _AT_END,
    ),
)

SCORE = MessageContract(
    "score",
    1,
    "What a model says of a visitor, told when it has moved far or into another band. The key is the visitor and the "
    "model, so that a compacted topic has the newest of each.",
    (
        _text("score_id", "Names the score: a hash of model, visitor and the moment that it was made at"),
        _REVISION,
        MessageField(
            "status", "text", "fired: it stands; retracted: it doesn't any more", values=_STATUSES[:2]
        ),
        _text("model", "The model's name"),
        _text("visitor_id", "Whom it is about: an anonymous or a known visitor"),
        _text("user_id", "The known user, where there is one", nullable=True),
        _text("session_id", "The session that has just ended, where that is the moment", nullable=True),
        _time("time", "The moment, in event time"),
        _text("moment", "What kind of moment: session_end, event, or days_after the last event"),
        MessageField("score", "number", "0 to 100"),
        MessageField("predicted", "number", "The probability, or the expected money of models of value"),
        _text("band", "The band of the score, such as low, medium, high"),
        _text("learner", "Which of the model's learners predicted"),
        _integer("model_version", "How many labels that learner had learnt"),
        _json("reasons", "The strongest reasons, in words", {"type": "array", "items": {"type": "string"}}),
        MessageField(
            "change", "number", "Change since the score told before; null for the first", nullable=True
        ),
    ),
)

_LATER_EVENT_FIELDS = ("device", "browser")
"""Those that the first version of the contract hadn't."""

_EVENT_KINDS: Mapping[str, Kind] = {"time": "time", "number": "integer", "money": "money", "object": "json"}


def _event_field(name: str) -> MessageField:
    known = next(each for each in FIELDS if each.name == name)
    kind: Kind = "text"
    if isinstance(known.dtype, pl.Datetime):
        kind = "time"
    elif known.sent is not None and known.sent in _EVENT_KINDS:
        kind = _EVENT_KINDS[known.sent]
    elif known.dtype == pl.Boolean:
        kind = "boolean"
    elif known.dtype == pl.Int64:
        kind = "integer"
    # The envelope speaks of the table's form.
    about = {"value": "Money", "properties": "Everything else that the event carried"}.get(name, known.about)
    return MessageField(name, kind, about, nullable=known.nullable, required=name not in _LATER_EVENT_FIELDS)


EVENT = MessageContract(
    "event",
    1,
    "An event as it was read; one with `late` came after its partition's watermark. The flat format reads it as it is.",
    tuple(_event_field(each.name) for each in FIELDS),
)

DEAD_LETTER = MessageContract(
    "dead_letter",
    1,
    "A record that couldn't be decoded, or a message that Kafka refused (its `source_offset` is -1, its `source` the "
    "topic that it was for).",
    (
        _text("source_partition", "The partition it was read from"),
        _integer("source_offset", "Its position in that partition, from 0"),
        _text("source", "The file or topic it was read from"),
        _integer("line", "Its line in the file, from 1; 0 where there are no lines"),
        _text("reason", "Why it was refused, in a word"),
        _text("detail", "Why it was refused, for people"),
        MessageField("bytes", "bytes", "The record, or its beginning"),
        _integer("bytes_total", "The whole record's size"),
        _text("digest", "Names the record's content"),
    ),
)

CONTROL = MessageContract(
    "control",
    1,
    "A run's patterns, trigger rules and champions of scores, and from when on they are in force. Its key is its "
    "number in 8 digits. It takes the place of the one of its number, and of all with higher numbers before it.",
    (
        _integer("number", "0 is what the run began with, then 1, 2, 3 …"),
        MessageField(
            "from",
            "time",
            "The event time from which on it is in force, itself included; null for number 0, which always was",
            nullable=True,
            stored_as="from_time",
        ),
        _text(
            "digest",
            'SHA-256 of {"patterns": …, "rules": …} and, where it holds any, "champions", as ASCII JSON with sorted '
            "keys and without white space",
        ),
        _json("patterns", "The patterns, by name, each as `Pattern.to_json` writes it", _OBJECTS),
        _json("rules", "The trigger rules, by name, each as `TriggerRule.to_json` writes it", _OBJECTS),
        _json(
            "deployed",
            "Rule -> when it was first deployed; a rule that isn't there always was",
            {"type": "object", "additionalProperties": _KINDS["time"]},
        ),
        _time("written_at", "When it was made, by the clock of the machine that made it"),
        MessageField(
            "champions",
            "json",
            "Model of scores -> the learner that was promoted; a model that isn't there has the one it is declared "
            "with",
            required=False,
            shape={"type": "object", "additionalProperties": {"type": "string"}},
        ),
    ),
)

CONTRACTS: tuple[MessageContract, ...] = (TRIGGER, SESSION, MATCH, SCORE, EVENT, DEAD_LETTER, CONTROL)

CONTRACT_BY_TABLE: Mapping[str, MessageContract] = {
    TRIGGERS.name: TRIGGER,
    SESSIONS.name: SESSION,
    MATCHES.name: MATCH,
    SCORES.name: SCORE,
    EVENTS.name: EVENT,
    LATE_EVENTS.name: EVENT,
    DEAD_LETTERS.name: DEAD_LETTER,
    CONTROLS.name: CONTROL,
}


def encoded_messages(table: Table, frame: pl.DataFrame, *, sent_at: datetime | None = None) -> list[bytes]:
    """The rows of a table as messages of its contract, one a row and in the rows' order.

    Args:
        table: one of those in `CONTRACT_BY_TABLE`.
        frame: rows with at least the contract's columns, in the table's types.
        sent_at: the time to put into messages that carry one, aware of its zone; None leaves it out.
    """
    if frame.is_empty():
        return []
    contract = CONTRACT_BY_TABLE[table.name]
    columns = [_WRITERS[each.kind](frame[each.column]) for each in contract.fields]
    names = ("schema", *(each.name for each in contract.fields))
    start: tuple[object, ...] = (contract.schema,)
    if contract.sent and sent_at is not None:
        names = ("schema", "sent_at", *names[1:])
        start += (_iso_times(pl.Series([sent_at]).cast(TIME))[0],)
    return [orjson.dumps(dict(zip(names, start + row, strict=True))) for row in zip(*columns, strict=True)]


def _iso_times(times: pl.Series) -> list[str | None]:
    # Numpy writes times, few or many, at a sixth of what Polars takes for the few rows of a batch.
    values: list[int | None] = times.to_physical().to_list()
    milliseconds = np.array([value or 0 for value in values], "datetime64[ms]")
    texts: list[str] = np.datetime_as_string(milliseconds, timezone="UTC").tolist()
    return [None if value is None else text for value, text in zip(values, texts, strict=True)]


def _decimals(millionths: pl.Series) -> list[str | None]:
    return [None if value is None else _decimal(value) for value in millionths.to_list()]


def _decimal(millionths: int) -> str:
    whole, fraction = divmod(abs(millionths), MILLIONTHS)
    text = f"{whole}.{fraction:06}".rstrip("0") if fraction else str(whole)
    return f"-{text}" if millionths < 0 else text


def _base64(data: pl.Series) -> list[str | None]:
    return [None if value is None else b64encode(value).decode() for value in data.to_list()]


def _json_values(texts: pl.Series) -> list[object]:
    return [_fragment(text) for text in texts.to_list()]


def _fragment(text: str | None) -> object:
    """JSON text as it is, on one line; other text as a string, and no text as null."""
    if not text:
        return None
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return text
    return orjson.Fragment(_LINE_ENDS.sub(" ", text) if "\n" in text or "\r" in text else text)


_WRITERS: Mapping[Kind, Callable[[pl.Series], Sequence[object]]] = {
    "text": pl.Series.to_list,
    "integer": pl.Series.to_list,
    "number": pl.Series.to_list,
    "boolean": pl.Series.to_list,
    "time": _iso_times,
    "money": _decimals,
    "bytes": _base64,
    "json": _json_values,
}
