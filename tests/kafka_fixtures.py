"""Fixtures for tests with a real Kafka: they start one when it is first asked for, and end it with the session."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import pytest
from kafka_broker import KafkaBroker, KafkaCluster, missing


class NewTopic(Protocol):
    """Creates a topic of one's own and gives its name; see `KafkaCluster.new_topic`."""

    def __call__(
        self,
        partitions: int = 1,
        *,
        name: str | None = None,
        log_append_time: bool = True,
        config: Mapping[str, str] | None = None,
    ) -> str: ...


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker of one node, for all tests of this process: who kills it starts it again (`restart`)."""
    if lacking := missing():
        pytest.skip(lacking)
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three nodes, for the tests that move leaders: who kills one starts it again (`restart`)."""
    if lacking := missing():
        pytest.skip(lacking)
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka"), nodes=3)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def new_topic(kafka: KafkaBroker) -> NewTopic:
    """Makes topics on `kafka`, with LogAppendTime unless asked otherwise."""
    return kafka.new_topic
