"""Records into topics and out of them again, for the tests of Kafka."""

import time
from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import Producer

from footfall.records import RecordBlock, RecordReader


def produce(
    bootstrap: str,
    topic: str,
    values: Iterable[bytes | None],
    *,
    partition: int = 0,
    key: Callable[[int], bytes] | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
    timestamp: int = 0,
    safe: bool = False,
) -> None:
    """Produce to one partition and wait until all is acknowledged; unless `safe`, an outage may bring records twice."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "log_level": 0, "linger.ms": 2, "enable.idempotence": safe}
    )
    for number, value in enumerate(values):
        producer.produce(
            topic,
            value,
            key=None if key is None else key(number),
            partition=partition,
            headers=list(headers),
            timestamp=timestamp,
        )
    assert producer.flush(30) == 0


def values_of(blocks: Iterable[RecordBlock]) -> list[bytes]:
    """The blocks' records."""
    return [value for block in blocks for value in block.data.split(b"\n")[:-1]]


def offsets_of(blocks: Iterable[RecordBlock]) -> list[int]:
    """The blocks' offsets."""
    return [int(offset) for block in blocks for offset in block.offsets_of_records()]


def read_all(reader: RecordReader, size: int = 1_000) -> list[RecordBlock]:
    """A bounded reader's blocks, to its end; the reader is closed."""
    blocks = []
    while block := reader.read(size):
        assert 1 <= block.count <= size
        blocks.append(block)
    reader.close()
    return blocks


def read_live(reader: RecordReader, count: int, seconds: float = 20.0) -> list[RecordBlock]:
    """A live reader's next blocks, until they hold that many records."""
    blocks: list[RecordBlock] = []
    found = 0
    until = time.monotonic() + seconds
    while found < count:
        assert time.monotonic() < until, f"{found} of {count} records after {seconds:g} s"
        block = reader.read(1_000)
        if block is None:
            time.sleep(0.002)
            continue
        blocks.append(block)
        found += block.count
    return blocks


def poll_until(reader: RecordReader, done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Read a live reader that has nothing to give until something is so."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, f"it isn't so after {seconds:g} s"
        assert reader.read(1_000) is None
        time.sleep(0.002)
