"""Triggers through real shards: whatever the batches, shards, restarts and steps, they are the same."""

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from engine_harness import Engine, frame_of
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Record
from reference_triggers import Decided, Found, Happened, settled_decisions
from test_shard_properties import (
    CLICKS,
    CONVERSIONS,
    NAMES,
    PAGE_VIEWS,
    START,
    clocks,
    patterns,
    session_settings,
    streams,
)

from footfall.clock import NEVER, ClockSettings, PartitionClock
from footfall.dataflow import pattern_plan, trigger_settings
from footfall.errors import StateError
from footfall.expression import event
from footfall.expression import field as of_profile
from footfall.match_output import output
from footfall.pattern import Pattern
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Settled, Shard
from footfall.tables import TRIGGERS
from footfall.taken_events import last
from footfall.trigger_book import TriggerBook
from footfall.trigger_rows import TriggerMatch
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
    return [row for row in all_rows if row["rule"] not in early], [row for row in all_rows if row["rule"] in early]


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


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Have numba load what it has compiled, so that no example pays for it."""
    world = World([[Record("ann", "m", "a", START)]], [SEEN], [TriggerRule("r", pattern="seen", action="do")])
    with tempfile.TemporaryDirectory() as folder:
        engine = TriggerEngine(world, early=True, folder=Path(folder))
        engine.read(0, world.partitions[0])
        engine.feed()
        engine.restart()
        engine.read(0, [], ended=True)
        engine.feed()


@settings(deadline=None, max_examples=100)
@given(
    worlds(),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from((1, 7, 500)),
    st.sampled_from((None, "snapshot", "folder")),
    st.data(),
)
def test_triggers_are_the_same_whatever_the_batches_shards_restarts_and_steps(
    world: World, shards: int, early: bool, settle_step: int, keeping: Keeping | None, data: st.DataObject
) -> None:
    whole = run_whole(world)
    expected, expected_early = by_kind(world, whole.rows())
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) if keeping == "folder" else None
        cut = TriggerEngine(world, shards=shards, early=early, settle_step=settle_step, folder=kept)
        run_cut(world, cut, data, restarts=keeping is not None)
    found, found_early = by_kind(world, cut.rows())
    assert in_order(found) == in_order(expected)
    if shards == 1:
        assert found == expected
    assert standing(found_early) == standing(expected_early)
    if not early:
        assert in_order(found_early) == in_order(expected_early)
    if early and settle_step == 1 and len(world.partitions) == 1:
        # The messages, too, are those of the records one by one.
        _, at_once = by_kind(world, run_whole(world, early=True).rows())
        assert in_order(found_early) == in_order(at_once)


PLAIN_WITHDRAWALS = (None, event == "b", event == "c")


@settings(deadline=None, max_examples=100)
@given(worlds(), st.data())
def test_settled_rules_decide_as_the_reference(world: World, data: st.DataObject) -> None:
    chosen = []
    for rule in world.rules:
        if rule.kind == "settled":
            conditions = (None, of_profile("conversions") == 0)
            withdrawn_by = data.draw(st.sampled_from(PLAIN_WITHDRAWALS))
            condition = data.draw(st.sampled_from(conditions))
            chosen.append(replace(rule, withdrawn_by=withdrawn_by, condition=condition))
    world = replace(world, rules=chosen or [TriggerRule("r", pattern="p", action="do")])
    engine = run_whole(world)
    until = max(clock.watermark for clock in engine.clocks)
    happened = [
        Happened(visitor, time, name)
        for visitor, time, name in engine.outcome()
        .events.select("visitor_id", pl.col("event_time").to_physical(), "event")
        .rows()
    ]

    def profile(visitor: str, time: int) -> Mapping[str, object]:
        mine = [each for each in happened if each.visitor == visitor and each.time <= time]
        return {"conversions": sum(each.name in CONVERSIONS for each in mine)} if mine else {}

    expected = settled_decisions(
        world.rules,
        [found_of(row) for row in matches_of(engine) if not row["at_end"]],
        happened,
        profile,
        until,
        world.deployed,
        trigger_id,
    )
    assert set(map(decided_of, plain(engine.rows()))) == set(expected)


def matches_of(engine: TriggerEngine) -> list[Row]:
    frames = [each.matches for each in engine.settled if each.matches.height]
    rows = plain(pl.concat(frames)) if frames else []
    return [row for row in rows if row["status"] == "fired"]


def first_message(stages: str) -> str:
    message: str = next(iter(json.loads(stages).values()))[0]
    return message


def found_of(row: Row) -> Found:
    return Found(
        row["pattern"],
        row["match_id"],
        row["visitor_id"],
        row["first_time"],
        row["last_time"],
        row["settled_time"],
        first_message(row["stages"]),
    )


def decided_of(row: Row) -> Decided:
    return Decided(
        row["rule"],
        row["visitor_id"],
        first_message(row["evidence"]),
        row["event_time"],
        row["match_id"],
        row["due_time"],
        row["status"],
        row["revision"],
        row["decided_time"],
    )


def trigger_id(rule: str, match: Found) -> str:
    blank = TriggerMatch("", "", "", match.visitor, match.first, 0, 0, "", False, "", "", None, None, "")
    return blank._replace(first_message_id=match.message).trigger_id(rule).hex()


DAY = (
    Pattern("left_it")
    .begin("x", event == "a")
    .not_followed_by("y", event == "c")
    .within(400)
    .output(element=last("x").field("element")),
    Pattern("went_on").begin("x", event == "a").next("y", event == "b"),
    Pattern("twice").begin("x", event == "d").followed_by("y", event == "d").within(900).skip_past_last(),
)
DAY_RULES = (
    TriggerRule(
        "remind",
        pattern="left_it",
        action="remind",
        delay=600,
        withdrawn_by=event == "c",
        cooldown=1_500,
        fields={"element": output("element"), "what": "x"},
    ),
    TriggerRule("known", pattern="left_it", action="mail", condition=of_profile("user_id").is_not_null()),
    TriggerRule("some", pattern="twice", action="offer", delay=950, cap=(1, 3_000), cap_group="g"),
    TriggerRule("more", pattern="left_it", action="offer", cap=(2, 3_000), cap_group="g"),
    TriggerRule("try_out", pattern="twice", action="offer", mode="shadow"),
    TriggerRule("new", pattern="twice", action="offer", active_from="2025-10-09T08:53:22Z"),
    TriggerRule("now", pattern="went_on", action="help", kind="early"),
    TriggerRule("now_too", pattern="twice", action="help", kind="early"),
)


def a_day(count: int = 350) -> list[Record]:
    dice = random.Random(5)
    return [
        Record(
            visitor=f"v{dice.randrange(12)}",
            message=f"m{number}",
            name=dice.choice(NAMES),
            time=START + 20 * number - dice.randrange(130),
            element=dice.choice(("#x", "#y", None)),
            user=f"u{dice.randrange(9)}" if dice.random() < 0.1 else None,
            campaign=dice.choice((None, None, "spring")),
        )
        for number in range(count)
    ]


THE_DAY = World([a_day()], DAY, DAY_RULES, ClockSettings(lateness=90), SessionSettings(gap=300))


def run_in_batches(
    engine: TriggerEngine, batch: int, *, restarts: int = 0, then: Callable[[], None] | None = None
) -> None:
    """The day `batch` records at a time, with a restart at every so many."""
    (records,) = THE_DAY.partitions
    for number, start in enumerate(range(0, len(records), batch)):
        engine.read(0, records[start : start + batch])
        engine.feed()
        if restarts and number % restarts == 0:
            engine.restart()
    if then is not None:
        then()
    engine.read(0, [], ended=True)
    engine.feed()


def test_the_day_has_every_kind_of_decision() -> None:
    rows = run_whole(THE_DAY, early=True).rows()
    counts = Counter(rows["status"])
    assert min(counts.values()) >= 3, counts
    assert set(counts) == {
        "fired", "withdrawn", "unmet", "cooled", "capped", "suppressed", "shadow", "retracted"
    }  # fmt: skip
    assert rows["session_id"].null_count() not in (0, rows.height)
    assert rows["fields"].str.contains("#x").any()


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(
    ("batch", "shards", "settle_step", "restarts"),
    [(1, 1, 1, 0), (1, 3, 500, 0), (7, 2, 1, 3), (50, 4, 500, 1), (1_000, 5, 1, 0)],
)
def test_a_day_in_batches(
    *, early: bool, batch: int, shards: int, settle_step: int, restarts: int, tmp_path: Path
) -> None:
    expected, _ = by_kind(THE_DAY, run_whole(THE_DAY).rows())
    _, expected_early = by_kind(THE_DAY, run_whole(THE_DAY, early=early).rows())
    for folder in (None, tmp_path):
        engine = TriggerEngine(THE_DAY, shards=shards, early=early, settle_step=settle_step, folder=folder)
        run_in_batches(engine, batch, restarts=restarts)
        found, found_early = by_kind(THE_DAY, engine.rows())
        assert in_order(found) == in_order(expected)
        assert in_order(found_early) == in_order(expected_early)


def test_the_counts_are_those_of_the_rows_across_a_restart() -> None:
    engine = TriggerEngine(THE_DAY, shards=2, early=True)
    run_in_batches(engine, 20, restarts=2)
    engine.restart()
    counted: Counter[tuple[str, str]] = Counter()
    for shard in engine.shards:
        for rule, counts in shard.status(0, 0.0).triggers.items():
            counted.update({(rule, status): number for status, number in counts.items()})
    assert counted == Counter(engine.rows().select("rule", "status").rows())


def test_profiles_in_files_are_no_part_of_the_snapshot(tmp_path: Path) -> None:
    within, beside = TriggerEngine(THE_DAY), TriggerEngine(THE_DAY, folder=tmp_path)
    for engine in (within, beside):
        engine.read(0, THE_DAY.partitions[0])
        engine.feed()
        engine.restart()
    sizes = [len(engine.shards[0].snapshot()) for engine in (within, beside)]
    assert sizes[0] > sizes[1] + 1_000
    assert sorted(path.parent.name for path in tmp_path.rglob("*.profiles")) == ["s0"]
    lost = replace(beside.settings, triggers=within.settings.triggers)
    with pytest.raises(StateError, match="no folder is given"):
        Shard.restore(lost, beside.shards[0].snapshot())


def test_a_crash_goes_back_to_an_older_snapshot_and_repeats_the_same_rows(tmp_path: Path) -> None:
    """What was done after the snapshot is done again; the files then hold more than the snapshot refers to."""
    (records,) = THE_DAY.partitions
    expected = in_order(plain(run_whole(THE_DAY).rows()))
    engine = TriggerEngine(THE_DAY, folder=tmp_path)
    engine.read(0, records[:150])
    engine.feed()
    snapshot, clock, known = engine.shards[0].snapshot(), engine.clocks[0]._state.copy(), len(engine.settled)
    offset = engine._offsets[0]
    for _ in range(3):
        engine.shards = [Shard.restore(engine.settings, snapshot)]
        engine.clocks[0]._state[:], engine._offsets[0] = clock, offset
        del engine.settled[known:]
        for start in range(150, 350, 25):
            engine.read(0, records[start : start + 25])
            engine.feed()
            engine.shards[0].snapshot()
    engine.read(0, [], ended=True)
    engine.feed()
    assert in_order(plain(engine.rows())) == expected


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


def decided(world: World) -> list[Row]:
    """The rows of the world in one piece, which are those of its records one by one."""
    whole, single = run_whole(world), TriggerEngine(world)
    one_by_one(single, world.partitions[0])
    single.read(0, [], ended=True)
    single.feed()
    rows = plain(whole.rows())
    assert plain(single.rows()) == rows
    return rows


def test_an_event_after_the_match_withdraws_up_to_the_due_time_and_not_beyond() -> None:
    world = World(
        [[at(0, "a"), at(0, "a", "bob"), at(100, "b"), at(101, "b", "bob"), at(101, "b"), TO_THE_END]],
        [SEEN],
        [rule(delay=100, withdrawn_by=event == "b")],
    )
    rows = {row["visitor_id"]: row for row in decided(world)}
    assert {who: row["status"] for who, row in rows.items()} == {"ann": "withdrawn", "bob": "fired"}
    assert [rows[who]["decided_time"] - START for who in ("ann", "bob")] == [100, 100]


def test_an_event_between_a_match_and_its_settling_withdraws_it_when_it_settles() -> None:
    """An absence is known only after its bound; what came meanwhile isn't forgotten."""
    world = World(
        [[at(0, "a"), at(3, "b"), at(0, "a", "bob"), TO_THE_END]],
        [LEFT],
        [rule(pattern="left", withdrawn_by=event == "b")],
    )
    rows = {row["visitor_id"]: row for row in decided(world)}
    assert {who: row["status"] for who, row in rows.items()} == {"ann": "withdrawn", "bob": "fired"}
    assert rows["ann"]["decided_time"] == rows["bob"]["due_time"]


