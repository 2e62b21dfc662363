"""What the step of the models should say, in plain Python: tick after tick, with all moments and labels at hand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from footfall.hashing import hex_names, text_seed
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.learners import default_learner, new_learner
from footfall.scoring.prediction_loops import prediction_ids
from footfall.scoring.shard_scores import ShardScoring


@dataclass(frozen=True)
class Told:
    """A prediction, and the score that was told with it: `change` is None for a first one; untold: no score."""

    prediction: str
    time: int
    predicted: float
    version: int
    score: float | None
    change: float | None


@dataclass(frozen=True)
class _Moment:
    time: int
    visitor: tuple[int, int]
    identity: tuple[int, int]
    prediction: str
    row: tuple[float, ...]


@dataclass(frozen=True)
class _Label:
    due: int
    visitor: tuple[int, int]
    prediction: str
    value: float
    identity: tuple[int, int]


def expected(parts: Sequence[ShardScoring], plan: FeaturePlan, tick: int) -> dict[str, list[Told]]:
    """For each model its predictions, by time; `parts` are those of a whole input, up to its end."""
    settled = min(
        max(part.until for part in parts if part.shard == shard) for shard in {p.shard for p in parts}
    )
    complete = (settled + 1) // tick - 1
    return {
        model.name: _of_model(parts, plan, number, tick, complete - 1)
        for number, model in enumerate(plan.models)
    }


def _of_model(
    parts: Sequence[ShardScoring], plan: FeaturePlan, number: int, tick: int, last: int
) -> list[Told]:
    model = plan.models[number]
    kind: Any = "value" if model.label.kind == "earns" else "probability"
    learner = new_learner(model.learner or default_learner(kind), model.columns, kind)
    moments = sorted(_moments(parts, plan, number), key=lambda each: (each.time, each.visitor, each.identity))
    labels = sorted(_labels(parts, number), key=lambda each: (each.due, each.visitor, each.identity))
    waiting: dict[str, tuple[float, ...]] = {}
    found, learnt, total = [], 0, 0.0
    shown: dict[tuple[int, int], tuple[float, int]] = {}
    pending = list(moments)
    while pending:
        now = pending[0].time // tick
        while labels and labels[0].due // tick <= min(now - 2, last):
            label = labels.pop(0)
            learner.learn(np.array([waiting.pop(label.prediction)]), np.array([label.value]))
            learnt, total = learnt + 1, total + label.value
        while pending and pending[0].time // tick == now:
            moment = pending.pop(0)
            predicted = float(learner.predict(np.array([moment.row]))[0])
            score = 100 * predicted
            if kind == "value":
                mean = total / learnt if learnt else 0.0
                score = 100 * predicted / (predicted + mean) if mean > 0 else 0.0
            band = max(n for n, edge in enumerate(model.bands.values()) if predicted >= edge or n == 0)
            before, band_before = shown.get(moment.visitor, (math.nan, -1))
            moves = math.isnan(before) or abs(score - before) >= model.changed_by or band != band_before
            if moves:
                shown[moment.visitor] = score, band
            waiting[moment.prediction] = moment.row
            found.append(
                Told(
                    moment.prediction,
                    moment.time,
                    predicted,
                    learnt,
                    score if moves else None,
                    None if not moves or math.isnan(before) else score - before,
                )
            )
    return found


def _moments(parts: Sequence[ShardScoring], plan: FeaturePlan, number: int) -> list[_Moment]:
    seed = np.uint64(text_seed(plan.models[number].name))
    found = []
    for part in parts:
        high, low = np.empty(part.moments.size, np.uint64), np.empty(part.moments.size, np.uint64)
        prediction_ids(part.moments, seed, high, low)
        names = hex_names(high, low).to_list()
        for place, moment in enumerate(part.moments):
            if (int(moment["models"]) >> number) & 1:
                found.append(
                    _Moment(
                        int(moment["time"]),
                        (int(moment["high"]), int(moment["low"])),
                        (int(moment["id_high"]), int(moment["id_low"])),
                        names[place],
                        tuple(part.rows[place][plan.columns[number]].tolist()),
                    )
                )
    return found


def _labels(parts: Sequence[ShardScoring], number: int) -> list[_Label]:
    found = []
    for part in parts:
        own = part.labels[part.labels["model"] == number]
        names = hex_names(own["id_high"].copy(), own["id_low"].copy()).to_list()
        for name, label in zip(names, own, strict=True):
            visitor = int(label["high"]), int(label["low"])
            identity = int(label["id_high"]), int(label["id_low"])
            found.append(_Label(int(label["due"]), visitor, name, float(label["value"]), identity))
    return found
