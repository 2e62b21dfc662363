"""What makes a cluster's topics those that are declared, and the making of it.

Topics are created, partitions added and properties altered. Nothing is taken away: fewer partitions, another number
of copies, or a property that would delete messages sooner are left alone, with the reason; they are for people.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its own examples import them so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from footfall.errors import BrokerError
from footfall.kafka_client import KafkaClient, broker_error, explain
from footfall.topics import Topic

Action = Literal["create", "add partitions", "alter"]

_REQUEST_SECONDS = 30.0
_LATER_SECONDS = 5.0
_LOOK_SECONDS = 0.05
# Lower values of these delete messages sooner; -1 is without bound.
_RETENTIONS = frozenset({"retention.ms", "retention.bytes", "local.retention.ms", "local.retention.bytes"})


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the cluster has it; `config` holds its properties, those that nobody set among them."""

    partitions: int
    replication_factor: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do.

    Attributes:
        topic: the topic's name.
        action: what is done.
        declared: the topic as declared.
        before: partitions or properties as they are; empty for a new topic.
        after: what they become, by the same names.
    """

    topic: str
    action: Action
    declared: Topic
    before: Mapping[str, str]
    after: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A difference that isn't made away with: `found` differs from `declared`, and `reason` says why it stays so."""

    topic: str
    setting: str
    found: str
    declared: str
    reason: str


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What there is to do, what is left alone, and which topics agree already."""

    changes: tuple[Change, ...]
    left_alone: tuple[LeftAlone, ...]
    agreeing: tuple[str, ...]


def topic_plan(declared: Sequence[Topic], found: Mapping[str, FoundTopic]) -> TopicPlan:
    """Compare what is declared with what was found; topics that nobody declared don't count."""
    changes: list[Change] = []
    left: list[LeftAlone] = []
    agreeing: list[str] = []
    for topic in declared:
        there = found.get(topic.name)
        if there is None:
            facts = {"partitions": str(topic.partitions), "replication factor": str(topic.replication_factor)}
            changes.append(Change(topic.name, "create", topic, {}, facts | dict(topic.config)))
            continue
        own = [*_partition_changes(topic, there), *_config_changes(topic, there)]
        if topic.replication_factor != there.replication_factor:
            own.append(
                LeftAlone(
                    topic.name,
                    "replication factor",
                    str(there.replication_factor),
                    str(topic.replication_factor),
                    "copies are moved between brokers with kafka-reassign-partitions",
                )
            )
        changes += [each for each in own if isinstance(each, Change)]
        left += [each for each in own if isinstance(each, LeftAlone)]
        if not own:
            agreeing.append(topic.name)
    return TopicPlan(tuple(changes), tuple(left), tuple(agreeing))


def _partition_changes(topic: Topic, there: FoundTopic) -> Iterable[Change | LeftAlone]:
    before, after = str(there.partitions), str(topic.partitions)
    if topic.partitions < there.partitions:
        yield LeftAlone(
            topic.name, "partitions", before, after, "a topic can't lose partitions without losing messages"
        )
    elif topic.partitions > there.partitions and "compact" in _policy_after(topic, there):
        reason = "keys would move to other partitions, and their old values stay where they are for ever"
        yield LeftAlone(topic.name, "partitions", before, after, reason)
    elif topic.partitions > there.partitions:
        yield Change(topic.name, "add partitions", topic, {"partitions": before}, {"partitions": after})


def _policy_after(topic: Topic, there: FoundTopic) -> str:
    """How the topic is cleaned up once what can be altered is."""
    before = there.config.get("cleanup.policy", "delete")
    after = topic.config.get("cleanup.policy", before)
    return after if _loss("cleanup.policy", before, after) is None else before


def _config_changes(topic: Topic, there: FoundTopic) -> Iterable[Change | LeftAlone]:
    after = {name: value for name, value in topic.config.items() if not _same(there.config.get(name), value)}
    for name, value in list(after.items()):
        before = there.config.get(name)
        reason = None if before is None else _loss(name, before, value)
        if before is not None and reason is not None:
            del after[name]
            yield LeftAlone(topic.name, name, before, value, reason)
    if after:
        yield Change(topic.name, "alter", topic, {name: there.config.get(name, "") for name in after}, after)


def _same(found: str | None, declared: str) -> bool:
    """Whether two values of a property are one; lists are in any order."""
    return found is not None and (
        found == declared or sorted(found.split(",")) == sorted(declared.split(","))
    )


