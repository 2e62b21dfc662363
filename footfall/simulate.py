"""A day at a repair shop's site, as records to replay, with the truth about them beside it.

Visits are played in the order of their beginnings, a slice of time after the other; each record waits in the
slice in which it arrives, and a slice is sorted and written once nothing can arrive in it any more. So memory
follows the visits under way. All chance comes from one seeded generator: one plan gives the same bytes
always.

Noise is laid on so that the truth stays exact. What a pattern looks at is never made late; a malformed record
is an extra one; a copy arrives in time, or so late that it can't be mistaken. A visitor whose clock is ahead
has the events' arrival as their time (as the engine has it), one whose clock is behind is late throughout; in
Segment's format both are put right by its own timestamps.
"""

import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import log
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from footfall.errors import SettingsError
from footfall.simulate_files import RecordFile, output_paths
from footfall.simulate_plants import NEVER_LATE, PATTERNS, Plant, Seen, plants
from footfall.simulate_plants_long import LongPlants
from footfall.simulate_records import (
    BOT_USER_AGENTS,
    USER_AGENTS,
    IsoTimes,
    RecordFormat,
    RecordWriter,
    Visitor,
    malformed,
)
from footfall.simulate_signals import signals
from footfall.simulate_site import Action, Origin, origin, visit

MONDAY = 1_772_409_600_000  # 2026-03-02T00:00:00Z
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000

_VISITS_PER_VISITOR_AND_DAY = 1.4
_EVENTS_PER_VISIT = 11.6
_SLICE = 10 * _MINUTE
# More than the session gap and than the reach of any pattern about one visit, with the signals that come after a
# visit's own last action, and the delays.
_BETWEEN_VISITS = 35 * _MINUTE
_BUSY_BY_HOUR = (9, 6, 4, 3, 4, 7, 15, 30, 52, 70, 80, 84, 88, 82, 78, 80, 86, 95, 100, 98, 90, 70, 42, 20)

# The engine's defaults, and what keeps clear of them on both sides.
_LATENESS, _IDLE_BOUND = 5 * _SECOND, 60 * _SECOND
_LONGEST_DELAY_IN_TIME = 4 * _SECOND
_LATE_FROM, _LATE_TO = 70 * _SECOND, 20 * _MINUTE
_CLOCK_ERRORS = (5 * _MINUTE, _HOUR, _HOUR, 2 * _HOUR, _DAY)


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """The plan of a simulation.

    Attributes:
        visitors: how many people and bots there are to draw from.
        duration: how long the site is watched, ms. Visits under way at its end are cut off.
        rate: events per second, about, on average; None gives each visitor 1.4 visits a day. What so many
        visitors
            can't do isn't done: they pause between visits.
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


@dataclass(frozen=True, kw_only=True)
class SimulationSummary:
    """What a simulation wrote, and what a replay of it with the default settings has to find.

    Attributes:
        records: the files, in the order of their names; plants_file: the list of what is planted.
        lines: lines in all files: `events` + `duplicates` + `dirty`.
        events: good records, late ones included, copies in time left out.
        late: events that come too late to count. clock_capped: events whose time lay in the future.
        bot_events: events of robots.
        visitors: visitors seen. sessions: sessions (gap 30 min) of the events that aren't late.
        by_event: event name -> how many of `events`.
        plants: pattern -> how many occurrences.
    """

    records: tuple[Path, ...]
    plants_file: Path
    lines: int
    events: int
    duplicates: int
    dirty: int
    late: int
    clock_capped: int
    bot_events: int
    visitors: int
    sessions: int
    by_event: Mapping[str, int]
    plants: Mapping[str, int]


def simulate(plan: Simulation, output: Path) -> SimulationSummary:
    """Write the traffic that `plan` describes to `output`, and the list of what is planted beside it.

    Each partition's records stand in the order of their arrival. The list has a line for every occurrence of
    the patterns: pattern, visitor_id, stages (name -> message ids), first_time, last_time, and at_end
    (true where only the end of the input makes an absence certain).

    Raises:
        UsageError: `output` won't do (see `output_paths`).
    """
    paths = output_paths(output, plan.partitions)
    with ExitStack() as stack:
        files = [stack.enter_context(RecordFile(path)) for path in paths.records]
        listed = stack.enter_context(RecordFile(paths.plants))
        traffic = _Traffic(plan, files, listed)
        for begin, end, visits in _slices(plan):
            traffic.play(begin, end, visits)
            traffic.write_until(end)
        traffic.write_until(None)
    counts = traffic.counts
    return SimulationSummary(
        records=paths.records,
        plants_file=paths.plants,
        lines=counts["lines"],
        events=counts["lines"] - counts["duplicates"] - counts["dirty"],
        duplicates=counts["duplicates"],
        dirty=counts["dirty"],
        late=counts["late"],
        clock_capped=counts["clock_capped"],
        bot_events=counts["bot_events"],
        visitors=counts["visitors"],
        sessions=counts["sessions"],
        by_event=dict(traffic.by_event.most_common()),
        plants={pattern: traffic.planted[pattern] for pattern in PATTERNS},
    )


def _slices(plan: Simulation) -> Iterator[tuple[int, int, int]]:
    """The slices of time: begin, end (exclusive) and how many visits begin in each."""
    if plan.rate is None:
        wanted = plan.visitors * _VISITS_PER_VISITOR_AND_DAY * plan.duration / _DAY
    else:
        wanted = plan.rate * plan.duration / _SECOND / _EVENTS_PER_VISIT
    stop = plan.start + plan.duration
    ends = [*range(plan.start + _SLICE, stop, _SLICE), stop]
    begins = [plan.start, *ends[:-1]]
    weights = [(end - begin) * _busy((begin + end) // 2) for begin, end in zip(begins, ends, strict=True)]
    total, reached, begun = sum(weights), 0.0, 0
    for begin, end, weight in zip(begins, ends, weights, strict=True):
        reached += weight
        until = round(wanted * reached / total)
        yield begin, end, until - begun
        begun = until


def _busy(at: int) -> float:
    hour, rest = divmod(at % _DAY, _HOUR)
    share = rest / _HOUR
    return _BUSY_BY_HOUR[hour] * (1 - share) + _BUSY_BY_HOUR[(hour + 1) % 24] * share


class _Waiting(NamedTuple):
    """A record that has not arrived yet; they sort by arrival, then in the order in which they were made.

    `used` is the event time that the engine takes; None for a malformed record.
    """

    arrival: int
    number: int
    partition: int
    used: int | None
    line: bytes


class _Record(NamedTuple):
    """What a record is written from; `origin` for a visit's first."""

    action: Action
    visitor: Visitor
    origin: Origin | None
    partition: int


