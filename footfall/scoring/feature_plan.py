"""Features and models lowered to the tables that the compiled loop reads.

What is kept of a visitor is a row of whole numbers, its slots: counts, times in ms, money in millionths, codes. Each
event changes slots by operations, each of which has a condition; a feature is a small program over the slots. Equal
parts of different features share their slots.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.clock import NEVER
from footfall.envelope import SCHEMA
from footfall.errors import ExpressionError, FeatureError
from footfall.expression import Expression
from footfall.hashing import text_seed
from footfall.scoring.feature import (
    Category,
    Combined,
    Count,
    DaysSince,
    Feature,
    Highest,
    MatchCount,
    Number,
    Over,
    Quantity,
    SecondsOnSite,
    Sessions,
    Total,
)
from footfall.scoring.score_model import AtEvent, AtSessionEnd, DaysAfter, ScoreModel

EVERY, BEGINS = -1, -2
"""Instead of a condition's bit: every event, and each that begins a session."""

ADD_ONE, ADD_VALUE, SET_TIME, SET_FIRST, ADD_TO_RING, RAISE, ADD_ELAPSED, SET_CODE, SET_FIRST_CODE = range(9)
PUSH, PLAIN, MONEY, SINCE, SECONDS, RING, CODE, HIGHEST, ADD, SUBTRACT, MULTIPLY, DIVIDE = range(12)

RING_SLOTS = 9
MOST_MODELS = 31
_DEPTH = 16
"""A program's stack holds so many numbers."""

HAPPENS, STAYS_AWAY, EARNS = range(3)
_LABELS = {"happens": HAPPENS, "stays_away": STAYS_AWAY, "earns": EARNS}

OPERATION = np.dtype([("kind", np.int32), ("bit", np.int32), ("slot", np.int32), ("lane", np.int32)])
"""What an event does to a slot if the bit of its condition is set; `lane` is the row of values or codes it reads."""

GROUP = np.dtype([("bit", np.int32), ("first", np.int32), ("end", np.int32)])
"""The operations of one bit: from `first` to before `end`."""

STEP = np.dtype([("code", np.int32), ("slot", np.int32), ("days", np.int32), ("number", np.float64)])
"""A step of a feature's program: pushes a number, or joins the two on top of the stack."""

MODEL = np.dtype(
    [
        ("seed", np.uint64),
        ("horizon", np.int64),
        ("label", np.int32),
        ("label_bit", np.int32),
        ("event_bit", np.int32),
        ("earned_slot", np.int32),
        ("label_session", np.bool_),
        ("at_session_end", np.bool_),
    ],
    align=True,
)
"""A model: when it predicts and what judges it; bits are -9 where there is no such condition."""

TIMER = np.dtype([("delay", np.int64), ("models", np.int64), ("once", np.int64)])
"""A moment `delay` ms after a visitor's last event: the models that predict then, by the conditions (bits of the
visitor's `had`) that they ask for: one record for each delay and condition."""

_NO_BIT = -9


