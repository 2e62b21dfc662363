"""What comes of a visitor's events, pattern by pattern; snapshots, quiet events and steps of time don't matter."""

import pickle
from collections import Counter
from dataclasses import replace

import pytest
from automaton_patterns import (
    bit,
    either,
    events_of,
    group,
    in_any_order,
    letters,
    optional,
    pattern,
    run,
    some,
    stage,
)
from hypothesis import given
from hypothesis import strategies as st

from footfall.automaton import Automaton
from footfall.automaton_states import State
from footfall.errors import MatchError
from footfall.pattern_spec import Contiguity, Inner, LoopSpec, PartialView, PatternSpec, Skip, StageSpec
from footfall.visitor_automaton import NEVER, Match, VisitorAutomaton

A, B, C, D, N = (stage(name) for name in "abcdn")
NOT_N = stage("n", "not_followed_by")


@pytest.mark.parametrize(
    ("contiguity", "expected"), [("strict", [(0, 1)]), ("relaxed", [(0, 1)]), ("any", [(0, 1), (0, 3)])]
)
def test_contiguity(contiguity: Contiguity, expected: list[tuple[int, ...]]) -> None:
    assert events_of(run(pattern(A, replace(B, contiguity=contiguity)), "a b - b")) == expected


def test_an_optional_stage_is_not_greedy() -> None:
    assert events_of(run(pattern(A, stage("b", loop=optional()), C), "a b c")) == [(0, 1, 2), (0, 2)]


def test_the_longer_loop_comes_first() -> None:
    assert events_of(run(pattern(A, stage("b", loop=some()), C), "a b b c")) == [(0, 1, 2, 3), (0, 1, 3)]


def test_a_greedy_loop_takes_all_and_ends_paths_that_wait() -> None:
    greedy = stage("b", loop=some(greedy=True))
    assert events_of(run(pattern(A, greedy, C), "a b - b c")) == [(0, 1, 3, 4)]
    assert not run(pattern(stage("a", loop=some(greedy=True)), stage("a2")), "a a a")
    assert events_of(run(pattern(A, greedy), "a b b")) == [(0, 1), (0, 1, 2)]


class _Asked:
    """Passes whatever it is asked about, which is what has the bit of the letter `u`."""

    def __init__(self) -> None:
        self.bit = bit("u").bit_length() - 1
        self.events: set[int] = set()

    def __call__(self, event: int, partial: PartialView) -> bool:
        self.events.add(event)
        return True


@pytest.mark.parametrize("greedy", [False, True])
def test_a_test_is_not_asked_about_events_without_its_bit(*, greedy: bool) -> None:
    test = _Asked()
    asked, plain = (
        pattern(A, stage("b", loop=some(greedy=greedy, until=until, has_until=True)), C)
        for until in (test, bit("u"))
    )
    found = events_of(run(asked, "a b bu b c"))
    assert found == events_of(run(plain, "a b bu b c")) == [(0, 1, 4)]
    assert test.events == {2}


def test_until_lifts_greediness_right_after_the_loops_last_event_alone() -> None:
    greedy = stage("b", loop=some(greedy=True, until=bit("u"), has_until=True))
    assert events_of(run(pattern(A, greedy, C), "a b u b c")) == [(0, 1, 4)]
    assert events_of(run(pattern(A, greedy, C), "a b bcu")) == [(0, 1, 2)]
    assert not run(pattern(A, greedy, C), "a b - u b c")
    assert not run(pattern(A, greedy, C), "a b - bcu")


def test_a_bound_on_the_step_into_a_group_is_one_on_whichever_stage_comes_first() -> None:
    inner = (stage("b", "begin", optional()), C)
    bounded = pattern(A, StageSpec("g", "relaxed", step_within_ms=2, group=inner))
    assert not run(bounded, "a - c")
    assert events_of(run(bounded, "a b - - c")) == [(0, 1, 4)]
    rounds = LoopSpec(least=2, most=2, step_within_ms=2)
    again = pattern(StageSpec("g", "relaxed", loop=rounds, group=inner))
    assert not run(again, "b c - c")
    assert events_of(run(again, "b c b - c")) == [(0, 1, 2, 4), (1, 2, 4)]


