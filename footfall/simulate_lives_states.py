"""The hidden side of a simulated visitor's life: a state, how often visits come of it, and where it moves.

A life is a Markov process in continuous time. In each state, visits come as a Poisson process, and the state moves by
itself at constant rates. A visit either brings an order, after which the state is `customer` or `lapsing`, or may turn
the state. Rates hang on the visitor's traits alone. All rates are per day of the site's own time, which runs fast at
busy hours and slowly at night (see `simulate_lives_truth.SiteClock`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from itertools import product
from math import log, sqrt
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


class State(IntEnum):
    """What a visitor is up to. The first three are those of people who haven't ordered for now."""

    BROWSING = 0
    CONSIDERING = 1
    READY = 2
    CUSTOMER = 3
    RETURNING = 4
    LAPSING = 5
    GONE = 6


class Traits(NamedTuple):
    """What stays with a visitor.

    Attributes:
        source: how they found the site; one of `SOURCES`.
        device: one of `DEVICES`.
        quality: 0 to 2; nothing shows it but what the visitor does.
    """

    source: str
    device: str
    quality: int


@dataclass(frozen=True, slots=True)
class _Habits:
    """Of a state, for middling traits: visits a day, moves a day, and what a visit brings, as chances.

    `orders`: a visit brings an order. `turns`: where a visit without one leads.
    """

    visits: float
    orders: float
    moves: Mapping[State, float] = field(default_factory=dict)
    turns: Mapping[State, float] = field(default_factory=dict)


_HABITS = {
    State.BROWSING: _Habits(
        0.22, 0.001, {State.CONSIDERING: 0.008, State.GONE: 0.075}, {State.CONSIDERING: 0.06, State.GONE: 0.03}
    ),
    State.CONSIDERING: _Habits(
        0.45, 0.012, {State.READY: 0.02, State.BROWSING: 0.06, State.GONE: 0.025},
        {State.READY: 0.10, State.BROWSING: 0.08},
    ),
    State.READY: _Habits(
        0.9, 0.24, {State.CONSIDERING: 0.05, State.GONE: 0.05}, {State.CONSIDERING: 0.08, State.BROWSING: 0.03}
    ),
    State.CUSTOMER: _Habits(
        0.25, 0.008, {State.RETURNING: 0.003, State.LAPSING: 0.015},
        {State.RETURNING: 0.03, State.LAPSING: 0.03},
    ),
    State.RETURNING: _Habits(0.6, 0.22, {State.CUSTOMER: 0.06}, {State.CUSTOMER: 0.15}),
    State.LAPSING: _Habits(0.014, 0.01, {State.GONE: 0.006}, {State.CUSTOMER: 0.25, State.GONE: 0.1}),
    State.GONE: _Habits(0.0, 0.0),
}  # fmt: skip
_AT_FIRST = {State.BROWSING: 0.76, State.CONSIDERING: 0.19, State.READY: 0.05}

SOURCES = {
    "organic": 1.0,
    "paid": 1.15,
    "social": 0.6,
    "email": 1.5,
    "direct": 1.2,
    "referral": 0.9,
    "discount": 0.7,
}
"""How visitors find the site, and how keen they are."""
DEVICES = {"desktop": 1.25, "phone": 0.85}
"""What they come with, and how keen they are."""
_KEEN_BY_QUALITY = (0.65, 1.0, 1.4)
_LAPSES_BY_QUALITY = (1.4, 1.0, 0.7)
_ONE_TIME = {"social": 0.45, "paid": 0.3, "discount": 0.65}
_ONE_TIME_USUALLY = 0.12
_MOST = 0.9


@dataclass(frozen=True)
class LifeRates:
    """The rates of visitors of the same traits; rows are states, columns where they lead.

    Attributes:
        visits: per day, of each state.
        orders: the chance that a visit brings an order, of each state.
        moves: per day, by itself; the diagonal is 0.
        turns: what a visit without an order leads to; rows add up to 1.
        after_order: where an order leads.
        at_first: the state at the first visit.
    """

    visits: Matrix
    orders: Matrix
    moves: Matrix
    turns: Matrix
    after_order: Matrix
    at_first: Matrix

    def until_order(self) -> Matrix:
        """The generator killed at the first visit that brings an order."""
        stays = (self.visits * (1 - self.orders))[:, None] * self.turns
        return self.moves + stays - np.diag(self.moves.sum(axis=1) + self.visits)

    def until_visit(self) -> Matrix:
        """The generator killed at the first visit."""
        return self.moves - np.diag(self.moves.sum(axis=1) + self.visits)


