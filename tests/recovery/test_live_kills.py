"""A live run that is killed, again and again, while records come: in the end all is as if nobody had touched it.

`make torture` runs the long form: 25 kills during 2,000,000 events, with 1 and with 2 workers.
"""

import os
import time
from pathlib import Path
from random import Random

import pytest
from command_line import Started, wait_until
from kafka_broker import KafkaBroker
from live_runs import Feed, LiveCase, differences, traffic

LONG = os.environ.get("TORTURE") == "1"
KILLS, VISITORS = (25, 119_000) if LONG else (4, 1_200)
PARTITIONS = 4
TARGETS = ("worker", "parent", "all")
WITHIN = 1_800.0 if LONG else 120.0


class Victim:
    """A run under attack: its legs, and when each was killed."""

    def __init__(self, case: LiveCase, feed: Feed, workers: int) -> None:
        self.case = case
        self.feed = feed
        self.workers = workers
        self.kills: list[tuple[str, int]] = []
        self.leg = case.start(workers)
        began = time.monotonic()
        case.wait_until_ready(self.leg, WITHIN)
        self.startup = time.monotonic() - began

    def attack(self, target: str, goal: int, random: Random, *, starting: bool) -> bool:
        """Kill a part of it, at a random moment of its start or when it has read so many records; whether it could."""
        leg = self.leg
        if starting:
            time.sleep(random.uniform(0, self.startup))
        else:
            reached = wait_until(lambda: self.case.records() >= goal or _over(leg), WITHIN)
            assert reached, f"it doesn't get to {goal}: {self.case.said(leg)}"
            assert not _over(leg), self.case.said(leg)
            time.sleep(random.uniform(0, 0.3))
        at = self.case.records()
        if target == "worker":
            workers = leg.workers()
            if not workers:
                return False
            leg.kill(random.choice(workers))
        else:
            self.case.kill(leg, target)
            self.leg = self.case.start(self.workers)
        self.kills.append((target, at))
        return True


def _over(leg: Started) -> bool:
    return leg.process.poll() is not None


@pytest.mark.timeout(7_200 if LONG else 300)
@pytest.mark.parametrize("workers", [1, 2] if LONG else [2])
def test_a_live_run_that_is_killed_again_and_again_answers_as_one_that_is_not(
    tmp_path: Path, kafka: KafkaBroker, workers: int
) -> None:
    random = Random(workers)
    records = traffic(tmp_path, VISITORS)
    topic = kafka.new_topic(PARTITIONS)
    often = ("--snapshot-interval", "2 s" if LONG else "300 ms", *(() if LONG else ("--batch-size", 1_000)))
    case = LiveCase(tmp_path / "killed", kafka, topic, *often)
    feed = Feed(kafka.bootstrap, topic, records)
    feed.begin()
    began = time.monotonic()
    try:
        victim = Victim(case, feed, workers)
        while len(victim.kills) < KILLS:
            number = len(victim.kills)
            goal = (number + random.uniform(0.1, 0.9)) / KILLS
            feed.release((number + 1) / KILLS)
            victim.attack(TARGETS[number % 3], int(goal * len(records)), random, starting=number % 4 == 3)
        feed.seal(PARTITIONS)
        case.wait_until_settled(victim.leg, WITHIN)
        killed = case.answers(case.stop(victim.leg))
    finally:
        feed.close()
        case.close()
    took = time.monotonic() - began

    plain = LiveCase(tmp_path / "whole", kafka, topic)
    try:
        leg = plain.start()
        plain.wait_until_settled(leg, WITHIN)
        whole = plain.answers(plain.stop(leg))
    finally:
        plain.close()
    found = {name: len(messages) for name, messages in whole.accepted.items()}
    assert all(found.values()), "no topic without messages that could be lost"
    assert all(rows.height for rows in whole.rows.values()), "no table without rows that could be lost"
    assert differences(whole, killed) == []
    print(
        f"\n{workers} workers, {len(records):,} records, killed {len(victim.kills)} times in {took:.0f} s, "
        f"at {victim.kills}: {found}; answer {whole.answer}"
    )
    assert sum(0 < at < len(records) for _, at in victim.kills) >= KILLS // 2
