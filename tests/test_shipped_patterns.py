"""The shipped patterns' own cases, run through the engine: these matches, and no others."""

from collections import Counter
from dataclasses import replace

import pytest
from engine_harness import Engine, reserved_conditions

from footfall.clock import ClockSettings
from footfall.content import content_folder
from footfall.duration import parse_duration
from footfall.pattern_cases import PatternCase, load_cases
from footfall.pattern_files import load_patterns
from footfall.pattern_plan import PatternPlan

PATTERNS = load_patterns()
CASES = load_cases(content_folder("patterns") / "cases", PATTERNS)

DAY = 86_400_000
SOMEBODY_LATER = "somebody else"

Found = Counter[tuple[tuple[str, tuple[str, ...]], ...]]


def matches_of(case: PatternCase) -> Found:
    # Somebody else, much later: time goes on, so that what waits longer than a day comes out too.
    later = {"t": "400 d", "event": "page_view", "visitor": SOMEBODY_LATER}
    case = replace(case, events=(*case.events, later))
    plan = PatternPlan.compile(PATTERNS, reserved_conditions())
    engine = Engine(plan, clock=ClockSettings(lateness=DAY, idle_bound=DAY, future_jump=DAY))
    engine.read_frame(0, case.frame())
    engine.read(0, [], ended=True)
    engine.feed()
    return Counter(
        row["stages"]
        for row in engine.outcome().match_rows
        if row["pattern"] == case.pattern and row["visitor_id"] != SOMEBODY_LATER
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.pattern}: {case.name}")
def test_case(case: PatternCase) -> None:
    expected: Found = Counter(
        tuple((stage, tuple(str(number) for number in numbers)) for stage, numbers in match.items())
        for match in case.matches
    )
    assert matches_of(case) == expected


def test_each_pattern_says_what_it_is_and_whose() -> None:
    for pattern in PATTERNS:
        assert pattern.description.strip(), pattern.name
        assert pattern.owner in {"engineering", "marketing", "operations", "sales", "ux"}, pattern.name
        assert pattern.tags, pattern.name


def test_each_pattern_has_cases_at_both_sides_of_its_bound() -> None:
    for pattern in PATTERNS:
        own = [case for case in CASES if case.pattern == pattern.name]
        assert own, pattern.name
        if pattern.within_ms is None:
            continue
        apart = [_apart(case) for case in own]
        assert any(pattern.within_ms in times for times in apart), pattern.name
        assert any(pattern.within_ms - 1 in times for times in apart), pattern.name


def _apart(case: PatternCase) -> set[int]:
    """The times between any two events of a case, ms."""
    times = [parse_duration(event["t"]) for event in case.events]
    return {later - earlier for earlier in times for later in times if later > earlier}
