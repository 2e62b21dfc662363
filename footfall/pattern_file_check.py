"""`footfall patterns check`: everything that is wrong with one file of patterns, at once.

A run stops at a file's first fault. Here a Python file's statements are run one by one, and what comes after a
faulty one is looked at too, as far as it doesn't need it.
"""

import __future__

import ast
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from footfall.errors import PatternError, PatternFilesError, UsageError
from footfall.event_names import EventNames
from footfall.pattern import Pattern
from footfall.pattern_cases import case_file, load_case_files
from footfall.pattern_fault import fault_line, fault_words
from footfall.pattern_parameters import ParametricPattern
from footfall.pattern_plan import PatternPlan
from footfall.pattern_warnings import pattern_warnings


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or that is worth a second look.

    Attributes:
        file: where it is.
        message: what it is, and what to do.
        line: its line, from 1; None where it is of the whole file.
        pattern: the pattern that it is about; None if that isn't known.
        stage: the stage that it is about.
    """

    file: str
    message: str
    line: int | None = None
    pattern: str | None = None
    stage: str | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{where}: {_owner(self.pattern, self.stage)}{self.message}"


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What came of checking a file.

    Attributes:
        patterns: those that are whole, in the file's order.
        problems: what a run would refuse.
        warnings: what a run takes, but is likely not meant.
    """

    patterns: tuple[Pattern, ...]
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    pattern: Pattern
    file: Path
    line: int | None

    def finding(self, message: str, stage: str | None = None) -> Finding:
        return Finding(str(self.file), message, self.line, self.pattern.name, stage)


@dataclass(slots=True)
class _Reading:
    """What was read of one file so far; `uncalled` if a pattern's method stands where a pattern was meant."""

    path: Path
    found: list[_Placed] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    uncalled: bool = False

    def problem(self, error: BaseException, line: int | None) -> None:
        if isinstance(error, PatternError):
            words = str(error).removeprefix(_owner(error.pattern, error.stage))
            self.problems.append(Finding(str(self.path), words, line, error.pattern, error.stage))
        else:
            self.problems.append(Finding(str(self.path), fault_words(error), line))

    def warn(self, message: str, line: int | None = None) -> None:
        self.warnings.append(Finding(str(self.path), message, line))

    def take(self, pattern: Pattern, line: int | None) -> None:
        try:
            PatternPlan.compile([pattern.check()])
        except PatternError as error:
            self.problem(error, line)
        else:
            self.found.append(_Placed(pattern, self.path, line))


def check_file(path: Path) -> CheckedFile:
    """Check a file of patterns, and its patterns against their neighbours in its folder and their case files.

    The file and the folder's other pattern files are run; faults of the others aren't told. Event names are those
    that the shipped table gives.

    Raises:
        UsageError: there is no such file, or it is of a kind that holds no patterns.
    """
    if path.suffix not in (".py", ".json") or not path.is_file():
        raise UsageError(f"{path} is no file of patterns: give one that is there and ends in .py or .json")
    reading = _read(path)
    if not (reading.found or reading.problems or reading.uncalled):
        reading.warn("it defines no pattern; assign one: my_pattern = Pattern(...)...")
    if path.name.startswith((".", "_")):
        reading.warn("a run doesn't read files whose names begin with . or _")
    _compare(reading, _neighbours(path))
    names = EventNames.load()
    for placed in reading.found:
        reading.warnings += [
            placed.finding(each.message, each.stage) for each in pattern_warnings(placed.pattern, names)
        ]
        _check_cases(reading, placed)
    patterns = tuple(placed.pattern for placed in reading.found)
    return CheckedFile(patterns, tuple(reading.problems), tuple(reading.warnings))


def check_patterns(path: Path, *, as_json: bool) -> int:
    """Check a file of patterns and print what was found.

    Returns:
        The exit code: 0 if there is no problem (warnings don't count), else 1.

    Raises:
        UsageError: there is no such file.
    """
    checked = check_file(path)
    if as_json:
        said = {
            "file": str(path),
            "patterns": [pattern.name for pattern in checked.patterns],
            "problems": checked.problems,
            "warnings": checked.warnings,
        }
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    else:
        _print(checked)
    return 1 if checked.problems else 0


def _print(checked: CheckedFile) -> None:
    console = Console(highlight=False)
    for findings, title, style in (
        (checked.problems, "problem", "bold red"),
        (checked.warnings, "warning", "yellow"),
    ):
        for finding in findings:
            console.print(Text.assemble((title, style), " ", str(finding)), soft_wrap=True)
    names = ", ".join(pattern.name for pattern in checked.patterns)
    said = [
        _many(len(checked.patterns), "good pattern") + (f" ({names})" if names else ""),
        _many(len(checked.problems), "problem"),
        _many(len(checked.warnings), "warning"),
    ]
    console.print(Text(", ".join(said)), soft_wrap=True)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _read(path: Path) -> _Reading:
    reading = _Reading(path)
    if path.suffix == ".json":
        try:
            reading.take(Pattern.from_json(path.read_bytes()), None)
        except (PatternError, OSError) as error:
            reading.problem(error, None)
        return reading
    try:
        statements = ast.parse(path.read_bytes(), str(path)).body
    except (SyntaxError, ValueError, RecursionError, OSError) as error:
        reading.problem(error, getattr(error, "lineno", None))
        return reading
    module, lines = _run(reading, statements)
    _take_patterns(reading, module, lines)
    return reading


