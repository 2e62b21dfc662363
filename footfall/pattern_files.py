"""Reading a folder of patterns: Python files that define them, and JSON files that hold one each.

A Python file defines patterns (`my_pattern = Pattern(...)...`) and patterns with parameters (functions under
`@parameters`, see `footfall.pattern_parameters`), which count with their defaults. Trigger rules
(`my_rule = TriggerRule(...)`) and models of scores (`my_model = ScoreModel(...)`) stand in the same files. Such files
are code and run when they are read, so a folder is as trusted as the program itself.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.abc import SourceLoader
from pathlib import Path
from typing import Any

from footfall.content import content_folder
from footfall.errors import PatternError, PatternFilesError, TriggerRuleError, UsageError
from footfall.pattern import Pattern
from footfall.pattern_fault import fault_line, fault_words
from footfall.pattern_parameters import ParameterValue, ParametricPattern
from footfall.scoring.score_model import ScoreModel
from footfall.trigger_rule import TriggerRule
from footfall.trigger_rule_check import misfits


@dataclass(frozen=True, slots=True)
class PatternFolder:
    """What a folder of patterns holds.

    Attributes:
        patterns: the patterns, by name; those with parameters as their defaults make them.
        parametric: name -> the pattern with parameters, for those that have some.
        rules: the trigger rules, by name.
        models: the models of scores, by name.
    """

    patterns: tuple[Pattern, ...]
    parametric: Mapping[str, ParametricPattern]
    rules: tuple[TriggerRule, ...] = ()
    models: tuple[ScoreModel, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    pattern: Pattern
    where: str
    parametric: ParametricPattern | None = None


@dataclass(frozen=True, slots=True)
class _FoundRule:
    rule: TriggerRule
    where: str


@dataclass(slots=True)
class _Faults:
    """What is wrong with a folder's files.

    Attributes:
        problems: all of it, in words with file and line.
        lost_rules: rules that won't do by themselves, each with its place.
        unread: names that the faulty files may have given to patterns; None if that can't be told.
    """

    problems: list[str] = field(default_factory=list)
    lost_rules: list[tuple[TriggerRuleError, str]] = field(default_factory=list)
    unread: set[str] | None = field(default_factory=set)

    def may_have_lost(self, pattern: str) -> bool:
        """Whether a pattern of that name may stand in a file that couldn't be read."""
        return self.unread is None or pattern in self.unread

    def lose(self, names: set[str] | None) -> None:
        """A file couldn't be read that may have held patterns of these names, or of any if it is None."""
        self.unread = None if self.unread is None or names is None else self.unread | names


