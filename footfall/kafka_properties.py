"""Client properties for Kafka: a file of `key=value` lines whose values may refer to secrets.

`${env:NAME}` stands for an environment variable, `${file:PATH}` for a file's content and `${file:PATH:KEY}` for one
value of a properties file, as Kafka's own config providers have it. Nothing here shows a value in an error.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer

# What the engine's promises rest on; the properties' other names in librdkafka are here too.
OWNED = {
    "group.id": "there is no consumer group: Footfall keeps offsets in its own state",
    "group.instance.id": "there is no consumer group: Footfall keeps offsets in its own state",
    "group.protocol": "there is no consumer group: Footfall keeps offsets in its own state",
    "enable.auto.commit": "offsets are never committed: Footfall keeps them in its own state",
    "auto.commit.enable": "offsets are never committed: Footfall keeps them in its own state",
    "enable.auto.offset.store": "offsets are never committed: Footfall keeps them in its own state",
    "auto.offset.reset": "a lost position has to be an error; where to begin is the setting `start`",
    "isolation.level": "only committed records are read",
    "enable.partition.eof": "Footfall has to know a partition's end",
    "enable.idempotence": "what is sent has to be there once and in order",
    "acks": "what is sent has to be acknowledged by all replicas in sync",
    "request.required.acks": "what is sent has to be acknowledged by all replicas in sync",
    "transactional.id": "repeats are told by id and revision, not by transactions",
    "partitioner": "a visitor's messages have to stay in one partition",
    "sticky.partitioning.linger.ms": "a visitor's messages have to stay in one partition",
}
_NAMES_OF_SERVERS = ("bootstrap.servers", "metadata.broker.list")
# Python objects in confluent-kafka, which no file can name.
_OBJECTS = frozenset(
    {
        "logger",
        "error_cb",
        "stats_cb",
        "throttle_cb",
        "oauth_cb",
        "on_delivery",
        "on_commit",
        "dr_cb",
        "dr_msg_cb",
    }
    | {"default.topic.config", "delivery.report.only.error", "opaque", "log.queue"}
)
_JAVA = {
    "sasl.jaas.config": "give sasl.username and sasl.password",
    "ssl.truststore.location": "give ssl.ca.location, a file of PEM certificates",
    "ssl.truststore.password": "give ssl.ca.location, a file of PEM certificates",
    "ssl.truststore.type": "give ssl.ca.location, a file of PEM certificates",
    "ssl.truststore.certificates": "give ssl.ca.pem",
    "ssl.keystore.type": "give ssl.keystore.location as PKCS #12, or ssl.certificate.location and ssl.key.location",
    "ssl.keystore.key": "give ssl.key.pem",
    "ssl.keystore.certificate.chain": "give ssl.certificate.pem",
    "sasl.login.callback.handler.class": "give sasl.oauthbearer.method=oidc and what belongs to it",
    "sasl.client.callback.handler.class": "give sasl.oauthbearer.method=oidc and what belongs to it",
}
_LIST = "the properties are those of librdkafka (its CONFIGURATION.md), not of the Java client"
_REFERENCE = re.compile(r"\$\{(\w+):([^}]*)\}")


@dataclass(slots=True, repr=False)
class Properties:
    """A file's properties with their references resolved, and what is wrong with it.

    Attributes:
        values: name -> value, secrets included.
        lines: name -> where it stands, for people.
        problems: what is wrong, a line each, without any value.
        secrets: the values that came from references.
    """

    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)

    def scrubbed(self, text: str) -> str:
        """The text without the values of this file's secrets and of properties that usually hold one."""
        hidden = {self.values[name] for name in self.values if _is_secret(name)} | self.secrets
        for value in sorted((each for each in hidden if each), key=len, reverse=True):
            text = text.replace(value, "***")
        return text


def read_properties(path: Path, environment: Mapping[str, str] | None = None) -> Properties:
    """Read a properties file: `key=value` or `key: value`, `#` and `!` for comments, a backslash to go on.

    All that is wrong is in the result's `problems`; nothing is raised.
    """
    found = Properties()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't UTF-8"
        found.problems.append(f"kafka_properties: {path} can't be read: {reason}")
        return found
    for number, line in _logical_lines(text):
        where = f"{path}, line {number}"
        cut = re.search(r"\s*[=:]\s*", line)
        name = line[: cut.start()] if cut else ""
        if cut is None or not name:
            found.problems.append(f"{where}: neither a comment nor key=value")
            continue
        if name in found.values:
            found.problems.append(f"{where}: {name} is given again; it stands in {found.lines[name]} too")
            continue
        found.lines[name] = where
        found.values[name] = _resolved(line[cut.end() :], f"{where}: {name}", found, environment)
    return found