def test_a_copy_withdraws_nothing_and_counts_nothing() -> None:
    copied = replace(at(0, "b"), message="m", time=START + 50)
    world = World(
        [[replace(copied, name="a", time=START), copied, TO_THE_END]],
        [SEEN],
        [rule(delay=100, withdrawn_by=event == "b", condition=of_profile("events") == 1)],
    )
    assert [row["status"] for row in decided(world)] == ["fired"]


def test_the_profile_is_that_of_the_due_time() -> None:
    """A later event of the same round doesn't count, one at the due time does."""
    world = World(
        [[at(0, "a"), at(100, "c"), at(0, "a", "bob"), at(101, "c", "bob"), TO_THE_END]],
        [SEEN],
        [rule(delay=100, condition=of_profile("conversions") == 0)],
    )
    assert {row["visitor_id"]: row["status"] for row in decided(world)} == {"ann": "unmet", "bob": "fired"}


def test_the_profile_has_what_came_before_a_restart(tmp_path: Path) -> None:
    known = of_profile("user_id") == "u1"
    world = World([[]], [SEEN], [rule(delay=100, condition=known & (of_profile("sessions") == 2))])
    for folder in (None, tmp_path):
        engine = TriggerEngine(replace(world, sessions=SessionSettings(gap=1_000)), folder=folder)
        for record in (at(0, "d", user="u1"), at(5_000, "a"), TO_THE_END):
            engine.read(0, [record])
            engine.feed()
            engine.restart()
        assert engine.told() == [("ann", "fired", 0)]


