"""What goes past the shards, straight to the sinks: late events, dead letters, and a partition's last word."""

from dataclasses import dataclass

import polars as pl

from footfall.run_messages import PartitionDone


@dataclass(slots=True)
class Letters:
    """Late events and dead letters of one read, as rows; None where there are none.

    `done` is the partition's last word.
    """

    late: pl.DataFrame | None = None
    dead: pl.DataFrame | None = None
    done: PartitionDone | None = None
