"""Which parts of a condition aren't true, with the values that they were asked of."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.condition_findings import ConditionFindings, event_fields, value_words
from footfall.envelope import SCHEMA
from footfall.expression import Expression, event, field, polars_condition, property_
from footfall.expression_values import Kind
from footfall.pattern_lowering import EventValues
from footfall.taken_closures import Moment
from footfall.taken_events import any_of, first, prev, taken

X, PATH = field("x"), field("path")


class Partial:
    def __init__(self, stages: Mapping[str, Sequence[int]]) -> None:
        self._stages = stages

    def taken(self, stage: str) -> Sequence[int]:
        return self._stages.get(stage, ())

    def before(self, count: int) -> int:
        return -1


def findings(
    condition: Expression, rows: Sequence[Mapping[str, Any]], **stages: Sequence[int]
) -> tuple[ConditionFindings, Moment]:
    """The findings of a condition about the last of some events, others of which stages took."""
    values = EventValues()
    found = ConditionFindings(values)
    found.add(condition)
    frame = pl.DataFrame([{**dict.fromkeys(SCHEMA), **row} for row in rows], schema=SCHEMA)
    columns = [frame.select(column).to_series().to_list() for column in values.columns()]
    values.read = lambda number, slot: columns[slot][number]
    return found, Moment(len(rows) - 1, Partial(stages))


def said(condition: Expression, *rows: Mapping[str, Any], **stages: Sequence[int]) -> list[str]:
    found, moment = findings(condition, rows, **stages)
    return [str(finding) for finding in found.of(condition, moment)]


def test_of_a_conjunction_the_failing_parts_are_told() -> None:
    condition = (event == "a") & (X > 1) & (PATH == "/")
    assert said(condition, {"event": "a", "x": 2, "path": "/"}) == []
    assert said(condition, {"event": "a", "x": 1, "path": "/"}) == [
        '"x is greater than 1" is not true: x = 1'
    ]
    assert said(condition, {"event": "b", "path": "/"}) == [
        "\"event is 'a'\" is not true: event = 'b'",
        '"x is greater than 1" is unknown: x = missing',
    ]


def test_of_a_disjunction_all_parts_are_told() -> None:
    assert said((X > 5) | ((X < 3) & (PATH == "/")), {"x": 4, "path": "/"}) == [
        '"x is greater than 5" is not true: x = 4',
        '"x is less than 3" is not true: x = 4',
    ]


def test_of_a_negation_what_is_true_is_told() -> None:
    assert said(~(PATH.starts_with("/a") | (X > 1)), {"x": 2, "path": "/"}) == [
        "\"path starts with '/a' or x is greater than 1\" is true: path = '/', x = 2"
    ]


def test_values_of_the_match_are_told() -> None:
    rows = [{"x": 1}, {"x": 2}, {"x": 3}]
    assert said(first("s").field("x") > X, *rows, s=[0, 1]) == [
        "\"x of the first 's' is greater than x\" is not true: x of the first 's' = 1, x = 3"
    ]
    assert said(any_of("s").field("x") == X, *rows, s=[0, 1]) == [
        "\"x of any 's' is x\" is not true: x of the 's' events = 1, 2, x = 3"
    ]
    assert said(any_of("s").field("x") == X, *rows) == [
        "\"x of any 's' is x\" is not true: x of the 's' events = none, x = 3"
    ]
    assert said(taken("s").sum("x") > 9, *rows, s=[0, 1]) == [
        "\"sum of x over 's' is greater than 9\" is not true: sum of x over 's' = 3"
    ]
    assert said(taken("s").count() > 9, *rows, s=[0, 1])[0].endswith("number of 's' = 2")
    assert said(prev("x") > 9, *rows)[0].endswith("is unknown: x of the event before = missing")


def test_properties_and_polars_conditions_tell_their_values() -> None:
    (told,) = said(property_("a.b", "number") > 1, {"properties": '{"a":{"b":1}}'})
    assert told.endswith("= 1")
    condition = (event == "a") & polars_condition(pl.col("x") > pl.col("y"), words="x over y")
    (told,) = said(condition, {"event": "a", "x": 1, "y": 2})
    assert told.endswith("is not true: x = 1, y = 2")


def test_an_event_is_near_if_its_name_is_right() -> None:
    def near(condition: Expression, **row: Any) -> bool:
        found, moment = findings(condition, [row])
        return found.nearly(condition, moment)

    named = (event == "a") & (X > 1) & PATH.is_null()
    assert near(named, event="a", x=0)
    assert not near(named, event="b", x=2)
    assert not near(event == "a", event="b")
    unnamed = (X > 1) & (PATH == "/")
    assert near(unnamed, x=2)
    assert not near(unnamed, x=0, path="/a")


def test_the_fields_that_conditions_read_are_listed_once() -> None:
    conditions = [(event == "a") & (X > 1), first("s").field("y") > X, property_("p") == "q"]
    assert [str(leaf) for leaf in event_fields(conditions)] == ["x", "y", "property p"]


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (None, "text", "missing"),
        ("it's", "text", '"it\'s"'),
        (0.1, "number", "0.1"),
        (3.0, "number", "3"),
        (True, "boolean", "true"),
        (1_760_000_000_123, "time", "2025-10-09 08:53:20.123"),
    ],
)
def test_values_in_words(value: object, kind: Kind, words: str) -> None:
    assert value_words(value, kind) == words


def test_times_are_told() -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    (told,) = said(field("event_time") > time, {"event_time": time})
    assert told.endswith("event_time = 2026-01-01 00:00:00.000")


ROWS = st.fixed_dictionaries(
    {"x": st.sampled_from([None, 0, 1, 2]), "path": st.sampled_from([None, "/", "/a"])}
)
ATOMS = st.sampled_from([X > 0, X == 1, PATH == "/", PATH.is_null(), first("s").field("x") <= X])
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=5,
)


@given(condition=CONDITIONS, rows=st.lists(ROWS, min_size=2, max_size=2))
def test_there_are_findings_where_a_condition_is_not_true_and_nowhere_else(
    condition: Expression, rows: list[dict[str, Any]]
) -> None:
    found, moment = findings(condition, rows, s=[0])
    assert bool(found.of(condition, moment)) == (not found.is_true(condition, moment))
