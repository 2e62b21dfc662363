"""Profiles against a plain reckoning: whatever the rounds, as of every time, across restarts."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from engine_harness import frame_of
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_rounds import PLAN, START, Step, all_of, expected, take_round
from reference import Record

from footfall.clock import FOREVER
from footfall.errors import StateError
from footfall.event_batch import QUOTED, split_by_shard
from footfall.profile_schema import PROFILE_SCHEMA, SCORE_FIELDS
from footfall.profiles import Profiles, session_starts
from footfall.sessions import SessionSettings, SessionTracker
from footfall.visitors import VisitorTable

VISITORS = ("ann", "böb", "cyd", "dee")

steps_strategy = st.builds(
    Step,
    record=st.builds(
        Record,
        visitor=st.sampled_from(VISITORS),
        message=st.just("m"),
        name=st.sampled_from(("view", "click", "order", "other")),
        time=st.integers(START, START + 60),
        user=st.sampled_from((None, None, "u1", "user-2", "")),
        source=st.sampled_from((None, None, None, "ads", "mail")),
        campaign=st.sampled_from((None, None, None, "spring", "späť")),
        value=st.sampled_from((None, 1_000_000, 2_500_000, -1)),
        currency=st.sampled_from((None, "EUR", "EUR", "USD")),
    ),
    dropped=st.sampled_from((False, False, False, True)),
    begins=st.booleans(),
)
histories = st.lists(steps_strategy, max_size=40).map(
    lambda steps: sorted(steps, key=lambda s: s.record.time)
)
horizons = st.sampled_from((0, 3, 10, 25, 1_000))


@settings(deadline=None, max_examples=150)
@given(histories, horizons, st.sets(st.integers(START - 1, START + 62), max_size=8), st.data())
def test_a_profile_is_that_of_its_time_whatever_the_rounds(
    history: list[Step], horizon: int, cuts: set[int], data: st.DataObject
) -> None:
    profiles = Profiles(horizon)
    for before, until in pairwise([START - 10, *sorted(cuts), START + 70]):
        steps = [step for step in history if before < step.record.time <= until]
        take_round(profiles, steps, until, with_places=data.draw(st.booleans(), label="with places"))
        for visitor in (*VISITORS, "nobody"):
            for time in data.draw(st.sets(st.integers(before + 1, until), max_size=4), label="asked"):
                assert profiles.at(visitor, time) == expected(history, visitor, time, horizon)
        profiles.end_round()
        if data.draw(st.booleans(), label="restart"):
            profiles = pickle.loads(pickle.dumps(profiles))
        for visitor in VISITORS:
            assert profiles.at(visitor, until) == expected(history, visitor, until, horizon)


def test_a_visitor_who_comes_back_too_late_begins_anew() -> None:
    profiles = Profiles(horizon=10)
    came = Record("ann", "m", "order", START, user="u1", source="ads", value=5, currency="EUR")
    later = Record("ann", "m", "order", START + 11, user="u1", value=3, currency="USD")
    for record in (came, later):
        take_round(profiles, [Step(record, begins=True)], record.time)
        profiles.end_round()
    assert profiles.at("ann", START + 11) == {
        "visitor_id": "ann",
        "user_id": "u1",
        "first_seen": START + 11,
        "last_seen": START + 11,
        "events": 1,
        "sessions": 1,
        "page_views": 0,
        "clicks": 0,
        "conversions": 1,
        "value": 3,
        "first_source": None,
        "first_campaign": None,
        "last_conversion": START + 11,
    }
    assert profiles.at("ann", START + 22) is None


def test_it_has_the_fields_of_conditions_but_the_scores() -> None:
    profiles = Profiles()
    take_round(profiles, [Step(Record("ann", "m", "order", START))], START)
    profile = profiles.at("ann", START)
    assert profile is not None
    assert profile.keys() == set(PROFILE_SCHEMA) - set(SCORE_FIELDS)


def test_what_was_known_before_the_round_isnt_guessed() -> None:
    profiles = Profiles()
    take_round(profiles, [Step(Record("ann", "m", "view", START))], START + 5)
    profiles.end_round()
    with pytest.raises(StateError, match="settled up to"):
        profiles.at("ann", START + 4)


def test_rounds_dont_overlap() -> None:
    profiles = Profiles()
    take_round(profiles, [], START)
    with pytest.raises(StateError, match="within another"):
        take_round(profiles, [], START)
    with pytest.raises(StateError, match="kept within a round"):
        pickle.dumps(profiles)
    profiles.end_round()
    with pytest.raises(StateError, match="hasn't begun"):
        profiles.end_round()


def test_the_old_ones_are_freed_and_their_places_used_again() -> None:
    profiles = Profiles(horizon=100)
    for number in range(40):
        time = START + 90 * number
        steps = [Step(Record(f"v{number}-{n}", "m", "view", time, user="x" * 50)) for n in range(300)]
        take_round(profiles, steps, time)
        profiles.end_round()
    assert profiles.table.live <= 900
    assert profiles.table.high_water <= 1_200
    assert profiles.table.heap.size < 1_000_000
    assert len(all_of(profiles)) == 600


def test_the_end_of_the_input_makes_nothing_old() -> None:
    profiles = Profiles(horizon=100)
    take_round(profiles, [Step(Record("ann", "m", "view", START))], FOREVER - 1)
    profiles.end_round()
    assert profiles.table.live == 1


def test_a_sum_that_overflows_stays_at_the_bound() -> None:
    profiles = Profiles()
    large = Record("ann", "m", "order", START, value=2**63 - 1)
    take_round(profiles, [Step(large), Step(large)], START)
    profile = profiles.at("ann", START)
    assert profile is not None
    assert profile["value"] == 2**63 - 1


def test_a_stream_that_outgrows_every_first_size() -> None:
    profiles, history = Profiles(), []
    for number in range(3):
        time = START + number
        steps = [
            Step(
                Record(f"visitor-{n % 3_000}", "m", "click", time, user=f"user-{n // (1_500 - number)}"),
                begins=n % 2 == 0,
            )
            for n in range(4_500)
        ]
        history += steps
        take_round(profiles, steps, time)
        profiles.end_round()
    assert len(all_of(profiles)) == profiles.table.live == 3_000
    own = [step for step in history if step.record.visitor in ("visitor-0", "visitor-1499", "visitor-2999")]
    for visitor in ("visitor-0", "visitor-1499", "visitor-2999"):
        assert profiles.at(visitor, START + 2) == expected(own, visitor, START + 2, profiles.horizon)


@settings(deadline=None, max_examples=60)
@given(
    gaps=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 12), st.booleans()), max_size=30),
    size=st.integers(1, 9),
    split_on_campaign=st.booleans(),
)
def test_each_session_begins_with_one_event(
    gaps: list[tuple[str, int, bool]], size: int, *, split_on_campaign: bool
) -> None:
    time, records = START, []
    for number, (visitor, gap, other) in enumerate(gaps):
        time += gap
        records.append(Record(visitor, f"m{number % 20}", "view", time, campaign="x" if other else "y"))
    visitors = VisitorTable()
    tracker = SessionTracker(SessionSettings(5, 20, split_on_campaign))
    begun = closed_sessions = since = 0
    for start in range(0, len(records), size):
        part = records[start : start + size]
        (batch,) = split_by_shard(frame_of(part), PLAN, list(QUOTED), 0, 1, watermark=0, ended=False)
        count = len(part)
        batch.events["row"] = np.arange(since, since + count)
        dropped = np.zeros(count, np.bool_)
        _, touched, closed = tracker.settle(batch.events, dropped, part[-1].time - 1, visitors)
        first_rows = np.concatenate([closed.records["first_row"], visitors.records["first_row"][touched]])
        begins = session_starts(first_rows, since, count)
        assert not (begins & dropped).any()
        begun += int(begins.sum())
        closed_sessions += closed.records.size
        visitors.free_idle()
        since += count
    assert begun == closed_sessions + tracker.open_sessions(visitors)


def test_rows_without_a_column_say_nothing() -> None:
    frame = frame_of([Record("ann", "m", "view", START, source="ads")])
    (batch,) = split_by_shard(frame, PLAN, list(QUOTED), 0, 1, watermark=0, ended=False)
    assert "utm_campaign" not in batch.rows.columns
    profiles = Profiles()
    one = np.zeros(1, np.bool_)
    profiles.begin_round(batch.events, one, ~one, batch.rows, np.zeros(1, np.int64), START)
    during = profiles.at("ann", START)
    profiles.end_round()
    after = profiles.at("ann", START)
    assert during == after
    assert after is not None
    assert (after["first_source"], after["first_campaign"], after["sessions"]) == ("ads", None, 1)
