"""Whether a feature is distributed as it was: how far recent rows are from a reference, feature by feature.

The measure is the population stability index over coarse bins of the reference: the sum over bins of (p - q) ln(p / q).
Rules of thumb say below 0.1 nothing has changed, above 0.25 much has.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.learner import check_rows

Floats = npt.NDArray[np.float64]

MUCH = 0.25
BINS = 10
_HALF_A_ROW = 0.5


class FeatureDrift:
    """Compares rows with those of a reference.

    Its state is the reference's bins: small, and to be pickled as it is.
    """

    def __init__(self, columns: Sequence[FeatureColumn], reference: Floats) -> None:
        """Take the reference, of shape (rows, columns), at least one row; numbers are cut at its deciles."""
        self.columns = tuple(columns)
        reference = check_rows(reference, self.columns)
        if not reference.shape[0]:
            raise ValueError("a reference has one row at least")
        self._edges = tuple(
            _edges(values, column) for values, column in zip(reference.T, self.columns, strict=True)
        )
        self._counts = tuple(
            _counts(values, edges) for values, edges in zip(reference.T, self._edges, strict=True)
        )

    def since(self, rows: Floats) -> Floats:
        """The index of each column, shape (columns,); zeros where there are no rows."""
        rows = check_rows(rows, self.columns)
        if not rows.shape[0]:
            return np.zeros(len(self.columns))
        return np.array(
            [
                _index(counts, _counts(values, edges))
                for values, edges, counts in zip(rows.T, self._edges, self._counts, strict=True)
            ]
        )


def _edges(values: Floats, column: FeatureColumn) -> Floats:
    known = np.sort(values[~np.isnan(values)])
    if column.kind == "category":
        codes = np.unique(known)
        return np.append(codes, codes[-1:] + 1.0)
    return np.unique(known[[part * known.size // BINS for part in range(1, BINS)]]) if known.size else known


def _counts(values: Floats, edges: Floats) -> npt.NDArray[np.int64]:
    """Rows by bin; the last one is for those not known."""
    bins = np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values, side="right"))
    return np.bincount(bins, minlength=edges.size + 2)


def _index(reference: npt.NDArray[np.int64], now: npt.NDArray[np.int64]) -> float:
    # Half a row more in each bin, so that an empty one is rare and not impossible.
    before = (reference + _HALF_A_ROW) / (reference.sum() + _HALF_A_ROW * reference.size)
    after = (now + _HALF_A_ROW) / (now.sum() + _HALF_A_ROW * now.size)
    return float(np.sum((after - before) * np.log(after / before)))