def test_the_session_is_that_of_the_first_event_unless_it_was_over_by_then() -> None:
    world = World(
        [
            [
                at(0, "a", "in_it"), at(50, "b", "in_it"),
                at(0, "a", "over"), at(201, "b", "over"),
                at(0, "a", "just"), at(100, "d", "just"), at(200, "b", "just"),
                at(0, "a", "next"), at(500, "a", "next"), at(520, "b", "next"),
                TO_THE_END,
            ]
        ],
        [Pattern("pair").begin("x", event == "a").followed_by("y", event == "b")],
        [rule(pattern="pair", delay=1_000)],
        sessions=SessionSettings(gap=100),
    )  # fmt: skip
    sessions = run_whole(world).outcome().sessions
    begun = sessions.select("session_id", "visitor_id", pl.col("start_time").to_physical() - START)
    named = {(who, start): name for name, who, start in begun.rows()}
    found = {(row["visitor_id"], row["event_time"] - START): row["session_id"] for row in decided(world)}
    assert found == {
        ("in_it", 0): named["in_it", 0],
        ("over", 0): None,
        ("just", 0): named["just", 0],
        ("next", 0): None,
        ("next", 500): named["next", 500],
    }


def test_an_early_rule_names_no_session() -> None:
    world = World([[at(0, "a"), TO_THE_END]], [SEEN], [rule(kind="early")])
    assert [row["session_id"] for row in decided(world)] == [None]
    assert [row["session_id"] for row in plain(run_whole(world, early=True).rows())] == [None]


