"""Patterns that change while a run goes on: whether the plan was long from the start or grew must not show."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from growing_engine import (
    Content,
    GrowingEngine,
    GrowingWorld,
    alone,
    record_of,
    run_grown,
    run_whole,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Record, Row, answers, counted
from test_automaton_matcher import LINEAR, PATTERNS
from test_early import TIES
from test_shard_properties import START, clocks, patterns, rules_of, session_settings, streams

from footfall.clock import FOREVER, NEVER, ClockSettings
from footfall.control_record import ControlRecord
from footfall.errors import StateError
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_files import load_patterns
from footfall.sessions import SessionSettings

MAYBE = (
    Pattern("maybe")
    .begin("a", event == "a")
    .followed_by("b", event == "b")
    .optional()
    .followed_by("c", event == "c")
    .within("20 ms")
)
NOT_AT_ONCE = Pattern("not_at_once").begin("a", event == "a").not_next("b", event == "b").within("9 ms")
POOL = (*PATTERNS, *LINEAR, TIES, MAYBE, NOT_AT_ONCE)
NAMES = ("p0", "p1", "p2", "p3")


def wide(name: str, first: int) -> Pattern:
    """A pattern of so many conditions that others don't fit into a word with it."""
    pattern = Pattern(name).begin("a", event == "a")
    for number in range(first, first + 62):
        pattern = pattern.followed_by_any(f"s{number}", event == f"n{number}")
    return pattern.within("50 ms")


@st.composite
def contents(draw: st.DrawFn, *, skips: bool = True) -> list[Content]:
    """Two to four sets: of each name nothing, the same as before, or something else."""
    pool = [pattern for pattern in POOL if skips or pattern.skip == "no_skip"]
    others = patterns("p") if skips else patterns("p").map(lambda one: replace(one, skip="no_skip"))
    held: dict[str, Pattern] = {}
    made = []
    for number in range(draw(st.integers(2, 4))):
        for name in NAMES:
            what = draw(
                st.sampled_from(("stays", "goes", "known", "drawn") if number else ("known", "drawn"))
            )
            if what == "goes":
                held.pop(name, None)
            elif what != "stays":
                found = draw(st.sampled_from(pool) if what == "known" else others)
                held[name] = replace(found, name=name)
        more = [wide(f"w{number}", 70 * number)] if draw(st.integers(0, 2)) == 0 else []
        made.append(Content((*held.values(), *more), lead=draw(st.integers(0, 6))))
    return made


