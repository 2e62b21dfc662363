"""Patterns compiled to the tables that the matcher's loops read.

Every pattern of a run is in one plan. Its conditions are shared: each distinct one has a bit, and `masks`
evaluates all of them once per batch, as columns. A stage becomes one step for each event that it takes; a
stage that forbids events becomes a mask of conditions on the steps during which it is in force.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.condition_masks import ConditionMasks
from footfall.errors import PatternError
from footfall.expression import Expression
from footfall.pattern import Contiguity, Pattern, Skip, Stage

MOST_CONDITIONS = 64
LONG_WAIT_MS = 86_400_000

EVERY_EVENT = -1
BEGIN, STRICT, RELAXED, ANY = range(4)
NO_SKIP, TO_NEXT, PAST_LAST = range(3)
IGNORES_OTHERS, SEES_ALL_WHILE_WAITING, SEES_ALL = range(3)

STEP = np.dtype(
    [
        ("kill", np.uint64),
        ("kill_next", np.uint64),
        ("condition", np.int16),
        ("stage", np.int16),
        ("contiguity", np.int8),
    ],
    align=True,
)
"""One event to be taken: `condition` is its bit (-1: every event), `stage` the stage's number in its pattern,
`kill` the conditions that end a partial match which waits for this step, `kill_next` those that do so only at
the very next event after the one taken last."""

ROW = np.dtype(
    [
        ("within_ms", np.int64),
        ("trailing_kill", np.uint64),
        ("first_step", np.int32),
        ("step_count", np.int32),
        ("same", np.int16),
        ("skip", np.int8),
        ("waits_over_24h", np.bool_),
    ],
    align=True,
)
"""One pattern: `within_ms` is exclusive (-1: no bound), `trailing_kill` the conditions that must not come
between the last step and the bound (0: the match is complete with its last step), `same` the number of the
field whose values it runs for separately (-1: none), `waits_over_24h` that its trailing absence takes longer
than a day."""

_CONTIGUITY: dict[Contiguity, int] = {"begin": BEGIN, "strict": STRICT, "relaxed": RELAXED, "any": ANY}
_SKIP: dict[Skip, int] = {"no_skip": NO_SKIP, "to_next": TO_NEXT, "past_last": PAST_LAST}


@dataclass(frozen=True, eq=False)
class PatternPlan:
    """Patterns, compiled. Made by `PatternPlan.compile`; it pickles as what it was compiled from.

    Attributes:
        patterns: the patterns, by name; the tables' numbers are numbers in this order.
        versions: the patterns' versions.
        reserved: the conditions of others, which have the first bits.
        conditions: bit i of an event's mask says whether conditions[i] is true of it.
        same_fields: the distinct fields of `same`.
        columns: the event columns that `masks` and the same fields read.
        steps: `STEP` records, one pattern's after the other's.
        table: `ROW` records, one a pattern.
        interest: the bits of all conditions that a pattern awaits or forbids.
        sees_all: 0 if an event outside `interest` changes nothing; 1 if it may end or advance a partial match
            that there is; 2 if it may also begin one.
    """

    patterns: tuple[Pattern, ...]
    versions: tuple[str, ...]
    reserved: tuple[Expression, ...]
    conditions: tuple[Expression, ...]
    same_fields: tuple[str, ...]
    columns: frozenset[str]
    steps: npt.NDArray[np.void]
    table: npt.NDArray[np.void]
    interest: np.uint64
    sees_all: int
    _masks: ConditionMasks = field(repr=False)

    @classmethod
    def compile(cls, patterns: Sequence[Pattern], reserved: Sequence[Expression] = ()) -> "PatternPlan":
        """Compile patterns; `reserved` are conditions that others want evaluated, in bits 0, 1, 2 ….

        Raises:
            PatternError: a pattern isn't whole, two have one name, or there are over 64 distinct conditions.
            ExpressionError: a reserved condition doesn't fit the event schema.
        """
        ordered = tuple(sorted((pattern.check() for pattern in patterns), key=lambda pattern: pattern.name))
        for one, other in pairwise(ordered):
            if one.name == other.name:
                raise PatternError("two patterns have this name", pattern=one.name)
        same_fields = tuple(sorted({p.same_field for p in ordered if p.same_field is not None}))
        bits = _Bits(list(reserved))
        steps: list[tuple[int, int, int, int, int]] = []
        rows = []
        for pattern in ordered:
            first = len(steps)
            trailing = _add_steps(pattern, steps, bits)
            within = -1 if pattern.within_ms is None else pattern.within_ms
            same = -1 if pattern.same_field is None else same_fields.index(pattern.same_field)
            waits_long = trailing != 0 and within > LONG_WAIT_MS
            rows.append((within, trailing, first, len(steps) - first, same, _SKIP[pattern.skip], waits_long))
        step_table, table = np.array(steps, STEP), np.array(rows, ROW)
        masks = ConditionMasks(bits.conditions)
        return cls(
            patterns=ordered,
            versions=tuple(pattern.version for pattern in ordered),
            reserved=tuple(reserved),
            conditions=tuple(bits.conditions),
            same_fields=same_fields,
            columns=masks.columns.union(same_fields),
            steps=step_table,
            table=table,
            interest=_interest(step_table, table),
            sees_all=_sees_all(step_table),
            _masks=masks,
        )

    def masks(self, frame: pl.DataFrame) -> pl.Series:
        """For each row of a frame with `columns`, a UInt64 whose bit i says whether conditions[i] is true."""
        return pl.Series("mask", self._masks.evaluate(frame))

    def __reduce__(self) -> tuple[Any, ...]:
        return PatternPlan.compile, (self.patterns, self.reserved)


class _Bits:
    """Gives each distinct condition a bit."""

    def __init__(self, reserved: list[Expression]) -> None:
        if len(reserved) > MOST_CONDITIONS:
            raise PatternError(f"more than {MOST_CONDITIONS} conditions are reserved", pattern="(reserved)")
        self.conditions = reserved
        self._bit_of = {condition.key(): bit for bit, condition in reversed(list(enumerate(reserved)))}

    def of(self, pattern: Pattern, stage: Stage) -> int:
        """The bit of the stage's condition."""
        if stage.condition is None:
            return EVERY_EVENT
        key = stage.condition.key()
        bit = self._bit_of.get(key)
        if bit is None:
            bit = len(self.conditions)
            if bit >= MOST_CONDITIONS:
                raise PatternError(
                    f"with it the patterns of this run have more than {MOST_CONDITIONS} distinct conditions; "
                    "run fewer patterns at a time, or let them share conditions",
                    pattern=pattern.name,
                    stage=stage.name,
                )
            self.conditions.append(stage.condition)
            self._bit_of[key] = bit
        return bit


