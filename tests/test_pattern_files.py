from pathlib import Path

import pytest

from footfall.errors import PatternError, PatternFilesError, UsageError
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_files import load_patterns, read_folder, shipped_pattern
from footfall.simulate_plants import PATTERNS

HEAD = "from footfall.expression import event\nfrom footfall.pattern import Pattern\n"
A = 'Pattern("p").begin("a", event == "a")'


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(PatternFilesError) as caught:
        load_patterns(folder)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_the_shipped_patterns() -> None:
    said = {pattern.name: pattern for pattern in load_patterns()}
    assert list(said) == sorted(PATTERNS)
    assert said["booking_abandoned"].within_ms == 30 * 60_000
    assert said["cart_abandoned"].within_ms == 30 * 60_000
    assert said["checkout_abandoned"].within_ms == 30 * 60_000
    assert said["exit_intent"].within_ms == 10 * 60_000
    rage = said["rage_click"]
    assert (rage.within_ms, rage.same_field, rage.skip, rage.stages[0].times) == (1000, None, "past_last", 3)
    assert all(pattern.description and pattern.owner and pattern.tags for pattern in said.values())


def test_python_and_json_files_are_read_from_any_folder(tmp_path: Path) -> None:
    write(
        tmp_path,
        "two words.py",
        HEAD + 'b = Pattern("b").begin("a", event == "x")\nother_name_of_b = b\nn = 3\n',
    )
    write(tmp_path, "_private.py", "raise RuntimeError")
    write(tmp_path, "notes.txt", "no pattern")
    (tmp_path / "cases").mkdir()
    write(tmp_path / "cases", "b.json", "{}")
    pattern = Pattern("a", "From JSON").begin("a", event == "y")
    write(tmp_path, "a.json", pattern.to_json())
    found = load_patterns(tmp_path)
    assert [one.name for one in found] == ["a", "b"]
    assert found[0] == pattern


PARAMETRIC = """
from footfall.pattern_parameters import parameters


@parameters(times="how many")
def many(times: int = 2) -> Pattern:
    return Pattern("many").begin("a", event == "x").times(times)


also = many
"""


def test_a_pattern_with_parameters_counts_with_its_defaults(tmp_path: Path) -> None:
    write(tmp_path, "p.py", HEAD + PARAMETRIC + 'plain = Pattern("plain").begin("a", event == "x")\n')
    found = read_folder(tmp_path)
    assert [(each.name, each.stages[0].times) for each in found.patterns] == [("many", 2), ("plain", 1)]
    assert set(found.parametric) == {"many"}
    assert found.parametric["many"](times=5).stages[0].times == 5
    assert load_patterns(tmp_path) == found.patterns


@pytest.mark.parametrize(
    ("changed", "line", "words"),
    [
        (("= 2", "= -2"), 9, "pattern 'many', stage 'a': times"),
        (
            ('"many")', '"few")'),
            8,
            "pattern 'many': the function many has to return a pattern of its own name",
        ),
        (("event ==", "1 / 0 =="), 9, "ZeroDivisionError"),
        (('times="how many"', ""), 7, "nothing is said about parameter 'times'"),
        ((".times(times)", '.not_followed_by("b", event == "y")'), 8, "an absence at the end needs .within"),
    ],
)
def test_faults_of_a_pattern_with_parameters_are_told_with_their_line(
    tmp_path: Path, changed: tuple[str, str], line: int, words: str
) -> None:
    path = write(tmp_path, "p.py", HEAD + PARAMETRIC.replace(*changed))
    (problem,) = problems_of(tmp_path)
    assert problem.startswith(f"{path}, line {line}: ")
    assert words in problem


def test_a_shipped_pattern_is_varied_in_a_line(tmp_path: Path) -> None:
    head = "from footfall.pattern_files import shipped_pattern\n"
    write(tmp_path, "p.py", head + 'rage = shipped_pattern("rage_click", times=4)\n')
    (rage,) = load_patterns(tmp_path)
    assert (rage.name, rage.stages[0].times) == ("rage_click", 4)
    assert shipped_pattern("rage_click") in load_patterns()
    assert shipped_pattern("service_completed") in load_patterns()
    with pytest.raises(UsageError, match="no shipped pattern 'rage'; there are booking_abandoned, "):
        shipped_pattern("rage")
    with pytest.raises(
        PatternError, match="'rage_click': it has no parameter 'clicks'; there are times, within, dist"
    ):
        shipped_pattern("rage_click", clicks=4)
    with pytest.raises(PatternError, match="'service_completed': it has no parameters"):
        shipped_pattern("service_completed", within="1 d")


