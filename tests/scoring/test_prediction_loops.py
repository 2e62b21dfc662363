"""The loops over predictions that wait and over scores told last, against plain Python."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.hashing import hash_texts, text_seed
from footfall.record_table import RecordTable
from footfall.scoring.feature_loops import LABEL, MOMENT
from footfall.scoring.prediction_loops import (
    awaiting,
    forget_told,
    keep_predictions,
    moved_scores,
    prediction_ids,
    take_predictions,
    told,
)

HORIZON = 1_000


def moments_of(visitors: list[int], times: list[int]) -> npt.NDArray[np.void]:
    moments = np.zeros(len(visitors), MOMENT)
    moments["high"], moments["low"], moments["time"] = visitors, 7, times
    moments["id_high"], moments["id_low"] = np.arange(len(visitors)), visitors
    return moments


def test_ids_differ_by_moment_and_model() -> None:
    moments = moments_of(list(range(100)), [0] * 100)
    moments["id_high"], moments["id_low"] = hash_texts(pl.Series(map(str, range(100))))
    found = set()
    for model in ("lead", "churn"):
        high, low = np.empty(100, np.uint64), np.empty(100, np.uint64)
        prediction_ids(moments, np.uint64(text_seed(model)), high, low)
        found |= set(zip(high.tolist(), low.tolist(), strict=True))
    assert len(found) == 200


def keep(table: RecordTable, ids: list[int], values: list[float]) -> None:
    table.reserve(len(ids))
    keep_predictions(
        table.index, table.records, table.places, table.changed,
        np.array(ids, np.uint64), np.array(ids, np.uint64),
        np.array([[value, -value] for value in values]).reshape(-1, 2),
        np.array([[value + 0.5] for value in values]).reshape(-1, 1),
    )  # fmt: skip


def take(table: RecordTable, ids: list[int]) -> list[tuple[float, float, float] | None]:
    labels = np.zeros(len(ids), LABEL)
    labels["id_high"] = labels["id_low"] = ids
    predicted, rows = np.full((len(ids), 2), np.nan), np.zeros((len(ids), 1))
    found = np.zeros(len(ids), np.bool_)
    take_predictions(table.index, table.records, table.places, table.changed, labels, predicted, rows, found)
    return [
        (float(predicted[n, 0]), float(predicted[n, 1]), float(rows[n, 0])) if found[n] else None
        for n in range(len(ids))
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 30), max_size=12)), max_size=12))
def test_predictions_wait_until_they_are_taken(doings: list[tuple[bool, list[int]]]) -> None:
    table, known = RecordTable(awaiting(2, 1)), dict[int, float]()
    value = 0.0
    for keeps, ids in doings:
        if keeps:
            values = []
            for one in ids:
                value += 1
                values.append(value)
                # One that waits already is left alone.
                known.setdefault(one, value)
            keep(table, ids, values)
        else:
            wanted = []
            for one in ids:
                here = known.pop(one, None)
                wanted.append(None if here is None else (here, -here, here + 0.5))
            assert take(table, ids) == wanted
        assert table.live == len(known)
    assert table.high_water <= 31


def moved(
    table: RecordTable, model: int, moments: npt.NDArray[np.void], scores: list[float], bands: list[int]
) -> list[float]:
    before = np.empty(len(scores))
    table.reserve(len(scores))
    moved_scores(
        table.index, table.records, table.places, table.changed, moments, model, np.array(scores, np.float64),
        np.array(bands, np.int64), 5.0, HORIZON, before,
    )  # fmt: skip
    return before.tolist()


_steps = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 1),
        st.sampled_from((0, 1, 10, HORIZON, HORIZON + 1)),
        st.sampled_from((0.0, 4.9, 5.0, 50.0)),
        st.integers(0, 1),
    ),
    max_size=30,
)


@settings(max_examples=80, deadline=None)
@given(_steps, st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_a_score_is_told_when_it_moves(
    steps: list[tuple[int, int, int, float, int]], cuts: set[int], sweeps: set[int]
) -> None:
    time, drawn = 0, []
    for visitor, model, step, score, band in steps:
        time += step
        drawn.append((visitor, model, time, score, band))
    wanted: list[str] = []
    last: dict[tuple[int, int], tuple[float, int, int]] = {}
    for visitor, model, now, score, band in drawn:
        before, band_before, seen = last.get((visitor, model), (np.nan, -1, now))
        if now - seen > HORIZON:
            before = np.nan
        if np.isnan(before) or abs(score - before) >= 5 or band != band_before:
            wanted.append(repr(float(before)))
            last[visitor, model] = score, band, now
        else:
            wanted.append("inf")
            last[visitor, model] = before, band_before, now

    # Cut anywhere, each model by itself, and the forgotten swept or not: the same.
    table, found = RecordTable(told(2)), dict[int, str]()
    for begin, end in pairwise(sorted({0, len(drawn), *(cut for cut in cuts if cut < len(drawn))})):
        for model in (0, 1):
            own = [n for n in range(begin, end) if drawn[n][1] == model]
            moments = moments_of([drawn[n][0] for n in own], [drawn[n][2] for n in own])
            here = moved(table, model, moments, [drawn[n][3] for n in own], [drawn[n][4] for n in own])
            found |= dict(zip(own, map(repr, here), strict=True))
        if end in sweeps:
            now = drawn[end - 1][2]
            forget_told(table.index, table.records, table.places, table.changed, now - HORIZON)
            assert (table.records["time"][: table.high_water].max(initial=0) <= now).all()
    assert [found[n] for n in range(len(drawn))] == wanted


def test_whoever_is_forgotten_leaves_a_free_place() -> None:
    table = RecordTable(told(1))
    moved(table, 0, moments_of([1, 2, 3], [0, 10, 20]), [1, 1, 1], [0, 0, 0])
    forget_told(table.index, table.records, table.places, table.changed, 11)
    assert table.live == 1
    assert table.find(3, 7) >= 0
    moved(table, 0, moments_of([4, 5], [30, 30]), [1, 1], [0, 0])
    assert table.high_water == 3
