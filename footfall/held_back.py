"""What a run that was built from history doesn't send: what was decided, or read, before it went live.

The rule goes by event time and by positions alone, so that a restart holds back the same messages:

- a match, a trigger, or the retraction of one, if it was decided before `since`;
- a session if it was over before `since` at the latest: its gap had passed;
- a score, if the tick of the models to which its moment belongs was over before `since`;
- a late event or a dead letter that was read from the history.

What is decided at `since` or later is sent, even if it comes of events that lie before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from footfall.clock import FOREVER
from footfall.sink import Sink
from footfall.tables import DEAD_LETTERS, LATE_EVENTS, MATCHES, SCORES, SESSIONS, TRIGGERS, Table
from footfall.trigger_rule import TriggerRule

_DECIDED = {
    MATCHES.name: "settled_time",
    TRIGGERS.name: "decided_time",
    SESSIONS.name: "end_time",
    SCORES.name: "time",
}


@dataclass(frozen=True, slots=True)
class Outset:
    """When and where a run went live.

    Attributes:
        since: event time (ms) from which on decisions are sent.
        begins: source partition -> the first offset that was read live; `FOREVER` for those of the history alone.
            Partitions that aren't there came later: all of them is live.
    """

    since: int
    begins: Mapping[str, int] = field(default_factory=dict)

    def news(self, table: Table, frame: pl.DataFrame, gap: int, tick: int) -> pl.DataFrame:
        """The rows that are sent; `gap` (ms) is the one that ends sessions, and models score once in a `tick` (ms)."""
        decided = _DECIDED.get(table.name)
        if decided is not None:
            later = {SESSIONS.name: gap, SCORES.name: tick}.get(table.name, 0)
            return frame.filter(pl.col(decided).dt.epoch("ms") >= self.since - later)
        if table.name in {LATE_EVENTS.name, DEAD_LETTERS.name} and self.begins:
            first = pl.col("source_partition").replace_strict(
                dict(self.begins), default=0, return_dtype=pl.Int64
            )
            return frame.filter((first < FOREVER) & (pl.col("source_offset") >= first))
        return frame


class HoldingSink(Sink):
    """A sink that gets only what is to be sent.

    Args:
        sink: where the rest goes.
        outset: what is held back.
        gap: the gap (ms) that ends sessions.
        tick: the tick (ms) of the models.

    Attributes:
        held: table -> how many rows were held back in this process.
    """

    def __init__(self, sink: Sink, outset: Outset, gap: int, tick: int) -> None:
        self.held: dict[str, int] = {}
        self._sink = sink
        self._outset = outset
        self._gap = gap
        self._tick = tick

    def open_part(self, part: str, resume: object | None) -> None:
        """See `Sink`."""
        self._sink.open_part(part, resume)

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        """Hand on what is to be sent."""
        news = self._outset.news(table, frame, self._gap, self._tick)
        if news.height < frame.height:
            self.held[table.name] = self.held.get(table.name, 0) + frame.height - news.height
        self._sink.write(part, table, news)

    def flush(self, part: str) -> object:
        """See `Sink`."""
        return self._sink.flush(part)

    @property
    def name(self) -> str:
        """That of the sink."""
        return self._sink.name

    def go_by(self, rules: Sequence[TriggerRule]) -> None:
        """Tell the sink."""
        self._sink.go_by(rules)

    def close(self) -> None:
        """See `Sink`."""
        self._sink.close()
