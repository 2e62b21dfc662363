"""`footfall simulate kafka://TOPIC`: traffic as it would come, into a topic."""

import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from rich.console import Console

from footfall.errors import UsageError
from footfall.kafka_client import KafkaClient
from footfall.settings import Settings
from footfall.simulate import Simulation, SimulationSummary
from footfall.simulate_command import print_summary
from footfall.simulate_to_kafka import simulate_to_kafka


def send_traffic(
    chosen: Mapping[str, Any], settings: Settings, topic: str, *, as_json: bool
) -> SimulationSummary:
    """Simulate with the chosen fields of `Simulation`, and send the records when they would come.

    SIGTERM ends it early. Without a seed, each call sends another traffic, with ids of its own.

    Raises:
        SettingsError: values out of bounds.
        UsageError: no cluster is named.
        BrokerError: the topic isn't there, or Kafka is away.
    """
    if not settings.kafka:
        raise UsageError("a topic is in a cluster: write --kafka HOST:PORT")
    client = KafkaClient(settings.kafka, settings.kafka_properties)
    stop = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        plan = Simulation(**{"seed": int(time.time()), **chosen})
        summary = simulate_to_kafka(plan, client, topic, stop=stop)
    finally:
        signal.signal(signal.SIGTERM, before)
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary, enc_hook=str).decode() + "\n")
    else:
        print_summary(summary, Console(highlight=False))
    return summary
