import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_rows import COLUMNS, Floats, random_labels, random_rows, random_values
from river import linear_model, optim

from footfall.errors import StateError, UsageError
from footfall.scoring.binned_linear import BinnedLinear, BinnedLinearParameters
from footfall.scoring.river_twin import features, to_river

QUICK = BinnedLinearParameters(warm_up=100, search_every=50, most_crosses=6, crosses_at_once=2)


def learnt(declared: BinnedLinearParameters, rows: Floats, labels: Floats) -> BinnedLinear:
    learner = BinnedLinear(COLUMNS, declared)
    learner.learn(rows, labels)
    return learner


@pytest.mark.parametrize(
    "declared",
    [
        BinnedLinearParameters(),
        BinnedLinearParameters(rate=0.3, eps=1e-8, l2=0.01, intercept_rate=0.1, clip=0.4, coarse_share=1.0),
    ],
)
def test_predictions_and_weights_are_rivers(declared: BinnedLinearParameters) -> None:
    rows = random_rows(4_000, 1)
    labels = random_labels(rows, 2)
    learner = BinnedLinear(COLUMNS, declared)
    river: Any = linear_model.LogisticRegression(
        optim.AdaGrad(declared.rate, declared.eps),
        l2=declared.l2,
        intercept_lr=declared.intercept_rate,
        clip_gradient=declared.clip,
    )
    for row, label in zip(rows, labels, strict=True):
        x = features(learner.published, row)
        expected = river.predict_proba_one(x)[True]
        river.learn_one(x, bool(label))
        assert learner.learn(row[np.newaxis], np.array([label]))[0] == pytest.approx(expected, abs=1e-9)
    assert learner.published.crosses
    twin = to_river(learner)
    assert twin.intercept == pytest.approx(river.intercept, abs=1e-9)
    expected_weights = {name: weight for name, weight in river.weights.items() if weight}
    assert twin.weights.keys() == expected_weights.keys()
    assert all(twin.weights[name] == pytest.approx(each, abs=1e-9) for name, each in expected_weights.items())


def test_values_are_rivers() -> None:
    declared = BinnedLinearParameters(loss="poisson", clip=5.0)
    rows = random_rows(2_000, 3)
    labels = random_values(rows, 4) / 50
    learner = BinnedLinear(COLUMNS, declared)
    river: Any = linear_model.LinearRegression(
        optim.AdaGrad(declared.rate, declared.eps),
        loss=optim.losses.Poisson(),
        intercept_lr=declared.intercept_rate,
        clip_gradient=declared.clip,
    )
    for row, label in zip(rows, labels, strict=True):
        x = features(learner.published, row)
        expected = river.predict_one(x)
        river.learn_one(x, label)
        assert learner.learn(row[np.newaxis], np.array([label]))[0] == pytest.approx(expected, rel=1e-9)


def test_the_exported_model_learns_on_alike() -> None:
    rows = random_rows(1_500, 5)
    labels = random_labels(rows, 6)
    learner = learnt(BinnedLinearParameters(most_crosses=0), rows[:1_000], labels[:1_000])
    river = to_river(learner)
    for row, label in zip(rows[1_000:], labels[1_000:], strict=True):
        x = features(learner.published, row)
        expected = river.predict_proba_one(x)[True]
        river.learn_one(x, bool(label))
        assert learner.learn(row[np.newaxis], np.array([label]))[0] == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(
    cuts=st.lists(st.integers(0, 700), max_size=12),
    seed=st.integers(0, 100),
    loss=st.sampled_from(["log", "poisson"]),
)
def test_batches_change_no_bit(cuts: list[int], seed: int, loss: Any) -> None:
    rows = random_rows(700, seed)
    labels = random_values(rows, seed) / 50 if loss == "poisson" else random_labels(rows, seed)
    declared = BinnedLinearParameters(loss=loss, clip=5.0, warm_up=64, search_every=32)
    whole, parts = BinnedLinear(COLUMNS, declared), BinnedLinear(COLUMNS, declared)
    expected = whole.learn(rows, labels)
    bounds = [0, *sorted(cuts), 700]
    pieces = [parts.learn(rows[begin:end], labels[begin:end]) for begin, end in pairwise(bounds)]
    assert np.concatenate(pieces).tobytes() == expected.tobytes()
    assert parts.published.parameters.tobytes() == whole.published.parameters.tobytes()
    assert parts.version == 700


@settings(deadline=None, max_examples=15)
@given(at=st.integers(0, 600), seed=st.integers(0, 50))
def test_pickled_it_goes_on_as_if_it_had_not_been(at: int, seed: int) -> None:
    rows = random_rows(600, seed)
    labels = random_labels(rows, seed)
    learner = learnt(QUICK, rows[:at], labels[:at])
    resumed = BinnedLinear(COLUMNS, QUICK)
    resumed.resume(pickle.loads(pickle.dumps(learner.state())))
    assert resumed.version == at
    assert resumed.learn(rows[at:], labels[at:]).tobytes() == learner.learn(rows[at:], labels[at:]).tobytes()
    assert resumed.published.parameters.tobytes() == learner.published.parameters.tobytes()


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, 599), max_size=8, unique=True), seed=st.integers(0, 50))
def test_a_replica_predicts_the_same_bits_at_every_cut(cuts: list[int], seed: int) -> None:
    rows = random_rows(600, seed)
    labels = random_labels(rows, seed)
    learner = BinnedLinear(COLUMNS, QUICK)
    replica = learner.predictor()
    begin = 0
    for end in [*sorted(cuts), 600]:
        learner.learn(rows[begin:end], labels[begin:end])
        replica.apply(learner.changes_since_cut())
        begin = end
        assert replica.version == learner.version == end
        assert replica.predict(rows).tobytes() == learner.predict(rows).tobytes()
        assert replica.contributions(rows).tobytes() == learner.contributions(rows).tobytes()


