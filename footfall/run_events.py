"""What happens to a run that people should hear of, one event each, made from the workers' messages.

An event has a fixed name to search for, a level, a sentence, and fields. What would come in floods (dead letters,
partial matches over the limit, slow snapshots) is added up and told once a minute. No event holds a secret.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from footfall.rising_counts import Key, RisingCounts
from footfall.run_messages import (
    ControlTaken,
    Message,
    ModelStatus,
    Notice,
    PartitionDone,
    Progress,
    ShardDone,
    ShardStatus,
    SinkStatus,
    WorkerEnded,
    WorkerFailed,
    WorkerStarted,
)
from footfall.settings import redacted

Field = str | int | float | bool | None | Sequence[str] | Mapping[str, int]

# Name -> level. A name that isn't here is fine, and of level info.
LEVELS = {
    "run_starting": "info",
    "run_started": "info",
    "run_resumed": "info",
    "run_stopping": "info",
    "run_stopped": "info",
    "run_failed": "error",
    "worker_started": "info",
    "worker_restarted": "warning",
    "worker_ended": "info",
    "worker_failed": "error",
    "worker_died": "error",
    "workers_restarted": "info",
    "partition_added": "warning",
    "snapshot_slow": "warning",
    "store_away": "warning",
    "store_back": "info",
    "broker_away": "warning",
    "broker_back": "info",
    "webhook_away": "warning",
    "webhook_back": "info",
    "patterns_switched": "info",
    "patterns_broken": "error",
    "patterns_mended": "info",
    "champion_promoted": "info",
    "dead_letters": "warning",
    "limit_hit": "warning",
    "notice": "info",
    "progress": "info",
}

# An outage of X is told as X_away, its end as X_back.
AWAY, BACK = "_away", "_back"

# Who finds something away: a worker's sink by the worker's number and the sink's name, or the parent.
Source = tuple[int, str]
_PARENT: Source = (-1, "parent")

_SUM_SECONDS = 60.0
_AWAY_SECONDS = 5.0
_STALLED_SECONDS = 10.0
_MOST_TEXT = 2_000
_SECRET_NAME = re.compile(r"password|passwd|pwd|secret|token|credential|api_?key|private_?key", re.IGNORECASE)
_SECRET_PAIR = re.compile(
    r"((?:password|passwd|pwd|secret|token|credential|api_?key)[\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&#]+)",
    re.IGNORECASE,
)
_HEADER = re.compile(r"((?:authorization|proxy-authorization)\s*[:=]\s*)[^\r\n]+", re.IGNORECASE)


class RunEvent(msgspec.Struct, frozen=True):
    """Something that happened: `time` in ms (UTC), `level` one of debug, info, warning, error."""

    time: int
    level: str
    event: str
    text: str
    fields: dict[str, Field] = {}


def cleaned(text: str, secrets: Sequence[str] = ()) -> str:
    """The text without passwords in addresses, values beside secret names, or any of `secrets`; cut when long."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = "\n".join(
        redacted(_SECRET_PAIR.sub(r"\1***", _HEADER.sub(r"\1***", line))) for line in text.split("\n")
    )
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + " …"


def _clean_field(name: str, value: Field, secrets: Sequence[str]) -> Field:
    if _SECRET_NAME.search(name) and value is not None:
        return "***"
    if isinstance(value, str):
        return cleaned(value, secrets)
    if isinstance(value, Mapping):
        return {cleaned(key, secrets): count for key, count in value.items()}
    if isinstance(value, Sequence):
        return [cleaned(each, secrets) for each in value]
    return value


