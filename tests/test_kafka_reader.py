"""Reading partitions live, from a real broker that comes and goes."""

import ctypes
import logging
import pickle
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import KafkaError
from kafka_broker import PASSWORD, USER, KafkaBroker, KafkaCluster
from kafka_fixtures import NewTopic
from kafka_topics import offsets_of, poll_until, produce, read_live, values_of

from footfall import kafka_reader
from footfall.errors import SourceError
from footfall.kafka_client import KafkaClient
from footfall.kafka_end import now_ms
from footfall.kafka_metadata import TopicCheck
from footfall.kafka_reader import KafkaReader
from footfall.kafka_source import KafkaOptions, KafkaSource


@contextmanager
def _reader(
    kafka: KafkaCluster, topic: str, position: Any = None, *, live: bool = True, **options: Any
) -> Iterator[KafkaReader]:
    client = KafkaClient(kafka.bootstrap)
    source = KafkaSource(client, [topic], live=live, options=KafkaOptions(**options))
    reader = source.open(f"{topic}/0000", position)
    try:
        yield reader
    finally:
        reader.close()


# --- records
# -------------------------------------------------------------------------------------------------


def test_nothing_at_hand_is_none_and_what_comes_later_is_read(
    kafka: KafkaBroker, new_topic: NewTopic
) -> None:
    topic = new_topic()
    with _reader(kafka, topic) as reader:
        poll_until(reader, lambda: reader.lag() == 0)
        before = now_ms()
        produce(kafka.bootstrap, topic, [b"a", b"b"])
        (block,) = read_live(reader, 2)
        assert values_of([block]) == [b"a", b"b"]
        assert block.arrivals is not None
        assert before <= block.arrivals[0] <= block.arrivals[1] <= now_ms()
        assert reader.progress() == (2, None)
        assert reader.position()[:2] == (2, 2)


def test_it_resumes_from_every_position(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    values = [b"%d" % number for number in range(40)]
    produce(kafka.bootstrap, topic, values)
    with _reader(kafka, topic) as reader:
        seen = 0
        while seen < len(values):
            block = reader.read(7)
            if block is None:
                continue
            seen += block.count
            if seen % 3 == 0 and seen < len(values):
                with _reader(kafka, topic, reader.position()) as again:
                    assert values_of(read_live(again, len(values) - seen)) == values[seen:]
    assert seen == len(values)


def test_it_never_waits(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    with _reader(kafka, new_topic()) as reader:
        poll_until(reader, lambda: reader.read_until() is not None)
        slowest = 0.0
        until = time.monotonic() + 1.5  # it asks for the end twice meanwhile
        while time.monotonic() < until:
            began = time.thread_time()
            assert reader.read(1_000) is None
            slowest = max(slowest, time.thread_time() - began)
        assert slowest < 0.05


def test_lag_is_what_is_behind_the_position(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"a"] * 20)
    with _reader(kafka, topic) as reader:
        while (block := reader.read(5)) is None:
            pass
        assert (block.count, reader.lag()) == (5, 15)
        read_live(reader, 15)
        assert reader.lag() == 0


@pytest.mark.parametrize("start", ["latest", "time"])
def test_it_starts_late(kafka: KafkaBroker, new_topic: NewTopic, start: str) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"a", b"b"])
    time.sleep(0.01)
    with _reader(kafka, topic, start=now_ms() if start == "time" else start) as reader:
        produce(kafka.bootstrap, topic, [b"c"])
        assert values_of(read_live(reader, 1)) == [b"c"]


def test_control_records_are_no_lag(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    with _reader(kafka, topic) as reader, _transactions(kafka, topic) as producer:
        producer.begin_transaction()
        producer.produce(topic, b"a")
        producer.commit_transaction()
        assert values_of(read_live(reader, 1)) == [b"a"]
        poll_until(reader, lambda: reader.lag() == 0)
        assert reader.position()[0] == 2


@contextmanager
def _transactions(kafka: KafkaBroker, topic: str) -> Iterator[Producer]:
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": f"t-{topic}", "log_level": 0}
    )
    producer.init_transactions()
    yield producer


