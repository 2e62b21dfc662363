"""What a flow is wired from: the input, the shards' step and the output of one worker process.

Flows (in `flows/`) only connect these; what they are made of is decided here, from a run's settings.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bytewax.operators import StatefulBatchLogic

from footfall.answer_output import AnswerOutput
from footfall.clock import ClockSettings
from footfall.control_record import ControlRecord
from footfall.envelope import SCHEMA
from footfall.errors import UsageError
from footfall.event_batch import ShardBatch
from footfall.event_names import EventNames
from footfall.expression import Expression, event
from footfall.formats import Decoder, format_by_name
from footfall.input import FormatMaker, InputSettings, Item, RecordInput
from footfall.letters import Letters
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.placement import shard_names
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import ReadAhead
from footfall.records import RecordSource
from footfall.run_messages import Tell
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.model_step import ModelStep
from footfall.scoring.score_model import ScoreModel, models_digest
from footfall.scoring.score_step import ScoreStep
from footfall.scoring.scored_triggers import score_fields
from footfall.scoring.shard_scores import ScoreSettings, ShardScoring
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Settled, Shard, ShardSettings
from footfall.shard_triggers import RuleSet, TriggerSettings, withdrawal_conditions
from footfall.sink import Sink
from footfall.stored_records import STORED, StoredRecords
from footfall.trigger_rule import TriggerRule
from footfall.unknown_format import UnknownFormat
from footfall.warm_up import warm_up

_STATUS_SECONDS = 1.0
_LIVE_SETTLE_STEP = 1_000


class ShardStep(StatefulBatchLogic[ShardBatch, Settled, bytes]):
    """A shard as Bytewax keeps it, under the shard's name."""

    def __init__(
        self,
        settings: ShardSettings,
        names: tuple[str, ...],
        *,
        in_force: PlanInForce,
        recoverable: bool,
        tell: Tell | None = None,
    ) -> None:
        """Make the step; with `tell`, it says every second or so where the shard stands, and at last."""
        self._fixed = settings
        self._in_force = in_force
        self._names = names
        self._recoverable = recoverable
        self._tell = tell
        self._told = 0.0
        self._news = False
        self._snapshot = (0, 0.0)
        self._shard: Shard | None = None

    def resumed(self, state: bytes) -> "ShardStep":
        """This step with the state of the last snapshot."""
        if state:
            self._shard = Shard.restore(self._settings(), state)
            self._tell_status()
        return self

    def on_batch(self, values: list[ShardBatch]) -> tuple[list[Settled], bool]:
        """Take batches, give out what they settle; the shard stays for as long as the run does."""
        if self._shard is None:
            self._shard = Shard(self._names[values[0].shard], self._settings())
        elif max(batch.generation for batch in values) > self._shard.settings.plan.generation:
            now = self._in_force.now
            self._shard.go_on_with(now.plan, now.triggers)
        settled = self._shard.take(values)
        self._news = self._tell is not None
        if self._news and time.monotonic() >= self._told + _STATUS_SECONDS:
            self._tell_status()
        return settled, StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """When there is something to tell of that hasn't been told; what is settled doesn't depend on it."""
        if not self._news:
            return None
        return datetime.now(UTC) + timedelta(
            seconds=max(0.0, self._told + _STATUS_SECONDS - time.monotonic())
        )

    def on_notify(self) -> tuple[list[Settled], bool]:
        """Say where the shard stands, as nothing has come that would have had it said."""
        if self._news:
            self._tell_status()
        return [], StatefulBatchLogic.RETAIN

    def _settings(self) -> ShardSettings:
        now = self._in_force.now
        return replace(self._fixed, plan=now.plan, triggers=now.triggers)

    def on_eof(self) -> tuple[list[Settled], bool]:
        """Say where the shard stands when the input has stopped."""
        self._tell_status(final=True)
        return [], StatefulBatchLogic.RETAIN

    def _tell_status(self, *, final: bool = False) -> None:
        if self._tell is not None and self._shard is not None:
            self._told = time.monotonic()
            self._news = False
            self._tell(self._shard.status(*self._snapshot, final=final))

    def snapshot(self) -> bytes:
        """The shard's state; nothing where the run keeps none, since Bytewax asks all the same."""
        if self._shard is None or not self._recoverable:
            return b""
        began = time.monotonic()
        state = self._shard.snapshot()
        self._snapshot = (len(state), time.monotonic() - began)
        return state


