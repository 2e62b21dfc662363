"""The hash against published values, and what names and sums are built from it."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.hashing import fold_words, hash_texts, hex_names

# Values of the reference implementation (smhasher, MurmurHash3_x64_128, seed 0).
KNOWN = {
    "": "00000000000000000000000000000000",
    "hello": "cbd8a7b341bd9b025b1e906a48ae1d19",
    "The quick brown fox jumps over the lazy dog": "e34bbc7bbc071b6c7a433ca9c49a9347",
}


@pytest.mark.parametrize(("text", "name"), KNOWN.items())
def test_known_values(text: str, name: str) -> None:
    assert hex_names(*hash_texts(pl.Series([text]))).to_list() == [name]
    assert hex_names(*hash_texts(pl.Series([text.encode()]))).to_list() == [name]


def test_null_is_zero_and_changes_no_other() -> None:
    high, low = hash_texts(pl.Series(["a", None, "b"], dtype=pl.String))
    alone = hash_texts(pl.Series(["b"]))
    assert (high[1], low[1]) == (0, 0)
    assert (high[2], low[2]) == (alone[0][0], alone[1][0])


@given(st.lists(st.none() | st.text(max_size=40), min_size=1, max_size=20), st.data())
def test_a_slice_hashes_as_the_whole_does(texts: list[str | None], data: st.DataObject) -> None:
    column = pl.Series(texts, dtype=pl.String)
    start = data.draw(st.integers(0, len(texts)))
    whole, part = hash_texts(column), hash_texts(column[start:])
    np.testing.assert_array_equal(whole[0][start:], part[0])
    np.testing.assert_array_equal(whole[1][start:], part[1])


def test_folding_tells_order_apart() -> None:
    high, low = fold_words(np.array([[1, 2], [2, 1]], np.uint64))
    assert (high[0], low[0]) != (high[1], low[1])
