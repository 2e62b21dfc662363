"""The champion: a logistic regression over the log-odds of several binned linear models that learn in different ways.

Slow and fast learners with different edges and crosses are right about different things, and one never knows before
which rate suits a stream. The blend learns how much to trust each. It is River's `LogisticRegression` with `AdaGrad`
once more, its features the members' log-odds before the row was learnt, its weights at first the same for each. What
it says is calibrated, by a correction that depends on its size and is learnt alike; on eight tables of two kinds that
made calibration errors smaller by a third.

Rows that are learnt one after the other often have one cause: all predictions made while a customer stays away are
settled by the same return. A member that is too quick knows such a row by the one before, which it could not when the
prediction was made. So the members learn a block of `BLOCK` rows at its end, and what the blend learns from are their
predictions before it. On simulated churn that took the ROC AUC from 0.768 to 0.829.

AdaGrad's steps become smaller and smaller, so that after a long time a change of what visitors do would be learnt
slowly. River's ADWIN watches the squared error; where it finds that this has risen, all sums of squared gradients are
cut back to what a few hundred rows make, at the end of some block. Weights stay.

For values it is the same with the Poisson loss, a logarithmic link and logarithms in place of log-odds. A prediction is
the expected value, in the label's own unit. Learning begins once some labels have told how large values are: their mean
is the unit in which they are learnt, and until then the prediction of every row. Drift isn't looked for.
"""

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from footfall.errors import UsageError
from footfall.scoring.binned_linear import (
    BinnedLinear,
    BinnedLinearParameters,
    BinnedLinearPredictor,
    changed_places,
    check_labels,
    means,
)
from footfall.scoring.binned_loops import INTERCEPT, LOG, POISSON, Rates
from footfall.scoring.blend_loops import (
    FIRST_MEMBER,
    UNIT,
    blend_rows,
    calibrate_rows,
    learn_blend_rows,
)
from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.learner import Changes, Floats, LearnerState, check_rows
from footfall.scoring.rising_loss import RisingLoss

_FORMAT = 5
_FIRST_LABELS, _MOST_FIRST_LABELS = 32, 1_024
BLOCK = 16
_DRIFT_STEP = 32 * BLOCK
_SURE_AFTER_DRIFT = 50.0


@dataclass(frozen=True, slots=True)
class BlendParameters:
    """What is blended, and how; the defaults are chosen by measurement.

    Attributes:
        members: the models, of one loss.
        rate: AdaGrad's learning rate of the blend.
        eps: what its sums of squares begin at.
        intercept_rate: the intercept's constant learning rate.
    """

    members: tuple[BinnedLinearParameters, ...]
    rate: float = 0.05
    eps: float = 1.0
    intercept_rate: float = 0.001

    def __post_init__(self) -> None:
        if not self.members:
            raise UsageError("a blend has members; give it one at least")
        if len({member.loss for member in self.members}) > 1:
            raise UsageError("the members of a blend have one loss")
        if min(self.rate, self.eps) <= 0 or self.intercept_rate < 0:
            raise UsageError(f"a blend's rates and eps are above zero: {self}")

    @property
    def rates(self) -> Rates:
        """As the loops take them."""
        first = self.members[0]
        return Rates(
            POISSON if first.loss == "poisson" else LOG,
            float(self.rate),
            float(self.eps),
            float(self.intercept_rate),
            0.0,
            float(first.clip),
        )


def _scaled(values: Floats, unit: float) -> Floats:
    scaled: Floats = values * unit
    return scaled