def test_the_first_cut_after_resuming_is_whole() -> None:
    rows = random_rows(600, 1)
    labels = random_labels(rows, 1)
    learner = learnt(QUICK, rows, labels)
    learner.changes_since_cut()
    resumed = BinnedLinear(COLUMNS, QUICK)
    resumed.resume(learner.state())
    replica = resumed.predictor()
    replica.parameters[:] = 7.0
    replica.apply(resumed.changes_since_cut())
    assert replica.predict(rows).tobytes() == learner.predict(rows).tobytes()
    assert not resumed.changes_since_cut().indices.size


def test_changes_are_few() -> None:
    rows = random_rows(1_000, 1)
    labels = random_labels(rows, 1)
    learner = learnt(QUICK, rows, labels)
    learner.changes_since_cut()
    learner.learn(rows[:1], labels[:1])
    assert learner.changes_since_cut().indices.size <= 1 + 3 * len(COLUMNS) + QUICK.most_crosses


def test_contributions_and_the_average_make_the_raw_prediction() -> None:
    rows = random_rows(1_000, 1)
    predictor = learnt(QUICK, rows, random_labels(rows, 1)).published
    total = predictor.contributions(rows).sum(axis=1) + predictor.average
    assert total == pytest.approx(predictor.raw(rows), abs=1e-12)


def test_contributions_name_what_matters() -> None:
    random = np.random.default_rng(1)
    rows = np.abs(random_rows(5_000, 1))
    rows[:, 3] = random.integers(0, 2, 5_000)
    labels = (random.random(5_000) < np.where(rows[:, 3] == 1, 0.8, 0.1)).astype(np.float64)
    found = learnt(BinnedLinearParameters(), rows, labels).contributions(rows)
    assert (np.abs(found).argmax(axis=1) == 3).mean() > 0.95
    assert found[rows[:, 3] == 1, 3].min() > 0 > found[rows[:, 3] == 0, 3].max()


def test_planted_crosses_are_found() -> None:
    rows = random_rows(20_000, 1)
    learner = learnt(BinnedLinearParameters(most_crosses=4, crosses_at_once=1), rows, random_labels(rows, 1))
    assert {(0, 2), (1, 4)} < set(learner.published.crosses)


def test_of_nothing_but_noise_few_crosses_are_made() -> None:
    rows = random_rows(10_000, 1)
    labels = (np.random.default_rng(9).random(10_000) < 0.2).astype(np.float64)
    assert len(learnt(BinnedLinearParameters(), rows, labels).published.crosses) <= 5


def test_rare_positives_keep_their_probability() -> None:
    rows = random_rows(60_000, 1)
    labels = random_labels(rows, 1) * (np.random.default_rng(5).random(60_000) < 0.03)
    assert labels.mean() < 0.01
    predicted = BinnedLinear(COLUMNS).learn(rows, labels)[10_000:]
    assert predicted.mean() == pytest.approx(labels[10_000:].mean(), rel=0.15)


def test_unlearnt_it_predicts_a_half() -> None:
    assert BinnedLinear(COLUMNS).predict(random_rows(2, 1)).tolist() == [0.5, 0.5]


def test_no_rows_are_no_matter() -> None:
    learner = BinnedLinear(COLUMNS)
    assert learner.learn(np.empty((0, 5)), np.empty(0)).size == 0
    assert learner.version == 0


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (np.zeros((1, 4)), np.zeros(1), "shape"),
        (np.zeros(5), np.zeros(1), "shape"),
        (np.zeros((2, 5)), np.zeros(1), "one label a row"),
        (np.zeros((1, 5)), np.array([0.5]), "0 or 1"),
        (np.zeros((1, 5)), np.array([np.nan]), "0 or 1"),
    ],
)
def test_bad_arrays_are_told(rows: Floats, labels: Floats, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BinnedLinear(COLUMNS).learn(rows, labels)


@pytest.mark.parametrize("label", [-1.0, np.nan, np.inf])
def test_bad_values_are_told(label: float) -> None:
    with pytest.raises(ValueError, match="not negative"):
        BinnedLinear(COLUMNS, BinnedLinearParameters(loss="poisson")).learn(
            np.zeros((1, 5)), np.array([label])
        )


def test_a_state_of_other_columns_is_refused() -> None:
    state = BinnedLinear(COLUMNS).state()
    with pytest.raises(StateError, match="columns or parameters have changed"):
        BinnedLinear(COLUMNS[:4]).resume(state)
    with pytest.raises(StateError, match="columns or parameters have changed"):
        BinnedLinear(COLUMNS, QUICK).resume(state)


@pytest.mark.parametrize(
    "wrong", [{"rate": 0.0}, {"eps": -1.0}, {"l2": -1.0}, {"warm_up": 0}, {"most_crosses": -1}]
)
def test_bad_parameters_are_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="binned linear model"):
        BinnedLinearParameters(**wrong)
