import json
from pathlib import Path

import pytest

from footfall.content import content_folder
from footfall.errors import PatternFilesError, UsageError
from footfall.pattern_file_check import CheckedFile, check_file, check_patterns
from footfall.pattern_files import load_patterns

HEAD = """\
from footfall.expression import event, field
from footfall.pattern import Pattern

"""
GOOD = 'good = Pattern("good").begin("a", event == "a")\n'
CASES = [
    {"name": "yes", "events": [{"t": 0, "event": "a"}], "matches": [{"a": [0]}]},
    {"name": "no", "events": [{"t": 0, "event": "b"}], "matches": []},
]


def checked(folder: Path, text: str, name: str = "mine.py") -> CheckedFile:
    (folder / name).write_text(text, encoding="utf-8")
    return check_file(folder / name)


def write_cases(folder: Path, pattern: str, cases: object) -> None:
    (folder / "cases").mkdir(exist_ok=True)
    text = json.dumps({"pattern": pattern, "cases": cases})
    (folder / "cases" / f"{pattern}.json").write_text(text, encoding="utf-8")


def problems(found: CheckedFile) -> list[tuple[int | None, str | None, str | None, str]]:
    return [(each.line, each.pattern, each.stage, each.message) for each in found.problems]


def warnings(found: CheckedFile) -> list[str]:
    return [each.message for each in found.warnings]


@pytest.mark.parametrize(
    "path", sorted(content_folder("patterns").glob("[a-z]*.py")), ids=lambda path: path.stem
)
def test_the_shipped_files_are_faultless(path: Path) -> None:
    found = check_file(path)
    assert found.patterns or found.models
    assert found.problems == ()
    # There the element is the form, and what happens in another form is meant not to count.
    cut = [("form_abandoned", "continued")] if path.stem == "abandonment" else []
    assert [(each.pattern, each.stage) for each in found.warnings] == cut


def test_every_fault_of_a_file_is_told(tmp_path: Path) -> None:
    text = HEAD + (
        "first = (\n"
        '    Pattern("first")\n'
        '    .begin("a", event == "a")\n'
        "    .times(-1)\n"
        ")\n"
        'longer = first.followed_by("b", event == "b")\n'
        "LIMIT = 1 / 0\n"
        'second = Pattern("second").begin("x", field("nowhere") == "x")\n'
        'third = Pattern("third").begin("x", event == "a").not_followed_by("z", event == "b")\n'
        + GOOD
    )  # fmt: skip
    found = checked(tmp_path, text)
    assert [pattern.name for pattern in found.patterns] == ["good"]
    told = problems(found)
    assert [each[:3] for each in told] == [
        (7, "first", "a"),
        (10, None, None),
        (11, "second", "x"),
        (12, "third", "z"),
    ]
    assert told[0][3].startswith("times")
    assert told[1][3] == "ZeroDivisionError: division by zero"
    assert "nowhere" in told[2][3]
    assert "within" in told[3][3]
    assert str(found.problems[0]).startswith(
        f"{tmp_path / 'mine.py'}, line 7: pattern 'first', stage 'a': times"
    )


def test_what_only_lacks_a_faulty_name_is_no_fault_but_a_wrong_name_is(tmp_path: Path) -> None:
    text = HEAD + "first = 1 / 0\nsecond = first\nthird = second + forth\n"
    assert [each[0] for each in problems(checked(tmp_path, text))] == [4]
    assert [each[0] for each in problems(checked(tmp_path, HEAD + "third = forth\n"))] == [4]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a = (\n", 1, "it isn't Python: '(' was never closed"),
        ("\n\nraise SystemExit(3)\n", 3, "SystemExit: 3"),
        ("import nowhere_at_all\n", 1, "ModuleNotFoundError"),
        ("x = 1\nreturn x\n", 2, "it isn't Python: 'return' outside function"),
        ("def f():\n    return 1 / 0\n\n\nx = f()\n", 2, "ZeroDivisionError"),
        ("a\0", None, ""),
    ],
)
def test_faults_of_python_are_told_with_their_line(
    tmp_path: Path, text: str, line: int | None, words: str
) -> None:
    ((found_line, pattern, _, message),) = problems(checked(tmp_path, text))
    assert pattern is None
    assert words in message
    assert line is None or found_line == line
    with pytest.raises((PatternFilesError, ValueError, SyntaxError)):
        load_patterns(tmp_path)


