"""`footfall patterns check`: everything that is wrong with files of patterns and trigger rules, at once.

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

from footfall.errors import PatternError, PatternFilesError, TriggerRuleError, UsageError
from footfall.event_names import EventNames
from footfall.pattern import Pattern
from footfall.pattern_cases import case_file, load_case_files
from footfall.pattern_fault import fault_line, fault_words
from footfall.pattern_files import is_shipped, named_pattern, pattern_names_in
from footfall.pattern_parameters import ParametricPattern
from footfall.pattern_plan import PatternPlan
from footfall.pattern_warnings import condition_warnings, pattern_warnings
from footfall.scoring.score_model import ScoreModel
from footfall.trigger_cases import load_rule_case_files, rule_case_file
from footfall.trigger_rule import TriggerRule
from footfall.trigger_rule_check import misfits, unknown_pattern


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or that is worth a second look.

    Attributes:
        file: where it is.
        message: what it is, and what to do.
        line: its line, from 1; None where it is of the whole file.
        pattern: the pattern that it is about; None if that isn't known.
        stage: the stage that it is about.
        rule: the trigger rule that it is about.
    """

    file: str
    message: str
    line: int | None = None
    pattern: str | None = None
    stage: str | None = None
    rule: str | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        # What is wrong with a rule begins with its name.
        owner = "" if self.rule is not None else _owner(self.pattern, self.stage)
        return f"{where}: {owner}{self.message}"


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What came of checking a file.

    Attributes:
        patterns: those that are whole, in the file's order.
        problems: what a run would refuse.
        warnings: what a run takes, but is likely not meant.
        rules: the trigger rules that are whole and fit the folder's patterns, in the file's order.
        models: the models of scores, in the file's order.
    """

    patterns: tuple[Pattern, ...]
    problems: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    rules: tuple[TriggerRule, ...] = ()
    models: tuple[ScoreModel, ...] = ()


@dataclass(frozen=True, slots=True)
class _Placed:
    pattern: Pattern
    file: Path
    line: int | None

    def finding(self, message: str, stage: str | None = None) -> Finding:
        return Finding(str(self.file), message, self.line, self.pattern.name, stage)


@dataclass(frozen=True, slots=True)
class _PlacedRule:
    rule: TriggerRule
    file: Path
    line: int | None

    def finding(self, message: str) -> Finding:
        return Finding(str(self.file), f"rule {self.rule.name!r}, {message}", self.line, rule=self.rule.name)


@dataclass(slots=True)
class _Reading:
    """What was read of one file so far; `uncalled` if a pattern's method stands where a pattern was meant.

    `lost_rules` are those that won't do by themselves, with their lines. `lost` are the names that faulty patterns may
    have; `blind` says that these aren't known.
    """

    path: Path
    found: list[_Placed] = field(default_factory=list)
    rules: list[_PlacedRule] = field(default_factory=list)
    lost_rules: list[tuple[TriggerRuleError, int | None]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    blind: bool = False
    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    uncalled: bool = False
    models: list[ScoreModel] = field(default_factory=list)

    def problem(self, error: BaseException, line: int | None) -> None:
        if isinstance(error, PatternError):
            words = str(error).removeprefix(_owner(error.pattern, error.stage))
            self.problems.append(Finding(str(self.path), words, line, error.pattern, error.stage))
            self.lose({error.pattern})
        elif isinstance(error, TriggerRuleError):
            self.rule_problems(error, line)
            self.lost_rules.append((error, line))
        else:
            self.problems.append(Finding(str(self.path), fault_words(error), line))

    def lose(self, names: set[str] | None) -> None:
        """Patterns of these names are lost, or of any if it is None."""
        self.lost |= names or set()
        self.blind |= names is None

    def rule_problems(self, error: TriggerRuleError, line: int | None) -> None:
        self.problems += [Finding(str(self.path), words, line, rule=error.rule) for words in error.lines]

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
    """Check a file of patterns and rules, against their neighbours in its folder and their case files too.

    The file and the folder's other pattern files are run; faults of the others aren't told. Event names are those
    that the shipped table gives.

    Raises:
        UsageError: there is no such file, or it is of a kind that holds no patterns.
    """
    if path.suffix not in (".py", ".json") or not path.is_file():
        raise UsageError(
            f"{path} is no file of patterns: give one that is there and ends in .py or .json, or a folder of such"
        )
    reading = _read(path)
    if not (reading.found or reading.rules or reading.models or reading.problems or reading.uncalled):
        reading.warn("it defines no pattern; assign one: my_pattern = Pattern(...)...")
    if path.name.startswith((".", "_")):
        reading.warn("a run doesn't read files whose names begin with . or _")
    others = [_read(other) for other in _files_beside(path)]
    _compare(reading, [placed for other in others for placed in other.found])
    names = EventNames.load()
    for placed in reading.found:
        reading.warnings += [
            placed.finding(each.message, each.stage) for each in pattern_warnings(placed.pattern, names)
        ]
        _check_cases(reading, placed)
    rules = _check_rules(reading, others, names)
    patterns = tuple(placed.pattern for placed in reading.found)
    return CheckedFile(
        patterns, tuple(reading.problems), tuple(reading.warnings), rules, tuple(reading.models)
    )


def check_patterns(paths: Sequence[Path], *, as_json: bool) -> int:
    """Check files and folders of patterns and print what was found.

    Returns:
        The exit code: 0 if there is no problem (warnings don't count), else 1.

    Raises:
        UsageError: a file isn't there, or a folder holds none.
    """
    files = list(dict.fromkeys(file for path in paths for file in _files_of(path)))
    checked = [check_file(file) for file in files]
    problems = [finding for each in checked for finding in each.problems]
    if as_json:
        said = {
            "files": [str(file) for file in files],
            "patterns": [pattern.name for each in checked for pattern in each.patterns],
            "rules": [rule.name for each in checked for rule in each.rules],
            "problems": problems,
            "warnings": [finding for each in checked for finding in each.warnings],
        }
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    else:
        _print(checked)
    return 1 if problems else 0


def _files_of(path: Path) -> list[Path]:
    """The files that an argument names: itself, or those that a run reads of the folder."""
    if not path.is_dir() or path.suffix in (".py", ".json"):
        return [path]
    files = _pattern_files(path)
    if not files:
        raise UsageError(f"{path} holds no file of patterns (*.py, *.json)")
    return files


def _pattern_files(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in (".py", ".json") and not path.name.startswith((".", "_")) and path.is_file()
    ]


def _print(checked: Sequence[CheckedFile]) -> None:
    console = Console(highlight=False)
    problems = [finding for each in checked for finding in each.problems]
    warnings = [finding for each in checked for finding in each.warnings]
    for findings, title, style in ((problems, "problem", "bold red"), (warnings, "warning", "yellow")):
        for finding in findings:
            console.print(Text.assemble((title, style), " ", str(finding)), soft_wrap=True)
    patterns = [pattern.name for each in checked for pattern in each.patterns]
    rules = [rule.name for each in checked for rule in each.rules]
    said = [_many(len(patterns), "good pattern") + _named(patterns)]
    said += [_many(len(rules), "good rule") + _named(rules)] if rules else []
    said += [_many(len(problems), "problem"), _many(len(warnings), "warning")]
    console.print(Text(", ".join(said)), soft_wrap=True)


def _named(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _read(path: Path) -> _Reading:
    reading = _Reading(path)
    if path.suffix == ".json":
        try:
            reading.take(Pattern.from_json(path.read_bytes()), None)
        except (PatternError, OSError) as error:
            reading.problem(error, None)
            reading.lose(None)  # a name may be what is wrong with it
        return reading
    try:
        statements = ast.parse(path.read_bytes(), str(path)).body
    except (SyntaxError, ValueError, RecursionError, OSError) as error:
        reading.problem(error, getattr(error, "lineno", None))
        reading.lose(None)
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
            reading.lose(pattern_names_in(statement))
        else:
            lost -= names
            lines.update(dict.fromkeys(names, statement.lineno))
    return module, lines


def _take_patterns(reading: _Reading, module: ModuleType, lines: dict[str, int]) -> None:
    seen: set[int] = set()
    reading.models += [value for value in vars(module).values() if isinstance(value, ScoreModel)]
    for name, value in vars(module).items():
        if not isinstance(value, Pattern | ParametricPattern | TriggerRule) or id(value) in seen:
            continue
        seen.add(id(value))
        line = lines.get(name)
        if isinstance(value, TriggerRule):
            reading.rules.append(_PlacedRule(value, reading.path, line))
            continue
        try:
            pattern = value if isinstance(value, Pattern) else value()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # it is the user's function: anything goes
            reading.problem(error, fault_line(reading.path, error) or line)
            reading.lose(None)
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


def _files_beside(path: Path) -> list[Path]:
    return [other for other in _pattern_files(path.parent) if not other.samefile(path)]


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


def _check_rules(reading: _Reading, others: Sequence[_Reading], names: EventNames) -> tuple[TriggerRule, ...]:
    """Look at a file's trigger rules beside the folder's patterns and rules; those that are good."""
    everything = [*others, reading]
    patterns = {placed.pattern.name: placed.pattern for each in everything for placed in each.found}
    # A pattern that is there and faulty is no rule's fault, and one of a file that can't be read isn't known.
    lost = {name for each in everything for name in each.lost}
    blind = any(each.blind for each in everything)
    for error, line in reading.lost_rules:
        name = named_pattern(error)
        if name is not None and name not in patterns and name not in lost and not blind:
            misfit = TriggerRuleError([unknown_pattern(name, patterns)], rule=error.rule)
            reading.rule_problems(misfit, line)
    taken = {placed.rule.name: placed for each in others for placed in each.rules}
    good = []
    for placed in reading.rules:
        before = len(reading.problems)
        other = taken.setdefault(placed.rule.name, placed)
        if other is not placed:
            where = _where(other, reading.path)
            reading.problems.append(placed.finding(f"name: it is taken by the rule in {where}"))
        if placed.rule.pattern in patterns or not (placed.rule.pattern in lost or blind):
            reading.problems += [placed.finding(each) for each in misfits(placed.rule, patterns)]
        if placed.rule.withdrawal is not None:
            reading.warnings += [
                placed.finding(f"withdrawn_by: {each.message}")
                for each in condition_warnings(placed.rule.withdrawal, names)
            ]
        _check_rule_cases(reading, placed)
        if len(reading.problems) == before:
            good.append(placed.rule)
    return tuple(good)


def _check_rule_cases(reading: _Reading, placed: _PlacedRule) -> None:
    path = rule_case_file(reading.path.parent, placed.rule.name)
    try:
        cases = load_rule_case_files([path], [placed.rule]) if path.is_file() else ()
    except PatternFilesError as error:
        reading.problems += [
            Finding(str(path), problem.removeprefix(f"{path}: "), None, rule=placed.rule.name)
            for problem in error.problems
        ]
        return
    if not cases and not is_shipped(placed.rule):
        reading.warnings.append(placed.finding(f"cases: it has none; they stand in {path}"))


def _where(placed: _Placed | _PlacedRule, here: Path) -> str:
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
        if not is_shipped(placed.pattern):
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
