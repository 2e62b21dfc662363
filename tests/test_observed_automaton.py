"""Observed, an automaton does what it does unobserved, and its facts account for every partial match."""

from collections import Counter
from dataclasses import replace

from automaton_patterns import bit, in_any_order, pattern, some, stage
from hypothesis import given, settings
from matching_strategies import Features, Stream, patterns, streams

from footfall.automaton import Automaton
from footfall.observed_automaton import (
    Begun,
    Expired,
    Limited,
    Moved,
    ObservedAutomaton,
    Released,
    Repeated,
    Skipped,
)
from footfall.pattern_spec import PatternSpec
from footfall.visitor_automaton import NEVER, Match, VisitorAutomaton

A, B = stage("a"), stage("b")


def observed(spec: PatternSpec, text: str, *, limit: int | None = None) -> ObservedAutomaton:
    """An automaton that took events, a letter each, 1 ms apart."""
    automaton = ObservedAutomaton(Automaton(spec), limit=limit)
    for number, letter in enumerate(text):
        automaton.take(number, number, 0 if letter == "-" else bit(letter))
    return automaton


@given(spec=patterns(Features(partial_tests=False)), stream=streams())
@settings(max_examples=150)
def test_it_does_what_it_does_unobserved(spec: PatternSpec, stream: Stream) -> None:
    automaton = Automaton(replace(spec, skip_must_hit=False))
    plain, watched = VisitorAutomaton(automaton, limit=6), ObservedAutomaton(automaton, limit=6)
    for number, time, mask in stream.events:
        expected: list[Match] = list(plain.take(number, time, mask))
        assert list(watched.take(number, time, mask)) == expected
        assert watched.snapshot() == plain.snapshot()
        _check_facts(watched, expected)
    assert list(watched.advance(1 << 40)) == list(plain.advance(1 << 40))


def _check_facts(automaton: ObservedAutomaton, out: list[Match]) -> None:
    released = [fact.match for fact in automaton.facts if isinstance(fact, Released)]
    assert released == out
    live = Counter(each.path for each in automaton.live())
    for fact in automaton.facts:
        if isinstance(fact, Moved) and fact.passed:
            dropped = any(isinstance(other, (Skipped, Limited)) for other in automaton.facts)
            assert live[fact.path] or dropped
        if isinstance(fact, Begun):
            assert all(len(path) == 1 for path in (*fact.taken, *fact.whole))
    automaton.facts = []


def test_what_is_live_is_told_with_its_times() -> None:
    (live,) = observed(pattern(A, B, within_ms=9), "-a-").live()
    assert (live.path, live.first, live.last, live.deadline) == (((0, 1),), 1, 1, 10)
    assert observed(pattern(A, B), "a").live()[0].deadline == NEVER


def test_moves_and_expiry() -> None:
    automaton = observed(pattern(A, B, within_ms=2), "a-")
    assert automaton.facts[0] == Begun((((0, 0),),), ())
    automaton.facts = []
    automaton.advance(5)
    (fact,) = automaton.facts
    assert isinstance(fact, Expired)
    assert (fact.path, fact.time, fact.whole) == (((0, 0),), 2, False)


def test_what_the_limit_drops_is_told() -> None:
    automaton = observed(pattern(A, B), "aaaa", limit=2)
    assert [fact.path for fact in automaton.facts if isinstance(fact, Limited)] == [((0, 0),), ((0, 1),)]
    assert automaton.dropped == 2


def test_what_the_skip_strategy_drops_is_told_with_its_match() -> None:
    automaton = observed(pattern(A, B, skip="past_last"), "aab")
    dropped = [fact for fact in automaton.facts if isinstance(fact, Skipped)]
    assert dropped == [Skipped(((0, 1), (1, 2)), ((0, 0), (1, 2)), whole=True)]
    loop = observed(pattern(stage("a", loop=some()), B, skip="past_last"), "aab")
    assert {fact.whole for fact in loop.facts if isinstance(fact, Skipped)} == {True, False}


def test_repeats_of_a_permutation_are_told() -> None:
    spec = pattern(in_any_order("a", "a2"))
    automaton = observed(spec, "aa")
    assert sum(isinstance(fact, Repeated) for fact in automaton.facts) == 1
    assert sum(isinstance(fact, Released) for fact in automaton.facts) == 1


def test_what_is_held_back_and_what_forbids_to_begin() -> None:
    held = observed(pattern(stage("a", loop=some()), B, skip="past_last"), "a")
    assert held.held() == []
    barred = observed(pattern(stage("n", "not_followed_by", absent_ms=3), A), "n")
    assert barred.beginnings(2) == [0]
    assert barred.beginnings(3) == []
