"""Keeps the last word of every partition, shard and sink of a live run, and makes figures of them.

Counts are totals of the run that never fall, whatever a restart repeats (`footfall.rising_counts`); rates come from
what they rose by. The clocks are arguments: this is what people look at, nothing here reaches an answer.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from footfall.live_snapshot import (
    LiveSnapshot,
    ModelFigures,
    NoticeLine,
    PartitionFigures,
    ShardFigures,
    SinkFigures,
)
from footfall.readiness import Readiness
from footfall.report import answer_of
from footfall.rising_counts import Key, RisingCounts
from footfall.run_events import AWAY, BACK, RunEvent, outlet
from footfall.run_messages import (
    Message,
    ModelStatus,
    PartitionDone,
    Progress,
    ShardDone,
    ShardStatus,
    SinkStatus,
    WorkerStarted,
)

# Every alert there is, so that a metric can say 0 of those that are not up.
ALERTS = (
    "broken_patterns",
    "broker_away",
    "champion_loses",
    "model_drift",
    "partition_added",
    "spool_nearly_full",
    "store_away",
    "webhook_away",
)

# Event -> the alert that it raises or lowers; of outages, `X_away` raises the alert `X_away` and `X_back` lowers it.
_RAISES = {"patterns_broken": "broken_patterns", "partition_added": "partition_added"}
_LOWERS = {"patterns_switched": "broken_patterns", "patterns_mended": "broken_patterns"}
_SHORT, _LONG = 10.0, 60.0
_EVERY = 1.0
_LEAST = 1.0
_NOTICES = 20
_SUMMED = frozenset({"dead_letters", "limit_hit", "snapshot_slow"})
_NEARLY_FULL = 0.9
_DRIFT_LABELS = 5_000


@dataclass(frozen=True, slots=True)
class _Alert:
    text: str
    leg: int


class LiveTotals:
    """A run's figures. `note` takes the workers' messages, `happened` what happens; any thread may call either."""

    def __init__(
        self,
        *,
        partitions: Iterable[str] = (),
        shards: Iterable[str] = (),
        workers: int = 1,
        resumed: bool = False,
        spool_limit: int | None = None,
        silent_after: float | None = 120.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing known.

        Args:
            partitions: the source's partitions; the run isn't ready before each has been heard of.
            shards: the run's shards, likewise.
            workers: how many workers there are.
            resumed: whether the run goes on from a state, whose totals then make no rate.
            spool_limit: bytes that a worker's spool may take; the alert comes when 90 % of it wait in one.
            silent_after: seconds without a word after which a worker counts as stuck; None: never.
            wall: the time of day in seconds.
            monotonic: a clock in seconds that never goes back.
        """
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._workers = workers
        self._spool_limit = spool_limit
        self._began = self._noted = monotonic()
        self._counts = RisingCounts(resumed=resumed)
        self._readiness = Readiness(
            partitions=partitions,
            shards=shards,
            workers=workers,
            silent_after=silent_after,
            monotonic=monotonic,
        )
        self._partitions: dict[str, Progress] = {}
        self._shards: dict[str, ShardStatus] = {}
        self._models: ModelStatus | None = None
        # By model: the drifts seen so far, and how many labels had been learnt by the last one.
        self._drifts: dict[str, tuple[int, int]] = {}
        self._sinks: dict[tuple[int, str], SinkStatus] = {}
        self._digests: dict[tuple[str, str], tuple[int, int]] = {}
        self._alerts: dict[str, _Alert] = {}
        self._notices: deque[NoticeLine] = deque(maxlen=_NOTICES)
        # What had freshly been counted at some moments, a second or more apart, back to a minute ago.
        self._past: deque[tuple[float, dict[Key, int]]] = deque([(self._began, {})])

    def expect(self, partitions: Iterable[str]) -> None:
        """The source has these partitions from the next start of the workers on."""
        with self._lock:
            self._readiness.expect(partitions)

    def note(self, message: Message) -> None:
        """Take a message of a worker."""
        with self._lock:
            self._keep_past()
            self._readiness.note(message)
            match message:
                case Progress():
                    self._note_progress(message)
                case PartitionDone():
                    self._note_partition_done(message)
                case ShardStatus():
                    self._note_shard(message)
                case ShardDone():
                    self._note_shard_done(message)
                case ModelStatus():
                    self._note_models(message)
                case SinkStatus():
                    self._note_sink(message)
                case WorkerStarted():
                    for source in [source for source in self._sinks if source[0] == message.worker]:
                        self._counts.begin_again(source)
            self._lower_after_restart()

    def happened(self, event: RunEvent) -> None:
        """Take an event: some raise or lower an alert, and all but the workers' starts are kept as notices."""
        with self._lock:
            self._readiness.happened(event.event, event.text)
            name = event.event
            if raised := name if name.endswith(AWAY) else _RAISES.get(name):
                self._alerts[raised] = _Alert(event.text, self._readiness.leg)
            lowered = name.removesuffix(BACK) + AWAY if name.endswith(BACK) else _LOWERS.get(name)
            if lowered:
                self._alerts.pop(lowered, None)
            if event.event in _SUMMED:
                # They come every minute while it lasts, and would push out all others.
                kept = [each for each in self._notices if each.event != event.event]
                self._notices = deque(kept, maxlen=_NOTICES)
            if event.event != "progress":
                self._notices.append(NoticeLine(event.time, event.level, event.event, event.text))

    def _lower_after_restart(self) -> None:
        """An added partition is taken up by a restart, which ends its alert once all is open again."""
        added = self._alerts.get("partition_added")
        if added and self._readiness.leg > added.leg and not self._readiness.missing():
            del self._alerts["partition_added"]

    def _note_progress(self, message: Progress) -> None:
        name = message.partition
        before = self._partitions.get(name)
        if before is not None and message.watermark is None and message.lag is None:
            # The first word after a restart knows how many records only.
            message = replace(
                message,
                bytes_read=message.bytes_read or before.bytes_read,
                event_time=before.event_time if message.event_time is None else message.event_time,
                lag=before.lag,
                watermark=before.watermark,
                digest=before.digest,
            )
        self._partitions[name] = message
        self._digests["partition", name] = message.digest
        self._reach_partition(message, message.bytes_read)

    def _note_partition_done(self, message: PartitionDone) -> None:
        name = message.partition
        self._digests["partition", name] = message.digest
        last = self._partitions.get(name) or Progress(name, 0, 0, None, None)
        self._partitions[name] = replace(last, records=message.records, lag=0, watermark=None)
        self._reach_partition(message, last.bytes_read)

    def _reach_partition(self, message: Progress | PartitionDone, bytes_read: int) -> None:
        name = message.partition
        self._counts.reach(
            ("partition", name),
            {
                ("records", name): message.records,
                ("bytes", name): bytes_read,
                ("late", name): message.late,
                ("dead_in", name): message.dead,
                ("clock_capped",): message.clock_capped,
                ("all_records",): message.records,
                **{("dead", reason): count for reason, count in message.dead_reasons.items()},
            },
        )

    def _note_shard(self, message: ShardStatus) -> None:
        self._shards[message.shard] = message
        self._digests["shard", message.shard] = message.digest
        triggers: dict[Key, int] = {
            ("triggers", rule, status): count
            for rule, counts in message.triggers.items()
            for status, count in counts.items()
        }
        self._reach_shard(message, triggers)

    def _note_shard_done(self, message: ShardDone) -> None:
        self._digests["shard", message.shard] = message.digest
        self._reach_shard(message, {})

    def _reach_shard(self, message: ShardStatus | ShardDone, more: Mapping[Key, int]) -> None:
        self._counts.reach(
            ("shard", message.shard),
            {
                ("settled",): message.events,
                ("duplicates",): message.duplicates,
                ("sessions",): message.sessions,
                ("early",): message.early,
                ("retracted",): message.retracted,
                ("dropped_partials",): message.dropped_partials,
                ("timed_out",): message.timed_out,
                **{("matches", pattern): count for pattern, count in message.matches.items()},
                **more,
            },
        )

    def _note_models(self, message: ModelStatus) -> None:
        self._models = message
        self._digests["models", ""] = message.digest
        reached: dict[Key, int] = {
            ("predictions", name): count for name, count in message.predictions.items()
        }
        reached |= {
            ("labels", model, learner): count
            for model, counts in message.labels.items()
            for learner, count in counts.items()
        }
        reached |= {
            ("triggers", rule, status): count
            for rule, counts in message.triggers.items()
            for status, count in counts.items()
        }
        self._counts.reach(("models", ""), reached)
        for model, champion in message.champions.items():
            drifts = int(message.quality.get(model, {}).get(champion, {}).get("drifts", 0))
            if drifts > self._drifts.get(model, (0, 0))[0]:
                self._drifts[model] = drifts, message.labels[model][champion]

    def _note_sink(self, message: SinkStatus) -> None:
        source = (message.worker, message.sink)
        self._sinks[source] = message
        rows: dict[Key, int] = {("rows", message.sink, table): count for table, count in message.rows.items()}
        rows |= {("expired", message.sink, rule): count for rule, count in message.expired.items()}
        total = sum(message.rows.values())
        self._counts.count_on(
            source, {**rows, ("errors", message.sink): message.errors, ("all_rows", message.sink): total}
        )

    def _keep_past(self) -> None:
        """Keep what was counted up to the message before, at that message's time, a second or more apart."""
        now = self._monotonic()
        last, self._noted = self._noted, now
        if now == last or last - self._past[-1][0] < _EVERY:
            return
        self._past.append((last, dict(self._counts.fresh)))
        while len(self._past) > 1 and self._past[1][0] <= now - _LONG:
            self._past.popleft()

    def _rates(self, seconds: float) -> Callable[[Key], float | None]:
        """Key -> how much it rose a second, over about that many seconds up to now."""
        now = self._monotonic()
        then, counts = self._past[0]
        for moment, past in ((self._noted, self._counts.fresh), *reversed(self._past)):
            if moment <= now - seconds:
                then, counts = moment, past
                break
        span = now - then

        def rate(key: Key) -> float | None:
            if span < _LEAST:
                return None
            return (self._counts.fresh.get(key, 0) - counts.get(key, 0)) / span

        return rate

    def snapshot(self) -> LiveSnapshot:
        """All figures as they are now."""
        with self._lock:
            now_ms = int(self._wall() * 1000)
            counts, readiness = self._counts, self._readiness
            short, long = self._rates(_SHORT), self._rates(_LONG)
            partitions = tuple(
                self._partition_figures(each, now_ms) for _, each in sorted(self._partitions.items())
            )
            shards = tuple(_shard_figures(each, now_ms) for _, each in sorted(self._shards.items()))
            sinks = self._sink_figures(short)
            lags = [each.lag for each in partitions if each.lag is not None]
            late = counts.by_label("late")
            triggers = {
                (key[1], key[2]): count
                for key, count in sorted(counts.totals.items())
                if key[0] == "triggers"
            }
            matches = counts.by_label("matches")
            return LiveSnapshot(
                time=now_ms,
                up_seconds=self._monotonic() - self._began,
                phase=readiness.phase(),
                troubles=tuple(readiness.troubles()),
                missing=tuple(readiness.missing()),
                workers=self._workers,
                workers_alive=readiness.workers_alive(),
                restarts=readiness.restarts,
                silent_seconds=readiness.silent_seconds(),
                records=counts.total("all_records"),
                records_per_second=(short(("all_records",)), long(("all_records",))),
                events=counts.total("settled") + sum(late.values()),
                events_per_second=(short(("settled",)), long(("settled",))),
                lag=sum(lags) if lags else None,
                lag_unknown=len(partitions) - len(lags),
                watermark_delay=max(
                    (each.delay for each in partitions if each.delay is not None), default=None
                ),
                settled_delay=max((each.delay for each in shards if each.delay is not None), default=None),
                duplicates=counts.total("duplicates"),
                late=sum(late.values()),
                dead=sum(counts.by_label("dead_in").values()),
                dead_reasons=counts.by_label("dead"),
                clock_capped=counts.total("clock_capped"),
                sessions=counts.total("sessions"),
                early=counts.total("early"),
                retracted=counts.total("retracted"),
                dropped_partials=counts.total("dropped_partials"),
                timed_out=counts.total("timed_out"),
                matches=matches,
                matches_per_minute={name: _per_minute(long(("matches", name))) for name in matches},
                triggers=triggers,
                triggers_per_minute={key: _per_minute(long(("triggers", *key))) for key in triggers},
                waiting=sum(each.waiting for each in shards),
                visitors=sum(each.visitors for each in shards),
                partials=sum(each.partials for each in shards),
                state_bytes=sum(each.state_bytes for each in shards),
                snapshot_seconds=max((each.snapshot_seconds for each in shards), default=0.0),
                answer=answer_of(self._digests.values()),
                partitions=partitions,
                shards=shards,
                sinks=sinks,
                models=self._model_figures(now_ms),
                alerts=self._alerts_now(),
                notices=tuple(self._notices),
            )

    def _partition_figures(self, last: Progress, now_ms: int) -> PartitionFigures:
        name = last.partition
        return PartitionFigures(
            partition=name,
            worker=last.worker,
            records=self._counts.total("records", name),
            bytes_read=self._counts.total("bytes", name),
            lag=last.lag,
            event_time=last.event_time,
            watermark=last.watermark,
            delay=_delay(last.watermark, now_ms),
            late=self._counts.total("late", name),
            dead=self._counts.total("dead_in", name),
        )

    def _sink_figures(self, rate: Callable[[Key], float | None]) -> tuple[SinkFigures, ...]:
        made = []
        for sink in sorted({name for _, name in self._sinks}):
            states = [state for (_, name), state in self._sinks.items() if name == sink]
            rows, expired = (
                {
                    key[2]: count
                    for key, count in sorted(self._counts.totals.items())
                    if key[0] == kind and key[1] == sink
                }
                for kind in ("rows", "expired")
            )
            made.append(
                SinkFigures(
                    sink=sink,
                    rows=rows,
                    rows_per_second=rate(("all_rows", sink)),
                    waiting_rows=sum(state.waiting_rows for state in states),
                    waiting_bytes=sum(state.waiting_bytes for state in states),
                    oldest_seconds=max(state.oldest_seconds for state in states),
                    errors=self._counts.total("errors", sink),
                    away=outlet(sink) + AWAY in self._alerts,
                    expired=expired,
                )
            )
        return tuple(made)

    def _alerts_now(self) -> dict[str, str]:
        up = {name: alert.text for name, alert in self._alerts.items()}
        for state in self._sinks.values():
            share = state.waiting_bytes / self._spool_limit if self._spool_limit else 0.0
            if share >= _NEARLY_FULL and outlet(state.sink) == "store":
                up["spool_nearly_full"] = f"{share:.0%} of the spool of worker {state.worker} is taken"
        if self._models is not None:
            up |= model_alerts(self._models, {model: labels for model, (_, labels) in self._drifts.items()})
        return dict(sorted(up.items()))

    def _model_figures(self, now_ms: int) -> ModelFigures | None:
        last = self._models
        if last is None:
            return None
        return ModelFigures(
            settled=last.settled,
            delay=_delay(last.settled, now_ms),
            waiting=last.waiting,
            champions=last.champions,
            predictions={name: self._counts.total("predictions", name) for name in last.predictions},
            labels={
                (model, learner): self._counts.total("labels", model, learner)
                for model, counts in last.labels.items()
                for learner in counts
            },
            quality=last.quality,
        )


