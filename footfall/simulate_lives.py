"""Visitors' lives over weeks and months, as records to replay, and the true probabilities of what the scores predict.

Visits are played in the order of their beginnings, an hour after the other. A visit that begins before the one before
it is over cuts that one short, and both are one session. Each hidden life is drawn from one chance and what people do
on the site from another, so a plan gives the same bytes always.
"""

import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from heapq import heappop, heappush
from math import inf
from pathlib import Path
from random import Random
from typing import NamedTuple

from footfall.simulate_files import RecordFile
from footfall.simulate_lives_moments import Moments
from footfall.simulate_lives_people import newcomer, origin_of, user_agent, visit_source
from footfall.simulate_lives_plan import LivesPlan, LivesSummary, lives_paths
from footfall.simulate_lives_states import TRAITS, State, chances_of
from footfall.simulate_lives_truth import ORDER_AFTER_MS, SiteClock
from footfall.simulate_lives_visit import Setting, visit_actions
from footfall.simulate_records import SMALL_KINDS, RecordWriter, Visitor, malformed
from footfall.simulate_site import Action, Origin

_HOUR_MS = 3_600_000
_LONGEST_VISIT_MS = 12 * _HOUR_MS
_LONGEST_DELAY_MS = 4_000  # a record that takes longer may be late, and then isn't in its session


def simulate_lives(plan: LivesPlan, output: Path) -> LivesSummary:
    """Write the lives that `plan` describes to `output`, and the truth about them beside it.

    Each partition's records stand in the order of their arrival. The truth file has a line (`TrueMoment`) for every
    session's end (label lead: an order within the horizon), and for every order and some days after every last event
    of a customer (label churn: no event within the horizon), in the order of their times.

    Raises:
        UsageError: `output` won't do (see `output_paths`).
    """
    paths = lives_paths(output, plan.partitions)
    with ExitStack() as stack:
        files = [stack.enter_context(RecordFile(path)) for path in paths.records]
        truth = stack.enter_context(RecordFile(paths.truth))
        lives = Lives(plan)
        for end in (*range(plan.start + _HOUR_MS, plan.stop, _HOUR_MS), plan.stop):
            lives.play(end)
            for partition, lines in lives.arrived(end):
                files[partition].write(lines)
            truth.write(list(lives.moments.certain(end)))
        for partition, lines in lives.arrived(None):
            files[partition].write(lines)
        truth.write(list(lives.moments.certain(None)))
    counts = lives.counts
    return LivesSummary(
        records=paths.records,
        truth_file=paths.truth,
        lines=counts["events"] + counts["duplicates"] + counts["dirty"],
        events=counts["events"],
        duplicates=counts["duplicates"],
        dirty=counts["dirty"],
        visitors=counts["visitors"],
        sessions=counts["sessions"],
        orders=counts["orders"],
        customers=counts["customers"],
        moments=dict(sorted(lives.moments.counts.items())),
        by_event=dict(lives.by_event.most_common()),
    )


class _Life:
    """A visitor: the hidden state at the next visit, and when that is by the site's time."""

    __slots__ = ("at", "known", "number", "orders", "place", "state", "visitor")

    def __init__(self, number: int, place: int, state: int, at: float, visitor: Visitor) -> None:
        self.number = number
        self.place = place
        self.state = state
        self.at = at
        self.visitor = visitor
        self.orders: list[int] = []
        self.known = False

    @property
    def visitor_id(self) -> str:
        return self.visitor.visitor_id


class _Waiting(NamedTuple):
    """A record that has not arrived yet; they sort by arrival, then in the order in which they were made."""

    arrival: int
    number: int
    partition: int
    line: bytes


