from hypothesis import given
from hypothesis import strategies as st

from footfall.rising_counts import RisingCounts

RECORDS = ("records",)


def test_totals_of_sources_add_up_and_what_comes_again_adds_nothing() -> None:
    counts = RisingCounts()
    assert counts.reach("p0", {RECORDS: 10}) == {RECORDS: 10}
    assert counts.reach("p1", {RECORDS: 5}) == {RECORDS: 5}
    assert counts.reach("p0", {RECORDS: 4}) == {}
    assert counts.reach("p0", {RECORDS: 9}) == {}
    assert counts.total(*RECORDS) == 15
    assert counts.reach("p0", {RECORDS: 12}) == {RECORDS: 2}
    assert counts.total(*RECORDS) == 17
    assert counts.fresh == {RECORDS: 17}


def test_the_first_words_of_a_resumed_run_are_totals_but_not_fresh() -> None:
    counts = RisingCounts(resumed=True)
    assert counts.reach("p0", {RECORDS: 1_000}) == {}
    assert (counts.total(*RECORDS), counts.fresh) == (1_000, {})
    assert counts.reach("p0", {RECORDS: 1_001, ("late",): 1}) == {RECORDS: 1, ("late",): 1}
    assert counts.reach("p1", {RECORDS: 50}) == {}
    assert counts.fresh == {RECORDS: 1, ("late",): 1}


def test_counts_since_a_start_add_up_over_starts() -> None:
    counts = RisingCounts()
    counts.count_on("sink", {RECORDS: 10})
    counts.begin_again("sink")
    assert counts.count_on("sink", {RECORDS: 10}) == {RECORDS: 10}
    assert counts.count_on("sink", {RECORDS: 3}) == {RECORDS: 3}, "one that has fallen began again"
    assert counts.total(*RECORDS) == 23


def test_labels_come_in_order_and_a_count_of_nothing_is_there() -> None:
    counts = RisingCounts()
    counts.reach("a", {("matches", "z"): 0, ("matches", "b"): 2, ("matches",): 7, ("sessions",): 1})
    assert list(counts.by_label("matches").items()) == [("b", 2), ("z", 0)]
    assert counts.total("unheard") == 0


@given(
    words=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.booleans())), resumed=st.booleans()
)
def test_nothing_ever_falls_and_totals_are_the_highest_seen(
    *, words: list[tuple[str, int, bool]], resumed: bool
) -> None:
    counts = RisingCounts(resumed=resumed)
    highest: dict[str, int] = {}
    total = fresh = 0
    for source, value, since_start in words:
        if since_start:
            risen = counts.count_on(source, {("since",): value})
        else:
            risen = counts.reach(source, {RECORDS: value})
            highest[source] = max(highest.get(source, 0), value)
        assert all(more > 0 for more in risen.values())
        assert counts.total("since") + counts.total(*RECORDS) >= total
        assert sum(counts.fresh.values()) >= fresh
        total, fresh = counts.total("since") + counts.total(*RECORDS), sum(counts.fresh.values())
        assert counts.total(*RECORDS) == sum(highest.values())