@cache
def rates_of(traits: Traits) -> LifeRates:
    """The rates of a visitor of these traits."""
    keen = SOURCES[traits.source] * DEVICES[traits.device] * _KEEN_BY_QUALITY[traits.quality]
    lapses = _LAPSES_BY_QUALITY[traits.quality]
    size = len(State)
    moves, turns = np.zeros((size, size)), np.zeros((size, size))
    for state, habits in _HABITS.items():
        for to, rate in habits.moves.items():
            moves[state, to] = rate * _pull(to, keen, lapses)
        for to, chance in habits.turns.items():
            turns[state, to] = min(chance * _pull(to, keen, lapses), 0.45)
        turns[state, state] = 1 - turns[state].sum()
    one_time = min(_ONE_TIME.get(traits.source, _ONE_TIME_USUALLY) * lapses, _MOST)
    after_order, at_first = np.zeros(size), np.zeros(size)
    after_order[[State.CUSTOMER, State.LAPSING]] = 1 - one_time, one_time
    at_first[list(_AT_FIRST)] = [share * _pull(state, keen, 1.0) for state, share in _AT_FIRST.items()]
    return LifeRates(
        np.array([_HABITS[state].visits for state in State]),
        np.array([min(_HABITS[state].orders * keen, _MOST) for state in State]),
        moves,
        turns,
        after_order,
        at_first / at_first.sum(),
    )


def _pull(to: State, keen: float, lapses: float) -> float:
    """How much more often a state is moved to."""
    if to in {State.CONSIDERING, State.READY, State.RETURNING}:
        return sqrt(keen)
    return lapses if to in {State.LAPSING, State.GONE} else 1.0


TRAITS = tuple(Traits(*each) for each in product(SOURCES, DEVICES, range(len(_KEEN_BY_QUALITY))))
"""All that there are; a visitor's traits are kept as their place here."""


class Chances:
    """Draws what a life does, from the rates; one for all visitors of the same traits."""

    def __init__(self, rates: LifeRates) -> None:
        self._leaves: list[float] = (rates.moves.sum(axis=1) + rates.visits).tolist()
        self._visits: list[float] = rates.visits.tolist()
        self._orders: list[float] = rates.orders.tolist()
        self._moves = [_running(row) for row in rates.moves]
        self._turns = [_running(row) for row in rates.turns]
        self._after_order = _running(rates.after_order)
        self._at_first = _running(rates.at_first)

    def first(self, random: Random) -> int:
        """The state at the first visit."""
        return _drawn(self._at_first, random.random())

    def until_visit(
        self, random: Random, state: int, at: float, end: float
    ) -> tuple[float | None, list[tuple[float, int]]]:
        """What comes after `at` (days of the site's time): when the next visit is, and the states until then.

        Returns:
            The time of the next visit, None if there is none before `end`; and from when on the state was what, the
            first from `at` on.
        """
        path = [(at, state)]
        chance = random.random
        while leaves := self._leaves[state]:
            at -= log(1 - chance()) / leaves
            if at >= end:
                return None, path
            left = chance() * leaves - self._visits[state]
            if left < 0:
                return at, path
            state = _drawn(self._moves[state], left)
            path.append((at, state))
        return None, path

    def orders(self, random: Random, state: int) -> bool:
        """Whether a visit in that state brings an order."""
        return random.random() < self._orders[state]

    def turned(self, random: Random, state: int) -> int:
        """The state after a visit without an order."""
        return _drawn(self._turns[state], random.random())

    def after_order(self, random: Random) -> int:
        """The state after an order."""
        return _drawn(self._after_order, random.random())


@cache
def chances_of(place: int) -> Chances:
    """The chances of visitors whose traits are at that place of `TRAITS`."""
    return Chances(rates_of(TRAITS[place]))


def _running(row: Matrix) -> tuple[tuple[float, int], ...]:
    """Those above 0 with their running sums."""
    sums = np.cumsum(row).tolist()
    return tuple((sums[to], to) for to in np.flatnonzero(row).tolist())


def _drawn(running: Sequence[tuple[float, int]], share: float) -> int:
    for reached, to in running:
        if share < reached:
            return to
    return running[-1][1]
