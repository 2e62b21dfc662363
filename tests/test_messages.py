"""The message contracts: what is published, what old consumers can still read, and what rows become."""

import base64
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import polars as pl
import pytest
from decoding import one
from hypothesis import given
from hypothesis import strategies as st
from store_rows import rows

from footfall.content import content_folder
from footfall.messages import (
    CONTRACT_BY_TABLE,
    CONTRACTS,
    TRIGGER,
    MessageContract,
    MessageField,
    encoded_messages,
)
from footfall.tables import DEAD_LETTERS, LATE_EVENTS, MATCHES, SESSIONS, TABLE_BY_NAME, TRIGGERS, Table

FROZEN = Path(__file__).resolve().parent / "messages_v1"
"""The contracts as they were when they were first published. These files never change."""

SENT = tuple(TABLE_BY_NAME[name] for name in CONTRACT_BY_TABLE)
"""The tables whose rows go out as messages."""

SENT_AT = datetime(2025, 2, 1, 12, 0, 0, 5000, tzinfo=UTC)


def _sound(table: Table, count: int) -> pl.DataFrame:
    """Rows whose statuses and JSON texts are what the engine writes."""
    stages = '{"cart": ["m1", "m2"], "leave": []}'
    sound = {"status": "retracted", "stages": stages, "evidence": stages, "properties": '{"sku": 1.50}'}
    sound |= {"fields": '{"value": 12.30}', "scores": "{}", "outputs": ""}
    sound |= {"patterns": '[{"name": "p"}]', "rules": "[]", "deployed": '{"r": "2025-01-31T12:00:00.000Z"}'}
    sound |= {"champions": '{"lead": "scaled_logistic"}'}
    sound |= {"reasons": '["orders: 3 (raises it)"]'}
    return rows(table, count).with_columns(
        pl.lit(value).alias(name) for name, value in sound.items() if name in table.schema
    )


def _contract_schema(contract: MessageContract) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (content_folder("schemas") / "messages" / contract.file_name).read_bytes()
    )
    return found


def test_the_published_schemas_are_those_of_the_contracts() -> None:
    published = {path.name for path in (content_folder("schemas") / "messages").iterdir()}
    assert published == {contract.file_name for contract in CONTRACTS}
    for contract in CONTRACTS:
        wanted = json.dumps(contract.json_schema(), indent=2, ensure_ascii=False) + "\n"
        path = content_folder("schemas") / "messages" / contract.file_name
        assert path.read_text("utf-8") == wanted, f"write json_schema() of {contract.schema} to {path.name}"


def test_the_published_schemas_are_sound() -> None:
    for contract in CONTRACTS:
        jsonschema.Draft202012Validator.check_schema(_contract_schema(contract))


def test_a_message_has_every_column_of_its_table() -> None:
    for table in SENT:
        contract = CONTRACT_BY_TABLE[table.name]
        fields = {each.column for each in contract.fields}
        assert fields | set(contract.omitted) == set(table.schema), table.name
        nullable = {name for name, _, kind in table.columns if "Nullable(" in kind}
        shown = {each.column for each in contract.fields if each.nullable}
        assert nullable <= shown, table.name
        assert shown - nullable <= {"outputs"}, "empty text becomes null"


@pytest.mark.parametrize("table", SENT, ids=lambda table: table.name)
def test_messages_keep_to_the_published_schema(table: Table) -> None:
    contract = CONTRACT_BY_TABLE[table.name]
    validator = jsonschema.Draft202012Validator(
        _contract_schema(contract), format_checker=jsonschema.FormatChecker()
    )
    messages = encoded_messages(table, _sound(table, 12), sent_at=SENT_AT)
    assert len(messages) == 12
    for message in messages:
        validator.validate(json.loads(message))


def test_the_schema_refuses_what_is_no_message() -> None:
    (message,) = encoded_messages(TRIGGERS, _sound(TRIGGERS, 1), sent_at=SENT_AT)
    validator = jsonschema.Draft202012Validator(_contract_schema(TRIGGER))
    for change in (
        {"schema": "footfall.trigger/2"},
        {"due_time": "2025-01-31T12:00:00Z"},
        {"status": "suppressed"},
        {"revision": "0"},
        {"evidence": {"cart": [1]}},
    ):
        assert list(validator.iter_errors(json.loads(message) | change)), change
    assert list(validator.iter_errors({k: v for k, v in json.loads(message).items() if k != "rule"}))


