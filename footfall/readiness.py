"""Whether a live run works and is ready: which workers, partitions and shards have been heard of since the start.

All workers are started together, so a run has legs: one begins when the workers are started, and ends when one dies.
"""

import time
from collections.abc import Callable, Iterable

from footfall.run_messages import (
    Message,
    PartitionDone,
    Progress,
    ShardDone,
    ShardStatus,
    SinkStatus,
    WorkerEnded,
    WorkerFailed,
    WorkerStarted,
)

_NAMED = 5
# Rows that have waited for so long may be what holds the stream, which is then no fault of its own.
_HELD_SECONDS = 30.0


class Readiness:
    """Follows the legs of a run. Not thread-safe: `LiveTotals` guards it.

    Attributes:
        restarts: how often the workers were started again.
        leg: the number of the leg, from 0.
    """

    def __init__(
        self,
        *,
        partitions: Iterable[str],
        shards: Iterable[str],
        workers: int,
        silent_after: float | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Expect these to be heard of.

        Args:
            partitions: the source's.
            shards: the run's.
            workers: how many there are.
            silent_after: seconds after which a worker that reads a partition and tells nothing of it, nor of a shard,
                counts as stuck, unless a sink holds the stream; None: never.
            monotonic: a clock in seconds that never goes back.
        """
        self.restarts = 0
        self.leg = 0
        self._partitions = list(partitions)
        self._shards = list(shards)
        self._workers = workers
        self._silent_after = silent_after
        self._monotonic = monotonic
        self._started: set[int] = set()
        self._ended: set[int] = set()
        self._failed: dict[int, str] = {}
        self._opened: set[str] = set()
        self._taken: set[str] = set()
        # Partition -> who reads it, and whether there was nothing in it so far.
        self._readers: dict[str, int] = {}
        self._empty: dict[str, bool] = {}
        self._heard: dict[int, float] = {}
        self._held: dict[tuple[int, str], bool] = {}
        self._died: str | None = None
        self._stopping = False
        self._over: str | None = None

    def expect(self, partitions: Iterable[str]) -> None:
        """From the next leg on the source has these partitions."""
        self._partitions = list(partitions)

    def note(self, message: Message) -> None:
        """Take a message of a worker."""
        match message:
            case WorkerStarted():
                self._note_start(message.worker)
            case WorkerEnded():
                self._ended.add(message.worker)
            case WorkerFailed():
                self._failed[message.worker] = message.message
            case Progress():
                self._note_progress(message)
            case PartitionDone():
                self._opened.add(message.partition)
                self._readers.pop(message.partition, None)
                self._empty[message.partition] = not message.records
            case ShardStatus():
                self._taken.add(message.shard)
                self._heard[message.worker] = self._monotonic()
            case ShardDone():
                self._taken.add(message.shard)
            case SinkStatus():
                # No word of the worker's: a sink's own threads go on while the stream is stuck.
                waits = message.waiting_rows > 0 and message.oldest_seconds >= _HELD_SECONDS
                self._held[message.worker, message.sink] = waits
            case _:
                pass

    def _note_progress(self, message: Progress) -> None:
        self._opened.add(message.partition)
        self._heard[message.worker] = self._monotonic()
        self._empty[message.partition] = not message.records and message.lag == 0
        if message.final:
            self._readers.pop(message.partition, None)
        else:
            self._readers[message.partition] = message.worker

    def happened(self, event: str, text: str) -> None:
        """Take what the parent knows: how the workers and the run end or begin again."""
        if event == "worker_died":
            self._begin_leg()
            self._died = text
        elif event == "workers_restarted":
            if self._started:  # without a death, as when a partition was added
                self._begin_leg()
        elif event == "run_stopping":
            self._stopping = True
        elif event in {"run_stopped", "run_failed"}:
            self._over = text or "the run is over"

    def _note_start(self, worker: int) -> None:
        if worker in self._started:
            # Nobody said that the workers had died; a second start says so, too.
            self._begin_leg()
        self._started.add(worker)
        if len(self._started) >= self._workers:
            self._died = None

    def _begin_leg(self) -> None:
        self.leg += 1
        self.restarts += 1
        for each in (self._started, self._ended, self._opened, self._taken):
            each.clear()
        for by in (self._failed, self._readers, self._empty, self._heard, self._held):
            by.clear()
        self._died = None

    def troubles(self) -> list[str]:
        """Why the run doesn't work; empty while the parent works and its workers live, or start for the first time."""
        if self._over is not None:
            return [self._over]
        found = []
        if self._died is not None:
            found.append(f"the workers are being started again: {self._died}")
        found += [
            f"worker {worker} gave up: {text.splitlines()[0] if text else 'no reason given'}"
            for worker, text in sorted(self._failed.items())
        ]
        if self._silent_after is not None and not self._stopping and not any(self._held.values()):
            found += [
                f"worker {worker} has said nothing for {seconds:.0f} s"
                for worker, seconds in self.silent_seconds().items()
                if seconds >= self._silent_after
            ]
        return found

    def silent_seconds(self) -> dict[int, float]:
        """Worker -> seconds since it last told of a partition or shard, of those that read partitions."""
        now = self._monotonic()
        reading = set(self._readers.values())
        return {
            worker: max(0.0, now - self._heard[worker])
            for worker in sorted(self._started - self._ended - set(self._failed))
            if worker in reading
        }

    def missing(self) -> list[str]:
        """What the run still waits for before it is ready: workers, partitions, shards, by name; a few of each."""
        workers = [str(worker) for worker in range(self._workers) if worker not in self._started]
        partitions = [name for name in self._partitions if name not in self._opened]
        # Where there is no record yet, shards get nothing that they could begin with.
        empty = bool(self._partitions) and all(self._empty.get(name, False) for name in self._partitions)
        shards = [] if empty else [name for name in self._shards if name not in self._taken]
        return [
            *_some("workers have", "not started", workers, self._workers),
            *_some("workers have", "ended", [str(worker) for worker in sorted(self._ended)], self._workers),
            *_some("partitions are", "not open yet", partitions, len(self._partitions)),
            *_some("shards have", "no state yet", shards, len(self._shards)),
        ]

    def phase(self) -> str:
        """One word: starting, running, restarting, stopping or ended."""
        if self._over is not None:
            return "ended"
        if self._stopping or self._ended:
            return "stopping"
        if self._died is not None or (self.restarts and self.missing()):
            return "restarting"
        return "starting" if self.missing() else "running"

    def workers_alive(self) -> int:
        """How many workers have started and neither ended nor failed."""
        return 0 if self._over is not None else len(self._started - self._ended - set(self._failed))


def _some(what: str, state: str, names: list[str], of: int) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return [f"{len(names)} of {of} {what} {state}: {shown}"]
