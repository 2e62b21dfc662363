"""The simulated site: a repair shop with services, products and branches, and what people do there.

`visit` plays one visit of a person or a bot. What it gives is the truth: times of a right clock, in order,
before any delay, loss or dirt.
"""

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

ADDRESS = "https://www.repair-shop.example"

# The longest pause inside a visit is far below the half hour that ends a session, so that taking one event
# out of a visit (it may come too late to count) never splits it.
_LONGEST_PAUSE_MS = 20 * 60_000

SERVICES: tuple[tuple[str, str, float], ...] = (
    ("phones/screen-repair", "phone", 129.0),
    ("phones/battery-replacement", "phone", 69.0),
    ("phones/water-damage", "phone", 99.0),
    ("phones/camera-repair", "phone", 89.0),
    ("laptops/screen-repair", "laptop", 219.0),
    ("laptops/keyboard-repair", "laptop", 119.0),
    ("laptops/battery-replacement", "laptop", 99.0),
    ("laptops/cleaning", "laptop", 59.0),
    ("data-recovery/hard-disk", "data recovery", 390.0),
    ("data-recovery/ssd", "data recovery", 490.0),
    ("data-recovery/phone", "data recovery", 290.0),
)
PRODUCTS: tuple[tuple[str, float], ...] = (
    ("tempered-glass", 14.9),
    ("phone-case", 19.9),
    ("usb-c-charger", 29.9),
    ("power-bank", 39.9),
    ("laptop-sleeve", 24.9),
    ("external-ssd", 89.0),
    ("refurbished-phone", 279.0),
    ("refurbished-laptop", 499.0),
)
BRANCHES = ("harbour", "old-town", "station", "university")
PAGES = (
    "/",
    "/services",
    "/branches",
    "/about",
    "/reviews",
    "/blog/save-a-wet-phone",
    "/blog/backup-in-time",
    "/faq",
)
_ELEMENTS = (
    "#menu",
    "#search",
    "a.service-card",
    "button.show-more",
    "#opening-hours",
    "img.gallery",
    "a.phone-number",
)
_BROKEN_ELEMENTS = ("button.show-more", "#apply-coupon", "img.gallery", "#choose-slot")

Origin = tuple[str | None, str | None, str | None, str | None, str | None, str | None]
# (referrer, utm_source, utm_medium, utm_campaign, utm_term, utm_content), and how often of 100
ORIGINS: tuple[tuple[int, Origin], ...] = (
    (30, (None, None, None, None, None, None)),
    (28, ("https://www.search.example/", None, None, None, None, None)),
    (9, ("https://www.search.example/", "search", "cpc", "screen_repair", "broken screen", "text_a")),
    (7, ("https://www.search.example/", "search", "cpc", "data_rescue", "recover photos", "text_b")),
    (8, ("https://maps.example/", "maps", "local", "branches", None, None)),
    (8, ("https://social.example/", "social", "paid_social", "student_offer", None, "video")),
    (6, (None, "newsletter", "email", "spring_check", None, "button")),
    (4, ("https://forum.example/t/cracked-screen", None, None, None, None, None)),
)


class Action(msgspec.Struct):
    """Something that a visitor does: `at` is ms of true time since 1970; `value` is in euros."""

    at: int
    event: str
    path: str
    element: str | None = None
    x: int | None = None
    y: int | None = None
    value: float | None = None
    properties: dict[str, Any] | None = None


def origin(random: Random) -> Origin:
    """Where a visit comes from."""
    left = random.random() * 100
    for share, chosen in ORIGINS:
        left -= share
        if left < 0:
            return chosen
    return ORIGINS[0][1]


def visit(random: Random, start: int, *, bot: bool) -> list[Action]:
    """One visit from `start` (ms) on: at least one action, at strictly increasing times."""
    play = _Visit(random, start)
    if bot:
        play.crawl()
        return play.actions
    left = random.random() * 100
    for share, journey in _JOURNEYS:
        left -= share
        if left < 0:
            journey(play)
            break
    return play.actions


