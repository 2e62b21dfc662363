"""A live run: the parent process that reads no data itself, but keeps the workers going for weeks.

It starts all workers again when one dies, takes up new partitions by a controlled restart, and turns signals into a
last snapshot and a clean end.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from footfall import __version__
from footfall.control_log import ControlLog
from footfall.control_record import ControlRecord
from footfall.control_topic import ControlTopic
from footfall.errors import (
    BrokerError,
    FootfallError,
    PatternFilesError,
    RunError,
    StoreUnavailableError,
    UnknownHostError,
    UsageError,
)
from footfall.input_source import open_history, open_live_source
from footfall.kafka_client import KafkaClient
from footfall.live_report import LiveReport, LiveTally
from footfall.live_watch import Expected, LiveWatch, LogTo
from footfall.pattern_files import PatternFolder, read_folder
from footfall.pattern_switch import PatternSwitch
from footfall.pattern_watch import PatternWatch
from footfall.placement import shard_names
from footfall.run_messages import ControlTaken, Message
from footfall.run_store import prepare_store, store_name
from footfall.scoring.champion_requests import ChampionRequests
from footfall.scoring.score_model import models_digest
from footfall.settings import Settings, redacted
from footfall.state_folder import StateFolder
from footfall.stop_signals import StopSignals
from footfall.webhook_post import open_target
from footfall.worker_order import WorkerOrder
from footfall.worker_pool import WorkerDiedError, WorkerPool

if TYPE_CHECKING:
    from footfall.history_plan import HistoryPlan
    from footfall.history_source import HistorySource
    from footfall.kafka_source import KafkaSource

STATE = Path("footfall-live")
"""The state folder of a live run that names none."""

MAX_QUICK_DEATHS = 8
_CONTROL_SECONDS = 5.0
_LOG_FORMATS: dict[str, Literal["auto", "text", "json"]] = {"auto": "auto", "text": "text", "json": "json"}
_QUICK_SECONDS = 60.0
_LONGEST_PAUSE = 30.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class LiveOutcome:
    """How a live run ended: its totals, and the signal that ended it."""

    report: LiveReport
    signal: int


class LiveRun:
    """One live run, from its checks to its stop; used once, in the main thread (it takes SIGINT and SIGTERM)."""

    def __init__(self, settings: Settings, *, quiet: bool = False, history: Sequence[str] = ()) -> None:
        """Check the run.

        Args:
            settings: the run's settings; a state folder is always used.
            quiet: show nothing while it runs but what must be known.
            history: files or a store that the state is built from, before the run goes on with the topics.

        Raises:
            FootfallError: settings, patterns or topics won't do; nothing has been started or written.
        """
        if not settings.kafka:
            raise UsageError("a live run reads Kafka: write --kafka HOST:PORT (several with commas between)")
        self._settings = settings = replace(settings, state=settings.state or STATE)
        self._quiet = quiet
        if settings.webhook and settings.publish:
            open_target(settings.webhook, settings.webhook_secret)
        self._found = _read_patterns(settings)
        self._models = (
            () if isinstance(self._found, FootfallError) or not settings.scores else self._found.models
        )
        self._history = tuple(redacted(each) for each in history)
        self._past = tuple(history)
        self._plan: HistoryPlan | None = None
        self._source: KafkaSource | HistorySource = open_live_source(settings)
        self._pool = WorkerPool(settings.workers)
        self._signals = StopSignals(self._pool)
        self._tally = LiveTally()
        self._added: list[str] = []
        self._looking: threading.Thread | None = None
        self._log: ControlLog | None = None
        self._switch: PatternSwitch | None = None

    def execute(self) -> LiveOutcome:
        """Run until a signal comes.

        Raises:
            FootfallError: the run can't go on; its state is that of its last snapshot.
        """
        settings = self._settings
        with ExitStack() as stack:
            state = StateFolder(settings.state or STATE)
            stack.callback(state.close)
            if settings.scores and isinstance(self._found, FootfallError):
                self._models = state.models()
            resumed = state.resumes(self._identity())
            self._log = log = ControlLog(state, self._control_topic())
            if not log.records and isinstance(self._found, FootfallError):
                raise self._found
            kept = state.beginnings() if resumed or not self._past else {}
            stack.enter_context(self._signals.taken())
            try:
                with self._signals.preparing():
                    self._look_back(state, resumed=resumed)
                    if kept or self._plan is not None:
                        self._source = self._open_source(list(kept), kept or None)
            except KeyboardInterrupt:
                return self._outcome(0)
            watch = stack.enter_context(self._watching(resumed=resumed))
            try:
                with self._signals.preparing():
                    self._prepare_store(stack, watch, resumed=resumed)
            except KeyboardInterrupt:
                return self._outcome(0)
            if not log.records and isinstance(self._found, PatternFolder):
                log.add(self._first_record(log, self._found, watch))
            self._switch = PatternSwitch(
                settings,
                log,
                PatternWatch(settings.pattern_folder, settings.pattern_check / 1000),
                self._pool,
                watch.happened,
                ChampionRequests(state.folder, settings.pattern_check / 1000),
                self._models,
            )
            self._keep_beginnings(state)
            if not resumed:
                state.keep_models(self._models)
            state.begin(self._identity())
            watch.happened(
                "run_resumed" if resumed else "run_started",
                f"{len(self._source.partitions())} partitions, {settings.workers} workers",
            )
            self._tell_of_history(watch, resumed=resumed)
            restarts = self._legs(state, log, watch)
            watch.happened("run_stopped", "the last snapshot stands")
            return self._outcome(restarts)

    def _outcome(self, restarts: int) -> LiveOutcome:
        report = self._tally.report(workers=self._settings.workers, restarts=restarts)
        return LiveOutcome(report, self._signals.number or 0)

    def _look_back(self, state: StateFolder, *, resumed: bool) -> None:
        """Decide what of the past is read and where the topics go on; at a restart, as it was decided then."""
        if not self._past:
            return
        from footfall.history_plan import kept_plan, plan_history, restored_plan  # noqa: PLC0415 - few runs need it

        kept = state.history() if resumed else None
        if kept is not None:
            self._plan = restored_plan(kept, self._settings, self._past)
            return

        def offsets(at: str | int) -> Mapping[str, int]:
            return open_live_source(self._settings, at=at).starts

        self._plan = plan_history(self._settings, self._past, offsets)
        state.keep_history(kept_plan(self._plan))

    def _open_source(
        self, known: Sequence[str], starts: Mapping[str, int] | None
    ) -> "KafkaSource | HistorySource":
        if self._plan is None:
            return open_live_source(self._settings, known, starts)
        return open_history(self._settings, self._plan, known, starts)

    def _tell_of_history(self, watch: LiveWatch, *, resumed: bool) -> None:
        if self._plan is None or resumed:
            return
        since = datetime.fromtimestamp(self._plan.since / 1000, UTC).isoformat(timespec="milliseconds")
        watch.happened(
            "notice",
            f"reads the past first ({', '.join(self._history)}); what is decided at {since} or later is sent",
        )
        for note in self._plan.notes:
            watch.happened("notice", note, level="warning")

    def _identity(self) -> dict[str, Any]:
        past = {"history": list(self._history)} if self._past else {}
        return past | {
            "footfall": __version__,
            "flow": "journeys",
            "settings": self._settings.identity(),
            "inputs": self._source.identity(),
            "models": models_digest(self._models) if self._models else "",
            "shards": list(shard_names(self._settings.shards)),
            "store": store_name(self._settings),
        }

    def _watching(self, *, resumed: bool) -> LiveWatch:
        settings = self._settings
        return LiveWatch(
            Expected(
                self._source.partitions(),
                shard_names(settings.shards),
                settings.workers,
                settings.spool_limit * 1_000_000,
            ),
            address="" if settings.metrics == "none" else settings.metrics,
            log_to=LogTo(_LOG_FORMATS[settings.log_format], None, settings.log_level),
            resumed=resumed,
            quiet=self._quiet,
        )

    def _prepare_store(self, stack: ExitStack, watch: LiveWatch, *, resumed: bool) -> None:
        """Migrate the store; one that is away is no reason to wait, since rows are kept in the spool.

        A place that can't be one ends a first start; later it is taken for an outage, too.
        """
        try:
            prepare_store(self._settings, stack)
        except (StoreUnavailableError, UsageError) as error:
            if not resumed and not isinstance(error, StoreUnavailableError):
                raise
            if not resumed and isinstance(error, UnknownHostError):
                raise UsageError(
                    f"{error}; name a host that there is with --store, or --store none"
                ) from error
            watch.happened("store_away", str(error), level="warning")

    def _control_topic(self) -> ControlTopic | None:
        settings = self._settings
        if not settings.publish:
            return None
        client = KafkaClient(settings.kafka, settings.kafka_properties)
        return ControlTopic(client, patience=_CONTROL_SECONDS)

    def _first_record(self, log: ControlLog, found: PatternFolder, watch: LiveWatch) -> ControlRecord:
        """What the run begins with. A rule that was deployed before, by this past or another run, goes on."""
        now = int(time.time() * 1000)
        deployed = dict({} if self._plan is None else self._plan.rules)
        try:
            for record in log.earlier():
                for rule, since in record.deployed.items():
                    deployed[rule] = min(since, deployed.get(rule, since))
        except BrokerError as error:
            watch.happened(
                "notice",
                f"rules count as deployed now, since the control topic can't be read: {error}",
                level="warning",
            )
        names = {rule.name: deployed.get(rule.name, now) for rule in found.rules}
        return ControlRecord(0, None, found.patterns, found.rules, names, now)

    def _legs(self, state: StateFolder, log: ControlLog, watch: LiveWatch) -> int:
        """Run workers until a signal comes; how often they were started again."""
        restarts = deaths = 0
        while not self._signals.asked():
            began = time.monotonic()
            try:
                with self._looking_around(watch):
                    self._pool.run(self._order(state, log), self._noting(watch))
            except WorkerDiedError as error:
                if self._signals.asked():
                    break
                deaths = deaths + 1 if time.monotonic() - began < _QUICK_SECONDS else 1
                if deaths > MAX_QUICK_DEATHS:
                    raise WorkerDiedError(
                        f"{error}\nThe workers died {deaths} times in a row within a minute of their start; once the "
                        f"cause is found, give the same command again (with --state {state.folder}) to go on"
                    ) from error
                restarts += 1
                watch.happened("worker_died", str(error), level="error")
                self._pause(min(_LONGEST_PAUSE, 0.25 * 2**deaths) if deaths > 1 else 0.0)
            else:
                if not self._signals.asked() and not self._added:
                    raise RunError("the workers ended without being asked to; this is a fault of Footfall's")
            if self._added:
                self._take_up(state, watch)
            if not self._signals.asked():
                watch.happened("workers_restarted", f"start {restarts + 1}")
        return restarts

    def _keep_beginnings(self, state: StateFolder) -> None:
        starts = self._source.starts
        state.keep_beginnings({name: starts[name] for name in self._source.partitions()})

    def _order(self, state: StateFolder, log: ControlLog) -> WorkerOrder:
        return WorkerOrder(
            settings=self._settings,
            source=self._source,
            controls=log.records,
            models=self._models,
            flow="journeys",
            recovery=state.recovery,
            spool=state.spool,
            profiles=state.profiles,
        )

    def _noting(self, watch: LiveWatch) -> Callable[[Message], None]:
        def note(message: Message) -> None:
            self._tally.note(message)
            if isinstance(message, ControlTaken) and self._switch is not None:
                self._switch.note_taken(message.worker, message.number)
            # Who watches may have gone (a terminal that was closed); the run goes on.
            with suppress(OSError):
                watch(message)

        return note

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._signals.asked():
            time.sleep(0.05)

    @contextmanager
    def _looking_around(self, watch: LiveWatch) -> Iterator[None]:
        """Within, what changes around the run is noticed.

        With new partitions, the workers are asked to stop, and the run goes on with all. Changed patterns are taken up
        while they run.
        """
        ended = threading.Event()
        looking = threading.Thread(
            target=self._look_around, args=(watch, ended, self._looking), name="looking-around", daemon=True
        )
        telling = threading.Thread(
            target=self._tell_of_stop, args=(watch, ended), name="telling-of-stop", daemon=True
        )
        self._looking = looking
        looking.start()
        telling.start()
        try:
            yield
        finally:
            ended.set()
            telling.join()
            # A broker that doesn't answer isn't waited for.
            looking.join(_LOOK_SECONDS)

    def _tell_of_stop(self, watch: LiveWatch, ended: threading.Event) -> None:
        # Not told by the signal's handler, which may have interrupted whoever holds the locks.
        while not ended.wait(_LOOK_SECONDS):
            if self._signals.asked():
                watch.happened("run_stopping", "the workers take a last snapshot")
                return

    def _look_around(self, watch: LiveWatch, ended: threading.Event, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        every = self._settings.partition_check / 1000
        due = time.monotonic() + every
        while not ended.wait(min(every, _LOOK_SECONDS)) and not self._signals.asked():
            if self._switch is not None:
                self._switch.look(lambda: ended.is_set() or self._signals.asked())
            if time.monotonic() >= due:
                due = time.monotonic() + every
                added = self._new_partitions(watch, ended)
                if added:
                    self._added = added
                    watch.happened("partition_added", f"{', '.join(added)}: the workers start again with it")
                    self._pool.ask_to_stop()
                    return

    def _new_partitions(self, watch: LiveWatch, ended: threading.Event) -> list[str]:
        """The partitions that have been added; none if the cluster doesn't answer, or the answer comes too late."""
        try:
            added = self._source.find_new_partitions()
        except FootfallError as error:
            if not ended.is_set():
                watch.happened("broker_away", str(error), level="warning")
            return []
        if ended.is_set():
            return []
        watch.happened("broker_back", "the cluster answers again")
        return added

    def _take_up(self, state: StateFolder, watch: LiveWatch) -> None:
        self._source = self._open_source(self._source.partitions(), self._source.starts)
        self._added = []
        self._keep_beginnings(state)
        watch.totals.expect(self._source.partitions())
        if not self._signals.asked():
            self._pool.go_on()


def _read_patterns(settings: Settings) -> PatternFolder | FootfallError:
    """What the folder of patterns holds, or what is wrong with it: a run that goes on doesn't end of that."""
    folder = settings.pattern_folder
    try:
        return read_folder(folder)
    except (PatternFilesError, UsageError) as error:  # the latter: it holds none, or is gone
        return error
