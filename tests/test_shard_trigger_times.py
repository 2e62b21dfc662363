"""When a shard's triggers are decided, and by what: withdrawals, profiles, sessions, ticks, and the input's end."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shard_properties import START
from trigger_worlds import (
    LEFT,
    SEEN,
    TO_THE_END,
    WIDE,
    Row,
    TriggerEngine,
    World,
    at,
    by_kind,
    in_order,
    one_by_one,
    plain,
    rule,
    run_whole,
    standing,
    worlds,
)

from footfall.clock import NEVER
from footfall.expression import event
from footfall.expression import field as of_profile
from footfall.pattern import Pattern
from footfall.sessions import SessionSettings


def decided(world: World) -> list[Row]:
    """The rows of the world in one piece, which are those of its records one by one."""
    whole, single = run_whole(world), TriggerEngine(world)
    one_by_one(single, world.partitions[0])
    single.read(0, [], ended=True)
    single.feed()
    rows = plain(whole.rows())
    assert plain(single.rows()) == rows
    return rows


def test_an_event_after_the_match_withdraws_up_to_the_due_time_and_not_beyond() -> None:
    world = World(
        [[at(0, "a"), at(0, "a", "bob"), at(100, "b"), at(101, "b", "bob"), at(101, "b"), TO_THE_END]],
        [SEEN],
        [rule(delay=100, withdrawn_by=event == "b")],
    )
    rows = {row["visitor_id"]: row for row in decided(world)}
    assert {who: row["status"] for who, row in rows.items()} == {"ann": "withdrawn", "bob": "fired"}
    assert [rows[who]["decided_time"] - START for who in ("ann", "bob")] == [100, 100]


def test_an_event_between_a_match_and_its_settling_withdraws_it_when_it_settles() -> None:
    """An absence is known only after its bound; what came meanwhile isn't forgotten."""
    world = World(
        [[at(0, "a"), at(3, "b"), at(0, "a", "bob"), TO_THE_END]],
        [LEFT],
        [rule(pattern="left", withdrawn_by=event == "b")],
    )
    rows = {row["visitor_id"]: row for row in decided(world)}
    assert {who: row["status"] for who, row in rows.items()} == {"ann": "withdrawn", "bob": "fired"}
    assert rows["ann"]["decided_time"] == rows["bob"]["due_time"]


def test_a_copy_withdraws_nothing_and_counts_nothing() -> None:
    copied = replace(at(0, "b"), message="m", time=START + 50)
    world = World(
        [[replace(copied, name="a", time=START), copied, TO_THE_END]],
        [SEEN],
        [rule(delay=100, withdrawn_by=event == "b", condition=of_profile("events") == 1)],
    )
    assert [row["status"] for row in decided(world)] == ["fired"]


def test_the_profile_is_that_of_the_due_time() -> None:
    """A later event of the same round doesn't count, one at the due time does."""
    world = World(
        [[at(0, "a"), at(0, "a", "bob"), at(100, "c"), at(101, "c", "bob"), TO_THE_END]],
        [SEEN],
        [rule(delay=100, condition=of_profile("conversions") == 0)],
    )
    assert {row["visitor_id"]: row["status"] for row in decided(world)} == {"ann": "unmet", "bob": "fired"}


def test_the_profile_has_what_came_before_a_restart(tmp_path: Path) -> None:
    known = of_profile("user_id") == "u1"
    world = World([[]], [SEEN], [rule(delay=100, condition=known & (of_profile("sessions") == 2))])
    for folder in (None, tmp_path):
        engine = TriggerEngine(replace(world, sessions=SessionSettings(gap=1_000)), folder=folder)
        for record in (at(0, "d", user="u1"), at(5_000, "a"), TO_THE_END):
            engine.read(0, [record])
            engine.feed()
            engine.restart()
        assert engine.told() == [("ann", "fired", 0)]


