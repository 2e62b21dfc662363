import pytest

from footfall.control_record import ControlRecord
from footfall.dataflow import plan_in_force
from footfall.errors import PatternError
from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.plan_in_force import PlanInForce
from footfall.settings import Settings
from footfall.trigger_rule import TriggerRule

SETTINGS = Settings(store="none")
SEEN = Pattern("seen").begin("x", event == "a")
RULE = TriggerRule("r", pattern="seen", action="do")
BOUGHT = field("path") == "/bought"
WITHDRAWN = TriggerRule("r", pattern="seen", action="do", delay=10, withdrawn_by=BOUGHT)


def record(number: int, *patterns: Pattern, rules: tuple[TriggerRule, ...] = ()) -> ControlRecord:
    return ControlRecord(number, 1000 * number if number else None, (SEEN, *patterns), rules, {}, 0)


def chain(name: str, *conditions: int) -> Pattern:
    """A pattern of the compiled loops with a condition on `x` for each number."""
    pattern = Pattern(name).begin("x", event == "a")
    for number in conditions:
        pattern = pattern.followed_by(f"s{number}", field("x") == number)
    return pattern


def test_a_record_is_taken_up_behind_those_there_are() -> None:
    in_force = plan_in_force(SETTINGS, [record(0)])
    before = in_force.now
    in_force.take_up(record(1, chain("c", 1), rules=(RULE,)))
    assert before.plan.generation == 0
    assert in_force.now.plan.generation == 1
    assert [each.number for each in in_force.now.records] == [0, 1]
    assert [each.since for each in in_force.now.plan.sets][1:] == [1000]
    assert in_force.now.triggers is None, "a run without rules that isn't live isn't made ready for them"


def test_a_live_run_is_ready_for_rules_and_so_is_one_that_will_have_them() -> None:
    ready = plan_in_force(SETTINGS, [record(0)], live=True)
    assert ready.now.triggers is not None
    assert [each.rules for each in ready.now.triggers.sets] == [()]
    ready.take_up(record(1, rules=(RULE,)))
    known = plan_in_force(SETTINGS, [record(0), record(1, rules=(RULE,))])
    assert known.now.triggers is not None
    assert known.now.triggers == ready.now.triggers


def test_what_cannot_be_compiled_changes_nothing() -> None:
    in_force = plan_in_force(SETTINGS, [record(0), record(1)])
    before = in_force.now
    for wrong in (record(1, chain("c", 1)), ControlRecord(2, 500, (SEEN,), (), {}, 0)):
        with pytest.raises(PatternError, match="after the one before it"):
            in_force.take_up(wrong)
    with pytest.raises(ValueError, match="only the first record"):
        PlanInForce(before.plan).take_up(record(0))
    assert in_force.now is before


def test_a_withdrawing_conditions_bit_stays_when_a_pattern_gives_it_another() -> None:
    """Events that wait when the third set comes were asked the condition in the second word alone."""
    filled = chain("filled", *range(100, 106)).followed_by("bought", BOUGHT)
    patterns = chain("big", *range(58)), filled
    in_force = plan_in_force(SETTINGS, [record(0, *patterns)], live=True)
    in_force.take_up(record(1, *patterns, rules=(WITHDRAWN,)))
    before = in_force.now
    assert before.triggers is not None
    assert before.triggers.bits[BOUGHT.key()] >= 64
    in_force.take_up(record(2, *patterns, Pattern("bought").begin("x", BOUGHT), rules=(WITHDRAWN,)))
    assert in_force.now.plan.bit(BOUGHT) < 64
    assert in_force.now.triggers is not None
    assert in_force.now.triggers.bits == before.triggers.bits
