import json
from pathlib import Path

import pytest

from footfall import Pattern, event
from footfall.duration import parse_duration
from footfall.errors import PatternFilesError
from footfall.polars_condition import JsonValue
from footfall.settings import Settings
from footfall.trigger_cases import RuleCase, load_rule_cases, run_rule_cases
from footfall.trigger_rule import TriggerRule

LEFT = Pattern("left").begin("a", event == "a").not_followed_by("b", event == "b").within("30 min")
RULE = TriggerRule(
    "r", pattern="left", action="mail", delay="1 h", withdrawn_by=event == "b", fields={"x": 1}
)
OTHER = TriggerRule("other", pattern="left", action="mail")
BEGUN: dict[str, JsonValue] = {"t": 0, "event": "a"}


def write(folder: Path, *cases: JsonValue, rule: str = "r", name: str = "r.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"rule": rule, "cases": cases}), encoding="utf-8")
    return path


def case(name: str = "c", **more: JsonValue) -> dict[str, JsonValue]:
    return {"name": name, "events": [BEGUN], "decisions": [{"first": 0, "status": "fired"}], **more}


def problem(folder: Path) -> str:
    with pytest.raises(PatternFilesError) as caught:
        load_rule_cases(folder, [RULE])
    (said,) = caught.value.problems
    return said


def passed(folder: Path) -> list[bool]:
    cases = load_rule_cases(folder, [RULE])
    return [result.passed for result in run_rule_cases(Settings(), [LEFT], [RULE, OTHER], cases)]


def test_a_case_passes_if_the_rule_decides_just_that(tmp_path: Path) -> None:
    def said(**more: JsonValue) -> list[JsonValue]:
        return [{"first": 0, "status": "fired", **more}]

    write(
        tmp_path,
        case("1", decisions=said(due="60 min", at=3_600_000, fields={"x": 1})),
        case("2", decisions=said(due="59 min")),
        case("3", decisions=said(fields={"x": 2})),
        case("4", decisions=[{"first": 0, "status": "withdrawn"}]),
        case("5", decisions=[]),
        case("6", decisions=said() * 2),
        case("7", end="59 min", decisions=[]),
        case("8", end="60 min"),
    )
    assert passed(tmp_path) == [True, False, False, False, False, False, True, True]


def test_what_came_of_a_case_is_told(tmp_path: Path) -> None:
    write(tmp_path, case())
    (result,) = run_rule_cases(Settings(), [LEFT], [RULE], load_rule_cases(tmp_path, [RULE]))
    found = {"first": 0, "status": "fired", "due": "1 h", "at": "1 h", "fields": {"x": 1}}
    assert result.to_json() == {
        "rule": "r",
        "case": "c",
        "passed": True,
        "expected": ({"first": 0, "status": "fired"},),
        "found": (found,),
    }


def test_there_may_be_no_cases(tmp_path: Path) -> None:
    assert load_rule_cases(tmp_path / "none", [RULE]) == ()


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ([3], "a case has decisions, events, name, and it may have an end; found 3"),
        ([{"name": "c", "events": []}], "a case has decisions, events, name"),
        ([case(matches=[])], "a case has decisions, events, name"),
        ([case(events=3)], "case 'c': events is a list, not 3"),
        ([case(events=[{"event": "a"}])], "case 'c': it has no 't'"),
        ([case(end="soon")], "case 'c': 'soon' is no length of time"),
        ([case(decisions=[{"first": 0}])], "case 'c': a decision has first, status, and it may have at, due, fields"),
        ([case(decisions=[{"first": 0, "status": "fired", "due": "x"}])], "case 'c': 'x' is no length of time"),
        ([case(), case()], "two cases have the name 'c'"),
    ],
)  # fmt: skip
def test_wrong_cases_are_refused(tmp_path: Path, cases: list[JsonValue], words: str) -> None:
    path = write(tmp_path, *cases)
    assert problem(tmp_path).startswith(f"{path}: {words}")


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("{", encoding="utf-8")
    assert problem(tmp_path).startswith(f"{path}: it isn't JSON: ")
    path.write_text('{"rule": "r"}', encoding="utf-8")
    assert problem(tmp_path) == f'{path}: it must be {{"rule": name, "cases": [...]}}'
    write(tmp_path, rule="s")
    assert problem(tmp_path) == f"{path}: it is about rule 's'; the file is named after a rule that exists"
    path.rename(tmp_path / "t.json")
    write(tmp_path, rule="r", name="t.json")
    assert "it is about rule 'r'; the file is named" in problem(tmp_path)


def test_a_case_keeps_what_it_says(tmp_path: Path) -> None:
    write(tmp_path, case(end="1 d"))
    (one,) = load_rule_cases(tmp_path, [RULE])
    assert isinstance(one, RuleCase)
    assert (one.rule, one.name, one.events.events) == ("r", "c", (BEGUN,))
    assert one.events.end is not None
    assert one.events.end - parse_duration("1 d") == 1_760_000_000_000