class _FreshSource(SourceLoader):
    """Loads a source file as it is now: bytecode is neither written beside it nor read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002  # it loads one module only
        return str(self._path)

    def get_data(self, path: str) -> bytes:
        return Path(path).read_bytes()


def load_patterns(folder: Path | None = None) -> tuple[Pattern, ...]:
    """The patterns of a folder, by name; without one, the shipped patterns. See `read_folder`."""
    return read_folder(folder).patterns


def load_rules(folder: Path | None = None) -> tuple[TriggerRule, ...]:
    """The trigger rules of a folder, by name; without one, the shipped ones. See `read_folder`."""
    return read_folder(folder).rules


def shipped_pattern(name: str, **values: ParameterValue) -> Pattern:
    """A shipped pattern, with other parameters than its own where some are given.

    In a folder of one's own, `rage_click = shipped_pattern("rage_click", times=4)` is a whole pattern file.

    Raises:
        UsageError: there is no such pattern.
        PatternError: there is no such parameter, or its value won't do.
    """
    shipped = read_folder()
    parametric = shipped.parametric.get(name)
    if parametric is not None:
        return parametric(**values)
    for pattern in shipped.patterns:
        if pattern.name == name:
            if values:
                raise PatternError("it has no parameters", pattern=name)
            return pattern
    raise UsageError(
        f"there is no shipped pattern {name!r}; there are {', '.join(each.name for each in shipped.patterns)}"
    )


def shipped_patterns() -> dict[str, Pattern | ParametricPattern]:
    """The shipped patterns by name, for a file of one's own that is to have them all.

    `globals().update(shipped_patterns())` has a run read them as if they stood there; a line behind it may give one of
    the names another pattern (`rage_click = shipped_pattern("rage_click", times=4)`) or `del` it.
    """
    shipped = read_folder()
    return {pattern.name: shipped.parametric.get(pattern.name, pattern) for pattern in shipped.patterns}


def shipped_rules() -> dict[str, TriggerRule]:
    """The shipped trigger rules by name, to be used as `shipped_patterns`; they need the shipped patterns."""
    return {rule.name: rule for rule in load_rules()}


def is_shipped(made: Pattern | TriggerRule) -> bool:
    """Whether a pattern or rule is one of the shipped ones as it is, whose cases are beside those."""
    shipped = read_folder()
    return made in (shipped.patterns if isinstance(made, Pattern) else shipped.rules)


def read_folder(folder: Path | None = None) -> PatternFolder:
    """What a folder of patterns holds; without one, the folder of the shipped patterns.

    Every `Pattern`, `ParametricPattern`, `TriggerRule` and `ScoreModel` that a `*.py` file (not one that starts with
    `_`) has at module level counts, and so does each `*.json` file that `Pattern.to_json` wrote. Folders inside aren't
    read.

    Raises:
        UsageError: the folder doesn't exist, or holds no pattern.
        PatternFilesError: files are wrong, two patterns, rules or models have one name, or a rule doesn't fit the
            folder's patterns; it names all of them.
    """
    folder = content_folder("patterns") if folder is None else folder
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give one that holds pattern files (*.py, *.json)")
    faults = _Faults()
    problems = faults.problems
    found: list[_Found] = []
    found_rules: list[_FoundRule] = []
    found_models: list[tuple[ScoreModel, str]] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")) or not path.is_file():
            continue
        before = len(problems)
        if path.suffix == ".py":
            found.extend(_read_python(path, faults, found_rules, found_models))
        elif path.suffix == ".json":
            found.extend(_read_json(path, problems))
        if len(problems) > before:
            faults.lose(_names_in(path))
    by_name = _by_name(found, problems)
    rules = _rules_by_name(found_rules, {one.pattern.name: one.pattern for one in by_name}, faults)
    models = _models_by_name(found_models, problems)
    if problems:
        raise PatternFilesError(problems)
    if not by_name:
        raise UsageError(
            f"{folder} holds no pattern; a pattern file assigns one: my_pattern = Pattern(...)..."
        )
    return PatternFolder(
        tuple(one.pattern for one in by_name),
        {one.pattern.name: one.parametric for one in by_name if one.parametric is not None},
        rules,
        models,
    )


def _models_by_name(found: list[tuple[ScoreModel, str]], problems: list[str]) -> tuple[ScoreModel, ...]:
    first: dict[str, tuple[ScoreModel, str]] = {}
    for model, where in found:
        known, there = first.setdefault(model.name, (model, where))
        if known is not model:
            problems.append(f"{where}: the name {model.name!r} is taken by the model in {there}")
    return tuple(first[name][0] for name in sorted(first))


def _read_python(
    path: Path, faults: _Faults, rules: list[_FoundRule], models: list[tuple[ScoreModel, str]]
) -> Iterator[_Found]:
    problems = faults.problems
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
        problems.extend(f"{_place(path, error)}: {words}" for words in _fault_lines(error))
        if isinstance(error, TriggerRuleError):
            faults.lost_rules.append((error, _place(path, error)))
        return
    lines = _assignment_lines(path)
    seen: set[int] = set()
    for name, value in vars(module).items():
        if not isinstance(value, Pattern | ParametricPattern | TriggerRule | ScoreModel) or id(value) in seen:
            continue
        seen.add(id(value))
        where = f"{path}, line {lines[name]}" if name in lines else str(path)
        if isinstance(value, TriggerRule | ScoreModel):
            _note(value, where, rules, models)
            continue
        if isinstance(value, Pattern):
            pattern = value
        else:
            try:
                pattern = value()
            except (Exception, SystemExit) as error:  # noqa: BLE001  # it is the user's function: anything goes
                problems.append(f"{_place(path, error, where)}: {fault_words(error)}")
                continue
        try:
            yield _Found(pattern.check(), where, value if isinstance(value, ParametricPattern) else None)
        except PatternError as error:
            problems.append(f"{where}: {error}")


def _note(
    value: TriggerRule | ScoreModel,
    where: str,
    rules: list[_FoundRule],
    models: list[tuple[ScoreModel, str]],
) -> None:
    if isinstance(value, TriggerRule):
        rules.append(_FoundRule(value, where))
    else:
        models.append((value, where))


def _read_json(path: Path, problems: list[str]) -> Iterator[_Found]:
    try:
        yield _Found(Pattern.from_json(path.read_bytes()), str(path))
    except (PatternError, OSError) as error:
        problems.append(f"{path}: {error}")


def _by_name(found: list[_Found], problems: list[str]) -> tuple[_Found, ...]:
    first: dict[str, _Found] = {}
    for one in found:
        known = first.setdefault(one.pattern.name, one)
        if known is not one:
            problems.append(
                f"{one.where}: the name {one.pattern.name!r} is taken by the pattern in {known.where}"
            )
    return tuple(first[name] for name in sorted(first))


def _rules_by_name(
    found: list[_FoundRule], patterns: Mapping[str, Pattern], faults: _Faults
) -> tuple[TriggerRule, ...]:
    first: dict[str, _FoundRule] = {}
    problems = faults.problems
    for error, where in faults.lost_rules:
        name = named_pattern(error)
        if name is not None and name not in patterns and not faults.may_have_lost(name):
            # Patterns of the faulty file itself aren't known, so that a list of those that there are would mislead.
            lines = TriggerRuleError([f"pattern: there is no pattern {name!r}"], rule=error.rule).lines
            problems.extend(f"{where}: {line}" for line in lines)
    for one in found:
        known = first.setdefault(one.rule.name, one)
        if known is not one:
            problems.append(f"{one.where}: the name {one.rule.name!r} is taken by the rule in {known.where}")
        # A rule isn't to blame for a pattern that couldn't be read.
        told = one.rule.pattern in patterns or not faults.may_have_lost(one.rule.pattern)
        misfit = misfits(one.rule, patterns) if told else []
        if misfit:
            lines = TriggerRuleError(misfit, rule=one.rule.name).lines
            problems.extend(f"{one.where}: {line}" for line in lines)
    return tuple(first[name].rule for name in sorted(first))


def named_pattern(error: TriggerRuleError) -> str | None:
    """The pattern that a faulty rule names; None if that isn't known, or is a fault that was told."""
    return None if any(each.startswith("pattern:") for each in error.problems) else error.pattern


