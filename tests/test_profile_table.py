"""The table of profiles: its index, its heap of texts, and replicas made from its changes."""

import pickle
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_rounds import START, Step, all_of, take_round
from reference import Record

from footfall import profile_table
from footfall.profile_table import ProfileTable
from footfall.profiles import Profiles, load_loops

Dump = dict[str, dict[str, Any]]


def dump(table: ProfileTable, settled: int) -> Dump:
    return all_of(Profiles(10**9, table, settled))


def came(profiles: Profiles, visitors: list[str], time: int, text: str | None) -> None:
    take_round(profiles, [Step(Record(visitor, "m", "view", time, user=text)) for visitor in visitors], time)
    profiles.end_round()


visitors = st.integers(0, 12).map("v{}".format)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.lists(visitors, max_size=8), st.sampled_from((None, "u", "user", "user" * 40))),
            st.just("sweep"),
            st.just("pack"),
            st.just("replicate"),
        ),
        max_size=25,
    )
)
def test_a_replica_made_from_changes_is_the_table(
    steps: list[tuple[list[str], str | None] | str],
) -> None:
    profiles, replica = Profiles(10**9), ProfileTable()
    table = profiles.table
    seen: dict[str, int] = {}
    for number, step in enumerate(steps):
        time = START + number
        if step == "sweep":
            table.sweep(0, table.high_water, time - 3)
            seen = {visitor: last for visitor, last in seen.items() if last >= time - 3}
        elif step == "pack":
            with patch.object(profile_table, "_DEAD_SLACK", -(10**9)):
                table.reserve_texts(0)
            assert table.live_text_bytes == table.places[4]
        elif step == "replicate":
            replica.apply(table.changes())
            table.forget_changes()
            replica.settle_down()
            assert dump(replica, time) == dump(table, time)
            assert (replica.live, replica.live_text_bytes) == (table.live, table.live_text_bytes)
        else:
            came(profiles, list(step[0]), time, step[1])
            seen |= dict.fromkeys(step[0], time)
        settled = profiles.settled
        assert {name: profile["last_seen"] for name, profile in dump(table, settled).items()} == seen
        assert dump(pickle.loads(pickle.dumps(table)), settled) == dump(table, settled)
        assert table.live == len(seen)
    replica.apply(table.changes())
    replica.settle_down()
    assert dump(replica, START + 99) == dump(table, START + 99)


def test_only_what_changed_is_told() -> None:
    profiles = Profiles()
    came(profiles, ["a", "b", "c"], START, "user")
    table = profiles.table
    assert table.changes().texts.tobytes().decode() == "auserbusercuser"
    table.forget_changes()
    assert table.changes_pending == 0
    came(profiles, ["b", "b"], START + 1, "user")
    changes = table.changes()
    assert (changes.slots.tolist(), changes.texts.size) == ([table.find(*hash_of(table, 1))], 0)
    came(profiles, ["b"], START + 2, "other")
    assert table.changes().texts.tobytes().decode() == "bother"


def hash_of(table: ProfileTable, place: int) -> tuple[int, int]:
    return int(table.records[place]["high"]), int(table.records[place]["low"])


def test_texts_that_change_without_end_take_no_more_room() -> None:
    profiles = Profiles()
    for number in range(300):
        came(profiles, [f"v{n}" for n in range(40)], START + number, f"{number:0100}")
    assert profiles.table.live_text_bytes < 5_000
    assert profiles.table.heap.size < 200_000
    assert len({profile["user_id"] for profile in dump(profiles.table, START + 300).values()}) == 1


def test_the_array_of_changes_is_never_too_short() -> None:
    profiles = Profiles(horizon=10)
    for number in range(30):
        came(profiles, [f"v{number}-{n}" for n in range(40)], START + 11 * number, None)
    table = profiles.table
    slots = table.changes().slots
    assert np.unique(slots).size == slots.size == table.high_water <= table.changed.size


def test_a_replica_with_other_places_for_texts_keeps_its_own() -> None:
    profiles, replica = Profiles(), ProfileTable()
    table = profiles.table
    for number, (visitor, user) in enumerate(
        (("a", "1"), ("b", "22"), ("a", "333"), ("pack", None), ("b", "22"))
    ):
        if visitor == "pack":
            with patch.object(profile_table, "_DEAD_SLACK", -(10**9)):
                table.reserve_texts(0)
            continue
        came(profiles, [visitor], START + number, user)
        replica.apply(table.changes())
        table.forget_changes()
    replica.settle_down()
    assert dump(replica, START + 9) == dump(table, START + 9)
    assert replica.heap.tobytes() != table.heap.tobytes()


def test_loading_the_loops_changes_nothing() -> None:
    profiles = Profiles()
    came(profiles, ["a", "b"], START, "user")
    before, pending = dump(profiles.table, START), profiles.table.changes_pending
    profiles.table.load_loops()
    assert (dump(profiles.table, START), profiles.table.changes_pending) == (before, pending)
    load_loops()


def test_a_profile_keeps_its_texts_when_the_heap_is_packed_as_it_is_written() -> None:
    profiles, packed = Profiles(), 0
    for number in range(120):
        steps = [Step(Record(f"v{n}", "m", "view", START, user="x" * (300 - number))) for n in range(20)]
        before = profiles.table.live_text_bytes, profiles.table.places[4]
        take_round(profiles, [*steps, Step(Record("same", "m", "view", START, user="me"))], START + number)
        profiles.end_round()
        packed += profiles.table.places[4] < before[1]
        same = profiles.at("same", START + number)
        assert same is not None
        assert (same["visitor_id"], same["user_id"]) == ("same", "me")
    assert packed