class BlendPredictor:
    """Predicts with the parameters that a `Blend` has published; see `Predictor`.

    Attributes:
        members: the predictors of its members.
        parameters: see `blend_loops`; the unit is 1 for probabilities, and 0 as long as the intercept is what is
            predicted.
    """

    def __init__(self, members: Sequence[BinnedLinearPredictor], declared: BlendParameters) -> None:
        self.members = tuple(members)
        self.declared = declared
        self.rates = declared.rates
        self.parameters: Floats = np.zeros(FIRST_MEMBER + len(self.members))
        self.parameters[UNIT] = 1.0 if declared.members[0].loss == "log" else 0.0
        self._version = 0

    @property
    def version(self) -> int:
        """How many rows its parameters have been learnt from."""
        return self._version

    def predict(self, rows: Floats) -> Floats:
        """Predict each row."""
        if self.parameters[UNIT] == 0.0:
            return np.full(rows.shape[0], self.parameters[INTERCEPT])
        return _scaled(means(self.raw(rows), self.rates), float(self.parameters[UNIT]))

    def raw(self, rows: Floats) -> Floats:
        """Each row's raw prediction: log-odds, or the value's logarithm, in `UNIT`."""
        raws = self.blended(rows)
        out = np.empty(raws.size)
        calibrate_rows(raws, self.parameters, out)
        return out

    def blended(self, rows: Floats) -> Floats:
        """Each row's raw prediction before it is calibrated."""
        raws = np.column_stack([member.raw(rows) for member in self.members])
        out = np.empty(raws.shape[0])
        blend_rows(raws, self.parameters, out)
        return out

    def contributions(self, rows: Floats) -> Floats:
        """What each column adds before calibration, shape (rows, columns): the members', weighted as they are."""
        out = np.zeros(rows.shape)
        for weight, member in zip(self.parameters[FIRST_MEMBER:], self.members, strict=True):
            out += weight * member.contributions(rows)
        return out

    @property
    def average(self) -> float:
        """The raw prediction of the average row learnt, before calibration."""
        weighted = zip(self.parameters[FIRST_MEMBER:], self.members, strict=True)
        return float(self.parameters[INTERCEPT]) + sum(
            float(weight) * each.average for weight, each in weighted
        )

    def apply(self, changes: Changes) -> None:
        """Go over to the version of these changes."""
        begin = 0
        for vector in (self.parameters, *(member.parameters for member in self.members)):
            if changes.is_whole:
                vector[:] = 0.0
            low, high = np.searchsorted(changes.indices, [begin, begin + vector.size])
            vector[changes.indices[low:high] - begin] = changes.values[low:high]
            begin += vector.size
        self._version = changes.version


