"""Progress on standard error: how far, how fast, at which event time; and what the workers have to say.

On a terminal it is one line that is written over; elsewhere a line every few seconds, so that a log stays short.
"""

import sys
import time
from datetime import UTC, datetime
from typing import TextIO

from footfall.run_messages import Message, Notice, Progress

_EVERY_ON_TERMINAL = 0.2
_EVERY_IN_LOG = 5.0


class ProgressLine:
    """Takes a run's messages and shows its progress and its notices; `close` ends the line."""

    def __init__(self, out: TextIO | None = None, *, quiet: bool = False) -> None:
        """Show them on `out`, standard error if it is None; with `quiet`, notices alone."""
        self._quiet = quiet
        self._out = out or sys.stderr
        self._terminal = self._out.isatty()
        self._every = _EVERY_ON_TERMINAL if self._terminal else _EVERY_IN_LOG
        self._began = self._shown = time.monotonic()
        self._partitions: dict[str, Progress] = {}
        self._first: dict[str, int] = {}
        self._wrote = False

    def __call__(self, message: Message) -> None:
        """Take a message."""
        if isinstance(message, Notice):
            self.close()
            self._out.write(f"{message.level}: {message.text}\n")
            self._out.flush()
        if self._quiet or not isinstance(message, Progress):
            return
        if not self._partitions:
            self._began = time.monotonic()
        self._partitions[message.partition] = message
        self._first.setdefault(message.partition, message.records)
        now = time.monotonic()
        if now - self._shown >= self._every:
            self._shown = now
            self._write(self.line(now - self._began))

    def line(self, seconds: float) -> str:
        """The line after that many seconds of reading."""
        states = self._partitions.values()
        records = sum(state.records for state in states)
        fresh = records - sum(self._first.values())
        rate = f"{fresh / seconds:,.0f}/s" if seconds > 0.5 else "…"
        parts = [f"{records:,} records", rate]
        totals = [state.bytes_total for state in states]
        if all(total is not None for total in totals):
            read, whole = sum(state.bytes_read for state in states), sum(total or 0 for total in totals)
            if whole:
                parts.append(f"{min(1.0, read / whole):.0%} read")
        times = [state.event_time for state in states if state.event_time is not None]
        if times:
            parts.append(f"at {datetime.fromtimestamp(min(times) / 1000, UTC):%Y-%m-%d %H:%M:%S}")
        return ", ".join(parts)

    def _write(self, line: str) -> None:
        if self._terminal:
            self._out.write(f"\r\x1b[2K{line}")
            self._wrote = True
        else:
            self._out.write(f"{line}\n")
        self._out.flush()

    def close(self) -> None:
        """End the line on a terminal."""
        if self._wrote:
            self._out.write("\r\x1b[2K")
            self._out.flush()
            self._wrote = False
