from pathlib import Path

import pytest

from footfall import event
from footfall.errors import PatternFilesError
from footfall.pattern_file_check import check_file
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
    (problem,) = check_file(path).problems
    assert (problem.line, problem.message.splitlines()[0][:16]) == (4, "rule 'r', action")
    assert "rule 'r', delay: 'soon' is no length of time" in problem.message