def check_properties(found: Properties, *, servers_given: bool) -> list[str]:
    """What is wrong with these properties, each by itself and then all together, by librdkafka's own judgement."""
    problems = list(found.problems)
    for name, value in found.values.items():
        if name in _NAMES_OF_SERVERS and servers_given:
            wrong: str | None = "is given by the setting `kafka` too; keep one of them"
        else:
            wrong = _wrong(name, value)
        if wrong:
            problems.append(f"{found.lines[name]}: {name} {wrong}")
    if problems:
        return problems
    for kind, more in ((Consumer, {"group.id": "check"}), (Producer, {"enable.idempotence": "true"})):
        message = _refused(kind, found.values | more)
        if message is not None:
            text = found.scrubbed(message).partition(": ")[2] or found.scrubbed(message)
            return [f"kafka_properties: the properties don't go together: {text}"]
    return []


def _wrong(name: str, value: str) -> str | None:
    """What is wrong with one property by itself."""
    if name in OWNED:
        return f"is Footfall's own; take it out ({OWNED[name]})"
    if name in _OBJECTS:
        return "can't be given in a file; take it out"
    if name in _JAVA:
        return f"is the Java client's; {_JAVA[name]}"
    message = _refused(Consumer, {"group.id": "check", name: value})
    if message is None or message.startswith(
        "Failed to create"
    ):  # the latter may be mended by other properties
        return None
    if "No such configuration property" in message:
        return f"is unknown; {_LIST}"
    return f"has a value that won't do ({_shape(message)})"


def _refused(kind: type[Any], config: Mapping[str, str]) -> str | None:
    try:
        client = kind({**config, "log_level": 0})
    except KafkaException as error:
        return str(error.args[0].str()).strip()
    except (TypeError, ValueError, AttributeError):
        return "not a text"
    if kind is Consumer:
        client.close()
    return None


def _shape(message: str) -> str:
    """What librdkafka says about a value, without the value."""
    allowed = re.search(r"outside allowed range (\S+)", message)
    return f"it has to be in {allowed[1]}" if allowed else _LIST


def _is_secret(name: str) -> bool:
    words = ("password", "secret", "key.pem", "token", "sasl.oauthbearer.config", "assertion")
    return any(word in name for word in words)


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers; continued ones are joined."""
    lines: list[tuple[int, str]] = []
    under_way = ""
    first = 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not under_way:
            first = number
            if not line or line[0] in "#!":
                continue
        if line.endswith("\\") and not line.endswith("\\\\"):
            under_way += line[:-1]
            continue
        lines.append((first, under_way + line))
        under_way = ""
    if under_way:
        lines.append((first, under_way))
    return lines


def _resolved(value: str, where: str, found: Properties, environment: Mapping[str, str] | None) -> str:
    known = os.environ if environment is None else environment

    def replace(match: re.Match[str]) -> str:
        provider, name = match.groups()
        secret: str | None = None
        if provider == "env":
            secret = known.get(name)
            if secret is None:
                found.problems.append(f"{where}: the environment variable {name} isn't set")
        elif provider == "file":
            secret = _from_file(name, where, found)
        else:
            found.problems.append(
                f"{where}: ${{{provider}:…}} isn't known; use ${{env:NAME}} or ${{file:PATH}}"
            )
        if secret:
            found.secrets.add(secret)
        return secret or ""

    return _REFERENCE.sub(replace, value)


def _from_file(name: str, where: str, found: Properties) -> str | None:
    path, _, key = name.partition(":")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't UTF-8"
        found.problems.append(f"{where}: the file {path} can't be read: {reason}")
        return None
    if not key:
        return text.rstrip("\r\n")
    for _, line in _logical_lines(text):
        parts = re.split(r"\s*[=:]\s*", line, maxsplit=1)
        if len(parts) == 2 and parts[0] == key:
            return parts[1]
    found.problems.append(f"{where}: the file {path} has no {key}")
    return None
