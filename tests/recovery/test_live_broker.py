"""A live run whose Kafka changes under it: a broker killed, a leader moved, a partition added. Its answers don't."""

import time
from functools import partial
from pathlib import Path

from command_line import wait_until
from kafka_broker import KafkaBroker, KafkaCluster
from live_runs import LIMIT, Feed, LiveCase, differences, in_one_piece, running, traffic

VISITORS = 600
OFTEN = ("--snapshot-interval", "500 ms", "--batch-size", 1_000)


def read_some(case: LiveCase, share: float, feed: Feed) -> None:
    """Let a share of the records go out, and wait until most of them have been read."""
    feed.release(share)
    goal = int(0.9 * share * len(feed.records))
    assert wait_until(lambda: case.records() >= goal, LIMIT), f"{case.records()} of {goal} records"


def test_a_broker_that_is_killed_and_restarted_costs_nothing(tmp_path: Path, kafka: KafkaBroker) -> None:
    topic = kafka.new_topic(3)
    feed = Feed(kafka.bootstrap, topic, traffic(tmp_path, VISITORS))
    feed.begin()
    with running(LiveCase(tmp_path / "killed", kafka, topic, *OFTEN), feed) as case:
        leg = case.start()
        case.wait_until_ready(leg)
        for number in range(2):
            read_some(case, 0.2 + 0.3 * number, feed)
            kafka.kill()
            # What comes meanwhile waits where it is produced, and what was found waits for its topic.
            feed.release(0.4 + 0.3 * number)
            time.sleep(3)
            kafka.restart()
        feed.seal(3)
        case.wait_until_settled(leg)
        assert case.total("worker_restarts_total") == 0, case.said(leg)
        killed = case.answers(case.stop(leg))
    assert differences(in_one_piece(tmp_path / "whole", kafka, topic), killed) == []


def test_leaders_that_move_cost_nothing(tmp_path: Path, kafka_cluster: KafkaCluster) -> None:
    topic = kafka_cluster.new_topic(3)
    feed = Feed(kafka_cluster.bootstrap, topic, traffic(tmp_path, VISITORS))
    feed.begin()
    moved = 0
    with running(LiveCase(tmp_path / "moved", kafka_cluster, topic, *OFTEN), feed) as case:
        leg = case.start()
        case.wait_until_ready(leg)
        for number in range(2):
            before = leaders(kafka_cluster, topic)
            node = before[number]
            read_some(case, 0.2 + 0.35 * number, feed)
            kafka_cluster.kill(node)
            feed.release(0.4 + 0.35 * number)
            gone = wait_until(partial(leads_nothing, kafka_cluster, topic, node), LIMIT)
            assert gone, "no other leader is chosen"
            moved += sum(
                one != other for one, other in zip(before, leaders(kafka_cluster, topic), strict=True)
            )
            kafka_cluster.restart(node)
        feed.seal(3)
        case.wait_until_settled(leg)
        assert case.total("worker_restarts_total") == 0, case.said(leg)
        answers = case.answers(case.stop(leg))
    assert moved >= 2
    assert differences(in_one_piece(tmp_path / "whole", kafka_cluster, topic), answers) == []


def leaders(cluster: KafkaCluster, topic: str) -> list[int]:
    """The leader of each partition; below 0 for none."""
    partitions = cluster.admin.list_topics(topic, timeout=10).topics[topic].partitions
    return [partitions[number].leader for number in sorted(partitions)]


def leads_nothing(cluster: KafkaCluster, topic: str, node: int) -> bool:
    """Whether every partition of a topic has another leader."""
    now = leaders(cluster, topic)
    return node not in now and min(now) >= 0


def test_a_partition_that_is_added_is_taken_up(tmp_path: Path, kafka: KafkaBroker) -> None:
    # Records have arrivals of their own here, and at the end of an empty partition nothing is promised.
    topic = kafka.new_topic(2, log_append_time=False)
    records = traffic(tmp_path, VISITORS)
    half = len(records) // 2
    first = Feed(kafka.bootstrap, topic, records[:half])
    first.begin()
    look = ("--partition-check", "500 ms")
    with running(LiveCase(tmp_path / "grown", kafka, topic, *OFTEN, *look), first) as case:
        leg = case.start(2)
        case.wait_until_ready(leg)
        read_some(case, 1.0, first)
        kafka.add_partitions(topic, 3)
        alerted = wait_until(lambda: case.metrics().get('footfall_alert{name="partition_added"}') == 1, LIMIT)
        assert alerted, case.said(leg)
        # The alert ends when the new partition is read; the run was never down.
        taken_up = wait_until(
            lambda: (
                case.total("ready") == 1 and case.metrics().get('footfall_alert{name="partition_added"}') == 0
            ),
            LIMIT,
        )
        assert taken_up, case.said(leg)
        assert leg.process.poll() is None
        rest = Feed(kafka.bootstrap, topic, records[half:])
        try:
            rest.seal(3)
            case.wait_until_settled(leg)
        finally:
            rest.close()
        said = case.said(leg)
        answers = case.answers(case.stop(leg))
    assert '"event":"partition_added"' in said
    whole = in_one_piece(tmp_path / "whole", kafka, topic)
    # Where a visitor's records move, a run that has all partitions from the beginning tells early what this one
    # held back: what stands at the end is the same.
    assert differences(whole.standing(), answers.standing()) == []