def test_until_of_a_group_forbids_skipping_only_once_the_group_has_begun() -> None:
    inner = (stage("b", "begin", optional()), C)
    spec = pattern(A, StageSpec("g", "relaxed", loop=some(until=bit("u"), has_until=True), group=inner), D)
    assert events_of(run(spec, "a u c u c d")) == [(0, 2, 5)]


def test_a_not_stage_behind_a_group_holds_from_a_loop_at_its_end_and_between_its_rounds() -> None:
    last = pattern(A, group("g", B, stage("c", loop=some())), NOT_N, D)
    assert not run(last, "a b c n c d")
    assert events_of(run(last, "a b n c d")) == [(0, 1, 3, 4)]
    whole = pattern(A, group("g", B, C, loop=some()), NOT_N, D)
    assert events_of(run(whole, "a b n c d")) == [(0, 1, 3, 4)]
    assert events_of(run(whole, "a n b c d")) == [(0, 2, 3, 4)]
    assert not run(whole, "a b c n b c d")
    assert events_of(run(whole, "a b c b n c d")) == [(0, 1, 2, 3, 5, 6)]


def test_an_event_that_is_taken_is_not_in_between_whatever_another_way_forbids() -> None:
    spec = pattern(group("g", stage("b", loop=some()), stage("c", loop=optional())), NOT_N, D)
    assert events_of(run(spec, "b bn d")) == [(0, 1, 2), (1, 2)]


def test_two_loops_around_a_permutation_count_twice() -> None:
    both = replace(in_any_order("b", "c"), contiguity="begin", loop=LoopSpec(1, 2))
    spec = pattern(group("g", both, loop=some()))
    assert Counter(events_of(run(spec, "c b c b")))[0, 1, 2, 3] == 2
    assert Counter(events_of(run(spec, "bc bc")))[0, 1] == 1


def test_a_loop_bound_does_not_shorten_a_trailing_absence() -> None:
    loop = stage("a", test=None, loop=some(greedy=True, step_within_ms=1))
    (match,) = run(pattern(loop, NOT_N, within_ms=3), "a", until=9)
    assert match.time == 3


def test_what_can_not_go_on_waits_for_its_next_event() -> None:
    greedy = stage("a", test=None, loop=LoopSpec(1, 2, greedy=True))
    spec = pattern(greedy, B, within_ms=2, gives_timeouts=True)
    timed_out = run(spec, "a a", until=9)
    assert [(match.events, match.time) for match in timed_out] == [((0, 1), 2), ((1,), 3)]


def test_a_reluctant_loop_takes_no_more_than_it_must() -> None:
    reluctant = stage("b", loop=some(reluctant=True))
    assert events_of(run(pattern(A, reluctant, C), "a b b c")) == [(0, 1, 3)]
    strict = stage("b", "strict", some(reluctant=True, inner="strict"))
    assert events_of(run(pattern(A, strict, stage("c", "strict")), "a b b bc c")) == [(0, 1, 2, 3)]
    assert events_of(run(pattern(A, reluctant), "a b b b")) == [(0, 1)]


def test_until_forbids_skipping_after_the_first_event_of_the_loop() -> None:
    spec = pattern(A, stage("b", loop=some(until=bit("u"), has_until=True)), C)
    assert events_of(run(spec, "a u b b u b c")) == [(0, 2, 3, 6), (0, 2, 6)]


@pytest.mark.parametrize("text", ["a n c", "a - n c"])
def test_not_followed_by(text: str) -> None:
    assert not run(pattern(A, NOT_N, C), text)


def test_the_event_that_ends_a_not_stage_is_not_in_between() -> None:
    assert events_of(run(pattern(A, NOT_N, C), "a cn")) == [(0, 1)]
    assert events_of(run(pattern(A, NOT_N, C, D), "a cn d")) == [(0, 1, 2)]


def test_a_not_stage_after_a_loop_holds_from_its_first_event() -> None:
    spec = pattern(A, stage("b", loop=some()), NOT_N, C)
    assert not run(spec, "a b n b c")
    assert not run(spec, "a b bn c")
    assert not run(pattern(A, stage("b", loop=LoopSpec(2, 2)), NOT_N, C), "a b n b c")


