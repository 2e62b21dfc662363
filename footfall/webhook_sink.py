"""Triggers to a webhook: a second outlet, for receivers that don't read Kafka.

Each fired trigger of a settled rule is posted as its message (`footfall.messages`), signed
(`footfall.webhook_signature`). An early rule's triggers go to topics alone: a receiver of webhooks isn't to see a
trigger that may be taken back.

`flush` makes what was written safe on disk, in a queue that threads post from (`footfall.webhook_sender`), so a
receiver that is away never holds the stream. What the receiver refuses, what has failed for too long and what the queue
has no room for becomes a dead letter. Delivery is at least once: a receiver goes by trigger id and revision.
"""

import hashlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from footfall.errors import SinkError
from footfall.messages import encoded_messages
from footfall.records import KEPT_BYTES
from footfall.run_messages import SinkStatus, Tell
from footfall.sink import Sink, fitting
from footfall.tables import DEAD_LETTERS, TRIGGERS, Table
from footfall.trigger_rule import TriggerRule
from footfall.webhook_post import WebhookTarget
from footfall.webhook_queue import NewMessage, WebhookQueue
from footfall.webhook_sender import FAILED, WebhookRetries, WebhookSender
from footfall.worker_spool import SpoolPlace

QUEUE_BYTES = 1_000_000_000
SINK_NAME = "webhook"

_STATUS_SECONDS = 1.0
# So many snapshots of a part, a restart may go back behind the last one (`footfall.profile_log` says why).
_SNAPSHOTS_BACK = 2

Letter = Callable[[str, pl.DataFrame], None]
"""Takes a part and rows of the table of dead letters, which are durable once the part's next snapshot is."""

log = logging.getLogger(__name__)


def posted_rules(rules: Iterable[TriggerRule]) -> frozenset[str]:
    """The versions of the rules whose triggers are posted: those that are settled."""
    return frozenset(rule.version for rule in rules if rule.kind == "settled")


