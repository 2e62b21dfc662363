"""Early answers against what they are by definition, and their messages however the stream is cut."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from engine_harness import Engine, Outcome, frame_of, reserved_conditions
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Record
from test_automaton_matcher import LINEAR, PATTERNS
from test_shard_properties import clocks, patterns, session_settings, streams

from footfall.clock import NEVER, ClockSettings
from footfall.early_loops import lay_out_runs
from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.sessions import SessionSettings
from footfall.taken_events import first

World = tuple[list[Record], list[Pattern], tuple[Pattern, ...], ClockSettings, SessionSettings]

START = 1_760_000_000_000
TIES = (
    Pattern("ties").begin("a", event == "a").followed_by("b", event == "b").within("20 ms").tie_order("value")
)
RESERVED = reserved_conditions()
WIDE = ClockSettings(lateness=10**9, idle_bound=10**9, future_jump=10**9)

Message = tuple[str, str, int]
"""A match's id, its status, its revision."""


def at(time: int, name: str, visitor: str = "v", *, value: int | None = None) -> Record:
    return Record(visitor, f"{visitor}{time}{name}", name, START + time, value=value)


def run_engine(
    records: Sequence[Record],
    plan: PatternPlan,
    cuts: Sequence[int],
    clock: ClockSettings,
    sessions: SessionSettings,
    *,
    early: bool = True,
    restarts: bool = False,
    shards: int = 1,
) -> Engine:
    engine = Engine(plan, sessions=sessions, clock=clock, early=early, shards=shards)
    for a, b in pairwise([0, *cuts, len(records)]):
        engine.read(0, records[a:b])
        engine.feed()
        if restarts:
            engine.restart()
    engine.read(0, [], ended=True)
    engine.feed()
    return engine


def messages_of(engine: Engine) -> list[Message]:
    rows = pl.concat([each.matches for each in engine.settled])
    return list(zip(rows["match_id"], rows["status"], rows["revision"], strict=True))


class Definition:
    """What stands early of a visitor, worked out from settled answers alone."""

    def __init__(self, plan: PatternPlan, sessions: SessionSettings) -> None:
        self._plan = plan
        self._sessions = sessions
        self._known: dict[tuple[int, ...], Outcome] = {}

    def standing(self, records: Sequence[Record], seen: Sequence[int]) -> dict[str, int]:
        """By id the last times of the matches that stand when these records have come."""
        kept = self._settled(records, seen).events["source_offset"].to_list()
        standing: dict[str, int] = {}
        before: set[str] = set()
        for count in range(1, len(kept) + 1):
            now = self._settled(records, kept[:count]).matches
            newest = records[kept[count - 1]]
            fired = now.filter(pl.col("last_time").to_physical() == newest.time, status="fired")
            for name, stages in fired.select("match_id", "stages").iter_rows():
                if name not in before and f'"{newest.message}"' in stages:
                    standing[name] = newest.time
            before = set(now["match_id"])
        return standing

    def _settled(self, records: Sequence[Record], taken: Sequence[int]) -> Outcome:
        """What is settled of these events with the clock at the last of them."""
        offsets = tuple(sorted(taken))
        if offsets not in self._known:
            engine = Engine(self._plan, sessions=self._sessions, clock=WIDE)
            frame = frame_of([records[offset] for offset in offsets])
            engine.read_frame(0, frame.with_columns(source_offset=pl.Series(offsets, dtype=pl.Int64)))
            engine._waiting[0][-1].watermark = max(records[offset].time for offset in offsets)
            engine.feed()
            self._known[offsets] = engine.outcome()
        return self._known[offsets]


def expected_messages(
    records: Sequence[Record], plan: PatternPlan, clock: ClockSettings, sessions: SessionSettings
) -> tuple[list[Message], set[str]]:
    """The early messages, record by record, and the ids of what stands at last."""
    definition = Definition(plan, sessions)
    reader = Engine(plan, clock=clock)
    used: list[Record] = []
    seen: dict[str, list[int]] = {}
    stands: dict[str, dict[str, int]] = {}
    revisions: Counter[str] = Counter()
    messages: list[Message] = []
    for offset, record in enumerate(records):
        reader.read(0, [record])
        taken = reader._waiting[0][-1].events
        if not taken.size:
            used.append(record)
            continue
        arrival = int(taken["arrival"][0])
        used.append(
            replace(record, time=int(taken["time"][0]), arrival=None if arrival == NEVER else arrival)
        )
        mine = seen.setdefault(record.visitor, [])
        mine.append(offset)
        then, now = stands.get(record.visitor, {}), definition.standing(used, mine)
        for status, changed, other in (("retracted", then, now), ("fired", now, then)):
            for name in sorted(changed.keys() - other.keys(), key=lambda name: (changed[name], name)):
                messages.append((name, status, revisions[name]))
                revisions[name] += 1
        stands[record.visitor] = now
    return messages, set().union(*stands.values())


