import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_messages import Clock, any_message, progress, shard_status, sink_status
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from footfall import __version__
from footfall.live_totals import LiveTotals
from footfall.metrics import metrics_page
from footfall.run_events import RunEvent
from footfall.run_messages import Message, ModelStatus, WorkerStarted

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(totals: LiveTotals) -> Samples:
    """(name, labels) -> value, of the page as a scraper reads it."""
    body, content_type = metrics_page(totals)("")
    assert content_type.startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


@pytest.fixture
def totals() -> LiveTotals:
    clock = Clock()
    made = LiveTotals(
        partitions=["p0", "p1"],
        shards=["a"],
        workers=1,
        wall=clock.wall,
        monotonic=clock.monotonic,
        spool_limit=100,
    )
    for message in (
        WorkerStarted(0, 1.0),
        progress("p0", 100, lag=5, watermark=clock.ms(ago=5), late=1, dead=3, dead_reasons={"not JSON": 3}),
        progress("p1", 10, lag=None, watermark=None, clock_capped=2),
        shard_status(
            "a",
            settled=clock.ms(ago=60),
            events=90,
            duplicates=4,
            sessions=7,
            matches={'odd "name"\n\\': 2, "rage_click": 0},
            early=6,
            retracted=1,
            dropped_partials=8,
            timed_out=9,
            waiting=11,
            visitors=12,
            partials=13,
            state_bytes=14,
            snapshot_seconds=0.25,
            triggers={"cart": {"fired": 3}},
        ),
        sink_status({"events": 50}, waiting_rows=20, waiting_bytes=95, oldest_seconds=1.5, errors=2),
        sink_status({}, sink="kafka", expired={"cart": 4}),
        ModelStatus(
            settled=clock.ms(ago=2),
            waiting=3,
            champions={"lead": "one"},
            predictions={"lead": 9},
            labels={"lead": {"one": 8, "other": 7}},
            quality={
                "lead": {
                    "one": {"roc_auc": 0.7, "log_loss": 0.3, "drifts": 1.0},
                    "other": {"roc_auc": 0.8, "log_loss": 0.2, "drifts": 0.0},
                }
            },
            triggers={"cart": {"unmet": 5}},
            digest=(1, 2),
        ),
    ):
        made.note(message)
    made.happened(RunEvent(0, "error", "patterns_broken", "a typing error"))
    clock.now += 1
    return made


