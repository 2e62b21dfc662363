"""When a folder of patterns is read anew, and what a look gives of one that is wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hand_clock import Hand

from footfall.content import content_folder
from footfall.errors import PatternFilesError
from footfall.pattern_files import PatternFolder
from footfall.pattern_watch import PatternWatch

HEAD = "from footfall import Pattern, TriggerRule, event\n"
ONE = HEAD + 'one = Pattern("one").begin("a", event == "a")\n'


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder, "one.py", ONE)
    return folder


@pytest.fixture
def watch(folder: Path, hand: Hand) -> PatternWatch:
    """One that has seen the folder as it is."""
    watch = PatternWatch(folder, 1.0, clock=hand)
    assert names(settled(watch, hand)) == ["one"]
    return watch


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def look(watch: PatternWatch, hand: Hand) -> PatternFolder | PatternFilesError | None:
    hand.now += 1.0
    return watch.look()


def settled(watch: PatternWatch, hand: Hand) -> PatternFolder | PatternFilesError | None:
    """The second of two looks; the first sees that something has changed, and nothing more."""
    assert look(watch, hand) is None
    return look(watch, hand)


def names(found: PatternFolder | PatternFilesError | None) -> list[str]:
    assert isinstance(found, PatternFolder), found
    return [pattern.name for pattern in found.patterns]


def problems(found: PatternFolder | PatternFilesError | None) -> str:
    assert isinstance(found, PatternFilesError), found
    return "\n".join(found.problems)


def test_nothing_new_is_nothing(watch: PatternWatch, hand: Hand) -> None:
    assert [look(watch, hand) for _ in range(5)] == [None] * 5


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder, "one.py", ONE.replace('"one"', '"two"')),
        lambda folder: write(folder, "more.py", ONE.replace("one", "more")),
        lambda folder: os.utime(folder / "one.py", ns=(1, 1)),
        lambda folder: write(folder, "_shared.py", "THREE = 3\n"),
        lambda folder: (folder / "one.py").rename(folder / "other.py"),
    ],
    ids=["content", "added", "time", "helper", "renamed"],
)
def test_a_change_is_read_once(
    watch: PatternWatch, hand: Hand, folder: Path, change: Callable[[Path], object]
) -> None:
    change(folder)
    assert isinstance(settled(watch, hand), PatternFolder)
    assert look(watch, hand) is None


def test_a_file_of_the_same_size_and_time_is_another_one(
    watch: PatternWatch, hand: Hand, folder: Path
) -> None:
    before = (folder / "one.py").stat()
    new = write(folder, "new", ONE.replace('"one"', '"two"'))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(folder / "one.py")
    after = (folder / "one.py").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert names(settled(watch, hand)) == ["two"]


@pytest.mark.parametrize("name", ["notes.txt", ".hidden.py", "one.py~", "one.pyc"])
def test_other_files_do_not_count(watch: PatternWatch, hand: Hand, folder: Path, name: str) -> None:
    write(folder, name, "anything")
    (folder / "cases").mkdir()
    assert [look(watch, hand) for _ in range(3)] == [None] * 3


def test_a_file_that_is_still_written_is_not_read(watch: PatternWatch, hand: Hand, folder: Path) -> None:
    for length in range(20, len(ONE), 10):
        write(folder, "two.py", ONE.replace("one", "two")[:length])
        assert look(watch, hand) is None
    write(folder, "two.py", ONE.replace("one", "two"))
    assert names(settled(watch, hand)) == ["one", "two"]


def test_a_file_that_changes_while_it_is_read_is_read_again(
    watch: PatternWatch, hand: Hand, folder: Path
) -> None:
    again = "import pathlib, time\np = pathlib.Path(__file__).parent / 'late.py'\n"
    again += f"p.exists() or p.write_text({ONE.replace('one', 'late')!r})\n"
    write(folder, "one.py", again + ONE)
    assert settled(watch, hand) is None
    assert names(settled(watch, hand)) == ["late", "one"]


def test_looks_between_the_times_do_nothing(folder: Path, hand: Hand) -> None:
    watch = PatternWatch(folder, 5.0, clock=hand)
    assert watch.look() is None
    hand.now += 4.9
    assert watch.look() is None
    hand.now += 0.1
    assert names(watch.look()) == ["one"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Pattern(", "it isn't Python"),
        ("raise RuntimeError('why')", "RuntimeError: why"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("import no_such_module_at_all", "ModuleNotFoundError"),
        ("\0", "null bytes"),
        (HEAD + 'r = TriggerRule("r", pattern="none", action="x")', "there is no pattern 'none'"),
        (ONE, "the name 'one' is taken"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_a_broken_file_is_an_error_and_no_exception(
    watch: PatternWatch, hand: Hand, folder: Path, text: str, said: str
) -> None:
    write(folder, "wrong.py", text)
    assert said in problems(settled(watch, hand))
    assert look(watch, hand) is None, "told once"
    (folder / "wrong.py").unlink()
    assert names(settled(watch, hand)) == ["one"]


def test_what_nobody_thought_of_is_an_error_too(
    watch: PatternWatch, hand: Hand, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> PatternFolder:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr("footfall.pattern_watch.read_folder", fail)
    write(folder, "more.py", "")
    assert problems(settled(watch, hand)) == f"{folder}: ZeroDivisionError: odd"


def test_a_folder_that_vanished_is_an_error_and_may_come_back(
    watch: PatternWatch, hand: Hand, folder: Path
) -> None:
    away = folder.rename(folder.with_name("away"))
    assert "is no folder" in problems(settled(watch, hand))
    assert look(watch, hand) is None
    away.rename(folder)
    assert names(settled(watch, hand)) == ["one"]
    (folder / "one.py").unlink()
    assert "holds no pattern" in problems(settled(watch, hand))


def test_a_helper_is_imported_anew(
    watch: PatternWatch, hand: Hand, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    write(folder, "_watched_names.py", 'NAME = "first"\n')
    text = "from _watched_names import NAME\n" + HEAD + 'one = Pattern(NAME).begin("a", event == "a")\n'
    write(folder, "one.py", text)
    assert names(settled(watch, hand)) == ["first"]
    write(folder, "_watched_names.py", 'NAME = "second, longer"[:6]\n')
    assert names(settled(watch, hand)) == ["second"]


def test_without_a_folder_the_shipped_ones_are_watched(hand: Hand) -> None:
    watch = PatternWatch(None, 1.0, clock=hand)
    assert watch.folder == content_folder("patterns")
    assert "rage_click" in names(settled(watch, hand))
