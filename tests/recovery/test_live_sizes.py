"""A live run stopped and started with other numbers of workers, and a replay of the topic that it read."""

from functools import partial
from pathlib import Path

from command_line import replay, wait_until
from kafka_broker import KafkaBroker
from live_runs import Feed, LiveCase, differences, in_one_piece, running, traffic

VISITORS = 600


def test_stopped_and_started_with_one_two_and_three_workers(tmp_path: Path, kafka: KafkaBroker) -> None:
    topic = kafka.new_topic(4)
    feed = Feed(kafka.bootstrap, topic, traffic(tmp_path, VISITORS))
    feed.begin()
    with running(LiveCase(tmp_path / "resized", kafka, topic), feed) as case:
        read = 0
        for share, workers in ((0.3, 1), (0.6, 2), (0.8, 3)):
            leg = case.start(workers)
            case.wait_until_ready(leg)
            feed.release(share)
            assert wait_until(partial(_has_read, case, int(0.9 * share * len(feed.records))), 60)
            report = case.stop(leg)
            assert report["workers"] == workers
            assert report["records"] > read, "nothing was read by so many workers"
            read = report["records"]
        feed.seal(4)
        leg = case.start(1)
        case.wait_until_settled(leg)
        resized = case.answers(case.stop(leg))
    whole = in_one_piece(tmp_path / "whole", kafka, topic)
    assert differences(whole, resized) == []

    again = ("--kafka", kafka.bootstrap, "--patterns", tmp_path / "whole" / "patterns", "--store", "none")
    for workers in (1, 2):
        report = replay(f"kafka://{topic}", *again, "--workers", workers, cwd=tmp_path)
        assert report["answer"] == whole.answer


def _has_read(case: LiveCase, records: int) -> bool:
    return case.records() >= records
