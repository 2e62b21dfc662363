"""Simulated traffic onto a Kafka topic, at the pace at which it would come, or faster.

Keys are visitors, so that a visitor's records come from one partition.

**Times.** At speed 1 a record's time is that of the clock, and where the broker dates a topic's records, they don't
tell their arrival: those that do stop the clock of a partition that is quiet (see `footfall.kafka_end`). Faster, times
run ahead of the clock from now on, and records tell their arrival. They can't begin in the past instead: who reads the
topic live has been promised that nothing earlier comes, and rules don't act on what was due before they were deployed.
For the same reason times go on from where a topic's records end, if that lies ahead of the clock.
"""

import math
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from footfall.errors import BrokerError, UsageError
from footfall.kafka_client import KafkaClient, broker_error, explain
from footfall.kafka_metadata import KafkaMetadata
from footfall.simulate_plan import Simulation
from footfall.simulate_play import Played, Player

SCHEME = "kafka://"

_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_ARRIVAL = re.compile(rb'"(?:arrival_time|receivedAt)":"([^"]{1,40})"')
_MOST_SPEED = 1_000_000.0
_LOOKUP_SECONDS, _LOOKUP_TURN = 10.0, 0.5
_LAST_RECORDS = 20
_LAST_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0
_STOP_SECONDS = 1.0
_AWAY_SECONDS = 2.0
_TURN_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What is about to be sent.

    Attributes:
        topic: where to; `servers`: the brokers asked first; `partitions`: how many the topic has.
        plan: from its `start` on, which lies at or ahead of `now` (ms).
        speed: how many times as fast as the clock.
        dated: whether records tell when they arrive; otherwise the broker dates them.
    """

    topic: str
    servers: str
    partitions: int
    plan: Simulation
    now: int
    speed: float
    dated: bool


@dataclass(frozen=True, kw_only=True)
class TopicSummary:
    """What was sent to a topic.

    Attributes:
        records: sent: `events` + `duplicates` (copies of them) + `dirty` (malformed ones).
        unacknowledged: how many of them Kafka hasn't acknowledged; they may stand in the topic or not.
        visitors: of whom a record was sent.
        first_time: the simulated time at which it began; last_time: the arrival of the last record, ms.
        plants: pattern -> how many occurrences are certain by what was sent, about: the last stretch isn't counted.
    """

    topic: str
    records: int
    unacknowledged: int
    events: int
    duplicates: int
    dirty: int
    visitors: int
    first_time: int
    last_time: int
    plants: dict[str, int]


class Watch:
    """Is told how the sending goes; this one does nothing."""

    def begin(self, beginning: Beginning) -> None:
        """The topic is there, and sending begins."""

    def note(self, played: Played, waiting: int) -> None:
        """So far; `waiting` records aren't acknowledged yet. It comes ten times a second or more often."""

    def away(self, reason: str) -> None:
        """The brokers can't be reached; what is sent waits."""

    def back(self) -> None:
        """They can be reached again."""


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


def check_speed(speed: float) -> None:
    """See to it that a speed will do.

    Raises:
        UsageError: it won't; slower than the clock, records would come too late for who reads them live.
    """
    if not (math.isfinite(speed) and 1 <= speed <= _MOST_SPEED):
        raise UsageError(f"a speed of {speed:g} won't do; write 1 to {_MOST_SPEED:,.0f}")


def simulate_to_kafka(
    plan: Simulation,
    client: KafkaClient,
    topic: str,
    *,
    speed: float = 1.0,
    clock: Callable[[], float] = time.time,
    stopped: Callable[[], bool] = lambda: False,
    watch: Watch | None = None,
) -> TopicSummary:
    """Send the traffic of a plan as it goes, and say what was sent.

    Args:
        plan: its `start` is set to now, its `partitions` to 1: the topic's own are used.
        client: the cluster.
        topic: where to.
        speed: how many times as fast as the clock times run.
        clock: Unix time in seconds.
        stopped: whether to end early; then what isn't acknowledged within a second is given up.
        watch: is told how it goes.

    Raises:
        UsageError: the speed won't do, or the topic isn't there.
        BrokerError: Kafka can't be reached, refuses, or acknowledges nothing for a minute.
    """
    check_speed(speed)
    watch = watch or Watch()
    producer = _Producer(client, topic, watch, stopped)
    try:
        partitions = producer.partitions()
        now = int(clock() * 1000)
        start = max(now, (_latest_arrival(client, topic, partitions, stopped) or 0) + 1_000)
        broker_dates = KafkaMetadata(client, _LOOKUP_SECONDS).broker_dated([topic])[topic]
        dated = speed != 1 or start > now or not broker_dates
        # What was asked meanwhile took its time.
        now = int(clock() * 1000)
        plan = replace(plan, start=max(start, now), partitions=1)
        watch.begin(
            Beginning(
                topic=topic,
                servers=client.servers,
                partitions=partitions,
                plan=plan,
                now=now,
                speed=speed,
                dated=dated,
            )
        )
        player = Player(
            plan,
            producer,
            clock=clock,
            speed=speed,
            dated=dated,
            stopped=stopped,
            watch=lambda so_far: watch.note(so_far, producer.waiting),
        )
        player.play()
        producer.finish()
    finally:
        producer.close()
    played = player.played
    return TopicSummary(
        topic=topic,
        records=played.records,
        unacknowledged=producer.waiting,
        events=played.events,
        duplicates=played.duplicates,
        dirty=played.dirty,
        visitors=played.visitors,
        first_time=plan.start,
        last_time=played.time,
        plants=dict(played.plants.most_common()),
    )


