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
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal, get_args

import polars as pl

from footfall import pattern_check, pattern_json
from footfall.duration import parse_duration
from footfall.envelope import SCHEMA
from footfall.errors import ExpressionError, PatternError
from footfall.expression import Condition, EventField, Expression, as_condition
from footfall.expression_values import Kind, canonical_json
from footfall.pattern_check import LONGEST_WITHIN_MS, MOST_TIMES
from footfall.pattern_spec import Contiguity, Inner, Skip
from footfall.pattern_stage import Stage, all_of_any_order, either, placed, stage
from footfall.pattern_words import describe, pattern_list
from footfall.polars_condition import JsonValue
from footfall.taken_events import of_match_alone

__all__ = [
    "LONGEST_WITHIN_MS",
    "MOST_TIMES",
    "Contiguity",
    "Duration",
    "Inner",
    "Pattern",
    "Severity",
    "Skip",
    "Stage",
    "all_of_any_order",
    "either",
    "pattern_list",
    "stage",
]

Severity = Literal["info", "warning", "critical"]
Duration = str | int | timedelta

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)


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
        skip_stage: the stage of `to_first` and `to_last`.
        skip_raises: whether a match in which that stage took no event is an error, and not as `no_skip`.
        ties_by: the field that orders events of the same time; None for the order of arrival.
        gives_timeouts: whether partial matches that time out are given out too.
        outputs: names and values that go with each match.
        schema: the events' schema, against which conditions are checked; no part of what is compared or kept.
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
    skip_stage: str | None = None
    skip_raises: bool = False
    ties_by: str | None = None
    gives_timeouts: bool = False
    outputs: tuple[tuple[str, Expression], ...] = ()
    schema: pl.Schema = field(default_factory=lambda: SCHEMA, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if not _is_text(self.name) or not _NAME.fullmatch(self.name):
            raise PatternError(
                "a pattern's name is a letter, then letters, digits and _, at most 64 in all",
                pattern=str(self.name),
            )
        if self.severity not in get_args(Severity):
            raise self._error(f"severity {self.severity!r} is unknown; use {', '.join(get_args(Severity))}")
        if isinstance(self.tags, str):
            raise self._error(f'tags are a tuple of words; write tags=("{self.tags}",)')
        object.__setattr__(self, "tags", tuple(self.tags))

    def begin(
        self, what: "str | Stage | Pattern", condition: "Condition | Pattern | None" = None
    ) -> "Pattern":
        """The first stage that takes events.

        Args:
            what: the stage's name; or a pattern that is made of stages alone, as a group, which its name names;
                or what `either` or `all_of_any_order` gave.
            condition: what its events are like; None takes every event. Or a group, if `what` is a name.
        """
        return self.with_stage(self._placed("begin", what, condition, None))

    def next(
        self,
        what: "str | Stage | Pattern",
        condition: "Condition | Pattern | None" = None,
        *,
        within: Duration | None = None,
    ) -> "Pattern":
        """A stage that takes the visitor's very next event, or the partial match ends (strict).

        `what` and `condition` are as in `begin`; `within` as in `step_within`.
        """
        return self.with_stage(self._placed("strict", what, condition, within))

    def followed_by(
        self,
        what: "str | Stage | Pattern",
        condition: "Condition | Pattern | None" = None,
        *,
        within: Duration | None = None,
    ) -> "Pattern":
        """A stage that takes the first later event that fits; others in between are skipped (relaxed).

        `what` and `condition` are as in `begin`; `within` as in `step_within`.
        """
        return self.with_stage(self._placed("relaxed", what, condition, within))

    def followed_by_any(
        self,
        what: "str | Stage | Pattern",
        condition: "Condition | Pattern | None" = None,
        *,
        within: Duration | None = None,
    ) -> "Pattern":
        """A stage that takes each later event that fits, for a match each (non-deterministic relaxed).

        `what` and `condition` are as in `begin`; `within` as in `step_within`.
        """
        return self.with_stage(self._placed("any", what, condition, within))

    def not_next(self, name: str, condition: Condition) -> "Pattern":
        """The visitor's very next event must not be like this; at the end, a match waits for that event."""
        return self.with_stage(self._placed("not_next", name, condition, None))

    def not_followed_by(
        self, name: str, condition: Condition, *, within: Duration | None = None
    ) -> "Pattern":
        """No such event may come before the next stage's; at the end, none before the time is up.

        That time is the pattern's `within`, from the first event, or the one given here, from the last event.
        """
        return self.with_stage(self._placed("not_followed_by", name, condition, within))

    def absent(self, name: str, condition: Condition, *, for_: Duration) -> "Pattern":
        """Before `begin`: no such event came in the time `for_` before the first event of a match.

        An event exactly `for_` before doesn't stand in the way. The time before the visitor's first
        event counts as absence.
        """
        ms = self._ms("absent", for_, name)
        return self.with_stage(replace(self._placed("not_followed_by", name, condition, None), absent_ms=ms))

    def with_stage(self, stage: Stage) -> "Pattern":
        """The pattern with a stage more at its end; what the methods above are short for."""
        if not isinstance(stage, Stage):
            raise self._error(f"{stage!r} is no stage; give a name, a stage or a group")
        pattern_check.check_stage(stage, self.stages, self.schema, self.name)
        return replace(self, stages=(*self.stages, stage))

    def times(self, count: int, most: int | None = None, *, each_within: Duration | None = None) -> "Pattern":
        """The last stage comes `count` times, or `count` to `most` times; from 0, it may also not come at all.

        `each_within` bounds the time from each occurrence to the next, the first's own step included: exclusive.
        """
        last = self._unquantified("times")
        if most is None:
            return self._with_last(last, times=count, each_within_ms=self._each(each_within, last))
        if (
            not _is_count(count)
            or not _is_count(most)
            or not max(count, 1) <= most <= MOST_TIMES
            or count < 0
        ):
            raise self._error(
                f"times takes two whole numbers, the first not over the second, up to {MOST_TIMES}", last.name
            )
        return self._with_last(
            last,
            times=max(count, 1),
            more=most - max(count, 1),
            optional=last.optional or count == 0,
            each_within_ms=self._each(each_within, last),
        )

    def at_least(self, count: int, *, each_within: Duration | None = None) -> "Pattern":
        """The last stage comes `count` times or more. `each_within` is as in `times`."""
        last = self._unquantified("at_least")
        return self._with_last(last, times=count, more=None, each_within_ms=self._each(each_within, last))

    def one_or_more(self, *, each_within: Duration | None = None) -> "Pattern":
        """The last stage comes once or more. `each_within` is as in `times`."""
        return self.at_least(1, each_within=each_within)

    def optional(self) -> "Pattern":
        """The last stage may also not come at all."""
        last = self._last("optional")
        if last.optional:
            raise self._error("optional is given twice", last.name)
        return self._with_last(last, optional=True)

    def greedy(self) -> "Pattern":
        """The last stage, a loop, takes all it can before what follows may begin."""
        return self._with_last(self._last("greedy"), greedy=True)

    def reluctant(self) -> "Pattern":
        """The last stage, a loop, takes no more than it must: what follows begins as soon as it can."""
        return self._with_last(self._last("reluctant"), reluctant=True)

    def consecutive(self) -> "Pattern":
        """The occurrences of the last stage follow each other directly."""
        return self._joining("consecutive", "strict")

    def combinations(self) -> "Pattern":
        """The last stage, a loop, takes any of the events that fit, for a match each way."""
        return self._joining("combinations", "any")

    def until(self, condition: Condition) -> "Pattern":
        """An event like this ends the last stage, a loop without an upper bound, and isn't taken by it."""
        last = self._last("until")
        if last.until is not None:
            raise self._error("until is given twice", last.name)
        return self._with_last(last, until=self._condition(condition, last.name))

    def step_within(self, duration: Duration) -> "Pattern":
        """The last stage's first event comes less than this after the last event taken before it."""
        last = self._last("step_within")
        if last.step_within_ms is not None:
            raise self._error("the bound on its step is given twice", last.name)
        return self._with_last(last, step_within_ms=self._ms("step_within", duration, last.name))

    def within(self, duration: Duration) -> "Pattern":
        """All events of a match lie less than `duration` from its first: "30 min", a timedelta, or ms."""
        if self.within_ms is not None:
            raise self._error("within is given twice")
        return replace(self, within_ms=self._ms("within", duration, None))

    def same(self, field: str) -> "Pattern":
        """The pattern runs for each value of a field on its own; an event without it takes no part."""
        if self.same_field is not None:
            raise self._error("same is given twice")
        kind = self._field_kind("same", field)
        if kind != "text":
            raise self._error(f"same: field {field!r} is a {kind}; it takes one with texts")
        return replace(self, same_field=field)

    def tie_order(self, field: str) -> "Pattern":
        """Events of the same time are taken in the order of a field, then of arrival; without it, they go first."""
        if self.ties_by is not None:
            raise self._error("tie_order is given twice")
        self._field_kind("tie_order", field)
        return replace(self, ties_by=field)

    def with_timeouts(self) -> "Pattern":
        """Partial matches that time out are given out too, once they are settled."""
        return replace(self, gives_timeouts=True)

    def output(self, **fields: Expression) -> "Pattern":
        """Values that go with each match, by name, made from its events by stage: `last("a").field("value")`."""
        for name, value in fields.items():
            if name in dict(self.outputs):
                raise self._error(f"output {name!r} is given twice")
            if not isinstance(value, Expression):
                raise self._error(f"output {name!r}: {value!r} is no expression")
            try:
                value.kind(self.schema)
            except ExpressionError as error:
                raise self._error(f"output {name!r}: {error}") from error
            problem = of_match_alone(value)
            if problem:
                raise self._error(f"output {name!r}: {problem}")
        return replace(self, outputs=(*self.outputs, *fields.items()))

    def no_skip(self) -> "Pattern":
        """Every match counts; this is the default."""
        return self._skipping("no_skip")

    def skip_to_next(self) -> "Pattern":
        """A match rules out the others that begin with the same event."""
        return self._skipping("to_next")

    def skip_past_last(self) -> "Pattern":
        """A match rules out those that begin before its last event has passed."""
        return self._skipping("past_last")

    def skip_to_first(self, stage: str, *, raise_on_miss: bool = False) -> "Pattern":
        """A match rules out those that begin before its first event of a stage.

        Where the stage took none, it rules nothing out, or ends the run with an error if `raise_on_miss` asks.
        """
        return self._skipping("to_first", stage, raises=raise_on_miss)

    def skip_to_last(self, stage: str, *, raise_on_miss: bool = False) -> "Pattern":
        """A match rules out those that begin before its last event of a stage; else as `skip_to_first`."""
        return self._skipping("to_last", stage, raises=raise_on_miss)

    def check(self) -> "Pattern":
        """The pattern itself, if it is whole.

        Raises:
            PatternError: it has no stage that takes events; ends with an absence without a bound; or asks for a
                stage that isn't there, takes no events, or comes later.
        """
        pattern_check.check_whole(self.stages, self.name, bounded=self.within_ms is not None)
        if self.skip_stage is not None:
            pattern_check.check_taker(self.skip_stage, self.stages, self.name, "it skips to")
        for name, value in self.outputs:
            for asked in sorted(value.stages()):
                pattern_check.check_taker(asked, self.stages, self.name, f"output {name!r} asks for")
        return self

    @property
    def version(self) -> str:
        """12 hexadecimal digits that name what the pattern means."""
        meaning = canonical_json(pattern_json.meaning(self))
        return hashlib.sha256(meaning.encode()).hexdigest()[:12]

    def columns(self) -> frozenset[str]:
        """The event columns that it reads."""
        own = frozenset(name for name in (self.same_field, self.ties_by) if name is not None)
        conditions = (condition for stage in self.stages for condition in stage.conditions())
        outputs = (value.columns() for _, value in self.outputs)
        return own.union(*(condition.columns() for condition in conditions), *outputs)

    def stage_names(self) -> tuple[str, ...]:
        """The stages under whose names events are taken, in order."""
        return tuple(one.name for stage in self.stages for one in stage.takers())

    def describe(self) -> str:
        """The pattern in words, a line for each part."""
        return describe(self)

    def __str__(self) -> str:
        return self.describe()

    def to_dict(self) -> dict[str, JsonValue]:
        """The pattern as a JSON value; what is as usual is left out."""
        return pattern_json.to_dict(self)

    def to_json(self) -> str:
        """The pattern as JSON text, for `from_json`."""
        return pattern_json.to_text(self.check())

    @classmethod
    def from_json(cls, text: str | bytes, *, schema: pl.Schema = SCHEMA) -> "Pattern":
        """The pattern that `to_json` wrote, checked as if it were built again.

        Raises:
            PatternError: it isn't such text, or the pattern isn't well formed.
        """
        return cls.from_dict(pattern_json.parse(text), schema=schema)

    @classmethod
    def from_dict(cls, data: JsonValue, *, schema: pl.Schema = SCHEMA) -> "Pattern":
        """The pattern that `to_dict` wrote, checked as if it were built again.

        Raises:
            PatternError: it isn't such a value, or the pattern isn't well formed.
        """
        return pattern_json.read(data, cls, schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        return (self.name, self.description, self.severity, tuple(self.tags), self.owner, self.version)

    def _placed(
        self,
        contiguity: Contiguity,
        what: "str | Stage | Pattern",
        condition: "Condition | Pattern | None",
        within: Duration | None,
    ) -> Stage:
        if isinstance(what, str):
            ms = None if within is None else self._ms("within", within, what)
            if isinstance(condition, Pattern):
                return Stage(what, contiguity, group=_stages_of(condition), step_within_ms=ms)
            return Stage(what, contiguity, self._condition(condition, what), step_within_ms=ms)
        name = getattr(what, "name", None)
        if condition is not None:
            raise self._error("a stage or a group has its conditions; give it alone, or by a name", name)
        ms = None if within is None else self._ms("within", within, name)
        if isinstance(what, Pattern):
            return Stage(what.name, contiguity, group=_stages_of(what), step_within_ms=ms)
        if not isinstance(what, Stage):
            raise self._error("a stage's name is a text of 1 to 64 characters", str(what))
        return placed(what, contiguity, ms)

    def _joining(self, method: str, inner: Inner) -> "Pattern":
        last = self._last(method)
        if last.inner not in {"relaxed", inner}:
            raise self._error(
                "consecutive and combinations contradict each other; give one of them", last.name
            )
        return self._with_last(last, inner=inner)

    def _condition(self, condition: Condition | None, stage: str) -> Expression | None:
        try:
            return None if condition is None else as_condition(condition)
        except ExpressionError as error:
            raise self._error(str(error), stage) from error

    def _skipping(self, skip: Skip, stage: str | None = None, *, raises: bool = False) -> "Pattern":
        return replace(self, skip=skip, skip_stage=stage, skip_raises=raises)

    def _last(self, method: str) -> Stage:
        if not self.stages:
            raise self._error(f"{method} comes after the stage that it is about")
        return self.stages[-1]

    def _unquantified(self, method: str) -> Stage:
        last = self._last(method)
        if last.times != 1 or last.loops:
            raise self._error(f"{method} is given twice, or beside times", last.name)
        return last

    def _each(self, duration: Duration | None, last: Stage) -> int | None:
        return None if duration is None else self._ms("each_within", duration, last.name)

    def _with_last(self, last: Stage, **changes: Any) -> "Pattern":
        return replace(self, stages=self.stages[:-1]).with_stage(replace(last, **changes))

    def _field_kind(self, word: str, name: str) -> Kind:
        try:
            return EventField(name).kind(self.schema)
        except (ExpressionError, TypeError) as error:
            raise self._error(f"{word}: {error}") from error

    def _ms(self, word: str, duration: Duration, stage: str | None) -> int:
        try:
            ms = parse_duration(duration)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._error(f"{word}: {error}", stage) from error
        return pattern_check.bound(ms, word, self.name, stage)

    def _error(self, message: str, stage: str | None = None) -> PatternError:
        return PatternError(message, pattern=self.name, stage=stage)


def _stages_of(group: Pattern) -> tuple[Stage, ...]:
    bare = replace(group, stages=())
    if not group.stages or pattern_json.meaning(bare) != {"stages": []}:
        raise PatternError(
            "a group is made of stages alone: no within, same, skip, tie order, timeouts or output",
            pattern=group.name,
        )
    return group.stages


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
