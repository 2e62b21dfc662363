"""Two sets of predictions of the same moments side by side, with intervals, and how quality goes over a change."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from score_moments import Floats, Moments, Times

from footfall.scoring import quality

AUC_ROOM = LOSS_ROOM = 0.01
MOST_ERROR = 0.03
"""The bars: so much worse than boosting at most, unless the interval says that it is chance; the calibration error."""
_RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the 95 % interval of a bootstrap by visitor."""

    value: float
    low: float
    high: float


class Resampling:
    """Bootstrap by visitor: all moments of a visitor are drawn together, as often as that visitor is drawn."""

    def __init__(self, visitors: Times, seed: int = 1) -> None:
        _, self._visitors = np.unique(visitors, return_inverse=True)
        self._count = int(self._visitors.max()) + 1
        self._seed = seed

    def interval(self, figure: "Weighted") -> Interval:
        """The interval of a figure; the same draws for every figure."""
        random = np.random.default_rng(self._seed)
        drawn = []
        for _ in range(_RESAMPLES):
            times = np.bincount(random.integers(0, self._count, self._count), minlength=self._count)
            drawn.append(figure(times[self._visitors].astype(np.float64)))
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        return Interval(figure(np.ones(self._visitors.size)), float(low), float(high))


class Weighted:
    """A figure of predictions whose rows have weights."""

    def __call__(self, weights: Floats) -> float:
        """The figure with these weights."""
        raise NotImplementedError


class Auc(Weighted):
    """The ROC AUC."""

    def __init__(self, predicted: Floats, labels: Floats) -> None:
        self._order = np.argsort(predicted, kind="stable")
        ranked = predicted[self._order]
        self._starts = np.flatnonzero(np.append(True, np.diff(ranked) != 0))
        self._labels = labels[self._order]

    def __call__(self, weights: Floats) -> float:
        """The figure with these weights."""
        ranked = weights[self._order]
        positives = np.add.reduceat(ranked * self._labels, self._starts)
        negatives = np.add.reduceat(ranked * (1.0 - self._labels), self._starts)
        below = np.cumsum(negatives) - negatives
        pairs = positives.sum() * negatives.sum()
        return float((positives * (below + negatives / 2)).sum() / pairs) if pairs else np.nan


class LogLoss(Weighted):
    """The log loss."""

    def __init__(self, predicted: Floats, labels: Floats) -> None:
        kept = np.clip(predicted, 1e-15, 1 - 1e-15)
        self._losses = -np.where(labels > 0, np.log(kept), np.log1p(-kept))

    def __call__(self, weights: Floats) -> float:
        """The figure with these weights."""
        return float((self._losses * weights).sum() / weights.sum())


