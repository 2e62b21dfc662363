"""The traffic of a plan, made a slice of time after the other.

Visits are played in the order of their beginnings; each record waits in the slice in which it arrives, and a slice is
sorted and taken once nothing can arrive in it any more. So memory follows the visits under way. All chance comes from
one seeded generator: one plan gives the same bytes always.
"""

import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import log
from random import Random
from typing import NamedTuple

import msgspec

from footfall.simulate_plan import BETWEEN_VISITS_MS, SLICE_MS, Simulation
from footfall.simulate_plants import NEVER_LATE, Plant, Seen, plants
from footfall.simulate_plants_long import LongPlants
from footfall.simulate_records import (
    BOT_USER_AGENTS,
    OVERSIZED_EVERY,
    SMALL_KINDS,
    USER_AGENTS,
    IsoTimes,
    RecordWriter,
    Visitor,
    malformed,
)
from footfall.simulate_signals import signals
from footfall.simulate_site import Action, Origin, origin, visit

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000

# The engine's defaults, and what keeps clear of them on both sides.
_LATENESS, _IDLE_BOUND = 5 * _SECOND, 60 * _SECOND
LONGEST_DELAY_IN_TIME_MS = 4 * _SECOND
"""How long after its event a record arrives that isn't late, at most, ms."""
_LATE_FROM, _LATE_TO = 70 * _SECOND, 20 * _MINUTE
_CLOCK_ERRORS = (5 * _MINUTE, _HOUR, _HOUR, 2 * _HOUR, _DAY)


class Waiting(NamedTuple):
    """A record that has not arrived yet; they sort by arrival, then in the order in which they were made.

    Attributes:
        arrival: ms since 1970.
        number: how many were made before it.
        partition: the visitor's.
        used: the event time that the engine takes, ms; None for a malformed record.
        line: the record, a newline at its end.
        visitor: the visitor's number; see `Traffic.visitor_id`.
        copy: whether it is a copy of one that was made before.
    """

    arrival: int
    number: int
    partition: int
    used: int | None
    line: bytes
    visitor: int
    copy: bool


class _Record(NamedTuple):
    """What a record is written from; `origin` for a visit's first."""

    action: Action
    visitor: Visitor
    number: int
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


class Traffic:
    """The visits under way, the records that wait to arrive, and the counts of all that was made.

    Args:
        plan: what to play.
        every: the slices in which records are taken, ms; another length draws other chances.
        dated: whether records tell when they arrived.
        oversized: whether some malformed records are larger than a record may be.

    Attributes:
        counts: what was made, by the names of `SimulationSummary`.
        by_event: event name -> how many.
        planted: pattern -> how many occurrences are certain so far.
    """

    def __init__(
        self, plan: Simulation, *, every: int = SLICE_MS, dated: bool = True, oversized: bool = True
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.by_event: Counter[str] = Counter()
        self.planted: Counter[str] = Counter()
        self._plan = plan
        self._every = every
        self._kinds = OVERSIZED_EVERY if oversized else SMALL_KINDS
        self._random = Random(plan.seed)  # noqa: S311 - nothing here is secret
        # Of its own, so that the journeys of a seed don't change with what trackers tell beside them.
        self._signal_random = Random(f"signals {plan.seed}")  # noqa: S311 - nothing here is secret
        self._writer = RecordWriter(plan.format, dated=dated)
        self._time = IsoTimes()
        self._name = f"{zlib.crc32(str(plan.seed).encode()) & 0xFFFF:04x}"
        self._free_at = array("q", [0]) * plan.visitors
        self._waiting: dict[int, list[Waiting]] = {}
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

    def visitor_id(self, number: int) -> str:
        """The id of the visitor of that number."""
        return f"v{self._name}-{number:06d}"

    def arrived(self, end: int | None) -> Iterator[tuple[int, list[Waiting]]]:
        """Take all records that arrive before `end`, a slice's end, in their order; None takes the rest.

        They come as lists of one slice and partition, with the partition's number.
        """
        for key in sorted(self._waiting):
            if end is not None and key >= (end - self._plan.start) // self._every:
                break
            arrived = self._waiting.pop(key)
            arrived.sort()
            for partition in range(self._plan.partitions):
                chosen = [record for record in arrived if record.partition == partition]
                if chosen:
                    yield partition, chosen
                    self._move_watermark(partition, chosen)

    def _move_watermark(self, partition: int, written: Sequence[Waiting]) -> None:
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
            self.visitor_id(index), f"u{self._name}-{index:06d}" if known else None, agent, bot, error
        )

    def _play_visit(self, index: int, start: int) -> None:
        plan, random = self._plan, self._random
        visitor = self._visitor(index)
        stop = plan.stop
        actions = [action for action in visit(random, start, bot=visitor.bot) if action.at < stop]
        if not self._free_at[index]:
            self.counts["visitors"] += 1
        self._free_at[index] = actions[-1].at + BETWEEN_VISITS_MS
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
            record = _Record(action, visitor, index, came_from if action is actions[0] else None, partition)
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
        self._put(arrival, record, used, line)
        if plan.duplicates and not late and not clock_error and random.random() < plan.duplicates:
            again = self._copied_at(random, action, arrival)
            copy = self._writer.write(action, record.visitor, record.origin, message_id, again)
            self._put(again, record, used, copy, copy=True)
            if again - action.at >= _LATE_FROM:
                self.by_event[action.event] += 1
        if plan.dirty and random.random() < plan.dirty:
            self._put(arrival, record, None, malformed(line, self.counts["dirty"] % self._kinds))
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
        return min(usual + (int(random() * 3_000) if random() < 0.02 else 0), LONGEST_DELAY_IN_TIME_MS)

    def _copied_at(self, random: Random, action: Action, arrival: int) -> int:
        """When a copy arrives; counts it as what the engine will take it for."""
        if random.random() < 0.05:
            self.counts["late"] += 1
            return action.at + self._between(random, _LATE_FROM, _LATE_TO)
        self.counts["duplicates"] += 1
        return self._between(random, arrival, action.at + LONGEST_DELAY_IN_TIME_MS)

    @staticmethod
    def _between(random: Random, least: int, most: int) -> int:
        return least + int(random.random() * (most - least))

    def _put(
        self, arrival: int, record: "_Record", used: int | None, line: bytes, *, copy: bool = False
    ) -> None:
        key = (arrival - self._plan.start) // self._every
        waiting = Waiting(arrival, self._made, record.partition, used, line, record.number, copy)
        self._waiting.setdefault(key, []).append(waiting)
        self._made += 1
        self.counts["lines"] += 1

    def _find_plants(self, visitor_id: str, in_time: list[Seen]) -> None:
        # Where the arrival is the time, delays have changed the order; equal times keep that of the records.
        in_time.sort(key=lambda seen: seen.at)
        self._undecided += [_planted(visitor_id, plant) for plant in plants(in_time)]
        self._long.add(visitor_id, in_time)

    def certain_plants(self, *, last: bool) -> list[bytes]:
        """Lines for the plants that are certain by now (the due time is behind the watermark), or for all of them."""
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
        return [self._plant_line(planted, settled_to or watermark) for planted in certain]

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
