"""Patterns and rules that change while a live run reads, with kills: as if both sets had always been known."""

import json
import os
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command_line import Started, run, wait_until
from kafka_broker import KafkaBroker
from kafka_messages import read_topic, topic_ends
from live_runs import LIMIT, PATTERNS, Answers, Feed, LiveCase, differences, running, traffic

LONG = os.environ.get("TORTURE") == "1"
VISITORS = 1_500
PARTITIONS = 4
OFTEN = ("--snapshot-interval", "300 ms", "--batch-size", 1_000, "--pattern-check", "200 ms")

CHANGED = (
    PATTERNS
    + """
from footfall.pattern_files import shipped_pattern

rage_click = shipped_pattern("rage_click", times=4)
del customer_inactive, inactive, exits
abandonment = TriggerRule(
    "abandonment", pattern="booking_abandoned", action="remind_sooner", delay="30 min",
    withdrawn_by=event.is_in(["booking_completed", "order_completed"]), **ALWAYS,
)
price_help = TriggerRule("price_help", pattern="price_checked_repeatedly", action="discount", delay="10 min", **ALWAYS)
dead_help = TriggerRule("dead_help", pattern="dead_click", action="chat", kind="early", **ALWAYS)
"""
)
BROKEN = PATTERNS + "\nrage_click = shipped_pattern(\n"


class Changing:
    """A live run whose patterns change after part of the records."""

    def __init__(self, folder: Path, broker: KafkaBroker, *, workers: int) -> None:
        self.broker = broker
        self.workers = workers
        self.topic = broker.new_topic(PARTITIONS)
        self.case = LiveCase(folder, broker, self.topic, *OFTEN)
        self.feed = Feed(broker.bootstrap, self.topic, traffic(folder, VISITORS))
        self.feed.begin()
        self.leg = self.case.start(workers)
        self.case.wait_until_ready(self.leg)

    def read(self, share: float) -> None:
        """Have it read that share of the records."""
        self.feed.release(share)
        goal = int(share * len(self.feed.records))
        assert wait_until(lambda: self.case.records() >= goal or _over(self.leg), LIMIT), self.said()
        assert not _over(self.leg), self.said()

    def write(self, patterns: str) -> None:
        """Change the files."""
        (self.case.folder / "patterns" / "all.py").write_text(patterns, encoding="utf-8")

    def controls(self) -> list[dict[str, Any]]:
        """The control records that its state has."""
        kept = json.loads((self.case.state / "controls.json").read_text(encoding="utf-8"))
        records: list[dict[str, Any]] = kept["records"]
        return records

    def wait_for_records(self, count: int) -> None:
        """Wait until its state has so many control records."""
        assert wait_until(lambda: len(self.controls()) >= count or _over(self.leg), LIMIT), self.said()
        assert not _over(self.leg), self.said()

    def kill(self, target: str, random: Random) -> None:
        """Kill a worker, or the parent, or all; a run without a parent is started again."""
        workers = self.leg.workers()
        if target == "worker" and workers:
            self.leg.kill(random.choice(workers))
        elif target != "worker":
            self.case.kill(self.leg, target)
            self.leg = self.case.start(self.workers)

    def finish(self) -> Answers:
        """Let it read the rest and stop it: what it answered."""
        self.feed.seal(PARTITIONS)
        self.case.wait_until_settled(self.leg)
        return self.case.answers(self.case.stop(self.leg))

    def said(self) -> str:
        return self.case.said(self.leg)


def _over(leg: Started) -> bool:
    return leg.process.poll() is not None


def knowing_all(folder: Path, broker: KafkaBroker, topic: str, state: Path) -> Answers:
    """What a run answers that has had another one's control records from the start."""
    with running(LiveCase(folder, broker, topic)) as case:
        (case.folder / "patterns" / "all.py").write_text(CHANGED, encoding="utf-8")
        case.state.mkdir()
        (case.state / "controls.json").write_bytes((state / "controls.json").read_bytes())
        leg = case.start()
        case.wait_until_settled(leg)
        return case.answers(case.stop(leg))


@pytest.mark.timeout(580)
@pytest.mark.parametrize("workers", [1, 2] if LONG else [2])
def test_patterns_that_change_under_kills_answer_as_if_they_had_always_been_known(
    tmp_path: Path, kafka: KafkaBroker, workers: int
) -> None:
    random = Random(workers)
    run_ = Changing(tmp_path / "changed", kafka, workers=workers)
    with running(run_.case, run_.feed):
        run_.read(0.3)
        run_.write(CHANGED)
        for target in ("worker", "parent", "worker", "all"):
            # It is noticed within half a second, and taken up within another few hundredths.
            time.sleep(random.uniform(0, 1.2))
            run_.kill(target, random)
        run_.case.wait_until_ready(run_.leg)
        run_.wait_for_records(2)
        run_.read(0.6)
        run_.kill("all", random)
        changed = run_.finish()
        first, second = run_.controls()
    assert (first["from"], first["number"], second["number"]) == (None, 0, 1)
    told = [
        json.loads(each.value) for each in read_topic(kafka.bootstrap, "control", run_.case.since("control"))
    ]
    assert [each["number"] for each in told][-2:] == [0, 1]
    assert told[-2:] == [first, second]

    whole = knowing_all(tmp_path / "whole", kafka, run_.topic, run_.case.state)
    assert differences(whole, changed) == []
    versions = {
        (row["pattern"], row["pattern_version"]) for row in whole.rows["matches"].iter_rows(named=True)
    }
    assert len([name for name, _ in versions if name == "rage_click"]) == 2, (
        "both versions of a pattern have matched"
    )
    rules = {row["rule"] for row in whole.rows["triggers"].iter_rows(named=True)}
    assert {"price_help", "dead_help", "exits"} <= rules

    ended = run(
        "replay",
        f"kafka://{run_.topic}",
        *("--kafka", kafka.bootstrap, "--keyed-by-visitor", "--store", "none", "--json"),
        *("--patterns", "kafka://control"),
        cwd=tmp_path,
    )
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["answer"] == changed.answer


@pytest.mark.timeout(120)
def test_a_broken_file_leaves_the_old_set_running_and_raises_an_alert(
    tmp_path: Path, kafka: KafkaBroker
) -> None:
    run_ = Changing(tmp_path / "broken", kafka, workers=1)
    with running(run_.case, run_.feed):
        run_.read(0.2)
        assert run_.case.total("alert", having='"broken_patterns"') == 0
        run_.write(BROKEN)
        assert wait_until(lambda: run_.case.total("alert", having='"broken_patterns"') == 1, 20), run_.said()
        run_.read(0.4)
        assert "patterns_broken" in run_.said()
        assert "line" in run_.said()
        assert len(run_.controls()) == 1
        # A start with broken files goes on with what was in force.
        run_.kill("parent", Random(1))
        run_.case.wait_until_ready(run_.leg)
        assert wait_until(lambda: run_.case.total("alert", having='"broken_patterns"') == 1, 20), run_.said()
        run_.write(CHANGED)
        assert wait_until(lambda: run_.case.total("alert", having='"broken_patterns"') == 0, 20), run_.said()
        run_.wait_for_records(2)
        run_.read(0.6)
        assert "patterns_switched" in run_.said()
        run_.case.stop(run_.leg)
    assert topic_ends(kafka.bootstrap, "control")[0] > 0
