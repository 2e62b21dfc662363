"""What Kafka's refusals of messages mean, and the dead letter that stands for a refused message."""

import hashlib

import polars as pl
from confluent_kafka import KafkaError

from footfall.records import KEPT_BYTES
from footfall.tables import DEAD_LETTERS

REFUSED = "refused_by_kafka"

# ruff: noqa: SLF001 - the client library's names for errors of its own begin with an underscore, and are public
PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
LOGIN_FAULTS = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})
# What is wrong with the message or its topic, and stays so. Anything else may be a matter of the producer's state.
FOR_GOOD = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
    }
)
# May be said of a topic that is there, by a broker that has just come up.
NO_TOPIC = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
)


def refused_letter(topic: str, value: bytes, why: str) -> pl.DataFrame:
    """The dead letter of a message that a topic doesn't get; it holds the message's first bytes."""
    return pl.DataFrame(
        {
            "source_partition": topic,
            "source_offset": -1,
            "source": topic,
            "line": 0,
            "reason": REFUSED,
            "detail": why,
            "bytes": value[:KEPT_BYTES],
            "bytes_total": len(value),
            "digest": hashlib.blake2b(value, digest_size=16).hexdigest(),
        },
        schema=DEAD_LETTERS.schema,
    )
