"""Messages of a live run's workers, given or at random, and a clock that stands still: to test what watches it."""

import io
from typing import Any

from hypothesis import strategies as st

from footfall.run_messages import Message, PartitionDone, Progress, ShardStatus, SinkStatus, WorkerStarted

WALL = 1_750_000_000.0


class Clock:
    """A clock that a test moves: `wall` and `monotonic` in seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL + self.now

    def ms(self, ago: float = 0.0) -> int:
        return int((self.wall() - ago) * 1000)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress(partition: str = "events-0", records: int = 0, **more: Any) -> Progress:
    return Progress(partition, records, records * 100, None, None, **{"lag": 0, "watermark": 0, **more})


def shard_status(shard: str = "a", **more: Any) -> ShardStatus:
    values: dict[str, Any] = {
        "settled": None,
        "events": 0,
        "duplicates": 0,
        "sessions": 0,
        "matches": {},
        "early": 0,
        "retracted": 0,
        "dropped_partials": 0,
        "timed_out": 0,
        "waiting": 0,
        "visitors": 0,
        "partials": 0,
        "state_bytes": 0,
        "snapshot_seconds": 0.0,
        "triggers": {},
        "digest": (0, 0),
    }
    return ShardStatus(shard, **(values | more))


def sink_status(rows: dict[str, int], sink: str = "clickhouse", worker: int = 0, **more: Any) -> SinkStatus:
    values: dict[str, Any] = {"waiting_rows": 0, "waiting_bytes": 0, "oldest_seconds": 0.0, "errors": 0}
    return SinkStatus(worker, sink, rows, **(values | more))


_small = st.integers(0, 50)
_by_name = st.dictionaries(st.sampled_from(["x", "y"]), _small)
any_message: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        progress,
        st.sampled_from(["p0", "p1"]),
        _small,
        lag=st.none() | _small,
        watermark=st.none() | _small,
        late=_small,
        dead=_small,
        clock_capped=_small,
        dead_reasons=_by_name,
    ),
    st.builds(
        shard_status,
        st.sampled_from("ab"),
        events=_small,
        duplicates=_small,
        sessions=_small,
        matches=_by_name,
        early=_small,
        retracted=_small,
        dropped_partials=_small,
        timed_out=_small,
        triggers=st.dictionaries(st.sampled_from(["r"]), _by_name),
    ),
    st.builds(
        sink_status,
        _by_name,
        st.sampled_from(["clickhouse", "kafka"]),
        st.integers(0, 1),
        waiting_rows=_small,
        errors=_small,
    ),
    st.builds(PartitionDone, st.just("p0"), _small, _small, _small, _small, st.just((0, 0)), _by_name),
    st.builds(WorkerStarted, st.integers(0, 1), st.just(1.0)),
)
