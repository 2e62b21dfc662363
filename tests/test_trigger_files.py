from pathlib import Path

import pytest

from footfall import event
from footfall.errors import PatternFilesError
from footfall.pattern_file_check import check_file, check_patterns
from footfall.pattern_files import load_patterns, load_rules, read_folder

HEAD = "from footfall import Pattern, event\nfrom footfall.trigger_rule import TriggerRule\n"
LEFT = 'left = Pattern("left").begin("a", event == "a")\n'
RULE = 'TriggerRule("{name}", pattern="left", action="mail", delay="1 h", withdrawn_by=event == "b")'


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(PatternFilesError) as caught:
        load_rules(folder)
    return caught.value.problems


def test_rules_stand_beside_patterns_and_a_file_is_run_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.py",
        HEAD
        + LEFT
        + f"b = {RULE.format(name='b')}\nalso_b = b\na: TriggerRule = {RULE.format(name='a')}\n"
        + f"from pathlib import Path\nwith Path({str(tmp_path / 'runs.txt')!r}).open('a') as f: f.write('run ')\n",
    )
    write(tmp_path, "b.py", HEAD + f"c = {RULE.format(name='c')}\n")
    folder = read_folder(tmp_path)
    assert [rule.name for rule in folder.rules] == ["a", "b", "c"]
    assert [pattern.name for pattern in folder.patterns] == ["left"]
    assert folder.rules[0].withdrawal is not None
    assert folder.rules[0].withdrawal.same_as(event == "b")
    assert (tmp_path / "runs.txt").read_text() == "run "
    assert load_rules(tmp_path) == folder.rules
    assert load_patterns(tmp_path) == folder.patterns


def test_a_folder_may_have_no_rules(tmp_path: Path) -> None:
    write(tmp_path, "a.py", HEAD + LEFT)
    assert load_rules(tmp_path) == ()


def test_all_that_is_wrong_with_a_rule_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "a.py",
        HEAD + LEFT + 'late = TriggerRule("late", pattern="left", action="", delay="soon", mode="off")\n',
    )
    said = problems_of(tmp_path)
    assert [one.split(":")[0] for one in said] == [
        f"{path}, line 4",
        f"{path}, line 4",
        f"{path}, line 4",
    ]
    assert [one.split(": ")[1] for one in said] == [
        "rule 'late', action",
        "rule 'late', mode",
        "rule 'late', delay",
    ]


def test_rules_are_checked_against_the_patterns(tmp_path: Path) -> None:
    first = write(tmp_path, "a.py", HEAD + LEFT + f"b = {RULE.format(name='b')}\n")
    second = write(
        tmp_path,
        "b.py",
        HEAD
        + "from footfall.match_output import output\n\n"
        + f"again = {RULE.format(name='b')}\n"
        + 'lost = TriggerRule("lost", pattern="lift", action="x")\n'
        + 'more = TriggerRule("more", pattern="left", action="x", fields={"form": output("form")})\n',
    )
    assert problems_of(tmp_path) == (
        f"{second}, line 5: the name 'b' is taken by the rule in {first}, line 4",
        f"{second}, line 6: rule 'lost', pattern: there is no pattern 'lift'; did you mean 'left'? There are left",
        (
            f"{second}, line 7: rule 'more', fields: pattern 'left' has no output 'form', which 'form' takes; "
            "There are none"
        ),
    )


def test_a_rule_isn_t_blamed_for_a_pattern_that_can_t_be_read(tmp_path: Path) -> None:
    write(tmp_path, "a.py", HEAD + LEFT + "oops\n")
    write(tmp_path, "b.py", HEAD + f"b = {RULE.format(name='b')}\n")
    (problem,) = problems_of(tmp_path)
    assert "NameError" in problem


def test_a_field_that_rules_don_t_have_is_told_with_the_one_meant(tmp_path: Path) -> None:
    write(tmp_path, "a.py", HEAD + LEFT + 'r = TriggerRule("r", pattern="left", action="x", dely="1 h")\n')
    (problem,) = problems_of(tmp_path)
    assert problem.endswith("got an unexpected keyword argument 'dely'; did you mean delay?")


def test_checking_a_file_tells_what_is_wrong_with_its_rules(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.py", HEAD + LEFT + 'r = TriggerRule("r", pattern="left", action="", delay="soon")\n'
    )
    action, delay = check_file(path).problems
    assert (action.line, action.rule, action.message[:16]) == (4, "r", "rule 'r', action")
    assert "rule 'r', delay: 'soon' is no length of time" in delay.message


