import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learner_rows import COLUMNS, chances, random_labels, random_rows, random_values
from river import linear_model, optim

from footfall.errors import StateError, UsageError
from footfall.scoring import quality
from footfall.scoring.binned_linear import BinnedLinear, BinnedLinearParameters
from footfall.scoring.blend import BLOCK, Blend, BlendParameters
from footfall.scoring.river_twin import blend_features, blend_to_river

MEMBERS = (
    BinnedLinearParameters(rate=0.03, warm_up=64, search_every=32, coarse_share=1.0, most_crosses=8),
    BinnedLinearParameters(rate=0.1, warm_up=100, search_every=50, most_crosses=6),
)
QUICK = BlendParameters(MEMBERS)
VALUES = BlendParameters(
    tuple(BinnedLinearParameters(loss="poisson", clip=30.0, warm_up=64, rate=rate) for rate in (0.02, 0.05)),
    rate=0.02,
)


def declared_for(loss: str) -> BlendParameters:
    return QUICK if loss == "log" else VALUES


def labels_for(loss: str, rows: Any, seed: int) -> Any:
    return random_labels(rows, seed) if loss == "log" else random_values(rows, seed)


LOSSES = st.sampled_from(["log", "poisson"])


def test_the_blend_is_rivers() -> None:
    rows = random_rows(188 * BLOCK, 1)
    labels = random_labels(rows, 2)
    learner = Blend(COLUMNS, QUICK)
    members = [BinnedLinear(COLUMNS, member, BLOCK) for member in MEMBERS]
    river: Any = linear_model.LogisticRegression(
        optim.AdaGrad(QUICK.rate, QUICK.eps),
        intercept_lr=QUICK.intercept_rate,
        initializer=optim.initializers.Constant(0.5),
    )
    raws = np.column_stack([member.learn_raw(rows, labels) for member in members])
    for row, raw, label in zip(rows, raws.tolist(), labels, strict=True):
        blended = learner.published.blended(row[np.newaxis])[0]
        learner.learn(row[np.newaxis], np.array([label]))
        x = blend_features(raw)
        # River knows a weight, and begins it at the constant, from its first learning on.
        river.learn_one(x, bool(label), w=0.0) if not river.weights else None
        assert 1 / (1 + np.exp(-blended)) == pytest.approx(river.predict_proba_one(x)[True], abs=1e-9)
        river.learn_one(x, bool(label))
    twin = blend_to_river(learner)
    assert twin.intercept == pytest.approx(river.intercept, abs=1e-9)
    assert twin.weights == pytest.approx(river.weights, abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(0, 400), max_size=8), seed=st.integers(0, 100), loss=LOSSES)
def test_batches_change_no_bit(cuts: list[int], seed: int, loss: str) -> None:
    rows = random_rows(400, seed)
    labels = labels_for(loss, rows, seed)
    whole, parts = (Blend(COLUMNS, declared_for(loss)) for _ in range(2))
    expected = whole.learn(rows, labels)
    pieces = [
        parts.learn(rows[begin:end], labels[begin:end]) for begin, end in pairwise([0, *sorted(cuts), 400])
    ]
    assert np.concatenate(pieces).tobytes() == expected.tobytes()
    assert parts.predict(rows).tobytes() == whole.predict(rows).tobytes()
    assert parts.version == 400


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 399), max_size=6, unique=True), seed=st.integers(0, 50), loss=LOSSES)
def test_a_replica_predicts_the_same_bits_at_every_cut(cuts: list[int], seed: int, loss: str) -> None:
    rows = random_rows(400, seed)
    labels = labels_for(loss, rows, seed)
    learner = Blend(COLUMNS, declared_for(loss))
    replica = learner.predictor()
    assert replica.predict(rows).tobytes() == learner.predict(rows).tobytes()
    for begin, end in pairwise([0, *sorted(cuts), 400]):
        learner.learn(rows[begin:end], labels[begin:end])
        replica.apply(learner.changes_since_cut())
        assert replica.version == learner.version == end
        assert replica.predict(rows).tobytes() == learner.predict(rows).tobytes()
        assert replica.contributions(rows).tobytes() == learner.contributions(rows).tobytes()


