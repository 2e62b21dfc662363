import json
from pathlib import Path
from typing import Any

import pytest

from footfall import pattern_test
from footfall.errors import PatternFilesError, UsageError
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_cases import PatternCase, load_cases
from footfall.pattern_plan import PatternPlan
from footfall.pattern_test import CaseResult, run_case
from footfall.settings import Settings
from footfall.taken_events import last

SOURCE = """
from footfall.expression import event
from footfall.pattern import Pattern

pair = Pattern("pair").begin("a", event == "a").followed_by("b", event == "b")
alone = Pattern("alone").begin("a", event == "a")
"""
DAY = 86_400_000
A, B = {"t": 0, "event": "a"}, {"t": "1 s", "event": "b", "element": "#buy"}
GOOD = {"name": "a pair", "events": [A, B], "matches": [{"a": [0], "b": [1]}]}
MISSING = {"name": "not the a alone", "events": [A], "matches": [{"a": [0], "b": [0]}]}
UNEXPECTED = {"name": "no pair", "events": [A, B], "matches": []}


def folder_of(tmp_path: Path, *cases: dict[str, Any]) -> Path:
    (tmp_path / "pair.py").write_text(SOURCE, encoding="utf-8")
    if cases:
        write(tmp_path, "pair", *cases)
    return tmp_path


def write(folder: Path, pattern: str, *cases: dict[str, Any]) -> None:
    (folder / "cases").mkdir(exist_ok=True)
    text = json.dumps({"pattern": pattern, "cases": cases})
    (folder / "cases" / f"{pattern}.json").write_text(text, encoding="utf-8")


def run(folder: Path, name: str | None = None, *, as_json: bool = False) -> int:
    return pattern_test.run_cases(Settings(patterns=folder, store="none"), name, as_json=as_json)


def case_of(
    pattern: Pattern, events: list[dict[str, Any]], *matches: dict[str, tuple[int, ...]]
) -> CaseResult:
    case = PatternCase(pattern.name, "case", tuple(events), matches)
    return run_case(PatternPlan.compile([pattern]), case)


def test_a_result_tells_what_is_missing_and_what_is_unexpected() -> None:
    case = PatternCase("p", "c", (), ({"a": (0,)}, {"a": (0,)}, {"a": (1,), "b": (2,)}))
    result = CaseResult(case, ({"b": (2,), "a": (1,)}, {"a": (0,)}, {"a": (3,)}))
    assert result.missing == [{"a": (0,)}]
    assert result.unexpected == [{"a": (3,)}]
    assert not result.passed
    assert CaseResult(case, tuple(reversed(case.matches))).passed


def test_the_engine_decides() -> None:
    pair = Pattern("pair").begin("a", event == "a").followed_by("b", event == "b")
    found = case_of(pair, [A, {**B, "visitor": "w"}, B], {"a": (0,), "b": (2,)})
    assert found.passed
    assert found.found == ({"a": (0,), "b": (2,)},)


def test_output_fields_that_a_case_names_are_compared() -> None:
    pair = (
        Pattern("pair")
        .begin("a", event == "a")
        .followed_by("b", event == "b")
        .output(where=last("b").field("element"), size=last("b").property_("size", "number"))
    )
    first, second = {"a": (0,), "b": (2,)}, {"a": (1,), "b": (2,)}
    events = (A, A, {**B, "size": 2.5})

    def run(*outputs: dict[str, Any]) -> CaseResult:
        case = PatternCase("pair", "c", events, (first, second), outputs=outputs or None)
        return run_case(PatternPlan.compile([pair]), case)

    assert run().passed
    assert run({"where": "#buy", "size": 2.5}, {}).passed
    wrong = run({}, {"where": "#menu", "size": 2.5})
    assert not wrong.passed
    assert wrong.wrong_outputs == [(second, "where", "#menu", "#buy")]
    assert wrong.to_json()["found_outputs"] == ({"where": "#buy", "size": 2.5},) * 2
    assert "found_outputs" not in run().to_json()


def test_partial_matches_that_time_out_are_no_matches_and_are_compared_where_a_case_names_them() -> None:
    pair = (
        Pattern("pair").begin("a", event == "a").followed_by("b", event == "b").within("1 s").with_timeouts()
    )

    def run(timed_out: tuple[dict[str, tuple[int, ...]], ...] | None) -> CaseResult:
        case = PatternCase("pair", "c", (A, B), (), timed_out=timed_out)
        return run_case(PatternPlan.compile([pair]), case)

    assert run(None).passed
    assert run(({"a": (0,)},)).passed
    too_few, too_many = run(()), run(({"a": (0,)}, {"a": (0,)}))
    assert (too_few.passed, too_few.unexpected_timeouts) == (False, [{"a": (0,)}])
    assert (too_many.passed, too_many.missing_timeouts) == (False, [{"a": (0,)}])
    assert too_few.to_json()["found_timed_out"] == ({"a": (0,)},)


def test_only_the_matches_of_the_case_s_pattern_count() -> None:
    pair = Pattern("pair").begin("a", event == "a").followed_by("b", event == "b")
    alone = Pattern("alone").begin("a", event == "a")
    case = PatternCase("pair", "c", (A,), ())
    assert run_case(PatternPlan.compile([pair, alone]), case).passed


@pytest.mark.parametrize("wait", ["10 min", "30 d"])
def test_after_the_last_event_time_goes_on_without_end(wait: str) -> None:
    absent = Pattern("p").begin("a", event == "a").not_followed_by("b", event == "b").within(wait)
    assert case_of(absent, [A], {"a": (0,)}).passed
    assert case_of(absent, [A, B]).passed


