"""The compiled loops of the binned linear model: a row to its bins, bins to weights, and AdaGrad's step, row by row.

All that a prediction depends on lies in one vector of parameters, so that what has changed can be published as places
and values. Its parts, in this order: the intercept, how many crosses there are, whether edges are cut; the average
contribution of each column; octave weights; fine weights; fine edges; coarse edges; the crosses' columns; their
weights.
A row switches on one weight of each of its numbers' octave bins (or categories' codes), one of each number's fine bins
once edges are cut, and one of each cross. They are summed in that order, one after the other.
"""

# Compiled code: one function each, arrays instead of objects.
# ruff: noqa: PLR0913, PLR0917
import math
from typing import Any, NamedTuple

import numpy as np

from footfall.compiled import compiled, compiled_inline
from footfall.scoring.binning import (
    COARSE_BINS,
    COARSE_EDGES,
    FINE_BINS,
    FINE_EDGES,
    OCTAVE_BINS,
    coarse_code_bin,
    code_bin,
    edge_bin,
    octave_bin,
)
from footfall.scoring.crosses import CELLS

INTERCEPT, CROSSES, IS_CUT = 0, 1, 2
_FIXED = 3
LOG, POISSON = 0, 1

_AVERAGED = 4096
_STEEPEST = 18.0
_SURE = 30.0
_LARGEST_LOGARITHM = 50.0


class Layout(NamedTuple):
    """Where each part of the vector of parameters begins."""

    columns: int
    averages: int
    octaves: int
    fine: int
    fine_edges: int
    coarse_edges: int
    pairs: int
    crosses: int
    size: int


class Rates(NamedTuple):
    """How to learn, as in River: see `BinnedLinear`."""

    loss: int
    rate: float
    eps: float
    intercept_rate: float
    l2: float
    clip: float


def layout(columns: int, slots: int) -> Layout:
    """The layout for so many columns and crosses."""
    averages = _FIXED
    octaves = averages + columns
    fine = octaves + columns * OCTAVE_BINS
    fine_edges = fine + columns * FINE_BINS
    coarse_edges = fine_edges + columns * FINE_EDGES
    pairs = coarse_edges + columns * COARSE_EDGES
    crosses = pairs + 2 * slots
    return Layout(
        columns,
        averages,
        octaves,
        fine,
        fine_edges,
        coarse_edges,
        pairs,
        crosses,
        crosses + slots * CELLS,
    )


@compiled_inline
def _switch_on(row: Any, categories: Any, at: Layout, parameters: Any, active: Any, coarse: Any) -> Any:
    """Fill `active` with the places of the weights that the row switches on, `coarse` with coarse bins; how many."""
    count = 0
    for column in range(at.columns):
        bin_ = code_bin(row[column]) if categories[column] else octave_bin(row[column])
        active[count] = at.octaves + column * OCTAVE_BINS + bin_
        count += 1
    if parameters[IS_CUT] == 0.0:
        return count
    for column in range(at.columns):
        if categories[column]:
            coarse[column] = coarse_code_bin(row[column])
        else:
            begin = at.fine_edges + column * FINE_EDGES
            bin_ = edge_bin(row[column], parameters[begin : begin + FINE_EDGES])
            active[count] = at.fine + column * FINE_BINS + bin_
            count += 1
            begin = at.coarse_edges + column * COARSE_EDGES
            coarse[column] = edge_bin(row[column], parameters[begin : begin + COARSE_EDGES])
    for cross in range(int(parameters[CROSSES])):
        first = int(parameters[at.pairs + 2 * cross])
        second = int(parameters[at.pairs + 2 * cross + 1])
        active[count] = at.crosses + cross * CELLS + coarse[first] * COARSE_BINS + coarse[second]
        count += 1
    return count


@compiled_inline
def _raw(parameters: Any, active: Any, count: Any) -> Any:
    total = parameters[INTERCEPT]
    for place in range(count):
        total += parameters[active[place]]
    return total


@compiled_inline
def mean(raw: Any, rates: Rates) -> Any:
    """What a raw sum predicts: River's sigmoid, or the exponential."""
    if rates.loss == POISSON:
        return math.exp(min(raw, _LARGEST_LOGARITHM))
    if raw < -_SURE:
        return 0.0
    if raw > _SURE:
        return 1.0
    return 1.0 / (1.0 + math.exp(-raw))


@compiled_inline
def gradient(raw: Any, label: Any, rates: Rates) -> Any:
    """The loss's slope over the raw sum, as River's `Log` and `Poisson` have it, clipped."""
    if rates.loss == POISSON:
        slope = math.exp(min(raw, _LARGEST_LOGARITHM)) - label
    else:
        sign = 1.0 if label != 0.0 else -1.0
        agreed = raw * sign
        if agreed > _STEEPEST:
            slope = -sign * math.exp(-agreed)
        elif agreed < -_STEEPEST:
            slope = -sign
        else:
            slope = -sign / (math.exp(agreed) + 1.0)
    return max(min(slope, rates.clip), -rates.clip)


@compiled_inline
def _share_out(parameters: Any, categories: Any, at: Layout, active: Any, count: Any, shares: Any) -> None:
    """Each active weight to its column; a cross's half to each of its two."""
    for column in range(at.columns):
        shares[column] = parameters[active[column]]
    place = at.columns
    if count > place:
        for column in range(at.columns):
            if not categories[column]:
                shares[column] += parameters[active[place]]
                place += 1
    cross = 0
    while place < count:
        half = 0.5 * parameters[active[place]]
        shares[int(parameters[at.pairs + 2 * cross])] += half
        shares[int(parameters[at.pairs + 2 * cross + 1])] += half
        place += 1
        cross += 1


