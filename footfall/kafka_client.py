"""How Footfall reaches Kafka: configurations for consumers, producers and admin clients, and what its errors mean.

A `KafkaClient` holds where things are written, never a secret: it can be pickled, logged and shown.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from footfall.errors import BrokerError, SettingsError
from footfall.kafka_properties import Properties, check_properties, read_properties

LOGGER = logging.getLogger("footfall.kafka")
_GROUP = "footfall"  # librdkafka wants a name; nothing is ever committed under it, and nobody joins it
_AGAIN_SOON = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 1000}

_WHAT_TO_DO = {
    "_ALL_BROKERS_DOWN": "look whether the brokers run and whether `kafka` names them",
    "_TRANSPORT": "look whether the brokers run and whether `kafka` names them",
    "_RESOLVE": "look at the host names in `kafka`",
    "_TIMED_OUT": "look whether the brokers run and can be reached from here",
    "_MSG_TIMED_OUT": "look whether the brokers run and can be reached from here",
    "_AUTHENTICATION": "look at the security and sasl properties in the file `kafka_properties`",
    "SASL_AUTHENTICATION_FAILED": "look at the security and sasl properties in the file `kafka_properties`",
    "_SSL": "look at the ssl properties in the file `kafka_properties`",
    "TOPIC_AUTHORIZATION_FAILED": "give this client's user the right to do it (an ACL on the topic)",
    "CLUSTER_AUTHORIZATION_FAILED": "give this client's user the right to do it (an ACL on the cluster)",
    "GROUP_AUTHORIZATION_FAILED": f"give this client's user READ on the group {_GROUP!r}",
    "UNKNOWN_TOPIC_OR_PART": "create it with `footfall topics apply`, or mend the topic's name in the settings",
    "_UNKNOWN_TOPIC": "create it with `footfall topics apply`, or mend the topic's name in the settings",
    "_UNKNOWN_PARTITION": "look whether the topic was created anew with fewer partitions",
    "MSG_SIZE_TOO_LARGE": "raise max.message.bytes of the topic",
    "NOT_ENOUGH_REPLICAS": "look which brokers are down: too few replicas are in sync",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": "look which brokers are down: too few replicas are in sync",
    "KAFKA_STORAGE_ERROR": "look at the broker's disk",
}
_RETRIABLE = frozenset(
    {"_ALL_BROKERS_DOWN", "_TRANSPORT", "_RESOLVE", "_TIMED_OUT", "_MSG_TIMED_OUT", "_TIMED_OUT_QUEUE"}
    | {"NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "REQUEST_TIMED_OUT", "OFFSET_NOT_AVAILABLE"}
    | {"NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "REPLICA_NOT_AVAILABLE", "FENCED_LEADER_EPOCH"}
    | {"UNKNOWN_LEADER_EPOCH", "NOT_CONTROLLER", "BROKER_NOT_AVAILABLE", "KAFKA_STORAGE_ERROR"}
    | {"NETWORK_EXCEPTION"}
)


class LibrdkafkaLog:
    """Takes librdkafka's log lines into Python's logging, under "footfall.kafka".

    A broker that is away is said once by who notices (`footfall.kafka_source`); librdkafka says it at every try, which
    is for debugging. So are its remarks on properties that another kind of client has.
    """

    def log(self, level: int, _form: str, facility: str, name: str, text: str) -> None:
        """Called by confluent-kafka, from within a client's poll."""
        if facility in {"FAIL", "CONFWARN"}:
            level = logging.DEBUG
        LOGGER.log(level, "%s [%s] %s", facility, name, text)


