"""The champion as a River model: the same features, weights and sums of squares, to be used and learnt on there.

The features of a row are those bins and crosses that it hits, each with the value 1. From the row on at which a model
was exported, River's learns the same as long as the features stay the same, that is, until the next crosses are found.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from footfall.scoring.binned_linear import BinnedLinear, BinnedLinearPredictor
from footfall.scoring.binned_loops import INTERCEPT, Layout, Rates
from footfall.scoring.binning import (
    COARSE_BINS,
    COARSE_EDGES,
    FINE_BINS,
    FINE_EDGES,
    OCTAVE_BINS,
    code_words,
    edge_words,
    octave_words,
)
from footfall.scoring.blend import Blend
from footfall.scoring.blend_loops import FIRST_MEMBER
from footfall.scoring.crosses import CELLS
from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.learner import Floats

_CODE_BINS = 32
_SURE = 30.0


def features(predictor: BinnedLinearPredictor, row: Floats) -> dict[str, float]:
    """The features of one row, of shape (columns,), in the order in which they are summed."""
    return {feature_name(predictor, int(place)): 1.0 for place in predictor.active(row)}


def feature_name(predictor: BinnedLinearPredictor, place: int) -> str:
    """What the weight at a place of the vector of parameters is of, as `visits [8, 12)`."""
    at, columns = predictor.at, predictor.columns
    if place < at.fine:
        column, bin_ = divmod(place - at.octaves, OCTAVE_BINS)
        words = (
            code_words(bin_, columns[column].words, _CODE_BINS)
            if predictor.categories[column]
            else octave_words(bin_)
        )
        return f"{columns[column].name} {words}"
    if place < at.fine_edges:
        column, bin_ = divmod(place - at.fine, FINE_BINS)
        edges = at.fine_edges + column * FINE_EDGES
        words = edge_words(bin_, predictor.parameters[edges : edges + FINE_EDGES])
        return f"{columns[column].name} cut {words}"
    cross, cell = divmod(place - at.crosses, CELLS)
    pair = zip(predictor.crosses[cross], divmod(cell, COARSE_BINS), strict=True)
    return " x ".join(_coarse_name(predictor, column, bin_) for column, bin_ in pair)


def _coarse_name(predictor: BinnedLinearPredictor, column: int, bin_: int) -> str:
    declared: FeatureColumn = predictor.columns[column]
    if predictor.categories[column]:
        return f"{declared.name} {code_words(bin_, declared.words, COARSE_BINS - 1)}"
    edges = predictor.at.coarse_edges + column * COARSE_EDGES
    return f"{declared.name} {edge_words(bin_, predictor.parameters[edges : edges + COARSE_EDGES])}"


def weight_places(learner: BinnedLinear) -> list[int]:
    """The places of the weights that have learnt anything, in their order."""
    at = learner.published.at
    return [place for place in np.flatnonzero(learner.squares).tolist() if _is_weight(at, place)]


def to_river(learner: BinnedLinear) -> Any:
    """A River model with the learner's weights: LogisticRegression, or for values LinearRegression."""
    predictor = learner.published
    at = predictor.at
    learnt = np.flatnonzero(learner.squares)
    names = {
        int(place): feature_name(predictor, int(place)) for place in learnt if _is_weight(at, int(place))
    }
    return _model(
        predictor.rates,
        learner.declared.loss,
        intercept=float(predictor.parameters[INTERCEPT]),
        weights={name: float(predictor.parameters[place]) for place, name in names.items()},
        squares={name: float(learner.squares[place]) for place, name in names.items()},
        version=learner.version,
    )


def blend_features(raws: Sequence[float]) -> dict[str, float]:
    """The features of a blend's own regression: its members' raw predictions."""
    return {f"member {number}": max(min(raw, _SURE), -_SURE) for number, raw in enumerate(raws)}


def blend_to_river(learner: Blend) -> Any:
    """A River model with the weights of a blend's own regression; its members are `to_river` of each."""
    parameters = learner.published.parameters
    names = [f"member {number}" for number in range(len(learner.members))]
    return _model(
        learner.published.rates,
        learner.loss,
        intercept=float(parameters[INTERCEPT]),
        weights=dict(zip(names, parameters[FIRST_MEMBER:].tolist(), strict=True)),
        squares=dict(zip(names, learner.squares[FIRST_MEMBER:].tolist(), strict=True)),
        version=learner.version,
    )


def _is_weight(at: Layout, place: int) -> bool:
    return at.octaves <= place < at.fine_edges or place >= at.crosses


def _model(
    rates: Rates,
    loss: str,
    *,
    intercept: float,
    weights: dict[str, float],
    squares: dict[str, float],
    version: int,
) -> Any:
    from river import linear_model, optim  # noqa: PLC0415 - takes a second to load
    from river.utils import VectorDict  # noqa: PLC0415

    optimizer = optim.AdaGrad(rates.rate, rates.eps)
    settings: dict[str, Any] = {
        "l2": rates.l2,
        "intercept_lr": rates.intercept_rate,
        "clip_gradient": rates.clip,
        "intercept_init": intercept,
    }
    model: Any = (
        linear_model.LogisticRegression(optimizer, **settings)
        if loss == "log"
        else linear_model.LinearRegression(optimizer, loss=optim.losses.Poisson(), **settings)
    )
    model._weights = VectorDict(weights, optim.initializers.Zeros())  # noqa: SLF001 - River has no way to set weights
    optimizer.g2.update(squares)
    optimizer.n_iterations = version
    return model
