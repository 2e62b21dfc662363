"""Who is champion when, and that what a step of models says of it depends on the records alone."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random

import polars as pl
import pytest
from control_records import control_record
from engine_harness import NO_COUNTS, Engine
from reference import Record

from footfall import event
from footfall.clock import NEVER
from footfall.control_record import ControlRecord
from footfall.errors import UsageError
from footfall.pattern_plan import PatternPlan
from footfall.scoring.champions import Reign, champions_with, first_tick, reigns
from footfall.scoring.feature import Feature, count, days_since_first, sessions
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.model_step import ModelStep
from footfall.scoring.score_model import ScoreModel, at_event, at_session_end, happens
from footfall.scoring.shard_scores import TICK, ScoreSettings, ShardScoring
from footfall.tables import MODEL_QUALITY, PREDICTIONS, SCORES

START = 1_767_225_600_000 // TICK * TICK
MINUTE = 60_000
ORDER = event == "order_completed"
FEATURES = (
    Feature("events", count()),
    Feature("sessions", sessions()),
    Feature("since_first", days_since_first()),
)
LEAD = ScoreModel(
    "lead",
    "Orders within 90 minutes",
    FEATURES,
    [at_session_end()],
    happens(ORDER, within="90 min"),
    challengers=["scaled_logistic"],
)
NEXT = ScoreModel(
    "next", "Clicks again within 40 minutes", FEATURES, [at_event(event == "click")],
    happens(event == "click", within="40 min"), challengers=["adaptive_tree", "scaled_logistic"],
)  # fmt: skip
MODELS = (LEAD, NEXT)
PLAN = FeaturePlan.compile(MODELS)
SETTINGS = ScoreSettings(PLAN)
END = 2_000


def record(number: int, since: int | None, **champions: str) -> ControlRecord:
    return replace(control_record(number), since=since, champions=champions)


@cache
def parts() -> tuple[ShardScoring, ...]:
    """What a shard tells of 200 visitors, each of whom comes about every half hour."""
    plan = PatternPlan.compile((), reserved=(*NO_COUNTS, *PLAN.conditions), carried=PLAN.event_columns)
    engine = Engine(plan, scores=SETTINGS)
    records, random = [], Random(1)
    for number in range(END):
        visitor = random.randrange(200)
        name = "order_completed" if visitor % 3 == 0 and random.random() < 0.3 else "click"
        time = START + number * 12_000
        records.append(Record(f"v{visitor}", f"m{number}", name, time, time))
    for begin in range(0, END, 60):
        engine.read(0, records[begin : begin + 60])
        engine.feed()
    engine.read(0, [], ended=True)
    engine.feed()
    return tuple(each.scoring for each in engine.settled if each.scoring is not None)


def scored(
    records: Sequence[ControlRecord], *, at_once: int = 1, restarts: bool = False, late: bool = False
) -> dict[str, pl.DataFrame]:
    """All rows of a step that goes by these records; `late`: each comes as late as it may."""
    step = ModelStep(SETTINGS, ("s0",))
    known = list(records[:1]) if late else list(records)
    step.go_by(known)
    found: dict[str, list[pl.DataFrame]] = {
        table.name: [table.empty()] for table in (PREDICTIONS, SCORES, MODEL_QUALITY)
    }
    whole = parts()
    for begin in range(0, len(whole), at_once):
        taken = whole[begin : begin + at_once]
        while len(known) < len(records) and taken[-1].until >= (records[len(known)].since or 0):
            known.append(records[len(known)])
            step.go_by(known)
        rows = step.take(taken)
        for name, frames in found.items():
            frames.extend(rows.frames.get(name, ()))
        if restarts and begin // at_once % 5 == 4:
            again = ModelStep(SETTINGS, ("s0",))
            again.go_by(known)
            again.restore(step.snapshot())
            step = again
    return {name: pl.concat(frames) for name, frames in found.items()}


def champions(rows: pl.DataFrame, model: str) -> list[tuple[int, str]]:
    """Since which moment (ms) which learner was champion, by the rows of predictions."""
    own = rows.filter((pl.col("model") == model) & pl.col("champion")).sort("time")
    found: list[tuple[int, str]] = []
    for time, learner in own.select(pl.col("time").dt.epoch("ms"), "learner").iter_rows():
        if not found or found[-1][1] != learner:
            found.append((time, learner))
    return found


HISTORY = (
    record(0, None),
    record(1, START + 2 * 60 * MINUTE + 1, next="scaled_logistic"),
    record(2, START + 3 * 60 * MINUTE, lead="scaled_logistic", next="adaptive_tree"),
    record(3, START + 5 * 60 * MINUTE, next="adaptive_tree"),
)


def test_a_promotion_counts_from_the_first_tick_that_begins_at_its_time_or_later() -> None:
    rows = scored(HISTORY)
    found = champions(rows["predictions"], "next")
    assert [learner for _, learner in found] == ["binned_logistic", "scaled_logistic", "adaptive_tree"]
    second, third = (time for time, _ in found[1:])
    assert START + 2 * 60 * MINUTE + TICK <= second < START + 2 * 60 * MINUTE + 2 * TICK
    assert START + 3 * 60 * MINUTE <= third < START + 3 * 60 * MINUTE + TICK
    found = champions(rows["predictions"], "lead")
    assert [learner for _, learner in found] == ["binned_logistic", "scaled_logistic", "binned_logistic"]
    # The score is the champion's, and each prediction has one.
    by_prediction = rows["predictions"].group_by("prediction_id", "model").agg(pl.col("champion").sum())
    assert by_prediction["champion"].unique().to_list() == [1]
    shown = rows["scores"].join(
        rows["predictions"].filter("champion"), on=["model", "time", "visitor_id"], suffix="_told"
    )
    assert shown.height == rows["scores"].height > 0
    assert (shown["predicted"] == shown["predicted_told"]).all()
    assert (shown["learner"] == shown["learner_told"]).all()
    quality = rows["model_quality"].filter((pl.col("model") == "next") & pl.col("champion")).sort("time")
    assert quality["learner"].unique(maintain_order=True).to_list() == ["binned_logistic", "adaptive_tree"]
    assert quality["time"].is_unique().all()


@pytest.mark.parametrize(
    ("at_once", "restarts", "late"), [(7, False, False), (1, True, False), (3, True, True), (1, False, True)]
)
def test_batches_restarts_and_when_a_record_comes_do_not_count(
    *, at_once: int, restarts: bool, late: bool
) -> None:
    whole, other = scored(HISTORY), scored(HISTORY, at_once=at_once, restarts=restarts, late=late)
    for name, frame in whole.items():
        if name != MODEL_QUALITY.name:
            assert frame.sort(frame.columns[:4]).equals(other[name].sort(frame.columns[:4])), name
    keys = ["model", "learner", "time"]
    both = whole["model_quality"].join(other["model_quality"], on=keys, suffix="_other")
    assert both.height > 0
    assert (both["champion"] == both["champion_other"]).all()


def test_challengers_predict_the_same_whoever_is_champion() -> None:
    keys = ["prediction_id", "learner"]
    one = scored(HISTORY[:1])["predictions"].sort(keys)
    other = scored(HISTORY)["predictions"].sort(keys)
    assert one.select(*keys, "predicted", "model_version").equals(
        other.select(*keys, "predicted", "model_version")
    )
    assert not one["champion"].equals(other["champion"])


def test_reigns_follow_from_the_records() -> None:
    assert reigns(LEAD, ()) == (Reign(NEVER, "binned_logistic"),)
    since = [each.since for each in HISTORY]
    assert reigns(LEAD, HISTORY) == (
        Reign(NEVER, "binned_logistic"),
        Reign(since[2] or 0, "scaled_logistic"),
        Reign(since[3] or 0, "binned_logistic"),
    )
    always = replace(HISTORY[0], champions={"lead": "scaled_logistic"})
    assert reigns(LEAD, [always])[-1] == Reign(NEVER, "scaled_logistic")
    assert [first_tick(Reign(time, ""), 100) for time in (NEVER, 0, 1, 100, 101)] == [NEVER, 0, 1, 1, 2]
    with pytest.raises(UsageError, match="control record 1 makes 'odd' the champion of model lead"):
        reigns(LEAD, [HISTORY[0], record(1, START, lead="odd")])


def test_what_a_promotion_and_a_rollback_make_of_the_champions() -> None:
    first = HISTORY[:1]
    promoted = champions_with(MODELS, first, "lead", "scaled_logistic")
    assert promoted == {"lead": "scaled_logistic"}
    assert champions_with(MODELS, HISTORY, "lead", None) == {
        "lead": "scaled_logistic",
        "next": "adaptive_tree",
    }
    assert champions_with(MODELS, HISTORY, "next", None) == {"next": "scaled_logistic"}
    # The declared champion needs no promotion.
    back = [*first, record(1, START, lead="scaled_logistic")]
    assert champions_with(MODELS, back, "lead", None) == {}
    assert champions_with(MODELS, back, "lead", "binned_logistic") == {}


@pytest.mark.parametrize(
    ("models", "model", "learner", "said"),
    [
        (MODELS, "leed", "scaled_logistic", r"there is no model 'leed'.*lead.*there are lead, next"),
        ((), "lead", "scaled_logistic", "the run has no models"),
        (MODELS, "lead", "adaptive_tree", "there are binned_logistic, scaled_logistic. A challenger is declared"),
        (MODELS, "lead", None, "has had no champion but binned_logistic: there is nothing to roll back"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused(
    models: tuple[ScoreModel, ...], model: str, learner: str | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        champions_with(models, HISTORY[:1], model, learner)
