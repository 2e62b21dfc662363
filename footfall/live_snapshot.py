"""What is known of a live run at one moment: plain figures for metrics, the terminal and health answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PartitionFigures:
    """One source partition. Times in ms; `lag` in records; None where it isn't known."""

    partition: str
    worker: int
    records: int
    bytes_read: int
    lag: int | None
    event_time: int | None
    watermark: int | None
    delay: float | None
    late: int
    dead: int


@dataclass(frozen=True, slots=True)
class ShardFigures:
    """One shard: sizes now, `settled` in ms, `delay` in seconds behind the clock."""

    shard: str
    worker: int
    settled: int | None
    delay: float | None
    waiting: int
    visitors: int
    partials: int
    state_bytes: int
    snapshot_seconds: float


@dataclass(frozen=True, slots=True)
class SinkFigures:
    """One sink, of all workers. `rows` by table or topic; `oldest_seconds` of the oldest row that waits anywhere.

    `expired` are, by rule, triggers that came too late to be sent.
    """

    sink: str
    rows: Mapping[str, int]
    rows_per_second: float | None
    waiting_rows: int
    waiting_bytes: int
    oldest_seconds: float
    errors: int
    away: bool
    expired: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """The models. `settled` in ms, `delay` in seconds behind the clock; `waiting` moments that aren't scored yet.

    By model: champions and predictions; labels by model and learner; quality by model, learner and figure.
    """

    settled: int | None
    delay: float | None
    waiting: int
    champions: Mapping[str, str]
    predictions: Mapping[str, int]
    labels: Mapping[tuple[str, str], int]
    quality: Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class NoticeLine:
    """A notice or event worth showing; `time` in ms."""

    time: int
    level: str
    event: str
    text: str


@dataclass(frozen=True, slots=True)
class LiveSnapshot:
    """A run at one moment. Counts are the whole run's and never fall; delays are in seconds behind the clock.

    Attributes:
        time: when, in ms (UTC).
        up_seconds: since this process began to watch.
        phase: starting, running, restarting, stopping or ended.
        troubles: why the run doesn't work; empty while it does.
        missing: what it waits for before it is ready.
        records_per_second: records read over the last 10 s and 60 s; None in the first second. What a restart reads
            again isn't counted, so that they are 0 until it gets to where it had been.
        events_per_second: events settled, in the same way.
        lag: records behind in all; None if no partition knows. `lag_unknown` partitions don't.
        watermark_delay: of the partition that is farthest behind.
        settled_delay: of the shard that is farthest behind.
        events: events counted, late ones too, as the report counts them.
        matches_per_minute, triggers_per_minute: over the last 60 s.
        answer: the digest over what has settled, by the last words of shards and partitions; comparable between runs
            only when both stand still at the same point.
        models: the models; None where none has told of itself.
        alerts: name -> why, of the alerts that are up.
    """

    time: int
    up_seconds: float
    phase: str
    troubles: tuple[str, ...]
    missing: tuple[str, ...]
    workers: int
    workers_alive: int
    restarts: int
    silent_seconds: Mapping[int, float]
    records: int
    records_per_second: tuple[float | None, float | None]
    events: int
    events_per_second: tuple[float | None, float | None]
    lag: int | None
    lag_unknown: int
    watermark_delay: float | None
    settled_delay: float | None
    duplicates: int
    late: int
    dead: int
    dead_reasons: Mapping[str, int]
    clock_capped: int
    sessions: int
    early: int
    retracted: int
    dropped_partials: int
    timed_out: int
    matches: Mapping[str, int]
    matches_per_minute: Mapping[str, float | None]
    triggers: Mapping[tuple[str, str], int]
    triggers_per_minute: Mapping[tuple[str, str], float | None]
    waiting: int
    visitors: int
    partials: int
    state_bytes: int
    snapshot_seconds: float
    answer: str
    partitions: tuple[PartitionFigures, ...]
    shards: tuple[ShardFigures, ...]
    sinks: tuple[SinkFigures, ...]
    models: ModelFigures | None
    alerts: Mapping[str, str]
    notices: tuple[NoticeLine, ...]

    @property
    def healthy(self) -> bool:
        """Whether the parent works and its workers live."""
        return not self.troubles

    @property
    def ready(self) -> bool:
        """Whether all partitions are open and all shards have their state."""
        return self.phase == "running" and not self.missing and not self.troubles
