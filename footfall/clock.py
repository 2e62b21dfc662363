"""A source partition's clock: lateness is decided here, where a record is read, before any split.

Before a record is taken, its partition's watermark is

    max(max event time so far - lateness, this record's arrival - idle bound) - 1 ms

and an event at or below it is late. An event time later than its arrival is set to it. Without an arrival, an
event time more than `future_jump` ahead of the partition's maximum counts only if the partition's next record,
or its end, confirms it (is itself more than that ahead of the same maximum); otherwise it is set to the maximum.
Both are marked `clock_capped`. Answers depend on the records and their order alone: where the batches end
doesn't show, since an unconfirmed record waits here for the next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.compiled import compiled
from footfall.envelope import TIME

NEVER = np.iinfo(np.int64).min
"""A time before all times: no event yet, no arrival known, nothing settled."""

FOREVER = np.iinfo(np.int64).max
"""A time after all times: the watermark of a partition that has ended."""

WATERMARK = "watermark"
"""The column of a partition's watermarks, one for each event: that before it was taken, in ms."""

_MAX_EVENT, _LAST_ARRIVAL, _WATERMARK = range(3)


@dataclass(frozen=True, slots=True)
class ClockSettings:
    """Bounds in milliseconds: how late an event may come, how long silence may last, how far ahead is a leap."""

    lateness: int = 5_000
    idle_bound: int = 60_000
    future_jump: int = 3_600_000


@compiled
def _take(
    sent: Any,
    arrival: Any,
    used: Any,
    late: Any,
    capped: Any,
    before: Any,
    state: Any,
    bounds: Any,
    ended: Any,
) -> Any:
    lateness, idle_bound, future_jump = bounds
    count = sent.size
    for i in range(count):
        came = arrival[i]
        if came != NEVER:
            came = max(came, state[_LAST_ARRIVAL])
        time = sent[i]
        top = state[_MAX_EVENT]
        capped[i] = False
        if came != NEVER:
            if time > came:
                time = came
                capped[i] = True
        elif top != NEVER and time > top + future_jump:
            if i + 1 < count:
                confirmed = sent[i + 1] > top + future_jump
            elif ended:
                confirmed = True
            else:
                return i
            if not confirmed:
                time = top
                capped[i] = True
        if came != NEVER:
            state[_LAST_ARRIVAL] = came
            state[_WATERMARK] = max(state[_WATERMARK], came - idle_bound - 1)
        if top != NEVER:
            state[_WATERMARK] = max(state[_WATERMARK], top - lateness - 1)
        late[i] = time <= state[_WATERMARK]
        before[i] = state[_WATERMARK]
        used[i] = time
        arrival[i] = came
        state[_MAX_EVENT] = max(top, time)
    top = state[_MAX_EVENT]
    if top != NEVER:
        state[_WATERMARK] = max(state[_WATERMARK], top - lateness - 1)
    return count


def _known_or_never(times: pl.Series) -> npt.NDArray[np.int64]:
    """Times in ms as an array of one's own, `NEVER` where there is none."""
    if times.null_count() == 0:
        return np.array(times.to_numpy())
    return np.array(times.to_arrow().fill_null(NEVER).to_numpy(zero_copy_only=False), np.int64)


