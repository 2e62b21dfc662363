"""The main dataflow: records in, sessions and matches out.

    records -> decode, clock, split by shard -> shards (order, sessions, patterns) -> sinks
                   |                                                                 ^
                   +----------------- late events, dead letters ---------------------+
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from footfall.dataflow import FlowParts, is_letters


def build(parts: FlowParts) -> Dataflow:
    """Connect the parts of one worker."""
    flow = Dataflow("journeys")
    items = op.input("records", flow, parts.source)
    split = op.branch("letters", items, is_letters)
    settled = op.stateful_batch("shards", split.falses, parts.new_shard)
    op.output("answers", op.merge("rows", settled, split.trues), parts.sink)
    return flow
