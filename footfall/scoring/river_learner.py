"""Any River model as a learner, row by row: what challenges the champion.

River's models take dictionaries, so a row costs many times what it costs the champion. One that is too dear for a
stream may learn from a sample of the rows, evenly spread: which ones is decided by the row's number alone, so it is the
same in every replay.
"""

import hashlib
import math
import pickle
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from footfall.errors import UsageError
from footfall.scoring.binned_linear import check_labels
from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.learner import Changes, Floats, LearnerState, check_rows

Kind = Literal["probability", "value"]

_FORMAT = 1


class RiverPredictor:
    """Predicts with the model that a `RiverLearner` has published; see `Predictor`."""

    def __init__(self, columns: Sequence[FeatureColumn], kind: Kind, model: Any) -> None:
        self.columns = tuple(columns)
        self.kind = kind
        self.model = model
        self._version = 0

    @property
    def version(self) -> int:
        """How many rows its model had been shown."""
        return self._version

    def predict(self, rows: Floats) -> Floats:
        """Predict each row."""
        rows = check_rows(rows, self.columns)
        return np.array([predict_one(self.model, as_features(self.columns, row), self.kind) for row in rows])

    def contributions(self, rows: Floats) -> Floats:
        """Zeros: River's models don't say."""
        return np.zeros(rows.shape)

    def apply(self, changes: Changes) -> None:
        """Go over to the version of these changes."""
        self.model = pickle.loads(changes.whole)  # noqa: S301 - a learner of the same run wrote it
        self._version = changes.version


class RiverLearner:
    """A River classifier or regressor as a learner; see `Learner`.

    Its changes and its state are the whole model, pickled: nothing for every tick.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[FeatureColumn],
        kind: Kind,
        make: Callable[[], Any],
        *,
        sample: float = 1.0,
    ) -> None:
        """Wrap a model.

        Args:
            name: what its state goes by; it changes with the model's parameters.
            columns: what rows hold.
            kind: what is predicted.
            make: makes the model, unlearnt; seeded, if it is random.
            sample: which share of the rows is learnt.
        """
        if not 0 < sample <= 1:
            raise UsageError(f"learner {name}: a sample is a share above 0, up to 1, not {sample}")
        self.name = name
        self.columns = tuple(columns)
        self.make = make
        self.sample = sample
        self.published = RiverPredictor(columns, kind, make())

    @property
    def version(self) -> int:
        """How many rows it has been shown, learnt or passed over."""
        return self.published.version

    @property
    def kind(self) -> str:
        """What its state belongs to."""
        told = repr(
            (self.name, self.sample, self.published.kind, [(each.name, each.kind) for each in self.columns])
        )
        return f"river/{_FORMAT}/{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def predict(self, rows: Floats) -> Floats:
        """Predict each row with what is learnt so far."""
        return self.published.predict(rows)

    def contributions(self, rows: Floats) -> Floats:
        """Zeros: River's models don't say."""
        return self.published.contributions(rows)

    def learn(self, rows: Floats, labels: Floats) -> Floats:
        """For each row in turn predict, then learn its label if the row is of the sample; what was predicted."""
        rows = check_rows(rows, self.columns)
        kind, model = self.published.kind, self.published.model
        labels = check_labels(labels, rows.shape[0], "log" if kind == "probability" else "poisson")
        out = np.empty(rows.shape[0])
        for place, (row, label) in enumerate(zip(rows, labels.tolist(), strict=True)):
            features = as_features(self.columns, row)
            out[place] = predict_one(model, features, kind)
            if self._is_sampled(self.version):
                model.learn_one(features, label if kind == "value" else bool(label))
            self.published._version += 1  # noqa: SLF001 - its own predictor
        return out

    def _is_sampled(self, number: int) -> bool:
        return math.floor((number + 1) * self.sample) > math.floor(number * self.sample)

    def predictor(self) -> RiverPredictor:
        """A predictor that has applied nothing."""
        return RiverPredictor(self.columns, self.published.kind, self.make())

    def changes_since_cut(self) -> Changes:
        """The whole model."""
        return self._changes(self.version, pickle.dumps(self.published.model))

    @staticmethod
    def _changes(version: int, model: bytes) -> Changes:
        return Changes(version, np.empty(0, np.int32), np.empty(0), is_whole=True, whole=model)

    def state(self) -> LearnerState:
        """The whole model, pickled."""
        return LearnerState(self.kind, self.version, {"model": pickle.dumps(self.published.model)})

    def resume(self, state: LearnerState) -> None:
        """Go on from a state; raises StateError if it is another learner's."""
        state.require(self.kind)
        self.published.apply(self._changes(state.version, state.parts["model"]))


def as_features(columns: Sequence[FeatureColumn], row: Floats) -> dict[str, float | str]:
    """A row as River takes it: numbers by name, categories as text; what is not known is left out."""
    return {
        column.name: f"{value:g}" if column.kind == "category" else value
        for column, value in zip(columns, row.tolist(), strict=True)
        if not math.isnan(value)
    }


def predict_one(model: Any, features: dict[str, float | str], kind: Kind) -> float:
    """A probability, 0.5 as long as the model has no idea; or a value, not below zero."""
    if kind == "probability":
        probabilities = model.predict_proba_one(features)
        # A forest that has seen one class alone knows of no other.
        return float(probabilities.get(True, 0.0)) if probabilities else 0.5
    value = model.predict_one(features)
    return max(0.0, float(value)) if value is not None and math.isfinite(value) else 0.0
