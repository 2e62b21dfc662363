"""How sure a difference between two learners is: their figures on the same rows, over visitors drawn anew.

A visitor's predictions hang together, so visitors are drawn, with all their rows, and not rows. Draws are seeded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from footfall.scoring.learner import Floats

DRAWS = 1_000
_LEAST_PROBABILITY = 1e-15

Weighted = Callable[[Floats], float]
"""A figure, of how often each row counts."""


class Interval(NamedTuple):
    """A difference and its 95 % interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Two learners' predictions of the same rows.

    Attributes:
        labels: what came: 0 or 1, or values.
        one: what the first predicted.
        other: what the second predicted.
        visitors: whose row it is, as whole numbers from 0 on.
    """

    labels: Floats
    one: Floats
    other: Floats
    visitors: npt.NDArray[np.int64]

    def intervals(self, *, values: bool, draws: int = DRAWS, seed: int = 20) -> dict[str, Interval]:
        """By figure: the first's minus the second's; where draws lack a class, they don't count.

        Empty where the rows don't define a figure.
        """
        ones, others = (_figures(each, self.labels, values=values) for each in (self.one, self.other))
        if not self.labels.size:
            return {}
        count = int(self.visitors.max()) + 1
        random = np.random.default_rng(seed)
        drawn: dict[str, list[float]] = {name: [] for name in ones}
        for _ in range(draws):
            times = np.bincount(random.integers(0, count, count), minlength=count)
            weights = times[self.visitors].astype(np.float64)
            if not weights.any():
                continue
            for name, figure in ones.items():
                drawn[name].append(figure(weights) - others[name](weights))
        whole = np.ones(self.labels.size)
        found = {}
        for name, differences in drawn.items():
            known = np.array(differences)
            known = known[np.isfinite(known)]
            difference = ones[name](whole) - others[name](whole)
            if known.size and np.isfinite(difference):
                low, high = np.quantile(known, [0.025, 0.975]).tolist()
                found[name] = Interval(difference, low, high)
        return found


def _figures(predicted: Floats, labels: Floats, *, values: bool) -> Mapping[str, Weighted]:
    if values:
        return {"mean_absolute_error": _mean_of(np.abs(predicted - labels))}
    kept = np.clip(predicted, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
    return {
        "roc_auc": _roc_auc(predicted, labels),
        "log_loss": _mean_of(-np.log(np.where(labels != 0, kept, 1.0 - kept))),
        "brier": _mean_of((predicted - labels) ** 2),
    }


def _mean_of(losses: Floats) -> Weighted:
    def mean(weights: Floats) -> float:
        return float(np.dot(losses, weights) / weights.sum())

    return mean


def _roc_auc(predicted: Floats, labels: Floats) -> Weighted:
    order = np.argsort(-predicted, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(predicted[order]) != 0, np.ones(min(order.size, 1), np.bool_)))
    positive = (labels[order] != 0).astype(np.float64)

    def auc(weights: Floats) -> float:
        ranked = weights[order]
        hits = np.cumsum(ranked * positive)[ends]
        misses = np.cumsum(ranked * (1.0 - positive))[ends]
        if not hits[-1] or not misses[-1]:
            return float("nan")
        width = np.diff(misses, prepend=0.0)
        twice = np.sum(width * (hits + np.concatenate([[0.0], hits[:-1]])))
        return float(twice / (2.0 * hits[-1] * misses[-1]))

    return auc
