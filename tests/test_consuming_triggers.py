"""The consumers that the page shows: as they stand in their files, and as they work."""

import json
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka_broker import KafkaBroker
from kafka_fixtures import NewTopic
from store_rows import rows
from trigger_consumers import message, orders

from docs import trigger_consumer, webhook_receiver
from footfall.messages import TRIGGER
from footfall.tables import TRIGGERS
from footfall.webhook_post import WebhookPost, WebhookTarget
from footfall.webhook_sender import WebhookRetries
from footfall.webhook_sink import WebhookSink
from footfall.worker_spool import SpoolPlace

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "consuming_triggers.md").read_text(encoding="utf-8")
SECRET = b"a secret that only tests know"
PAST = datetime.now(UTC) - timedelta(seconds=1)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


# ---- the page


def test_the_page_shows_the_files_that_the_tests_run() -> None:
    files = [trigger_consumer.__file__, webhook_receiver.__file__]
    assert blocks("python") == [Path(file).read_text(encoding="utf-8") for file in files]


def test_the_message_that_it_shows_has_the_contracts_fields() -> None:
    (shown,) = map(json.loads, blocks("json"))
    assert list(shown) == ["schema", "sent_at", *(each.name for each in TRIGGER.fields)]
    assert shown["schema"] == TRIGGER.schema
    assert f"schemas/messages/{TRIGGER.file_name}" in PAGE
    for name, each in TRIGGER.json_schema()["properties"].items():
        if "pattern" in each:
            assert re.fullmatch(each["pattern"], shown[name]), name


def test_what_it_says_of_retries_is_the_default() -> None:
    defaults, target = WebhookRetries(), WebhookTarget("https://host/", SECRET)
    assert (defaults.first_pause, defaults.longest_pause) == (0.5, 300)
    assert (defaults.tries, defaults.give_up_after) == (300, 86_400)
    assert target.timeout == 10
    for said in ("after 0.5 s at first", "up to 5 min", "none in 10 s", "failed for a day, or 300 times"):
        assert said in PAGE


# ---- what a consumer does with messages


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ([message(1), message(1)], [("t1", 0, "do")]),
        ([message(1), message(1, 1, "retracted")], [("t1", 0, "do"), ("t1", 1, "undo")]),
        ([message(1), message(1, 1, "retracted"), message(1)], [("t1", 0, "do"), ("t1", 1, "undo")]),
        ([message(1, 1, "retracted"), message(1)], []),
        (
            [message(1), message(1, 1, "retracted"), message(1, 2)],
            [("t1", 0, "do"), ("t1", 1, "undo"), ("t1", 2, "do")],
        ),
        ([message(1), message(1, 2)], [("t1", 0, "do")]),
        ([message(1, expires=PAST), message(1, 1, "retracted")], []),
        ([message(1), message(2)], [("t1", 0, "do"), ("t2", 0, "do")]),
    ],
)
def test_each_trigger_is_acted_on_once(
    messages: list[bytes], wanted: list[tuple[str, int, str]], tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.executescript(trigger_consumer.TABLES)
        for each in messages:
            with database:
                trigger_consumer.take(database, json.loads(each))
    assert orders(tmp_path / "db") == wanted


def start_consumer(broker: KafkaBroker, file: Path, topic: str) -> subprocess.Popen[bytes]:
    code = "import sys; from docs.trigger_consumer import main; main(*sys.argv[1:])"
    return subprocess.Popen([sys.executable, "-c", code, broker.bootstrap, str(file), topic], cwd=ROOT)


def noted(file: Path) -> int:
    try:
        return len(orders(file))
    except sqlite3.OperationalError:  # not made yet
        return 0


def test_a_consumer_that_is_killed_again_and_again_acts_on_each_trigger_once(
    kafka: KafkaBroker, new_topic: NewTopic, tmp_path: Path
) -> None:
    topic = new_topic(partitions=2)
    chance = random.Random(5)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True, "log_level": 0})
    retracted = set(range(0, 300, 7))

    def send(numbers: range) -> None:
        for number in numbers:
            copies = [message(number)] + [message(number, 1, "retracted")] * (number in retracted)
            for each in copies + [chance.choice(copies)] * chance.randrange(3):
                producer.produce(topic, each, f"v{number % 10}")
        producer.flush(30)

    wanted = [(f"t{number}", 0, "do") for number in range(300)]
    wanted += [(f"t{number}", 1, "undo") for number in retracted]
    for turn in range(3):
        send(range(turn * 100, turn * 100 + 100))
        # Two end in the midst of it, the last one is left to finish.
        enough = turn * 100 + chance.randrange(1, 100) if turn < 2 else len(wanted)
        consumer = start_consumer(kafka, tmp_path / "db", topic)
        until = time.monotonic() + 60
        while noted(tmp_path / "db") < enough:
            assert consumer.poll() is None
            assert time.monotonic() < until
            time.sleep(0.001)
        consumer.send_signal(signal.SIGKILL)
        consumer.wait(10)
    assert sorted(orders(tmp_path / "db")) == sorted(wanted)


def test_while_no_broker_answers_the_consumer_tries_and_says_so(tmp_path: Path) -> None:
    code = "import sys; from docs.trigger_consumer import main; main(*sys.argv[1:])"
    # Nobody listens at a port of that number.
    started = [sys.executable, "-c", code, "127.0.0.1:1", str(tmp_path / "db"), "triggers"]
    with subprocess.Popen(started, cwd=ROOT, stderr=subprocess.PIPE, text=True) as consumer:
        try:
            assert consumer.stderr is not None
            first = consumer.stderr.readline()
            assert consumer.poll() is None
        finally:
            consumer.kill()
        said = [first, *consumer.stderr]
    assert all(re.match(r"Kafka: .*(Connection refused|brokers are down)", each) for each in said), said


# ---- the receiver


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a receiver that notes what it gets in `db`."""
    server = webhook_receiver.server(0, str(tmp_path / "db"), SECRET)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[attr-defined]  # quiet
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_receiver_notes_what_the_sink_posts(port: int, tmp_path: Path) -> None:
    target = WebhookTarget(f"http://127.0.0.1:{port}/", SECRET)
    versions = set(rows(TRIGGERS, 50)["rule_version"])
    with closing(WebhookSink(target, SpoolPlace(tmp_path / "queue"), versions)) as sink:
        sink.open_part("p", None)
        sink.write("p", TRIGGERS, rows(TRIGGERS, 50))
        assert sink.drain(20)
        assert sink.given_up == {}
    assert sorted(orders(tmp_path / "db")) == sorted((f"t{number}", 0, "do") for number in range(50))


def test_the_receiver_takes_only_what_is_signed_with_its_secret(port: int, tmp_path: Path) -> None:
    def status(body: bytes, secret: bytes = SECRET, timestamp: float = 0.0) -> str:
        post = WebhookPost(WebhookTarget(f"http://127.0.0.1:{port}/", secret))
        answer = post.post("t1", 0, body, int(timestamp or time.time()))
        post.close()
        return answer.detail[:10] or answer.fate

    assert status(message(1), b"another secret, as long") == "answer 401"
    assert status(message(1), timestamp=time.time() - 400) == "answer 401"
    assert orders(tmp_path / "db") == []
    assert status(message(1)) == status(message(1)) == "delivered"
    assert orders(tmp_path / "db") == [("t1", 0, "do")]
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/", headers={"Content-Length": "9999999"})
    assert connection.getresponse().status == 413
    connection.close()
