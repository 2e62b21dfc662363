"""The shipped patterns' own cases, run through the engine: these matches, and no others."""

from collections import Counter

import pytest
from engine_harness import Engine, reserved_conditions

from footfall.clock import ClockSettings
from footfall.content import content_folder
from footfall.pattern_cases import PatternCase, load_cases
from footfall.pattern_files import load_patterns
from footfall.pattern_plan import PatternPlan

PATTERNS = load_patterns()
CASES = load_cases(content_folder("patterns") / "cases", PATTERNS)

DAY = 86_400_000

Found = Counter[tuple[tuple[str, tuple[str, ...]], ...]]


def matches_of(case: PatternCase) -> Found:
    plan = PatternPlan.compile(PATTERNS, reserved_conditions())
    engine = Engine(plan, clock=ClockSettings(lateness=DAY, idle_bound=DAY, future_jump=DAY))
    engine.read_frame(0, case.frame())
    engine.read(0, [], ended=True)
    engine.feed()
    return Counter(row["stages"] for row in engine.outcome().match_rows if row["pattern"] == case.pattern)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.pattern}: {case.name}")
def test_case(case: PatternCase) -> None:
    expected: Found = Counter(
        tuple((stage, tuple(str(number) for number in numbers)) for stage, numbers in match.items())
        for match in case.matches
    )
    assert matches_of(case) == expected