@st.composite
def worlds(draw: st.DrawFn) -> GrowingWorld:
    count = draw(st.integers(1, 3))
    partitions = [draw(streams(30 // count)) for _ in range(count)]
    return GrowingWorld(partitions, draw(contents()), draw(clocks), draw(session_settings))


seeds = st.integers(0, 1000)


def plain_rows(engine: GrowingEngine) -> list[dict[str, Any]]:
    """Matches by id, with all that was said of them."""
    return engine.outcome().matches.sort("match_id").to_dicts()


@settings(deadline=None, max_examples=70)
@given(world=worlds(), shards=st.integers(1, 4), seed=seeds, restarts=st.booleans())
def test_a_plan_that_grows_gives_what_one_whole_from_the_start_gives(
    world: GrowingWorld, shards: int, seed: int, *, restarts: bool
) -> None:
    grown = GrowingEngine(world, shards=shards)
    run_grown(world, grown, random.Random(seed), restarts=restarts)
    whole = run_whole(world, grown.records)
    assert plain_rows(grown) == plain_rows(whole)
    assert grown.outcome().digest == whole.outcome().digest
    assert counted(grown.outcome().session_rows) == counted(whole.outcome().session_rows)
    for name in ("events", "duplicates", "pending", "timed_out", "dropped_partials"):
        assert grown.outcome().total(name) == whole.outcome().total(name), name
    assert grown.outcome().by_pattern() == whole.outcome().by_pattern()


@st.composite
def early_worlds(draw: st.DrawFn) -> GrowingWorld:
    clock = replace(draw(clocks), future_jump=10**9)
    return GrowingWorld([draw(streams(16))], draw(contents()), clock, draw(session_settings))


@settings(deadline=None, max_examples=50)
@given(world=early_worlds(), seed=seeds, restarts=st.booleans())
def test_early_messages_are_the_same_when_the_plan_grows(
    world: GrowingWorld, seed: int, *, restarts: bool
) -> None:
    grown = GrowingEngine(world, early=True)
    run_grown(world, grown, random.Random(seed), restarts=restarts)
    whole = run_whole(world, grown.records, early=True)
    assert grown.messages() == whole.messages()
    assert grown.outcome().digest == whole.outcome().digest


@st.composite
def steady_records(draw: st.DrawFn) -> list[Record]:
    """Some disorder, but nothing late, and no copies."""
    dice = random.Random(draw(st.integers(0, 10_000)))
    records = [
        Record(
            dice.choice(("ann", "ann", "bob")),
            f"m{number}",
            dice.choice("aabbcd"),
            START + dice.randint(0, 60),
            element=dice.choice((None, "#x", "#y")),
            path=dice.choice((None, "/", "/p")),
            value=dice.choice((None, 1_000_000, 2_500_000)),
        )
        for number in range(draw(st.integers(0, 24)))
    ]
    return sorted(records, key=lambda record: record.time + dice.randint(0, 4))


STEADY = ClockSettings(lateness=5, idle_bound=10**9, future_jump=10**9)
SAID = ("match_id", "pattern", "pattern_version", "visitor_id", "first_time", "last_time", "stages", "status")


@settings(deadline=None, max_examples=50)
@given(steady_records(), contents(skips=False), seeds)
def test_each_version_has_the_matches_that_begin_while_it_is_in_force(
    records: list[Record], asked: list[Content], seed: int
) -> None:
    world = GrowingWorld([records], asked, STEADY)
    grown = GrowingEngine(world, shards=2)
    run_grown(world, grown, random.Random(seed), restarts=True)
    expected = set()
    for pattern, begins_from, begins_until in spans(grown.records):
        found = alone(world, [pattern], begins_from).outcome().matches
        times = found["first_time"].to_physical()
        expected.update(found.filter(times < begins_until).select(*SAID, "outputs").rows())
    assert set(grown.outcome().matches.select(*SAID, "outputs").rows()) == expected
    assert len(expected) == grown.outcome().matches.height


def spans(records: Sequence[ControlRecord]) -> list[tuple[Pattern, int, int]]:
    """Each version of a pattern with the times between which its matches begin."""
    known: dict[tuple[str, str], tuple[Pattern, int]] = {}
    found = []
    for record in records:
        since = NEVER if record.since is None else record.since
        now = {(pattern.name, pattern.version): pattern for pattern in record.patterns}
        found += [(*known.pop(key), since) for key in known.keys() - now.keys()]
        for key in now.keys() - known.keys():
            known[key] = (now[key], since)
    return [*found, *((pattern, since, FOREVER) for pattern, since in known.values())]


@settings(deadline=None, max_examples=40)
@given(steady_records(), st.lists(patterns("p"), min_size=2, max_size=3), st.integers(0, 9), seeds)
def test_each_version_has_the_matches_of_the_reference(
    records: list[Record], asked: list[Pattern], lead: int, seed: int
) -> None:
    asked = [replace(pattern, skip="no_skip") for pattern in asked]
    world = GrowingWorld([records], [Content([pattern], lead=lead) for pattern in asked], STEADY)
    grown = GrowingEngine(world)
    run_grown(world, grown, random.Random(seed), restarts=False)
    expected: list[Row] = []
    for pattern, begins_from, begins_until in spans(grown.records):
        seen = [record for record in records if record.time >= begins_from]
        found = answers([seen], rules_of([pattern], STEADY, SessionSettings())).matches
        expected += [row for row in found if begins_from <= row["first_time"] < begins_until]
    told = [{**row, "at_end": False} for row in grown.outcome().match_rows]
    assert counted(told) == counted([{**row, "at_end": False} for row in expected])


def in_force_of(*contents: Content) -> GrowingEngine:
    """An engine with those sets, in force a second apart."""
    records = [record_of(0, contents[0], None, {})]
    for number, content in enumerate(contents[1:], start=1):
        records.append(record_of(number, content, START + 1000 * number, {}))
    return GrowingEngine(GrowingWorld([[]], contents), records)


P, OTHER_P, Q = (
    Pattern("p").begin("a", event == "a"),
    Pattern("p").begin("a", event == "b"),
    Pattern("q").begin("a", event == "a"),
)


@pytest.mark.parametrize(
    ("kept", "given"),
    [
        ([[P]], [[OTHER_P]]),
        ([[P]], [[Q]]),
        ([[P, Q]], [[P]]),
        ([[P], [P]], [[P]]),
        ([[P], [P, Q]], [[P]]),
        ([[P], [Q]], [[P], [OTHER_P]]),
        ([[P], [Q]], [[Q], [P]]),
        ([[P]], [[], [P]]),
    ],
)
def test_the_state_of_other_patterns_is_refused(
    kept: list[list[Pattern]], given: list[list[Pattern]]
) -> None:
    engine = in_force_of(*map(Content, kept))
    engine.read(0, [Record("ann", "m", "a", START)])
    state = engine.checkpoint()
    engine.crash(state)
    with pytest.raises(StateError, match="made with other patterns"):
        in_force_of(*map(Content, given)).crash(state)


def test_the_state_of_fewer_sets_is_taken() -> None:
    engine = in_force_of(Content([P]), Content([OTHER_P]))
    engine.read(0, [Record("ann", "m", "a", START)])
    state = engine.checkpoint()
    longer = in_force_of(Content([P]), Content([OTHER_P]), Content([Q, OTHER_P]), Content([]))
    longer.crash(state)
    records = [("b", 900), ("a", 1500), ("b", 1600), ("a", 2500), ("b", 2600), ("a", 3000), ("b", 3100)]
    longer.read(0, [Record("ann", f"m{time}", name, START + time) for name, time in records], ended=True)
    longer.feed()
    found = longer.outcome().matches.select("pattern", pl.col("first_time").to_physical() - START).rows()
    assert sorted(found) == [("p", 0), ("p", 1600), ("p", 2600), ("q", 2500)]


def test_a_batch_of_an_older_set_may_come_last() -> None:
    """Batches of several partitions come in any order, and the newest of them says what the shard needs to know."""
    world = GrowingWorld([[], []], [Content([P]), Content([OTHER_P, wide("w", 0), wide("v", 70)])])
    engine = GrowingEngine(world)
    engine.read(0, [Record("ann", "m0", "a", START)])
    engine.feed()
    engine.read(1, [Record("bob", "m1", "a", START + 1)])
    old = engine._waiting[0][1].pop()
    engine.grow(world.contents[1])
    engine.read(0, [Record("ann", "m2", "b", START + 10)])
    (new,) = engine._waiting[0][0]
    assert (new.generation, old.generation) == (1, 0)
    engine._waiting[0][0] = []
    engine.settled += engine.steps[0].on_batch([new, old])[0]
    for number in range(2):
        engine.read(number, [], ended=True)
    engine.feed()
    found = engine.outcome().matches.select("visitor_id", pl.col("first_time").to_physical() - START)
    assert sorted(found.rows()) == [("ann", 0), ("ann", 10), ("bob", 1)]


def test_events_that_wait_for_a_match_to_be_worth_beginning_are_asked_one_word_more() -> None:
    """The loop's first event has settled, and waits beside the automata, when a set brings a word of conditions."""
    (loop,) = (pattern for pattern in PATTERNS if pattern.name == "loop")
    records = [
        Record("ann", f"m{time}", name, START + time) for name, time in (("a", 0), ("d", 9), ("b", 15))
    ]
    world = GrowingWorld([records], [Content([loop]), Content([loop, wide("w", 0)])], STEADY)
    engine = GrowingEngine(world)
    engine.read(0, records[:2])
    engine.feed()
    engine.grow(world.contents[1])
    assert len(engine.plans[1].plan.conditions) == len(engine.plans[0].plan.conditions) + 1
    engine.read(0, records[2:], ended=True)
    engine.feed()
    assert engine.outcome().by_pattern() == {"loop": 1}


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_early_messages_stand_on_their_side_of_a_switch(batch: int) -> None:
    """What settles after the switch comes before what a record brings that was read later still."""
    absent, pair = (
        PATTERNS[0],
        Pattern("pair").begin("a", event == "a").next("b", event == "b").within("9 ms"),
    )
    names = [
        ("a", 0, "ann"),
        ("a", 2, "bob"),
        ("b", 3, "bob"),
        ("d", 20, "cyd"),
        ("a", 30, "bob"),
        ("b", 31, "bob"),
    ]
    records = [Record(visitor, f"m{time}", name, START + time) for name, time, visitor in names]
    world = GrowingWorld([records], [Content([absent, pair]), Content([absent, pair])], STEADY)
    engine = GrowingEngine(world, early=True)
    engine.read(0, records[:3])
    engine.grow(world.contents[1])
    for start in range(3, len(records), batch):
        engine.read(0, records[start : start + batch])
        engine.feed()
    engine.read(0, [], ended=True)
    engine.feed()
    told = engine.outcome().matches.select(
        "pattern", "visitor_id", pl.col("settled_time").to_physical() - START
    )
    assert told.rows() == [("pair", "bob", 3), ("left", "ann", 8), ("pair", "bob", 31)]


SKIPPING = Pattern("s").begin("a", event == "a").followed_by_any("b", event == "b").within("50 ms")


@pytest.mark.parametrize(
    "make", [lambda one: one, lambda one: one.tie_order("value")], ids=["loops", "automaton"]
)
def test_a_skip_strategy_goes_by_the_matches_of_its_own_version(make: Callable[[Pattern], Pattern]) -> None:
    """The old version's match isn't skipped past by one that only begins with the new one, nor the other way round."""
    old, new = make(SKIPPING.skip_past_last()), make(replace(SKIPPING, within_ms=40).skip_past_last())
    names = [("a", 0), ("a", 2), ("d", 5), ("a", 10), ("b", 12), ("a", 20), ("b", 22)]
    records = [Record("ann", f"m{time}", name, START + time) for name, time in names]
    world = GrowingWorld([records], [Content([old]), Content([new], lead=2)], STEADY)
    engine = GrowingEngine(world)
    engine.read(0, records[:3])
    assert engine.grow(world.contents[1]).since == START + 8
    engine.read(0, records[3:], ended=True)
    engine.feed()
    found = engine.outcome().matches.select(
        pl.col("first_time", "last_time").to_physical() - START, "pattern_version"
    )
    # The old version's second match is skipped past by its first; the new one begins anew.
    assert sorted(found.rows()) == [
        (0, 12, old.version),
        (10, 12, new.version),
        (20, 22, new.version),
    ]


SHIPPED = tuple(load_patterns())
HAPPENINGS = (
    "page_view", "page_view", "click", "click", "click", "product_added", "checkout_started", "order_completed",
    "booking_started", "booking_completed", "script_error", "price_checked", "price_checked", "exit_intent",
    "form_field_changed", "form_submit", "quote_viewed", "service_completed", "mouse_moved", "heartbeat",
)  # fmt: skip


def a_month(count: int) -> list[Record]:
    """Visitors of whom the shipped patterns find something: bursts, and pauses of minutes to days."""
    dice = random.Random(11)
    records: list[Record] = []
    time = START
    while len(records) < count:
        time += dice.choice((60_000, 1_900_000, 80_000_000, 900_000_000))
        visitor, name = dice.choice(("ann", "bob", "cyd")), dice.choice(HAPPENINGS)
        for _ in range(dice.choice((1, 2, 5))):
            time += dice.choice((100, 300, 2_600, 40_000))
            records.append(
                Record(
                    visitor, f"m{len(records)}", name, time, path="/p", element=dice.choice((None, "button"))
                )
            )
            name = name if dice.random() < 0.4 else dice.choice(HAPPENINGS)
    return records


def test_the_shipped_patterns_change_like_others() -> None:
    """Some at first, then all with other bounds, then all as they are shipped."""
    other = [
        replace(pattern, within_ms=pattern.within_ms and 2 * pattern.within_ms, skip="no_skip")
        for pattern in SHIPPED
    ]
    records = a_month(300)
    world = GrowingWorld([records], [Content(SHIPPED[::2]), Content(other), Content(SHIPPED)], STEADY)
    for restarts in (False, True):
        grown = GrowingEngine(world, shards=2)
        for number, start in enumerate(range(0, len(records), 20)):
            if number in {3, 9}:
                grown.grow(world.contents[len(grown.records)])
            grown.read(0, records[start : start + 20], by_newest=bool(number % 2))
            grown.feed()
            if restarts:
                grown.restart()
        grown.read(0, [], ended=True)
        grown.feed()
        whole = run_whole(world, grown.records)
        assert plain_rows(grown) == plain_rows(whole)
        assert grown.outcome().digest == whole.outcome().digest
    found = grown.outcome().matches.group_by("pattern").agg(pl.col("pattern_version").n_unique())
    versions = dict(found.rows())
    assert len(versions) >= 12
    assert sum(count == 2 for count in versions.values()) >= 6
