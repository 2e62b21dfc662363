"""Partitions are read in step: by the bound, and one batch beyond it."""

import numpy as np

from footfall.clock import FOREVER, NEVER
from footfall.input import ReadAhead


def ahead(*times: int) -> ReadAhead:
    return ReadAhead(np.array(times, np.int64), 10)


def test_the_slowest_never_waits() -> None:
    for before in (NEVER, 0, 5):
        assert not ahead(5, 100).must_wait(before)


def test_one_that_was_ahead_before_its_last_batch_waits() -> None:
    assert not ahead(5, 100).must_wait(15)
    assert ahead(5, 100).must_wait(16)


def test_nobody_goes_far_before_all_have_begun() -> None:
    assert not ahead(NEVER, 100).must_wait(NEVER)
    assert ahead(NEVER, 100).must_wait(0)


def test_who_has_ended_holds_nobody_up() -> None:
    assert not ahead(FOREVER, 5, 100).must_wait(15)
    assert ahead(FOREVER, 5, 100).must_wait(16)
    assert not ahead(FOREVER, FOREVER).must_wait(100)
