"""Rows of the triggers' table: from matches as they are read, to decisions as they are written."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec
import polars as pl

from footfall.envelope import TIME
from footfall.match_output import MatchOutput
from footfall.polars_condition import JsonValue
from footfall.tables import TRIGGERS
from footfall.trigger_rule import TriggerRule

Status = Literal["fired", "retracted", "withdrawn", "unmet", "cooled", "capped", "suppressed", "shadow"]

NO_TRIGGERS = TRIGGERS.empty()

_SCHEMA = pl.Schema({name: pl.Int64() if dtype == TIME else dtype for name, dtype in TRIGGERS.schema.items()})
_TIMES = tuple(name for name, dtype in TRIGGERS.schema.items() if dtype == TIME)

_encode = msgspec.json.Encoder().encode
_decode_stages = msgspec.json.Decoder(dict[str, list[str]]).decode
_decode_outputs = msgspec.json.Decoder(dict[str, JsonValue]).decode


class TriggerMatch(NamedTuple):
    """A match, or a message about one, as rules read it; times in ms."""

    pattern: str
    pattern_version: str
    match_id: str
    visitor_id: str
    first_time: int
    last_time: int
    settled_time: int
    stages: str
    at_end: bool
    status: str
    outputs: str
    user_id: str | None
    session_id: str | None
    first_message_id: str | None

    def trigger_id(self, rule: str) -> bytes:
        """The 16 bytes that name the trigger that a rule makes of the match.

        They are a hash of the rule's name, the visitor and the match's first event, by its message and time.
        """
        message = self.first_message_id
        if message is None:
            # The stages are written in the order of their events.
            message = next(iter(_decode_stages(self.stages).values()))[0]
        named = _encode([rule, self.visitor_id, self.first_time, message])
        return blake2b(named, digest_size=16).digest()


def trigger_matches(matches: pl.DataFrame | None) -> Iterator[TriggerMatch]:
    """The rows of a frame of matches."""
    if matches is None or not matches.height:
        return iter(())
    columns = [
        matches.get_column(name).cast(pl.Int64).to_list()
        if name.endswith("_time")
        else matches.get_column(name).to_list()
        for name in TriggerMatch._fields
    ]
    return map(TriggerMatch._make, zip(*columns, strict=True))


def message_fields(rule: TriggerRule, outputs: str) -> str:
    """JSON of what goes with a rule's message; `outputs` is that of the match's outputs, or empty."""
    values = rule.field_values
    if not values:
        return "{}"
    known = _decode_outputs(outputs) if outputs else {}
    return _encode(
        {
            name: known.get(value.name) if isinstance(value, MatchOutput) else value
            for name, value in values.items()
        }
    ).decode()


class Decision(NamedTuple):
    """A decision as a row, in the order of the table's columns; times in ms."""

    trigger_id: str
    rule: str
    rule_version: str
    pattern: str
    pattern_version: str
    match_id: str
    visitor_id: str
    user_id: str | None
    session_id: str | None
    event_time: int
    due_time: int
    expires_time: int
    topic: str
    action: str
    evidence: str
    fields: str
    scores: str
    status: Status
    revision: int
    decided_time: int


def decision_rows(decisions: list[Decision]) -> pl.DataFrame:
    """The decisions as rows of the triggers' table."""
    if not decisions:
        return NO_TRIGGERS
    rows = pl.DataFrame(decisions, schema=_SCHEMA, orient="row")
    return pl.DataFrame([one.cast(TIME) if one.name in _TIMES else one for one in rows.iter_columns()])
