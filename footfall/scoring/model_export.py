"""`footfall models export`: the champion of a model as a run's state folder has it, for people or for River.

As JSON it is the parameters in words: each bin and each cross of bins with its weight, which is what it adds to the
log-odds (or to the logarithm of a value). As a pickle it is River's models with the same weights.
"""

import json
import math
import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from footfall.dataflow import MODELS_KEY
from footfall.errors import SinkError, StateError, UsageError
from footfall.polars_condition import JsonValue
from footfall.scoring.binned_linear import BinnedLinear
from footfall.scoring.binned_loops import INTERCEPT
from footfall.scoring.blend import Blend
from footfall.scoring.blend_loops import FIRST_KNOT, FIRST_MEMBER, KNOTS, UNIT
from footfall.scoring.champions import learners_of, prediction_kind
from footfall.scoring.learner import Learner
from footfall.scoring.learners import new_learner
from footfall.scoring.model_list import models_of, named_model
from footfall.scoring.river_learner import RiverLearner
from footfall.scoring.river_twin import blend_to_river, feature_name, to_river, weight_places
from footfall.scoring.score_model import ScoreModel
from footfall.settings import Settings

FORMAT = "footfall.model/1"
_WIDEST = 8.0
"""Where the first and the last knot of `footfall.scoring.blend_loops` lie, but for the sign."""
_SUFFIXES = (".json", ".pkl")
_HOW = {
    "probability": "raw = intercept + the members' weighted sums, each kept within -30 and 30; what the knots around "
    "it (kept within the first and the last) say, in a straight line between them, is added; the probability is "
    "1 / (1 + exp(-raw)). A member's sum is its intercept and the weights of the bins and crosses that a row hits.",
    "value": "raw as for a probability; the value is unit * exp(raw).",
}


@dataclass(frozen=True, slots=True)
class KeptLearner:
    """A learner as the last snapshot of a run has it."""

    model: ScoreModel
    name: str
    learner: Learner


def kept_champion(state: Path, model: ScoreModel, learner: str | None = None) -> KeptLearner:
    """The champion of a model, or another of its learners, as the last snapshot in a state folder has it.

    The run may be live; nothing is written.

    Raises:
        UsageError: the folder is none, no snapshot has the model, or it has no such learner.
        StateError: what is kept is of other features or learners.
    """
    names = learners_of(model)
    if learner is not None and learner not in names:
        raise UsageError(f"model {model.name} has no learner {learner!r}; there are {', '.join(names)}")
    if not (state / "recovery").is_dir():
        raise UsageError(f"{state} is no state folder of a run: name that of yours with --state")
    for kept in _snapshots(state / "recovery"):
        own = kept["models"].get(model.name)
        if own is None:
            break
        if tuple(own["names"]) != names:
            raise StateError(
                f"{state} has model {model.name} with the learners {', '.join(own['names'])}, and it is declared with "
                f"{', '.join(names)}: name the run's folder of patterns with --patterns"
            )
        number = own["champion"] if learner is None else names.index(learner)
        made = new_learner(names[number], model.columns, prediction_kind(model))
        made.resume(own["learners"][number])
        return KeptLearner(model, names[number], made)
    raise UsageError(f"no snapshot in {state} has model {model.name}: has the run read anything with it?")


def _snapshots(folder: Path) -> Iterator[dict[str, Any]]:
    """What the step of the models has kept, the latest first."""
    rows: list[tuple[int, bytes]] = []
    for part in sorted(folder.glob("*.sqlite3")):
        try:
            with closing(sqlite3.connect(f"{part.resolve().as_uri()}?mode=ro", uri=True)) as store:
                rows += store.execute(
                    "SELECT snap_epoch, ser_change FROM snaps WHERE state_key = ? AND ser_change IS NOT NULL",
                    (MODELS_KEY,),
                )
        except sqlite3.Error as error:
            raise StateError(f"{part} can't be read: {error}") from error
    for _, change in sorted(rows, key=lambda row: -row[0]):
        state = pickle.loads(change)  # noqa: S301 - a run's own state, pickled by Bytewax
        if state:
            yield pickle.loads(state)  # noqa: S301 - pickled by `ModelStep.snapshot`


