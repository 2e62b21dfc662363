"""When a live partition stood at its end, told by the clock that dates its records' arrivals.

**Knowing the end.** librdkafka gives one end-of-partition event when a fetch finds nothing behind the position, and
none again while it stays so; a broker that is gone looks the same as a quiet one. So the reader asks anew: it notes
the time T, then seeks to where it stands, which voids every fetch under way, and waits for the next event. That one
comes from a fetch that was sent after T, and answered by the partition's leader: at T or later nothing was behind
the position. What is read later was appended later, and the broker takes the time of an append under the
partition's lock, so that times go with offsets.

Two things are appended before they can be read: records that aren't on all replicas in sync yet, for which
`MARGIN_MS` is taken off, and records of open transactions, while which nothing is promised.

**The clocks.** T is this machine's time. A record that was received at R with the arrival A says that the arrivals'
clock is behind this one by R - A at most, since no record is received before it arrived. The smallest such
difference is taken off, of the last minutes, since clocks drift.

**Records that date themselves** (by a field or header, as a republisher's do) may have been on their way for any time:
whoever sent them may have been cut off. Where the last records did so, nothing is promised, and what waits for the
partition waits for its next record.
"""

import time
from dataclasses import dataclass

MARGIN_MS = 1_000
# For a broker's clock of which nothing recent was seen: how far it may be behind this machine's.
UNSEEN_MS = 1_000
_WINDOW_MS = 600_000


@dataclass(slots=True)
class _Delay:
    """The smallest difference between receipt and arrival (ms), over the last one to two windows."""

    current: int | None = None
    before: int | None = None
    since: int = 0

    def note(self, received: int, arrival: int) -> None:
        if received - self.since > _WINDOW_MS or received < self.since:
            self.before, self.current, self.since = self.current, None, received
        delay = received - arrival
        self.current = delay if self.current is None else min(self.current, delay)

    @property
    def least(self) -> int | None:
        if self.current is None or self.before is None:
            return self.current if self.before is None else self.before
        return min(self.current, self.before)


class PartitionEnd:
    """What a reader knows of its partition's end.

    Args:
        broker_dated: the topic's records are dated by the broker when it appends them; None: that isn't known.
        margin_ms: taken off each promise (see the module).
        dates_itself: what `dates_itself` was when the reading stopped earlier.

    Attributes:
        dates_itself: whether the last records had arrivals of their own.
    """

    def __init__(
        self, *, broker_dated: bool | None, margin_ms: int = MARGIN_MS, dates_itself: bool = False
    ) -> None:
        self.at_end = False
        self.asking = False
        self._broker_dated = broker_dated
        self._margin = margin_ms
        self._asked = 0
        self._reached: int | None = None
        self.dates_itself = dates_itself
        self._fresh = _Delay()
        self._any = _Delay()

    def ask(self, now: int) -> None:
        """A new fetch is about to be asked for; `now` (ms, this machine's) was read before that."""
        self._asked = now
        self.asking = True

    def reach(self, *, unsettled: bool) -> None:
        """The end-of-partition event came; `unsettled`: behind it are records of open transactions."""
        self.at_end = True
        self.asking = False
        self._reached = None if unsettled else self._asked

    def leave(self) -> None:
        """Records came."""
        self.at_end = False

    def observe(self, received: int, *, broker: int | None, waited: bool) -> None:
        """Records that were received at that time (ms), and the latest arrival that the broker gave one of them.

        `waited`: the reader stood at the end before them.
        """
        if broker is not None:
            self._broker_dated = True
            self._any.note(received, broker)
            # Only what was waited for says how far the clocks are apart; the rest has been lying there.
            if waited:
                self._fresh.note(received, broker)

    def until(self) -> int | None:
        """The time (ms) before which nothing arrives any more, by the arrivals' clock; None if nothing is known."""
        if not self.at_end or self._reached is None or self.dates_itself or not self._broker_dated:
            return None
        return self._reached - self._broker_behind() - self._margin

    def _broker_behind(self) -> int:
        if self._fresh.least is not None:
            return self._fresh.least
        return UNSEEN_MS if self._any.least is None else min(self._any.least, UNSEEN_MS)


def now_ms() -> int:
    """This machine's time."""
    return time.time_ns() // 1_000_000
