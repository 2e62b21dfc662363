"""The learners that a model may name as its champion or a challenger.

`binned_logistic` (probabilities) and `binned_poisson` (values) are the defaults, chosen by measurement
(`benchmarks/model_quality.py`). The others are River's. `NAME@SHARE`, as `adaptive_forest@0.1`, learns from that share
of the rows alone, evenly spread.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from footfall.errors import UsageError
from footfall.scoring.binned_linear import BinnedLinearParameters
from footfall.scoring.blend import Blend, BlendParameters
from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.learner import Learner
from footfall.scoring.river_learner import Kind, RiverLearner
from footfall.setting_kinds import closest

_SEED = 20


def binned_logistic() -> BlendParameters:
    """The champion of probabilities: two broad learners of octaves, slow and middling, and a quick one of quantiles."""
    broad = BinnedLinearParameters(
        rate=0.01,
        eps=0.1,
        fine_share=0.1,
        coarse_share=1.0,
        warm_up=64,
        search_every=64,
        crosses_at_once=8,
        most_crosses=64,
    )
    return BlendParameters(
        (broad, replace(broad, rate=0.04), BinnedLinearParameters(rate=0.12, eps=0.1)),
        rate=0.1,
    )


def binned_poisson() -> BlendParameters:
    """The champion of values: as that of probabilities, at half the pace, and steady under outliers."""
    return BlendParameters(
        (
            BinnedLinearParameters(
                loss="poisson",
                rate=0.02,
                eps=0.3,
                clip=30.0,
                fine_share=0.1,
                coarse_share=1.0,
                warm_up=64,
                search_every=64,
                crosses_at_once=8,
                most_crosses=64,
            ),
            BinnedLinearParameters(loss="poisson", rate=0.05, eps=0.3, clip=30.0),
        ),
        rate=0.02,
    )


def _scaled_logistic() -> Any:
    from river import compose, linear_model, optim, preprocessing  # noqa: PLC0415 - takes a second to load

    numbers = compose.SelectType(float) | preprocessing.StandardScaler()
    categories = compose.SelectType(str) | preprocessing.OneHotEncoder()
    return (numbers + categories) | linear_model.LogisticRegression(optim.AdaGrad(0.1))


def _adaptive_tree(kind: Kind) -> Any:
    from river import tree  # noqa: PLC0415 - takes a second to load

    if kind == "probability":
        return tree.HoeffdingAdaptiveTreeClassifier(seed=_SEED)
    return tree.HoeffdingAdaptiveTreeRegressor(leaf_prediction="mean", seed=_SEED)


def _adaptive_forest(kind: Kind) -> Any:
    from river import forest  # noqa: PLC0415 - takes a second to load

    if kind == "probability":
        return forest.ARFClassifier(n_models=10, seed=_SEED)
    # Linear models in the leaves take no text, which categories are.
    return forest.ARFRegressor(n_models=10, leaf_prediction="mean", seed=_SEED)


def _bagged_logistic() -> Any:
    from river import ensemble  # noqa: PLC0415 - takes a second to load

    return ensemble.ADWINBaggingClassifier(_scaled_logistic(), n_models=5, seed=_SEED)


_BLENDS: Mapping[str, tuple[Kind, Callable[[], BlendParameters]]] = {
    "binned_logistic": ("probability", binned_logistic),
    "binned_poisson": ("value", binned_poisson),
}
_RIVER: Mapping[tuple[str, Kind], Callable[[], Any]] = {
    ("scaled_logistic", "probability"): _scaled_logistic,
    ("bagged_logistic", "probability"): _bagged_logistic,
    ("adaptive_tree", "probability"): partial(_adaptive_tree, "probability"),
    ("adaptive_tree", "value"): partial(_adaptive_tree, "value"),
    ("adaptive_forest", "probability"): partial(_adaptive_forest, "probability"),
    ("adaptive_forest", "value"): partial(_adaptive_forest, "value"),
}


def default_learner(kind: Kind) -> str:
    """The champion of models that name none."""
    return next(name for name, (of, _) in _BLENDS.items() if of == kind)


def learner_names(kind: Kind) -> tuple[str, ...]:
    """The learners there are for a kind of prediction."""
    blends = (name for name, (of, _) in _BLENDS.items() if of == kind)
    return (*blends, *(name for name, of in _RIVER if of == kind))


def check_learner(name: str, kind: Kind) -> tuple[str, float]:
    """A learner's name without its sample, and the share of the rows that it learns from.

    Raises:
        UsageError: there is no such learner for that kind of prediction, or its sample is no share.
    """
    base, has_share, share = name.partition("@")
    if base not in learner_names(kind):
        names = learner_names(kind)
        raise UsageError(
            f"there is no learner {base!r} for a {kind}{closest(base, list(names))}; there are {', '.join(names)}"
        )
    if base in _BLENDS and has_share:
        raise UsageError(f"learner {name}: {base} learns from all rows; leave out @{share}")
    try:
        sample = float(share) if has_share else 1.0
    except ValueError as error:
        raise UsageError(f"learner {name}: a sample is a share such as 0.1, not {share!r}") from error
    if not 0 < sample <= 1:
        raise UsageError(f"learner {name}: a sample is a share above 0, up to 1, not {share}")
    return base, sample


def new_learner(name: str, columns: Sequence[FeatureColumn], kind: Kind) -> Learner:
    """Make a learner that has learnt nothing; "" for the default.

    Raises:
        UsageError: there is no such learner for that kind of prediction.
    """
    base, sample = check_learner(name or default_learner(kind), kind)
    if base in _BLENDS:
        return Blend(columns, _BLENDS[base][1]())
    return RiverLearner(base, columns, kind, _RIVER[base, kind], sample=sample)