def _names_in(path: Path) -> set[str] | None:
    try:
        return pattern_names_in(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError, RecursionError, OSError):
        return None


def pattern_names_in(code: ast.AST) -> set[str] | None:
    """Every text that code may name a pattern by, but for those by which rules name theirs; None if it may be any."""
    nodes = list(ast.walk(code))
    if any(_makes_names(node) for node in nodes):
        return None
    of_rules = {id(each.value) for each in nodes if isinstance(each, ast.keyword) and each.arg == "pattern"}
    return {
        each.value
        for each in nodes
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in of_rules
    }


def _makes_names(node: ast.AST) -> bool:
    """Whether patterns may get names that don't stand in the file as they are."""
    if isinstance(node, ast.ImportFrom):
        return any(alias.name == "*" for alias in node.names)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    if node.func.id == "Pattern":
        return not (node.args and isinstance(node.args[0], ast.Constant))
    return node.func.id in ("globals", "vars")


def _fault_lines(error: BaseException) -> tuple[str, ...]:
    return error.lines if isinstance(error, TriggerRuleError) else (fault_words(error),)


def _assignment_lines(path: Path) -> dict[str, int]:
    lines: dict[str, int] = {}
    for statement in ast.parse(path.read_bytes()).body:
        if isinstance(statement, ast.FunctionDef):
            lines[statement.name] = statement.lineno
        targets: list[Any] = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        lines.update({target.id: statement.lineno for target in targets if isinstance(target, ast.Name)})
    return lines


def _place(path: Path, error: BaseException, otherwise: str | None = None) -> str:
    line = fault_line(path, error)
    return otherwise or str(path) if line is None else f"{path}, line {line}"
