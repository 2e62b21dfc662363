"""`footfall patterns test`: the patterns' own cases, run through the engine, and how each came out.

A case runs in a shard of its own, with all patterns of the folder in one plan, as in a run.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl
from rich.console import Console
from rich.text import Text

from footfall.clock import FOREVER
from footfall.content import content_folder
from footfall.dataflow import pattern_plan
from footfall.duration import format_duration, parse_duration
from footfall.envelope import SCHEMA
from footfall.errors import UsageError
from footfall.event_batch import QUOTED, split_by_shard
from footfall.event_names import EventNames
from footfall.pattern import Pattern
from footfall.pattern_cases import PatternCase, case_file, load_case_files, load_cases
from footfall.pattern_files import PatternFolder, is_shipped, read_folder
from footfall.pattern_plan import PatternPlan
from footfall.pattern_show import pattern_named, rule_named
from footfall.pattern_warnings import name_warnings
from footfall.polars_condition import JsonValue
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Shard, ShardSettings
from footfall.tables import MATCHES
from footfall.trigger_cases import (
    RuleCaseResult,
    load_rule_case_files,
    load_rule_cases,
    rule_case_file,
    run_rule_cases,
)
from footfall.trigger_rule import TriggerRule

Found = Mapping[str, tuple[int, ...]]
"""A match: stage -> the numbers of its events in the case."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a case came out.

    Attributes:
        case: the case.
        found: the matches of its pattern that the engine gave, in the order in which they were settled.
        outputs: the output fields of each of them.
        timed_out: the partial matches of its pattern that the engine gave out as timed out.
    """

    case: PatternCase
    found: tuple[Found, ...]
    outputs: tuple[Mapping[str, JsonValue], ...] = ()
    timed_out: tuple[Found, ...] = ()

    @property
    def missing(self) -> list[Found]:
        """The matches that the case names and the engine didn't give."""
        return _without(self.case.matches, self.found)

    @property
    def unexpected(self) -> list[Found]:
        """The matches that the engine gave and the case doesn't name."""
        return _without(self.found, self.case.matches)

    @property
    def missing_timeouts(self) -> list[Found]:
        """The timed-out partial matches that the case names and the engine didn't give."""
        return [] if self.case.timed_out is None else _without(self.case.timed_out, self.timed_out)

    @property
    def unexpected_timeouts(self) -> list[Found]:
        """The timed-out partial matches that the engine gave and the case, which looks at them, doesn't name."""
        return [] if self.case.timed_out is None else _without(self.timed_out, self.case.timed_out)

    @property
    def wrong_outputs(self) -> list[tuple[Found, str, JsonValue, JsonValue]]:
        """The output fields that differ: the match, the field, what the case says, what the engine gave."""
        given: dict[frozenset[tuple[str, tuple[int, ...]]], list[Mapping[str, JsonValue]]] = {}
        for match, fields in zip(self.found, self.outputs, strict=False):
            given.setdefault(_key(match), []).append(fields)
        wrong = []
        for match, expected in zip(self.case.matches, self.case.outputs or (), strict=False):
            ours = given.get(_key(match))
            if not ours:
                continue  # the match is missing, which is told as such
            fields = ours.pop(0)
            wrong += [
                (match, name, value, fields.get(name))
                for name, value in expected.items()
                if fields.get(name) != value
            ]
        return wrong

    @property
    def passed(self) -> bool:
        """Whether the engine gave exactly what the case names, each match as often."""
        return not (
            self.missing
            or self.unexpected
            or self.wrong_outputs
            or self.missing_timeouts
            or self.unexpected_timeouts
        )

    def to_json(self) -> JsonValue:
        """The result as a JSON value: pattern, case, passed, expected, found, and what else the case looks at."""
        said: dict[str, JsonValue] = {
            "pattern": self.case.pattern,
            "case": self.case.name,
            "passed": self.passed,
            "expected": self.case.matches,
            "found": self.found,
        }
        if self.case.outputs is not None:
            said |= {"expected_outputs": self.case.outputs, "found_outputs": self.outputs}
        if self.case.timed_out is not None:
            said |= {"expected_timed_out": self.case.timed_out, "found_timed_out": self.timed_out}
        return said