def _run(reading: _Reading, statements: Sequence[ast.stmt]) -> tuple[ModuleType, dict[str, int]]:
    """Run the statements one by one; the module, and the lines at which its names were bound."""
    module = ModuleType(f"_footfall_checked_{reading.path.stem}")
    module.__spec__ = importlib.util.spec_from_loader(module.__name__, loader=None)
    module.__file__ = str(reading.path)
    lines: dict[str, int] = {}
    lost: set[str] = set()
    flags = 0
    for statement in statements:
        names = set(_bound(statement))
        flags |= _future(statement)
        part = ast.Module([statement], type_ignores=[])
        try:
            code = compile(part, str(reading.path), "exec", flags=flags, dont_inherit=True)
            exec(code, vars(module))  # noqa: S102  # a pattern file is code, and running it is how it is read
        except (Exception, SystemExit) as error:  # noqa: BLE001  # it is the user's code: anything goes
            # What only lacks the name of something faulty isn't a fault of its own.
            if not (isinstance(error, NameError) and error.name in lost):
                reading.problem(error, fault_line(reading.path, error) or statement.lineno)
            lost |= names
        else:
            lost -= names
            lines.update(dict.fromkeys(names, statement.lineno))
    return module, lines


def _take_patterns(reading: _Reading, module: ModuleType, lines: dict[str, int]) -> None:
    seen: set[int] = set()
    for name, value in vars(module).items():
        if not isinstance(value, Pattern | ParametricPattern) or id(value) in seen:
            continue
        seen.add(id(value))
        line = lines.get(name)
        try:
            pattern = value if isinstance(value, Pattern) else value()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # it is the user's function: anything goes
            reading.problem(error, fault_line(reading.path, error) or line)
        else:
            reading.take(pattern, line)
    for name, value in vars(module).items():
        if name in lines and isinstance(value, MethodType) and isinstance(value.__self__, Pattern):
            method = value.__name__
            reading.uncalled = True
            reading.warn(f"{name} is a method: write .{method}()", lines[name])
    for name, value in vars(module).items():
        hidden = [each for each in _members(value) if isinstance(each, Pattern) and id(each) not in seen]
        if hidden and name in lines:
            names = ", ".join(pattern.name for pattern in hidden[:3]) + (", …" if len(hidden) > 3 else "")
            reading.warn(
                f"{name} holds patterns that a run doesn't see ({names}): give each a name of its own",
                lines[name],
            )


def _members(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple | set | frozenset) else []


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement binds in the module."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).split(".")[0] for alias in statement.names)
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _future(statement: ast.stmt) -> int:
    if not isinstance(statement, ast.ImportFrom) or statement.module != "__future__":
        return 0
    features = [getattr(__future__, alias.name, None) for alias in statement.names]
    return sum(feature.compiler_flag for feature in features if feature is not None)


def _neighbours(path: Path) -> list[_Placed]:
    """The patterns of the folder's other files, as far as they are whole."""
    others = [
        other
        for other in sorted(path.parent.iterdir())
        if other.suffix in (".py", ".json")
        and not other.name.startswith((".", "_"))
        and other.is_file()
        and not other.samefile(path)
    ]
    return [placed for other in others for placed in _read(other).found]


def _compare(reading: _Reading, neighbours: Sequence[_Placed]) -> None:
    known = list(neighbours)
    for placed in reading.found:
        for other in known:
            where = _where(other, reading.path)
            if other.pattern.name == placed.pattern.name:
                reading.problems.append(placed.finding(f"the name is taken by the pattern in {where}"))
            elif other.pattern.version == placed.pattern.version:
                message = f"it means the same as {other.pattern.name!r} in {where}; is one of them to differ?"
                reading.warnings.append(placed.finding(message))
        known.append(placed)


def _where(placed: _Placed, here: Path) -> str:
    file = [] if placed.file == here else [str(placed.file)]
    line = [] if placed.line is None else [f"line {placed.line}"]
    return ", ".join(file + line) or "this file"


def _check_cases(reading: _Reading, placed: _Placed) -> None:
    path = case_file(reading.path.parent, placed.pattern.name)
    try:
        cases = load_case_files([path], [placed.pattern]) if path.is_file() else ()
    except PatternFilesError as error:
        reading.problems += [
            Finding(str(path), problem.removeprefix(f"{path}: "), None, placed.pattern.name)
            for problem in error.problems
        ]
        return
    if not cases:
        reading.warnings.append(placed.finding(f"it has no cases; they stand in {path}"))
        return
    for there, what in (
        (any(case.matches for case in cases), "that must match"),
        (not all(case.matches for case in cases), "that must not match"),
    ):
        if not there:
            reading.warnings.append(placed.finding(f"it has no case {what} in {path}"))


def _owner(pattern: str | None, stage: str | None) -> str:
    """The words with which a `PatternError` begins."""
    if pattern is None:
        return ""
    return f"pattern {pattern!r}" + (f", stage {stage!r}" if stage else "") + ": "
