"""Why a pattern fired, or not, for one visitor: its trace over their events, held to what the engine finds."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import polars as pl

from footfall.automaton_plan import MOST_PARTIALS, AutomatonPlan
from footfall.condition_findings import ConditionFindings, event_fields, value_words
from footfall.condition_masks import ConditionMasks
from footfall.condition_words import WORD_BITS
from footfall.envelope import SCHEMA
from footfall.expression import Expression, field
from footfall.expression_values import time_from_ms
from footfall.match_trace import Fate, SeenEvent, Trace, TracedMatch, TraceInput, time_words
from footfall.pattern import Pattern
from footfall.pattern_lowering import ConditionBits
from footfall.pattern_plan import is_linear
from footfall.trace_matching import trace_pattern
from footfall.visitor_events import VisitorEvents, fate_words
from footfall.wait_words import Look, TakenView, WaitWords

_Key = tuple[tuple[tuple[str, tuple[str, ...]], ...], str, int, bool]
"""What names a match: the messages by stage, its status, when it came out, and whether the input's end let it out."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A pattern's trace over a visitor's events.

    Attributes:
        pattern: the pattern.
        visitor: the visitor's events, and the engine's matches.
        trace: what happened; its matches have the ids of the run's answers.
        disagreement: what the trace finds and the engine doesn't, and the reverse, in words; empty if they agree.
    """

    pattern: Pattern
    visitor: VisitorEvents
    trace: Trace
    disagreement: tuple[str, ...]


class Explainer:
    """A pattern made ready to be explained.

    Args:
        pattern: the pattern; it must be whole.
        limit: partial matches at most; None for no limit. Those of the compiled loops have none.

    Attributes:
        columns: the columns of the envelope that the visitor's events must have.

    Raises:
        PatternError: it can't be compiled.
    """

    def __init__(self, pattern: Pattern, limit: int | None = MOST_PARTIALS) -> None:
        self._pattern = pattern
        self._bits = ConditionBits()
        same = [] if pattern.same_field is None else [pattern.same_field]
        self._limit = None if is_linear(pattern) else limit
        self._plan = AutomatonPlan.compile([(0, pattern)], self._bits, same, self._limit)
        (self._planned,) = self._plan.patterns
        self._values = self._plan.values
        self._words = WaitWords(pattern, self._planned.automaton, ConditionFindings(self._values))
        conditions = [condition for stage in pattern.stages for condition in stage.conditions()]
        shown: dict[str, Expression] = {leaf.key(): leaf for leaf in event_fields(conditions)}
        if pattern.same_field is not None:
            shown.setdefault(field(pattern.same_field).key(), field(pattern.same_field))
        self._shown = [(str(leaf), self._values.slot_of(leaf), leaf.kind(SCHEMA)) for leaf in shown.values()]
        self._same = None if pattern.same_field is None else self._values.slot_of(field(pattern.same_field))
        asked = (condition.columns() for condition in self._bits)
        self.columns: frozenset[str] = frozenset({"event"}).union(self._plan.columns, *asked)

    def explain(self, visitor: VisitorEvents) -> Explanation:
        """Run the pattern over the visitor's events.

        Args:
            visitor: their events, which have `columns`; and the engine's matches of the same pattern.

        Raises:
            MatchError: the pattern's skip strategy must hit a stage, and doesn't.
        """
        frame = visitor.frame
        slot = self._planned.ties_by
        if slot is not None:
            # Events without the value go first.
            tie = self._plan.values_of(frame)[str(slot)]
            frame = frame[
                frame.select("event_time", tie=tie)
                .with_row_index()
                .sort("event_time", "tie", nulls_last=False, maintain_order=True)["index"]
            ]
        values = self._plan.values_of(frame)
        rows: list[tuple[Any, ...]] = values.rows() if values.width else [()] * frame.height
        self._values.read = lambda event, slot: rows[event][slot]
        masks = self._masks(frame)
        events = [
            self._event(number, row, masks[number], visitor, rows[number])
            for number, row in enumerate(
                zip(
                    frame["event_time"].to_physical(),
                    frame["event"],
                    frame["message_id"],
                    frame["fate"],
                    strict=True,
                )
            )
        ]
        trace = trace_pattern(
            self._planned.automaton,
            self._words,
            TraceInput(
                events=events,
                masks=masks,
                order=[event.number for event in events if not event.fate],
                end=visitor.watermark,
                limit=self._limit,
                memory_ms=self._planned.memory_ms,
                same=self._pattern.same_field or "",
                stays_open=self._planned.waits_over_24h,
            ),
        )
        trace.matches, disagreement = compared(trace, visitor.matches)
        return Explanation(self._pattern, visitor, trace, disagreement)

    def _masks(self, frame: pl.DataFrame) -> list[int]:
        masks = [0] * frame.height
        conditions = self._bits.conditions
        for first in range(0, len(conditions), WORD_BITS):
            word = ConditionMasks(conditions[first : first + WORD_BITS]).evaluate(frame).tolist()
            masks = [mask | part << first for mask, part in zip(masks, word, strict=True)]
        return masks

    def _event(
        self,
        number: int,
        row: tuple[int, str | None, str, Fate | None],
        mask: int,
        visitor: VisitorEvents,
        values: tuple[Any, ...],
    ) -> SeenEvent:
        time, name, message, kept = row
        same = None if self._same is None else values[self._same]
        fate: Fate = kept or ""
        left_out = fate and fate_words(fate, visitor)
        if not fate and self._same is not None and same is None:
            fate, left_out = (
                "same",
                f"it has no {self._pattern.same_field!r}, and the pattern runs for each value of it",
            )
        shown = [each for each in self._shown if values[each[1]] is not None]
        nothing = TakenView(self._planned.automaton, (), ())
        return SeenEvent(
            number,
            time,
            name or "(no name)",
            message,
            tuple((words, value_words(values[slot], kind)) for words, slot, kind in shown),
            fate,
            left_out,
            "" if same is None else str(same),
            self._words.near(Look(number, mask, 0, nothing)),
            values=tuple(
                time_from_ms(values[slot]) if kind == "time" else values[slot] for _, slot, kind in shown
            ),
        )


def compared(trace: Trace, engine: pl.DataFrame) -> tuple[list[TracedMatch], tuple[str, ...]]:
    """The trace's matches with their ids, and what the engine found otherwise, in words.

    Args:
        trace: the trace.
        engine: the engine's matches, as rows of the matches' table.
    """
    ids: dict[_Key, list[str]] = {}
    for row in engine.sort("ordinal").with_columns(settled=pl.col("settled_time").to_physical()).to_dicts():
        stages = _decoded(row["stages"])
        key = (_stages_key(stages), row["status"], row["settled"], row["at_end"])
        ids.setdefault(key, []).append(row["match_id"])
    found, only_here = [], Counter[_Key]()
    for match in trace.matches:
        key = _match_key(match, trace)
        known = ids.get(key)
        if known:
            found.append(replace(match, match_id=known.pop(0)))
        else:
            found.append(match)
            only_here[key] += 1
    only_engine = Counter({key: len(left) for key, left in ids.items() if left})
    said = [f"the trace alone finds {_key_words(key, count)}" for key, count in only_here.items()]
    said += [f"the engine alone finds {_key_words(key, count)}" for key, count in only_engine.items()]
    return found, tuple(said)


def _decoded(stages: str) -> dict[str, list[str]]:
    return msgspec.json.decode(stages, type=dict[str, list[str]])


def _stages_key(stages: dict[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(sorted((name, tuple(messages)) for name, messages in stages.items()))


def _match_key(match: TracedMatch, trace: Trace) -> _Key:
    stages: dict[str, list[str]] = {}
    for stage, event in match.steps:
        stages.setdefault(stage, []).append(trace.events[event].message)
    return _stages_key(stages), "timed_out" if match.timed_out else "fired", match.time, match.at_end


def _key_words(key: _Key, count: int) -> str:
    stages, status, time, at_end = key
    listed = "; ".join(f"{name}: {', '.join(messages)}" for name, messages in stages)
    times = f"{count} times " if count > 1 else ""
    end = ", by the input's end" if at_end else ""
    return f"{times}a match ({status} at {time_words(time)}{end}) of the messages {listed}"