def run_case(plan: PatternPlan, case: PatternCase) -> CaseResult:
    """Run a case's events through a fresh shard, with a clock that goes on to the case's end, or without one."""
    settings = ShardSettings(
        sessions=SessionSettings(), plan=plan, partitions=1, wants_rows=True, event_columns=("message_id",)
    )
    rows = [name for name in SCHEMA if name in plan.columns or name in QUOTED or name == "message_id"]
    watermark = FOREVER - 1 if case.end is None else case.end
    (batch,) = split_by_shard(case.frame(), plan, rows, 0, 1, watermark=watermark, ended=case.end is None)
    settled = Shard("case", settings).take([batch])
    matches = pl.concat([MATCHES.empty(), *(each.matches for each in settled)])
    own = matches.filter(pl.col("pattern") == case.pattern)
    fired = own.filter(pl.col("status") == "fired")
    return CaseResult(
        case,
        tuple(_numbers(stages) for stages in fired["stages"]),
        tuple(json.loads(fields) if fields else {} for fields in fired["outputs"]),
        tuple(_numbers(stages) for stages in own.filter(pl.col("status") == "timed_out")["stages"]),
    )


def run_cases(settings: Settings, name: str | None, *, as_json: bool) -> int:
    """Run the cases of the settings' patterns and rules, or of one of them, and print how they came out.

    Returns:
        The exit code: 0 if every case passed, else 1.

    Raises:
        UsageError: pattern or case files won't do, there is no such pattern or rule, or there are no cases to run.
    """
    folder = settings.pattern_folder or content_folder("patterns")
    read = read_folder(folder)
    patterns = read.patterns
    rule = None if name is None else rule_named(read.rules, name, patterns)
    chosen: Sequence[Pattern] = ()
    cases: tuple[PatternCase, ...] = ()
    if rule is None:
        chosen = patterns if name is None else (pattern_named(patterns, name, read.rules),)
        cases = _cases(folder, patterns, name)
    plan = pattern_plan(settings, patterns)
    results = [run_case(plan, case) for case in cases]
    rules = read.rules if name is None else () if rule is None else (rule,)
    ruled = _run_rules(settings, folder, read, rules)
    if rule is not None and not ruled:
        raise UsageError(
            f"there are no cases in {rule_case_file(folder, rule.name)}; docs/testing_patterns.md says how to write "
            "them"
        )
    outcome = _Outcome(
        folder,
        results,
        ruled,
        _without_cases(chosen, (case.pattern for case in cases)),
        _without_cases(rules, (each.case.rule for each in ruled)),
        _warnings(chosen),
    )
    if as_json:
        sys.stdout.write(msgspec.json.encode(_report(outcome)).decode() + "\n")
    else:
        _print(outcome)
    return 0 if outcome.passed == outcome.cases else 1


@dataclass(frozen=True, slots=True)
class _Outcome:
    folder: Path
    results: Sequence[CaseResult]
    ruled: Sequence[RuleCaseResult]
    patterns_without: Sequence[str]
    rules_without: Sequence[str]
    warnings: Sequence[Mapping[str, str | None]]

    @property
    def cases(self) -> int:
        return len(self.results) + len(self.ruled)

    @property
    def passed(self) -> int:
        return sum(each.passed for each in self.results) + sum(each.passed for each in self.ruled)


def _without_cases(made: Iterable[Pattern | TriggerRule], tested: Iterable[str]) -> list[str]:
    """The names of those that have no cases; the shipped ones have theirs elsewhere."""
    known = set(tested)
    return [each.name for each in made if each.name not in known and not is_shipped(each)]


def _warnings(patterns: Iterable[Pattern]) -> list[Mapping[str, str | None]]:
    """What cases can't show: names of events that are others once a run has normalised them."""
    names = EventNames.load()
    return [
        {"pattern": pattern.name, "stage": each.stage, "message": each.message}
        for pattern in patterns
        for each in name_warnings(pattern, names)
    ]


def _run_rules(
    settings: Settings, folder: Path, read: PatternFolder, rules: Sequence[TriggerRule]
) -> list[RuleCaseResult]:
    """The cases of these trigger rules of the folder, if there are any."""
    if not rules:
        return []
    if rules is read.rules:
        cases = load_rule_cases(folder / "rule_cases", rules)
    else:
        files = [rule_case_file(folder, rule.name) for rule in rules]
        cases = load_rule_case_files([file for file in files if file.is_file()], rules)
    return list(run_rule_cases(settings, read.patterns, read.rules, cases)) if cases else []


def _cases(folder: Path, patterns: Sequence[Pattern], name: str | None) -> tuple[PatternCase, ...]:
    if name is None:
        cases = load_cases(folder / "cases", patterns)
        where = folder / "cases"
    else:
        where = case_file(folder, name)
        cases = load_case_files([where], patterns) if where.is_file() else ()
    if not cases:
        raise UsageError(
            f"there are no cases in {where}: footfall patterns new NAME writes a pattern with some to begin with"
        )
    return cases


def _numbers(stages: str) -> dict[str, tuple[int, ...]]:
    """The stages of a row of the matches, with the events' numbers for their ids."""
    return {stage: tuple(int(message) for message in ids) for stage, ids in json.loads(stages).items()}


