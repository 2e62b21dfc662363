"""The figures of a live run as Prometheus metrics, in base units: seconds, bytes, records.

Counters are the whole run's totals, so a process that resumes a run doesn't begin them at zero; within a process they
never fall: what a recovery repeats leaves them where they are until it is passed. What a query by `rate()` or
`increase()` sees is therefore each record, match and trigger once.
"""

import platform
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from footfall import __version__
from footfall.live_snapshot import LiveSnapshot
from footfall.live_totals import ALERTS, LiveTotals

_Series = Iterable[tuple[tuple[str, ...], float | None]]


class LiveCollector(Collector):
    """Makes metrics of a run's figures whenever it is asked to."""

    def __init__(self, totals: LiveTotals) -> None:
        self._totals = totals

    def describe(self) -> Iterable[Metric]:
        """The metrics without values, so that registering needs no figures."""
        return [Metric(each.name, each.documentation, each.type) for each in self.collect()]

    def collect(self) -> Iterable[Metric]:
        """The metrics, all of one moment."""
        now = self._totals.snapshot()
        return [*_run(now), *_input(now), *_answers(now), *_state(now), *_models(now), *_sinks(now)]


def metrics_page(totals: LiveTotals) -> Callable[[str], tuple[bytes, str]]:
    """A function from a request's Accept header to the page and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LiveCollector(totals))

    def page(accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    return page


def _gauge(name: str, about: str, series: _Series, labels: tuple[str, ...] = ()) -> Metric:
    """A gauge; what isn't known (None) is left out, as Prometheus has it."""
    family = GaugeMetricFamily(f"footfall_{name}", about, labels=labels)
    for values, value in series:
        if value is not None:
            family.add_metric(values, value)
    return family


def _counter(name: str, about: str, series: _Series, labels: tuple[str, ...] = ()) -> Metric:
    family = CounterMetricFamily(f"footfall_{name}_total", about, labels=labels)
    for values, value in series:
        if value is not None:
            family.add_metric(values, value)
    return family


def _one(value: float | None) -> _Series:
    return [((), value)]


def _by_name(values: Mapping[str, float]) -> _Series:
    return [((name,), value) for name, value in values.items()]


def _run(now: LiveSnapshot) -> Iterable[Metric]:
    yield _gauge(
        "build_info",
        "The version that runs; always 1.",
        [((__version__, platform.python_version()), 1)],
        ("version", "python"),
    )
    yield _gauge(
        "start_time_seconds",
        "When this process began to watch the run.",
        _one(now.time / 1000 - now.up_seconds),
    )
    yield _gauge("healthy", "1 while the parent works and its workers live.", _one(now.healthy))
    yield _gauge("ready", "1 while all partitions are open and all shards have their state.", _one(now.ready))
    yield _gauge("workers", "Workers that run.", _one(now.workers_alive))
    yield _gauge(
        "worker_silent_seconds",
        "Time since a worker's last word.",
        [((str(worker),), seconds) for worker, seconds in now.silent_seconds.items()],
        ("worker",),
    )
    yield _counter("worker_restarts", "How often all workers were started again.", _one(now.restarts))
    yield _gauge(
        "alert",
        "1 while something is wrong or needs people.",
        [((name,), name in now.alerts) for name in sorted({*ALERTS, *now.alerts})],
        ("name",),
    )


def _input(now: LiveSnapshot) -> Iterable[Metric]:
    by_partition = ("partition",)
    parts = now.partitions
    yield _counter("records", "Records read.", [((p.partition,), p.records) for p in parts], by_partition)
    yield _counter("read_bytes", "Bytes read.", [((p.partition,), p.bytes_read) for p in parts], by_partition)
    yield _gauge(
        "lag_records", "Records that wait to be read.", [((p.partition,), p.lag) for p in parts], by_partition
    )
    yield _gauge(
        "watermark_timestamp_seconds",
        "Up to which event time a partition is complete.",
        [((p.partition,), None if p.watermark is None else p.watermark / 1000) for p in parts],
        by_partition,
    )
    yield _gauge(
        "watermark_delay_seconds",
        "How far the smallest watermark of all partitions is behind the clock.",
        _one(now.watermark_delay),
    )
    yield _counter("events", "Events settled, and late ones.", _one(now.events))
    yield _counter("duplicates", "Events dropped as seen before.", _one(now.duplicates))
    yield _counter("late", "Events that came after their watermark.", _one(now.late))
    yield _counter(
        "dead_letters", "Records that couldn't be decoded.", _by_name(now.dead_reasons), ("reason",)
    )
    yield _counter("clock_capped", "Events whose time was ahead and was set back.", _one(now.clock_capped))