class _Producer:
    """Sends to a topic, and counts what is acknowledged.

    Attributes:
        waiting: how many records were sent and not acknowledged.
    """

    def __init__(self, client: KafkaClient, topic: str, watch: Watch, stopped: Callable[[], bool]) -> None:
        self.waiting = 0
        self._stopped = stopped
        self._topic = topic
        self._watch = watch
        self._sent = 0
        self._heard = time.monotonic()
        self._away = False
        self._trouble: KafkaError | None = None
        self._failure: KafkaError | None = None
        own = client.producer_config(linger_ms=20, compression_type="lz4")
        self._producer = Producer(own | {"error_cb": self._note_error})

    def partitions(self) -> int:
        """How many the topic has."""
        until = time.monotonic() + _LOOKUP_SECONDS
        while True:
            try:
                found = self._producer.list_topics(self._topic, timeout=_LOOKUP_TURN).topics[self._topic]
            except KafkaException as error:
                self._producer.poll(0)
                self._be_away()
                if self._stopped() or time.monotonic() > until:
                    raise broker_error(error, f"asking for topic {self._topic}") from error
            else:
                break
        self._be_back()
        if found.error is not None:
            failed = broker_error(found.error, f"asking for topic {self._topic}")
            if failed.code in {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"}:
                raise UsageError(str(failed))
            raise failed
        return len(found.partitions)

    def send(self, value: bytes, key: bytes) -> bool:
        if not self.waiting:
            self._heard = time.monotonic()
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=self._note)
            except BufferError:
                if self._stopped():
                    return False
                self.serve(_TURN_SECONDS)
            except KafkaException as error:
                raise broker_error(error, f"sending to topic {self._topic}") from error
            else:
                self.waiting += 1
                self._sent += 1
                self.serve(0.0)
                return True

    def serve(self, seconds: float) -> None:
        self._producer.poll(seconds)
        if self._failure is not None:
            raise self._failed(self._failure)
        silent = time.monotonic() - self._heard if self.waiting else 0.0
        if silent > _AWAY_SECONDS:
            self._be_away()
        if silent > _PATIENCE_SECONDS:
            raise self._failed(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - public by documentation

    def finish(self) -> None:
        """Wait for what isn't acknowledged; once it is stopped, for a second."""
        self._heard = time.monotonic()
        until = math.inf
        while self.waiting and time.monotonic() < until:
            if self._stopped():
                until = min(until, time.monotonic() + _STOP_SECONDS)
            self._producer.flush(_TURN_SECONDS)
            self.serve(0.0)

    def close(self) -> None:
        """Give up what still waits."""
        self._producer.purge()
        self._producer.poll(0)

    def _note(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failure = self._failure or error
            return
        self.waiting -= 1
        self._heard = time.monotonic()
        self._be_back()

    def _note_error(self, error: KafkaError) -> None:
        # That all brokers are down comes after the reason why.
        if error.name() != "_ALL_BROKERS_DOWN" or self._trouble is None:
            self._trouble = error

    def _be_away(self) -> None:
        """Say once that nothing is answered; one broker of several may be gone without that."""
        if not self._away and self._trouble is not None:
            self._away = True
            self._watch.away(explain(self._trouble))

    def _be_back(self) -> None:
        self._trouble = None
        if self._away:
            self._away = False
            self._watch.back()

    def _failed(self, error: KafkaError) -> BrokerError:
        failed = broker_error(error, f"sending to topic {self._topic}")
        counts = f"{self._sent - self.waiting:,} records were acknowledged, {self.waiting:,} weren't"
        return BrokerError(f"{failed}; {counts}", code=failed.code, retriable=failed.retriable)


def _latest_arrival(
    client: KafkaClient, topic: str, partitions: int, stopped: Callable[[], bool]
) -> int | None:
    """The latest arrival (ms) that the last records of a topic tell; None if they tell none."""
    metadata = KafkaMetadata(client, _LOOKUP_SECONDS)
    places = [(topic, number) for number in range(partitions)]
    first, ends = metadata.offsets(places, "earliest"), metadata.offsets(places, "latest")
    wanted = [
        TopicPartition(topic, place[1], max(first[place], end - _LAST_RECORDS))
        for place, end in ends.items()
        if end > first[place]
    ]
    if not wanted:
        return None
    consumer = Consumer(client.consumer_config(fetch_wait_max_ms=100))
    found: list[int] = []
    try:
        consumer.assign(wanted)
        open_partitions = {each.partition for each in wanted}
        until = time.monotonic() + _LAST_SECONDS
        while open_partitions and time.monotonic() < until and not stopped():
            for message in consumer.consume(1_000, _TURN_SECONDS):
                number, offset = message.partition(), message.offset() or 0
                if message.error() is not None or number is None:
                    # Its end, or its oldest records have just been deleted.
                    open_partitions.discard(-1 if number is None else number)
                    continue
                if (told := _ARRIVAL.search(message.value() or b"")) is not None:
                    with suppress(ValueError):  # one of those that are malformed on purpose
                        found.append(int(datetime.fromisoformat(told[1].decode()).timestamp() * 1000))
                if offset >= ends[topic, number] - 1:
                    open_partitions.discard(number)
    finally:
        consumer.close()
    return max(found, default=None)