class WebhookSink(Sink):
    """Posts triggers; rows of other tables are taken and dropped.

    Args:
        target: where to (`footfall.webhook_post.open_target`).
        place: where the queue is kept: a folder of all workers' queues, on a local disk that outlives the process.
            Its limit is how large the messages that wait may be together.
        versions: those of the rules whose triggers are posted, see `posted_rules`. A rule's name may have been an early
            one's before.
        retries: when a message is tried again, and when it is given up.
        letter: takes dead letters; called from `write` and `flush`, so that it may write to other sinks, which must be
            flushed after this one. None drops them, counted and logged.
        tell: gets a `SinkStatus` about once a second, from any thread. It must pickle if the sink does.
        report: gets a line when the receiver goes away and when it is back; None logs a warning. It must pickle.
        clock: the wall clock in seconds, which decides whether a trigger has expired.

    Attributes:
        versions: see above.
        suppressed: rule -> triggers that weren't posted since they had expired.
    """

    def __init__(
        self,
        target: WebhookTarget,
        place: SpoolPlace,
        versions: Collection[str],
        *,
        retries: WebhookRetries | None = None,
        letter: Letter | None = None,
        tell: Tell | None = None,
        report: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.versions = frozenset(versions)
        self._target = target
        self._place = place
        self._retries = retries or WebhookRetries()
        self._letter = letter
        self._tell = tell
        self._report = report
        self._clock = clock
        self._begin()

    def __getstate__(self) -> dict[str, Any]:
        if self._queue is not None:
            raise SinkError("a sink that is open can't be pickled")
        names = ("versions", "_target", "_place", "_retries", "_letter", "_tell", "_report", "_clock")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._begin()

    def _begin(self) -> None:
        self.suppressed: Counter[str] = Counter()
        self._queue: WebhookQueue | None = None
        self._sender: WebhookSender | None = None
        self._closed = False
        self._taken: dict[str, int] = {}
        # Part -> dead messages whose letters were written at each of its last snapshots.
        self._written: dict[str, deque[list[int]]] = {}
        self._given_up: Counter[str] = Counter()
        self._told = float("-inf")
        self._telling = threading.Lock()

    def open_part(self, part: str, resume: object | None) -> None:
        """Open the queue and begin to post what waits there, if no part did."""
        if self._closed:
            raise SinkError("the sink is closed")
        if self._queue is None:
            self._queue = WebhookQueue(self._place.root / str(self._place.worker))
            self._sender = WebhookSender(
                self._target,
                self._queue,
                self._place,
                self._retries,
                clock=self._clock,
                report=self._report,
                tick=self._tell_status,
            )
            self._sender.start()
        self._taken[part] = resume if isinstance(resume, int) else 0

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        """Put triggers in the queue; never blocks for the receiver's sake."""
        queue = self._open(part, table)
        if not frame.is_empty():
            frame = fitting(table, frame)
            if table.name == TRIGGERS.name:
                self._put(queue, part, self._current(frame))
        self._tell_status()

    def flush(self, part: str) -> int:
        """Make the queue safe on disk, and hand on dead letters; how many messages the part has put there in all.

        Raises:
            SinkError: the queue can't be written, as on a disk that is full.
        """
        queue = self._open(part)
        written = self._written.setdefault(part, deque())
        if len(written) == _SNAPSHOTS_BACK:
            queue.bury(written.popleft())
        written.append(self._hand_on(queue, part))
        queue.commit(patient=True)
        return self._taken[part]

    def drain(self, timeout: float) -> bool:
        """Wait until nothing waits to be posted; False if something still does after so many seconds."""
        return self._sender is None or self._sender.drain(timeout)

    def go_by(self, rules: Sequence[TriggerRule]) -> None:
        """Post the triggers of these rules as well, and go on with those that other settled ones decide."""
        self.versions |= posted_rules(rules)

    def close(self) -> None:
        """Stop posting, and free the queue."""
        self._closed = True
        if self._sender is None or self._queue is None:
            return
        self._sender.close()
        try:
            self._queue.commit()
        except SinkError as error:
            log.debug("%s", error)
        self._queue.close()

    def status(self) -> SinkStatus:
        """How the sink gets on."""
        queue, sender = self._queue, self._sender
        if queue is None or sender is None:
            return SinkStatus(self._place.worker, SINK_NAME, {}, 0, 0, 0.0, 0)
        oldest = queue.oldest()
        return SinkStatus(
            worker=self._place.worker,
            sink=SINK_NAME,
            rows={TRIGGERS.name: sender.delivered},
            waiting_rows=queue.waiting,
            waiting_bytes=queue.waiting_bytes,
            oldest_seconds=0.0 if oldest is None else max(0.0, self._clock() - oldest / 1000),
            errors=sender.errors,
            expired=dict(self.suppressed),
        )

    @property
    def given_up(self) -> dict[str, int]:
        """Messages that became dead letters: reason -> number."""
        found = Counter(self._given_up)
        if self._sender is not None:
            found += self._sender.given_up
        return dict(found)

    # ---- within

    def _open(self, part: str, table: Table | None = None) -> WebhookQueue:
        if self._closed or part not in self._taken or self._queue is None:
            raise SinkError(f"part {part!r} isn't open", table=None if table is None else table.name)
        return self._queue

    def _current(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The triggers to post. A settled rule retracts nothing, and what an early one did wasn't posted."""
        now = pl.lit(datetime.fromtimestamp(self._clock(), UTC)).cast(TRIGGERS.schema["expires_time"])
        frame = frame.filter(
            (pl.col("status") == "fired") & pl.col("rule_version").is_in(sorted(self.versions))
        )
        expired = frame.select(pl.col("expires_time") <= now).to_series()
        self.suppressed.update(frame.filter(expired)["rule"].to_list())
        return frame.filter(~expired)

    def _put(self, queue: WebhookQueue, part: str, frame: pl.DataFrame) -> None:
        if frame.is_empty():
            return
        columns = [
            frame[name].to_physical().to_list()
            for name in ("trigger_id", "revision", "visitor_id", "rule", "expires_time")
        ]
        room = self._place.limit_bytes - queue.waiting_bytes
        messages: list[NewMessage] = []
        overflow: list[NewMessage] = []
        for values in zip(*columns, encoded_messages(TRIGGERS, frame), strict=True):
            message = NewMessage._make(values)
            room -= len(message.body)
            if room >= 0:
                messages.append(message)
            elif not queue.knows(message):  # a restart may write what is in the queue already
                overflow.append(message)
        queue.add(messages, int(self._clock() * 1000))
        if overflow:
            self._overflow(part, overflow)
        self._taken[part] += len(messages)
        if self._sender is not None:
            self._sender.wake()

    def _overflow(self, part: str, messages: list[NewMessage]) -> None:
        """Messages that the queue has no room for: the stream isn't held, so they are given up at once."""
        if not self._given_up[FAILED]:
            log.error(
                "the queue of webhook %s is full (%d bytes): triggers become dead letters",
                self._target.shown, self._place.limit_bytes,
            )  # fmt: skip
        self._given_up[FAILED] += len(messages)
        if self._letter is not None:
            why = f"the queue is full ({self._place.limit_bytes} bytes)"
            self._letter(part, self._letters([(message.body, FAILED, why) for message in messages]))

    def _hand_on(self, queue: WebhookQueue, part: str) -> list[int]:
        """Write letters for what the sender has given up; they are buried when no restart can take them back."""
        written = {number for parts in self._written.values() for numbers in parts for number in numbers}
        dead = queue.dead(written)
        if dead and self._letter is not None:
            self._letter(part, self._letters([(each.body, each.reason, each.detail) for each in dead]))
        return [each.number for each in dead]

    def _letters(self, dead: list[tuple[bytes, str, str]]) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "source_partition": [SINK_NAME] * len(dead),
                "source_offset": [-1] * len(dead),
                "source": [self._target.shown] * len(dead),
                "line": [0] * len(dead),
                "reason": [reason for _, reason, _ in dead],
                "detail": [detail for _, _, detail in dead],
                "bytes": [body[:KEPT_BYTES] for body, _, _ in dead],
                "bytes_total": [len(body) for body, _, _ in dead],
                "digest": [hashlib.blake2b(body, digest_size=16).hexdigest() for body, _, _ in dead],
            },
            schema=DEAD_LETTERS.schema,
        )

    def _tell_status(self) -> None:
        if self._tell is None:
            return
        with self._telling:
            now = time.monotonic()
            if now - self._told < _STATUS_SECONDS:
                return
            self._told = now
        self._tell(self.status())
