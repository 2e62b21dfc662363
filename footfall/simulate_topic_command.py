"""`footfall simulate kafka://TOPIC`: traffic as it would come, into a topic."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import msgspec
from rich.console import Console

from footfall.errors import UsageError
from footfall.kafka_client import LOGGER, KafkaClient
from footfall.settings import Settings
from footfall.simulate_plan import Simulation, check_rate, with_visitors_enough
from footfall.simulate_sending import SendingView
from footfall.simulate_to_kafka import Beginning, TopicSummary, check_speed, simulate_to_kafka


def send_traffic(
    chosen: Mapping[str, Any], settings: Settings, topic: str, *, speed: float = 1.0, as_json: bool
) -> int:
    """Simulate with the chosen fields of `Simulation`, send the records when they would come, print what was sent.

    SIGINT and SIGTERM end it early; the exit code is then 128 and the signal's number, else 0. Without a seed, each
    call sends another traffic, with ids of its own; without visitors, there are enough for the rate.

    Raises:
        SettingsError: values out of bounds, or the visitors can't give the rate.
        UsageError: no cluster is named, the speed won't do, or the topic isn't there.
        BrokerError: Kafka is away, or refuses.
    """
    if not settings.kafka and settings.kafka_properties is None:
        raise UsageError("a topic is in a cluster: write --kafka HOST:PORT")
    check_speed(speed)
    plan = Simulation(**{"seed": int(time.time()), "start": int(time.time() * 1000), **chosen})
    if "visitors" not in chosen:
        plan = with_visitors_enough(plan)
    check_rate(plan)
    client = KafkaClient(settings.kafka, settings.kafka_properties)
    with _stop_taken() as stop, _librdkafka_silent():
        view = _View(stop)
        view.starting(topic, client.servers)
        try:
            summary = simulate_to_kafka(plan, client, topic, speed=speed, stopped=stop.asked, watch=view)
        except KeyboardInterrupt:
            if stop.number is None:
                raise
            view.say("footfall: stopped at once, and nothing counted")
            return 128 + stop.number
        finally:
            view.close()
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        print_sent(summary, Console(highlight=False))
    return 0 if stop.number is None else 128 + stop.number


def print_sent(summary: TopicSummary, console: Console) -> None:
    """Print what was sent, for people."""
    lost = f", [bold]{summary.unacknowledged:,} not acknowledged[/]" if summary.unacknowledged else ""
    console.print(
        f"[bold]{summary.records:,} records[/] of {summary.visitors:,} visitors sent to topic {summary.topic}{lost}: "
        f"{summary.events:,} events, {summary.duplicates:,} copies, {summary.dirty:,} malformed"
    )
    planted = ", ".join(f"{name} {count:,}" for name, count in summary.plants.items())
    console.print(f"planted, and certain by what was sent: {planted or 'nothing yet'}")


class _Stop:
    """The signals that ask for an end: before the sending has begun, and the second time, they end it at once.

    Attributes:
        number: the first that came; None so far.
        preparing: whether the sending hasn't begun.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.preparing = True

    def asked(self) -> bool:
        return self.number is not None

    def take(self, number: int, _frame: FrameType | None) -> None:
        again = self.asked()
        self.number = self.number or number
        if again or self.preparing:
            raise KeyboardInterrupt


class _View(SendingView):
    def __init__(self, stop: _Stop) -> None:
        super().__init__()
        self._stop = stop

    def begin(self, beginning: Beginning) -> None:
        super().begin(beginning)
        self._stop.preparing = False


@contextmanager
def _stop_taken() -> Iterator[_Stop]:
    stop = _Stop()
    in_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if in_main else ()
    before = {number: signal.signal(number, stop.take) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _librdkafka_silent() -> Iterator[None]:
    """Without librdkafka's own lines, at every try anew: what matters comes as an error, and is told by the view."""
    level = LOGGER.level
    LOGGER.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        LOGGER.setLevel(level)