def _answers(now: LiveSnapshot) -> Iterable[Metric]:
    yield _gauge(
        "settled_delay_seconds",
        "How far the shard that is farthest behind is behind the clock.",
        _one(now.settled_delay),
    )
    yield _counter("sessions", "Sessions closed.", _one(now.sessions))
    yield _counter("matches", "Matches settled.", _by_name(now.matches), ("pattern",))
    yield _counter("early_matches", "Matches told before they settled.", _one(now.early))
    yield _counter("retractions", "Matches taken back after they were told early.", _one(now.retracted))
    yield _counter("triggers", "Triggers by what became of them.", now.triggers.items(), ("rule", "status"))
    yield _counter(
        "partials_dropped", "Partial matches dropped at partial_limit.", _one(now.dropped_partials)
    )
    yield _counter("partials_timed_out", "Partial matches that ran out of time.", _one(now.timed_out))


def _state(now: LiveSnapshot) -> Iterable[Metric]:
    by_shard = ("shard",)
    shards = now.shards
    yield _gauge(
        "waiting_events", "Events not settled yet.", [((s.shard,), s.waiting) for s in shards], by_shard
    )
    yield _gauge("visitors", "Live visitors.", [((s.shard,), s.visitors) for s in shards], by_shard)
    yield _gauge(
        "partial_matches", "Partial matches held.", [((s.shard,), s.partials) for s in shards], by_shard
    )
    yield _gauge(
        "state_bytes", "Size of the last snapshot.", [((s.shard,), s.state_bytes) for s in shards], by_shard
    )
    yield _gauge(
        "snapshot_seconds",
        "Time that the last snapshot took.",
        [((s.shard,), s.snapshot_seconds) for s in shards],
        by_shard,
    )


def _models(now: LiveSnapshot) -> Iterable[Metric]:
    models = now.models
    if models is None:
        return
    yield _gauge(
        "models_settled_timestamp_seconds",
        "Up to which event time the models have everything.",
        _one(None if models.settled is None else models.settled / 1000),
    )
    yield _gauge("models_waiting", "Moments that aren't scored yet.", _one(models.waiting))
    yield _gauge(
        "model_champion",
        "The champion of a model; always 1.",
        [((model, learner), 1) for model, learner in models.champions.items()],
        ("model", "learner"),
    )
    yield _counter("model_predictions", "Predictions.", _by_name(models.predictions), ("model",))
    yield _counter("model_labels", "Labels learnt.", models.labels.items(), ("model", "learner"))
    yield _gauge(
        "model_quality",
        "How good a learner was over its last labels, by figure.",
        [
            ((model, learner, figure), value)
            for model, learners in models.quality.items()
            for learner, figures in learners.items()
            for figure, value in figures.items()
        ],
        ("model", "learner", "figure"),
    )


def _sinks(now: LiveSnapshot) -> Iterable[Metric]:
    by_sink = ("sink",)
    sinks = now.sinks
    yield _counter(
        "sink_rows",
        "Rows or messages delivered; after a restart some are delivered again.",
        [((s.sink, table), rows) for s in sinks for table, rows in s.rows.items()],
        ("sink", "table"),
    )
    yield _gauge(
        "sink_waiting_rows", "Rows that wait.", [((s.sink,), s.waiting_rows) for s in sinks], by_sink
    )
    yield _gauge(
        "sink_waiting_bytes", "Bytes that wait.", [((s.sink,), s.waiting_bytes) for s in sinks], by_sink
    )
    yield _gauge(
        "sink_oldest_seconds",
        "How long the oldest waiting row has waited.",
        [((s.sink,), s.oldest_seconds) for s in sinks],
        by_sink,
    )
    yield _counter(
        "expired_triggers",
        "Triggers that were decided as fired and not sent, since they came too late.",
        [((s.sink, rule), count) for s in sinks for rule, count in s.expired.items()],
        ("sink", "rule"),
    )
    yield _counter(
        "sink_errors", "Tries to deliver that failed.", [((s.sink,), s.errors) for s in sinks], by_sink
    )
