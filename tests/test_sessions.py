"""Sessions and duplicates by examples: one for each rule and for both sides of each bound."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from engine_harness import Engine, Outcome, reserved_conditions, run_parts
from reference import Record, Row

from footfall.clock import ClockSettings
from footfall.event_batch import EVENT
from footfall.pattern_plan import PatternPlan
from footfall.sessions import SessionSettings, superseded

START = 1_760_000_000_000
GAP = 100
SETTINGS = SessionSettings(gap=GAP, max_length=1000)
CLOCK = ClockSettings(lateness=500)
LATER = Record("other", "end", "z", START + 10_000)


def at(time: int, message: str = "", *, name: str = "z", visitor: str = "v", **fields: object) -> Record:
    """An event at that many ms; its message is named after its time if nothing else is said."""
    record = Record(visitor, message or f"m{time}", name, START + time)
    return replace(record, **fields)  # type: ignore[arg-type]  # the test says which fields


def run(records: Sequence[Record], settings: SessionSettings = SETTINGS) -> Outcome:
    """What comes of them; another visitor's much later event closes their sessions."""
    return run_parts([*records, LATER], sessions=settings, clock=CLOCK)


def sessions(records: Sequence[Record], settings: SessionSettings = SETTINGS) -> list[Row]:
    """The sessions of all visitors but the last one, by their start."""
    rows = [row for row in run(records, settings).session_rows if row["visitor_id"] != "other"]
    return sorted(rows, key=lambda row: str(row["start_time"]))


def spans(records: Sequence[Record], settings: SessionSettings = SETTINGS) -> list[tuple[int, int, int]]:
    """Start, end and number of events of each session."""
    return [
        (int(str(row["start_time"])) - START, int(str(row["end_time"])) - START, int(str(row["events"])))
        for row in sessions(records, settings)
    ]


def test_an_event_exactly_at_the_gap_belongs_to_the_session() -> None:
    assert spans([at(0), at(GAP)]) == [(0, GAP, 2)]


def test_an_event_after_more_than_the_gap_begins_another() -> None:
    assert spans([at(0), at(GAP + 1)]) == [(0, 0, 1), (GAP + 1, GAP + 1, 1)]


def test_the_gap_counts_from_the_last_event() -> None:
    assert spans([at(0), at(90), at(180)]) == [(0, 180, 3)]


def test_the_maximum_length_may_be_reached_but_not_passed() -> None:
    settings = SessionSettings(gap=GAP, max_length=150)
    assert spans([at(0), at(80), at(150)], settings) == [(0, 150, 3)]
    assert spans([at(0), at(80), at(151)], settings) == [(0, 80, 2), (151, 151, 1)]


def test_visitors_have_their_own_sessions() -> None:
    rows = sessions([at(0, visitor="a"), at(1, visitor="b")])
    assert [row["visitor_id"] for row in rows] == ["a", "b"]


def test_events_are_taken_in_the_order_of_their_times() -> None:
    (row,) = sessions([at(50, path="/second"), at(0, path="/first"), at(90, path="/third")])
    assert (row["entry_page"], row["exit_page"], row["duration_ms"]) == ("/first", "/third", 90)


@pytest.mark.parametrize(("split", "count"), [(True, 2), (False, 1)])
def test_another_campaign_begins_another_session_if_asked_for(*, split: bool, count: int) -> None:
    settings = SessionSettings(gap=GAP, split_on_campaign=split)
    records = [at(0, campaign="spring"), at(1), at(2, campaign="spring"), at(3, campaign="fall"), at(4)]
    rows = sessions(records, settings)
    assert len(rows) == count
    assert [row["utm_campaign"] for row in rows] == ["spring", "fall"][:count]


def test_the_first_campaign_is_another_one_too() -> None:
    settings = SessionSettings(gap=GAP, split_on_campaign=True)
    assert spans([at(0), at(1, campaign="spring")], settings) == [(0, 0, 1), (1, 1, 1)]


def test_no_two_sessions_of_a_visitor_begin_at_once() -> None:
    settings = SessionSettings(gap=GAP, split_on_campaign=True)
    records = [at(0, "m", campaign="a"), at(0, "n", campaign="b"), at(0, "m", campaign="a")]
    outcome = run(records, settings)
    assert outcome.sessions["session_id"].n_unique() == outcome.sessions.height == 2
    assert outcome.total("duplicates") == 1