# ---- old consumers


def _frozen(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What of the new schema an old consumer couldn't read, or a new one couldn't read of old messages."""
    found = []
    before, now = old["properties"], new["properties"]
    for name, schema in before.items():
        if name not in now:
            found.append(f"{name} is gone")
        elif {**now[name], "description": ""} != {**schema, "description": ""}:
            found.append(f"{name} has changed")
    if set(old["required"]) != set(new["required"]):
        found.append("other fields are required")
    return found


def test_contracts_only_gain_optional_fields() -> None:
    frozen = sorted(FROZEN.glob("*.json"))
    assert len(frozen) == 7
    for path in frozen:
        assert (
            _breaks(
                _frozen(path), json.loads((content_folder("schemas") / "messages" / path.name).read_bytes())
            )
            == []
        )


def test_a_breaking_change_is_seen() -> None:
    old = TRIGGER.json_schema()
    fields = TRIGGER.fields
    more = MessageField("channel", "text", "Which way", required=False)
    changed: dict[str, tuple[MessageField, ...]] = {
        "rule is gone": tuple(each for each in fields if each.name != "rule"),
        "rule has changed": tuple(
            MessageField("rule", "integer", "") if each.name == "rule" else each for each in fields
        ),
        "user_id has changed": tuple(
            MessageField("user_id", "text", "") if each.name == "user_id" else each for each in fields
        ),
        "other fields are required": (*fields, MessageField("channel", "text", "Which way")),
    }
    for said, new in changed.items():
        assert said in _breaks(old, MessageContract("trigger", 1, "", new, sent=True).json_schema())
    assert _breaks(old, MessageContract("trigger", 1, "", (*fields, more), sent=True).json_schema()) == []


def _old_consumer(schema: dict[str, Any]) -> type[msgspec.Struct]:
    """A consumer's own class, made when the contract was first published: strict on types, blind to new fields."""
    kinds: dict[str, Any] = {"string": str, "integer": int, "boolean": bool, "object": dict[str, Any]}
    fields: list[tuple[str, Any]] = []
    for name, of in schema["properties"].items():
        kind = of.get("type", "string" if "const" in of else None)
        names = kind if isinstance(kind, list) else [kind]
        own = kinds.get(names[0], Any)
        fields.append((name, own | None if "null" in names else own))
    return msgspec.defstruct("OldMessage", fields)


@pytest.mark.parametrize("table", SENT, ids=lambda table: table.name)
def test_old_consumers_read_new_messages(table: Table) -> None:
    contract = CONTRACT_BY_TABLE[table.name]
    schema = _frozen(FROZEN / f"{contract.name}.v1.schema.json")
    consumer = _old_consumer(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for message in encoded_messages(table, _sound(table, 12), sent_at=SENT_AT):
        read = msgspec.json.decode(message, type=consumer, strict=True)
        assert msgspec.to_builtins(read) == {
            name: value for name, value in json.loads(message).items() if name in schema["properties"]
        }
        more = json.loads(message) | {"a_later_field": {"of": "version 1"}}
        assert msgspec.convert(more, consumer, strict=True) == read
        validator.validate(more)


# ---- how values are written


@pytest.mark.parametrize("table", SENT, ids=lambda table: table.name)
def test_messages_hold_what_the_rows_hold(table: Table) -> None:
    frame = rows(table, 40)
    contract = CONTRACT_BY_TABLE[table.name]
    kinds = {each.name: each.kind for each in contract.fields}
    columns = {each.name: each.column for each in contract.fields}
    for message, row in zip(encoded_messages(table, frame), frame.iter_rows(named=True), strict=True):
        assert b"\n" not in message
        read = json.loads(message)
        assert read.pop("schema") == contract.schema
        assert set(read) == set(kinds)
        for name, value in read.items():
            wanted = row[columns[name]]
            assert _as_in_the_row(kinds[name], value, wanted) == wanted, name


def _as_in_the_row(kind: str, value: Any, wanted: Any) -> Any:
    if kind == "json":
        if value is None:
            return ""
        return wanted if isinstance(wanted, str) and value in (wanted, _loaded(wanted)) else value
    if value is None or kind in ("text", "integer", "number", "boolean"):
        return value
    if kind == "time":
        return datetime.fromisoformat(value)
    if kind == "money":
        return int(Decimal(value) * 1_000_000)
    return base64.b64decode(value, validate=True)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_money_is_exact_and_in_one_form(millionths: list[int]) -> None:
    frame = rows(SESSIONS, len(millionths)).with_columns(value=pl.Series(millionths, dtype=pl.Int64))
    for message, value in zip(encoded_messages(SESSIONS, frame), millionths, strict=True):
        text = json.loads(message)["value"]
        assert Decimal(text) * 1_000_000 == value
        assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]{0,5}[1-9])?", text)
        assert text != "-0"


