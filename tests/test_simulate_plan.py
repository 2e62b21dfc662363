"""What a plan's visitors can give is checked against what they gave."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import SettingsError
from footfall.simulate import simulate
from footfall.simulate_command import write_traffic
from footfall.simulate_plan import MONDAY, Simulation, check_rate, slices, visitors_for, with_visitors_enough

HOUR, DAY = 3_600_000, 86_400_000


@given(
    duration=st.integers(1, 3 * DAY),
    every=st.sampled_from([60_000, 600_000]),
    rate=st.none() | st.floats(0, 100),
    start=st.integers(0, DAY),
)
def test_slices_follow_one_another_and_hold_all_visits(
    duration: int, every: int, rate: float | None, start: int
) -> None:
    plan = Simulation(duration=duration, rate=rate, start=MONDAY + start)
    found = list(slices(plan, every))
    assert [begin for begin, _, _ in found] == list(range(plan.start, plan.stop, every))
    assert [end for _, end, _ in found] == [*(begin for begin, _, _ in found[1:]), plan.stop]
    assert min(visits for *_, visits in found) >= 0
    # The whole is summed over coarser slices than the parts.
    assert sum(visits for *_, visits in found) == pytest.approx(plan.visits, rel=0.02, abs=1)


def test_a_long_plan_is_not_laid_out_beforehand() -> None:
    plan = Simulation(duration=3_650 * DAY, rate=1_000, visitors=400_000)
    assert [end - begin for begin, end, _ in islice(slices(plan, 1_000), 3)] == [1_000] * 3


def test_visitors_who_cannot_give_the_rate_are_told_with_what_to_set() -> None:
    plan = Simulation(visitors=400, rate=40)
    with pytest.raises(SettingsError) as caught:
        check_rate(plan)
    (problem,) = caught.value.problems
    assert problem == (
        "rate: 400 visitors pause between visits and give 0.83 events a second at most, not 40; "
        "write --visitors 24000 or more, or --rate 0.83 or less"
    )
    check_rate(replace(plan, visitors=24_000))
    check_rate(replace(plan, rate=0.83))


@pytest.mark.parametrize(("visitors", "rate"), [(60, 0.12), (400, 0.83), (1_200, 2.4)])
def test_what_passes_is_given_about_and_ten_times_as_much_is_not(
    tmp_path: Path, visitors: int, rate: float
) -> None:
    plan = Simulation(visitors=visitors, rate=rate, duration=DAY, dirty=0, duplicates=0)
    check_rate(plan)
    wanted = rate * plan.duration / 1000
    assert simulate(plan, tmp_path / "given.ndjson").events == pytest.approx(wanted, rel=0.15)
    many = replace(plan, rate=10 * rate, duration=8 * HOUR, start=MONDAY + 10 * HOUR)
    with pytest.raises(SettingsError):
        check_rate(many)
    assert simulate(many, tmp_path / "many.ndjson").events < 0.6 * 10 * rate * many.duration / 1000


def test_a_short_run_needs_no_more_visitors_than_visits() -> None:
    plan = Simulation(visitors=200, rate=20, duration=60_000)
    check_rate(plan)
    with pytest.raises(SettingsError):
        check_rate(replace(plan, duration=20 * 60_000))


@pytest.mark.parametrize("rate", [None, 0.0])
def test_without_a_rate_nothing_is_refused(rate: float | None) -> None:
    check_rate(Simulation(visitors=1, rate=rate))


def test_visitors_are_added_where_the_rate_needs_them_and_never_taken_away() -> None:
    plan = Simulation(rate=1_000, duration=HOUR)
    more = with_visitors_enough(plan)
    assert more.visitors == visitors_for(plan) > plan.visitors
    check_rate(more)
    assert with_visitors_enough(replace(plan, rate=1)).visitors == plan.visitors
    assert with_visitors_enough(replace(plan, rate=None)).visitors == plan.visitors


def test_the_command_refuses_before_it_writes(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="write --visitors"):
        write_traffic({"visitors": 400, "rate": 40.0}, tmp_path / "day.ndjson", as_json=True)
    assert not list(tmp_path.iterdir())
