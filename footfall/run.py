"""A run: the parent process that checks it, starts its workers, watches them, and reports.

The parent turns signals into a last snapshot and a clean end, starts all workers again when one dies (where the
run keeps its state), and never touches the data itself. One worker or many, the way is the same.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any

from footfall import __version__
from footfall.errors import FootfallError, RunError, UsageError
from footfall.file_source import FileSource
from footfall.pattern_files import load_patterns
from footfall.placement import shard_names
from footfall.report import Report, Tally
from footfall.run_messages import (
    Message,
    Notice,
    PartitionDone,
    Progress,
    ShardDone,
    WorkerEnded,
    WorkerFailed,
    WorkerStarted,
    decode_message,
)
from footfall.settings import Settings, redacted
from footfall.state_folder import StateFolder
from footfall.worker_order import WorkerOrder

MAX_RESTARTS = 3
_OWNER_WAIT = 30.0
_GRACE = 30.0
_LOG_TAIL = 4_000
_STOP = b"s"

# A worker is one process with one Polars thread: processes share the cores, threads would fight.
_THREADS = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
# What a batch needed, the next one needs again: memory that is given back between them is cleared anew by the kernel,
# which took an eighth of a worker's time.
_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}

# `footfall.clock.NEVER`, whose module loads a compiler that only the workers need.
_NEVER_READ = (-(2**63)).to_bytes(8, sys.byteorder, signed=True)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to run: settings, inputs (as on the command line) and the flow's name."""

    settings: Settings
    inputs: tuple[str, ...]
    flow: str = "journeys"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: with a report, or interrupted (`report` is None)."""

    report: Report | None
    records: int
    resumable: bool


class WorkerDiedError(RunError):
    """A worker went without a word (it was killed, or ran out of memory); its last output is in the message."""


@dataclass(slots=True)
class _Leg:
    """What one set of workers has told."""

    started: float | None = None
    ended: float | None = None
    stopped: bool = False
    peaks: dict[int, int] = field(default_factory=dict)
    failures: list[WorkerFailed] = field(default_factory=list)
    first_records: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)


Watch = Callable[[Message], None]


class Run:
    """One run from its checks to its report; used once, in the main thread (it takes SIGINT and SIGTERM)."""

    def __init__(self, request: RunRequest, watch: Watch | None = None) -> None:
        """Check the run.

        Args:
            request: what to run.
            watch: gets every message of the workers, in a thread of its own.

        Raises:
            FootfallError: the inputs, patterns or settings won't do; nothing has been started or written.
        """
        self._request = request
        self._settings = request.settings
        self._watch = watch
        self._source = FileSource(request.inputs, partitioned=self._settings.partitioned)
        _check_places(request.inputs, self._settings)
        self._patterns = load_patterns(self._settings.patterns)
        self._tally = Tally()
        self._stop = threading.Event()
        self._noting = threading.Lock()
        self._preparing = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lifelines: list[int] = []

    def execute(self) -> Outcome:
        """Run to the end, or to an interruption.

        Raises:
            FootfallError: the run failed; its state, if it keeps one, is that of its last snapshot.
        """
        with ExitStack() as stack:
            state: StateFolder | None = None
            resumed = False
            if self._settings.state is not None:
                state = StateFolder(self._settings.state)
                stack.callback(state.close)
                resumed = state.resumes(self._identity())
                finished = state.report()
                if finished is not None:
                    return Outcome(Report(**finished), 0, resumable=False)
            self._take_signals(stack)
            try:
                self._preparing = True
                self._prepare_store(stack)
            except KeyboardInterrupt:
                return Outcome(None, 0, resumable=state is not None)
            finally:
                self._preparing = False
            if not resumed and self._settings.out is not None:
                from footfall.file_sink import clear_files  # noqa: PLC0415 - half a second that others needn't wait

                clear_files(self._settings.out)
            if state is not None and not resumed:
                state.begin(self._identity())
            self._warn_where_nothing_is_early()
            outcome = self._legs(state)
            if state is not None and outcome.report is not None:
                state.finish(outcome.report.to_json())
            return outcome

    def _warn_where_nothing_is_early(self) -> None:
        partitions = len(self._source.partitions())
        if self._watch is not None and self._settings.early and not self._settings.tells_early(partitions):
            text = (
                f"nothing is told early: a visitor's records may come from any of the {partitions} partitions; "
                "if each visitor's come from one alone, say so with --keyed-by-visitor"
            )
            self._watch(Notice(0, "warning", text))

    def _identity(self) -> dict[str, Any]:
        return {
            "footfall": __version__,
            "flow": self._request.flow,
            "settings": self._settings.identity(),
            "inputs": self._source.identity(),
            "patterns": {pattern.name: pattern.version for pattern in self._patterns},
            "shards": list(shard_names(self._settings.shards)),
            "out": str(self._settings.out.absolute()) if self._settings.out else None,
            "out_format": self._settings.out_format,
            "store": _store_name(self._settings),
        }

    def _take_signals(self, stack: ExitStack) -> None:
        def on_signal(_number: int, _frame: FrameType | None) -> None:
            again = self._stop.is_set()
            if not again:
                with suppress(OSError):
                    os.write(2, b"\nstopping; once more stops at once\n")
            self._stop.set()
            if self._preparing:
                raise KeyboardInterrupt
            if again:
                for process in self._processes:
                    process.kill()
            else:
                self._ask_to_stop()

        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, number, signal.signal(number, on_signal))

    def _ask_to_stop(self) -> None:
        for lifeline in self._lifelines:
            with suppress(BrokenPipeError):
                os.write(lifeline, _STOP)

    def _prepare_store(self, stack: ExitStack) -> None:
        """Migrate the store; with several workers, see that an embedded one has an owner they can all ask."""
        if self._settings.store == "none":
            return
        if self._settings.workers == 1 and self._settings.store.startswith("chdb:"):
            return  # the worker opens the folder itself, or asks the owner, and migrates it
        # A client of ClickHouse takes half a second to load, which one worker doesn't need in its parent.
        from footfall.store import open_store, parse_dsn  # noqa: PLC0415
        from footfall.store_owner import ensure_owner  # noqa: PLC0415

        address = parse_dsn(self._settings.store, database=self._settings.database)
        if address.kind == "embedded":
            stack.callback(ensure_owner(address, wait=_OWNER_WAIT).close)
        store = open_store(address, wait_for_owner=_OWNER_WAIT)
        try:
            store.migrate()
        finally:
            store.close()

    def _legs(self, state: StateFolder | None) -> Outcome:
        restarts = 0
        while True:
            # What the leg before told may not have been in its last snapshot; what was is told again.
            self._tally = Tally()
            leg = _Leg()
            try:
                self._run_workers(leg, state)
            except WorkerDiedError as error:
                if self._stop.is_set():
                    return Outcome(None, sum(leg.records.values()), resumable=state is not None)
                if state is None:
                    raise WorkerDiedError(
                        f"{error}\nNothing was kept of the run: with --state FOLDER it would have gone on by itself"
                    ) from error
                if restarts >= MAX_RESTARTS:
                    raise WorkerDiedError(
                        f"{error}\nThe workers were started again {restarts} times; once the cause is found, give the "
                        f"same command again (with --state {state.folder}) to go on"
                    ) from error
                restarts += 1
                continue
            if self._missing():
                if not self._stop.is_set() and not leg.stopped:
                    raise RunError(
                        "the workers ended, but not all of the input was settled; this is a fault of Footfall's"
                    )
                return Outcome(None, sum(leg.records.values()), resumable=state is not None)
            seconds = (leg.ended or 0.0) - (leg.started or 0.0)
            first = sum(leg.first_records.values())
            total = sum(done.records for done in self._tally.partitions.values())
            report = self._tally.report(
                pattern_versions={pattern.name: pattern.version for pattern in self._patterns},
                workers=self._settings.workers,
                seconds=seconds,
                leg_records=total - first,
                peak_rss_mb=sum(leg.peaks.values()) / 1024,
                restarts=restarts,
            )
            return Outcome(report, total, resumable=False)

    def _missing(self) -> list[str]:
        return self._tally.missing(self._source.partitions(), shard_names(self._settings.shards))

    def _run_workers(self, leg: _Leg, state: StateFolder | None) -> None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-run-")))
            ahead = folder / "ahead"
            ahead.write_bytes(_NEVER_READ * len(self._source.partitions()))
            workers = self._settings.workers
            addresses = _free_addresses(workers) if workers > 1 else ()
            logs = []
            listeners = []
            self._processes = []
            self._lifelines = []
            try:
                for number in range(workers):
                    read_fd, write_fd = os.pipe()
                    order = WorkerOrder(
                        settings=self._settings,
                        source=self._source,
                        patterns=self._patterns,
                        flow=self._request.flow,
                        worker=number,
                        addresses=tuple(addresses),
                        ahead=ahead,
                        recovery=None if state is None else state.recovery,
                        message_fd=write_fd,
                    )
                    log = stack.enter_context((folder / f"worker-{number}.log").open("w+b"))
                    try:
                        process, lifeline = _start_worker(order, log)
                    finally:
                        os.close(write_fd)
                    self._processes.append(process)
                    logs.append(log)
                    self._lifelines.append(lifeline)
                    listeners.append(threading.Thread(target=self._listen, args=(read_fd, leg), daemon=True))
            finally:
                if len(self._processes) < workers:
                    self._end_processes()
            if self._stop.is_set():
                self._ask_to_stop()
            for listener in listeners:
                listener.start()
            try:
                self._wait_for_workers()
            finally:
                self._end_processes()
                lifelines, self._lifelines = self._lifelines, []
                for lifeline in lifelines:
                    os.close(lifeline)
                for listener in listeners:
                    listener.join()
            self._raise_failures(leg, logs)

    def _wait_for_workers(self) -> None:
        """Wait until all have ended; when one fails, its peers get a moment to end, too."""
        deadline: float | None = None
        while any(process.poll() is None for process in self._processes):
            failed = any(process.poll() not in {None, 0} for process in self._processes)
            if failed and deadline is None:
                deadline = time.monotonic() + _GRACE / 10
            if deadline is not None and time.monotonic() > deadline:
                return
            time.sleep(0.02)

    def _end_processes(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _listen(self, read_fd: int, leg: _Leg) -> None:
        with os.fdopen(read_fd, "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # a worker was killed in the middle of a word
                message = decode_message(line)
                with self._noting:
                    self._note(message, leg)
                    if self._watch is not None:
                        # Who watches may have gone (a terminal that was closed); the run goes on.
                        with suppress(OSError):
                            self._watch(message)

    def _note(self, message: Message, leg: _Leg) -> None:
        match message:
            case Progress():
                leg.first_records.setdefault(message.partition, message.records)
                leg.records[message.partition] = message.records
            case PartitionDone():
                self._tally.partitions[message.partition] = message
                leg.records[message.partition] = message.records
                leg.first_records.setdefault(message.partition, message.records)
            case ShardDone():
                self._tally.shards[message.shard] = message
            case WorkerStarted():
                # No worker reads before all have joined.
                leg.started = max(leg.started or message.monotonic, message.monotonic)
            case WorkerEnded():
                leg.ended = max(leg.ended or message.monotonic, message.monotonic)
                leg.stopped |= message.stopped
                leg.peaks[message.worker] = message.peak_rss_kb
            case WorkerFailed():
                leg.failures.append(message)

    def _raise_failures(self, leg: _Leg, logs: Sequence[IO[bytes]]) -> None:
        codes = [process.returncode for process in self._processes]
        if not any(codes):
            return
        for failure in leg.failures:
            if not _is_echo(failure):
                raise _as_error(failure)
        for number, code in enumerate(codes):
            if code < 0:
                name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
                raise WorkerDiedError(f"worker {number} was ended by {name}")
        logs[0].seek(0)
        tails = "\n".join(_tail(log) for log in logs)
        words = "\n".join(failure.message for failure in leg.failures)
        raise WorkerDiedError(f"the workers ended with exit codes {codes}\n{words}\n{tails}".rstrip())


def _check_places(inputs: Sequence[str], settings: Settings) -> None:
    """Refuse to read what the run itself writes, and to write over what it reads.

    Raises:
        UsageError: an input holds one of the run's folders, or lies in one.
    """
    places = {"--out": settings.out, "--state": settings.state}
    scheme, _, folder = settings.store.partition("://")
    if scheme == "chdb":
        places["--store"] = Path(folder.partition("?")[0])
    for name, place in places.items():
        if place is None:
            continue
        whole = place.resolve()
        for given in inputs:
            path = Path(given).resolve()
            if given != "-" and (
                path.is_relative_to(whole) or (path.is_dir() and whole.is_relative_to(path))
            ):
                raise UsageError(
                    f"the input {given} and {name} {place} lie in each other: name another folder"
                )


def _is_echo(failure: WorkerFailed) -> bool:
    """Whether a worker only says that a peer has gone."""
    return failure.message.startswith(("RuntimeError", "PanicException", "KeyboardInterrupt"))


def _as_error(failure: WorkerFailed) -> FootfallError:
    error: FootfallError = (
        UsageError(failure.message)
        if failure.exit_code == UsageError.exit_code
        else RunError(failure.message)
    )
    error.add_note(failure.traceback)
    return error


def _tail(log: IO[bytes]) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - _LOG_TAIL))
    return log.read().decode(errors="replace").strip()


def _store_name(settings: Settings) -> str | None:
    """The store's name without a password; a relative folder is meant from the working directory."""
    if settings.store == "none":
        return None
    scheme, _, place = redacted(settings.store).partition("://")
    return f"{scheme}://{Path(place).absolute() if scheme == 'chdb' else place}, {settings.database}"


def _free_addresses(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _start_worker(order: WorkerOrder, log: IO[bytes]) -> tuple[subprocess.Popen[bytes], int]:
    """Start a worker and give it its order; the lifeline's end that comes back is to be kept open."""
    order_read, order_write = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "footfall.worker", str(order_read)],
            stdout=log,
            stderr=log,
            pass_fds=(order_read, order.message_fd),
            env=_MEMORY | dict(os.environ) | _THREADS,
            start_new_session=True,
        )
    finally:
        os.close(order_read)
    order_bytes = pickle.dumps(order)
    data = len(order_bytes).to_bytes(8, "little") + order_bytes
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(order_write, data) :]
    return process, order_write
