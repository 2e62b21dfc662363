"""The worker processes of a run: started together, watched, asked to stop, and ended together.

Each gets its order through a pipe that stays open as its lifeline, and tells what it does through another.
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
from dataclasses import replace
from pathlib import Path
from typing import IO

from footfall.control_record import ControlRecord
from footfall.errors import FootfallError, RestartError, RunError, UsageError
from footfall.lifeline import STOP, record_word
from footfall.read_ahead import ReadingTable
from footfall.run_messages import Message, WorkerFailed, decode_message
from footfall.worker_order import WorkerOrder

_PEERS_SECONDS = 3.0
_LOG_TAIL = 4_000

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


class WorkerDiedError(RunError):
    """A worker went without a word (it was killed, or ran out of memory); its last output is in the message."""


class WorkerPool:
    """The workers of a run, one set of them at a time; `run` may be called again when they have ended.

    Attributes:
        table: how far their partitions are; None while none run.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.table: ReadingTable | None = None
        self._asked = False  # a plain value: a signal's handler sets it, whatever it has interrupted
        self._telling = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lifelines: list[int] = []

    def run(self, order: WorkerOrder, note: Callable[[Message], None]) -> None:
        """Start workers and wait until all have ended.

        Args:
            order: what they are to do; its `worker`, `addresses`, `ahead` and `message_fd` are filled in here.
            note: gets their messages, one at a time, in other threads.

        Raises:
            WorkerDiedError: one of them was killed, or ended without saying why.
            FootfallError: what one of them failed with.
        """
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-run-")))
            table = _reading_table(order, folder)
            stack.callback(self._leave_table, table)
            addresses = tuple(_free_addresses(self.workers) if self.workers > 1 else ())
            noting = threading.Lock()
            failures: list[WorkerFailed] = []

            def take(message: Message) -> None:
                with noting:
                    if isinstance(message, WorkerFailed):
                        failures.append(message)
                    note(message)

            logs = []
            listeners = []
            self._processes = []
            self._lifelines = []
            try:
                for number in range(self.workers):
                    read_fd, write_fd = os.pipe()
                    log = stack.enter_context((folder / f"worker-{number}.log").open("w+b"))
                    own = replace(
                        order, worker=number, addresses=addresses, ahead=table.path, message_fd=write_fd
                    )
                    try:
                        process, lifeline = _start_worker(own, log)
                    finally:
                        os.close(write_fd)
                    self._processes.append(process)
                    logs.append(log)
                    self._lifelines.append(lifeline)
                    listeners.append(threading.Thread(target=_listen, args=(read_fd, take), daemon=True))
            finally:
                if len(self._processes) < self.workers:
                    self._end_processes()
            if self._asked:
                self.ask_to_stop()
            self.table = table
            for listener in listeners:
                listener.start()
            try:
                self._wait_for_workers()
            finally:
                self._end_processes()
                with self._telling:
                    lifelines, self._lifelines = self._lifelines, []
                    for lifeline in lifelines:
                        os.close(lifeline)
                for listener in listeners:
                    listener.join()
            self._raise_failures(failures, logs)

    def ask_to_stop(self) -> None:
        """Ask the workers, and those that `run` starts from now on, to take a last snapshot and end.

        A signal handler may call it.
        """
        self._asked = True
        for lifeline in self._lifelines:
            with suppress(OSError):
                os.write(lifeline, STOP)

    def hand(self, record: ControlRecord) -> None:
        """Hand the workers a control record; each says `ControlTaken` once it goes by it."""
        with self._telling:
            if self.table is not None:
                word = record_word(record, self.table.path.parent)
                for lifeline in self._lifelines:
                    with suppress(OSError):
                        os.write(lifeline, word)

    def _leave_table(self, table: ReadingTable) -> None:
        with self._telling:
            self.table = None
            table.close()

    def go_on(self) -> None:
        """Let the workers that `run` starts from now on run, although others were asked to stop."""
        self._asked = False

    def kill(self) -> None:
        """End the workers at once; their last snapshot stands."""
        for process in self._processes:
            process.kill()

    @property
    def alive(self) -> int:
        """How many workers there are now."""
        return sum(process.poll() is None for process in self._processes)

    def _wait_for_workers(self) -> None:
        """Wait until all have ended; when one fails, its peers get a moment to end, too."""
        deadline: float | None = None
        while any(process.poll() is None for process in self._processes):
            failed = any(process.poll() not in {None, 0} for process in self._processes)
            if failed and deadline is None:
                deadline = time.monotonic() + _PEERS_SECONDS
            if deadline is not None and time.monotonic() > deadline:
                return
            time.sleep(0.02)

    def _end_processes(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _raise_failures(self, failures: Sequence[WorkerFailed], logs: Sequence[IO[bytes]]) -> None:
        codes = [process.returncode for process in self._processes]
        if not any(codes):
            return
        own = [failure for failure in failures if not _is_echo(failure)]
        for failure in own:
            if failure.exit_code != RestartError.exit_code:
                raise _as_error(failure)
        if own:
            raise WorkerDiedError(f"worker {own[0].worker} gave up: {own[0].message}")
        for number, code in enumerate(codes):
            if code < 0:
                name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
                raise WorkerDiedError(f"worker {number} was ended by {name}")
        logs[0].seek(0)
        tails = "\n".join(_tail(log) for log in logs)
        words = "\n".join(failure.message for failure in failures)
        raise WorkerDiedError(f"the workers ended with exit codes {codes}\n{words}\n{tails}".rstrip())


def _reading_table(order: WorkerOrder, folder: Path) -> ReadingTable:
    """The table of the source partitions, beside the recovery data if there are any.

    There it outlives the parent: what killed workers had read, others must know.
    """
    reading = folder if order.recovery is None else order.recovery.with_name("reading")
    reading.mkdir(exist_ok=True)
    return ReadingTable(reading / "ahead", len(order.source.partitions()))


def _listen(read_fd: int, take: Callable[[Message], None]) -> None:
    with os.fdopen(read_fd, "rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break  # a worker was killed in the middle of a word
            take(decode_message(line))


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
