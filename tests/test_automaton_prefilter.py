"""The pre-filter before automata: it costs no match, whatever the patterns, the batches and the restarts."""

import pytest
from engine_harness import NO_COUNTS, Engine, Outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Record
from test_automaton_matcher import START, at, records_of

import footfall.automaton_matcher
import footfall.automaton_plan
from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.taken_events import first, last

Stream = list[tuple[int, str, str, str | None]]

streams = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.sampled_from("aaabbcd"),
        st.sampled_from("vvw"),
        st.sampled_from(("/", "/x", None)),
    ),
    max_size=40,
)


@st.composite
def patterns(draw: st.DrawFn, name: str) -> Pattern:
    """A pattern that takes at least two events within a bound, in one of the ways that automata are for."""
    pattern = Pattern(name)
    absence = draw(st.sampled_from((None, None, "a", "b", "d")))
    if absence is not None:
        pattern = pattern.absent("none", event == absence, for_=f"{draw(st.integers(2, 20))} ms")
    wanted = draw(st.sampled_from((event == "a", event.is_in(["a", "b"]), field("path") == "/")))
    pattern = pattern.begin("one", wanted)
    pattern = draw(
        st.sampled_from(
            (
                pattern,
                pattern.times(2),
                pattern.times(2, 4),
                pattern.one_or_more(),
                pattern.times(2, 3).reluctant(),
            )
        )
    )
    if draw(st.booleans()):
        pattern = pattern.not_followed_by("never", event == draw(st.sampled_from("bcd")))
    another = draw(
        st.sampled_from(
            (
                event == "b",
                event.is_in(["a", "c"]),
                (event == "a") & (field("path") == first("one").field("path")),
                (event == "b") & (last("one").field("path") == "/"),
            )
        )
    )
    join = draw(st.sampled_from((pattern.followed_by, pattern.followed_by_any)))
    pattern = join("two", another)
    pattern = draw(
        st.sampled_from((pattern, pattern.optional(), pattern.not_followed_by("end", event == "d")))
    )
    if draw(st.booleans()):
        pattern = pattern.same("path")
    pattern = pattern.within(f"{draw(st.integers(2, 25))} ms")
    skips = (pattern, pattern.skip_to_next(), pattern.skip_past_last(), pattern.skip_to_last("one"))
    return draw(st.sampled_from(skips)).output(path=last("one").field("path"))


def run(plan: PatternPlan, records: list[Record], batch: int, how: str) -> Outcome:
    engine = Engine(plan, early=how == "early", shards=2)
    for start in range(0, len(records), batch):
        engine.read(0, records[start : start + batch])
        engine.feed()
        if how == "restarts":
            engine.restart()
    engine.read(0, [], ended=True)
    engine.feed()
    return engine.outcome()


@settings(deadline=None, max_examples=100)
@given(
    streams,
    st.tuples(patterns("p"), patterns("q")),
    st.integers(1, 12),
    st.sampled_from(("", "early", "restarts")),
    st.sampled_from((-1, 4_096)),
)
def test_it_changes_nothing(
    stream: Stream, asked: tuple[Pattern, Pattern], batch: int, how: str, slack: int
) -> None:
    records = records_of(stream)
    plan = PatternPlan.compile(asked, NO_COUNTS)
    with pytest.MonkeyPatch.context() as patch:
        # All that wait are looked at nearly always, or those alone whose visitors have new events.
        patch.setattr(footfall.automaton_matcher, "_SLACK", slack)
        sifted = run(plan, records, batch, how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(footfall.automaton_plan, "_prefilter", lambda _automaton: None)
        plain = PatternPlan.compile(asked, NO_COUNTS)
        assert all(planned.prefilter is None for planned in plain.automata.patterns)
        known = run(plain, records, batch, how)
    assert sifted.matches.sort("match_id", "revision").equals(known.matches.sort("match_id", "revision"))
    assert sifted.digest == known.digest


THREE = Pattern("three").begin("a", event == "a").times(3, 4).within("10 ms").skip_past_last()


def test_no_automaton_is_begun_before_there_are_enough_events() -> None:
    plan = PatternPlan.compile([THREE], NO_COUNTS)
    (planned,) = plan.automata.patterns
    assert planned.prefilter is not None
    assert planned.prefilter.least == 3
    engine = Engine(plan)
    engine.read(0, [at(time, "a") for time in (0, 5, 20, 25, 40)])
    engine.feed()
    assert engine.shards[0].automata.live == 0
    engine.read(0, [at(time, "a") for time in (44, 48)] + [at(20_000, "z")])
    engine.feed()
    assert engine.outcome().matches.height == 1


def test_what_waits_is_forgotten_when_its_time_is_over() -> None:
    plan = PatternPlan.compile([THREE], NO_COUNTS)
    engine = Engine(plan)
    for number in range(200):
        engine.read(0, [at(10_000 * number, "a", f"v{number}")])
        engine.feed()
    (waiting,) = engine.shards[0].automata._waiting.values()
    assert waiting.records.size <= 2
    assert len(engine.shards[0].automata.held_rows()) <= 2


def test_visitors_who_never_come_again_are_let_go_once_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(footfall.automaton_matcher, "_SLACK", 20)
    engine = Engine(PatternPlan.compile([THREE], NO_COUNTS))
    sizes = []
    for number in range(2_000):
        engine.read(0, [at(4 * number, "a", f"v{number}")])
        engine.feed()
        sizes += [seen.records.size for seen in engine.shards[0].automata._waiting.values()]
    assert 20 < max(sizes) < 40
    assert len(engine.shards[0].automata.held_rows()) < 40


@pytest.mark.parametrize(
    ("pattern", "least"),
    [
        (THREE, 3),
        (Pattern("one").begin("a", event == "a").one_or_more().within("1 s"), None),
        (Pattern("open").begin("a", event == "a").times(2, 3), None),
        (Pattern("told").begin("a", event == "a").times(2, 3).within("1 s").with_timeouts(), None),
        (Pattern("any").begin("a", event == "a").one_or_more().next("b", event == "b").within("1 s"), None),
        (
            Pattern("few")
            .begin("a", event == "a")
            .one_or_more()
            .followed_by("b", event == "b")
            .within("1 s"),
            2,
        ),
        (
            Pattern("fresh")
            .absent("no", event == "a", for_="1 s")
            .begin("a", event == "a")
            .times(4)
            .within("1 s"),
            4,
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Pattern) else "",
)
def test_what_it_is_made_for(pattern: Pattern, least: int | None) -> None:
    (planned,) = PatternPlan.compile([pattern], NO_COUNTS).automata.patterns
    assert (planned.prefilter.least if planned.prefilter else None) == least


def test_ties_in_an_order_of_their_own_are_not_sifted() -> None:
    tied = (
        Pattern("o").begin("a", event == "a").followed_by("b", event == "b").within("5 ms").tie_order("path")
    )
    records = [Record("v", "1", "b", START, path="/2"), Record("v", "2", "a", START, path="/1")]
    assert run(PatternPlan.compile([tied], NO_COUNTS), records, 5, "").matches.height == 1
