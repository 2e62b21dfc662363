from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import footfall.condition_masks
from footfall.condition_masks import ConditionMasks
from footfall.envelope import SCHEMA
from footfall.expression import Expression, event, field, polars_condition, property_

NAMES = ["click", "page_view", "booking_started", "?", ""]

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "event": st.one_of(st.none(), st.sampled_from([*NAMES, "unknown"])),
            "path": st.one_of(st.none(), st.sampled_from(["/", "/book", "click"])),
            "x": st.one_of(st.none(), st.integers(0, 4)),
            "bot": st.one_of(st.none(), st.booleans()),
            "properties": st.sampled_from(["{}", '{"s":"iphone"}', '{"s":null}', "no JSON"]),
        }
    ),
    max_size=30,
)
CONDITIONS = st.recursive(
    st.one_of(
        st.sampled_from(NAMES).map(lambda name: event == name),
        st.sampled_from(NAMES).map(lambda name: event != name),
        st.lists(st.sampled_from(NAMES), max_size=3).map(event.is_in),
        st.sampled_from(
            [
                event.is_null(),
                event.starts_with("c"),
                event == field("path"),
                field("path") == "click",
                field("x") > 2,
                field("bot"),
                property_("s") == "iphone",
                polars_condition(pl.col("path").str.len_chars() > 1, words="a path"),
            ]
        ),
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: ~one),
        st.tuples(inner, inner).map(lambda pair: pair[0] & pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    ),
    max_leaves=5,
)


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in rows], schema=SCHEMA)


@settings(max_examples=200)
@given(st.lists(CONDITIONS, max_size=64), ROWS)
def test_each_bit_is_its_condition_on_its_own(
    conditions: list[Expression], rows: list[dict[str, Any]]
) -> None:
    masks = ConditionMasks(conditions)
    frame = frame_of(rows)
    found = masks.evaluate(frame.select(sorted(masks.columns))) if masks.columns else masks.evaluate(frame)
    alone = [frame.select(condition.to_polars().alias("a"))["a"].to_list() for condition in conditions]
    assert found.tolist() == [
        sum(column[row] << bit for bit, column in enumerate(alone)) for row in range(len(rows))
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(CONDITIONS, min_size=1, max_size=20), st.lists(ROWS, min_size=2, max_size=4))
def test_what_is_remembered_shows_nowhere(
    conditions: list[Expression], parts: list[list[dict[str, Any]]]
) -> None:
    """In one large batch nothing is remembered; in small ones it is, some of it for long."""
    masks = ConditionMasks(conditions)
    rows = [row for part in parts for row in part]
    found = [mask for part in parts for mask in masks.evaluate(frame_of(part)).tolist()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(footfall.condition_masks, "_FEW", -1)
        known = ConditionMasks(conditions).evaluate(frame_of(rows)).tolist()
        patch.setattr(footfall.condition_masks, "_FEW", 512)
        patch.setattr(footfall.condition_masks, "_REMEMBERED", 2)
        patch.setattr(footfall.condition_masks, "_LONG", 6)
        forgetful = ConditionMasks(conditions)
        forgotten = [mask for part in parts for mask in forgetful.evaluate(frame_of(part)).tolist()]
    assert found == known == forgotten


def test_the_last_of_64_bits_is_there() -> None:
    conditions = [field("x") == number for number in range(63)] + [event == "click"]
    masks = ConditionMasks(conditions).evaluate(frame_of([{"event": "click", "x": 62}, {"event": "a"}]))
    assert masks.tolist() == [(1 << 63) | (1 << 62), 0]


def test_a_rare_name_narrows_what_else_is_asked() -> None:
    conditions = [(event == "click") & (property_("s") == "iphone"), (event == "click") & (field("x") > 2)]
    rows: list[dict[str, Any]] = [{"event": "page_view", "x": 3, "properties": '{"s":"iphone"}'}] * 99
    rows.append({"event": "click", "x": 3, "properties": "{}"})
    rows.append({"event": "click", "x": None, "properties": '{"s":"iphone"}'})
    assert ConditionMasks(conditions).evaluate(frame_of(rows)).tolist() == [0] * 99 + [2, 1]
