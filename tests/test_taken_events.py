import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.envelope import SCHEMA
from footfall.errors import ExpressionError
from footfall.expression import Expression, event, expression_from_dict, field, property_
from footfall.expression_nodes import Comparison
from footfall.pattern import Pattern
from footfall.pattern_lowering import ConditionBits, EventValues, TakenTest, lower, lower_outputs
from footfall.polars_condition import JsonValue
from footfall.taken_events import (
    any_of,
    any_stages,
    events_back,
    first,
    last,
    of_match_alone,
    of_several,
    prev,
    taken,
)

Row = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A partial match over the rows of a frame."""

    by_stage: Mapping[str, Sequence[int]]
    earlier: Sequence[int] = ()

    def taken(self, stage: str) -> Sequence[int]:
        return self.by_stage.get(stage, ())

    def before(self, count: int) -> int:
        return self.earlier[-count] if count <= len(self.earlier) else -1


def event_frame(rows: Sequence[Row]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], schema=SCHEMA)


def values_of(frame: pl.DataFrame, values: EventValues) -> None:
    columns = [frame.select(column).to_series().to_list() for column in values.columns()]
    values.read = lambda event, slot: columns[slot][event]


def answer(condition: Expression, rows: Sequence[Row], a: Sequence[int], b: Sequence[int] = ()) -> bool:
    """The answer for the last row, after `a` and `b` were taken by a loop and a stage; all before it are the visitor's.

    What the condition asks of the event alone is a bit, and the test is asked where that is set.
    """
    here, frame, values, bits = len(rows) - 1, event_frame(rows), EventValues(), ConditionBits()
    pattern = Pattern("p").begin("a").one_or_more().followed_by("b", condition)
    test = lower(pattern, bits, values).stages[1].test
    assert isinstance(test, TakenTest)
    values_of(frame, values)
    if test.bit is not None and not frame.select(bits.conditions[test.bit].to_polars(SCHEMA)).item(here, 0):
        return False
    return test(here, View({"a": a, "b": b}, range(here)))


CLICKS: list[Row] = [
    {"event": "e0", "x": 1, "path": "/a", "value": 2_500_000, "bot": False},
    {"event": "e1", "x": None, "path": "/b", "value": None, "bot": None},
    {"event": "e2", "x": 3, "path": None, "value": 500_000, "bot": True},
    {"event": "e3", "x": 3, "path": "/b", "value": 1_000_000, "bot": False},
]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (first("a").field("path") == "/a", True),
        (last("a").field("path") == "/a", False),
        (last("a").field("path").is_null(), True),
        (last("a", 1).field("path") == field("path"), True),
        (first("a", 1).field("event") == "e1", True),
        (first("a", 3).field("event").is_null(), True),
        (last("b").field("path").is_null(), True),
        (last("b").field("path") == field("path"), False),
        (~(last("b").field("path") == field("path")), False),
        (any_of("a").field("path") == field("path"), True),
        (field("path") == any_of("a").field("path"), True),
        (any_of("a").field("x") > field("x"), False),
        (any_of("a").field("x") == 3, True),
        (~(any_of("a").field("x") == 7), False),
        (~(any_of("b").field("x") == 7), True),
        (any_of("b").field("x") == 7, False),
        (any_of("a").field("x").is_null(), True),
        (any_of("a").field("bot"), True),
        (~any_of("a").field("bot"), False),
        (any_of("a").field("bot") == field("bot"), True),
        (any_of("a").field("path").is_in(["/b", "/z"]), True),
        (any_of("a").field("x") + any_of("a").of(field("value")) == 3.5, True),
        ((any_of("a").field("x") == 1) & (any_of("a").field("path") == "/b"), True),
        (taken("a").count() == 3, True),
        (taken("a").count("x") == 2, True),
        (taken("a").count(plus_current=True) == 4, True),
        (taken("a").sum("value") == 3, True),
        (taken("a").sum("value", plus_current=True) == 4, True),
        (taken("a").min("x") == 1, True),
        (taken("a").max("path") == "/b", True),
        (taken("a").mean("x") == 2, True),
        (taken("a").distinct("x", plus_current=True) == 2, True),
        (taken("a").sum(field("x") * 2) == 8, True),
        (taken("b").count() == 0, True),
        (taken("b").sum("x") == 0, True),
        (taken("b").distinct("x") == 0, True),
        (taken("b").mean("x").is_null(), True),
        (taken("b").min("x").is_null(), True),
        (taken("b").max("x").is_null(), True),
        (taken("b").max("x") < 3, False),
        (prev("event") == "e2", True),
        (prev("event", 3) == "e0", True),
        (prev("event", 4).is_null(), True),
        (prev(field("x") + 1, 3) == 2, True),
        ((event == "e3") & (taken("a").count() > 2), True),
        ((event == "e0") & (taken("a").count() > 2), False),
    ],
)
def test_what_was_taken_is_asked(condition: Expression, expected: bool) -> None:  # noqa: FBT001  # parametrised
    assert answer(condition, CLICKS, a=[0, 1, 2]) is expected


def test_properties_and_times_of_taken_events() -> None:
    rows: list[Row] = [
        {"properties": '{"service":"iphone"}', "event_time": 1000},
        {"properties": '{"service":"iphone"}', "event_time": 4500},
    ]
    assert answer(last("a").property_("service") == property_("service"), rows, a=[0])
    assert answer(field("event_time") - last("a").field("event_time") == 3500, rows, a=[0])
    assert answer(field("event_time") - last("a").field("event_time") <= 3499, rows, a=[0]) is False
    assert answer(taken("a").min("event_time") < field("event_time"), rows, a=[0])


def test_sums_are_rounded_once_and_unknown_beyond_floats() -> None:
    documents = [{"properties": json.dumps({"n": n})} for n in (1e16, 1.0, -1e16, 1.7e308, 1.7e308)]
    total = taken("a").sum(property_("n", "number"))
    rows = [*documents, Row()]
    assert answer(total == 1, rows, a=[0, 1, 2])
    assert answer(total.is_null(), rows, a=[3, 4])
    assert answer(taken("a").mean(property_("n", "number")).is_null(), rows, a=[3, 4])


# A condition on taken events must say what the same condition says of columns that hold their values.
STAND_INS: dict[str, tuple[Expression, Callable[[list[Row], Row], object]]] = {
    "first_path": (first("a").field("path"), lambda own, _: own[0]["path"] if own else None),
    "last_path": (last("a").field("path"), lambda own, _: own[-1]["path"] if own else None),
    "last_x": (last("a").field("x"), lambda own, _: own[-1]["x"] if own else None),
    "count_x": (taken("a").count("x"), lambda own, _: len(known(own))),
    "sum_x": (
        taken("a").sum("x", plus_current=True),
        lambda own, now: float(sum(known([*own, now]))),
    ),
    "mean_x": (
        taken("a").mean("x"),
        lambda own, _: sum(known(own)) / len(known(own)) if known(own) else None,
    ),
    "max_x": (taken("a").max("x"), lambda own, _: max(known(own), default=None)),
    "distinct_x": (taken("a").distinct("x"), lambda own, _: len(set(known(own)))),
    "bot_before": (last("a").field("bot"), lambda own, _: own[-1]["bot"] if own else None),
}
WIDE = pl.Schema(
    {
        **SCHEMA,
        "first_path": pl.String(),
        "last_path": pl.String(),
        "last_x": pl.Int32(),
        "count_x": pl.Int64(),
        "sum_x": pl.Float64(),
        "mean_x": pl.Float64(),
        "max_x": pl.Int32(),
        "distinct_x": pl.Int64(),
        "bot_before": pl.Boolean(),
    }
)


def known(rows: Sequence[Row]) -> list[int]:
    return [row["x"] for row in rows if row["x"] is not None]


def with_taken(data: JsonValue) -> JsonValue:
    """The JSON of a condition on stand-ins, made one on taken events."""
    match data:
        case {"field": str(name)} if name in STAND_INS:
            return STAND_INS[name][0].to_dict()
        case dict():
            return {name: with_taken(value) for name, value in data.items()}
        case list():
            return [with_taken(value) for value in data]
        case _:
            return data


NUMBERS = st.recursive(
    st.sampled_from(["x", "last_x", "count_x", "sum_x", "mean_x", "max_x", "distinct_x", "value"]).map(field)
    | st.integers(-2, 3).map(lambda n: field("x") - n),
    lambda inner: st.tuples(inner, inner, st.sampled_from("+-*/")).map(
        lambda t: {"+": t[0] + t[1], "-": t[0] - t[1], "*": t[0] * t[1], "/": t[0] / t[1]}[t[2]]
    ),
    max_leaves=3,
)
PLAIN_TEXTS = st.sampled_from(["path", "first_path", "last_path", "event"]).map(field)
TEXTS: st.SearchStrategy[Expression] = PLAIN_TEXTS | PLAIN_TEXTS.map(lambda text: text.lower())
COMPARE = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
CONDITIONS = st.recursive(
    st.one_of(
        st.tuples(COMPARE, NUMBERS, NUMBERS).map(lambda t: Comparison(*t)),
        st.tuples(COMPARE, TEXTS, TEXTS).map(lambda t: Comparison(*t)),
        st.tuples(NUMBERS, st.lists(st.integers(-2, 3), max_size=2)).map(lambda t: t[0].is_in(t[1])),
        st.tuples(TEXTS, st.sampled_from(["/", "é", "Σ", ""])).map(lambda t: t[0].contains(t[1])),
        st.tuples(TEXTS, st.sampled_from(["/", "É"])).map(lambda t: t[0].starts_with(t[1])),
        st.one_of(NUMBERS, TEXTS).map(lambda value: value.is_null()),
        st.sampled_from([field("bot"), field("bot_before"), field("bot") == field("bot_before")]),
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: ~one),
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=5,
)
PATHS = st.none() | st.sampled_from(["/", "/É", "/Σ", "/ΑΣ", "", "\ua7cb", "/a"])
ROWS = st.fixed_dictionaries(
    {
        "event": PATHS,
        "path": PATHS,
        "x": st.none() | st.integers(-3, 3),
        "value": st.none() | st.sampled_from([0, 500_000, 2_000_000]),
        "bot": st.none() | st.booleans(),
    }
)


@given(CONDITIONS, st.lists(ROWS, min_size=1, max_size=5))
def test_the_partial_match_is_asked_as_columns_are(condition: Expression, rows: list[Row]) -> None:
    own, now = rows[:-1], rows[-1]
    wide = {name: now.get(name) for name in SCHEMA} | {
        name: of(own, now) for name, (_, of) in STAND_INS.items()
    }
    expected = pl.DataFrame([wide], schema=WIDE).select(condition.to_polars(WIDE)).item()
    asked = expression_from_dict(with_taken(condition.to_dict()))
    asked &= taken("a").count() >= 0
    assert answer(asked, rows, a=range(len(own))) is expected


@given(CONDITIONS)
def test_conditions_on_the_match_go_to_json_and_back(condition: Expression) -> None:
    asked = expression_from_dict(with_taken(condition.to_dict()))
    again = expression_from_dict(json.loads(json.dumps(asked.to_dict())))
    assert again.same_as(asked)
    assert str(again) == str(asked)
    assert (again.stages(), again.columns()) == (asked.stages(), asked.columns())
    assert again.depends_on_match == asked.depends_on_match == bool(asked.stages())


@pytest.mark.parametrize(
    "condition",
    [
        first("a", 2).field("path") == last("b").property_("n.m", "number").is_null(),
        any_of("a").field("bot"),
        taken("a").count(plus_current=True) > taken("a").count("x"),
        taken("a").mean("value") > 3,
        prev(property_("s"), 4) == "x",
    ],
)
def test_every_kind_of_node_goes_to_json_and_back(condition: Expression) -> None:
    again = expression_from_dict(json.loads(json.dumps(condition.to_dict())))
    assert again.same_as(condition)
    assert str(again) == str(condition)


def test_they_print_in_words() -> None:
    said = {
        last("a").field("path") == field("path"): "path of the last 'a' is path",
        first("a", 1).field("x") > 3: "x of the first 'a' (1 later) is greater than 3",
        last("a", 2).field("x") > 3: "x of the last 'a' (2 earlier) is greater than 3",
        any_of("a").property_("s") == "k": "property s of any 'a' is 'k'",
        taken("a").count(plus_current=True) >= 3: "number of 'a' and this event is at least 3",
        taken("a").sum("value") > 5: "sum of value over 'a' is greater than 5",
        taken("a").distinct("path") > 5: "number of different values of path over 'a' is greater than 5",
        prev("event") == "search": "event of the event before is 'search'",
        prev("event", 2) == "search": "event of the event 2 before is 'search'",
    }
    assert {str(condition): words for condition, words in said.items()} == {
        words: words for words in said.values()
    }


def test_they_know_what_they_look_at() -> None:
    condition = (
        (last("a").field("x") > taken("b").sum("value")) & (prev("path", 3) == "/") & (prev("path") == "/")
    )
    assert condition.stages() == {"a", "b"}
    assert condition.columns() == {"x", "value", "path"}
    assert condition.depends_on_match
    assert not (event == "x").depends_on_match
    assert events_back(condition) == 3
    assert events_back(event == "x") == 0
    assert any_stages(any_of("a").field("x") == any_of("b").field("x")) == {"a", "b"}
    assert of_several(any_of("a").field("x") == any_of("b").field("x")) is not None
    assert of_several((any_of("a").field("x") == 1) & (any_of("b").field("x") == 1)) is None


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda: first(""), "named by its text"),
        (lambda: last(3), "named by its text"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: last("a", -1), "whole number from 0"),
        (lambda: last("a", True), "whole number from 0"),
        (lambda: last("a").of("x"), "neither a field's name nor an expression"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: prev("x", 0), "whole number from 1"),
        (lambda: prev("x", 1.5), "whole number from 1"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: taken("a").sum(3), "neither a field's name"),  # type: ignore[arg-type]  # the mistake itself
        (
            lambda: expression_from_dict({"aggregate": ["median", "a", {"field": "x"}, False]}),
            "'median' is unknown",
        ),
        (lambda: expression_from_dict({"first": ["a", 0]}), "is no expression"),
        ((taken("a").sum("path") > 1).check, "adds numbers, and 'path' is a text"),
        ((taken("a").mean("bot") > 1).check, "adds numbers"),
        ((taken("a").max("bot") > 1).check, "which of two booleans"),
        ((last("a").field("elemnt") == "x").check, "did you mean 'element'"),
        ((last("a").field("x") == "x").check, "compares a number with a text"),
        (lambda: last("a").field("x").check(), "must be true or false"),
        ((last("a").of(prev("x")) > 1).check, "looks at the match twice"),
        ((last("a").field("x") > 1).to_polars, "no column"),
        ((taken("a").count() > 1).to_polars, "no column"),
        ((last("a").field("x") > 1).to_closure, "there is only an event"),
    ],
)
def test_what_cannot_be_asked_is_refused(misuse: Callable[[], object], words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        misuse()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (field("x"), "of no stage"),
        (any_of("a").field("x"), "several values"),
        (prev("x"), "a match has none"),
        (taken("a").count(plus_current=True), "leave plus_current out"),
        (taken("a").sum("x", plus_current=True), "leave plus_current out"),
        (last("a").field("x") + field("x"), "of no stage"),
    ],
)
def test_what_cannot_be_said_of_a_match(value: Expression, words: str) -> None:
    assert words in str(of_match_alone(value))
    assert of_match_alone(last("a").field("x") * 2 + taken("a").count()) is None


def test_outputs_are_computed_from_a_match() -> None:
    pattern = (
        Pattern("p")
        .begin("a")
        .one_or_more()
        .followed_by("b", event == "e3")
        .output(total=taken("a").sum("value"), gap=last("b").field("x") - first("a").field("x"))
        .output(path=last("b").field("path"), at=last("b").field("event_time"))
    )
    values = EventValues()
    outputs = lower_outputs(pattern, values)
    values_of(event_frame([row | {"event_time": 7} for row in CLICKS]), values)
    match = View({"a": [0, 2], "b": [3]})
    assert {name: value(match) for name, value in outputs.items()} == {
        "total": 3.0,
        "gap": 2.0,
        "path": "/b",
        "at": 7,
    }
    assert math.isclose(outputs["total"](View({})), 0)
    assert outputs["path"](View({})) is None
