"""The champion: a linear model over binned numbers and crosses of bins, learnt row by row by AdaGrad.

It is River's `LogisticRegression` (or `LinearRegression` with the Poisson loss) with River's `AdaGrad` over a
dictionary of features that are 1 where a bin is hit (`features`), in one compiled loop over columns. What it adds is
which features there are: after `warm_up` rows edges are cut through what those rows held (`binning`), and from then on
pairs of columns that would gain most become crosses (`crosses`), at rows fixed in advance. Features that come
later begin with weight zero. All of it depends on the rows and their order alone, not on batches.

Log loss is not weighted by class: rare positives keep their probabilities, and rank as well. The Poisson loss has a
logarithmic link: its prediction is the expected value, zeros and tails included. Labels should be around 1 there; a
`Blend` sees to that.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from footfall.errors import UsageError
from footfall.scoring.binned_loops import (
    CROSSES,
    INTERCEPT,
    IS_CUT,
    LOG,
    POISSON,
    Layout,
    Rates,
    active_places,
    coarse_bins,
    contribute_rows,
    layout,
    learn_rows,
    mean_rows,
    raw_rows,
)
from footfall.scoring.binning import COARSE_EDGES, FINE_EDGES, cut_edges
from footfall.scoring.crosses import CELLS, PRIOR, best_pairs, candidate_pairs, pair_scores
from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.learner import Changes, Floats, LearnerState, check_rows

_FORMAT = 1
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class BinnedLinearParameters:
    """How a binned linear model learns; the defaults are chosen by measurement.

    Attributes:
        loss: `log` for probabilities; `poisson` for values.
        rate: AdaGrad's learning rate (River's `lr`).
        eps: what AdaGrad's sum of squares begins at (River's `eps`): the larger, the smaller the first steps.
        intercept_rate: the intercept's constant learning rate (River's `intercept_lr`).
        l2: River's penalty, on the weights that a row switches on.
        clip: the greatest slope of the loss (River's `clip_gradient`).
        fine_share: where three octaves hold more than this share of the first rows, fine edges split them at quantiles.
        coarse_share: likewise, coarse edges; 1 for octaves alone.
        warm_up: after so many rows edges are cut, and crosses looked for.
        search_every: crosses are added after so many further rows, and then after each eighth of the rows so far.
        crosses_at_once: at most so many are added then.
        most_crosses: at most so many on the whole.
    """

    loss: Literal["log", "poisson"] = "log"
    rate: float = 0.05
    eps: float = 1.0
    intercept_rate: float = 0.01
    l2: float = 0.0
    clip: float = 1e12
    fine_share: float = 0.05
    coarse_share: float = 0.25
    warm_up: int = 512
    search_every: int = 256
    crosses_at_once: int = 4
    most_crosses: int = 32

    def __post_init__(self) -> None:
        if min(self.rate, self.eps, self.clip) <= 0 or min(self.intercept_rate, self.l2) < 0:
            raise UsageError(f"a binned linear model's rates, eps and clip are above zero: {self}")
        if min(self.warm_up, self.search_every, self.crosses_at_once) < 1 or self.most_crosses < 0:
            raise UsageError(f"a binned linear model counts rows and crosses from 1 on: {self}")

    @property
    def rates(self) -> Rates:
        """As the loops take them."""
        return Rates(
            POISSON if self.loss == "poisson" else LOG,
            float(self.rate),
            float(self.eps),
            float(self.intercept_rate),
            float(self.l2),
            float(self.clip),
        )


def means(raws: Floats, rates: Rates) -> Floats:
    """What raw predictions stand for: probabilities, or values."""
    out = np.empty(raws.size)
    mean_rows(raws, rates, out)
    return out


def check_labels(labels: Floats, rows: int, loss: str) -> Floats:
    """The labels as the loops need them; raises ValueError where they aren't labels for that loss."""
    labels = np.ascontiguousarray(labels, np.float64)
    if labels.shape != (rows,):
        raise ValueError(f"there must be one label a row, {rows}, not {labels.shape}")
    if loss == "log":
        if not np.all((labels == 0) | (labels == 1)):
            raise ValueError("labels must be 0 or 1")
    elif not np.all(np.isfinite(labels) & (labels >= 0)):
        raise ValueError("labels must be finite and not negative")
    return labels


def changed_places(now: Floats, before: Floats | None) -> npt.NDArray[np.int32]:
    """Where a vector has other bits than before; without a before, where it isn't zero."""
    if before is None:
        return np.flatnonzero(now).astype(np.int32)
    return np.flatnonzero(now.view(np.int64) != before.view(np.int64)).astype(np.int32)


class BinnedLinearPredictor:
    """Predicts with the parameters that a `BinnedLinear` has published; see `Predictor`.

    Attributes:
        columns: what the rows hold.
        parameters: the vector; see `binned_loops`.
    """

    def __init__(self, columns: Sequence[FeatureColumn], declared: BinnedLinearParameters) -> None:
        self.columns = tuple(columns)
        self.declared = declared
        self.at: Layout = layout(len(self.columns), declared.most_crosses)
        self.categories = np.array([column.kind == "category" for column in self.columns], np.bool_)
        self.parameters: Floats = np.zeros(self.at.size)
        self.rates = declared.rates
        self._version = 0

    @property
    def version(self) -> int:
        """How many rows its parameters have been learnt from."""
        return self._version

    def predict(self, rows: Floats) -> Floats:
        """Predict each row."""
        return means(self.raw(rows), self.rates)

    def raw(self, rows: Floats) -> Floats:
        """Each row's raw prediction: log-odds, or the value's logarithm."""
        rows = check_rows(rows, self.columns)
        out = np.empty(rows.shape[0])
        raw_rows(rows, self.categories, self.at, self.parameters, out)
        return out

    def contributions(self, rows: Floats) -> Floats:
        """What each column adds, shape (rows, columns); with `average` they sum to the raw prediction."""
        rows = check_rows(rows, self.columns)
        out = np.zeros(rows.shape)
        contribute_rows(rows, self.categories, self.at, self.parameters, out)
        return out

    @property
    def average(self) -> float:
        """The raw prediction (log-odds, or the value's logarithm) of the average row learnt."""
        averages = self.parameters[self.at.averages : self.at.averages + len(self.columns)]
        return float(self.parameters[INTERCEPT]) + float(averages.sum())

    def apply(self, changes: Changes) -> None:
        """Go over to the version of these changes."""
        if changes.is_whole:
            self.parameters[:] = 0.0
        self.parameters[changes.indices] = changes.values
        self._version = changes.version

    def active(self, row: Floats) -> npt.NDArray[np.int64]:
        """The places of the weights that one row, of shape (columns,), switches on."""
        places: npt.NDArray[np.int64] = active_places(
            np.ascontiguousarray(row, np.float64), self.categories, self.at, self.parameters
        )
        return places

    @property
    def crosses(self) -> tuple[tuple[int, int], ...]:
        """The pairs of columns that are crossed, in the order in which they were found."""
        count = int(self.parameters[CROSSES])
        pairs = self.parameters[self.at.pairs : self.at.pairs + 2 * count].astype(np.int64).reshape(-1, 2)
        return tuple((int(first), int(second)) for first, second in pairs)


class BinnedLinear:
    """The learner; see the module, and `Learner`.

    Its state is its parameters, as many sums of squares, the first `warm_up` rows until edges are cut, and the sums of
    the candidates (2 KiB each) until all crosses are found.
    """

    def __init__(
        self, columns: Sequence[FeatureColumn], declared: BinnedLinearParameters | None = None, block: int = 1
    ) -> None:
        """Begin with nothing learnt; `block`: see `learn_raw`. All that is due at a row waits for its block's end."""
        self.block = block
        self.declared = declared or BinnedLinearParameters()
        self.published = BinnedLinearPredictor(columns, self.declared)
        self.columns = self.published.columns
        self.squares: Floats = np.zeros(self.published.at.size)
        self._tallies: Floats = np.zeros(3)
        self._warm_up = -(-self.declared.warm_up // block) * block
        self._first_rows: Floats = np.empty((self._warm_up, len(self.columns)))
        self._pairs = np.empty((0, 2), np.int32)
        self._sums = np.empty((0, CELLS, 2), np.float32)
        self._next_search = self._warm_up
        self._cut: Floats | None = None

    @property
    def version(self) -> int:
        """How many rows it has learnt."""
        return int(self._tallies[0])

    @property
    def kind(self) -> str:
        """What its state belongs to: its format, columns and parameters."""
        told = repr(
            (asdict(self.declared), self.block, [(column.name, column.kind) for column in self.columns])
        )
        return f"binned_linear/{_FORMAT}/{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def predict(self, rows: Floats) -> Floats:
        """Predict each row with what is learnt so far."""
        return self.published.predict(rows)

    def contributions(self, rows: Floats) -> Floats:
        """What each column adds, shape (rows, columns)."""
        return self.published.contributions(rows)

    def learn(self, rows: Floats, labels: Floats) -> Floats:
        """For each row in turn predict, then learn its label; what was predicted.

        Raises:
            ValueError: a label is none: not 0 or 1, or for values negative or not finite.
        """
        return means(self.learn_raw(rows, labels), self.published.rates)

    def learn_raw(self, rows: Floats, labels: Floats) -> Floats:
        """As `learn`; returns raw predictions, each made before any row of its block was learnt.

        A block is so many rows after each other, the first of all begins one. Where `block` isn't 1, whole blocks alone
        are to be given.
        """
        rows = check_rows(rows, self.columns)
        labels = check_labels(labels, rows.shape[0], self.declared.loss)
        out = np.empty(rows.shape[0])
        begin = 0
        while begin < rows.shape[0]:
            end = min(rows.shape[0], begin + self._next_search - self.version)
            part = slice(begin, end)
            if self.version < self._warm_up:
                self._first_rows[self.version : self.version + end - begin] = rows[part]
            learn_rows(
                rows[part], labels[part], self.published.categories, self.published.at, self.published.rates,
                self.block, self.published.parameters, self.squares, self._tallies, self._pairs, self._sums, out[part],
            )  # fmt: skip
            begin = end
            if self.version == self._next_search:
                self._search()
        self.published._version = self.version  # noqa: SLF001 - its own predictor
        return out

    def _search(self) -> None:
        """Cut edges if it is time, or make the best candidates crosses; and say when to do so next."""
        parameters = self.published.parameters
        if parameters[IS_CUT] == 0.0:
            self._cut_edges()
        else:
            room = self.declared.most_crosses - int(parameters[CROSSES])
            dispersion = max(self._tallies[1] / max(self._tallies[2], 1e-300), 1e-300)
            scores = pair_scores(self._sums, dispersion, PRIOR)
            found = best_pairs(scores, min(room, self.declared.crosses_at_once))
            for pair in found:
                place = self.published.at.pairs + 2 * int(parameters[CROSSES])
                parameters[place : place + 2] = self._pairs[pair]
                parameters[CROSSES] += 1.0
            if found.size:
                rest = np.ones(self._pairs.shape[0], np.bool_)
                rest[found if found.size < room else slice(None)] = False
                self._pairs, self._sums = self._pairs[rest], self._sums[rest]
        step = -(-max(self.declared.search_every, self.version // 8) // self.block) * self.block
        self._next_search = self.version + step if self._pairs.size else _NEVER

    def _cut_edges(self) -> None:
        at, parameters = self.published.at, self.published.parameters
        for column in range(len(self.columns)):
            if self.published.categories[column]:
                continue
            values = self._first_rows[:, column]
            fine = at.fine_edges + column * FINE_EDGES
            coarse = at.coarse_edges + column * COARSE_EDGES
            parameters[fine : fine + FINE_EDGES] = cut_edges(values, self.declared.fine_share, FINE_EDGES)
            parameters[coarse : coarse + COARSE_EDGES] = cut_edges(
                values, self.declared.coarse_share, COARSE_EDGES
            )
        parameters[IS_CUT] = 1.0
        bins = coarse_bins(self._first_rows, self.published.categories, at, parameters)
        varying = np.flatnonzero(np.any(bins != bins[0], axis=0))
        self._first_rows = np.empty((0, len(self.columns)))
        if self.declared.most_crosses:
            self._pairs = candidate_pairs(varying)
            self._sums = np.zeros((self._pairs.shape[0], CELLS, 2), np.float32)

    def predictor(self) -> BinnedLinearPredictor:
        """A predictor that has applied nothing."""
        return BinnedLinearPredictor(self.columns, self.declared)

    def changes_since_cut(self) -> Changes:
        """Cut: the parameters that have changed since the cut before; at the first one, all that aren't zero."""
        now, is_whole = self.published.parameters, self._cut is None
        changed = changed_places(now, self._cut)
        self._cut = now.copy()
        return Changes(self.version, changed, now[changed], is_whole)

    def state(self) -> LearnerState:
        """All that is learnt; what was cut is not part of it."""
        parts: dict[str, Any] = {
            "parameters": _thinned(self.published.parameters),
            "squares": _thinned(self.squares),
            "tallies": self._tallies.copy(),
            "first_rows": self._first_rows[: self.version].copy(),
            "pairs": self._pairs.copy(),
            "sums": _thinned(self._sums.reshape(-1)),
            "next_search": self._next_search,
        }
        return LearnerState(self.kind, self.version, parts)

    def resume(self, state: LearnerState) -> None:
        """Go on from a state; raises StateError if it is another learner's."""
        state.require(self.kind)
        parts = state.parts
        self.published.parameters[:] = _filled(parts["parameters"])
        self.published._version = state.version  # noqa: SLF001 - its own predictor
        self.squares[:] = _filled(parts["squares"])
        self._tallies = parts["tallies"].copy()
        is_warm = bool(self.published.parameters[IS_CUT])
        self._first_rows = np.empty((0 if is_warm else self._warm_up, len(self.columns)))
        self._first_rows[: state.version if not is_warm else 0] = parts["first_rows"]
        self._pairs = parts["pairs"].copy()
        self._sums = _filled(parts["sums"]).reshape(-1, CELLS, 2)
        self._next_search = int(parts["next_search"])
        self._cut = None


def _thinned(vector: npt.NDArray[Any]) -> tuple[int, npt.NDArray[np.int32], npt.NDArray[Any]]:
    """A vector's size, the places of what isn't zero, and that: most bins never occur."""
    places = np.flatnonzero(vector).astype(np.int32)
    return vector.size, places, vector[places]


def _filled(thinned: tuple[int, npt.NDArray[np.int32], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    size, places, values = thinned
    vector = np.zeros(size, values.dtype)
    vector[places] = values
    return vector
