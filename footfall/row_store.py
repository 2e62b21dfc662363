"""The rows that a shard still needs: those that open sessions and partial matches quote, and no others.

A shard numbers the rows it sees, one after another. A round's window holds its rows; what is still quoted when
the round ends is kept, in segments that are merged as they grow, and thrown out when more than half is dead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.errors import StateError
from footfall.row_frames import column_of, join_rows, nulls
from footfall.row_segments import RowSegment, append_segment

Rows = npt.NDArray[np.int64]

_SLACK = 4_096


@dataclass(slots=True)
class RowStore:
    """Kept rows by number. `numbers` of a segment ascend, as the segments do among each other."""

    segments: list[RowSegment] = field(default_factory=list)
    live_after_sweep: int = 0

    @property
    def size(self) -> int:
        """How many rows are kept, dead ones that haven't been swept included."""
        return sum(segment.numbers.size for segment in self.segments)

    def keep(self, numbers: Rows, rows: pl.DataFrame) -> None:
        """Keep rows; their numbers ascend and are higher than all that were kept before."""
        if numbers.size == 0:
            return
        append_segment(self.segments, RowSegment(numbers, rows), partial(join_rows, rechunk=True))

    def wants_sweep(self) -> bool:
        """Whether enough has been added since the last sweep to make another one worth its while."""
        return self.size > 2 * self.live_after_sweep + _SLACK

    def sweep(self, live: Rows) -> None:
        """Throw out all rows but those numbered in `live` (in any order, doubles and unknown numbers allowed)."""
        wanted = np.unique(live)
        kept = [segment.kept(wanted) for segment in self.segments]
        self.segments = [segment for segment in kept if segment is not None]
        self.live_after_sweep = self.size

    def pool(self, window: pl.DataFrame, places: Rows, since: int) -> "RowPool":
        """The kept rows and those of a round's window, to be looked up by number.

        The window's rows are numbered from `since` on, number `since + i` at `places[i]`.
        """
        return RowPool(self.segments, window, places, since)


class RowPool:
    """Rows to be looked up by number; whatever is looked up in one round shares it."""

    def __init__(
        self, segments: Sequence[RowSegment], window: pl.DataFrame, places: Rows, since: int
    ) -> None:
        self._segments = segments
        self._window = window
        self._places = places
        self._since = since
        self._kept_numbers: Rows | None = None
        self._columns: dict[str, pl.Series] = {}

    def take(self, numbers: Rows, columns: Sequence[str]) -> list[pl.Series]:
        """The given columns of the rows with these numbers; null where a number is -1.

        Raises:
            StateError: a row isn't there.
        """
        if numbers.size and numbers.min() >= self._since:
            # Those of a few new events are nearly always the round's own.
            recent = pl.Series(self._places[numbers - self._since].astype(np.uint32))
            return [column_of(self._window, name)[recent] for name in columns]
        return self._take_any(numbers, columns)

    def _take_any(self, numbers: Rows, columns: Sequence[str]) -> list[pl.Series]:
        absent = numbers < 0
        if absent.all():
            return [nulls(name, numbers.size) for name in columns]
        kept_numbers = self._numbers
        kept = kept_numbers.size
        recent = numbers >= self._since
        at = np.searchsorted(kept_numbers, numbers)
        known = absent | recent
        if kept:
            known |= kept_numbers[np.minimum(at, kept - 1)] == numbers
        if not known.all():
            raise StateError(
                f"row {int(numbers[~known][0])} is quoted but not kept; this is a fault of Footfall's"
            )
        at[recent] = kept + self._places[numbers[recent] - self._since]
        at[absent] = kept + self._window.height
        wanted = pl.Series(at.astype(np.uint32))
        return [self._column(name)[wanted] for name in columns]

    @property
    def _numbers(self) -> Rows:
        """The numbers of all kept rows."""
        if self._kept_numbers is None:
            parts = (segment.numbers for segment in self._segments)
            self._kept_numbers = np.concatenate([np.zeros(0, np.int64), *parts])
        return self._kept_numbers

    def _column(self, name: str) -> pl.Series:
        """All rows' values, and a null behind them."""
        column = self._columns.get(name)
        if column is None:
            frames = [*(segment.rows for segment in self._segments), self._window]
            if any(name in frame.columns for frame in frames):
                parts = [column_of(frame, name) for frame in frames if frame.height]
                column = pl.concat([*parts, nulls(name, 1)])
            else:
                column = nulls(name, self._numbers.size + self._window.height + 1)
            self._columns[name] = column
        return column
