"""From a value to its bin: halves of octaves for every number, cuts that follow the data, codes of categories.

A number has three bins. Its *octave* bin needs nothing learnt: which half of which power of two it lies in, by sign.
Its *fine* and its *coarse* bin lie between edges cut once from the first rows: octaves in groups of three, and where a
group holds more than a share of the rows, at its quantiles. So a value beyond what the first rows held still has a bin
of its own scale, and a number that lies within one octave (an age, a rating) is told apart as well. Fine bins stand
beside the octave bins; crosses pair coarse ones. Not known (NaN) and zero have bins of their own everywhere.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.compiled import compiled_inline

Floats = npt.NDArray[np.float64]

OCTAVE_BINS = 258
"""Not known, zero, and 128 half octaves of each sign; a category uses the first 33."""
FINE_BINS = 32
COARSE_BINS = 16
FINE_EDGES = FINE_BINS - 3
COARSE_EDGES = COARSE_BINS - 3
"""Edges part one bin more than they are; two bins are for not known and zero."""

UNKNOWN, ZERO = 0, 1
_FIRST = 2
_LEAST_EXPONENT, _GREATEST_EXPONENT = -20, 43
_SIGN_BINS = 128
_CODES, _COARSE_CODES = 31, 14
_GROUP = 3
_LARGEST = 1.7976931348623157e308
"""The largest finite number: the infinite edges that fill up lie above it."""
_NO_DATA_GROUPS = (0, 7)


@compiled_inline
def octave_bin(value: Any) -> Any:
    """The half octave of a number: 2 to 129 for positive ones from 2^-21 up to 2^43, then as many negative ones."""
    if math.isnan(value):
        return UNKNOWN
    if value == 0.0:
        return ZERO
    size = abs(value)
    if math.isinf(size):
        place = _SIGN_BINS - 1
    else:
        mantissa, exponent = math.frexp(size)
        if exponent < _LEAST_EXPONENT:
            place = 0
        elif exponent > _GREATEST_EXPONENT:
            place = _SIGN_BINS - 1
        else:
            place = 2 * (exponent - _LEAST_EXPONENT) + (1 if mantissa >= 0.75 else 0)
    return _FIRST + place + (_SIGN_BINS if value < 0.0 else 0)


@compiled_inline
def code_bin(value: Any) -> Any:
    """The bin of a category's code: 1 to 31 for the codes 0 to 30, 32 for all others."""
    if math.isnan(value):
        return UNKNOWN
    if 0.0 <= value < _CODES:
        return 1 + int(value)
    return 1 + _CODES


@compiled_inline
def coarse_code_bin(value: Any) -> Any:
    """The coarse bin of a category's code: 1 to 14 for the codes 0 to 13, 15 for all others."""
    if math.isnan(value):
        return UNKNOWN
    if 0.0 <= value < _COARSE_CODES:
        return 1 + int(value)
    return 1 + _COARSE_CODES


@compiled_inline
def edge_bin(value: Any, edges: Any) -> Any:
    """The bin among ascending edges, filled up with infinity: 2 and one more for each edge at or below the value."""
    if math.isnan(value):
        return UNKNOWN
    if value == 0.0:
        return ZERO
    # Compared with all of them: a vector instruction for some is quicker than branches that nothing foretells.
    value = min(value, _LARGEST)
    below = 0
    for place in range(edges.size):
        below += edges[place] <= value
    return _FIRST + below


def cut_edges(values: Floats, share: float, limit: int) -> Floats:
    """Cut ascending edges through the values of a column's first rows.

    Args:
        values: all of them, NaN where not known; at least one row.
        share: a group of three octaves that holds more than this share of the rows is split at its quantiles.
        limit: the most edges there may be.

    Returns:
        `limit` edges, the last ones infinite where fewer are needed. An edge is the least value of the bin above it.
    """
    present = np.sort(values[np.isfinite(values) & (values != 0.0)])
    groups = _groups(present)
    wanted = [0.0]
    for group in np.unique(groups):
        inside = present[groups == group]
        parts = math.ceil(inside.size / values.size / share)
        wanted += [float(inside[part * inside.size // parts]) for part in range(1, parts)]
    for sign in (1, -1):
        seen = np.abs(groups[np.sign(groups) == sign]) - _OFFSET
        if seen.size or sign > 0:
            wanted += [sign * edge for edge in _group_edges(seen)]
    edges = np.sort(np.array(list(dict.fromkeys(wanted))[:limit]))
    return np.concatenate([edges, np.full(limit - edges.size, np.inf)])


_OFFSET = 1_000


def _groups(values: Floats) -> npt.NDArray[np.int64]:
    """Three octaves each: `_OFFSET` + the group's number, with the values' sign."""
    exponents = np.frexp(np.abs(values))[1].astype(np.int64)
    groups: npt.NDArray[np.int64] = np.floor_divide(exponents, _GROUP) + _OFFSET
    return np.where(values < 0, -groups, groups)


def _group_edges(seen: npt.NDArray[np.int64]) -> list[float]:
    """The bounds of the groups seen, then some above and below, the likelier first."""
    low, high = (int(seen.min()), int(seen.max()) + 1) if seen.size else _NO_DATA_GROUPS
    inside = range(low, high + 1)
    outside = (high + 1, low - 1, high + 2, high + 3, low - 2, high + 4)
    return [2.0 ** (_GROUP * group - 1) for group in (*inside, *outside)]


def octave_words(code: int) -> str:
    """An octave bin in words, as `[8, 12)`."""
    if code == UNKNOWN:
        return "not known"
    if code == ZERO:
        return "0"
    place = (code - _FIRST) % _SIGN_BINS
    low, high = _place_bound(place), _place_bound(place + 1)
    if place == 0:
        low = 0.0
    if place == _SIGN_BINS - 1:
        high = math.inf
    if code - _FIRST < _SIGN_BINS:
        return f"[{low:g}, {high:g})"
    return f"(-{high:g}, -{low:g}]"


def _place_bound(place: int) -> float:
    half, odd = divmod(place, 2)
    return math.ldexp(0.75 if odd else 0.5, half + _LEAST_EXPONENT)


def edge_words(code: int, edges: Floats) -> str:
    """A bin among edges in words, as `[8, 64)`."""
    if code == UNKNOWN:
        return "not known"
    if code == ZERO:
        return "0"
    bounds = [-math.inf, *(float(edge) for edge in edges if math.isfinite(edge)), math.inf]
    return f"[{bounds[code - _FIRST]:g}, {bounds[code - _FIRST + 1]:g})"


def code_words(code: int, words: tuple[str, ...], bins: int) -> str:
    """A category's bin in words; `bins` is how many a category of its kind has."""
    if code == UNKNOWN:
        return "not known"
    if code == bins:
        return "others"
    return words[code - 1] if code <= len(words) else f"code {code - 1}"
