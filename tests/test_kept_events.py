"""What automata keep of events, against a dict: found while a round lasts, and afterwards if they stay."""

import pickle

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footfall.errors import StateError
from footfall.event_batch import EVENT, Events
from footfall.kept_events import KeptEvent, KeptEvents, Places


class Rounds:
    """Rounds of events, each with two values that follow from its row; `asked` counts the evaluations."""

    def __init__(self, slots: int = 2) -> None:
        self.rows = 0
        self.slots = slots
        self.asked: list[int] = []

    def event(self, row: int) -> KeptEvent:
        values = (f"text {row}", None if row % 3 else float(row), True)[: self.slots]
        return KeptEvent(row * 10, row + (1 << 63), row, values)

    def begin(self, kept: KeptEvents, count: int, places: list[int]) -> list[int]:
        """Begin a round of so many events; the rows of those that may be asked for."""
        events: Events = np.zeros(count, EVENT)
        rows = np.arange(self.rows, self.rows + count)
        events["row"], events["time"], events["message_low"] = rows, rows * 10, rows
        events["message_high"] = rows.astype(np.uint64) + np.uint64(1 << 63)
        self.rows += count

        def values(asked: Places) -> pl.DataFrame:
            self.asked.append(asked.size)
            known = [self.event(int(rows[place])).values or () for place in asked]
            dtypes = (pl.String(), pl.Float64(), pl.Boolean())[: self.slots]
            columns = {
                str(slot): pl.Series([each[slot] for each in known], dtype=dtype)
                for slot, dtype in enumerate(dtypes)
            }
            return pl.DataFrame(columns)

        kept.begin_round(np.array([-1, *places], np.int64), events, values)
        return [int(rows[place]) for place in places]


@settings(max_examples=60)
@given(st.data())
def test_events_are_found_while_they_are_kept(data: st.DataObject) -> None:
    rounds, kept, known = Rounds(), KeptEvents(), set[int]()
    for _ in range(data.draw(st.integers(1, 12), label="rounds")):
        count = data.draw(st.integers(0, 8), label="count")
        places = data.draw(st.sets(st.integers(0, count - 1)) if count else st.just(set()), label="places")
        fresh = rounds.begin(kept, count, sorted(places))
        for row in data.draw(
            st.lists(st.sampled_from(sorted(known.union(fresh)))) if known or fresh else st.just([])
        ):
            assert kept[row][:3] == rounds.event(row)[:3]
            assert (kept.value(row, 0), kept.value(row, 1)) == rounds.event(row).values
        stay = data.draw(st.sets(st.sampled_from(fresh)) if fresh else st.just(set[int]()), label="stay")
        kept.end_round(np.array(sorted(stay), np.int64))
        known |= stay
        if data.draw(st.booleans(), label="sweep"):
            known = {row for row in known if data.draw(st.booleans())}
            kept.sweep(np.array(sorted(known), np.int64))
        if data.draw(st.booleans(), label="pickle"):
            kept = pickle.loads(pickle.dumps(kept, 5))
        assert len(kept) == len(known)
        assert all(kept[row] == rounds.event(row) for row in known)
        assert all(kept.value(row, 1) == (rounds.event(row).values or ())[1] for row in known)


def test_what_does_not_stay_is_unknown() -> None:
    rounds, kept = Rounds(), KeptEvents()
    rounds.begin(kept, 3, [0, 2])
    assert kept.value(0, 0) == "text 0"
    assert kept[2].time == 20
    with pytest.raises(StateError, match="event 1 is asked for but not kept"):
        kept[1]
    kept.end_round(np.array([2]))
    assert kept[2] == rounds.event(2)
    for gone in (0, 1):
        with pytest.raises(StateError, match=f"event {gone} is asked for but not kept"):
            kept[gone]


def test_values_are_evaluated_once_and_only_when_one_is_asked_for() -> None:
    rounds, kept = Rounds(), KeptEvents()
    rounds.begin(kept, 4, [0, 1, 2])
    assert kept[0].values is None
    assert rounds.asked == []
    kept.end_round(np.array([1]))
    assert rounds.asked == [1]  # those of what stays
    rounds.begin(kept, 4, [0, 1, 3])
    assert [kept.value(row, 0) for row in (4, 5, 4)] == ["text 4", "text 5", "text 4"]
    kept.end_round(np.array([5, 7]))
    assert rounds.asked == [1, 3]
    assert kept.value(7, 0) == "text 7"


def test_one_over_others_knows_them_and_leaves_them_as_they_are() -> None:
    rounds, kept = Rounds(), KeptEvents()
    rounds.begin(kept, 2, [0, 1])
    kept.end_round(np.array([0, 1]))
    over = KeptEvents(under=kept)
    rounds.begin(over, 1, [0])
    assert [over.value(row, 0) for row in (0, 1, 2)] == ["text 0", "text 1", "text 2"]
    assert len(kept) == 2
    with pytest.raises(StateError):
        kept[2]


def test_a_plan_that_has_grown_has_more_values_behind_the_others() -> None:
    kept, rounds = KeptEvents(), Rounds(slots=2)
    rounds.begin(kept, 2, [0, 1])
    kept.end_round(np.array([0, 1]))
    rounds.slots = 3
    rounds.begin(kept, 2, [0, 1])
    kept.end_round(np.array([2, 3]))
    kept = pickle.loads(pickle.dumps(kept, 5))
    assert (kept.value(3, 1), kept.value(3, 2)) == (3.0, True)
    assert (kept.value(0, 0), kept.value(0, 1)) == ("text 0", 0.0)


def test_plans_without_values_keep_times_and_messages() -> None:
    kept, rounds = KeptEvents(), Rounds(slots=0)
    rounds.begin(kept, 2, [0, 1])
    kept.end_round(np.array([1]))
    assert kept[1] == KeptEvent(10, 1 + (1 << 63), 1, ())