def test_the_session_is_that_of_the_first_event_unless_it_was_over_by_then() -> None:
    world = World(
        [
            [
                *(at(0, "a", name) for name in ("in_it", "over", "just", "next")),
                at(50, "b", "in_it"), at(100, "d", "just"), at(200, "b", "just"), at(201, "b", "over"),
                at(500, "a", "next"), at(520, "b", "next"), TO_THE_END,
            ]
        ],
        [Pattern("pair").begin("x", event == "a").followed_by("y", event == "b")],
        [rule(pattern="pair", delay=1_000)],
        sessions=SessionSettings(gap=100),
    )  # fmt: skip
    sessions = [row for each in run_whole(world).settled for row in plain(each.sessions)]
    named = {(row["visitor_id"], row["start_time"] - START): row["session_id"] for row in sessions}
    found = {(row["visitor_id"], row["event_time"] - START): row["session_id"] for row in decided(world)}
    assert found == {
        ("in_it", 0): named["in_it", 0],
        ("over", 0): None,
        ("just", 0): named["just", 0],
        ("next", 0): None,
        ("next", 500): named["next", 500],
    }


def test_an_early_rule_names_no_session() -> None:
    world = World([[at(0, "a"), TO_THE_END]], [SEEN], [rule(kind="early")])
    assert [row["session_id"] for row in decided(world)] == [None]
    assert [row["session_id"] for row in plain(run_whole(world, early=True).rows())] == [None]


def test_an_early_rule_fires_at_once_and_retracts_what_a_late_event_disproves() -> None:
    world = World(
        [[]],
        [Pattern("pair").begin("x", event == "a").next("y", event == "b")],
        [rule(pattern="pair", kind="early")],
    )
    engine = TriggerEngine(world, early=True)
    one_by_one(engine, [at(0, "a"), at(8, "b")])
    assert engine.told() == [("ann", "fired", 0)]
    one_by_one(engine, [at(4, "d")])
    assert engine.told(1) == [("ann", "retracted", 1)]
    one_by_one(engine, [TO_THE_END])
    assert engine.told(2) == []


@pytest.mark.parametrize("shards", [1, 2, 3, 5])
def test_the_end_of_the_input_decides_nothing_beyond_the_last_watermark(shards: int) -> None:
    """Otherwise another visitor's event, in the same shard by chance, would say up to when things are due."""
    records = [
        at(0, "a"),
        at(10, "b", "bob"),
        at(20, "a", "cyd"),
        at(30, "d"),
        at(31, "c"),
        at(40, "b", "dan"),
    ]
    world = World(
        [records],
        [SEEN, LEFT],
        [
            rule(withdrawn_by=event == "b"),
            rule("later", delay=15),
            rule("left", "left"),
            rule("now", kind="early"),
        ],
    )
    engine = TriggerEngine(world, shards=shards)
    engine.read(0, records, ended=True)
    engine.feed()
    assert engine.clocks[0].watermark == START + 29
    found = {(row["rule"], row["visitor_id"]) for row in plain(engine.rows())}
    assert found == {
        ("r", "ann"), ("r", "cyd"), ("later", "ann"), ("left", "ann"), ("now", "ann"), ("now", "cyd")
    }  # fmt: skip


def test_an_input_without_a_record_triggers_nothing() -> None:
    for releases in (True, False):
        engine = TriggerEngine(World([[], []], [SEEN], [rule()]), releases=releases)
        for number in range(2):
            engine.read(number, [], ended=True)
        engine.feed()
        assert engine.told() == []
        assert engine.settled[-1].done is not None


def test_a_stretch_ends_at_its_last_watermark_and_releases_nothing() -> None:
    records = [at(0, "a"), at(0, "a", "bob"), at(100, "a"), at(103, "d", "bob")]
    world = World(
        [records], [SEEN, LEFT], [rule(delay=50), rule("left", "left"), rule("now", "left", kind="early")]
    )
    engine = TriggerEngine(world, releases=False)
    engine.read(0, records, ended=True)
    engine.feed()
    rows = plain(engine.rows())
    assert Counter((row["rule"], row["visitor_id"], row["event_time"] - START) for row in rows) == Counter(
        (name, who, 0) for name in ("r", "left", "now") for who in ("ann", "bob")
    )
    assert max(row["decided_time"] for row in rows) <= engine.clocks[0].watermark
    (settled,) = engine.settled
    assert settled.sessions.is_empty()
    assert not settled.matches["at_end"].any()
    live = TriggerEngine(world)
    one_by_one(live, records)
    assert in_order(plain(live.rows())) == in_order(rows)


