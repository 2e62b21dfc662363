"""How the sending of simulated traffic goes, on standard error: a line that is written over, or one now and then."""

import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from footfall.duration import format_duration
from footfall.simulate_play import Played
from footfall.simulate_to_kafka import Beginning, Watch

_EVERY_ON_TERMINAL = 0.2
_EVERY_IN_LOG = 10.0
_RATE_OVER = 5.0
_ON_TIME = 1.0
_BUILDS_UP_SECONDS = 300  # nearly all visits are over by then


class SendingView(Watch):
    """Shows what is about to be sent, then how many, how fast and how far behind; `close` ends the line."""

    def __init__(self, out: TextIO | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Show it on `out`, standard error if it is None; `monotonic` is a clock in seconds."""
        self._out = out or sys.stderr
        self._terminal = self._out.isatty()
        self._every = _EVERY_ON_TERMINAL if self._terminal else _EVERY_IN_LOG
        self._monotonic = monotonic
        self._shown = monotonic()
        self._marks: deque[tuple[float, int]] = deque()
        self._wrote = False

    def starting(self, topic: str, servers: str) -> None:
        """The topic is looked for."""
        self.say(f"looking for topic {topic} at {servers}")

    def begin(self, beginning: Beginning) -> None:
        """Say what is about to be sent."""
        for line in beginning_lines(beginning):
            self.say(line)
        self._shown = self._monotonic()
        self._marks.append((self._shown, 0))

    def note(self, played: Played, waiting: int) -> None:
        """Show it, if it is time to."""
        now = self._monotonic()
        if now - self._shown < self._every:
            return
        self._shown = now
        self._marks.append((now, played.records))
        while len(self._marks) > 2 and now - self._marks[1][0] > _RATE_OVER:
            self._marks.popleft()
        then, before = self._marks[0]
        rate = (played.records - before) / max(now - then, 0.001)
        line = sending_line(played, waiting, rate)
        self._write(f"\r\x1b[2K{line}" if self._terminal else f"{line}\n")
        self._wrote = self._terminal

    def away(self, reason: str) -> None:
        """Say so."""
        self.say(f"warning: Kafka is away: {reason}")

    def back(self) -> None:
        """Say so."""
        self.say("Kafka is back")

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self.close()
        self._write(f"{text}\n")

    def close(self) -> None:
        """End the line on a terminal."""
        if self._wrote:
            self._write("\r\x1b[2K")
            self._wrote = False

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def beginning_lines(beginning: Beginning) -> list[str]:
    """What is about to be sent, for people."""
    plan, speed = beginning.plan, beginning.speed
    first, whole = plan.events_per_second_at_first * speed, plan.events_per_second * speed
    takes = format_duration(max(1, round(plan.duration / speed / 1000)) * 1000)
    builds_up = format_duration(max(1, round(_BUILDS_UP_SECONDS / speed)) * 1000)
    where = f"topic {beginning.topic} ({beginning.partitions} partitions) at {beginning.servers}"
    rates = f"about {_rate(whole)} events/s on average, {_rate(first)}/s at this hour"
    lines = [
        f"sending to {where} for {takes}; Ctrl-C or SIGTERM ends it",
        f"{plan.visitors:,} visitors make {rates}, which takes {builds_up} to build up",
    ]
    if beginning.dated:
        lines.append(
            f"times go from {_at(plan.start)} to {_at(plan.stop)}, "
            + (f"{speed:g} times as fast as the clock; " if speed != 1 else "")
            + "records tell their arrival, and a partition's time stands when they stop"
        )
        if plan.start > beginning.now + 1_000:
            lines.append("they begin ahead of the clock, where the topic's records end")
    else:
        lines.append("times are the clock's, and the broker dates the records")
    return lines


def sending_line(played: Played, waiting: int, rate: float) -> str:
    """How the sending goes, for people: `rate` in records per second."""
    parts = [
        f"{played.records:,} records sent",
        f"{_rate(rate)}/s",
        "on time" if played.behind < _ON_TIME else f"{played.behind:,.0f} s behind",
        f"at {datetime.fromtimestamp(played.time / 1000, UTC):%Y-%m-%d %H:%M:%S}",
    ]
    if waiting:
        parts.append(f"{waiting:,} not acknowledged yet")
    return ", ".join(parts)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _at(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
