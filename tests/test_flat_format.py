"""The `footfall` format: fields, aliases, and what each kind of value may be."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from decoding import GOOD, TIME, decode, one, reason

MOMENT = datetime.fromtimestamp(TIME / 1000, UTC)


def without(*names: str, **more: object) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key not in names} | more


def test_a_record_of_journey_1_needs_no_setting() -> None:
    event = one(
        {
            "event_id": "e1", "event_type": "click", "user_id": "u1", "ts": TIME, "element": "#cta", "x": 3,
            "y": 4,
            "page_url": "https://shop.example/contact", "properties": {"price": 99.5},
        }
    )  # fmt: skip
    expected = {
        "message_id": "e1", "visitor_id": "u1", "user_id": "u1", "event": "click", "event_original": "click",
        "event_time": MOMENT, "event_time_sent": MOMENT, "arrival_time": None, "source_offset": 100,
        "url": "https://shop.example/contact", "path": "/contact", "element": "#cta", "x": 3, "y": 4,
        "value": None, "late": False, "clock_capped": False, "bot": False, "properties": '{"price": 99.5}',
    }  # fmt: skip
    assert {name: event[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (without("visitor_id"), "no_visitor"),
        (without(visitor_id="  ", user_id=None), "no_visitor"),
        (without("event"), "no_event"),
        (without(event="--"), "no_event"),
        (without(event=" "), "no_event"),
        (without("event_time"), "no_time"),
        (without(event_time=None), "no_time"),
        (without(event_time="yesterday"), "bad_time"),
        (without(event_time="1760000000000"), "bad_time"),
        (without(event_time=-1), "bad_time"),
        (without(event_time=TIME * 1000), "bad_time"),
        (without(event_time=TIME + 0.5), "bad_time"),
        (without(event_time="2024-02-30T00:00:00Z"), "bad_time"),
        (without(event_time=True), "wrong_type"),
        (without(event_time=[TIME]), "wrong_type"),
        (without(arrival_time="never"), "bad_time"),
        (without(visitor_id=5), "wrong_type"),
        (without(message_id=5), "wrong_type"),
        (without(event={}), "wrong_type"),
        (without(url=1), "wrong_type"),
        (without(element=["a"]), "wrong_type"),
        (without(x="1"), "wrong_type"),
        (without(x=True), "wrong_type"),
        (without(x=2**31), "overflow"),
        (without(y=-(2.0**31) - 1), "overflow"),
        (without(value=[]), "wrong_type"),
        (without(value="a lot"), "bad_number"),
        (without(value="1_000"), "bad_number"),
        (without(value="NaN"), "bad_number"),
        (without(value="1e999999"), "overflow"),
        (without(value=9_223_372_036_855), "overflow"),
        (without(value="-9223372036854.7758075"), "overflow"),
        (json.dumps(GOOD).encode()[:-1] + b',"value":1e300}', "overflow"),
        (json.dumps(GOOD).encode()[:-1] + b',"event_time":1e17}', "bad_time"),
    ],
)
def test_what_violates_the_schema_is_a_dead_letter(record: dict[str, Any] | bytes, code: str) -> None:
    assert reason(record) == code


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("0", 0), ("1.5", 1_500_000), ("-0.0000005", 0), ("0.0000015", 2), ("0.0000025", 2),
        ("0.00000250000001", 3),
        ("-0.0000015", -2), ("9223372036854.775807", 2**63 - 1), ("-9223372036854.775807", 1 - 2**63),
        ("1e3", 10**9),
        ("0.1", 100_000), ("1E-7", 0), ("1e-999", 0), ("12345.678901234567890123456789", 12_345_678_901),
        ("0.0000005" + "0" * 200 + "1", 1), ("9007199254740993e-6", 9_007_199_254_740_993),
    ],
)  # fmt: skip
def test_money_is_exact(sent: str, expected: int) -> None:
    line = json.dumps(GOOD).encode()[:-1]
    assert one(line + f',"value":{sent}}}'.encode())["value"] == expected
    assert one(line + f',"value":"{sent}"}}'.encode())["value"] == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(0.5, 0), (1.5, 2), (-0.5, 0), (-1.5, -2), (2147483647.4, 2**31 - 1), (1 - 2**31, 1 - 2**31)],
)
def test_positions_are_rounded_half_to_even(sent: float, expected: int) -> None:
    assert one({**GOOD, "x": sent})["x"] == expected


@pytest.mark.parametrize(
    "sent",
    [
        TIME, float(TIME), "2025-10-09T08:53:20Z", "2025-10-09T08:53:20.000999Z", "2025-10-09 10:53:20+02:00",
        "2025-10-09T08:53:20", "20251009T085320Z", "2025-10-08T23:53:20.0-09:00",
    ],
)  # fmt: skip
def test_ways_to_say_a_time(sent: object) -> None:
    event = one({**GOOD, "event_time": sent, "arrival_time": sent})
    assert event["event_time"] == event["event_time_sent"] == event["arrival_time"] == MOMENT


def test_blank_text_is_null() -> None:
    event = one(
        {
            **GOOD,
            "user_id": " ",
            "url": "",
            "element": "\t",
            "currency": "\n",
            "value": "",
            "arrival_time": "",
        }
    )
    names = ("user_id", "url", "path", "element", "currency", "value", "arrival_time")
    assert [event[name] for name in names] == [None] * len(names)


def test_a_message_without_id_is_named_by_its_bytes() -> None:
    first, second = one(without("message_id")), one(without(message_id=""))
    assert len(first["message_id"]) == 32
    assert first["message_id"] != second["message_id"]
    assert first["message_id"] == one(without("message_id"))["message_id"]


def test_the_name_goes_before_its_alias() -> None:
    event = one({**GOOD, "ts": 5, "event_id": "other", "page_url": "/p", "url": None})
    assert (event["message_id"], event["event_time"], event["url"]) == ("m", MOMENT, "/p")
    assert json.loads(event["properties"]) == {"ts": 5, "event_id": "other"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {}),
        ({"properties": None}, {}),
        ({"properties": [1]}, [1]),
        ({"properties": "text"}, "text"),
        ({"properties": {"a": 1}, "b": {"c": None}}, {"a": 1, "b": {"c": None}}),
        ({"properties": [1], "b": 2}, {"properties": [1], "b": 2}),
        ({"properties": {"a": 1}, "a": 2}, {"a": 1, "record.a": 2}),
        ({"late": True, "event_original": "x"}, {"late": True, "event_original": "x"}),
    ],
)
def test_unknown_fields_go_to_the_properties(more: dict[str, Any], expected: object) -> None:
    assert json.loads(one({**GOOD, **more})["properties"]) == expected


def test_properties_are_kept_to_the_byte() -> None:
    sent = '{ "price" : 1.10, "big": 12345678901234567890123, "e": 1e2, "dup": 1, "dup": 2}'
    assert (
        one(json.dumps(GOOD).encode()[:-1] + b', "properties": ' + sent.encode() + b" } \r")["properties"]
        == sent
    )


def test_a_key_given_twice_counts_as_last_given() -> None:
    assert one(json.dumps(GOOD).encode()[:-1] + b',"event":"scroll"}')["event"] == "scroll"


def test_the_address_gives_path_and_campaign() -> None:
    url = "https://a.example/p/q?utm_source=news%20letter&utm_medium=&utm_campaign=x&utm_campaign=y#f"
    event = one({**GOOD, "url": url, "utm_term": "own"})
    names = ("path", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
    assert [event[name] for name in names] == ["/p/q", "news letter", None, "x", "own", None]
    assert one({**GOOD, "url": url, "path": "/own", "utm_source": "own"})["path"] == "/own"
    assert one({**GOOD, "url": url, "utm_source": "own"})["utm_source"] == "own"
    escaped = json.dumps({**GOOD, "url": url}).replace("/", "\\/").encode()
    assert {**one(escaped), "utm_term": "own"} == event


@pytest.mark.parametrize(
    ("agent", "robot"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0", True),
        ("curl/8.5.0", True),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.1 Safari/605.1.15",
            False,
        ),
        (5, False),
    ],
)
def test_robots_are_marked(agent: object, robot: bool) -> None:  # noqa: FBT001  # a case's own value
    event = one({**GOOD, "user_agent": agent})
    assert event["bot"] is robot
    assert json.loads(event["properties"]) == {"user_agent": agent}


def test_without_properties_nothing_of_them_is_made() -> None:
    line = json.dumps({**GOOD, "other": 1}).encode()
    assert "properties" not in decode([line], columns=frozenset({"event"})).events.columns
