"""Trigger rules that change while a run goes on: a match is acted on by those in force at the time it settles."""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from growing_engine import Content, GrowingEngine, GrowingWorld, run_grown, run_whole
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Record
from test_shard_properties import START, clocks, patterns, session_settings, streams
from trigger_worlds import HELD, LEFT, PAIR, SEEN, Row, at, in_order, keyed, plain, rule, rules, standing

from footfall import trigger_book, trigger_early, trigger_limits, trigger_withdrawals
from footfall.clock import ClockSettings
from footfall.expression import event
from footfall.expression import field as of_profile
from footfall.pattern import Pattern
from footfall.trigger_rule import TriggerRule

SHORT, LONG = PAIR.within(8), PAIR.within(60)
POOL = (PAIR, SHORT, LONG, HELD, replace(HELD, within_ms=9), LEFT, replace(LEFT, within_ms=4), SEEN)
EARLY, SETTLED, EITHER = ("e0", "e1"), ("r0", "r1", "r2"), ("x",)


def _is_of(kinds: set[str], one: TriggerRule) -> bool:
    return one.kind in kinds


@st.composite
def contents(draw: st.DrawFn) -> list[Content]:
    """Two to four sets of two patterns and up to six rules, each the same as before or another."""
    asked: dict[str, Pattern] = {}
    chosen: dict[str, TriggerRule] = {}
    made = []
    for number in range(draw(st.integers(2, 4))):
        for name in ("p0", "p1"):
            if not number or draw(st.booleans()):
                asked[name] = replace(draw(st.sampled_from(POOL) | patterns("p")), name=name)
        for name in (*EARLY, *SETTLED, *EITHER):
            what = draw(st.sampled_from(("stays", "goes", "new", "new")))
            if what == "goes":
                chosen.pop(name, None)
            elif what == "new":
                pattern = chosen[name].pattern if name in chosen else draw(st.sampled_from(("p0", "p1")))
                kinds = (
                    {"early"} if name in EARLY else {"settled"} if name in SETTLED else {"early", "settled"}
                )
                chosen[name] = draw(rules(name, pattern).filter(partial(_is_of, kinds)))
        in_force = () if draw(st.integers(0, 4)) == 0 else tuple(chosen.values())
        made.append(Content(tuple(asked.values()), in_force, draw(st.integers(0, 6))))
    return made


