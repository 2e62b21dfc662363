"""Rows of a spool: records that wait in its files, table by table, and frames that no file has yet."""

from collections import deque
from dataclasses import dataclass, field

import polars as pl

from footfall.spool_record import Record
from footfall.spool_segment import Segment

_RECORD_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that waits, the file that it is in, and since when (monotonic seconds) its rows wait."""

    segment: Segment
    record: Record
    since: float


@dataclass(slots=True)
class Entries:
    """The records of a table that can be taken, and the number of their rows."""

    queue: deque[Entry] = field(default_factory=deque)
    rows: int = 0


@dataclass(slots=True)
class Held:
    """Rows of a table that no file has yet, and their size in memory, frame by frame."""

    since: float
    frames: list[tuple[pl.DataFrame, int]] = field(default_factory=list)


def pieces(frames: list[pl.DataFrame], most_bytes: int) -> list[pl.DataFrame]:
    """The frames' rows joined, in pieces of a record's size: twice so many bytes, and 100,000 rows, at most."""
    rows = pl.concat(frames, rechunk=True)
    size = max(1, int(rows.estimated_size()))
    height = min(_RECORD_ROWS, max(1, 2 * most_bytes * rows.height // size))
    return [rows.slice(first, height) for first in range(0, rows.height, height)]
