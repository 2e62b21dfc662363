"""Patterns compiled to the tables that the matcher's loops read.

Every pattern of a run is in one plan. Its conditions are shared: each distinct one has a bit, and `masks`
evaluates all of them once per batch, as columns. A stage becomes one step for each event that it takes; a
stage that forbids events becomes a mask of conditions on the steps during which it is in force.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial, reduce
from itertools import pairwise, takewhile
from operator import or_
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.automaton_plan import MOST_PARTIALS, AutomatonPlan, PlannedAutomaton
from footfall.condition_masks import ConditionMasks
from footfall.condition_words import WORD_BITS, ConditionWords
from footfall.errors import PatternError
from footfall.expression import Expression
from footfall.match_outputs import LoopOutputs
from footfall.pattern import Contiguity, Pattern, Skip, Stage
from footfall.pattern_lowering import BitOf

LONG_WAIT_MS = 86_400_000

EVERY_EVENT = -1
BEGIN, STRICT, RELAXED, ANY = range(4)
NO_SKIP, TO_NEXT, PAST_LAST = range(3)
IGNORES_OTHERS, SEES_ALL_WHILE_WAITING, SEES_ALL = range(3)

STEP = np.dtype(
    [
        ("kill", np.uint64),
        ("kill_next", np.uint64),
        ("wants", np.uint64),
        ("condition", np.int16),
        ("stage", np.int16),
        ("contiguity", np.int8),
    ],
    align=True,
)
"""One event to be taken: `condition` is its bit (-1: every event), `stage` the number
of the stage among those of its pattern that take events,
`kill` the conditions that end a partial match which waits for this step, `kill_next` those that do so only at
the very next event after the one taken last, `wants` all that changes anything for it."""

ROW = np.dtype(
    [
        ("within_ms", np.int64),
        ("trailing_kill", np.uint64),
        ("first_step", np.int32),
        ("step_count", np.int32),
        ("same", np.int16),
        ("word", np.int16),
        ("skip", np.int8),
        ("waits_over_24h", np.bool_),
        ("looks_ahead", np.bool_),
    ],
    align=True,
)
"""One pattern: `within_ms` is exclusive (-1: no bound), `trailing_kill` the conditions that must not come
between the last step and the bound (0: the match is complete with its last step), `same` the number of the
field whose values it runs for separately (-1: none), `word` the word of the mask that has its conditions,
`waits_over_24h` that its trailing absence takes longer than a day, `looks_ahead` that a match is begun only if
the events in hand may complete it."""

_MOST_CONDITIONS = WORD_BITS
_ALL = (1 << WORD_BITS) - 1
_Step = tuple[int, int, int, int, int, int]
_CONTIGUITY: dict[Contiguity, int] = {"begin": BEGIN, "strict": STRICT, "relaxed": RELAXED, "any": ANY}
_SKIP: dict[Skip, int] = {"no_skip": NO_SKIP, "to_next": TO_NEXT, "past_last": PAST_LAST}


@dataclass(frozen=True, eq=False)
class PatternPlan:
    """Patterns, compiled. Made by `PatternPlan.compile`; it pickles as what it was compiled from.

    Patterns that are a chain of single events are run by compiled loops, the others by automata.

    Attributes:
        patterns: those of the loops by name, then those of the automata by name; their numbers are in this order.
        versions: the patterns' versions.
        stage_names: for each pattern the names that its stages' numbers stand for.
        reserved: the conditions of others, which have the first bits.
        conditions: bit i of word w of an event's mask says whether conditions[w][i] is true of it.
        same_fields: the distinct fields of `same`.
        columns: the event columns that `masks`, the same fields and the automata read.
        automata: the automata.
        outputs: the outputs of the loops' patterns.
        steps: `STEP` records, one pattern's after the other's.
        table: `ROW` records, one a pattern.
        interest: for each word the bits of all conditions that a pattern of the loops awaits or forbids.
        sees_all: 0 if an event outside `interest` changes nothing; 1 if it may end or advance a partial match
            that there is; 2 if it may also begin one.
    """

    patterns: tuple[Pattern, ...]
    versions: tuple[str, ...]
    stage_names: tuple[tuple[str, ...], ...]
    reserved: tuple[Expression, ...]
    conditions: tuple[tuple[Expression, ...], ...]
    same_fields: tuple[str, ...]
    columns: frozenset[str]
    automata: AutomatonPlan
    outputs: LoopOutputs
    steps: npt.NDArray[np.void]
    table: npt.NDArray[np.void]
    interest: npt.NDArray[np.uint64]
    sees_all: int
    _masks: tuple[ConditionMasks, ...] = field(repr=False)

    @classmethod
    def compile(
        cls,
        patterns: Sequence[Pattern],
        reserved: Sequence[Expression] = (),
        limit: int | None = MOST_PARTIALS,
    ) -> "PatternPlan":
        """Compile patterns; `reserved` are conditions that others want evaluated, in bits 0, 1, 2 ….

        `limit` bounds the partial matches of a visitor and pattern; beyond it the oldest are dropped and counted.

        Raises:
            PatternError: a pattern isn't whole, or two have one name.
            ExpressionError: a reserved condition doesn't fit the event schema.
        """
        ordered = tuple(sorted((pattern.check() for pattern in patterns), key=lambda pattern: pattern.name))
        for one, other in pairwise(ordered):
            if one.name == other.name:
                raise PatternError("two patterns have this name", pattern=one.name)
        linear = tuple(filter(is_linear, ordered))
        ordered = (*linear, *(pattern for pattern in ordered if not is_linear(pattern)))
        same_fields = tuple(sorted({p.same_field for p in ordered if p.same_field is not None}))
        bits = ConditionWords(reserved)
        steps: list[_Step] = []
        rows = []
        for pattern in linear:
            first = len(steps)
            conditions = [stage.condition for stage in pattern.stages if stage.condition is not None]
            word = bits.word_for(pattern.name, conditions)
            trailing = _add_steps(pattern, steps, partial(bits.bit, word))
            within = -1 if pattern.within_ms is None else pattern.within_ms
            same = -1 if pattern.same_field is None else same_fields.index(pattern.same_field)
            waits_long = trailing != 0 and within > LONG_WAIT_MS
            count = len(steps) - first
            # Where partial matches branch, there may be more of them than events: the limit might see the difference.
            looks_ahead = within >= 0 and count > 1 and all(step[-1] != ANY for step in steps[first + 1 :])
            rows.append(
                (within, trailing, first, count, same, word, _SKIP[pattern.skip], waits_long, looks_ahead)
            )
        step_table, table = np.array(steps, STEP), np.array(rows, ROW)
        automata = AutomatonPlan.compile(
            list(enumerate(ordered))[len(linear) :], bits.number, same_fields, limit
        )
        outputs = LoopOutputs.compile(linear)
        masks = tuple(map(ConditionMasks, bits.words))
        names = [pattern.stage_names() for pattern in linear]
        return cls(
            patterns=ordered,
            versions=tuple(pattern.version for pattern in ordered),
            reserved=tuple(reserved),
            conditions=tuple(map(tuple, bits.words)),
            same_fields=same_fields,
            stage_names=(*names, *(planned.automaton.stages for planned in automata.patterns)),
            columns=automata.columns.union(outputs.columns, same_fields, *(word.columns for word in masks)),
            automata=automata,
            outputs=outputs,
            steps=step_table,
            table=table,
            interest=_interest(step_table, table, len(masks)),
            sees_all=_sees_all(step_table),
            _masks=masks,
        )

    @property
    def lanes(self) -> int:
        """How many numbers travel with an event: the hashes of the same fields, and its mask's words but the first."""
        return len(self.same_fields) + len(self.conditions) - 1

    @cached_property
    def endings(self) -> npt.NDArray[np.uint64] | None:
        """For each word the bits of conditions, one of which is true of each event that ends a match.

        None if any event can end one. Matches that end by an absence, with time, don't count.
        """
        needs = [
            -1
            if step["condition"] == EVERY_EVENT
            else 1 << (int(row["word"]) * WORD_BITS + int(step["condition"]))
            for row in self.table
            if not row["trailing_kill"]
            for step in [self.steps[row["first_step"] + row["step_count"] - 1]]
        ]
        for planned in self.automata.patterns:
            needs += self._endings_of(planned)
        if -1 in needs:
            return None
        return self._words(needs)

    @cached_property
    def automaton_endings(self) -> dict[int, npt.NDArray[np.uint64] | None]:
        """The same for each automaton alone, by the pattern's number."""
        endings = {planned.number: self._endings_of(planned) for planned in self.automata.patterns}
        return {number: None if -1 in needs else self._words(needs) for number, needs in endings.items()}

    def _endings_of(self, planned: PlannedAutomaton) -> list[int]:
        if self.patterns[planned.number].stages[-1].forbids:
            return []
        moves = [move for state in planned.automaton.states for move in state.moves if move.completes]
        return [move.guard.need or -1 for move in moves]

    def _words(self, needs: Sequence[int]) -> npt.NDArray[np.uint64]:
        bits = reduce(or_, needs, 0)
        words = [(bits >> WORD_BITS * word) & (1 << WORD_BITS) - 1 for word in range(len(self.conditions))]
        return np.array(words, np.uint64)

    @property
    def row_columns(self) -> frozenset[str]:
        """The event columns that the rows of events need on their way to and in the shards."""
        return self.automata.columns | self.outputs.columns

    def masks(self, frame: pl.DataFrame) -> npt.NDArray[np.uint64]:
        """For each row of a frame with `columns` its mask; shape (rows, words)."""
        return np.stack([word.evaluate(frame) for word in self._masks], axis=1)

    def __reduce__(self) -> tuple[Any, ...]:
        return PatternPlan.compile, (self.patterns, self.reserved, self.automata.limit)


