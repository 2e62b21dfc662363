import json
from pathlib import Path

import pytest

from footfall.content import content_folder
from footfall.errors import PatternError, TriggerRuleError, UsageError
from footfall.pattern_cases import load_cases
from footfall.pattern_file_check import check_file
from footfall.pattern_files import load_patterns, load_rules
from footfall.pattern_new import new_pattern
from footfall.pattern_test import run_cases
from footfall.settings import Settings


@pytest.mark.parametrize("name", ["left_the_cart", "class", "event", "Pattern", "match", "a" * 64])
def test_a_new_pattern_works_as_it_is(tmp_path: Path, name: str) -> None:
    source, cases = new_pattern(tmp_path / "mine", name)
    assert (source, cases) == (tmp_path / "mine" / f"{name}.py", tmp_path / "mine" / "cases" / f"{name}.json")
    (pattern,) = load_patterns(tmp_path / "mine")
    assert pattern.name == name
    found = load_cases(tmp_path / "mine" / "cases", [pattern])
    assert any(case.matches for case in found)
    assert not all(case.matches for case in found)
    assert run_cases(Settings(patterns=tmp_path / "mine", store="none"), name, as_json=True) == 0
    checked = check_file(source)
    assert (checked.problems, checked.warnings) == ((), ())


@pytest.mark.parametrize("name", ["left_the_cart", "class", "a" * 55])
def test_a_new_rule_works_as_it_is(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "mine"
    source, _, rule_cases = new_pattern(folder, name, rule=True)
    assert rule_cases == folder / "rule_cases" / f"{name}_reminder.json"
    (rule,) = load_rules(folder)
    assert (rule.name, rule.pattern) == (f"{name}_reminder", name)
    settings = Settings(patterns=folder, store="none")
    assert run_cases(settings, None, as_json=True) == 0
    assert run_cases(settings, rule.name, as_json=True) == 0
    checked = check_file(source)
    assert (checked.problems, checked.warnings, checked.rules) == ((), (), (rule,))
    with pytest.raises(UsageError, match="is there already"):
        new_pattern(folder, name, rule=True)


def test_a_rule_whose_name_will_not_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TriggerRuleError, match="at most 64"):
        new_pattern(tmp_path / "mine", "a" * 64, rule=True)
    assert not (tmp_path / "mine").exists()
    text = 'from footfall import TriggerRule\nr = TriggerRule("b_reminder", pattern="a", action="x")\n'
    new_pattern(tmp_path, "a")
    (tmp_path / "r.py").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="has a rule 'b_reminder' already; nothing was written"):
        new_pattern(tmp_path, "b", rule=True)
    assert not (tmp_path / "b.py").exists()


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    source, cases = new_pattern(tmp_path, "mine")
    source.unlink()
    cases.write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"mine\.json is there already; nothing was written"):
        new_pattern(tmp_path, "mine")
    assert json.loads(cases.read_text(encoding="utf-8")) == {}
    assert not source.exists()
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"other\.json is there already"):
        new_pattern(tmp_path, "other")


def test_a_name_that_another_file_s_pattern_has_is_refused(tmp_path: Path) -> None:
    source, cases = new_pattern(tmp_path, "mine")
    cases.unlink()
    source.rename(tmp_path / "several.py")
    with pytest.raises(UsageError, match="has a pattern 'mine' already; nothing was written"):
        new_pattern(tmp_path, "mine")
    (tmp_path / "broken.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(UsageError, match="until its files are right"):
        new_pattern(tmp_path, "new")


@pytest.mark.parametrize("name", ["", "a b", "../up", "1st", "ä"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PatternError, match="a pattern's name is a letter"):
        new_pattern(tmp_path / "mine", name)
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="can't be written"):
        new_pattern(tmp_path / "file" / "mine", "new")


def test_the_shipped_folder_is_written_to_only_from_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="--patterns DIR"):
        new_pattern(None, "new")
    (tmp_path / "patterns").mkdir()
    with pytest.raises(UsageError, match="--patterns DIR"):
        new_pattern(None, "new")
    monkeypatch.chdir(content_folder("patterns").parent)
    with pytest.raises(UsageError, match=r"patterns.cases.rage_click\.json is there already"):
        new_pattern(None, "rage_click")
