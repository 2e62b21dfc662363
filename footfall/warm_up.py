"""Loads the compiled loops before a run's clock starts, by sending two records through all of them.

Numba compiles a function, or reads it from its cache, when it is first called: a second in all where the cache is
warm. Without this, a live run's first batch would wait for it.
"""

from footfall.clock import ClockSettings, PartitionClock
from footfall.event_batch import split_by_shard
from footfall.input import InputSettings
from footfall.records import RecordBlock
from footfall.shard import Shard, ShardSettings

# Every format finds what it needs in these: without an event, a good part of the loops wouldn't be called.
_RECORDS = b"".join(
    b'{"message_id":"%b","messageId":"%b","visitor_id":"v","anonymousId":"v","type":"track","event":"click",'
    b'"event_time":"1970-01-01T00:00:0%bZ","timestamp":"1970-01-01T00:00:0%bZ","path":"/","element":"#a","value":1}\n'
    % (number, number, number, number)
    for number in (b"1", b"2")
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