def is_linear(pattern: Pattern) -> bool:
    """Whether its partial matches are a chain of steps, one event each, so that the compiled loops can run it."""
    return what_is_not_linear(pattern) is None


def what_is_not_linear(pattern: Pattern) -> str | None:
    """What in the pattern the compiled loops can't run; None if they can run all of it."""
    trailing = takewhile(lambda stage: stage.forbids, reversed(pattern.stages))
    if any(stage.contiguity == "not_next" for stage in trailing):
        return "not_next at the end of a pattern"
    said = {
        "skip_to_first and skip_to_last": pattern.skip not in _SKIP,
        "tie_order": pattern.ties_by is not None,
        "timed-out partial matches": pattern.gives_timeouts,
    }
    found = next((word for word, there in said.items() if there), None)
    conditions = {stage.condition.key() for stage in pattern.stages if stage.condition is not None}
    if len(conditions) > _MOST_CONDITIONS:
        return f"more than {_MOST_CONDITIONS} conditions"
    return found or next((word for stage in pattern.stages if (word := _not_a_chain(stage))), None)


def _not_a_chain(stage: Stage) -> str | None:
    said = {
        "groups, alternations and permutations": bool(stage.parts),
        "loops without an exact count": stage.more != 0,
        "optional stages": stage.optional,
        "combinations": stage.inner == "any",
        "reluctant loops": stage.reluctant,
        "bounds on single steps": stage.step_within_ms is not None or stage.each_within_ms is not None,
        "absence at the start": stage.absent_ms is not None,
        "conditions on the partial match": stage.condition is not None and stage.condition.depends_on_match,
    }
    return next((word for word, there in said.items() if there), None)


