from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from footfall.envelope import SCHEMA
from footfall.errors import PatternError
from footfall.expression import event, field, property_
from footfall.pattern import Pattern, all_of_any_order, either, stage
from footfall.pattern_lowering import ConditionBits, EventValues, TakenTest, lower
from footfall.pattern_spec import LoopSpec, PatternSpec, StageSpec
from footfall.taken_events import any_of, last, prev, taken

A, B, C = event == "a", event == "b", event == "c"


def lowered(pattern: Pattern) -> tuple[PatternSpec, ConditionBits, EventValues]:
    bits, values = ConditionBits(), EventValues()
    return lower(pattern, bits, values), bits, values


def test_stages_bounds_and_skips_are_lowered() -> None:
    pattern = (
        Pattern("p")
        .absent("q", C, for_="1 s")
        .begin("a", A)
        .times(2, 4, each_within="2 s")
        .reluctant()
        .not_next("n", C)
        .next("b", B, within="3 s")
        .at_least(2)
        .greedy()
        .until(C)
        .within("1 min")
        .skip_to_first("b", raise_on_miss=True)
        .with_timeouts()
    )
    spec, bits, values = lowered(pattern)
    assert spec == PatternSpec(
        "p",
        (
            StageSpec("q", "not_followed_by", 1, absent_ms=1000),
            StageSpec("a", "begin", 2, LoopSpec(2, 4, reluctant=True, step_within_ms=2000)),
            StageSpec("n", "not_next", 1),
            StageSpec("b", "strict", 4, LoopSpec(2, None, greedy=True, until=1, has_until=True), 3000),
        ),
        within_ms=60_000,
        skip="to_first",
        skip_stage="b",
        skip_must_hit=True,
        gives_timeouts=True,
    )
    assert [str(condition) for condition in bits] == ["event is 'c'", "event is 'a'", "event is 'b'"]
    assert values.expressions == []


def test_groups_alternations_and_permutations_are_lowered() -> None:
    group = Pattern("g").begin("x", A).followed_by_any("y")
    pattern = (
        Pattern("p")
        .begin(group)
        .times(2)
        .optional()
        .next(either(stage("c", A), stage("d", B)))
        .one_or_more()
        .followed_by(all_of_any_order(stage("m", A), stage("n", B)))
        .consecutive()
        .followed_by_any(all_of_any_order(stage("o", A), stage("r", B)))
    )
    spec, _, _ = lowered(pattern)
    assert spec.stages == (
        StageSpec(
            "g",
            "begin",
            loop=LoopSpec(2, 2, optional=True),
            group=(StageSpec("x", "begin", 1), StageSpec("y", "any")),
        ),
        StageSpec(
            "c | d",
            "strict",
            loop=LoopSpec(1, None),
            choices=(StageSpec("c", "begin", 1), StageSpec("d", "begin", 2)),
        ),
        StageSpec("m & n", "relaxed", members=(StageSpec("m", "strict", 1), StageSpec("n", "strict", 2))),
        StageSpec("o & r", "any", members=(StageSpec("o", "relaxed", 1), StageSpec("r", "relaxed", 2))),
    )


def test_a_condition_on_the_match_is_a_test_with_a_bit_before_it() -> None:
    asked = (event == "b") & (field("x") > 1) & (last("a").field("path") == field("path"))
    pattern = (
        Pattern("p")
        .begin("a", A)
        .followed_by("b", asked)
        .one_or_more()
        .until(taken("b").count() > 3)
        .not_followed_by("n", prev("event", 2) == "x")
        .followed_by("c", asked)
    )
    spec, bits, values = lowered(pattern)
    first, until, again = spec.stages[1].test, spec.stages[1].loop.until, spec.stages[3].test
    assert isinstance(first, TakenTest)
    assert isinstance(until, TakenTest)
    assert first is again
    assert until.bit is None
    assert first.bit is not None
    assert bits.conditions[first.bit].same_as((event == "b") & (field("x") > 1))
    assert spec.looks_back == 2
    # Only what a test reads of events has a slot; what it asks of the event alone is its bit.
    assert sorted(str(value) for value in values.expressions) == ["event", "path"]
    assert values.event_columns() == {"event", "path"}


def test_the_same_value_has_the_same_slot() -> None:
    values = EventValues()
    for name in ("p", "q"):
        pattern = Pattern(name).begin("a").one_or_more().next("b", taken("a").sum(field("x")) > field("x"))
        lower(pattern, ConditionBits(), values)
    assert [str(value) for value in values.expressions] == ["x"]
    assert values.slot_of(field("x")) == 0


def test_values_are_evaluated_as_columns() -> None:
    values = EventValues()
    for value in (field("value"), field("event_time"), property_("s"), field("x") + 1, field("bot")):
        values.slot_of(value)
    row: dict[str, Any] = dict.fromkeys(SCHEMA)
    row |= {
        "value": 1_500_000,
        "event_time": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
        "properties": '{"s":7}',
    }
    row |= {"x": 2, "bot": True}
    frame = pl.DataFrame([row], schema=SCHEMA).select(values.columns())
    assert frame.rows() == [(1.5, 1000, "7", 3.0, True)]
    assert frame.columns == ["0", "1", "2", "3", "4"]


def test_reserved_conditions_have_the_first_bits() -> None:
    bits = ConditionBits([B, A])
    spec = lower(Pattern("p").begin("a", A).next("c", C), bits, EventValues())
    assert [one.test for one in spec.stages] == [2, 4]
    assert list(bits) == bits.conditions
    assert len(bits.conditions) == 3


def test_what_is_not_whole_is_not_lowered() -> None:
    with pytest.raises(PatternError, match=r"needs \.within"):
        lowered(Pattern("p").begin("a", A).not_followed_by("n", B))


def test_values_must_be_there_to_be_read() -> None:
    spec, _, _ = lowered(Pattern("p").begin("a").next("b", any_of("a").field("x") == field("x")))
    test = spec.stages[1].test
    assert isinstance(test, TakenTest)

    class View:
        def taken(self, stage: str) -> list[int]:
            return [0]

        def before(self, count: int) -> int:
            return -1

    with pytest.raises(LookupError, match=r"read isn't set"):
        test(1, View())
