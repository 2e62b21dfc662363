"""One visitor's events out of a run's inputs, in the order and with the fates that a run gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from explained import SETTINGS, START, VISITOR, events_of, read, source_of

from footfall.errors import UsageError
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.visitor_events import fate_words, read_visitor

AB = Pattern("p").begin("a", event == "a").followed_by("b", event == "b")


def fates(*partitions: list[dict[str, Any]], **settings: Any) -> list[tuple[str, str | None]]:
    events = read(AB, *partitions, settings=replace(SETTINGS, **settings))
    return list(zip(events.frame["message_id"], events.frame["fate"], strict=True))


def test_the_visitors_events_alone_are_kept_and_matched() -> None:
    others = [
        {**record, "visitor_id": "w", "message_id": f"w{record['message_id']}"} for record in events_of("a b")
    ]
    events = read(AB, [*events_of("a b"), *others])
    assert events.records == 4
    assert events.frame["message_id"].to_list() == ["m1", "m2"]
    assert events.matches["visitor_id"].to_list() == [VISITOR]
    assert events.watermark == START + 1000 - 1


def test_late_events_and_copies_are_told_apart() -> None:
    one, two, three = events_of("a b c")
    assert fates([one, three, two, three]) == [
        ("m1", None),
        ("m2", "late"),
        ("m3", None),
        ("m3", "duplicate"),
    ]
    assert fates([one, three, two, three], lateness=5000) == [
        ("m1", None), ("m2", None), ("m3", None), ("m3", "duplicate"),
    ]  # fmt: skip


def test_the_clocks_settings_count() -> None:
    early = {**events_of("a")[0], "arrival_time": START + 100}
    wrong = {**events_of("a b")[1], "arrival_time": START + 200}
    events = read(AB, [early, wrong])
    assert events.frame["event_time"].to_physical().to_list() == [START, START + 200]


def test_partitions_are_joined_in_their_final_order() -> None:
    one, two, three = events_of("a - b")
    events = read(AB, [one, three], [two])
    assert events.frame["message_id"].to_list() == ["m1", "m2", "m3"]
    assert events.frame["source_partition"].to_list() == ["p0", "p1", "p0"]
    assert events.matches.height == 1


def test_of_copies_in_two_sessions_both_count() -> None:
    far = {**events_of("a")[0], "event_time": START + 86_400_000}
    assert fates([*events_of("a"), far]) == [("m1", None), ("m1", None)]
    near = {**far, "event_time": START + 60_000}
    assert fates([*events_of("a"), near])[1] == ("m1", "duplicate")
    assert fates([*events_of("a"), near], gap=50_000)[1] == ("m1", None)


def test_fates_in_words() -> None:
    events = read(AB, events_of("a"), settings=replace(SETTINGS, lateness=5000))
    assert "lateness is 5 s" in fate_words("late", events)
    assert "same message" in fate_words("duplicate", events)


def said(visitor: str, records: Sequence[Mapping[str, Any]]) -> str:
    with pytest.raises(UsageError) as raised:
        read_visitor(SETTINGS, source_of(records), AB, visitor, ())
    return str(raised.value)


def test_an_unknown_visitor_is_told_who_there_is() -> None:
    records: list[Mapping[str, Any]] = [
        {"message_id": f"m{n}", "visitor_id": f"visitor-{n}", "event": "a", "event_time": START}
        for n in range(9)
    ]
    assert "there are visitor-0, visitor-1, visitor-2, visitor-3, visitor-4 and others" in said("x", records)
    assert "among the 9 records" in said("x", records)
    assert "did you mean visitor-7?" in said("VISITOR-7", records)
    assert "did you mean visitor-3 or" in said("visitr-3", records)
    assert "none of which is a good one" in said("x", [{"event": "a"}])


def test_a_users_id_is_answered_with_their_visitor_ids() -> None:
    records = [{**record, "user_id": "u1"} for record in events_of("a b")]
    assert said("u1", records).endswith("it is a user's id: their visitor ids are v")


def test_the_columns_that_are_asked_for_are_there() -> None:
    events = read_visitor(SETTINGS, source_of(events_of("a:4")), AB, VISITOR, ("x",))
    assert events.frame["x"].to_list() == [4]
    assert events.frame.schema["fate"] == pl.String
