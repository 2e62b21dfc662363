"""What automata keep of events: their times and messages, and the values that tests and outputs may ask for.

Most events that are kept wait, and nothing ever asks for them. So they are kept in columns, and an event is looked up
when it is asked for. Most rounds ask for no value: those of a round's events are evaluated when one is asked for, all
at once, and at the round's end those of the events that stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.errors import StateError
from footfall.event_batch import Events
from footfall.row_segments import RowSegment, append_segment

Places = npt.NDArray[np.int64]
Values = Callable[[Places], pl.DataFrame]
"""Gives, for places among a round's events, the frame of the plan's values."""

_HEAD = {"time": "time", "high": "message_high", "low": "message_low"}
"""The first columns of what is kept, with the fields of events that they hold; then come the values, by slot."""

_MOST_FOUND = 8_192


class KeptEvent(NamedTuple):
    """What is kept of an event; `values` is None while they have not been evaluated."""

    time: int
    message_high: int
    message_low: int
    values: tuple[Any, ...] | None


@dataclass(slots=True)
class _Round:
    """The events of a round that may be asked for: their rows, which ascend, and where they are."""

    rows: npt.NDArray[np.int64]
    places: Places
    events: Events
    values: Values
    frame: pl.DataFrame | None = None
    known: list[tuple[Any, ...]] = field(default_factory=list)

    def number(self, row: int) -> int:
        """The number of a row's event among them; -1 if it isn't one."""
        at = int(self.rows.searchsorted(row))
        return at if at < self.rows.size and self.rows[at] == row else -1

    def head(self, number: int) -> KeptEvent:
        """An event without its values."""
        event = self.events[self.places[number]]
        return KeptEvent(int(event["time"]), int(event["message_high"]), int(event["message_low"]), None)

    def evaluated(self, number: int) -> tuple[Any, ...]:
        """An event's values; those of all are evaluated with the first."""
        if self.frame is None:
            self.frame = self.values(self.places)
            self.known = self.frame.rows() if self.frame.width else [()] * self.rows.size
        return self.known[number]

    def kept(self, stay: npt.NDArray[np.bool_]) -> pl.DataFrame:
        """The columns of those that stay."""
        places = self.places[stay]
        values = self.values(places) if self.frame is None else self.frame.filter(pl.Series(stay))
        columns = {name: pl.Series(self.events[of][places]) for name, of in _HEAD.items()}
        return pl.DataFrame(
            columns | {str(slot): column for slot, column in enumerate(values.iter_columns())}
        )


class KeptEvents:
    """Events by the number of their row.

    Args:
        segments: those that are kept from before.
        under: others that are known as well, and stay as they are.
    """

    __slots__ = ("_found", "_round", "_segments", "_under")

    def __init__(self, segments: Sequence[RowSegment] = (), *, under: "KeptEvents | None" = None) -> None:
        self._under = under
        self._segments = list(segments)
        self._found: dict[int, KeptEvent] = {}
        self._round: _Round | None = None

    def __len__(self) -> int:
        """How many events are kept, without those of the round."""
        return sum(segment.numbers.size for segment in self._segments)

    def begin_round(self, places: Places, events: Events, values: Values) -> None:
        """Know new events, for the round at least: those at the places, which ascend; -1 stands for an old one."""
        places = places[places >= 0]
        self._round = _Round(events["row"][places], places, events, values)

    def __getitem__(self, row: int) -> KeptEvent:
        """An event; its values may be missing while its round lasts.

        Raises:
            StateError: it isn't kept.
        """
        found = self._found.get(row)
        if found is None:
            found = self._find(row)
            if len(self._found) >= _MOST_FOUND:
                self._found.clear()
            self._found[row] = found
        return found

    def value(self, row: int, slot: int) -> Any:
        """The value of an event in a slot."""
        found = self[row]
        if found.values is not None:
            return found.values[slot]
        if self._round is None:
            return None
        values = self._round.evaluated(self._round.number(row))
        self._found[row] = found._replace(values=values)
        return values[slot]

    def _find(self, row: int) -> KeptEvent:
        if self._round is not None:
            number = self._round.number(row)
            if number >= 0:
                return self._round.head(number)
        for segment in reversed(self._segments):
            at = int(segment.numbers.searchsorted(row))
            if at < segment.numbers.size and segment.numbers[at] == row:
                time, high, low, *values = segment.rows.row(at)
                return KeptEvent(time, high, low, tuple(values))
        if self._under is None:
            raise StateError(f"event {row} is asked for but not kept; this is a fault of Footfall's")
        return self._under[row]

    def end_round(self, stay: npt.NDArray[np.int64]) -> None:
        """Keep those of the round's events that stay; what is known of the others goes."""
        now, self._round = self._round, None
        if now is None:
            return
        mask = np.isin(now.rows, stay)
        if mask.any():
            append_segment(self._segments, RowSegment(now.rows[mask], now.kept(mask)), _joined)
        if now.rows.size:
            # Their values may be missing, and the others of them are gone.
            first = int(now.rows[0])
            for row in [row for row in self._found if row >= first]:
                if self._found[row].values is None or not mask[now.number(row)]:
                    del self._found[row]

    def sweep(self, live: npt.NDArray[np.int64]) -> None:
        """Let go of all but the events of these rows, which ascend, without doubles."""
        kept = [segment.kept(live) for segment in self._segments]
        self._segments = [segment for segment in kept if segment is not None]
        self._found.clear()

    def __reduce__(self) -> tuple[type["KeptEvents"], tuple[list[RowSegment]]]:
        """Pickle what is kept, without a round."""
        return KeptEvents, (self._segments,)


def _joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One frame of several; a plan that has grown has its new slots behind the others."""
    same = all(frame.columns == frames[0].columns for frame in frames)
    return pl.concat(frames, how="vertical" if same else "diagonal", rechunk=True)
