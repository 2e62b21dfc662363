"""The sink to Kafka, with a real broker; what every sink must do is in the sink contract."""

import base64
import json
import pickle
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import KafkaError
from kafka_broker import PASSWORD, USER, KafkaBroker
from kafka_fixtures import NewTopic
from kafka_messages import read_topic
from store_rows import START, rows

from footfall.errors import RestartError, SinkError
from footfall.kafka_client import KafkaClient
from footfall.kafka_refusals import REFUSED
from footfall.kafka_sink import KafkaSink
from footfall.run_messages import Message, SinkStatus
from footfall.tables import DEAD_LETTERS, EVENTS, SESSIONS, TRIGGERS, Table

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def topics(new_topic: NewTopic) -> dict[str, str]:
    """Topics of the test's own, by table."""
    return {name: new_topic(3) for name in ("sessions", "dead_letters")}


@pytest.fixture
def new_sink(kafka: KafkaBroker, topics: dict[str, str]) -> Iterator[Callable[..., KafkaSink]]:
    made: list[KafkaSink] = []

    def make(**more: Any) -> KafkaSink:
        settings: dict[str, Any] = {"routes": topics, "patience": 200.0} | more
        made.append(KafkaSink(settings.pop("client", KafkaClient(kafka.bootstrap)), **settings))
        made[-1].open_part("p", None)
        return made[-1]

    yield make
    for sink in made:
        sink.close()


def _read(kafka: KafkaBroker, topic: str) -> list[dict[str, Any]]:
    return [json.loads(sent.value) for sent in read_topic(kafka.bootstrap, topic)]


def _sessions(numbers: range, **columns: object) -> pl.DataFrame:
    frame = rows(SESSIONS, len(numbers), first=numbers.start)
    visitors = pl.Series([f"v{number % 11}" for number in numbers])
    return _with(frame, SESSIONS, visitor_id=visitors, ordinal=None).with_columns(
        pl.lit(value).alias(name) for name, value in columns.items()
    )


def _with(frame: pl.DataFrame, table: Table, **columns: object) -> pl.DataFrame:
    known = {name: value for name, value in columns.items() if name in table.schema}
    return frame.with_columns(
        (value if isinstance(value, pl.Series) else pl.lit(value)).cast(table.schema[name]).alias(name)
        for name, value in known.items()
    )


# ---- a broker that goes and comes


