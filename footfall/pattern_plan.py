"""Patterns compiled to the tables that the matcher's loops read.

Every pattern of a run is in one plan. Its conditions are shared: each distinct one has a bit, and `masks`
evaluates all of them once per batch, as columns. A stage becomes one step for each event that it takes; a
stage that forbids events becomes a mask of conditions on the steps during which it is in force.

A plan may hold several sets of patterns, each in force from an event time on (`footfall.pattern_sets`). Numbers, bits
and lanes of a set don't change when later ones are added behind it: state made by the shorter plan is good for the
longer one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial, reduce
from itertools import takewhile
from operator import or_
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.automaton_plan import MOST_PARTIALS, AutomatonPlan, PlannedAutomaton
from footfall.condition_masks import ConditionMasks
from footfall.condition_words import WORD_BITS, ConditionWords
from footfall.expression import Expression
from footfall.match_outputs import LoopOutputs
from footfall.pattern import Contiguity, Pattern, Skip, Stage
from footfall.pattern_lowering import BitOf, EventValues
from footfall.pattern_sets import PatternSet, PlacedPattern, placed_patterns

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
        ("spares", np.bool_),
    ],
    align=True,
)
"""One event to be taken: `condition` is its bit (-1: every event), `stage` the number
of the stage among those of its pattern that take events,
`kill` the conditions that end a partial match which waits for this step, `kill_next` those that do so only at
the very next event after the one taken last, `wants` all that changes anything for it, `spares` that `kill` doesn't if
the step takes the event."""

ROW = np.dtype(
    [
        ("within_ms", np.int64),
        ("begins_from", np.int64),
        ("begins_until", np.int64),
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
"""One pattern: `within_ms` is exclusive (-1: no bound), `begins_from` and `begins_until` (exclusive) the event times
between which matches begin, `trailing_kill` the conditions that must not come
between the last step and the bound (0: the match is complete with its last step), `same` the number of the
field whose values it runs for separately (-1: none), `word` the word of the mask that has its conditions,
`waits_over_24h` that its trailing absence takes longer than a day, `looks_ahead` that a match is begun only if
the events in hand may complete it."""

_MOST_CONDITIONS = WORD_BITS
_ALL = (1 << WORD_BITS) - 1
_Step = tuple[int, int, int, int, int, int, bool]
_CONTIGUITY: dict[Contiguity, int] = {"begin": BEGIN, "strict": STRICT, "relaxed": RELAXED, "any": ANY}
_SKIP: dict[Skip, int] = {"no_skip": NO_SKIP, "to_next": TO_NEXT, "past_last": PAST_LAST}


@dataclass(frozen=True, eq=False)
class PatternPlan:
    """Patterns, compiled. Made by `PatternPlan.compile`; it pickles as what it was compiled from.

    Patterns that are a chain of single events are run by compiled loops, the others by automata.

    Attributes:
        patterns: by their numbers: of each set those of the loops by name, then those of the automata by name.
        versions: the patterns' versions.
        stage_names: for each pattern the names that its stages' numbers stand for.
        sets: the sets of patterns, the one in force first at first.
        layouts: for each set how many same fields and words of the mask there were with it.
        counts: for each set how many patterns there were with it.
        conditions: bit i of word w of an event's mask says whether conditions[w][i] is true of it.
        same_fields: the distinct fields of `same`.
        columns: the event columns that `masks`, the same fields and the automata read.
        automata: the automata.
        outputs: the outputs of the loops' patterns.
        steps: `STEP` records, one pattern's after the other's.
        table: `ROW` records, one for each pattern of the loops.
        numbers: the pattern's number for each row of `table`.
        interest: for each word the bits of all conditions that a pattern of the loops awaits or forbids.
        carried: further event columns that the rows carry.
        read_numbers: numbers of events that others want, each with the condition of the events that have it.
        sees_all: 0 if an event outside `interest` changes nothing; 1 if it may end or advance a partial match
            that there is; 2 if it may also begin one.
    """

    patterns: tuple[Pattern, ...]
    versions: tuple[str, ...]
    stage_names: tuple[tuple[str, ...], ...]
    sets: tuple[PatternSet, ...]
    layouts: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]
    conditions: tuple[tuple[Expression, ...], ...]
    same_fields: tuple[str, ...]
    columns: frozenset[str]
    automata: AutomatonPlan
    outputs: LoopOutputs
    steps: npt.NDArray[np.void]
    table: npt.NDArray[np.void]
    numbers: npt.NDArray[np.int32]
    interest: npt.NDArray[np.uint64]
    sees_all: int
    carried: frozenset[str]
    read_numbers: tuple[tuple[Expression, Expression], ...]
    _masks: tuple[ConditionMasks, ...] = field(repr=False)

    @classmethod
    def compile(
        cls,
        patterns: Sequence[Pattern],
        reserved: Sequence[Expression] = (),
        limit: int | None = MOST_PARTIALS,
        later: Sequence[PatternSet] = (),
        carried: frozenset[str] = frozenset(),
        read_numbers: Sequence[tuple[Expression, Expression]] = (),
    ) -> "PatternPlan":
        """Compile patterns; `reserved` are conditions that others want evaluated, in bits 0, 1, 2 ….

        `limit` bounds the partial matches of a visitor and pattern; beyond it the oldest are dropped and counted.
        `later` are the sets that come into force after these, one after the other. `carried` are event columns that
        the rows shall carry, too, and `read_numbers` what is to be read of events, each under a reserved condition.

        Raises:
            PatternError: a pattern isn't whole, or two of a set have one name.
            ExpressionError: a reserved condition doesn't fit the event schema.
        """
        sets = (PatternSet(tuple(patterns), tuple(reserved)), *later)
        bits, loops, automata, values = (
            ConditionWords(reserved),
            _Loops(),
            list[PlannedAutomaton](),
            EventValues(),
        )
        placed: list[PlacedPattern] = []
        same_fields: tuple[str, ...] = ()
        layouts, counts = [], []
        for each, new in zip(sets, placed_patterns(sets, what_is_not_linear), strict=True):
            fields = {one.pattern.same_field for one in new} - {None, *same_fields}
            same_fields += tuple(sorted(name for name in fields if name is not None))
            for condition in each.reserved if each is not sets[0] else ():
                bits.number(condition)
            numbered = list(enumerate(new, start=len(placed)))
            for number, one in numbered:
                if is_linear(one.pattern):
                    loops.add(number, one, bits, same_fields)
            rest = [(number, one) for number, one in numbered if not is_linear(one.pattern)]
            automata += AutomatonPlan.planned_of(rest, bits.number, same_fields, values)
            placed += new
            layouts.append((len(same_fields), len(bits.words)))
            counts.append(len(placed))
        ordered = tuple(one.pattern for one in placed)
        automaton_plan = AutomatonPlan(tuple(automata), len(same_fields), values, limit)
        outputs = LoopOutputs.compile([(number, ordered[number]) for number in loops.numbers])
        masks = tuple(map(ConditionMasks, bits.words))
        step_table, table = np.array(loops.steps, STEP), np.array(loops.rows, ROW)
        names = {planned.number: planned.automaton.stages for planned in automata}
        return cls(
            patterns=ordered,
            versions=tuple(pattern.version for pattern in ordered),
            sets=sets,
            layouts=tuple(layouts),
            counts=tuple(counts),
            conditions=tuple(map(tuple, bits.words)),
            same_fields=same_fields,
            stage_names=tuple(
                names.get(number) or pattern.stage_names() for number, pattern in enumerate(ordered)
            ),
            columns=values.event_columns().union(
                outputs.columns,
                same_fields,
                carried,
                *(word.columns for word in masks),
                *(number.columns() for number, _ in read_numbers),
            ),
            automata=automaton_plan,
            outputs=outputs,
            steps=step_table,
            table=table,
            numbers=np.array(loops.numbers, np.int32),
            interest=_interest(step_table, table, len(masks)),
            sees_all=_sees_all(step_table),
            carried=carried,
            read_numbers=tuple(read_numbers),
            _masks=masks,
        )

    def followed_by(self, later: PatternSet) -> "PatternPlan":
        """This plan with one more set of patterns behind it.

        Raises:
            PatternError: as for `compile`.
        """
        first, *others = self.sets
        sets = (*others, later)
        return PatternPlan.compile(
            first.patterns, first.reserved, self.automata.limit, sets, self.carried, self.read_numbers
        )

    @property
    def reserved(self) -> tuple[Expression, ...]:
        """The conditions of others with the first set, in bits 0, 1, 2 …."""
        return self.sets[0].reserved

    @property
    def generation(self) -> int:
        """How many sets came after the first: the number of the last one."""
        return len(self.sets) - 1

    @property
    def lanes(self) -> int:
        """How many numbers travel with an event: the hashes of the same fields, and its mask's words but the first."""
        return len(self.same_fields) + len(self.conditions) - 1

    def widened(self, lanes: npt.NDArray[np.uint64], generation: int) -> npt.NDArray[np.uint64]:
        """The lanes of events that were made when there were only the sets up to that one; what is new is 0."""
        fields, words = self.layouts[generation]
        if (fields, words) == self.layouts[-1]:
            return lanes
        wide = np.zeros((lanes.shape[0], self.lanes), np.uint64)
        wide[:, :fields] = lanes[:, :fields]
        wide[:, len(self.same_fields) : len(self.same_fields) + words - 1] = lanes[:, fields:]
        return wide

    def bit(self, condition: Expression) -> int:
        """The number of a condition's bit, over all words of the mask.

        Raises:
            KeyError: it isn't among the plan's conditions.
        """
        return self._bits[condition.key()]

    @cached_property
    def _bits(self) -> dict[str, int]:
        numbered = (
            (each.key(), word * WORD_BITS + bit)
            for word, conditions in enumerate(self.conditions)
            for bit, each in enumerate(conditions)
        )
        return dict(reversed(list(numbered)))

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
        return self.automata.columns | self.outputs.columns | self.carried

    def masks(self, frame: pl.DataFrame) -> npt.NDArray[np.uint64]:
        """For each row of a frame with `columns` its mask; shape (rows, words)."""
        return np.stack([word.evaluate(frame) for word in self._masks], axis=1)

    def __reduce__(self) -> tuple[Any, ...]:
        first, *later = self.sets
        made_from = (
            first.patterns,
            first.reserved,
            self.automata.limit,
            tuple(later),
            self.carried,
            self.read_numbers,
        )
        return PatternPlan.compile, made_from


