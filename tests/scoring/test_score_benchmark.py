"""What the benchmark of the scores computes by itself: weighted figures, months, and when a change was seen."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from footfall.scoring import quality

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from score_boosting import boosted
from score_compare import Auc, LogLoss, Resampling, compare, over_change
from score_moments import Moments

DAY = 86_400_000
START = int(datetime(2026, 1, 20, tzinfo=UTC).timestamp()) * 1_000


def world(count: int, step: int) -> Moments:
    """Moments every `step` ms, labels known after a day and told by the one feature; a visitor has four of them."""
    random = np.random.default_rng(3)
    chance = np.round(random.random(count), 2)
    time = START + np.arange(count) * step
    labels = (random.random(count) < chance).astype(np.float64)
    return Moments(
        np.column_stack([chance, np.full(count, np.nan)]), np.zeros(2, np.bool_), time, time + DAY,
        np.arange(count) // 4, labels, {"champion": chance}, "champion", chance,
    )  # fmt: skip


def test_weights_are_repeated_rows() -> None:
    moments = world(500, 1)
    predicted, labels = moments.predicted["champion"], moments.label
    times = np.random.default_rng(1).integers(0, 4, 500)
    rows = np.repeat(np.arange(500), times)
    weights = times.astype(np.float64)
    assert Auc(predicted, labels)(weights) == pytest.approx(quality.roc_auc(predicted[rows], labels[rows]))
    assert LogLoss(predicted, labels)(weights) == pytest.approx(
        quality.log_loss(predicted[rows], labels[rows])
    )


def test_an_interval_is_that_of_visitors() -> None:
    labels = np.repeat(np.random.default_rng(2).integers(0, 2, 100), 9).astype(np.float64)
    figure = LogLoss(np.full(900, 0.7), labels)
    by_visitor = Resampling(np.repeat(np.arange(100), 9)).interval(figure)
    by_row = Resampling(np.arange(900)).interval(figure)
    assert by_visitor.low < by_visitor.value < by_visitor.high
    assert (by_visitor.high - by_visitor.low) / (by_row.high - by_row.low) == pytest.approx(3, rel=0.25)


def test_boosting_knows_nothing_of_its_own_month() -> None:
    moments = world(900, DAY // 20)
    found = boosted(moments)
    february = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp()) * 1_000
    march = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1_000
    # January has fewer labels than boosting asks for.
    assert np.isnan(found[moments.time < february]).all()
    labels = np.where(moments.due < february, moments.label, 1 - moments.label)
    later = boosted(replace(moments, label=labels))
    inside = (moments.time >= february) & (moments.time < march)
    assert later[inside].tobytes() == found[inside].tobytes()


def test_only_labels_of_after_the_change_count() -> None:
    moments = world(30_000, 60_000)
    at = int(moments.time[10_000])
    seen = int(moments.due[11_200])
    rows = pl.DataFrame({"time": [at, at + DAY, seen], "drifts": [2, 2, 3]}).with_columns(
        pl.col("time").cast(pl.Datetime("ms", "UTC"))
    )
    found = over_change(moments, rows, at)
    assert (found.flagged_after, found.flags_before) == (1_201, 2)
    assert len(found.auc_after) == 4
    assert not found.misses()


def test_the_same_predictions_differ_in_nothing() -> None:
    moments = world(2_000, DAY)
    found = compare(moments, moments.predicted["champion"])
    assert found.auc_more.low == found.auc_more.value == found.auc_more.high == 0
    assert found.ceiling_auc == pytest.approx(found.auc.value)
    assert found.true_error == 0
    worse = compare(moments, moments.label * 0.8 + 0.1)
    assert worse.misses() == ["ROC AUC", "log loss"]
