"""From what people write to what the matcher takes: `Pattern` to `PatternSpec`.

A condition on the event alone becomes a bit of the event's mask. One that asks what the partial match took becomes
a test: a closure over values of events. Those values are columns too, evaluated once per batch: whatever in the
condition depends on one event alone is an expression with a number, its slot, in `EventValues`. So nothing else of
an event needs to be kept for as long as a partial match may ask for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import polars as pl

from footfall.envelope import SCHEMA
from footfall.errors import ExpressionError, PatternError
from footfall.expression import Expression
from footfall.expression_base import Compute, Node
from footfall.expression_leaves import EventField, EventProperty
from footfall.expression_nodes import AllOf, AnyOf, Constant, Not
from footfall.pattern import Pattern
from footfall.pattern_spec import LoopSpec, PartialTest, PartialView, PatternSpec, StageSpec, Test
from footfall.pattern_stage import Stage
from footfall.taken_closures import NO_EVENT, Moment, ValueOf, at_hand, some
from footfall.taken_events import any_stages, events_back

BitOf = Callable[[Expression], int]
"""Gives a condition on the event alone the number of its bit, from 0, the same one for the same `key()`."""

Output = Callable[[PartialView], Any]
"""An output's value for a finished match; times are whole milliseconds since 1970."""


class EventValues:
    """The values of events that the tests of a run's patterns read, each under a slot, from 0.

    Lowering fills it. Then whoever runs the matcher evaluates `columns()` on each batch and sets `read`. A test
    asks for the event at hand, those that the partial match took, and those that `prev` goes back to.

    Attributes:
        schema: the events' schema.
        expressions: by slot, the expression whose values are read; each depends on the event alone.
        read: gives the value of an event, by its number, in a slot, as `columns()` has it.
        tests: the tests made so far, by the key of their condition.
    """

    def __init__(self, schema: pl.Schema = SCHEMA) -> None:
        self.schema = schema
        self.expressions: list[Expression] = []
        self.read: Callable[[int, int], Any] = _nothing_to_read
        self.tests: dict[str, TakenTest] = {}
        self._slots: dict[str, int] = {}
        self._columns: tuple[list[pl.Expr], frozenset[str]] | None = None

    def slot_of(self, value: Expression) -> int:
        """The slot of an expression; a new one unless it has one."""
        key = value.key()
        if key not in self._slots:
            self._slots[key] = len(self.expressions)
            self.expressions.append(value)
            self._columns = None
        return self._slots[key]

    def columns(self) -> list[pl.Expr]:
        """An expression for each slot, named by its number: texts, numbers, booleans, and times as Int64 in ms."""
        return self._built()[0]

    def frame(self, events: pl.DataFrame) -> pl.DataFrame:
        """`columns()` of events; plain fields and properties are taken directly, which is quicker for a few rows."""
        found = self._taken_directly({column.name: column for column in events.iter_columns()})
        if len(found) < len(self.expressions):
            others = [column for slot, column in enumerate(self.columns()) if slot not in found]
            more = events.select(others)
            found |= {int(column.name): column for column in more.iter_columns()}
        return pl.DataFrame([found[slot].alias(str(slot)) for slot in sorted(found)])

    def rows(self, events: Sequence[pl.Series]) -> list[tuple[Any, ...]]:
        """The rows of what `frame` gives, from the columns that it reads."""
        found = self._taken_directly({column.name: column for column in events})
        if len(found) < len(self.expressions):
            return self.frame(pl.DataFrame(events)).rows()
        return list(zip(*(found[slot].to_list() for slot in sorted(found)), strict=True))

    def _taken_directly(self, events: Mapping[str, pl.Series]) -> dict[int, pl.Series]:
        found = {}
        for slot, value in enumerate(self.expressions):
            if isinstance(value, EventProperty):
                found[slot] = value.read_all(events["properties"])
            elif isinstance(value, EventField) and value.kind(self.schema) != "time":
                found[slot] = events[value.name]
        return found

    def event_columns(self) -> frozenset[str]:
        """The event columns that `columns()` reads."""
        return self._built()[1]

    def _built(self) -> tuple[list[pl.Expr], frozenset[str]]:
        if self._columns is None:
            columns = [self._column(value).alias(str(slot)) for slot, value in enumerate(self.expressions)]
            reads = frozenset[str]().union(*(value.columns() for value in self.expressions))
            self._columns = columns, reads
        return self._columns

    def _column(self, value: Expression) -> pl.Expr:
        column = value.column(self.schema)
        return column.dt.epoch("ms") if value.kind(self.schema) == "time" else column


@dataclass(frozen=True, slots=True, eq=False)
class TakenTest:
    """A condition that asks what the partial match took, for the matcher. The same condition is the same object.

    Attributes:
        condition: what it asks.
        bit: the number of the bit of what it asks of the event alone, without which it isn't true; None if no part of
            the condition depends on the event alone.
    """

    condition: Expression
    bit: int | None
    _answer: Compute = field(repr=False)

    def __call__(self, event: int, partial: PartialView) -> bool:
        """Whether the condition is true of an event that has the bit, if there is one; unknown is not."""
        return self._answer(Moment(event, partial)) is True