WORLDS = st.tuples(
    streams(14),
    st.lists(
        st.sampled_from(PATTERNS + LINEAR + (TIES,)), max_size=3, unique_by=lambda pattern: pattern.name
    ),
    st.tuples(*(patterns(f"p{number}") for number in range(2))),
    clocks.map(lambda clock: replace(clock, future_jump=10**9)),
    session_settings,
)


@settings(deadline=None, max_examples=80)
@given(WORLDS, st.data())
def test_early_messages_are_what_they_are_by_definition(world: World, data: st.DataObject) -> None:
    records, shipped, drawn, clock, sessions = world
    plan = PatternPlan.compile((*shipped, *drawn), RESERVED)
    expected, standing = expected_messages(records, plan, clock, sessions)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(records)), max_size=6)))
    engine = run_engine(records, plan, cuts, clock, sessions)
    plain = run_engine(records, plan, [], clock, sessions, early=False).outcome()

    messages = messages_of(engine)
    told: list[Message] = []
    settled: list[Message] = []
    news = set(plain.matches["match_id"]) - standing
    for place, message in enumerate(messages):
        again = any(later[0] == message[0] for later in messages[place + 1 :])
        (settled if message[0] in news and not again else told).append(message)
    assert told == expected
    revisions = Counter(name for name, _, _ in expected)
    assert {(name, number) for name, _, number in settled} == {(name, revisions[name]) for name in news}
    assert engine.outcome().total("early") == sum(status == "fired" for _, status, _ in expected)
    assert engine.outcome().total("retracted") == sum(status == "retracted" for _, status, _ in expected)


@settings(deadline=None, max_examples=100)
@given(WORLDS, st.data())
def test_the_messages_are_the_same_for_any_batches_and_restarts(world: World, data: st.DataObject) -> None:
    records, shipped, drawn, clock, sessions = world
    plan = PatternPlan.compile((*shipped, *drawn), RESERVED)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(records)), max_size=6)))
    singly = run_engine(records, plan, range(1, len(records)), clock, sessions)
    for other in (
        run_engine(records, plan, cuts, clock, sessions),
        run_engine(records, plan, cuts, clock, sessions, restarts=True),
        run_engine(records, plan, [], clock, sessions),
    ):
        assert messages_of(other) == messages_of(singly)
    plain = run_engine(records, plan, cuts, clock, sessions, early=False)
    assert standing_rows(singly) == standing_rows(plain)
    assert singly.outcome().digest == plain.outcome().digest
    sharded = run_engine(records, plan, cuts, clock, sessions, shards=3)
    assert sorted(messages_of(sharded)) == sorted(messages_of(singly))


def standing_rows(engine: Engine) -> list[dict[str, object]]:
    """What a consumer has at the end that takes higher revisions alone."""
    rows = pl.concat([each.matches for each in engine.settled])
    last = rows.sort("revision").unique("match_id", keep="last")
    return last.filter(pl.col("status") != "retracted").drop("revision").sort("match_id").to_dicts()


AB = Pattern("ab").begin("a", event == "a").next("b", event == "b").within("1 min")


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2, 3)])
def test_a_match_is_told_taken_back_and_told_again(cuts: tuple[int, ...]) -> None:
    """A c between them disproves a and b; another one changes nothing any more."""
    plan = PatternPlan.compile([AB], RESERVED)
    records = [at(0, "a"), at(100, "b"), at(50, "c"), at(40, "c")]
    engine = run_engine(records, plan, cuts, ClockSettings(), SessionSettings())
    messages = messages_of(engine)
    assert [message[1:] for message in messages] == [("fired", 0), ("retracted", 1)]
    assert len({name for name, _, _ in messages}) == 1
    assert standing_rows(engine) == []


def test_what_a_copy_takes_back_can_come_again() -> None:
    """The c between a and b turns out to be a copy that a later-timed one replaces: no c is there any more."""
    plan = PatternPlan.compile([AB], RESERVED)
    copy = at(200, "c")
    records = [at(0, "a"), at(100, "b"), at(50, "x"), at(60, "c")]
    engine = run_engine([copy, *records], plan, (), ClockSettings(), SessionSettings())
    assert [status for _, status, _ in messages_of(engine)] == ["fired", "retracted"]
    without = [records[0], records[1], copy, replace(copy, time=START + 50)]
    engine = run_engine(without, plan, (), ClockSettings(), SessionSettings())
    assert [status for _, status, _ in messages_of(engine)] == ["fired"], "the earlier-timed copy is dropped"


def test_an_absence_is_only_ever_settled() -> None:
    gone = Pattern("gone").begin("a", event == "a").not_followed_by("b", event == "b").within("1 s")
    plan = PatternPlan.compile([gone], RESERVED)
    engine = run_engine(
        [at(0, "a"), at(5_000, "c"), at(20_000, "c")], plan, (1,), ClockSettings(), SessionSettings()
    )
    assert messages_of(engine)[0][1:] == ("fired", 0)
    assert engine.outcome().total("early") == 0