@dataclass(slots=True)
class PartitionClock:
    """The clock of one source partition; it pickles, and a restart goes on with it.

    Attributes:
        settings: the bounds.
        held: the one decoded record that waits for the next one to confirm its time; no rows otherwise.
    """

    settings: ClockSettings
    held: pl.DataFrame | None = None
    _state: npt.NDArray[np.int64] = field(default_factory=lambda: np.full(3, NEVER, np.int64))

    @property
    def watermark(self) -> int:
        """All events up to and including this time have been read; later ones at or below it are late."""
        return int(self._state[_WATERMARK])

    @property
    def max_event_time(self) -> int:
        """The largest event time taken so far, as used; `NEVER` before the first."""
        return int(self._state[_MAX_EVENT])

    @property
    def last_arrival(self) -> int:
        """The latest arrival taken so far; `NEVER` where none is known."""
        return int(self._state[_LAST_ARRIVAL])

    def read_until(self, time: int) -> bool:
        """The partition has been read to its end at that time (ms): no later record arrives before it.

        What is due up to the idle bound before it may settle. Says whether the watermark moved.
        """
        watermark = time - self.settings.idle_bound - 1
        if watermark <= self.watermark:
            return False
        self._state[_WATERMARK] = watermark
        return True

    def decide(self, sent: Any, arrival: Any, used: Any, late: Any, capped: Any, before: Any) -> None:
        """Decide the times of the next events, which all have an arrival; `take_together` says what of it is filled."""
        bounds = (self.settings.lateness, self.settings.idle_bound, self.settings.future_jump)
        _take(sent, arrival, used, late, capped, before, self._state, bounds, False)

    def take(self, events: pl.DataFrame, *, ended: bool, with_watermarks: bool = False) -> pl.DataFrame:
        """Take the partition's next decoded events, in offset order; give back those whose times are decided.

        `event_time` becomes the time as used, `arrival_time` never goes back, and the flags `late` and
        `clock_capped` are set. With `ended`, `events` are the partition's last ones (there may be none). With
        `with_watermarks`, a column `WATERMARK` says of each what the watermark was when it was taken.
        """
        if self.held is not None:
            events = pl.concat([self.held, events])
            self.held = None
        count = events.height
        if count == 0:
            return events
        sent = events["event_time"].cast(pl.Int64).to_numpy(writable=True)  # always, for one compiled form
        arrivals = events["arrival_time"].cast(pl.Int64)
        arrival = _known_or_never(arrivals)
        used = np.empty(count, np.int64)
        late = np.empty(count, np.bool_)
        capped = np.empty(count, np.bool_)
        before = np.empty(count, np.int64)
        bounds = (self.settings.lateness, self.settings.idle_bound, self.settings.future_jump)
        taken = _take(sent, arrival, used, late, capped, before, self._state, bounds, ended)
        if taken < count:
            self.held = events[taken:]
            events = events[:taken]
        decided = {
            "event_time": pl.Series("event_time", used[:taken]).cast(TIME),
            "late": pl.Series("late", late[:taken]),
            "clock_capped": pl.Series("clock_capped", capped[:taken]),
        }
        if with_watermarks:
            decided[WATERMARK] = pl.Series(WATERMARK, before[:taken])
        if arrivals.null_count() < count:
            known = pl.Series("arrival_time", arrival[:taken])
            unknown = arrival[:taken] == NEVER
            decided["arrival_time"] = (known.set(pl.Series(unknown), None) if unknown.any() else known).cast(
                TIME
            )
        return _with(events, decided)


def take_together(
    clocks: Sequence[PartitionClock],
    events: pl.DataFrame,
    bounds: npt.NDArray[np.int64],
    *,
    with_watermarks: bool = False,
) -> pl.DataFrame:
    """Have several clocks take their partitions' next events, all in one frame; see `PartitionClock.take`.

    Partition i's events are the rows from bounds[i] to bounds[i + 1]. All of them have an arrival, and no clock holds a
    record, so that all times are decided.

    Raises:
        ValueError: an event has no arrival, or a clock holds a record.
    """
    count = events.height
    if count == 0:
        return events
    if events["arrival_time"].null_count() or any(clock.held is not None for clock in clocks):
        raise ValueError("a time that isn't decided at once can't be taken together with others")
    sent = events["event_time"].to_physical().to_numpy(writable=True)
    arrival = events["arrival_time"].to_physical().to_numpy(writable=True)
    used, before = np.empty(count, np.int64), np.empty(count, np.int64)
    late, capped = np.empty(count, np.bool_), np.empty(count, np.bool_)
    ends = bounds.tolist()
    for clock, start, end in zip(clocks, ends, ends[1:], strict=False):
        if end > start:
            clock.decide(
                sent[start:end], arrival[start:end], used[start:end], late[start:end], capped[start:end],
                before[start:end],
            )  # fmt: skip
    decided = {
        "event_time": pl.Series("event_time", used).cast(TIME),
        "late": pl.Series("late", late),
        "clock_capped": pl.Series("clock_capped", capped),
    }
    if with_watermarks:
        decided[WATERMARK] = pl.Series(WATERMARK, before)
    decided["arrival_time"] = pl.Series("arrival_time", arrival).cast(TIME)
    return _with(events, decided)


def _with(events: pl.DataFrame, decided: dict[str, pl.Series]) -> pl.DataFrame:
    """As with_columns would do it, which takes longer for a small frame than all the rest here."""
    columns = {column.name: column for column in events.iter_columns()} | decided
    return pl.DataFrame(list(columns.values()))