def test_a_changed_file_is_read_as_it_is_now(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path, "p.py", HEAD + f'p = Pattern("{name}").begin("a", event == "x")\n')
        assert [one.name for one in load_patterns(tmp_path)] == [name]
    assert [path.name for path in tmp_path.iterdir()] == ["p.py"]


def test_all_that_is_wrong_is_said_at_once_with_file_and_line(tmp_path: Path) -> None:
    syntax = write(tmp_path, "a_syntax.py", "x = 1\ny = = 2\n")
    broken = write(tmp_path, "b_import.py", "x = 1\n\nimport no_such_module_anywhere\n")
    bad = write(tmp_path, "c_bad.py", HEAD + '\np = (\n    Pattern("p")\n    .begin("a", event == 3)\n)\n')
    open_end = write(
        tmp_path,
        "d_open.py",
        HEAD + 'q = Pattern("q").begin("a", event == "x").not_followed_by("b", event == "y")\n'
        'r: Pattern = Pattern("r")\n',
    )
    leaves = write(tmp_path, "e_exit.py", "import sys\nsys.exit(3)\n")
    no_json = write(tmp_path, "f.json", '{"name": "f"')
    double = write(tmp_path, "g.py", HEAD + 's = Pattern("s").begin("a", event == "x")\nt = s.within(3)\n')
    write(tmp_path, "h_fine.py", HEAD + 'h = Pattern("h").begin("a", event == "x")\n')
    starts = [
        f"{syntax}, line 2: it isn't Python: ",
        f"{broken}, line 3: ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        f"{bad}, line 6: pattern 'p', stage 'a': 'event is 3' compares a text with a number",
        f"{open_end}, line 3: pattern 'q', stage 'b': an absence at the end needs .within",
        f"{open_end}, line 4: pattern 'r': it has no stage",
        f"{leaves}, line 2: SystemExit: 3",
        f"{no_json}: pattern '(unnamed)': it isn't JSON",
        f"{double}, line 4: the name 's' is taken by the pattern in {double}, line 3",
    ]
    problems = problems_of(tmp_path)
    assert len(problems) == len(starts)
    for problem, start in zip(problems, starts, strict=True):
        assert problem.startswith(start)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("from footfall import Patern\n", "did you mean Pattern?"),
        ("from footfall import zzz\n", "cannot import name 'zzz'"),
        ('p = Pattern("p")\n', "write: from footfall import Pattern"),
        ("p = evnt\n", "did you mean event"),
        (HEAD + 'p = Pattern("p").begin("a", event == "a").folowed_by("b")\n', "did you mean followed_by or"),
        (HEAD + 'p = Pattern("p", severty="info")\n', "did you mean severity?"),
        ("import footfal\n", "No module named 'footfal'"),
        (f'{HEAD}p = {A}.where(event == "b")\n', "put it into the stage's condition with &"),
        (f'{HEAD}p = {A}.one_or_more.followed_by("b")\n', "one_or_more is a method: write .one_or_more()"),
        (f'{HEAD}p = {A}.times(2, within="1 s")\n', "write .times(..., each_within=...) for the time"),
        (f'{HEAD}p = {A}.one_or_more(within="1 s")\n', "write .one_or_more(..., each_within=...)"),
        (f'{HEAD}p = {A}.followed_by("b", within_="1 s")\n', "did you mean within?"),
        (f'{HEAD}p = {A}.skip_to_first("a", raise_on_mis=True)\n', "did you mean raise_on_miss?"),
        (f'{HEAD}from footfall import last\nv = last("a").value\n', 'write .field("value")'),
        (f'{HEAD}from footfall import last\nv = last("a").propert\n', "did you mean property_?"),
    ],
)
def test_names_like_a_wrong_one_are_told(tmp_path: Path, text: str, hint: str) -> None:
    write(tmp_path, "p.py", text)
    (problem,) = problems_of(tmp_path)
    assert hint in problem


def test_a_mistake_in_logic_points_at_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "p.py", HEAD + 'c = (event == "a") and (event == "b")\n')
    (problem,) = problems_of(tmp_path)
    assert problem.startswith(f"{path}, line 3: ")
    assert "write & for 'and'" in problem


def test_a_folder_that_is_none_or_holds_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        load_patterns(tmp_path / "absent")
    with pytest.raises(UsageError, match="holds no pattern"):
        load_patterns(tmp_path)
