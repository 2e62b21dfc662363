"""The yardstick of the scores: gradient boosting, tuned and trained anew on the whole past before each month.

What is learnt from are the predictions whose horizons are over. Those labelled earlier would be of one class: with them
boosting did worse on every table. Trees, leaves and rounds are chosen by log loss on the last quarter of the
past, after training on what was known before it.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise, product

import numpy as np
from score_moments import Flags, Floats, Moments, Times
from sklearn.ensemble import HistGradientBoostingClassifier

from footfall.scoring import quality

LEAST_ROWS, LEAST_POSITIVES = 300, 20
"""Boosting begins in the first month before which so much is known."""
_MOST_ROUNDS = 300


@dataclass(frozen=True, slots=True)
class Choice:
    """What is tuned; rounds are chosen along the way."""

    leaves: int
    least_rows: int
    rate: float
    rounds: int = _MOST_ROUNDS


GRID = tuple(Choice(leaves, least, rate) for leaves, least, rate in product((3, 6, 15), (20, 100), (0.04,)))


class Boosting:
    """Boosting with some settings, trained; columns that don't vary are left out."""

    def __init__(self, choice: Choice, moments: Moments, which: Flags) -> None:
        rows, labels = moments.rows[which], moments.label[which]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            self._varies = np.array([np.unique(column[~np.isnan(column)]).size > 1 for column in rows.T])
        self._model = HistGradientBoostingClassifier(
            learning_rate=choice.rate,
            max_iter=choice.rounds,
            max_leaf_nodes=choice.leaves,
            min_samples_leaf=choice.least_rows,
            l2_regularization=1.0,
            early_stopping=False,
            categorical_features=moments.categories[self._varies],
            random_state=0,
        ).fit(rows[:, self._varies], labels)

    def predict(self, rows: Floats) -> Floats:
        """The probabilities of rows."""
        found: Floats = self._model.predict_proba(rows[:, self._varies])[:, 1]
        return found

    def by_round(self, rows: Floats) -> Iterator[Floats]:
        """The probabilities of rows after each round."""
        for found in self._model.staged_predict_proba(rows[:, self._varies]):
            yield found[:, 1]


def boosted(moments: Moments) -> Floats:
    """What boosting predicts, trained before each calendar month (UTC); NaN in the months before it can be."""
    predicted = np.full(moments.time.size, np.nan)
    for begin, end in pairwise(_months(moments.time)):
        past = (moments.due < begin) & ~np.isnan(moments.label)
        inside = (moments.time >= begin) & (moments.time < end)
        if not inside.any() or not _enough(moments.label[past]):
            continue
        model = Boosting(_tuned(moments, past), moments, past)
        predicted[inside] = model.predict(moments.rows[inside])
    return predicted


def _enough(labels: Floats) -> bool:
    positives = int(labels.sum())
    return labels.size >= LEAST_ROWS and LEAST_POSITIVES <= positives <= labels.size - LEAST_POSITIVES


def _tuned(moments: Moments, past: Flags) -> Choice:
    cut = np.quantile(moments.time[past], 0.75)
    checked = past & (moments.time >= cut)
    fitted = past & (moments.due < cut)
    if not _enough(moments.label[fitted]):
        # Too little is known before the last quarter: then what was predicted before it has to do.
        fitted = past & (moments.time < cut)
    best, least = GRID[0], np.inf
    labels = moments.label[checked]
    for choice in GRID:
        model = Boosting(choice, moments, fitted)
        for number, found in enumerate(model.by_round(moments.rows[checked])):
            loss = quality.log_loss(found, labels) or np.inf
            if loss < least:
                best = Choice(choice.leaves, choice.least_rows, choice.rate, number + 1)
                least = loss
    return best


def _months(times: Times) -> list[int]:
    first, last = (datetime.fromtimestamp(int(each) / 1_000, UTC) for each in (times[0], times[-1]))
    count = (last.year - first.year) * 12 + last.month - first.month
    numbers = range(first.month - 1, first.month + count + 1)
    return [
        int(datetime(first.year + number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()) * 1_000
        for number in numbers
    ]
