"""A table of records against a dictionary: what is found, what counts as changed, replicas, places used anew."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_rounds import ODD, SUMS, Model, add, all_of, free, hash_of

from footfall.errors import StateError
from footfall.record_table import CHANGED, KEYED, USED, RecordTable

visitors = st.lists(st.integers(0, 40), max_size=14)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), visitors),
        st.tuples(st.just("free"), visitors),
        st.tuples(st.sampled_from(("replicate", "pickle", "load")), st.just([])),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=150)
@given(steps)
def test_it_holds_what_a_dictionary_does_and_so_does_a_replica_made_from_its_changes(
    moves: list[tuple[str, list[int]]],
) -> None:
    table, replica = RecordTable(SUMS), RecordTable(SUMS)
    model: Model = {}
    touched: set[int] = set()
    for number, (move, names) in enumerate(moves):
        if move == "add":
            add(table, model, names, number)
            touched |= set(names)
        elif move == "free":
            touched |= set(names) & set(model)
            free(table, model, names)
        elif move == "replicate":
            replica.apply(table.changes())
            table.forget_changes()
            replica.settle_down()
            touched.clear()
            assert all_of(replica) == model
            assert replica.changes_pending == 0
        elif move == "load":
            table.load_loops()
        else:
            table = pickle.loads(pickle.dumps(table))
            replica = pickle.loads(pickle.dumps(table))
            touched.clear()
        assert all_of(table) == model
        for visitor in set(range(41)) - set(model):
            assert table.find(*hash_of(visitor)) == -1
        slots = table.changes().slots
        assert np.unique(slots).size == slots.size == table.changes_pending <= table.changed.size
        assert {table.find(*hash_of(visitor)) for visitor in touched} - {-1} <= set(slots.tolist())
        assert table.changes_pending <= len(touched)
    replica.apply(table.changes())
    replica.settle_down()
    assert all_of(replica) == model


def test_only_what_changed_is_told_and_a_freed_record_as_freed() -> None:
    table, model = RecordTable(SUMS), Model()
    add(table, model, range(20), 3)
    table.forget_changes()
    assert table.changes().slots.size == 0
    gone, stays = table.find(*hash_of(7)), table.find(*hash_of(9))
    free(table, model, [7])
    add(table, model, [9, 9, 9], 2)
    changes = table.changes()
    assert changes.slots.tolist() == [gone, stays]
    assert (changes.records["flags"] & USED).tolist() == [0, USED]
    assert changes.records["total"][1] == 9
    assert changes.texts.size == 0
    add(table, model, [9], 1)
    assert changes.records["total"][1] == 9


def test_a_place_that_is_used_anew_has_nothing_of_its_last_visitor() -> None:
    table, model = RecordTable(SUMS), Model()
    add(table, model, range(12), 5)
    table.forget_changes()
    slot = table.find(*hash_of(4))
    free(table, model, [4])
    add(table, model, [100], 0)
    assert table.find(*hash_of(100)) == slot
    record = table.records[slot]
    assert record["flags"] == USED | CHANGED
    assert record["total"] == 0
    assert not record["slots"].any()
    assert record["grid"].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert table.high_water == 12


def test_whole_gives_the_used_places_between_two() -> None:
    table, model = RecordTable(SUMS), Model()
    add(table, model, range(10), 1)
    free(table, model, [3])
    assert table.whole(2, 6).slots.tolist() == [2, 4, 5]
    assert table.whole(8, 99).records["low"].tolist() == [8, 9]
    assert table.whole(99, 120).slots.size == 0
    assert table.live_bytes == 9 * (SUMS.itemsize + 4)
    assert table.memory == table.records.nbytes + table.index.nbytes + table.changed.nbytes


def test_places_are_used_anew_before_the_table_grows() -> None:
    table, model = RecordTable(SUMS), Model()
    for number in range(50):
        add(table, model, range(40 * number, 40 * number + 40), number)
        free(table, model, range(40 * number, 40 * number + 40))
    assert (table.live, table.high_water) == (0, 40)
    assert table.records.size == 40


def test_loading_the_loops_changes_nothing() -> None:
    table, model = RecordTable(SUMS), Model()
    add(table, model, range(10), 1)
    table.forget_changes()
    add(table, model, [3, 30], 2)
    before = table.changes()
    table.load_loops()
    after = table.changes()
    assert all_of(table) == model
    assert after.slots.tolist() == before.slots.tolist()
    assert after.records.tobytes() == before.records.tobytes()


def test_bits_of_its_own_are_kept_by_a_replica() -> None:
    table, replica, model = RecordTable(SUMS), RecordTable(SUMS), Model()
    add(table, model, [1], 3)
    replica.apply(table.changes())
    replica.settle_down()
    assert replica.records[0]["flags"] == USED | ODD


@pytest.mark.parametrize(
    ("fields", "lacking"),
    [
        ([("x", np.int64)], "high, low, flags, next_free"),
        ([*KEYED[:3], ("x", np.int64)], "next_free"),
        ([*KEYED[:2], ("flags", np.int64), *KEYED[3:]], "flags"),
        (np.int64, "high, low, flags, next_free"),
    ],
)
def test_records_without_a_key_are_refused(fields: Any, lacking: str) -> None:
    with pytest.raises(StateError, match=f"have no field {lacking} of"):
        RecordTable(np.dtype(fields))