def test_a_broker_killed_and_restarted_while_rows_are_written_loses_none_and_keeps_each_visitors_order(
    kafka: KafkaBroker,
    topics: dict[str, str],
    new_sink: Callable[..., KafkaSink],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("footfall.kafka_sink._AWAY_SECONDS", 1.0)
    said: list[str] = []
    sink = new_sink(report=said.append)

    stop = threading.Event()

    def write() -> int:
        written = 0
        while not stop.is_set():
            sink.write("p", SESSIONS, _sessions(range(written, written + 200)))
            written += 200
            time.sleep(0.02)
        assert sink.flush("p") == written
        return written

    # A broker ends with the thread that started it, so it is the writing that has one of its own.
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        time.sleep(0.3)
        kafka.kill()
        time.sleep(1.5)
        kafka.restart()
        time.sleep(0.3)
        stop.set()
        written = writing.result()
    sink.close()

    orders: dict[str, list[tuple[int, int]]] = defaultdict(list)
    partitions: dict[str, set[int]] = defaultdict(set)
    for sent in read_topic(kafka.bootstrap, topics["sessions"]):
        session = json.loads(sent.value)
        assert (sent.key or b"").decode() == session["visitor_id"]
        orders[session["visitor_id"]].append((sent.offset, int(session["session_id"][1:])))
        partitions[session["visitor_id"]].add(sent.partition)
    assert sorted(number for order in orders.values() for _, number in order) == list(range(written))
    assert all(order == sorted(order) and len(partitions[visitor]) == 1 for visitor, order in orders.items())
    assert all([n for _, n in order] == sorted(n for _, n in order) for order in orders.values())
    # Once each time: on a busy machine a broker may seem to be away once more.
    assert said
    assert all("acknowledges nothing" in line or "is away" in line for line in said[::2]), said
    assert all(line.endswith("sending works again") for line in said[1::2]), said
    assert len(said) % 2 == 0
    assert sink.refused.total() == 0


def test_a_full_queue_presses_back_and_goes_on_when_kafka_is_back(
    kafka: KafkaBroker, topics: dict[str, str], new_sink: Callable[..., KafkaSink]
) -> None:
    sink = new_sink(queue_bytes=256 << 10)
    held: list[int] = []

    def write() -> None:
        for first in range(0, 5000, 100):
            sink.write("p", SESSIONS, _sessions(range(first, first + 100)))
            held.append(sink.status().waiting_bytes)
        sink.flush("p")

    kafka.kill()
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        time.sleep(1.0)
        written, done = len(held), writing.done()
        kafka.restart()
        writing.result()
    assert written < 20
    assert not done
    most = max(held)
    assert most < 512 << 10
    assert len(_read(kafka, topics["sessions"])) == 5000


def test_patience_ends(kafka: KafkaBroker, new_sink: Callable[..., KafkaSink]) -> None:
    sink = new_sink(patience=1.0)
    kafka.kill()
    try:
        sink.write("p", SESSIONS, _sessions(range(5)))
        begun = time.monotonic()
        with pytest.raises(RestartError, match=r"acknowledged nothing for 1 s.*; 5 messages wait"):
            sink.flush("p")
        assert 0.5 < time.monotonic() - begun < 30.0
        begun = time.monotonic()
        sink.close()
        assert time.monotonic() - begun < 5.0
    finally:
        kafka.restart()


def test_what_was_not_acknowledged_comes_again_after_a_restart(
    kafka: KafkaBroker, topics: dict[str, str], new_sink: Callable[..., KafkaSink]
) -> None:
    sink = new_sink()
    sink.write("p", SESSIONS, _sessions(range(10)))
    resume = sink.flush("p")
    sink.write("p", SESSIONS, _sessions(range(10, 20)))
    sink.close()
    again = KafkaSink(KafkaClient(kafka.bootstrap), routes=topics)
    again.open_part("p", resume)
    again.write("p", SESSIONS, _sessions(range(10, 20)))
    assert again.flush("p") == 20
    again.close()
    assert {each["session_id"] for each in _read(kafka, topics["sessions"])} == {f"s{n}" for n in range(20)}


# ---- triggers


def _triggers(topic: str | pl.Series, status: pl.Series, expires: pl.Series) -> pl.DataFrame:
    frame = rows(TRIGGERS, status.len())
    return _with(
        frame, TRIGGERS, topic=topic, status=status, expires_time=expires, rule="cart", visitor_id="v1"
    )


def test_triggers_go_to_their_own_topics_in_time_or_not_at_all(
    kafka: KafkaBroker,
    new_sink: Callable[..., KafkaSink],
    new_topic: NewTopic,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = new_topic(), new_topic()
    now = START + timedelta(days=3)
    sink = new_sink(clock=now.timestamp)
    frame = _triggers(
        pl.Series([one, other, one, one, one, one]),
        pl.Series(["fired", "retracted", "suppressed", "fired", "retracted", "shadow"]),
        pl.Series([now + timedelta(hours=1)] * 3 + [now - timedelta(milliseconds=1)] * 2 + [now]),
    )
    sink.write("p", TRIGGERS, frame)
    assert sink.flush("p") == 3
    found = _read(kafka, one)
    assert [(each["trigger_id"], each["status"]) for each in found] == [("t0", "fired"), ("t4", "retracted")]
    assert [(each["trigger_id"], each["status"]) for each in _read(kafka, other)] == [("t1", "retracted")]
    assert found[0]["sent_at"] == now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + "250Z"
    assert found[0]["schema"] == "footfall.trigger/1"
    assert sink.suppressed == sink.status().expired == {"cart": 1}
    assert sink.delivered == {one: 2, other: 1}
    # That they aren't sent is told, but not each time.
    sink.write("p", TRIGGERS, frame)
    assert sink.suppressed == {"cart": 2}
    said = [record.message for record in caplog.records if "expired" in record.message]
    assert said == ["triggers of rule cart had expired before they could be sent and aren't: 1 so far"]


def test_a_trigger_is_out_at_once(
    kafka: KafkaBroker, new_sink: Callable[..., KafkaSink], new_topic: NewTopic
) -> None:
    sink, topic = new_sink(), new_topic()
    frame = _triggers(topic, pl.Series(["fired"]), pl.Series([datetime(2200, 1, 1, tzinfo=UTC)]))
    sink.write("p", TRIGGERS, frame)
    sink.flush("p")
    took = []
    for _ in range(20):
        begun = time.monotonic()
        sink.write("p", TRIGGERS, frame)
        sink.flush("p")
        took.append(time.monotonic() - begun)
    assert min(took) < 0.1, took


@pytest.mark.parametrize("topic", ["no-such-topic", "no topic's name", "", "."])
def test_a_trigger_for_no_topic_becomes_a_dead_letter(
    kafka: KafkaBroker, topics: dict[str, str], new_sink: Callable[..., KafkaSink], topic: str
) -> None:
    sink = new_sink()
    frame = _triggers(topic, pl.Series(["fired"]), pl.Series([datetime(2200, 1, 1, tzinfo=UTC)]))
    sink.write("p", TRIGGERS, frame)
    sink.flush("p")
    (letter,) = _read(kafka, topics["dead_letters"])
    assert (letter["source"], letter["reason"]) == (topic, REFUSED)
    assert json.loads(base64.b64decode(letter["bytes"]))["trigger_id"] == "t0"
    assert sink.refused == {topic: 1}


def test_a_topic_that_comes_later_gets_its_triggers(
    kafka: KafkaBroker,
    topics: dict[str, str],
    new_sink: Callable[..., KafkaSink],
    new_topic: NewTopic,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("footfall.kafka_sink._ABSENT_SECONDS", 1.0)
    sink, topic = new_sink(), f"later-{uuid.uuid4().hex[:8]}"
    frame = _triggers(topic, pl.Series(["fired"]), pl.Series([datetime(2200, 1, 1, tzinfo=UTC)]))
    sink.write("p", TRIGGERS, frame)
    sink.flush("p")
    assert sink.refused == {topic: 1}
    new_topic(name=topic)
    time.sleep(1.1)
    sink.write("p", TRIGGERS, frame)
    sink.flush("p")
    assert sink.refused == {topic: 1}
    assert len(_read(kafka, topic)) == 1


def test_a_topic_that_vanishes_and_comes_back_gets_all_that_was_written_meanwhile(
    kafka: KafkaBroker, topics: dict[str, str], new_sink: Callable[..., KafkaSink]
) -> None:
    sink = new_sink()
    sink.write("p", SESSIONS, _sessions(range(10)))
    sink.flush("p")
    kafka.delete_topic(topics["sessions"])

    def write(sink: KafkaSink) -> None:
        for number in range(10, 30):
            sink.write("p", SESSIONS, _sessions(range(number, number + 1)))
            time.sleep(0.05)
        sink.flush("p")

    restarted = False
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write, sink)
        time.sleep(4.0)
        assert not writing.done() or isinstance(writing.exception(), RestartError)
        kafka.new_topic(1, name=topics["sessions"])
        try:
            writing.result()
        except RestartError:
            # Now and then the client can't go on. Then the workers start again, and write from the last snapshot on.
            restarted = True
            sink = new_sink()
            write(sink)
    found = [int(each["session_id"][1:]) for each in _read(kafka, topics["sessions"])]
    if restarted:
        found = list(dict.fromkeys(reversed(found)))[::-1]
    assert sorted(found) == list(range(10, 30))
    for visitor in range(11):
        theirs = [number for number in found if number % 11 == visitor]
        assert theirs == sorted(theirs)
    assert sink.refused.total() == 0


# ---- messages that Kafka won't have


def test_a_message_that_is_too_large_becomes_a_dead_letter_and_the_rest_goes_on(
    kafka: KafkaBroker,
    topics: dict[str, str],
    new_sink: Callable[..., KafkaSink],
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = new_sink()
    sink.write("p", SESSIONS, _sessions(range(3)))
    for number in range(3, 6):
        sink.write("p", SESSIONS, _sessions(range(number, number + 1), entry_page="x" * 2_000_000))
    sink.write("p", SESSIONS, _sessions(range(6, 9)))
    assert sink.flush("p") == 9
    assert sorted(each["session_id"] for each in _read(kafka, topics["sessions"])) == [
        "s0",
        "s1",
        "s2",
        "s6",
        "s7",
        "s8",
    ]
    letters = _read(kafka, topics["dead_letters"])
    assert {each["source"] for each in letters} == {topics["sessions"]}
    assert {each["reason"] for each in letters} == {REFUSED}
    assert all(each["bytes_total"] > 2_000_000 and len(each["bytes"]) < 100_000 for each in letters)
    assert all("too large" in each["detail"] for each in letters)
    assert sink.refused == {topics["sessions"]: 3}
    assert sink.status().errors == 3
    assert (sink.status().waiting_rows, sink.status().waiting_bytes) == (0, 0)
    assert len([each for each in caplog.messages if "too large" in each]) == 1


def test_small_messages_do_not_share_the_fate_of_a_batch_that_the_broker_refuses(
    kafka: KafkaBroker,
    topics: dict[str, str],
    new_sink: Callable[..., KafkaSink],
    new_topic: NewTopic,
    tmp_path: Path,
) -> None:
    narrow = new_topic(1, config={"max.message.bytes": "2000"})
    properties = tmp_path / "client.properties"
    # One batch, which is as large as it seems.
    properties.write_text("compression.type=none\nlinger.ms=100\n")
    sink = new_sink(client=KafkaClient(kafka.bootstrap, properties), routes=topics | {"sessions": narrow})
    pages = ["/" * (1600 if number == 7 else 1) for number in range(50)]
    frame = _sessions(range(50)).with_columns(entry_page=pl.Series(pages))
    sink.write("p", SESSIONS, frame)
    assert sink.flush("p") == 50
    sink.close()
    found = sorted(int(each["session_id"][1:]) for each in _read(kafka, narrow))
    assert found == [number for number in range(50) if number != 7]
    (letter,) = _read(kafka, topics["dead_letters"])
    assert json.loads(base64.b64decode(letter["bytes"]))["session_id"] == "s7"


def test_refused_messages_without_a_topic_for_dead_letters_are_counted(
    kafka: KafkaBroker, topics: dict[str, str], new_sink: Callable[..., KafkaSink]
) -> None:
    sink = new_sink(routes={"sessions": topics["sessions"]})
    sink.write("p", SESSIONS, _sessions(range(1), entry_page="x" * 2_000_000))
    sink.flush("p")
    assert sink.refused == {topics["sessions"]: 1}
    assert _read(kafka, topics["sessions"]) == []


def test_a_producer_that_is_beyond_help_ends_the_run(new_sink: Callable[..., KafkaSink]) -> None:
    sink = new_sink()
    sink._on_error(KafkaError(KafkaError._FATAL, "sequence lost", fatal=True))
    with pytest.raises(
        RestartError, match=r"sequence lost \(_FATAL\); what isn't acknowledged is sent again"
    ):
        sink.write("p", SESSIONS, _sessions(range(1)))


# ---- routes and keys


def test_dead_letters_are_keyed_by_their_source(
    kafka: KafkaBroker, topics: dict[str, str], new_sink: Callable[..., KafkaSink]
) -> None:
    sink = new_sink()
    sink.write("p", DEAD_LETTERS, _with(rows(DEAD_LETTERS, 5), DEAD_LETTERS, source_partition="events:3"))
    sink.flush("p")
    keys = {sent.key for sent in read_topic(kafka.bootstrap, topics["dead_letters"])}
    assert keys == {f"events:3:{number}".encode() for number in range(5)}


def test_tables_without_a_topic_are_dropped(new_sink: Callable[..., KafkaSink]) -> None:
    sink = new_sink()
    sink.write("p", EVENTS, rows(EVENTS, 5))
    assert sink.flush("p") == 0
    with pytest.raises(SinkError, match="without a value for event"):
        sink.write("p", EVENTS, rows(EVENTS, 3).with_columns(event=pl.lit(None, pl.String)))


# ---- opening


def test_missing_topics_are_named_when_it_opens(kafka: KafkaBroker, topics: dict[str, str]) -> None:
    sink = KafkaSink(KafkaClient(kafka.bootstrap), routes=topics | {"matches": "no-such-topic"})
    with pytest.raises(SinkError, match=r"has no topic no-such-topic: run `footfall topics apply`"):
        sink.open_part("p", None)
    sink.close()


def test_without_a_broker_it_waits_as_long_as_its_patience_lasts() -> None:
    said: list[str] = []
    sink = KafkaSink(KafkaClient(NOWHERE), patience=2.5, report=said.append)
    begun = time.monotonic()
    with pytest.raises(RestartError, match=r"Kafka at 127\.0\.0\.1:1 can't be used: .*refused"):
        sink.open_part("p", None)
    assert 2.5 <= time.monotonic() - begun < 60.0
    assert len(said) == 1
    sink.close()


def test_a_wrong_password_is_told_at_once(kafka: KafkaBroker, tmp_path: Path) -> None:
    properties = tmp_path / "client.properties"
    lines = f"security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\nsasl.username={USER}\n"
    properties.write_text(lines + "sasl.password=not-this\n")
    client = KafkaClient(kafka.sasl_bootstrap, properties)
    wrong = KafkaSink(client, routes={})
    begun = time.monotonic()
    with pytest.raises(SinkError, match=r"can't be used: .*uthentication") as caught:
        wrong.open_part("p", None)
    assert time.monotonic() - begun < 60.0  # its patience is ten times that
    assert "not-this" not in str(caught.value)
    assert not isinstance(caught.value, RestartError), "it would only meet the same again"
    wrong.close()
    properties.write_text(lines + f"sasl.password={PASSWORD}\n")
    right = KafkaSink(client, routes={})
    right.open_part("p", None)
    right.close()


def test_an_open_sink_does_not_pickle(new_sink: Callable[..., KafkaSink], topics: dict[str, str]) -> None:
    with pytest.raises(SinkError, match="can't be pickled"):
        pickle.dumps(new_sink())
    sink = pickle.loads(pickle.dumps(KafkaSink(KafkaClient(NOWHERE), routes=topics, patience=0.0)))
    with pytest.raises(SinkError, match="can't be used"):
        sink.open_part("p", None)


# ---- status


def test_it_tells_how_it_gets_on_but_not_all_the_time(
    topics: dict[str, str], new_sink: Callable[..., KafkaSink]
) -> None:
    told: list[Message] = []
    sink = new_sink(tell=told.append, worker=3)
    begun = time.monotonic()
    written = 0
    while time.monotonic() - begun < 1.5:
        sink.write("p", SESSIONS, _sessions(range(written, written + 10)))
        sink.flush("p")
        written += 10
    assert 1 <= len(told) <= 2 * (time.monotonic() - begun + 1)
    last = told[-1]
    assert isinstance(last, SinkStatus)
    # If nothing more is written, this is what is known of it.
    assert last.waiting_rows == 0
    assert (last.worker, last.sink, last.errors) == (3, "kafka", 0)
    assert sink.status().rows == {topics["sessions"]: written}
    assert (sink.status().waiting_rows, sink.status().oldest_seconds) == (0, 0.0)
