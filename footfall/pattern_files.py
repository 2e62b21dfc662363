"""Reading a folder of patterns: Python files that define them, and JSON files that hold one each.

A folder's Python files are code and run when they are read, so a folder is as trusted as the program itself.
"""

import ast
import hashlib
import importlib.util
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.abc import SourceLoader
from pathlib import Path
from typing import Any

from footfall.content import content_folder
from footfall.errors import PatternError, PatternFilesError, UsageError
from footfall.pattern import Pattern


@dataclass(frozen=True, slots=True)
class _Found:
    pattern: Pattern
    where: str


class _FreshSource(SourceLoader):
    """Loads a source file as it is now: bytecode is neither written beside it nor read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002  # it loads one module only
        return str(self._path)

    def get_data(self, path: str) -> bytes:
        return Path(path).read_bytes()


def load_patterns(folder: Path | None = None) -> tuple[Pattern, ...]:
    """The patterns of a folder, by name; without one, the shipped patterns.

    Every `Pattern` that a `*.py` file (not one that starts with `_`) has at module level counts, and so does
    each `*.json` file that `Pattern.to_json` wrote. Folders inside aren't read.

    Raises:
        UsageError: the folder doesn't exist, or holds no pattern.
        PatternFilesError: files are wrong or two patterns have one name; it names all of them.
    """
    folder = content_folder("patterns") if folder is None else folder
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give one that holds pattern files (*.py, *.json)")
    problems: list[str] = []
    found: list[_Found] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")) or not path.is_file():
            continue
        if path.suffix == ".py":
            found.extend(_read_python(path, problems))
        elif path.suffix == ".json":
            found.extend(_read_json(path, problems))
    patterns = _by_name(found, problems)
    if problems:
        raise PatternFilesError(problems)
    if not patterns:
        raise UsageError(
            f"{folder} holds no pattern; a pattern file assigns one: my_pattern = Pattern(...)..."
        )
    return patterns


def _read_python(path: Path, problems: list[str]) -> Iterator[_Found]:
    # The name is private and differs from folder to folder, so that it hides no module and is hidden by none.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_loader(f"_footfall_patterns_{digest}_{path.stem}", _FreshSource(path))
    if spec is None or spec.loader is None:
        problems.append(f"{path}: it can't be imported")
        return
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a pattern file is the user's code: anything goes
        problems.append(f"{_place(path, error)}: {_words(error)}")
        return
    lines = _assignment_lines(path)
    seen: set[int] = set()
    for name, value in vars(module).items():
        if not isinstance(value, Pattern) or id(value) in seen:
            continue
        seen.add(id(value))
        where = f"{path}, line {lines[name]}" if name in lines else str(path)
        try:
            yield _Found(value.check(), where)
        except PatternError as error:
            problems.append(f"{where}: {error}")


def _read_json(path: Path, problems: list[str]) -> Iterator[_Found]:
    try:
        yield _Found(Pattern.from_json(path.read_bytes()), str(path))
    except (PatternError, OSError) as error:
        problems.append(f"{path}: {error}")


def _by_name(found: list[_Found], problems: list[str]) -> tuple[Pattern, ...]:
    first: dict[str, _Found] = {}
    for one in found:
        known = first.setdefault(one.pattern.name, one)
        if known is not one:
            problems.append(
                f"{one.where}: the name {one.pattern.name!r} is taken by the pattern in {known.where}"
            )
    return tuple(first[name].pattern for name in sorted(first))


def _assignment_lines(path: Path) -> dict[str, int]:
    lines: dict[str, int] = {}
    for statement in ast.parse(path.read_bytes()).body:
        targets: list[Any] = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        lines.update({target.id: statement.lineno for target in targets if isinstance(target, ast.Name)})
    return lines


def _place(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.lineno is not None and error.filename == str(path):
        return f"{path}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {frames[-1].lineno}" if frames else str(path)


def _words(error: BaseException) -> str:
    if isinstance(error, PatternError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"it isn't Python: {error.msg}"
    return f"{type(error).__name__}: {error}"