def test_large_batches_tell_what_small_ones_do() -> None:
    dice = random.Random(5)
    records = [
        Record(
            f"v{dice.randrange(40)}",
            f"m{number - dice.randrange(2)}",
            dice.choice("aabbcd"),
            START + 40 * number - dice.randrange(4_000),
            path=dice.choice("/x"),
        )
        for number in range(3_000)
    ]
    plan = PatternPlan.compile((*PATTERNS, *LINEAR, AB), RESERVED)
    several = [
        messages_of(
            run_engine(
                records, plan, range(size, len(records), size), ClockSettings(), SessionSettings(gap=3_000)
            )
        )
        for size in (1, 10, 10_000)
    ]
    assert several[0] == several[1] == several[2]
    kinds = Counter(status for _, status, _ in several[0])
    assert kinds["retracted"] > 100
    assert max(revision for _, _, revision in several[0]) >= 2


HELD = (
    Pattern("held")
    .begin("a", event == "a")
    .followed_by("b", field("path") == first("a").field("path"))
    .within("20 s")
    .skip_past_last()
)


@pytest.mark.parametrize("cuts", [(), (4,), (1, 2, 3, 4, 5)])
def test_what_is_held_up_after_it_was_taken_back_has_a_higher_revision(cuts: tuple[int, ...]) -> None:
    plan = PatternPlan.compile([HELD], RESERVED)
    records = [
        at(1_000, "a"),
        at(1_100, "b"),
        at(900, "a"),
        at(10_000, "z"),
        at(40_000, "z"),
        at(50_000, "z"),
    ]
    paths = ["/", "/", "/x", None, None, None]
    records = [replace(record, path=path) for record, path in zip(records, paths, strict=True)]
    engine = run_engine(records, plan, cuts, ClockSettings(), SessionSettings())
    assert [message[1:] for message in messages_of(engine)] == [("fired", 0), ("retracted", 1), ("fired", 2)]


def test_what_a_later_record_mends_raises_nothing_early() -> None:
    missed = (
        Pattern("missed")
        .begin("x", event == "x")
        .followed_by("a", event == "a")
        .optional()
        .next("b", event == "b")
        .within("10 s")
        .skip_to_last("a", raise_on_miss=True)
    )
    plan = PatternPlan.compile([missed], RESERVED)
    records = [at(100, "x"), at(300, "b"), at(200, "a"), at(40_000, "z")]
    engine = run_engine(records, plan, (1, 2, 3), ClockSettings(), SessionSettings())
    assert engine.outcome().by_pattern() == {"missed": 1}


def test_much_disorder_of_one_visitor_is_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    laid: list[int] = []

    def counted(*arguments: Any) -> Any:
        laid.append(len(arguments[7][0]))  # room for the events of the runs
        return lay_out_runs(*arguments)

    monkeypatch.setattr("footfall.early.lay_out_runs", counted)
    dice = random.Random(3)
    records = [
        Record("v", f"m{number}", dice.choice("ab"), START + 20 * number - dice.choice([0, 0, 0, 1_500]))
        for number in range(4_000)
    ]
    plan = PatternPlan.compile([AB], RESERVED)
    whole = run_engine(records, plan, (), ClockSettings(), SessionSettings())
    assert max(laid) < 4 * 4_000 * 4
    assert messages_of(whole) == messages_of(
        run_engine(records, plan, range(100, 4_000, 100), ClockSettings(), SessionSettings())
    )


def test_revisions_of_keyed_partitions_never_go_back() -> None:
    plan = PatternPlan.compile([HELD], RESERVED)
    engine = Engine(plan, partitions=2, early=True)
    mine = [at(1_000, "a"), at(1_100, "b"), at(900, "a"), at(10_000, "z"), at(40_000, "z"), at(50_000, "z")]
    paths = ["/", "/", "/x", None, None, None]
    engine.read(0, [at(60_000, "a", "w"), at(60_001, "b", "w"), at(90_000, "z", "w")], ended=True)
    engine.read(1, [replace(r, path=p) for r, p in zip(mine, paths, strict=True)], ended=True)
    engine.feed()
    revisions = [revision for name, _, revision in messages_of(engine) if name == messages_of(engine)[0][0]]
    assert revisions == sorted(revisions)


def test_visitors_of_several_partitions_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(PatternPlan.compile([AB], RESERVED), partitions=2, early=True)
    for number in range(3):
        engine.read(0, [at(10 * number, "a")])
        engine.read(1, [at(10 * number + 5, "b")])
        engine.feed()
    assert [record.levelname for record in caplog.records if "keyed_by_visitor" in record.message] == [
        "WARNING"
    ]
