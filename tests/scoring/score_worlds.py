"""Shards' parts for the step of the models, made by real shards from records that Hypothesis draws."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from engine_harness import NO_COUNTS, Engine
from hypothesis import strategies as st
from reference import Record

from footfall import event
from footfall.pattern_plan import PatternPlan
from footfall.scoring.feature import Feature, count, days_since, sessions, total
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.model_step import ModelStep
from footfall.scoring.score_model import (
    ScoreModel,
    at_event,
    at_session_end,
    days_after_last_event,
    earns,
    happens,
    stays_away,
)
from footfall.scoring.score_rows import ScoreRows
from footfall.scoring.shard_scores import ScoreSettings, ShardScoring
from footfall.tables import MODEL_QUALITY, OUTCOMES, PREDICTIONS, SCORES

HOUR, DAY = 3_600_000, 86_400_000
START = 1_767_225_600_000
TICK = 600_000
TABLES = (PREDICTIONS, SCORES, OUTCOMES, MODEL_QUALITY)

ORDER = event == "order_completed"
FEATURES = (
    Feature("events", count()),
    Feature("views", count(event == "page_view", over="session")),
    Feature("sessions", sessions()),
    Feature("since", days_since(), "days"),
    Feature("value", total(ORDER), "money"),
)
MODELS = (
    ScoreModel("lead", "", FEATURES[:4], [at_session_end()], happens(ORDER, within="3 h"), changed_by=2),
    ScoreModel(
        "churn",
        "",
        FEATURES,
        [at_event(ORDER), days_after_last_event(1, once=ORDER)],
        stays_away(within="26 h", event=ORDER),
    ),
    ScoreModel("value", "", FEATURES, [at_event(ORDER)], earns(ORDER, within="3 h")),
)
PLAN = FeaturePlan.compile(MODELS)

records = st.lists(
    st.tuples(
        st.sampled_from((0, 1, 60_000, TICK - 1, TICK, 31 * 60_000, 2 * HOUR, 25 * HOUR)),
        st.sampled_from("abcde"),
        st.sampled_from(("page_view", "click", "order_completed", "order_completed")),
        st.integers(-3, 9),
    ),
    min_size=4,
    max_size=40,
)
"""Steps of time, visitors, events, and values."""

Drawn = Sequence[tuple[int, str, str, int]]


def records_of(drawn: Drawn) -> list[Record]:
    """Records in the order of their times."""
    time, found = START, []
    for number, (step, visitor, name, value) in enumerate(drawn):
        time += step
        found.append(
            Record(visitor, f"m{number}", name, time, time, value=value * 1_500_000, path=f"/{number}")
        )
    return found


def settings_of(plan: FeaturePlan = PLAN, *, tick: int = TICK, folder: Path | None = None) -> ScoreSettings:
    """Settings with short ticks."""
    return ScoreSettings(plan, tick, folder=folder)


def whole_plan(plan: FeaturePlan = PLAN) -> PatternPlan:
    """A plan without patterns that asks events for what features need."""
    return PatternPlan.compile((), reserved=(*NO_COUNTS, *plan.conditions), carried=plan.event_columns)


def parts_of(
    drawn: Drawn,
    batches: Sequence[int] = (),
    *,
    shards: int = 3,
    ended: bool = True,
    plan: FeaturePlan = PLAN,
) -> list[ShardScoring]:
    """What shards tell of records that they get in batches; not `ended`: three days later the records go on."""
    engine, at = Engine(whole_plan(plan), shards=shards, scores=settings_of(plan)), 0
    found = records_of(drawn)
    for size in (*batches, len(found)):
        engine.read(0, found[at : at + size])
        engine.feed()
        at += size
    if ended:
        engine.read(0, [], ended=True)
    else:
        later = found[-1].time + 3 * DAY
        engine.read(0, [Record("end", "end", "click", later, later)])
    engine.feed()
    return [each.scoring for each in engine.settled if each.scoring is not None]


def shard_names(shards: int = 3) -> tuple[str, ...]:
    """The names that the harness gives its shards."""
    return tuple(f"s{number}" for number in range(shards))


def step_of(settings: ScoreSettings | None = None, shards: int = 3) -> ModelStep:
    """A step that has learnt nothing."""
    return ModelStep(settings or settings_of(), shard_names(shards))


def restarted(step: ModelStep) -> ModelStep:
    """Another step with the state of this one."""
    fresh = ModelStep(step.settings, step.shards)
    fresh.restore(step.snapshot())
    return fresh


def rows_by_table(given: Sequence[ScoreRows]) -> dict[str, list[str]]:
    """All rows of what a step gave, by table, in an order of their own."""
    return {
        table.name: sorted(map(repr, pl.concat([table.empty(), *(each.of(table) for each in given)]).rows()))
        for table in TABLES
    }
