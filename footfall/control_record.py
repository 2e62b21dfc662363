"""Control records: the patterns, rules and champions of a run, and the event time from which on they are in force.

What changes a running flow is such a record. They are numbered within a run, number 0 being what it began with, and
kept in a compacted topic and a table, so that a replay applies what a live run did. As a message a record is JSON:

    {"schema": "footfall.control/1", "number": 1, "from": "2026-01-31T12:00:00.000Z", "digest": "…",
     "patterns": [{"name": …}, …], "rules": [{"name": …}, …], "deployed": {"rule": "2026-01-31T11:58:00.000Z"},
     "champions": {"lead": "scaled_logistic"}, "written_at": "2026-01-31T11:59:00.000Z"}

`footfall.messages.CONTROL` is its contract.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from footfall.errors import ControlError, FootfallError, PatternError, TriggerRuleError
from footfall.expression_values import time_from_ms
from footfall.pattern import Pattern
from footfall.polars_condition import JsonValue
from footfall.trigger_rule import TriggerRule
from footfall.trigger_rule_check import misfits, time_ms

SCHEMA_NAME = "footfall.control/1"
MOST_RECORDS = 100_000_000
"""Numbers lie below this: a record's key in the topic is its number in 8 digits."""

_FIELDS = ("number", "from", "digest", "patterns", "rules", "deployed", "written_at")


@dataclass(frozen=True, slots=True)
class ControlRecord:
    """A set of patterns, rules and champions, and from when on it is in force. It pickles.

    Attributes:
        number: 0, 1, 2 … in their order within a run; 0 is the set that the run began with.
        since: the event time (ms) from which on it is in force, itself included; None for number 0, which always was.
        patterns: the patterns, by name; given in any order.
        rules: the trigger rules, by name; given in any order.
        deployed: rule -> when it was first deployed (ms); a rule that isn't there always was.
        written_at: when the record was made (wall clock, ms); no part of what it means.
        champions: model of scores -> the learner that was promoted; a model that isn't there has the champion that it
            was declared with.

    Raises:
        ControlError: the number or the time won't do, two patterns or two rules have one name, or a rule doesn't fit
            the patterns.
    """

    number: int
    since: int | None
    patterns: tuple[Pattern, ...]
    rules: tuple[TriggerRule, ...]
    deployed: Mapping[str, int]
    written_at: int
    champions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"control record {self.number}"
        if not 0 <= self.number < MOST_RECORDS:
            raise ControlError(f"its number isn't within 0 and {MOST_RECORDS - 1}", where=where)
        if (self.since is None) != (self.number == 0):
            raise ControlError(
                "number 0 has no `from`, since it always was in force; every later one has one", where=where
            )
        object.__setattr__(self, "patterns", tuple(sorted(self.patterns, key=lambda each: each.name)))
        object.__setattr__(self, "rules", tuple(sorted(self.rules, key=lambda each: each.name)))
        object.__setattr__(self, "deployed", dict(sorted(self.deployed.items())))
        object.__setattr__(self, "champions", dict(sorted(self.champions.items())))
        problems = _misfits(self.patterns, self.rules)
        if problems:
            raise ControlError("; ".join(problems), where=where)

    @property
    def digest(self) -> str:
        """Names patterns, rules and champions, descriptions included: 64 hexadecimal digits. See `content_digest`."""
        return content_digest(self.patterns, self.rules, self.champions)

    @property
    def pattern_versions(self) -> dict[str, str]:
        """Pattern -> its version."""
        return {pattern.name: pattern.version for pattern in self.patterns}

    @property
    def rule_versions(self) -> dict[str, str]:
        """Rule -> its version."""
        return {rule.name: rule.version for rule in self.rules}

    def to_json(self) -> bytes:
        """The record as a message, one line, for `from_json`."""
        patterns, rules = _content(self.patterns, self.rules)
        message = {
            "schema": SCHEMA_NAME,
            "number": self.number,
            "from": None if self.since is None else _iso(self.since),
            "digest": _digest(patterns, rules, dict(self.champions)),
            "patterns": patterns,
            "rules": rules,
            "deployed": {rule: _iso(time) for rule, time in self.deployed.items()},
            "champions": dict(self.champions),
            "written_at": _iso(self.written_at),
        }
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, message: bytes | str, *, where: str = "control record") -> "ControlRecord":
        """The record that `to_json` wrote, checked as if it were made again; fields it doesn't know are ignored.

        Args:
            message: the JSON text.
            where: the place it comes from, for the error.

        Raises:
            ControlError: it isn't such a record, its digest isn't that of its content, or this version of Footfall
                can't read a pattern or a rule.
        """
        try:
            data = json.loads(message)
        except (ValueError, RecursionError) as error:
            raise ControlError(f"it is no JSON: {error}", where=where) from error
        return cls.from_dict(data, where=where)

    @classmethod
    def from_dict(cls, data: JsonValue, *, where: str = "control record") -> "ControlRecord":
        """The record of a message's JSON value; as `from_json`, which it is a part of."""
        problems = _wrong_form(data)
        if problems:
            raise ControlError("; ".join(problems), where=where)
        champions = data.get("champions") or {}
        told, found = data["digest"], _digest(data["patterns"], data["rules"], champions)
        if told != found:
            raise ControlError(
                f"its digest is {told!r}, that of its patterns and rules is {found}: it was changed after it was "
                "written; change the pattern files and let a live run write a new record",
                where=where,
            )
        try:
            return cls(
                number=data["number"],
                since=None if data["from"] is None else time_ms(data["from"]),
                patterns=tuple(_pattern(each, where) for each in data["patterns"]),
                rules=tuple(_rule(each, where) for each in data["rules"]),
                deployed={rule: time_ms(time) for rule, time in data["deployed"].items()},
                written_at=time_ms(data["written_at"]),
                champions=champions,
            )
        except (ValueError, OverflowError) as error:
            raise ControlError(str(error), where=where) from error
        except ControlError as error:
            raise error if error.where == where else ControlError(str(error), where=where) from error


