"""The broker that the tests of Kafka stand on."""

import os
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka_broker import PASSWORD, USER, KafkaBroker, KafkaCluster
from kafka_fixtures import NewTopic


def _produce(bootstrap: str, topic: str, values: list[bytes], **more: object) -> None:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 5, "log_level": 0, **more}
    )
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0


def _values(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        found: list[bytes | None] = []
        for _ in range(60):
            found += [each.value() for each in consumer.consume(count - len(found), timeout=1.0)]
            if len(found) >= count:
                break
        return found
    finally:
        consumer.close()


def test_it_keeps_what_was_acknowledged_when_it_is_killed(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    _produce(kafka.bootstrap, topic, [b"a", b"b"])
    before = kafka.pid()
    kafka.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    kafka.restart()
    _produce(kafka.bootstrap, topic, [b"c"])
    assert _values(kafka.bootstrap, topic, 3) == [b"a", b"b", b"c"]


def test_its_second_listener_asks_for_a_password(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    sasl = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": USER}
    _produce(kafka.sasl_bootstrap, topic, [b"a"], **sasl, **{"sasl.password": PASSWORD})
    assert _values(kafka.bootstrap, topic, 1) == [b"a"]


def test_topics_get_more_partitions_and_go(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic(2)
    kafka.add_partitions(topic, 3)
    assert len(kafka.admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3
    kafka.delete_topic(topic)


def test_three_nodes_go_on_without_one(kafka_cluster: KafkaCluster) -> None:
    topic = kafka_cluster.new_topic()
    _produce(kafka_cluster.bootstrap, topic, [b"a"])
    leader = kafka_cluster.admin.list_topics(topic, timeout=10).topics[topic].partitions[0].leader
    kafka_cluster.kill(leader)
    try:
        _produce(kafka_cluster.bootstrap, topic, [b"b"])
        assert _values(kafka_cluster.bootstrap, topic, 2) == [b"a", b"b"]
    finally:
        kafka_cluster.restart(leader)


def test_a_class_path_is_copied_once(kafka: KafkaBroker) -> None:
    from kafka_broker import JARS, class_path

    folder = Path(class_path()).parent
    assert folder.parent == JARS
    assert any(jar.name.startswith("kafka_2.13-") for jar in folder.iterdir())
