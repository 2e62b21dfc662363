"""A shard's order, watermarks, end and state; that its memory follows live visitors."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from engine_harness import EVENT_COLUMNS, Engine, frame_of, reserved_conditions
from hypothesis import given
from hypothesis import strategies as st
from reference import Record

from footfall.clock import NEVER, ClockSettings
from footfall.errors import StateError
from footfall.event_batch import EVENT, QUOTED, split_by_shard
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.placement import shard_names
from footfall.sessions import SessionSettings
from footfall.shard import STATE_VERSION, Shard, ShardSettings, final_order
from footfall.shard_clock import passes_a_moment

START = 1_760_000_000_000
IN_TIME = ClockSettings(lateness=0, future_jump=10**12)


def engine(*patterns: Pattern, partitions: int = 1, gap: int = 100, clock: ClockSettings = IN_TIME) -> Engine:
    plan = PatternPlan.compile(patterns, reserved_conditions())
    return Engine(plan, sessions=SessionSettings(gap=gap), clock=clock, partitions=partitions)


def at(time: int, name: str = "a", *, visitor: str = "v", message: str = "") -> Record:
    return Record(visitor, message or f"m{time}", name, START + time)


def given_out(run: Engine) -> list[str]:
    """The messages of the events that the last feed settled."""
    frames = [settled.events for settled in run.feed() if settled.events is not None]
    return [message for frame in frames for message in frame["message_id"]]


@given(st.lists(st.tuples(st.integers(0, 3), st.just(NEVER) | st.integers(0, 3), st.integers(0, 2))))
def test_final_order(keys: list[tuple[int, int, int]]) -> None:
    events = np.zeros(len(keys), EVENT)
    for offset, (time, arrival, partition) in enumerate(keys):
        events[offset]["time"], events[offset]["arrival"] = time, arrival
        events[offset]["partition"], events[offset]["offset"] = partition, offset
    expected = sorted(range(len(keys)), key=lambda place: (*keys[place], place))
    assert final_order(events).tolist() == expected


def test_events_wait_until_the_watermark_has_passed_them() -> None:
    run = engine(clock=ClockSettings(lateness=10))
    run.read(0, [at(0), at(5)])
    assert given_out(run) == []
    run.read(0, [at(15)])
    assert given_out(run) == ["m0"]
    run.read(0, [at(16)])
    assert given_out(run) == ["m5"]
    run.read(0, [], ended=True)
    assert given_out(run) == ["m15", "m16"]


def test_the_slowest_partition_holds_the_shard_until_it_ends() -> None:
    run = engine(partitions=2)
    run.read(0, [at(0), at(50)])
    assert given_out(run) == []
    run.read(1, [at(20)])
    assert given_out(run) == ["m0"]
    run.read(1, [], ended=True)
    assert given_out(run) == ["m20"]
    run.read(0, [], ended=True)
    assert given_out(run) == ["m50"]


def test_events_without_any_end_in_a_last_word() -> None:
    run = engine(partitions=2)
    for partition in range(2):
        run.read(partition, [], ended=True)
        run.feed()
    outcome = run.outcome()
    assert len(outcome.done) == 1
    assert (outcome.sessions.height, outcome.matches.height, outcome.total("events")) == (0, 0, 0)


def test_duplicates_are_not_given_out() -> None:
    run = engine()
    run.read(0, [at(0, message="x"), at(1, message="x"), at(2)])
    run.read(0, [], ended=True)
    assert given_out(run) == ["x", "m2"]
    assert run.outcome().total("duplicates") == 1


def test_rows_are_not_given_out_if_nobody_stores_them() -> None:
    plan = PatternPlan.compile((), reserved_conditions())
    settings = ShardSettings(SessionSettings(), plan, 1, wants_rows=False, event_columns=())
    shard = Shard("s", settings)
    batches = split_by_shard(frame_of([at(0)]), plan, list(QUOTED), 0, 1, watermark=START, ended=True)
    settled = shard.take(batches)
    assert [each.events for each in settled] == [None, None]
    assert [each.sessions.height for each in settled] == [0, 0]
    assert shard.totals.sessions == 1


def test_a_state_of_another_version_is_refused() -> None:
    run = engine()
    parts = pickle.loads(run.shards[0].snapshot())
    assert parts["version"] == STATE_VERSION
    parts["version"] = STATE_VERSION + 1
    with pytest.raises(StateError, match="finish the run with the version that began it"):
        Shard.restore(run.settings, pickle.dumps(parts))


def test_a_snapshot_can_be_restored_more_than_once() -> None:
    pattern = Pattern("p").begin("a", event == "a").not_followed_by("b", event == "b").within(50)
    run = engine(pattern)
    run.read(0, [at(0), at(1, visitor="w")])
    run.feed()
    state = run.shards[0].snapshot()
    digests = []
    for _ in range(3):
        again = copy.deepcopy(run)
        again.shards = [Shard.restore(run.settings, state)]
        again.read(0, [at(2, "b"), at(200, "c")])
        again.read(0, [], ended=True)
        again.feed()
        digests.append(again.outcome().digest)
        assert again.outcome().match_rows[0]["visitor_id"] == "w"
        assert (again.outcome().total("events"), again.outcome().by_pattern()) == (4, {"p": 1})
    run.read(0, [at(2, "b"), at(200, "c")])
    run.read(0, [], ended=True)
    run.feed()
    assert set(digests) == {run.outcome().digest}


def test_memory_follows_live_visitors_not_visitors_ever_seen() -> None:
    visitors, at_once = 200_000, 2_000
    pattern = Pattern("p").begin("a", event == "a").followed_by_any("b", event == "b").within(40)
    lasting = Pattern("q").begin("b", event == "b").not_followed_by("a", event == "a").within(60)
    run = engine(pattern, lasting, gap=20)
    shard = run.shards[0]
    template = frame_of([Record("", "", name, 0, path="/") for _ in range(at_once) for name in "ab"])
    number = pl.int_range(pl.len())
    largest = {"visitors": 0, "index": 0, "rows": 0, "members": 0, "partials": 0, "nodes": 0, "waiting": 0}
    state = 0
    for first in range(0, visitors, at_once):
        time = START + first // at_once * 50
        run.read_frame(0, template.with_columns(
            visitor_id=pl.format("v{}", first + number // 2),
            message_id=pl.format("m{}", 2 * first + number),
            event_time=(time + number % 2 * 5).cast(template.schema["event_time"]),
            source_offset=2 * first + number,
        ).sort("event_time", maintain_order=True))  # fmt: skip
        run.feed()
        sizes = {
            "visitors": shard.visitors.high_water,
            "index": shard.visitors.index.size,
            "rows": shard.rows.size,
            "members": shard.sessions.members[0].size,
            "partials": shard.matcher.partials.size,
            "nodes": shard.matcher.pool.size,
            "waiting": shard.waiting.size,
        }
        largest = {name: max(size, sizes[name]) for name, size in largest.items()}
        if first == visitors - at_once:
            state = len(shard.snapshot())
    # At most three groups of visitors live at once: the newest, and those who are waited for.
    live = 3 * at_once
    assert largest["visitors"] <= live
    assert largest["index"] <= 16 * live
    assert largest["rows"] <= 8 * live
    assert largest["members"] <= 32 * live
    assert largest["partials"] <= 16 * live
    assert largest["nodes"] <= 16 * live
    assert largest["waiting"] <= live
    assert state < live * 2_000
    run.read(0, [], ended=True)
    run.feed()
    outcome = run.outcome()
    assert outcome.sessions.height == visitors
    assert outcome.by_pattern() == {"p": visitors, "q": visitors}
    assert (shard.visitors.live, shard.matcher.held_rows().size) == (0, 0)
    assert outcome.events.columns == list(EVENT_COLUMNS)


def test_shards_settle_one_after_the_other() -> None:
    moments = []
    for name in shard_names(8):
        mine = [time for time in range(1_000, 3_000) if passes_a_moment(time - 1, time, name, 500)]
        assert [after - before for before, after in pairwise(mine)] == [500, 500, 500]
        moments.append(mine[0] % 500)
    gaps = [after - before for before, after in pairwise([*sorted(moments), min(moments) + 500])]
    assert min(gaps) >= 25


def test_a_shard_with_a_step_of_one_settles_whenever_time_moves() -> None:
    assert passes_a_moment(41, 42, "s0003-10", 1)
    assert not passes_a_moment(42, 42, "s0003-10", 1)
    assert passes_a_moment(NEVER, 42, "s0003-10", 500)
    assert passes_a_moment(10, 1_010, "explain", 500)
