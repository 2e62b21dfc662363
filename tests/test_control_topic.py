"""The topic of control records, with a real broker."""

import threading
import time

import pytest
from control_records import control_record
from kafka_broker import KafkaBroker
from kafka_fixtures import NewTopic
from kafka_messages import read_topic
from kafka_topics import produce

from footfall.control_record import ControlRecord
from footfall.control_topic import ControlTopic
from footfall.errors import BrokerError, ControlError
from footfall.kafka_client import KafkaClient
from footfall.records import MAX_RECORD_BYTES

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def name(new_topic: NewTopic) -> str:
    """A compacted topic of the test's own."""
    return new_topic(1, log_append_time=False, config={"cleanup.policy": "compact"})


@pytest.fixture
def topic(kafka: KafkaBroker, name: str) -> ControlTopic:
    return ControlTopic(KafkaClient(kafka.bootstrap), name)


def test_what_is_written_is_read(topic: ControlTopic, kafka: KafkaBroker, name: str) -> None:
    assert topic.read_all() == []
    records = [control_record(number) for number in range(3)]
    for record in records:
        topic.write(record)
        assert topic.read_all()[-1] == record
    assert topic.read_all() == records
    sent = read_topic(kafka.bootstrap, name)
    assert [message.key for message in sent] == [b"00000000", b"00000001", b"00000002"]
    assert [ControlRecord.from_json(message.value) for message in sent] == records


def test_the_last_record_may_be_written_again(topic: ControlTopic) -> None:
    records = [control_record(number) for number in range(2)]
    for record in [*records, records[1], records[1]]:
        topic.write(record)
    assert topic.read_all() == records


def test_a_run_that_begins_anew_ends_what_stood(topic: ControlTopic) -> None:
    for number in range(3):
        topic.write(control_record(number))
    anew = control_record(0, times=40)
    topic.write(anew)
    assert topic.read_all() == [anew]


def test_messages_without_a_value_are_passed_over(topic: ControlTopic, kafka: KafkaBroker, name: str) -> None:
    topic.write(control_record(0))
    produce(kafka.bootstrap, name, [None], key=lambda _: b"00000007")
    assert topic.read_all() == [control_record(0)]


def test_a_record_that_cannot_be_read_is_named_by_its_offset(
    topic: ControlTopic, kafka: KafkaBroker, name: str
) -> None:
    topic.write(control_record(0))
    topic.write(control_record(1))
    produce(kafka.bootstrap, name, [b"{}"], key=lambda _: b"00000002")
    with pytest.raises(ControlError, match=f"topic {name} at .*, offset 2: its schema is None"):
        topic.read_all()


def test_a_record_larger_than_any_is_refused_on_both_ways(
    kafka: KafkaBroker, new_topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = new_topic(1, log_append_time=False, config={"max.message.bytes": "5000000"})
    topic = ControlTopic(KafkaClient(kafka.bootstrap), name)
    monkeypatch.setattr("footfall.control_topic.MAX_RECORD_BYTES", 100)
    with pytest.raises(ControlError, match="more than 100: take out patterns"):
        topic.write(control_record(0))
    monkeypatch.undo()
    assert topic.read_all() == []
    many = b'{"x": "' + b"x" * MAX_RECORD_BYTES + b'"}'
    topic._send(control_record(0), many, 20.0)
    with pytest.raises(ControlError, match=r"offset 0: it has 1,048,\d\d\d bytes"):
        topic.read_all()


def test_a_topic_that_is_not_there_reads_as_empty_and_takes_nothing(kafka: KafkaBroker) -> None:
    topic = ControlTopic(KafkaClient(kafka.bootstrap), "no-such-control")
    assert topic.read_all() == []
    with pytest.raises(BrokerError, match="`footfall topics apply`") as caught:
        topic.write(control_record(0))
    assert not caught.value.retriable
    assert topic.read_all() == []
    assert "no-such-control" not in kafka.admin.list_topics(timeout=10).topics


def test_a_topic_of_several_partitions_is_refused(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = ControlTopic(KafkaClient(kafka.bootstrap), new_topic(2))
    for attempt in (topic.read_all, lambda: topic.write(control_record(0))):
        with pytest.raises(ControlError, match="it has 2 partitions, and the order of its records counts"):
            attempt()


def test_without_a_broker_both_end_in_time() -> None:
    topic = ControlTopic(KafkaClient(NOWHERE), patience=1.0)
    for attempt in (topic.read_all, lambda: topic.write(control_record(0))):
        began = time.monotonic()
        with pytest.raises(BrokerError, match=NOWHERE) as caught:
            attempt()
        assert caught.value.retriable
        assert time.monotonic() - began < 10


def test_a_write_that_nobody_answers_ends_in_time(topic: ControlTopic, kafka: KafkaBroker) -> None:
    bounded = ControlTopic(KafkaClient(NOWHERE), patience=1.0)
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        bounded._send(control_record(0), b"{}", 1.0)
    assert caught.value.retriable
    assert time.monotonic() - began < 5


def test_what_the_topic_refuses_is_an_error(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    name = new_topic(1, log_append_time=False, config={"max.message.bytes": "200"})
    with pytest.raises(BrokerError, match="MSG_SIZE_TOO_LARGE") as caught:
        ControlTopic(KafkaClient(kafka.bootstrap), name).write(control_record(0))
    assert not caught.value.retriable


def test_an_open_transaction_holds_nothing_up(topic: ControlTopic, kafka: KafkaBroker, name: str) -> None:
    from confluent_kafka import Producer

    topic.write(control_record(0))
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": name, "log_level": 0})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(name, b"never committed", b"00000009", partition=0)
    producer.flush(20)
    try:
        assert topic.read_all() == [control_record(0)]
    finally:
        producer.abort_transaction(20)
    assert topic.read_all() == [control_record(0)]
    topic.write(control_record(1))
    assert topic.read_all() == [control_record(0), control_record(1)]


def test_reading_while_another_writes(topic: ControlTopic, kafka: KafkaBroker, name: str) -> None:
    topic.write(control_record(0))
    writer = ControlTopic(KafkaClient(kafka.bootstrap), name)

    def write_more() -> None:
        for number in range(1, 8):
            writer.write(control_record(number))

    thread = threading.Thread(target=write_more)
    thread.start()
    seen: list[int] = []
    until = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < until:
        found = topic.read_all()
        assert [record.number for record in found] == list(range(len(found)))
        seen.append(len(found))
    thread.join(30)
    assert seen == sorted(seen)
    assert len(topic.read_all()) == 8
