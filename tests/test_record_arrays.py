"""Record-wise copies give what NumPy's field-wise ones give."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.record_arrays import copied, grown, join_records, keep_records, take_records

RECORD = np.dtype([("a", np.int64), ("b", np.uint8), ("c", np.float64)], align=True)


def records(count: int, first: int = 0) -> npt.NDArray[np.void]:
    made = np.zeros(count, RECORD)
    made["a"] = np.arange(first, first + count)
    made["b"] = made["a"] % 7
    made["c"] = made["a"] / 3
    return made


@given(st.integers(1, 30), st.data())
def test_taken_and_kept(count: int, data: st.DataObject) -> None:
    made = records(count)
    places = np.array(data.draw(st.lists(st.integers(0, count - 1))), np.int64)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), np.bool_)
    assert take_records(made, places).tolist() == made[places].tolist()
    assert keep_records(made, mask).tolist() == made[mask].tolist()


@given(st.lists(st.integers(0, 5), min_size=1))
def test_joined(sizes: list[int]) -> None:
    parts = [records(size, 100 * number) for number, size in enumerate(sizes)]
    joined = join_records(parts)
    assert joined.dtype == RECORD
    assert joined.tolist() == [record for part in parts for record in part.tolist()]


@pytest.mark.parametrize("step", [1, 2])
def test_copies_are_their_own(step: int) -> None:
    made = records(6)
    for copy in (copied(made[::step]), grown(made[::step], 10)):
        made["a"][0] = 0
        copy["a"][0] = 99
        assert made["a"][0] == 0
        assert copy[1 : 6 // step].tolist() == made[::step][1:].tolist()


def test_a_larger_array_is_blank_behind() -> None:
    larger = grown(records(3, 5), 6)
    assert larger["a"].tolist() == [5, 6, 7, 0, 0, 0]