@dataclass(frozen=True, eq=False)
class FeaturePlan:
    """All features and models of a run.

    Attributes:
        models: the models, by their numbers.
        features: all their features; a moment's row has one number for each.
        columns: for each model the places of its features in a row.
        conditions: the conditions whose bits the operations ask for; they join those of the patterns.
        numbers: the expressions whose values operations read, each with the condition of the events that have one.
        categories: what codes are made of.
        blank: the slots of a new visitor.
        resets: the slots that a new session sets back to blank.
        steps: `STEP` records of all features, one after another.
        ends: where each feature's steps end.
        match_slots: pattern -> the slots that count its matches.
        once: the conditions whose events a visitor is remembered for (`DaysAfter.once`).
    """

    models: tuple[ScoreModel, ...]
    features: tuple[Feature, ...]
    columns: tuple[npt.NDArray[np.int64], ...]
    conditions: tuple[Expression, ...]
    numbers: tuple[tuple[Expression, Expression], ...]
    categories: tuple[Category, ...]
    blank: npt.NDArray[np.int64]
    resets: npt.NDArray[np.int64]
    steps: npt.NDArray[np.void]
    ends: npt.NDArray[np.int64]
    match_slots: dict[str, tuple[int, ...]]
    once: tuple[Expression, ...]
    _operations: tuple[tuple[int, Expression | int, int, int], ...]
    _earned: tuple[int, ...]

    @classmethod
    def compile(cls, models: Sequence[ScoreModel]) -> "FeaturePlan":
        """Lower models.

        Raises:
            FeatureError: two models have one name, or two features one name and different values; there are too many
                models; a condition doesn't fit the events.
        """
        names = [model.name for model in models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise FeatureError(f"two models are called {', '.join(twice)}")
        if len(models) > MOST_MODELS:
            raise FeatureError(f"a run has at most {MOST_MODELS} models, not {len(models)}")
        return _Lowering(tuple(models)).plan()

    @property
    def event_columns(self) -> frozenset[str]:
        """The event columns that categories read, which the rows of events must carry."""
        read = [condition.columns() for each in self.categories for condition in each.conditions]
        return frozenset(chain.from_iterable(read))

    def operations(self, bit_of: Callable[[Expression], int]) -> npt.NDArray[np.void]:
        """`OPERATION` records by their bits, which the conditions have in a run's masks."""
        found = [
            (kind, when if isinstance(when, int) else bit_of(when), slot, lane)
            for kind, when, slot, lane in self._operations
        ]
        return np.array(sorted(found, key=itemgetter(1)), OPERATION)

    def groups(self, bit_of: Callable[[Expression], int]) -> npt.NDArray[np.void]:
        """`GROUP` records of `operations`."""
        bits = self.operations(bit_of)["bit"]
        if not bits.size:
            return np.zeros(0, GROUP)
        firsts = np.flatnonzero(np.diff(bits, prepend=_NO_BIT)).tolist()
        ends = [*firsts, bits.size][1:]
        return np.array([(bits[first], first, end) for first, end in zip(firsts, ends, strict=True)], GROUP)

    def model_records(self, bit_of: Callable[[Expression], int]) -> npt.NDArray[np.void]:
        """`MODEL` records, with the bits that the conditions have in a run's masks."""
        records = np.zeros(len(self.models), MODEL)
        for number, model in enumerate(self.models):
            at_events = [moment.condition for moment in model.predict if isinstance(moment, AtEvent)]
            label = model.label
            records[number] = (
                text_seed(model.name),
                label.within,
                _LABELS[label.kind],
                _NO_BIT if label.event is None else bit_of(label.event),
                bit_of(at_events[0]) if at_events else _NO_BIT,
                self._earned[number],
                label.or_session,
                any(isinstance(moment, AtSessionEnd) for moment in model.predict),
            )
        return records

    def timers(self) -> npt.NDArray[np.void]:
        """`TIMER` records, by their delays."""
        found: dict[tuple[int, int], int] = {}
        for number, model in enumerate(self.models):
            for moment in model.predict:
                if isinstance(moment, DaysAfter):
                    once = self._once(moment.once)
                    for delay in moment.delays:
                        found[delay, once] = found.get((delay, once), 0) | 1 << number
        return np.array([(delay, found[delay, once], once) for delay, once in sorted(found)], TIMER)

    def once_bits(self, bit_of: Callable[[Expression], int]) -> npt.NDArray[np.int64]:
        """The bits of the conditions of `once`."""
        return np.array([bit_of(each) for each in self.once], np.int64)

    def _once(self, condition: Expression) -> int:
        return [each.key() for each in self.once].index(condition.key())

    @cached_property
    def code_columns(self) -> tuple[pl.Expr, ...]:
        """The codes of the categories, as columns of a frame of sessions' first events; -1 for no word."""
        columns = []
        for place, each in enumerate(self.categories):
            code = pl.lit(each.otherwise, pl.Int64)
            for number in reversed(range(len(each.conditions))):
                fits = each.conditions[number].to_polars(SCHEMA)
                code = pl.when(fits).then(pl.lit(number, pl.Int64)).otherwise(code)
            columns.append(code.alias(str(place)))
        return tuple(columns)


class _Lowering:
    def __init__(self, models: tuple[ScoreModel, ...]) -> None:
        self._models = models
        self._conditions: dict[str, Expression] = {}
        self._blank: list[int] = []
        self._resets: list[int] = []
        self._slots: dict[tuple[object, ...], int] = {}
        self._operations: list[tuple[int, Expression | int, int, int]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._number_list: list[tuple[Expression, Expression]] = []
        self._categories: dict[tuple[object, ...], int] = {}
        self._category_list: list[Category] = []
        self._match_slots: dict[str, tuple[int, ...]] = {}

    def plan(self) -> FeaturePlan:
        features: dict[str, Feature] = {}
        for model in self._models:
            for feature in model.features:
                other = features.setdefault(feature.name, feature)
                if repr(other.value) != repr(feature.value):
                    raise FeatureError(
                        f"two features are called {feature.name}: {other.value}, and {feature.value} of model "
                        f"{model.name}; give one another name"
                    )
        places = {name: place for place, name in enumerate(features)}
        steps: list[tuple[int, int, int, float]] = []
        ends = []
        for feature in features.values():
            try:
                program = self._program(feature.value)
            except ExpressionError as error:
                raise FeatureError(f"feature {feature.name}: {error}") from error
            if _depth(feature.value) > _DEPTH:
                raise FeatureError(f"feature {feature.name} is nested too deeply; split it")
            steps.extend(program)
            ends.append(len(steps))
        earned, once = [], dict[str, Expression]()
        for model in self._models:
            try:
                earned.append(self._judge(model, once))
            except ExpressionError as error:
                raise FeatureError(f"model {model.name}: {error}") from error
        return FeaturePlan(
            self._models,
            tuple(features.values()),
            tuple(
                np.array([places[each.name] for each in model.features], np.int64) for model in self._models
            ),
            tuple(self._conditions.values()),
            tuple(self._number_list),
            tuple(self._category_list),
            np.array(self._blank or [0], np.int64),
            np.array(self._resets, np.int64),
            np.array(steps, STEP),
            np.array(ends, np.int64),
            self._match_slots,
            tuple(once.values()),
            tuple(self._operations),
            tuple(earned),
        )

    def _judge(self, model: ScoreModel, once: dict[str, Expression]) -> int:
        """Take up the conditions of a model's label and moments; the slot of what its label adds up, or -1."""
        label, earned = model.label, -1
        if label.event is not None:
            self._condition(label.event)
            if label.kind == "earns":
                earned = self._total(label.event, "ever")
        for moment in model.predict:
            if isinstance(moment, AtEvent):
                self._condition(moment.condition)
            elif isinstance(moment, DaysAfter):
                once.setdefault(moment.once.key(), self._condition(moment.once))
        return earned

    def _condition(self, condition: Expression) -> Expression:
        condition.check(SCHEMA)
        return self._conditions.setdefault(condition.key(), condition)

    def _slot(
        self, key: tuple[object, ...], kind: int, when: Expression | int, *, blank: int = 0,
        size: int = 1, over: Over = "ever", lane: int = -1,
    ) -> int:  # fmt: skip
        known = self._slots.get(key)
        if known is not None:
            return known
        slot = len(self._blank)
        self._blank.extend([blank] * size)
        self._slots[key] = slot
        if over == "session":
            self._resets.extend(range(slot, slot + size))
        if kind >= 0:
            self._operations.append((kind, when, slot, lane))
        return slot

    def _when(self, condition: Expression | None) -> tuple[str, Expression | int]:
        if condition is None:
            return "", EVERY
        return condition.key(), self._condition(condition)

    def _total(self, condition: Expression, over: Over) -> int:
        key, when = self._when(condition)
        return self._slot(("total", key, over), ADD_VALUE, when, over=over)

    def _counted(
        self, name: str, key: str, when: Expression | int, over: Over
    ) -> tuple[int, int, int, float]:
        if isinstance(over, int):
            # One ring serves all numbers of days.
            return RING, self._slot((name, key, "days"), ADD_TO_RING, when, size=RING_SLOTS), over, 0.0
        return PLAIN, self._slot((name, key, over), ADD_ONE, when, over=over), 0, 0.0

    def _program(self, quantity: Quantity) -> list[tuple[int, int, int, float]]:
        match quantity:
            case Number(value):
                return [(PUSH, 0, 0, value)]
            case Combined(operator, left, right):
                code = {"+": ADD, "-": SUBTRACT, "*": MULTIPLY, "/": DIVIDE}[operator]
                return [*self._program(left), *self._program(right), (code, 0, 0, 0.0)]
            case Count(condition, over):
                return [self._counted("count", *self._when(condition), over)]
            case Sessions(over):
                return [self._counted("sessions", "", BEGINS, over)]
            case Total(condition, over):
                return [(MONEY, self._total(condition, over), 0, 0.0)]
            case Highest(number, condition, over):
                key, when = self._when(condition)
                lane = self._number(number, self._condition(condition))
                slot = self._slot(
                    ("highest", number.key(), key, over), RAISE, when, blank=NEVER, over=over, lane=lane
                )
                return [(HIGHEST, slot, 0, 0.0)]
            case DaysSince(condition, first):
                key, when = self._when(condition)
                slot = self._slot(("since", key, first), SET_FIRST if first else SET_TIME, when, blank=NEVER)
                return [(SINCE, slot, 0, 0.0)]
            case SecondsOnSite(over):
                return [(SECONDS, self._slot(("on site", over), ADD_ELAPSED, EVERY, over=over), 0, 0.0)]
            case MatchCount(patterns):
                slot = self._slot(("matches", *patterns), -1, EVERY)
                for name in patterns:
                    known = self._match_slots.get(name, ())
                    self._match_slots[name] = known if slot in known else (*known, slot)
                return [(PLAIN, slot, 0, 0.0)]
            case Category():
                return [(CODE, self._code(quantity), 0, 0.0)]
        raise FeatureError(f"{quantity} is no quantity")

    def _number(self, number: Expression, condition: Expression) -> int:
        kind = number.kind(SCHEMA)
        if kind != "number":
            raise FeatureError(f"highest() needs a number, and '{number}' is a {kind}")
        key = number.key(), condition.key()
        if key not in self._numbers:
            self._numbers[key] = len(self._number_list)
            self._number_list.append((number, condition))
        return self._numbers[key]

    def _code(self, category: Category) -> int:
        for condition in category.conditions:
            condition.check(SCHEMA)
        kind = (category.otherwise, *(condition.key() for condition in category.conditions))
        if kind not in self._categories:
            self._categories[kind] = len(self._category_list)
            self._category_list.append(category)
        operation = SET_FIRST_CODE if category.session == "first" else SET_CODE
        return self._slot(
            ("code", category.session, *kind), operation, BEGINS, blank=-1, lane=self._categories[kind]
        )


def _depth(quantity: Quantity) -> int:
    if isinstance(quantity, Combined):
        return max(_depth(quantity.left), 1 + _depth(quantity.right))
    return 1