def test_a_stretch_of_several_partitions_ends_where_the_latest_arrival_lets_the_slowest_end() -> None:
    world = World(
        [
            [at(0, "a", arrival=START), at(1, "d", arrival=START + 1)],
            [at(3_000, "d", "bob", arrival=START + 3_000)],
        ],
        [SEEN],
        [rule(delay=500), rule("late", delay=2_500)],
    )
    engine = TriggerEngine(world, releases=False)
    for number, records in enumerate(world.partitions):
        engine.read(number, records, ended=True)
    engine.feed()
    # The first partition's own watermark is 12 ms before its last event; the other's arrival moves it on.
    assert engine.shards[0].settled == START + 3_000 - WIDE.idle_bound - 1
    assert [row["rule"] for row in plain(engine.rows())] == ["r"]


@pytest.mark.parametrize("settle_step", [1, 500])
def test_ticks_release_what_is_due_and_change_no_answer(settle_step: int) -> None:
    records = [at(0, "a"), at(2, "a", "bob"), at(40, "b", "bob")]
    arrived = [replace(record, arrival=record.time) for record in records]
    quiet = replace(at(5_000, "d", "zed"), arrival=START + 5_000)
    world = World(
        [[*arrived, quiet]], [SEEN, LEFT], [rule(delay=500, withdrawn_by=event == "b"), rule("l", "left")]
    )
    expected = decided(replace(world, partitions=[[*arrived, quiet, TO_THE_END]]))
    engine = TriggerEngine(world, settle_step=settle_step)
    one_by_one(engine, arrived)
    assert {row["rule"] for row in plain(engine.rows())} <= {"l"}
    for time in range(0, 3_000, 250):
        if engine.clocks[0].watermark < START + time - WIDE.idle_bound - 1:
            engine.tick(0, START + time)
            engine.feed()
    ticked = plain(engine.rows())
    assert in_order(ticked) == in_order(row for row in expected if row["visitor_id"] != "zed")
    assert {row["status"] for row in ticked} == {"fired", "withdrawn"}
    one_by_one(engine, [quiet, TO_THE_END])
    assert in_order(plain(engine.rows())) == in_order(expected)


@settings(deadline=None, max_examples=40)
@given(worlds(most_partitions=1), st.data())
def test_ticks_that_no_record_contradicts_change_nothing(world: World, data: st.DataObject) -> None:
    """A tick says that no later record arrives before it, so the records that are late are the same."""
    records = [replace(record, arrival=record.arrival or record.time) for record in world.partitions[0]]
    world = replace(world, partitions=[records])
    expected, expected_early = by_kind(world, run_whole(world).rows())
    early = data.draw(st.booleans(), label="early")
    engine = TriggerEngine(world, early=early, settle_step=data.draw(st.sampled_from((1, 7)), label="step"))
    for number, record in enumerate(records):
        came = max((each.arrival or 0) for each in records[: number + 1])
        before = engine.clocks[0].last_arrival
        if before != NEVER and data.draw(st.booleans()):
            time = data.draw(st.integers(min(before, came), came))
            if engine.clocks[0].watermark < time - world.clock.idle_bound - 1:
                engine.tick(0, time)
        engine.read(0, [record])
        if data.draw(st.booleans()):
            engine.feed()
    engine.read(0, [], ended=True)
    engine.feed()
    found, found_early = by_kind(world, engine.rows())
    assert in_order(found) == in_order(expected)
    assert standing(found_early) == standing(expected_early)


def test_as_many_conditions_as_there_are_bits_are_told_apart() -> None:
    many = [rule(f"r{number}", withdrawn_by=event == f"e{number}") for number in range(61)]
    records = [at(0, "a"), *(at(1 + number, f"e{number}") for number in range(0, 61, 2)), TO_THE_END]
    world = World([records], [SEEN], [replace(each, delay="100 ms") for each in many])
    rows = decided(world)
    assert Counter(row["status"] for row in rows) == {"withdrawn": 31, "fired": 30}
