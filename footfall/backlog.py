"""Rows that wait to be sent: what a sender asks of them, and the kind that waits in memory."""

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from footfall.errors import FootfallError


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits of one table: rows, and the monotonic time of the oldest in seconds."""

    table: str
    rows: int
    since: float


@dataclass(frozen=True, slots=True)
class Batch:
    """A table's oldest rows; `count` is the number of things that `done` takes off the backlog."""

    table: str
    frames: tuple[pl.DataFrame, ...]
    rows: int
    count: int


@dataclass(frozen=True, slots=True)
class BacklogSize:
    """How much waits: rows, bytes where they are kept, and how long the oldest has waited in seconds."""

    rows: int
    size: int
    oldest_seconds: float


class Backlog(Protocol):
    """Rows that wait, by table, oldest first. One thread appends, another one (the sender) takes."""

    @property
    def pressed(self) -> bool:
        """Whether there is so little room left that small inserts are better than waiting."""

    def waiting(self) -> list[Waiting]:
        """The tables of which rows can be taken."""

    def take(self, table: str, most_rows: int, most_bytes: int) -> Batch:
        """A table's oldest rows, at least one frame of them. They stay until `done`."""

    def done(self, batch: Batch) -> None:
        """Forget what was taken last of the batch's table."""

    def tend(self) -> None:
        """Do what is due from time to time. The sender calls it often; it raises nothing and waits for nothing."""

    def size(self) -> BacklogSize:
        """How much waits, whether it can be taken yet or not."""


@dataclass(slots=True)
class _TableRows:
    frames: deque[tuple[pl.DataFrame, int, float]] = field(default_factory=deque)
    rows: int = 0


class MemoryBacklog:
    """Rows in memory, up to a size.

    Args:
        limit: bytes that may wait before `append` blocks.
        insert_rows: at how many rows of a table the sender is woken.
        wake: what wakes it.
    """

    def __init__(self, limit: int, insert_rows: int, wake: threading.Event) -> None:
        self._limit = limit
        self._insert_rows = insert_rows
        self._wake = wake
        self._changed = threading.Condition()
        self._tables: dict[str, _TableRows] = {}
        self._bytes = 0
        self._failure: FootfallError | None = None

    @property
    def pressed(self) -> bool:
        """Whether more than half of the room is used."""
        return self._bytes * 2 > self._limit

    def append(self, table: str, frame: pl.DataFrame) -> None:
        """Take rows; blocks while there is no room for them, unless nothing waits.

        Raises:
            FootfallError: what `fail` was given.
        """
        size = int(frame.estimated_size())
        with self._changed:
            self._changed.wait_for(
                lambda: self._failure is not None or not self._bytes or self._bytes + size <= self._limit
            )
            if self._failure is not None:
                raise self._failure
            held = self._tables.setdefault(table, _TableRows())
            held.frames.append((frame, size, time.monotonic()))
            held.rows += frame.height
            self._bytes += size
            if self.pressed or held.rows >= self._insert_rows:
                self._wake.set()

    def fail(self, error: FootfallError) -> None:
        """Let `append` raise the error from now on, a call that waits included. The first error stands."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def waiting(self) -> list[Waiting]:
        """The tables that have rows."""
        with self._changed:
            return [
                Waiting(name, held.rows, held.frames[0][2])
                for name, held in self._tables.items()
                if held.frames
            ]

    def take(self, table: str, most_rows: int, most_bytes: int) -> Batch:
        """A table's oldest frames, up to so many rows and bytes, but at least one."""
        with self._changed:
            taken: list[pl.DataFrame] = []
            rows = size = 0
            for frame, frame_size, _ in self._tables[table].frames:
                rows += frame.height
                size += frame_size
                if taken and (rows > most_rows or size > most_bytes):
                    break
                taken.append(frame)
            return Batch(table, tuple(taken), sum(frame.height for frame in taken), len(taken))

    def done(self, batch: Batch) -> None:
        """Forget the batch's frames."""
        with self._changed:
            held = self._tables[batch.table]
            for _ in range(batch.count):
                frame, size, _ = held.frames.popleft()
                held.rows -= frame.height
                self._bytes -= size
            self._changed.notify_all()

    def tend(self) -> None:
        """Nothing is due."""

    def size(self) -> BacklogSize:
        """How much waits."""
        with self._changed:
            rows = sum(held.rows for held in self._tables.values())
            since = min((held.frames[0][2] for held in self._tables.values() if held.frames), default=None)
            oldest = 0.0 if since is None else max(0.0, time.monotonic() - since)
            return BacklogSize(rows, self._bytes, oldest)
