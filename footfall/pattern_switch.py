"""How a live run takes up changed patterns and rules, and promoted champions, without a restart.

The parent watches the folder of patterns. What has changed it reads, checks, and compiles behind the sets that the run
has. It also looks for requests to make another learner the champion of a model. Then it holds all source partitions for
a moment, so that it is known how far any of them has been read, and fixes the event time from which on what is new is
in force: a minute after the latest event. The control record that says so is kept with the run's state; from then on
the switch stands, whatever is killed. The workers take it up, and reading goes on.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from footfall.control_log import ControlLog
from footfall.control_record import ControlRecord, content_digest
from footfall.errors import FootfallError, PatternFilesError, StateError, UsageError
from footfall.pattern import Pattern
from footfall.pattern_fault import fault_words
from footfall.pattern_files import PatternFolder
from footfall.pattern_watch import PatternWatch
from footfall.read_ahead import NOT_READ, ReadingTable
from footfall.scoring.champion_requests import ChampionAnswer, ChampionRequest, ChampionRequests
from footfall.scoring.score_model import ScoreModel
from footfall.settings import Settings
from footfall.trigger_rule import TriggerRule
from footfall.worker_pool import WorkerPool

LEAD_MS = 60_000
"""How much later (event time, ms) than the latest event read so far a new set comes into force."""

_HOLD_SECONDS = 30.0
_AGAIN_SECONDS = 30.0
_TAKE_SECONDS = 60.0
_LOOK_SECONDS = 0.01


class Happened(Protocol):
    """Takes an event of the run."""

    def __call__(self, event: str, text: str, *, level: str | None = None) -> None:
        """`event` is its name, `text` a sentence."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be in force."""

    patterns: tuple[Pattern, ...]
    rules: tuple[TriggerRule, ...]
    champions: Mapping[str, str] = field(default_factory=dict)