MODELS_KEY = "models"
"""The key of the step of the models."""


@dataclass(frozen=True, slots=True)
class FlowParts:
    """What a flow connects: `source` -> (letters | batches -> `new_shard` -> `new_models`) -> `sink`.

    `new_models` is None where nothing is scored; its rows go out as those of the shard `first_shard`.
    """

    source: RecordInput
    new_shard: Callable[[bytes | None], ShardStep]
    sink: AnswerOutput
    new_models: Callable[[bytes | None], ScoreStep] | None = None
    first_shard: str = ""


def scoring_of(item: tuple[str, Settled]) -> tuple[str, ShardScoring] | None:
    """What a shard's round means to the models, if anything."""
    scoring = item[1].scoring
    return None if scoring is None else (MODELS_KEY, scoring)


def is_letters(item: Item) -> bool:
    """Whether an item of the input goes past the shards, straight to the sinks."""
    return isinstance(item[1], Letters)


class _NamedFormat(FormatMaker):
    def __init__(self, name: str, names: EventNames) -> None:
        self._name = name
        self._names = names

    def __call__(self, name: str | None, columns: frozenset[str]) -> Decoder:
        chosen = name or self._name
        if chosen == STORED:
            return StoredRecords(self._names, columns)
        try:
            known = format_by_name(chosen)
        except UsageError:
            return UnknownFormat(chosen, columns)
        return known(self._names, columns)


def session_conditions(settings: Settings) -> tuple[Expression, ...]:
    """The conditions that sessions count by, in the order of the bits that `footfall.sessions` gives them."""
    return tuple(event.is_in(names) for names in (settings.page_views, settings.clicks, settings.conversions))


def pattern_plan(
    settings: Settings,
    patterns: Sequence[Pattern],
    rules: Sequence[TriggerRule] = (),
    features: FeaturePlan | None = None,
) -> PatternPlan:
    """The compiled patterns of a run, behind the conditions of sessions, of triggers' withdrawal, and of features."""
    withdrawals = withdrawal_conditions(tuple(rules), tuple(patterns))
    asked = () if features is None else features.conditions
    carried = frozenset[str]() if features is None else features.event_columns
    numbers = () if features is None else features.numbers
    reserved = (*session_conditions(settings), *withdrawals, *asked)
    return PatternPlan.compile(
        patterns, reserved=reserved, limit=settings.partial_limit, carried=carried, read_numbers=numbers
    )


def plan_in_force(
    settings: Settings,
    records: Sequence[ControlRecord],
    profiles: Path | None = None,
    *,
    models: Sequence[ScoreModel] = (),
    live: bool = False,
) -> PlanInForce:
    """The compiled patterns and the rules of all control records, one after the other.

    `profiles` is the folder for visitors' profiles where they aren't to be part of the snapshots, and `models` those
    that score. A `live` run may get
    more records, so it is ready for rules even if it has none.

    Raises:
        PatternError: a pattern can't be compiled.
        UsageError: the rules have too many conditions on withdrawing events.
    """
    first, *later = records
    features = FeaturePlan.compile(models) if models else None
    plan = pattern_plan(settings, first.patterns, first.rules, features)
    filled = score_fields([model.name for model in models])
    triggers = trigger_settings(settings, plan, first.rules, first.deployed, profiles)
    if triggers is None and (live or any(record.rules for record in later)):
        triggers = _triggers_of(settings, plan, (), {}, profiles)
    scores = None
    if features is not None:
        scores = ScoreSettings(
            features, settings.tick, settings.profile_horizon, folder=profiles, contents=models_digest(models)
        )
    if triggers is not None:
        triggers = replace(triggers, scores=filled)
    in_force = PlanInForce(plan, triggers, (first,), scores)
    for record in later:
        in_force.take_up(record)
    return in_force


