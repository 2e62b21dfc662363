"""What a worker tells the process that started it: progress, and the totals that make up the run's report.

Messages are JSON lines on a pipe. Totals are the whole run's (they are part of the recovered state), so a message
that comes again after a restart replaces the one before.
"""

import logging
import threading
import time
from collections.abc import Callable

import msgspec


class Progress(msgspec.Struct, tag="progress"):
    """How far a partition has been read: records and bytes so far, `bytes_total` where known, times in ms.

    `lag` is the number of records behind, where that is known. `watermark` is the partition's, None before its first
    record. `digest` covers late events and dead letters. `worker` is the worker that reads it; `final` says that it has
    stopped.
    """

    partition: str
    records: int
    bytes_read: int
    bytes_total: int | None
    event_time: int | None
    lag: int | None = None
    watermark: int | None = None
    late: int = 0
    dead: int = 0
    clock_capped: int = 0
    dead_reasons: dict[str, int] = {}
    digest: tuple[int, int] = (0, 0)
    worker: int = 0
    final: bool = False


class PartitionDone(msgspec.Struct, tag="partition_done"):
    """A partition has been read to its end: what was in it. `digest` covers late events and dead letters."""

    partition: str
    records: int
    late: int
    dead: int
    clock_capped: int
    digest: tuple[int, int]
    dead_reasons: dict[str, int]


class ShardDone(msgspec.Struct, tag="shard_done"):
    """A shard has settled all it was given.

    `session_sums` are sums over its sessions (`SUMMED` in `footfall.shard_totals`), `digest` covers its sessions and
    matches.
    """

    shard: str
    events: int
    duplicates: int
    sessions: int
    sessions_at_end: int
    matches: dict[str, int]
    matches_at_end: dict[str, int]
    pending: int
    timed_out: int
    dropped_partials: int
    early: int
    retracted: int
    session_sums: dict[str, int]
    digest: tuple[int, int]


class ShardStatus(msgspec.Struct, tag="shard_status"):
    """Where a shard of a live run stands: totals since the run began, and sizes now.

    `settled` (ms) is its watermark, None before the first. `waiting` are unsettled events, `visitors` live ones,
    `partials` what matchers hold (events taken by partial matches, and live automata), `state_bytes` the last
    snapshot's size and `snapshot_seconds` the time that it took.
    `triggers` counts by rule, then by status. `digest` covers its settled sessions and matches.
    """

    shard: str
    settled: int | None
    events: int
    duplicates: int
    sessions: int
    matches: dict[str, int]
    early: int
    retracted: int
    dropped_partials: int
    timed_out: int
    waiting: int
    visitors: int
    partials: int
    state_bytes: int
    snapshot_seconds: float
    triggers: dict[str, dict[str, int]]
    digest: tuple[int, int]
    worker: int = 0
    final: bool = False


class ModelStatus(msgspec.Struct, tag="model_status"):
    """Where the models of a run stand: totals since the run began.

    `settled` (ms) is up to when all shards have told what there is to score, None before that. `waiting` are moments
    that aren't scored yet. The others are by model: its champion, the predictions, and what each learner has learnt;
    `quality` has figures by model, learner and figure. `triggers` counts by rule, then by status, those that asked for
    scores. `digest` covers the champions' predictions and the outcomes.
    """

    settled: int | None
    waiting: int
    champions: dict[str, str]
    predictions: dict[str, int]
    labels: dict[str, dict[str, int]]
    quality: dict[str, dict[str, dict[str, float]]]
    triggers: dict[str, dict[str, int]]
    digest: tuple[int, int]
    worker: int = 0
    final: bool = False


class SinkStatus(msgspec.Struct, tag="sink_status"):
    """How a worker's sink gets on: rows delivered, those that wait and their bytes on disk or in memory, failed tries.

    `oldest_seconds` is how long the oldest waiting row has waited. `rows` counts by table or topic,
    `expired` by rule: triggers that came too late to be sent.
    """

    worker: int
    sink: str
    rows: dict[str, int]
    waiting_rows: int
    waiting_bytes: int
    oldest_seconds: float
    errors: int
    expired: dict[str, int] = {}


class WorkerStarted(msgspec.Struct, tag="worker_started"):
    """The worker's dataflow is about to run; `monotonic` is the machine's monotonic clock in seconds."""

    worker: int
    monotonic: float


class ControlTaken(msgspec.Struct, tag="control_taken"):
    """A worker has taken up a control record: it goes by it once it reads on."""

    worker: int
    number: int


class WorkerEnded(msgspec.Struct, tag="worker_ended"):
    """The worker's dataflow has come to its end, or was asked to stop (`stopped`)."""

    worker: int
    stopped: bool
    monotonic: float
    peak_rss_kb: int


class WorkerFailed(msgspec.Struct, tag="worker_failed"):
    """The worker gives up; `message` is for people, `exit_code` as FootfallError has it, `traceback` for a log."""

    worker: int
    message: str
    exit_code: int
    traceback: str


class Notice(msgspec.Struct, tag="notice"):
    """Something that people should know while the run goes on, such as a store that is away."""

    worker: int
    level: str
    text: str


Message = (
    Progress
    | PartitionDone
    | ShardDone
    | ShardStatus
    | ModelStatus
    | SinkStatus
    | WorkerStarted
    | WorkerEnded
    | WorkerFailed
    | ControlTaken
    | Notice
)
Tell = Callable[[Message], None]

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder()


def decode_message(line: bytes) -> Message:
    """The message on a line."""
    return _decoder.decode(line)


def encode_message(message: Message) -> bytes:
    """The message as a line, newline included."""
    return _encoder.encode(message) + b"\n"


class NoticeHandler(logging.Handler):
    """Hands what a worker logs to its parent."""

    def __init__(self, worker: int, tell: Tell) -> None:
        super().__init__()
        self._worker = worker
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a record as a notice."""
        self._tell(Notice(self._worker, record.levelname.lower(), self.format(record)))


class Pacer:
    """Passes messages on, but of each partition's progress at most one every `seconds`, and marks the worker."""

    def __init__(self, tell: Tell, seconds: float = 0.25, *, worker: int = 0) -> None:
        self._tell = tell
        self._worker = worker
        self._seconds = seconds
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, message: Message) -> None:
        """Pass the message on, or drop it if it is progress and too soon."""
        if isinstance(message, ShardStatus | ModelStatus):
            message.worker = self._worker
        if isinstance(message, Progress):
            message.worker = self._worker
            now = time.monotonic()
            with self._lock:
                if not message.final and now - self._last.get(message.partition, 0.0) < self._seconds:
                    return
                self._last[message.partition] = now
        self._tell(message)
