"""Events as the engine sees them, and the split by shard."""

import numpy as np
import polars as pl
import pytest
from engine_harness import frame_of, reserved_conditions
from hypothesis import given
from hypothesis import strategies as st
from reference import Record

from footfall.clock import FOREVER, NEVER, WATERMARK
from footfall.event_batch import (
    HAS_CURRENCY,
    HAS_PATH,
    HAS_REFERRER,
    HAS_USER,
    HAS_UTM,
    HAS_VALUE,
    UNTOLD,
    Mark,
    engine_events,
    halves,
    same_keys,
    split_by_shard,
    split_together,
)
from footfall.expression import event
from footfall.hashing import hash_texts
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.shard_clock import ShardClock

TIME = 1_760_000_000_000
PLAN = PatternPlan.compile(
    [Pattern("p").begin("x", event == "x").same("element")], reserved_conditions()
)  # bits: page_view, click, order_completed, x
COLUMNS = ["visitor_id", "message_id", "source_offset"]


def test_what_the_engine_sees_of_an_event() -> None:
    record = Record("v", "m", "click", TIME, TIME + 5, path="/p", campaign="spring", value=-7, currency="EUR")
    (seen,) = engine_events(frame_of([record], first_offset=40), 3)
    named = {name: seen[name].item() for name in ("time", "arrival", "offset", "partition", "value")}
    assert named == {
        "time": TIME,
        "arrival": TIME + 5,
        "offset": 40,
        "partition": 3,
        "value": -7,
    }
    for high, low, text in (("visitor_high", "visitor_low", "v"), ("message_high", "message_low", "m")):
        assert (seen[high], seen[low]) == tuple(word[0] for word in hash_texts(pl.Series([text])))
    for name, text in (("page", "/p"), ("campaign", "spring"), ("currency", "EUR")):
        assert seen[name] == hash_texts(pl.Series([text]))[1][0]
    assert seen["marks"] == HAS_PATH | HAS_UTM | HAS_VALUE | HAS_CURRENCY


def test_masks_and_same_keys_travel_with_the_events() -> None:
    many = [Pattern(f"p{number}").begin("x", event == f"e{number}").same("element") for number in range(70)]
    plan = PatternPlan.compile(many, reserved_conditions())
    frame = frame_of([Record("v", "m", name, TIME, element="#a") for name in ("click", "e0", "e69")])
    frame = frame.with_columns(source_partition=pl.lit("p"))
    (batch,) = split_by_shard(frame, plan, COLUMNS, 0, 1, watermark=0, ended=False)
    assert batch.lanes.shape == (3, plan.lanes) == (3, 2)
    assert batch.events["mask"].tolist() == [0b10, 0b1000, 0]
    assert batch.lanes[:, 0].tolist() == hash_texts(pl.Series(["#a"] * 3))[1].tolist()
    found = [int(word).bit_count() for word in batch.lanes[:, 1]]
    assert found == [0, 0, 1]


def test_what_an_event_lacks() -> None:
    (seen,) = engine_events(frame_of([Record("v", "m", "y", TIME)]), 0)
    assert seen["arrival"] == NEVER
    lacking = [seen[name] for name in ("value", "marks", "page", "campaign", "currency")]
    assert lacking == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("column", "mark"),
    [
        ("path", HAS_PATH),
        ("referrer", HAS_REFERRER),
        ("user_id", HAS_USER),
        ("currency", HAS_CURRENCY),
        ("value", HAS_VALUE),
        ("utm_source", HAS_UTM),
        ("utm_content", HAS_UTM),
    ],
)
def test_a_mark_says_which_event_has_a_field(column: str, mark: int) -> None:
    frame = frame_of([Record("v", f"m{n}", "y", TIME) for n in range(3)])
    value = 1 if column == "value" else "t"
    some = frame.with_columns(pl.Series(column, [None, value, None], dtype=frame.schema[column]))
    assert engine_events(some, 0)["marks"].tolist() == [0, mark, 0]
    every = frame.with_columns(pl.Series(column, [value] * 3, dtype=frame.schema[column]))
    assert engine_events(every, 0)["marks"].tolist() == [mark] * 3


def test_the_keys_of_same_are_hashes_and_0_without_a_value() -> None:
    records = [
        Record("v", f"m{n}", "x", TIME, element=element) for n, element in enumerate(("#a", None, "#a"))
    ]
    keys = same_keys(frame_of(records), ("element", "path"))
    assert keys.shape == (3, 2)
    assert keys[0, 0] == keys[2, 0] != 0
    assert keys[1].tolist() == [0, 0]


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(1, 7))
def test_the_split_keeps_a_visitor_together_and_the_order(visitors: list[int], shards: int) -> None:
    records = [Record(f"v{visitor}", f"m{n}", "x", TIME + n) for n, visitor in enumerate(visitors)]
    frame = frame_of(records, first_offset=10)
    batches = split_by_shard(frame, PLAN, COLUMNS, 2, shards, watermark=77, ended=True)
    assert [batch.shard for batch in batches] == list(range(shards))
    owners: dict[str, int] = {}
    offsets: list[int] = []
    for batch in batches:
        assert (batch.partition, batch.watermark, batch.ended) == (2, 77, True)
        assert batch.rows.columns == COLUMNS
        assert batch.events.size == batch.rows.height == batch.lanes.shape[0]
        own = batch.events["offset"].tolist()
        assert own == sorted(own) == batch.rows["source_offset"].to_list()
        hashes = hash_texts(batch.rows["visitor_id"])[1]
        assert np.array_equal(batch.events["visitor_low"], hashes)
        for visitor in batch.rows["visitor_id"]:
            assert owners.setdefault(visitor, batch.shard) == batch.shard
        offsets += own
    assert sorted(offsets) == list(range(10, 10 + len(visitors)))