class PatternSwitch:
    """Looks for changes and carries them out; `look` is called again and again, by one thread.

    Args:
        settings: the run's settings.
        log: the run's control records, of which there is one at least.
        watch: the folder.
        pool: the workers.
        happened: takes what people should know.
        requests: where champions are asked for; None: nowhere.
        models: the run's models of scores.
    """

    def __init__(
        self,
        settings: Settings,
        log: ControlLog,
        watch: PatternWatch,
        pool: WorkerPool,
        happened: Happened,
        requests: ChampionRequests | None = None,
        models: Sequence[ScoreModel] = (),
    ) -> None:
        self._settings = settings
        self._log = log
        self._watch = watch
        self._pool = pool
        self._happened = happened
        self._requests = requests
        self._models = tuple(models)
        self._wanted: PatternFolder | None = None
        self._broken = False
        self._again = time.monotonic()
        self._told: dict[str, str] = {}
        self._taking = threading.Condition()
        self._taken: dict[int, int] = {}

    def look(self, stopping: Callable[[], bool]) -> None:
        """See whether anything has changed, and take it up, which may take seconds; it ends early if `stopping`."""
        problem = self._log.publish()
        self._warn("control records wait to be written", problem)
        found = self._watch.look()
        if isinstance(found, PatternFilesError):
            self._break(str(found))
        elif found is not None:
            self._wanted, self._again = found, time.monotonic()
        if self._wanted is not None and time.monotonic() >= self._again:
            self._take_up(self._wanted, stopping)
        if self._requests is not None and time.monotonic() >= self._again:
            request = self._requests.next()
            if request is not None:
                self._promote(request, self._requests, stopping)

    def note_taken(self, worker: int, number: int) -> None:
        """A worker goes by the record of that number; any thread may call it."""
        with self._taking:
            self._taken[worker] = number
            self._taking.notify_all()

    def _warn(self, what: str, problem: Exception | str | None) -> None:
        """Say once what is in the way; None: nothing is any more."""
        if problem is None:
            self._told.pop(what, None)
        elif self._told.get(what) != str(problem):
            self._told[what] = str(problem)
            self._happened("notice", f"{what}: {problem}", level="warning")

    def _break(self, problem: str) -> None:
        self._wanted = None
        self._broken = True
        self._happened("patterns_broken", f"the patterns and rules in force stay so: {problem}")

    def _take_up(self, found: PatternFolder, stopping: Callable[[], bool]) -> None:
        last = self._log.records[-1]
        wanted = _Wanted(found.patterns, found.rules, last.champions)
        if content_digest(wanted.patterns, wanted.rules, wanted.champions) == last.digest:
            self._wanted = None
            if self._broken:
                self._broken = False
                self._happened("patterns_mended", "the pattern files say again what is in force")
            return
        table = self._pool.table
        if table is None:
            return
        try:
            self._check(self._record(wanted, NOT_READ))
        except FootfallError as error:
            self._break(str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is that the files say: the run goes on without it
            self._break(fault_words(error))
            return
        record = self._decide(wanted, table, stopping)
        if record is None:
            return
        self._wanted, self._broken = None, False
        self._go_by(record, table, stopping)
        since = "" if record.since is None else _iso(record.since)
        self._happened("patterns_switched", f"{_differences(last, record)}; for events at {since} or later")

    def _promote(
        self, request: ChampionRequest, requests: ChampionRequests, stopping: Callable[[], bool]
    ) -> None:
        """Take up a request for a champion, or refuse it."""
        # The learners take a second to load, which runs without models needn't wait.
        from footfall.scoring.champions import champions_with, learners_of  # noqa: PLC0415

        last = self._log.records[-1]
        try:
            champions = champions_with(self._models, self._log.records, request.model, request.learner)
        except UsageError as error:
            self._happened("notice", f"no champion was promoted: {error}", level="warning")
            self._answer(request, requests, ChampionAnswer(refused=str(error)))
            return
        declared = next(learners_of(each)[0] for each in self._models if each.name == request.model)
        learner = champions.get(request.model, declared)
        if champions == last.champions:
            self._answer(request, requests, ChampionAnswer(learner=learner, number=last.number))
            return
        table = self._pool.table
        if table is None:
            return
        record = self._decide(_Wanted(last.patterns, last.rules, champions), table, stopping)
        if record is None:
            return
        self._go_by(record, table, stopping)
        since = "" if record.since is None else _iso(record.since)
        self._happened(
            "champion_promoted", f"{learner} is champion of {request.model} from the first tick after {since}"
        )
        self._answer(
            request, requests, ChampionAnswer(learner=learner, since=record.since, number=record.number)
        )

    def _answer(self, request: ChampionRequest, requests: ChampionRequests, answer: ChampionAnswer) -> None:
        try:
            requests.answer(request, answer)
        except StateError as error:
            # It is asked again, and then finds its champion in place.
            self._again = time.monotonic() + _AGAIN_SECONDS
            self._happened("notice", f"a request for a champion can't be answered: {error}", level="warning")

    def _go_by(self, record: ControlRecord, table: ReadingTable, stopping: Callable[[], bool]) -> None:
        """Have the workers go by a record that stands, and read on."""
        if self._taken_by_all(record, table, stopping):
            table.release()
        elif not stopping():
            # They start again, with the record. Until then they hold: nothing may be read past the record's time by a
            # worker that doesn't know of it. Those that stop hold, too.
            self._pool.kill()

    def _decide(
        self, wanted: _Wanted, table: ReadingTable, stopping: Callable[[], bool]
    ) -> ControlRecord | None:
        """Hold all partitions, and fix from when on the new set is in force; None if that has to be tried again."""
        table.hold()
        at = self._held_at(table, stopping)
        problem: FootfallError | str
        if at is None:
            problem = f"the workers didn't all hold within {_HOLD_SECONDS:g} s"
        else:
            record = self._record(wanted, at)
            try:
                self._log.add(record)
            except StateError as error:
                problem = error
            else:
                self._warn("changed patterns and rules wait", None)
                return record
        table.release()
        if not stopping() and self._pool.table is table:
            self._again = time.monotonic() + _AGAIN_SECONDS
            self._warn("changed patterns and rules wait", problem)
        return None

    def _record(self, wanted: _Wanted, at: int) -> ControlRecord:
        """The record for a set that comes after all events up to that time."""
        last, now = self._log.records[-1], int(time.time() * 1000)
        since = max(now if at == NOT_READ else at, NOT_READ if last.since is None else last.since) + LEAD_MS
        deployed = {**last.deployed}
        for rule in wanted.rules:
            deployed.setdefault(rule.name, since)
        return ControlRecord(
            last.number + 1, since, wanted.patterns, wanted.rules, deployed, now, wanted.champions
        )

    def _check(self, record: ControlRecord) -> None:
        """Compile it behind the sets that the run has, as each worker will.

        Raises:
            FootfallError: it can't be compiled.
        """
        from footfall.dataflow import plan_in_force  # noqa: PLC0415 - the engine, which the parent needs for this alone

        plan_in_force(self._settings, (*self._log.records, record))

    def _held_at(self, table: ReadingTable, stopping: Callable[[], bool]) -> int | None:
        """Up to when events have been read, now that nothing is; None if not all partitions hold in time."""
        until = time.monotonic() + _HOLD_SECONDS
        while not stopping() and self._pool.table is table and time.monotonic() < until:
            at = table.held_at()
            if at is not None:
                return at
            time.sleep(_LOOK_SECONDS)
        return None

    def _taken_by_all(self, record: ControlRecord, table: ReadingTable, stopping: Callable[[], bool]) -> bool:
        """Hand the record to the workers; whether all go by it, in time."""
        try:
            self._pool.hand(record)
        except OSError:
            return False
        until = time.monotonic() + _TAKE_SECONDS
        with self._taking:
            while not stopping() and self._pool.table is table and time.monotonic() < until:
                if all(self._taken.get(worker, -1) >= record.number for worker in range(self._pool.workers)):
                    return True
                self._taking.wait(0.1)
        return False


def _differences(last: ControlRecord, record: ControlRecord) -> str:
    """In words, what a record changes."""
    parts = []
    for kind, before, after in (
        ("pattern", last.pattern_versions, record.pattern_versions),
        ("rule", last.rule_versions, record.rule_versions),
    ):
        changed = [name for name in after if name in before and before[name] != after[name]]
        for word, names in (
            ("new", [name for name in after if name not in before]),
            ("changed", changed),
            ("gone", [name for name in before if name not in after]),
        ):
            if names:
                parts.append(f"{word} {kind}{'s' if len(names) > 1 else ''} {', '.join(sorted(names))}")
    return "; ".join(parts) or "other words for the same patterns and rules"


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
