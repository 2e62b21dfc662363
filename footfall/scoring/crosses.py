"""Which pairs of columns matter together: found from what the model gets wrong while it learns.

For each candidate pair, and each cell of its two coarse bins, the gradients of the loss (prediction less label) and
its curvatures are summed. Where the model already says all there is to say, gradients are as large as chance makes
them, and their square in a cell is about the curvature; what is beyond that is what a weight for the cell would gain.
A pair's score is that gain summed over its cells, as in a score test. From time to time the best pairs become crosses,
whose weights then begin at zero.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.compiled import compiled
from footfall.scoring.binning import COARSE_BINS

Sums = npt.NDArray[np.float32]
Pairs = npt.NDArray[np.int32]

CELLS = COARSE_BINS * COARSE_BINS
"""The weights of one cross."""

LEAST_SCORE = 8.0
PRIOR = 10.0
"""A pair must gain at least so much; each cell has that much curvature besides, so that rare ones say little."""

MOST_COLUMNS = 48
"""Candidates are pairs among so many columns, the first that vary: their number grows with the square."""


def candidate_pairs(varying: npt.NDArray[np.int64]) -> Pairs:
    """All pairs of these columns, in order, shape (pairs, 2)."""
    columns = varying[:MOST_COLUMNS]
    first, second = np.triu_indices(columns.size, 1)
    return np.ascontiguousarray(np.column_stack([columns[first], columns[second]]).astype(np.int32))


@compiled
def pair_scores(sums: Any, dispersion: Any, prior: Any) -> Any:
    """The gain of each candidate; `sums` is (pairs, cells, 2): gradients and curvatures.

    `dispersion` is how much larger squared gradients are than curvatures on the whole: about 1 for a probability.
    """
    scores = np.zeros(sums.shape[0])
    for pair in range(sums.shape[0]):
        total = 0.0
        for cell in range(sums.shape[1]):
            gradient = np.float64(sums[pair, cell, 0])
            curvature = np.float64(sums[pair, cell, 1])
            total += (gradient * gradient / dispersion - curvature) / (curvature + prior)
        scores[pair] = total
    return scores


def best_pairs(scores: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """The places of the best candidates, at most so many, the best first; equal ones in their order."""
    order = np.argsort(-scores, kind="stable")[: max(most, 0)]
    return order[scores[order] >= LEAST_SCORE]