def _without(matches: Sequence[Found], others: Sequence[Found]) -> list[Found]:
    left = Counter(_key(match) for match in others)
    kept = []
    for match in matches:
        key = _key(match)
        if left[key]:
            left[key] -= 1
        else:
            kept.append(match)
    return kept


def _key(match: Found) -> frozenset[tuple[str, tuple[int, ...]]]:
    return frozenset(match.items())


def _report(outcome: _Outcome) -> JsonValue:
    return {
        "cases": outcome.cases,
        "passed": outcome.passed,
        "failed": outcome.cases - outcome.passed,
        "patterns_without_cases": outcome.patterns_without,
        "rules_without_cases": outcome.rules_without,
        "warnings": outcome.warnings,
        "results": [result.to_json() for result in outcome.results],
        "rules": [result.to_json() for result in outcome.ruled],
    }


def _print(outcome: _Outcome) -> None:
    console = Console(highlight=False)
    _print_patterns(console, outcome.results)
    _print_rules(console, outcome.ruled)
    for names, what, file in (
        (outcome.patterns_without, "", case_file),
        (outcome.rules_without, "rule ", rule_case_file),
    ):
        for name in names:
            place = f"  no cases ({file(outcome.folder, name)})"
            console.print(Text.assemble(("!", "yellow"), " ", what, (name, "bold"), place), soft_wrap=True)
    for each in outcome.warnings:
        where = f"pattern {each['pattern']!r}, stage {each['stage']!r}"
        words = Text.assemble(("warning", "yellow"), f" {where}: {each['message']}")
        console.print(words, soft_wrap=True)
    style = "bold green" if outcome.passed == outcome.cases else "bold red"
    console.print(Text(f"{outcome.passed} of {outcome.cases} cases passed", style))


def _print_patterns(console: Console, results: Sequence[CaseResult]) -> None:
    names = sorted({result.case.pattern for result in results})
    for name in names:
        of = [result for result in results if result.case.pattern == name]
        failed = [result for result in of if not result.passed]
        mark = Text("✗", "bold red") if failed else Text("✓", "green")
        many = f"{len(of)} case" + ("" if len(of) == 1 else "s")
        said = f"{len(failed)} of {many} failed" if failed else f"{many} passed"
        console.print(Text.assemble(mark, " ", (name, "bold"), f"  {said}"))
        for result in failed:
            _print_failure(console, result)


def _print_rules(console: Console, results: Sequence[RuleCaseResult]) -> None:
    for name in sorted({result.case.rule for result in results}):
        of = [result for result in results if result.case.rule == name]
        failed = [result for result in of if not result.passed]
        mark = Text("✗", "bold red") if failed else Text("✓", "green")
        many = f"{len(of)} case" + ("" if len(of) == 1 else "s")
        said = f"{len(failed)} of {many} failed" if failed else f"{many} passed"
        console.print(Text.assemble(mark, " rule ", (name, "bold"), f"  {said}"))
        for result in failed:
            console.print(Text.assemble("  ", ("✗ ", "red"), result.case.name))
            for title, decisions in (("expected:", result.case.decisions), ("found:", result.found)):
                words = "; ".join(map(json.dumps, decisions)) or "nothing"
                console.print(Text.assemble("      ", (title, "red"), " ", words))


def _print_failure(console: Console, result: CaseResult) -> None:
    case = result.case
    console.print(Text.assemble("  ", ("✗ ", "red"), case.name))
    width = len(str(len(case.events)))
    for number, event in enumerate(case.events):
        at = format_duration(parse_duration(event["t"]))
        more = ", ".join(f"{key}={value}" for key, value in event.items() if key not in ("t", "event"))
        line = f"      {number:>{width}}  at {at:<10} {event['event']}" + (f"  ({more})" if more else "")
        console.print(Text(line, "dim"))
    for matches, title in (
        (result.missing, "expected, not found:"),
        (result.unexpected, "found, not expected:"),
        (result.missing_timeouts, "expected to time out, didn't:"),
        (result.unexpected_timeouts, "timed out, not expected:"),
    ):
        for match in matches:
            console.print(Text.assemble("      ", (title, "red"), " ", _match_words(match)))
    for match, name, expected, found in result.wrong_outputs:
        words = f" {json.dumps(found)} instead of {json.dumps(expected)} in {_match_words(match)}"
        console.print(Text.assemble("      ", (f"output {name} is", "red"), words))
    right = len(result.found) - len(result.unexpected)
    if right:
        console.print(Text(f"      {right} as expected", "dim"))


def _match_words(match: Found) -> str:
    return "; ".join(
        f"{stage} {', '.join(str(number) for number in numbers)}" for stage, numbers in match.items()
    )
