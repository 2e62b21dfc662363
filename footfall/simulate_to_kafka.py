"""Simulated traffic onto a Kafka topic, at the pace at which it would come.

The plan is played from now on: first whole, into a file in the system's folder for temporary files, then line by line,
each when it arrives. Keys are visitors, so that a visitor's records come from one partition.
"""

import re
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from footfall.errors import BrokerError, UsageError
from footfall.kafka_client import KafkaClient, broker_error, explain
from footfall.simulate import Simulation, SimulationSummary, simulate

SCHEME = "kafka://"

_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_ARRIVAL = re.compile(rb'"(?:arrival_time|receivedAt)":"([^"]{1,40})"')
_VISITOR = re.compile(rb'"(?:visitor_id|anonymousId)":"([^"]{1,200})"')
_LOOKUP_SECONDS = 10.0
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0


def kafka_topic(output: str) -> str | None:
    """The topic that an output names as kafka://TOPIC; None for any other output.

    Raises:
        UsageError: it names none.
    """
    if not output.startswith(SCHEME):
        return None
    topic = output.removeprefix(SCHEME)
    if not _TOPIC.fullmatch(topic):
        raise UsageError(f"{output!r} names no topic; write kafka://TOPIC, as in kafka://events")
    return topic


def simulate_to_kafka(
    plan: Simulation,
    client: KafkaClient,
    topic: str,
    *,
    speed: float = 1.0,
    clock: Callable[[], float] = time.time,
    stop: threading.Event | None = None,
) -> SimulationSummary:
    """Send the traffic of a plan; what a replay of all of it has to find, and no files.

    Args:
        plan: its `start` is set to now, its `partitions` to 1: the topic's own are used.
        client: the cluster.
        topic: where to.
        speed: how many times as fast as it would come; times in the records don't change.
        clock: Unix time in seconds.
        stop: once set, the rest isn't sent.

    Raises:
        UsageError: the speed won't do.
        BrokerError: the topic isn't there, or Kafka takes nothing for a minute.
    """
    if not speed > 0:
        raise UsageError(f"a speed of {speed:g} won't do; write a number above 0")
    stop = stop or threading.Event()
    producer = _Producer(client, topic)
    began = clock()
    plan = replace(plan, start=int(began) * 1000, partitions=1)
    with tempfile.TemporaryDirectory(prefix="footfall-simulation-") as folder:
        summary = simulate(plan, Path(folder) / "events.ndjson")
        (records,) = summary.records
        # What was played while the plan was being made is sent at once.
        due = began
        with records.open("rb") as lines:
            for line in lines:
                arrival = _ARRIVAL.search(line)
                if arrival is not None:
                    with suppress(ValueError):  # one of those that are malformed on purpose
                        at = datetime.fromisoformat(arrival[1].decode()).timestamp()
                        due = max(due, began + (at - plan.start / 1000) / speed)
                while not stop.is_set() and (left := due - clock()) > 0:
                    producer.serve(0.0)
                    stop.wait(min(left, _POLL_SECONDS))
                if stop.is_set():
                    break
                visitor = _VISITOR.search(line)
                producer.send(line.rstrip(b"\n"), None if visitor is None else visitor[1])
        producer.finish()
    return replace(summary, records=(), plants_file=Path())


class _Producer:
    def __init__(self, client: KafkaClient, topic: str) -> None:
        self._topic = topic
        self._failure: KafkaError | None = None
        self._producer = Producer(client.producer_config(linger_ms=20, compression_type="lz4"))
        try:
            found = self._producer.list_topics(topic, timeout=_LOOKUP_SECONDS).topics[topic]
        except KafkaException as error:
            raise broker_error(error, f"asking for topic {topic}") from error
        if found.error is not None:
            raise broker_error(found.error, f"asking for topic {topic}")

    def send(self, value: bytes, key: bytes | None) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=self._note)
            except BufferError:
                if time.monotonic() > until:
                    raise self._stalled() from None
                self.serve(_POLL_SECONDS)
            except KafkaException as error:
                raise broker_error(error, f"sending to topic {self._topic}") from error
            else:
                self.serve(0.0)
                return

    def serve(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if self._failure is not None:
            raise broker_error(self._failure, f"sending to topic {self._topic}")

    def finish(self) -> None:
        if self._producer.flush(_PATIENCE_SECONDS):
            raise self._stalled()
        self.serve(0.0)

    def _note(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failure = self._failure or error

    def _stalled(self) -> BrokerError:
        why = explain(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - public by documentation
        return BrokerError(f"Kafka, sending to topic {self._topic}: {why}", code="_TIMED_OUT", retriable=True)
