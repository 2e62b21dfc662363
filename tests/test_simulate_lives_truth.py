"""The true probabilities are held against ways of their own: the process played out, and plain matrix exponentials."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from footfall.simulate_lives_plan import DAY_MS
from footfall.simulate_lives_states import TRAITS, State, Traits, chances_of, rates_of
from footfall.simulate_lives_truth import ORDER_AFTER_MS, SiteClock, Truth
from footfall.simulate_plan import MONDAY, busy

HOUR = 3_600_000
CLOCK = SiteClock()
TRUTH = Truth(CLOCK, lead_days=7)
PAID, SOCIAL = (
    TRAITS.index(Traits("paid", "desktop", 2)),
    TRAITS.index(Traits("social", "phone", 0)),
)
TIMES = st.integers(MONDAY, MONDAY + 400 * DAY_MS)


def one(*values: int) -> list[np.ndarray]:
    return [np.array([value]) for value in values]


@given(TIMES)
def test_a_day_is_a_day_whenever_it_begins(at: int) -> None:
    assert CLOCK.of(at + DAY_MS) - CLOCK.of(at) == pytest.approx(1, abs=1e-9)
    assert CLOCK.of(at + 1) > CLOCK.of(at)
    assert abs(CLOCK.ms_at(CLOCK.of(at)) - at) <= 1


@given(TIMES, st.integers(1, 2 * HOUR))
def test_what_has_passed_is_the_difference_of_times(at: int, ms: int) -> None:
    (passed,) = CLOCK.passed(np.array([at]), ms)
    assert passed == pytest.approx(CLOCK.of(at) - CLOCK.of(at - ms), abs=1e-9)


def test_the_sites_time_runs_as_it_is_busy() -> None:
    evening, night = (
        CLOCK.of(MONDAY + hour * HOUR + HOUR // 2) - CLOCK.of(MONDAY + hour * HOUR) for hour in (18, 3)
    )
    busy_then = [sum(busy(hour * HOUR + minute * 60_000) for minute in range(30)) for hour in (18, 3)]
    assert evening / night == pytest.approx(busy_then[0] / busy_then[1], rel=0.01)


@pytest.mark.parametrize("place", [PAID, SOCIAL])
def test_rates_are_those_of_a_process(place: int) -> None:
    rates = rates_of(TRAITS[place])
    assert rates.turns.sum(axis=1) == pytest.approx(1)
    assert rates.turns.min() >= 0
    assert rates.moves.min() >= 0
    assert rates.after_order.sum() == pytest.approx(1)
    assert rates.at_first.sum() == pytest.approx(1)
    # What leaves the killed processes are the visits, and those of them that bring an order.
    assert -rates.until_visit().sum(axis=1) == pytest.approx(rates.visits)
    assert -rates.until_order().sum(axis=1) == pytest.approx(rates.visits * rates.orders)


@pytest.mark.parametrize("hour", [0, 4, 12, 19])
def test_lead_is_the_mean_over_when_an_order_comes(hour: int) -> None:
    """The series in the time that an order takes leaves nothing out."""
    at = MONDAY + 3 * DAY_MS + hour * HOUR + 123_456
    killed = rates_of(TRAITS[PAID]).until_order()
    end = at + 7 * DAY_MS
    lengths = [CLOCK.of(end - after) - CLOCK.of(at) for after in ORDER_AFTER_MS]
    expected = 1 - np.mean([expm(killed * length).sum(axis=1) for length in lengths], axis=0)
    found = TRUTH.lead(np.full(len(State), PAID), np.arange(len(State)), np.full(len(State), at))
    assert found == pytest.approx(expected, abs=1e-10)
    assert found[State.GONE] == 0
    # A horizon that forgot how long an order takes would be off by more than that.
    forgetful = 1 - expm(killed * 7).sum(axis=1)
    assert abs(found - forgetful).max() > 1e-6


@pytest.mark.parametrize("days", [30, 3])
def test_churn_is_what_small_steps_come_to(days: int) -> None:
    rates = rates_of(TRAITS[PAID])
    step = np.eye(len(State)) + rates.until_visit() * (days / 2**22)
    for _ in range(22):
        step = step @ step
    found = TRUTH.churn(np.full(len(State), PAID), np.arange(len(State)), np.full(len(State), days))
    assert found == pytest.approx(step.sum(axis=1), abs=1e-4)
    assert found[State.GONE] == 1


@pytest.mark.parametrize(
    ("place", "state"),
    [(PAID, State.READY), (PAID, State.CONSIDERING), (SOCIAL, State.CUSTOMER), (SOCIAL, State.RETURNING)],
)
def test_the_process_played_out_agrees(place: int, state: State) -> None:
    """Lives are played from that state on; how many order, or keep away, is as the computation has it."""
    random, chances = Random(5), chances_of(place)
    begin, runs = MONDAY + 10 * HOUR, 12_000
    since = CLOCK.of(begin)
    ordered = quiet = 0
    for _ in range(runs):
        now, reached = since, int(state)
        first = None
        while True:
            visit, path = chances.until_visit(random, reached, now, since + 30)
            first = first or (visit if visit is not None else since + 30)
            if visit is None:
                break
            if chances.orders(random, path[-1][1]):
                at = CLOCK.ms_at(visit) + ORDER_AFTER_MS[int(random.random() * len(ORDER_AFTER_MS))]
                ordered += at <= begin + 7 * DAY_MS
                break
            if visit > since + 7:
                break
            now, reached = visit, chances.turned(random, path[-1][1])
        quiet += first >= since + 30
    (lead,) = TRUTH.lead(*one(place, state, begin))
    (churn,) = TRUTH.churn(*one(place, state, 30))
    for count, probability in ((ordered, lead), (quiet, churn)):
        spread = np.sqrt(runs * probability * (1 - probability))
        assert abs(count - runs * probability) < 4 * max(spread, 1)
