"""The real flow with patterns, rules and models, over records in memory."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from bytewax.testing import cluster_main, run_main
from engine_harness import CollectingSink, MemorySource, line_of
from reference import Record

from footfall.clock import NEVER
from footfall.content import load_flow
from footfall.control_record import ControlRecord
from footfall.dataflow import flow_parts, plan_in_force
from footfall.pattern import Pattern
from footfall.read_ahead import ReadAhead
from footfall.run_messages import Message
from footfall.scoring.score_model import ScoreModel
from footfall.settings import load_settings
from footfall.tables import MODEL_QUALITY, OUTCOMES, PREDICTIONS, SCORES, TRIGGERS, Table
from footfall.trigger_rule import TriggerRule

SCORED = (PREDICTIONS, SCORES, OUTCOMES, MODEL_QUALITY, TRIGGERS)


@dataclass(frozen=True)
class Content:
    """What a flow is to find, decide and score."""

    patterns: tuple[Pattern, ...]
    rules: tuple[TriggerRule, ...]
    models: tuple[ScoreModel, ...]


def run_scored(
    partitions: Sequence[Sequence[Record]], content: Content, *, workers: int = 1, **settings: object
) -> CollectingSink:
    """Run the flow to its end, with that many worker threads."""
    chosen = load_settings({"store": "none", **settings}, environment={})
    lines = {f"p{number}": [line_of(record) for record in each] for number, each in enumerate(partitions)}
    record = ControlRecord(0, None, content.patterns, content.rules, {}, 0)
    sink, messages = CollectingSink(), list[Message]()
    parts = flow_parts(
        chosen,
        MemorySource(lines),
        plan_in_force(chosen, (record,), models=content.models),
        [sink],
        tell=messages.append,
        stop=threading.Event(),
        ahead=ReadAhead.alone([NEVER] * len(lines), chosen.read_ahead),
    )
    flow = load_flow("journeys")(parts)
    if workers == 1:
        run_main(flow)
    else:
        cluster_main(flow, [], 0, worker_count_per_proc=workers)
    return sink


def rows_of(sink: CollectingSink, table: Table) -> pl.DataFrame:
    """A table's rows in the order of their keys; each key once."""
    rows = sink.rows(table)
    assert not rows.select(table.key).is_duplicated().any()
    return rows.sort(table.key)
