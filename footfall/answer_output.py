"""The dataflow's output: what a run proves, handed to its sinks, and its totals, handed to the parent.

One output partition a shard, so that a shard's rows stay on its worker. A snapshot makes everything durable that
was written before it; the sinks' own positions and the totals are its state.
"""

import pickle
from collections.abc import Sequence
from typing import Any

import polars as pl
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from footfall.control_table import control_rows
from footfall.letters import Letters
from footfall.plan_in_force import PlanInForce
from footfall.run_messages import PartitionDone, ShardDone, Tell
from footfall.scoring.score_rows import ScoreRows
from footfall.shard import Settled
from footfall.sink import Sink
from footfall.tables import (
    CONTROLS,
    DEAD_LETTERS,
    EVENTS,
    LATE_EVENTS,
    MATCHES,
    MODEL_QUALITY,
    OUTCOMES,
    PREDICTIONS,
    SCORES,
    SESSIONS,
    TABLES,
    TRIGGERS,
    Table,
)

Outgoing = Settled | Letters | ScoreRows
Item = tuple[str, Outgoing]

_NAMES = {table.name: table.schema.names() for table in TABLES}


class OutputPart(StatefulSinkPartition[Outgoing, bytes]):
    """One shard's way out: to every sink, and to the parent. One part tells of the control records, too."""

    def __init__(
        self,
        part: str,
        resume: bytes | None,
        sinks: Sequence[Sink],
        tell: Tell,
        in_force: PlanInForce | None = None,
    ) -> None:
        self._part = part
        self._sinks = sinks
        self._tell = tell
        self._in_force = in_force
        self._records_told = 0
        self._done: list[PartitionDone | ShardDone] = []
        states: dict[str, Any] = {}
        if resume is not None:
            states, self._done = pickle.loads(resume)  # noqa: S301 - our own state
        for sink in sinks:
            # A sink that the run didn't have before begins afresh.
            sink.open_part(part, states.get(sink.name))
        for message in self._done:
            tell(message)

    def write_batch(self, values: list[Outgoing]) -> None:
        """Hand rows to the sinks; they block only when they are full."""
        self._write_controls()
        for value in values:
            if isinstance(value, ScoreRows):
                for table in (TRIGGERS, SCORES, PREDICTIONS, OUTCOMES, MODEL_QUALITY):
                    self._write(table, value.of(table))
                continue
            if isinstance(value, Letters):
                self._write(LATE_EVENTS, value.late)
                self._write(DEAD_LETTERS, value.dead)
            else:
                self._write(EVENTS, value.events)
                self._write(SESSIONS, value.sessions)
                self._write(MATCHES, value.matches)
                self._write(TRIGGERS, value.triggers)
            if value.done is not None:
                self._done.append(value.done)
                self._tell(value.done)

    def _write_controls(self) -> None:
        """Write the control records that are new to this process; the same rows again change nothing."""
        records = () if self._in_force is None else self._in_force.now.records
        if len(records) > self._records_told:
            self._write(CONTROLS, control_rows(records[self._records_told :]))
            self._records_told = len(records)

    def _write(self, table: Table, frame: pl.DataFrame | None) -> None:
        if frame is not None and frame.height and self._sinks:
            names = _NAMES[table.name]
            rows = frame if frame.columns == names else frame.select(names)
            for sink in self._sinks:
                sink.write(self._part, table, rows)

    def snapshot(self) -> bytes:
        """Make all durable."""
        states = {sink.name: sink.flush(self._part) for sink in self._sinks}
        return pickle.dumps((states, self._done), protocol=5)


class AnswerOutput(FixedPartitionedSink[Outgoing, bytes]):
    """The sink of the dataflow; its sinks belong to this process and are shared by its parts."""

    def __init__(
        self,
        shard_names: tuple[str, ...],
        sinks: Sequence[Sink],
        tell: Tell,
        in_force: PlanInForce | None = None,
    ) -> None:
        """Make it; with `in_force`, the first shard's part writes the control records, too."""
        self._in_force = in_force
        self._numbers = {name: number for number, name in enumerate(shard_names)}
        self._sinks = sinks
        self._tell = tell

    def list_parts(self) -> list[str]:
        """One part a shard, on every worker; Bytewax spreads them as it spreads the shards."""
        return list(self._numbers)

    def part_fn(self, item_key: str) -> int:
        """The part of a shard's name."""
        return self._numbers[item_key]

    def build_part(self, _step_id: str, for_part: str, resume_state: bytes | None) -> OutputPart:
        """Open a part, afresh or as the last snapshot left it."""
        in_force = None if self._numbers[for_part] else self._in_force
        return OutputPart(for_part, resume_state, self._sinks, self._tell, in_force)
