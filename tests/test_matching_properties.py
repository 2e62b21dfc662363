"""The engine's matcher of one visitor and one pattern against the reference, on random patterns and streams."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import event, given, settings
from matching_strategies import Marked, Stream, patterns, streams
from reference_matches import ReferenceMatch, SkipTargetMissedError, find_matches

from footfall.automaton import Automaton
from footfall.errors import MatchError
from footfall.pattern_spec import LoopSpec, PatternSpec, StageSpec
from footfall.visitor_automaton import Match, VisitorAutomaton

Taken = tuple[tuple[str, int], ...]

_EXAMPLES = int(os.environ.get("FOOTFALL_MATCHING_EXAMPLES", "500"))
"""Set the variable to look for differences at length; beside `--hypothesis-seed` each run looks elsewhere."""


def _show_masks(stages: Iterable[StageSpec], masks: list[int]) -> None:
    """Tells the tests that name a bit which events have it."""
    for stage in stages:
        for test in (stage.test, stage.loop.until):
            if isinstance(test, Marked):
                test.masks[:] = masks
        _show_masks((*stage.group, *stage.choices, *stage.members), masks)


def _engine(spec: PatternSpec, stream: Stream) -> tuple[list[ReferenceMatch], set[tuple[int, Taken]]]:
    """What the engine gives: the matches in order, and the partial matches that timed out."""
    visitor = VisitorAutomaton(Automaton(spec))
    out: list[Match] = []
    for number, time, mask in stream.events:
        out += visitor.take(number, time, mask)
    if stream.end is not None:
        out += visitor.advance(stream.end)
    matches = [
        ReferenceMatch(tuple(match.steps), match.time, match.by_time) for match in out if not match.timed_out
    ]
    return matches, {(match.time, tuple(match.steps)) for match in out if match.timed_out}


@given(spec=patterns(), stream=streams())
@settings(max_examples=_EXAMPLES)
def test_the_engine_finds_what_the_reference_finds(spec: PatternSpec, stream: Stream) -> None:
    _show_masks(spec.stages, [mask for _, _, mask in stream.events])
    try:
        expected = find_matches(spec, stream.events, stream.end)
    except SkipTargetMissedError:
        event("a skip misses its target")
        with pytest.raises(MatchError):
            _engine(spec, stream)
        return
    matches, timed_out = _engine(spec, stream)
    event(f"{min(len(expected.matches), 5)} matches")
    assert Counter(matches) == Counter(expected.matches)
    if spec.skip != "no_skip":
        assert matches == list(expected.matches)
    assert timed_out == (expected.timed_out if spec.gives_timeouts else set())


def test_a_bound_on_a_group_holds_where_its_head_is_left_out() -> None:
    stages = (StageSpec("b", "begin", 2, LoopSpec(optional=True)), StageSpec("c", "relaxed", 4))
    spec = PatternSpec(
        "p", (StageSpec("a", "begin", 1), StageSpec("g", "relaxed", step_within_ms=1, group=stages))
    )
    stream = Stream(((0, 0, 1), (1, 1, 4)), None)
    matches, _ = _engine(spec, stream)
    assert matches == list(find_matches(spec, stream.events).matches) == []


def test_a_reluctant_end_comes_where_a_greedy_loop_before_it_forbids_to_leave_it_out() -> None:
    greedy = StageSpec("b", "relaxed", 1, LoopSpec(most=None, greedy=True))
    group = StageSpec("g", "begin", group=(StageSpec("a", "begin", 1), greedy))
    once = StageSpec("c", "relaxed", None, LoopSpec(optional=True, reluctant=True))
    looping = replace(once, loop=replace(once.loop, most=None))
    stream = Stream(((0, 0, 1), (1, 0, 1), (2, 0, 0), (3, 0, 0)), None)
    for last in (once, looping):
        spec = PatternSpec("p", (group, last))
        matches, _ = _engine(spec, stream)
        assert [match.taken for match in matches] == [(("a", 0), ("b", 1), ("c", 2))]
        assert matches == list(find_matches(spec, stream.events).matches)


def test_a_partial_match_waits_in_vain_for_an_alternation_as_for_a_single_stage() -> None:
    until = LoopSpec(most=None, until=2, has_until=True)
    single = StageSpec("b", "strict", 2, until)
    choices = StageSpec("c", "strict", loop=until, choices=tuple(StageSpec(n, "begin", 2) for n in "de"))
    stream = Stream(((0, 0, 1),), 5)
    for last in (single, choices):
        spec = PatternSpec("p", (StageSpec("a", "begin", 1), last), within_ms=5, gives_timeouts=True)
        _, timed_out = _engine(spec, stream)
        assert timed_out == find_matches(spec, stream.events, stream.end).timed_out == {(5, (("a", 0),))}
