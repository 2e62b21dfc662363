"""What a Kafka cluster says of itself: its id, topics and partitions, offsets, and who dates a topic's records."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its own examples import them so
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from footfall.errors import BrokerError
from footfall.kafka_client import LOGGER, KafkaClient, broker_error, error_of, explain

_MISSING = frozenset(
    {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "INVALID_TOPIC_EXCEPTION", "TOPIC_EXCEPTION"}
)
_SPECS: dict[str, OffsetSpec] = {
    "earliest": OffsetSpec.earliest(),  # type: ignore[no-untyped-call] # not annotated there
    "latest": OffsetSpec.latest(),  # type: ignore[no-untyped-call] # not annotated there
}
_SILENCE = frozenset({"_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN"})
_AGAIN = 0.1
_CHECK_SECONDS = 10.0
_LATER = 5.0  # how much longer than the request its answer may take to get here (s)

Start = str | int
"""A place in time: "earliest", "latest", or the first record of a time (ms, UTC) or later."""

Place = tuple[str, int]
"""A topic and the number of a partition."""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the cluster has it.

    Attributes:
        topic_id: tells it from a later one of the same name; "" where the cluster has no such ids.
        partitions: how many.
    """

    topic_id: str
    partitions: int


class KafkaMetadata:
    """Asks a cluster; each question takes at most `timeout` seconds and raises BrokerError where it isn't answered."""

    def __init__(self, client: KafkaClient, timeout: float = 30.0) -> None:
        self._timeout = timeout
        # What went wrong with the connections. It stands apart from this object, which the client would else keep
        # alive, and so itself, threads and sockets included, until the garbage collector comes by.
        self._troubles: list[KafkaError] = []
        self._servers = client.servers
        try:
            self._admin = AdminClient(client.admin_config() | {"error_cb": partial(_note, self._troubles)})
        except KafkaException as error:
            raise broker_error(error, "setting up a client") from error

    def cluster_id(self) -> str:
        """The cluster's id."""
        future = self._admin.describe_cluster(request_timeout=self._timeout)
        return str(self._answer(future, "asking for the cluster").cluster_id)

    def topics(self, names: Sequence[str]) -> dict[str, TopicFacts]:
        """The topics of those names that there are."""
        futures = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=self._timeout)
        found: dict[str, TopicFacts] = {}
        for name in names:
            try:
                topic = self._answer(futures[name], f"asking for topic {name}")
            except BrokerError as error:
                if error.code in _MISSING:
                    continue
                raise
            found[name] = TopicFacts(str(topic.topic_id or ""), len(topic.partitions))
        return found

    def offsets(self, places: Iterable[Place], start: Start) -> dict[Place, int]:
        """For each partition the offset at which reading from `start` begins.

        The latest is the end of what is readable, which open transactions hold back. Where no record is as late as a
        time, it is the latest too.
        """
        wanted = list(places)
        until = time.monotonic() + self._timeout
        while True:
            try:
                found = self._offsets(wanted, start)
                break
            except BrokerError as error:  # leaders move, and a new topic has none for a moment
                if not error.retriable or error.code in _SILENCE or time.monotonic() > until:
                    raise
                time.sleep(_AGAIN)
        lacking = [place for place, offset in found.items() if offset < 0]
        return found | (self._offsets(lacking, "latest") if lacking else {})

    def broker_dated(self, names: Iterable[str]) -> dict[str, bool | None]:
        """Whether the broker dates each topic's records (LogAppendTime); None where that can't be asked."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        found: dict[str, bool | None] = {}
        for resource, future in self._admin.describe_configs(
            resources, request_timeout=self._timeout
        ).items():
            try:
                entry = self._answer(future, "asking for configurations").get("message.timestamp.type")
            except BrokerError as error:  # it takes a right of its own, without which one can live
                LOGGER.debug("%s", error)
                entry = None
            found[resource.name] = None if entry is None else entry.value == "LogAppendTime"
        return found

    def _offsets(self, places: Sequence[Place], start: Start) -> dict[Place, int]:
        if not places:
            return {}
        spec = _SPECS[start] if isinstance(start, str) else OffsetSpec.for_timestamp(start)
        futures: Mapping[TopicPartition, Future[Any]] = self._admin.list_offsets(
            {TopicPartition(topic, number): spec for topic, number in places},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=self._timeout,
        )
        return {
            (each.topic, each.partition): int(
                self._answer(future, f"asking for offsets of {each.topic}").offset
            )
            for each, future in futures.items()
        }

    def _answer(self, future: "Future[Any]", doing: str) -> Any:
        try:
            return future.result(timeout=self._timeout + _LATER)
        except KafkaException as error:
            failed = broker_error(error, f"{doing} at {self._servers}")
            # The future holds the error, whose traceback would hold the future, and with it the client.
            error.with_traceback(None)
            # A request that wasn't sent in time doesn't say why.
            self._admin.poll(0)
            if self._troubles and failed.code in _SILENCE:
                trouble = self._troubles[-1]
                why = f"Kafka, {doing} at {self._servers}: {explain(trouble)}"
                raise BrokerError(why, code=trouble.name(), retriable=failed.retriable) from error
            raise failed from error
        except FutureTimeoutError as error:
            text = f"Kafka, {doing} at {self._servers}: no answer in {self._timeout:g} s"
            raise BrokerError(text, code="_TIMED_OUT", retriable=True) from error


def _note(troubles: list[KafkaError], error: KafkaError) -> None:
    """Keep the latest trouble; that all brokers are down comes after the reason why."""
    if error.name() != "_ALL_BROKERS_DOWN" or not troubles:
        troubles[:] = [error]


class TopicCheck:
    """Asks whether a topic is still there, without waiting for the answer; readers of one thread may share it.

    At most one question is under way. It pickles, without what it has asked.
    """

    def __init__(self, client: KafkaClient, topic: str) -> None:
        self._client = client
        self._topic = topic
        self._admin: AdminClient | None = None
        self._future: Future[Any] | None = None
        self._asked = float("-inf")
        self._answers = 0
        self._latest: TopicFacts | KafkaError | None = None

    def __reduce__(self) -> "tuple[type[TopicCheck], tuple[KafkaClient, str]]":
        return TopicCheck, (self._client, self._topic)

    def renew(self) -> int:
        """Let the next `ask` ask, whenever it was done last; how often the cluster has answered so far."""
        self._asked = float("-inf")
        return self._answers

    def ask(self, every: float) -> None:
        """Ask, if no answer is awaited, and nobody has asked for so many seconds."""
        now = time.monotonic()
        if self._future is not None or now - self._asked < every:
            return
        self._asked = now
        if self._admin is None:
            self._admin = AdminClient(self._client.admin_config())
        names = TopicCollection([self._topic])
        self._future = self._admin.describe_topics(names, request_timeout=_CHECK_SECONDS)[self._topic]

    def answer(self) -> tuple[int, TopicFacts | KafkaError | None]:
        """How often the cluster has answered, and what it answered last; None: nothing yet."""
        if self._future is not None and self._future.done():
            future, self._future = self._future, None
            self._answers += 1
            try:
                topic = future.result()
            except KafkaException as error:
                self._latest = error_of(error)
            else:
                self._latest = TopicFacts(str(topic.topic_id or ""), len(topic.partitions))
        return self._answers, self._latest
