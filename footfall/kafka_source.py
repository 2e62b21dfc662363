"""Records from Kafka: topics read live, or a stretch of them with an end.

A partition is called "topic/0003". What there is, where reading begins and, of a stretch, where it ends is asked when
the source is made, and kept; the source can then be pickled to the processes that read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from footfall.errors import SourceError, UsageError
from footfall.kafka_client import KafkaClient
from footfall.kafka_end import MARGIN_MS
from footfall.kafka_metadata import KafkaMetadata, Place, Start, TopicCheck, TopicFacts
from footfall.kafka_reader import KafkaPosition, KafkaReader, ReaderSettings
from footfall.records import RecordSource


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """What may be chosen beside the topics.

    Attributes:
        start: where partitions begin that have neither a position nor an entry in `starts`.
        end: of a stretch: the time (ms) before which records belong to it; None: what is there now.
        formats: topic -> the format of its records, where they don't name their own.
        known: the partitions of an earlier run, in its order; they keep their numbers, and new ones, which are then
            read from their first record, come behind.
        starts: partition -> offset, from an earlier source's `starts`: a run that died before its first snapshot
            begins where it began.
        ends: the same for a stretch's ends.
        patience: for how long (s) a stretch may get nothing from Kafka before it fails.
        margin_ms: see `footfall.kafka_end`.
        timeout: for how long (s) the cluster may take to answer a question.
        own_arrivals: what records say of their arrival goes before the time at which the broker appended them.
    """

    start: Start = "earliest"
    end: int | None = None
    formats: Mapping[str, str] | None = None
    known: Sequence[str] = ()
    starts: Mapping[str, int] | None = None
    ends: Mapping[str, int] | None = None
    patience: float = 60.0
    margin_ms: int = MARGIN_MS
    timeout: float = 30.0
    own_arrivals: bool = True


class KafkaSource(RecordSource):
    """Topics of a cluster as partitions.

    Attributes:
        starts: partition -> offset at which it begins without a position.
        ends: partition -> offset at which it ends; empty if it is read live.

    Args:
        client: the cluster.
        topics: which topics, in any order.
        live: partitions have no end; otherwise the source is a stretch, up to the end as it is now, and releases
            nothing.
        options: the rest.

    Raises:
        UsageError: a topic isn't there or is named twice, or a start is none.
        SourceError: a partition of the earlier run is gone.
        BrokerError: Kafka can't be reached or refuses to tell.
    """

    releases = False

    def __init__(
        self,
        client: KafkaClient,
        topics: Sequence[str],
        *,
        live: bool,
        options: KafkaOptions = KafkaOptions(),
    ) -> None:
        self.live = live
        self._client = client
        self._topics = tuple(sorted(topics))
        self._options = options
        _check(self._topics, options, live=live)
        metadata = KafkaMetadata(client, options.timeout)
        facts = metadata.topics(self._topics)
        lacking = [name for name in self._topics if name not in facts]
        if lacking:
            raise UsageError(
                f"Kafka at {client.servers} has no topic {', '.join(lacking)}: create what is missing with "
                "`footfall topics apply`, or mend input_topics"
            )
        self._partitions = _in_order(facts, options.known)
        self._cluster_id = metadata.cluster_id()
        self._topic_ids = {name: each.topic_id for name, each in facts.items()}
        self._checks = {name: TopicCheck(client, name) for name in facts}
        self._broker_dated = metadata.broker_dated(self._topics)
        self.starts = self._find_starts(metadata)
        self.ends = {} if live else self._find_ends(metadata)

    def partitions(self) -> list[str]:
        """The partitions' names: first the known ones, then the others by name."""
        return list(self._partitions)

    def find_new_partitions(self) -> list[str]:
        """Ask the cluster again: the partitions that weren't there when this source was made.

        It takes as long as the cluster does, up to the timeout: not for a thread that has other things to do.

        Raises:
            BrokerError: the cluster doesn't say.
        """
        facts = KafkaMetadata(self._client, self._options.timeout).topics(self._topics)
        return sorted(set(_names(facts)) - set(self._partitions))

    def open(self, partition: str, position: tuple[int, int, bool] | None) -> KafkaReader:
        """A reader from that position on, or from the partition's start; it connects by and by.

        Raises:
            SourceError: the client can't be set up. A position that isn't there any more is found at reading.
        """
        topic, number = _place(partition)
        formats = self._options.formats or {}
        settings = ReaderSettings(
            client=self._client,
            partition=partition,
            topic=topic,
            number=number,
            end=self.ends.get(partition),
            format=formats.get(topic),
            topic_id=self._topic_ids.get(topic, ""),
            broker_dated=self._broker_dated.get(topic),
            patience=self._options.patience,
            margin_ms=self._options.margin_ms,
            own_arrivals=self._options.own_arrivals,
            check=self._checks.get(topic),
        )
        if position is not None:
            return KafkaReader(settings, KafkaPosition(*position))
        begins = self.starts[partition]
        return KafkaReader(
            settings, KafkaPosition(begins), from_beginning=self.live and self._from_beginning(partition)
        )

    def identity(self) -> dict[str, Any]:
        """The cluster's and the topics' ids; of a stretch also where its partitions begin and end.

        Not how many partitions there are: some may be added.
        """
        found: dict[str, Any] = {"kind": "kafka", "cluster": self._cluster_id, "topics": self._topic_ids}
        if not self.live:
            found |= {"starts": self.starts, "ends": self.ends}
        return found

    def _from_beginning(self, partition: str) -> bool:
        options = self._options
        if partition in (options.starts or {}):
            return False
        return options.start == "earliest" or (bool(options.known) and partition not in options.known)

    def _find_starts(self, metadata: KafkaMetadata) -> dict[str, int]:
        given = {name: at for name, at in (self._options.starts or {}).items() if name in self._partitions}
        missing = [name for name in self._partitions if name not in given]
        first = [_place(name) for name in missing if self._from_beginning(name)]
        others = [_place(name) for name in missing if not self._from_beginning(name)]
        found = metadata.offsets(first, "earliest") | metadata.offsets(others, self._options.start)
        return given | {_name(*place): offset for place, offset in found.items()}

    def _find_ends(self, metadata: KafkaMetadata) -> dict[str, int]:
        if self._options.ends is not None:
            return {name: self._options.ends[name] for name in self._partitions if name in self._options.ends}
        spec: Start = "latest" if self._options.end is None else self._options.end
        found = metadata.offsets([_place(name) for name in self._partitions], spec)
        return {_name(*place): max(offset, self.starts[_name(*place)]) for place, offset in found.items()}


