import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from footfall.scoring import quality

ROWS = st.lists(
    st.tuples(st.integers(0, 20).map(lambda n: n / 20) | st.floats(0, 1), st.booleans()),
    min_size=2,
    max_size=150,
)


def both(rows: list[tuple[float, bool]]) -> tuple[Any, Any]:
    predicted, labels = zip(*rows, strict=True)
    return np.array(predicted, np.float64), np.array(labels, np.float64)


@settings(max_examples=150)
@given(ROWS.filter(lambda rows: len({label for _, label in rows}) == 2))
def test_figures_are_scikit_learns(rows: list[tuple[float, bool]]) -> None:
    predicted, labels = both(rows)
    found = quality.figures(predicted, labels)
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, predicted), abs=1e-12)
    assert found["pr_auc"] == pytest.approx(metrics.average_precision_score(labels, predicted), abs=1e-12)
    kept = np.clip(predicted, 1e-15, 1 - 1e-15)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, kept), abs=1e-12, rel=1e-12)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(labels, predicted), abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        false_rate, true_rate, _ = metrics.roc_curve(labels, predicted, drop_intermediate=False)
    curve = quality.roc_curve(predicted, labels)
    assert curve is not None
    assert curve.x == pytest.approx(false_rate, abs=1e-12)
    assert curve.y == pytest.approx(true_rate, abs=1e-12)


@given(ROWS)
def test_calibration_by_hand(rows: list[tuple[float, bool]]) -> None:
    predicted, labels = both(rows)
    bins: dict[int, list[tuple[float, float]]] = {}
    for each, label in zip(predicted.tolist(), labels.tolist(), strict=True):
        bins.setdefault(min(int(each * 15), 14), []).append((each, label))
    expected = sum(abs(sum(p for p, _ in held) - sum(y for _, y in held)) for held in bins.values()) / len(
        rows
    )
    assert quality.ece(predicted, labels) == pytest.approx(expected, abs=1e-12)
    curve = quality.calibration_curve(predicted, labels)
    assert curve.rows.tolist() == [len(bins[number]) for number in sorted(bins)]


@given(ROWS)
def test_order_of_rows_is_no_matter(rows: list[tuple[float, bool]]) -> None:
    predicted, labels = both(rows)
    turned = quality.figures(predicted[::-1].copy(), labels[::-1].copy())
    for name, value in quality.figures(predicted, labels).items():
        assert turned[name] == pytest.approx(value, abs=1e-12), name


def test_the_top_tenth() -> None:
    predicted = np.arange(20) / 20
    labels = np.zeros(20)
    labels[[19, 3]] = 1
    assert quality.precision_top(predicted, labels) == 0.5
    assert quality.lift_top(predicted, labels) == 5.0


def test_ties_at_the_last_place_count_in_part() -> None:
    predicted = np.array([0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    labels = np.array([1.0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    assert quality.precision_top(predicted, labels) == pytest.approx((1 + 1 / 3) / 2)


def test_what_labels_do_not_define_is_none() -> None:
    one_class = quality.figures(np.array([0.2, 0.3]), np.zeros(2))
    assert (one_class["roc_auc"], one_class["pr_auc"], one_class["lift_top10"]) == (None, None, None)
    assert one_class["log_loss"] is not None
    assert set(quality.figures(np.empty(0), np.empty(0)).values()) == {None}
    assert quality.roc_curve(np.array([0.2]), np.ones(1)) is None


def test_sure_and_wrong_is_bad_and_finite() -> None:
    assert quality.log_loss(np.array([0.0, 1.0]), np.array([1.0, 0.0])) == pytest.approx(34.5, abs=0.1)


def test_figures_of_values() -> None:
    found = quality.figures(np.array([1.0, 5.0]), np.array([0.0, 7.0]), values=True)
    assert found == {"mean_absolute_error": 1.5}


def test_rolling() -> None:
    predicted, labels = np.linspace(0, 1, 10), np.array([0.0, 1.0] * 5)
    found = quality.rolling(quality.brier, predicted, labels, 4, 3)
    assert [(window.begin, window.end) for window in found] == [(0, 4), (3, 7), (6, 10)]
    assert found[1].figure == quality.brier(predicted[3:7], labels[3:7])
    short = quality.rolling(quality.brier, predicted[:2], labels[:2], 4, 3)
    assert [(window.begin, window.end) for window in short] == [(0, 2)]
    assert quality.rolling(quality.brier, np.empty(0), np.empty(0), 4, 3) == []
