"""One worker process: it gets its order from the parent through a pipe, runs the dataflow, and reports back.

Started as `python -m footfall.worker ORDER_FD`. The order pipe stays open as a lifeline: a byte on it asks the worker
to stop (a signal could come before there is a handler for it), and when the parent is gone, however it went, the
worker ends at once, and the last snapshot stands.
"""

import logging
import os
import pickle
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from types import FrameType

import numpy as np

from footfall.content import load_flow
from footfall.dataflow import flow_parts, pattern_plan, trigger_settings
from footfall.errors import FootfallError
from footfall.input import ReadAhead
from footfall.listening import await_listening
from footfall.main_thread import wake_main_thread_less
from footfall.run_messages import (
    Message,
    NoticeHandler,
    Pacer,
    WorkerEnded,
    WorkerFailed,
    WorkerStarted,
    encode_message,
)
from footfall.run_sinks import new_sinks
from footfall.worker_order import WorkerOrder

ORPHANED = 70
"""The exit code of a worker whose parent has gone."""

# As long as a refused connection costs: waiting longer would be no gain.
_JOIN_SECONDS = 1.0


def run_worker(order: WorkerOrder, tell: Pacer, stop: threading.Event) -> None:
    """Run the worker's part of the dataflow to its end.

    Raises:
        FootfallError: the run can't go on.
    """
    # Imported here so that a fault in the order is told before the engine's seconds of loading.
    from bytewax.recovery import RecoveryConfig  # noqa: PLC0415
    from bytewax.testing import cluster_main, run_main  # noqa: PLC0415

    settings = order.settings
    cells = np.memmap(order.ahead, dtype=np.int64, mode="r+")
    sinks = new_sinks(order, tell)
    try:
        plan = pattern_plan(settings, order.patterns, order.rules)
        parts = flow_parts(
            settings,
            order.source,
            plan,
            sinks,
            tell=tell,
            stop=stop,
            ahead=ReadAhead(cells, settings.read_ahead),
            triggers=trigger_settings(settings, plan, order.rules, order.deployed, order.profiles),
        )
        flow = load_flow(order.flow)(parts)
        interval = timedelta(milliseconds=settings.snapshot_interval)
        recovery = None if order.recovery is None else RecoveryConfig(str(order.recovery))
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


def _own_fault(error: BaseException) -> FootfallError | None:
    """The Footfall error behind what Bytewax raised, if there is one."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, FootfallError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _watch_lifeline(fd: int, stop: threading.Event) -> None:
    with suppress(OSError):
        while os.read(fd, 1):
            stop.set()
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
    threading.Thread(target=_watch_lifeline, args=(order_fd, stop), daemon=True).start()

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
        run_worker(order, tell, stop)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        fault = _own_fault(error)
        if fault is not None:
            message, code = str(fault), fault.exit_code
        else:
            message, code = f"{type(error).__name__}: {error}", 1
        tell(WorkerFailed(order.worker, message, code, "".join(traceback.format_exception(error))))
        return code
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tell(WorkerEnded(order.worker, stop.is_set(), time.monotonic(), peak))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
