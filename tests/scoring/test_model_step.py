"""The step of the models, against ticks in plain Python, and in every order and cut of what shards tell it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_ticks import Told, expected
from score_worlds import (
    DAY,
    HOUR,
    MODELS,
    PLAN,
    START,
    TICK,
    Drawn,
    parts_of,
    records,
    restarted,
    rows_by_table,
    settings_of,
    step_of,
)

from footfall.clock import NEVER
from footfall.errors import StateError
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.model_step import ModelStep
from footfall.scoring.score_rows import ScoreRows
from footfall.scoring.shard_scores import ScoreSettings, ShardScoring
from footfall.tables import OUTCOMES, PREDICTIONS, SCORES

BUSY = [
    (25 * 60_000, "abcde"[n % 5], "order_completed" if n % 3 else "page_view", n % 11 - 3) for n in range(150)
]
"""Two days and a half, with many labels."""


def all_rows(parts: Sequence[ShardScoring], step: ModelStep | None = None) -> dict[str, list[str]]:
    step = step or step_of()
    return rows_by_table([step.take([part]) for part in parts])


def told(given: Sequence[ScoreRows], model: str) -> list[Told]:
    """What a step has told of a model, in the reference's terms."""
    predictions = pl.concat([PREDICTIONS.empty(), *(each.of(PREDICTIONS) for each in given)])
    scores = pl.concat([SCORES.empty(), *(each.of(SCORES) for each in given)])
    assert scores["score_id"].n_unique() == scores.height
    own = predictions.filter(pl.col("model") == model)
    assert own["prediction_id"].n_unique() == own.height
    # A score stands beside its prediction: same model, visitor, time, session and moment; made in the same order.
    keys = ["visitor_id", "session_id", "time", "moment", "predicted"]
    shown = list(scores.filter(pl.col("model") == model).iter_rows(named=True))
    found = []
    for row in own.iter_rows(named=True):
        score = None
        if shown and all(shown[0][key] == row[key] for key in keys):
            score = shown.pop(0)
        found.append(
            Told(
                row["prediction_id"],
                int(row["time"].timestamp() * 1000 + 0.5),
                row["predicted"],
                row["model_version"],
                None if score is None else score["score"],
                None if score is None else score["change"],
            )
        )
    assert not shown
    return found


@settings(max_examples=15, deadline=None)
@given(records, st.booleans())
def test_a_tick_is_scored_by_what_was_learnt_up_to_the_one_but_last(drawn: Drawn, ended: bool) -> None:  # noqa: FBT001 - Hypothesis gives it
    parts = parts_of(drawn, ended=ended)
    step = step_of()
    given = [step.take(parts)]
    wanted = expected(parts, PLAN, TICK)
    assert {model.name: told(given, model.name) for model in MODELS} == wanted


def test_the_reference_sees_models_learn() -> None:
    parts = parts_of(BUSY)
    wanted = expected(parts, PLAN, TICK)
    given = [step_of().take(parts)]
    for model in MODELS:
        assert told(given, model.name) == wanted[model.name]
        assert max(each.version for each in wanted[model.name]) > 15
        assert len({each.predicted for each in wanted[model.name]}) > 15
    assert sum(each.score is None for each in wanted["lead"]) > 0


def interleaved(data: st.DataObject, parts: Sequence[ShardScoring]) -> list[ShardScoring]:
    """The parts in another order, in which each shard's are as before."""
    queues = {shard: [part for part in parts if part.shard == shard] for shard in {p.shard for p in parts}}
    found = []
    while queues:
        shard = data.draw(st.sampled_from(sorted(queues)))
        found.append(queues[shard].pop(0))
        if not queues[shard]:
            del queues[shard]
    return found


@settings(max_examples=15, deadline=None)
@given(records, st.lists(st.integers(0, 9), max_size=8), st.data())
def test_the_order_of_parts_their_cut_and_restarts_change_nothing(
    drawn: Drawn, batches: list[int], data: st.DataObject
) -> None:
    plain = all_rows(parts_of(drawn))
    given, step = [], step_of()
    rest = interleaved(data, parts_of(drawn, batches))
    while rest:
        size = data.draw(st.integers(1, 4))
        given.append(step.take(rest[:size]))
        rest = rest[size:]
        if data.draw(st.booleans()):
            step = restarted(step)
    assert rows_by_table(given) == plain


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_the_number_of_shards_changes_nothing(shards: int) -> None:
    rows = all_rows(parts_of(BUSY, shards=shards), step_of(shards=shards))
    assert rows == all_rows(parts_of(BUSY))
    assert len(rows["model_quality"]) > 0


@settings(max_examples=5, deadline=None)
@given(records, st.data())
def test_restarts_from_files_change_nothing(drawn: Drawn, data: st.DataObject) -> None:
    plain = all_rows(parts_of(drawn))
    with TemporaryDirectory() as folder:
        step = step_of(settings_of(folder=Path(folder)))
        given = []
        for part in interleaved(data, parts_of(drawn, [3] * 10)):
            given.append(step.take([part]))
            if data.draw(st.booleans()):
                step = restarted(step)
    assert rows_by_table(given) == plain