def test_an_early_rule_fires_at_once_and_retracts_what_a_late_event_disproves() -> None:
    world = World(
        [[]], [Pattern("pair").begin("x", event == "a").next("y", event == "b")], [rule(pattern="pair", kind="early")]
    )
    engine = TriggerEngine(world, early=True)
    one_by_one(engine, [at(0, "a"), at(8, "b")])
    assert engine.told() == [("ann", "fired", 0)]
    one_by_one(engine, [at(4, "d")])
    assert engine.told(1) == [("ann", "retracted", 1)]
    one_by_one(engine, [TO_THE_END])
    assert engine.told(2) == []


@pytest.mark.parametrize("shards", [1, 2, 3, 5])
def test_the_end_of_the_input_decides_nothing_beyond_the_last_watermark(shards: int) -> None:
    """Otherwise another visitor's event, in the same shard by chance, would say up to when things are due."""
    records = [at(0, "a"), at(10, "b", "bob"), at(20, "a", "cyd"), at(30, "d"), at(31, "c"), at(40, "b", "dan")]
    world = World(
        [records],
        [SEEN, LEFT],
        [rule(withdrawn_by=event == "b"), rule("later", delay=15), rule("left", "left"), rule("now", kind="early")],
    )
    engine = TriggerEngine(world, shards=shards)
    engine.read(0, records, ended=True)
    engine.feed()
    assert engine.clocks[0].watermark == START + 29
    found = {(row["rule"], row["visitor_id"]) for row in plain(engine.rows())}
    assert found == {
        ("r", "ann"), ("r", "cyd"), ("later", "ann"), ("left", "ann"), ("now", "ann"), ("now", "cyd")
    }  # fmt: skip


