"""What the page about testing patterns and rules shows is so: its cases pass, and its ways of having both sets work."""

import json
import re
from pathlib import Path

import pytest

from footfall.pattern_cases import load_cases
from footfall.pattern_file_check import check_patterns
from footfall.pattern_files import load_patterns, load_rules, read_folder, shipped_pattern
from footfall.pattern_test import run_cases
from footfall.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "testing_patterns.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that the page describes."""
    pattern, rule, shipped = blocks("python")
    cases, rule_cases = blocks("json")
    for name in ("cases", "rule_cases"):
        (tmp_path / name).mkdir()
    (tmp_path / "searches.py").write_text(pattern + rule, encoding="utf-8")
    (tmp_path / "cases" / "searched_and_left.json").write_text(cases, encoding="utf-8")
    (tmp_path / "rule_cases" / "search_help.json").write_text(rule_cases, encoding="utf-8")
    (tmp_path / "_shipped.txt").write_text(shipped, encoding="utf-8")
    return tmp_path


def test_the_cases_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cases(Settings(patterns=folder, store="none"), None, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["cases"], said["warnings"], said["rules_without_cases"]) == (7, [], [])
    assert check_patterns([folder], as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []


def test_all_that_cases_and_events_may_say_is_told() -> None:
    told = set(re.findall(r"`\"?([a-z_]+)\"?`", PAGE))
    assert {"name", "events", "matches", "end", "outputs", "timed_out"} <= told
    assert {"t", "event", "visitor", "bot", "first", "status", "due", "at", "fields"} <= told


def test_the_shipped_ones_stand_beside_one_s_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "_shipped.txt").rename(folder / "shipped.py")
    read = read_folder(folder)
    shipped = {pattern.name: pattern for pattern in load_patterns()}
    ours = {pattern.name: pattern for pattern in read.patterns}
    assert set(ours) == {*shipped, "searched_and_left"}
    assert {name for name in shipped if ours[name] != shipped[name]} == {"rage_click"}
    assert ours["rage_click"] == shipped_pattern("rage_click", times=4)
    assert {rule.name for rule in read.rules} == {rule.name for rule in load_rules()} - {"cross_sell"} | {
        "search_help"
    }
    assert "dead_click" in read.parametric, "its parameters are shown"
    assert run_cases(Settings(patterns=folder, store="none"), None, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["patterns_without_cases"] == ["rage_click"], "the others have theirs where they are shipped"
    assert said["rules_without_cases"] == []
    assert check_patterns([folder / "shipped.py"], as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["pattern"] for each in found["warnings"] if "no cases" in each["message"]] == ["rage_click"]


def test_shipped_patterns_and_rules_share_no_name() -> None:
    assert not {pattern.name for pattern in load_patterns()} & {rule.name for rule in load_rules()}


@pytest.mark.parametrize(
    ("event", "instead"),
    [
        (
            {"properties": {"query": "usb"}},
            'write each property in the event itself, .* as in "query": "usb"',
        ),
        ({"event_time": 5}, "write t"),
        ({"visitor_id": "v"}, "write visitor"),
        ({"message_id": "m"}, "it is the event's number"),
        ({"late": True}, "leave it out"),
    ],
)
def test_what_is_filled_in_is_refused_with_what_to_write(
    folder: Path, event: dict[str, object], instead: str
) -> None:
    case = {"name": "c", "events": [{"t": 0, "event": "click", **event}], "matches": []}
    text = json.dumps({"pattern": "searched_and_left", "cases": [case]})
    (folder / "cases" / "searched_and_left.json").write_text(text, encoding="utf-8")
    with pytest.raises(Exception, match=rf"is filled in, and can't be given; {instead}"):
        load_cases(folder / "cases", load_patterns(folder))


def test_the_readme_and_the_language_s_page_lead_here() -> None:
    assert "(docs/testing_patterns.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(testing_patterns.md)" in (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