# --- the end
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_no_record_arrives_before_what_was_promised(
    kafka: KafkaBroker, new_topic: NewTopic, seed: int
) -> None:
    """Reading and producing go on in turns of random length; nothing is taken off the promises for safety."""
    random = Random(seed)
    topic = new_topic()
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0, "log_level": 0})
    promised = sent = got = 0
    promises: set[int] = set()
    with _reader(kafka, topic, margin_ms=0) as reader:
        until = time.monotonic() + 4
        while time.monotonic() < until or got < sent:
            if time.monotonic() < until and random.random() < 0.1:
                for _ in range(random.randint(1, 20)):
                    producer.produce(topic, b"x")
                    sent += 1
                producer.poll(0)
                if random.random() < 0.5:
                    producer.flush()
            for _ in range(random.randint(1, 30)):
                block = reader.read(random.randint(1, 10))
                if block is not None:
                    got += block.count
                    assert block.arrivals is not None
                    assert int(block.arrivals.min()) >= promised
                found = reader.read_until()
                if found is not None:
                    assert found <= now_ms()
                    promised = max(promised, found)
                    promises.add(found)
                time.sleep(random.choice([0, 0.001, 0.03]))
            assert time.monotonic() < until + 20
    assert got == sent > 0
    assert len(promises) > 2


