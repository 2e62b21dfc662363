"""A trigger rule's own cases: small event sequences, and what the rule must decide of them, and nothing else.

They stand in `rule_cases/<rule>.json` beside the patterns:

    {"rule": "booking_reminder",
     "cases": [{"name": "booked after all",
                "events": [{"t": 0, "event": "booking_started"}, {"t": "40 min", "event": "booking_completed"}],
                "decisions": [{"first": 0, "status": "withdrawn", "at": "40 min"}]}]}

Events, and a case's `end`, are written as in the cases of patterns (`footfall.pattern_cases`). A decision names the
match's first event by its number in the case, and the status; it may say when the trigger was `due`, when it was
decided (`at`), and the message's `fields`. Decisions stand in the order in which they were made. All rules of the
folder run together, since caps may count them together, but those of others aren't looked at.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from footfall.clock import FOREVER
from footfall.dataflow import pattern_plan, trigger_settings
from footfall.duration import format_duration, parse_duration
from footfall.envelope import SCHEMA
from footfall.errors import PatternFilesError
from footfall.event_batch import split_by_shard
from footfall.pattern import Pattern
from footfall.pattern_cases import START_MS, PatternCase
from footfall.polars_condition import JsonValue
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Shard, ShardSettings
from footfall.tables import TRIGGERS
from footfall.trigger_rule import TriggerRule

_CASE_KEYS = {"name", "events", "decisions"}
_DECISION_KEYS = {"first", "status"}


@dataclass(frozen=True, slots=True)
class RuleCase:
    """One case.

    Attributes:
        rule: the rule's name.
        name: what the case shows.
        events: the events, as a case of the rule's pattern without matches.
        decisions: what the rule decides, as written: times are lengths from the case's start.
    """

    rule: str
    name: str
    events: PatternCase
    decisions: tuple[Mapping[str, JsonValue], ...]


@dataclass(frozen=True, slots=True)
class RuleCaseResult:
    """How a case came out: `found` are the rule's decisions with all that a case may say of them."""

    case: RuleCase
    found: tuple[Mapping[str, JsonValue], ...]

    @property
    def passed(self) -> bool:
        """Whether the rule decided exactly what the case names, in that order, as far as it says."""
        said = self.case.decisions
        return len(said) == len(self.found) and all(
            all(found[name] == value for name, value in expected.items())
            for expected, found in zip(said, self.found, strict=True)
        )

    def to_json(self) -> JsonValue:
        """The result as a JSON value: rule, case, passed, expected and found."""
        return {
            "rule": self.case.rule,
            "case": self.case.name,
            "passed": self.passed,
            "expected": self.case.decisions,
            "found": self.found,
        }


def load_rule_cases(folder: Path, rules: Sequence[TriggerRule]) -> tuple[RuleCase, ...]:
    """The cases in a folder, in the order of files and lines; none if there is no such folder.

    Raises:
        PatternFilesError: files are wrong; it names all of them.
    """
    return load_rule_case_files(sorted(folder.glob("*.json")), rules)


def rule_case_file(folder: Path, rule: str) -> Path:
    """Where the cases of a rule stand whose own file is in `folder`, whether there are any or not."""
    return folder / "rule_cases" / f"{rule}.json"


def load_rule_case_files(paths: Iterable[Path], rules: Sequence[TriggerRule]) -> tuple[RuleCase, ...]:
    """The cases in these files, as `load_rule_cases` gives those of a folder.

    Raises:
        PatternFilesError: files are wrong or can't be read; it names all of them.
    """
    known = {rule.name: rule for rule in rules}
    problems: list[str] = []
    cases: list[RuleCase] = []
    for path in paths:
        try:
            cases.extend(_read_file(path, known))
        except _CaseError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise PatternFilesError(problems)
    return tuple(cases)