def content_digest(
    patterns: Iterable[Pattern], rules: Iterable[TriggerRule], champions: Mapping[str, str] | None = None
) -> str:
    """Names patterns, rules and promoted champions by all that is said of them: SHA-256 in hexadecimal digits.

    Their order doesn't count, nor does that of named values. What is read back from a record has the digest it had.
    """
    return _digest(
        *_content(
            sorted(patterns, key=lambda each: each.name),
            sorted(rules, key=lambda each: each.name),
        ),
        dict(champions or {}),
    )


def standing_records(records: Iterable[ControlRecord]) -> tuple[ControlRecord, ...]:
    """Those that count of all that were ever written, in the order of their numbers.

    Args:
        records: in the order in which they were written. Each takes the place of that of its number and of all with
            higher ones before it: a run that begins anew, with number 0, ends what an earlier one left. So the last
            record may be written again, but never one that others follow.
    """
    stand: dict[int, ControlRecord] = {}
    for record in records:
        for number in [number for number in stand if number > record.number]:
            del stand[number]
        stand[record.number] = record
    return tuple(stand[number] for number in sorted(stand))


def require_history(records: Sequence[ControlRecord], where: str) -> tuple[ControlRecord, ...]:
    """The records, which must be a run's whole history: numbers 0, 1, 2 …, each in force later than the one before.

    Raises:
        ControlError: there is none, one is missing, or one is in force no later than the one before it.
    """
    if not records:
        raise ControlError("it holds no control records: a live run writes them when it begins", where=where)
    for number, record in enumerate(records):
        if record.number != number:
            raise ControlError(
                f"control record {number} is missing, and {record.number} is there: name a place that has all of "
                "them, or the folder of patterns",
                where=where,
            )
    for one, other in pairwise(records):
        if one.since is not None and other.since is not None and other.since <= one.since:
            raise ControlError(
                f"control record {other.number} is in force from {_iso(other.since)}, which isn't later than that of "
                f"{one.number}, {_iso(one.since)}: they aren't of one run; name a place that has those of one alone",
                where=where,
            )
    return tuple(records)


def _content(
    patterns: Sequence[Pattern], rules: Sequence[TriggerRule]
) -> tuple[list[JsonValue], list[JsonValue]]:
    return [each.check().to_dict() for each in patterns], [each.to_dict() for each in rules]


def _digest(patterns: JsonValue, rules: JsonValue, champions: JsonValue) -> str:
    # Over the values as they stand in a message, not as this version would write them: a later version may write
    # more of a pattern, and must still read the records of an earlier one.
    # Where nothing was promoted it is what it was before there were champions.
    content = {"patterns": patterns, "rules": rules} | ({"champions": champions} if champions else {})
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _iso(ms: int) -> str:
    return time_from_ms(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _misfits(patterns: Sequence[Pattern], rules: Sequence[TriggerRule]) -> list[str]:
    by_name = {pattern.name: pattern for pattern in patterns}
    problems = [f"pattern {name!r} is there twice" for name in _twice(each.name for each in patterns)]
    problems += [f"rule {name!r} is there twice" for name in _twice(each.name for each in rules)]
    for rule in rules:
        found = misfits(rule, by_name)
        problems += TriggerRuleError(found, rule=rule.name).lines if found else ()
    return problems


def _twice(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]  # it adds


def _wrong_form(data: JsonValue) -> list[str]:
    if not isinstance(data, dict):
        return ["it is no JSON object"]
    if data.get("schema") != SCHEMA_NAME:
        return [f"its schema is {data.get('schema')!r}; this version of Footfall reads {SCHEMA_NAME}"]
    missing = [f"{name} is missing" for name in _FIELDS if name not in data]
    if missing:
        return missing
    champions = data.get("champions") or {}
    if not isinstance(champions, dict) or not all(isinstance(each, str) for each in champions.values()):
        return ["champions is no object of models and learners"]
    shapes: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
        ("number", int, "a whole number"),
        ("from", (str, type(None)), "a time or null"),
        ("digest", str, "a text"),
        ("patterns", list, "a list"),
        ("rules", list, "a list"),
        ("deployed", dict, "an object of rules and times"),
        ("written_at", str, "a time"),
    )
    return [
        f"{name} is no {words.removeprefix('a ').removeprefix('an ')}"
        for name, kind, words in shapes
        if not isinstance(data[name], kind) or isinstance(data[name], bool)
    ]


def _pattern(data: Any, where: str) -> Pattern:
    try:
        return Pattern.from_dict(data).check()
    except PatternError as error:
        raise _unreadable(error, where) from error


def _rule(data: Any, where: str) -> TriggerRule:
    try:
        return TriggerRule.from_dict(data)
    except TriggerRuleError as error:
        raise _unreadable(error, where) from error


def _unreadable(error: FootfallError, where: str) -> ControlError:
    return ControlError(
        f"{error}; read it with the version of Footfall that wrote it, or let a live run write a new record",
        where=where,
    )