def test_an_input_without_a_record_triggers_nothing() -> None:
    for releases in (True, False):
        engine = TriggerEngine(World([[], []], [SEEN], [rule()]), releases=releases)
        for number in range(2):
            engine.read(number, [], ended=True)
        engine.feed()
        assert engine.told() == []
        assert engine.settled[-1].done is not None


def test_a_stretch_ends_at_its_last_watermark_and_releases_nothing() -> None:
    records = [at(0, "a"), at(0, "a", "bob"), at(100, "a"), at(103, "d", "bob")]
    world = World([records], [SEEN, LEFT], [rule(delay=50), rule("left", "left"), rule("now", "left", kind="early")])
    engine = TriggerEngine(world, releases=False)
    engine.read(0, records, ended=True)
    engine.feed()
    rows = plain(engine.rows())
    assert Counter((row["rule"], row["visitor_id"], row["event_time"] - START) for row in rows) == Counter(
        (name, who, 0) for name in ("r", "left", "now") for who in ("ann", "bob")
    )
    assert max(row["decided_time"] for row in rows) <= engine.clocks[0].watermark
    (settled,) = engine.settled
    assert settled.sessions.is_empty()
    assert not settled.matches["at_end"].any()
    live = TriggerEngine(world)
    one_by_one(live, records)
    assert in_order(plain(live.rows())) == in_order(rows)


def test_a_stretch_of_several_partitions_ends_where_the_latest_arrival_lets_the_slowest_end() -> None:
    world = World(
        [
            [at(0, "a", arrival=START), at(1, "d", arrival=START + 1)],
            [at(3_000, "d", "bob", arrival=START + 3_000)],
        ],
        [SEEN],
        [rule(delay=500), rule("late", delay=2_500)],
    )
    engine = TriggerEngine(world, releases=False)
    for number, records in enumerate(world.partitions):
        engine.read(number, records, ended=True)
    engine.feed()
    # The first partition's own watermark is 12 ms before its last event; the other's arrival moves it on.
    assert engine.shards[0].settled == START + 3_000 - WIDE.idle_bound - 1
    assert [row["rule"] for row in plain(engine.rows())] == ["r"]


