"""The moments of simulated lives at which a score is made, each with its true probability and what came of it.

A moment is kept until its lead horizon has passed, so what is held follows the moments of a week or so, whatever the
plan's duration.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from footfall.simulate_lives_plan import DAY_MS, LivesPlan
from footfall.simulate_lives_states import State
from footfall.simulate_lives_truth import SiteClock, Truth
from footfall.simulate_records import IsoTimes

DAYS_AFTER = (1, 3, 7, 14, 21, 27)
"""How many days after a customer's last event there is a moment."""
GAP_MS = 1_800_000
"""A session is over that long after its last event; the moment `session_end` is then."""
_ORDER, _SESSION_END = 100, 101
_KINDS = {_ORDER: "order", _SESSION_END: "session_end"}
_STATES = [state.name.lower() for state in State]


class Known(Protocol):
    """Whose moment it is.

    `place` is that of the traits, `orders` the times of the orders so far, in order.
    """

    place: int
    number: int
    orders: list[int]

    @property
    def visitor_id(self) -> str:
        """The visitor's id."""


class _Moment(NamedTuple):
    """They sort by time, then by the visitor; `kind` is a number of `_KINDS` or how many days after the last event."""

    time: int
    number: int
    kind: int
    life: Known
    state: int
    next_visit: float


class TrueMoment(msgspec.Struct):
    """A line of the truth file.

    Attributes:
        moment: `session_end`, `order` or `days_after`.
        days: how many days after the last event; None at the other moments.
        label: `lead` (an order comes within the horizon) or `churn` (no event does).
        horizon_ms: what is left of the label's horizon; that of churn begins at the customer's last event.
        probability: that of the label at that time, given the hidden state.
        outcome: what came; None where the horizon reaches beyond the simulation's end.
        state: the hidden state.
    """

    visitor_id: str
    moment: str
    days: int | None
    time: str
    label: str
    horizon_ms: int
    probability: float
    outcome: bool | None
    state: str


class Moments:
    """Takes the moments as visits are played, and gives their lines once it is known what came of them.

    Attributes:
        counts: kind of moment -> how many were given.
    """

    def __init__(self, plan: LivesPlan, clock: SiteClock) -> None:
        self.counts: Counter[str] = Counter()
        self._plan = plan
        self._clock = clock
        self._truth = Truth(clock, lead_days=plan.lead_days)
        self._waiting: dict[int, list[_Moment]] = {}
        self._time = IsoTimes()
        self._encode = msgspec.json.Encoder().encode

    def order(self, life: Known, at: int, state: int, next_visit: float) -> None:
        """Take the moment of an order; `state` is the one after it, `next_visit` the time of the next, ms."""
        self._put(_Moment(at, life.number, _ORDER, life, state, next_visit))

    def silence(self, life: Known, last: int, path: list[tuple[float, int]], next_visit: float) -> bool:
        """Take the moments between an event and the next visit.

        Args:
            life: whose.
            last: the time of the event, ms.
            path: from when on the hidden state was what until the next visit, by the site's time.
            next_visit: its time, ms; infinite if there is none before the end.

        Returns:
            Whether a session ends between them.
        """
        end = last + GAP_MS
        if end >= next_visit:
            return False
        self._between(life, end, _SESSION_END, path, next_visit)
        if life.orders:
            for days in DAYS_AFTER:
                at = last + days * DAY_MS
                if at >= next_visit or days >= self._plan.churn_days:
                    break
                self._between(life, at, days, path, next_visit)
        return True

    def _between(
        self, life: Known, at: int, kind: int, path: list[tuple[float, int]], next_visit: float
    ) -> None:
        if at >= self._plan.stop:
            return
        site_time = self._clock.of(at)
        state = path[0][1]
        for since, reached in path:
            if since > site_time:
                break
            state = reached
        self._put(_Moment(at, life.number, kind, life, state, next_visit))

    def _put(self, moment: _Moment) -> None:
        self._waiting.setdefault(moment.time // DAY_MS, []).append(moment)

    def certain(self, reached: int | None) -> Iterator[bytes]:
        """The lines of the moments whose lead horizon has passed at `reached` (ms), in their order; None: of all."""
        # A visit is played at its beginning, with its order, so by then all orders up to that time are known.
        until = None if reached is None else reached // DAY_MS - self._plan.lead_days - 1
        for day in sorted(self._waiting):
            if until is not None and day >= until:
                break
            yield from self._lines(sorted(self._waiting.pop(day)))

    def _lines(self, moments: list[_Moment]) -> Iterator[bytes]:
        places = np.array([moment.life.place for moment in moments])
        states = np.array([moment.state for moment in moments])
        times = np.array([moment.time for moment in moments])
        left = np.array([self._days_left(moment) for moment in moments])
        lead, churn = self._truth.lead(places, states, times), self._truth.churn(places, states, left)
        for moment, days, leads, churns in zip(
            moments, left.tolist(), lead.tolist(), churn.tolist(), strict=True
        ):
            if moment.kind == _SESSION_END:
                yield self._line(moment, "lead", self._plan.lead_days, leads)
            else:
                yield self._line(moment, "churn", days, churns)

    def _days_left(self, moment: _Moment) -> int:
        """Until the customer counts as lost: the horizon of churn begins at the last event."""
        return self._plan.churn_days - (0 if moment.kind in _KINDS else moment.kind)

    def _line(self, moment: _Moment, label: str, days: int, probability: float) -> bytes:
        horizon = days * DAY_MS
        until = moment.time + horizon
        outcome: bool | None = None
        if until <= self._plan.stop:
            outcome = (
                _one_between(moment.life.orders, moment.time, until)
                if label == "lead"
                else moment.next_visit > until
            )
        kind = _KINDS.get(moment.kind, "days_after")
        self.counts[kind] += 1
        line = TrueMoment(
            moment.life.visitor_id,
            kind,
            None if moment.kind in _KINDS else moment.kind,
            self._time(moment.time),
            label,
            horizon,
            probability,
            outcome,
            _STATES[moment.state],
        )
        return self._encode(line) + b"\n"


def _one_between(times: list[int], after: int, until: int) -> bool:
    """Whether one of the times, which are in order, is later than `after` and not later than `until`."""
    place = bisect_right(times, after)
    return place < len(times) and times[place] <= until