def test_a_not_stage_before_an_optional_one_ends_once_that_takes_an_event() -> None:
    spec = pattern(A, NOT_N, stage("b", loop=optional()), C)
    assert events_of(run(spec, "a b n c")) == [(0, 1, 3)]
    assert not run(spec, "a n b c")


def test_a_not_stage_at_a_groups_end_holds_until_the_next_stage() -> None:
    spec = pattern(A, group("g", B, NOT_N), C)
    assert not run(spec, "a b n c")
    assert events_of(run(spec, "a n b c")) == [(0, 2, 3)]


def test_not_next() -> None:
    not_next = stage("n", "not_next")
    assert events_of(run(pattern(A, not_next, C), "a - n c")) == [(0, 3)]
    assert not run(pattern(A, not_next, C), "a n c")
    assert not run(pattern(A, stage("b", loop=some()), not_next, C), "a b n c")


def test_a_trailing_not_next_needs_one_more_event() -> None:
    spec = pattern(A, stage("n", "not_next"))
    assert not run(spec, "a")
    assert not run(spec, "a n")
    (match,) = run(spec, "a -")
    assert (match.events, match.time, match.by_time) == ((0,), 1, False)


def test_a_trailing_not_followed_by_is_released_by_time() -> None:
    spec = pattern(A, B, NOT_N, within_ms=5)
    assert not run(spec, "a b n", until=99)
    assert not run(spec, "a b", until=4)
    assert run(spec, "a b - - - n") == [Match((("a", 0), ("b", 1)), 5, by_time=True)]


def test_a_trailing_not_followed_by_after_a_loop_needs_no_further_event() -> None:
    spec = pattern(A, stage("b", loop=some()), NOT_N, within_ms=5)
    assert events_of(run(spec, "a b b", until=5)) == [(0, 1, 2), (0, 1)]
    assert events_of(run(spec, "a b", until=5)) == [(0, 1)]


def test_a_trailing_not_followed_by_may_count_from_the_last_event() -> None:
    spec = pattern(A, stage("b", loop=some()), stage("n", "not_followed_by", step_within_ms=3))
    released = run(spec, "a b - b", until=99)
    assert [(match.events, match.time) for match in released] == [((0, 1), 4), ((0, 1, 3), 6)]


def test_absence_at_the_start() -> None:
    spec = pattern(stage("n", "not_followed_by", absent_ms=3), replace(A, contiguity="begin"), B)
    assert not run(spec, "n - a b")
    assert events_of(run(spec, "n - - a b")) == [(3, 4)]
    assert events_of(run(spec, "a b")) == [(0, 1)]
    assert events_of(run(spec, "an b")) == [(0, 1)]


def test_alternation_is_named_by_the_first() -> None:
    spec = pattern(A, either("b", "c"), D)
    (match,) = run(spec, "a bc d")
    assert match.steps == (("a", 0), ("b", 1), ("d", 2))
    assert events_of(run(spec, "a c b d")) == [(0, 1, 3)]
    assert events_of(run(pattern(A, either("b", "c", loop=LoopSpec(2, 2)), D), "a c b d")) == [(0, 1, 2, 3)]


def test_a_choice_may_be_a_loop_or_a_group() -> None:
    choices = (
        group("g", stage("b"), stage("c"), contiguity="begin"),
        stage("d", "begin", LoopSpec(1, 2)),
    )
    spec = pattern(A, StageSpec("g|d", "relaxed", choices=choices), stage("e"))
    assert events_of(run(spec, "a b d c e")) == [(0, 1, 3, 4)]
    assert events_of(run(spec, "a d b d e")) == [(0, 1, 3, 4), (0, 1, 4)]


def test_a_permutation_of_many_stages_stays_small() -> None:
    names = "bcdefghi"
    automaton = Automaton(pattern(A, in_any_order(*names), stage("z")))
    assert len(automaton.states) < len(names) * 2 ** len(names)
    visitor = VisitorAutomaton(automaton)
    out: list[Match] = []
    for event, letter in enumerate("a" + names[::-1] + "z"):
        out += visitor.take(event, event, bit(letter))
    assert events_of(out) == [tuple(range(10))]


