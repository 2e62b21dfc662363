"""Of the visitors that are wanted, all events are found."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from footfall.visitor_places import places_of_visitors

HASHES = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([1, 2, 3, 65_537]), max_size=30)


@given(HASHES, HASHES)
def test_no_event_of_a_wanted_visitor_is_missed(visitors: list[int], wanted: list[int]) -> None:
    found = places_of_visitors(np.array(visitors, np.uint64), np.array(wanted, np.uint64)).tolist()
    assert {place for place, one in enumerate(visitors) if one in wanted} <= set(found)
    assert found == sorted(found)
    # A visitor's events are all there, or none.
    assert {visitors[place] for place in found}.isdisjoint(
        one for place, one in enumerate(visitors) if place not in found
    )


def test_hardly_any_others_are_found() -> None:
    visitors = np.random.default_rng(1).integers(0, 2**63, 10_000).astype(np.uint64)
    assert places_of_visitors(visitors, visitors[:50]).size < 80
    assert places_of_visitors(visitors, visitors[:0]).size == 0
