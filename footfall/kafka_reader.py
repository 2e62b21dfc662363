"""Reads one partition of a Kafka topic: a consumer of its own, assigned at an offset, that never commits.

A consumer a partition costs four threads that mostly sleep and at most a few MB, and reads no slower than one for
ten partitions; in return a partition that has to wait holds up no other.
"""

import logging
import time
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from footfall.errors import SourceError
from footfall.kafka_blocks import take_block
from footfall.kafka_client import LOGGER, KafkaClient, explain
from footfall.kafka_end import MARGIN_MS, PartitionEnd, now_ms
from footfall.kafka_metadata import TopicCheck
from footfall.records import KEPT_BYTES, RecordBlock, RecordReader

# More in one call is slower: the messages leave the processor's cache before they are looked at.
_CALL = 1_000
_BLOCK_BYTES = 4 << 20
_ASK_SECONDS = 0.5
_WAIT_SECONDS = 0.1
_DOUBT_SECONDS = 5.0
_SURE_SECONDS = 30.0
_ASK_BROKER_SECONDS = 10.0
_TUNING: dict[str, Any] = {
    # What is fetched ahead, which bounds a reader's memory. A full queue is filled again at once: librdkafka would wait
    # for a second.
    "queued_max_messages_kbytes": 2_048,
    "fetch_queue_backoff_ms": 1,
    "fetch_message_max_bytes": 1 << 20,
    # How long the broker holds a fetch that finds nothing, and so how long an end-of-partition event takes.
    "fetch_wait_max_ms": 100,
    "fetch_error_backoff_ms": 100,
    "topic_metadata_refresh_interval_ms": 30_000,
}
_GONE = {
    "UNKNOWN_TOPIC_OR_PART": "the topic or partition is gone",
    "UNKNOWN_TOPIC_ID": "the topic was deleted or created anew",
    "_UNKNOWN_TOPIC": "the topic is gone",
    "_UNKNOWN_PARTITION": "the partition is gone",
}
_FATAL = frozenset(
    {"TOPIC_AUTHORIZATION_FAILED", "_LOG_TRUNCATION", "_BAD_MSG", "_BAD_COMPRESSION", "INVALID_MSG", "_FATAL"}
)
_REFUSED = frozenset({"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "_SSL"})


class KafkaPosition(NamedTuple):
    """Where a partition's reading goes on.

    Attributes:
        offset: the next record's, or less where there is a gap.
        bytes: what has been read so far.
        dates_itself: see `PartitionEnd.dates_itself`.
    """

    offset: int
    bytes: int = 0
    dates_itself: bool = False


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """How a partition is read.

    Attributes:
        client: the cluster.
        partition: the source partition's name.
        topic: its topic.
        number: its number in the topic.
        end: the offset to stop at; None: it is read live.
        format: the records' format, where the topic names one.
        topic_id: the topic's id, "" if unknown: a topic of that name with another one is another topic.
        broker_dated: whether the broker dates the records (LogAppendTime); None: unknown.
        patience: for how long (s) nothing may come from Kafka before a bounded read fails.
        margin_ms: see `PartitionEnd`.
        own_arrivals: what records say of their arrival goes before the time at which the broker appended them.
        check: asks for the topic; shared by the topic's readers. None: the reader has one of its own.
    """

    client: KafkaClient
    partition: str
    topic: str
    number: int
    end: int | None = None
    format: str | None = None
    topic_id: str = ""
    broker_dated: bool | None = None
    patience: float = 60.0
    margin_ms: int = MARGIN_MS
    own_arrivals: bool = True
    check: TopicCheck | None = None


class KafkaReader(RecordReader):
    """Reads one partition; its positions are `KafkaPosition`s, as plain tuples.

    Args:
        settings: what to read, and how.
        position: where to begin.
        from_beginning: nothing has been read yet and the topic is read from its first record, so that it does no
            harm if the first ones are deleted in the meantime.

    Raises:
        SourceError: the client can't be set up.
    """

    def __init__(
        self, settings: ReaderSettings, position: KafkaPosition, *, from_beginning: bool = False
    ) -> None:
        self._settings = settings
        self._live = settings.end is None
        self._offset, self._bytes, dates_itself = position
        self._expected = self._offset
        self._held: list[Message] = []
        self._received = 0
        self._waited = False
        self._own_headers = False  # since the last `note_dating`
        self._eof: int | None = None
        self._damage: SourceError | None = None
        self._trouble: KafkaError | None = None
        self._refused_since: float | None = None
        self._away = False
        self._closed = False
        self._heard = self._asked = time.monotonic()
        self._check = settings.check or TopicCheck(settings.client, settings.topic)
        self._checked = self._check.renew()
        self._edge = PartitionEnd(
            broker_dated=settings.broker_dated, margin_ms=settings.margin_ms, dates_itself=dates_itself
        )
        self._place = TopicPartition(settings.topic, settings.number)
        self._consumer: Consumer | None = None
        if self._live or self._offset < (settings.end or 0):
            self._consumer = self._opened(OFFSET_BEGINNING if from_beginning else self._offset)

    def read(self, max_records: int) -> RecordBlock | None:
        """The next records that say the same of their format; see `RecordReader.read`.

        A live reader never waits; while no broker answers, it gives None. A bounded one waits for its records.

        Raises:
            SourceError: the position or the topic is gone, access is denied, or, for a bounded reader, Kafka
                has been silent for longer than the patience.
        """
        if max_records < 1:
            raise ValueError(f"max_records must be at least 1, not {max_records}")
        if self._closed:
            raise ValueError("the reader is closed")
        if not self._held:
            if self._damage is not None:
                raise self._damage
            if self._live:
                self._fetch(max_records, 0.0)
                self._doubt()
                if not self._held:
                    self._look_idle()
            elif not self._ended():
                self._await(max_records)
            if not self._held:
                if self._damage is not None:
                    raise self._damage
                return None
        return self._take(max_records)

    def has_more(self) -> bool:
        """See `RecordReader.has_more`."""
        return bool(self._held)

    def position(self) -> tuple[int, int, bool]:
        """Where the next `read` goes on: a `KafkaPosition`, as a plain tuple."""
        return (self._offset, self._bytes, self._edge.dates_itself)

    def progress(self) -> tuple[int, None]:
        """Bytes of values read so far; the whole isn't known."""
        return self._bytes, None

    def read_until(self) -> int | None:
        """See `RecordReader.read_until`, and `footfall.kafka_end` for how it is known."""
        return None if self._held or not self._live else self._edge.until()

    def lag(self) -> int | None:
        """Offsets between the position and the end, as the last fetch told it (for a bounded reader: its end)."""
        if self._settings.end is not None:
            return max(self._settings.end - self._offset, 0)
        if self._consumer is None:
            return None
        high = self._high()
        return None if high < 0 else max(high - self._offset, 0)

    def note_dating(self, *, own: bool) -> None:
        """See `RecordReader.note_dating`: `read_until` promises nothing after records that date themselves."""
        self._edge.dates_itself = own or self._own_headers
        self._own_headers = False

    def close(self) -> None:
        """Leave the partition; the reader reads no more."""
        self._closed = True
        self._held = []
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    # --- reading
    # -------------------------------------------------------------------------------------------

    def _opened(self, offset: int) -> Consumer:
        config = self._settings.client.consumer_config(**_TUNING)
        try:
            consumer = Consumer({**config, "error_cb": self._note_trouble})
            self._edge.ask(now_ms())
            consumer.assign([TopicPartition(self._settings.topic, self._settings.number, offset)])
        except KafkaException as error:
            raise self._error(f"it can't be opened: {explain(error)}") from error
        return consumer

    def _fetch(self, max_records: int, wait: float) -> None:
        """Take what is at hand; the first call may wait for it."""
        if self._consumer is None:
            return
        size = 0
        while len(self._held) < max_records and size < _BLOCK_BYTES and self._damage is None:
            wanted = min(max_records - len(self._held), _CALL)
            # It would wait until as many are there as are wanted, so one is waited for.
            messages = self._consumer.consume(1 if wait else wanted, wait)
            self._received = now_ms()
            if not messages:
                return
            arrived = wanted if wait else len(messages)
            wait = 0.0
            eof: int | None = None
            # An error takes a message's place; nearly always it is an end of partition, and the last.
            if any(map(Message.error, messages)):
                messages, eof = self._without_errors(messages)
            if messages:
                self._keep(messages)
                size += sum(map(len, messages))
            if eof is not None:
                self._reach(eof)
            if arrived < wanted:
                return

    def _without_errors(self, messages: list[Message]) -> tuple[list[Message], int | None]:
        """The messages that are some, and the offset of an end-of-partition event behind them."""
        good: list[Message] = []
        eof: int | None = None
        if not any(map(Message.error, messages[:-1])):
            good, messages = messages[:-1], messages[-1:]
        for message in messages:
            error = message.error()
            if error is None:
                good.append(message)
                eof = None
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - public by documentation
                eof = _offset_of(message)
            elif message.topic() is not None or error.fatal():
                self._judge(error)
            # Otherwise it is about the group's coordinator, which an assigned consumer doesn't need.
        return good, eof

    def _keep(self, messages: list[Message]) -> None:
        self._hear()
        # After a seek to where the reading stands, what was fetched before it must not come twice.
        if _offset_of(messages[0]) < self._expected:
            messages = messages[bisect_left(messages, self._expected, key=_offset_of) :]
            if not messages:
                return
        if not self._held:
            self._waited = self._edge.at_end
        self._eof = None
        self._edge.leave()
        end = self._settings.end
        if end is not None and _offset_of(messages[-1]) >= end:
            messages = messages[: bisect_left(messages, end, key=_offset_of)]
            self._eof = end
        if messages:
            self._held += messages
            self._expected = _offset_of(messages[-1]) + 1

    def _reach(self, offset: int) -> None:
        """The end-of-partition event: nothing readable from that offset on."""
        self._hear()
        if offset < self._expected:
            return
        self._eof = offset
        self._edge.reach(unsettled=self._high() > offset)
        if not self._held:
            self._offset = max(self._offset, offset)

    def _take(self, max_records: int) -> RecordBlock:
        settings = self._settings
        held = self._held if len(self._held) <= max_records else self._held[:max_records]
        found = take_block(
            held,
            settings.partition,
            settings.topic,
            settings.format,
            own_arrivals_count=settings.own_arrivals,
        )
        block = found.block
        self._held = [] if found.taken == len(self._held) else self._held[found.taken :]
        self._own_headers |= found.own_arrival is not None
        self._edge.observe(self._received, broker=found.broker_arrival, waited=self._waited)
        self._bytes += len(block.data) - block.count + sum(block.oversized.values())
        self._bytes -= KEPT_BYTES * len(block.oversized)
        last = block.first_offset + block.count - 1 if block.offsets is None else int(block.offsets[-1])
        self._offset = last + 1
        if not self._held and self._eof is not None:
            self._offset = max(self._offset, self._eof)
        return block

    def _ended(self) -> bool:
        end = self._settings.end
        if end is None:
            return False
        if self._eof is not None and self._eof >= end and not self._held:
            self._offset = max(self._offset, end)
        return self._offset >= end

    def _await(self, max_records: int) -> None:
        """Wait for records, the end, or an error, as long as the patience lasts."""
        self._heard = time.monotonic()
        wait = 0.0
        while not self._held and self._damage is None and not self._ended():
            self._fetch(max_records, wait)
            wait = _WAIT_SECONDS
            self._doubt()
            if time.monotonic() - self._heard > self._settings.patience:
                self._damage = self._error(f"nothing came for {self._settings.patience:g} s{self._why()}")

    # --- the end of a live partition
    # -----------------------------------------------------------------------

    def _look_idle(self) -> None:
        """With nothing at hand: ask anew whether this is still the end, and whether Kafka still lets us in."""
        now = time.monotonic()
        if self._refused_since is not None and now - self._refused_since > self._settings.patience:
            self._damage = self._error(f"Kafka doesn't let this client in{self._why()}")
        if self._consumer is None or not self._edge.at_end or self._edge.asking:
            return
        if now - self._asked < _ASK_SECONDS:
            return
        self._asked = now
        asked = now_ms()
        self._place.offset = self._offset
        try:
            self._consumer.seek(self._place)
        except KafkaException as error:  # it isn't fetching just now, so there is nothing to ask
            LOGGER.debug("%s: seek: %s", self._settings.partition, explain(error))
            return
        self._edge.ask(asked)

    def _doubt(self) -> None:
        """Look now and then whether the topic is the one that it was, of which librdkafka is silent.

        A topic that was created anew and has as many records again would go on at the old offset. When Kafka has been
        silent for a while, the topic may be gone, so that is looked at sooner. What is held is still given out.
        """
        if self._away or self._damage is not None:
            return
        silent = time.monotonic() - self._heard >= _DOUBT_SECONDS
        self._check.ask(_DOUBT_SECONDS if silent else _SURE_SECONDS)
        answers, found = self._check.answer()
        if answers == self._checked:
            return
        self._checked = answers
        if isinstance(found, KafkaError):
            # A broker that has just come up may not know of a topic that it has.
            if silent:
                self._judge(found)
        elif found is not None:
            settings = self._settings
            if found.partitions <= settings.number or (
                settings.topic_id and found.topic_id not in {"", settings.topic_id}
            ):
                self._judge(KafkaError(KafkaError.UNKNOWN_TOPIC_ID))

    def _high(self) -> int:
        """The high watermark that the last fetch told; negative: none yet."""
        if self._consumer is None:
            return -1
        return self._consumer.get_watermark_offsets(self._place, cached=True)[1]

    # --- errors
    # --------------------------------------------------------------------------------------------

    def _note_trouble(self, error: KafkaError) -> None:
        """Called within `consume`: something about the connections, which librdkafka goes on trying."""
        self._trouble = error
        if error.fatal():
            self._judge(error)
        elif error.name() in _REFUSED:
            if self._refused_since is None:
                self._refused_since = time.monotonic()
                self._say(logging.ERROR, f"Kafka doesn't let this client in{self._why()}")
        elif error.name() == "_ALL_BROKERS_DOWN" and not self._away:
            self._away = True
            self._say(
                logging.WARNING, f"no broker of {self._settings.client.servers} can be reached; trying on"
            )

    def _hear(self) -> None:
        """Kafka answered."""
        self._heard = time.monotonic()
        if self._away or self._refused_since is not None:
            self._say(logging.WARNING, "Kafka answers again")
        self._away, self._refused_since, self._trouble = False, None, None

    def _judge(self, error: KafkaError) -> None:
        """An error about this partition: some end the reading."""
        name = error.name()
        if name in {"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"}:
            self._damage = self._lost_position()
        elif name in _GONE:
            self._damage = self._error(
                f"{_GONE[name]}; if that was meant, begin with a new state folder, else create it again"
            )
        elif name in _FATAL or error.fatal():
            self._damage = self._error(explain(error))
        else:
            self._trouble = error
            LOGGER.debug("%s: %s", self._settings.partition, explain(error))

    def _lost_position(self) -> SourceError:
        first: int | None = None
        last: int | None = None
        if self._consumer is not None:
            try:
                first, last = self._consumer.get_watermark_offsets(self._place, timeout=_ASK_BROKER_SECONDS)
            except KafkaException as error:
                LOGGER.debug("%s: %s", self._settings.partition, explain(error))
        if first is not None and self._expected < first:
            return self._error(
                f"offset {self._expected} is no longer there: the first is {first}, and {first - self._expected} "
                "offsets were deleted unread (retention). Build the state anew with --from-history, or begin with "
                "a new state folder and a start; give the topic a longer retention.ms"
            )
        end = "" if last is None else f": the topic ends at {last}"
        return self._error(
            f"offset {self._expected} isn't there{end}. The topic was created anew or lost records (an unclean "
            "leader election); begin with a new state folder"
        )

    def _why(self) -> str:
        return "" if self._trouble is None else f": {explain(self._trouble)}"

    def _say(self, level: int, text: str) -> None:
        LOGGER.log(level, "%s: %s", self._settings.partition, text)

    def _error(self, text: str) -> SourceError:
        return SourceError(text, source=self._settings.partition)


def _offset_of(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset
