"""What every learner of a score does: predict from rows, learn from labels, publish what changed, be kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from footfall.errors import StateError
from footfall.scoring.feature_column import FeatureColumn

Floats = npt.NDArray[np.float64]


class Changes(NamedTuple):
    """What of a learner's parameters has changed since it was cut last.

    Attributes:
        version: how many rows the learner has learnt at this cut.
        indices: int32, ascending places in the vector of parameters.
        values: float64, what stands there now.
        is_whole: all other parameters are zero; else they are as they were.
        whole: for learners without such a vector, the whole model, pickled; empty otherwise.
    """

    version: int
    indices: npt.NDArray[np.int32]
    values: Floats
    is_whole: bool = False
    whole: bytes = b""


@dataclass(frozen=True, slots=True)
class LearnerState:
    """All that a learner has learnt, as plain data to be pickled.

    Attributes:
        kind: which learner with which parameters and columns it belongs to.
        version: how many rows it has learnt.
        parts: its arrays, numbers and bytes by name; copies, so that learning on doesn't change them.
    """

    kind: str
    version: int
    parts: Mapping[str, Any]

    def require(self, kind: str) -> None:
        """Raise StateError unless it is that learner's."""
        if self.kind != kind:
            raise StateError(
                f"the state kept is of a learner {self.kind}, not of {kind}: its columns or parameters have changed. "
                "Give the model a new name, or begin with an empty state"
            )


class Predictor(Protocol):
    """Predicts only; follows a learner by its changes, and predicts bit for bit what that would at the same version.

    `rows` is always a float64 array of shape (rows, columns), NaN where not known. What is predicted is a probability,
    or for values an expected value, one a row, and depends on its row and the version alone, not on the batch.
    """

    @property
    def version(self) -> int:
        """How many rows what it goes by has been learnt from."""
        ...

    def predict(self, rows: Floats) -> Floats:
        """Predict each row."""
        ...

    def contributions(self, rows: Floats) -> Floats:
        """What each column adds to a row's prediction, shape (rows, columns), against the average row learnt.

        In log-odds for probabilities, in logarithms for values; zeros from learners that can't say.
        """
        ...

    def apply(self, changes: Changes) -> None:
        """Go over to the version of these changes; they must follow those applied before."""
        ...


class Learner(Protocol):
    """Predicts and learns, row by row."""

    @property
    def columns(self) -> Sequence[FeatureColumn]:
        """What the rows hold."""
        ...

    @property
    def version(self) -> int:
        """How many rows it has learnt."""
        ...

    def predict(self, rows: Floats) -> Floats:
        """Predict each row with what is learnt so far."""
        ...

    def learn(self, rows: Floats, labels: Floats) -> Floats:
        """For each row in turn predict, then learn its label; what was predicted, before it was learnt.

        Labels are 0 or 1, or for values not negative. The result, and what is learnt, doesn't depend on how rows are
        cut into batches.
        """
        ...

    def contributions(self, rows: Floats) -> Floats:
        """As a predictor's."""
        ...

    def predictor(self) -> Predictor:
        """A predictor that has applied nothing: the first changes of a new or resumed learner bring it up to date."""
        ...

    def changes_since_cut(self) -> Changes:
        """Cut: all that has changed since the cut before, or, at the first one after starting or resuming, all."""
        ...

    def state(self) -> LearnerState:
        """All that is learnt, to be pickled."""
        ...

    def resume(self, state: LearnerState) -> None:
        """Go on from a state; raises StateError if it is another learner's."""
        ...


def check_rows(rows: Floats, columns: Sequence[FeatureColumn]) -> Floats:
    """The rows as the loops need them, contiguous."""
    if rows.ndim != 2 or rows.shape[1] != len(columns):
        raise ValueError(f"rows must have the shape (rows, {len(columns)}), not {rows.shape}")
    return np.ascontiguousarray(rows, np.float64)
