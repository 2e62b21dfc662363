"""Worlds for trigger rules: records and rules, and the engine's parts that run them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import polars as pl
from engine_harness import Engine
from hypothesis import strategies as st
from reference import Record
from test_shard_properties import (
    CLICKS,
    CONVERSIONS,
    PAGE_VIEWS,
    START,
    clocks,
    patterns,
    session_settings,
    streams,
)

from footfall.clock import ClockSettings, PartitionClock
from footfall.dataflow import pattern_plan, trigger_settings
from footfall.expression import event
from footfall.expression import field as of_profile
from footfall.pattern import Pattern
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Shard
from footfall.tables import TRIGGERS
from footfall.trigger_rule import TriggerRule

Row = dict[str, Any]
Keeping = Literal["snapshot", "folder"]

SETTINGS = Settings(store="none", page_views=PAGE_VIEWS, clicks=CLICKS, conversions=CONVERSIONS)
WIDE = ClockSettings(lateness=10, idle_bound=1_000, future_jump=10**9)
SENT = ("fired", "shadow")


@dataclass(frozen=True)
class World:
    """Records by partition, each visitor's in one of them, and what is asked of them."""

    partitions: Sequence[Sequence[Record]]
    patterns: Sequence[Pattern]
    rules: Sequence[TriggerRule]
    clock: ClockSettings = WIDE
    sessions: SessionSettings = field(default_factory=SessionSettings)
    deployed: Mapping[str, int] = field(default_factory=dict)


class TriggerEngine(Engine):
    """The engine's parts with trigger rules; a folder keeps the profiles beside the snapshots."""

    def __init__(
        self,
        world: World,
        *,
        shards: int = 1,
        early: bool = False,
        settle_step: int = 1,
        releases: bool = True,
        folder: Path | None = None,
    ) -> None:
        plan = pattern_plan(SETTINGS, world.patterns, world.rules)
        super().__init__(
            plan,
            sessions=world.sessions,
            clock=world.clock,
            partitions=len(world.partitions),
            shards=shards,
            early=early,
        )
        self.settings = replace(
            self.settings,
            triggers=trigger_settings(SETTINGS, plan, world.rules, world.deployed, folder),
            settle_step=settle_step,
            releases=releases,
            idle_bound=world.clock.idle_bound,
        )
        self.shards = [Shard(f"s{number}", self.settings) for number in range(shards)]

    def read_frame(self, partition: int, frame: pl.DataFrame, *, ended: bool = False) -> None:
        super().read_frame(partition, frame, ended=ended)
        for waiting in self._waiting:
            waiting[-1].arrival = self.clocks[partition].last_arrival

    def tick(self, partition: int, time: int) -> None:
        """The partition has been read to its end at that time."""
        assert self.clocks[partition].read_until(time)
        self.read(partition, [])
        for waiting in self._waiting:
            waiting[-1].arrival = time

    def add_partition(self) -> None:
        """Start again with one partition more."""
        self.clocks.append(PartitionClock(self.clocks[0].settings))
        self._offsets.append(0)
        self.settings = replace(self.settings, partitions=len(self.clocks))
        self.restart()

    def rows(self, since: int = 0) -> pl.DataFrame:
        """The triggers of all rounds from one on."""
        return pl.concat([TRIGGERS.empty(), *(each.triggers for each in self.settled[since:])])

    def told(self, since: int = 0) -> list[tuple[str, str, int]]:
        """Visitor, status and revision of the triggers of all rounds from one on."""
        return self.rows(since).select("visitor_id", "status", "revision").rows()


def plain(rows: pl.DataFrame) -> list[Row]:
    times = [name for name in rows.columns if name.endswith("_time")]
    return rows.with_columns(pl.col(times).to_physical()).to_dicts()


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["trigger_id"], row["revision"], row["status"]))


def by_kind(world: World, rows: pl.DataFrame) -> tuple[list[Row], list[Row]]:
    """The rows of settled rules, and those of early ones."""
    early = {rule.name for rule in world.rules if rule.kind == "early"}
    all_rows = plain(rows)
    return [row for row in all_rows if row["rule"] not in early], [
        row for row in all_rows if row["rule"] in early
    ]


def standing(rows: Iterable[Row]) -> set[str]:
    """The triggers whose last word is that they were fired, or would have been; each word has the next revision."""
    revisions: dict[str, list[tuple[int, str]]] = {}
    for row in rows:
        revisions.setdefault(row["trigger_id"], []).append((row["revision"], row["status"]))
    assert all([number for number, _ in said] == [*range(len(said))] for said in revisions.values())
    return {trigger for trigger, said in revisions.items() if said[-1][1] in SENT}