class Lives:
    """The lives that go on, and the records that wait to arrive.

    Attributes:
        counts: what was made, by the names of `LivesSummary`.
        by_event: event name -> how many.
        moments: those of the visits played so far.
    """

    def __init__(self, plan: LivesPlan) -> None:
        self.counts: Counter[str] = Counter()
        self.by_event: Counter[str] = Counter()
        self._plan = plan
        self._clock = SiteClock()
        self.moments = Moments(plan, self._clock)
        self._begin, self._end = self._clock.of(plan.start), self._clock.of(plan.stop)
        self._hidden = Random(f"lives {plan.seed}")  # noqa: S311 - nothing here is secret
        self._shown = Random(f"visits {plan.seed}")  # noqa: S311 - nothing here is secret
        self._writer = RecordWriter(plan.format)
        self._name = f"{zlib.crc32(str(plan.seed).encode()) & 0xFFFF:04x}"
        self._next: list[tuple[int, int, _Life]] = []
        self._reached = self._begin
        self._waiting: dict[int, list[_Waiting]] = {}
        self._made = 0

    def play(self, end: int) -> None:
        """Play the visits that begin before `end` (ms) and haven't been played."""
        self._welcome(self._clock.of(end))
        while self._next and self._next[0][0] < end:
            start, _, life = heappop(self._next)
            self._visit(life, start)

    def arrived(self, end: int | None) -> Iterator[tuple[int, list[bytes]]]:
        """Take the lines of all records that arrive before `end`, a whole hour; None takes the rest.

        They come as lists of one hour and partition, with the partition's number, in their order.
        """
        for hour in sorted(self._waiting):
            if end is not None and hour >= end // _HOUR_MS:
                break
            records = sorted(self._waiting.pop(hour))
            for partition in range(self._plan.partitions):
                lines = [record.line for record in records if record.partition == partition]
                if lines:
                    yield partition, lines

    def _welcome(self, until: float) -> None:
        """Let those come who come for the first time before `until`, by the site's time."""
        plan, random = self._plan, self._hidden
        whole = plan.visitors * (until - self._begin) / (self._end - self._begin)
        for _ in range(round(whole) - self.counts["visitors"]):
            at = self._reached + random.random() * (until - self._reached)
            start = self._clock.ms_at(at)
            number = self.counts["visitors"]
            place = newcomer(random, changed=plan.changed(start))
            visitor = Visitor(
                f"v{self._name}-{number:07d}", None, user_agent(number, TRAITS[place].device), False, 0
            )
            life = _Life(number, place, chances_of(place).first(random), at, visitor)
            heappush(self._next, (start, number, life))
            self.counts["visitors"] += 1
        self._reached = until

    def _visit(self, life: _Life, start: int) -> None:
        plan, random, chances = self._plan, self._hidden, chances_of(life.place)
        state = life.state
        order_at: int | None = None
        if chances.orders(random, state):
            order_at = start + ORDER_AFTER_MS[int(random.random() * len(ORDER_AFTER_MS))]
            leads_to, since = chances.after_order(random), self._clock.of(order_at)
        else:
            leads_to, since = chances.turned(random, state), life.at
        at, path = chances.until_visit(random, leads_to, since, self._end)
        next_visit: float = inf
        if at is not None:
            next_visit = max(self._clock.ms_at(at), (order_at or start) + 1)
            life.at, life.state = at, path[-1][1]
            heappush(self._next, (int(next_visit), life.number, life))
        traits = TRAITS[life.place]
        source = visit_source(self._shown, traits, first=not life.known)
        life.known = True
        setting = Setting(State(state), State(leads_to), traits, source, plan.changed(start))
        actions = visit_actions(self._shown, start, setting, order_at)
        cut = min(next_visit, plan.stop, start + _LONGEST_VISIT_MS)
        actions = [action for action in actions if action.at < cut]
        origin: Origin | None = origin_of(self._shown, source)
        for action in actions:
            self._write(life, action, origin)
            origin = None
        if order_at is not None and order_at < plan.stop:
            self._order(life, order_at, leads_to, next_visit)
        if self.moments.silence(life, actions[-1].at, path, next_visit):
            self.counts["sessions"] += 1

    def _order(self, life: _Life, at: int, leads_to: int, next_visit: float) -> None:
        """Note an order; who has one is known by name from their next visit on."""
        if not life.orders:
            known = life.visitor
            user_id = f"u{self._name}-{life.number:07d}"
            life.visitor = Visitor(known.visitor_id, user_id, known.user_agent, False, 0)
            self.counts["customers"] += 1
        life.orders.append(at)
        self.counts["orders"] += 1
        self.moments.order(life, at, leads_to, next_visit)

    def _write(self, life: _Life, action: Action, origin: Origin | None) -> None:
        """Write a record, with the noise that falls on it."""
        plan, random = self._plan, self._shown
        message_id = f"m{self._name}-{self.counts['events']:08x}"
        room = action.at + _LONGEST_DELAY_MS
        arrival = min(action.at + 20 + int(random.expovariate(1 / 180)), room)
        line = self._writer.write(action, life.visitor, origin, message_id, arrival)
        self._put(life, arrival, line)
        self.counts["events"] += 1
        self.by_event[action.event] += 1
        if plan.duplicates and random.random() < plan.duplicates:
            again = arrival + int(random.random() * (room - arrival))
            self._put(life, again, self._writer.write(action, life.visitor, origin, message_id, again))
            self.counts["duplicates"] += 1
        if plan.dirty and random.random() < plan.dirty:
            self._put(life, arrival, malformed(line, self.counts["dirty"] % SMALL_KINDS))
            self.counts["dirty"] += 1

    def _put(self, life: _Life, arrival: int, line: bytes) -> None:
        partition = zlib.crc32(life.visitor_id.encode()) % self._plan.partitions
        waiting = _Waiting(arrival, self._made, partition, line)
        self._waiting.setdefault(arrival // _HOUR_MS, []).append(waiting)
        self._made += 1