def run_rule_cases(
    settings: Settings, patterns: Sequence[Pattern], rules: Sequence[TriggerRule], cases: Iterable[RuleCase]
) -> Iterator[RuleCaseResult]:
    """Run each case's events through a fresh shard, with a clock that goes on to the case's end, or without one."""
    plan = pattern_plan(settings, patterns, rules)
    shard_settings = ShardSettings(
        sessions=SessionSettings(settings.gap, settings.max_session, settings.split_on_campaign),
        plan=plan,
        partitions=1,
        wants_rows=True,
        event_columns=("message_id",),
        triggers=trigger_settings(settings, plan, rules, {}),
    )
    for case in cases:
        end = case.events.end
        (batch,) = split_by_shard(
            case.events.frame(),
            plan,
            list(SCHEMA),
            0,
            1,
            watermark=FOREVER - 1 if end is None else end,
            ended=end is None,
        )
        settled = Shard("case", shard_settings).take([batch])
        triggers = pl.concat([TRIGGERS.empty(), *(each.triggers for each in settled)])
        own = triggers.filter(pl.col("rule") == case.rule)
        yield RuleCaseResult(case, tuple(_found(row) for row in _plain(own)))


def _plain(rows: pl.DataFrame) -> list[dict[str, JsonValue]]:
    times = [name for name in rows.columns if name.endswith("_time")]
    return rows.with_columns(pl.col(times).to_physical() - START_MS).to_dicts()


def _found(row: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    stages = json.loads(row["evidence"])
    return {
        "first": int(next(iter(stages.values()))[0]),
        "status": row["status"],
        "due": format_duration(row["due_time"]),
        "at": format_duration(row["decided_time"]),
        "fields": json.loads(row["fields"]),
    }


class _CaseError(Exception):
    pass


def _read_file(path: Path, known: Mapping[str, TriggerRule]) -> list[RuleCase]:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise _CaseError(f"it can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _CaseError(f"it isn't JSON: {error}") from error
    if not isinstance(data, dict) or set(data) != {"rule", "cases"} or not isinstance(data["cases"], list):
        raise _CaseError('it must be {"rule": name, "cases": [...]}')
    rule = known.get(str(data["rule"]))
    if rule is None or path.stem != rule.name:
        raise _CaseError(f"it is about rule {data['rule']!r}; the file is named after a rule that exists")
    cases = [_read_case(rule, case) for case in data["cases"]]
    names = [case.name for case in cases]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise _CaseError(f"two cases have the name {double[0]!r}")
    return cases


def _read_case(rule: TriggerRule, data: JsonValue) -> RuleCase:
    if not isinstance(data, dict) or not _CASE_KEYS <= set(data) <= {*_CASE_KEYS, "end"}:
        raise _CaseError(
            f"a case has {', '.join(sorted(_CASE_KEYS))}, and it may have an end; found {str(data)[:60]}"
        )
    name = str(data["name"])
    for key in ("events", "decisions"):
        if not isinstance(data[key], list):
            raise _CaseError(f"case {name!r}: {key} is a list, not {data[key]!r}")
    try:
        end = START_MS + parse_duration(data["end"]) if "end" in data else None
        events = PatternCase(rule.pattern, name, tuple(data["events"]), (), end)
        events.frame()
        decisions = tuple(_read_decision(decision) for decision in data["decisions"])
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ArithmeticError,
        pl.exceptions.PolarsError,
    ) as error:
        raise _CaseError(f"case {name!r}: {error}") from error
    return RuleCase(rule.name, name, events, decisions)


def _read_decision(data: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(data, dict) or not _DECISION_KEYS <= set(data) <= {
        *_DECISION_KEYS,
        "due",
        "at",
        "fields",
    }:
        raise ValueError(
            f"a decision has {', '.join(sorted(_DECISION_KEYS))}, and it may have at, due, fields; found {data!r}"
        )
    lengths = {name: format_duration(parse_duration(data[name])) for name in ("due", "at") if name in data}
    return {**data, **lengths}