def test_what_came_after_a_snapshot_is_done_again_alike(tmp_path: Path) -> None:
    parts = parts_of(BUSY, [10] * 12)
    step = step_of(settings_of(folder=tmp_path))
    for part in parts[: len(parts) // 2]:
        step.take([part])
    state = step.snapshot()
    first = [step.take([part]) for part in parts[len(parts) // 2 :]]
    step.snapshot()
    again = ModelStep(step.settings, step.shards)
    again.restore(state)
    second = [again.take([part]) for part in parts[len(parts) // 2 :]]
    assert rows_by_table(first) == rows_by_table(second)
    assert sum(map(len, rows_by_table(first).values())) > 50


def test_nothing_is_scored_before_every_shard_has_settled_the_tick_before() -> None:
    parts = parts_of([(HOUR, "a", "order_completed", 1)], ended=False)
    # A moment of the visitor's shard alone; the others have told nothing yet.
    first = next(part for part in parts if part.moments.size)
    step = step_of()
    assert not step.take([first]).of(PREDICTIONS).height
    for shard in ("s0", "s1", "s2"):
        if shard != first.shard:
            blank = replace(
                first, shard=shard, until=START, moments=first.moments[:0], rows=first.rows[:0], texts=None,
                labels=first.labels[:0],
            )  # fmt: skip
            assert not step.take([blank])
    time = int(first.moments["time"][0])
    almost = [replace(part, until=time // TICK * TICK - 2) for part in _blanks(first)]
    assert not step.take(almost)
    there = [replace(part, until=time // TICK * TICK - 1) for part in _blanks(first)]
    assert step.take(there).of(PREDICTIONS).height >= 1


def _blanks(part: ShardScoring) -> list[ShardScoring]:
    return [
        replace(
            part,
            shard=shard,
            moments=part.moments[:0],
            rows=part.rows[:0],
            texts=None,
            labels=part.labels[:0],
        )
        for shard in ("s0", "s1", "s2")
    ]


def test_no_label_of_the_future_changes_a_score() -> None:
    parts = parts_of(BUSY)
    cut = START + 40 * HOUR
    bent = []
    for part in parts:
        labels = part.labels.copy()
        labels["value"] = np.where(labels["due"] > cut, 1 - np.minimum(labels["value"], 1), labels["value"])
        bent.append(replace(part, labels=labels))
    given, other = [step_of().take(parts)], [step_of().take(bent)]
    same = differs = 0
    for model in MODELS:
        for one, two in zip(told(given, model.name), told(other, model.name), strict=True):
            if one.time // TICK < cut // TICK + 2:
                assert one == two
                same += 1
            else:
                differs += one != two
    assert same > 50
    assert differs > 10


def test_nothing_stays_behind_of_what_is_over() -> None:
    parts = parts_of(BUSY, ended=False)
    step = step_of()
    step.take(parts)
    for model in step.models:
        # All horizons have passed, but that of the visitor who ends the test.
        assert model.quality.labels > 15
        assert model.waiting.live <= 1
    assert len(step.snapshot()) < 2_000_000
    # Ticks go on, and with them all that was told.
    blanks = _blanks(parts[0])
    for days in (200, 500):
        step.take([replace(part, until=START + days * DAY) for part in blanks])
    assert step._last.live == 0
    assert not step._labels
    assert not step._moments


def test_a_score_that_was_told_long_ago_is_told_anew() -> None:
    calm_model = replace(MODELS[0], changed_by=100, bands={"any": 0.0})
    plan = FeaturePlan.compile([calm_model, *MODELS[1:]])
    short = replace(settings_of(plan), horizon=2 * DAY)
    calm: Drawn = [(0, "a", "click", 0), (DAY, "a", "click", 0), (4 * DAY, "a", "click", 0)]
    parts = parts_of(calm, [1, 1], ended=False, plan=plan, shards=1)
    assert sum(part.moments.size for part in parts) >= 3
    for at_once in (True, False):
        step = ModelStep(short, ("s0",))
        given = [step.take(parts)] if at_once else [step.take([part]) for part in parts]
        scores = pl.concat([each.of(SCORES) for each in given]).filter(pl.col("visitor_id") == "a")
        assert scores["change"].to_list() == [None, None]


def test_outcomes_are_told_as_they_are_known() -> None:
    parts = parts_of(BUSY, ended=False)
    outcomes = step_of().take(parts).of(OUTCOMES)
    labels = np.concatenate([part.labels for part in parts])
    assert outcomes.height == labels.size
    assert sorted(outcomes["outcome"]) == sorted(labels["value"].tolist())
    value = outcomes.filter(pl.col("model") == "value")
    # There are refunds among the orders.
    assert min(value["outcome"].to_list()) == 0.0 < max(value["outcome"].to_list())
    assert set(outcomes.filter(pl.col("model") != "value")["outcome"]) == {0.0, 1.0}


def test_without_rows_the_same_is_learnt() -> None:
    parts = parts_of(BUSY)
    step = ModelStep(replace(settings_of(), wants_rows=False), ("s0", "s1", "s2"))
    assert not step.take([replace(part, texts=None) for part in parts])
    other = step_of()
    other.take(parts)
    for one, two in zip(step.models, other.models, strict=True):
        assert one.learners[0].version == two.learners[0].version > 15
        rows = np.random.default_rng(1).random((5, len(one.model.features)))
        assert one.learners[0].predict(rows).tolist() == two.learners[0].predict(rows).tolist()


def test_a_state_of_other_models_is_refused() -> None:
    step = ModelStep(ScoreSettings(FeaturePlan.compile(MODELS[:1]), TICK), ("s0",))
    with pytest.raises(StateError, match=r"kept models are lead, churn, value.*and the run has lead"):
        step.restore(step_of().snapshot())


def test_a_run_that_got_nothing_has_a_state() -> None:
    step = restarted(step_of())
    assert step.until == {}
    assert not step.take([replace(part, until=NEVER) for part in _blanks(parts_of(BUSY[:3])[0])])
