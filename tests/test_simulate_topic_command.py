"""`footfall simulate kafka://TOPIC` as its users run it: real processes, a real broker."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from command_line import Started, failed, run, wait_until
from kafka_broker import KafkaBroker
from kafka_fixtures import NewTopic
from kafka_messages import read_topic, topic_ends

NOBODY = "127.0.0.1:1"


def sending(broker: KafkaBroker, topic: str, folder: Path, *more: object, terminal: bool = False) -> Started:
    """The command, once it has sent something."""
    started = Started(
        "simulate", f"kafka://{topic}", "--kafka", broker.bootstrap, *more, cwd=folder, terminal=terminal
    )
    # A second or two, most of it for the program to load; a day would take minutes to write.
    there = wait_until(lambda: sum(topic_ends(broker.bootstrap, topic).values()), 20)
    assert there, started.process.poll()
    return started


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_day_is_sent_from_the_first_second_on_until_a_signal_comes(
    kafka: KafkaBroker, new_topic: NewTopic, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    topic = new_topic(partitions=2)
    with sending(kafka, topic, tmp_path, "--rate", 100, "--json") as started:
        time.sleep(1)
        started.process.send_signal(number)
        asked = time.monotonic()
        ended = started.ended(20)
        assert time.monotonic() - asked < 5
    assert ended.code == code
    summary = json.loads(ended.out)
    sent = read_topic(kafka.bootstrap, topic)
    assert len(sent) == summary["records"] > 0
    assert summary["unacknowledged"] == 0
    assert summary["visitors"] == len({each.key for each in sent})
    assert ended.err.splitlines()[1].startswith(f"sending to topic {topic} (2 partitions)")
    assert "the broker dates the records" in ended.err
    assert not list(tmp_path.iterdir())


def test_people_are_told_what_was_sent_and_nothing_of_files(
    kafka: KafkaBroker, new_topic: NewTopic, tmp_path: Path
) -> None:
    topic = new_topic(partitions=2)
    ended = run(
        *("simulate", f"kafka://{topic}", "--kafka", kafka.bootstrap, "--rate", 5, "--duration", "2 h"),
        *("--speed", 100_000),
        cwd=tmp_path,
    )
    assert ended.code == 0, ended.err
    count = len(read_topic(kafka.bootstrap, topic))
    assert ended.out.startswith(f"{count:,} records of ")
    assert f"sent to topic {topic}: " in ended.out
    assert "booking_abandoned" in ended.out
    assert "plants in" not in ended.out
    assert "not acknowledged" not in ended.out


def test_a_terminal_shows_how_it_goes(kafka: KafkaBroker, new_topic: NewTopic, tmp_path: Path) -> None:
    with sending(kafka, new_topic(), tmp_path, "--rate", 20, terminal=True) as started:
        assert wait_until(lambda: len(started.progress()) > 3, 20)
        started.process.terminate()
        assert started.ended(20).code == 143


def test_a_broker_that_is_away_holds_up_no_end(
    kafka: KafkaBroker, new_topic: NewTopic, tmp_path: Path
) -> None:
    topic = new_topic(partitions=2)
    with sending(kafka, topic, tmp_path, "--rate", 100, terminal=True) as started:
        kafka.kill()
        try:
            shown = rb"([0-9,]+) not acknowledged yet"
            assert wait_until(lambda: len(re.findall(shown, bytes(started._shown))) > 5, 30)
            assert wait_until(lambda: b"Kafka is away" in bytes(started._shown), 30)
            started.process.terminate()
            asked = time.monotonic()
            ended = started.ended(20)
            took = time.monotonic() - asked
        finally:
            kafka.restart()
    assert ended.code == 143
    assert took < 4  # two seconds are promised; machines that test are slow
    assert re.search(r"[1-9][0-9,]* not acknowledged", " ".join(ended.out.split()))
    # None of librdkafka's own lines.
    assert "rdkafka#" not in ended.err
    assert "%3|" not in ended.err
    assert "[thrd:" not in ended.err


def test_a_signal_while_the_broker_is_looked_for_ends_it(tmp_path: Path) -> None:
    with Started("simulate", "kafka://events", "--kafka", NOBODY, cwd=tmp_path, terminal=True) as started:
        assert wait_until(lambda: b"Kafka is away" in bytes(started._shown), 30)
        os.kill(started.process.pid, signal.SIGTERM)
        asked = time.monotonic()
        ended = started.ended(20)
        assert time.monotonic() - asked < 4
    assert ended.code == 143
    assert "[thrd:" not in ended.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("kafka://events",), "write --kafka"),
        (("kafka://a/b", "--kafka", NOBODY), "write kafka://TOPIC"),
        (("kafka://events", "--kafka", NOBODY, "--speed", "0.5"), "a speed of 0.5 won't do"),
        (("kafka://events", "--kafka", NOBODY, "--partitions", "3"), "--partitions is for a folder"),
        (("kafka://events", "--kafka", NOBODY, "--rate", "40", "--visitors", "400"), "write --visitors 2"),
        (("day.ndjson", "--speed", "60"), "--speed is for a topic"),
        (("day.ndjson", "--rate", "40", "--visitors", "400"), "write --visitors 2"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(
    words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    assert told in failed("simulate", *words, cwd=tmp_path, code=2)
    assert not list(tmp_path.iterdir())


def test_a_topic_that_is_not_there_is_wrong_usage(kafka: KafkaBroker, tmp_path: Path) -> None:
    ended = run("simulate", "kafka://nowhere", "--kafka", kafka.bootstrap, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert "footfall topics apply" in ended.err