class _Planted(NamedTuple):
    """A plant of a visitor; they sort by time, then by names, so that the list has one order."""

    first_time: int
    visitor_id: str
    pattern: str
    stages: Mapping[str, Sequence[str]]
    plant: Plant


def _planted(visitor_id: str, plant: Plant) -> _Planted:
    return _Planted(plant.first_time, visitor_id, plant.pattern, plant.stages, plant)


def _seen(action: Action, used: int, message_id: str, *, bot: bool) -> Seen:
    facts = action.properties or {}
    return Seen(
        used,
        action.event,
        action.element,
        message_id,
        action.path,
        action.x,
        action.y,
        facts.get("field"),
        facts.get("percent"),
        bot,
        facts.get("service"),
        facts.get("branch"),
    )


class _Traffic:
    """The visits under way, the records that wait to arrive, and the counts of all that was written."""

    def __init__(self, plan: Simulation, files: Sequence[RecordFile], listed: RecordFile) -> None:
        self.counts: Counter[str] = Counter()
        self.by_event: Counter[str] = Counter()
        self.planted: Counter[str] = Counter()
        self._plan = plan
        self._files = files
        self._listed = listed
        self._random = Random(plan.seed)  # noqa: S311 - nothing here is secret
        # Of its own, so that the journeys of a seed don't change with what trackers tell beside them.
        self._signal_random = Random(f"signals {plan.seed}")  # noqa: S311 - nothing here is secret
        self._writer = RecordWriter(plan.format)
        self._time = IsoTimes()
        self._name = f"{zlib.crc32(str(plan.seed).encode()) & 0xFFFF:04x}"
        self._free_at = array("q", [0]) * plan.visitors
        self._waiting: dict[int, list[_Waiting]] = {}
        self._made = 0
        self._messages: Counter[str] = Counter()
        self._undecided: list[_Planted] = []
        self._long = LongPlants()
        self._latest_used = [0] * plan.partitions
        self._watermarks: dict[int, int] = {}

    def play(self, begin: int, end: int, visits: int) -> None:
        """Play the visits that begin in [begin, end)."""
        chance = self._random.random
        for start in sorted(begin + int(chance() * (end - begin)) for _ in range(visits)):
            index = self._free_visitor(start)
            if index is not None:
                self._play_visit(index, start)

    def write_until(self, end: int | None) -> None:
        """Write all records that arrive before `end`, a slice's end; None writes the rest."""
        for key in sorted(self._waiting):
            if end is not None and key >= (end - self._plan.start) // _SLICE:
                break
            arrived = self._waiting.pop(key)
            arrived.sort()
            for partition, file in enumerate(self._files):
                chosen = [record for record in arrived if record.partition == partition]
                if chosen:
                    file.write([record.line for record in chosen])
                    self._move_watermark(partition, chosen)
        self._list_plants(last=end is None)

    def _move_watermark(self, partition: int, written: Sequence[_Waiting]) -> None:
        good = [(record.arrival, record.used) for record in written if record.used is not None]
        if good:
            latest = max(self._latest_used[partition], *(used for _, used in good))
            self._latest_used[partition] = latest
            self._watermarks[partition] = max(latest - _LATENESS, good[-1][0] - _IDLE_BOUND) - 1

    def _free_visitor(self, start: int) -> int | None:
        index = int(self._random.random() * self._plan.visitors)
        for _ in range(8):
            if self._free_at[index] <= start:
                return index
            index = (index * 31 + 17) % self._plan.visitors
        return None

    def _visitor(self, index: int) -> Visitor:
        plan = self._plan
        random = _mixed(plan.seed, index)
        bot = (random & 0xFFFF) < plan.bots * 0x10000
        known = (random >> 16 & 0xFF) < 90 and not bot
        error = 0
        if (random >> 24 & 0xFFFF) < plan.clock_errors * 0x10000:
            error = _CLOCK_ERRORS[(random >> 40 & 0xFF) % len(_CLOCK_ERRORS)] * (
                1 if random >> 48 & 1 else -1
            )
        agents = BOT_USER_AGENTS if bot else USER_AGENTS
        agent = agents[(random >> 49 & 0xFF) % len(agents)]
        return Visitor(
            f"v{self._name}-{index:06d}", f"u{self._name}-{index:06d}" if known else None, agent, bot, error
        )

    def _play_visit(self, index: int, start: int) -> None:
        plan, random = self._plan, self._random
        visitor = self._visitor(index)
        stop = plan.start + plan.duration
        actions = [action for action in visit(random, start, bot=visitor.bot) if action.at < stop]
        if not self._free_at[index]:
            self.counts["visitors"] += 1
        self._free_at[index] = actions[-1].at + _BETWEEN_VISITS
        partition = zlib.crc32(visitor.visitor_id.encode()) % plan.partitions
        came_from = origin(random)
        # Segment's messages tell by how much their clock is wrong.
        error = visitor.clock_error if plan.format == "footfall" else 0
        delayed = actions[number] if (number := self._delayed(actions, error)) is not None else None
        more = [] if visitor.bot else [act for act in signals(self._signal_random, actions) if act.at < stop]
        played = [(action, random) for action in actions] + [(act, self._signal_random) for act in more]
        played.sort(key=lambda action_and_chance: action_and_chance[0].at)
        in_time: list[Seen] = []
        for action, chance in played:
            record = _Record(action, visitor, came_from if action is actions[0] else None, partition)
            seen = self._write(record, chance, late=action is delayed, clock_error=error)
            if seen is not None:
                in_time.append(seen)
        self.counts["bot_events"] += len(actions) if visitor.bot else 0
        self.counts["clock_capped"] += len(played) if error > 0 else 0
        if in_time:
            self.counts["sessions"] += 1
            self._find_plants(visitor.visitor_id, in_time)

    def _write(self, record: "_Record", random: Random, *, late: bool, clock_error: int) -> Seen | None:
        """Write a record, with the noise that falls on it; how the engine sees it, None if it is late."""
        plan, action = self._plan, record.action
        drawn_for = "m" if random is self._random else "s"
        message_id = f"{drawn_for}{self._name}-{self._messages[drawn_for]:08x}"
        self._messages[drawn_for] += 1
        arrival = action.at + (self._between(random, _LATE_FROM, _LATE_TO) if late else self._delay(random))
        used = arrival if clock_error > 0 else action.at
        line = self._writer.write(action, record.visitor, record.origin, message_id, arrival)
        self._put(arrival, record.partition, used, line)
        if plan.duplicates and not late and not clock_error and random.random() < plan.duplicates:
            again = self._copied_at(random, action, arrival)
            copy = self._writer.write(action, record.visitor, record.origin, message_id, again)
            self._put(again, record.partition, used, copy)
            if again - action.at >= _LATE_FROM:
                self.by_event[action.event] += 1
        if plan.dirty and random.random() < plan.dirty:
            self._put(arrival, record.partition, None, malformed(line, self.counts["dirty"]))
            self.counts["dirty"] += 1
        self.by_event[action.event] += 1
        if late or clock_error < 0:
            self.counts["late"] += 1
            return None
        seen = _seen(action, used, message_id, bot=record.visitor.bot)
        # Segment's messages have properties x and y, but no such fields.
        return seen._replace(x=None, y=None) if plan.format == "segment" else seen

    def _delayed(self, actions: Sequence[Action], clock_error: int) -> int | None:
        """Which action, if any, comes late: at most one of a visit, and none that much hangs on."""
        random, late = self._random.random, self._plan.late
        if clock_error or not late or random() >= late * len(actions):
            return None
        free = [number for number, action in enumerate(actions) if action.event not in NEVER_LATE]
        return free[int(random() * len(free))] if free else None

    @staticmethod
    def _delay(chance: Random) -> int:
        random = chance.random
        usual = 20 - int(log(1 - random()) * 180)
        return min(usual + (int(random() * 3_000) if random() < 0.02 else 0), _LONGEST_DELAY_IN_TIME)

    def _copied_at(self, random: Random, action: Action, arrival: int) -> int:
        """When a copy arrives; counts it as what the engine will take it for."""
        if random.random() < 0.05:
            self.counts["late"] += 1
            return action.at + self._between(random, _LATE_FROM, _LATE_TO)
        self.counts["duplicates"] += 1
        return self._between(random, arrival, action.at + _LONGEST_DELAY_IN_TIME)

    @staticmethod
    def _between(random: Random, least: int, most: int) -> int:
        return least + int(random.random() * (most - least))

    def _put(self, arrival: int, partition: int, used: int | None, line: bytes) -> None:
        key = (arrival - self._plan.start) // _SLICE
        self._waiting.setdefault(key, []).append(_Waiting(arrival, self._made, partition, used, line))
        self._made += 1
        self.counts["lines"] += 1

    def _find_plants(self, visitor_id: str, in_time: list[Seen]) -> None:
        # Where the arrival is the time, delays have changed the order; equal times keep that of the records.
        in_time.sort(key=lambda seen: seen.at)
        self._undecided += [_planted(visitor_id, plant) for plant in plants(in_time)]
        self._long.add(visitor_id, in_time)

    def _list_plants(self, *, last: bool) -> None:
        """List the plants that are certain by now (the due time is behind the watermark), or all of them."""
        watermark = min(self._watermarks.values(), default=0)
        # At the end, the partitions that ended earlier hold nothing back.
        settled_to = max(self._watermarks.values(), default=0) if last else None
        long = [_planted(*found) for found in self._long.certain(watermark, settled_to=settled_to)]
        undecided = self._undecided + long
        certain: list[_Planted] = []
        self._undecided = []
        for planted in undecided:
            (certain if last or planted.plant.due <= watermark else self._undecided).append(planted)
        certain.sort(key=lambda planted: planted[:3])
        self.planted.update(planted.pattern for planted in certain)
        self._listed.write([self._plant_line(planted, settled_to or watermark) for planted in certain])

    def _plant_line(self, planted: _Planted, watermark: int) -> bytes:
        plant = planted.plant
        listed = {
            "pattern": plant.pattern,
            "visitor_id": planted.visitor_id,
            "stages": plant.stages,
            "output": plant.output,
            "first_time": self._time(plant.first_time),
            "last_time": self._time(plant.last_time),
            "at_end": plant.due > max(watermark, plant.last_time),
        }
        return msgspec.json.encode(listed) + b"\n"


def _mixed(seed: int, number: int) -> int:
    """64 well-mixed bits that belong to that number (the finaliser of SplitMix64)."""
    mask = 0xFFFF_FFFF_FFFF_FFFF
    mixed = (seed * 0xD134_2543_DE82_EF95 + (number + 1) * 0x9E37_79B9_7F4A_7C15) & mask
    mixed = (mixed ^ mixed >> 30) * 0xBF58_476D_1CE4_E5B9 & mask
    mixed = (mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB & mask
    return mixed ^ mixed >> 31
