"""The threads that post what waits in a queue, and try again what fails.

A message that fails is tried again after a pause of its own, twice as long each time; other visitors' messages go on.
A receiver that can't be reached or takes nothing is left alone for a while, and then tried with one message at a time
until one goes through. What the receiver refuses, and what has failed for too long, is given up.
"""

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from footfall.errors import FootfallError, SinkError
from footfall.spool_folder import left_folders
from footfall.webhook_post import Answer, WebhookPost, WebhookTarget
from footfall.webhook_queue import WaitingMessage, WebhookQueue
from footfall.worker_spool import SpoolPlace

REFUSED = "webhook_refused"
FAILED = "webhook_failed"

_LONGEST_AWAY_SECONDS = 60.0
_AT_ONCE = 64
_POLL_SECONDS = 0.1
_COMMIT_SECONDS = 1.0
_TIDY_SECONDS = 60.0
_SAY_SECONDS = 60.0
_FAULT_SECONDS = 1.0
_CLOSE_SECONDS = 2.0

log = logging.getLogger(__name__)
_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class WebhookRetries:
    """When a message is tried again, and when it is given up.

    Attributes:
        tries: a message that has failed so often is given up.
        give_up_after: as is one whose first try was so many seconds ago.
        first_pause: seconds before the second try; each later pause is twice as long, less up to half of it by chance.
        longest_pause: no pause is longer, unless the receiver asks for it (Retry-After; an hour at most).
    """

    tries: int = 300
    give_up_after: float = 86_400.0
    first_pause: float = 0.5
    longest_pause: float = 300.0

    def pause(self, tries: int, longest: float | None = None) -> float:
        """Seconds to wait after so many failed tries, 1 or more."""
        most = self.longest_pause if longest is None else min(longest, self.longest_pause)
        return min(self.first_pause * 2.0 ** min(tries - 1, 40), most) * _chance.uniform(0.5, 1.0)


