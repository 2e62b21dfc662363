"""The table of live visitors against a dict, under random comings and goings."""

import pickle
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.compiled import compiled
from footfall.visitors import VisitorTable, add_visitor, find_visitor

Hash = tuple[int, int]


@compiled
def _find(index: Any, visitors: Any, high: Any, low: Any) -> Any:
    return find_visitor(index, visitors, high, low)


@compiled
def _add(index: Any, visitors: Any, places: Any, high: Any, low: Any) -> Any:
    return add_visitor(index, visitors, places, high, low)


def find(table: VisitorTable, visitor: Hash) -> int:
    return int(_find(table.index, table.records, np.uint64(visitor[0]), np.uint64(visitor[1])))


def add(table: VisitorTable, visitor: Hash, *, is_open: int = 1) -> int:
    table.reserve(1)
    high, low = np.uint64(visitor[0]), np.uint64(visitor[1])
    place = int(_add(table.index, table.records, table.places, high, low))
    table.records[place]["open"] = is_open
    return place


# Few different homes, next to each other and at the index's end, so that runs grow, wrap and get holes.
hashes = st.tuples(st.sampled_from((0, 1, 2, 13, 14, 15, 29, 30, 31, 63, 64, 2**64 - 1)), st.integers(0, 3))


@settings(max_examples=80)
@given(
    st.lists(st.one_of(st.sets(hashes, max_size=6), st.just("leave"), st.just("restart")), max_size=30),
    st.data(),
)
def test_the_table_is_a_dict(steps: list[set[Hash] | str], data: st.DataObject) -> None:
    table = VisitorTable()
    model: dict[Hash, int] = {}
    for step in steps:
        if step == "restart":
            table = pickle.loads(pickle.dumps(table))
        elif isinstance(step, str):
            leaving = data.draw(st.sets(st.sampled_from(sorted(model)), min_size=1)) if model else set()
            for visitor in leaving:
                table.records[model.pop(visitor)]["open"] = 0
            table.free_idle()
        else:
            for visitor in sorted(step - model.keys()):
                model[visitor] = add(table, visitor)
        assert table.live == len(model) == len(set(model.values()))
        assert {visitor: find(table, visitor) for visitor in model} == model
        for visitor in [(0, 9), (31, 9), (2**64 - 1, 9)]:
            assert find(table, visitor) == -1


def test_it_grows_and_finds_all() -> None:
    table = VisitorTable()
    places = {(n, n): add(table, (n, n)) for n in range(5_000)}
    assert table.high_water == table.live == 5_000
    assert all(find(table, visitor) == place for visitor, place in places.items())
    assert table.index.size >= 2 * 5_000


def test_a_free_place_is_used_again() -> None:
    table = VisitorTable()
    place = add(table, (1, 1), is_open=0)
    table.free_idle()
    assert (find(table, (1, 1)), table.live) == (-1, 0)
    assert add(table, (2, 2)) == place
    assert table.high_water == 1


def test_a_visitor_with_partial_matches_stays() -> None:
    table = VisitorTable()
    place = add(table, (1, 1), is_open=0)
    table.records[place]["partials"] = 1
    table.free_idle()
    assert find(table, (1, 1)) == place


def test_a_new_visitor_in_a_used_place_starts_blank() -> None:
    table = VisitorTable()
    place = add(table, (1, 1))
    table.records[place]["partials"], table.records[place]["head"] = 0, 7
    table.records[place]["next_deadline"], table.records[place]["open"] = 5, 0
    table.free_idle()
    record = table.records[add(table, (2, 2), is_open=0)]
    blank = (record["open"], record["partials"], record["head"], record["tail"], record["round"])
    assert blank == (0, 0, -1, -1, -1)
    assert record["next_deadline"] == np.iinfo(np.int64).max
