"""Where events stand in a picture: in proportion to their times, and never on each other."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

_WIDEST_SECOND = 88.0
_NARROWEST_SECOND = 4.0
_APART = 6.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """A row of events from left to right, in px.

    Attributes:
        places: the middle of each event, in the order of the stream.
        times: their times in ms, not falling.
        second: px for a second before the first event and behind the last.
        left: where the room for events begins.
        right: where the axis ends.
    """

    places: tuple[float, ...]
    times: tuple[int, ...]
    second: float
    left: float
    right: float

    def place(self, ms: int, row: int | None = None) -> float:
        """Where a time is; of events of the same time, that of the event in `row`, or else of the last one."""
        if row is not None:
            return self.places[row]
        behind = bisect_right(self.times, ms)
        if behind == 0:
            return self.places[0] - (self.times[0] - ms) / 1000 * self.second
        before = behind - 1
        if behind == len(self.times):
            return self.places[before] + (ms - self.times[before]) / 1000 * self.second
        part = (ms - self.times[before]) / (self.times[behind] - self.times[before])
        return self.places[before] + part * (self.places[behind] - self.places[before])


def timeline(
    times: Sequence[int], widths: Sequence[float], latest: int, *, left: float, right: float
) -> Timeline:
    """Place events of these widths between `left` and `right`, with room up to the time `latest`.

    Raises:
        ValueError: there isn't enough room, or the times fall.
    """
    if list(times) != sorted(times):
        raise ValueError("the stream's times fall; put its events in order")
    second = _WIDEST_SECOND
    while second >= _NARROWEST_SECOND:
        places = [left + widths[0] / 2]
        for row in range(1, len(times)):
            least = (widths[row - 1] + widths[row]) / 2 + _APART
            places.append(places[-1] + max(least, (times[row] - times[row - 1]) / 1000 * second))
        end = max(places[-1] + widths[-1] / 2, places[-1] + (latest - times[-1]) / 1000 * second) + 8
        if end <= right - 6:
            return Timeline(tuple(places), tuple(times), second, left, right - 6)
        second -= 2
    raise ValueError(f"{len(times)} events don't fit into {right - left:g} px; take a shorter stream")
