"""How conditions on the partial match are evaluated: closures over a moment, an event that is about to be taken.

The values of events come from `ValueOf`, a function from an event's number to its value, made for each expression
that is asked of events; numbers, texts and booleans are as they are, times whole milliseconds since 1970.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from footfall.expression_base import Compute
from footfall.pattern_spec import PartialView

ValueOf = Callable[[int], Any]

NO_EVENT = -1


@dataclass(frozen=True, slots=True)
class Moment:
    """What a closure is given.

    Attributes:
        event: the number of the event at hand; -1 where there is none (in a finished match).
        partial: the partial match that may take it.
        chosen: the event for which `any_of` stands now; -1 outside of a comparison with it.
    """

    event: int
    partial: PartialView
    chosen: int = NO_EVENT


def at_hand(value_of: ValueOf) -> Compute:
    """The value of the event at hand."""
    return lambda now: value_of(now.event)


def picked(stage: str, place: int, value_of: ValueOf) -> Compute:
    """The value of the stage's event at a place in the order of taking; from the end if it is negative."""

    def value(now: Moment) -> Any:
        events = now.partial.taken(stage)
        there = -len(events) <= place < len(events)
        return value_of(events[place]) if there else None

    return value


def any_taken(value_of: ValueOf) -> Compute:
    """The value of the event that `some` has chosen."""
    return lambda now: value_of(now.chosen)


def some(stage: str, answer: Compute) -> Compute:
    """True if it is true with one of the stage's events, else unknown if it is with one, else false."""

    def found(now: Moment) -> bool | None:
        known = True
        for event in now.partial.taken(stage):
            one = answer(Moment(now.event, now.partial, event))
            if one is True:
                return True
            known = known and one is not None
        return False if known else None

    return found


def counted(stage: str, *, plus_current: bool) -> Compute:
    """How many events the stage took."""
    more = 1 if plus_current else 0
    return lambda now: len(now.partial.taken(stage)) + more


def aggregated(function: str, stage: str, value_of: ValueOf, *, plus_current: bool) -> Compute:
    """A figure over the known values of the stage's events."""
    aggregate = AGGREGATES[function]

    def value(now: Moment) -> Any:
        values = [value_of(event) for event in now.partial.taken(stage)]
        if plus_current:
            values.append(value_of(now.event))
        return aggregate([one for one in values if one is not None])

    return value


def previous(count: int, value_of: ValueOf) -> Compute:
    """The value of the visitor's `count`-th event before the one at hand."""

    def value(now: Moment) -> Any:
        event = now.partial.before(count)
        return None if event == NO_EVENT else value_of(event)

    return value


def _sum(values: Sequence[float]) -> float | None:
    # Rounded once, so that neither the order nor Python's version (3.12 adds floats otherwise) shows.
    try:
        return math.fsum(values)
    except OverflowError:
        return None


def _mean(values: Sequence[float]) -> float | None:
    total = _sum(values)
    return None if total is None or not values else total / len(values)


AGGREGATES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "count": len,
    "sum": _sum,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "mean": _mean,
    "distinct": lambda values: len(set(values)),
}