def _add_steps(pattern: Pattern, steps: list[tuple[int, int, int, int, int]], bits: "_Bits") -> int:
    """Append the pattern's steps; the mask of what must not come after the last one is returned."""
    stages = pattern.stages
    kill = kill_next = 0
    for number, stage in enumerate(stages):
        bit = bits.of(pattern, stage)
        if stage.contiguity == "not_followed_by":
            kill |= 1 << bit
            continue
        if stage.contiguity == "not_next":
            kill_next |= 1 << bit
            continue
        steps.append((kill, kill_next, bit, number, _CONTIGUITY[stage.contiguity]))
        kill = kill_next = 0
        # What a stage after a loop forbids is forbidden from the loop's first event on.
        inner_kill = sum({1 << bits.of(pattern, later) for later in _forbidden_after(stages, number)})
        inner = STRICT if stage.inner == "strict" else RELAXED
        steps.extend((inner_kill, 0, bit, number, inner) for _ in range(stage.times - 1))
    return kill


def _forbidden_after(stages: Sequence[Stage], number: int) -> list[Stage]:
    found = []
    for stage in stages[number + 1 :]:
        if not stage.forbids:
            break
        if stage.contiguity == "not_followed_by":
            found.append(stage)
    return found


def _interest(steps: npt.NDArray[np.void], table: npt.NDArray[np.void]) -> np.uint64:
    awaited = np.uint64(0)
    for condition in steps["condition"]:
        if condition != EVERY_EVENT:
            awaited |= np.uint64(1) << np.uint64(condition)
    forbidden = np.bitwise_or.reduce(
        np.concatenate((steps["kill"], steps["kill_next"], table["trailing_kill"], np.zeros(1, np.uint64)))
    )
    return np.uint64(awaited | forbidden)


def _sees_all(steps: npt.NDArray[np.void]) -> int:
    everything = steps["condition"] == EVERY_EVENT
    if np.any(everything & (steps["contiguity"] == BEGIN)):
        return SEES_ALL
    if np.any(everything | (steps["contiguity"] == STRICT) | (steps["kill_next"] != 0)):
        return SEES_ALL_WHILE_WAITING
    return IGNORES_OTHERS