def _add_steps(pattern: Pattern, steps: list[_Step], bit_of: BitOf) -> int:
    """Append the pattern's steps; the mask of what must not come after the last one is returned."""
    stages = pattern.stages
    kill = kill_next = taker = 0
    for number, stage in enumerate(stages):
        bit = EVERY_EVENT if stage.condition is None else bit_of(stage.condition)
        if stage.contiguity == "not_followed_by":
            kill |= 1 << bit
            continue
        if stage.contiguity == "not_next":
            kill_next |= 1 << bit
            continue
        contiguity = _CONTIGUITY[stage.contiguity]
        steps.append((kill, kill_next, _wants(kill, kill_next, bit, contiguity), bit, taker, contiguity))
        kill = kill_next = 0
        # What a stage after a loop forbids is forbidden from the loop's first event on.
        inner_kill = sum({1 << bit_of(condition) for condition in _forbidden_after(stages, number)})
        inner = STRICT if stage.inner == "strict" else RELAXED
        wants = _wants(inner_kill, 0, bit, inner)
        steps.extend((inner_kill, 0, wants, bit, taker, inner) for _ in range(stage.times - 1))
        taker += 1
    return kill


def _wants(kill: int, kill_next: int, bit: int, contiguity: int) -> int:
    """The conditions that matter to what waits for a step; all there are where any event may."""
    if bit == EVERY_EVENT or kill_next or contiguity == STRICT:
        return _ALL
    return kill | 1 << bit


def _forbidden_after(stages: Sequence[Stage], number: int) -> list[Expression]:
    found = []
    for stage in stages[number + 1 :]:
        if not stage.forbids:
            break
        if stage.contiguity == "not_followed_by" and stage.condition is not None:
            found.append(stage.condition)
    return found


def _interest(steps: npt.NDArray[np.void], table: npt.NDArray[np.void], words: int) -> npt.NDArray[np.uint64]:
    interest = np.zeros(words, np.uint64)
    for row in table:
        first = row["first_step"]
        interest[row["word"]] |= row["trailing_kill"]
        for step in steps[first : first + row["step_count"]]:
            interest[row["word"]] |= step["kill"] | step["kill_next"]
            if step["condition"] != EVERY_EVENT:
                interest[row["word"]] |= np.uint64(1) << np.uint64(step["condition"])
    return interest


def _sees_all(steps: npt.NDArray[np.void]) -> int:
    everything = steps["condition"] == EVERY_EVENT
    if np.any(everything & (steps["contiguity"] == BEGIN)):
        return SEES_ALL
    if np.any(everything | (steps["contiguity"] == STRICT) | (steps["kill_next"] != 0)):
        return SEES_ALL_WHILE_WAITING
    return IGNORES_OTHERS
