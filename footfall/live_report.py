"""What a live run has counted and answered when it stops: totals over all its legs, as its last snapshot has them."""

from dataclasses import asdict, dataclass, field
from typing import Any

from footfall.report import add_counts, answer_of, scores_of
from footfall.run_events import outlet
from footfall.run_messages import Message, ModelStatus, Progress, ShardStatus, SinkStatus


@dataclass(frozen=True, slots=True)
class LiveReport:
    """The totals of a live run since it first began.

    Attributes:
        records: records read.
        events: events settled, and late ones; `waiting` aren't settled yet.
        answer: the digest over (kind, id, content) of what has settled: that of a replay of the same records.
        matches: settled ones by pattern; `early` were told before, `retracted` taken back.
        triggers: decisions by rule, then by status.
        scores: model -> its champion, how much was predicted and learnt, and each learner's last figures.
        lag: records that hadn't been read yet, where that is known.
        unsent: what waits on disk to be sent when the run goes on: outlet (`store`, `webhook`) -> rows or messages.
    """

    records: int
    events: int
    waiting: int
    duplicates: int
    late: int
    dead: int
    dead_reasons: dict[str, int]
    clock_capped: int
    sessions: int
    matches: dict[str, int]
    early: int
    retracted: int
    timed_out: int
    dropped_partials: int
    triggers: dict[str, dict[str, int]]
    answer: str
    partitions: int
    shards: int
    workers: int
    restarts: int
    lag: int
    unsent: dict[str, int]
    scores: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        return asdict(self)


@dataclass(slots=True)
class LiveTally:
    """Collects where partitions, shards and sinks stand; what comes again replaces what came before."""

    partitions: dict[str, Progress] = field(default_factory=dict)
    shards: dict[str, ShardStatus] = field(default_factory=dict)
    sinks: dict[tuple[int, str], SinkStatus] = field(default_factory=dict)
    models: ModelStatus | None = None

    def note(self, message: Message) -> None:
        """Take a message."""
        if isinstance(message, Progress):
            self.partitions[message.partition] = message
        elif isinstance(message, ShardStatus):
            self.shards[message.shard] = message
        elif isinstance(message, SinkStatus):
            self.sinks[message.worker, message.sink] = message
        elif isinstance(message, ModelStatus):
            self.models = message

    def report(self, *, workers: int, restarts: int) -> LiveReport:
        """The report."""
        partitions, shards = self.partitions.values(), self.shards.values()
        dead_reasons: dict[str, int] = {}
        matches: dict[str, int] = {}
        triggers: dict[str, dict[str, int]] = {}
        for partition in partitions:
            add_counts(dead_reasons, partition.dead_reasons)
        for shard in shards:
            add_counts(matches, shard.matches)
            for rule, counts in shard.triggers.items():
                add_counts(triggers.setdefault(rule, {}), counts)
        models = () if self.models is None else (self.models,)
        for rule, counts in self.models.triggers.items() if self.models else ():
            add_counts(triggers.setdefault(rule, {}), counts)
        late = sum(partition.late for partition in partitions)
        return LiveReport(
            records=sum(partition.records for partition in partitions),
            events=sum(shard.events for shard in shards) + late,
            waiting=sum(shard.waiting for shard in shards),
            duplicates=sum(shard.duplicates for shard in shards),
            late=late,
            dead=sum(partition.dead for partition in partitions),
            dead_reasons=dict(sorted(dead_reasons.items())),
            clock_capped=sum(partition.clock_capped for partition in partitions),
            sessions=sum(shard.sessions for shard in shards),
            matches=dict(sorted(matches.items())),
            early=sum(shard.early for shard in shards),
            retracted=sum(shard.retracted for shard in shards),
            timed_out=sum(shard.timed_out for shard in shards),
            dropped_partials=sum(shard.dropped_partials for shard in shards),
            triggers=dict(sorted(triggers.items())),
            answer=answer_of(each.digest for each in (*partitions, *shards, *models)),
            partitions=len(self.partitions),
            shards=len(self.shards),
            workers=workers,
            restarts=restarts,
            lag=sum(partition.lag or 0 for partition in partitions),
            unsent=self._unsent(),
            scores=scores_of(self.models),
        )

    def _unsent(self) -> dict[str, int]:
        unsent: dict[str, int] = {}
        for sink in self.sinks.values():
            if sink.waiting_rows:
                add_counts(unsent, {outlet(sink.sink): sink.waiting_rows})
        return unsent