@settings(deadline=None, max_examples=20)
@given(at=st.integers(0, 400), seed=st.integers(0, 50), loss=LOSSES)
def test_pickled_it_goes_on_as_if_it_had_not_been(at: int, seed: int, loss: str) -> None:
    rows = random_rows(400, seed)
    labels = labels_for(loss, rows, seed)
    learner, resumed = (Blend(COLUMNS, declared_for(loss)) for _ in range(2))
    learner.learn(rows[:at], labels[:at])
    resumed.resume(pickle.loads(pickle.dumps(learner.state())))
    assert resumed.version == at
    assert resumed.learn(rows[at:], labels[at:]).tobytes() == learner.learn(rows[at:], labels[at:]).tobytes()
    replica = resumed.predictor()
    replica.apply(resumed.changes_since_cut())
    assert replica.predict(rows).tobytes() == learner.predict(rows).tobytes()


def test_contributions_and_the_average_make_the_raw_prediction() -> None:
    rows = random_rows(1_000, 1)
    learner = Blend(COLUMNS, QUICK)
    learner.learn(rows, random_labels(rows, 1))
    total = learner.contributions(rows).sum(axis=1) + learner.published.average
    assert total == pytest.approx(learner.published.blended(rows), abs=1e-9)


def test_calibration_is_learnt_at_the_two_knots_around() -> None:
    """By hand: a correction at every half, between them a line, AdaGrad at a rate of 0.1 from sums of 1 on."""
    rows = random_rows(1_000, 1)
    labels = random_labels(rows, 2)
    learner = Blend(COLUMNS, QUICK)
    corrections, squares = np.zeros(33), np.ones(33)
    for row, label in zip(rows, labels, strict=True):
        blended = learner.published.blended(row[np.newaxis])[0]
        knot, above = divmod((blended + 8) * 2, 1)
        shares = {int(knot): 1 - above, int(knot) + 1: above}
        raw = blended + sum(corrections[each] * share for each, share in shares.items())
        predicted = 1 / (1 + np.exp(-raw))
        assert learner.learn(row[np.newaxis], np.array([label]))[0] == pytest.approx(predicted, abs=1e-9)
        for each, share in shares.items():
            step = (predicted - label) * share
            squares[each] += step**2
            corrections[each] -= 0.1 / np.sqrt(squares[each]) * step


def test_it_comes_near_the_true_probabilities() -> None:
    rows = random_rows(20_000, 1)
    labels = random_labels(rows, 1)
    predicted = Blend(COLUMNS, QUICK).learn(rows, labels)
    late = slice(5_000, None)
    best = quality.log_loss(chances(rows)[late], labels[late])
    found = quality.log_loss(predicted[late], labels[late])
    error = quality.ece(predicted[late], labels[late])
    assert None not in {best, found, error}
    assert (found or 0) < (best or 0) + 0.025
    assert (error or 0) < 0.02


def test_after_a_change_it_learns_anew() -> None:
    rows = random_rows(30_000, 1)
    labels = random_labels(rows, 1)
    labels[10_000:] = random_labels(rows[10_000:, [3, 4, 2, 1, 0]], 2)
    fresh = Blend(COLUMNS, QUICK).learn(rows[10_000:], labels[10_000:])[-5_000:]
    learner = Blend(COLUMNS, QUICK)
    learner.learn(rows[:10_000], labels[:10_000])
    assert learner.drifts == 0
    predicted = learner.learn(rows[10_000:], labels[10_000:])[-5_000:]
    assert learner.drifts == 1
    known, expected = quality.roc_auc(predicted, labels[-5_000:]), quality.roc_auc(fresh, labels[-5_000:])
    assert None not in {known, expected}
    assert (known or 0) > (expected or 0) - 0.02