@st.composite
def worlds(draw: st.DrawFn) -> GrowingWorld:
    count = draw(st.integers(1, 2))
    records = keyed([draw(streams(24 // count)) for _ in range(count)])
    return GrowingWorld(records, draw(contents()), draw(clocks), draw(session_settings))


def of_rules(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    return in_order(row for row in rows if row["rule"] in names)


@settings(deadline=None, max_examples=80)
@given(
    worlds(),
    st.integers(1, 3),
    st.sampled_from((1, 7, 500)),
    st.sampled_from((None, "snapshot", "folder")),
    st.tuples(st.booleans(), st.booleans()),
    st.integers(0, 1000),
)
def test_triggers_are_the_same_whenever_the_rules_came_and_however_it_was_cut(
    world: GrowingWorld,
    shards: int,
    settle_step: int,
    keeping: str | None,
    how: tuple[bool, bool],
    seed: int,
) -> None:
    early, forgetful = how
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if forgetful:
            for module in (trigger_book, trigger_early, trigger_limits, trigger_withdrawals):
                patch.setattr(module, "_FEW", -1_000_000)  # every round forgets what it may
        kept = Path(folder) if keeping == "folder" else None
        grown = GrowingEngine(world, shards=shards, early=early, settle_step=settle_step, folder=kept)
        run_grown(world, grown, random.Random(seed), restarts=keeping is not None)
    found, expected = plain(grown.triggers()), plain(run_whole(world, grown.records).triggers())
    assert of_rules(found, SETTLED) == of_rules(expected, SETTLED)
    assert standing(of_rules(found, EARLY)) == standing(of_rules(expected, EARLY))
    if not early:
        assert in_order(found) == in_order(expected)
        if shards == 1:
            assert of_rules(found, SETTLED) == of_rules(expected, SETTLED)
    elif len(world.partitions) == 1:
        # The messages, too, are those of the records one by one.
        at_once = plain(run_whole(world, grown.records, early=True).triggers())
        assert in_order(found) == in_order(at_once)
    decided = [(row["trigger_id"], row["revision"]) for row in found if row["rule"] not in EITHER]
    assert len(decided) == len(set(decided)), "a trigger was told twice"


STEADY = ClockSettings(lateness=2, idle_bound=10**9, future_jump=10**9)
Told = tuple[str, str, int, int, int]
"""Rule, status, revision, and when it is due and was decided (ms after the start)."""


def told(
    contents: Sequence[Content], before: Sequence[Record], after: Sequence[Record], *, early: bool = False
) -> list[Told]:
    """The triggers of two sets, the second one taken up after the records `before`; the same however it is run."""
    end = [at(100_000, "z", "zed")]
    world = GrowingWorld([[*before, *after, *end]], contents, STEADY)
    found = []
    for restarts in (False, True):
        engine = GrowingEngine(world, early=early)
        for number, record in enumerate(world.partitions[0]):
            if number == len(before):
                engine.grow(contents[1])
            if restarts:
                engine.restart()
            engine.read(0, [record])
            engine.feed()
        engine.read(0, [], ended=True)
        engine.feed()
        found.append(rows_of(engine))
    found.append(rows_of(run_whole(world, engine.records, early=early)))
    late = GrowingEngine(world, early=early)
    late.read(0, before)
    late.grow(contents[1])
    late.read(0, world.partitions[0][len(before) :], ended=True)
    late.feed()
    found.append(rows_of(late))
    assert all(each == found[0] for each in found), found
    return found[0]


def rows_of(engine: GrowingEngine) -> list[Told]:
    return [
        (
            row["rule"],
            row["status"],
            row["revision"],
            row["due_time"] - START,
            row["decided_time"] - START,
        )
        for row in plain(engine.triggers())
    ]


def test_a_rule_that_is_added_acts_on_what_settles_from_then_on() -> None:
    """What is settled before isn't looked at again; what was begun before, and settles later, is acted on."""
    sets = [Content([SEEN, LEFT]), Content([SEEN, LEFT], [rule(), rule("gone", "left")])]
    assert told(sets, [at(0, "a"), at(9, "d")], [at(20, "a"), at(21, "c")]) == [
        ("gone", "fired", 0, 12, 12),
        ("r", "fired", 0, 20, 20),
    ]
    sets = [sets[0], replace(sets[1], lead=3)]
    assert told(sets, [at(0, "a"), at(9, "d")], [at(12, "a"), at(20, "c")]) == []


def test_what_waits_under_a_rule_that_goes_is_suppressed_when_it_is_due() -> None:
    sets = [Content([SEEN], [rule(delay=50), rule("other", delay=7)]), Content([SEEN], [rule("other")])]
    assert told(sets, [at(0, "a"), at(5, "d")], [at(6, "a"), at(60, "d")]) == [
        ("other", "fired", 0, 6, 6),
        ("other", "fired", 0, 7, 7),
        ("r", "suppressed", 0, 50, 50),
    ]


def test_what_waits_is_decided_by_the_rule_under_which_it_began() -> None:
    sets = [Content([SEEN], [rule(delay=50)]), Content([SEEN], [rule(delay=5, mode="shadow")])]
    assert told(sets, [at(0, "a"), at(5, "d")], [at(6, "a"), at(60, "d")]) == [
        ("r", "shadow", 0, 11, 11),
        ("r", "fired", 0, 50, 50),
    ]


@pytest.mark.parametrize("kind", ["settled", "early"])
@pytest.mark.parametrize("forgetful", [False, True])
def test_a_changed_threshold_triggers_nobody_twice(
    kind: Any, *, forgetful: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old version's matches go on to their end, longer than those of the new one may take."""
    if forgetful:
        monkeypatch.setattr(trigger_book, "_FEW", -1_000_000)
        monkeypatch.setattr(trigger_early, "_FEW", -1_000_000)
    asked = rule(pattern="pair", kind=kind)
    sets = [Content([LONG], [asked]), Content([SHORT], [asked])]
    later = [at(15, "b"), at(20, "a"), at(22, "b"), at(30, "c"), at(40, "d"), at(50, "b")]
    assert told(sets, [at(0, "a"), at(5, "d")], later, early=kind == "early") == [
        ("r", "fired", 0, 15, 15),
        ("r", "fired", 0, 22, 22),
    ]


def test_withdrawing_events_are_remembered_for_as_long_as_the_old_version_lasts() -> None:
    """The event that withdraws comes long before the match that it withdraws is settled."""
    slow = Pattern("slow").begin("x", event == "a").not_followed_by("y", event == "c").within(100)
    asked = rule(pattern="slow", withdrawn_by=event == "b")
    sets = [Content([slow], [asked]), Content([replace(slow, within_ms=5)], [asked])]
    later = [at(10, "b"), *(at(time, "d") for time in range(20, 90, 10))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trigger_withdrawals, "_FEW", -1_000_000)
        assert told(sets, [at(0, "a"), at(2, "d")], later) == [("r", "withdrawn", 0, 100, 100)]


AB = Pattern("ab").begin("x", event == "a").next("y", event == "b").within(100)


def test_an_early_rule_acts_on_matches_whose_time_is_its_own() -> None:
    """When it comes, a match before its time is unsettled still; it isn't acted on, nor is its being disproved."""
    sets = [Content([AB]), Content([AB], [rule(pattern="ab", kind="early")], lead=3)]
    before = [at(0, "a"), at(1, "b"), at(10, "a", "bob")]
    after = [at(11, "b", "bob"), at(12, "a"), at(20, "b"), at(19, "c")]
    assert told(sets, before, after, early=True) == [("r", "fired", 0, 20, 20), ("r", "retracted", 1, 20, 20)]


def test_an_early_rule_that_goes_takes_back_what_it_has_said() -> None:
    """The match's time is the rule's own, and the record that disproves it comes after the switch was told."""
    sets = [Content([AB], [rule(pattern="ab", kind="early")]), Content([AB])]
    assert told(sets, [at(8, "a"), at(10, "b")], [at(9, "c"), at(12, "a"), at(13, "b")], early=True) == [
        ("r", "fired", 0, 10, 10),
        ("r", "retracted", 1, 10, 10),
    ]


@pytest.mark.parametrize("early", [False, True])
def test_a_rule_that_becomes_early_says_the_same_again_at_most(early: bool) -> None:  # noqa: FBT001 - pytest's
    """The wait goes on; a second match of the same first event has the same id and revision, which consumers know."""
    sets = [
        Content([PAIR], [rule(pattern="pair", delay=20)]),
        Content([PAIR], [rule(pattern="pair", kind="early")]),
    ]
    after = [at(6, "b"), at(10, "a"), at(11, "c"), at(40, "d")]
    assert sorted(told(sets, [at(0, "a"), at(2, "b"), at(5, "d")], after, early=early)) == [
        ("r", "fired", 0, 6, 6),
        ("r", "fired", 0, 11, 11),
        ("r", "fired", 0, 20, 20),
    ]


def test_a_withdrawing_condition_that_comes_with_the_second_set() -> None:
    """It sees events from then on; those before weren't asked, whether or not they had settled."""
    with_it = rule(delay=20, withdrawn_by=event == "b")
    sets = [Content([SEEN, LEFT], [rule(delay=20)]), Content([SEEN, LEFT], [with_it])]
    after = [at(12, "b"), at(13, "a", "bob"), at(14, "b", "bob"), at(15, "a", "cyd"), at(60, "d")]
    assert told(sets, [at(0, "a"), at(5, "d")], after) == [
        ("r", "withdrawn", 0, 33, 14),
        ("r", "fired", 0, 20, 20),
        ("r", "fired", 0, 35, 35),
    ]
    gone = rule("gone", "left", withdrawn_by=event == "b")
    sets = [Content([LEFT]), Content([LEFT], [gone])]
    assert told(sets, [at(0, "a"), at(5, "b")], [at(30, "d")]) == [("gone", "fired", 0, 12, 12)]
    assert told(sets, [at(0, "a"), at(5, "d")], [at(6, "b"), at(30, "d")]) == [
        ("gone", "withdrawn", 0, 12, 12)
    ]


def test_profiles_begin_with_the_first_rules() -> None:
    sets = [Content([SEEN]), Content([SEEN], [rule(condition=of_profile("events") >= 2)])]
    before = [at(0, "a"), at(1, "d"), at(2, "d"), at(3, "d")]
    assert told(sets, before, [at(10, "a"), at(11, "a"), at(30, "d")]) == [
        ("r", "unmet", 0, 10, 10),
        ("r", "fired", 0, 11, 11),
    ]
