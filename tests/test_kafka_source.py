"""Topics as a source: what there is, where it begins and ends, and stretches of it. The broker is a real one."""

import gc
import json
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from kafka_broker import PASSWORD, USER, KafkaBroker
from kafka_fixtures import NewTopic
from kafka_topics import offsets_of, produce, read_all, read_live, values_of

from footfall.errors import BrokerError, SourceError, UsageError
from footfall.kafka_client import KafkaClient
from footfall.kafka_end import now_ms
from footfall.kafka_metadata import KafkaMetadata
from footfall.kafka_source import KafkaOptions, KafkaSource


def _source(kafka: KafkaBroker, *topics: str, live: bool = False, **options: Any) -> KafkaSource:
    return KafkaSource(KafkaClient(kafka.bootstrap), topics, live=live, options=KafkaOptions(**options))


def _values(source: KafkaSource, partition: str, position: Any = None) -> list[bytes]:
    return values_of(read_all(source.open(partition, position)))


# --- what there is
# -------------------------------------------------------------------------------------------------


def test_partitions_are_in_the_order_of_their_numbers(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    one, many = new_topic(1), new_topic(12)
    source = _source(kafka, one, many)
    expected = [f"{one}/0000", *(f"{many}/{number:04}" for number in range(12))]
    assert source.partitions() == sorted(expected)
    assert pickle.loads(pickle.dumps(source)).partitions() == source.partitions()


def test_asking_again_and_again_leaves_no_client_behind(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    source = _source(kafka, new_topic(2), live=True)
    gc.collect()
    gc.disable()  # which comes by seldom where little is made: a client has threads and sockets
    try:
        before = _tasks()
        for _ in range(5):
            assert source.find_new_partitions() == []
            with pytest.raises(BrokerError):
                KafkaMetadata(KafkaClient("127.0.0.1:1"), 0.2).cluster_id()
        assert _tasks() <= before + 1
    finally:
        gc.enable()


def _tasks() -> int:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("no /proc/self/task, where Linux shows a process's threads")
    return len(list(tasks.iterdir()))


def test_added_partitions_come_behind_and_are_read_from_their_first_record(
    kafka: KafkaBroker, new_topic: NewTopic
) -> None:
    first, second = sorted([new_topic(1), new_topic(1)])
    before = _source(kafka, first, second, live=True, start="latest")
    assert before.find_new_partitions() == []
    kafka.add_partitions(first, 2)
    produce(kafka.bootstrap, first, [b"early"], partition=1)
    produce(kafka.bootstrap, first, [b"known"], partition=0)
    assert before.find_new_partitions() == [f"{first}/0001"]
    assert before.partitions() == [f"{first}/0000", f"{second}/0000"]
    after = _source(
        kafka, first, second, live=True, start="latest", known=before.partitions(), starts=before.starts
    )
    assert after.partitions() == [*before.partitions(), f"{first}/0001"]
    assert after.identity() == before.identity()
    for partition, value in ((f"{first}/0001", b"early"), (f"{first}/0000", b"known")):
        reader = after.open(partition, None)
        assert values_of(read_live(reader, 1)) == [value]
        reader.close()


def test_the_identity_tells_a_topic_that_was_created_anew(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    before = _source(kafka, topic, live=True).identity()
    assert before["cluster"] == kafka.cluster_id
    assert json.loads(json.dumps(before)) == before
    kafka.delete_topic(topic)
    _create_again(kafka, topic)
    assert _source(kafka, topic, live=True).identity() != before


def _create_again(kafka: KafkaBroker, topic: str, partitions: int = 1) -> None:
    until = time.monotonic() + 20
    while topic in kafka.admin.list_topics(timeout=10).topics and time.monotonic() < until:
        time.sleep(0.05)
    kafka.new_topic(partitions, name=topic)


def test_what_is_wrong_with_the_topics_is_said(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    with pytest.raises(UsageError, match=r"no topic nowhere, void: .*footfall topics apply"):
        _source(kafka, topic, "void", "nowhere")
    with pytest.raises(UsageError, match="named twice"):
        _source(kafka, topic, topic)
    with pytest.raises(UsageError, match="no topic is named"):
        _source(kafka)
    with pytest.raises(UsageError, match="'soon' is none of"):
        _source(kafka, topic, start="soon")
    with pytest.raises(UsageError, match="has no end"):
        _source(kafka, topic, live=True, end=5)
    with pytest.raises(UsageError, match="topic other too"):
        _source(kafka, topic, known=["other/0000"])
    with pytest.raises(SourceError, match=rf"{topic}/0001: .* is gone"):
        _source(kafka, topic, known=[f"{topic}/0000", f"{topic}/0001"])


def test_a_cluster_that_is_away_is_an_error_that_names_it() -> None:
    client = KafkaClient("127.0.0.1:1")
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1.*refused.*look whether the brokers run") as raised:
        KafkaSource(client, ["events"], live=True, options=KafkaOptions(timeout=1))
    assert raised.value.retriable


# --- stretches
# -------------------------------------------------------------------------------------------------


def test_a_stretch_ends_where_the_topic_ended_when_it_was_made(
    kafka: KafkaBroker, new_topic: NewTopic
) -> None:
    topic = new_topic(2)
    produce(kafka.bootstrap, topic, [b"a", b"b"])
    source = _source(kafka, topic)
    produce(kafka.bootstrap, topic, [b"c"])
    assert not source.live
    assert not source.releases
    assert _values(source, f"{topic}/0000") == [b"a", b"b"]
    assert _values(source, f"{topic}/0001") == []
    again = _source(kafka, topic, starts=source.starts, ends=source.ends)
    assert again.identity() == source.identity()
    assert _source(kafka, topic).identity() != source.identity()
    assert _values(_source(kafka, topic, start="latest"), f"{topic}/0000") == []


def test_a_stretch_of_time(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    moments = []
    for value in (b"a", b"b", b"c"):
        time.sleep(0.01)
        moments.append(now_ms())
        time.sleep(0.01)
        produce(kafka.bootstrap, topic, [value])
    name = f"{topic}/0000"
    assert _values(_source(kafka, topic, start=moments[1]), name) == [b"b", b"c"]
    assert _values(_source(kafka, topic, start=moments[1], end=moments[2]), name) == [b"b"]
    assert _values(_source(kafka, topic, start=now_ms() + 60_000), name) == []
    assert _values(_source(kafka, topic, start=moments[2], end=moments[0]), name) == []


def test_lag_and_progress_count_towards_the_end(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"12345"] * 10)
    reader = _source(kafka, topic).open(f"{topic}/0000", None)
    assert reader.lag() == 10
    assert (block := reader.read(4)) is not None
    assert (block.count, reader.lag(), reader.progress()) == (4, 6, (20, None))
    again = _source(kafka, topic).open(f"{topic}/0000", reader.position())
    reader.close()
    assert values_of(read_all(again)) == [b"12345"] * 6
    assert again.progress() == (50, None)


def test_transactions_leave_gaps_and_aborted_records_dont_come(
    kafka: KafkaBroker, new_topic: NewTopic
) -> None:
    topic = new_topic()
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": f"t-{topic}", "log_level": 0}
    )
    producer.init_transactions()
    for number in range(6):
        producer.begin_transaction()
        for part in range(2):
            producer.produce(topic, b"%d.%d" % (number, part))
        producer.flush()
        if number % 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    source = _source(kafka, topic)
    blocks = read_all(source.open(f"{topic}/0000", None))
    assert values_of(blocks) == [b"%d.%d" % (number, part) for number in (0, 2, 4) for part in range(2)]
    assert offsets_of(blocks) == [0, 1, 6, 7, 12, 13]
    for size in (1, 2, 5):
        reader = source.open(f"{topic}/0000", None)
        rest = offsets_of(blocks)
        while block := reader.read(size):
            rest = rest[block.count :]
            assert offsets_of(read_all(source.open(f"{topic}/0000", reader.position()))) == rest
        assert reader.position()[0] == source.ends[f"{topic}/0000"]
        reader.close()


def test_a_stretch_ends_before_an_open_transaction(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"a"])
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": f"t-{topic}", "log_level": 0}
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"open")
    producer.flush()
    produce(kafka.bootstrap, topic, [b"b"])
    assert _values(_source(kafka, topic), f"{topic}/0000") == [b"a"]
    producer.commit_transaction()
    assert _values(_source(kafka, topic), f"{topic}/0000") == [b"a", b"open", b"b"]


def test_a_compacted_topic_has_gaps(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic(
        config={
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.01",
            "segment.ms": "100",
            "max.compaction.lag.ms": "100",
        }
    )
    until = time.monotonic() + 30
    rounds = 0
    offsets: list[int] = []
    name = f"{topic}/0000"
    while time.monotonic() < until and not (offsets and len(offsets) < offsets[-1]):
        produce(kafka.bootstrap, topic, [b"%d" % rounds, b"x%d" % rounds], key=lambda n: b"k%d" % n)
        rounds += 1
        time.sleep(0.3)
        offsets = offsets_of(read_all(_source(kafka, topic).open(name, None)))
    assert len(offsets) < offsets[-1]
    source = _source(kafka, topic)
    blocks = read_all(source.open(name, None))
    assert values_of(blocks)[-2:] == [b"%d" % (rounds - 1), b"x%d" % (rounds - 1)]
    # A position may fall into a gap.
    for position in range(offsets_of(blocks)[-1] + 1):
        rest = offsets_of(read_all(source.open(name, (position, 0, False))))
        assert rest[-1:] == offsets_of(blocks)[-1:]
        assert rest[0] >= position


def test_a_message_without_a_value_and_headers(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic(log_append_time=False)
    produce(kafka.bootstrap, topic, [b"a", None, b"b"], timestamp=now_ms() - 5_000)
    produce(
        kafka.bootstrap,
        topic,
        [b"c\nd"],
        headers=[("format", b"segment"), ("arrival_time", b"1700000000000")],
    )
    blocks = read_all(_source(kafka, topic, formats={topic: "footfall"}).open(f"{topic}/0000", None))
    assert [block.format for block in blocks] == ["footfall", "segment"]
    assert values_of(blocks) == [b"a", b"", b"b", b"c\rd"]
    assert blocks[0].arrivals is None
    assert blocks[1].arrivals is not None
    assert blocks[1].arrivals.tolist() == [1_700_000_000_000]


# --- what is lost
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", [True, False])
def test_a_position_that_retention_took_is_an_error(
    kafka: KafkaBroker, new_topic: NewTopic, *, live: bool
) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"a"] * 10)
    source = _source(kafka, topic, live=live)
    place = TopicPartition(topic, 0, 6)
    kafka.admin.delete_records([place])[place].result(timeout=30)
    reader = source.open(f"{topic}/0000", (2, 0, False))
    with pytest.raises(SourceError, match="offset 2 is no longer there: the first is 6, and 4 offsets were"):
        read_live(reader, 1)
    with pytest.raises(SourceError, match="no longer there"):
        reader.read(1)
    reader.close()
    if live:  # a source that begins at the beginning takes what there is
        fresh = source.open(f"{topic}/0000", None)
        assert offsets_of(read_live(fresh, 4)) == [6, 7, 8, 9]
        fresh.close()


def test_a_position_behind_the_end_is_an_error(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"a"] * 3)
    reader = _source(kafka, topic, live=True).open(f"{topic}/0000", (50, 0, False))
    with pytest.raises(SourceError, match=r"offset 50 isn't there: the topic ends at 3.*new state folder"):
        read_live(reader, 1)
    reader.close()


