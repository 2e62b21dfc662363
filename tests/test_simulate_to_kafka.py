import json
import time
from dataclasses import replace
from datetime import datetime

import pytest
from confluent_kafka import Producer
from kafka_broker import KafkaBroker
from kafka_fixtures import NewTopic
from kafka_messages import Sent, read_topic

from footfall.errors import BrokerError, UsageError
from footfall.kafka_client import KafkaClient
from footfall.simulate_plan import Simulation
from footfall.simulate_play import Played
from footfall.simulate_records import RecordFormat
from footfall.simulate_to_kafka import Beginning, Watch, kafka_topic, simulate_to_kafka

MINUTE = 60_000
PLAN = Simulation(visitors=400, duration=5 * MINUTE, rate=5, seed=3, dirty=0.1)


class Noted(Watch):
    def __init__(self) -> None:
        self.began: list[Beginning] = []
        self.sent = 0
        self.words: list[str] = []

    def begin(self, beginning: Beginning) -> None:
        self.began.append(beginning)

    def note(self, played: Played, waiting: int) -> None:
        assert 0 <= waiting <= played.records
        self.sent = played.records

    def away(self, reason: str) -> None:
        self.words.append(reason)

    def back(self) -> None:
        self.words.append("back")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def arrivals(sent: list[Sent]) -> list[int | None]:
    told = [json.loads(each.value) for each in sent]
    found = [record.get("arrival_time") or record.get("receivedAt") for record in told]
    return [None if each is None else ms(each) for each in found]


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
    topic, noted = new_topic(partitions=3), Noted()
    plan = replace(PLAN, format=written, dirty=0.0)
    before = int(time.time() * 1000)
    summary = simulate_to_kafka(plan, KafkaClient(kafka.bootstrap), topic, speed=3000, watch=noted)
    sent = read_topic(kafka.bootstrap, topic)
    assert len(sent) == summary.records > 200
    assert summary.records == summary.events + summary.duplicates
    assert (summary.unacknowledged, summary.dirty) == (0, 0)
    told = [each for each in arrivals(sent) if each is not None]
    assert len(told) == len(sent)
    assert before <= summary.first_time <= min(told)
    assert max(told) == summary.last_time <= summary.first_time + 5 * MINUTE + 4_000
    partitions: dict[bytes, set[int]] = {}
    for each in sent:
        record = json.loads(each.value)
        visitor = record.get("visitor_id") or record["anonymousId"]
        assert each.key == visitor.encode()
        partitions.setdefault(each.key or b"", set()).add(each.partition)
    assert all(len(found) == 1 for found in partitions.values())
    assert len({each.partition for each in sent}) > 1
    assert len(partitions) == summary.visitors
    (began,) = noted.began
    assert (began.dated, began.partitions, began.speed, began.plan.start) == (
        True,
        3,
        3000,
        summary.first_time,
    )


@pytest.mark.parametrize("written", ["footfall", "segment"])
def test_a_broker_that_dates_records_is_left_to_it(
    kafka: KafkaBroker, new_topic: NewTopic, written: RecordFormat
) -> None:
    topic, noted = new_topic(partitions=2), Noted()
    plan = replace(PLAN, rate=60, visitors=10_000, dirty=0, clock_errors=0, format=written)
    client = KafkaClient(kafka.bootstrap)
    began = time.monotonic()
    summary = simulate_to_kafka(plan, client, topic, stopped=lambda: noted.sent >= 30, watch=noted)
    assert time.monotonic() - began < 20
    sent = read_topic(kafka.bootstrap, topic)
    assert len(sent) == summary.records >= 30
    assert set(arrivals(sent)) == {None}
    assert not noted.began[0].dated
    stamps = [
        record.get("event_time") or record["timestamp"]
        for record in (json.loads(each.value) for each in sent)
    ]
    assert all(summary.first_time <= ms(each) <= time.time() * 1000 for each in stamps)


