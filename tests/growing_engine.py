"""The engine's parts under a plan that grows while they run, as it does in a live run."""

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
from engine_harness import EVENT_COLUMNS, Outcome, frame_of
from reference import Record
from test_shard_properties import CLICKS, CONVERSIONS, PAGE_VIEWS, START

from footfall.clock import NEVER, ClockSettings, PartitionClock
from footfall.control_record import ControlRecord
from footfall.dataflow import ShardStep, plan_in_force
from footfall.envelope import SCHEMA
from footfall.event_batch import QUOTED, ShardBatch, split_by_shard
from footfall.pattern import Pattern
from footfall.plan_in_force import InForce, PlanInForce
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Settled, ShardSettings
from footfall.tables import MATCHES, SESSIONS, TRIGGERS
from footfall.trigger_rule import TriggerRule

SETTINGS = Settings(store="none", page_views=PAGE_VIEWS, clicks=CLICKS, conversions=CONVERSIONS)
WIDE = ClockSettings(lateness=10**9, idle_bound=10**9, future_jump=10**9)
_DECODED = [name for name in SCHEMA if name != "source_partition"]


@dataclass(frozen=True)
class Content:
    """What a control record brings: patterns, rules, and how much later (ms) than all before it it counts."""

    patterns: Sequence[Pattern]
    rules: Sequence[TriggerRule] = ()
    lead: int = 0

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - as Hypothesis calls it
        printer.text(repr(self))

    def __repr__(self) -> str:
        """Only as long as it must be."""
        patterns = "; ".join(map(_short, self.patterns))
        return f"Content({patterns}, {[*self.rules]}, lead={self.lead})"


def _short(pattern: Pattern) -> str:
    stages = [f"{stage.contiguity} {stage.condition}"[:60] for stage in pattern.stages[:6]]
    return f"{pattern.name}: {stages} within {pattern.within_ms} {pattern.skip} same {pattern.same_field}"


@dataclass(frozen=True)
class GrowingWorld:
    """Records by partition, and what is asked of them, one set after the other."""

    partitions: Sequence[Sequence[Record]]
    contents: Sequence[Content]
    clock: ClockSettings = WIDE
    sessions: SessionSettings = field(default_factory=SessionSettings)


def record_of(number: int, content: Content, since: int | None, deployed: Mapping[str, int]) -> ControlRecord:
    """A control record; rules that are new with it have been deployed from its time on."""
    known = dict(deployed)
    if since is not None:
        for rule in content.rules:
            known.setdefault(rule.name, since)
    return ControlRecord(number, since, tuple(content.patterns), tuple(content.rules), known, 0)


@dataclass(frozen=True)
class Checkpoint:
    """What a snapshot keeps: of each shard and each partition, and how much had been given out."""

    states: Sequence[bytes]
    clocks: list[PartitionClock]
    offsets: Sequence[int]
    settled: int