class Difference(Weighted):
    """How much larger one figure is than another, on the same draws."""

    def __init__(self, first: Weighted, second: Weighted) -> None:
        self._first, self._second = first, second

    def __call__(self, weights: Floats) -> float:
        """The figure with these weights."""
        return self._first(weights) - self._second(weights)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The champion beside boosting.

    Attributes:
        moments: how many there are. visitors: of how many visitors. positives: share of positive labels.
        auc, log_loss: the champion's.
        auc_more, log_loss_more: how much larger than boosting's.
        ece: the champion's calibration error; boosting_ece: boosting's.
        others: ROC AUC of the other learners.
        ceiling_auc: that of the true probabilities; ceiling_log_loss: their log loss.
        true_error: calibration error against the true probabilities.
    """

    moments: int
    visitors: int
    positives: float
    auc: Interval
    log_loss: Interval
    auc_more: Interval
    log_loss_more: Interval
    ece: float
    boosting_ece: float
    others: dict[str, float]
    ceiling_auc: float | None = None
    ceiling_log_loss: float | None = None
    true_error: float | None = None

    def misses(self) -> list[str]:
        """Which bars are missed."""
        found = []
        if self.auc_more.value < -AUC_ROOM and self.auc_more.high < 0:
            found.append("ROC AUC")
        if self.log_loss_more.value > LOSS_ROOM and self.log_loss_more.low > 0:
            found.append("log loss")
        if self.ece > MOST_ERROR:
            found.append("calibration error")
        return found


def compare(moments: Moments, boosting: Floats) -> Comparison:
    """The champion's predictions beside boosting's, over the moments that have both and a known label."""
    which = ~np.isnan(boosting) & ~np.isnan(moments.label)
    kept, labels, other = moments.at(which), moments.label[which], boosting[which]
    own = kept.predicted[kept.champion]
    resampling = Resampling(kept.visitor)
    auc, loss = Auc(own, labels), LogLoss(own, labels)
    others = {name: each for name, each in kept.predicted.items() if name != kept.champion}
    truth = kept.truth
    return Comparison(
        labels.size,
        int(np.unique(kept.visitor).size),
        float(labels.mean()),
        resampling.interval(auc),
        resampling.interval(loss),
        resampling.interval(Difference(auc, Auc(other, labels))),
        resampling.interval(Difference(loss, LogLoss(other, labels))),
        quality.ece(own, labels) or 0.0,
        quality.ece(other, labels) or 0.0,
        {name: Auc(each, labels)(np.ones(labels.size)) for name, each in others.items()},
        None if truth is None else quality.roc_auc(truth, labels),
        None if truth is None else quality.log_loss(truth, labels),
        None if truth is None else quality.ece(own, truth),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a model's quality after a change.

    Attributes:
        flagged_after: how many labels of predictions made after the change had been learnt when drift was first flagged
            after it; None: never.
        flags_before: how often it was flagged before.
        auc_before: ROC AUC of the last 10,000 predictions before the change.
        auc_after: that of each 5,000 predictions after it, in their order.
        truth_before, truth_after: the same of the true probabilities.
    """

    flagged_after: int | None
    flags_before: int
    auc_before: float
    auc_after: tuple[float, ...]
    truth_before: float
    truth_after: tuple[float, ...]

    def misses(self) -> list[str]:
        """Which bars are missed; there is nothing to flag where the AUC hasn't fallen by more than 0.02."""
        found = []
        has_fallen = min(self.auc_after[:2], default=0.0) < self.auc_before - 0.02
        if has_fallen and (self.flagged_after is None or self.flagged_after > 5_000):
            found.append("drift flagged within 5,000 labels")
        # The predictions from the 15,000th to the 20,000th after the change.
        if len(self.auc_after) < 4 or self.auc_after[3] < self.auc_before - 0.02:
            found.append("AUC back within 20,000 labels")
        return found


def over_change(moments: Moments, quality_rows: pl.DataFrame, at: int, labels_window: int = 5_000) -> Change:
    """How quality went over a change at that time (ms); `quality_rows`: the champion's in `model_quality`."""
    known = moments.at(~np.isnan(moments.label))
    own = known.predicted[known.champion]
    rows = quality_rows.sort("time").with_columns(at=pl.col("time").dt.epoch("ms"))
    first = known.due[known.time >= at].min()
    before = int(rows.filter(pl.col("at") < first)["drifts"].max() or 0)  # type: ignore[arg-type]  # a number
    later = rows.filter((pl.col("at") >= first) & (pl.col("drifts") > before))
    flagged = None
    if later.height:
        flagged = int(((known.time >= at) & (known.due <= later["at"][0])).sum())
    truth = known.truth if known.truth is not None else own
    old = np.flatnonzero(known.time < at)[-10_000:]
    new = np.flatnonzero(known.time >= at)
    parts = [
        new[begin : begin + labels_window] for begin in range(0, new.size - labels_window + 1, labels_window)
    ]

    def auc(predicted: Floats, which: Times) -> float:
        return quality.roc_auc(predicted[which], known.label[which]) or np.nan

    return Change(
        flagged,
        before,
        auc(own, old),
        tuple(auc(own, part) for part in parts),
        auc(truth, old),
        tuple(auc(truth, part) for part in parts),
    )