def trigger_settings(
    settings: Settings,
    plan: PatternPlan,
    rules: Sequence[TriggerRule],
    deployed: Mapping[str, int],
    profiles: Path | None = None,
) -> TriggerSettings | None:
    """What the shards' triggers are built from; None where there are no rules.

    `plan` was made with the rules, `deployed` says when each was first deployed (ms), `profiles` is the folder for
    visitors' profiles where they aren't to be part of the snapshots.
    """
    return _triggers_of(settings, plan, rules, deployed, profiles) if rules else None


def _triggers_of(
    settings: Settings,
    plan: PatternPlan,
    rules: Sequence[TriggerRule],
    deployed: Mapping[str, int],
    profiles: Path | None,
) -> TriggerSettings:
    withdrawals = withdrawal_conditions(tuple(rules), plan.patterns)
    first = RuleSet(tuple(rules), plan.patterns, dict(deployed))
    return TriggerSettings(
        (first,), {each.key(): plan.bit(each) for each in withdrawals}, settings.profile_horizon, profiles
    )


def flow_parts(
    settings: Settings,
    source: RecordSource,
    in_force: PlanInForce,
    sinks: Sequence[Sink],
    *,
    tell: Tell,
    stop: threading.Event,
    ahead: ReadAhead,
) -> FlowParts:
    """The parts of one worker's dataflow; its compiled loops are loaded.

    Args:
        settings: the run's settings.
        source: the records.
        in_force: the compiled patterns and the rules, which may get more while the flow runs.
        sinks: this process's sinks, not opened yet; none if the rows aren't wanted.
        tell: takes progress and totals.
        stop: once set, the input ends where it is.
        ahead: shared by all workers, so that partitions are read in step.
    """
    plan, triggers = in_force.now.plan, in_force.now.triggers
    names = shard_names(settings.shards)
    # What patterns come while the flow runs may ask for any column.
    stored = tuple(SCHEMA) if sinks or source.live else ()
    event_names = EventNames.load(settings.event_names)
    input_settings = InputSettings(
        source=source,
        new_format=_NamedFormat(settings.format, event_names),
        clock=ClockSettings(settings.lateness, settings.idle_bound, settings.future_jump),
        in_force=in_force,
        shard_names=names,
        batch_size=settings.batch_size,
        read_ahead=settings.read_ahead,
        event_columns=stored,
        early=settings.tells_early(len(source.partitions()) - source.history),
    )
    shard_settings = ShardSettings(
        sessions=SessionSettings(settings.gap, settings.max_session, settings.split_on_campaign),
        plan=plan,
        partitions=len(source.partitions()),
        wants_rows=bool(sinks),
        event_columns=stored,
        early=input_settings.early,
        releases=source.releases,
        history=source.history,
        idle_bound=settings.idle_bound,
        triggers=triggers,
        settle_step=_LIVE_SETTLE_STEP if source.live else 1,
        scores=None if in_force.now.scores is None else replace(in_force.now.scores, wants_rows=bool(sinks)),
    )
    warm_up(input_settings, shard_settings, models=not source.live)
    recoverable = settings.state is not None

    def new_shard(state: bytes | None) -> ShardStep:
        step = ShardStep(
            shard_settings,
            names,
            in_force=in_force,
            recoverable=recoverable,
            tell=tell if source.live else None,
        )
        return step if state is None else step.resumed(state)

    def new_models(state: bytes | None) -> ScoreStep:
        assert shard_settings.scores is not None  # noqa: S101 - else this function isn't given out
        step = ModelStep(shard_settings.scores, names)
        if state:
            step.restore(state)
        return ScoreStep(step, in_force, recoverable=recoverable, tell=tell, live=source.live)

    return FlowParts(
        source=RecordInput(input_settings, ahead=ahead, tell=tell, stop=stop),
        new_shard=new_shard,
        sink=AnswerOutput(names, sinks, tell, in_force if source.live else None),
        new_models=None if shard_settings.scores is None else new_models,
        first_shard=names[0],
    )
