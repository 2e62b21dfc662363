"""What trackers tell of a visit beside its journey: form fields, quotes, answers of the page, errors, the pointer.

These come on top of a visit's actions, by a chance of their own, so that the journeys of a seed stay as they are.

Events, in the words that trackers use (the schema's README lists where each name comes from):
- `form_field_changed`: a field was changed; `element` is the form, property `field` the field's name.
- `quote_viewed`: a price for the visitor's own case was shown (property `service`, `value`).
- `page_changed`: the page answered without a new address (content opened, a dialogue, a message).
- `script_error`: a script failed; property `message`.
- `mouse_moved`: where the pointer was, `x` and `y`, some ten times a second while it moves.
- `service_completed`: a repair was handed over; the shop's till sends it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from random import Random
from typing import Any

from footfall.simulate_site import BRANCHES, PAGES, SERVICES, Action

LONGEST_AFTER_MS = 4 * 60_000
"""How long after a visit's last action something may still come."""

_FORMS = {
    "form.contact": ("name", "email", "message"),
    "form.address": ("name", "street", "postcode", "city"),
    "form.booking": ("name", "phone", "preferred_time"),
}
_FAST_CONTROLS = ("button.gallery-next", "button.gallery-previous", "button.quantity-plus", "input#postcode")
_CONVERSIONS = {"booking_completed", "order_completed"}


def signals(random: Random, actions: Sequence[Action]) -> list[Action]:
    """What comes on top of a person's visit.

    Args:
        random: the chance of the signals alone.
        actions: the visit's actions, at least one, at strictly increasing times; they aren't changed.

    Returns:
        Further actions in the order of their times, none at the time of another action or before the first one,
        and the last at most `LONGEST_AFTER_MS` after the visit's own last.
    """
    more = _Signals(random, actions)
    more.play()
    return more.in_order()


