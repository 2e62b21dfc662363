"""Patterns beyond the compiled loops in the shard: the same answers however the stream is cut."""

import json

import pytest
from engine_harness import NO_COUNTS, Engine, Outcome, run_parts
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Record

import footfall.pattern_plan
from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.taken_events import first, last, prev, taken

START = 1_760_000_000_000


def at(
    time: int, name: str, visitor: str = "v", *, path: str | None = None, element: str | None = None
) -> Record:
    return Record(visitor, f"{visitor}{time}{name}", name, START + time, path=path, element=element)


LOOP = (
    Pattern("loop")
    .begin("a", event == "a")
    .one_or_more()
    .followed_by("b", event == "b")
    .within("20 ms")
    .output(views=taken("a").count(), page=last("a").field("path"))
)
SAME_PAGE = (
    Pattern("same_page")
    .begin("a", event == "a")
    .followed_by("b", field("path") == first("a").field("path"))
    .within("9 ms")
)
BACK = Pattern("back").begin("b", (event == "b") & (prev("event") == "a")).within("5 ms")
EITHER_ABSENT = (
    Pattern("quiet").absent("none", event == "c", for_="6 ms").begin("a", event == "a").within("15 ms")
)
TIMED = (
    Pattern("timed").begin("a", event == "a").followed_by("c", event == "c").within("7 ms").with_timeouts()
)
SKIPS = (
    Pattern("skips")
    .begin("a", event == "a")
    .times(1, 3)
    .followed_by("b", event == "b")
    .within("9 ms")
    .skip_to_last("a")
)
LEFT = (
    Pattern("left")
    .begin("a", event == "a")
    .not_followed_by("b", event == "b")
    .within("8 ms")
    .output(page=last("a").field("path"))
)
PATTERNS = (LEFT, LOOP, SAME_PAGE, BACK, EITHER_ABSENT, TIMED, SKIPS)

streams = st.lists(
    st.builds(
        lambda gap, name, visitor, path: (gap, name, visitor, path),
        st.integers(0, 6),
        st.sampled_from("abc"),
        st.sampled_from("vw"),
        st.sampled_from(["/", "/x", None]),
    ),
    max_size=25,
)


def records_of(stream: list[tuple[int, str, str, str | None]]) -> list[Record]:
    time, records = 0, []
    for number, (gap, name, visitor, path) in enumerate(stream):
        time += gap
        records.append(Record(visitor, f"m{number}", name, START + time, path=path))
    return records


def rows_of(outcome: Outcome) -> list[dict[str, object]]:
    return outcome.matches.sort("match_id").to_dicts()


@settings(max_examples=60, deadline=None)
@given(streams, st.integers(1, 7), st.sampled_from([1, 3]))
def test_batches_shards_and_restarts_change_nothing(
    stream: list[tuple[int, str, str, str | None]], batch: int, shards: int
) -> None:
    records = records_of(stream)
    whole = run_parts(records, PATTERNS)
    plan = PatternPlan.compile(PATTERNS, reserved=NO_COUNTS)
    engine = Engine(plan, shards=shards)
    for start in range(0, len(records), batch):
        engine.read(0, records[start : start + batch])
        engine.feed()
        engine.restart()
    engine.read(0, [], ended=True)
    engine.feed()
    cut = engine.outcome()
    assert rows_of(cut) == rows_of(whole)
    assert cut.digest == whole.digest
    assert cut.by_pattern() == whole.by_pattern()


LINEAR = (
    Pattern("abandoned").begin("a", event == "a").not_followed_by("b", event == "b").within("9 ms"),
    Pattern("twice")
    .begin("a", event == "a")
    .times(2)
    .next("b", event == "b")
    .within("20 ms")
    .skip_past_last(),
    Pattern("each").begin("a", event == "a").followed_by_any("b", event == "b").within("12 ms").same("path"),
    Pattern("directly").begin("a", event == "a").not_next("c", event == "c").followed_by("b", event == "b"),
    Pattern("next").begin("a").followed_by("c", event == "c").within("8 ms").skip_to_next(),
)


