"""Matching a frame: the answers are those of its events in order, and what is wrong with a frame is said."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import footfall
from footfall import Pattern, event, field, last, match, property_
from footfall.errors import PatternError, UsageError
from footfall.match_frame import MATCH_SCHEMA
from footfall.pattern_parameters import parameters

PAIR = Pattern("pair").begin("a", event == "a").followed_by_any("b", event == "b").within("4 s")
# Outputs are for the automata: the same matches by another way.
PAIR_BY_AUTOMATON = (
    Pattern("by_automaton")
    .begin("a", event == "a")
    .followed_by_any("b", event == "b")
    .within("4 s")
    .output(where=last("b").field("path"))
)
LONELY = Pattern("lonely").begin("a", event == "a").not_followed_by("b", event == "b").within("3 s")


def frame_of(*names: str, **columns: list[Any]) -> pl.DataFrame:
    """One visitor's events, a second apart."""
    seconds = [1000 * number for number in range(len(names))]
    return pl.DataFrame({"visitor_id": ["v"] * len(names), "event": names, "event_time": seconds, **columns})


def rows_of(matches: pl.DataFrame) -> list[dict[str, list[int]]]:
    found = []
    for rows in matches["rows"].to_list():
        taken: dict[str, list[int]] = {}
        for each in rows:
            taken.setdefault(each["stage"], []).append(each["row"])
        found.append(taken)
    return found


def test_three_lines_are_enough() -> None:
    frame = frame_of("a", "x", "b")
    bought = Pattern("bought").begin("saw", event == "a").followed_by("bought", event == "b").within("1 h")
    matches = match(frame, bought)

    assert matches.schema == MATCH_SCHEMA
    start = datetime(1970, 1, 1, tzinfo=UTC)
    assert matches.to_dicts() == [
        {
            "pattern": "bought",
            "visitor_id": "v",
            "first_time": start,
            "last_time": start + timedelta(seconds=2),
            "settled_time": start + timedelta(seconds=2),
            "status": "fired",
            "outputs": None,
            "rows": [{"stage": "saw", "row": 0}, {"stage": "bought", "row": 2}],
            "at_end": False,
        }
    ]


def test_a_matchs_rows_join_to_the_frame() -> None:
    frame = frame_of("x", "a", "b")
    rows = match(frame, PAIR).explode("rows").unnest("rows")
    joined = rows.join(frame.with_row_index("row"), on="row", maintain_order="left")
    assert joined.select("stage", "event").rows() == [("a", "a"), ("b", "b")]


Events = list[tuple[str, str, int]]
streams = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abx"), st.integers(0, 9)), min_size=1, max_size=14
)


@settings(max_examples=60)
@given(streams)
def test_pairs_are_those_of_the_sorted_frame_by_both_ways(events: Events) -> None:
    frame = pl.DataFrame(
        {
            "visitor_id": [visitor for visitor, _, _ in events],
            "event": [name for _, name, _ in events],
            "event_time": [1000 * second for _, _, second in events],
            "path": None,
        }
    )
    ordered = sorted(range(len(events)), key=lambda row: events[row][2])
    expected = sorted(
        (a, b)
        for place, a in enumerate(ordered)
        for b in ordered[place + 1 :]
        if events[a][0] == events[b][0]
        and (events[a][1], events[b][1]) == ("a", "b")
        and events[b][2] - events[a][2] < 4
    )
    matches = match(frame, [PAIR, PAIR_BY_AUTOMATON])
    for pattern in ("pair", "by_automaton"):
        rows = rows_of(matches.filter(pl.col("pattern") == pattern))
        assert sorted((taken["a"][0], taken["b"][0]) for taken in rows) == expected
    assert matches["settled_time"].is_sorted()


@settings(max_examples=40)
@given(streams.flatmap(lambda events: st.tuples(st.just(events), st.permutations(range(len(events))))))
def test_the_order_of_rows_of_different_times_changes_nothing(drawn: tuple[Events, list[int]]) -> None:
    events, order = drawn
    # Each event has a time of its own, so that no tie is broken in another way.
    frame = pl.DataFrame(
        {
            "visitor_id": [visitor for visitor, _, _ in events],
            "event": [name for _, name, _ in events],
            "event_time": [700 * number for number in range(len(events))],
        }
    )
    patterns = [
        PAIR,
        LONELY,
        Pattern("run").begin("a", event == "a").one_or_more().greedy().followed_by("b", event == "b"),
    ]
    shuffled = match(frame[order], patterns)
    straight = match(frame, patterns)
    numbers = [
        {stage: [order[row] for row in rows] for stage, rows in taken.items()} for taken in rows_of(shuffled)
    ]
    assert shuffled.drop("rows").rows() == straight.drop("rows").rows()

    def ranked(pattern: pl.Series, taken: list[dict[str, list[int]]]) -> list[str]:
        return sorted(
            f"{name} {json.dumps(each, sort_keys=True)}" for name, each in zip(pattern, taken, strict=True)
        )

    assert ranked(shuffled["pattern"], numbers) == ranked(straight["pattern"], rows_of(straight))


