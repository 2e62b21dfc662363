"""What a newcomer does first: `footfall live`, and faster traffic for it, so that triggers are seen within minutes."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from command_line import Started
from kafka_broker import KafkaBroker
from kafka_fixtures import NewTopic
from kafka_messages import read_topic, topic_ends
from live_runs import outputs

WANTED = {"booking_reminder", "cart_reminder"}
HOUR = 3_600


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_an_hours_wait_is_over_in_seconds(kafka: KafkaBroker, new_topic: NewTopic, tmp_path: Path) -> None:
    outputs(kafka)
    since, topic = topic_ends(kafka.bootstrap, "triggers"), new_topic(partitions=4)

    def triggers() -> list[dict[str, Any]]:
        return [json.loads(each.value) for each in read_topic(kafka.bootstrap, "triggers", since)]

    began = time.time()
    live = Started(
        *(
            "live",
            "--kafka",
            kafka.bootstrap,
            "--input-topics",
            topic,
            "--store",
            "none",
            "--state",
            tmp_path / "s",
        ),
        *("--early", "--keyed-by-visitor", "--metrics", "none", "--quiet", "--json"),
        cwd=tmp_path,
        terminal=True,
    )
    traffic = Started(
        *("simulate", f"kafka://{topic}", "--kafka", kafka.bootstrap, "--rate", 2, "--speed", 240),
        *("--duration", "12 h", "--json"),
        cwd=tmp_path,
        terminal=True,
    )
    with live, traffic:
        until = time.monotonic() + 150
        while not {each["rule"] for each in triggers()} >= WANTED:
            assert time.monotonic() < until, bytes(traffic._shown)[-400:]
            time.sleep(1)
        assert traffic.process.poll() is None
        traffic.process.terminate()
        sent = traffic.ended(20)
        live.process.terminate()
        ended = live.ended(60)
    assert (sent.code, ended.code) == (143, 143)
    report, summary = json.loads(ended.out), json.loads(sent.out)
    for each in triggers():
        if each["rule"] in WANTED:
            # Due an hour after the match's first event, which is after the rule was deployed.
            assert at(each["due_time"]) > began + HOUR - 60
            assert at(each["due_time"]) < summary["last_time"] / 1000 + 60
    # Times that stood behind the clock would make most of it late.
    assert report["late"] < 0.05 * report["records"]
    assert report["records"] > 0.5 * summary["records"]
