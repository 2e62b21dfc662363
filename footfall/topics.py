"""The topics that are declared: `schemas/topics.toml`, or a file of the user's own, read and checked.

All that is wrong with a file is said at once, with its lines. The shipped file says what may stand in one.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footfall.content import content_folder
from footfall.duration import parse_duration
from footfall.errors import TopicsFileError, UsageError

CONTROL = "control"
TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")

_MOST_PARTITIONS = 10_000
_MOST_REPLICAS = 100
_LEAST_RETENTION_MS = 1_000
_CLEANUPS = ("delete", "compact", "compact,delete")
_TIMESTAMPS = ("CreateTime", "LogAppendTime")
# Properties that have a key of their own here.
_OWN_KEYS = {
    "retention.ms": "retention",
    "cleanup.policy": "cleanup",
    "message.timestamp.type": "timestamps",
    "min.insync.replicas": "min_insync_replicas",
    "max.message.bytes": "max_message_bytes",
}
_TOP_KEYS = ("replication_factor", "min_insync_replicas", "topics")
_TOPIC_KEYS = (
    "partitions", "retention", "cleanup", "timestamps", "replication_factor", "min_insync_replicas",
    "max_message_bytes", "config",
)  # fmt: skip

_HEADER = re.compile(
    r"""\s*\[\s*topics\s*\.\s*(?P<quote>["']?)(?P<name>[^"'\]]+?)(?P=quote)(?P<sub>\s*\.[^\]]*)?\s*\]"""
)
_KEY = re.compile(r"""\s*(?P<quote>["']?)(?P<name>[A-Za-z0-9_.-]+)(?P=quote)\s*=""")

_Say = Callable[[str, str], None]
"""Notes a problem: the key it is about, and what it is."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is declared; `config` holds Kafka's topic properties by their names."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


def load_topics(path: Path | None = None) -> tuple[Topic, ...]:
    """The topics of a file, or of the one that Footfall ships, in the file's order.

    Raises:
        UsageError: the file can't be read.
        TopicsFileError: it won't do; all problems are listed.
    """
    source = str(path) if path else "schemas/topics.toml"
    try:
        text = (path or content_folder("schemas") / "topics.toml").read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the topics file {source} can't be read: {error}") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TopicsFileError([f"{source} isn't TOML: {error}"]) from error
    lines = _Lines(text)
    problems: list[tuple[int, str]] = []

    def note(topic: str | None, key: str, problem: str) -> None:
        line = lines.of(topic, key)
        where = source if line is None else f"{source}, line {line}"
        problems.append((line or 0, f"{where}: {'' if topic is None else f'topic {topic!r}, '}{problem}"))

    topics = _topics(data, note)
    if problems:
        raise TopicsFileError([problem for _, problem in sorted(problems, key=lambda each: each[0])])
    return topics


class _Lines:
    """Where a file's keys stand, as far as it is written one key a line."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str | None, str], int] = {}
        topic: str | None = None
        inside = True
        for number, line in enumerate(text.splitlines(), start=1):
            header = _HEADER.match(line)
            if header is not None:
                topic = header["name"]
                inside = header["sub"] is None
                sub = "" if inside else header["sub"].strip(" .\t")
                self._lines.setdefault((topic, sub), number)
            elif line.lstrip().startswith("["):
                topic, inside = line.strip(), False
            elif inside and (key := _KEY.match(line)):
                self._lines.setdefault((topic, key["name"]), number)

    def of(self, topic: str | None, key: str) -> int | None:
        """The line of a key, or of its topic's header where the key has none."""
        return self._lines.get((topic, key), self._lines.get((topic, "")))


def _topics(data: Mapping[str, Any], note: Callable[[str | None, str, str], None]) -> tuple[Topic, ...]:
    def say_top(key: str, problem: str) -> None:
        note(None, key, problem)

    for problem_key, problem in _unknown(data, _TOP_KEYS):
        say_top(problem_key, problem)
    defaults = {
        "replication_factor": _whole(data, "replication_factor", 1, _MOST_REPLICAS, say_top, default=1),
        "min_insync_replicas": _whole(data, "min_insync_replicas", 1, _MOST_REPLICAS, say_top, default=1),
    }
    declared = data.get("topics", {})
    if not isinstance(declared, dict) or not declared:
        say_top("topics", "no topics are declared: write a section [topics.NAME] for each")
        return ()
    found = []
    for name, content in declared.items():

        def say(key: str, problem: str, name: str = name) -> None:
            note(name, key, problem)

        if not isinstance(content, dict):
            note(None, name, f"topic {name!r} must be a section: [topics.{name}]")
        else:
            found.append(_topic(name, content, defaults, say))
    return tuple(found)


def _topic(name: str, content: Mapping[str, Any], defaults: Mapping[str, int], say: _Say) -> Topic:
    if not TOPIC_NAME.fullmatch(name) or name.startswith("__"):
        say("", "the name won't do: letters, digits, '.', '_' and '-', at most 249, no '__' at its start")
    for key, problem in _unknown(content, _TOPIC_KEYS):
        say(key, problem)
    if "partitions" not in content:
        say("", f"partitions is missing; write 1 to {_MOST_PARTITIONS:,}")
    partitions = _whole(content, "partitions", 1, _MOST_PARTITIONS, say, default=1)
    replicas = _whole(
        content, "replication_factor", 1, _MOST_REPLICAS, say, default=defaults["replication_factor"]
    )
    in_sync = _whole(
        content, "min_insync_replicas", 1, _MOST_REPLICAS, say, default=defaults["min_insync_replicas"]
    )
    if in_sync > replicas:
        say(
            "min_insync_replicas",
            f"min_insync_replicas is {in_sync} of {replicas} copies: nothing could be written; lower it, or raise "
            "replication_factor",
        )
    cleanup = _choice(content, "cleanup", _CLEANUPS, say)
    if name == CONTROL and "partitions" in content and (partitions != 1 or cleanup != "compact"):
        say(
            "partitions",
            'it needs partitions = 1 and cleanup = "compact": its records have one order, and stay',
        )
    config = {
        "cleanup.policy": cleanup,
        "message.timestamp.type": _choice(content, "timestamps", _TIMESTAMPS, say),
        "min.insync.replicas": str(in_sync),
    }
    config |= _retention(content, cleanup, say)
    if "max_message_bytes" in content:
        size = _whole(content, "max_message_bytes", 1_024, 1 << 30, say, default=1_024)
        config["max.message.bytes"] = str(size)
    config |= _other_config(content.get("config", {}), say)
    return Topic(name, partitions, replicas, config)


def _unknown(content: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
            yield key, f"there is no key {key!r}{hint}"


def _whole(content: Mapping[str, Any], key: str, least: int, most: int, say: _Say, *, default: int) -> int:
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        say(key, f"{key} = {value!r} won't do; write a whole number, {least:,} to {most:,}")
        return default
    return value


def _choice(content: Mapping[str, Any], key: str, words: tuple[str, ...], say: _Say) -> str:
    value = content.get(key, words[0])
    if value not in words:
        say(key, f"{key} = {value!r} won't do; write {' or '.join(repr(word) for word in words)}")
        return words[0]
    return str(value)


def _retention(content: Mapping[str, Any], cleanup: str, say: _Say) -> dict[str, str]:
    value = content.get("retention")
    if cleanup == "compact":
        if value is not None:
            say(
                "retention",
                'a compacted topic keeps the newest of each key; for both, write cleanup = "compact,delete"',
            )
        return {}
    if value is None:
        say("", 'retention is missing; write how long messages are kept, as in "7 d", or "forever"')
        return {}
    if value == "forever":
        return {"retention.ms": "-1"}
    try:
        ms = parse_duration(value) if isinstance(value, str) else 0
    except ValueError:
        ms = 0
    if ms < _LEAST_RETENTION_MS:
        say(
            "retention",
            f'retention = {value!r} won\'t do; write how long messages are kept, as in "7 d", or "forever"',
        )
        return {}
    return {"retention.ms": str(ms)}


def _other_config(config: object, say: _Say) -> dict[str, str]:
    if not isinstance(config, dict):
        say("config", "config must be a table of Kafka's topic properties")
        return {}
    found = {}
    for key, value in config.items():
        if key in _OWN_KEYS:
            say("config", f"config: write {_OWN_KEYS[key]} instead of {key!r}")
        elif isinstance(value, bool):
            found[key] = str(value).lower()
        elif isinstance(value, (str, int, float)):
            found[key] = str(value)
        else:
            say("config", f"config: {key!r} needs a text or a number; dots in a name want quotes around it")
    return found
