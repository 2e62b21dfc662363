"""The compiled loops of a blend: its members' raw predictions to one, calibrated, row by row.

The vector of parameters of a blend holds the intercept; the unit of values; a correction at each knot; a weight for
each member. What the members say, weighted and summed, is corrected by what the two knots around it say, the nearer
one the more: a line of short straight pieces that follows what comes of predictions of that size.
"""

import math
from typing import Any

from footfall.compiled import compiled, compiled_inline
from footfall.scoring.binned_loops import INTERCEPT, Rates, gradient

UNIT, FIRST_KNOT = 1, 2
KNOTS = 33
FIRST_MEMBER = FIRST_KNOT + KNOTS

_WIDEST = 8.0
_KNOTS_PER_ONE = 2.0
_SURE = 30.0
_KNOT_RATE, _KNOT_EPS = 0.1, 1.0


@compiled_inline
def _kept(raw: Any) -> Any:
    return max(min(raw, _SURE), -_SURE)


@compiled_inline
def _blended(raws: Any, parameters: Any) -> Any:
    total = parameters[INTERCEPT]
    for member in range(raws.size):
        total += parameters[FIRST_MEMBER + member] * _kept(raws[member])
    return total


@compiled_inline
def _place(raw: Any) -> Any:
    """Where a raw prediction lies among the knots: the knot below it is the whole part."""
    return (max(min(raw, _WIDEST), -_WIDEST) + _WIDEST) * _KNOTS_PER_ONE


@compiled_inline
def _calibrated(raw: Any, parameters: Any) -> Any:
    place = _place(raw)
    knot = min(int(place), KNOTS - 2)
    above = place - knot
    low = parameters[FIRST_KNOT + knot]
    return raw + (1.0 - above) * low + above * parameters[FIRST_KNOT + knot + 1]


@compiled
def blend_rows(raws: Any, parameters: Any, out: Any) -> None:
    """Blend each row of the members' raw predictions, shape (rows, members), into `out`, not yet calibrated."""
    for row in range(raws.shape[0]):
        out[row] = _blended(raws[row], parameters)


@compiled
def calibrate_rows(raws: Any, parameters: Any, out: Any) -> None:
    """Calibrate blended predictions into `out`."""
    for row in range(raws.size):
        out[row] = _calibrated(raws[row], parameters)


@compiled
def learn_blend_rows(raws: Any, labels: Any, rates: Rates, parameters: Any, squares: Any, out: Any) -> None:
    """Blend and calibrate each row into `out`, then learn both from its label, by AdaGrad."""
    for row in range(raws.shape[0]):
        raw = _blended(raws[row], parameters)
        out[row] = _calibrated(raw, parameters)

        slope = gradient(out[row], labels[row], rates)
        place = _place(raw)
        knot = min(int(place), KNOTS - 2)
        above = place - knot
        for side in range(2):
            weight = FIRST_KNOT + knot + side
            step = slope * (above if side else 1.0 - above)
            squares[weight] += step * step
            parameters[weight] -= _KNOT_RATE / math.sqrt(squares[weight] + _KNOT_EPS) * step

        slope = gradient(raw, labels[row], rates)
        parameters[INTERCEPT] -= rates.intercept_rate * slope
        for member in range(raws.shape[1]):
            weight = FIRST_MEMBER + member
            step = slope * _kept(raws[row, member])
            squares[weight] += step * step
            parameters[weight] -= rates.rate / math.sqrt(squares[weight] + rates.eps) * step
