import json
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from kafka_broker import KafkaBroker
from kafka_fixtures import NewTopic
from kafka_messages import read_topic

from footfall.errors import BrokerError, UsageError
from footfall.kafka_client import KafkaClient
from footfall.simulate import Simulation
from footfall.simulate_records import RecordFormat
from footfall.simulate_to_kafka import kafka_topic, simulate_to_kafka

MINUTE = 60_000
PLAN = Simulation(visitors=40, duration=5 * MINUTE, rate=2, seed=3, dirty=0.1)


@pytest.mark.parametrize(
    ("output", "topic"), [("kafka://events", "events"), ("day.ndjson", None), ("kafka", None)]
)
def test_an_output_may_name_a_topic(output: str, topic: str | None) -> None:
    assert kafka_topic(output) == topic


@pytest.mark.parametrize("output", ["kafka://", "kafka://a/b", "kafka://..", "kafka://host:9092/events"])
def test_an_output_that_names_none_is_refused(output: str) -> None:
    with pytest.raises(UsageError, match="write kafka://TOPIC"):
        kafka_topic(output)


@pytest.mark.parametrize("written", ["footfall", "segment"])
def test_all_records_come_from_now_on_keyed_by_visitor(
    kafka: KafkaBroker, new_topic: NewTopic, written: RecordFormat
) -> None:
    topic = new_topic(partitions=3)
    plan = replace(PLAN, format=written, dirty=0.0)
    before = time.time()
    summary = simulate_to_kafka(plan, KafkaClient(kafka.bootstrap), topic, speed=3000)
    sent = read_topic(kafka.bootstrap, topic)
    assert len(sent) == summary.lines > 200
    assert (summary.records, summary.plants_file) == ((), Path())
    partitions: dict[bytes, set[int]] = {}
    for each in sent:
        record = json.loads(each.value)
        arrival = datetime.fromisoformat(record.get("arrival_time") or record["receivedAt"]).timestamp()
        assert before - 1 <= arrival <= before + 5 * 60 + 10 + 20 * 60
        visitor = record.get("visitor_id") or record["anonymousId"]
        assert each.key == visitor.encode()
        partitions.setdefault(each.key or b"", set()).add(each.partition)
    assert all(len(found) == 1 for found in partitions.values())
    assert len({each.partition for each in sent}) > 1


def test_records_come_when_they_are_due(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    plan = Simulation(visitors=40, duration=2 * MINUTE, rate=20, seed=3, late=0)
    began = time.monotonic()
    simulate_to_kafka(plan, KafkaClient(kafka.bootstrap), new_topic(), speed=60)
    assert 1.5 <= time.monotonic() - began < 15


def test_malformed_records_come_too(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    summary = simulate_to_kafka(PLAN, KafkaClient(kafka.bootstrap), topic, speed=3000)
    assert summary.dirty > 10
    assert len(read_topic(kafka.bootstrap, topic)) == summary.lines


def test_it_can_be_stopped(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic, stop = new_topic(), threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    began = time.monotonic()
    summary = simulate_to_kafka(PLAN, KafkaClient(kafka.bootstrap), topic, stop=stop)
    timer.join()
    assert time.monotonic() - began < 30
    assert len(read_topic(kafka.bootstrap, topic)) < summary.lines


def test_a_topic_that_is_not_there_is_told(kafka: KafkaBroker) -> None:
    with pytest.raises(BrokerError, match="footfall topics apply"):
        simulate_to_kafka(PLAN, KafkaClient(kafka.bootstrap), "nowhere")


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_will_not_do_is_refused(speed: float) -> None:
    with pytest.raises(UsageError, match="won't do"):
        simulate_to_kafka(PLAN, KafkaClient("127.0.0.1:1"), "events", speed=speed)
