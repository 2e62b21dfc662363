"""The kept rows against a dict: what is quoted is found, what isn't goes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import StateError
from footfall.row_store import RowStore

NOTHING = pl.DataFrame(schema={"visitor_id": pl.String(), "path": pl.String()})


def numbers(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)


def rows(*values: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "visitor_id": [f"t{value}" for value in values],
            "path": [None if value % 3 else "x" for value in values],
        },
        schema=NOTHING.schema,
    )


def take(store: RowStore, *wanted: int) -> list[str | None]:
    """Texts of kept rows; the window is empty."""
    (texts,) = store.pool(NOTHING, numbers(), 1_000_000).take(numbers(*wanted), ("visitor_id",))
    return texts.to_list()


def test_rows_come_from_the_store_and_from_the_window() -> None:
    store = RowStore()
    store.keep(numbers(3, 7), rows(3, 7))
    # Row 10 of the shard is row 1 of the window, row 11 its row 0.
    texts, more = store.pool(rows(11, 10), numbers(1, 0), 10).take(
        numbers(11, 3, -1, 10, 7), ("visitor_id", "path")
    )
    assert texts.to_list() == ["t11", "t3", None, "t10", "t7"]
    assert more.to_list() == [None, "x", None, None, None]


def test_no_row_at_all() -> None:
    store = RowStore()
    assert take(store, -1, -1) == [None, None]
    assert take(store) == []


def test_segments_merge_as_they_come() -> None:
    store = RowStore()
    for number in range(1_000):
        store.keep(numbers(number), rows(number))
    assert len(store.segments) <= 11
    assert take(store, 999, 0, 500) == ["t999", "t0", "t500"]


def test_a_sweep_leaves_what_lives() -> None:
    store = RowStore()
    store.keep(numbers(1, 2, 3), rows(1, 2, 3))
    store.keep(numbers(8), rows(8))
    store.sweep(numbers(8, 2, 2, -1, 500))
    assert store.size == 2
    assert take(store, 2, 8) == ["t2", "t8"]


def test_a_sweep_is_wanted_when_more_than_half_may_be_dead() -> None:
    store = RowStore()
    store.keep(np.arange(4_096), rows(*range(4_096)))
    assert not store.wants_sweep()
    store.keep(numbers(5_000), rows(5_000))
    assert store.wants_sweep()
    store.sweep(np.arange(1_000))
    assert store.size == 1_000
    assert not store.wants_sweep()


@dataclass(frozen=True)
class Round:
    new: int
    kept: frozenset[int]
    dead: frozenset[int]
    sweeps: bool


rounds = st.builds(
    Round,
    st.integers(0, 6),
    st.frozensets(st.integers(0, 5)),
    st.frozensets(st.integers(0, 30)),
    st.booleans(),
)


@settings(max_examples=80)
@given(st.lists(rounds, max_size=20))
def test_what_is_alive_is_found(plan: list[Round]) -> None:
    store = RowStore()
    alive: set[int] = set()
    since = 0
    for step in plan:
        fresh = list(range(since, since + step.new))
        wanted = sorted(alive) + fresh + [-1]
        window = rows(*reversed(fresh))
        places = np.arange(step.new)[::-1].copy()
        (texts,) = store.pool(window, places, since).take(numbers(*wanted), ("visitor_id",))
        assert texts.to_list() == [f"t{number}" for number in wanted[:-1]] + [None]
        kept = [number for number in fresh if number - since in step.kept]
        store.keep(numbers(*kept), rows(*kept))
        alive = (alive | set(kept)) - step.dead
        if step.sweeps:
            store.sweep(numbers(*alive))
            assert store.size == len(alive)
        since += step.new


def test_a_row_that_is_not_kept_is_a_fault() -> None:
    store = RowStore()
    store.keep(numbers(3, 7), rows(3, 7))
    with pytest.raises(StateError, match="row 5"):
        take(store, 3, 5)