@settings(max_examples=80, deadline=None)
@given(streams)
def test_the_compiled_loops_and_the_automata_agree(stream: list[tuple[int, str, str, str | None]]) -> None:
    records = records_of(stream)
    loops = run_parts(records, LINEAR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(footfall.pattern_plan, "is_linear", lambda _pattern: False)
        automata = run_parts(records, LINEAR)
    assert rows_of(automata) == rows_of(loops)
    assert automata.digest == loops.digest


def test_outputs_are_of_the_match() -> None:
    found = run_parts([at(0, "a", path="/1"), at(1, "a", path="/2"), at(2, "b")], [LOOP])
    outputs = [json.loads(text) for text in found.matches["outputs"]]
    assert sorted(outputs, key=str) == [
        {"views": 1, "page": "/1"},
        {"views": 1, "page": "/2"},
        {"views": 2, "page": "/2"},
    ]


def test_timed_out_partial_matches_are_rows_of_their_own() -> None:
    found = run_parts([at(0, "a"), at(1, "c"), at(2, "a"), at(20, "x")], [TIMED])
    statuses = sorted(zip(found.matches["status"], found.matches["stages"], strict=True))
    assert statuses == [("fired", '{"a":["v0a"],"c":["v1c"]}'), ("timed_out", '{"a":["v2a"]}')]
    assert found.by_pattern() == {"timed": 1}
    assert found.total("timed_out") == 1


def test_a_limit_drops_the_oldest_and_counts_them() -> None:
    plan = PatternPlan.compile([LOOP], reserved=NO_COUNTS, limit=2)
    engine = Engine(plan)
    engine.read(0, [at(time, "a") for time in range(5)] + [at(9, "b")], ended=True)
    engine.feed()
    assert engine.outcome().total("dropped_partials") > 0
    assert engine.outcome().by_pattern()["loop"] <= 2


def test_nothing_is_kept_of_visitors_who_are_gone() -> None:
    plan = PatternPlan.compile(PATTERNS, reserved=NO_COUNTS)
    engine = Engine(plan)
    for number in range(50):
        start = number * 10_000_000
        engine.read(0, [at(start, "a", f"v{number}"), at(start + 1, "c", f"v{number}")])
        engine.feed()
        # What `prev` goes back to, it remembers for `within` at most.
        assert engine.shards[0].automata.live <= 8


def test_ties_are_in_the_order_of_a_field() -> None:
    pattern = (
        Pattern("ordered").begin("a", event == "a").next("b", event == "b").within("5 ms").tie_order("path")
    )
    swapped = [at(0, "b", path="/2"), at(0, "a", path="/1")]
    assert run_parts(swapped, [pattern]).by_pattern() == {"ordered": 1}
    assert (
        run_parts(swapped, [Pattern("o").begin("a", event == "a").next("b", event == "b")]).by_pattern() == {}
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_a_value_whose_time_is_over_makes_room_without_loss(batch: int) -> None:
    gone = (
        Pattern("gone")
        .begin("a", event == "a")
        .one_or_more()
        .not_followed_by("b", event == "b")
        .within("10 s")
        .same("path")
    )
    plan = PatternPlan.compile([gone], reserved=NO_COUNTS, limit=1)
    records = [at(0, "a", path="/x"), at(20_000, "a", path="/y"), at(40_000, "z"), at(60_000, "z")]
    engine = Engine(plan)
    for start in range(0, 4, batch):
        engine.read(0, records[start : start + batch])
        engine.feed()
    engine.read(0, [], ended=True)
    engine.feed()
    assert engine.outcome().by_pattern() == {"gone": 2}
    assert engine.outcome().total("dropped_partials") == 0


def test_matches_that_are_held_up_count_towards_the_limit() -> None:
    held = (
        Pattern("held")
        .begin("a", event == "a")
        .followed_by("b", field("path") == first("a").field("path"))
        .skip_past_last()
    )
    engine = Engine(PatternPlan.compile([held], reserved=NO_COUNTS, limit=5))
    pairs = [at(20 * number + 20, "ab"[number % 2], path="/") for number in range(400)]
    engine.read(0, [at(0, "a", path="/x"), *pairs])
    engine.feed()
    assert len(engine.shards[0].automata._taken) < 20


def test_what_is_remembered_of_a_visitor_is_noted_once() -> None:
    quiet = (
        Pattern("quiet")
        .absent("none", event == "c", for_="30 d")
        .begin("a", event == "a")
        .one_or_more()
        .not_followed_by("x", event == "b")
        .within("1 s")
    )
    engine = Engine(PatternPlan.compile([quiet], reserved=NO_COUNTS))
    for number in range(50):
        engine.read(0, [at(3_000 * number, "c")])
        engine.feed()
    automata = engine.shards[0].automata
    assert len(automata._memories) + len(automata._due) <= 2
