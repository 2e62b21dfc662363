"""The digest: a sum that forgets order and nothing else."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.digest import Digest, Words, frame_words, row_hashes

rows_strategy = st.lists(
    st.tuples(st.none() | st.text(max_size=3), st.none() | st.integers(-3, 3), st.booleans()), max_size=8
)


def frame(rows: list[tuple[str | None, int | None, bool]]) -> Words:
    return frame_words(
        pl.DataFrame(rows, schema={"a": pl.String, "b": pl.Int64, "c": pl.Boolean}, orient="row")
    )


def digest(*frames: Words) -> str:
    total = Digest()
    for each in frames:
        total.add("kind", each)
    return str(total)


@given(rows_strategy, st.data())
def test_order_and_batches_do_not_show(
    rows: list[tuple[str | None, int | None, bool]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    assert digest(frame(rows)) == digest(frame(shuffled[:cut]), frame(shuffled[cut:]))


@given(rows_strategy, rows_strategy)
def test_different_rows_differ(
    one: list[tuple[str | None, int | None, bool]], other: list[tuple[str | None, int | None, bool]]
) -> None:
    same = sorted(map(repr, one)) == sorted(map(repr, other))
    assert (digest(frame(one)) == digest(frame(other))) is same


def test_what_is_taken_back_leaves_no_trace() -> None:
    total = Digest()
    total.add("kind", frame([("a", 1, True), ("b", None, False)]))
    kept = str(total)
    total.add("kind", frame([("c", 2, True)]))
    total.add("kind", frame([("c", 2, True)]), sign=-1)
    assert str(total) == kept


def test_kinds_differ_and_merging_adds() -> None:
    rows = frame([("a", 1, True)])
    one, other = Digest(), Digest()
    one.add("x", rows)
    other.add("y", rows)
    assert str(one) != str(other)
    both = Digest()
    both.add("x", rows)
    both.add("y", rows)
    one.merge(other)
    assert str(one) == str(both)


@pytest.mark.parametrize(("a", "b"), [(None, ""), ("0", None)])
def test_null_is_not_empty(a: str | None, b: str | None) -> None:
    hashes = [row_hashes("k", frame([(text, 0, False)])) for text in (a, b)]
    assert [int(lane[0]) for lane in hashes[0]] != [int(lane[0]) for lane in hashes[1]]
