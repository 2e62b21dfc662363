"""One visitor's events out of a run's inputs: read, clocked and put in order as a run does it.

Lateness depends on all records of a partition, so all are decoded; the visitor's alone are kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import polars as pl

from footfall.clock import ClockSettings, PartitionClock
from footfall.dataflow import pattern_plan
from footfall.duration import format_duration
from footfall.envelope import SCHEMA
from footfall.errors import UsageError
from footfall.event_batch import ENGINE_COLUMNS, QUOTED, engine_events, split_by_shard
from footfall.event_names import EventNames
from footfall.formats import format_by_name
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.record_arrays import join_records
from footfall.records import RecordSource
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Shard, ShardSettings, final_order
from footfall.tables import MATCHES

_FILLED_LATER = frozenset({"source_partition", "late", "clock_capped"})
_NAMED = ("event", "event_time", "source_partition", "source_offset")
_POSITION = ["source_partition", "source_offset"]
_BLOCK = 8_192
_REMEMBERED_VISITORS = 20_000
_SHOWN_VISITORS = 5


@dataclass(frozen=True, slots=True)
class VisitorEvents:
    """A visitor's events, and what the engine makes of them.

    Attributes:
        visitor: the visitor.
        frame: the events in their final order, in columns of the envelope; `fate` is null for those that patterns
            see, else why they don't ("late", "duplicate").
        watermark: the time up to which the clocks of the partitions had moved when the input ended, in ms.
        matches: the engine's matches of the pattern, as rows of the matches' table.
        records: how many records were read in all.
        lateness_ms: how late an event may come.
    """

    visitor: str
    frame: pl.DataFrame
    watermark: int
    matches: pl.DataFrame
    records: int
    lateness_ms: int


def read_visitor(
    settings: Settings, source: RecordSource, pattern: Pattern, visitor: str, columns: Iterable[str]
) -> VisitorEvents:
    """Read all of the source, and run the engine on one visitor's events and one pattern.

    Args:
        settings: a run's: format, event names, clock, sessions.
        source: the records.
        pattern: what the engine looks for.
        visitor: whose events, by `visitor_id`.
        columns: more columns of the envelope that the frame must have.

    Raises:
        UsageError: no event is the visitor's; visitors that there are, are named.
        SourceError: a file can't be read.
    """
    plan = pattern_plan(settings, [pattern])
    reading = _Reading(settings, source, plan, visitor, frozenset(columns))
    parts = [reading.partition(number, name) for number, name in enumerate(source.partitions())]
    if not any(part.frame.height for part in parts):
        raise UsageError(reading.unknown())
    kept, matches = _run_engine(settings, plan, parts)
    events = join_records([engine_events(part.frame, part.number) for part in parts])
    frame = pl.concat([part.frame for part in parts])[final_order(events)]
    frame = frame.join(
        kept.select(_POSITION).with_columns(kept=pl.lit(True)),
        on=_POSITION,
        how="left",
        maintain_order="left",
    )
    fate = pl.when("late").then(pl.lit("late")).when(pl.col("kept").is_null()).then(pl.lit("duplicate"))
    return VisitorEvents(
        visitor,
        frame.with_columns(fate=fate).drop("kept"),
        max(part.watermark for part in parts),
        matches,
        reading.records,
        settings.lateness,
    )


def fate_words(fate: str, events: VisitorEvents) -> str:
    """Why patterns don't see an event."""
    if fate == "late":
        late = format_duration(events.lateness_ms)
        return f"late: its partition's clock had passed its time when it was read (lateness is {late})"
    return "a duplicate: another record of the same message is in the same session"


@dataclass(frozen=True, slots=True)
class _Partition:
    """A partition's events of the visitor, late ones too, and its clock's last watermark."""

    number: int
    frame: pl.DataFrame
    watermark: int


