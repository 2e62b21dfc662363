"""Triggers through real shards: whatever the batches, shards, restarts and steps, they are the same."""

import json
import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Record
from reference_triggers import Decided, Found, Happened, settled_decisions
from test_shard_properties import (
    CONVERSIONS,
    NAMES,
    START,
)
from trigger_worlds import (
    Keeping,
    Row,
    TriggerEngine,
    World,
    by_kind,
    in_order,
    plain,
    run_cut,
    run_whole,
    standing,
    worlds,
)

from footfall import trigger_book, trigger_early, trigger_limits, trigger_withdrawals
from footfall.clock import ClockSettings
from footfall.errors import StateError
from footfall.expression import event
from footfall.expression import field as of_profile
from footfall.match_output import output
from footfall.pattern import Pattern
from footfall.sessions import SessionSettings
from footfall.shard import Shard
from footfall.taken_events import last
from footfall.trigger_rows import TriggerMatch
from footfall.trigger_rule import TriggerRule


@settings(deadline=None, max_examples=150)
@given(
    worlds(),
    st.integers(1, 4),
    st.sampled_from((1, 7, 500)),
    st.sampled_from((None, "snapshot", "folder")),
    st.data(),
)
def test_triggers_are_the_same_whatever_the_batches_shards_restarts_and_steps(
    world: World, shards: int, settle_step: int, keeping: Keeping | None, data: st.DataObject
) -> None:
    early = data.draw(st.booleans(), label="early")
    whole = run_whole(world)
    expected, expected_early = by_kind(world, whole.rows())
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if data.draw(st.booleans(), label="forgetful"):
            for module in (trigger_book, trigger_early, trigger_limits, trigger_withdrawals):
                patch.setattr(module, "_FEW", -1_000_000)  # every round forgets what it may
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
    if early and len(world.partitions) == 1:
        # The messages, too, are those of the records one by one.
        _, at_once = by_kind(world, run_whole(world, early=True).rows())
        assert in_order(found_early) == in_order(at_once)


PLAIN_WITHDRAWALS = (None, event == "b", event == "c")


@settings(deadline=None, max_examples=150)
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
    kept = [plain(each.events) for each in engine.settled if each.events is not None]
    happened = [Happened(row["visitor_id"], row["event_time"], row["event"]) for rows in kept for row in rows]

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


def a_day(count: int = 450) -> list[Record]:
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


def run_in_batches(engine: TriggerEngine, batch: int, *, restarts: int = 0) -> None:
    """The day `batch` records at a time, with a restart at every so many."""
    (records,) = THE_DAY.partitions
    for number, start in enumerate(range(0, len(records), batch)):
        engine.read(0, records[start : start + batch])
        engine.feed()
        if restarts and number % restarts == 0:
            engine.restart()
    engine.read(0, [], ended=True)
    engine.feed()


def test_the_day_has_every_kind_of_decision() -> None:
    rows = run_whole(THE_DAY, early=True).rows()
    counts = Counter(rows["status"])
    assert min(counts.values()) >= 2, counts
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


@pytest.mark.parametrize("early", [False, True])
def test_triggers_come_where_no_sink_wants_rows(*, early: bool) -> None:
    engine = TriggerEngine(THE_DAY, shards=2, early=early)
    engine.settings = replace(engine.settings, wants_rows=False, event_columns=())
    engine.restart()
    run_in_batches(engine, 30)
    expected = run_whole(THE_DAY, early=early)
    assert in_order(plain(engine.rows())) == in_order(plain(expected.rows()))
    assert all(each.events is None and each.sessions.is_empty() for each in engine.settled)


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
        for start in range(150, len(records), 25):
            engine.read(0, records[start : start + 25])
            engine.feed()
            engine.shards[0].snapshot()
    engine.read(0, [], ended=True)
    engine.feed()
    assert in_order(plain(engine.rows())) == expected
