"""No match settles later than a trigger's memory of its first event lasts."""

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from matching_strategies import Stream, patterns, streams
from test_matching_properties import _engine, _show_masks

from footfall import Pattern, event
from footfall.errors import MatchError
from footfall.pattern_spec import PatternSpec, StageSpec
from footfall.pattern_stage import Stage
from footfall.trigger_memory import LONGEST_MEMORY_MS, memory_ms

A = Pattern("p").begin("a", event == "a")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (A, 0),
        (A.within(50), 50),
        (A.not_followed_by("b", event == "b").within(50), 50),
        (A.not_followed_by("b", event == "b", within=70), 70),
        (A.not_followed_by("b", event == "b", within=70).within(50), 120),
        (A.followed_by("b", event == "b").within(50), 50),
        (A.followed_by("b", event == "b"), LONGEST_MEMORY_MS),
        (A.times(2), LONGEST_MEMORY_MS),
        (A.skip_past_last(), LONGEST_MEMORY_MS),
        (A.not_next("b", event == "b"), LONGEST_MEMORY_MS),
        (A.not_next("b", event == "b").within(50), 50),
    ],
    ids=str,
)
def test_memory(pattern: Pattern, expected: int) -> None:
    assert memory_ms(pattern) == expected


def _stage(spec: StageSpec) -> Stage:
    loop = spec.loop
    return Stage(
        spec.name,
        spec.contiguity,
        times=loop.least,
        more=None if loop.most is None else loop.most - loop.least,
        optional=loop.optional,
        step_within_ms=spec.step_within_ms,
        absent_ms=spec.absent_ms,
        group=tuple(map(_stage, spec.group)),
        choices=tuple(map(_stage, spec.choices)),
        members=tuple(map(_stage, spec.members)),
    )


@given(spec=patterns(), stream=streams())
@settings(max_examples=300)
def test_no_match_settles_after_the_memory_of_its_first_event_is_over(
    spec: PatternSpec, stream: Stream
) -> None:
    stages = tuple(map(_stage, spec.stages))
    memory = memory_ms(Pattern("p", stages=stages, within_ms=spec.within_ms, skip=spec.skip))
    _show_masks(spec.stages, [mask for _, _, mask in stream.events])
    times = {number: time for number, time, _ in stream.events}
    try:
        matches, _ = _engine(spec, stream)
    except MatchError:
        return
    for match in matches:
        first = min(times[number] for _, number in match.taken)
        note(f"bounded: {memory < LONGEST_MEMORY_MS}, waited: {match.at > first}")
        assert match.at - first <= memory
