"""A model as it runs: its champion and challengers, the predictions that wait for their outcome, and the figures.

Every learner predicts at every moment and learns from every label, in the same order; the champion's is the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from footfall.clock import NEVER
from footfall.control_record import ControlRecord
from footfall.errors import StateError
from footfall.hashing import text_seed
from footfall.record_log import LogReference, RecordKind, RecordLog
from footfall.record_table import RecordTable
from footfall.scoring.champions import first_tick, learners_of, prediction_kind, reigns
from footfall.scoring.learner import Floats, Learner
from footfall.scoring.learners import new_learner
from footfall.scoring.prediction_loops import awaiting, keep_predictions, prediction_ids, take_predictions
from footfall.scoring.quality_over_time import Figures, QualityOverTime
from footfall.scoring.score_model import ScoreModel


@dataclass(slots=True)
class Predictions:
    """What a model predicted at some moments.

    Attributes:
        ids: the two words of each prediction's id.
        predicted: shape (moments, learners).
        versions: how many labels each learner had learnt.
        champion: the number of the learner whose prediction is the score.
    """

    ids: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
    predicted: Floats
    versions: tuple[int, ...]
    champion: int


class RunningModel:
    """A declared model with its learners.

    Attributes:
        model: what is declared.
        names: the learners' names; the first is the champion unless another was promoted.
        learners: the learners.
        champion: the number of the champion; see `go_by` and `crown`.
        quality: how good each learner has been.
        predicted: how often it has predicted.
        latest: the last figures of each learner's quality.
    """

    def __init__(self, model: ScoreModel, columns: npt.NDArray[np.int64]) -> None:
        self.model = model
        kind = prediction_kind(model)
        self.names = learners_of(model)
        self.learners: list[Learner] = [new_learner(name, model.columns, kind) for name in self.names]
        self.champion = 0
        self._reigns: list[tuple[int, int]] = [(NEVER, 0)]
        self.quality = QualityOverTime(len(self.names), values=kind == "value")
        self._columns = columns
        self.band_names = tuple(model.bands)
        self._seed = np.uint64(text_seed(model.name))
        self.waiting = RecordTable(self._type())
        self.predicted = 0
        self.latest: dict[str, dict[str, float]] = {}

    def _type(self) -> np.dtype[np.void]:
        return awaiting(len(self.names), self._columns.size)

    def kind(self, contents: str) -> RecordKind[RecordTable]:
        """What the log of the waiting predictions holds; `contents` says how the features are declared."""
        return RecordKind(f"predictions_{self.model.name}", lambda: RecordTable(self._type()), contents)

    def go_by(self, records: Sequence[ControlRecord], tick: int) -> None:
        """Have the champions that a run's control records say; ticks are so many ms long.

        Raises:
            UsageError: one is no learner of the model.
        """
        self._reigns = [
            (first_tick(reign, tick), self.names.index(reign.learner))
            for reign in reigns(self.model, records)
        ]

    @property
    def switches(self) -> list[int]:
        """The ticks with which another champion begins."""
        return [tick for tick, _ in self._reigns[1:]]

    def crown(self, tick: int) -> None:
        """Let the champion be that of a tick."""
        self.champion = next(learner for first, learner in reversed(self._reigns) if first <= tick)

    def predict(self, moments: npt.NDArray[np.void], rows: Floats) -> Predictions:
        """Predict at moments, and have the predictions wait for their labels."""
        own = np.ascontiguousarray(rows[:, self._columns])
        predicted = np.column_stack([learner.predict(own) for learner in self.learners])
        high, low = np.empty(moments.size, np.uint64), np.empty(moments.size, np.uint64)
        prediction_ids(moments, self._seed, high, low)
        self.predicted += moments.size
        waiting = self.waiting
        waiting.reserve(moments.size)
        keep_predictions(
            waiting.index, waiting.records, waiting.places, waiting.changed, high, low, predicted, own
        )
        versions = tuple(learner.version for learner in self.learners)
        return Predictions((high, low), predicted, versions, self.champion)

    def learn(self, labels: npt.NDArray[np.void]) -> Floats:
        """Learn from labels in their order; what each learner had predicted, NaN where no prediction waits."""
        count = labels.size
        predicted = np.full((count, len(self.learners)), np.nan)
        rows, found = np.empty((count, self._columns.size)), np.zeros(count, np.bool_)
        waiting = self.waiting
        take_predictions(
            waiting.index, waiting.records, waiting.places, waiting.changed, labels, predicted, rows, found
        )
        if not found.all():
            # Only where the model was declared after its moment, or with other features.
            rows, labels = rows[found], labels[found]
        values = np.ascontiguousarray(labels["value"])
        for learner in self.learners:
            learner.learn(rows, values)
        self.quality.take(predicted[found], values)
        return predicted

    def scale(self, predicted: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Scores from 0 to 100, and the numbers of their bands.

        A probability is its score in percent. An expected value has 50 where it is what labels were on average so far.
        """
        if self.quality.values:
            mean = self.quality.mean_label
            scores = 100.0 * predicted / (predicted + mean) if mean > 0 else np.zeros(predicted.size)
        else:
            scores = 100.0 * predicted
        bands = np.searchsorted(np.array(list(self.model.bands.values())), predicted, side="right") - 1
        return scores, np.maximum(bands, 0)

    def scores_of(self, rows: Floats) -> Floats:
        """Scores as the champion has them now; nothing waits for a label."""
        return self.scale(self.learners[self.champion].predict(self.own_rows(rows)))[0]

    def reasons(self, rows: Floats) -> Floats:
        """What each feature adds to the champion's prediction, shape (rows, features of the model)."""
        return self.learners[self.champion].contributions(np.ascontiguousarray(rows[:, self._columns]))

    def own_rows(self, rows: Floats) -> Floats:
        """The model's own features of moments."""
        return np.ascontiguousarray(rows[:, self._columns])

    def refresh(self) -> None:
        """Have `latest` say how good each learner has been up to now."""
        if self.quality.labels:
            for number, name in enumerate(self.names):
                self.note_quality(name, self.quality.figures(number))

    def note_quality(self, learner: str, figures: Figures) -> None:
        """Keep a learner's figures as the latest."""
        told = msgspec.structs.asdict(figures).items()
        self.latest[learner] = {name: float(value) for name, value in told if value is not None}

    def state(self, log: RecordLog[RecordTable] | None, settled: int) -> dict[str, Any]:
        """What a restart keeps."""
        waiting: RecordTable | LogReference = (
            self.waiting if log is None else log.snapshot(self.waiting, settled)
        )
        return {
            "names": self.names,
            "champion": self.champion,
            "learners": [learner.state() for learner in self.learners],
            "quality": self.quality,
            "predicted": self.predicted,
            "latest": self.latest,
            "waiting": waiting,
        }

    def resume(self, state: dict[str, Any], log: RecordLog[RecordTable] | None) -> None:
        """Go on with what `state` gave.

        Raises:
            StateError: it is that of other learners or features.
        """
        if tuple(state["names"]) != self.names:
            raise StateError(
                f"the state kept is of a model {self.model.name} with the learners {', '.join(state['names'])}, not "
                f"{', '.join(self.names)}: give it those, or begin with an empty state"
            )
        for learner, kept in zip(self.learners, state["learners"], strict=True):
            learner.resume(kept)
        self.champion, self.quality = state["champion"], state["quality"]
        self.predicted, self.latest = state["predicted"], state["latest"]
        waiting = state["waiting"]
        self.waiting = waiting if log is None else log.restore(waiting)
