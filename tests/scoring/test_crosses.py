import numpy as np
import pytest

from footfall.scoring.crosses import (
    CELLS,
    LEAST_SCORE,
    MOST_COLUMNS,
    PRIOR,
    best_pairs,
    candidate_pairs,
    pair_scores,
)


def test_all_pairs_are_candidates() -> None:
    assert candidate_pairs(np.array([0, 2, 5])).tolist() == [[0, 2], [0, 5], [2, 5]]
    assert candidate_pairs(np.array([4])).shape == (0, 2)


def test_candidates_are_bounded() -> None:
    assert candidate_pairs(np.arange(500)).shape == (MOST_COLUMNS * (MOST_COLUMNS - 1) // 2, 2)


def test_the_score_is_the_gain_beyond_chance() -> None:
    sums = np.zeros((2, CELLS, 2), np.float32)
    sums[0, 0] = (30.0, 40.0)
    sums[0, 7] = (-10.0, 20.0)
    sums[1, 0] = (3.0, 40.0)
    found = pair_scores(sums, 1.0, PRIOR)
    expected = (900 - 40) / (40 + PRIOR) + (100 - 20) / (20 + PRIOR)
    assert found == pytest.approx([expected, (9 - 40) / (40 + PRIOR)])
    assert pair_scores(sums, 2.0, PRIOR)[0] == pytest.approx(
        (450 - 40) / (40 + PRIOR) + (50 - 20) / (20 + PRIOR)
    )


def test_chance_scores_about_nothing() -> None:
    random = np.random.default_rng(1)
    sums = np.zeros((200, CELLS, 2), np.float32)
    sums[:, :, 1] = 30.0
    sums[:, :, 0] = random.normal(0, np.sqrt(30.0), (200, CELLS))
    scores = pair_scores(sums, 1.0, PRIOR)
    assert abs(scores.mean()) < 3


def test_the_best_come_first_and_equal_ones_in_order() -> None:
    scores = np.array([LEAST_SCORE, 50.0, LEAST_SCORE - 0.1, 50.0, 20.0])
    assert best_pairs(scores, 3).tolist() == [1, 3, 4]
    assert best_pairs(scores, 9).tolist() == [1, 3, 4, 0]
    assert best_pairs(scores, 0).size == 0