def test_shards_get_about_the_same() -> None:
    records = [Record(f"v{n}", f"m{n}", "x", TIME) for n in range(4_000)]
    batches = split_by_shard(frame_of(records), PLAN, COLUMNS, 0, 4, watermark=0, ended=False)
    assert all(800 < batch.events.size < 1200 for batch in batches)


def read_together(sizes: list[int]) -> tuple[pl.DataFrame, list[Mark], np.ndarray]:
    """The events of several partitions, one's after the other's: their watermarks, and each event's partition."""
    numbers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    records = [Record(f"v{row}", f"m{row}", "x", TIME + row) for row in range(numbers.size)]
    frame = (
        frame_of([*records, Record("v", "m", "x", TIME)])
        .with_row_index()
        .filter(pl.col("index") < len(records))
    )
    frame = frame.with_columns(pl.Series(WATERMARK, np.arange(numbers.size) * 10))
    marks = [Mark(number, 10_000 + number, False, TIME + number) for number in range(len(sizes))]
    return frame, marks, numbers


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.sampled_from([1, 2, 5]))
def test_what_is_split_together_is_what_is_split_one_by_one(sizes: list[int], shards: int) -> None:
    frame, marks, numbers = read_together(sizes)
    together = split_together(frame, PLAN, COLUMNS, marks, shards, partition=numbers)
    assert [batch.shard for batch in together] == list(range(shards))
    assert all(batch.marks == tuple(marks) for batch in together)
    for mark in marks:
        rows = frame.filter(numbers == mark.partition)
        alone = split_by_shard(
            rows,
            PLAN,
            COLUMNS,
            mark.partition,
            shards,
            watermark=mark.watermark,
            ended=False,
            arrival=mark.arrival,
        )
        for joint, one in zip(together, alone, strict=True):
            own = joint.events["partition"] == mark.partition
            assert joint.events[own].tolist() == one.events.tolist()
            assert joint.lanes[own].tolist() == one.lanes.tolist()
            assert joint.watermarks is not None
            assert one.watermarks is not None
            assert joint.watermarks[own].tolist() == one.watermarks.tolist()
            assert joint.rows.filter(own).rows(named=True) == one.rows.rows(named=True)
            assert one.marks == (mark,)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) > 1))
def test_of_what_is_halved_no_mark_is_ahead_of_what_comes_behind_it(sizes: list[int]) -> None:
    frame, marks, numbers = read_together(sizes)
    (batch,) = split_together(frame, PLAN, COLUMNS, marks, 1, partition=numbers)
    (first,), (second,) = halves([batch])
    assert first.events.tolist() + second.events.tolist() == batch.events.tolist()
    assert first.rows.rows() + second.rows.rows() == batch.rows.rows()
    assert first.watermarks is not None
    assert second.watermarks is not None
    assert [*first.watermarks, *second.watermarks] == frame[WATERMARK].to_list()
    assert second.marks == batch.marks
    assert [mark.partition for mark in first.marks] == [mark.partition for mark in marks]
    for mark, whole in zip(first.marks, marks, strict=True):
        coming = second.watermarks[second.events["partition"] == mark.partition].tolist()
        assert mark.watermark == (coming[0] if coming else whole.watermark)


def test_a_shards_clock_hears_of_every_partition() -> None:
    frame, marks, numbers = read_together([1, 2, 0])
    marks[1] = marks[1]._replace(ended=True)
    (batch,) = split_together(frame, PLAN, COLUMNS, marks, 1, partition=numbers)
    clock = ShardClock.of(4, untold=False)
    clock.take([batch])
    assert clock.watermarks.tolist() == [10_000, 10_001, 10_002, NEVER]
    assert clock.ended.tolist() == [False, True, False, False]
    assert clock.arrivals.tolist() == [TIME, TIME + 1, TIME + 2, NEVER]


def test_nothing_is_told_early_before_what_each_of_them_says() -> None:
    """Partition 0 is of the past: its own events count, not those of the others that were read with it."""
    frame, marks, numbers = read_together([1, 2])
    marks = [mark._replace(arrival=NEVER) for mark in marks]
    (batch,) = split_together(frame, PLAN, COLUMNS, marks, 1, partition=numbers)
    clock = ShardClock.of(3, untold=True)
    clock.mark_untold([batch], NEVER, 1)
    assert clock.untold_until.tolist() == [TIME, TIME + 2, FOREVER]
    assert (batch.events["marks"] & UNTOLD).all()
