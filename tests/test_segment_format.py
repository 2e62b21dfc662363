"""The `segment` format: message types, times, and where its values stand."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from decoding import MESSAGE, one, reason


def event_of(**more: object) -> dict[str, Any]:
    return one({key: value for key, value in {**MESSAGE, **more}.items() if value is not None}, "segment")


@pytest.mark.parametrize(
    ("kind", "name", "original"),
    [
        ("track", "order_completed", "Order Completed"), ("page", "page_view", "page"),
        ("screen", "screen_view", "screen"), ("identify", "identify", "identify"), ("group", "group",
        "group"),
        ("alias", "alias", "alias"),
    ],
)  # fmt: skip
def test_message_types(kind: str, name: str, original: str) -> None:
    event = event_of(type=kind)
    assert (event["event"], event["event_original"]) == (name, original)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"type": "batch"}, "unknown_type"),
        ({"type": None}, "unknown_type"),
        ({"type": 5}, "wrong_type"),
        ({"event": None}, "no_event"),
        ({"event": "!"}, "no_event"),
        ({"anonymousId": None}, "no_visitor"),
        ({"userId": 5}, "wrong_type"),
        ({"timestamp": None}, "no_time"),
        ({"timestamp": "soon"}, "bad_time"),
        ({"sentAt": {}}, "wrong_type"),
        ({"originalTimestamp": 0, "sentAt": 10, "receivedAt": 5}, "bad_time"),
        ({"properties": {"revenue": 1e40}}, "overflow"),
    ],
)
def test_what_violates_the_schema_is_a_dead_letter(more: dict[str, Any], code: str) -> None:
    record = {key: value for key, value in {**MESSAGE, **more}.items() if value is not None}
    assert reason(record, "segment") == code


def test_the_devices_clock_is_taken_out_of_the_time() -> None:
    times = {
        "originalTimestamp": "2030-01-01T00:00:00.000Z", "sentAt": "2030-01-01T00:00:05.000Z",
        "receivedAt": "2024-01-02T00:00:07.000Z",
    }  # fmt: skip
    event = event_of(**times)
    assert event["event_time"] == datetime(2024, 1, 2, 0, 0, 2, tzinfo=UTC)
    assert event["arrival_time"] == datetime(2024, 1, 2, 0, 0, 7, tzinfo=UTC)
    stamped = datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    assert event_of(**{**times, "sentAt": None})["event_time"] == stamped
    assert event_of(timestamp=None, originalTimestamp=times["originalTimestamp"])["event_time"].year == 2030


def test_visitors_and_users() -> None:
    both = event_of(userId="u")
    assert (both["visitor_id"], both["user_id"]) == ("v", "u")
    known = event_of(anonymousId=None, userId="u")
    assert (known["visitor_id"], known["user_id"]) == ("u", "u")


def test_where_values_stand() -> None:
    event = event_of(
        context={
            "page": {"url": "https://a.example/p?utm_term=t", "referrer": "https://b.example/"},
            "campaign": {"name": "spring", "source": "mail"},
            "userAgent": "Googlebot/2.1",
        },
        properties={"total": "12.50", "value": 3, "currency": "EUR", "selector": "#buy", "url": "/other"},
    )
    expected = {
        "url": "https://a.example/p?utm_term=t", "path": "/p", "referrer": "https://b.example/",
        "utm_source": "mail",
        "utm_campaign": "spring", "utm_term": "t", "utm_medium": None, "value": 12_500_000, "currency": "EUR",
        "element": "#buy", "bot": True,
    }  # fmt: skip
    assert {name: event[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("properties", "value"),
    [
        ({"revenue": 5, "total": 7}, 5_000_000),
        ({"revenue": "", "total": 7}, 7_000_000),
        ({"revenue": None, "value": 7}, 7_000_000),
        ({"value": "blue"}, None),
        ({"value": "7 EUR"}, None),
        ({"value": [7]}, None),
        ({"value": True}, None),
        ({"revenue": "free", "value": 1}, 1_000_000),
    ],
)
def test_amounts(properties: dict[str, Any], value: int | None) -> None:
    event = event_of(properties=properties)
    assert event["value"] == value
    assert json.loads(event["properties"]) == properties


def test_free_fields_of_another_type_count_as_absent() -> None:
    event = event_of(
        properties={"url": 5, "currency": ["EUR"]}, context={"page": "none", "campaign": {"name": 3}}
    )
    assert [event[name] for name in ("url", "currency", "utm_campaign")] == [None] * 3
    assert event_of(properties="text", context=5)["properties"] == '"text"'


def test_traits_are_the_properties_of_people_and_groups() -> None:
    assert event_of(type="identify", traits={"plan": "pro"}, properties={})["properties"] == '{"plan": "pro"}'
    assert event_of(type="track", traits={"plan": "pro"}, properties={"a": 1})["properties"] == '{"a": 1}'
    assert event_of(type="identify")["properties"] == "{}"