def test_drift_makes_steps_large_again() -> None:
    rows = random_rows(6_000, 1)
    labels = random_labels(rows, 1)
    labels[4_896:] = 1 - labels[4_896:]
    learner, parts = Blend(COLUMNS, QUICK), Blend(COLUMNS, QUICK)
    learner.learn(rows[:4_896], labels[:4_896])
    assert max(member.squares.max() for member in learner.members) > 100
    while not learner.drifts:
        begin = learner.version
        learner.learn(rows[begin : begin + 32], labels[begin : begin + 32])
    assert learner.version % BLOCK == 0
    assert learner.version <= 5_500
    assert max(member.squares.max() for member in learner.members) == 50
    at = learner.version - 30
    parts.learn(rows[:at], labels[:at])
    resumed = Blend(COLUMNS, QUICK)
    resumed.resume(pickle.loads(pickle.dumps(parts.state())))
    for begin in range(at, 6_000, 7):
        resumed.learn(rows[begin : begin + 7], labels[begin : begin + 7])
    learner.learn(rows[learner.version :], labels[learner.version :])
    assert resumed.predict(rows).tobytes() == learner.predict(rows).tobytes()
    assert resumed.drifts == learner.drifts


def test_values_are_expected_ones() -> None:
    rows = random_rows(20_000, 1)
    values = random_values(rows, 1)
    predicted = Blend(COLUMNS, VALUES).learn(rows, values)[5_000:]
    assert predicted.min() >= 0
    assert predicted.sum() == pytest.approx(values[5_000:].sum(), rel=0.1)
    likely = chances(rows)[5_000:] > 0.4
    assert predicted[likely].mean() > 1.7 * predicted[~likely].mean()


@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_values_may_be_of_any_size(scale: float) -> None:
    rows = random_rows(1_000, 1)
    values = random_values(rows, 1)
    usual = Blend(COLUMNS, VALUES).learn(rows, values)
    assert Blend(COLUMNS, VALUES).learn(rows, values * scale) == pytest.approx(usual * scale, rel=1e-6)


def test_values_begin_with_the_mean() -> None:
    predicted = Blend(COLUMNS, VALUES).learn(random_rows(3, 1), np.array([0.0, 6.0, 3.0]))
    assert predicted.tolist() == [0.0, 0.0, 3.0]


def test_without_any_value_it_predicts_next_to_none() -> None:
    learner = Blend(COLUMNS, VALUES)
    predicted = learner.learn(random_rows(3_000, 1), np.zeros(3_000))
    assert predicted[:1_000].tolist() == [0.0] * 1_000
    assert predicted[-1] < 0.1


def test_what_is_declared_must_fit() -> None:
    with pytest.raises(UsageError, match="one loss"):
        BlendParameters((BinnedLinearParameters(), BinnedLinearParameters(loss="poisson")))
    with pytest.raises(UsageError, match="members"):
        BlendParameters(())
    with pytest.raises(UsageError, match="above zero"):
        BlendParameters(MEMBERS, rate=0.0)


def test_a_state_of_other_members_is_refused() -> None:
    state = Blend(COLUMNS, QUICK).state()
    with pytest.raises(StateError, match="columns or parameters have changed"):
        Blend(COLUMNS, BlendParameters(MEMBERS[:1])).resume(state)


def test_what_has_one_cause_is_not_known_before() -> None:
    """Rows in runs of seven with one label, which nothing tells: whoever learns them one by one seems to know."""
    rows = np.repeat(random_rows(1_500, 1), 7, axis=0)
    labels = np.repeat(np.random.default_rng(2).integers(0, 2, 1_500), 7).astype(np.float64)
    member = BinnedLinearParameters(rate=0.3)
    apart = BinnedLinear(COLUMNS, member).learn(rows, labels)
    blended = Blend(COLUMNS, BlendParameters((member,))).learn(rows, labels)
    known, kept = quality.roc_auc(apart, labels), quality.roc_auc(blended, labels)
    assert known is not None
    assert kept is not None
    assert known > 0.7
    assert kept < 0.62