def test_what_a_session_counts() -> None:
    names = ("page_view", "page_view", "click", "order_completed", "z")
    (row,) = sessions([at(time, name=name) for time, name in enumerate(names)])
    counts = [row[name] for name in ("events", "page_views", "clicks", "conversions")]
    assert counts == [5, 2, 1, 1]


def test_a_single_event_is_a_bounce() -> None:
    first, second = sessions([at(0), at(500), at(501)])
    assert (first["bounce"], first["duration_ms"], first["longest_idle_ms"]) == (True, 0, 0)
    assert second["bounce"] is False


def test_the_longest_idle_time() -> None:
    (row,) = sessions([at(0), at(10), at(70), at(100)])
    assert row["longest_idle_ms"] == 60


def test_pages_count_once_each() -> None:
    records = [at(0), at(1, path="/a"), at(2, path="/b"), at(3, path="/a"), at(4)]
    (row,) = sessions(records)
    assert (row["distinct_pages"], row["entry_page"], row["exit_page"]) == (2, "/a", "/a")
    (row,) = sessions([at(0)])
    assert (row["distinct_pages"], row["entry_page"], row["exit_page"]) == (0, None, None)


def test_pages_count_anew_in_the_next_session() -> None:
    rows = sessions([at(0, path="/a"), at(500, path="/a")])
    assert [row["distinct_pages"] for row in rows] == [1, 1]


def test_where_the_visitor_came_from_and_who_they_turned_out_to_be() -> None:
    records = [
        at(0),
        at(1, referrer="https://one/", user="u1"),
        at(2, source="mail", campaign="spring"),
        at(3, referrer="https://two/", source="ads", user="u2"),
        at(4),
    ]
    (row,) = sessions(records)
    fields = ("referrer", "utm_source", "utm_campaign", "user_id")
    assert [row[name] for name in fields] == ["https://one/", "mail", "spring", "u2"]


def test_values_add_up_in_the_first_currency() -> None:
    records = [
        at(0, currency="CHF"),
        at(1, value=1),
        at(2, value=2_000_000, currency="EUR"),
        at(3, value=-500_000, currency="EUR"),
        at(4, value=7, currency="USD"),
    ]
    (row,) = sessions(records)
    assert (row["value"], row["currency"], row["mixed_currencies"]) == (1_500_001, "EUR", True)
    (row,) = sessions(records[:4])
    assert row["mixed_currencies"] is False


def test_a_sum_of_values_stops_at_its_bounds() -> None:
    most = 2**63 - 1
    (row,) = sessions([at(0, value=most), at(1, value=5)])
    assert row["value"] == most
    (row,) = sessions([at(0, value=-most), at(1, value=-5)])
    assert row["value"] == -most


def test_a_copy_in_the_session_is_dropped_and_extends_nothing() -> None:
    outcome = run([at(0, "m"), at(90, "m"), at(150, "n")])
    assert spans([at(0, "m"), at(90, "m"), at(150, "n")]) == [(0, 0, 1), (150, 150, 1)]
    assert (outcome.total("events"), outcome.total("duplicates")) == (3, 1)
    assert "m" in outcome.events["message_id"].to_list()


def test_a_copy_in_another_session_is_a_new_event() -> None:
    assert spans([at(0, "m"), at(GAP + 1, "m")]) == [(0, 0, 1), (GAP + 1, GAP + 1, 1)]


def test_the_same_message_of_another_visitor_is_no_copy() -> None:
    assert len(sessions([at(0, "m", visitor="a"), at(0, "m", visitor="b")])) == 2


def test_the_copy_that_was_read_first_stays_though_it_happened_later() -> None:
    assert spans([at(90, "m"), at(30, "m"), at(120, "n")]) == [(90, 120, 2)]
    assert run([at(90, "m"), at(30, "m")]).total("duplicates") == 1


def test_a_copy_more_than_the_gap_before_is_another_event() -> None:
    assert spans([at(GAP, "m"), at(0, "m")]) == [(GAP, GAP, 1)]
    assert spans([at(GAP + 1, "m"), at(0, "m")]) == [(0, 0, 1), (GAP + 1, GAP + 1, 1)]


