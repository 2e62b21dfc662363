"""A partition is added: nothing is early until what came before has settled, and what stands is the same."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Record
from test_shard_properties import START
from trigger_worlds import (
    TriggerEngine,
    World,
    at,
    by_kind,
    in_order,
    plain,
    rule,
    run_whole,
    standing,
    worlds,
)

from footfall.expression import event
from footfall.expression import field as of_profile
from footfall.pattern import Pattern
from footfall.shard import Settled
from footfall.tables import TRIGGERS

NEXT = Pattern("next").begin("x", event == "a").next("y", event == "b")
EARLY_WORLD = World([[]], [NEXT], [rule("now", "next", kind="early"), rule("later", "next", delay=50)])


def arriving(time: int, name: str, visitor: str = "ann", *, after: int = 0) -> Record:
    return replace(at(time, name, visitor), arrival=START + time + after)


def feed(engine: TriggerEngine, *records: Record, partition: int = 0) -> list[Settled]:
    """Read records and feed them; what that settles."""
    engine.read(partition, list(records))
    return engine.feed()


def told_by(settled: Sequence[Settled]) -> list[tuple[str, str, str, int]]:
    rows = pl.concat([TRIGGERS.empty(), *(each.triggers for each in settled)])
    return rows.select("rule", "visitor_id", "status", "revision").rows()


def test_nothing_is_early_until_what_came_before_a_new_partition_has_settled() -> None:
    engine = TriggerEngine(EARLY_WORLD, early=True)
    assert told_by(feed(engine, arriving(0, "a"), arriving(28, "b"))) == [("now", "ann", "fired", 0)]
    assert told_by(feed(engine, arriving(29, "a", "bob"))) == []
    engine.add_partition()
    # Where bob's next records come from may have changed: nothing is early, in either partition.
    assert told_by(feed(engine, arriving(33, "b", "bob"))) == []
    assert told_by(feed(engine, arriving(33, "a", "cyd"), arriving(34, "b", "cyd"), partition=1)) == []
    # What was told before is taken back all the same.
    assert told_by(feed(engine, arriving(25, "d", after=10))) == [("now", "ann", "retracted", 1)]
    # By now all has settled that came before the new partition's first record: what wasn't told early is told.
    feed(engine, arriving(1_000, "d", "zed"))
    told = told_by(feed(engine, arriving(1_000, "d", "zoe"), partition=1))
    assert sorted(told) == [
        ("later", "bob", "fired", 0),
        ("later", "cyd", "fired", 0),
        ("now", "bob", "fired", 0),
        ("now", "cyd", "fired", 0),
    ]
    assert told_by(feed(engine, arriving(1_001, "a", "dan"), arriving(1_002, "b", "dan"))) == [
        ("now", "dan", "fired", 0)
    ]


def test_a_new_partition_without_a_record_is_waited_for_by_its_ticks() -> None:
    engine = TriggerEngine(EARLY_WORLD, early=True)
    feed(engine, arriving(0, "d"))
    engine.add_partition()
    assert told_by(feed(engine, arriving(5, "a"), arriving(6, "b"))) == []
    engine.tick(1, START + 7)
    engine.feed()
    for time in (1_500, 3_000):
        engine.tick(0, START + time)
        engine.tick(1, START + time)
        engine.feed()
    assert [row["rule"] for row in plain(engine.rows())] == ["now", "later"]
    assert told_by(feed(engine, arriving(3_001, "a", "bob"), arriving(3_002, "b", "bob"), partition=1)) == [
        ("now", "bob", "fired", 0)
    ]


def test_a_new_partition_may_tell_of_what_was_before_all_that_has_settled() -> None:
    """It is found some time after its first records; they count, and are due when they come."""
    with_profile = rule("seen", "next", condition=of_profile("events") == 2)
    engine = TriggerEngine(World([[]], [NEXT], [with_profile]))
    feed(engine, arriving(0, "d"), arriving(5_000, "d", "zed"))
    assert engine.shards[0].settled == START + 4_989
    engine.add_partition()
    feed(engine, arriving(4_800, "a"), arriving(4_900, "b"), partition=1)
    assert told_by(feed(engine, arriving(7_000, "d", "zed"))) == []
    assert told_by(feed(engine, arriving(7_000, "d", "zoe"), partition=1)) == [("seen", "ann", "unmet", 0)]
    assert told_by(feed(engine, arriving(7_001, "a", "bob"), arriving(7_002, "b", "bob"), partition=1)) == []
    feed(engine, arriving(9_000, "d", "zed"))
    assert told_by(feed(engine, arriving(9_000, "d", "zoe"), partition=1)) == [("seen", "bob", "fired", 0)]


@settings(deadline=None, max_examples=60)
@given(worlds(most_partitions=2), st.integers(1, 3), st.sampled_from((1, 7, 500)), st.data())
def test_what_stands_at_the_end_is_the_same_where_a_partition_is_added(
    world: World, shards: int, settle_step: int, data: st.DataObject
) -> None:
    old, new = (world.partitions[0], world.partitions[-1] if len(world.partitions) > 1 else [])
    # Some of the visitors of the first partition go on in the new one: their later records are there.
    moved = data.draw(st.integers(0, len(old)), label="moved")
    world = replace(world, partitions=[old[:moved], [*old[moved:], *new]])
    expected, expected_early = by_kind(world, run_whole(world).rows())
    engine = TriggerEngine(
        replace(world, partitions=[[]]), shards=shards, early=True, settle_step=settle_step
    )
    added_at = data.draw(st.integers(0, moved), label="added at")
    engine.read(0, world.partitions[0][:added_at])
    engine.feed()
    settled = max(shard.settled for shard in engine.shards)
    engine.add_partition()
    queues = [list(world.partitions[0][added_at:]), list(world.partitions[1])]
    for turn in data.draw(st.permutations([0] * len(queues[0]) + [1] * len(queues[1])), label="turns"):
        engine.read(turn, [queues[turn].pop(0)])
        if data.draw(st.booleans()):
            engine.feed()
        if not data.draw(st.integers(0, 5)):
            engine.restart()
    for number in range(2):
        engine.read(number, [], ended=True)
    engine.feed()
    found, found_early = by_kind(world, engine.rows())
    stands = standing(found_early)
    # What the first partition alone had settled stays as it is, whatever the new one says of the time before.
    if all(record.time > settled for record in world.partitions[1]):
        assert in_order(found) == in_order(expected)
        assert stands == standing(expected_early)
