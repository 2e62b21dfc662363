"""Evaluating many conditions on a batch at once: for each event, one bit for each condition.

Most conditions ask for the event's name, so those are answered once for each name that they know, and looked
up. What else a condition joins to that with `&` is evaluated only on the rows where the name fits. In small batches
the answers to that are remembered by the values that it reads, since few rows take Polars about as long as many.
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

_FEW = 512
_REMEMBERED = 4_096
_LONG = 200
"""In batches of up to `_FEW` rows answers are remembered, so many by condition, but for texts that are `_LONG`."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What condition `bit` asks beside the event's name; `guarded` if it asks for the name too."""

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
        self._by_name: list[tuple[int, Expression]] = []
        self._parts: list[_Part] = []
        for bit, condition in enumerate(conditions):
            condition.check(SCHEMA)
            asked = [part for part in _joined(condition) if _asks_for_name(part)]
            rest = [part for part in _joined(condition) if not _asks_for_name(part)]
            if asked:
                self._by_name.append((bit, _all_of(asked)))
            if rest:
                other = _all_of(rest)
                columns = tuple(sorted(other.columns()))
                self._parts.append(_Part(bit, bool(asked), other.to_polars(SCHEMA), columns))
        self._names = sorted({name for _, condition in self._by_name for name in _names_in(condition)})
        self._dtype = pl.Enum(self._names)
        self._mask_of_name = self._answers_for_names()

    def evaluate(self, frame: pl.DataFrame) -> U64:
        """For each row, the mask of the conditions that are true; `frame` has `columns`."""
        masks = self._masks_by_name(frame)
        if len(masks) <= _FEW:
            self._narrow_few(frame, masks)
            return masks
        always = [part for part in self._parts if not part.guarded]
        guarded = [part for part in self._parts if part.guarded]
        if always:
            answers = frame.select(part.rest.alias(str(part.bit)) for part in always)
            for part in always:
                masks |= _bits(answers[str(part.bit)], part.bit)
        if guarded:
            self._narrow(frame, masks, guarded)
        return masks

    def _narrow_few(self, frame: pl.DataFrame, masks: U64) -> None:
        """Set or clear the bits of all parts in a small batch."""
        everywhere = np.arange(len(masks))
        for part in self._parts:
            bit = np.uint64(1) << np.uint64(part.bit)
            rows = np.flatnonzero(masks & bit) if part.guarded else everywhere
            if rows.size:
                true = part.answers(frame, rows)
                masks[rows] = np.where(true, masks[rows] | bit, masks[rows] & ~bit)

    def _narrow(self, frame: pl.DataFrame, masks: U64, parts: list[_Part]) -> None:
        """Clear the bits of `parts` where what they ask beside the name isn't true."""
        # In a small batch most names, and so most conditions, don't come up.
        present = int(np.bitwise_or.reduce(masks, initial=np.uint64(0)))
        parts = [part for part in parts if present >> part.bit & 1]
        if not parts:
            return
        asked = np.bitwise_or.reduce([np.uint64(1) << np.uint64(part.bit) for part in parts])
        rows = np.flatnonzero(masks & asked)
        dense = rows.size * _SPARSE > len(masks) and not any(part.costly for part in parts)
        needed = frame if dense else pl.DataFrame([frame[name] for name in sorted(self.columns)])[rows]
        answers = needed.select(part.rest.alias(str(part.bit)) for part in parts)
        true = np.full(answers.height, ~asked, np.uint64)
        for part in parts:
            true |= _bits(answers[str(part.bit)], part.bit)
        if dense:
            masks &= true
        else:
            masks[rows] &= true

    def _answers_for_names(self) -> U64:
        # Two rows more than there are names: one for a name that no condition knows (longer than every known
        # one, so it is none of them), and one for an event without a name.
        unknown = "".join(self._names) + "?"
        table = pl.DataFrame({"event": [*self._names, unknown, None]}, schema={"event": pl.String})
        masks = np.zeros(table.height, np.uint64)
        schema = pl.Schema({"event": pl.String()})
        for bit, condition in self._by_name:
            masks |= _bits(table.select(condition.to_polars(schema)).to_series(), bit)
        return masks

    def _masks_by_name(self, frame: pl.DataFrame) -> U64:
        if not self._by_name:
            return np.zeros(frame.height, np.uint64)
        names = frame["event"]
        known = names.cast(self._dtype, strict=False)
        # Unknown names are null now, and so is none at all, which has another answer.
        codes = known.to_physical().to_numpy()
        if known.null_count():
            codes = np.nan_to_num(codes, nan=len(self._names)).astype(np.int64)
        masks: U64 = self._mask_of_name[codes]
        if names.null_count():
            masks[~present_rows(names)] = self._mask_of_name[-1]
        return masks


def _joined(condition: Expression) -> tuple[Expression, ...]:
    return condition.operands if isinstance(condition, AllOf) else (condition,)


def _all_of(parts: list[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


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
        case Comparison(right=Constant(value=str(name))):
            yield name
        case Membership(values=values):
            yield from (str(value.value) for value in values)
        case _:
            for child in condition.children:
                yield from _names_in(child)


def _bits(answers: pl.Series, bit: int) -> U64:
    true: U64 = answers.to_numpy().astype(np.uint64) << np.uint64(bit)
    return true
