"""Patterns: what a visitor's events must be like, one after another, to be found.

    rage_click = (
        Pattern("rage_click", "Three clicks on one element within a second", severity="warning")
        .begin("click", event == "click").times(3)
        .within("1 s")
        .same("element")
        .skip_past_last()
    )

A pattern is a value: each method gives a new one. What can be checked at a step is checked there, so that the
error points at the line; what needs the whole is checked by `check`, which whoever uses a pattern calls.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, get_args

from footfall.duration import format_duration, parse_duration
from footfall.envelope import SCHEMA
from footfall.errors import ExpressionError, PatternError
from footfall.expression import EventField, Expression, expression_from_dict
from footfall.expression_values import canonical_json
from footfall.polars_condition import JsonValue

Contiguity = Literal["begin", "strict", "relaxed", "any", "not_next", "not_followed_by"]
Inner = Literal["relaxed", "strict"]
Skip = Literal["no_skip", "to_next", "past_last"]
Severity = Literal["info", "warning", "critical"]

LONGEST_WITHIN_MS = 400 * 86_400_000
MOST_TIMES = 1000

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
_LONGEST_STAGE_NAME = 64
_STAGE_WORDS: dict[Contiguity, str] = {
    "begin": "starts with",
    "strict": "directly followed by",
    "relaxed": "followed by",
    "any": "followed by any",
    "not_next": "not directly followed by",
    "not_followed_by": "not followed by",
}
_SKIP_WORDS: dict[Skip, str] = {
    "no_skip": "every match counts",
    "to_next": "after a match, others that begin with the same event are dropped",
    "past_last": "after a match, the next one begins behind its last event",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pattern.

    Attributes:
        name: names the stage's events in a match; unique in its pattern.
        contiguity: how it joins on to what comes before it.
        condition: what its events must be like; None takes every event.
        times: how many events it takes, exactly.
        inner: whether other events may come between those (`relaxed`) or not (`strict`).
    """

    name: str
    contiguity: Contiguity
    condition: Expression | None = None
    times: int = 1
    inner: Inner = "relaxed"

    @property
    def forbids(self) -> bool:
        """Whether it says what must not come; such a stage takes no event."""
        return self.contiguity in ("not_next", "not_followed_by")

    def __str__(self) -> str:
        condition = "any event" if self.condition is None else str(self.condition)
        times = (
            f", {self.times} times{' in a row' if self.inner == 'strict' else ''}" if self.times > 1 else ""
        )
        return f"{_STAGE_WORDS[self.contiguity]} {self.name!r} ({condition}){times}"

    def to_dict(self) -> JsonValue:
        """The stage as a JSON value; what is as usual is left out."""
        data: dict[str, JsonValue] = {"name": self.name, "contiguity": self.contiguity}
        if self.condition is not None:
            data["where"] = self.condition.to_dict()
        if self.times != 1:
            data["times"] = self.times
            data["inner"] = self.inner
        return data


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A pattern, built by its methods from left to right.

    Two patterns are equal if everything said of them is. `version` names the meaning alone: description,
    severity, tags, owner and the pattern's own name don't change it.

    Attributes:
        name: names it in answers and commands: letters, digits and `_`.
        description: one sentence for people.
        severity: how loudly to say that it was found.
        tags: words to sort patterns by.
        owner: who answers for it.
        stages: the stages, in order.
        within_ms: a match's events lie less than this from its first one; None for no bound.
        same_field: the pattern runs for each value of this field on its own; None for all events together.
        skip: which further matches a match rules out.
    """

    name: str
    description: str = ""
    severity: Severity = "info"
    tags: Sequence[str] = ()
    owner: str = ""
    stages: tuple[Stage, ...] = ()
    within_ms: int | None = None
    same_field: str | None = None
    skip: Skip = "no_skip"

    def __post_init__(self) -> None:
        if not _is_text(self.name) or not _NAME.fullmatch(self.name):
            raise PatternError(
                "a pattern's name is a letter, then letters, digits and _, at most 64 in all",
                pattern=str(self.name),
            )
        if self.severity not in get_args(Severity):
            raise self._error(
                f"severity {self.severity!r} is unknown; use {', '.join(get_args(Severity))}", None
            )
        if isinstance(self.tags, str):
            raise self._error(f'tags are a tuple of words; write tags=("{self.tags}",)', None)
        object.__setattr__(self, "tags", tuple(self.tags))

    def begin(self, name: str, condition: Expression | None = None) -> "Pattern":
        """The first stage. Without a condition it takes every event, as any stage that takes events does."""
        return self.with_stage(Stage(name, "begin", condition))

    def next(self, name: str, condition: Expression | None = None) -> "Pattern":
        """A stage that takes the visitor's very next event, or the partial match ends (strict)."""
        return self.with_stage(Stage(name, "strict", condition))

    def followed_by(self, name: str, condition: Expression | None = None) -> "Pattern":
        """A stage that takes the first later event that fits; others in between are skipped (relaxed)."""
        return self.with_stage(Stage(name, "relaxed", condition))

    def followed_by_any(self, name: str, condition: Expression | None = None) -> "Pattern":
        """A stage that takes each later event that fits, for a match each (non-deterministic relaxed)."""
        return self.with_stage(Stage(name, "any", condition))

    def not_next(self, name: str, condition: Expression) -> "Pattern":
        """The visitor's very next event must not be like this."""
        return self.with_stage(Stage(name, "not_next", condition))

    def not_followed_by(self, name: str, condition: Expression) -> "Pattern":
        """No such event may come before the next stage's; at the end, none before `within` has passed."""
        return self.with_stage(Stage(name, "not_followed_by", condition))

    def with_stage(self, stage: Stage) -> "Pattern":
        """The pattern with a stage more at its end; what the methods above are short for."""
        if not _is_text(stage.name) or not 0 < len(stage.name.strip()) <= _LONGEST_STAGE_NAME:
            raise self._error(f"a stage's name is a text of 1 to {_LONGEST_STAGE_NAME} characters", stage)
        if stage.name in (known.name for known in self.stages):
            raise self._error("the name is taken by an earlier stage; names are unique in a pattern", stage)
        if not self.stages and stage.contiguity != "begin":
            raise self._error("the first stage is written with .begin(...)", stage)
        if self.stages and stage.contiguity == "begin":
            raise self._error("begin is for the first stage; use next, followed_by or followed_by_any", stage)
        if stage.condition is None and stage.forbids:
            raise self._error("a stage that forbids events needs a condition that says which", stage)
        if stage.contiguity not in get_args(Contiguity):
            known = ", ".join(get_args(Contiguity))
            raise self._error(f"contiguity {stage.contiguity!r} is unknown; use {known}", stage)
        self._check_condition(stage)
        pattern = replace(self, stages=(*self.stages, Stage(stage.name, stage.contiguity, stage.condition)))
        pattern = pattern if stage.times == 1 else pattern.times(stage.times)
        return pattern if stage.inner == "relaxed" else pattern.consecutive()

    def times(self, count: int) -> "Pattern":
        """The last stage takes exactly `count` events; others may lie between them."""
        stage = self._last("times")
        if stage.forbids:
            raise self._error("a stage that forbids events can't be repeated", stage)
        if stage.times != 1:
            raise self._error("times is given twice", stage)
        if not _is_count(count) or not 1 <= count <= MOST_TIMES:
            raise self._error(f"times takes a whole number from 1 to {MOST_TIMES}, not {count!r}", stage)
        return self._with_last(replace(stage, times=count))

    def consecutive(self) -> "Pattern":
        """The events of the last stage, which has `times`, follow each other directly."""
        stage = self._last("consecutive")
        if stage.times == 1:
            raise self._error("consecutive is about a stage with times(2) or more before it", stage)
        return self._with_last(replace(stage, inner="strict"))

    def within(self, duration: str | int | timedelta) -> "Pattern":
        """All events of a match lie less than `duration` from its first: "30 min", a timedelta, or ms."""
        if self.within_ms is not None:
            raise self._error("within is given twice", None)
        try:
            ms = parse_duration(duration)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._error(f"within: {error}", None) from error
        return replace(self, within_ms=self._bounded(ms))

    def same(self, field: str) -> "Pattern":
        """The pattern runs for each value of a field on its own; an event without it takes no part."""
        if self.same_field is not None:
            raise self._error("same is given twice", None)
        return replace(self, same_field=self._known_field(field))

    def no_skip(self) -> "Pattern":
        """Every match counts; this is the default."""
        return replace(self, skip="no_skip")

    def skip_to_next(self) -> "Pattern":
        """A match rules out the others that begin with the same event."""
        return replace(self, skip="to_next")

    def skip_past_last(self) -> "Pattern":
        """A match rules out those that begin before its last event has passed."""
        return replace(self, skip="past_last")

    def check(self) -> "Pattern":
        """The pattern itself, if it is whole.

        Raises:
            PatternError: it has no stage, or ends with a stage that forbids events without a bound.
        """
        if not self.stages:
            raise self._error("it has no stage; start with .begin(name, condition)", None)
        last = self.stages[-1]
        for stage in reversed(self.stages):
            if not stage.forbids:
                break
            if stage.contiguity == "not_next":
                raise self._error("not_next must be followed by a stage that takes an event", stage)
        if last.contiguity == "not_followed_by" and self.within_ms is None:
            raise self._error(
                "an absence at the end needs .within(...), or it would be waited for without end", last
            )
        return self

    @property
    def version(self) -> str:
        """12 hexadecimal digits that name what the pattern means."""
        meaning = canonical_json({"stages": [_meaning(stage) for stage in self.stages], **self._bounds()})
        return hashlib.sha256(meaning.encode()).hexdigest()[:12]

    def columns(self) -> frozenset[str]:
        """The event columns that it reads."""
        same = frozenset(() if self.same_field is None else (self.same_field,))
        return same.union(
            *(stage.condition.columns() for stage in self.stages if stage.condition is not None)
        )

    def describe(self) -> str:
        """The pattern in words, a line for each part."""
        lines = [f"{self.name}: {self.description}" if self.description else self.name]
        lines += [f"  {stage}" for stage in self.stages]
        if self.within_ms is not None:
            lines.append(f"  within less than {format_duration(self.within_ms)}")
        if self.same_field is not None:
            lines.append(f"  for each {self.same_field} on its own")
        lines.append(f"  {_SKIP_WORDS[self.skip]}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.describe()

    def to_dict(self) -> dict[str, JsonValue]:
        """The pattern as a JSON value; what is as usual is left out."""
        said = {
            "name": self.name,
            "description": self.description,
            "severity": self.severity,
            "tags": list(self.tags),
            "owner": self.owner,
            "stages": [stage.to_dict() for stage in self.stages],
            **self._bounds(),
        }
        return {name: value for name, value in said.items() if value not in ("", [])}

    def to_json(self) -> str:
        """The pattern as JSON text, for `from_json`."""
        return json.dumps(self.check().to_dict(), ensure_ascii=False, indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Pattern":
        """The pattern that `to_json` wrote, checked as if it were built again.

        Raises:
            PatternError: it isn't such text, or the pattern isn't well formed.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PatternError(f"it isn't JSON: {error}", pattern="(unnamed)") from error
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: JsonValue) -> "Pattern":
        """The pattern that `to_dict` wrote, checked as if it were built again.

        Raises:
            PatternError: it isn't such a value, or the pattern isn't well formed.
        """
        name = str(data.get("name")) if isinstance(data, dict) else "(unnamed)"
        if not isinstance(data, dict):
            raise PatternError("a pattern is a JSON object", pattern=name)
        _refuse_unknown(data, _PATTERN_KEYS, name)
        try:
            pattern = cls(
                data["name"],
                data.get("description", ""),
                severity=data.get("severity", "info"),
                tags=tuple(data.get("tags", ())),
                owner=data.get("owner", ""),
            )
            for stage in data["stages"]:
                pattern = pattern.with_stage(_stage_from(stage, name))
            if "within_ms" in data:
                pattern = pattern.within(data["within_ms"])
            if "same" in data:
                pattern = pattern.same(data["same"])
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PatternError(f"it isn't written as to_json writes it: {error!r}", pattern=name) from error
        except ExpressionError as error:
            raise PatternError(str(error), pattern=name) from error
        skip = data.get("skip", "no_skip")
        if skip not in get_args(Skip):
            raise PatternError(f"skip {skip!r} is unknown; use {', '.join(get_args(Skip))}", pattern=name)
        return replace(pattern, skip=skip).check()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        return (self.name, self.description, self.severity, tuple(self.tags), self.owner, self.version)

    def _bounds(self) -> dict[str, JsonValue]:
        bounds = {"within_ms": self.within_ms, "same": self.same_field}
        said: dict[str, JsonValue] = {name: value for name, value in bounds.items() if value is not None}
        if self.skip != "no_skip":
            said["skip"] = self.skip
        return said

    def _check_condition(self, stage: Stage) -> None:
        if stage.condition is None:
            return
        if not _is_expression(stage.condition):
            raise self._error(
                f"{stage.condition!r} is no condition; write one with field, property_ or event, "
                'as in event == "click"',
                stage,
            )
        try:
            stage.condition.check(SCHEMA)
        except ExpressionError as error:
            raise self._error(str(error), stage) from error

    def _known_field(self, name: str) -> str:
        try:
            kind = EventField(name).kind(SCHEMA)
        except (ExpressionError, TypeError) as error:
            raise self._error(f"same: {error}", None) from error
        if kind != "text":
            raise self._error(f"same: field {name!r} is a {kind}; it takes one with texts", None)
        return name

    def _bounded(self, ms: int) -> int:
        if not 0 < ms <= LONGEST_WITHIN_MS:
            raise self._error(
                f"within {format_duration(ms)} is impossible: it must be more than 0 and at most 400 days",
                None,
            )
        return ms

    def _last(self, method: str) -> Stage:
        if not self.stages:
            raise self._error(f"{method} comes after the stage that it is about", None)
        return self.stages[-1]

    def _with_last(self, stage: Stage) -> "Pattern":
        return replace(self, stages=(*self.stages[:-1], stage))

    def _error(self, message: str, stage: Stage | None) -> PatternError:
        return PatternError(message, pattern=self.name, stage=None if stage is None else str(stage.name))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_expression(value: object) -> bool:
    return isinstance(value, Expression)


def pattern_list(patterns: Sequence[Pattern]) -> list[dict[str, str]]:
    """Rows of texts, by name: name, version, severity, stages, within, skip, owner, tags."""
    return [
        {
            "name": pattern.name,
            "version": pattern.version,
            "severity": pattern.severity,
            "stages": "; ".join(str(stage) for stage in pattern.stages)
            + (f"; for each {pattern.same_field}" if pattern.same_field else ""),
            "within": "" if pattern.within_ms is None else format_duration(pattern.within_ms),
            "skip": pattern.skip,
            "owner": pattern.owner,
            "tags": ", ".join(pattern.tags),
        }
        for pattern in sorted(patterns, key=lambda pattern: pattern.name)
    ]


_PATTERN_KEYS = {
    "name", "description", "severity", "tags", "owner", "stages", "within_ms", "same", "skip",
}  # fmt: skip
_STAGE_KEYS = {"name", "contiguity", "where", "times", "inner"}


def _meaning(stage: Stage) -> dict[str, JsonValue]:
    # A condition counts by its key, so that the order of what & and | join makes no new version.
    data: dict[str, JsonValue] = stage.to_dict()
    return data if stage.condition is None else {**data, "where": stage.condition.key()}


def _stage_from(data: dict[str, JsonValue], pattern: str) -> Stage:
    _refuse_unknown(data, _STAGE_KEYS, pattern)
    return Stage(
        data["name"],
        data["contiguity"],
        None if data.get("where") is None else expression_from_dict(data["where"]),
        data.get("times", 1),
        data.get("inner", "relaxed"),
    )


def _refuse_unknown(data: dict[str, JsonValue], known: set[str], pattern: str) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        raise PatternError(
            f"{', '.join(map(repr, unknown))} is unknown; the names are {', '.join(sorted(known))}",
            pattern=pattern,
        )