# --- logging on
# -------------------------------------------------------------------------------------------------


def _with_password(folder: Path, password: str) -> Path:
    (folder / "password").write_text(f"{password}\n")
    (folder / "client.properties").write_text(
        "# as a Java client has it\n"
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism = PLAIN\n"
        f"sasl.username: {USER}\nsasl.password=${{file:{folder}/password}}\n"
    )
    return folder / "client.properties"


def test_credentials_pass_through_to_every_client(
    kafka: KafkaBroker, new_topic: NewTopic, tmp_path: Path
) -> None:
    topic = new_topic()
    produce(kafka.bootstrap, topic, [b"a"])
    client = KafkaClient(kafka.sasl_bootstrap, _with_password(tmp_path, PASSWORD))
    producer = Producer(client.producer_config())
    producer.produce(topic, b"b")
    assert producer.flush(30) == 0
    source = KafkaSource(client, [topic], live=False)
    kept = pickle.dumps(source)
    assert PASSWORD.encode() not in kept
    assert _values(pickle.loads(kept), f"{topic}/0000") == [b"a", b"b"]


def test_a_wrong_password_is_an_error_at_once(kafka: KafkaBroker, tmp_path: Path) -> None:
    client = KafkaClient(kafka.sasl_bootstrap, _with_password(tmp_path, "wrong-one"))
    with pytest.raises(BrokerError, match=r"_AUTHENTICATION.*sasl properties") as raised:
        KafkaSource(client, ["events"], live=True, options=KafkaOptions(timeout=2))
    assert "wrong-one" not in str(raised.value)
