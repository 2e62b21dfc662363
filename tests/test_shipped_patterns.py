"""The shipped patterns' own cases, run through the engine: these matches, and no others."""

import re

import pytest

from footfall.content import content_folder
from footfall.duration import parse_duration
from footfall.pattern_cases import PatternCase, load_cases
from footfall.pattern_files import load_patterns, read_folder, shipped_pattern
from footfall.pattern_parameters import ParametricPattern
from footfall.pattern_plan import PatternPlan
from footfall.pattern_test import run_case

PATTERNS = load_patterns()
PARAMETRIC = read_folder().parametric
CASES = load_cases(content_folder("patterns") / "cases", PATTERNS)
PLAN = PatternPlan.compile(PATTERNS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.pattern}: {case.name}")
def test_case(case: PatternCase) -> None:
    result = run_case(PLAN, case)
    assert (result.missing, result.unexpected, result.wrong_outputs) == ([], [], [])
    assert result.passed


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


def test_every_threshold_is_a_parameter_that_says_where_it_comes_from() -> None:
    assert set(PARAMETRIC) == {pattern.name for pattern in PATTERNS} - {"service_completed"}
    for name, parametric in PARAMETRIC.items():
        assert parametric.parameters, name
        for parameter in parametric.parameters:
            named = re.search(
                r"\b[a-z][a-z0-9.-]*\.(com|ai|io|shop|google\.com)\b|posthog-js|Amplitude", parameter.about
            )
            assert named or "our choice" in parameter.about, (name, parameter)


@pytest.mark.parametrize("parametric", PARAMETRIC.values(), ids=lambda parametric: parametric.name)
def test_every_parameter_changes_what_the_pattern_means_and_nothing_is_left_over(
    parametric: ParametricPattern,
) -> None:
    usual = parametric()
    for parameter in parametric.parameters:
        other = "3 d" if isinstance(parameter.default, str) else parameter.default + 1
        variant = parametric(**{parameter.name: other})
        assert variant.version != usual.version, parameter.name
        assert variant.name == usual.name
        assert variant.description != usual.description, parameter.name


def test_a_variant_matches_by_its_own_thresholds() -> None:
    (calm,) = (case for case in CASES if case.name == "two clicks are a double click")
    (late,) = (case for case in CASES if case.name == "the third click exactly after a second is too late")
    for case, values, numbers in ((calm, {"times": 2}, (0, 1)), (late, {"within": "1001 ms"}, (0, 1, 2))):
        pattern = shipped_pattern("rage_click", **values)
        assert run_case(PatternPlan.compile([pattern]), case).found == ({"click": numbers},)