class _Loops:
    """The tables of the patterns that the compiled loops run, as they grow."""

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        self.rows: list[tuple[Any, ...]] = []
        self.numbers: list[int] = []

    def add(
        self, number: int, placed: PlacedPattern, bits: ConditionWords, same_fields: Sequence[str]
    ) -> None:
        pattern = placed.pattern
        first = len(self.steps)
        conditions = [stage.condition for stage in pattern.stages if stage.condition is not None]
        word = bits.word_for(pattern.name, conditions)
        trailing = _add_steps(pattern, self.steps, partial(bits.bit, word))
        within = -1 if pattern.within_ms is None else pattern.within_ms
        same = -1 if pattern.same_field is None else same_fields.index(pattern.same_field)
        waits_long = trailing != 0 and within > LONG_WAIT_MS
        count = len(self.steps) - first
        # Where partial matches branch, there may be more of them than events: the limit might see the difference.
        looks_ahead = within >= 0 and count > 1 and all(step[-2] != ANY for step in self.steps[first + 1 :])
        skip, span = _SKIP[pattern.skip], (placed.begins_from, placed.begins_until)
        self.rows.append((within, *span, trailing, first, count, same, word, skip, waits_long, looks_ahead))
        self.numbers.append(number)


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
        steps.append(
            (kill, kill_next, _wants(kill, kill_next, bit, contiguity), bit, taker, contiguity, True)
        )
        kill = kill_next = 0
        # What a stage after a loop forbids is forbidden from the loop's first event on.
        inner_kill = sum({1 << bit_of(condition) for condition in _forbidden_after(stages, number)})
        inner = STRICT if stage.inner == "strict" else RELAXED
        wants = _wants(inner_kill, 0, bit, inner)
        steps.extend((inner_kill, 0, wants, bit, taker, inner, False) for _ in range(stage.times - 1))
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
