"""`footfall patterns`: what writes, draws, checks and tests patterns."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command_line import failed, run

from footfall.pattern_files import load_patterns

COMMANDS = ("list", "show", "test", "check", "new")


def test_from_a_new_pattern_to_a_failing_case(tmp_path: Path) -> None:
    mine = ("--patterns", "mine")
    made = run("patterns", "new", "left_the_cart", *mine, cwd=tmp_path)
    assert made.code == 0, made.err
    assert "footfall patterns test left_the_cart --patterns mine" in made.out
    again = failed("patterns", "new", "left_the_cart", *mine, cwd=tmp_path, code=2)
    assert "is there already; nothing was written" in again

    checked = run("patterns", "check", "mine/left_the_cart.py", cwd=tmp_path)
    assert (checked.code, checked.out) == (0, "1 good pattern (left_the_cart), 0 problems, 0 warnings\n")
    assert "left_the_cart" in run("patterns", "list", *mine, cwd=tmp_path).out
    passed = run("patterns", "test", *mine, "--json", cwd=tmp_path).one_object()
    assert passed["failed"] == 0
    assert passed["passed"] == passed["cases"] >= 3

    path = tmp_path / "mine" / "left_the_cart.py"
    path.write_text(path.read_text(encoding="utf-8").replace('"10 min"', '"1 min"'), encoding="utf-8")
    ended = run("patterns", "test", "left_the_cart", *mine, cwd=tmp_path)
    assert ended.code == 1
    assert "found, not expected: checked 0" in ended.out
    assert ended.out.endswith("2 of 3 cases passed\n")

    path.write_text(path.read_text(encoding="utf-8").replace('"1 min"', '"soon"'), encoding="utf-8")
    checked = run("patterns", "check", "mine/left_the_cart.py", cwd=tmp_path)
    assert checked.code == 1
    assert "problem mine/left_the_cart.py, line 15: pattern 'left_the_cart': within:" in checked.out
    assert "within" in failed("patterns", "test", *mine, cwd=tmp_path, code=2)


def test_the_shipped_patterns_pass_their_cases(tmp_path: Path) -> None:
    said = run("patterns", "test", "--json", cwd=tmp_path).one_object()
    assert said["failed"] == 0
    assert {each["pattern"] for each in said["results"]} == {pattern.name for pattern in load_patterns()}
    assert said["patterns_without_cases"] == []


def test_a_pattern_is_drawn(tmp_path: Path) -> None:
    shown = run("patterns", "show", "rage_click", "--svg", "rage.svg", cwd=tmp_path)
    assert shown.code == 0, shown.err
    assert "↺ 3 times" in shown.out
    assert "less than 1 s" in shown.out
    assert "\x1b" not in shown.out
    drawn = run("patterns", "show", "rage_click", "--svg", "-", cwd=tmp_path)
    assert drawn.out == (tmp_path / "rage.svg").read_text(encoding="utf-8")
    assert ET.fromstring(drawn.out).tag.endswith("svg")
    assert (
        json.loads(run("patterns", "show", "rage_click", "--json", cwd=tmp_path).out)["name"] == "rage_click"
    )
    assert "did you mean rage_click" in failed("patterns", "show", "rage_clik", cwd=tmp_path, code=2)


def test_a_narrow_terminal_is_kept_to(tmp_path: Path) -> None:
    shown = run("patterns", "show", "booking_abandoned", cwd=tmp_path, more={"COLUMNS": "60"})
    assert max(len(line) for line in shown.out.splitlines()) <= 60


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(tmp_path: Path, command: str) -> None:
    shown = run("patterns", command, "--help", cwd=tmp_path).out
    assert f"examples:\n  footfall patterns {command}" in shown
    assert f"  footfall patterns {command} " in run("patterns", "--help", cwd=tmp_path).out