class GrowingEngine:
    """Partition clocks, the split, and shards as the dataflow keeps them.

    Batches wait, by shard and partition, until they are fed: those of several partitions reach a shard in any order,
    those of one in its own.

    Args:
        world: what is to be run; of what is asked, only the first set.
        records: the control records that are known at the start; by default that of the first set.
        shards: how many shards there are.
        early: matches are told early, too.
        settle_step: as in `ShardSettings`.
        folder: where profiles are kept; None for the snapshots.
    """

    def __init__(
        self,
        world: GrowingWorld,
        records: Sequence[ControlRecord] = (),
        *,
        shards: int = 1,
        early: bool = False,
        settle_step: int = 1,
        folder: Path | None = None,
    ) -> None:
        records = records or (record_of(0, world.contents[0], None, {}),)
        self._contents = world.contents
        self.in_force: PlanInForce = plan_in_force(SETTINGS, records, folder, live=True)
        self.plans: list[InForce] = [self.in_force.now]
        self.clocks = [PartitionClock(world.clock) for _ in world.partitions]
        self.settled: list[Settled] = []
        self._fixed = ShardSettings(
            sessions=world.sessions,
            plan=self.in_force.now.plan,
            partitions=len(world.partitions),
            wants_rows=True,
            event_columns=EVENT_COLUMNS,
            early=early,
            idle_bound=world.clock.idle_bound,
            triggers=self.in_force.now.triggers,
            settle_step=settle_step,
        )
        self._names = tuple(f"s{number}" for number in range(shards))
        self.steps = [self._step() for _ in self._names]
        self._reads_by = [0 for _ in world.partitions]
        self._offsets = [0 for _ in world.partitions]
        self._waiting: list[list[list[ShardBatch]]] = [[[] for _ in world.partitions] for _ in self._names]

    def _step(self) -> ShardStep:
        return ShardStep(self._fixed, self._names, in_force=self.in_force, recoverable=True)

    @property
    def records(self) -> tuple[ControlRecord, ...]:
        """The control records so far."""
        return self.in_force.now.records

    def grow(self, content: Content) -> ControlRecord:
        """Take up the next set: it counts from later than all that has been read, or has settled."""
        last = self.records[-1]
        read = max(max(clock.max_event_time, clock.watermark) for clock in self.clocks)
        after = max(START if read == NEVER else read, NEVER if last.since is None else last.since)
        record = record_of(len(self.records), content, after + 1 + content.lead, last.deployed)
        self.in_force.take_up(record)
        self.plans.append(self.in_force.now)
        return record

    def read(
        self, partition: int, records: Sequence[Record], *, ended: bool = False, by_newest: bool = True
    ) -> None:
        """Read records of a partition; unless `by_newest`, with the plan that it had, for as long as that may be."""
        frame = frame_of(records, self._offsets[partition])
        self._offsets[partition] += frame.height
        events = self.clocks[partition].take(
            frame.select(_DECODED), ended=ended, with_watermarks=self._fixed.early
        )
        events = events.with_columns(source_partition=pl.lit(f"p{partition}"))
        if events.height:
            events = events.filter(~pl.col("late"))
        latest = self.clocks[partition].max_event_time
        known = [number for number, plan in enumerate(self.plans) if _since(plan) <= latest]
        least = max([self._reads_by[partition], *known])
        self._reads_by[partition] = len(self.plans) - 1 if by_newest else least
        plan = self.plans[self._reads_by[partition]].plan
        carried = {*EVENT_COLUMNS, *QUOTED, *plan.row_columns}
        batches = split_by_shard(
            events,
            plan,
            [name for name in SCHEMA if name in carried],
            partition,
            len(self._names),
            watermark=self.clocks[partition].watermark,
            ended=ended,
        )
        for waiting, batch in zip(self._waiting, batches, strict=True):
            batch.arrival = self.clocks[partition].last_arrival
            waiting[partition].append(batch)

    def feed(self, dice: random.Random | None = None) -> None:
        """Give the shards what has been read: all of it, or as much as the dice say, partitions in their order."""
        for step, waiting in zip(self.steps, self._waiting, strict=True):
            order = [partition for partition, batches in enumerate(waiting) for _ in batches]
            if dice is not None:
                dice.shuffle(order)
                order = order[: dice.randint(0, len(order))]
            batches = [waiting[partition].pop(0) for partition in order]
            if batches:
                self.settled += step.on_batch(batches)[0]

    def restart(self) -> None:
        """Put fresh shards in the place of the ones there are, from their snapshots, with all that is in force."""
        self.crash(self.checkpoint())

    def checkpoint(self) -> "Checkpoint":
        """Feed all that has been read, and keep what a snapshot has."""
        self.feed()
        states = [step.snapshot() for step in self.steps]
        return Checkpoint(states, copy.deepcopy(self.clocks), [*self._offsets], len(self.settled))

    def crash(self, kept: "Checkpoint") -> None:
        """Go back to a checkpoint, with all that is in force now; what was given out since then is given out again."""
        self.steps = [self._step().resumed(state) for state in kept.states]
        self.clocks, self._offsets = copy.deepcopy(kept.clocks), [*kept.offsets]
        del self.settled[kept.settled :]
        self._waiting = [[[] for _ in self.clocks] for _ in self._names]
        self._reads_by = [len(self.plans) - 1 for _ in self.clocks]

    def outcome(self) -> Outcome:
        """What all of it gave."""
        blank = pl.DataFrame(schema={name: SCHEMA[name] for name in EVENT_COLUMNS})
        return Outcome(
            events=pl.concat([blank, *(each.events for each in self.settled if each.events is not None)]),
            sessions=pl.concat([SESSIONS.empty(), *(each.sessions for each in self.settled)]),
            matches=pl.concat([MATCHES.empty(), *(each.matches[[*MATCHES.schema]] for each in self.settled)]),
            done=[each.done for each in self.settled if each.done is not None],
            late=0,
        )

    def triggers(self) -> pl.DataFrame:
        """The triggers of all rounds."""
        return pl.concat([TRIGGERS.empty(), *(each.triggers for each in self.settled)])

    def messages(self) -> list[tuple[str, str, int]]:
        """Each match's id, status and revision, as it was told."""
        rows = self.outcome().matches
        return list(zip(rows["match_id"], rows["status"], rows["revision"], strict=True))