def test_permutation() -> None:
    spec = pattern(A, in_any_order("b", "c"), D)
    assert events_of(run(spec, "a b c d")) == [(0, 1, 2, 3)]
    assert events_of(run(spec, "a c - b d")) == [(0, 1, 3, 4)]
    assert not run(spec, "a b b d")
    strict = pattern(A, in_any_order("b", "c", contiguity="strict", inner="strict"), stage("d", "strict"))
    assert events_of(run(strict, "a c b d")) == [(0, 1, 2, 3)]
    assert not run(strict, "a c - b d")


def test_a_match_found_by_two_orders_counts_once() -> None:
    (match,) = run(pattern(A, in_any_order("b", "c"), D), "a bc bc d")
    assert match.steps == (("a", 0), ("b", 1), ("c", 2), ("d", 3))


def test_groups_loop_with_the_contiguity_between_rounds() -> None:
    twice = group("g", B, C, loop=LoopSpec(1, None, inner="strict"))
    assert events_of(run(pattern(A, twice, D), "a b c b c d")) == [(0, 1, 2, 3, 4, 5), (0, 1, 2, 5)]
    assert events_of(run(pattern(A, twice, D), "a b c - b c d")) == [(0, 1, 2, 6)]
    relaxed = group("g", B, C, loop=some(optional=True))
    assert events_of(run(pattern(A, relaxed, D), "a b - c - b c - d")) == [
        (0, 1, 3, 5, 6, 8),
        (0, 1, 3, 8),
        (0, 8),
    ]


def test_a_group_may_begin_with_an_optional_stage_and_be_empty() -> None:
    empty = group("g", stage("b", loop=optional()), stage("c", loop=optional()), loop=some())
    assert sorted(set(events_of(run(pattern(A, empty, D), "a c b d")))) == [
        (0, 1, 2, 3),
        (0, 1, 3),
        (0, 2, 3),
        (0, 3),
    ]


def test_within_is_exclusive() -> None:
    assert run(pattern(A, B, within_ms=3), "a - b")
    assert not run(pattern(A, B, within_ms=3), "a - - b")


def test_steps_are_bounded_each() -> None:
    assert not run(pattern(A, stage("b", step_within_ms=2), C), "a - b c")
    assert run(pattern(A, stage("b", step_within_ms=2), C), "a b - - - c")
    loop = stage("b", loop=LoopSpec(1, 3, step_within_ms=2))
    assert events_of(run(pattern(A, loop, C), "a b b - b c")) == [(0, 1, 2, 5), (0, 1, 5)]


def test_timed_out_partial_matches() -> None:
    spec = pattern(A, B, C, within_ms=4, gives_timeouts=True)
    assert run(spec, "a b", until=10) == [Match((("a", 0), ("b", 1)), 4, by_time=True, timed_out=True)]
    bounded = pattern(A, stage("b", step_within_ms=2), gives_timeouts=True)
    assert run(bounded, "a", until=10) == [Match((("a", 0),), 2, by_time=True, timed_out=True)]


@pytest.mark.parametrize(
    ("skip", "expected"),
    [
        ("no_skip", [(0, 1, 2, 3), (0, 1, 3), (0, 3), (1, 2, 3), (1, 3), (2, 3)]),
        ("to_next", [(0, 1, 2, 3), (1, 2, 3), (2, 3)]),
        ("past_last", [(0, 1, 2, 3)]),
        ("to_first", [(0, 1, 2, 3), (1, 2, 3), (2, 3)]),
        ("to_last", [(0, 1, 2, 3), (2, 3)]),
    ],
)
def test_skip_strategies(skip: Skip, expected: list[tuple[int, ...]]) -> None:
    spec = pattern(A, stage("a2", "relaxed", LoopSpec(1, 2, optional=True)), B, skip=skip, skip_stage="a2")
    assert events_of(run(spec, "a a a b")) == expected