def test_a_quiet_partition_promises_ever_later_times(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    with _reader(kafka, new_topic()) as reader:
        poll_until(reader, lambda: reader.read_until() is not None)
        first = reader.read_until()
        assert first is not None
        assert now_ms() - 10_000 < first < now_ms() - 1_000
        poll_until(reader, lambda: (reader.read_until() or 0) >= first + 1_500, seconds=15)
        assert reader.position()[0] == 0


def test_an_open_transaction_holds_the_promise_back(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    with _reader(kafka, topic, margin_ms=0) as reader, _transactions(kafka, topic) as producer:
        poll_until(reader, lambda: reader.read_until() is not None)
        producer.begin_transaction()
        producer.produce(topic, b"open")
        producer.flush()
        poll_until(reader, lambda: reader.read_until() is None)
        opened = now_ms()
        until = time.monotonic() + 1.5
        poll_until(reader, lambda: time.monotonic() > until)
        assert reader.read_until() is None
        assert reader.lag() == 1
        producer.commit_transaction()
        (block,) = read_live(reader, 1)
        assert block.arrivals is not None
        assert block.arrivals[0] <= opened
        poll_until(reader, lambda: (reader.read_until() or 0) > opened)


def test_after_records_with_an_arrival_of_their_own_nothing_is_promised(
    kafka: KafkaBroker, new_topic: NewTopic
) -> None:
    topic = new_topic()
    with _reader(kafka, topic) as reader:
        poll_until(reader, lambda: reader.read_until() is not None)
        produce(kafka.bootstrap, topic, [b"a"])
        read_live(reader, 1)
        reader.note_dating(own=True)
        until = time.monotonic() + 1.5
        poll_until(reader, lambda: time.monotonic() > until)
        assert reader.read_until() is None
        position = reader.position()
    with _reader(kafka, topic, position) as again:
        until = time.monotonic() + 1.5
        poll_until(again, lambda: time.monotonic() > until)
        assert again.read_until() is None
        produce(kafka.bootstrap, topic, [b"dated by the broker"])
        read_live(again, 1)
        again.note_dating(own=False)
        poll_until(again, lambda: again.read_until() is not None)


def test_the_brokers_time_alone_counts_where_it_is_asked_for(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    with _reader(kafka, topic, own_arrivals=False) as reader:
        before = now_ms()
        produce(kafka.bootstrap, topic, [b"a"], headers=[("arrival_time", b"1700000000000")])
        (block,) = read_live(reader, 1)
        assert block.arrivals is not None
        assert block.arrivals[0] >= before - 1_000
        assert not block.own_arrivals
        reader.note_dating(own=False)
        poll_until(reader, lambda: reader.read_until() is not None)


def _send_as_other_languages_can(
    bootstrap: str, topic: str, records: list[tuple[bytes, bytes, bytes]]
) -> None:
    """Records (value, and a header's name and value) by librdkafka itself: the client for Python takes text alone."""
    folder = Path(confluent_kafka.__file__).resolve().parent.parent / "confluent_kafka.libs"
    found = sorted(folder.glob("librdkafka*.so*"))
    if not found:
        pytest.skip(f"no librdkafka in {folder.name}, where the client's wheel for Linux has it")
    library = ctypes.CDLL(str(found[0]))
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = ctypes.c_void_p
    said = ctypes.create_string_buffer(512)
    config = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(config, b"bootstrap.servers", bootstrap.encode(), said, 512)
    producer = ctypes.c_void_p(library.rd_kafka_new(0, config, said, 512))
    assert producer.value, said.value
    topic_tag, value_tag, header_tag, end_tag = map(ctypes.c_int, (1, 4, 9, 0))
    for value, name, text in records:
        failed = library.rd_kafka_producev(
            *(producer, topic_tag, ctypes.c_char_p(topic.encode())),
            *(value_tag, ctypes.c_char_p(value), ctypes.c_size_t(len(value))),
            *(header_tag, ctypes.c_char_p(name), ctypes.c_char_p(text), ctypes.c_ssize_t(len(text))),
            end_tag,
        )
        assert not failed
    assert library.rd_kafka_flush(producer, 30_000) == 0
    library.rd_kafka_destroy(producer)


def test_a_header_whose_name_isnt_utf_8_stops_nobody(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    records = [
        (b"a", b"format", b"segment"),
        (b"b", b"\xff\xfe", b"x"),
        (b"c", b"format", b"segment"),
        (b"d", b"\xff\xfe", b"x"),
    ]
    _send_as_other_languages_can(kafka.bootstrap, topic, records)
    with _reader(kafka, topic) as reader:
        # In small steps, so that what is held is looked at more than once.
        blocks = read_live(reader, 4)
    assert values_of(blocks) == [b"a", b"b", b"c", b"d"]
    assert [block.format for block in blocks] == ["segment", None, "segment", None]


# --- a broker that is away
# -------------------------------------------------------------------------------------------------


def test_a_broker_that_is_killed_and_comes_back_is_said_once(
    kafka: KafkaBroker, new_topic: NewTopic, caplog: pytest.LogCaptureFixture
) -> None:
    topic = new_topic()
    with _reader(kafka, topic) as reader:
        produce(kafka.bootstrap, topic, [b"a"])
        assert values_of(read_live(reader, 1)) == [b"a"]
        with caplog.at_level(logging.INFO):
            kafka.kill()
            poll_until(reader, lambda: "no broker" in caplog.text)
            promised = reader.read_until()
            until = time.monotonic() + 2.0
            poll_until(reader, lambda: time.monotonic() > until)
            assert (reader.read_until() or 0) <= now_ms() - 2_000 or promised is None
            kafka.restart()
            produce(kafka.bootstrap, topic, [b"b"])
            blocks = read_live(reader, 1, seconds=40)
        assert values_of(blocks)[0] == b"b"
        assert offsets_of(blocks)[0] == 1
        said = [record.message for record in caplog.records]
        assert len(said) == 2, said
        assert "no broker of 127.0.0.1" in said[0]
        assert "answers again" in said[1]
        poll_until(reader, lambda: reader.read_until() is not None)


def test_a_bounded_reader_runs_out_of_patience(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"a"] * 3)
    with _reader(kafka, topic, live=False, patience=1.5) as reader:
        kafka.kill()
        try:
            with pytest.raises(SourceError, match=r"nothing came for 1\.5 s: .*refused"):
                reader.read(10)
        finally:
            kafka.restart()


def test_a_leader_that_is_killed_hands_over(kafka_cluster: KafkaCluster) -> None:
    topic = kafka_cluster.new_topic(config={"min.insync.replicas": "2"})
    values = [b"%d" % number for number in range(300)]
    with _reader(kafka_cluster, topic) as reader:
        produce(kafka_cluster.bootstrap, topic, values[:100], safe=True)
        blocks = read_live(reader, 50)
        leader = kafka_cluster.admin.list_topics(topic, timeout=10).topics[topic].partitions[0].leader
        kafka_cluster.kill(leader)
        try:
            produce(kafka_cluster.bootstrap, topic, values[100:], safe=True)
            blocks += read_live(reader, 300 - sum(block.count for block in blocks), seconds=60)
        finally:
            kafka_cluster.restart(leader)
        assert values_of(blocks) == values
        assert offsets_of(blocks) == list(range(300))


# --- what can't be mended by waiting
# -------------------------------------------------------------------------------------------------


def test_a_topic_that_is_deleted_ends_the_reading(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"a"])
    with _reader(kafka, topic) as reader:
        read_live(reader, 1)
        kafka.delete_topic(topic)
        with pytest.raises(SourceError, match=rf"{topic}/0000: .*(gone|deleted)"):
            poll_until(reader, lambda: False, seconds=45)


def test_a_topic_that_was_created_anew_isnt_read_on_although_it_is_as_long(
    kafka: KafkaBroker, new_topic: NewTopic
) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"old"] * 20)
    source = KafkaSource(KafkaClient(kafka.bootstrap), [topic], live=True)
    with closing(source.open(f"{topic}/0000", None)) as reader:
        read_live(reader, 20)
        position = reader.position()
    kafka.delete_topic(topic)
    kafka.new_topic(name=topic)
    produce(kafka.bootstrap, topic, [b"new"] * 30)
    # As a worker that is started again by the same parent.
    with (
        closing(source.open(f"{topic}/0000", position)) as reader,
        pytest.raises(SourceError, match=rf"{topic}/0000: the topic was deleted or created anew.*new state"),
    ):
        _read_for(reader, 15)