def _loss(name: str, before: str, after: str) -> str | None:
    """Why this alteration would lose messages; None if it wouldn't."""
    if name == "cleanup.policy":
        added = sorted(set(after.split(",")) - set(before.split(",")))
        if added:
            what = {"compact": "all but the newest message of each key", "delete": "messages by age"}
            lost = " and ".join(what.get(each, each) for each in added)
            return f"it would delete {lost}; set it with kafka-configs if that is meant"
    if name in _RETENTIONS:
        kept, wanted = _bound(before), _bound(after)
        if kept is not None and wanted is not None and wanted < kept:
            return "it would delete messages that are kept now; set it with kafka-configs if that is meant"
    return None


def _bound(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return float("inf") if number < 0 else number


class TopicAdmin:
    """Asks a cluster for its topics, and changes them."""

    def __init__(self, client: KafkaClient, timeout: float = _REQUEST_SECONDS) -> None:
        self._servers = client.servers
        self._timeout = timeout
        try:
            self._admin = AdminClient(client.admin_config())
        except KafkaException as error:
            raise broker_error(error, "setting up a client") from error

    def found(self, names: Sequence[str]) -> dict[str, FoundTopic]:
        """Those of these topics that there are.

        Raises:
            BrokerError: the cluster can't be asked.
        """
        try:
            there = self._admin.list_topics(timeout=self._timeout).topics
        except KafkaException as error:
            raise broker_error(error, f"asking for topics at {self._servers}") from error
        known = [name for name in names if name in there and there[name].partitions]
        if not known:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in known]
        configs: dict[str, dict[str, str]] = {}
        asked = self._admin.describe_configs(resources, request_timeout=self._timeout)
        for resource, future in asked.items():
            entries = self._answer(future, f"asking for the properties of topic {resource.name}")
            configs[resource.name] = {
                name: str(entry.value) for name, entry in entries.items() if entry.value is not None
            }
        return {
            name: FoundTopic(
                partitions=len(there[name].partitions),
                replication_factor=min(len(each.replicas) for each in there[name].partitions.values()),
                config=configs[name],
            )
            for name in known
        }

    def carry_out(self, changes: Sequence[Change], *, only_check: bool = False) -> list[str | None]:
        """Make the changes, each by itself; of each, why it failed, or None.

        With `only_check` the cluster says what it would say, and does nothing.
        """
        futures = [(change, self._begin(change, only_check=only_check)) for change in changes]
        failures: list[str | None] = []
        for change, future in futures:
            try:
                self._answer(future, f"{change.action} of topic {change.topic}")
            except BrokerError as error:
                # Someone else was faster.
                there = change.action == "create" and error.code == "TOPIC_ALREADY_EXISTS"
                failures.append(None if there else _cause(error))
            else:
                failures.append(None)
        return failures

    def await_made(self, changes: Sequence[Change]) -> bool:
        """Wait until the cluster shows what was made; False if it doesn't within the time of a request.

        A change has been made for good before the brokers that are asked next have heard of it.
        """
        made = {(change.topic, change.action) for change in changes}
        declared = list({change.topic: change.declared for change in changes}.values())
        until = time.monotonic() + self._timeout
        while True:
            plan = topic_plan(declared, self.found([topic.name for topic in declared]))
            if not made & {(change.topic, change.action) for change in plan.changes}:
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_SECONDS)

    def _begin(self, change: Change, *, only_check: bool) -> "Future[Any]":
        seconds = {"request_timeout": self._timeout, "validate_only": only_check}
        topic = change.declared
        if change.action == "create":
            new = NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=topic.replication_factor,
                config=dict(topic.config),
            )
            waits = {} if only_check else {"operation_timeout": self._timeout}
            return self._only(self._admin.create_topics([new], **seconds, **waits))
        if change.action == "add partitions":
            waits = {} if only_check else {"operation_timeout": self._timeout}
            return self._only(
                self._admin.create_partitions(
                    [NewPartitions(topic.name, topic.partitions)], **seconds, **waits
                )
            )
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in change.after.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=entries)
        return self._only(self._admin.incremental_alter_configs([resource], **seconds))

    @staticmethod
    def _only(futures: "Mapping[Any, Future[Any]]") -> "Future[Any]":
        (future,) = futures.values()
        return future

    def _answer(self, future: "Future[Any]", doing: str) -> Any:
        try:
            return future.result(timeout=self._timeout + _LATER_SECONDS)
        except KafkaException as error:
            raise broker_error(error, f"{doing} at {self._servers}") from error
        except FutureTimeoutError as error:
            text = f"Kafka, {doing} at {self._servers}: no answer in {self._timeout:g} s"
            raise BrokerError(text, code="_TIMED_OUT", retriable=True) from error


def _cause(error: BrokerError) -> str:
    """What Kafka itself says; the change it is about stands beside it."""
    cause = error.__cause__
    return explain(cause) if isinstance(cause, KafkaException) else str(error)