def parameters(kept: KeptLearner) -> dict[str, JsonValue]:
    """A learner's parameters in words.

    Raises:
        UsageError: it is a learner that has none to speak of, such as a forest.
    """
    model, learner = kept.model, kept.learner
    about: dict[str, JsonValue] = {
        "format": FORMAT,
        "model": model.name,
        "title": model.title,
        "learner": kept.name,
        "labels": learner.version,
        "predicts": prediction_kind(model),
        "columns": [
            {"name": each.name, "kind": each.kind, "unit": each.unit, "description": each.description}
            for each in model.columns
        ],
    }
    if isinstance(learner, Blend):
        return about | _blend(learner, prediction_kind(model))
    found = _linear_weights(learner)
    if found is None:
        raise UsageError(
            f"{kept.name} has no weights that could be said in words; name a file that ends in .pkl for River's model"
        )
    intercept, weights = found
    return about | {
        "how": "Numbers are standardised, categories one-hot: a weight is for one standard deviation, or for the "
        "category. What was learnt of mean and deviation is in River's model (.pkl).",
        "intercept": intercept,
        "weights": _sorted([_weight(name, weight, {}) for name, weight in weights.items()]),
    }


def _blend(learner: Blend, kind: str) -> dict[str, JsonValue]:
    values = learner.published.parameters
    knots = np.linspace(-_WIDEST, _WIDEST, KNOTS)
    return {
        "how": _HOW[kind],
        "unit": float(values[UNIT]),
        "intercept": float(values[INTERCEPT]),
        "knots": [
            {"raw": float(raw), "adds": float(values[FIRST_KNOT + number])}
            for number, raw in enumerate(knots)
        ],
        "members": [
            {"weight": float(values[FIRST_MEMBER + number]), **_member(member)}
            for number, member in enumerate(learner.members)
        ],
    }


def _member(member: BinnedLinear) -> dict[str, JsonValue]:
    predictor = member.published
    weights = []
    for place in weight_places(member):
        is_cross = place >= predictor.at.crosses
        kind = "cross" if is_cross else "bin" if place < predictor.at.fine else "cut"
        weights.append(
            _weight(feature_name(predictor, place), float(predictor.parameters[place]), {"kind": kind})
        )
    return {"intercept": float(predictor.parameters[INTERCEPT]), "weights": _sorted(weights)}


def _weight(feature: str, weight: float, more: dict[str, JsonValue]) -> dict[str, JsonValue]:
    factor = math.exp(max(min(weight, 30.0), -30.0))
    return {"feature": feature, **more, "weight": weight, "says": f"times {factor:.3g}"}


def _sorted(weights: list[dict[str, JsonValue]]) -> list[JsonValue]:
    def strength(each: dict[str, JsonValue]) -> tuple[float, str]:
        return -abs(float(str(each["weight"]))), str(each["feature"])

    return list[JsonValue](sorted(weights, key=strength))


def _linear_weights(learner: Learner) -> tuple[float, dict[str, float]] | None:
    if not isinstance(learner, RiverLearner):
        return None
    last = list(getattr(learner.published.model, "steps", {"": None}).values())[-1]
    weights = getattr(last, "weights", None)
    if not isinstance(weights, dict):
        return None
    return float(last.intercept), {str(name): float(weight) for name, weight in weights.items()}


def river_models(kept: KeptLearner) -> dict[str, Any]:
    """A learner as River's models, to be pickled: `model`, or for a blend `members` and `blend` (see `river_twin`)."""
    about = {
        "format": FORMAT,
        "model_name": kept.model.name,
        "learner": kept.name,
        "labels": kept.learner.version,
    }
    if isinstance(kept.learner, Blend):
        members: Sequence[BinnedLinear] = kept.learner.members
        return about | {
            "members": [to_river(member) for member in members],
            "blend": blend_to_river(kept.learner),
        }
    if isinstance(kept.learner, RiverLearner):
        return about | {"model": kept.learner.published.model}
    raise UsageError(f"{kept.name} is no model of River's")


def export_model(
    settings: Settings, state: Path, name: str, learner: str | None, file: Path, *, as_json: bool
) -> int:
    """Run the command; the exit code.

    Args:
        settings: say the folder of patterns, which declares the model.
        state: the run's state folder.
        name: the model.
        learner: which of its learners; None for the champion.
        file: where to; its ending says as what.
        as_json: print one JSON object about it.

    Raises:
        UsageError: the file's ending, the model or the state won't do.
        SinkError: the file can't be written.
    """
    if file.suffix not in _SUFFIXES:
        raise UsageError(
            f"{file} ends in neither .json (weights in words) nor .pkl (River's models): name one that does"
        )
    kept = kept_champion(state, named_model(models_of(settings), name), learner)
    if file.suffix == ".json":
        content = (json.dumps(parameters(kept), indent=1, ensure_ascii=False) + "\n").encode()
    else:
        content = pickle.dumps(river_models(kept))
    try:
        file.write_bytes(content)
    except OSError as error:
        raise SinkError(f"the model can't be written to {file}: {error.strerror or error}") from error
    if as_json:
        about = {"model": name, "learner": kept.name, "labels": kept.learner.version}
        print(json.dumps({**about, "file": str(file), "bytes": len(content)}))
    else:
        print(f"{file}: {kept.name} of model {name}, after {kept.learner.version:,} labels")
    return 0
