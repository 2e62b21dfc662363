"""Rows to Kafka: messages by an idempotent producer, keyed so that what is about one visitor stays in order.

A row is written as its table's contract says (`footfall.messages`) and goes to its table's topic; a trigger goes to
the topic that it names. Keys are visitors; dead letters have their source's position. What is sent again after a
restart is the same message, but for `sent_at`.

A message that Kafka refuses for good (too large, a topic that isn't there) doesn't stop the run: it is logged and
counted, and a dead letter with the reason and its first bytes goes to the topic of dead letters. While Kafka is
away, messages wait in memory, then `write` blocks, and once nothing was acknowledged for as long as the patience
lasts, the run fails and goes on later from its last snapshot.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import polars as pl
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from footfall.errors import RestartError, SinkError
from footfall.kafka_client import KafkaClient, explain
from footfall.kafka_refusals import FOR_GOOD, LOGIN_FAULTS, NO_TOPIC, PURGED, refused_letter
from footfall.messages import CONTRACT_BY_TABLE, encoded_messages
from footfall.run_messages import SinkStatus, Tell
from footfall.sink import Sink, fitting
from footfall.tables import DEAD_LETTERS, LATE_EVENTS, MATCHES, SCORES, SESSIONS, TRIGGERS, Table
from footfall.topics import TOPIC_NAME

ROUTES: Mapping[str, str] = {
    SESSIONS.name: "sessions",
    MATCHES.name: "matches",
    SCORES.name: "scores",
    LATE_EVENTS.name: "late",
    DEAD_LETTERS.name: "dead",
}
"""Table -> topic, as shipped; triggers name their topic themselves."""

QUEUE_BYTES = 64 << 20
SENT_STATUSES = ("fired", "retracted")

_AWAY_SECONDS = 5.0
_POLL_SECONDS = 0.05
_LOOKUP_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 0.5
_ABSENT_SECONDS = 60.0
_STATUS_SECONDS = 1.0
_SAY_SECONDS = 60.0
# What the user's own properties may change.
_PREFERRED: Mapping[str, Any] = {
    "linger_ms": 5,
    "compression_type": "lz4",
    "queue_buffering_max_messages": 500_000,
    # How long a topic may be missing before a message for it is refused; meanwhile a snapshot waits.
    "topic_metadata_propagation_max_ms": 3_000,
}
_NO_SUCH_TOPIC = (
    "there is no such topic; create it with `footfall topics apply`, or mend the name in the rule"
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Part:
    name: str
    sent: int
    waiting: int = 0


@dataclass(slots=True)
class _Outgoing:
    """A message; one that is `alone` isn't put into one batch with others."""

    part: _Part
    topic: str
    key: bytes | str
    value: bytes
    alone: bool = False


