from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.duration import LONGEST_MS, format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("30 min", 1_800_000), ("5 s", 5_000), ("1500 ms", 1_500), ("2h", 7_200_000), ("1h 30min", 5_400_000),
        ("0.5 s", 500), ("1 day", 86_400_000), ("2 Minutes", 120_000), (" 7 s ", 7_000), ("1500", 1_500),
        (0, 0), (250, 250), ("PT30M", 1_800_000), ("P1DT2H", 93_600_000), ("pt0.5s", 500),
        (timedelta(minutes=2), 120_000),
    ],
)  # fmt: skip
def test_reads(written: str | int | timedelta, ms: int) -> None:
    assert parse_duration(written) == ms


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "no length of time"), ("soon", "no length of time"), ("5 fortnights", "no length of time"),
        ("PT", "no length of time"), ("P", "no length of time"), ("5 s later", "no length of time"),
        (True, "no length of time"), ("-5 s", "no length of time"), ("1.5 ms", "finer than a millisecond"),
        (-3, "negative"), ("-3", "negative"), (timedelta(seconds=-1), "negative"),
        ("40000 d", "more than 100 years"),
        ("9" * 5000 + " d", "more than 100 years"),
    ],
)  # fmt: skip
def test_refuses(written: str | int | timedelta, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_duration(written)


@given(st.integers(0, LONGEST_MS))
def test_what_is_written_is_read_back(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms


def test_the_largest_unit_that_divides_is_written() -> None:
    assert [format_duration(ms) for ms in (0, 1_500, 5_000, 5_400_000, 86_400_000)] == [
        "0 ms", "1500 ms", "5 s", "90 min", "1 d",
    ]  # fmt: skip
