"""The automata of a run's patterns that the compiled loops can't run, with what feeding them needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.automaton import Automaton
from footfall.automaton_prefilter import Prefilter
from footfall.automaton_states import MoveKind
from footfall.clock import NEVER
from footfall.envelope import SCHEMA
from footfall.expression import field
from footfall.match_outputs import outputs_text
from footfall.pattern import Pattern
from footfall.pattern_lowering import BitOf, EventValues, Output, lower, lower_outputs
from footfall.pattern_sets import PlacedPattern
from footfall.pattern_spec import PatternSpec
from footfall.row_frames import column_of, whole_rows
from footfall.visitor_automaton import Match

LONG_WAIT_MS = 86_400_000
_WORTH_WAITING = 2
MOST_PARTIALS = 1_000
"""Partial matches of a visitor and pattern at most, where a run doesn't say."""


@dataclass(frozen=True, slots=True, eq=False)
class PlannedAutomaton:
    """A pattern's automaton.

    Attributes:
        number: the pattern's number in the run's plan.
        same: the number of the field whose values it runs for separately; -1 for none.
        ties_by: the slot of the value by which events of equal times are ordered; None for their arrival.
        waits_over_24h: an absence at its end takes longer than a day.
        memory_ms: how long after a visitor's last event the pattern remembers it for what may begin later: what
            must not come before the start, and what `prev` goes back to (`within`, or a day); None if it doesn't.
        outputs: for each output of a match, how it is made.
        prefilter: what must be there before an automaton is begun; None where it is begun with the first event.
        begins_from: it sees only events at this time (ms) or later; the automaton knows when it begins no more.
    """

    number: int
    automaton: Automaton
    same: int
    ties_by: int | None
    waits_over_24h: bool
    memory_ms: int | None
    outputs: dict[str, Output]
    prefilter: Prefilter | None
    begins_from: int = NEVER

    def stage_number(self, stage: str) -> int:
        """The number of a stage that takes events, by its name."""
        return self.automaton.stages.index(stage)

    def outputs_text(self, match: Match) -> str:
        """The match's outputs as JSON; of a partial match that timed out, too. Empty where there are none."""
        return outputs_text(self.outputs, match.stages())


def _memory(spec: PatternSpec) -> int | None:
    absent = [stage.absent_ms for stage in spec.stages if stage.absent_ms is not None]
    back = [spec.within_ms or LONG_WAIT_MS] if spec.looks_back else []
    return max(absent + back, default=None)


def _prefilter(automaton: Automaton) -> Prefilter | None:
    """What must be there before an automaton is begun, where all that it needs to know can be told from masks."""
    spec, absences = automaton.spec, automaton.absences
    if spec.within_ms is None or spec.gives_timeouts or automaton.sees_all or len(absences) > 1:
        return None
    absent, absent_ms = 0, 0
    for absence in absences:
        guard = absence.guard
        if absence.absent_ms is None or guard.tests or guard.forbid or guard.need.bit_count() != 1:
            return None
        absent, absent_ms = guard.need, absence.absent_ms
    takes = [move for state in automaton.states for move in state.moves if move.kind is MoveKind.TAKE]
    begins = [move for move in automaton.states[0].moves if move.kind is MoveKind.TAKE]
    if not all(move.guard.need for move in takes):
        return None
    least = _least(automaton)
    if least is None or least < _WORTH_WAITING:
        return None
    begun_by, taken_by = (reduce(or_, (move.guard.need for move in moves), 0) for moves in (begins, takes))
    return Prefilter(least, spec.within_ms, begun_by, taken_by, absent, absent_ms, automaton.begins_until)


def _least(automaton: Automaton) -> int | None:
    """How many events a match takes at least; None if there is no way to one."""
    least, reached, states = 0, {0}, {0}
    while states:
        least += 1
        takes = [
            move for state in states for move in automaton.states[state].moves if move.kind is MoveKind.TAKE
        ]
        states = {target for move in takes for target in move.targets}
        if any(move.completes for move in takes) or any(automaton.states[state].absent for state in states):
            return least
        states -= reached
        reached |= states
    return None


@dataclass(frozen=True, slots=True, eq=False)
class AutomatonPlan:
    """The automata of a run.

    Attributes:
        patterns: in the order of their numbers.
        same_fields: how many of an event's lanes are hashes of same fields.
        values: the values of events that their tests and outputs read.
        limit: partial matches of a visitor and pattern at most.
    """

    patterns: tuple[PlannedAutomaton, ...]
    same_fields: int
    values: EventValues
    limit: int | None

    @classmethod
    def compile(
        cls,
        patterns: Sequence[tuple[int, Pattern]],
        bit_of: BitOf,
        same_fields: Sequence[str],
        limit: int | None = MOST_PARTIALS,
    ) -> "AutomatonPlan":
        """Compile patterns, each with its number; `bit_of` gives conditions their bits, over all words.

        Raises:
            PatternError: a pattern can't be compiled.
        """
        values = EventValues()
        placed = [(number, PlacedPattern(pattern)) for number, pattern in patterns]
        planned = cls.planned_of(placed, bit_of, same_fields, values)
        return cls(tuple(planned), len(same_fields), values, limit)

    @staticmethod
    def planned_of(
        patterns: Sequence[tuple[int, PlacedPattern]],
        bit_of: BitOf,
        same_fields: Sequence[str],
        values: EventValues,
    ) -> list[PlannedAutomaton]:
        """Compile patterns for a plan with those values, which get what the patterns' tests read.

        Raises:
            PatternError: a pattern can't be compiled.
        """
        planned = []
        for number, placed in patterns:
            pattern = placed.pattern
            spec = lower(pattern, bit_of, values)
            automaton = Automaton(spec, begins_until=placed.begins_until)
            # Ties in another order than the events' own would count otherwise.
            prefilter = _prefilter(automaton) if pattern.ties_by is None else None
            last = pattern.stages[-1]
            wait = (last.step_within_ms or pattern.within_ms or 0) if last.forbids else 0
            planned.append(
                PlannedAutomaton(
                    number,
                    automaton,
                    -1 if pattern.same_field is None else same_fields.index(pattern.same_field),
                    None if pattern.ties_by is None else values.slot_of(field(pattern.ties_by)),
                    wait > LONG_WAIT_MS,
                    _memory(spec) if prefilter is None else None,
                    lower_outputs(pattern, values),
                    prefilter,
                    placed.begins_from,
                )
            )
        return planned

    @property
    def columns(self) -> frozenset[str]:
        """The event columns that `values_of` reads."""
        return self.values.event_columns()

    @property
    def orders_ties(self) -> bool:
        """Whether a pattern orders events of equal times by a value of theirs."""
        return any(planned.ties_by is not None for planned in self.patterns)

    def planned(self, number: int) -> PlannedAutomaton:
        """The automaton of the pattern of that number."""
        return next(planned for planned in self.patterns if planned.number == number)

    def values_of(self, rows: pl.DataFrame, places: npt.NDArray[np.int64] | None = None) -> pl.DataFrame:
        """A column for each slot, from rows that have (at least) `columns`; empty ones may be left out.

        With `places`, of the rows there alone.
        """
        columns = self.columns
        names = [name for name in SCHEMA if name in columns] or rows.columns[:1]
        if places is None:
            return self.values.frame(whole_rows(rows, names))
        # A few rows are taken from a column at a fraction of what they cost to be taken from a frame.
        wanted = pl.Series(places.astype(np.uint32))
        return self.values.frame(pl.DataFrame([column_of(rows, name)[wanted] for name in names]))