def test_times_have_milliseconds_even_if_they_are_none() -> None:
    whole = datetime(2025, 1, 31, 12, tzinfo=UTC)
    frame = rows(SESSIONS, 1).with_columns(start_time=pl.lit(whole).cast(SESSIONS.schema["start_time"]))
    assert json.loads(encoded_messages(SESSIONS, frame)[0])["start_time"] == "2025-01-31T12:00:00.000Z"


def test_json_texts_stay_as_they_are_digit_by_digit() -> None:
    text = '{"big": 123456789012345678901234567890, "exact": 1.10, "lines":\n[1,\r\n2]}'
    frame = rows(MATCHES, 1).with_columns(stages=pl.lit(text))
    (message,) = encoded_messages(MATCHES, frame)
    assert b'"stages":{"big": 123456789012345678901234567890, "exact": 1.10, "lines": [1, 2]}' in message


@pytest.mark.parametrize("text", ["{", "[1", "nan", "{} {}", "plain", "[" * 100_000 + "]" * 100_000])
def test_text_that_is_no_json_becomes_a_string(text: str) -> None:
    frame = rows(MATCHES, 2).with_columns(stages=pl.lit(text))
    for message in encoded_messages(MATCHES, frame):
        assert json.loads(message)["stages"] == text


def test_sent_at_stands_in_triggers_alone() -> None:
    (trigger,) = encoded_messages(TRIGGERS, rows(TRIGGERS, 1), sent_at=SENT_AT)
    assert json.loads(trigger)["sent_at"] == "2025-02-01T12:00:00.005Z"
    (session,) = encoded_messages(SESSIONS, rows(SESSIONS, 1), sent_at=SENT_AT)
    assert "sent_at" not in json.loads(session)


def test_no_rows_are_no_messages() -> None:
    for table in SENT:
        assert encoded_messages(table, table.empty(), sent_at=SENT_AT) == []


def test_bytes_of_any_kind_pass() -> None:
    frame = rows(DEAD_LETTERS, 1).with_columns(bytes=pl.lit(bytes(range(256))))
    assert base64.b64decode(json.loads(encoded_messages(DEAD_LETTERS, frame)[0])["bytes"]) == bytes(
        range(256)
    )


def test_a_late_event_reads_back_as_a_record() -> None:
    row = {
        "visitor_id": "v", "event": "order_completed", "event_original": "Order Completed", "value": 12_300_000,
        "currency": "EUR", "url": "https://shop.example/cart?utm_source=mail", "path": "/cart", "late": True,
        "properties": '{"sku": "a"}', "x": 3,
    }  # fmt: skip
    frame = rows(LATE_EVENTS, 1).with_columns(pl.lit(value).alias(name) for name, value in row.items())
    frame = frame.cast(LATE_EVENTS.schema)
    sent = frame.row(0, named=True)
    (message,) = encoded_messages(LATE_EVENTS, frame)
    read = one(message)
    for name in ("message_id", "visitor_id", "event", "event_time", "value", "currency", "url", "path", "x"):
        assert read[name] == sent[name], name
    assert json.loads(read["properties"])["sku"] == "a"
