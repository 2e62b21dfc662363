"""Traces and engine find the same, for all kinds of patterns, and what a trace says holds together."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from explained import SETTINGS, START, VISITOR, events_of, explained, lines_of, pattern_of, read, steps_of
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from matching_strategies import Features, Stream, patterns, streams

from footfall.errors import PatternError
from footfall.explanation import Explainer, Explanation, compared
from footfall.expression import event as name
from footfall.expression import field
from footfall.match_trace import Trace
from footfall.pattern import Pattern
from footfall.pattern_spec import PatternSpec
from footfall.taken_events import last, prev, taken
from footfall.trace_rows import EventRow, FoldedRow, TimeRow, trace_rows

A, B, C = (name == letter for letter in "abc")
P = Pattern("p")


def check_trace(trace: Trace) -> None:
    """What a trace says of each partial match holds together."""
    matches = Counter(match.partial for match in trace.matches)
    for row in trace.partials:
        entries = [entry for entry in trace.entries if entry.partial == row.number]
        assert entries[0].what == ("begins" if row.parent is None else "takes")
        assert row.status != "live"
        assert len(row.matches) == matches[row.number]
        assert (row.status == "fired") == bool(row.matches)
        if row.status == "ended":
            assert sum(entry.words.startswith("ends: ") for entry in entries) == 1
            assert entries[-1].what == "ends"
            assert row.reason
            assert row.ended_at is not None
        if row.status == "open":
            assert entries[-1].what == "open"
            assert not any(entry.what == "ends" for entry in entries)
        if row.status == "held":
            assert "holds" in [entry.what for entry in entries]
        numbers = [number for _, number in row.steps]
        assert numbers == sorted(set(numbers))
        times = [trace.events[number].time for number in numbers]
        assert times == sorted(times)
        if row.parent is not None:
            assert row.parent < row.number
    for match in trace.matches:
        steps = trace.partials[match.partial - 1].steps
        assert list(match.steps) == steps[: len(match.steps)]
        assert (match.whole_at is None) == (match.let_out == "")
        if match.whole_at is not None:
            assert trace.events[match.steps[-1][1]].time <= match.whole_at < match.time
            assert match.let_out.startswith("#")
    rows = trace_rows(trace, fold=True)
    shown = [row.event.number for row in rows if isinstance(row, EventRow)]
    folded = [each.number for row in rows if isinstance(row, FoldedRow) for each in row.events]
    assert sorted(shown + folded) == [each.number for each in trace.events]
    told = sum(len(row.entries) for row in rows if not isinstance(row, FoldedRow))
    assert told == len(trace.entries)
    assert sum(isinstance(row, TimeRow) and row.ends for row in rows) == 1


SPECS = patterns(Features(partial_tests=False))


@given(spec=SPECS, stream=streams())
@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much])
def test_random_patterns_are_explained_as_the_engine_runs_them(spec: PatternSpec, stream: Stream) -> None:
    try:
        pattern = pattern_of(spec)
    except PatternError:
        assume(False)
    assume(stream.events)
    records = [
        {
            "message_id": f"m{number}",
            "visitor_id": VISITOR,
            "event": "click",
            "event_time": START + time,
            "element": "".join(letter for bit, letter in enumerate("abcd") if mask >> bit & 1) or "-",
        }
        for number, time, mask in stream.events
    ]
    end = None if stream.end is None else stream.end
    explanation = explained(pattern, records, clock=end)
    event(f"{min(len(explanation.trace.matches), 3)} matches")
    check_trace(explanation.trace)
    assert all(match.match_id for match in explanation.trace.matches)


RICH = [
    P.begin("a", A).followed_by("b", B & (field("x") > last("a").field("x"))),
    P.begin("a", A).one_or_more().followed_by("b", B & (taken("a").sum("x") > 3)).skip_past_last(),
    P.begin("a", A).followed_by("b", B & (prev("event") == "c")).within("5 s"),
    P.absent("c", C, for_="3 s").begin("a", A).followed_by("b", B).within("4 s").with_timeouts(),
    P.begin("a", A).times(2).not_followed_by("c", C, within="2 s").same("event_original"),
    P.begin("a", A).followed_by_any("b", B).tie_order("x").skip_to_first("b"),
]


@given(
    pattern=st.sampled_from(RICH),
    words=st.lists(st.sampled_from(["a:1", "a:2", "b:1", "b:3", "c", "-"]), min_size=1, max_size=9),
    apart=st.sampled_from([0, 1000, 1500]),
    clock=st.sampled_from([None, 20_000]),
)
@settings(max_examples=100)
def test_conditions_on_the_match_are_explained_too(
    pattern: Pattern, words: list[str], apart: int, clock: int | None
) -> None:
    check_trace(explained(pattern, " ".join(words), apart=apart, clock=clock).trace)


def test_each_value_of_the_same_field_is_a_run_of_its_own() -> None:
    records = events_of("a a b b -")
    for record, element in zip(records, "xyxy", strict=False):
        record["element"] = element
    trace = explained(P.begin("a", A).next("b", B).same("element"), records).trace
    assert [(row.same, steps_of(row)) for row in trace.partials] == [("x", "a1 b3"), ("y", "a2 b4")]
    assert trace.events[4].fate == "same"
    assert "it has no 'element'" in trace.events[4].left_out
    assert dict(trace.events[0].fields)["element"] == "'x'"


def test_late_events_and_copies_are_not_seen() -> None:
    records = events_of("a - b b c")
    records[3]["message_id"] = "m3"
    late = {**records[0], "message_id": "m0", "event": "b"}
    trace = explained(P.begin("a", A).followed_by_any("b", B), [*records, late]).trace
    assert [(event.name, event.fate) for event in trace.events] == [
        ("a", ""), ("b", "late"), ("other", ""), ("b", ""), ("b", "duplicate"), ("c", ""),
    ]  # fmt: skip
    assert "lateness is 0 ms" in trace.events[1].left_out
    assert len(trace.matches) == 1


def test_the_limit_on_partial_matches_is_the_runs() -> None:
    pattern = P.begin("a", A).followed_by("b", B).optional().followed_by("c", C)
    explanation = explained(pattern, "a a a c", settings=replace(SETTINGS, partial_limit=2))
    (row, *_) = explanation.trace.partials
    assert (row.status, row.reason) == ("ended", "limit")
    assert "there are more than 2 partial matches" in row.ending


def test_conditions_beyond_one_word_of_the_mask_count() -> None:
    pattern = P.begin("a", name == "e0")
    for number in range(1, 40):
        pattern = pattern.followed_by(f"s{number}", (name == f"e{number}") & (field("x") == number))
        pattern = pattern.not_followed_by(f"n{number}", name == f"f{number}")
    pattern = pattern.followed_by("z", name == "z").output(x=last("s39").field("x"))
    stream = " ".join(["e0", *(f"e{number}:{number}" for number in range(1, 40)), "z"])
    try:
        found = explained(pattern, stream)
    except PatternError as error:
        pytest.fail(f"{error}")
    assert len(found.trace.fired()) == 1
    assert not explained(pattern, stream.replace("e9:9", "f8 e9:9")).trace.fired()


def _explained_with(explanation: Explanation, **change: Any) -> tuple[str, ...]:
    trace = explanation.trace
    trace.matches = [replace(match, **change) for match in trace.matches]
    return compared(trace, explanation.visitor.matches)[1]


def test_a_trace_that_the_engine_contradicts_says_so() -> None:
    explanation = explained(P.begin("a", A).next("b", B), "a b")
    said = _explained_with(explanation, time=START)
    assert said == (
        "the trace alone finds a match (fired at 2025-10-09 08:53:20.000) of the messages a: m1; b: m2",
        "the engine alone finds a match (fired at 2025-10-09 08:53:21.000) of the messages a: m1; b: m2",
    )


def test_the_columns_that_are_needed_are_named() -> None:
    pattern = P.begin("a", A & (field("path") == "/")).followed_by("b", field("x") > 1).same("element")
    assert Explainer(pattern).columns == {"event", "path", "x", "element"}
    assert {"path", "x", "element"} <= set(read(pattern, events_of("a")).frame.columns)


def test_entries_tell_the_story() -> None:
    trace = explained(P.begin("a", A).followed_by("b", B).within("10 s"), "a - b").trace
    assert lines_of(trace) == ["1 #1 begins: taken by 'a'", "3 #1 taken by 'b'", "3 #1 match 1"]
