"""What stands in a topic, for the tests that look at what was sent."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

READ_SECONDS = 30.0


class Sent(NamedTuple):
    """A message as a consumer gets it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes


def topic_ends(bootstrap: str, topic: str) -> dict[int, int]:
    """The offset after the last message of each partition."""
    consumer = _consumer(bootstrap)
    try:
        return _ends(consumer, topic)
    finally:
        consumer.close()


def read_topic(bootstrap: str, topic: str, since: Mapping[int, int] | None = None) -> list[Sent]:
    """All that stands in a topic now, from its beginning or from the offsets in `since`, partition by partition."""
    consumer = _consumer(bootstrap)
    found: list[Sent] = []
    try:
        ends = _ends(consumer, topic)
        starts = {number: (since or {}).get(number, 0) for number in ends}
        open_ends = {number for number, end in ends.items() if starts[number] < end}
        consumer.assign([TopicPartition(topic, number, starts[number]) for number in sorted(open_ends)])
        until = time.monotonic() + READ_SECONDS
        while open_ends:
            if time.monotonic() > until:
                raise RuntimeError(f"topic {topic} can't be read to its end within {READ_SECONDS:g} s")
            for message in consumer.consume(1000, 0.2):
                number, offset, error = message.partition(), message.offset(), message.error()
                if error is not None or number is None or offset is None:
                    continue
                if offset < ends[number]:
                    found.append(Sent(number, offset, message.key(), message.value() or b""))
                if offset >= ends[number] - 1:
                    open_ends.discard(number)
    finally:
        consumer.close()
    return sorted(found)


def _consumer(bootstrap: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tests",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )


def _ends(consumer: Consumer, topic: str) -> dict[int, int]:
    until = time.monotonic() + READ_SECONDS
    while True:
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
                for number in partitions
            }
        except KafkaException:  # a broker on a busy machine may lose the lead of its partitions for a moment
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