def run_whole(world: World, *, early: bool = False) -> TriggerEngine:
    """The world in one piece: one shard, one batch."""
    engine = TriggerEngine(world, early=early)
    for number, records in enumerate(world.partitions):
        engine.read(number, records, ended=True)
    engine.feed()
    return engine


def run_cut(world: World, engine: TriggerEngine, data: st.DataObject, *, restarts: bool) -> None:
    """The world in parts: read, fed and restarted as `data` says."""
    queues = []
    for records in world.partitions:
        places = st.sets(st.integers(0, len(records)), max_size=6)
        cuts = [0, *sorted(data.draw(places, label="cuts")), len(records)]
        queues.append([*(records[a:b] for a, b in pairwise(cuts)), []])
    turns = [number for number, queue in enumerate(queues) for _ in queue]
    for turn in data.draw(st.permutations(turns), label="turns"):
        records = queues[turn].pop(0)
        engine.read(turn, records, ended=not queues[turn])
        if data.draw(st.integers(0, 2)):
            engine.feed()
        if restarts and data.draw(st.booleans()):
            engine.restart()
    engine.feed()


WITHDRAWALS = (None, event == "b", event == "c", event.is_in(CLICKS), event.is_in(PAGE_VIEWS))
PROFILES = (
    None,
    of_profile("events") >= 3,
    of_profile("conversions") == 0,
    of_profile("sessions") == 1,
    of_profile("user_id").is_not_null(),
    (of_profile("page_views") > 1) & (of_profile("value") > 0),
)
lengths = st.sampled_from((0, 1, 3, 20, 100))


@st.composite
def rules(draw: st.DrawFn, name: str, pattern: str) -> TriggerRule:
    mode: Literal["live", "shadow"] = draw(st.sampled_from(("live", "live", "shadow")))
    if not draw(st.integers(0, 2)):
        return TriggerRule(name, pattern=pattern, action="do", kind="early", mode=mode)
    cap = draw(st.sampled_from((None, (1, 30), (2, 100))))
    return TriggerRule(
        name,
        pattern=pattern,
        action="do",
        mode=mode,
        delay=draw(lengths),
        withdrawn_by=draw(st.sampled_from(WITHDRAWALS)),
        condition=draw(st.sampled_from(PROFILES)),
        cooldown=draw(st.sampled_from((None, None, 10, 50))),
        cap=cap,
        cap_group=draw(st.sampled_from((None, "g"))) if cap else None,
    )


def keyed(partitions: Sequence[Sequence[Record]]) -> list[list[Record]]:
    """The same with each visitor's records in one partition."""
    return [
        [replace(record, visitor=f"{record.visitor}{number}") for record in records]
        for number, records in enumerate(partitions)
    ]


PAIR = Pattern("pair").begin("x", event == "a").followed_by_any("y", event.is_in(("b", "c")))
HELD = Pattern("held").begin("x", event == "a").followed_by("y", event == "b").within(30).skip_to_next()
LEFT = Pattern("left").begin("x", event == "a").not_followed_by("y", event == "c").within(12)
SEEN = Pattern("seen").begin("x", event == "a")


@st.composite
def worlds(draw: st.DrawFn, most_partitions: int = 2) -> World:
    count = draw(st.integers(1, most_partitions))
    asked = [draw(st.sampled_from((PAIR, HELD, LEFT, SEEN))), draw(patterns("p"))]
    chosen = [
        draw(rules(f"r{number}", draw(st.sampled_from(asked)).name))
        for number in range(draw(st.integers(1, 4)))
    ]
    deployed = {rule.name: START + draw(st.integers(0, 60)) for rule in chosen if draw(st.booleans())}
    records = keyed([draw(streams(24 // count)) for _ in range(count)])
    return World(records, asked, chosen, draw(clocks), draw(session_settings), deployed)


def rule(name: str = "r", pattern: str = "seen", **more: Any) -> TriggerRule:
    return TriggerRule(name, pattern=pattern, action="do", **more)


def at(time: int, name: str, visitor: str = "ann", **more: Any) -> Record:
    return Record(visitor, f"{visitor}{time}{name}", name, START + time, **more)


def one_by_one(engine: TriggerEngine, records: Iterable[Record]) -> None:
    for record in records:
        engine.read(0, [record])
        engine.feed()


TO_THE_END = at(10_000, "d", "zed")
"""An event that lets all before it settle."""
