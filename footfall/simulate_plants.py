"""What the shipped patterns must find in the simulated traffic, said by plain loops over one visit at a time.

This doesn't use the engine: it is what the engine is checked against. A visit is judged by itself, since a
simulated visitor's next visit begins later than any pattern reaches.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_SECOND, _MINUTE = 1_000, 60_000
_ABANDONED_AFTER = 30 * _MINUTE
_EXIT_WITHIN = 10 * _MINUTE
_RAGE_WITHIN = 1 * _SECOND

# pattern -> (name of its stage, what begins it, what would complete it)
_ABANDONMENTS = {
    "booking_abandoned": ("started", "booking_started", "booking_completed"),
    "cart_abandoned": ("added", "product_added", "order_completed"),
    "checkout_abandoned": ("started", "checkout_started", "order_completed"),
}
PATTERNS = (*_ABANDONMENTS, "rage_click", "exit_intent")
WATCHED = frozenset(
    {"click", "price_checked", "exit_intent", *(name for _, *pair in _ABANDONMENTS.values() for name in pair)}
)


class Seen(NamedTuple):
    """One event as the engine should see it: `at` is the event time as used, in ms."""

    at: int
    event: str
    element: str | None
    message_id: str


class Plant(NamedTuple):
    """One occurrence of a pattern.

    Attributes:
        stages: name of the stage -> ids of the messages that it took, in order.
        first_time: event time of the first of them, ms.
        last_time: event time of the last of them, ms.
        due: event time at which it is certain, ms: the deadline of an absence, otherwise `last_time`.
    """

    pattern: str
    stages: Mapping[str, tuple[str, ...]]
    first_time: int
    last_time: int
    due: int


def plants(visit: Sequence[Seen]) -> list[Plant]:
    """Every occurrence of the patterns in one visit, whose events are in the order of their event times."""
    return [*_abandoned(visit), *_rage_clicks(visit), *_exit_intents(visit)]


def _abandoned(visit: Sequence[Seen]) -> Iterable[Plant]:
    for pattern, (stage, begun, completed) in _ABANDONMENTS.items():
        for index, first in enumerate(visit):
            if first.event != begun:
                continue
            due = first.at + _ABANDONED_AFTER
            if not any(later.event == completed and later.at < due for later in visit[index + 1 :]):
                yield Plant(pattern, {stage: (first.message_id,)}, first.at, first.at, due)


def _rage_clicks(visit: Sequence[Seen]) -> Iterable[Plant]:
    clicks = [seen for seen in visit if seen.event == "click" and seen.element is not None]
    for element in dict.fromkeys(click.element for click in clicks):
        same = [click for click in clicks if click.element == element]
        index = 0
        while index + 2 < len(same):
            first, _, third = burst = same[index : index + 3]
            if third.at - first.at < _RAGE_WITHIN:
                stages = {"click": tuple(click.message_id for click in burst)}
                yield Plant("rage_click", stages, first.at, third.at, third.at)
                index += 3
            else:
                index += 1


def _exit_intents(visit: Sequence[Seen]) -> Iterable[Plant]:
    for index, first in enumerate(visit):
        if first.event != "price_checked":
            continue
        for later in visit[index + 1 :]:
            if later.event == "booking_started" or later.at - first.at >= _EXIT_WITHIN:
                break
            if later.event == "exit_intent":
                stages = {"checked": (first.message_id,), "leaving": (later.message_id,)}
                yield Plant("exit_intent", stages, first.at, later.at, later.at)
                break
