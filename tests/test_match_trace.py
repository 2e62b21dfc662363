"""A trace's times and spans in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.match_trace import SeenEvent, Trace, TracedMatch, TraceTimes, span_words, time_words

NOON = 1_760_011_200_000


def seen(time: int) -> SeenEvent:
    return SeenEvent(0, time, "a", "m", ())


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (1250, "1.25 s"), (59_999, "59.999 s"), (60_000, "1 min"),
        (952_123, "15 min 52 s"), (3_600_000, "1 h"), (3_601_000, "1 h"), (183_600_000, "2 d 3 h"),
        (90 * 86_400_000, "90 d"),
    ],
)  # fmt: skip
def test_spans(ms: int, words: str) -> None:
    assert span_words(ms) == words


@given(st.integers(0, 1 << 40))
def test_a_span_is_always_said(ms: int) -> None:
    assert span_words(ms).split()[0].replace(".", "").isdigit()


def test_the_date_is_left_out_where_all_events_are_of_one_day() -> None:
    one_day = TraceTimes([seen(NOON), seen(NOON + 1)])
    assert one_day.date == "2025-10-09"
    assert one_day.words(NOON + 5) == "12:00:00.005"
    assert one_day.words(NOON + 86_400_000) == "2025-10-10 12:00:00.000"
    several = TraceTimes([seen(NOON), seen(NOON + 86_400_000)])
    assert several.date == ""
    assert several.words(NOON) == time_words(NOON) == "2025-10-09 12:00:00.000"


def test_partial_matches_that_timed_out_are_no_matches() -> None:
    fired = TracedMatch(1, 1, (("a", 0),), NOON, by_time=False, timed_out=False, at_end=False)
    timed_out = TracedMatch(2, 1, (("a", 0),), NOON, by_time=True, timed_out=True, at_end=False)
    assert Trace([seen(NOON)], matches=[fired, timed_out]).fired() == [fired]
