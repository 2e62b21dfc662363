"""Records that a store gives back: they were decoded once, and are as they then were but for what a run decides."""

from dataclasses import dataclass, field

import polars as pl

from footfall.envelope import SCHEMA
from footfall.event_names import EventNames
from footfall.formats import ALWAYS, Decoded
from footfall.records import RecordBlock
from footfall.tables import DEAD_LETTERS
from footfall.unknown_format import UnknownFormat

STORED = "stored"
"""What blocks of such records say of their format. No record of a topic can be in it, whatever its header says."""


@dataclass(frozen=True, slots=True)
class StoredBlock(RecordBlock):
    """Records as rows; there are no bytes of them.

    Attributes:
        events: rows of the table of events.
        dead: rows of the table of dead letters.
    """

    events: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SCHEMA))
    dead: pl.DataFrame = field(default_factory=DEAD_LETTERS.empty)


class StoredRecords:
    """Takes a partition's stored records for what they were before a run decided anything of them.

    An event's time is again the one that was sent, no event is late or capped, and names go through the table of
    event names anew. A dead letter stays one, whatever its format may read now.

    Args:
        names: what event names become.
        columns: the wanted columns of the envelope.
    """

    def __init__(self, names: EventNames, columns: frozenset[str]) -> None:
        self._names = names
        self._columns = columns | ALWAYS
        self._known: dict[str, str] = {}

    def decode(self, block: RecordBlock) -> Decoded:
        """The events and dead letters of a block."""
        if not isinstance(block, StoredBlock):
            return UnknownFormat(STORED, self._columns).decode(block)
        events = block.events
        for name in events["event_original"].unique().to_list():
            if name not in self._known:
                self._known[name] = self._names.normalise(name)
        events = events.with_columns(
            pl.col("event_original").replace(self._known).alias("event"),
            pl.col("event_time_sent").alias("event_time"),
            pl.lit(False).alias("late"),
            pl.lit(False).alias("clock_capped"),
        )
        wanted = [name for name in SCHEMA if name in self._columns and name != "source_partition"]
        return Decoded(events.select(wanted), block.dead, block.count)
