"""A run: the parent process that checks it, starts its workers, watches them, and reports.

The parent turns signals into a last snapshot and a clean end, starts all workers again when one dies (where the
run keeps its state), and never touches the data itself. One worker or many, the way is the same.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from footfall import __version__
from footfall.errors import RunError, UsageError
from footfall.input_source import is_kafka, is_store, open_source
from footfall.pattern_source import pattern_history, score_models
from footfall.placement import shard_names
from footfall.report import Report, Tally
from footfall.run_messages import (
    Message,
    ModelStatus,
    Notice,
    PartitionDone,
    Progress,
    ShardDone,
    WorkerEnded,
    WorkerStarted,
)
from footfall.run_store import prepare_store, store_name
from footfall.scoring.score_model import models_digest
from footfall.settings import Settings
from footfall.state_folder import StateFolder
from footfall.stop_signals import StopSignals
from footfall.worker_order import WorkerOrder
from footfall.worker_pool import WorkerDiedError, WorkerPool

MAX_RESTARTS = 3


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


@dataclass(slots=True)
class _Leg:
    """What one set of workers has told."""

    started: float | None = None
    ended: float | None = None
    stopped: bool = False
    peaks: dict[int, int] = field(default_factory=dict)
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
        self._source = open_source(self._settings, request.inputs)
        _check_places(request.inputs, self._settings)
        self._controls = pattern_history(self._settings.patterns, self._settings)
        self._models = score_models(self._settings)
        self._tally = Tally()
        self._pool = WorkerPool(self._settings.workers)
        self._signals = StopSignals(self._pool)

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
            stack.enter_context(self._signals.taken())
            try:
                with self._signals.preparing():
                    prepare_store(self._settings, stack)
            except KeyboardInterrupt:
                return Outcome(None, 0, resumable=state is not None)
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
            "patterns": self._controls[0].pattern_versions,
            "rules": self._controls[0].rule_versions,
            "models": models_digest(self._models) if self._models else "",
            "later": [[record.since, record.digest] for record in self._controls[1:]],
            "shards": list(shard_names(self._settings.shards)),
            "out": str(self._settings.out.absolute()) if self._settings.out else None,
            "out_format": self._settings.out_format,
            "store": store_name(self._settings),
        }

    def _legs(self, state: StateFolder | None) -> Outcome:
        restarts = 0
        order = WorkerOrder(
            settings=self._settings,
            source=self._source,
            controls=self._controls,
            models=self._models,
            flow=self._request.flow,
            recovery=None if state is None else state.recovery,
        )
        while True:
            # What the leg before told may not have been in its last snapshot; what was is told again.
            self._tally = Tally()
            leg = _Leg()
            try:
                self._pool.run(order, partial(self._note, leg))
            except WorkerDiedError as error:
                if self._signals.asked():
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
                if not self._signals.asked() and not leg.stopped:
                    raise RunError(
                        "the workers ended, but not all of the input was settled; this is a fault of Footfall's"
                    )
                return Outcome(None, sum(leg.records.values()), resumable=state is not None)
            seconds = (leg.ended or 0.0) - (leg.started or 0.0)
            first = sum(leg.first_records.values())
            total = sum(done.records for done in self._tally.partitions.values())
            report = self._tally.report(
                pattern_versions=self._pattern_versions(),
                workers=self._settings.workers,
                seconds=seconds,
                leg_records=total - first,
                peak_rss_mb=sum(leg.peaks.values()) / 1024,
                restarts=restarts,
            )
            return Outcome(report, total, resumable=False)

    def _pattern_versions(self) -> dict[str, str]:
        """The version of each pattern that the run had; the last one of several."""
        return {
            name: version for record in self._controls for name, version in record.pattern_versions.items()
        }

    def _missing(self) -> list[str]:
        return self._tally.missing(self._source.partitions(), shard_names(self._settings.shards))

    def _note(self, leg: _Leg, message: Message) -> None:
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
            case ModelStatus():
                self._tally.models = message
            case WorkerStarted():
                # No worker reads before all have joined.
                leg.started = max(leg.started or message.monotonic, message.monotonic)
            case WorkerEnded():
                leg.ended = max(leg.ended or message.monotonic, message.monotonic)
                leg.stopped |= message.stopped
                leg.peaks[message.worker] = message.peak_rss_kb
        if self._watch is not None:
            # Who watches may have gone (a terminal that was closed); the run goes on.
            with suppress(OSError):
                self._watch(message)


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
            if (
                given != "-"
                and not is_kafka(given)
                and not is_store(given)
                and (path.is_relative_to(whole) or (path.is_dir() and whole.is_relative_to(path)))
            ):
                raise UsageError(
                    f"the input {given} and {name} {place} lie in each other: name another folder"
                )
