import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.scoring.binning import (
    COARSE_EDGES,
    FINE_EDGES,
    OCTAVE_BINS,
    coarse_code_bin,
    code_bin,
    code_words,
    cut_edges,
    edge_bin,
    edge_words,
    octave_bin,
    octave_words,
)

NUMBERS = st.floats(allow_nan=False)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "not known"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "[1, 1.5)"),
        (1.5, "[1.5, 2)"),
        (8.0, "[8, 12)"),
        (11.999, "[8, 12)"),
        (12.0, "[12, 16)"),
        (-8.0, "(-12, -8]"),
        (1e-30, "[0, 7.15256e-07)"),
        (math.inf, "[6.59707e+12, inf)"),
        (-math.inf, "(-inf, -6.59707e+12]"),
    ],
)
def test_half_octaves(value: float, words: str) -> None:
    assert octave_words(octave_bin(value)) == words


@given(NUMBERS, NUMBERS)
def test_octave_bins_keep_the_order(one: float, other: float) -> None:
    low, high = sorted([one, other])
    if low > 0:
        assert octave_bin(low) <= octave_bin(high)
    if high < 0:
        assert octave_bin(low) >= octave_bin(high)
    assert 0 <= octave_bin(one) < OCTAVE_BINS


@pytest.mark.parametrize(
    ("code", "bin_", "coarse"),
    [
        (math.nan, 0, 0),
        (0.0, 1, 1),
        (13.0, 14, 14),
        (14.0, 15, 15),
        (30.0, 31, 15),
        (31.0, 32, 15),
        (-1.0, 32, 15),
    ],
)
def test_codes(code: float, bin_: int, coarse: int) -> None:
    assert code_bin(code) == bin_
    assert coarse_code_bin(code) == coarse


def test_codes_in_words() -> None:
    assert [code_words(bin_, ("paid", "email"), 32) for bin_ in (0, 1, 2, 3, 32)] == [
        "not known",
        "paid",
        "email",
        "code 2",
        "others",
    ]


@given(
    st.lists(
        st.floats(-1e9, 1e9) | st.just(math.nan) | st.integers(0, 5).map(float), min_size=1, max_size=200
    ),
    st.sampled_from([(0.05, FINE_EDGES), (0.25, COARSE_EDGES), (1.0, COARSE_EDGES)]),
)
def test_edges_ascend_and_tell_every_value(values: list[float], how: tuple[float, int]) -> None:
    share, limit = how
    edges = cut_edges(np.array(values), share, limit)
    finite = edges[np.isfinite(edges)]
    assert edges.size == limit
    assert np.all(np.diff(finite) > 0)
    for value in values:
        bin_ = edge_bin(value, edges)
        if math.isnan(value):
            assert bin_ == 0
        elif value == 0:
            assert bin_ == 1
        else:
            assert bin_ == 2 + int((finite <= value).sum())


def test_what_lies_in_one_octave_is_told_apart() -> None:
    edges = cut_edges(np.linspace(33, 63, 500), 0.25, COARSE_EDGES)
    held = np.bincount([edge_bin(value, edges) for value in np.linspace(33, 63, 500)])
    assert held.max() <= 130


def test_what_was_never_seen_has_a_bin_of_its_scale() -> None:
    edges = cut_edges(np.zeros(100), 0.25, COARSE_EDGES)
    assert len({edge_bin(value, edges) for value in (0.01, 0.3, 1.0, 5.0, 50.0, 500.0, 5_000.0)}) >= 6


def test_infinite_values_have_the_outmost_bins() -> None:
    edges = cut_edges(np.array([1.0, 2.0, np.inf, -np.inf]), 0.25, COARSE_EDGES)
    assert edge_bin(-math.inf, edges) == 2
    assert edge_bin(math.inf, edges) == 2 + int(np.isfinite(edges).sum())


def test_edges_in_words() -> None:
    edges = np.array([0.0, 8.0, math.inf])
    assert [edge_words(bin_, edges) for bin_ in range(5)] == [
        "not known",
        "0",
        "[-inf, 0)",
        "[0, 8)",
        "[8, inf)",
    ]
