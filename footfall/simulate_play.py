"""A plan's records, each when it is due: made as they go, a stretch of time after the other.

A stretch is made when it begins, so what is held are its records and those of the visits under way, whatever the plan's
length.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from footfall.simulate_plan import SLICE_MS, Simulation, slices
from footfall.simulate_traffic import LONGEST_DELAY_IN_TIME_MS, Traffic, Waiting

_RECORDS_IN_A_STRETCH = 300
_LEAST_STRETCH_MS = 1_000
_TURN_SECONDS = 0.1


class Outlet(Protocol):
    """Where records go."""

    def send(self, value: bytes, key: bytes) -> bool:
        """Take a record, and its visitor's id as its key; False if it was stopped while there was no room."""

    def serve(self, seconds: float) -> None:
        """See to what has come back, for so many seconds at most."""


@dataclass(slots=True)
class Played:
    """How far a plan has been played.

    Attributes:
        records: sent so far: `events`, `duplicates` (copies of them) and `dirty` (malformed records).
        visitors: of whom any was sent.
        time: arrival of the latest, by the plan's time, ms.
        behind: how many seconds after it was due the latest was sent.
        plants: pattern -> how many occurrences are certain by the records of all whole stretches so far.
    """

    time: int
    records: int = 0
    duplicates: int = 0
    dirty: int = 0
    visitors: int = 0
    behind: float = 0.0
    plants: Counter[str] = field(default_factory=Counter)

    @property
    def events(self) -> int:
        """Good records sent so far, copies left out."""
        return self.records - self.duplicates - self.dirty


class Player:
    """Plays a plan.

    Args:
        plan: of one partition. The first visit begins at its start.
        outlet: where to.
        clock: time in seconds.
        speed: how many times as fast as the plan's time.
        dated: whether records tell when they arrive.
        stopped: asked before each record and ten times a second or more; the rest isn't sent once it is so.
        watch: called as often.

    Attributes:
        played: how far it has got.
    """

    def __init__(
        self,
        plan: Simulation,
        outlet: Outlet,
        *,
        clock: Callable[[], float],
        speed: float = 1.0,
        dated: bool = True,
        stopped: Callable[[], bool] = lambda: False,
        watch: Callable[[Played], None] = lambda _: None,
    ) -> None:
        self.played = Played(plan.start)
        self._plan = plan
        self._outlet = outlet
        self._clock = clock
        self._speed = speed
        self._stopped = stopped
        self._watch = watch
        self._traffic = Traffic(plan, every=stretch_ms(plan), dated=dated, oversized=False)
        self._seen = bytearray(plan.visitors)
        self._began = 0.0

    def play(self) -> None:
        """Send the records from now on, when they are due; those that arrive after the plan's end are left out."""
        plan, traffic = self._plan, self._traffic
        self._began = self._clock()
        if plan.visits:
            traffic.play(plan.start, plan.start + 1, 1)
        for begin, end, visits in slices(plan, stretch_ms(plan)):
            traffic.play(begin, end, visits)
            for _, records in traffic.arrived(end):
                if not all(map(self._send, records)):
                    return
            traffic.certain_plants(last=False)
            self.played.plants = +traffic.planted
        end = plan.stop + LONGEST_DELAY_IN_TIME_MS
        for _, records in traffic.arrived(None):
            if not all(self._send(record) for record in records if record.arrival < end):
                return

    def _send(self, record: Waiting) -> bool:
        """Send a record when it is due; False if the playing was stopped before."""
        key = self._traffic.visitor_id(record.visitor).encode()
        if not (self._wait_for(record) and self._outlet.send(record.line[:-1], key)):
            return False
        played = self.played
        played.records += 1
        played.dirty += record.used is None
        played.duplicates += record.copy
        played.time = record.arrival
        if not self._seen[record.visitor]:
            self._seen[record.visitor] = 1
            played.visitors += 1
        return True

    def _wait_for(self, record: Waiting) -> bool:
        due = self._began + (record.arrival - self._plan.start) / 1000 / self._speed
        while True:
            self._watch(self.played)
            left = due - self._clock()
            if self._stopped():
                return False
            if left <= 0:
                self.played.behind = -left
                return True
            self._outlet.serve(min(left, _TURN_SECONDS))


def stretch_ms(plan: Simulation) -> int:
    """How long a stretch is, ms of the plan's time: some hundred records, but a second at least."""
    rate = plan.events_per_second_at_most
    wanted = SLICE_MS if not rate else int(_RECORDS_IN_A_STRETCH / rate * 1000)
    return min(max(wanted, _LEAST_STRETCH_MS), SLICE_MS)
