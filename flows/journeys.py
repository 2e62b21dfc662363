"""The main dataflow: records in, sessions and matches out.

records -> decode, clock, split by shard -> shards (order, sessions, patterns) -> sinks
               |                                                                 ^
               +----------------- late events, dead letters ---------------------+
"""

from typing import cast

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from footfall.answer_output import Outgoing
from footfall.dataflow import FlowParts, is_letters
from footfall.event_batch import ShardBatch
from footfall.input import Letters


def build(parts: FlowParts) -> Dataflow:
    """Connect the parts of one worker."""
    flow = Dataflow("journeys")
    items = op.input("records", flow, parts.source)
    split = op.branch("letters", items, is_letters)
    letters = cast("KeyedStream[Letters]", split.trues)
    batches = cast("KeyedStream[ShardBatch]", split.falses)
    settled = op.stateful_batch("shards", batches, parts.new_shard)
    outgoing: KeyedStream[Outgoing] = op.merge("rows", settled, letters)
    op.output("answers", outgoing, parts.sink)
    return flow
