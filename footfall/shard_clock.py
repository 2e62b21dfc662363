"""How far the source partitions that feed a shard have come: what the shard may settle, and what may be told early."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from footfall.clock import FOREVER, NEVER
from footfall.event_batch import UNTOLD, ShardBatch

_DIGITS = re.compile(r"\d+")
_GOLDEN_RATIO = 0.6180339887498949


def passes_a_moment(settled: int, until: int, shard: str, step: int) -> bool:
    """Whether the shard has a moment to settle after the time `settled`, up to `until` (ms).

    There is one in each `step`: shards that go by one clock have theirs one after the other, by the numbers in their
    names, so that they don't all settle at once. Multiples of the golden ratio lie evenly, however many there are.
    """
    digits = _DIGITS.search(shard)
    phase = int(int(digits[0]) * _GOLDEN_RATIO % 1 * step) if digits else 0
    return (until + phase) // step > (settled + phase) // step


def _none() -> npt.NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(slots=True)
class ShardClock:
    """What a shard knows of its partitions, by their numbers; times in ms. All of it is kept across a restart.

    Attributes:
        watermarks: of each partition; `NEVER` before its first record.
        ended: which have no more records.
        arrivals: the latest arrival of each.
        untold_until: nothing is told early before all up to these times has settled; `FOREVER` while it isn't known.
    """

    watermarks: npt.NDArray[np.int64] = field(default_factory=_none)
    ended: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    arrivals: npt.NDArray[np.int64] = field(default_factory=_none)
    untold_until: npt.NDArray[np.int64] = field(default_factory=_none)

    @classmethod
    def of(cls, partitions: int, *, untold: bool) -> "ShardClock":
        """That of so many partitions; `untold`: nothing may be told early for now."""
        return cls(
            np.full(partitions, NEVER),
            np.zeros(partitions, np.bool_),
            np.full(partitions, NEVER),
            np.full(partitions, FOREVER if untold else NEVER),
        )

    def copy(self) -> "ShardClock":
        """One that goes its own way."""
        return replace(self, watermarks=self.watermarks.copy(), ended=self.ended.copy())

    def add(self, count: int) -> None:
        """Know of so many more partitions, behind the others."""
        self.watermarks = np.append(self.watermarks, np.full(count, NEVER))
        self.arrivals = np.append(self.arrivals, np.full(count, NEVER))
        self.ended = np.append(self.ended, np.zeros(count, np.bool_))
        self.untold_until = np.append(self.untold_until, np.full(count, FOREVER))

    def take(self, batches: Sequence[ShardBatch]) -> None:
        """Note how far the partitions have come with these batches."""
        for batch in batches:
            for number, watermark, ended, arrival in batch.marks:
                self.watermarks[number] = max(self.watermarks[number], watermark)
                self.ended[number] |= ended
                self.arrivals[number] = max(self.arrivals[number], arrival)

    def watermark(self) -> int | None:
        """Up to when all has come, in every partition that goes on; None if none does."""
        return None if self.ended.all() else int(self.watermarks[~self.ended].min())

    def end_of_stretch(self, idle_bound: int) -> int:
        """The watermark at the end of a stretch: no partition has more that came before the latest arrival in any.

        Where arrivals aren't known, it is that of the slowest partition that has records.
        """
        latest = int(self.arrivals.max())
        least = self.watermarks[self.watermarks != NEVER]
        if latest != NEVER:
            least = np.maximum(self.watermarks, latest - idle_bound - 1)
        return int(least.min(initial=FOREVER)) if least.size else NEVER

    def mark_untold(self, batches: Sequence[ShardBatch], settled: int, history: int) -> None:
        """While a new partition's visitors may have records in another that wait, no match is told early.

        Where a visitor's records go changes when a partition is added. So nothing is early before all that came before
        the new partition's first records has settled. The first `history` partitions hold the past of the others.
        """
        if settled >= int(self.untold_until.max(initial=NEVER)):
            return
        for batch in batches:
            for number, _, ended, arrival in batch.marks:
                own = batch.events["partition"] == number
                times = batch.events["time"][own]
                if number < history:
                    latest = int(times.max(initial=arrival))
                    known = int(self.untold_until[number])
                    if latest != NEVER or ended:
                        self.untold_until[number] = latest if known == FOREVER else max(known, latest)
                elif self.untold_until[number] == FOREVER:
                    since = arrival if arrival != NEVER or not times.size else int(times.max())
                    self.untold_until[number] = since if since != NEVER else FOREVER
            batch.events["marks"] |= UNTOLD
