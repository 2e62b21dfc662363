from pathlib import Path

import pytest

from footfall.errors import PatternFilesError, UsageError
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_files import load_patterns
from footfall.simulate_plants import PATTERNS

HEAD = "from footfall.expression import event\nfrom footfall.pattern import Pattern\n"


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
