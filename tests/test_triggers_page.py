"""What the page about trigger rules shows runs as it stands, and it tells of every field and status."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from footfall.profile_schema import PROFILE_SCHEMA
from footfall.settings import Settings
from footfall.trigger_cases import load_rule_cases, run_rule_cases
from footfall.trigger_rows import Status
from footfall.trigger_rule import TriggerRule

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "triggers.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run() -> dict[str, Any]:
    names: dict[str, Any] = {}
    code = blocks("python")
    assert len(code) == 4
    for block in code:
        exec(block, names)
    return names


def test_the_code_runs() -> None:
    assert run()["form_help"].kind == "early"


def test_the_cases_pass(tmp_path: Path) -> None:
    names = run()
    (cases,) = blocks("json")
    (tmp_path / f"{json.loads(cases)['rule']}.json").write_text(cases, encoding="utf-8")
    rules = [names["form_reminder"]]
    results = list(run_rule_cases(Settings(), [names["form_left"]], rules, load_rule_cases(tmp_path, rules)))
    assert [(result.passed, result.found) for result in results if not result.passed] == []
    assert len(results) == 2


def test_every_field_and_status_is_told() -> None:
    told = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert {field.name for field in fields(TriggerRule)} - {"name"} <= told
    assert set(get_args(Status)) <= told
    assert set(PROFILE_SCHEMA) <= told
