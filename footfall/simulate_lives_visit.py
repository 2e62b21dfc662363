"""What a visitor does in one visit of the long simulation, given the hidden state: all that anybody can see of it.

Several signs mean something only beside others: that prices are checked tells of intent where people come by a search,
an e-mail or directly, and of nothing where they come from social media; searches tell at a desktop, the depth of
reading on a phone is nearly always large. After the change of behaviour the signs are others: the site shows prices
and the quick booking to everybody, so that the curious use these most, and who is about to book reads reviews and
looks where the branches are, and searches on whatever device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import Any

from footfall.simulate_lives_states import State, Traits
from footfall.simulate_site import BRANCHES, PAGES, SERVICES, Action

LONGEST_PAUSE_MS = 20 * 60_000
"""Between two events of a visit; far below the gap that ends a session."""
_MOST_PAGES = 40
_READS_PRICES_IDLY = {"social", "referral", "discount"}
_IDLE_PRICES = 0.8
_ELEMENTS = ("#menu", "a.service-card", "button.show-more", "#opening-hours", "img.gallery", "a.phone-number")
_HELP = ("/faq", "/branches", "/account/repairs")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How people in a state visit; chances are per page unless said otherwise.

    Attributes:
        pages: log of the median of how many pages there are after the first.
        services: the chance that a page is a service's.
        prices: price checks in a visit, on average.
        searches: searches in a visit at a desktop, on average.
        attempts: the chance that a visit begins a booking that comes to nothing.
        depth: the chance of each further quarter of a page that is read at a desktop.
        dwell: median time on a page, s.
        reviews: the chance that a page is one of reviews or of a branch.
        help: the chance that a page is about what was ordered.
        anger: the chance that a visit has clicks in anger.
    """

    pages: float
    services: float
    prices: float
    searches: float
    attempts: float
    depth: float
    dwell: float
    reviews: float = 0.06
    help: float = 0.04
    anger: float = 0.02