def _check(topics: Sequence[str], options: KafkaOptions, *, live: bool) -> None:
    problems = [] if topics else ["no topic is named; give input_topics"]
    problems += [
        f"topic {name} is named twice" for name in sorted({n for n in topics if topics.count(n) > 1})
    ]
    if not isinstance(options.start, int) and options.start not in {"earliest", "latest"}:
        problems.append(f"start {options.start!r} is none of earliest, latest, and a time in ms")
    if live and (options.end is not None or options.ends is not None):
        problems.append("what is read live has no end")
    foreign = sorted({_place(name)[0] for name in options.known} - set(topics))
    if foreign:
        problems.append(
            f"the earlier run read topic {', '.join(foreign)} too, which input_topics leaves out: "
            "name it again, or begin with a new state folder"
        )
    if problems:
        raise UsageError("\n".join(problems))


def _in_order(facts: Mapping[str, TopicFacts], known: Sequence[str]) -> tuple[str, ...]:
    there = _names(facts)
    gone = [name for name in known if name not in set(there)]
    if gone:
        raise SourceError(
            "this partition of the earlier run is gone: the topic was created anew with fewer partitions. "
            "Begin with a new state folder",
            source=", ".join(gone),
        )
    return (*known, *(name for name in there if name not in set(known)))


def _names(facts: Mapping[str, TopicFacts]) -> list[str]:
    return sorted(_name(topic, number) for topic, each in facts.items() for number in range(each.partitions))


def _name(topic: str, number: int) -> str:
    return f"{topic}/{number:04}"


def _place(partition: str) -> Place:
    topic, _, number = partition.rpartition("/")
    return topic, int(number)