def _read_for(reader: KafkaReader, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        reader.read(1_000)
        time.sleep(0.005)


def test_a_topic_that_stays_is_asked_for_now_and_then_and_read_on(
    kafka: KafkaBroker, new_topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "_SURE_SECONDS", 0.1)
    topic = new_topic()
    source = KafkaSource(KafkaClient(kafka.bootstrap), [topic], live=True)
    with closing(source.open(f"{topic}/0000", None)) as reader:
        for number in range(5):
            produce(kafka.bootstrap, topic, [b"%d" % number])
            (block,) = read_live(reader, 1)
            assert values_of([block]) == [b"%d" % number]
            before = source._checks[topic].answer()[0]
            poll_until(reader, partial(_answered_since, source._checks[topic], before))
    again: KafkaSource = pickle.loads(pickle.dumps(source))
    assert again._checks[topic].answer() == (0, None)


def _answered_since(check: TopicCheck, answers: int) -> bool:
    return check.answer()[0] > answers


def _sasl_client(kafka: KafkaBroker, folder: Path) -> KafkaClient:
    path = folder / "client.properties"
    path.write_text(
        f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username={USER}\nsasl.password={PASSWORD}\n"
    )
    return KafkaClient(kafka.sasl_bootstrap, path)


@contextmanager
def _denied(kafka: KafkaBroker, kind: str, name: str, operation: str) -> Iterator[None]:
    from confluent_kafka.admin import (  # type: ignore[attr-defined] # its own examples import them so
        AclBinding,
        AclBindingFilter,
        AclOperation,
        AclPermissionType,
        ResourcePatternType,
        ResourceType,
    )

    what = (
        ResourceType[kind],
        name,
        ResourcePatternType.LITERAL,
        f"User:{USER}",
        "*",
        AclOperation[operation],
        AclPermissionType.DENY,
    )
    for future in kafka.admin.create_acls([AclBinding(*what)]).values():
        future.result(timeout=30)
    try:
        yield
    finally:
        for future in kafka.admin.delete_acls([AclBindingFilter(*what)]).values():
            future.result(timeout=30)


def test_a_topic_that_may_not_be_read_ends_the_reading(
    kafka: KafkaBroker, new_topic: NewTopic, tmp_path: Path
) -> None:
    topic = new_topic()
    source = KafkaSource(_sasl_client(kafka, tmp_path), [topic], live=True)
    with _denied(kafka, "TOPIC", topic, "READ"):
        reader = source.open(f"{topic}/0000", None)
        with pytest.raises(SourceError, match=r"TOPIC_AUTHORIZATION_FAILED.*ACL on the topic"):
            poll_until(reader, lambda: False)
        reader.close()


def test_no_right_on_a_group_is_needed(kafka: KafkaBroker, new_topic: NewTopic, tmp_path: Path) -> None:
    topic = new_topic()
    source = KafkaSource(_sasl_client(kafka, tmp_path), [topic], live=True)
    with _denied(kafka, "GROUP", "footfall", "ALL"):
        reader = source.open(f"{topic}/0000", None)
        until = time.monotonic() + 1.5
        poll_until(reader, lambda: time.monotonic() > until)
        produce(kafka.bootstrap, topic, [b"a"])
        assert values_of(read_live(reader, 1)) == [b"a"]
        reader.close()


def test_a_client_that_is_let_in_no_more_fails_after_its_patience(
    kafka: KafkaBroker, new_topic: NewTopic
) -> None:
    with _reader(kafka, new_topic(), patience=0.3) as reader:
        poll_until(reader, lambda: reader.read_until() is not None)
        # As librdkafka tells it, again and again, when a password was changed.
        reader._note_trouble(KafkaError(KafkaError._AUTHENTICATION, "Authentication failed"))
        poll_until(reader, lambda: reader._refused_since is None)  # it is let in after all: it goes on

        def locked_out() -> bool:
            reader._note_trouble(KafkaError(KafkaError._AUTHENTICATION, "Authentication failed"))
            reader._edge.asking = True  # no answer comes
            return False

        with pytest.raises(SourceError, match=r"doesn't let this client in: .*_AUTHENTICATION.*sasl"):
            poll_until(reader, locked_out)


def test_a_closed_reader_reads_no_more(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    with _reader(kafka, new_topic()) as reader:
        with pytest.raises(ValueError, match="at least 1"):
            reader.read(0)
        reader.close()
        with pytest.raises(ValueError, match="closed"):
            reader.read(1)
        assert reader.lag() is None
