"""Explanations of small streams, read and run as the command does it, for tests."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine_harness import MemorySource

from footfall.explanation import Explainer, Explanation
from footfall.expression import Expression, field
from footfall.match_trace import Entry, PartialMatch, Trace
from footfall.pattern import Pattern
from footfall.pattern_spec import PatternSpec, StageSpec, Test
from footfall.pattern_stage import Stage
from footfall.settings import Settings
from footfall.visitor_events import VisitorEvents, read_visitor

START = 1_760_000_000_000
"""The time of a stream's first event: 2025-10-09 08:53:20 UTC."""

SETTINGS = Settings(store="none", lateness=0)
VISITOR = "v"


def events_of(stream: str, *, apart: int = 1000) -> list[dict[str, Any]]:
    """A record a word, `apart` ms from the one before: a name, after a colon its x; `-` is another name."""
    words = [word.split(":") for word in stream.split()]
    return [
        {
            "message_id": f"m{number + 1}",
            "visitor_id": VISITOR,
            "event": "other" if word[0] == "-" else word[0],
            "event_time": START + number * apart,
            **({"x": int(word[1])} if word[1:] else {}),
        }
        for number, word in enumerate(words)
    ]


def source_of(*partitions: Iterable[Mapping[str, Any]]) -> MemorySource:
    """Partitions of records."""
    lines = {
        f"p{number}": [json.dumps(record).encode() for record in records]
        for number, records in enumerate(partitions)
    }
    return MemorySource(lines)


def read(
    pattern: Pattern, *partitions: Iterable[Mapping[str, Any]], settings: Settings = SETTINGS
) -> VisitorEvents:
    """The visitor's events in the records, and the engine's matches."""
    columns = Explainer(pattern, settings.partial_limit).columns
    return read_visitor(settings, source_of(*partitions), pattern, VISITOR, columns)


def explained(
    pattern: Pattern,
    stream: str | Sequence[Mapping[str, Any]],
    *,
    apart: int = 1000,
    clock: int | None = None,
    settings: Settings = SETTINGS,
) -> Explanation:
    """The explanation of a stream, written as `events_of` takes it, or of records.

    With `clock` somebody else's event moves the clock on to so many ms after the start. That trace and engine agree
    is checked.
    """
    records = events_of(stream, apart=apart) if isinstance(stream, str) else list(stream)
    if clock is not None:
        # An event at a time lets the clock pass what is before it.
        other = {"message_id": "w1", "visitor_id": "w", "event": "w", "event_time": START + clock + 1}
        records = [*records, other]
    explainer = Explainer(pattern, settings.partial_limit)
    explanation = explainer.explain(read(pattern, records, settings=settings))
    assert explanation.disagreement == ()
    return explanation


def trace_of(pattern: Pattern, stream: str, **how: Any) -> Trace:
    """The trace of a stream, as `explained` takes it."""
    return explained(pattern, stream, **how).trace


def lines_of(trace: Trace) -> list[str]:
    """What happened, a line for each entry: the event's number from 1 (`t` for time), partial match and words."""
    return [f"{_place(entry)} #{entry.partial} {entry.words}" for entry in trace.entries]


def _place(entry: Entry) -> str:
    return "t" if entry.event is None else str(entry.event + 1)


def steps_of(row: PartialMatch) -> str:
    """A partial match's steps, as "a1 b3": stage and event number from 1."""
    return " ".join(f"{stage}{number + 1}" for stage, number in row.steps)


def pattern_of(spec: PatternSpec) -> Pattern:
    """A random `PatternSpec` as people would write it: bit k asks whether `element` has the k-th letter.

    Its tests must be bits; the members of a permutation join each other as the first of them does.

    Raises:
        PatternError: people can't write it.
    """
    pattern = Pattern(
        spec.name,
        within_ms=spec.within_ms,
        skip=spec.skip,
        skip_stage=spec.skip_stage,
        gives_timeouts=spec.gives_timeouts,
    )
    for number, stage in enumerate(spec.stages):
        first = number == 1 and spec.stages[0].absent_ms is not None
        pattern = pattern.with_stage(_stage(replace(stage, contiguity="begin") if first else stage))
    return pattern.check()


def _stage(spec: StageSpec) -> Stage:
    loop = spec.loop
    stage = Stage(spec.name, spec.contiguity, _condition(spec.test))
    if spec.choices or spec.members:
        parts = tuple(replace(_stage(part), contiguity="begin") for part in (*spec.choices, *spec.members))
        stage = replace(stage, choices=parts) if spec.choices else replace(stage, members=parts)
    if spec.members:
        inner = spec.members[0].contiguity
        stage = replace(stage, inner=inner if inner in ("strict", "any") else "relaxed")
        return replace(stage, step_within_ms=spec.step_within_ms)
    return replace(
        stage,
        times=loop.least,
        more=None if loop.most is None else loop.most - loop.least,
        inner=loop.inner if loop.most != 1 else "relaxed",
        optional=loop.optional,
        greedy=loop.greedy and loop.most != 1,
        reluctant=loop.reluctant and loop.most != loop.least,
        until=_condition(loop.until),
        step_within_ms=spec.step_within_ms,
        each_within_ms=loop.step_within_ms,
        absent_ms=spec.absent_ms,
        group=tuple(map(_stage, spec.group)),
    )


def _condition(test: Test) -> Expression | None:
    if test is None:
        return None
    if not isinstance(test, int):
        raise TypeError(f"{test} is no bit")
    return field("element").contains("abcdefgh"[test.bit_length() - 1])
