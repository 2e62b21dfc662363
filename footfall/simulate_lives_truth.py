"""The true probabilities of what a simulated visitor will do, given the hidden state: no estimate, but a computation.

In the site's own time a life is a Markov process with constant rates. So the probability that no visit comes within a
time t is that of the process killed at its first visit: row sums of exp(K t), K its generator; and likewise for orders.

The site's time runs with its hours: a day of it is a day, whatever the hour it begins at. Horizons are whole days, so
that they have one length. Only an order isn't at its visit's beginning: it comes one of `ORDER_AFTER_MS` later, all of
them equally likely, and in those minutes nothing else happens. So an order counts that was begun, say, 9 minutes
before the horizon's end or earlier. How much of the site's time that is hangs on the hour; exp(K (H - d)) is
exp(K H) times the Taylor series of exp(-K d), of which `_TERMS` terms leave nothing out that a double could hold.
"""

from bisect import bisect_right
from functools import cache
from math import factorial

import numpy as np
import numpy.typing as npt
from scipy.linalg import expm

from footfall.simulate_lives_plan import DAY_MS
from footfall.simulate_lives_states import TRAITS, Matrix, State, rates_of
from footfall.simulate_plan import busy

ORDER_AFTER_MS = tuple(round(90_000 * 1.2**step) for step in range(16))
"""How long after a visit's beginning its order can come."""
_SLOT_MS = 900_000
_SLOTS = DAY_MS // _SLOT_MS
_TERMS = 16

Times = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]


class SiteClock:
    """The site's time, in days since 1970: a day has one everywhere, and its quarters of an hour differ."""

    def __init__(self) -> None:
        rates = np.array([busy(slot * _SLOT_MS + _SLOT_MS // 2) for slot in range(_SLOTS)])
        rates /= rates.sum()
        self._rates = rates.tolist()
        self._reached = np.concatenate([[0.0], np.cumsum(rates)])
        self._reached[-1] = 1.0
        self._knots = np.arange(_SLOTS + 1) * _SLOT_MS
        self._sums = self._reached.tolist()

    def of(self, ms: float) -> float:
        """The site's time at that many ms since 1970."""
        day, rest = divmod(ms, DAY_MS)
        slot = int(rest // _SLOT_MS)
        share: float = (rest - slot * _SLOT_MS) / _SLOT_MS
        return float(day + self._sums[slot] + share * self._rates[slot])

    def ms_at(self, site_time: float) -> int:
        """When the site's time is that, ms since 1970."""
        day = int(site_time)
        rest = site_time - day
        slot = min(bisect_right(self._sums, rest), _SLOTS) - 1
        share = (rest - self._sums[slot]) / self._rates[slot]
        return day * DAY_MS + int((slot + share) * _SLOT_MS)

    def passed(self, before: Times, ms: int) -> Matrix:
        """How much of the site's time passes in the last `ms` (a day at most) before each of those times."""
        ends, begins = before % DAY_MS, (before - ms) % DAY_MS
        days = np.where(begins > ends, 1.0, 0.0)
        reached: Matrix = np.interp(ends, self._knots, self._reached) - np.interp(
            begins, self._knots, self._reached
        )
        return reached + days


class Truth:
    """The true probabilities, for the plan's horizons.

    Args:
        clock: the site's.
        lead_days: the horizon of the lead label, whole days.
    """

    def __init__(self, clock: SiteClock, *, lead_days: int) -> None:
        self._clock = clock
        self._order_terms = np.stack([_order_terms(place, lead_days) for place in range(len(TRAITS))])

    def lead(self, traits: Places, states: Places, times: Times) -> Matrix:
        """Of each moment: the probability of an order within the lead horizon, its end included.

        Args:
            traits: places of `TRAITS`.
            states: the hidden states at those times.
            times: ms since 1970; at them, no visit is under way.
        """
        moments = np.zeros((_TERMS, times.size))
        for after in ORDER_AFTER_MS:
            passed = self._clock.passed(times, after)
            power = np.ones(times.size)
            for term in range(_TERMS):
                moments[term] += power
                power *= passed
        terms: Matrix = self._order_terms[traits, states]
        without: Matrix = np.einsum("mt,tm->m", terms, moments) / len(ORDER_AFTER_MS)
        return np.clip(1 - without, 0.0, 1.0)

    def churn(self, traits: Places, states: Places, days: Places) -> Matrix:
        """Of each moment: the probability that no visit comes within so many days, their end included."""
        quiet = np.empty(days.size)
        for left in np.unique(days).tolist():
            held = days == left
            quiet[held] = _quiet(left)[traits[held], states[held]]
        return quiet


@cache
def _quiet(days: int) -> Matrix:
    """Of each traits and state: the probability that no visit comes within so many days."""
    return np.stack([expm(rates_of(traits).until_visit() * days).sum(axis=1) for traits in TRAITS])


@cache
def _order_terms(place: int, days: int) -> Matrix:
    """Of each state: the coefficients of d^j in the sum of its row of exp(K (days - d))."""
    killed = rates_of(TRAITS[place]).until_order()
    term: Matrix = expm(killed * days).sum(axis=1)
    terms = np.empty((len(State), _TERMS))
    for power in range(_TERMS):
        terms[:, power] = term * (-1) ** power / factorial(power)
        term = killed @ term
    return terms
