"""The topics file: what it declares, and what is wrong with one."""

from pathlib import Path

import pytest

from footfall.errors import TopicsFileError, UsageError
from footfall.kafka_sink import ROUTES
from footfall.topics import Topic, load_topics


def _load(folder: Path, text: str) -> tuple[Topic, ...]:
    path = folder / "topics.toml"
    path.write_text(text, encoding="utf-8")
    return load_topics(path)


def _problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(TopicsFileError) as caught:
        _load(folder, text)
    assert all(problem.startswith(str(folder / "topics.toml")) for problem in caught.value.problems)
    return [problem.removeprefix(str(folder / "topics.toml")) for problem in caught.value.problems]


def test_the_shipped_topics() -> None:
    topics = {topic.name: topic for topic in load_topics()}
    assert set(topics) == {
        "events", "sessions", "matches", "triggers", "scores", "visitor-profiles", "late", "dead", "control",
    }  # fmt: skip
    assert set(ROUTES.values()) <= set(topics)
    events = topics["events"]
    assert (events.partitions, events.config["retention.ms"]) == (10, str(7 * 86_400_000))
    assert events.config["message.timestamp.type"] == "LogAppendTime"
    assert (topics["sessions"].partitions, topics["sessions"].config["retention.ms"]) == (
        8,
        str(3 * 86_400_000),
    )
    compacted = {name for name, topic in topics.items() if topic.config["cleanup.policy"] == "compact"}
    assert compacted == {"scores", "visitor-profiles", "control"}
    assert topics["control"].partitions == 1
    assert {topic.replication_factor for topic in topics.values()} == {1}


def test_a_users_own_file(tmp_path: Path) -> None:
    text = """
replication_factor = 3
min_insync_replicas = 2
[topics.one]
partitions = 4
retention = "forever"
[topics."two.2"]
partitions = 1
cleanup = "compact,delete"
retention = "36 h"
replication_factor = 1
min_insync_replicas = 1
max_message_bytes = 2_000_000
config = { "segment.bytes" = 1000000, "unclean.leader.election.enable" = false }
"""
    one, two = _load(tmp_path, text)
    assert one == Topic(
        "one",
        4,
        3,
        {
            "cleanup.policy": "delete",
            "message.timestamp.type": "CreateTime",
            "min.insync.replicas": "2",
            "retention.ms": "-1",
        },
    )
    assert (two.name, two.partitions, two.replication_factor) == ("two.2", 1, 1)
    assert two.config == {
        "cleanup.policy": "compact,delete",
        "message.timestamp.type": "CreateTime",
        "min.insync.replicas": "1",
        "retention.ms": "129600000",
        "max.message.bytes": "2000000",
        "segment.bytes": "1000000",
        "unclean.leader.election.enable": "false",
    }


def test_all_problems_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """replication_factor = 0
colour = "blue"

[topics.events]
partitions = 0
retension = "7 d"
retention = "7 moons"

[topics.sessions]
partitions = true
retention = 7
cleanup = "shrink"
timestamps = "AppendTime"

[topics."bad name"]
partitions = 1
retention = "1 d"

[topics.scores]
partitions = 2
cleanup = "compact"
retention = "1 d"
min_insync_replicas = 2

[topics.control]
partitions = 2
cleanup = "compact"

[topics.late]
config = { "retention.ms" = 1, "a.b" = [1] }

[topics.__consumer_offsets]
partitions = 1
retention = "1 d"
"""
    found = _problems(tmp_path, text)
    wanted = [
        (1, "replication_factor = 0 won't do; write a whole number, 1 to 100"),
        (2, "there is no key 'colour'; known are"),
        (5, "topic 'events', partitions = 0 won't do; write a whole number, 1 to 10,000"),
        (6, "topic 'events', there is no key 'retension'; did you mean retention?"),
        (7, "topic 'events', retention = '7 moons' won't do"),
        (10, "topic 'sessions', partitions = True won't do"),
        (11, "topic 'sessions', retention = 7 won't do; write how long messages are kept, as in \"7 d\""),
        (
            12,
            "topic 'sessions', cleanup = 'shrink' won't do; write 'delete' or 'compact' or 'compact,delete'",
        ),
        (13, "topic 'sessions', timestamps = 'AppendTime' won't do"),
        (15, "topic 'bad name', the name won't do"),
        (22, "topic 'scores', a compacted topic keeps the newest of each key"),
        (23, "topic 'scores', min_insync_replicas is 2 of 1 copies: nothing could be written"),
        (26, "topic 'control', it needs partitions = 1"),
        (29, "topic 'late', partitions is missing"),
        (29, "topic 'late', retention is missing"),
        (30, "topic 'late', config: write retention instead of 'retention.ms'"),
        (30, "topic 'late', config: 'a.b' needs a text or a number"),
        (32, "topic '__consumer_offsets', the name won't do"),
    ]
    assert len(found) == len(wanted), "\n".join(found)
    for problem, (line, said) in zip(found, wanted, strict=True):
        assert problem.startswith(f", line {line}: {said}"), problem


@pytest.mark.parametrize("text", ["", "topics = 3", "[topics]"])
def test_a_file_without_topics(tmp_path: Path, text: str) -> None:
    (problem,) = _problems(tmp_path, text)
    assert "no topics are declared" in problem


def test_a_topic_that_is_no_section(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, "[topics]\nevents = 3\n")
    assert problem.endswith("topic 'events' must be a section: [topics.events]")


def test_a_file_that_is_no_toml_or_is_not_there(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, "[topics.events\n")
    assert "isn't TOML" in problem
    assert "line 1" in problem
    with pytest.raises(UsageError, match="can't be read"):
        load_topics(tmp_path / "none.toml")
