"""One worker process: it gets its order from the parent through a pipe, runs the dataflow, and reports back.

Started as `python -m footfall.worker ORDER_FD`. The order pipe stays open as a lifeline: a byte on it asks the worker
to stop (a signal could come before there is a handler for it), and when the parent is gone, however it went, the
worker ends at once, and the last snapshot stands.
"""

import gc
import logging
import os
import pickle
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType

from footfall.content import load_flow
from footfall.control_record import ControlRecord
from footfall.dataflow import flow_parts, plan_in_force
from footfall.errors import FootfallError
from footfall.lifeline import listen
from footfall.listening import await_listening
from footfall.main_thread import wake_main_thread_less
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import ReadAhead
from footfall.recovery_store import forget_unfinished
from footfall.run_messages import (
    ControlTaken,
    Message,
    NoticeHandler,
    Pacer,
    WorkerEnded,
    WorkerFailed,
    WorkerStarted,
    encode_message,
)
from footfall.run_sinks import new_sinks
from footfall.sink import Sink
from footfall.worker_order import WorkerOrder

ORPHANED = 70
"""The exit code of a worker whose parent has gone."""

# As long as a refused connection costs: waiting longer would be no gain.
_JOIN_SECONDS = 1.0


class Taken:
    """The control records that the parent hands a worker while it runs."""

    def __init__(self, worker: int, tell: Pacer) -> None:
        self._worker = worker
        self._tell = tell
        self._ready = threading.Event()
        self._in_force: PlanInForce | None = None
        self._sinks: Sequence[Sink] = ()

    def begin(self, in_force: PlanInForce, sinks: Sequence[Sink]) -> None:
        """From now on records can be taken up."""
        self._in_force, self._sinks = in_force, sinks
        self._ready.set()

    def __call__(self, record: ControlRecord) -> None:
        """Take up a record, and say so; it is for events that nobody has read yet."""
        self._ready.wait()
        if self._in_force is None:
            raise RuntimeError("a worker is ready for control records without a plan")
        self._in_force.take_up(record)
        for sink in self._sinks:
            sink.go_by(record.rules)
        self._tell(ControlTaken(self._worker, record.number))


def run_worker(order: WorkerOrder, tell: Pacer, stop: threading.Event, taken: Taken | None = None) -> None:
    """Run the worker's part of the dataflow to its end; `taken` gets control records that come meanwhile.

    Raises:
        FootfallError: the run can't go on.
    """
    # Imported here so that a fault in the order is told before the engine's seconds of loading.
    from bytewax.recovery import RecoveryConfig  # noqa: PLC0415
    from bytewax.testing import cluster_main, run_main  # noqa: PLC0415

    settings = order.settings
    sinks = new_sinks(order, tell)
    try:
        in_force = plan_in_force(
            settings, order.controls, order.profiles, models=order.models, live=order.source.live
        )
        if taken is not None:
            taken.begin(in_force, sinks)
        parts = flow_parts(
            settings,
            order.source,
            in_force,
            sinks,
            tell=tell,
            stop=stop,
            ahead=ReadAhead.mapped(order.ahead, settings.read_ahead),
        )
        flow = load_flow(order.flow)(parts)
        _collect_garbage_less()
        interval = timedelta(milliseconds=settings.snapshot_interval)
        recovery = None
        if order.recovery is not None:
            forget_unfinished(order.recovery)
            recovery = RecoveryConfig(str(order.recovery))
        tell(WorkerStarted(order.worker, time.monotonic()))
        if order.addresses:
            await_listening(order.addresses[: order.worker], _JOIN_SECONDS)
            wake_main_thread_less()
            cluster_main(
                flow,
                list(order.addresses),
                order.worker,
                epoch_interval=interval,
                recovery_config=recovery,
            )
        else:
            run_main(flow, epoch_interval=interval, recovery_config=recovery)
    finally:
        for sink in sinks:
            sink.close()


def _collect_garbage_less() -> None:
    """Leave out of garbage collections what has been loaded by now, and have fewer.

    State is made of many small objects without cycles: looking through all of them for garbage holds everything up for
    a fifth of a second, and finds none.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _own_fault(error: BaseException) -> FootfallError | None:
    """The Footfall error behind what Bytewax raised, if there is one."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, FootfallError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _watch_lifeline(
    fd: int, folder: Path, stop: threading.Event, taken: Taken, fail: Callable[[BaseException], int]
) -> None:
    try:
        listen(fd, folder, stop.set, taken)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        os._exit(fail(error))
    os._exit(ORPHANED)


def main(arguments: Sequence[str]) -> int:
    """Take the order from the pipe and carry it out; the exit code is the process's."""
    order_fd = int(arguments[0])
    with os.fdopen(os.dup(order_fd), "rb", buffering=0) as pipe:
        size = int.from_bytes(pipe.read(8), "little")
        data = b""
        while len(data) < size:
            part = pipe.read(size - len(data))
            if not part:
                return ORPHANED
            data += part
    order: WorkerOrder = pickle.loads(data)  # noqa: S301 - from the parent process
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    lock = threading.Lock()

    def send(message: Message) -> None:
        line = encode_message(message)
        with lock, suppress(BrokenPipeError):
            while line:
                line = line[os.write(order.message_fd, line) :]

    tell = Pacer(send, worker=order.worker)

    def fail(error: BaseException) -> int:
        fault = _own_fault(error)
        if fault is not None:
            message, code = str(fault), fault.exit_code
        else:
            message, code = f"{type(error).__name__}: {error}", 1
        tell(WorkerFailed(order.worker, message, code, "".join(traceback.format_exception(error))))
        return code

    taken = Taken(order.worker, tell)
    watching = (order_fd, order.ahead.parent, stop, taken, fail)
    threading.Thread(target=_watch_lifeline, args=watching, daemon=True).start()
    logging.basicConfig(
        level=order.settings.log_level.upper(),
        handlers=[NoticeHandler(order.worker, tell)],
        format="%(message)s",
    )
    logging.getLogger("numba").setLevel(logging.WARNING)
    # The store's driver logs what it raises as well, and the sink tells what comes of that.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        run_worker(order, tell, stop, taken)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        return fail(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tell(WorkerEnded(order.worker, stop.is_set(), time.monotonic(), peak))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