def model_alerts(models: ModelStatus, drifted: Mapping[str, int]) -> dict[str, str]:
    """What is wrong with models: a champion that a challenger beats, and drift that was found in the last labels.

    `drifted` says by model how many labels its champion had learnt when drift was last found.
    """
    up = {}
    for model, champion in models.champions.items():
        figures = models.quality.get(model, {})
        own = figures.get(champion, {})
        better = [
            f"{learner} ({loss:.4f})"
            for learner, others in sorted(figures.items())
            if learner != champion
            and (loss := others.get("log_loss")) is not None
            and loss < own.get("log_loss", 0.0)
            and others.get("roc_auc", 0.0) > own.get("roc_auc", 1.0)
        ]
        if better:
            up["champion_loses"] = (
                f"model {model}: by ROC AUC and log loss, {', '.join(better)} is better than the champion {champion} "
                f"({own['log_loss']:.4f}) over the last labels: footfall models compare {model}"
            )
        if model in drifted and models.labels[model][champion] - drifted[model] < _DRIFT_LABELS:
            up["model_drift"] = f"model {model}: what it predicts from has come to mean something else"
    return up


def _shard_figures(last: ShardStatus, now_ms: int) -> ShardFigures:
    return ShardFigures(
        shard=last.shard,
        worker=last.worker,
        settled=last.settled,
        delay=_delay(last.settled, now_ms),
        waiting=last.waiting,
        visitors=last.visitors,
        partials=last.partials,
        state_bytes=last.state_bytes,
        snapshot_seconds=last.snapshot_seconds,
    )


def _delay(then_ms: int | None, now_ms: int) -> float | None:
    return None if then_ms is None else max(0.0, (now_ms - then_ms) / 1000)


def _per_minute(rate: float | None) -> float | None:
    return None if rate is None else rate * 60
