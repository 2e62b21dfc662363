"""The index alone, against a set, with hashes that collide."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.compiled import compiled
from footfall.hash_index import find_record, insert_record, new_index, remove_record

RECORD = np.dtype([("high", np.uint64), ("low", np.uint64)])

# Few homes, at both ends of the 16 places, so that runs grow, go round and get holes.
HASHES = [(high, low) for high in (0, 1, 14, 15, 31, 2**64 - 1) for low in (0, 1)]


@compiled
def _find(index: Any, records: Any, high: Any, low: Any) -> Any:
    return find_record(index, records, high, low)


@compiled
def _insert(index: Any, slot: Any, high: Any) -> None:
    insert_record(index, slot, high)


@compiled
def _remove(index: Any, records: Any, slot: Any) -> None:
    remove_record(index, records, slot)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, len(HASHES) - 1) | st.just(-1), max_size=40))
def test_what_is_in_it_is_found_and_nothing_else(steps: list[int]) -> None:
    records = np.array(HASHES, RECORD)
    used = np.zeros(records.size, np.bool_)
    index = new_index(records, used, 8)
    for slot in steps:
        if slot < 0:
            index = new_index(records, used, 8)
        elif used[slot]:
            _remove(index, records, slot)
            used[slot] = False
        else:
            _insert(index, slot, records[slot]["high"])
            used[slot] = True
        assert index.size == 16
        found = [int(_find(index, records, each["high"], each["low"])) for each in records]
        assert found == [place if used[place] else -1 for place in range(records.size)]


def test_it_is_a_power_of_two_with_twice_the_room() -> None:
    records = np.zeros(0, RECORD)
    sizes = [new_index(records, np.zeros(0, np.bool_), most).size for most in (0, 8, 9, 16, 17, 1000)]
    assert sizes == [16, 16, 32, 32, 64, 2048]