def lower(pattern: Pattern, bit_of: BitOf, values: EventValues) -> PatternSpec:
    """What the pattern means to the matcher.

    Its own `same` field, tie order and outputs aren't in it: whoever feeds the matcher sees to them.

    Raises:
        PatternError: the pattern isn't whole.
    """
    pattern.check()
    lowering = _Lowering(pattern.name, bit_of, values)
    conditions = chain.from_iterable(stage.conditions() for stage in pattern.stages)
    return PatternSpec(
        name=pattern.name,
        stages=tuple(lowering.stage(stage) for stage in pattern.stages),
        within_ms=pattern.within_ms,
        skip=pattern.skip,
        skip_stage=pattern.skip_stage,
        skip_must_hit=pattern.skip_raises,
        gives_timeouts=pattern.gives_timeouts,
        looks_back=max((events_back(condition) for condition in conditions), default=0),
    )


def lower_outputs(pattern: Pattern, values: EventValues) -> dict[str, Output]:
    """A function for each output of the pattern, from a finished match to the output's value."""
    return {name: _output(MatchBuild(values)(value)) for name, value in pattern.outputs}


@dataclass(frozen=True, slots=True)
class MatchBuild:
    """Makes closures that are given a `Moment`; what depends on the event alone is read from its slot.

    Attributes:
        values: where the values are.
        choosing: whether the closure is of a part of a comparison with `any_of`.
    """

    values: EventValues
    choosing: bool = False

    @property
    def schema(self) -> pl.Schema:
        """The schema of the events."""
        return self.values.schema

    def __call__(self, node: Node) -> Compute:
        """The closure of a node."""
        if not node.depends_on_match and node.columns():
            return at_hand(self.value_of(node))
        if not self.choosing and not isinstance(node, (AllOf, AnyOf, Not, Constant)):
            asked = any_stages(node)
            if asked:
                (stage,) = asked
                return some(stage, node.compute(replace(self, choosing=True)))
        return node.compute(self)

    def value_of(self, node: Node) -> ValueOf:
        """The value of an event-only expression, by the event's number."""
        if not isinstance(node, Expression):
            raise ExpressionError(f"'{node}' is no expression")
        values, slot = self.values, self.values.slot_of(node)
        return lambda event: values.read(event, slot)


@dataclass(frozen=True, slots=True)
class _Lowering:
    pattern: str
    bit_of: BitOf
    values: EventValues

    def stage(self, stage: Stage) -> StageSpec:
        """The stage; the members of a permutation join each other by its `inner`, its loop comes once."""
        members = (replace(member, contiguity=stage.inner) for member in stage.members)
        return StageSpec(
            name=stage.name,
            contiguity=stage.contiguity,
            test=self.test(stage.condition, stage),
            loop=LoopSpec() if stage.members or stage.forbids else self.loop(stage),
            step_within_ms=stage.step_within_ms,
            group=tuple(map(self.stage, stage.group)),
            choices=tuple(map(self.stage, stage.choices)),
            members=tuple(map(self.stage, members)),
            absent_ms=stage.absent_ms,
        )

    def loop(self, stage: Stage) -> LoopSpec:
        """How often the stage comes."""
        return LoopSpec(
            least=stage.times,
            most=stage.most,
            optional=stage.optional,
            inner=stage.inner,
            greedy=stage.greedy,
            reluctant=stage.reluctant,
            until=self.test(stage.until, stage),
            has_until=stage.until is not None,
            step_within_ms=stage.each_within_ms,
        )

    def test(self, condition: Expression | None, stage: Stage) -> Test:
        """A bit if the condition depends on the event alone, else a closure."""
        if condition is None:
            return None
        if not condition.depends_on_match:
            return 1 << self.bit_of(condition)
        key = condition.key()
        if key not in self.values.tests:
            parts = condition.operands if isinstance(condition, AllOf) else (condition,)
            alone = [part for part in parts if not part.depends_on_match]
            rest = [part for part in parts if part.depends_on_match]
            try:
                # What depends on the event alone is in the bit; asked again, its value would be worked out twice.
                answer = MatchBuild(self.values)(_all_of(rest))
            except ExpressionError as error:
                raise PatternError(str(error), pattern=self.pattern, stage=stage.name) from error
            bit = self.bit_of(_all_of(alone)) if alone else None
            self.values.tests[key] = TakenTest(condition, bit, answer)
        test: PartialTest = self.values.tests[key]
        return test


def _all_of(parts: Sequence[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


class ConditionBits:
    """Numbers conditions from 0 as they come; the `BitOf` of a run of its own.

    Attributes:
        conditions: by number, the conditions.
    """

    def __init__(self, reserved: Sequence[Expression] = ()) -> None:
        self.conditions: list[Expression] = []
        self._bits: dict[str, int] = {}
        for condition in reserved:
            self._bits.setdefault(condition.key(), len(self.conditions))
            self.conditions.append(condition)

    def __call__(self, condition: Expression) -> int:
        """The condition's number."""
        bit = self._bits.setdefault(condition.key(), len(self.conditions))
        if bit == len(self.conditions):
            self.conditions.append(condition)
        return bit

    def __iter__(self) -> Iterator[Expression]:
        return iter(self.conditions)


def _output(answer: Compute) -> Output:
    return lambda partial: answer(Moment(NO_EVENT, partial))


def _nothing_to_read(event: int, slot: int) -> Any:
    raise LookupError(f"there is no value {slot} of event {event}: EventValues.read isn't set")
