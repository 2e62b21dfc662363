"""How good the learners of a model have been: by what they had predicted, over the last labels.

Figures come once an hour of event time in which a label came. Drift is looked for in the loss of every label (River's
ADWIN), and counts where that has risen: over means of ten labels a change of behaviour in the simulator was found after
10,320 labels of what came after it, over single ones after 2,649.
"""

from collections.abc import Iterator

import msgspec
import numpy as np

from footfall.scoring.learner import Floats
from footfall.scoring.rising_loss import RisingLoss

WINDOW = 5_000
"""Figures are of so many labels, at most."""

HOUR = 3_600_000
_LEAST = 50
"""Fewer labels than these tell nothing."""


class Figures(msgspec.Struct, frozen=True):
    """How good a learner was; None where the labels don't say. Names as in the table `model_quality`."""

    labels: int
    positives: int
    window: int
    roc_auc: float | None = None
    pr_auc: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    ece: float | None = None
    precision_top10: float | None = None
    lift_top10: float | None = None
    mean_absolute_error: float | None = None
    drifts: int = 0


class QualityOverTime:
    """The last predictions of some learners, with their labels, in the order in which these came."""

    def __init__(self, learners: int, *, values: bool) -> None:
        self.values = values
        self.labels = 0
        self.positives = 0
        self.total = 0.0
        self.drifts = [0] * learners
        self._last = -1
        self._predicted = np.zeros((WINDOW, learners))
        self._labels = np.zeros(WINDOW)
        self._rising = [RisingLoss() for _ in range(learners)]

    @property
    def mean_label(self) -> float:
        """What labels were on average; 0 before the first one."""
        return self.total / self.labels if self.labels else 0.0

    def take(self, predicted: Floats, labels: Floats) -> None:
        """Take what was predicted, shape (labels, learners), and what came of it."""
        places = (self.labels + np.arange(labels.size)) % WINDOW
        keep = slice(max(0, labels.size - WINDOW), None)
        self._predicted[places[keep]], self._labels[places[keep]] = predicted[keep], labels[keep]
        self.labels += labels.size
        self.positives += int((labels > 0).sum())
        for label in labels.tolist():
            # One after the other: how many come at once mustn't change the sum.
            self.total += label
        for number in range(predicted.shape[1]):
            losses = _losses(predicted[:, number], labels, values=self.values)
            self.drifts[number] += self._rising[number].take(losses)

    def due(self, time: int) -> Iterator[tuple[int, Figures]]:
        """The figures of each learner, if none have been given in this hour."""
        if time // HOUR <= self._last or self.labels < _LEAST:
            return
        self._last = time // HOUR
        for number in range(self._predicted.shape[1]):
            yield number, self.figures(number)

    def figures(self, number: int) -> Figures:
        """The figures of a learner."""
        from footfall.scoring import quality  # noqa: PLC0415

        count = min(self.labels, WINDOW)
        order = (self.labels - count + np.arange(count)) % WINDOW
        predicted, labels = self._predicted[order, number], self._labels[order]
        found = quality.figures(predicted, labels, values=self.values)
        return Figures(self.labels, self.positives, count, drifts=self.drifts[number], **found)


def _losses(predicted: Floats, labels: Floats, *, values: bool) -> Floats:
    if values:
        return np.abs(predicted - labels)
    # The Brier loss: bounded, which ADWIN's test asks for.
    return (predicted - labels) ** 2