@compiled
def mean_rows(raws: Any, rates: Rates, out: Any) -> None:
    """What raw sums predict, into `out`."""
    for place in range(raws.size):
        out[place] = mean(raws[place], rates)


@compiled
def raw_rows(rows: Any, categories: Any, at: Layout, parameters: Any, out: Any) -> None:
    """The raw sum of each row into `out`: log-odds, or the value's logarithm."""
    active = np.empty(2 * at.columns + int(parameters[CROSSES]), np.int64)
    coarse = np.zeros(at.columns, np.int64)
    for place in range(rows.shape[0]):
        count = _switch_on(rows[place], categories, at, parameters, active, coarse)
        out[place] = _raw(parameters, active, count)


@compiled
def learn_rows(
    rows: Any,
    labels: Any,
    categories: Any,
    at: Layout,
    rates: Rates,
    block: Any,
    parameters: Any,
    squares: Any,
    tallies: Any,
    pairs: Any,
    sums: Any,
    out: Any,
) -> None:
    """Put each row's raw sum into `out` as it is before the row's block is learnt, and learn the rows one by one.

    Args:
        rows: shape (rows, columns).
        labels: one a row.
        categories: which columns are categories.
        at: the layout.
        rates: how to learn.
        block: so many rows make a block; the first row begins one.
        parameters: changed in place.
        squares: the sums of squared gradients of each parameter, in place.
        tallies: rows learnt, squared gradients, curvatures; in place.
        pairs: the candidates for crosses, (pairs, 2).
        sums: their gradients and curvatures by cell, (pairs, cells, 2); in place.
        out: the raw sums before the rows' blocks were learnt.
    """
    actives = np.empty((block, 2 * at.columns + int(parameters[CROSSES])), np.int64)
    counts = np.zeros(block, np.int64)
    coarses = np.zeros((block, at.columns), np.int64)
    shares = np.zeros(at.columns)
    bins = np.empty((at.columns, rows.shape[0]), np.int8)
    slopes, curvatures = np.empty(rows.shape[0]), np.empty(rows.shape[0])
    for place in range(rows.shape[0]):
        within = place % block
        if within == 0:
            for ahead in range(min(block, rows.shape[0] - place)):
                row = rows[place + ahead]
                count = _switch_on(row, categories, at, parameters, actives[ahead], coarses[ahead])
                out[place + ahead] = _raw(parameters, actives[ahead], count)
                counts[ahead] = count
        active, coarse, count = actives[within], coarses[within], counts[within]
        raw = _raw(parameters, active, count)
        predicted = mean(raw, rates)
        slope = gradient(raw, labels[place], rates)

        tallies[0] += 1.0
        _share_out(parameters, categories, at, active, count, shares)
        pace = 1.0 / min(tallies[0], _AVERAGED)
        for column in range(at.columns):
            average = at.averages + column
            parameters[average] += pace * (shares[column] - parameters[average])

        parameters[INTERCEPT] -= rates.intercept_rate * slope
        for each in range(count):
            weight = active[each]
            step = slope + rates.l2 * parameters[weight]
            squares[weight] += step * step
            parameters[weight] -= rates.rate / math.sqrt(squares[weight] + rates.eps) * step

        curvature = predicted if rates.loss == POISSON else predicted * (1.0 - predicted)
        tallies[1] += slope * slope
        tallies[2] += curvature
        slopes[place], curvatures[place] = slope, curvature
        for column in range(at.columns):
            bins[column, place] = coarse[column]
    _add_up(bins, slopes, curvatures, pairs, sums)


@compiled_inline
def _add_up(bins: Any, slopes: Any, curvatures: Any, pairs: Any, sums: Any) -> None:
    """Add rows to the sums of the candidates, one pair after the other: the cells of one stay in the fastest memory."""
    for pair in range(pairs.shape[0]):
        first, second, cells = bins[pairs[pair, 0]], bins[pairs[pair, 1]], sums[pair]
        for place in range(slopes.size):
            cell = np.int64(first[place]) * COARSE_BINS + second[place]
            cells[cell, 0] += slopes[place]
            cells[cell, 1] += curvatures[place]


@compiled
def contribute_rows(rows: Any, categories: Any, at: Layout, parameters: Any, out: Any) -> None:
    """What each column of each row adds, less what it adds on average, into `out`, (rows, columns)."""
    active = np.empty(2 * at.columns + int(parameters[CROSSES]), np.int64)
    coarse = np.zeros(at.columns, np.int64)
    for place in range(rows.shape[0]):
        count = _switch_on(rows[place], categories, at, parameters, active, coarse)
        _share_out(parameters, categories, at, active, count, out[place])
        for column in range(at.columns):
            out[place, column] -= parameters[at.averages + column]


@compiled
def active_places(row: Any, categories: Any, at: Layout, parameters: Any) -> Any:
    """The places of the weights that one row switches on, in the order in which they are summed."""
    active = np.empty(2 * at.columns + int(parameters[CROSSES]), np.int64)
    coarse = np.zeros(at.columns, np.int64)
    return active[: _switch_on(row, categories, at, parameters, active, coarse)]


@compiled
def coarse_bins(rows: Any, categories: Any, at: Layout, parameters: Any) -> Any:
    """The coarse bins of each row, (rows, columns); edges must be cut."""
    active = np.empty(2 * at.columns + int(parameters[CROSSES]), np.int64)
    coarse = np.zeros((rows.shape[0], at.columns), np.int64)
    for place in range(rows.shape[0]):
        _switch_on(rows[place], categories, at, parameters, active, coarse[place])
    return coarse