def test_a_match_waits_for_a_partial_match_that_began_earlier_and_time_releases_it() -> None:
    spec = pattern(A, stage("b", loop=some(greedy=True)), C, skip="past_last", within_ms=6)
    either_way = pattern(A, either("b", "c"), D, skip="past_last", within_ms=6)
    assert events_of(run(either_way, "a a b d")) == [(0, 2, 3)]
    waiting = pattern(A, stage("b", test=_second_begins), skip="to_next", within_ms=4)
    assert events_of(run(spec, "a b c")) == [(0, 1, 2)]
    (match,) = run(waiting, "a a b", until=9)
    assert (match.events, match.time, match.by_time) == ((1, 2), 4, True)


def _second_begins(event: int, partial: PartialView) -> bool:
    return event == 2 and list(partial.taken("a")) == [1]


def test_skipping_to_a_stage_that_took_nothing_is_no_skip_or_raises() -> None:
    spec = pattern(A, stage("b", "strict", optional()), C, skip="to_first", skip_stage="b")
    assert events_of(run(spec, "a a c")) == [(0, 2), (1, 2)]
    with pytest.raises(MatchError, match="took no event"):
        run(replace(spec, skip_must_hit=True), "a c")
    with pytest.raises(MatchError, match="first"):
        run(replace(spec, skip_stage="a", skip_must_hit=True), "a c")


def test_what_a_test_sees() -> None:
    seen: list[tuple[int, list[int], list[int], int, int]] = []

    def look(event: int, partial: PartialView) -> bool:
        seen.append(
            (event, list(partial.taken("a")), list(partial.taken("g")), partial.before(1), partial.before(3))
        )
        return False

    run(pattern(A, group("g", B, C), stage("x", test=look), looks_back=3), "a b - c d")
    assert seen == [(4, [0], [1, 3], 3, 1)]


def test_the_oldest_partial_matches_are_dropped_at_the_limit() -> None:
    visitor = VisitorAutomaton(Automaton(pattern(A, B)), limit=2)
    for event in range(4):
        visitor.take(event, event, bit("a"))
    assert (visitor.open_partials, visitor.dropped) == (2, 2)
    assert events_of(visitor.take(4, 4, bit("b"))) == [(2, 4), (3, 4)]


def test_dropping_a_partial_match_lets_out_what_waited_for_it() -> None:
    spec = pattern(A, stage("b", test=_second_begins), skip="to_next", within_ms=9)
    visitor = VisitorAutomaton(Automaton(spec), limit=3)
    out = [visitor.take(event, event, mask) for event, (_, mask) in enumerate(letters("a a b"))]
    assert [events_of(matches) for matches in out] == [[], [], []]
    assert events_of(visitor.take(3, 3, bit("a"))) == []
    assert events_of(visitor.take(4, 4, bit("a"))) == [(1, 2)]


def test_the_events_that_it_holds() -> None:
    visitor = VisitorAutomaton(Automaton(pattern(A, stage("b", loop=some()), C, within_ms=9, looks_back=1)))
    for event, (time, bits) in enumerate(letters("a b a d d")):
        visitor.take(event, time, bits)
    assert visitor.held_events() == {0, 1, 2, 4}
    assert visitor.remembers
    absent = pattern(stage("n", "not_followed_by", absent_ms=3), replace(A, contiguity="begin"))
    forbidden = VisitorAutomaton(Automaton(absent))
    assert not forbidden.remembers
    forbidden.take(0, 0, bit("n"))
    assert forbidden.remembers


def test_deadlines_and_idleness() -> None:
    visitor = VisitorAutomaton(Automaton(pattern(A, B, within_ms=5)))
    assert (visitor.idle, visitor.next_deadline) == (True, NEVER)
    visitor.take(0, 10, bit("a"))
    assert (visitor.idle, visitor.next_deadline) == (False, 15)
    assert visitor.advance(14) == ()
    assert visitor.open_partials == 1
    assert visitor.advance(NEVER) == []
    assert (visitor.idle, visitor.next_deadline) == (True, NEVER)


_LOOPS = st.builds(
    LoopSpec,
    least=st.integers(1, 2),
    most=st.sampled_from([2, 3, None]),
    optional=st.booleans(),
    inner=st.sampled_from(["relaxed", "strict", "any"]),
    greedy=st.booleans(),
    until=st.just(bit("u")),
    has_until=st.booleans(),
    step_within_ms=st.sampled_from([None, None, 3]),
)


