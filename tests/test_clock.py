"""The partition clock against a record-by-record reference, whatever the batches."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.clock import NEVER, ClockSettings, PartitionClock, take_together
from footfall.envelope import TIME

Record = tuple[int, int | None]
Decided = tuple[int, bool, bool]


def frame(records: Sequence[Record]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "event_time": pl.Series([time for time, _ in records], dtype=pl.Int64).cast(TIME),
            "arrival_time": pl.Series([came for _, came in records], dtype=pl.Int64).cast(TIME),
            "late": pl.Series([False] * len(records), dtype=pl.Boolean),
            "clock_capped": pl.Series([False] * len(records), dtype=pl.Boolean),
        }
    )


def reference(records: Sequence[Record], settings: ClockSettings) -> list[Decided]:
    """The design's rules, one record after the other, with the whole partition in hand."""
    top: int | None = None
    last_arrival: int | None = None
    watermark: int | None = None
    decided = []
    for place, (sent, arrival) in enumerate(records):
        time, capped = sent, False
        bounds = [] if watermark is None else [watermark]
        if arrival is not None:
            last_arrival = arrival if last_arrival is None else max(arrival, last_arrival)
            if time > last_arrival:
                time, capped = last_arrival, True
            bounds.append(last_arrival - settings.idle_bound - 1)
        elif top is not None and time > top + settings.future_jump:
            following = records[place + 1][0] if place + 1 < len(records) else None
            if following is not None and following <= top + settings.future_jump:
                time, capped = top, True
        if top is not None:
            bounds.append(top - settings.lateness - 1)
        watermark = max(bounds, default=None)
        decided.append((time, watermark is not None and time <= watermark, capped))
        top = time if top is None else max(top, time)
    return decided


def taken(clock: PartitionClock, batches: Sequence[Sequence[Record]]) -> list[Decided]:
    out: list[Decided] = []
    for batch in [*batches, []]:
        rows = clock.take(frame(batch), ended=not batch)
        times = rows["event_time"].to_physical()
        out += zip(times.to_list(), rows["late"].to_list(), rows["clock_capped"].to_list(), strict=True)
    return out


settings_strategy = st.builds(
    ClockSettings,
    lateness=st.integers(0, 30),
    idle_bound=st.integers(0, 60),
    future_jump=st.integers(1, 100),
)
times = st.integers(0, 400)
records_strategy = st.lists(st.tuples(times, st.none() | times), min_size=1, max_size=30)


@given(records_strategy, settings_strategy, st.data())
def test_decides_as_the_rules_say_whatever_the_batches(
    records: list[Record], settings: ClockSettings, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(records)), max_size=6)) | {0, len(records)})
    batches = [records[a:b] for a, b in pairwise(cuts)]
    assert taken(PartitionClock(settings), batches) == reference(records, settings)


def test_an_event_at_the_watermark_is_late_and_one_after_it_is_not() -> None:
    clock = PartitionClock(ClockSettings(lateness=5))
    decided = taken(clock, [[(100, None), (94, None), (95, None)]])
    assert [late for _, late, _ in decided] == [False, True, False]


def test_one_wrong_clock_moves_nothing_until_it_is_confirmed() -> None:
    settings = ClockSettings(lateness=0, future_jump=1_000)
    assert taken(PartitionClock(settings), [[(0, None)], [(5_000, None)], [(10, None)]]) == [
        (0, False, False),
        (0, False, True),
        (10, False, False),
    ]
    assert taken(PartitionClock(settings), [[(0, None)], [(5_000, None)], [(5_001, None)]])[1] == (
        5_000,
        False,
        False,
    )
    assert taken(PartitionClock(settings), [[(0, None), (5_000, None)]])[1] == (5_000, False, False)


def test_arrival_never_goes_back_and_caps_the_event_time() -> None:
    clock = PartitionClock(ClockSettings())
    rows = clock.take(frame([(100, 100), (150, 90), (80, None)]), ended=True)
    assert rows["arrival_time"].to_physical().to_list() == [100, 100, None]
    assert rows["event_time"].to_physical().to_list() == [100, 100, 80]
    assert rows["clock_capped"].to_list() == [False, True, False]


def test_silence_moves_the_watermark_by_the_idle_bound() -> None:
    clock = PartitionClock(ClockSettings(lateness=5, idle_bound=60))
    assert clock.watermark == NEVER
    clock.take(frame([(0, 0), (1, 1_000)]), ended=False)
    assert clock.watermark == 939


def test_an_empty_partition_has_no_watermark() -> None:
    clock = PartitionClock(ClockSettings())
    assert clock.take(frame([]), ended=True).height == 0
    assert clock.watermark == clock.max_event_time == NEVER


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6), min_size=1, max_size=4)
)
def test_partitions_that_are_taken_together_have_the_times_of_each_alone(
    partitions: list[list[tuple[int, int]]],
) -> None:
    settings = ClockSettings(lateness=10, idle_bound=25, future_jump=15)
    alone = [PartitionClock(settings) for _ in partitions]
    joint = [PartitionClock(settings) for _ in partitions]
    for _ in range(2):
        frames = [frame(records) for records in partitions]
        bounds = np.cumsum([0, *map(len, partitions)])
        found = take_together(joint, pl.concat(frames), bounds, with_watermarks=True)
        expected = [
            clock.take(each, ended=False, with_watermarks=True)
            for clock, each in zip(alone, frames, strict=True)
            if each.height
        ]
        assert found.rows() == [row for each in expected for row in each.rows()]
        for one, other in zip(alone, joint, strict=True):
            assert (one.watermark, one.max_event_time, one.last_arrival) == (
                other.watermark,
                other.max_event_time,
                other.last_arrival,
            )


def test_what_isnt_decided_at_once_cant_be_taken_together() -> None:
    clock = PartitionClock(ClockSettings())
    bounds = np.array([0, 1])
    with pytest.raises(ValueError, match="isn't decided"):
        take_together([clock], frame([(5, None)]), bounds)
    clock.held = frame([(1, None)])
    with pytest.raises(ValueError, match="isn't decided"):
        take_together([clock], frame([(5, 6)]), bounds)
