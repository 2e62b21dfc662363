"""Loads the compiled loops before a run's clock starts, by sending two records through all of them.

Numba compiles a function, or reads it from its cache, when it is first called: a second in all where the cache is
warm. Without this, a live run's first batch would wait for it.
"""

from footfall.clock import ClockSettings, PartitionClock
from footfall.event_batch import split_by_shard
from footfall.input import InputSettings
from footfall.records import RecordBlock
from footfall.shard import Shard, ShardSettings

_RECORDS = (
    b'{"message_id":"a","visitor_id":"v","event":"page_view","event_time":1000,"path":"/"}\n'
    b'{"message_id":"b","visitor_id":"v","event":"click","event_time":2000,"element":"#a","value":1}\n'
)


def warm_up(inputs: InputSettings, shards: ShardSettings) -> None:
    """Send two records through decoding, the clock, and shards that are thrown away."""
    formatted = inputs.new_format(frozenset(inputs.decoded_columns))
    block = RecordBlock("warm-up", 0, 2, _RECORDS, "warm-up", 1)
    clock = PartitionClock(ClockSettings())
    decoded = formatted.decode(block).events.select(inputs.decoded_columns)
    events = clock.take(decoded, ended=False)
    shard = Shard("warm-up", shards)
    for ended in (False, True):
        rows = events if not ended else clock.take(events.clear(), ended=True)
        if shards.event_columns:
            rows = rows.with_columns(source_partition=None).cast({"source_partition": str})
        for batch in split_by_shard(
            rows, inputs.plan, list(inputs.row_columns), 0, 2, watermark=clock.watermark, ended=ended
        ):
            batch.ended = ended
            shard.take([batch])
