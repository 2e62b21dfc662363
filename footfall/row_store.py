"""The rows that a shard still needs: those that open sessions and partial matches quote, and no others.

A shard numbers the rows it sees, one after another. A round's window holds its rows; what is still quoted when
the round ends is kept, in segments that are merged as they grow, and thrown out when more than half is dead.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.errors import StateError

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
            merged = np.concatenate([older, newer]), pl.concat([older_rows, newer_rows], rechunk=True)
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

    def take(
        self, numbers: Rows, window: pl.DataFrame, places_in: Rows, since: int, columns: tuple[str, ...]
    ) -> list[pl.Series]:
        """The given columns of the rows with these numbers; null where a number is -1.

        `window` holds the rows numbered from `since` on, number `since + i` at `places_in[i]`.

        Raises:
            StateError: a row isn't there.
        """
        absent = numbers < 0
        if absent.all():
            return [window[column].clear().extend_constant(None, numbers.size) for column in columns]
        recent = numbers >= since
        known = absent | recent
        places = np.zeros(numbers.size, np.int64)
        frames = []
        base = 0
        for kept, rows in self.segments:
            at = np.searchsorted(kept, numbers)
            at[at == kept.size] = 0
            found = kept[at] == numbers
            if found.any():
                known |= found
                places[found] = at[found] + base
                frames.append(rows)
                base += rows.height
        if not known.all():
            raise StateError(
                f"row {int(numbers[~known][0])} is quoted but not kept; this is a fault of Footfall's"
            )
        if recent.any():
            places[recent] = places_in[numbers[recent] - since] + base
            frames.append(window)
        taken = []
        for column in columns:
            parts = [frame[column] for frame in frames]
            pool = pl.concat(parts) if len(parts) > 1 else parts[0]
            values = pool[places]
            taken.append(values.set(pl.Series(absent), None) if absent.any() else values)
        return taken