@pytest.mark.parametrize("settle_step", [1, 500])
def test_ticks_release_what_is_due_and_change_no_answer(settle_step: int) -> None:
    records = [at(0, "a"), at(2, "a", "bob"), at(40, "b", "bob")]
    arrived = [replace(record, arrival=record.time) for record in records]
    quiet = replace(at(5_000, "d", "zed"), arrival=START + 5_000)
    world = World([[*arrived, quiet]], [SEEN, LEFT], [rule(delay=100, withdrawn_by=event == "b"), rule("l", "left")])
    expected = [row for row in decided(replace(world, partitions=[[*arrived, quiet, TO_THE_END]]))]
    engine = TriggerEngine(world, settle_step=settle_step)
    one_by_one(engine, arrived)
    assert {row["rule"] for row in plain(engine.rows())} <= {"l"}
    for time in range(0, 3_000, 250):
        if engine.clocks[0].watermark < START + time - WIDE.idle_bound - 1:
            engine.tick(0, START + time)
            engine.feed()
    ticked = plain(engine.rows())
    assert in_order(ticked) == in_order(row for row in expected if row["visitor_id"] != "zed")
    assert {row["status"] for row in ticked} == {"fired", "withdrawn"}
    one_by_one(engine, [quiet, TO_THE_END])
    assert in_order(plain(engine.rows())) == in_order(expected)


@settings(deadline=None, max_examples=40)
@given(worlds(most_partitions=1), st.data())
def test_ticks_that_no_record_contradicts_change_nothing(world: World, data: st.DataObject) -> None:
    """A tick says that no later record arrives before it, so the records that are late are the same."""
    records = [replace(record, arrival=record.arrival or record.time) for record in world.partitions[0]]
    world = replace(world, partitions=[records])
    expected, expected_early = by_kind(world, run_whole(world).rows())
    early = data.draw(st.booleans(), label="early")
    engine = TriggerEngine(world, early=early, settle_step=data.draw(st.sampled_from((1, 7)), label="step"))
    for number, record in enumerate(records):
        came = max((each.arrival or 0) for each in records[: number + 1])
        before = engine.clocks[0].last_arrival
        if before != NEVER and data.draw(st.booleans()):
            time = data.draw(st.integers(min(before, came), came))
            if engine.clocks[0].watermark < time - world.clock.idle_bound - 1:
                engine.tick(0, time)
        engine.read(0, [record])
        if data.draw(st.booleans()):
            engine.feed()
    engine.read(0, [], ended=True)
    engine.feed()
    found, found_early = by_kind(world, engine.rows())
    assert in_order(found) == in_order(expected)
    assert standing(found_early) == standing(expected_early)


NEXT = Pattern("next").begin("x", event == "a").next("y", event == "b")
EARLY_WORLD = World([[]], [NEXT], [rule("now", "next", kind="early"), rule("later", "next", delay=50)])


def arriving(time: int, name: str, visitor: str = "ann", *, after: int = 0) -> Record:
    return replace(at(time, name, visitor), arrival=START + time + after)


def feed(engine: TriggerEngine, *records: Record, partition: int = 0) -> list[Settled]:
    """Read records and feed them; what that settles."""
    engine.read(partition, list(records))
    return engine.feed()


def told_by(settled: Sequence[Settled]) -> list[tuple[str, str, str, int]]:
    rows = pl.concat([TRIGGERS.empty(), *(each.triggers for each in settled)])
    return rows.select("rule", "visitor_id", "status", "revision").rows()


def test_nothing_is_early_until_what_came_before_a_new_partition_has_settled() -> None:
    engine = TriggerEngine(EARLY_WORLD, early=True)
    assert told_by(feed(engine, arriving(0, "a"), arriving(20, "b"))) == [("now", "ann", "fired", 0)]
    assert told_by(feed(engine, arriving(21, "a", "bob"))) == []
    engine.add_partition()
    # Where bob's next records come from may have changed: nothing is early, in either partition.
    assert told_by(feed(engine, arriving(30, "b", "bob"))) == []
    assert told_by(feed(engine, arriving(31, "a", "cyd"), arriving(32, "b", "cyd"), partition=1)) == []
    # What was told before is taken back all the same.
    assert told_by(feed(engine, arriving(25, "d", after=8))) == [("now", "ann", "retracted", 1)]
    # By now all has settled that came before the new partition's first record: what wasn't told early is told.
    feed(engine, arriving(1_000, "d", "zed"))
    told = told_by(feed(engine, arriving(1_000, "d", "zoe"), partition=1))
    assert sorted(told) == [
        ("later", "bob", "fired", 0),
        ("later", "cyd", "fired", 0),
        ("now", "bob", "fired", 0),
        ("now", "cyd", "fired", 0),
    ]
    assert told_by(feed(engine, arriving(1_001, "a", "dan"), arriving(1_002, "b", "dan"))) == [
        ("now", "dan", "fired", 0)
    ]