@pytest.mark.parametrize(("end", "matches"), [("29 d", 0), (30 * DAY - 1, 0), ("30 d", 1), ("31 d", 1)])
def test_at_a_case_s_end_what_is_due_later_stays_open(tmp_path: Path, end: str | int, matches: int) -> None:
    absent = Pattern("p").begin("a", event == "a").not_followed_by("b", event == "b").within("30 d")
    expected = [{"a": [0]}] * matches
    write(tmp_path, "p", {"name": "c", "events": [A], "matches": expected, "end": end})
    (case,) = load_cases(tmp_path / "cases", [absent])
    assert run_case(PatternPlan.compile([absent]), case).passed


def test_cases_that_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path, GOOD)
    assert run(folder) == 0
    shown = capsys.readouterr().out
    assert "✓ pair  1 case passed" in shown
    assert "! alone  no cases" in shown
    assert "1 of 1 cases passed" in shown


def test_cases_that_fail_show_their_events_and_matches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path, GOOD, MISSING, UNEXPECTED)
    assert run(folder, "pair") == 1
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "✗ pair  2 of 3 cases failed",
        "✗ not the a alone",
        "0  at 0 ms       a",
        "expected, not found: a 0; b 0",
        "✗ no pair",
        "0  at 0 ms       a",
        "1  at 1 s        b  (element=#buy)",
        "found, not expected: a 0; b 1",
        "1 of 3 cases passed",
    ]


def test_outputs_and_timeouts_that_differ_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = SOURCE + (
        'given = pair.within("5 s").with_timeouts().output(size=last("b").property_("size"))\n'
        'given = replace(given, name="given")\n'
    )
    head = "from dataclasses import replace\nfrom footfall import last\n"
    (tmp_path / "given.py").write_text(head + source, encoding="utf-8")
    case = {**GOOD, "outputs": [{"size": "XL"}], "timed_out": [{"a": [0]}]}
    write(tmp_path, "given", case)
    assert run(tmp_path, "given") == 1
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[4:] == [
        "expected to time out, didn't: a 0",
        'output size is null instead of "XL" in a 0; b 1',
        "1 as expected",
        "0 of 1 cases passed",
    ]


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path, GOOD, UNEXPECTED)
    assert run(folder, as_json=True) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["cases"], said["passed"], said["failed"]) == (2, 1, 1)
    assert said["patterns_without_cases"] == ["alone"]
    assert said["results"][1] == {
        "pattern": "pair",
        "case": "no pair",
        "passed": False,
        "expected": [],
        "found": [{"a": [0], "b": [1]}],
    }


def test_one_pattern_s_cases_run_though_another_s_are_wrong(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, GOOD)
    write(folder, "alone", {"name": "no events"})
    assert run(folder, "pair") == 0
    with pytest.raises(PatternFilesError, match=r"alone\.json"):
        run(folder)


def test_no_cases_are_no_success(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    with pytest.raises(UsageError, match=r"there are no cases in .*cases"):
        run(folder)
    with pytest.raises(UsageError, match=r"there are no cases in .*pair\.json"):
        run(folder, "pair")
    with pytest.raises(UsageError, match="there is no pattern 'pear'"):
        run(folder, "pear")


RULE = 'from footfall import TriggerRule\nremind = TriggerRule("remind", pattern="pair", action="x", delay="1 h")\n'


def rule_cases(folder: Path, *statuses: str) -> None:
    cases = [
        {"name": status, "events": [A, B], "decisions": [{"first": 0, "status": status}]}
        for status in statuses
    ]
    (folder / "rule_cases").mkdir(exist_ok=True)
    text = json.dumps({"rule": "remind", "cases": cases})
    (folder / "rule_cases" / "remind.json").write_text(text, encoding="utf-8")


def test_rules_are_tested_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path, GOOD)
    (folder / "remind.py").write_text(RULE, encoding="utf-8")
    assert run(folder) == 0
    shown = capsys.readouterr().out
    assert f"! rule remind  no cases ({folder / 'rule_cases' / 'remind.json'})" in shown
    with pytest.raises(
        UsageError, match=r"there are no cases in .*remind\.json; docs/testing_patterns\.md says"
    ):
        run(folder, "remind")
    rule_cases(folder, "fired", "withdrawn")
    assert run(folder) == 1
    shown = capsys.readouterr().out
    assert "✗ rule remind  1 of 2 cases failed" in shown
    assert shown.endswith("2 of 3 cases passed\n")
    assert run(folder, "remind") == 1
    assert capsys.readouterr().out.endswith("1 of 2 cases passed\n")
    assert run(folder, "pair") == 0
    assert capsys.readouterr().out.endswith("1 of 1 cases passed\n")
    assert run(folder, as_json=True) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["cases"], said["passed"], said["failed"]) == (3, 2, 1)
    assert [each["passed"] for each in said["rules"]] == [True, False]
    rule_cases(folder, "fired")
    assert run(folder) == 0


def test_event_names_that_a_run_never_has_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SOURCE + 'found = Pattern("found").begin("asked", event == "search")\n'
    folder = folder_of(tmp_path, GOOD)
    (folder / "pair.py").write_text(text, encoding="utf-8")
    write(
        folder, "found", {"name": "c", "events": [{"t": 0, "event": "search"}], "matches": [{"asked": [0]}]}
    )
    assert run(folder) == 0, "the case passes, since its events are as they are written"
    assert (
        "warning pattern 'found', stage 'asked': no event of a run is called 'search': names are normalised there, "
        "and it becomes 'products_searched' by the table of event names; write 'products_searched'\n"
    ) in capsys.readouterr().out
    assert run(folder, "found", as_json=True) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert (warning["pattern"], warning["stage"]) == ("found", "asked")
    assert run(folder, "pair", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
