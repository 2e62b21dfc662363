"""The engine's core against the plain reference: random streams, patterns, settings, batches, shards and restarts."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import polars as pl
import pytest
from engine_harness import Engine, Outcome, reserved_conditions, run_flow
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Answers, Predicate, Record, Rules, answers, counted

from footfall.clock import ClockSettings
from footfall.expression import Expression, event
from footfall.expression import field as event_field
from footfall.pattern import Contiguity, Inner, Pattern, Stage
from footfall.pattern_plan import PatternPlan
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard_totals import SUMMED

START = 1_760_000_000_000
NAMES = ("a", "b", "c", "d")
PAGE_VIEWS, CLICKS, CONVERSIONS = ("a",), ("b", "d"), ("c",)
RESERVED = reserved_conditions(PAGE_VIEWS, CLICKS, CONVERSIONS)
FAR = 10**9

CONDITIONS: tuple[tuple[Expression, Predicate], ...] = (
    (event == "a", lambda record: record.name == "a"),
    (event == "b", lambda record: record.name == "b"),
    (event == "c", lambda record: record.name == "c"),
    (event.is_in(("a", "b")), lambda record: record.name in ("a", "b")),
    (
        (event == "a") & (event_field("element") == "#x"),
        lambda record: record.name == "a" and record.element == "#x",
    ),
    (event_field("value") > 1, lambda record: record.value is not None and record.value > 1_000_000),
)
PREDICATES = {condition.key(): predicate for condition, predicate in CONDITIONS}

conditions = st.sampled_from([condition for condition, _ in CONDITIONS])


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """Have numba load what it has compiled, so that no example pays for it."""
    records = [Record(f"v{n}", f"m{n}", "a", START + n) for n in range(4)]
    pattern = Pattern("p").begin("x", event == "a").not_followed_by("y", event == "b").within(5)
    plan = PatternPlan.compile([pattern], RESERVED)
    for partitions in (1, 2):
        engine = Engine(plan, partitions=partitions, shards=2)
        engine.read(0, records)
        engine.feed()
        engine.restart()
        for number in range(partitions):
            engine.read(number, [], ended=True)
        engine.feed()


@st.composite
def stages(draw: st.DrawFn, name: str, contiguity: Contiguity) -> Stage:
    if contiguity in ("not_next", "not_followed_by"):
        return Stage(name, contiguity, draw(conditions))
    times = draw(st.sampled_from((1, 1, 1, 2, 3)))
    inner: Inner = draw(st.sampled_from(("relaxed", "strict"))) if times > 1 else "relaxed"
    return Stage(name, contiguity, draw(conditions | st.none() | conditions), times, inner)


@st.composite
def patterns(draw: st.DrawFn, name: str) -> Pattern:
    """A whole pattern: up to three stages that take events, absences between them and at the end."""
    pattern = Pattern(name).with_stage(draw(stages("first", "begin")))
    for number in range(draw(st.integers(0, 2))):
        for place in range(draw(st.sampled_from((0, 0, 1, 1, 2)))):
            absence: Contiguity = draw(st.sampled_from(("not_next", "not_followed_by")))
            pattern = pattern.with_stage(draw(stages(f"not{number}{place}", absence)))
        joins: Contiguity = draw(st.sampled_from(("strict", "relaxed", "relaxed", "any")))
        pattern = pattern.with_stage(draw(stages(f"then{number}", joins)))
    absent = draw(st.booleans())
    if absent:
        pattern = pattern.with_stage(draw(stages("never", "not_followed_by")))
        if draw(st.booleans()):
            pattern = pattern.with_stage(draw(stages("nor", "not_followed_by")))
    within = draw(st.integers(1, 40) | st.just(90_000_000))
    if absent or draw(st.booleans()):
        pattern = pattern.within(within)
    same = draw(st.sampled_from((None, None, "element", "path")))
    if same is not None:
        pattern = pattern.same(same)
    return replace(pattern, skip=draw(st.sampled_from(("no_skip", "to_next", "past_last"))))


records_strategy = st.builds(
    Record,
    visitor=st.sampled_from(("ann", "ann", "bob", "cyd")),
    message=st.integers(0, 30).map("m{}".format),
    name=st.sampled_from(NAMES),
    time=st.integers(START, START + 60),
    user=st.sampled_from((None, "u1", "u2")),
    element=st.sampled_from((None, "#x", "#y")),
    path=st.sampled_from((None, "/", "/p")),
    referrer=st.sampled_from((None, "https://r/")),
    source=st.sampled_from((None, "ads")),
    campaign=st.sampled_from((None, None, "spring", "fall")),
    value=st.sampled_from((None, 1_000_000, 2_500_000, -1)),
    currency=st.sampled_from((None, "EUR", "EUR", "USD")),
)


@st.composite
def streams(draw: st.DrawFn, largest: int = 24) -> list[Record]:
    """One partition: some disorder, equal times, copies; arrival times on all records, on none, or on some."""
    records = draw(st.lists(records_strategy, max_size=largest))
    disorder = draw(st.sampled_from((0, 5, 60)))
    keys = [record.time + draw(st.integers(0, disorder)) for record in records] if disorder else None
    if keys is None:
        records.sort(key=lambda record: record.time)
    else:
        records = [record for _, record in sorted(zip(keys, records, strict=True), key=lambda pair: pair[0])]
    if draw(st.booleans()):
        copies = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(-6, 6)), max_size=4))
        for place, moved in copies:
            if records:
                known = records[place % len(records)]
                records.insert(draw(st.integers(0, len(records))), replace(known, time=known.time + moved))
    arrivals = draw(st.sampled_from(("none", "all", "some")))
    if arrivals != "none":
        delay = st.integers(-3, 20)
        records = [
            replace(record, arrival=record.time + draw(delay))
            if arrivals == "all" or draw(st.booleans())
            else record
            for record in records
        ]
    return records


clocks = st.builds(
    ClockSettings,
    lateness=st.sampled_from((0, 1, 5, 20, 100)),
    idle_bound=st.sampled_from((0, 5, 30, 1000)),
    future_jump=st.sampled_from((10, FAR)),
)
session_settings = st.builds(
    SessionSettings,
    gap=st.sampled_from((1, 2, 5, 10, 30, 1000)),
    max_length=st.sampled_from((1, 10, 25, 1000)),
    split_on_campaign=st.booleans(),
)


@dataclass(frozen=True)
class World:
    partitions: list[list[Record]]
    rules: Rules


def rules_of(asked: Sequence[Pattern], clock: ClockSettings, sessions: SessionSettings) -> Rules:
    return Rules(
        clock=clock,
        sessions=sessions,
        patterns=tuple(asked),
        predicates=PREDICATES,
        page_views=frozenset(PAGE_VIEWS),
        clicks=frozenset(CLICKS),
        conversions=frozenset(CONVERSIONS),
    )


@st.composite
def worlds(draw: st.DrawFn, most_partitions: int = 3) -> World:
    count = draw(st.integers(1, most_partitions))
    partitions = [draw(streams(24 // count)) for _ in range(count)]
    asked = [draw(patterns(f"p{number}")) for number in range(draw(st.integers(0, 3)))]
    return World(partitions, rules_of(asked, draw(clocks), draw(session_settings)))


def engine_outcome(
    world: World, data: st.DataObject, *, restarts: bool = False, whole: bool = False
) -> Outcome:
    """Run the parts: in one piece, or read, fed and restarted as `data` says."""
    rules = world.rules
    count = len(world.partitions)
    engine = Engine(
        PatternPlan.compile(rules.patterns, RESERVED),
        sessions=rules.sessions,
        clock=rules.clock,
        partitions=count,
        shards=1 if whole else data.draw(st.integers(1, 5), label="shards"),
    )
    if whole:
        for number, records in enumerate(world.partitions):
            engine.read(number, records, ended=True)
        engine.feed()
        return engine.outcome()
    reads: list[tuple[int, list[Record]]] = []
    for number, records in enumerate(world.partitions):
        places = st.sets(st.integers(0, len(records)), max_size=8)
        cuts = [0, *sorted(data.draw(places, label="cuts")), len(records)]
        reads += [(number, records[a:b]) for a, b in pairwise(cuts)]
        reads.append((number, []))
    turns = data.draw(st.permutations([number for number, _ in reads]), label="turns")
    queues = [[records for number, records in reads if number == mine] for mine in range(count)]
    for turn in turns:
        records = queues[turn].pop(0)
        engine.read(turn, records, ended=not queues[turn])
        if data.draw(st.integers(0, 2)):
            engine.feed()
        if restarts and data.draw(st.booleans()):
            engine.restart()
    engine.feed()
    return engine.outcome()


def assert_as_the_reference(outcome: Outcome, expected: Answers) -> None:
    assert counted(outcome.session_rows) == counted(expected.sessions)
    assert counted(outcome.match_rows) == counted(expected.matches)
    kept = zip(
        outcome.events["source_partition"].str.slice(1).cast(pl.Int64).to_list(),
        outcome.events["source_offset"].to_list(),
        strict=True,
    )
    assert sorted(kept) == sorted(expected.kept)
    assert outcome.late == expected.late
    assert outcome.total("events") == expected.events
    assert outcome.total("duplicates") == expected.duplicates
    assert outcome.total("pending") == expected.pending
    assert outcome.total("sessions") == len(expected.sessions)
    assert outcome.total("sessions_at_end") == sum(bool(row["at_end"]) for row in expected.sessions)
    assert outcome.by_pattern() == Counter(row["pattern"] for row in expected.matches)
    at_end = Counter(row["pattern"] for row in expected.matches if row["at_end"])
    assert outcome.by_pattern("matches_at_end") == at_end
    for name in SUMMED:
        sums = sum(done.session_sums[name] for done in outcome.done)
        assert sums == sum(row[name] for row in expected.sessions if isinstance(row[name], int))


@settings(deadline=None, max_examples=150)
@given(worlds(), st.data())
def test_the_engine_answers_as_the_reference_whatever_the_batches_and_shards(
    world: World, data: st.DataObject
) -> None:
    outcome = engine_outcome(world, data)
    assert_as_the_reference(outcome, answers(world.partitions, world.rules))
    assert outcome.digest == engine_outcome(world, data, whole=True).digest
    for ids in (outcome.matches["match_id"], outcome.sessions["session_id"]):
        assert ids.n_unique() == len(ids)


letters = st.builds(
    Record,
    visitor=st.just("ann"),
    message=st.just(""),
    name=st.sampled_from("aabbc"),
    time=st.sampled_from((0, 1, 1, 2, 5)),
    element=st.sampled_from(("#x", "#x", "#y", None)),
    value=st.sampled_from((None, 1_000_000, 2_500_000)),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(letters, max_size=14), st.tuples(*(patterns(f"p{number}") for number in range(6))))
def test_one_visitors_matches_are_the_references(steps: list[Record], asked: tuple[Pattern, ...]) -> None:
    times = accumulate((record.time for record in steps), initial=START)
    records = [
        replace(record, message=f"m{number}", time=time)
        for number, (record, time) in enumerate(zip(steps, times, strict=False))
    ]
    rules = rules_of(asked, ClockSettings(), SessionSettings())
    engine = Engine(PatternPlan.compile(asked, RESERVED))
    engine.read(0, records, ended=True)
    engine.feed()
    assert_as_the_reference(engine.outcome(), answers([records], rules))


@settings(deadline=None, max_examples=60)
@given(worlds(), st.data())
def test_a_restart_at_any_point_changes_nothing(world: World, data: st.DataObject) -> None:
    restarted = engine_outcome(world, data, restarts=True)
    assert_as_the_reference(restarted, answers(world.partitions, world.rules))


@settings(deadline=None, max_examples=60)
@given(worlds(most_partitions=1), st.data())
def test_a_shuffle_within_the_lateness_changes_nothing(world: World, data: st.DataObject) -> None:
    records = sorted((replace(r, arrival=None) for r in world.partitions[0]), key=lambda record: record.time)
    lateness = data.draw(st.integers(0, 30), label="lateness")
    clock = ClockSettings(lateness=lateness, future_jump=FAR)
    rules = replace(world.rules, clock=clock)
    shuffled = shuffle_within(records, lateness, data)
    straight = engine_outcome(World([records], rules), data, whole=True)
    other = engine_outcome(World([shuffled], rules), data)
    assert straight.late == other.late == 0
    assert other.digest == straight.digest
    assert counted(other.match_rows) == counted(straight.match_rows)
    assert counted(other.session_rows) == counted(straight.session_rows)


def shuffle_within(records: Sequence[Record], lateness: int, data: st.DataObject) -> list[Record]:
    """Another order in which nothing is late, and equal times and copies of a visitor keep theirs."""
    left = list(records)
    shuffled: list[Record] = []
    while left:
        may_come = [
            place
            for place, record in enumerate(left)
            if record.time - left[0].time <= lateness
            and not any(
                earlier.visitor == record.visitor
                and (earlier.time == record.time or earlier.message == record.message)
                for earlier in left[:place]
            )
        ]
        shuffled.append(left.pop(data.draw(st.sampled_from(may_come))))
    return shuffled


def test_a_stream_that_outgrows_every_first_size() -> None:
    dice = random.Random(7)
    records = [
        Record(
            visitor=f"v{dice.randrange(150)}",
            message=f"m{number}",
            name=dice.choice("aabbcdefg"),
            time=START + 7 * number - dice.randrange(90),
            element=dice.choice(("#x", "#y", None)),
            path=f"/{dice.randrange(9)}",
            user=f"u{dice.randrange(300)}" if dice.random() < 0.1 else None,
            referrer=f"https://r/{number}",
            campaign=dice.choice((None, None, "spring")),
            value=dice.randrange(10**9),
            currency="EUR",
        )
        for number in range(8_000)
    ]
    for number in range(40, 8_000, 40):
        copied = records[number - 2 * dice.randrange(20)]
        records[number] = replace(copied, time=copied.time + dice.randrange(-9, 90))
    a, b, c = (event == name for name in "abc")
    asked = (
        Pattern("pairs").begin("a", a).followed_by_any("b", b).within(4_000),
        Pattern("waits").begin("a", a).followed_by("b", b).not_followed_by("c", c).within(3_000),
        Pattern("loops").begin("a", a).times(3).within(9_000).same("element").skip_past_last(),
        Pattern("firsts").begin("a", a).not_next("n", c).followed_by_any("b", b).within(5_000).skip_to_next(),
        Pattern("rows").begin("any").times(2).consecutive().next("c", c),
    )
    clock = ClockSettings(lateness=45)
    rules = rules_of(asked, clock, SessionSettings(gap=2_500, max_length=8_000, split_on_campaign=True))
    partitions = [records[0::2], records[1::2]]
    expected = answers(partitions, rules)
    assert min(expected.late, expected.duplicates, len(expected.sessions)) > 10
    assert min(Counter(row["pattern"] for row in expected.matches).values()) > 50
    plan = PatternPlan.compile(asked, RESERVED)
    engine = Engine(plan, sessions=rules.sessions, clock=clock, partitions=2, shards=2)
    for start in range(0, 4_000, 103):
        for number, own in enumerate(partitions):
            engine.read(number, own[start : start + 103])
        engine.feed()
        if start % 10 == 0:
            engine.restart()
    for number in range(2):
        engine.read(number, [], ended=True)
    engine.feed()
    assert_as_the_reference(engine.outcome(), expected)
    assert max(shard.matcher.partials.size for shard in engine.shards) > 256


@settings(deadline=None, max_examples=12)
@given(worlds(most_partitions=2), st.sampled_from((1, 2)), st.integers(1, 5), st.integers(1, 9))
def test_the_real_flow_answers_as_the_reference(world: World, workers: int, shards: int, batch: int) -> None:
    rules = world.rules
    chosen = Settings(
        store="none",
        gap=rules.sessions.gap,
        max_session=rules.sessions.max_length,
        split_on_campaign=rules.sessions.split_on_campaign,
        lateness=rules.clock.lateness,
        idle_bound=rules.clock.idle_bound,
        future_jump=rules.clock.future_jump,
        page_views=PAGE_VIEWS,
        clicks=CLICKS,
        conversions=CONVERSIONS,
        shards=shards,
        batch_size=batch,
        read_ahead=20,
    )
    outcome = run_flow(world.partitions, rules.patterns, chosen, workers=workers)
    assert_as_the_reference(outcome, answers(world.partitions, rules))
    assert len(outcome.done) == shards