class EventWatch:
    """Makes events from messages, and passes on those that the parent tells itself. Any thread may call it."""

    def __init__(
        self,
        tell: Callable[[RunEvent], None],
        *,
        resumed: bool = False,
        secrets: Sequence[str] = (),
        slow_snapshot: float = 0.5,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to watch.

        Args:
            tell: gets every event; must not call back.
            resumed: whether the run goes on from a state, so that its first totals are old news.
            secrets: texts that no event may hold, such as the passwords in the settings.
            slow_snapshot: from how many seconds on a shard's snapshot is told as slow.
            wall: the time of day in seconds.
            monotonic: a clock in seconds that never goes back.
        """
        self._tell = tell
        self._secrets = tuple(sorted(secrets, key=len, reverse=True))
        self._slow_snapshot = slow_snapshot
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._counts = RisingCounts(resumed=resumed)
        self._started: set[int] = set()
        self._snapshots: dict[str, float] = {}
        self._slowest: tuple[float, str] | None = None
        self._dead: dict[str, int] = {}
        self._dropped = 0
        self._summed_at = monotonic()
        # Since when rows wait with none delivered, and since when tries fail, by worker and sink.
        self._waiting: dict[Source, float] = {}
        self._failing: dict[Source, float] = {}
        self._errors: dict[Source, int] = {}
        self._away: dict[str, set[Source]] = {}

    def happened(self, event: str, text: str, *, level: str | None = None, **fields: Field) -> None:
        """Pass on what the parent knows itself, such as `run_stopped`, `worker_died` or `patterns_broken`.

        An outage that is up already isn't told again, nor the end of one that isn't. One that the parent told of ends
        with `X_back`, with rows that a sink delivers there, or, at the broker, with records that are read.
        Secrets are taken out of `text` and `fields` here.
        """
        with self._lock:
            if event.endswith(AWAY):
                sources = self._away.setdefault(event.removesuffix(AWAY), set())
                up = bool(sources)
                sources.add(_PARENT)
                if up:
                    return
            elif event.endswith(BACK) and not self._away.pop(event.removesuffix(BACK), None):
                return
            self._make(event, text, level=level, **fields)

    def _make(self, event: str, text: str, *, level: str | None = None, **fields: Field) -> None:
        clean = {name: _clean_field(name, value, self._secrets) for name, value in fields.items()}
        self._tell(
            RunEvent(
                int(self._wall() * 1000),
                level or LEVELS.get(event, "info"),
                event,
                cleaned(text, self._secrets),
                clean,
            )
        )

    def note(self, message: Message) -> None:
        """Take a message of a worker."""
        with self._lock:
            match message:
                case Progress() | PartitionDone():
                    self._note_partition(message)
                case ShardStatus() | ShardDone():
                    self._note_shard(message)
                case SinkStatus():
                    self._note_sink(message)
                case WorkerStarted():
                    self._note_start(message.worker)
                case ControlTaken() | ModelStatus():
                    pass  # the parent tells of the switch as a whole; models have alerts
                case _:
                    self._pass_on(message)
            if self._monotonic() - self._summed_at >= _SUM_SECONDS:
                self._tell_sums()

    def close(self) -> None:
        """Tell what has been added up and not yet told."""
        with self._lock:
            self._tell_sums()

    def _pass_on(self, message: Notice | WorkerEnded | WorkerFailed) -> None:
        """Tell what is an event as it is."""
        number = message.worker
        match message:
            case Notice():
                self._make("notice", message.text, level=message.level, worker=number)
            case WorkerEnded():
                how = "stopped as asked" if message.stopped else "come to the end of the input"
                peak = round(message.peak_rss_kb / 1024, 1)
                self._make("worker_ended", f"worker {number} has {how}", worker=number, peak_rss_mb=peak)
            case WorkerFailed():
                text = f"worker {number} gives up: {message.message}"
                self._make("worker_failed", text, worker=number, exit_code=message.exit_code)

    def _note_start(self, worker: int) -> None:
        # Its sinks count from zero again. An outage that lasts is seen anew, one that is over is said to be.
        for source in [source for source in self._errors if source[0] == worker]:
            self._counts.begin_again(source)
            self._waiting.pop(source, None)
            self._failing.pop(source, None)
            del self._errors[source]
        if worker in self._started:
            self._make("worker_restarted", f"worker {worker} was started again", worker=worker)
        else:
            self._started.add(worker)
            self._make("worker_started", f"worker {worker} has started", worker=worker)

    def _note_partition(self, message: Progress | PartitionDone) -> None:
        counts: dict[Key, int] = {("dead", reason): count for reason, count in message.dead_reasons.items()}
        risen = self._counts.reach(
            ("partition", message.partition), {("records",): message.records, **counts}
        )
        if risen.pop(("records",), 0):
            self._note_back("broker", {_PARENT}, "records are read again")
        for (_, reason), more in risen.items():
            self._dead[reason] = self._dead.get(reason, 0) + more

    def _note_shard(self, message: ShardStatus | ShardDone) -> None:
        risen = self._counts.reach(("shard", message.shard), {("dropped",): message.dropped_partials})
        self._dropped += risen.get(("dropped",), 0)
        if isinstance(message, ShardStatus):
            self._note_snapshot(message)

    def _note_snapshot(self, status: ShardStatus) -> None:
        # A status repeats the last snapshot's time until there is another.
        if self._snapshots.get(status.shard) == status.snapshot_seconds:
            return
        self._snapshots[status.shard] = status.snapshot_seconds
        if status.snapshot_seconds >= self._slow_snapshot:
            this = (status.snapshot_seconds, status.shard)
            self._slowest = this if self._slowest is None else max(self._slowest, this)

    def _note_sink(self, status: SinkStatus) -> None:
        """Follow outages: a sink is away while rows wait, none is delivered, and tries fail.

        A broker's client tries for minutes before it calls a try failed, so there the wait itself says it.
        """
        source = (status.worker, status.sink)
        rows: dict[Key, int] = {("rows", table): count for table, count in status.rows.items()}
        delivered = bool(self._counts.count_on(source, rows))
        failed = status.errors > self._errors.get(source, 0)
        self._errors[source] = status.errors
        now = self._monotonic()
        if delivered or not status.waiting_rows:
            self._waiting.pop(source, None)
            self._failing.pop(source, None)
            what = outlet(status.sink)
            self._note_back(
                what, {source, _PARENT} if delivered else {source}, f"the {what} takes rows again"
            )
            return
        waiting_since = self._waiting.setdefault(source, now)
        if failed:
            self._failing.setdefault(source, now)
        failing = now - self._failing.get(source, now) >= _AWAY_SECONDS
        stalled = outlet(status.sink) == "broker" and now - waiting_since >= _STALLED_SECONDS
        if failing or stalled:
            self._note_away(source, status)

    def _note_back(self, what: str, sources: set[Source], text: str) -> None:
        """These no longer find it away; it is back if none does."""
        away = self._away.get(what)
        if away and away & sources:
            away -= sources
            if not away:
                self._make(what + BACK, text)

    def _note_away(self, source: Source, status: SinkStatus) -> None:
        what = outlet(status.sink)
        away = self._away.setdefault(what, set())
        if not away:
            self._make(
                what + AWAY,
                f"the {what} takes nothing; rows wait, and tries go on",
                sink=status.sink,
                worker=status.worker,
                waiting_rows=status.waiting_rows,
                waiting_bytes=status.waiting_bytes,
            )
        away.add(source)

    def _tell_sums(self) -> None:
        now = self._monotonic()
        seconds = round(now - self._summed_at, 1)
        self._summed_at = now
        dead, self._dead = self._dead, {}
        for reason, count in sorted(dead.items()):
            text = f"{count:,} record{'' if count == 1 else 's'} couldn't be decoded: {reason}"
            self._make("dead_letters", text, reason=reason, count=count, seconds=seconds)
        dropped, self._dropped = self._dropped, 0
        if dropped:
            text = (
                f"{dropped:,} partial matches were dropped: visitors had more of a pattern than partial_limit"
            )
            self._make("limit_hit", text, limit="partial_limit", count=dropped, seconds=seconds)
        slowest, self._slowest = self._slowest, None
        if slowest:
            text = f"a snapshot of shard {slowest[1]} took {slowest[0]:.2f} s"
            self._make("snapshot_slow", text, shard=slowest[1], snapshot_seconds=slowest[0], seconds=seconds)


def outlet(sink: str) -> str:
    """What a sink sends to, as events and alerts name it: `broker`, `webhook`, `store`, or the sink's own name."""
    name = sink.lower()
    for what, words in {
        "broker": ("kafka", "broker", "topic"),
        "webhook": ("webhook",),
        "store": ("store", "clickhouse", "chdb", "spool"),
    }.items():
        if any(word in name for word in words):
            return what
    return name
