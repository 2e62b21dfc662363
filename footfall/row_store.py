"""The rows that a shard still needs: those that open sessions and partial matches quote, and no others.

A shard numbers the rows it sees, one after another. A round's window holds its rows; what is still quoted when
the round ends is kept, in segments that are merged as they grow, and thrown out when more than half is dead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.errors import StateError
from footfall.row_frames import column_of, join_rows, nulls

Rows = npt.NDArray[np.int64]

_SLACK = 4_096


@dataclass(slots=True)
class RowStore:
    """Kept rows by number. `numbers` of a segment ascend, as the segments do among each other."""

    segments: list[tuple[Rows, pl.DataFrame]] = field(default_factory=list)
    live_after_sweep: int = 0

    @property
    def size(self) -> int:
        """How many rows are kept, dead ones that haven't been swept included."""
        return sum(numbers.size for numbers, _ in self.segments)

    def keep(self, numbers: Rows, rows: pl.DataFrame) -> None:
        """Keep rows; their numbers ascend and are higher than all that were kept before."""
        if numbers.size == 0:
            return
        self.segments.append((numbers, rows))
        while len(self.segments) > 1 and self.segments[-2][0].size < 2 * self.segments[-1][0].size:
            (older, older_rows), (newer, newer_rows) = self.segments[-2:]
            merged = np.concatenate([older, newer]), join_rows([older_rows, newer_rows], rechunk=True)
            self.segments[-2:] = [merged]

    def wants_sweep(self) -> bool:
        """Whether enough has been added since the last sweep to make another one worth its while."""
        return self.size > 2 * self.live_after_sweep + _SLACK

    def sweep(self, live: Rows) -> None:
        """Throw out all rows but those numbered in `live` (in any order, doubles and unknown numbers allowed)."""
        wanted = np.unique(live)
        kept = []
        for numbers, rows in self.segments:
            mask = np.isin(numbers, wanted, assume_unique=True)
            if mask.all():
                kept.append((numbers, rows))
            elif mask.any():
                kept.append((numbers[mask], rows.filter(pl.Series(mask))))
        self.segments = kept
        self.live_after_sweep = self.size

    def pool(self, window: pl.DataFrame, places: Rows, since: int) -> "RowPool":
        """The kept rows and those of a round's window, to be looked up by number.

        The window's rows are numbered from `since` on, number `since + i` at `places[i]`.
        """
        return RowPool(self.segments, window, places, since)


class RowPool:
    """Rows to be looked up by number; whatever is looked up in one round shares it."""

    def __init__(
        self, segments: list[tuple[Rows, pl.DataFrame]], window: pl.DataFrame, places: Rows, since: int
    ) -> None:
        self._numbers = np.concatenate([np.zeros(0, np.int64), *(numbers for numbers, _ in segments)])
        self._frames = [*(rows for _, rows in segments), window]
        self._places = places
        self._since = since
        self._columns: dict[str, pl.Series] = {}

    def take(self, numbers: Rows, columns: Sequence[str]) -> list[pl.Series]:
        """The given columns of the rows with these numbers; null where a number is -1.

        Raises:
            StateError: a row isn't there.
        """
        absent = numbers < 0
        if absent.all():
            return [nulls(name, numbers.size) for name in columns]
        kept = self._numbers.size
        recent = numbers >= self._since
        at = np.searchsorted(self._numbers, numbers)
        known = absent | recent
        if kept:
            known |= self._numbers[np.minimum(at, kept - 1)] == numbers
        if not known.all():
            raise StateError(
                f"row {int(numbers[~known][0])} is quoted but not kept; this is a fault of Footfall's"
            )
        at[recent] = kept + self._places[numbers[recent] - self._since]
        at[absent] = kept + self._frames[-1].height
        return [self._column(name)[at] for name in columns]

    def _column(self, name: str) -> pl.Series:
        """All rows' values, and a null behind them."""
        column = self._columns.get(name)
        if column is None:
            if any(name in frame.columns for frame in self._frames):
                parts = [column_of(frame, name) for frame in self._frames if frame.height]
                column = pl.concat([*parts, nulls(name, 1)])
            else:
                column = nulls(name, self._numbers.size + self._frames[-1].height + 1)
            self._columns[name] = column
        return column