def test_future_statements_hold_for_the_whole_file(tmp_path: Path) -> None:
    text = (
        '"""Doc."""\nfrom __future__ import annotations\n' + HEAD + "def f(x: Unknown) -> None: ...\n" + GOOD
    )
    found = checked(tmp_path, text)
    assert problems(found) == []
    assert len(found.patterns) == 1


def test_names_and_meanings_are_compared_with_the_whole_folder(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(HEAD + GOOD, encoding="utf-8")
    (tmp_path / "broken.py").write_text("1 / 0", encoding="utf-8")
    text = HEAD + (
        'one = Pattern("good").begin("a", event == "c")\n'
        'two = Pattern("two").begin("a", event == "a")\n'
        'three = Pattern("three").begin("a", event == "a")\n'
    )
    found = checked(tmp_path, text)
    other = tmp_path / "other.py"
    assert problems(found) == [(4, "good", None, f"the name is taken by the pattern in {other}, line 4")]
    same = [message for message in warnings(found) if "means the same" in message]
    assert same == [
        f"it means the same as 'good' in {other}, line 4; is one of them to differ?",
        f"it means the same as 'good' in {other}, line 4; is one of them to differ?",
        "it means the same as 'two' in line 5; is one of them to differ?",
    ]


def test_a_name_that_is_bound_twice_to_one_pattern_is_no_clash(tmp_path: Path) -> None:
    write_cases(tmp_path, "good", CASES)
    found = checked(tmp_path, HEAD + GOOD + "again = good\n")
    assert (problems(found), warnings(found)) == ([], [])


def test_patterns_that_a_run_does_not_see_are_told(tmp_path: Path) -> None:
    text = HEAD + 'many = [Pattern(f"p{n}").begin("a", event == "a") for n in range(4)]\n'
    told = warnings(checked(tmp_path, text))
    assert "it defines no pattern; assign one: my_pattern = Pattern(...)..." in told
    assert "many holds patterns that a run doesn't see (p0, p1, p2, …): give each a name of its own" in told
    assert "a run doesn't read files whose names begin with . or _" in warnings(
        checked(tmp_path, text, "_parts.py")
    )


def test_a_method_that_is_not_called_is_told(tmp_path: Path) -> None:
    text = HEAD + 'p = Pattern("p").begin("a", event == "a").one_or_more\n'
    found = checked(tmp_path, text)
    assert [(each.line, each.message) for each in found.warnings] == [
        (4, "p is a method: write .one_or_more()")
    ]
    assert found.problems == ()


def test_what_is_likely_not_meant_is_told_and_no_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cases(tmp_path, "p", CASES)
    path = tmp_path / "mine.py"
    path.write_text(HEAD + 'p = Pattern("p").begin("a", event.is_in(["a", "Order Completed"]))\n', "utf-8")
    assert check_patterns([path], as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["problems"] == []
    (warning,) = said["warnings"]
    assert (warning["line"], warning["pattern"], warning["stage"]) == (4, "p", "a")
    assert warning["message"].endswith("write 'order_completed'")


def test_patterns_with_parameters_are_checked_with_their_defaults(tmp_path: Path) -> None:
    text = HEAD + (
        "from footfall.pattern_parameters import parameters\n"
        '@parameters(times="how many")\n'
        "def many(times: int = 2) -> Pattern:\n"
        '    return Pattern("many").begin("a", event == "a").times(times)\n'
        '@parameters(times="how many")\n'
        "def none(times: int = 0) -> Pattern:\n"
        "    made = (\n"
        '        Pattern("none").begin("a", event == "a").times(times)\n'
        "    )\n"
        "    return made\n"
    )
    found = checked(tmp_path, text)
    assert [pattern.name for pattern in found.patterns] == ["many"]
    ((line, pattern, stage, message),) = problems(found)
    assert (line, pattern, stage) == (11, "none", "a")
    assert message.startswith("times")


def test_cases_are_looked_at_too(tmp_path: Path) -> None:
    text = HEAD + GOOD
    path = tmp_path / "cases" / "good.json"
    assert warnings(checked(tmp_path, text)) == [f"it has no cases; they stand in {path}"]
    write_cases(tmp_path, "good", CASES)
    assert warnings(checked(tmp_path, text)) == []
    write_cases(tmp_path, "good", CASES[:1])
    assert warnings(checked(tmp_path, text)) == [f"it has no case that must not match in {path}"]
    write_cases(tmp_path, "good", [])
    assert warnings(checked(tmp_path, text)) == [f"it has no cases; they stand in {path}"]
    write_cases(tmp_path, "good", [{"name": "x"}])
    (told,) = checked(tmp_path, text).problems
    assert (told.file, told.pattern) == (str(path), "good")
    assert "a case has events, matches, name" in told.message


def test_a_json_file_is_checked(tmp_path: Path) -> None:
    (pattern,) = checked(tmp_path, HEAD + GOOD).patterns
    (tmp_path / "mine.py").unlink()
    assert [each.name for each in checked(tmp_path, pattern.to_json(), "good.json").patterns] == ["good"]
    ((line, name, _, message),) = problems(checked(tmp_path, "{", "good.json"))
    assert (line, name) == (None, "(unnamed)")
    assert "isn't JSON" in message
    wrong = json.loads(pattern.to_json())
    wrong["stages"][0]["times"] = -1
    ((_, name, stage, _),) = problems(checked(tmp_path, json.dumps(wrong), "good.json"))
    assert (name, stage) == ("good", "a")


@pytest.mark.parametrize("name", ["nothing.py", "text.txt", "folder.py"])
def test_what_is_no_file_of_patterns_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.txt").write_text("", encoding="utf-8")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UsageError, match="no file of patterns"):
        check_file(tmp_path / name)


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + GOOD, encoding="utf-8")
    assert check_patterns([path], as_json=False) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith(f"warning {path}, line 4: pattern 'good': it has no cases")
    assert shown[1] == "1 good pattern (good), 0 problems, 1 warning"
    path.write_text("1 / 0", encoding="utf-8")
    assert check_patterns([path], as_json=True) == 1
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "files": [str(path)],
        "patterns": [],
        "rules": [],
        "problems": [
            {
                "file": str(path),
                "message": "ZeroDivisionError: division by zero",
                "line": 1,
                "pattern": None,
                "stage": None,
                "rule": None,
            }
        ],
        "warnings": [],
    }


def test_several_files_and_folders_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "cases").mkdir(parents=True)
        (tmp_path / folder / "good.py").write_text(HEAD + GOOD, encoding="utf-8")
        (tmp_path / folder / "_parts.py").write_text("1 / 0", encoding="utf-8")
    bad = tmp_path / "two" / "bad.py"
    bad.write_text("1 / 0", encoding="utf-8")
    assert check_patterns([tmp_path / "one", tmp_path / "two", bad], as_json=True) == 1
    said = json.loads(capsys.readouterr().out)
    files = [tmp_path / "one" / "good.py", bad, tmp_path / "two" / "good.py"]
    assert said["files"] == [str(file) for file in files]
    assert said["patterns"] == ["good", "good"]
    assert [each["file"] for each in said["problems"]] == [str(bad)]
    with pytest.raises(UsageError, match="holds no file of patterns"):
        check_patterns([tmp_path], as_json=False)