class _Reading:
    """Reads partitions whole, and keeps what is the visitor's.

    Attributes:
        records: how many records were read so far.
    """

    def __init__(
        self,
        settings: Settings,
        source: RecordSource,
        plan: PatternPlan,
        visitor: str,
        columns: frozenset[str],
    ) -> None:
        self._settings = settings
        self._source = source
        self._visitor = visitor
        wanted = {*ENGINE_COLUMNS, *plan.columns, *columns, "event"} - _FILLED_LATER
        self._columns = [name for name in SCHEMA if name in wanted]
        self._names = EventNames.load(settings.event_names)
        self._others: dict[str, None] = {}
        self._as_user: dict[str, None] = {}
        self.records = 0

    def partition(self, number: int, name: str) -> _Partition:
        """Read one partition to its end."""
        settings = self._settings
        clock = PartitionClock(ClockSettings(settings.lateness, settings.idle_bound, settings.future_jump))
        reader = self._source.open(name, None)
        decoder = format_by_name(settings.format)(self._names, frozenset(self._columns))
        blank = pl.DataFrame(schema={column: SCHEMA[column] for column in self._columns})
        kept = []
        try:
            ended = False
            while not ended:
                block = reader.read(_BLOCK)
                ended = block is None
                events = blank
                if block is not None:
                    self.records += block.count
                    events = decoder.decode(block).events[self._columns]
                events = clock.take(events, ended=ended)
                if events.height:
                    kept.append(self._own(events))
        finally:
            reader.close()
        flags = {"late": pl.Boolean(), "clock_capped": pl.Boolean()}
        empty = blank.with_columns(pl.lit(None, dtype).alias(flag) for flag, dtype in flags.items())
        frame = pl.concat([empty, *kept]).with_columns(source_partition=pl.lit(name))
        return _Partition(number, frame, clock.watermark)

    def _own(self, events: pl.DataFrame) -> pl.DataFrame:
        if len(self._others) < _REMEMBERED_VISITORS:
            self._others.update(dict.fromkeys(events["visitor_id"].unique(maintain_order=True)))
        if len(self._as_user) < _SHOWN_VISITORS:
            theirs = events.filter(pl.col("user_id") == self._visitor)["visitor_id"]
            self._as_user.update(dict.fromkeys(theirs.unique(maintain_order=True)))
        return events.filter(pl.col("visitor_id") == self._visitor)

    def unknown(self) -> str:
        """That there is no such visitor, and who might be meant."""
        visitor = self._visitor
        said = f"no event of visitor {visitor!r} is among the {self.records:,} records of the input"
        if self._as_user:
            return f"{said}; it is a user's id: their visitor ids are {_listed(self._as_user)}"
        if not self._others:
            return f"{said}, none of which is a good one"
        close = [other for other in self._others if visitor.lower() in other.lower()]
        close = close or get_close_matches(visitor, self._others, n=3, cutoff=0.75)
        if close:
            return f"{said}; did you mean {' or '.join(close[:3])}?"
        return f"{said}; there are {_listed(self._others)}"


def _listed(visitors: Iterable[str]) -> str:
    names = list(visitors)
    more = " and others" if len(names) > _SHOWN_VISITORS else ""
    return ", ".join(names[:_SHOWN_VISITORS]) + more


def _run_engine(
    settings: Settings, plan: PatternPlan, parts: list[_Partition]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The events that a shard keeps, and its matches."""
    shard_settings = ShardSettings(
        sessions=SessionSettings(settings.gap, settings.max_session, settings.split_on_campaign),
        plan=plan,
        partitions=len(parts),
        wants_rows=True,
        event_columns=_NAMED,
    )
    rows = {*QUOTED, *_NAMED, *plan.row_columns}
    columns = [name for name in SCHEMA if name in rows]
    batches = [
        batch
        for part in parts
        for batch in split_by_shard(
            part.frame.filter(~pl.col("late")),
            plan,
            columns,
            part.number,
            1,
            watermark=part.watermark,
            ended=True,
        )
    ]
    settled = Shard("explain", shard_settings).take(batches)
    kept = [each.events for each in settled if each.events is not None]
    blank = parts[0].frame.select(_NAMED).clear()
    return pl.concat([blank, *kept]), pl.concat([MATCHES.empty(), *(each.matches for each in settled)])