@st.composite
def _patterns(draw: st.DrawFn) -> PatternSpec:
    stages: list[StageSpec] = []
    for index in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from("abc")) + str(index)
        contiguity: Contiguity = draw(st.sampled_from(["strict", "relaxed", "any"]))
        kind = draw(st.sampled_from(["one", "loop", "group", "either", "not"]))
        if kind == "not" and stages:
            stages.append(stage(f"n{index}", draw(st.sampled_from(["not_next", "not_followed_by"]))))
        elif kind == "group":
            inner: Inner = draw(st.sampled_from(["relaxed", "strict"]))
            parts = (stage(f"{name}x"), stage(f"c{index}y", draw(st.sampled_from(["relaxed", "any"]))))
            stages.append(group(f"g{index}", *parts, contiguity=contiguity, loop=LoopSpec(1, 2, inner=inner)))
        elif kind == "either":
            stages.append(either(name, f"d{index}", contiguity=contiguity))
        else:
            stages.append(stage(name, contiguity, draw(_LOOPS) if kind == "loop" else None))
    return pattern(
        *stages,
        within_ms=draw(st.sampled_from([4, 9])),
        skip=draw(st.sampled_from(["no_skip", "to_next", "past_last"])),
        gives_timeouts=draw(st.booleans()),
    )


def _none_yet() -> list[Match]:
    return []


_STREAMS = st.lists(st.sampled_from(["a", "b", "c", "d", "n", "u", "ab", "bc", "-"]), max_size=12).map(
    " ".join
)


@given(_patterns(), _STREAMS, st.integers(0, 12))
def test_a_snapshot_anywhere_changes_nothing(spec: PatternSpec, text: str, cut: int) -> None:
    automaton = Automaton(spec)
    visitor, out = VisitorAutomaton(automaton), _none_yet()
    for event, (time, bits) in enumerate(letters(text)):
        if event == cut:
            saved = pickle.loads(pickle.dumps(visitor.snapshot()))
            visitor = VisitorAutomaton.restored(Automaton(spec), saved)
        out += visitor.take(event, time, bits)
    assert [*out, *visitor.advance(50)] == run(spec, text, until=50)


@given(_patterns(), _STREAMS)
def test_events_without_interest_need_not_be_taken(spec: PatternSpec, text: str) -> None:
    """Passing over events at once is the same as giving each of them to every partial match."""
    patient = Automaton(spec)
    patient.states = tuple(_all_restless(state) for state in patient.states)
    patient.starts_blank = True
    visitor, out = VisitorAutomaton(patient), _none_yet()
    hasty, skipping = VisitorAutomaton(Automaton(spec)), _none_yet()
    for event, (time, bits) in enumerate(letters(text)):
        out += visitor.take(event, time, bits)
        if hasty._automaton.sees_all or bits & hasty._automaton.interest:
            skipping += hasty.take(event, time, bits)
        else:
            skipping += hasty.advance(time)
    out += visitor.advance(50)
    skipping += hasty.advance(50)
    assert [match for match in skipping if not match.timed_out] == [
        match for match in out if not match.timed_out
    ]
    # A bound on a step may let go of a path that leads nowhere sooner.
    assert {match.steps for match in skipping} == {match.steps for match in out}


def _all_restless(state: State) -> State:
    return replace(state, restless=True)


@given(_patterns(), _STREAMS)
def test_time_may_move_in_any_steps(spec: PatternSpec, text: str) -> None:
    visitor, out = VisitorAutomaton(Automaton(spec)), _none_yet()
    for event, (time, bits) in enumerate(letters(text)):
        for between in (10 * time - 5, 10 * time):
            out += visitor.advance(between)
        out += visitor.take(event, 10 * time, bits)
    for time in range(0, 900, 7):
        out += visitor.advance(time)
    at_once, coarse = VisitorAutomaton(Automaton(spec)), _none_yet()
    for event, (time, bits) in enumerate(letters(text)):
        coarse += at_once.take(event, 10 * time, bits)
    assert out == [*coarse, *at_once.advance(10_000)]
