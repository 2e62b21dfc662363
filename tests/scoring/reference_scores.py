"""What features, moments and labels should be, in plain Python, from the definitions and with all events at hand."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from reference import Record

from footfall.expression import Expression
from footfall.scoring.feature import (
    Category,
    Combined,
    Count,
    DaysSince,
    MatchCount,
    Number,
    Quantity,
    SecondsOnSite,
    Sessions,
    Total,
)
from footfall.scoring.score_model import AtEvent, AtSessionEnd, ScoreModel

DAY = 86_400_000
Meets = Callable[[Expression, Record], bool]


@dataclass(frozen=True)
class Prediction:
    """A moment of one model, and what came of it: `label` is (time, value), None while that isn't known."""

    model: str
    visitor: str
    kind: str
    time: int
    features: tuple[float, ...]
    label: tuple[int, float] | None


def value_of(quantity: Quantity, events: Sequence[Record], time: int, gap: int, meets: Meets) -> float:
    """A quantity as of a time, from a visitor's events up to then."""
    begins = [not n or event.time - events[n - 1].time > gap for n, event in enumerate(events)]
    latest = max((n for n, begin in enumerate(begins) if begin), default=0)

    def within(over: Any, chosen: Sequence[int]) -> list[int]:
        if over == "ever":
            return list(chosen)
        if over == "session":
            return [n for n in chosen if n >= latest]
        return [n for n in chosen if time // DAY - events[n].time // DAY < over]

    def those(condition: Expression | None) -> list[int]:
        return [n for n, event in enumerate(events) if condition is None or meets(condition, event)]

    match quantity:
        case Number(number):
            return number
        case Combined(operator, left, right):
            one, other = (value_of(each, events, time, gap, meets) for each in (left, right))
            if operator == "/":
                return one / other if other else math.nan
            return {"+": one + other, "-": one - other, "*": one * other}[operator]
        case Count(condition, over):
            return float(len(within(over, those(condition))))
        case Sessions(over):
            return float(len(within(over, [n for n, begin in enumerate(begins) if begin])))
        case Total(condition, over):
            return sum(events[n].value or 0 for n in within(over, those(condition))) / 1_000_000
        case DaysSince(condition, first):
            found = those(condition)
            return (time - events[found[0 if first else -1]].time) / DAY if found else math.nan
        case SecondsOnSite(over):
            spent = [n for n, begin in enumerate(begins) if not begin]
            return sum(events[n].time - events[n - 1].time for n in within(over, spent)) / 1_000
        case Category(words, conditions, session):
            rest = len(conditions) if len(words) > len(conditions) else -1
            codes = [
                next((code for code, each in enumerate(conditions) if meets(each, event)), rest)
                for event, begin in zip(events, begins, strict=True)
                if begin
            ]
            known = [code for code in codes if code >= 0]
            code = codes[-1] if session == "latest" else (known[0] if known else -1)
            return math.nan if code < 0 else float(code)
        case MatchCount():
            return 0.0
    raise AssertionError(quantity)


def predictions(
    records: Sequence[Record], models: Sequence[ScoreModel], gap: int, until: int, meets: Meets
) -> list[Prediction]:
    """All predictions up to a time; `records` are in their final order."""
    found = []
    for visitor in dict.fromkeys(record.visitor for record in records):
        own = [record for record in records if record.visitor == visitor and record.time <= until]
        for model in models:
            for kind, time, begin, count in _moments(model, own, gap, until, meets):
                values = tuple(
                    value_of(feature.value, own[:count], time, gap, meets) for feature in model.features
                )
                label = _label(model, own, count, begin, gap, until, meets)
                found.append(Prediction(model.name, visitor, kind, time, values, label))
    return found


def _moments(
    model: ScoreModel, own: Sequence[Record], gap: int, until: int, meets: Meets
) -> list[tuple[str, int, int, int]]:
    """Kind, time, when the horizon begins, and how many events there had been."""
    found = []
    for moment in model.predict:
        for n, event in enumerate(own):
            following = own[n + 1].time if n + 1 < len(own) else until + 1
            if isinstance(moment, AtSessionEnd):
                over = event.time + gap
                if following > over and over <= until:
                    found.append(("session_end", over, over, n + 1))
            elif isinstance(moment, AtEvent):
                if meets(moment.condition, event):
                    found.append(("event", event.time, event.time, n + 1))
            elif any(meets(moment.once, each) for each in own[: n + 1]):
                found.extend(
                    ("days_after", event.time + delay, event.time, n + 1)
                    for delay in moment.delays
                    if event.time + delay < following and event.time + delay <= until
                )
    return found


def _label(
    model: ScoreModel, own: Sequence[Record], count: int, begin: int, gap: int, until: int, meets: Meets
) -> tuple[int, float] | None:
    label, last = model.label, begin + model.label.within
    earned = 0
    for n in range(count, len(own)):
        event = own[n]
        if event.time > last:
            break
        counts = label.event is not None and meets(label.event, event)
        if label.kind == "earns":
            earned += (event.value or 0) if counts else 0
        elif counts or (label.or_session and event.time - own[n - 1].time > gap):
            return event.time, 1.0 if label.kind == "happens" else 0.0
    if last > until:
        return None
    if label.kind == "earns":
        return last, earned / 1_000_000
    return last, 0.0 if label.kind == "happens" else 1.0
