"""Events that withdraw triggers: which conditions there are, and when a visitor last had one.

A withdrawal may come before the match is known that it withdraws: an absence at a pattern's end settles later than
the match's last event. So each visitor's last withdrawal is remembered for as long as a match can be held up.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from footfall.envelope import SCHEMA
from footfall.errors import UsageError
from footfall.expression import Expression

MOST_CONDITIONS = 61
"""Of the 64 that a word of the events' masks has room for, sessions take three."""
WITHDRAWAL_SCHEMA = pl.Schema({"visitor_id": pl.String(), "time": pl.Int64(), "bits": pl.UInt64()})
"""Withdrawing events: who, when (ms), and as bit i whether the i-th condition takes it."""

_FEW = 4096


def withdrawal_columns(conditions: Iterable[Expression]) -> frozenset[str]:
    """The event columns that `withdrawing_events` needs."""
    reads = (condition.columns() for condition in conditions)
    return frozenset(("visitor_id", "event_time")).union(*reads)


def withdrawing_events(conditions: Iterable[Expression], events: pl.DataFrame) -> pl.DataFrame:
    """Those events that at least one condition takes, in their order, as `WITHDRAWAL_SCHEMA` has them."""
    bits = pl.lit(0, pl.UInt64())
    for number, condition in enumerate(conditions):
        bit = pl.lit(1 << number, pl.UInt64())
        bits |= pl.when(condition.to_polars(SCHEMA)).then(bit).otherwise(pl.lit(0, pl.UInt64()))
    taken = events.select("visitor_id", time=pl.col("event_time").to_physical(), bits=bits)
    return taken.filter(pl.col("bits") != 0).cast(WITHDRAWAL_SCHEMA)


@dataclass(slots=True)
class Withdrawals:
    """The conditions, and each visitor's last events that they took. All of it is kept across a restart.

    Attributes:
        conditions: the conditions by key, in the order of their bits.
    """

    conditions: dict[str, Expression] = field(default_factory=dict)
    _kept_ms: dict[str, int] = field(default_factory=dict)
    _last: dict[str, dict[str, int]] = field(default_factory=dict)
    _left: int = 0
    _size: int = 0

    def use(self, waits: Iterable[tuple[Expression, int]]) -> None:
        """Go by these conditions from now on, each with the longest that a match of its rule is held up, in ms.

        Raises:
            UsageError: there are too many.
        """
        conditions: dict[str, Expression] = {}
        kept_ms: dict[str, int] = {}
        for condition, held_ms in waits:
            key = condition.key()
            conditions.setdefault(key, condition)
            kept_ms[key] = max(held_ms, kept_ms.get(key, 0))
        if len(conditions) > MOST_CONDITIONS:
            raise UsageError(
                f"the trigger rules have {len(conditions)} different withdrawn_by, and {MOST_CONDITIONS} is the most; "
                "let rules share one"
            )
        self.conditions, self._kept_ms = conditions, kept_ms
        self._last = {key: self._last.get(key, {}) for key in self.conditions}

    def take(self, visitor_id: str, time: int, keys: Iterable[str]) -> None:
        """An event came that the conditions of these keys take."""
        for key in keys:
            if self._kept_ms[key]:
                last = self._last[key]
                self._size += visitor_id not in last
                last[visitor_id] = time

    def since(self, key: str, visitor_id: str, time: int) -> bool:
        """Whether the visitor had such an event later than that time."""
        last = self._last[key].get(visitor_id)
        return last is not None and last > time

    def forget(self, until: int) -> None:
        """Drop what can't withdraw a match that settles after `until`, if enough has come since the last time."""
        if self._size <= 2 * self._left + _FEW:
            return
        for key, last in self._last.items():
            since = until - self._kept_ms[key]
            self._last[key] = {who: time for who, time in last.items() if time >= since}
        self._size = self._left = sum(map(len, self._last.values()))

    def __getstate__(self) -> tuple[dict[str, dict[str, int]], int, int]:
        return self._last, self._left, self._size

    def __setstate__(self, state: tuple[dict[str, dict[str, int]], int, int]) -> None:
        self._last, self._left, self._size = state
        self.conditions, self._kept_ms = {}, {}
