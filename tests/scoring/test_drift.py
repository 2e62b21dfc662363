import pickle

import numpy as np
import pytest
from learner_rows import COLUMNS, random_rows

from footfall.scoring.drift import MUCH, FeatureDrift


def test_the_same_is_no_drift() -> None:
    drift = FeatureDrift(COLUMNS, random_rows(5_000, 1))
    assert drift.since(random_rows(5_000, 2)).max() < 0.05


def test_the_column_that_changed_is_told() -> None:
    drift = FeatureDrift(COLUMNS, random_rows(5_000, 1))
    rows = random_rows(5_000, 2)
    rows[:, 1] *= 10
    rows[:, 2] = 45.0
    rows[:4_000, 3] = np.nan
    found = drift.since(rows)
    assert (found > MUCH).tolist() == [False, True, True, True, False]


def test_by_hand() -> None:
    column = COLUMNS[2:3]
    drift = FeatureDrift(column, np.array([[0.0], [0.0], [1.0], [np.nan]]))
    # Bins: below 0, code 0, code 1, beyond, not known; half a row more in each.
    before, after = np.array([0.5, 2.5, 1.5, 0.5, 1.5]) / 6.5, np.array([0.5, 0.5, 0.5, 2.5, 0.5]) / 4.5
    expected = np.sum((after - before) * np.log(after / before))
    assert drift.since(np.array([[7.0], [8.0]])) == pytest.approx([expected])


def test_a_column_never_known_may_become_known() -> None:
    drift = FeatureDrift(COLUMNS[:1], np.full((100, 1), np.nan))
    assert drift.since(np.ones((100, 1)))[0] > MUCH
    assert FeatureDrift(COLUMNS[2:3], np.full((100, 1), np.nan)).since(np.ones((100, 1)))[0] > MUCH


def test_no_rows() -> None:
    drift = FeatureDrift(COLUMNS, random_rows(10, 1))
    assert drift.since(np.empty((0, 5))).tolist() == [0.0] * 5
    with pytest.raises(ValueError, match="one row at least"):
        FeatureDrift(COLUMNS, np.empty((0, 5)))


def test_it_is_pickled_as_it_is() -> None:
    drift = FeatureDrift(COLUMNS, random_rows(100, 1))
    rows = random_rows(100, 2)
    assert pickle.loads(pickle.dumps(drift)).since(rows).tolist() == drift.since(rows).tolist()
