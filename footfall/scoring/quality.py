"""How good predictions are: exact figures over arrays, each as scikit-learn defines it where that has one.

Predictions and labels are float64 arrays of one length, labels 0 or 1. A figure that the labels don't define (one class
alone, or no rows) is None.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CALIBRATION_BINS = 15
"""Bins of equal width, by prediction, of the calibration error and curve."""

TOP = 0.1
_LEAST_PROBABILITY = 1e-15


class Curve(NamedTuple):
    """Points of a curve, by rising x."""

    x: Floats
    y: Floats


class CalibrationCurve(NamedTuple):
    """What was predicted and what came, by bins of equal width that hold any row.

    Attributes:
        predicted: the mean prediction.
        happened: the share of positives.
        rows: how many rows.
    """

    predicted: Floats
    happened: Floats
    rows: npt.NDArray[np.int64]


def roc_auc(predicted: Floats, labels: Floats) -> float | None:
    """The share of pairs of a positive and a negative that are in the right order; ties count half."""
    positives = int(np.count_nonzero(labels))
    negatives = labels.size - positives
    if not positives or not negatives:
        return None
    ends, hits = _steps(predicted, labels)
    misses = ends - hits
    # Twice the area under the steps, ties slanted; whole numbers, so it is exact whatever the order of the sum.
    width = np.diff(misses, prepend=0)
    twice = int(np.sum(width * (hits + np.concatenate([[0], hits[:-1]]))))
    return twice / (2 * positives * negatives)


def roc_curve(predicted: Floats, labels: Floats) -> Curve | None:
    """The share of positives found (y) over the share of negatives taken for such (x), from (0, 0) to (1, 1)."""
    positives = int(np.count_nonzero(labels))
    negatives = labels.size - positives
    if not positives or not negatives:
        return None
    ends, hits = _steps(predicted, labels)
    return Curve(
        np.concatenate([[0.0], (ends - hits) / negatives]), np.concatenate([[0.0], hits / positives])
    )


def pr_auc(predicted: Floats, labels: Floats) -> float | None:
    """Average precision: precision at each threshold, weighted by the recall that it adds."""
    positives = int(np.count_nonzero(labels))
    if not positives:
        return None
    ends, hits = _steps(predicted, labels)
    return math.fsum((hits / ends * np.diff(hits, prepend=0) / positives).tolist())


def log_loss(predicted: Floats, labels: Floats) -> float | None:
    """The mean of minus the logarithm of what was given to what came; predictions are kept 1e-15 off 0 and 1."""
    if not labels.size:
        return None
    kept = np.clip(predicted, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
    losses = -np.log(np.where(labels != 0, kept, 1.0 - kept))
    return math.fsum(losses.tolist()) / labels.size


def brier(predicted: Floats, labels: Floats) -> float | None:
    """The mean squared difference of prediction and label."""
    return math.fsum(((predicted - labels) ** 2).tolist()) / labels.size if labels.size else None


def calibration_curve(predicted: Floats, labels: Floats, bins: int = CALIBRATION_BINS) -> CalibrationCurve:
    """What was predicted and what came, in `bins` bins of equal width."""
    place = np.clip((predicted * bins).astype(np.int64), 0, bins - 1)
    rows = np.bincount(place, minlength=bins)
    held = rows > 0
    return CalibrationCurve(
        np.bincount(place, predicted, bins)[held] / rows[held],
        np.bincount(place, labels, bins)[held] / rows[held],
        rows[held],
    )


def ece(predicted: Floats, labels: Floats, bins: int = CALIBRATION_BINS) -> float | None:
    """The expected calibration error: how far bins of equal width are off on average, by rows."""
    if not labels.size:
        return None
    curve = calibration_curve(predicted, labels, bins)
    gaps = np.abs(curve.predicted - curve.happened) * curve.rows
    return math.fsum(gaps.tolist()) / labels.size


def precision_top(predicted: Floats, labels: Floats, share: float = TOP) -> float | None:
    """The share of positives among the highest predictions, a `share` of all rows, rounded up.

    Where the last place is shared by equal predictions, each of them counts with an equal part.
    """
    if not labels.size:
        return None
    count = math.ceil(labels.size * share)
    ends, hits = _steps(predicted, labels)
    last = int(np.searchsorted(ends, count))
    before, found = (int(ends[last - 1]), int(hits[last - 1])) if last else (0, 0)
    tied, of_them = int(ends[last]) - before, int(hits[last]) - found
    return (found + (count - before) * of_them / tied) / count


def lift_top(predicted: Floats, labels: Floats, share: float = TOP) -> float | None:
    """How many times as many positives the highest predictions have as all rows have."""
    precision = precision_top(predicted, labels, share)
    positives = int(np.count_nonzero(labels))
    return None if precision is None or not positives else precision * labels.size / positives


def mean_absolute_error(predicted: Floats, labels: Floats) -> float | None:
    """The mean distance of prediction and label, for values."""
    return math.fsum(np.abs(predicted - labels).tolist()) / labels.size if labels.size else None


class Window(NamedTuple):
    """A stretch of rows: the places of its first row and of the one behind its last, and its figure."""

    begin: int
    end: int
    figure: float | None


def rolling(
    figure: Callable[[Floats, Floats], float | None],
    predicted: Floats,
    labels: Floats,
    window: int,
    step: int,
) -> list[Window]:
    """A figure over the last `window` rows, every `step` rows; over all rows where there are fewer."""
    ends = range(min(window, labels.size), labels.size + 1, step) if labels.size else ()
    parts = [slice(max(0, end - window), end) for end in ends]
    return [Window(part.start, part.stop, figure(predicted[part], labels[part])) for part in parts]


def figures(predicted: Floats, labels: Floats, *, values: bool = False) -> dict[str, float | None]:
    """All figures by name: of probabilities, or if `values`, of expected values."""
    if values:
        return {"mean_absolute_error": mean_absolute_error(predicted, labels)}
    return {
        "roc_auc": roc_auc(predicted, labels),
        "pr_auc": pr_auc(predicted, labels),
        "log_loss": log_loss(predicted, labels),
        "brier": brier(predicted, labels),
        "ece": ece(predicted, labels),
        "precision_top10": precision_top(predicted, labels),
        "lift_top10": lift_top(predicted, labels),
    }


def _steps(predicted: Floats, labels: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """By falling prediction, at the end of each run of equal ones: rows so far, and positives among them."""
    order = np.argsort(-predicted, kind="stable")
    ranked = predicted[order]
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, np.ones(min(ranked.size, 1), np.bool_))) + 1
    hits = np.cumsum(labels[order] != 0)[ends - 1]
    return ends.astype(np.int64), hits.astype(np.int64)