class KafkaSink(Sink):
    """Sends rows as messages.

    Args:
        client: the cluster and how to log on to it.
        routes: table name -> topic; rows of other tables, triggers apart, are taken and dropped.
        patience: seconds without any acknowledgement after which waiting messages end the run.
        queue_bytes: how much may wait in memory before `write` blocks.
        worker: this worker's number, for `tell`.
        tell: gets a `SinkStatus` about once a second, while the sink is used, and when nothing waits any more. It must
            pickle if the sink does.
        report: gets a line when Kafka goes away and when it is back; None logs a warning. It must pickle.
        clock: the wall clock in seconds, which decides whether a trigger has expired.

    Attributes:
        delivered: topic -> messages that Kafka has acknowledged.
        refused: topic -> messages that it refused for good.
        suppressed: rule -> triggers that weren't sent since they had expired.
    """

    def __init__(
        self,
        client: KafkaClient,
        *,
        routes: Mapping[str, str] = ROUTES,
        patience: float = 600.0,
        queue_bytes: int = QUEUE_BYTES,
        worker: int = 0,
        tell: Tell | None = None,
        report: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._routes = dict(routes)
        self._patience = patience
        self._queue_bytes = queue_bytes
        self._worker = worker
        self._tell = tell
        self._report = report
        self._clock = clock
        self._begin()

    def __getstate__(self) -> dict[str, Any]:
        if self._producer is not None:
            raise SinkError("a sink that is open can't be pickled")
        names = (
            "_client", "_routes", "_patience", "_queue_bytes", "_worker", "_tell", "_report", "_clock",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._begin()

    def _begin(self) -> None:
        self.delivered: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.suppressed: Counter[str] = Counter()
        self._producer: Producer | None = None
        self._closed = False
        self._parts: dict[str, _Part] = {}
        # Messages to be sent again, in order; nothing else is sent before them.
        self._again: deque[_Outgoing] = deque()
        # Topics that were there, and of those the ones that now seem not to be; others -> until when they are not.
        self._known: set[str] = set()
        self._vanished: set[str] = set()
        self._absent: dict[str, float] = {}
        self._looked = 0.0
        self._waiting = 0
        self._waiting_bytes = 0
        # When Kafka last acknowledged a message, or when the first of those that wait was taken.
        self._moved = 0.0
        self._away = False
        self._trouble = ""
        self._login_fault = False
        self._fatal: str | None = None
        self._told = 0.0
        self._told_waiting = 0
        self._said: dict[str, float] = {}

    def open_part(self, part: str, resume: object | None) -> None:
        """Connect, if no part did, and see that the tables' topics are there; waits while Kafka is away."""
        if self._closed:
            raise SinkError("the sink is closed")
        if self._producer is None:
            producer = self._new_producer()
            self._moved = time.monotonic()
            self._require_topics(producer)
            self._producer = producer
        self._parts[part] = _Part(part, resume if isinstance(resume, int) else 0)

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        """Queue rows as messages; blocks while the queue is full."""
        held = self._open(part, table)
        if not frame.is_empty():
            self._queue(held, table, fitting(table, frame))
        self._serve(0.0)

    def flush(self, part: str) -> int:
        """Wait until Kafka has acknowledged the part's messages; how many the part has sent in all."""
        held = self._open(part)
        self._serve(0.0)
        while held.waiting:
            self._serve(_POLL_SECONDS)
        if not self._waiting and self._told_waiting:
            # What was told last may be all that is told for hours, where nothing more comes.
            self._tell_status(time.monotonic())
        return held.sent

    def close(self) -> None:
        """Drop what isn't acknowledged, and the connection."""
        self._closed = True
        producer, self._producer = self._producer, None
        self._parts.clear()
        if producer is None:
            return
        try:
            producer.purge(blocking=False)
            producer.poll(0)
            producer.close()
        except (KafkaException, RuntimeError):
            log.debug("closing the producer failed", exc_info=True)

    def status(self) -> SinkStatus:
        """How the sink gets on; the oldest message's wait is counted from the last acknowledgement."""
        return SinkStatus(
            worker=self._worker,
            sink="kafka",
            rows=dict(self.delivered),
            waiting_rows=self._waiting,
            waiting_bytes=self._waiting_bytes,
            oldest_seconds=time.monotonic() - self._moved if self._waiting else 0.0,
            errors=self.refused.total(),
            expired=dict(self.suppressed),
        )

    # ---- opening

    @property
    def _servers(self) -> str:
        return f"Kafka at {self._client.servers}"

    def _open(self, part: str, table: Table | None = None) -> _Part:
        found = self._parts.get(part)
        if found is None:
            raise SinkError(f"part {part!r} isn't open", table=None if table is None else table.name)
        return found

    def _new_producer(self) -> Producer:
        config = self._client.producer_config(
            **_PREFERRED, queue_buffering_max_kbytes=max(1, self._queue_bytes >> 10)
        )
        # No message is given up while Kafka is away: patience is the sink's matter.
        config |= {"message.timeout.ms": 0, "error_cb": self._on_error}
        try:
            return Producer(config)
        except KafkaException as error:
            raise SinkError(f"{self._servers}: no producer can be made: {explain(error)}") from error

    def _require_topics(self, producer: Producer) -> None:
        while True:
            try:
                found = producer.list_topics(timeout=min(_LOOKUP_SECONDS, max(0.1, self._patience))).topics
            except KafkaException as error:
                self._trouble = self._trouble or explain(error)
                producer.poll(0)
                waited = time.monotonic() - self._moved
                if self._login_fault or waited >= self._patience:
                    kind = SinkError if self._login_fault else RestartError
                    raise kind(f"{self._servers} can't be used: {self._trouble}") from error
                self._say_away("is away; waiting for it")
                producer.poll(_POLL_SECONDS)
                continue
            break
        self._say_back()
        self._known = set(found)
        missing = sorted(set(self._routes.values()) - set(found))
        if missing:
            raise SinkError(
                f"{self._servers} has no topic {', '.join(missing)}: run `footfall topics apply`, which creates them"
            )

    # ---- writing

    def _queue(self, part: _Part, table: Table, frame: pl.DataFrame) -> None:
        if table.name == TRIGGERS.name:
            frame = self._current(frame)
            topics = frame["topic"].to_list()
        else:
            topic = self._routes.get(table.name)
            if topic is None:
                return
            if table.name not in CONTRACT_BY_TABLE:
                raise SinkError("there is no message contract for it", table=table.name)
            topics = [topic] * frame.height
        sent_at = datetime.fromtimestamp(self._clock(), UTC)
        values = encoded_messages(table, frame, sent_at=sent_at)
        for topic, key, value in zip(topics, _keys(table, frame), values, strict=True):
            self._take(_Outgoing(part, topic, key, value))

    def _current(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The triggers that are sent. A retraction always is: what it takes back may have been sent in time."""
        now = round(self._clock() * 1_000_000) // 1_000
        statuses, times = frame["status"].to_list(), frame["expires_time"].to_physical().to_list()
        expired = [status == "fired" and time <= now for status, time in zip(statuses, times, strict=True)]
        sent = [status in SENT_STATUSES for status in statuses]
        if any(expired):
            late = Counter(rule for rule, over in zip(frame["rule"].to_list(), expired, strict=True) if over)
            self.suppressed.update(late)
            for rule in late:
                self._say_expired(rule)
            sent = [wanted and not over for wanted, over in zip(sent, expired, strict=True)]
        return frame if all(sent) else frame.filter(pl.Series(sent))

    def _say_expired(self, rule: str) -> None:
        # In the table of triggers they stand as fired: that they weren't sent is known here alone.
        if self._is_time_to_say(f"rule {rule}"):
            log.warning(
                "triggers of rule %s had expired before they could be sent and aren't: %d so far",
                rule, self.suppressed[rule],
            )  # fmt: skip

    def _take(self, message: _Outgoing) -> None:
        while self._again:
            self._serve(_POLL_SECONDS)
        if not self._waiting:
            self._moved = time.monotonic()
        self._waiting += 1
        self._waiting_bytes += len(message.value)
        message.part.waiting += 1
        self._produce(message)

    def _produce(self, message: _Outgoing) -> None:
        """Hand a message to the client, which queues it; waits while the queue is full."""
        producer = self._producer
        if producer is None:
            raise SinkError("the sink is closed")
        if not TOPIC_NAME.fullmatch(message.topic):
            self._refuse(message, f"{message.topic!r} is no topic's name")
            return
        if self._absent.get(message.topic, 0.0) > time.monotonic():
            self._refuse(message, _NO_SUCH_TOPIC)
            return
        acknowledged = partial(self._on_delivery, message.part, message.alone)
        while True:
            try:
                producer.produce(message.topic, message.value, message.key, on_delivery=acknowledged)
            except BufferError:
                self._poll(_POLL_SECONDS)
                continue
            except KafkaException as error:
                self._judge(message, error.args[0])
                self._poll(0.0)
            return

    def _on_delivery(self, part: _Part, alone: bool, error: KafkaError | None, message: Message) -> None:  # noqa: FBT001 - called by the library, by position
        """What became of a message; called from within a poll, where nothing may be raised or produced."""
        if self._closed:
            return
        topic = message.topic() or ""
        if error is None:
            self.delivered[topic] += 1
            self._done(part, len(message))
            return
        if error.code() in PURGED:
            return
        failed = _Outgoing(part, topic, message.key() or b"", message.value() or b"", alone)
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and not alone:
            # The broker judges whole batches, whose small messages share the fate of a large one.
            failed.alone = True
            self._again.append(failed)
        else:
            self._judge(failed, error)

    def _judge(self, message: _Outgoing, error: KafkaError) -> None:
        if error.code() in NO_TOPIC and not error.fatal():
            self._vanished.add(message.topic)
            self._again.append(message)
        elif error.code() in FOR_GOOD and not error.fatal():
            self._refuse(message, explain(error))
        else:
            # The client gave up what it should try for ever: only a restart from the snapshot is safe.
            self._fatal = self._fatal or explain(error)

    def _done(self, part: _Part, size: int) -> None:
        self._moved = time.monotonic()
        self._waiting -= 1
        self._waiting_bytes -= size
        part.waiting -= 1
        part.sent += 1

    def _refuse(self, message: _Outgoing, why: str) -> None:
        """Count a message that Kafka won't have, and put a dead letter in its place."""
        self.refused[message.topic] += 1
        if self._is_time_to_say(f"topic {message.topic}"):
            log.warning(
                "%s refuses a message of %d bytes for topic %r, %d for it so far: %s",
                self._servers, len(message.value), message.topic, self.refused[message.topic], why,
            )  # fmt: skip
        dead = self._routes.get(DEAD_LETTERS.name)
        if dead is None or dead == message.topic:
            self._done(message.part, len(message.value))
            return
        letter = refused_letter(message.topic, message.value, why)
        key = _keys(DEAD_LETTERS, letter)[0]
        (value,) = encoded_messages(DEAD_LETTERS, letter)
        self._waiting_bytes += len(value) - len(message.value)
        self._again.append(_Outgoing(message.part, dead, key, value))

    def _is_time_to_say(self, about: str) -> bool:
        """Whether nothing was said about it for a minute."""
        now = time.monotonic()
        if now - self._said.get(about, float("-inf")) < _SAY_SECONDS:
            return False
        self._said[about] = now
        return True

    # ---- waiting

    def _serve(self, seconds: float) -> None:
        """Take in what Kafka says, send again what must be, and tell how it goes."""
        self._poll(seconds)
        self._look_for_vanished()
        # As many as there are now: what fails anew waits for the next time.
        for _ in range(len(self._again) if not self._vanished else 0):
            message = self._again.popleft()
            if message.alone:
                self._drain()
            self._produce(message)
            if message.alone:
                self._drain()
        if self._tell is not None:
            now = time.monotonic()
            if now - self._told >= _STATUS_SECONDS:
                self._tell_status(now)

    def _tell_status(self, now: float) -> None:
        if self._tell is not None:
            self._told, self._told_waiting = now, self._waiting
            self._tell(self.status())

    def _look_for_vanished(self) -> None:
        """See whether topics that seemed to be missing are there; those that never were are given up."""
        now = time.monotonic()
        if self._producer is None or not self._vanished or now - self._looked < _LOOK_AGAIN_SECONDS:
            return
        self._looked = now
        try:
            # This also makes the client look at its topics anew.
            self._known |= (there := set(self._producer.list_topics(timeout=_LOOKUP_SECONDS).topics))
        except KafkaException as error:
            self._trouble = self._trouble or explain(error)
            return
        given_up = self._vanished - self._known
        self._absent |= dict.fromkeys(given_up, time.monotonic() + _ABSENT_SECONDS)
        self._vanished -= there | given_up
        if self._vanished:
            self._trouble = f"no topic {', '.join(sorted(self._vanished))} any more"

    def _drain(self) -> None:
        while self._producer is not None and len(self._producer):
            # Unlike a poll, this doesn't let messages linger.
            self._producer.flush(_POLL_SECONDS)
            self._poll(0.0)

    def _poll(self, seconds: float) -> None:
        if self._producer is None:
            raise SinkError("the sink is closed")
        self._producer.poll(seconds)
        if self._fatal is not None:
            raise RestartError(
                f"{self._servers}: {self._fatal}; what isn't acknowledged is sent again after a restart"
            )
        stalled = time.monotonic() - self._moved if self._waiting else 0.0
        if stalled >= self._patience:
            why = f" ({self._trouble})" if self._trouble else ""
            raise RestartError(
                f"{self._servers} has acknowledged nothing for {stalled:.0f} s{why}; {self._waiting} messages wait, "
                "and are sent again after a restart"
            )
        if stalled >= _AWAY_SECONDS:
            self._say_away(f"acknowledges nothing; {self._waiting} messages wait")
        elif self._away:
            self._say_back()

    def _on_error(self, error: KafkaError) -> None:
        # That all brokers are down comes after the reason why.
        if error.name() != "_ALL_BROKERS_DOWN" or not self._trouble:
            self._trouble = explain(error)
        self._login_fault = self._login_fault or error.code() in LOGIN_FAULTS
        if error.fatal():
            self._fatal = self._fatal or explain(error)

    def _say_away(self, what: str) -> None:
        if not self._away:
            self._away = True
            self._say(f"{self._servers} {what}" + (f" ({self._trouble})" if self._trouble else ""))

    def _say_back(self) -> None:
        self._trouble = ""
        if self._away:
            self._away = False
            self._say(f"{self._servers}: sending works again")

    def _say(self, line: str) -> None:
        if self._report is None:
            log.warning("%s", line)
        else:
            self._report(line)


def _keys(table: Table, frame: pl.DataFrame) -> list[str]:
    if table.name == DEAD_LETTERS.name:
        places = zip(frame["source_partition"].to_list(), frame["source_offset"].to_list(), strict=True)
        return [f"{partition}:{offset}" for partition, offset in places]
    if table.name == SCORES.name:
        # The topic is compacted: the newest score of one model isn't to take the place of another's.
        named = zip(frame["visitor_id"].to_list(), frame["model"].to_list(), strict=True)
        return [f"{visitor} {model}" for visitor, model in named]
    return frame["visitor_id"].to_list()