class _Signals:
    """The hand that adds signals to one visit."""

    def __init__(self, random: Random, actions: Sequence[Action]) -> None:
        self._chance = random.random
        self._actions = actions
        self._times = [action.at for action in actions]
        self._end = self._times[-1]
        self._names = {action.event for action in actions}
        self._added: list[Action] = []

    def play(self) -> None:
        for index, action in enumerate(self._actions):
            match action.event:
                case "click":
                    self._answer(index, action)
                case "form_submit":
                    self._fill_in(index, action)
                case "price_checked" if self._chance() < 0.4:
                    at = action.at + self._span(3_000, 40_000)
                    self._add(
                        at, "quote_viewed", value=action.value, properties=dict(action.properties or {})
                    )
        chance = self._chance()
        for share, behave in _BEHAVIOURS:
            chance -= share
            if chance < 0:
                behave(self)
                break

    def in_order(self) -> list[Action]:
        taken = set(self._times)
        ordered = []
        for action in sorted(self._added, key=lambda action: action.at):
            while action.at in taken:
                action.at += 1
            if self._times[0] < action.at <= self._end + LONGEST_AFTER_MS:
                taken.add(action.at)
                ordered.append(action)
        return sorted(ordered, key=lambda action: action.at)

    def leave_a_form(self) -> None:
        form = "form.contact" if self._chance() < 0.8 else "form.booking"
        at = self._moment()
        for name in _FORMS[form][: 1 + int(self._chance() * len(_FORMS[form]))]:
            at += self._span(1_500, 20_000)
            self._change(at, form, name)

    def click_around(self) -> None:
        """Clicks close to each other on several elements, or fast ones on a control that is made for it."""
        at, x, y = self._moment(), self._span(60, 1_200), self._span(80, 1_400)
        fast = _FAST_CONTROLS[int(self._chance() * len(_FAST_CONTROLS))] if self._chance() < 0.4 else None
        apart = 12 if self._chance() < 0.7 else 90
        for number in range(3 + int(self._chance() * 3)):
            at += self._span(90, 380)
            near = (x + self._span(-apart, apart), y + self._span(-apart, apart))
            element = fast or f"div.card:nth-child({1 + number % 4})"
            self._added.append(Action(at, "click", self._path(at), element, *near))

    def thrash(self) -> None:
        """The pointer to and fro: mostly wide and often enough, sometimes too narrow, or too few times."""
        at, x, y = self._moment(), self._span(250, 700), self._span(150, 900)
        width = self._span(140, 420) if self._chance() < 0.8 else self._span(30, 99)
        for swing in range(4 + int(self._chance() * 8)):
            for part in (0.5, 1.0):
                at += self._span(35, 110)
                reached = x + int(width * (part if swing % 2 == 0 else 1 - part))
                self._added.append(
                    Action(at, "mouse_moved", self._path(at), None, reached, y + self._span(-20, 20))
                )

    def read_to_the_end(self) -> None:
        """Some more pages, the last of them read whole."""
        at = self._end
        first = int(self._chance() * len(PAGES))
        for step in range(3 + int(self._chance() * 3)):
            at += self._span(2_000, 15_000)
            self._add(at, "page_view", path=PAGES[(first + step) % len(PAGES)])
        for percent in (25, 50, 75, 100):
            at += self._span(800, 9_000)
            path = PAGES[(first + step) % len(PAGES)]
            self._add(at, "scroll_milestone", path=path, properties={"percent": percent})

    def scrape(self) -> None:
        """Page after page faster than anyone reads; sometimes not quite."""
        paths = [*PAGES, *(f"/services/{name}" for name, _, _ in SERVICES)]
        at, first = self._end, int(self._chance() * len(paths))
        every = 150 + int(self._chance() * 1_100)
        for step in range(8 + int(self._chance() * 30)):
            at += every
            self._add(at, "page_view", path=paths[(first + step) % len(paths)])

    def have_a_repair_done(self) -> None:
        name, device, price = SERVICES[int(self._chance() * len(SERVICES))]
        branch = BRANCHES[int(self._chance() * len(BRANCHES))]
        facts = {"service": name, "device": device, "branch": branch}
        at = self._end + self._span(20_000, LONGEST_AFTER_MS - 1_000)
        self._add(at, "service_completed", value=price, properties=facts)

    def leave_a_full_cart(self) -> None:
        """Make to leave with things in the cart; nothing where a price was checked, which has its own exits."""
        if "product_added" in self._names and not self._names & (_CONVERSIONS | {"price_checked"}):
            self._add(self._end + self._span(900, 60_000), "exit_intent")

    def _answer(self, index: int, click: Action) -> None:
        """What comes of a click: mostly a change of the page, sometimes an error, sometimes nothing."""
        following = self._actions[index + 1] if index + 1 < len(self._actions) else None
        in_anger = following is not None and following.event == "click" and following.at - click.at < 600
        if not in_anger and self._chance() < 0.9 and (click.element or "").startswith("button"):
            self._add(click.at + self._span(40, 2_900 if self._chance() < 0.1 else 900), "page_changed")
        if self._chance() < 0.03:
            facts = {"message": "TypeError: undefined is not a function"}
            self._add(click.at + self._span(20, 2_800), "script_error", properties=facts)

    def _fill_in(self, index: int, submit: Action) -> None:
        names = _FORMS.get(submit.element or "")
        if not names or not index:
            return
        begun, spread = self._times[index - 1], submit.at - self._times[index - 1]
        for number, name in enumerate(names):
            self._change(begun + spread * (number + 1) // (len(names) + 1), submit.element or "", name)

    def _change(self, at: int, form: str, name: str) -> None:
        self._add(at, "form_field_changed", element=form, properties={"field": name})

    def _moment(self) -> int:
        """Some moment of the visit, or just after it."""
        at = self._times[int(self._chance() * len(self._times))]
        return at + self._span(200, 5_000)

    def _path(self, at: int) -> str:
        return self._actions[max(0, bisect_right(self._times, at) - 1)].path

    def _add(
        self,
        at: int,
        event: str,
        *,
        path: str | None = None,
        element: str | None = None,
        value: float | None = None,
        properties: dict[str, Any] | None = None,
    ) -> None:
        there = self._path(at) if path is None else path
        self._added.append(Action(at, event, there, element, None, None, value, properties))

    def _span(self, least: int, most: int) -> int:
        return least + int(self._chance() * (most - least))


_BEHAVIOURS = (
    (0.03, _Signals.leave_a_form),
    (0.025, _Signals.click_around),
    (0.02, _Signals.thrash),
    (0.03, _Signals.read_to_the_end),
    (0.012, _Signals.scrape),
    (0.03, _Signals.have_a_repair_done),
    (0.15, _Signals.leave_a_full_cart),
)