def test_rows_of_one_time_keep_their_order_whenever_they_arrived() -> None:
    at = {"event_time": [5, 5], "arrival_time": [9, 7], "source_offset": [8, 3]}
    assert rows_of(match(frame_of("a", "b", **at), PAIR)) == [{"a": [0], "b": [1]}]
    assert match(frame_of("b", "a", **at), PAIR).is_empty()


def test_an_absence_is_released_by_the_end_or_before_it() -> None:
    frame = frame_of("a", "x")
    assert match(frame, LONELY)["at_end"].to_list() == [True]
    for until in (datetime(1970, 1, 1, 0, 1), datetime(1970, 1, 1, 0, 1, tzinfo=UTC)):  # noqa: DTZ001  # naive is UTC
        assert match(frame, LONELY, until=until)["at_end"].to_list() == [False]
    with pytest.raises(UsageError, match="until"):
        match(frame, LONELY, until=datetime(1970, 1, 1, tzinfo=UTC))


def test_an_absence_of_days_needs_until() -> None:
    gone = Pattern("gone").begin("a", event == "a").not_followed_by("b", event == "b").within("30 d")
    assert match(frame_of("a"), gone).is_empty()
    later = datetime(1970, 2, 1, tzinfo=UTC)
    assert match(frame_of("a"), gone, until=later)["settled_time"].to_list() == [
        datetime(1970, 1, 31, tzinfo=UTC)
    ]


def test_partial_matches_that_time_out_say_so() -> None:
    timing = (
        Pattern("timing")
        .begin("a", event == "a")
        .followed_by("b", event == "b")
        .within("2 s")
        .with_timeouts()
    )
    matches = match(frame_of("a", "x", "x", "a", "b"), timing)
    assert sorted(matches.select("status", "rows").rows(), key=str) == [
        ("fired", [{"stage": "a", "row": 3}, {"stage": "b", "row": 4}]),
        ("timed_out", [{"stage": "a", "row": 0}]),
    ]


def test_other_columns_are_properties() -> None:
    pricey = (
        Pattern("pricey")
        .begin("a", property_("price", "number") > 9)
        .output(price=last("a").property_("price", "number"), city=last("a").property_("to.city"))
    )
    own = ['{"price": 99, "to": {"city": "Ulm"}}', None]
    frame = frame_of("a", "b", price=[10, 9], properties=own)
    assert [json.loads(text) for text in match(frame, pricey)["outputs"]] == [{"price": 10.0, "city": "Ulm"}]
    assert rows_of(match(frame.drop("price"), pricey)) == [{"a": [0]}]
    nested = frame_of("a", "b", price=[1.0, 11.5], to=[{"city": "Ulm"}, {"city": "Bonn"}])
    assert [json.loads(text) for text in match(nested, pricey)["outputs"]] == [
        {"price": 11.5, "city": "Bonn"}
    ]


def test_the_columns_types_are_brought_to_the_envelopes() -> None:
    frame = pl.DataFrame(
        {
            "visitor_id": [7, 7],
            "event": pl.Series(["a", "b"], dtype=pl.Categorical),
            "event_time": [datetime(2026, 1, 1, 1), datetime(2026, 1, 1, 1, 0, 2)],  # noqa: DTZ001  # naive is UTC
            "value": [1.25, None],
            "x": [3.0, 4.0],
            "element": [None, None],
        }
    )
    dear = Pattern("dear").begin("a", field("value") == 1.25).followed_by("b", field("x") == 4)
    (found,) = match(frame, dear).to_dicts()
    assert (found["visitor_id"], found["first_time"]) == ("7", datetime(2026, 1, 1, 1, tzinfo=UTC))
    zoned = frame.with_columns(pl.col("event_time").dt.replace_time_zone("Europe/Berlin"))
    assert match(zoned, dear)["first_time"][0] == datetime(2026, 1, 1, tzinfo=UTC)
    days = frame.with_columns(event_time=pl.Series([date(2026, 1, 1), date(2026, 1, 2)]))
    assert match(days, dear)["last_time"][0] == datetime(2026, 1, 2, tzinfo=UTC)
    whole = frame.with_columns(value=pl.Series([1, 2], dtype=pl.Int16))
    assert match(whole, Pattern("one").begin("a", field("value") == 1)).height == 1


def test_rows_with_one_message_id_count_once() -> None:
    frame = frame_of("a", "b", "b", message_id=["m", "n", "n"])
    assert rows_of(match(frame, PAIR)) == [{"a": [0], "b": [1]}]
    named = Pattern("named").begin("a", event == "b").output(id=last("a").field("message_id"))
    with pytest.raises(UsageError, match=r"'message_id': 'n'.*unique"):
        match(frame, named)
    assert match(frame[:2], named).select("rows", "outputs").rows() == [
        ([{"stage": "a", "row": 1}], '{"id":"n"}')
    ]
    assert match(frame[:2].drop("message_id"), named)["outputs"].to_list() == ['{"id":"1"}']


