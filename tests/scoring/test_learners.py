import pickle

import numpy as np
import pytest
from learner_rows import COLUMNS, random_labels, random_rows, random_values

from footfall.errors import StateError, UsageError
from footfall.scoring import quality
from footfall.scoring.learners import default_learner, learner_names, new_learner
from footfall.scoring.river_learner import Kind, as_features

CASES: list[tuple[str, Kind]] = [
    (name, kind) for kind in ("probability", "value") for name in learner_names(kind)
]


def test_the_defaults() -> None:
    assert default_learner("probability") == "binned_logistic"
    assert default_learner("value") == "binned_poisson"
    kinds = [new_learner(name, COLUMNS, "value").state().kind for name in ("", "binned_poisson")]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_learner_keeps_the_contract(name: str, kind: Kind) -> None:
    """Predict first, batches don't matter, replicas and resumed ones are the same bit for bit."""
    rows = random_rows(250, 1)
    labels = random_labels(rows, 1) if kind == "probability" else random_values(rows, 1)
    learner, other = new_learner(name, COLUMNS, kind), new_learner(name, COLUMNS, kind)
    before = learner.predict(rows[:1])
    predicted = np.concatenate(
        [learner.learn(rows[:90], labels[:90]), learner.learn(rows[90:200], labels[90:200])]
    )
    assert predicted[0] == before[0]
    assert other.learn(rows[:200], labels[:200]).tobytes() == predicted.tobytes()
    assert learner.version == 200
    assert np.all((predicted >= 0) & np.isfinite(predicted))
    expected = learner.predict(rows)
    replica = learner.predictor()
    replica.apply(learner.changes_since_cut())
    assert (replica.version, replica.predict(rows).tobytes()) == (200, expected.tobytes())
    assert replica.contributions(rows).shape == learner.contributions(rows).shape == rows.shape
    resumed = new_learner(name, COLUMNS, kind)
    resumed.resume(pickle.loads(pickle.dumps(learner.state())))
    assert resumed.version == 200
    assert (
        resumed.learn(rows[200:], labels[200:]).tobytes() == learner.learn(rows[200:], labels[200:]).tobytes()
    )
    with pytest.raises(StateError, match="columns or parameters have changed"):
        new_learner(name, COLUMNS[:4], kind).resume(learner.state())
    with pytest.raises(ValueError, match="one label a row"):
        learner.learn(rows, labels[:3])


@pytest.mark.parametrize("name", ["scaled_logistic", "bagged_logistic", "adaptive_tree", "adaptive_forest"])
def test_rivers_learn(name: str) -> None:
    rows = random_rows(1_000, 1)
    labels = (np.nan_to_num(rows[:, 0]) >= 4).astype(np.float64)
    auc = quality.roc_auc(new_learner(name, COLUMNS, "probability").learn(rows, labels)[400:], labels[400:])
    assert auc is not None
    assert auc > 0.8


def test_the_champion_is_better_than_a_plain_regression() -> None:
    rows = random_rows(5_000, 1)
    labels = random_labels(rows, 1)
    losses = [
        quality.log_loss(new_learner(name, COLUMNS, "probability").learn(rows, labels), labels) or 9.0
        for name in ("binned_logistic", "scaled_logistic")
    ]
    assert losses[0] < losses[1] - 0.02


def test_a_sample_is_evenly_spread_and_the_rest_is_only_predicted() -> None:
    rows = random_rows(100, 1)
    labels = random_labels(rows, 1)
    sampled, few = (
        new_learner(name, COLUMNS, "probability") for name in ("scaled_logistic@0.1", "scaled_logistic")
    )
    sampled.learn(rows, labels)
    few.learn(rows[9::10], labels[9::10])
    assert sampled.version == 100
    assert sampled.predict(rows).tobytes() == few.predict(rows).tobytes()


def test_rows_as_river_takes_them() -> None:
    row = np.array([3.0, np.nan, 2.0, -1.5, 40.0])
    assert as_features(COLUMNS, row) == {"views": 3.0, "source": "2", "days": -1.5, "age": 40.0}


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("binned_logistc", "probability", "did you mean binned_logistic"),
        ("scaled_logistic", "value", "no learner 'scaled_logistic' for a value"),
        ("adaptive_tree@two", "value", "a share such as 0.1"),
        ("adaptive_tree@2", "value", "up to 1"),
        ("binned_poisson@0.5", "value", "learns from all rows"),
    ],
)
def test_bad_names_are_told(name: str, kind: Kind, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        new_learner(name, COLUMNS, kind)
