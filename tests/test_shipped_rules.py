"""The shipped trigger rules' own cases, run through the engine: these decisions, and no others."""

import re

import pytest

from footfall.content import content_folder
from footfall.pattern_files import read_folder
from footfall.settings import Settings
from footfall.trigger_cases import RuleCaseResult, load_rule_cases, run_rule_cases

FOLDER = read_folder()
CASES = load_rule_cases(content_folder("patterns") / "rule_cases", FOLDER.rules)
RESULTS = list(run_rule_cases(Settings(), FOLDER.patterns, FOLDER.rules, CASES))


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: f"{result.case.rule}: {result.case.name}")
def test_case(result: RuleCaseResult) -> None:
    assert result.passed, result.found


def test_the_four_families_ship() -> None:
    rules = {rule.name: rule for rule in FOLDER.rules}
    hour, day = 3_600_000, 86_400_000
    assert {name: (rule.pattern, rule.delay_ms) for name, rule in rules.items()} == {
        "booking_reminder": ("booking_abandoned", hour),
        "cart_reminder": ("cart_abandoned", hour),
        "checkout_reminder": ("checkout_abandoned", hour),
        "engaged_visitor_offer": ("high_engagement_no_conversion", day),
        "win_back": ("customer_inactive", 0),
        "cross_sell": ("service_completed", 7 * day),
    }
    assert all(rule.kind == "settled" and rule.mode == "live" for rule in rules.values())


def test_each_rule_says_what_it_is_and_where_its_defaults_come_from() -> None:
    for rule in FOLDER.rules:
        assert rule.owner == "marketing", rule.name
        assert rule.tags, rule.name
        sourced = re.search(r"\b[a-z][a-z0-9.-]*\.(com|help|io)/", rule.description)
        assert sourced or "our choice" in rule.description, rule.name


def test_each_rule_has_cases_that_fire_and_that_don_t() -> None:
    for rule in FOLDER.rules:
        said = {decision["status"] for case in CASES if case.rule == rule.name for decision in case.decisions}
        assert "fired" in said, rule.name
        assert said > {"fired"}, rule.name
