"""One process of a cluster that others start: `python -m bytewax.run flows.live:flow -i NUMBER -a ADDRESSES`.

Without a parent it looks after itself: settings come from the file and the environment, what it has to say goes to the
log, and `/metrics`, `/healthz` and `/readyz` are its own. SIGINT and SIGTERM end it with a snapshot, and so its peers,
which must get the signal too. What has died is started again by whatever runs it, all processes together.
"""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import FrameType

from bytewax.recovery import init_db_dir

from footfall.clock import FOREVER
from footfall.dataflow import FlowParts, flow_parts, plan_in_force
from footfall.errors import UsageError
from footfall.input_source import open_live_source
from footfall.live_watch import Expected, LiveWatch, LogTo
from footfall.pattern_source import pattern_history, score_models
from footfall.placement import shard_names
from footfall.read_ahead import ReadAhead
from footfall.recovery_store import forget_unfinished
from footfall.run_messages import Message, Pacer, WorkerStarted
from footfall.run_sinks import new_sinks
from footfall.settings import Settings, load_settings
from footfall.worker_order import WorkerOrder

_RECOVERY_PARTS = 4
_WAIT_SECONDS = 60.0


def member_parts(arguments: Sequence[str] | None = None) -> FlowParts:
    """The parts of this process's dataflow, by the settings of the environment.

    With the setting `state`, its `recovery` folder is made by the first process; the others wait for it. It is what
    bytewax.run is to be given with `-r`. The folder must be one that all processes see.

    Args:
        arguments: what bytewax.run was started with; the process's own if None.

    Raises:
        FootfallError: settings, patterns or topics won't do.
    """
    settings = load_settings()
    if not settings.kafka:
        raise UsageError("a live run reads Kafka: set FOOTFALL_KAFKA=HOST:PORT")
    stop = _stopped_by_signals()  # first, since what is registered first is done last at the exit
    number, members = _place(sys.argv[1:] if arguments is None else arguments)
    controls = pattern_history(settings.patterns, settings)
    source = open_live_source(settings)
    order = WorkerOrder(
        settings=settings,
        source=source,
        controls=controls,
        models=score_models(settings),
        flow="live",
        recovery=None if settings.state is None else _recovery(settings.state, number),
        spool=None if settings.state is None else settings.state / "spool",
        profiles=None if settings.state is None else settings.state / "profiles",
        worker=number,
        addresses=("",) * members if members > 1 else (),
    )
    watch = _watch(settings, order, members)
    # The store's driver logs what it raises as well, and the sink tells what comes of that.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    lock = threading.Lock()

    def note(message: Message) -> None:
        with lock:
            watch(message)

    tell = Pacer(note, worker=number)
    parts = flow_parts(
        settings,
        source,
        plan_in_force(settings, controls, order.profiles, models=order.models, live=True),
        new_sinks(order, tell),
        tell=tell,
        stop=stop,
        # Who reads the other partitions can't be seen from here: each process keeps its own in step.
        ahead=ReadAhead.alone([FOREVER] * len(source.partitions()), settings.read_ahead),
    )
    watch(WorkerStarted(0, time.monotonic()))  # to this watch, the process is the run
    return parts


def _watch(settings: Settings, order: WorkerOrder, members: int) -> LiveWatch:
    watch = LiveWatch(
        Expected(
            order.source.partitions() if members == 1 else (),
            shard_names(settings.shards) if members == 1 else (),
            1,
        ),
        address="" if settings.metrics == "none" else settings.metrics,
        log_to=LogTo("text" if settings.log_format == "text" else "json", None, settings.log_level),
    )
    atexit.register(_end, watch)
    watch.happened("run_started", f"process {order.worker} of {members}")
    return watch


def _place(arguments: Sequence[str]) -> tuple[int, int]:
    """This process's number, and how many there are, as bytewax.run takes them."""
    number = os.environ.get("BYTEWAX_PROCESS_ID", "0")
    addresses = os.environ.get("BYTEWAX_ADDRESSES", "")
    for flag, value in pairwise(arguments):
        if flag in {"-i", "--process-id"}:
            number = value
        elif flag in {"-a", "--addresses"}:
            addresses = value
    return int(number), max(1, len([each for each in addresses.split(";") if each]))


def _recovery(state: Path, number: int) -> Path:
    folder = state / "recovery"
    if number == 0 and not folder.is_dir():
        fresh = state / "recovery.new"
        fresh.mkdir(parents=True, exist_ok=True)
        for leftover in fresh.iterdir():
            leftover.unlink()
        init_db_dir(fresh, _RECOVERY_PARTS)
        fresh.rename(folder)
    until = time.monotonic() + _WAIT_SECONDS
    while not folder.is_dir():
        if time.monotonic() > until:
            raise UsageError(
                f"{folder} isn't there: process 0 makes it, in a folder that all processes must see"
            )
        time.sleep(0.1)
    forget_unfinished(folder)
    return folder


def _stopped_by_signals() -> threading.Event:
    """Set by SIGINT and SIGTERM; the exit code then is 128 and the signal's number."""
    stop = threading.Event()
    came: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    def end() -> None:
        if came:
            os._exit(128 + came[0])

    atexit.register(end)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _end(watch: LiveWatch) -> None:
    watch.happened("run_stopped", "the process ends; the last snapshot stands")
    watch.close()
