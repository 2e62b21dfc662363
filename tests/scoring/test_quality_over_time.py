"""Figures over time: of the last labels, the same however labels are cut, once an hour, and drift."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.scoring import quality
from footfall.scoring.quality_over_time import HOUR, WINDOW, QualityOverTime


def world(count: int, learners: int = 2, *, values: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    chance = random.random((count, learners))
    labels = (random.random(count) < chance[:, 0]).astype(float)
    return chance, labels * random.integers(1, 90, count) if values else labels


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("count", [60, WINDOW, WINDOW + 777, 3 * WINDOW + 1])
def test_figures_are_those_of_the_last_labels(count: int, *, values: bool) -> None:
    predicted, labels = world(count, values=values)
    found = QualityOverTime(2, values=values)
    for at in range(0, count, 997):
        found.take(predicted[at : at + 997], labels[at : at + 997])
    for number in (0, 1):
        figures = found.figures(number)
        wanted = quality.figures(predicted[-WINDOW:, number], labels[-WINDOW:], values=values)
        assert {name: getattr(figures, name) for name in wanted} == wanted
        assert (figures.labels, figures.window) == (count, min(count, WINDOW))
        assert figures.positives == int((labels > 0).sum())
    assert found.mean_label == pytest.approx(labels.mean())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 900), max_size=8), st.integers(1, 12_000))
def test_how_labels_are_cut_changes_nothing(cuts: list[int], count: int) -> None:
    predicted, labels = world(count)
    labels[count // 2 :] = 1 - labels[count // 2 :]
    whole = QualityOverTime(2, values=False)
    whole.take(predicted, labels)
    parts, at = QualityOverTime(2, values=False), 0
    for size in (*cuts, count):
        parts.take(predicted[at : at + size], labels[at : at + size])
        at += size
        parts = pickle.loads(pickle.dumps(parts))
    assert [parts.figures(n) for n in (0, 1)] == [whole.figures(n) for n in (0, 1)]
    assert (parts.total, parts.drifts) == (whole.total, whole.drifts)


def test_figures_come_once_an_hour_and_not_of_a_few_labels() -> None:
    predicted, labels = world(100)
    found = QualityOverTime(2, values=False)
    found.take(predicted[:49], labels[:49])
    assert not list(found.due(5 * HOUR))
    found.take(predicted[49:], labels[49:])
    assert [number for number, _ in found.due(5 * HOUR + 1)] == [0, 1]
    assert not list(found.due(6 * HOUR - 1))
    found = pickle.loads(pickle.dumps(found))
    assert not list(found.due(6 * HOUR - 1))
    assert len(list(found.due(6 * HOUR))) == 2


def test_a_change_is_found_within_a_thousand_labels_and_nothing_else_is() -> None:
    predicted, labels = world(8_000, 1)
    found = QualityOverTime(1, values=False)
    for at in range(0, 6_000, 500):
        found.take(predicted[at : at + 500], labels[at : at + 500])
    assert found.drifts == [0]
    found.take(predicted[6_000:7_000], 1 - labels[6_000:7_000])
    assert found.drifts[0] >= 1


def test_before_the_first_label_there_is_no_mean() -> None:
    assert QualityOverTime(1, values=True).mean_label == 0.0