def _since(plan: InForce) -> int:
    since = plan.records[-1].since
    return NEVER if since is None else since


def run_grown(world: GrowingWorld, engine: GrowingEngine, dice: random.Random, *, restarts: bool) -> None:
    """Run the world in parts: read, fed, grown, restarted, and put back by a crash, as the dice say."""
    parts: list[list[Sequence[Record]]] = []
    for records in world.partitions:
        cuts = sorted(dice.randint(0, len(records)) for _ in range(dice.randint(0, 6)))
        parts.append([*(records[a:b] for a, b in pairwise([0, *cuts, len(records)])), []])
    turns = [number for number, queue in enumerate(parts) for _ in queue]
    dice.shuffle(turns)
    growths = sorted(dice.randint(0, len(turns)) for _ in world.contents[1:])
    crashes = dice.randint(0, 2) if restarts else 0
    place, kept, at_kept = 0, engine.checkpoint(), 0
    while place < len(turns):
        while len(engine.records) <= len(growths) and growths[len(engine.records) - 1] <= place:
            engine.grow(world.contents[len(engine.records)])
        turn = turns[place]
        number = turns[:place].count(turn)
        ended = number == len(parts[turn]) - 1
        engine.read(turn, parts[turn][number], ended=ended, by_newest=dice.random() < 0.6)
        place += 1
        if dice.random() < 0.6:
            engine.feed(dice)
        if restarts and dice.random() < 0.4:
            engine.restart()
        if restarts and dice.random() < 0.3:
            kept, at_kept = engine.checkpoint(), place
        if crashes and dice.random() < 0.2:
            crashes -= 1
            engine.crash(kept)
            place = at_kept
    engine.feed()


def run_whole(world: GrowingWorld, records: Sequence[ControlRecord], *, early: bool = False) -> GrowingEngine:
    """The world in one piece, with all control records from the start."""
    engine = GrowingEngine(world, records, early=early)
    for number, part in enumerate(world.partitions):
        engine.read(number, part, ended=True)
    engine.feed()
    return engine


def alone(world: GrowingWorld, patterns: Sequence[Pattern], since: int = NEVER) -> GrowingEngine:
    """One set alone, on the events at that time or later."""
    partitions = [[record for record in part if record.time >= since] for part in world.partitions]
    return run_whole(replace(world, partitions=partitions), [record_of(0, Content(patterns), None, {})])