BEFORE = {
    State.BROWSING: Behaviour(0.0, 0.2, 0.08, 0.08, 0.004, 0.3, 12),
    State.CONSIDERING: Behaviour(1.1, 0.5, 0.6, 0.8, 0.03, 0.65, 26),
    State.READY: Behaviour(1.4, 0.65, 2.6, 0.7, 0.45, 0.6, 26),
    State.CUSTOMER: Behaviour(0.3, 0.12, 0.06, 0.08, 0.003, 0.4, 16, help=0.45),
    State.RETURNING: Behaviour(1.2, 0.6, 2.2, 0.6, 0.4, 0.5, 24, help=0.1),
    State.LAPSING: Behaviour(-0.5, 0.2, 0.15, 0.1, 0.004, 0.25, 9, help=0.3, anger=0.2),
}
AFTER = {
    State.BROWSING: Behaviour(0.2, 0.5, 1.2, 0.08, 0.2, 0.3, 14, reviews=0.02),
    State.CONSIDERING: Behaviour(1.0, 0.35, 0.4, 0.7, 0.05, 0.6, 24, reviews=0.15),
    State.READY: Behaviour(1.5, 0.15, 0.1, 2.6, 0.02, 0.7, 28, reviews=0.6),
    State.CUSTOMER: Behaviour(0.3, 0.12, 0.3, 0.08, 0.06, 0.4, 16, help=0.45),
    State.RETURNING: Behaviour(1.2, 0.2, 0.1, 1.8, 0.03, 0.6, 24, reviews=0.5, help=0.1),
    State.LAPSING: Behaviour(-0.5, 0.2, 0.4, 0.1, 0.06, 0.25, 9, help=0.3, anger=0.2),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """The circumstances of a visit.

    `source` is the visit's own, which needn't be the visitor's; `leads_to` the state after it; `changed` whether the
    change of behaviour has come.
    """

    state: State
    leads_to: State
    traits: Traits
    source: str
    changed: bool


def visit_actions(random: Random, start: int, setting: Setting, order_at: int | None) -> list[Action]:
    """One visit, from `start` (ms) on.

    Args:
        random: where chance comes from.
        start: the time of the first action.
        setting: the circumstances.
        order_at: when the visit's order is completed, which is the last that happens; None if there is none.

    Returns:
        At least one action, at strictly increasing times, never as much as half an hour apart.
    """
    visit = _Visit(random, start, setting)
    visit.look_around()
    if order_at is None:
        visit.end_without_order()
    else:
        visit.order(order_at)
    return visit.actions


class _Visit:
    """The hand that plays a visit."""

    def __init__(self, random: Random, start: int, setting: Setting) -> None:
        self.actions: list[Action] = []
        self._chance = random.random
        self._gauss = random.gauss
        self._now = start
        self._path = "/"
        self._setting = setting
        behaviours = AFTER if setting.changed else BEFORE
        self._as = behaviours[setting.state]
        on_phone = setting.traits.device == "phone"
        self._depth = 0.75 if on_phone else self._as.depth
        self._searches = 0.3 if on_phone and not setting.changed else self._as.searches
        idle = setting.source in _READS_PRICES_IDLY and not setting.changed
        self._prices = _IDLE_PRICES if idle else self._as.prices
        self._haste = 0.7 if on_phone else 1.0

    def look_around(self) -> None:
        pages = 1 + min(_MOST_PAGES, int(exp(self._gauss(self._as.pages, 0.8))))
        prices, searches = self._count(self._prices), self._count(self._searches)
        service = None
        for page in range(pages):
            if searches and self._chance() < 0.5:
                searches -= 1
                self._search()
            share = self._chance()
            if share < self._as.services:
                service = self._view_service()
            elif share < self._as.services + self._as.reviews:
                self._view("/reviews" if self._chance() < 0.6 else "/branches/" + self._one_of(BRANCHES))
            elif share < self._as.services + self._as.reviews + self._as.help:
                self._view(self._one_of(_HELP))
            else:
                self._view(self._one_of(PAGES))
            self._read()
            if prices and (service or page + 1 == pages):
                prices -= 1
                self._check_price(service or self._view_service())
        for _ in range(searches):
            self._search()
        for _ in range(prices):
            self._check_price(self._view_service())

    def end_without_order(self) -> None:
        if self._chance() < self._as.attempts:
            service = self._view_service()
            self._begin_booking(service)
            if self._chance() < 0.5:
                self._fill_in()
        if self._chance() < self._as.anger or (self._got_worse() and self._chance() < 0.25):
            self._click_in_anger()
        if self._chance() < 0.12:
            self._act("exit_intent", self._seconds(4, 0.8))

    def order(self, at: int) -> None:
        """Book, at the end of what has been done so far, which is told faster or slower so that it fits."""
        begun = self.actions[0].at
        lasting = self._setting.leads_to is not State.LAPSING
        pick = self._chance()
        # Who never comes back comes for the rescue of data more often: that is dear, and done once.
        service = (
            SERVICES[8 + int(pick * 3)] if self._chance() < (0.05 if lasting else 0.65) else self._service()
        )
        self._view(f"/services/{service[0]}")
        self._begin_booking(service)
        self._fill_in()
        whole = max(1, self._now - begun)
        room = int((at - begun) * (0.9 + 0.08 * self._chance()))
        for number, action in enumerate(self.actions):
            action.at = begun + (action.at - begun) * room // whole + number
        name, device, price = service
        facts = {"service": name, "device": device, "branch": self._one_of(BRANCHES)}
        value = round(price * exp(self._gauss(0.0, 0.25)), 2)
        self.actions.append(Action(at, "booking_completed", "/booking", "#confirm", None, None, value, facts))

    def _got_worse(self) -> bool:
        state, after = self._setting.state, self._setting.leads_to
        return after is not state and after in {State.GONE, State.LAPSING, State.BROWSING}

    def _view(self, path: str) -> None:
        self._path = path
        self._act("page_view", self._seconds(self._as.dwell * self._haste, 0.9))

    def _read(self) -> None:
        reached = 0
        while reached < 4 and self._chance() < self._depth:
            reached += 1
        # A tracker that tells the quarters together tells the deepest.
        if reached:
            self._act("scroll_milestone", self._seconds(3, 0.7), properties={"percent": 25 * reached})
        if self._chance() < 0.25:
            self._click(self._one_of(_ELEMENTS), self._seconds(2, 0.8), 40 + int(self._chance() * 1_200))

    def _view_service(self) -> tuple[str, str, float]:
        service = self._service()
        self._view(f"/services/{service[0]}")
        return service

    def _check_price(self, service: tuple[str, str, float]) -> None:
        name, device, price = service
        facts = {"service": name, "device": device}
        self._act(
            "price_checked", self._seconds(5, 0.7), element="button.price", value=price, properties=facts
        )

    def _search(self) -> None:
        facts = {"query": self._service()[0].rpartition("/")[2].replace("-", " ")}
        self._act("products_searched", self._seconds(6, 0.7), element="#search", properties=facts)

    def _begin_booking(self, service: tuple[str, str, float]) -> None:
        name, device, _ = service
        self._path = "/booking"
        facts = {"service": name, "device": device}
        self._act("booking_started", self._seconds(5, 0.7), element="button.book", properties=facts)

    def _fill_in(self) -> None:
        for name in ("name", "phone", "preferred_time"):
            self._act(
                "form_field_changed",
                self._seconds(7, 0.6),
                element="form.booking",
                properties={"field": name},
            )

    def _click_in_anger(self) -> None:
        element, x = self._one_of(_ELEMENTS), 40 + int(self._chance() * 1_200)
        for _ in range(3 + int(self._chance() * 4)):
            self._click(element, 90 + int(self._chance() * 200), x)

    def _click(self, element: str, delay: int, x: int) -> None:
        y = 60 + int(self._chance() * 1_500)
        self._add(Action(self._now, "click", self._path, element, x, y), delay)

    def _act(
        self,
        event: str,
        delay: int,
        *,
        element: str | None = None,
        value: float | None = None,
        properties: dict[str, Any] | None = None,
    ) -> None:
        self._add(Action(self._now, event, self._path, element, None, None, value, properties), delay)

    def _add(self, action: Action, delay: int) -> None:
        if self.actions:
            self._now += delay
            action.at = self._now
        self.actions.append(action)

    def _seconds(self, median: float, spread: float) -> int:
        """A time with a heavy tail, ms."""
        return min(int(1_000 * median * exp(spread * self._gauss(0.0, 1.0))) + 50, LONGEST_PAUSE_MS)

    def _count(self, mean: float) -> int:
        """A whole number of that mean, with a geometric tail."""
        return int(log(1 - self._chance()) / log(mean / (1 + mean)))

    def _service(self) -> tuple[str, str, float]:
        chance = self._chance
        return SERVICES[int(chance() * chance() * len(SERVICES))]

    def _one_of(self, choices: Sequence[str]) -> str:
        return choices[int(self._chance() * len(choices))]