def test_every_figure_is_there_with_its_labels(totals: LiveTotals) -> None:
    found = samples(totals)
    expected: dict[tuple[str, str], float] = {
        ("records_total", "partition=p0"): 100,
        ("records_total", "partition=p1"): 10,
        ("read_bytes_total", "partition=p0"): 10_000,
        ("lag_records", "partition=p0"): 5,
        ("watermark_delay_seconds", ""): 6,
        ("settled_delay_seconds", ""): 61,
        ("events_total", ""): 91,
        ("duplicates_total", ""): 4,
        ("late_total", ""): 1,
        ("dead_letters_total", "reason=not JSON"): 3,
        ("clock_capped_total", ""): 2,
        ("sessions_total", ""): 7,
        ("matches_total", 'pattern=odd "name"\n\\'): 2,
        ("matches_total", "pattern=rage_click"): 0,
        ("early_matches_total", ""): 6,
        ("retractions_total", ""): 1,
        ("triggers_total", "rule=cart,status=fired"): 3,
        ("partials_dropped_total", ""): 8,
        ("partials_timed_out_total", ""): 9,
        ("waiting_events", "shard=a"): 11,
        ("visitors", "shard=a"): 12,
        ("partial_matches", "shard=a"): 13,
        ("state_bytes", "shard=a"): 14,
        ("snapshot_seconds", "shard=a"): 0.25,
        ("sink_rows_total", "sink=clickhouse,table=events"): 50,
        ("sink_waiting_rows", "sink=clickhouse"): 20,
        ("sink_waiting_bytes", "sink=clickhouse"): 95,
        ("sink_oldest_seconds", "sink=clickhouse"): 1.5,
        ("sink_errors_total", "sink=clickhouse"): 2,
        ("sink_waiting_rows", "sink=kafka"): 0,
        ("sink_waiting_bytes", "sink=kafka"): 0,
        ("sink_oldest_seconds", "sink=kafka"): 0,
        ("sink_errors_total", "sink=kafka"): 0,
        ("expired_triggers_total", "rule=cart,sink=kafka"): 4,
        ("worker_restarts_total", ""): 0,
        ("worker_silent_seconds", "worker=0"): 1,
        ("workers", ""): 1,
        ("healthy", ""): 1,
        ("ready", ""): 1,
        ("alert", "name=broken_patterns"): 1,
        ("alert", "name=spool_nearly_full"): 1,
        ("alert", "name=store_away"): 0,
        ("alert", "name=broker_away"): 0,
        ("alert", "name=webhook_away"): 0,
        ("alert", "name=partition_added"): 0,
        ("alert", "name=champion_loses"): 1,
        ("alert", "name=model_drift"): 1,
        ("triggers_total", "rule=cart,status=unmet"): 5,
        ("models_waiting", ""): 3,
        ("model_champion", "learner=one,model=lead"): 1,
        ("model_predictions_total", "model=lead"): 9,
        ("model_labels_total", "learner=one,model=lead"): 8,
        ("model_labels_total", "learner=other,model=lead"): 7,
        ("model_quality", "figure=roc_auc,learner=one,model=lead"): 0.7,
        ("model_quality", "figure=log_loss,learner=one,model=lead"): 0.3,
        ("model_quality", "figure=drifts,learner=one,model=lead"): 1,
        ("model_quality", "figure=roc_auc,learner=other,model=lead"): 0.8,
        ("model_quality", "figure=log_loss,learner=other,model=lead"): 0.2,
        ("model_quality", "figure=drifts,learner=other,model=lead"): 0,
    }
    shown = {
        (name.removeprefix("footfall_"), ",".join(f"{key}={value}" for key, value in labels)): value
        for (name, labels), value in found.items()
    }
    for key, value in expected.items():
        assert shown.pop(key) == pytest.approx(value), key
    rest = {name for name, _ in shown}
    assert rest == {
        "build_info", "read_bytes_total", "start_time_seconds", "watermark_timestamp_seconds",
        "models_settled_timestamp_seconds",
    }  # fmt: skip
    assert ("lag_records", "partition=p1") not in shown, "what isn't known is left out"


def test_names_follow_prometheus_conventions(totals: LiveTotals) -> None:
    body, _ = metrics_page(totals)("")
    families = list(text_string_to_metric_families(body.decode()))
    assert len(families) > 30
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert re.fullmatch(r"footfall_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge"}
        assert not re.search(r"_(ms|millis|minutes|mb|kb)\b", family.name)
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
    build = next(family for family in families if family.name == "footfall_build_info").samples[0]
    assert build.labels["version"] == __version__


def test_a_scraper_may_ask_for_openmetrics(totals: LiveTotals) -> None:
    body, content_type = metrics_page(totals)("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert content_type.startswith("application/openmetrics-text")
    families = openmetrics(body.decode())  # type: ignore[no-untyped-call]  # not typed
    assert len(list(families)) > 30


def test_a_run_that_nothing_is_known_of_has_a_page() -> None:
    found = samples(LiveTotals(partitions=["p0"], shards=["a"]))
    assert found["footfall_healthy", ()] == 1
    assert found["footfall_ready", ()] == 0
    assert found["footfall_events_total", ()] == 0
    assert not any(name == "footfall_watermark_delay_seconds" for name, _ in found)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(any_message, st.floats(0, 20)), max_size=20), resumed=st.booleans())
def test_counters_never_fall_whatever_the_workers_say(
    *, steps: list[tuple[Message, float]], resumed: bool
) -> None:
    clock = Clock()
    totals = LiveTotals(workers=2, resumed=resumed, wall=clock.wall, monotonic=clock.monotonic)
    before: Samples = {}
    for message, seconds in steps:
        clock.now += seconds
        totals.note(message)
        after = {key: value for key, value in samples(totals).items() if key[0].endswith("_total")}
        assert {key: value for key, value in before.items() if after[key] < value} == {}
        before = after
