"""The main dataflow: records in, sessions and matches out.

records -> decode, clock, split by shard -> shards (order, sessions, patterns, features) -> sinks
               |                                              |                            ^
               |                                              +-> models (learn, score) ---+
               +--------------------- late events, dead letters ---------------------------+
"""

from typing import cast

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from footfall.answer_output import Outgoing
from footfall.dataflow import FlowParts, is_letters, scoring_of
from footfall.event_batch import ShardBatch
from footfall.letters import Letters


def build(parts: FlowParts) -> Dataflow:
    """Connect the parts of one worker."""
    flow = Dataflow("journeys")
    items = op.input("records", flow, parts.source)
    split = op.branch("letters", items, is_letters)
    letters = cast("KeyedStream[Letters]", split.trues)
    batches = cast("KeyedStream[ShardBatch]", split.falses)
    settled = op.stateful_batch("shards", batches, parts.new_shard)
    rows = [settled, letters]
    if parts.new_models is not None:
        scoring = op.filter_map("scoring", settled, scoring_of)
        scored = op.stateful_batch("models", scoring, parts.new_models)
        rows.append(op.map("scores", scored, lambda item: (parts.first_shard, item[1])))
    outgoing: KeyedStream[Outgoing] = op.merge("rows", *rows)
    op.output("answers", outgoing, parts.sink)
    return flow
