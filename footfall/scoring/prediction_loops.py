"""The compiled loops over predictions that wait for their outcome, and over scores told last."""

from typing import Any

import numpy as np

from footfall.clock import NEVER
from footfall.compiled import compiled
from footfall.record_table import KEYED, USED, find_record, free_place, mark_changed, new_place
from footfall.scoring.feature_loops import prediction_words


def awaiting(learners: int, columns: int) -> np.dtype[np.void]:
    """The type of a prediction that waits: what each learner predicted, and from which features."""
    return np.dtype([*KEYED, ("predicted", np.float64, (learners,)), ("row", np.float64, (columns,))])


def told(models: int) -> np.dtype[np.void]:
    """The type of what a visitor's scores were when they were told last (NaN: never), and of their last moments."""
    each = (models,)
    return np.dtype([*KEYED, ("time", np.int64, each), ("score", np.float64, each), ("band", np.int64, each)])


@compiled
def prediction_ids(moments: Any, seed: Any, high: Any, low: Any) -> None:
    """The ids of a model's predictions at these moments."""
    for i in range(moments.size):
        high[i], low[i] = prediction_words(moments[i].id_high, moments[i].id_low, seed)


@compiled
def keep_predictions(
    index: Any, records: Any, places: Any, changed: Any, high: Any, low: Any, predicted: Any, rows: Any
) -> None:
    """Have predictions wait; there must be room. One that waits already is left alone."""
    for i in range(high.size):
        if find_record(index, records, high[i], low[i]) >= 0:
            continue
        place = new_place(index, records, places, high[i], low[i])
        record = records[place]
        for k in range(predicted.shape[1]):
            record.predicted[k] = predicted[i, k]
        for k in range(rows.shape[1]):
            record.row[k] = rows[i, k]
        mark_changed(records, place, places, changed)


@compiled
def take_predictions(
    index: Any, records: Any, places: Any, changed: Any, labels: Any, predicted: Any, rows: Any, found: Any
) -> None:
    """Take out the predictions that these labels are about."""
    for i in range(labels.size):
        place = find_record(index, records, labels[i].id_high, labels[i].id_low)
        found[i] = place >= 0
        if place < 0:
            continue
        record = records[place]
        for k in range(predicted.shape[1]):
            predicted[i, k] = record.predicted[k]
        for k in range(rows.shape[1]):
            rows[i, k] = record.row[k]
        free_place(index, records, places, changed, place)


@compiled
def moved_scores(
    index: Any, records: Any, places: Any, changed: Any, moments: Any, model: Any, scores: Any, bands: Any,
    least: Any, horizon: Any, before: Any,
) -> None:  # fmt: skip
    """Which scores are to be told: the first of a visitor, and those that have moved far or into another band.

    `before` gets the score that was told last (NaN: none) where one is to be told, and infinity elsewhere. What was
    told of a visitor is forgotten once the model has had no moment of theirs for more than `horizon` ms. There must be
    room for every visitor.
    """
    for i in range(moments.size):
        high = moments[i].high
        low = moments[i].low
        place = find_record(index, records, high, low)
        if place < 0:
            place = new_place(index, records, places, high, low)
            for k in range(records[place].score.size):
                records[place].score[k] = np.nan
                records[place].time[k] = NEVER
        time = moments[i].time
        last = records[place].score[model]
        if not np.isnan(last) and time - records[place].time[model] > horizon:
            # By event time, whether or not `forget_told` has come by.
            last = np.nan
        records[place].time[model] = time
        mark_changed(records, place, places, changed)
        if np.isnan(last) or abs(scores[i] - last) >= least or records[place].band[model] != bands[i]:
            before[i] = last
            records[place].score[model] = scores[i]
            records[place].band[model] = bands[i]
        else:
            before[i] = np.inf


@compiled
def forget_told(index: Any, records: Any, places: Any, changed: Any, before: Any) -> None:
    """Free the places of visitors whose last moment was before a time."""
    for place in range(places[1]):
        if records[place].flags & USED and records[place].time.max() < before:
            free_place(index, records, places, changed, place)