BROKEN = 'r = TriggerRule("r", pattern="{pattern}", action="x", delay="soon")\n'


def test_a_rule_s_own_faults_and_its_missing_pattern_are_told_in_one_go(tmp_path: Path) -> None:
    path = write(tmp_path, "a.py", HEAD + LEFT + BROKEN.format(pattern="nonesuch"))
    own, missing = problems_of(tmp_path)
    assert own.startswith(f"{path}, line 4: rule 'r', delay: 'soon' is no length of time")
    assert missing.startswith(f"{path}, line 4: rule 'r', pattern: there is no pattern 'nonesuch'")
    said = [one.message for one in check_file(path).problems]
    assert said[0] == own.partition(", line 4: ")[2]
    assert said[1].startswith("rule 'r', pattern: there is no pattern 'nonesuch'; There are left")
    other = write(tmp_path, "b.py", HEAD + 'c = TriggerRule("c", pattern="lost", action="x")\n')
    assert [
        each for each in problems_of(tmp_path) if each.startswith(f"{other}, line 3: rule 'c', pattern: ")
    ]


@pytest.mark.parametrize(
    "more",
    [
        'later = Pattern("nonesuch").begin("a", event == "a")\n',
        'later = Pattern("none" + "such").begin("a", event == "a")\n',
        "globals().update({})\n",
        "from os.path import *\n",
    ],
)
def test_a_pattern_that_the_faulty_file_may_hold_is_not_missed(tmp_path: Path, more: str) -> None:
    write(tmp_path, "a.py", HEAD + LEFT + BROKEN.format(pattern="nonesuch") + more)
    (problem,) = problems_of(tmp_path)
    assert "delay" in problem


def test_a_name_that_is_none_is_told_once(tmp_path: Path) -> None:
    write(tmp_path, "a.py", HEAD + LEFT + BROKEN.format(pattern="no name"))
    assert [each.split(", ")[2].split(":")[0] for each in problems_of(tmp_path)] == ["pattern", "delay"]


def test_checking_counts_rules_and_looks_at_what_is_around_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "a.py", HEAD + LEFT + f"b = {RULE.format(name='b')}\n")
    second = write(
        tmp_path,
        "b.py",
        HEAD
        + f"again = {RULE.format(name='b')}\n"
        + 'lost = TriggerRule("lost", pattern="lift", action="x")\n'
        + 'good = TriggerRule("good", pattern="left", action="x", withdrawn_by=event == "search")\n',
    )
    (tmp_path / "rule_cases").mkdir()
    write(tmp_path / "rule_cases", "good.json", '{"rule": "good", "cases": [{"name": "x"}]}')
    found = check_file(second)
    assert [(one.line, one.rule) for one in found.problems] == [(3, "b"), (4, "lost"), (None, "good")]
    assert f"the rule in {tmp_path / 'a.py'}, line 4" in found.problems[0].message
    assert "a case has decisions, events, name" in found.problems[2].message
    (search,) = (one for one in found.warnings if one.rule == "good")
    assert search.message.startswith("rule 'good', withdrawn_by: no event of a run is called 'search'")
    assert search.message.endswith("write 'products_searched'")
    write(tmp_path / "rule_cases", "good.json", '{"rule": "good", "cases": []}')
    assert [rule.name for rule in check_file(second).rules] == ["good"]
    second.unlink()
    assert check_patterns([tmp_path], as_json=False) == 0
    assert "1 good pattern (left), 1 good rule (b), 0 problems, 2 warnings" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        'nonesuch = Pattern("nonesuch").begin("a", event == "a").times(-1)\n',
        'nonesuch = undefined\nx = 1 / 0 or "nonesuch"\n',
        "x = (\n",
    ],
)
def test_a_check_blames_no_rule_for_a_faulty_pattern(tmp_path: Path, text: str) -> None:
    rule = 'r = TriggerRule("r", pattern="nonesuch", action="x")\n'
    path = write(tmp_path, "a.py", HEAD + LEFT + text + rule)
    assert [one for one in check_file(path).problems if one.rule is not None] == []
    write(tmp_path, "b.py", HEAD + text)
    path.write_text(HEAD + LEFT + rule, encoding="utf-8")
    assert check_file(path).problems == ()
