"""`footfall topics plan | apply`, with a real broker."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka_broker import KafkaBroker
from kafka_fixtures import NewTopic

from footfall.errors import BrokerError, TopicsFileError
from footfall.kafka_client import KafkaClient
from footfall.topic_plan import TopicAdmin
from footfall.topics import load_topics
from footfall.topics_command import apply_topics, plan_topics

Declare = Callable[[str], Path]


@pytest.fixture
def client(kafka: KafkaBroker) -> KafkaClient:
    return KafkaClient(kafka.bootstrap)


@pytest.fixture
def name() -> str:
    return f"topics-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    def write(text: str) -> Path:
        path = tmp_path / "own.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_shipped_topics_are_planned_created_and_then_agree(
    kafka: KafkaBroker, client: KafkaClient, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = load_topics()
    for name in set(kafka.admin.list_topics(timeout=10).topics) & {each.name for each in declared}:
        kafka.delete_topic(name)
    assert plan_topics(client, None, as_json=True) == 1
    plan = _json(capsys)
    assert [(each["topic"], each["action"]) for each in plan["changes"]] == [
        (each.name, "create") for each in declared
    ]
    assert {each["failure"] for each in plan["changes"]} == {None}
    assert TopicAdmin(client).found([each.name for each in declared]) == {}

    assert apply_topics(client, None, as_json=True) == 0
    assert _json(capsys)["applied"] is True
    found = TopicAdmin(client).found([each.name for each in declared])
    for topic in declared:
        there = found[topic.name]
        assert (there.partitions, there.replication_factor) == (topic.partitions, topic.replication_factor)
        assert dict(topic.config).items() <= dict(there.config).items()

    for run in (plan_topics, apply_topics):
        assert run(client, None, as_json=True) == 0
        again = _json(capsys)
        assert (again["changes"], again["left_alone"]) == ([], [])
        assert again["agreeing"] == [each.name for each in declared]


def test_topics_grow_and_change_but_never_shrink(
    client: KafkaClient, declare: Declare, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = f'[topics.{name}]\npartitions = 2\nretention = "2 d"\n'
    assert apply_topics(client, declare(first), as_json=True) == 0
    capsys.readouterr()

    more = f'[topics.{name}]\npartitions = 3\nretention = "3 d"\ntimestamps = "LogAppendTime"\n'
    assert plan_topics(client, declare(more), as_json=False) == 1
    said = capsys.readouterr().out
    assert f"~ {name}  add partitions  partitions 2 → 3" in said
    assert f"~ {name}  alter           " in said
    assert "retention.ms 2 d → 3 d" in said
    assert "message.timestamp.type CreateTime → LogAppendTime" in said
    assert "2 to change; footfall topics apply makes the difference." in said
    assert apply_topics(client, declare(more), as_json=False) == 0
    assert "2 changed." in capsys.readouterr().out
    there = TopicAdmin(client).found([name])[name]
    assert (there.partitions, there.config["retention.ms"]) == (3, str(3 * 86_400_000))
    assert there.config["message.timestamp.type"] == "LogAppendTime"

    less = f'[topics.{name}]\npartitions = 1\nretention = "1 d"\ntimestamps = "CreateTime"\n'
    assert apply_topics(client, declare(less), as_json=True) == 0
    applied = _json(capsys)
    assert [each["after"] for each in applied["changes"]] == [{"message.timestamp.type": "CreateTime"}]
    assert {each["setting"] for each in applied["left_alone"]} == {"partitions", "retention.ms"}
    there = TopicAdmin(client).found([name])[name]
    assert (there.partitions, there.config["retention.ms"]) == (3, str(3 * 86_400_000))
    # What is left alone is no reason to say that there is something to do.
    assert plan_topics(client, declare(less), as_json=False) == 0
    said = capsys.readouterr().out
    assert f"- {name}  left alone      partitions 3, declared 1: a topic can't lose partitions" in said
    assert "retention.ms 3 d, declared 1 d" in said


def test_a_topic_that_the_cluster_refuses_does_not_hold_up_the_others(
    client: KafkaClient, declare: Declare, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"""
[topics.{name}-a]
partitions = 1
retention = "1 d"
replication_factor = 3
[topics.{name}-b]
partitions = 1
retention = "1 d"
config = {{ "no.such.property" = 1 }}
[topics.{name}-c]
partitions = 1
retention = "1 d"
"""
    for run, word in ((plan_topics, "will fail"), (apply_topics, "failed")):
        assert run(client, declare(text), as_json=False) == 1
        said = capsys.readouterr().out
        assert f"2 {word}" in said
        assert said.count(f"{word}: ") == 2, said
        assert "replication" in said
        assert "no.such.property" in said
    assert set(TopicAdmin(client).found([f"{name}-{each}" for each in "abc"])) == {f"{name}-c"}
    assert apply_topics(client, declare(text), as_json=True) == 1
    assert [each["failure"] is None for each in _json(capsys)["changes"]] == [False, False]


def test_topics_that_nobody_declared_are_no_matter(
    client: KafkaClient, declare: Declare, name: str, new_topic: NewTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    other = new_topic(2)
    assert (
        apply_topics(
            client, declare(f'[topics.{name}]\npartitions = 1\nretention = "forever"\n'), as_json=False
        )
        == 0
    )
    assert other not in capsys.readouterr().out
    assert TopicAdmin(client).found([other, name])[name].config["retention.ms"] == "-1"


def test_a_faulty_file_and_a_cluster_that_is_away_are_errors(client: KafkaClient, declare: Declare) -> None:
    with pytest.raises(TopicsFileError, match="partitions = 0"):
        plan_topics(client, declare("[topics.a]\npartitions = 0\nretention = '1 d'\n"), as_json=True)
    with pytest.raises(BrokerError, match="asking for topics"):
        TopicAdmin(KafkaClient("127.0.0.1:1"), timeout=0.5).found(["a"])
