"""A model as it runs: every learner predicts and learns alike, predictions wait, scores are put into bands."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from score_worlds import MODELS, ORDER, PLAN, START, TICK

from footfall.errors import StateError
from footfall.record_log import RecordLog
from footfall.scoring.feature import Feature, count
from footfall.scoring.feature_loops import LABEL, MOMENT
from footfall.scoring.learner import Floats
from footfall.scoring.learners import new_learner
from footfall.scoring.running_model import Predictions, RunningModel
from footfall.scoring.score_model import ScoreModel, at_event, happens

RANDOM = np.random.default_rng(2)
COUNT = 200
ROWS = RANDOM.integers(0, 9, (COUNT, len(PLAN.features))).astype(float)
LEAD = replace(MODELS[0], challengers=["scaled_logistic"])


def running(model: ScoreModel = LEAD) -> RunningModel:
    return RunningModel(model, PLAN.columns[0])


def moments() -> npt.NDArray[np.void]:
    found = np.zeros(COUNT, MOMENT)
    found["high"] = found["id_high"] = RANDOM.integers(0, 2**60, COUNT)
    found["id_low"], found["time"] = np.arange(COUNT), START
    return found


def labels_of(found: Predictions, values: Floats) -> npt.NDArray[np.void]:
    labels = np.zeros(values.size, LABEL)
    labels["id_high"], labels["id_low"] = found.ids[0][: values.size], found.ids[1][: values.size]
    labels["value"] = values
    return labels


def test_all_learners_predict_and_learn_the_same_rows() -> None:
    model = running()
    own = model.own_rows(ROWS)
    assert own.shape == (COUNT, 4)
    alone = [
        new_learner(name, LEAD.columns, "probability") for name in ("binned_logistic", "scaled_logistic")
    ]
    found = model.predict(moments(), ROWS)
    assert found.versions == (0, 0)
    assert found.champion == 0
    values = (own[:, 0] > 4).astype(float)
    before = model.learn(labels_of(found, values))
    assert before.tolist() == found.predicted.tolist()
    for learner in alone:
        learner.learn(own, values)
    later = model.predict(moments(), ROWS)
    assert later.versions == (COUNT, COUNT)
    assert later.predicted.tolist() == np.column_stack([learner.predict(own) for learner in alone]).tolist()
    assert model.quality.labels == COUNT
    assert model.scores_of(ROWS).tolist() == (100 * later.predicted[:, 0]).tolist()
    assert model.reasons(ROWS).tolist() == alone[0].contributions(own).tolist()


def test_a_label_is_learnt_once_and_only_where_a_prediction_waits() -> None:
    model = running()
    found = model.predict(moments(), ROWS)
    assert model.waiting.live == COUNT
    first = labels_of(found, np.ones(10))
    assert not np.isnan(model.learn(first)).any()
    assert model.waiting.live == COUNT - 10
    assert np.isnan(model.learn(first)).all()
    mixed = labels_of(found, np.ones(12))
    assert np.isnan(model.learn(mixed)[:, 0]).tolist() == [True] * 10 + [False] * 2
    assert (model.learners[0].version, model.quality.labels) == (12, 12)


def test_a_probability_is_its_score_and_has_its_band() -> None:
    model = running(replace(LEAD, bands={"low": 0.0, "medium": 0.2, "high": 0.5}))
    scores, bands = model.scale(np.array([0.0, 0.19, 0.2, 0.4999, 0.5, 1.0]))
    assert scores.tolist() == [0.0, 19.0, 20.0, 49.99, 50.0, 100.0]
    assert [model.band_names[band] for band in bands] == ["low", "low", "medium", "medium", "high", "high"]


def test_a_value_has_half_its_score_at_the_mean_of_labels() -> None:
    model = RunningModel(replace(MODELS[2], bands={"small": 0.0, "large": 30.0}), PLAN.columns[2])
    assert model.scale(np.array([0.0, 5.0]))[0].tolist() == [0.0, 0.0]
    found = model.predict(moments(), ROWS)
    model.learn(labels_of(found, np.array([10.0, 30.0])))
    scores, bands = model.scale(np.array([0.0, 20.0, 60.0]))
    assert scores.tolist() == [0.0, 50.0, 75.0]
    assert bands.tolist() == [0, 0, 1]


@pytest.mark.parametrize("in_files", [False, True])
def test_a_restart_goes_on_alike(tmp_path: Path, *, in_files: bool) -> None:
    model, other = running(), running()
    log, again = (RecordLog(tmp_path, model.kind("c")) if in_files else None for _ in range(2))
    found = model.predict(moments(), ROWS)
    model.learn(labels_of(found, np.ones(70)))
    other.resume(pickle.loads(pickle.dumps(model.state(log, 0))), again)
    rest = labels_of(found, np.zeros(COUNT))[70:]
    assert other.learn(rest).tolist() == model.learn(rest).tolist()
    assert other.scores_of(ROWS).tolist() == model.scores_of(ROWS).tolist()
    assert (other.waiting.live, other.quality.labels) == (0, COUNT)
    assert other.quality.figures(0) == model.quality.figures(0)


def test_a_state_of_other_learners_is_refused() -> None:
    state = running().state(None, 0)
    with pytest.raises(
        StateError, match=r"with the learners binned_logistic, scaled_logistic, not binned_logistic:"
    ):
        running(replace(LEAD, challengers=[])).resume(state, None)
    with pytest.raises(StateError, match="not scaled_logistic, binned_logistic"):
        running(replace(LEAD, learner="scaled_logistic", challengers=["binned_logistic"])).resume(state, None)
    more = ScoreModel("lead", "", [Feature("n", count())], [at_event(ORDER)], happens(ORDER, within="1 d"),
        challengers=["scaled_logistic"])  # fmt: skip
    with pytest.raises(StateError):
        RunningModel(more, np.array([0])).resume(state, None)


def test_the_champion_is_that_of_the_tick() -> None:
    model = running()
    model.go_by((), TICK)
    assert model.switches == []
    model.crown(START // TICK)
    assert model.champion == 0