def test_a_new_partition_without_a_record_is_waited_for_by_its_ticks() -> None:
    engine = TriggerEngine(EARLY_WORLD, early=True)
    feed(engine, arriving(0, "d"))
    engine.add_partition()
    assert told_by(feed(engine, arriving(5, "a"), arriving(6, "b"))) == []
    engine.tick(1, START + 7)
    engine.feed()
    for time in (1_500, 3_000):
        engine.tick(0, START + time)
        engine.tick(1, START + time)
        engine.feed()
    assert [row["rule"] for row in plain(engine.rows())] == ["now", "later"]
    assert told_by(feed(engine, arriving(3_001, "a", "bob"), arriving(3_002, "b", "bob"), partition=1)) == [
        ("now", "bob", "fired", 0)
    ]


@settings(deadline=None, max_examples=60)
@given(worlds(most_partitions=2), st.integers(1, 3), st.sampled_from((1, 7, 500)), st.data())
def test_what_stands_at_the_end_is_the_same_where_a_partition_is_added(
    world: World, shards: int, settle_step: int, data: st.DataObject
) -> None:
    old, new = (world.partitions[0], world.partitions[-1] if len(world.partitions) > 1 else [])
    # Some of the visitors of the first partition go on in the new one: their later records are there.
    moved = data.draw(st.integers(0, len(old)), label="moved")
    world = replace(world, partitions=[old[:moved], [*old[moved:], *new]])
    expected, expected_early = by_kind(world, run_whole(world).rows())
    engine = TriggerEngine(
        replace(world, partitions=[[]]), shards=shards, early=True, settle_step=settle_step
    )
    added_at = data.draw(st.integers(0, moved), label="added at")
    engine.read(0, world.partitions[0][:added_at])
    engine.feed()
    engine.add_partition()
    # Nothing of the new partition was there to settle against: the rest is read in any turns.
    queues = [list(world.partitions[0][added_at:]), list(world.partitions[1])]
    for turn in data.draw(st.permutations([0] * len(queues[0]) + [1] * len(queues[1])), label="turns"):
        engine.read(turn, [queues[turn].pop(0)])
        if data.draw(st.booleans()):
            engine.feed()
        if not data.draw(st.integers(0, 5)):
            engine.restart()
    for number in range(2):
        engine.read(number, [], ended=True)
    engine.feed()
    if expected or expected_early:
        # What the first partition's watermark alone had settled before is as it was: only then are the rows the same.
        found, found_early = by_kind(world, engine.rows())
        assert in_order(found) == in_order(expected)
        assert standing(found_early) == standing(expected_early)


def test_a_book_of_more_conditions_than_there_are_bits_is_refused_when_it_is_made() -> None:
    many = [rule(f"r{number}", withdrawn_by=event == f"e{number}") for number in range(61)]
    records = [at(0, "a"), *(at(1 + number, f"e{number}") for number in range(0, 61, 2)), TO_THE_END]
    world = World([records], [SEEN], [replace(each, delay="100 ms") for each in many])
    rows = decided(world)
    assert Counter(row["status"] for row in rows) == {"withdrawn": 31, "fired": 30}
    assert len(TriggerBook(many, [SEEN]).withdrawals) == 61


def test_frames_of_records_have_what_profiles_need() -> None:
    assert {"visitor_id", "user_id", "utm_source", "utm_campaign"} <= set(frame_of([at(0, "a")]).columns)