class _Visit:
    """The hand that plays a visit: keeps the time, the page and what was done."""

    def __init__(self, random: Random, start: int) -> None:
        self.actions: list[Action] = []
        self._chance = random.random
        self._now = start
        self._path = "/"

    def crawl(self) -> None:
        paths = [
            *PAGES,
            *(f"/services/{name}" for name, _, _ in SERVICES),
            *(f"/shop/{name}" for name, _ in PRODUCTS),
        ]
        first = int(self._chance() * len(paths))
        every = 400 + int(self._chance() * 2_600)
        for step in range(8 + int(self._chance() * 40)):
            self._path = paths[(first + step) % len(paths)]
            self._act("page_view", every)

    def bounce(self) -> None:
        self._view(self._one_of(PAGES) if self._chance() < 0.4 else f"/services/{self._service()[0]}")
        if self._chance() < 0.3:
            self._act("scroll_milestone", self._span(2_000, 20_000), properties={"percent": 25})

    def browse(self) -> None:
        for _ in range(2 + int(self._chance() * self._chance() * 9)):
            self._view(self._one_of(PAGES) if self._chance() < 0.6 else f"/services/{self._service()[0]}")
            self._linger()
        if self._chance() < 0.12:
            self._act("form_submit", self._span(15_000, 120_000), element="form.contact")
        if self._chance() < 0.08:
            self._act("exit_intent", self._span(500, 9_000))

    def compare_prices(self) -> None:
        service = self._find_service()
        for _ in range(1 + int(self._chance() * 2.4)):
            self._check_price(service)
            if self._chance() < 0.4:
                service = self._find_service()
        if self._chance() < 0.55:
            self._act("exit_intent", self._span(800, 90_000))
        if self._chance() < 0.1:
            self._pause()
            self._view("/branches")
            self._act("exit_intent", self._span(1_000, 8_000))

    def book(self) -> None:
        service = self._find_service()
        if self._chance() < 0.85:
            self._check_price(service)
        name, device, price = service
        self._view("/booking", quick=True)
        facts = {"service": name, "device": device, "branch": self._one_of(BRANCHES)}
        self._act("booking_started", self._span(1_500, 12_000), element="button.book", properties=facts)
        self._linger()
        fate = self._chance()
        if fate < 0.52:
            self._complete_booking(price, facts)
        elif fate < 0.60:
            self._pause()
            self._complete_booking(price, facts)
        elif fate < 0.64:
            self._pause()
            for _ in range(8):
                self._view(self._one_of(PAGES))
                self._now += self._span(30_000, 110_000)
            self._complete_booking(price, facts)
        elif fate < 0.70:
            self._view("/booking", quick=True)
            self._act("booking_started", self._span(1_500, 40_000), element="button.book", properties=facts)
            self._complete_booking(price, facts)
        elif fate < 0.85:
            self._act("exit_intent", self._span(800, 40_000))
        elif fate < 0.92:
            self._view(f"/services/{name}")
            self._check_price(service)

    def shop(self) -> None:
        total = 0.0
        count = 0
        for _ in range(1 + int(self._chance() * 3.2)):
            name, price = self._one_of(PRODUCTS)
            self._view(f"/shop/{name}")
            self._linger()
            if self._chance() < 0.55:
                facts = {"product": name, "quantity": 1}
                self._act(
                    "product_added",
                    self._span(900, 20_000),
                    element="button.add",
                    value=price,
                    properties=facts,
                )
                total += price
                count += 1
        if not count or self._chance() < 0.38:
            return
        if self._chance() < 0.08:
            self._pause()
        self._view("/cart", quick=True)
        total = round(total, 2)
        facts = {"items": count}
        self._act(
            "checkout_started", self._span(2_000, 30_000), element="#checkout", value=total, properties=facts
        )
        self._linger()
        if self._chance() < 0.62:
            self._view("/checkout", quick=True)
            self._act("form_submit", self._span(15_000, 90_000), element="form.address")
            self._act(
                "order_completed", self._span(4_000, 150_000), element="#pay", value=total, properties=facts
            )
            self._view("/thank-you", quick=True)

    def _find_service(self) -> tuple[str, str, float]:
        if not self.actions or self._chance() < 0.3:
            self._view("/services" if self._chance() < 0.5 else "/")
            self._linger()
        service = self._service()
        self._view(f"/services/{service[0]}")
        self._linger()
        return service

    def _check_price(self, service: tuple[str, str, float]) -> None:
        name, device, price = service
        facts = {"service": name, "device": device}
        delay = self._span(1_000, 25_000)
        self._act("price_checked", delay, element="button.price", value=price, properties=facts)

    def _complete_booking(self, price: float, facts: dict[str, Any]) -> None:
        self._act("form_submit", self._span(10_000, 120_000), element="form.booking")
        delay = self._span(1_000, 45_000)
        self._act("booking_completed", delay, element="#confirm", value=price, properties=facts)
        if self._chance() < 0.5:
            self._view("/thank-you", quick=True)

    def _view(self, path: str, *, quick: bool = False) -> None:
        self._path = path
        dwell = self._chance()
        self._act("page_view", 600 + int(dwell * dwell * dwell * (8_000 if quick else 100_000)))

    def _linger(self) -> None:
        """What people do on a page: scroll, click, and click in anger where nothing happens."""
        chance = self._chance
        depth = int(chance() * 4.4)
        for reached in range(1, min(depth, 4) + 1):
            self._act("scroll_milestone", self._span(700, 12_000), properties={"percent": 25 * reached})
        if chance() < 0.5:
            self._click(self._one_of(_ELEMENTS), self._span(500, 15_000), 40 + int(chance() * 1_200))
        if chance() < 0.012:
            element, x = self._one_of(_BROKEN_ELEMENTS), 40 + int(chance() * 1_200)
            for _ in range(2 + int(chance() * 6)):
                self._click(element, self._span(70, 420), x)

    def _click(self, element: str, delay: int, x: int) -> None:
        y = 60 + int(self._chance() * 1_500)
        self._add(Action(self._now, "click", self._path, element, x, y), delay)

    def _pause(self) -> None:
        self._now += self._span(8 * 60_000, _LONGEST_PAUSE_MS)

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

    def _service(self) -> tuple[str, str, float]:
        # Squaring favours the first ones: most people come for a phone.
        return SERVICES[int(self._chance() * self._chance() * len(SERVICES))]

    def _one_of(self, choices: tuple[T, ...]) -> T:
        return choices[int(self._chance() * len(choices))]

    def _span(self, least: int, most: int) -> int:
        return least + int(self._chance() * (most - least))


_JOURNEYS: tuple[tuple[int, Callable[[_Visit], None]], ...] = (
    (28, _Visit.bounce),
    (27, _Visit.browse),
    (17, _Visit.compare_prices),
    (13, _Visit.book),
    (15, _Visit.shop),
)