def test_where_nobody_dates_them_records_tell_their_arrival(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic, noted = new_topic(log_append_time=False), Noted()
    plan = replace(PLAN, rate=60, visitors=10_000, dirty=0)
    simulate_to_kafka(
        plan, KafkaClient(kafka.bootstrap), topic, stopped=lambda: noted.sent >= 10, watch=noted
    )
    assert None not in arrivals(read_topic(kafka.bootstrap, topic))


@pytest.mark.parametrize("speed", [1.0, 600.0])
def test_times_go_on_where_the_topics_lie_ahead_of_the_clock(
    kafka: KafkaBroker, new_topic: NewTopic, speed: float
) -> None:
    topic, client = new_topic(partitions=3), KafkaClient(kafka.bootstrap)
    plan = replace(PLAN, duration=10 * MINUTE)
    first = simulate_to_kafka(plan, client, topic, speed=3000)
    latest = max(
        json_arrival
        for each in read_topic(kafka.bootstrap, topic)
        if (json_arrival := _arrival(each)) is not None
    )
    noted = Noted()
    again = simulate_to_kafka(
        replace(plan, seed=4, rate=20),
        client,
        topic,
        speed=speed,
        stopped=lambda: noted.sent >= 10,
        watch=noted,
    )
    assert first.last_time <= again.first_time
    assert latest < again.first_time <= latest + 2_000
    assert noted.began[0].dated
    assert noted.began[0].plan.start > noted.began[0].now


def _arrival(sent: Sent) -> int | None:
    try:
        return ms(json.loads(sent.value)["arrival_time"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def test_what_else_a_topic_holds_is_no_time(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic(partitions=2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for value in (b"", b"{", b'{"arrival_time":"yesterday"}', b'{"arrival_time":"2020-01-01T00:00:00Z"}'):
        producer.produce(topic, value, b"k")
    producer.flush(30)
    before = int(time.time() * 1000)
    summary = simulate_to_kafka(PLAN, KafkaClient(kafka.bootstrap), topic, speed=3000)
    assert before <= summary.first_time <= time.time() * 1000


def test_records_come_when_they_are_due(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    plan = Simulation(visitors=40, duration=2 * MINUTE, rate=20, seed=3, late=0)
    began = time.monotonic()
    simulate_to_kafka(plan, KafkaClient(kafka.bootstrap), new_topic(), speed=60)
    assert 1.5 <= time.monotonic() - began < 15


def test_malformed_records_come_too(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    summary = simulate_to_kafka(PLAN, KafkaClient(kafka.bootstrap), topic, speed=3000)
    assert summary.dirty > 10
    assert len(read_topic(kafka.bootstrap, topic)) == summary.records


def test_a_broker_that_is_away_for_a_while_is_told_and_nothing_is_lost(
    kafka: KafkaBroker, new_topic: NewTopic
) -> None:
    topic, noted = new_topic(partitions=2), Noted()
    went: list[float] = []

    def stopped() -> bool:
        """Kill the broker after some records, start it again two seconds later, and stop once all is well."""
        if noted.sent >= 20 and not went:
            kafka.kill()
            went.append(time.monotonic())
        if noted.words and len(went) == 1 and time.monotonic() - went[0] > 2:
            kafka.restart()
            went.append(time.monotonic())
        return noted.words[-1:] == ["back"]

    plan = replace(PLAN, rate=60, visitors=10_000)
    try:
        summary = simulate_to_kafka(plan, KafkaClient(kafka.bootstrap), topic, stopped=stopped, watch=noted)
    finally:
        if len(went) == 1:
            kafka.restart()
    assert len(noted.words) == 2
    assert "look whether the brokers run" in noted.words[0]
    kept = [each.value for each in read_topic(kafka.bootstrap, topic)]
    assert summary.records - summary.unacknowledged <= len(kept) <= summary.records


def test_a_topic_that_is_not_there_is_told(kafka: KafkaBroker) -> None:
    with pytest.raises(UsageError, match="footfall topics apply"):
        simulate_to_kafka(PLAN, KafkaClient(kafka.bootstrap), "nowhere")


def test_brokers_that_are_not_there_are_told() -> None:
    began = time.monotonic()
    with pytest.raises(BrokerError, match="look whether the brokers run"):
        simulate_to_kafka(
            PLAN, KafkaClient("127.0.0.1:1"), "events", stopped=lambda: time.monotonic() - began > 1
        )
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("speed", [0.0, -1.0, 0.5, float("nan"), float("inf")])
def test_a_speed_that_will_not_do_is_refused(speed: float) -> None:
    with pytest.raises(UsageError, match="won't do"):
        simulate_to_kafka(PLAN, KafkaClient("127.0.0.1:1"), "events", speed=speed)