def test_late_rows_are_left_out() -> None:
    frame = frame_of("b", "a", "b", "b", late=[False, False, True, None])
    assert rows_of(match(frame, PAIR)) == [{"a": [1], "b": [3]}]


def test_a_frame_without_rows_or_patterns_has_no_matches() -> None:
    assert match(frame_of("a", "b")[:0], PAIR).schema == MATCH_SCHEMA
    assert match(frame_of("a", "b"), []).is_empty()


def test_dropped_partial_matches_are_told(caplog: pytest.LogCaptureFixture) -> None:
    frame = frame_of(*"aaaab")
    with pytest.warns(UserWarning, match="path"):
        assert match(frame, PAIR_BY_AUTOMATON, limit=2).height == 2
    assert "2 partial matches were dropped at the limit of 2" in caplog.text


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (frame_of("a").drop("event"), r"no column 'event'.*it has 'visitor_id', 'event_time'.*rename"),
        (frame_of("a").rename({"event_time": "timestamp"}), r"rename\(\{'timestamp': 'event_time'\}\)"),
        (frame_of("a", "b").with_columns(event=pl.Series(["a", None])), r"'event' is empty in 1 .*row 1.*drop_nulls"),
        (frame_of("a").with_columns(visitor_id=pl.lit(" ")), r"'visitor_id' is empty.*row 0"),
        (frame_of("a").with_columns(event_time=pl.lit("noon")), r"'event_time' must hold times, .*to_datetime"),
        (frame_of("a").with_columns(event_time=pl.lit(10**15)), r"'event_time', row 0: .*milliseconds"),
        (frame_of("a").with_columns(visitor_id=pl.lit(1.5)), r"'visitor_id' must hold texts, not Float64.*cast"),
        (frame_of("a", value=["1"]), r"'value' must hold numbers, not String.*cast"),
        (frame_of("a", value=[1e300]), r"'value': a number in it is too large"),
        (frame_of("a", x=[float("nan")]), r"'x': a number in it .*none"),
        (frame_of("a", late=["no"]), r"'late' must hold true and false, not String"),
        (frame_of("a", properties=["[1]"]), r"'properties', row 0: '\[1\]' is no JSON object"),
        (frame_of("a", blob=[b"x"]), r"'blob' holds Binary.*drop"),
        (frame_of("a").lazy(), r"not LazyFrame: collect\(\)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_frame_is_said_with_what_to_do(frame: Any, says: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){says}"):
        match(frame, Pattern("any").begin("a", property_("p").is_null()))


def test_patterns_must_be_whole_and_of_different_names() -> None:
    with pytest.raises(PatternError, match="two patterns"):
        match(frame_of("a"), [PAIR, PAIR])
    with pytest.raises(PatternError, match="within"):
        match(frame_of("a"), Pattern("open").begin("a").not_followed_by("b", event == "b"))


def test_a_pattern_with_parameters_has_its_defaults() -> None:
    @parameters(event_name="which event it is about")
    def named(event_name: str = "a") -> Pattern:
        return Pattern("named").begin("one", event == event_name)

    frame = frame_of("a", "b")
    for one in (named, [named], iter([named()])):
        assert rows_of(match(frame, one)) == [{"one": [0]}]
    assert rows_of(match(frame, named(event_name="b"))) == [{"one": [1]}]


@pytest.mark.parametrize("given", ["a", ["a"], None, 1, [None]])
def test_what_is_no_pattern_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match=r"is none: build one with footfall\.Pattern"):
        match(frame_of("a"), given)


def test_until_is_a_time() -> None:
    until: Any = "2026-01-01"
    with pytest.raises(UsageError, match="until is a datetime, not '2026-01-01'"):
        match(frame_of("a"), PAIR, until=until)


def test_a_column_that_patterns_read_in_vain_is_named() -> None:
    clicks = Pattern("clicks").begin("a", field("element") == "#pay").followed_by("b", property_("p") == "1")
    with pytest.warns(UserWarning, match="read element, properties, which the frame doesn't have"):
        assert match(frame_of("a", "b"), clicks).is_empty()


def test_the_package_costs_nothing_until_it_is_used() -> None:
    code = """
import sys, footfall
assert not {"numba", "polars", "numpy"} & set(sys.modules)
import footfall.taken_events
assert footfall.taken is footfall.taken_events.taken
from footfall import *
assert taken is footfall.taken and match is footfall.match_frame.match
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_is_offered_and_no_other() -> None:
    assert set(footfall.__all__) <= set(dir(footfall))
    assert all(callable(getattr(footfall, name)) for name in footfall.__all__ if name != "event")
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = footfall.nothing  # type: ignore[attr-defined]  # that is the point
