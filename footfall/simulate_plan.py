"""The plan of a simulation: its bounds, how many visits begin when, and what its visitors can give.

A visitor pauses between two visits for longer than any session's gap, so a population gives only so many events a
second, whatever is asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, floor, log10

from footfall.errors import SettingsError
from footfall.simulate_records import RecordFormat

MONDAY = 1_772_409_600_000  # 2026-03-02T00:00:00Z
SLICE_MS = 600_000
"""The slices in which files are written, ms."""
BETWEEN_VISITS_MS = 35 * 60_000
"""A visitor's pause between visits, ms.

It is longer than the session gap and than the reach of any pattern about one visit, with the signals that come after a
visit's own last action, and the delays.
"""
_SECOND, _HOUR, _DAY = 1_000, 3_600_000, 86_400_000

_VISITS_PER_VISITOR_AND_DAY = 1.4
EVENTS_PER_VISIT = 11.6
_VISIT_MS = 137_000
# The share of the visitors who may be on the site or pausing: with more, visits go lost, since a visit looks for a free
# visitor only so often.
_MOST_BUSY, _GOOD_BUSY = 0.75, 0.6
_BUSY_BY_HOUR = (9, 6, 4, 3, 4, 7, 15, 30, 52, 70, 80, 84, 88, 82, 78, 80, 86, 95, 100, 98, 90, 70, 42, 20)


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The plan of a simulation.

    Attributes:
        visitors: how many people and bots there are to draw from.
        duration: how long the site is watched, ms. Visits under way at its end are cut off.
        rate: events per second, about, on average; None gives each visitor 1.4 visits a day. What so many visitors
            can't do isn't done: they pause between visits (see `check_rate`).
        start: when it begins, ms since 1970 (UTC); a multiple of a day begins at midnight.
        seed: what all chance comes from.
        bots: share of the visitors that are robots.
        dirty: malformed records, as a share of the good ones, which they come on top of.
        clock_errors: share of the visitors whose clock is wrong, by 5 minutes to a day, ahead or behind.
        duplicates: copies, as a share of the records; one in 20 comes more than a minute later.
        late: share of the events that come more than a minute late.
        format: `footfall` (flat) or `segment`.
        partitions: how many files the visitors are spread over; more than 1 needs a folder.

    Raises:
        SettingsError: with all that is out of bounds.
    """

    visitors: int = 30_000
    duration: int = _DAY
    rate: float | None = None
    start: int = MONDAY
    seed: int = 7
    bots: float = 0.02
    dirty: float = 0.003
    clock_errors: float = 0.01
    duplicates: float = 0.005
    late: float = 0.002
    format: RecordFormat = "footfall"
    partitions: int = 1

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "visitors": (1, 50_000_000), "duration": (1, 3_650 * _DAY), "start": (0, 4_102_444_800_000),
            "seed": (0, 2**63 - 1), "bots": (0, 1), "dirty": (0, 1), "clock_errors": (0, 1),
            "duplicates": (0, 1), "late": (0, 0.1), "partitions": (1, 256),
        }  # fmt: skip
        if self.rate is not None:
            bounds["rate"] = (0, 1_000_000)
        problems = [
            f"{name}: {getattr(self, name)!r} is out of bounds; write {least:,} to {most:,}"
            for name, (least, most) in bounds.items()
            if not least <= getattr(self, name) <= most
        ]
        if self.format not in {"footfall", "segment"}:
            problems.append(f"format: {self.format!r} is neither footfall nor segment; write one of them")
        if problems:
            raise SettingsError(problems)

    @property
    def stop(self) -> int:
        """When the watching ends, ms since 1970."""
        return self.start + self.duration

    @property
    def visits(self) -> float:
        """How many visits are wanted in all."""
        if self.rate is None:
            return self.visitors * _VISITS_PER_VISITOR_AND_DAY * self.duration / _DAY
        return self.rate * self.duration / _SECOND / EVENTS_PER_VISIT

    @property
    def events_per_second(self) -> float:
        """How many events a second are wanted on average, about."""
        return self.visits * EVENTS_PER_VISIT / self.duration * _SECOND

    @property
    def events_per_second_at_most(self) -> float:
        """How many events a second are wanted in the busiest ten minutes, about."""
        return max(self._rates())

    @property
    def events_per_second_at_first(self) -> float:
        """How many events a second are wanted in the first ten minutes, about."""
        return next(self._rates())

    def _rates(self) -> Iterator[float]:
        share = (
            self.visits * EVENTS_PER_VISIT * _SECOND / sum(weight for *_, weight in _weights(self, SLICE_MS))
        )
        return (share * weight / (end - begin) for begin, end, weight in _weights(self, SLICE_MS))


def slices(plan: Simulation, every: int = SLICE_MS) -> Iterator[tuple[int, int, int]]:
    """The slices of time of `every` ms: begin, end (exclusive) and how many visits begin in each."""
    total = sum(weight for *_, weight in _weights(plan, max(every, SLICE_MS)))
    reached, begun = 0.0, 0
    for begin, end, weight in _weights(plan, every):
        reached += weight
        until = round(plan.visits * reached / total)
        yield begin, end, until - begun
        begun = until


def check_rate(plan: Simulation) -> None:
    """See to it that the plan's visitors can give its rate.

    Raises:
        SettingsError: they can't; it says what they can, and how many could.
    """
    if plan.rate is None:
        return
    busy = _busy_at_once(plan)
    if busy > plan.visitors * _MOST_BUSY:
        most = plan.rate * plan.visitors * _MOST_BUSY / busy
        unit = 10.0 ** (floor(log10(most)) - 1)
        can = f"{floor(most / unit) * unit:g}"
        problem = (
            f"rate: {plan.visitors:,} visitors pause between visits and give {can} events a second at most, not "
            f"{plan.rate:g}; write --visitors {visitors_for(plan)} or more, or --rate {can} or less"
        )
        raise SettingsError([problem])


def visitors_for(plan: Simulation) -> int:
    """How many visitors it takes, at least, to give the plan's rate."""
    needed = max(1.0, _busy_at_once(plan) / _GOOD_BUSY)
    unit = 10 ** max(0, floor(log10(needed)) - 1)
    return int(ceil(needed / unit) * unit)


def with_visitors_enough(plan: Simulation) -> Simulation:
    """The plan, with more visitors where its own can't give its rate."""
    return plan if plan.rate is None else replace(plan, visitors=max(plan.visitors, visitors_for(plan)))


def _busy_at_once(plan: Simulation) -> float:
    """How many visitors are on the site or pausing at the busiest time."""
    within = min(plan.duration, BETWEEN_VISITS_MS + _VISIT_MS)
    return plan.events_per_second_at_most / EVENTS_PER_VISIT * within / _SECOND


def _weights(plan: Simulation, every: int) -> Iterator[tuple[int, int, float]]:
    """Begin and end of each slice, and how much happens in it."""
    for begin in range(plan.start, plan.stop, every):
        end = min(begin + every, plan.stop)
        yield begin, end, (end - begin) * busy((begin + end) // 2)


def busy(at: int) -> float:
    """How busy the site is at a time (ms since 1970, UTC), beside other times; 100 is the most."""
    hour, rest = divmod(at % _DAY, _HOUR)
    share = rest / _HOUR
    return _BUSY_BY_HOUR[hour] * (1 - share) + _BUSY_BY_HOUR[(hour + 1) % 24] * share
