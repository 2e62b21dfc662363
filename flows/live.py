"""The main dataflow on Kafka, for those who start the processes of a cluster themselves.

    python -m bytewax.run flows.live:flow -i 0 -a "host0:2101;host1:2101" -r STATE/recovery

`footfall live` runs the same flow, and looks after its processes.
"""

from bytewax.dataflow import Dataflow

from footfall.cluster_member import member_parts
from footfall.content import load_flow
from footfall.dataflow import FlowParts


def build(parts: FlowParts) -> Dataflow:
    """Connect the parts of one process: the main dataflow, as it is."""
    built = load_flow("journeys")(parts)
    assert isinstance(built, Dataflow)  # noqa: S101 - what `load_flow` can't know
    return built


def flow() -> Dataflow:
    """The dataflow by the settings of `footfall.toml` and FOOTFALL_*; bytewax.run calls it."""
    return build(member_parts())