class Blend:
    """The learner; see the module, and `Learner`.

    Attributes:
        drifts: how often drift has been found.
    """

    def __init__(self, columns: Sequence[FeatureColumn], declared: BlendParameters) -> None:
        self.declared = declared
        self.members = tuple(BinnedLinear(columns, member, BLOCK) for member in declared.members)
        self.columns = self.members[0].columns
        self.published = BlendPredictor([member.published for member in self.members], declared)
        self.published.parameters[FIRST_MEMBER:] = 1.0 / len(self.members)
        self.loss = declared.members[0].loss
        self.squares: Floats = np.zeros(self.published.parameters.size)
        self.drifts = 0
        self._rising = RisingLoss()
        self._is_drifting = False
        self._first_rows: Floats = np.empty((0, len(self.columns)))
        self._first_labels: Floats = np.empty(0)
        self._open_rows: Floats = np.empty((0, len(self.columns)))
        self._open_labels: Floats = np.empty(0)
        self._cut: Floats | None = None

    @property
    def version(self) -> int:
        """How many rows it has learnt, or keeps until the end of their block."""
        return self.members[0].version + self._open_labels.size + self._first_labels.size

    @property
    def kind(self) -> str:
        """What its state belongs to."""
        told = repr((self.declared, [member.kind for member in self.members]))
        return f"blend/{_FORMAT}/{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def predict(self, rows: Floats) -> Floats:
        """Predict each row with what is learnt so far."""
        return self.published.predict(check_rows(rows, self.columns))

    def contributions(self, rows: Floats) -> Floats:
        """What each column adds, shape (rows, columns)."""
        return self.published.contributions(rows)

    def learn(self, rows: Floats, labels: Floats) -> Floats:
        """For each row in turn predict, then learn its label; what was predicted.

        Raises:
            ValueError: a label is none: not 0 or 1, or for values negative or not finite.
        """
        rows = check_rows(rows, self.columns)
        labels = check_labels(labels, rows.shape[0], self.loss)
        waiting = self._wait(rows, labels)
        pieces, begin = [waiting], waiting.size
        while begin < rows.shape[0]:
            end = rows.shape[0]
            if self.loss == "log":
                end = min(end, begin + _DRIFT_STEP - self.version % _DRIFT_STEP)
            pieces.append(self._learn(rows[begin:end], labels[begin:end]))
            if self.loss == "log":
                self._watch(pieces[-1], labels[begin:end])
            begin = end
        self.published._version = self.version  # noqa: SLF001 - its own predictor
        return np.concatenate(pieces)

    def _wait(self, rows: Floats, labels: Floats) -> Floats:
        """Keep the first rows until they tell the unit, then learn them; what was predicted for them."""
        parameters = self.published.parameters
        waiting = []
        for row, label in zip(rows, labels, strict=True):
            if parameters[UNIT] != 0.0:
                break
            waiting.append(float(parameters[INTERCEPT]))
            self._first_rows = np.concatenate([self._first_rows, row[np.newaxis]])
            self._first_labels = np.append(self._first_labels, label)
            mean = float(self._first_labels.sum() / self._first_labels.size)
            parameters[INTERCEPT] = mean
            count = self._first_labels.size
            if (mean > 0 and count >= _FIRST_LABELS) or count >= _MOST_FIRST_LABELS:
                parameters[INTERCEPT], parameters[UNIT] = 0.0, mean if mean > 0 else 1.0
                first_rows, first_labels = self._first_rows, self._first_labels
                self._first_rows, self._first_labels = first_rows[:0].copy(), first_labels[:0].copy()
                self._learn(first_rows, first_labels)
        return np.array(waiting)

    def _learn(self, rows: Floats, labels: Floats) -> Floats:
        rates, parameters = self.published.rates, self.published.parameters
        labels = labels / parameters[UNIT] if self.loss == "poisson" else labels
        known = self._open_labels.size
        rows, labels = np.concatenate([self._open_rows, rows]), np.concatenate([self._open_labels, labels])
        whole = labels.size - labels.size % BLOCK
        raws = np.column_stack(
            [
                np.concatenate(
                    [member.learn_raw(rows[:whole], labels[:whole]), member.published.raw(rows[whole:])]
                )[known:]
                for member in self.members
            ]
        )
        self._open_rows, self._open_labels = rows[whole:].copy(), labels[whole:].copy()
        out = np.empty(raws.shape[0])
        learn_blend_rows(raws, labels[known:], rates, parameters, self.squares, out)
        return _scaled(means(out, rates), float(parameters[UNIT]))

    def _watch(self, predicted: Floats, labels: Floats) -> None:
        """Look for drift; where it was found, be as quick as at first again, from the end of some block on."""
        self._is_drifting |= self._rising.take((predicted - labels) ** 2) > 0
        if self._is_drifting and self.version % _DRIFT_STEP == 0:
            self._is_drifting = False
            self.drifts += 1
            for squares in (self.squares, *(member.squares for member in self.members)):
                np.minimum(squares, _SURE_AFTER_DRIFT, out=squares)

    def predictor(self) -> BlendPredictor:
        """A predictor that has applied nothing."""
        return BlendPredictor([member.predictor() for member in self.members], self.declared)

    def changes_since_cut(self) -> Changes:
        """Cut: the parameters that have changed since the cut before; at the first one, all that aren't zero."""
        now, is_whole = self.published.parameters, self._cut is None
        changed = changed_places(now, self._cut)
        self._cut = now.copy()
        indices, values, begin = [changed], [now[changed]], now.size
        for member in self.members:
            cut = member.changes_since_cut()
            indices.append(cut.indices + np.int32(begin))
            values.append(cut.values)
            begin += member.published.parameters.size
        return Changes(self.version, np.concatenate(indices), np.concatenate(values), is_whole)

    def state(self) -> LearnerState:
        """All that is learnt; what was cut is not part of it."""
        parts = {
            "parameters": self.published.parameters.copy(),
            "squares": self.squares.copy(),
            "first_rows": self._first_rows.copy(),
            "first_labels": self._first_labels.copy(),
            "open_rows": self._open_rows.copy(),
            "open_labels": self._open_labels.copy(),
            "members": tuple(member.state() for member in self.members),
            "drifts": self.drifts,
            "is_drifting": self._is_drifting,
            "rising": pickle.dumps(self._rising),
        }
        return LearnerState(self.kind, self.version, parts)

    def resume(self, state: LearnerState) -> None:
        """Go on from a state; raises StateError if it is another learner's."""
        state.require(self.kind)
        parts = state.parts
        for member, kept in zip(self.members, parts["members"], strict=True):
            member.resume(kept)
        self.published.parameters[:] = parts["parameters"]
        self.published._version = state.version  # noqa: SLF001 - its own predictor
        self.squares = parts["squares"].copy()
        self._first_rows, self._first_labels = parts["first_rows"].copy(), parts["first_labels"].copy()
        self._open_rows, self._open_labels = parts["open_rows"].copy(), parts["open_labels"].copy()
        self.drifts, self._is_drifting = parts["drifts"], parts["is_drifting"]
        self._rising = pickle.loads(parts["rising"])  # noqa: S301 - a learner's own state
        self._cut = None
