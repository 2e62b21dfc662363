"""What automata keep of events: their times and messages, and the values that tests and outputs may ask for.

Most rounds ask for no value. So those of a round's events are evaluated when one is asked for, all at once; and at the
round's end those of the events that stay.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.event_batch import Events

Places = npt.NDArray[np.int64]
Values = Callable[[Places], pl.DataFrame]
"""Gives, for places among a round's events, the frame of the plan's values."""


class KeptEvent(NamedTuple):
    """What is kept of an event; `values` is None until they have been evaluated."""

    time: int
    message_high: int
    message_low: int
    values: tuple[Any, ...] | None


class _Round(NamedTuple):
    rows: list[int]
    places: Places
    values: Values


class KeptEvents(dict[int, KeptEvent]):
    """Events by the number of their row. Between rounds they pickle, and all have their values."""

    _round: _Round | None = None

    def begin_round(self, places: Places, events: Events, values: Values) -> None:
        """Keep new events, for the round at least: those at the places, of which -1 stands for an old one."""
        places = places[places >= 0]
        fields = ("row", "time", "message_high", "message_low")
        rows: list[int] = events["row"][places].tolist()
        for row, time, high, low in zip(*(events[name][places].tolist() for name in fields), strict=True):
            self[row] = KeptEvent(time, high, low, None)
        self._round = _Round(rows, places, values)

    def value(self, row: int, slot: int) -> Any:
        """The value of an event in a slot."""
        values = self[row].values
        if values is None and self._round is not None:
            self._evaluate(range(len(self._round.rows)))
            values = self[row].values
        return None if values is None else values[slot]

    def end_round(self, stay: Collection[int], *, for_good: bool) -> None:
        """Let go of the round's events but those that stay; unless it is `for_good`, their values may be missing."""
        if self._round is None:
            return
        left = []
        for number, row in enumerate(self._round.rows):
            if row not in stay:
                self.pop(row, None)
            elif self[row].values is None:
                left.append(number)
        if for_good:
            self._evaluate(left)
        self._round = None

    def _evaluate(self, numbers: Sequence[int]) -> None:
        if self._round is None or not numbers:
            return
        rows, places, values = self._round
        frame = values(places[numbers])
        found = frame.rows() if frame.width else [()] * len(numbers)
        for number, known in zip(numbers, found, strict=True):
            if (event := self.get(rows[number])) is not None:
                self[rows[number]] = event._replace(values=known)

    def only(self, rows: Iterable[int]) -> "KeptEvents":
        """Those of these rows."""
        return KeptEvents((row, self[row]) for row in rows)

    def __reduce__(self) -> tuple[type["KeptEvents"], tuple[dict[int, KeptEvent]]]:
        """Pickle what is kept, and no round."""
        return KeptEvents, (dict(self),)
