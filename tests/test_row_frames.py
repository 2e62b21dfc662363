"""Rows without their empty columns are the rows."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from footfall.envelope import SCHEMA
from footfall.row_frames import (
    filled_columns,
    join_rows,
    nulls,
    present,
    present_rows,
    whole_numbers,
    whole_rows,
)

NAMES = ("visitor_id", "path", "value", "event_time")


def frame(*paths: str | None) -> pl.DataFrame:
    rows = [{"visitor_id": str(number), "path": path} for number, path in enumerate(paths)]
    return pl.DataFrame(rows, schema={name: SCHEMA[name] for name in NAMES})


def test_columns_without_a_value_go() -> None:
    assert filled_columns(frame("/", None)).columns == ["visitor_id", "path"]
    assert filled_columns(frame(None, None)).columns == ["visitor_id"]
    assert filled_columns(frame()).columns == list(NAMES)
    assert filled_columns(frame("/")[["value"]]).height == 1


def test_they_come_back_as_nulls() -> None:
    made = whole_rows(filled_columns(frame(None, None)), NAMES)
    assert made.equals(frame(None, None))
    assert made.schema == frame().schema
    assert nulls("event_time", 3).dtype == SCHEMA["event_time"]


@given(st.lists(st.none() | st.integers(0, 9), max_size=20), st.integers(0, 20), st.integers(1, 3))
def test_a_columns_own_bits_say_what_is_present(values: list[int | None], start: int, parts: int) -> None:
    for dtype in (pl.Int64(), pl.String(), pl.Boolean(), SCHEMA["event_time"]):
        column = pl.Series("c", values, pl.Int64()).cast(dtype)
        column = pl.concat([column] * parts, rechunk=False)[start:]
        assert present_rows(column).tolist() == column.is_not_null().to_list()


@given(st.lists(st.none() | st.integers(0, 9), max_size=20), st.integers(0, 20))
def test_whole_numbers_have_no_nulls(values: list[int | None], start: int) -> None:
    for dtype in (pl.Int64(), SCHEMA["event_time"]):
        column = pl.Series("c", values, pl.Int64()).cast(dtype)[start:]
        numbers = whole_numbers(column, -1)
        assert numbers.dtype == "int64"
        assert numbers.tolist() == [-1 if value is None else value for value in values[start:]]


def test_present_is_never_nothing() -> None:
    assert present(frame("/"), ("path", "referrer")) == ["path"]
    assert present(frame("/"), ("referrer",)) == ["visitor_id"]


@given(st.lists(st.lists(st.none() | st.sampled_from(["/", "/a"]), max_size=3), min_size=1, max_size=4))
def test_joined_rows_are_those_of_all(parts: list[list[str | None]]) -> None:
    frames = [frame(*part) for part in parts]
    joined = join_rows([filled_columns(each) for each in frames])
    assert whole_rows(joined, NAMES).equals(pl.concat(frames))
