"""Evaluating many conditions on a batch at once: for each event, one bit for each condition.

Most conditions ask for the event's name, so what that decides is worked out once for each name that they know, and
looked up. Where the name leaves a condition open, what else it asks is evaluated, on the rows with such names only. In
small batches the answers to that are remembered by the values that it reads, since few rows take Polars about as long
as many.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.envelope import SCHEMA
from footfall.expression import EventField, Expression
from footfall.expression_nodes import AllOf, AnyOf, Comparison, Constant, Membership, Not, NullTest
from footfall.row_frames import present_rows

U64 = npt.NDArray[np.uint64]

# Gathering a fraction of the rows costs about as much as evaluating a cheap condition on all of them.
_SPARSE = 4

_LOGIC = AllOf | AnyOf | Not

_FEW = 512
_REMEMBERED = 4_096
_LONG = 200
"""In batches of up to `_FEW` rows answers are remembered, so many by condition, but for texts that are `_LONG`."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What condition `bit` asks where the event's name leaves it open; `guarded` if some name doesn't."""

    bit: int
    guarded: bool
    rest: pl.Expr
    columns: tuple[str, ...]
    known: dict[tuple[Any, ...], bool] = field(default_factory=dict)

    @property
    def costly(self) -> bool:
        return "properties" in self.columns

    def answers(self, frame: pl.DataFrame, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """What it is of these rows, remembered or evaluated."""
        read = [frame[name].to_list() for name in self.columns]
        keys = [tuple(values[row] for values in read) for row in rows.tolist()]
        if len(self.known) > _REMEMBERED:
            self.known.clear()
        answers = [self.known.get(key) for key in keys]
        new = [place for place, answer in enumerate(answers) if answer is None]
        if new:
            found = frame[list(self.columns)][rows[new]].select(self.rest).to_series().to_list()
            for place, answer in zip(new, found, strict=True):
                answers[place] = answer
                if not any(isinstance(value, str) and len(value) >= _LONG for value in keys[place]):
                    self.known[keys[place]] = answer
        return np.array(answers, np.bool_)


class ConditionMasks:
    """Conditions prepared for evaluation.

    Attributes:
        columns: the event columns that `evaluate` reads.
    """

    def __init__(self, conditions: Sequence[Expression]) -> None:
        self.columns = frozenset[str]().union(*(condition.columns() for condition in conditions))
        for condition in conditions:
            condition.check(SCHEMA)
        self._names = sorted({name for condition in conditions for name in _names_in(condition)})
        self._dtype = pl.Enum(self._names)
        # Two names more than are known: one that no condition knows (longer than every known one, so it is none of
        # them), and none at all.
        unknown = "".join(self._names) + "?"
        names = pl.DataFrame({"event": [*self._names, unknown, None]}, schema={"event": pl.String})
        self._true_of_name = np.zeros(names.height, np.uint64)
        self._open_of_name = np.zeros(names.height, np.uint64)
        self._parts: list[_Part] = []
        for bit, condition in enumerate(conditions):
            least, most = _bounds(condition, names)
            left_open = (least < _TRUE) & (most == _TRUE)
            self._true_of_name |= _bits(least == _TRUE, bit)
            self._open_of_name |= _bits(left_open, bit)
            if left_open.any():
                rest = _left_to_ask(condition)
                columns = tuple(sorted(rest.columns()))
                self._parts.append(_Part(bit, not left_open.all(), rest.to_polars(SCHEMA), columns))

    def evaluate(self, frame: pl.DataFrame) -> U64:
        """For each row, the mask of the conditions that are true; `frame` has `columns`."""
        masks, left_open = self._decided_by_name(frame)
        if len(masks) <= _FEW:
            self._ask_few(frame, masks, left_open)
            return masks
        always = [part for part in self._parts if not part.guarded]
        if always:
            answers = frame.select(part.rest.alias(str(part.bit)) for part in always)
            for part in always:
                masks |= _bits(answers[str(part.bit)].to_numpy(), part.bit)
        self._ask(frame, masks, left_open)
        return masks

    def _ask_few(self, frame: pl.DataFrame, masks: U64, left_open: U64) -> None:
        """Set the bits that names have left open, in a small batch."""
        for part in self._parts:
            bit = np.uint64(1) << np.uint64(part.bit)
            rows = np.flatnonzero(left_open & bit)
            if rows.size:
                masks[rows[part.answers(frame, rows)]] |= bit

    def _ask(self, frame: pl.DataFrame, masks: U64, left_open: U64) -> None:
        """Set the bits that some names leave open and others don't."""
        # In a small batch most names, and so most conditions, don't come up.
        present = int(np.bitwise_or.reduce(left_open, initial=np.uint64(0)))
        parts = [part for part in self._parts if part.guarded and present >> part.bit & 1]
        if not parts:
            return
        asked = np.bitwise_or.reduce([np.uint64(1) << np.uint64(part.bit) for part in parts])
        rows = np.flatnonzero(left_open & asked)
        dense = rows.size * _SPARSE > len(masks) and not any(part.costly for part in parts)
        needed = frame if dense else pl.DataFrame([frame[name] for name in sorted(self.columns)])[rows]
        answers = needed.select(part.rest.alias(str(part.bit)) for part in parts)
        true = np.zeros(answers.height, np.uint64)
        for part in parts:
            true |= _bits(answers[str(part.bit)].to_numpy(), part.bit)
        if dense:
            masks |= true & left_open
        else:
            masks[rows] |= true & left_open[rows]

    def _decided_by_name(self, frame: pl.DataFrame) -> tuple[U64, U64]:
        """The masks of what is true by the events' names, and of what they leave open."""
        if not self._names:
            # All that can matter is whether there is a name.
            named = "event" in self.columns
            codes = (
                np.where(present_rows(frame["event"]), 0, 1) if named else np.zeros(frame.height, np.int64)
            )
            return self._true_of_name[codes], self._open_of_name[codes]
        names = frame["event"]
        known = names.cast(self._dtype, strict=False)
        # Unknown names are null now, and so is none at all, which has another answer.
        codes = known.to_physical().to_numpy()
        if known.null_count():
            codes = np.nan_to_num(codes, nan=len(self._names)).astype(np.int64)
        if names.null_count():
            codes = np.where(present_rows(names), codes, len(self._names) + 1)
        return self._true_of_name[codes], self._open_of_name[codes]


_FALSE, _UNKNOWN, _TRUE = range(3)


def _bounds(condition: Expression, names: pl.DataFrame) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """What a condition is at least and at most, of false, unknown and true, where of an event its name is known."""
    if _asks_for_name(condition):
        answers = names.select(condition.column(names.schema)).to_series().fill_null(value=False)
        known = names.select(condition.column(names.schema).is_not_null()).to_series().to_numpy()
        exact = np.where(known, np.where(answers.to_numpy(), _TRUE, _FALSE), _UNKNOWN).astype(np.int8)
        return exact, exact
    inner = [_bounds(child, names) for child in condition.children] if isinstance(condition, _LOGIC) else []
    match condition:
        case AllOf():
            return np.minimum.reduce([low for low, _ in inner]), np.minimum.reduce(
                [high for _, high in inner]
            )
        case AnyOf():
            return np.maximum.reduce([low for low, _ in inner]), np.maximum.reduce(
                [high for _, high in inner]
            )
        case Not():
            ((low, high),) = inner
            return _TRUE - high, _TRUE - low
        case _:
            return np.full(names.height, _FALSE, np.int8), np.full(names.height, _TRUE, np.int8)


def _left_to_ask(condition: Expression) -> Expression:
    """What is true, where a condition's name leaves it open, if and only if the condition is."""
    # There, what is joined to the rest by `&` and asks for the name is true, and what is joined by `|` isn't.
    if not isinstance(condition, AllOf | AnyOf):
        return condition
    rest = tuple(part for part in condition.operands if not _asks_for_name(part))
    return _left_to_ask(rest[0]) if len(rest) == 1 else type(condition)(rest)


def _asks_for_name(condition: Expression) -> bool:
    """Whether it depends on the event's name alone, and on nothing of the name but which one it is."""
    match condition:
        case Comparison(operator="==" | "!=", left=EventField(name="event"), right=Constant()):
            return True
        case Membership(operand=EventField(name="event")) | NullTest(operand=EventField(name="event")):
            return True
        case Not() | AllOf() | AnyOf():
            return all(_asks_for_name(child) for child in condition.children)
        case _:
            return False


def _names_in(condition: Expression) -> Iterator[str]:
    match condition:
        case Comparison(right=Constant(value=str(name))) if _asks_for_name(condition):
            yield name
        case Membership(values=values) if _asks_for_name(condition):
            yield from (str(value.value) for value in values)
        case _:
            for child in condition.children:
                yield from _names_in(child)


def _bits(true: npt.NDArray[np.bool_], bit: int) -> U64:
    return true.astype(np.uint64) << np.uint64(bit)
