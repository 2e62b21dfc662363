"""A run's report: what it counted and answered, and how fast it was."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from footfall.run_messages import ModelStatus, PartitionDone, ShardDone


@dataclass(frozen=True, slots=True)
class Report:
    """The totals of a whole run, however often it was interrupted; only the speed is that of its last leg.

    Attributes:
        records: records read; `events + duplicates + dead` of them.
        events: events counted, late ones too.
        answer: the digest over (kind, id, content) of what stands at the end.
        pending: trailing absences of patterns that wait longer than 24 h, not released at the input's end.
        timed_out: partial matches that ran out of time, of patterns that give those out.
        dropped_partials: partial matches dropped because a visitor had more of a pattern than the limit allows.
        early: how often a match was told early, fired again ones too; 0 where nothing was asked to be.
        retracted: how often one of these was taken back.
        matches_at_end, sessions_at_end: those that only the input's end released, counted in the totals too.
        seconds: from the first record of this leg to the last answer being durable.
        events_per_second: records of this leg in those seconds.
        scores: model -> its champion, how much was predicted and learnt, and each learner's last figures.
        peak_rss_mb: the workers' largest resident sets, added up.
    """

    records: int
    events: int
    duplicates: int
    late: int
    dead: int
    dead_reasons: dict[str, int]
    clock_capped: int
    sessions: int
    sessions_at_end: int
    session_sums: dict[str, int]
    matches: dict[str, int]
    matches_at_end: dict[str, int]
    pending: int
    timed_out: int
    dropped_partials: int
    early: int
    retracted: int
    answer: str
    workers: int
    shards: int
    partitions: int
    seconds: float
    events_per_second: float
    peak_rss_mb: float
    restarts: int = 0
    pattern_versions: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return asdict(self)


def answer_of(digests: Iterable[tuple[int, int]]) -> str:
    """The text of the sum of digests, as `Digest.merge` adds them; that module loads a compiler, this one doesn't."""
    high, low = (sum(lane) % (1 << 64) for lane in zip((0, 0), *digests, strict=True))
    return f"{high:016x}{low:016x}"


def add_counts(totals: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts by name to totals by name."""
    for name, count in more.items():
        totals[name] = totals.get(name, 0) + count


@dataclass(slots=True)
class Tally:
    """Collects the last words of partitions and shards; one that comes again replaces the one before."""

    partitions: dict[str, PartitionDone] = field(default_factory=dict)
    shards: dict[str, ShardDone] = field(default_factory=dict)
    models: ModelStatus | None = None

    def missing(self, partitions: Iterable[str], shards: Iterable[str]) -> list[str]:
        """The partitions and shards that haven't had their last word."""
        return [name for name in partitions if name not in self.partitions] + [
            name for name in shards if name not in self.shards
        ]

    def report(
        self,
        *,
        pattern_versions: Mapping[str, str],
        workers: int,
        seconds: float,
        leg_records: int,
        peak_rss_mb: float,
        restarts: int,
    ) -> Report:
        """The report, once nothing is missing."""
        done: list[PartitionDone | ShardDone | ModelStatus] = [
            *self.partitions.values(),
            *self.shards.values(),
        ]
        done += [] if self.models is None else [self.models]
        dead_reasons: dict[str, int] = {}
        matches = dict.fromkeys(sorted(pattern_versions), 0)
        matches_at_end = dict.fromkeys(sorted(pattern_versions), 0)
        session_sums: dict[str, int] = {}
        for partition in self.partitions.values():
            add_counts(dead_reasons, partition.dead_reasons)
        for shard in self.shards.values():
            add_counts(matches, shard.matches)
            add_counts(matches_at_end, shard.matches_at_end)
            add_counts(session_sums, shard.session_sums)
        late = sum(partition.late for partition in self.partitions.values())
        return Report(
            records=sum(partition.records for partition in self.partitions.values()),
            events=sum(shard.events for shard in self.shards.values()) + late,
            duplicates=sum(shard.duplicates for shard in self.shards.values()),
            late=late,
            dead=sum(partition.dead for partition in self.partitions.values()),
            dead_reasons=dict(sorted(dead_reasons.items())),
            clock_capped=sum(partition.clock_capped for partition in self.partitions.values()),
            sessions=sum(shard.sessions for shard in self.shards.values()),
            sessions_at_end=sum(shard.sessions_at_end for shard in self.shards.values()),
            session_sums=session_sums,
            matches=matches,
            matches_at_end=matches_at_end,
            pending=sum(shard.pending for shard in self.shards.values()),
            timed_out=sum(shard.timed_out for shard in self.shards.values()),
            dropped_partials=sum(shard.dropped_partials for shard in self.shards.values()),
            early=sum(shard.early for shard in self.shards.values()),
            retracted=sum(shard.retracted for shard in self.shards.values()),
            answer=answer_of(each.digest for each in done),
            workers=workers,
            shards=len(self.shards),
            partitions=len(self.partitions),
            seconds=round(seconds, 3),
            events_per_second=round(leg_records / seconds, 1) if seconds > 0 else 0.0,
            peak_rss_mb=round(peak_rss_mb, 1),
            restarts=restarts,
            pattern_versions=dict(sorted(pattern_versions.items())),
            scores=scores_of(self.models),
        )


def scores_of(models: ModelStatus | None) -> dict[str, Any]:
    """What a report says of models."""
    if models is None:
        return {}
    return {
        name: {
            "champion": champion,
            "predictions": models.predictions[name],
            "labels": models.labels[name],
            "quality": models.quality[name],
        }
        for name, champion in models.champions.items()
    }
