"""The matcher against the conformance cases: a test a case, named by the case's id."""

from conformance.case_format import Json, check_case
from conformance.case_run import CaseRun
from conformance.case_specs import CaseTests, spec_of
from footfall.automaton import Automaton


def test_case(case: Json) -> None:
    check_case(case)
    tests = CaseTests({event["seq"]: event for event in case["events"]})
    automaton = Automaton(spec_of(case, tests))
    CaseRun(case, automaton, tests.mask).check()