@dataclass(frozen=True, slots=True)
class KafkaClient:
    """A Kafka cluster and how to log on to it.

    It is checked when it is made; the properties file is read anew for each configuration, so that no secret is ever
    part of this object or of a pickle of it, and a renewed one is used by the next client.

    Attributes:
        bootstrap: "host:port" of some brokers, with commas; empty if the properties name them.
        properties: a file of librdkafka's client properties (see `footfall.kafka_properties`).

    Raises:
        SettingsError: something is wrong; all of it is named, and no secret.
    """

    bootstrap: str
    properties: Path | None = None

    def __post_init__(self) -> None:
        if self.properties is not None:
            object.__setattr__(self, "properties", Path(self.properties).absolute())
        problems = _wrong_servers(self.bootstrap)
        found = self._read()
        problems += check_properties(found, servers_given=bool(self.bootstrap))
        named = {"bootstrap.servers", "metadata.broker.list"} & found.values.keys()
        if not self.bootstrap and not named and not problems:
            problems.append("kafka: no brokers are named; give host:port of one or more, with commas")
        if problems:
            raise SettingsError(problems)

    @property
    def servers(self) -> str:
        """The brokers to ask first, for people."""
        values = self._read().values
        return self.bootstrap or values.get("bootstrap.servers") or values.get("metadata.broker.list", "")

    def consumer_config(self, **own: Any) -> dict[str, Any]:
        """For a consumer that is assigned partitions, never commits and reads committed records only.

        Tuning in `own` (names with `_` for `.`) gives way to the properties file.
        """
        return self._config(
            _AGAIN_SOON | _dotted(own),
            {
                "group.id": _GROUP,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            },
        )

    def producer_config(self, **own: Any) -> dict[str, Any]:
        """For an idempotent producer that places keys as the Java client does.

        Tuning in `own` (names with `_` for `.`) gives way to the properties file.
        """
        return self._config(
            _AGAIN_SOON | _dotted(own),
            {"enable.idempotence": True, "acks": "all", "partitioner": "murmur2_random"},
        )

    def admin_config(self) -> dict[str, Any]:
        """For an admin client."""
        return self._config(dict(_AGAIN_SOON), {})

    def _config(self, tuning: dict[str, Any], fixed: dict[str, Any]) -> dict[str, Any]:
        found = self._read()
        if found.problems:
            raise SettingsError(found.problems)
        servers = {"bootstrap.servers": self.bootstrap} if self.bootstrap else {}
        # A dict's order is the order of setting: of two names of one property the later one counts.
        return {
            "client.id": "footfall",
            **tuning,
            **servers,
            **found.values,
            **fixed,
            "logger": LibrdkafkaLog(),
        }

    def _read(self) -> Properties:
        return Properties() if self.properties is None else read_properties(self.properties)


def explain(error: KafkaError | KafkaException) -> str:
    """What a Kafka error says, and what to do where that is known; one line."""
    found = error_of(error)
    text = found.str().strip().rstrip(".")
    to_do = _WHAT_TO_DO.get(found.name())
    return f"{text} ({found.name()}); {to_do}" if to_do else f"{text} ({found.name()})"


def broker_error(error: KafkaError | KafkaException, doing: str) -> BrokerError:
    """The error to raise when Kafka failed at something; `doing` says at what and where, as "asking for topics"."""
    found = error_of(error)
    retriable = bool(found.retriable()) or found.name() in _RETRIABLE
    return BrokerError(f"Kafka, {doing}: {explain(found)}", code=found.name(), retriable=retriable)


def error_of(error: KafkaError | KafkaException) -> KafkaError:
    """The error that an exception carries."""
    if isinstance(error, KafkaError):
        return error
    first = error.args[0] if error.args else None
    return first if isinstance(first, KafkaError) else KafkaError(KafkaError._FAIL, str(error))  # noqa: SLF001 - public by documentation


def _dotted(own: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in own.items()}


def _wrong_servers(bootstrap: str) -> list[str]:
    problems = []
    for each in bootstrap.split(",") if bootstrap else ():
        host, colon, port = each.strip().rpartition(":")
        if not host or not colon or not port.isdigit() or not 0 < int(port) < 1 << 16:
            problems.append(f"kafka: {each.strip()!r} isn't host:port")
    return problems