class WebhookSender:
    """Posts a queue's messages from threads of its own, one for each connection.

    Args:
        target: where to.
        queue: what waits.
        place: where the queue is; worker 0 takes over the queues of workers that don't exist any more.
        retries: when to try again.
        clock: Unix time in seconds.
        report: gets a line when the receiver goes away and when it is back; None logs a warning.
        tick: called once a second or so, by any of the threads.

    Attributes:
        delivered: how many messages went through; `errors`: how many tries failed.
        given_up: reason -> messages that were given up.
    """

    def __init__(
        self,
        target: WebhookTarget,
        queue: WebhookQueue,
        place: SpoolPlace,
        retries: WebhookRetries,
        *,
        clock: Callable[[], float],
        report: Callable[[str], None] | None,
        tick: Callable[[], None],
    ) -> None:
        self.delivered = 0
        self.errors = 0
        self.given_up: Counter[str] = Counter()
        self._target = target
        self._post = WebhookPost(target)
        self._queue = queue
        self._place = place
        self._retries = retries
        self._clock = clock
        self._report = report
        self._tick = tick
        self._changed = threading.Condition()
        self._ending = False
        self._ready: deque[WaitingMessage] = deque()
        # The visitors whose messages are ready or under way: each one's messages go one after the other.
        self._busy: set[str] = set()
        self._under_way = 0
        self._look_at = 0.0
        # Failures in a row of a receiver that is away, and until when it is left alone.
        self._away = 0
        self._alone_until = 0.0
        self._said = float("-inf")
        self._ticked = self._tidied = float("-inf")
        self._faults: dict[Path, str] = {}
        self._threads = [
            threading.Thread(target=self._run, name=f"webhook-{number}", daemon=True)
            for number in range(target.connections)
        ]

    def start(self) -> None:
        """Begin to post."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something new waits."""
        with self._changed:
            self._look_at = 0.0
            self._changed.notify_all()

    def drain(self, timeout: float) -> bool:
        """Wait until nothing waits any more; False if something still does after so many seconds."""
        until = time.monotonic() + timeout
        with self._changed:
            while self._queue.waiting:
                left = until - time.monotonic()
                if left <= 0 or self._ending:
                    return False
                self._changed.wait(min(left, _POLL_SECONDS))
        return True

    def close(self) -> None:
        """End the threads; tries under way have a moment to end, and are repeated after a restart if they don't."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        until = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        self._post.close()

    # ---- the threads

    def _run(self) -> None:
        while not self._ending:
            try:
                message = self._next()
                if message is None:
                    continue
                try:
                    self._try(message)
                finally:
                    with self._changed:
                        self._under_way -= 1
                        self._busy.discard(message.visitor_id)
                        self._look_at = 0.0
                        self._changed.notify()
            except SinkError as error:
                # The queue can't be written; the stream's thread meets the same error and deals with it.
                log.debug("%s", error)
                self._pause(_FAULT_SECONDS)
            except Exception:
                # A thread that ends silently would hold its visitors' messages for ever.
                log.exception("posting to %s", self._target.shown)
                self._pause(_FAULT_SECONDS)

    def _next(self) -> WaitingMessage | None:
        """The next message to post, which is then under way; None after a while without one."""
        self._tend()
        with self._changed:
            now = time.monotonic()
            left_alone = self._alone_until - now
            if self._ending:
                return None
            if left_alone > 0 or (self._away and self._under_way):
                self._changed.wait(min(max(left_alone, 0.01), _POLL_SECONDS))
                return None
            if not self._ready and now >= self._look_at:
                found = self._queue.due(self._now(), _AT_ONCE, self._busy)
                self._ready.extend(found)
                self._busy.update(message.visitor_id for message in found)
                self._look_at = now + _POLL_SECONDS
            if not self._ready:
                self._changed.wait(_POLL_SECONDS)
                return None
            self._under_way += 1
            return self._ready.popleft()

    def _tend(self) -> None:
        """Commit, tidy and tell now and then; one of the threads does it."""
        now = time.monotonic()
        with self._changed:
            if now - self._ticked < _COMMIT_SECONDS:
                return
            self._ticked = now
            tidy = now - self._tidied >= _TIDY_SECONDS
            if tidy:
                self._tidied = now
        self._queue.commit()
        self._tick()
        if tidy:
            self._queue.tidy(self._now())
            self._adopt()

    def _adopt(self) -> None:
        if self._place.worker != 0:
            return
        for folder in left_folders(self._place.root, self._place.workers):
            try:
                count = self._queue.adopt(folder)
            except FootfallError as error:
                # In use by a run that is still ending, or damaged: told once, tried again.
                if self._faults.get(folder) != str(error):
                    self._faults[folder] = str(error)
                    log.error("a former worker's webhooks can't be taken over: %s", error)  # noqa: TRY400 - expected
                continue
            log.warning("%d webhooks that a former worker left in %s are posted", count, folder)

    def _try(self, message: WaitingMessage) -> None:
        """Post a message, and note what became of it."""
        now = self._now()
        if message.expires <= now:
            self._give_up(message, FAILED, f"it expired after {message.tries} failed tries")
            return
        body = message.body[:-1] + b',"sent_at":"' + _iso(now) + b'"}'
        answer = self._post.post(message.trigger_id, message.revision, body, now // 1000)
        if self._ending and answer.fate in ("later", "away"):
            return
        if answer.fate == "delivered":
            self._queue.delivered(message)
            with self._changed:
                self.delivered += 1
                self._note_back()
        elif answer.fate == "refused":
            with self._changed:
                self.errors += 1
                self._note_back()
            self._give_up(message, REFUSED, answer.detail)
        else:
            self._put_off(message, answer)

    def _put_off(self, message: WaitingMessage, answer: Answer) -> None:
        tries = message.tries + 1
        now = self._now()
        since = message.since or now
        away = answer.fate == "away"
        with self._changed:
            self.errors += 1
            if away:
                self._note_away(answer)
        if tries >= self._retries.tries or now - since >= self._retries.give_up_after * 1000:
            waited = (now - since) // 1000
            self._give_up(message, FAILED, f"{answer.detail}; given up after {tries} tries in {waited} s")
            return
        longest = _LONGEST_AWAY_SECONDS if away else None
        pause = max(self._retries.pause(tries, longest), answer.retry_after)
        self._queue.put_off(message, since, now + int(pause * 1000))

    def _give_up(self, message: WaitingMessage, reason: str, detail: str) -> None:
        # First, so that whoever sees that nothing waits any more sees why.
        with self._changed:
            self.given_up[reason] += 1
            quiet = time.monotonic() - self._said < _SAY_SECONDS
            if not quiet:
                self._said = time.monotonic()
        if not quiet:
            log.warning(
                "trigger %s of rule %s isn't posted to %s, %d given up so far: %s",
                message.trigger_id, message.rule, self._target.shown, self.given_up.total(), detail,
            )  # fmt: skip
        self._queue.give_up(message, reason, detail)

    def _note_away(self, answer: Answer) -> None:
        self._away += 1
        pause = max(self._retries.pause(self._away, _LONGEST_AWAY_SECONDS), answer.retry_after)
        self._alone_until = max(self._alone_until, time.monotonic() + pause)
        if self._away == 1:
            self._say(f"webhook {self._target.shown} is away ({answer.detail}); messages wait")

    def _note_back(self) -> None:
        if self._away:
            self._away = 0
            self._alone_until = 0.0
            self._say(f"webhook {self._target.shown} works again")
            self._changed.notify_all()

    def _say(self, line: str) -> None:
        if self._report is None:
            log.warning("%s", line)
        else:
            self._report(line)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            while not self._ending and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _iso(ms: int) -> bytes:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return (moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z").encode()
