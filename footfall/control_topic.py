"""The topic of control records: one partition, compacted. A live run writes them, and replays read them.

A record's key is its number in 8 digits, so that compaction keeps each. A run that begins anew begins with number 0
again, which ends what stood in the topic before (`standing_records`): nothing has to be deleted.
"""

import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from footfall.control_record import ControlRecord, standing_records
from footfall.errors import BrokerError, ControlError
from footfall.kafka_client import KafkaClient, broker_error, explain
from footfall.kafka_metadata import KafkaMetadata, TopicFacts
from footfall.kafka_reader import KafkaPosition, KafkaReader, ReaderSettings
from footfall.records import MAX_RECORD_BYTES, RecordBlock
from footfall.topics import CONTROL

_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.1
_READ_RECORDS = 100
# Metadata and the message's acknowledgement share the patience; librdkafka gives up a little before this module does.
_GRACE_SECONDS = 2.0


class ControlTopic:
    """Reads and writes control records.

    Args:
        client: the cluster.
        topic: the topic's name.
        patience: seconds that the cluster may take to answer, or say nothing while it is read.
    """

    def __init__(
        self, client: KafkaClient, topic: str = CONTROL, *, patience: float = _PATIENCE_SECONDS
    ) -> None:
        self._client = client
        self._topic = topic
        self._patience = patience

    @property
    def where(self) -> str:
        """The topic's name, for errors."""
        return f"topic {self._topic} at {self._client.servers}"

    def read_all(self) -> list[ControlRecord]:
        """The records that stand, from the topic's beginning to its end as it is now; none if it isn't there.

        Raises:
            ControlError: a record can't be read; the error names its offset. Or the topic has several partitions.
            BrokerError: Kafka can't be asked.
            SourceError: Kafka stopped answering on the way.
        """
        metadata = KafkaMetadata(self._client, self._patience)
        facts = self._facts(metadata)
        if facts is None:
            return []
        place = (self._topic, 0)
        first = metadata.offsets([place], "earliest")[place]
        end = metadata.offsets([place], "latest")[place]
        settings = ReaderSettings(
            self._client,
            f"{self._topic}-0",
            self._topic,
            0,
            end=end,
            topic_id=facts.topic_id,
            patience=self._patience,
        )
        reader = KafkaReader(settings, KafkaPosition(first), from_beginning=True)
        records: list[ControlRecord] = []
        try:
            while (block := reader.read(_READ_RECORDS)) is not None:
                records.extend(self._records(block))
        finally:
            reader.close()
        return list(standing_records(records))

    def write(self, record: ControlRecord) -> None:
        """Write a record; it is there for good when this returns.

        Where it raises, the record may have been written even so: write it again. The same record twice is one, as
        long as none of a higher number came between.

        Raises:
            ControlError: the record is too large for a message, or the topic has several partitions.
            BrokerError: the topic isn't there, or Kafka didn't take the record within the patience; `retriable` says
                whether it may later.
        """
        message = record.to_json()
        if len(message) > MAX_RECORD_BYTES:
            raise ControlError(
                f"control record {record.number} has {len(message):,} bytes, more than {MAX_RECORD_BYTES:,}: take out "
                "patterns that nobody needs",
                where=self.where,
            )
        until = time.monotonic() + self._patience
        # A broker may make a missing topic by itself, with a retention that would lose the records.
        if self._facts(KafkaMetadata(self._client, self._patience)) is None:
            raise BrokerError(
                f"Kafka, writing control record {record.number}: there is no {self.where}; create it with "
                "`footfall topics apply`",
                code="UNKNOWN_TOPIC_OR_PART",
                retriable=False,
            )
        self._send(record, message, max(until - time.monotonic(), 1.0))

    def _facts(self, metadata: KafkaMetadata) -> TopicFacts | None:
        facts = metadata.topics([self._topic]).get(self._topic)
        if facts is not None and facts.partitions != 1:
            raise ControlError(
                f"it has {facts.partitions} partitions, and the order of its records counts: name a topic with one, "
                "or delete it and create it with `footfall topics apply`",
                where=self.where,
            )
        return facts

    def _records(self, block: RecordBlock) -> Iterator[ControlRecord]:
        lines = block.data.split(b"\n")[:-1]
        for row, (offset, line) in enumerate(zip(block.offsets_of_records().tolist(), lines, strict=True)):
            where = f"{self.where}, offset {offset}"
            if row in block.oversized:
                size = block.oversized[row]
                raise ControlError(
                    f"it has {size:,} bytes, more than {MAX_RECORD_BYTES:,}; it is no control record",
                    where=where,
                )
            if line:  # a message without a value only says that its key is gone
                yield ControlRecord.from_json(line, where=where)

    def _send(self, record: ControlRecord, message: bytes, seconds: float) -> None:
        doing = f"writing control record {record.number} to {self.where}"
        outcome: list[KafkaError | None] = []
        trouble: list[KafkaError] = []

        def told(error: KafkaError | None, _: Message) -> None:
            outcome.append(error)

        config: dict[str, Any] = self._client.producer_config(
            compression_type="lz4", message_max_bytes=2 * MAX_RECORD_BYTES
        )
        # The newest of an outage's errors says why nothing came; fatal ones come with the message's fate as well.
        config |= {"message.timeout.ms": int(seconds * 1000), "error_cb": trouble.append}
        try:
            producer = Producer(config)
            producer.produce(
                self._topic, message, f"{record.number:08d}".encode(), partition=0, on_delivery=told
            )
            until = time.monotonic() + seconds + _GRACE_SECONDS
            while not outcome and time.monotonic() < until:
                producer.poll(_POLL_SECONDS)
            if not outcome:
                producer.purge(blocking=False)
            producer.poll(0)
        except KafkaException as error:
            raise broker_error(error, doing) from error
        if not outcome:
            why = f": {explain(trouble[-1])}" if trouble else ""
            raise BrokerError(
                f"Kafka, {doing}: no answer in {seconds:g} s{why}", code="_MSG_TIMED_OUT", retriable=True
            )
        if outcome[0] is not None:
            raise broker_error(outcome[0], doing)
