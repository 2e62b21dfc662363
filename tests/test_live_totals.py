from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_messages import Clock, any_message, progress, shard_status, sink_status

from footfall.live_snapshot import LiveSnapshot
from footfall.live_totals import LiveTotals
from footfall.report import Tally
from footfall.run_events import RunEvent
from footfall.run_messages import Message, PartitionDone, Progress, ShardDone, WorkerStarted


@pytest.fixture
def clock() -> Clock:
    return Clock()


def totals_at(clock: Clock, **more: Any) -> LiveTotals:
    return LiveTotals(**more, wall=clock.wall, monotonic=clock.monotonic)


def event(name: str, text: str = "") -> RunEvent:
    return RunEvent(0, "info", name, text)


def test_rates_are_over_the_last_10_and_60_seconds(clock: Clock) -> None:
    totals = totals_at(clock)
    assert totals.snapshot().records_per_second == (None, None)
    for second in range(1, 121):
        clock.now += 1
        slow = min(second, 90)
        totals.note(progress(records=100 * slow + 10 * max(0, second - 90)))
        totals.note(shard_status(events=50 * second, matches={"rage_click": second // 2, "never": 0}))
    now = totals.snapshot()
    assert now.records_per_second == pytest.approx((10, (30 * 100 + 30 * 10) / 60), rel=0.1)
    assert now.events_per_second == pytest.approx((50, 50), rel=0.05)
    assert now.matches_per_minute == {"never": 0, "rage_click": pytest.approx(30, rel=0.1)}
    assert (now.records, now.events, now.matches) == (9_300, 6_000, {"never": 0, "rage_click": 60})
    clock.now += 30
    assert totals.snapshot().records_per_second[0] == 0, "rates fall when nobody says anything"
    clock.now += 100
    assert totals.snapshot().matches_per_minute["rage_click"] == 0


def test_a_restart_makes_no_rate_below_zero_and_none_for_what_comes_again(clock: Clock) -> None:
    totals = totals_at(clock)
    for second in range(1, 31):
        clock.now += 1
        totals.note(progress(records=100 * second))
    for second in range(1, 11):
        clock.now += 1
        totals.note(progress(records=2_000 + 100 * second))
        rates = totals.snapshot().records_per_second
        assert all(rate is not None and rate >= 0 for rate in rates)
    assert totals.snapshot().records == 3_000
    assert totals.snapshot().records_per_second[0] == 0
    clock.now += 10
    totals.note(progress(records=4_000))
    assert totals.snapshot().records_per_second[0] == pytest.approx(100, rel=0.1)


def test_a_resumed_run_makes_no_rate_of_its_past(clock: Clock) -> None:
    totals = totals_at(clock, resumed=True)
    clock.now += 5
    totals.note(progress(records=1_000_000))
    assert totals.snapshot().records == 1_000_000
    assert list(totals.snapshot().records_per_second) == [0, 0]


def test_delays_are_of_who_is_farthest_behind_and_lag_adds_up(clock: Clock) -> None:
    totals = totals_at(clock)
    now = totals.snapshot()
    assert (now.lag, now.watermark_delay, now.settled_delay) == (None, None, None)
    totals.note(progress("p0", lag=5, watermark=clock.ms(ago=5)))
    totals.note(progress("p1", lag=7, watermark=clock.ms(ago=8)))
    totals.note(progress("p2", lag=None, watermark=None))
    totals.note(shard_status("a", settled=clock.ms(ago=65)))
    totals.note(shard_status("b", settled=None))
    now = totals.snapshot()
    assert (now.lag, now.lag_unknown) == (12, 1)
    assert now.watermark_delay == pytest.approx(8)
    assert now.settled_delay == pytest.approx(65)
    assert [each.delay for each in now.partitions] == [pytest.approx(5), pytest.approx(8), None]
    clock.now += 2
    assert totals.snapshot().watermark_delay == pytest.approx(10)
    totals.note(progress("p1", watermark=clock.ms(ago=-3)))
    assert totals.snapshot().partitions[1].delay == 0


def test_the_first_word_after_a_restart_takes_nothing_back(clock: Clock) -> None:
    totals = totals_at(clock)
    totals.note(progress("p0", 100, lag=5, watermark=1_000, late=2, dead=3, dead_reasons={"not JSON": 3}))
    totals.note(Progress("p0", 60, 0, None, None))
    now = totals.snapshot()
    assert (now.lag, now.partitions[0].watermark, now.late, now.dead) == (5, 1_000, 2, 3)
    assert (now.records, now.dead_reasons, now.partitions[0].bytes_read) == (100, {"not JSON": 3}, 10_000)


def test_counts_add_up_as_in_a_report(clock: Clock) -> None:
    tally = Tally()
    totals = totals_at(clock)
    for number, name in enumerate("ab"):
        partition = PartitionDone(name, 100, 2, 3, 1, (2**63 + number, 5), {"not JSON": 3})
        shard = ShardDone(name, 45, 1, 9, 1, {"rage_click": 4}, {}, 0, 2, 1, 6, 2, {}, (2**63 - 1, 2**64 - 1))
        tally.partitions[name], tally.shards[name] = partition, shard
        totals.note(progress(name, 50, late=1))
        totals.note(shard_status(name, events=20, matches={"rage_click": 1}, digest=(1, 1)))
        totals.note(partition)
        totals.note(shard)
    report = tally.report(
        pattern_versions={"rage_click": "1"},
        workers=1,
        seconds=1.0,
        leg_records=1,
        peak_rss_mb=1.0,
        restarts=0,
    )
    now = totals.snapshot()
    for name in (
        "records", "events", "duplicates", "late", "dead", "dead_reasons", "clock_capped", "sessions", "matches",
        "timed_out", "dropped_partials", "early", "retracted", "answer",
    ):  # fmt: skip
        assert getattr(now, name) == getattr(report, name), name
    assert now.lag == 0


def test_the_answer_so_far_is_of_the_last_words(clock: Clock) -> None:
    totals = totals_at(clock)
    assert totals.snapshot().answer == "0" * 32
    totals.note(shard_status("a", digest=(1, 2)))
    totals.note(shard_status("b", digest=(2**64 - 1, 16)))
    totals.note(progress("p0", digest=(3, 0)))
    assert totals.snapshot().answer == f"{3:016x}{18:016x}"
    totals.note(shard_status("b", digest=(0, 0)))
    assert totals.snapshot().answer == f"{4:016x}{2:016x}"


def test_sizes_are_those_of_now(clock: Clock) -> None:
    totals = totals_at(clock)
    for size in (9, 4):
        for shard in "ab":
            totals.note(
                shard_status(
                    shard,
                    waiting=size,
                    visitors=size,
                    partials=size,
                    state_bytes=size,
                    snapshot_seconds=size / 10,
                )
            )
    now = totals.snapshot()
    assert (now.waiting, now.visitors, now.partials, now.state_bytes, now.snapshot_seconds) == (
        8,
        8,
        8,
        8,
        0.4,
    )


def test_sinks_of_workers_add_up_over_restarts(clock: Clock) -> None:
    totals = totals_at(clock, workers=2)
    for worker in (0, 1):
        totals.note(WorkerStarted(worker, 1.0))
        totals.note(
            sink_status(
                {"events": 10},
                worker=worker,
                waiting_rows=2,
                waiting_bytes=9,
                oldest_seconds=worker,
                errors=1,
            )
        )
    totals.note(WorkerStarted(0, 2.0))
    totals.note(sink_status({"events": 12, "matches": 1}, worker=0, errors=1))
    sink = totals.snapshot().sinks[0]
    assert (sink.sink, sink.rows, sink.errors) == ("clickhouse", {"events": 32, "matches": 1}, 3)
    assert (sink.waiting_rows, sink.waiting_bytes, sink.oldest_seconds) == (2, 9, 1)


def test_triggers_are_counted_by_rule_and_status(clock: Clock) -> None:
    totals = totals_at(clock)
    for second in range(60):
        clock.now += 1
        fired = {"cart": {"fired": second, "suppressed": 2}, "quiet": {}}
        totals.note(shard_status("a", triggers=fired))
        totals.note(shard_status("b", triggers=fired))
    now = totals.snapshot()
    assert now.triggers == {("cart", "fired"): 118, ("cart", "suppressed"): 4}
    assert now.triggers_per_minute["cart", "fired"] == pytest.approx(118, rel=0.05)


def test_alerts_go_up_and_down(clock: Clock) -> None:
    totals = totals_at(clock, spool_limit=1_000)
    for up, alert, down in (
        ("store_away", "store_away", "store_back"),
        ("broker_away", "broker_away", "broker_back"),
        ("patterns_broken", "broken_patterns", "patterns_switched"),
    ):
        totals.happened(event(up, "since then"))
        assert totals.snapshot().alerts == {alert: "since then"}
        totals.happened(event(down))
        assert totals.snapshot().alerts == {}
    totals.note(sink_status({}, worker=1, waiting_bytes=899))
    totals.note(sink_status({}, "kafka", waiting_bytes=5_000))
    assert totals.snapshot().alerts == {}
    totals.note(sink_status({}, worker=1, waiting_bytes=900))
    assert totals.snapshot().alerts == {"spool_nearly_full": "90% of the spool of worker 1 is taken"}


def test_an_added_partition_is_an_alert_until_a_restart_has_taken_it_up(clock: Clock) -> None:
    totals = totals_at(clock, partitions=["p0"], shards=["a"])

    def begin(*partitions: str) -> None:
        totals.note(WorkerStarted(0, 1.0))
        for name in partitions:
            totals.note(progress(name))
        totals.note(shard_status("a"))

    begin("p0")
    totals.happened(event("partition_added", "p1 is new"))
    totals.note(progress("p0"))
    totals.expect(["p0", "p1"])
    begin("p0")
    assert totals.snapshot().alerts == {"partition_added": "p1 is new"}
    assert not totals.snapshot().ready
    totals.note(progress("p1"))
    assert totals.snapshot().alerts == {}
    assert totals.snapshot().ready


def test_the_last_events_are_kept_as_notices(clock: Clock) -> None:
    totals = totals_at(clock)
    for number in range(100):
        totals.happened(event("notice", str(number)))
        totals.happened(event("progress", "not one"))
    assert [notice.text for notice in totals.snapshot().notices] == [str(number) for number in range(80, 100)]


COUNTED = (
    "records", "events", "duplicates", "late", "dead", "clock_capped", "sessions", "early", "retracted",
    "dropped_partials", "timed_out", "restarts",
)  # fmt: skip


def counters(now: LiveSnapshot) -> dict[object, int]:
    """Everything in a snapshot that must not fall."""
    found: dict[object, int] = {name: getattr(now, name) for name in COUNTED}
    found |= {("matches", name): count for name, count in now.matches.items()}
    found |= dict(now.triggers.items())
    found |= {("dead", name): count for name, count in now.dead_reasons.items()}
    found |= {("records", each.partition): each.records for each in now.partitions}
    for sink in now.sinks:
        found |= {(sink.sink, table): rows for table, rows in sink.rows.items()} | {sink.sink: sink.errors}
    return found


@settings(max_examples=60)
@given(steps=st.lists(st.tuples(any_message, st.floats(0, 20)), max_size=40), resumed=st.booleans())
def test_no_count_falls_and_no_rate_is_below_zero(
    *, steps: list[tuple[Message, float]], resumed: bool
) -> None:
    clock = Clock()
    totals = totals_at(clock, resumed=resumed, workers=2)
    before: dict[object, int] = {}
    for message, seconds in steps:
        clock.now += seconds
        totals.note(message)
        now = totals.snapshot()
        after = counters(now)
        assert {name: count for name, count in before.items() if after[name] < count} == {}
        before = after
        rates = [*now.records_per_second, *now.events_per_second, *now.matches_per_minute.values()]
        rates += [*now.triggers_per_minute.values(), *(sink.rows_per_second for sink in now.sinks)]
        assert all(rate is None or rate >= 0 for rate in rates)


def test_the_past_that_is_kept_is_bounded(clock: Clock) -> None:
    totals = totals_at(clock)
    for number in range(5_000):
        clock.now += 0.1
        totals.note(progress(records=number))
    assert len(totals._past) <= 63
