"""What automata keep of events: their times and messages, and the values that tests and outputs may ask for.

Most rounds ask for no value. So those of a round's events are evaluated when one is asked for, all at once; and at the
round's end those of the events that stay.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
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


@dataclass(slots=True)
class _Round:
    rows: list[int]
    places: Places
    values: Values
    known: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def evaluate(self, numbers: Sequence[int]) -> None:
        """Evaluate the values of those events, by their numbers in the round."""
        if numbers:
            frame = self.values(self.places[numbers])
            found = frame.rows() if frame.width else [()] * len(numbers)
            self.known.update(zip((self.rows[number] for number in numbers), found, strict=True))


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
            if not self._round.known:
                self._round.evaluate(range(len(self._round.rows)))
            values = self._round.known[row]
        return None if values is None else values[slot]

    def end_round(self, stay: Collection[int], *, for_good: bool) -> None:
        """Let go of the round's events but those that stay; unless it is `for_good`, their values may be missing."""
        now, self._round = self._round, None
        if now is None:
            return
        left = []
        for number, row in enumerate(now.rows):
            if row not in stay:
                self.pop(row, None)
            elif row not in now.known:
                left.append(number)
        if for_good:
            now.evaluate(left)
        for row, values in now.known.items():
            if (event := self.get(row)) is not None:
                self[row] = event._replace(values=values)

    def only(self, rows: Iterable[int]) -> "KeptEvents":
        """Those of these rows."""
        return KeptEvents((row, self[row]) for row in rows)

    def __reduce__(self) -> tuple[Callable[[bytes], "KeptEvents"], tuple[bytes]]:
        """Pickle what is kept, and no round; as MessagePack, in a fifth of pickle's time for so many tuples."""
        return _restored, (msgspec.msgpack.encode(dict(self)),)


_DECODER = msgspec.msgpack.Decoder(dict[int, KeptEvent])


def _restored(kept: bytes) -> KeptEvents:
    return KeptEvents(_DECODER.decode(kept))