def test_of_several_copies_the_one_read_first_stays() -> None:
    assert spans([at(50, "m"), at(70, "m"), at(30, "m"), at(90, "m")]) == [(50, 50, 1)]


def events(*copies: tuple[int, int, int, int]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Events as (time, message, partition, offset), which are sorted by time."""
    out = np.zeros(len(copies), EVENT)
    for place, (time, message, partition, offset) in enumerate(copies):
        out[place]["time"], out[place]["message_low"] = time, message
        out[place]["partition"], out[place]["offset"] = partition, offset
    return out


@pytest.mark.parametrize(
    ("copies", "gone"),
    [
        ([(0, 1, 0, 1), (9, 1, 0, 0)], [True, False]),
        ([(0, 1, 0, 0), (9, 1, 0, 1)], [False, False]),
        ([(0, 1, 0, 1), (10, 1, 0, 0)], [True, False]),
        ([(0, 1, 0, 1), (11, 1, 0, 0)], [False, False]),
        ([(0, 1, 0, 1), (9, 2, 0, 0)], [False, False]),
        ([(0, 1, 0, 1), (9, 1, 1, 0)], [False, False]),
        ([(0, 1, 0, 2), (5, 1, 0, 1), (9, 1, 0, 0)], [True, True, False]),
        ([(0, 1, 0, 2), (5, 1, 0, 1), (15, 1, 0, 0)], [False, True, False]),
        ([(0, 1, 0, 1), (5, 1, 0, 2), (9, 1, 0, 0)], [True, True, False]),
        ([(0, 1, 0, 2), (9, 1, 0, 1), (20, 1, 0, 0)], [True, False, False]),
        ([(0, 1, 0, 1), (3, 1, 0, 2), (12, 1, 0, 0)], [False, True, False]),
    ],
)
def test_superseded(copies: list[tuple[int, int, int, int]], gone: list[bool]) -> None:
    given = events(*copies)
    order = np.arange(len(copies))[::-1].copy()
    assert superseded(given, order, 10).tolist() == gone


def engine(settings: SessionSettings = SETTINGS, *, lateness: int = 0) -> Engine:
    plan = PatternPlan.compile((), reserved_conditions())
    return Engine(plan, sessions=settings, clock=ClockSettings(lateness=lateness))


@pytest.mark.parametrize(
    ("settings", "over"),
    [(SessionSettings(gap=GAP, max_length=1000), 60 + GAP), (SessionSettings(gap=GAP, max_length=120), 120)],
    ids=["gap", "max_length"],
)
def test_a_session_closes_as_soon_as_nothing_can_extend_it(settings: SessionSettings, over: int) -> None:
    run = engine(settings)
    run.read(0, [at(0), at(60)])
    run.feed()
    # The watermark stands 1 ms before the latest event.
    run.read(0, [at(over, visitor="w")])
    run.feed()
    assert run.shards[0].sessions.open_sessions(run.shards[0].visitors) == 1
    run.read(0, [at(over + 1, visitor="w")])
    closed = [settled.sessions for settled in run.feed()]
    assert [frame["visitor_id"].to_list() for frame in closed] == [["v"]]


def test_what_only_the_end_of_the_input_closes_is_marked() -> None:
    run = engine(lateness=10)
    run.read(0, [at(0, visitor="a"), at(50, visitor="b"), at(111, visitor="c")])
    run.read(0, [], ended=True)
    run.feed()
    rows = {row["visitor_id"]: row["at_end"] for row in run.outcome().session_rows}
    assert rows == {"a": False, "b": True, "c": True}
    assert run.outcome().total("sessions_at_end") == 2


def test_members_of_closed_sessions_go() -> None:
    run = engine()
    sizes = []
    for step in range(200):
        run.read(0, [at(200 * step + k, f"{step}-{k}-{v}", visitor=f"v{v}", path=f"/{k}")
                     for k in range(5) for v in range(20)])  # fmt: skip
        run.feed()
        sizes.append(run.shards[0].sessions.members[0].size)
    assert max(sizes[10:]) <= max(sizes[:10]) <= 2048
