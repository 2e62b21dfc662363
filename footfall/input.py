"""The dataflow's input: a source's partitions, decoded, clocked and split by shard where they are read.

Everything that depends on a partition's order (offsets, watermark, lateness) is decided here, before any split.
A partition's resume state holds its position, its clock and its totals.
"""

import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from footfall.clock import FOREVER, NEVER, WATERMARK, ClockSettings, PartitionClock
from footfall.digest import Digest, frame_words
from footfall.envelope import SCHEMA
from footfall.event_batch import ENGINE_COLUMNS, QUOTED, ShardBatch, split_by_shard
from footfall.formats import Decoder
from footfall.pattern_plan import PatternPlan
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import ReadAhead
from footfall.records import RecordBlock, RecordReader, RecordSource
from footfall.run_messages import PartitionDone, Progress, Tell

_WAIT = timedelta(milliseconds=2)
_POLL = timedelta(milliseconds=5)
_BLOCK = 8_192
_TICK_MS = 1_000
_MOST_FORMATS = 64
_LATE_CONTENT = ("visitor_id", "message_id", "event", "event_time")
_FILLED_LATER = frozenset({"source_partition", "late", "clock_capped"})


@dataclass(slots=True)
class Letters:
    """Late events and dead letters of one read, as rows; None where there are none.

    `done` is the partition's last word.
    """

    late: pl.DataFrame | None = None
    dead: pl.DataFrame | None = None
    done: PartitionDone | None = None


Item = tuple[str, ShardBatch | Letters]


@dataclass(frozen=True, slots=True)
class InputSettings:
    """What the input is made of.

    Attributes:
        source: where records come from.
        new_format: makes a format, given its name (None: the run's own) and the envelope columns that are wanted.
        clock: the partitions' clock bounds.
        in_force: the compiled patterns, which may get more while the run goes on.
        shard_names: the shards' names, which are the keys of what comes out.
        batch_size: records in one read, at most.
        read_ahead: how far (ms of event time) a partition may be ahead of the slowest.
        event_columns: the envelope columns that sinks store; empty if none does.
        early: the shards give early answers, for which events carry their watermarks.
    """

    source: RecordSource
    new_format: "FormatMaker"
    clock: ClockSettings
    in_force: PlanInForce
    shard_names: tuple[str, ...]
    batch_size: int
    read_ahead: int
    event_columns: tuple[str, ...]
    early: bool = False

    def decoded_columns(self, plan: PatternPlan) -> tuple[str, ...]:
        """The columns to decode: what is stored, quoted, or matched on."""
        wanted = {*self.event_columns, *ENGINE_COLUMNS, *plan.columns, "event"}
        return tuple(name for name in SCHEMA if name in wanted - _FILLED_LATER)

    def row_columns(self, plan: PatternPlan) -> tuple[str, ...]:
        """The columns of the rows that travel on to the shards."""
        wanted = {*self.event_columns, *QUOTED, *plan.row_columns}
        return tuple(name for name in SCHEMA if name in wanted)


class FormatMaker:
    """Makes a `Decoder` for a partition; a named class, so that settings that hold it pickle."""

    def __call__(self, name: str | None, columns: frozenset[str]) -> Decoder:
        """A new format of that name (None: the run's own) that decodes these envelope columns."""
        raise NotImplementedError


@dataclass(slots=True)
class _Totals:
    records: int = 0
    late: int = 0
    dead: int = 0
    clock_capped: int = 0
    dead_reasons: dict[str, int] = field(default_factory=dict)
    digest: Digest = field(default_factory=Digest)


class PartitionInput(StatefulSourcePartition[Item, bytes]):
    """One source partition as Bytewax reads it."""

    def __init__(
        self,
        settings: InputSettings,
        partition: str,
        resume: bytes | None,
        *,
        ahead: ReadAhead,
        tell: Tell,
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._name = partition
        self._number = settings.source.partitions().index(partition)
        self._ahead = ahead
        self._tell = tell
        self._stop = stop
        self._waits = self._quiet = False
        self._before = NEVER
        self._ticked = NEVER
        position: Any = None
        self._done = False
        self._clock = PartitionClock(settings.clock)
        self._totals = _Totals()
        if resume is not None:
            position, self._done, self._clock, self._totals = pickle.loads(resume)  # noqa: S301 - our own state
        self._position = position
        self._formats: dict[str | None, Decoder] = {}
        self._reader: RecordReader | None = None
        self._go_by(settings.in_force.now.plan)
        self._live = settings.source.is_live(partition)
        tell(self._progress())
        ahead.note(self._number, NEVER)
        if self._done:
            ahead.note(self._number, FOREVER)
            ahead.leave(self._number, self._reached)
        elif resume is not None:
            ahead.note(self._number, self._clock.max_event_time)

    def _go_by(self, plan: PatternPlan) -> None:
        self._plan = plan
        if self._settings.event_columns and self._formats:
            return  # all columns are decoded
        self._columns = list(self._settings.decoded_columns(plan))
        self._row_columns = list(self._settings.row_columns(plan))
        self._blank = pl.DataFrame(schema={name: SCHEMA[name] for name in self._columns})
        self._formats = {}

    @property
    def _reached(self) -> int:
        """Up to when (ms) anything of the partition may have been taken or settled.

        The watermark of one that is quiet, or whose events come long after they happened, is ahead of all of them.
        """
        return max(self._clock.max_event_time, self._clock.watermark)

    def next_batch(self) -> Sequence[Item]:
        """Read, decode and split the next records."""
        if self._done or self._stop.is_set():
            self._tell_progress(final=True)
            self.close()
            raise StopIteration
        self._quiet = False
        self._waits = self._ahead.is_held(self._number, self._reached) or self._ahead.must_wait(self._before)
        if self._waits:
            self._tell_progress()
            return []
        plan = self._settings.in_force.now.plan
        if plan is not self._plan:
            self._go_by(plan)
        if self._reader is None:
            self._reader = self._settings.source.open(self._name, self._position)
        before = self._clock.max_event_time
        letters = Letters()
        known = self._totals.records
        events, ended = self._read(self._reader, letters)
        if self._live and self._totals.records == known and not self._tick(self._reader):
            self._tell_progress()
            return []
        events = self._clock.take(events, ended=ended, with_watermarks=self._settings.early)
        events = self._part_late(events, letters)
        self._position = self._reader.position()
        self._before = before
        self._ahead.note(self._number, FOREVER if ended or self._quiet else self._clock.max_event_time)
        self._tell_progress()
        arrival = self._clock.last_arrival
        if self._live and self._dated is not None:
            self._reader.note_dating(own=self._dated)
        batches = split_by_shard(
            events,
            plan,
            self._row_columns,
            self._number,
            len(self._settings.shard_names),
            watermark=self._clock.watermark,
            ended=ended,
            arrival=max(arrival, self._ticked),
        )
        names = self._settings.shard_names
        items: list[Item] = [(names[batch.shard], batch) for batch in batches]
        if ended:
            self._done = True
            self._ahead.leave(self._number, self._reached)
            letters.done = self._last_word()
        if letters.late is not None or letters.dead is not None or letters.done is not None:
            items.append((names[self._number % len(names)], letters))
        return items

    def _tick(self, reader: RecordReader) -> bool:
        """A live partition has nothing at hand: whether that it stands at its end lets anything settle."""
        self._quiet = True
        self._ahead.note(self._number, FOREVER)
        until = reader.read_until()
        if until is None or until < self._ticked + _TICK_MS or not self._clock.read_until(until):
            return False
        self._ticked = until
        return True

    def _read(self, reader: RecordReader, letters: Letters) -> tuple[pl.DataFrame, bool]:
        """Read and decode a batch, in blocks that stay in the processor's cache; whether the partition has ended."""
        decoded, dead = [self._blank], []
        left, ended = self._settings.batch_size, False
        self._dated: bool | None = None
        if self._live:
            # A backlog is read in steps that leave the other partitions, and snapshots, their turn.
            left = min(left, _BLOCK)
        while left > 0 and not ended:
            block = reader.read(min(left, _BLOCK))
            if block is None:
                ended = not self._live
                break
            out = self._format_of(block.format).decode(block)
            self._totals.records += block.count
            left -= block.count
            if out.events.height:
                decoded.append(out.events[self._columns])
                if self._live:
                    self._dated = _date_themselves(block, out.events) or bool(self._dated)
            if out.dead.height:
                dead.append(out.dead)
        if dead:
            letters.dead = pl.concat(dead)
            self._count_dead(letters.dead)
        return (pl.concat(decoded) if len(decoded) > 2 else decoded[-1]), ended

    def _format_of(self, name: str | None) -> Decoder:
        known = self._formats.get(name)
        if known is None:
            known = self._settings.new_format(name, frozenset(self._columns))
            if len(self._formats) < _MOST_FORMATS:  # a header may say anything
                self._formats[name] = known
        return known

    def _part_late(self, events: pl.DataFrame, letters: Letters) -> pl.DataFrame:
        if self._settings.event_columns:
            named = pl.Series("source_partition", [self._name]).new_from_index(0, events.height)
            events = events.hstack([named])
        if events.height == 0:
            events = events.with_columns(late=pl.lit(False), clock_capped=pl.lit(False))
            return events.with_columns(pl.lit(0).alias(WATERMARK)) if self._settings.early else events
        self._totals.clock_capped += int(events["clock_capped"].sum())
        late = int(events["late"].sum())
        if late:
            rows = events.filter("late")
            self._totals.late += late
            self._totals.digest.add("late", frame_words(rows.select(_LATE_CONTENT)))
            letters.late = rows
            events = events.filter(~pl.col("late"))
        return events

    def _count_dead(self, dead: pl.DataFrame) -> None:
        totals = self._totals
        totals.dead += dead.height
        for reason, count in dead["reason"].value_counts().iter_rows():
            totals.dead_reasons[reason] = totals.dead_reasons.get(reason, 0) + count
        totals.digest.add("dead", frame_words(dead.select("reason", "bytes")))

    def _tell_progress(self, *, final: bool = False) -> None:
        if self._reader is not None:
            self._tell(self._progress(final=final))

    def _progress(self, *, final: bool = False) -> Progress:
        reader, totals = self._reader, self._totals
        bytes_read, bytes_total = (0, None) if reader is None else reader.progress()
        # What has ended in a live run holds nothing up any more, and nobody waits for it.
        over = self._done and self._settings.source.live
        return Progress(
            self._name,
            totals.records,
            bytes_read,
            bytes_total,
            _known(self._clock.max_event_time),
            0 if over else None if reader is None else reader.lag(),
            None if over else _known(self._clock.watermark),
            totals.late,
            totals.dead,
            totals.clock_capped,
            dict(totals.dead_reasons),
            (totals.digest.high, totals.digest.low),
            final=final,
        )

    def _last_word(self) -> PartitionDone:
        totals = self._totals
        return PartitionDone(
            self._name,
            totals.records,
            totals.late,
            totals.dead,
            totals.clock_capped,
            (totals.digest.high, totals.digest.low),
            totals.dead_reasons,
        )

    def next_awake(self) -> datetime | None:
        """Soon again while the others have to catch up, or a live partition is quiet; at once otherwise."""
        if self._waits or self._quiet:
            return datetime.now(UTC) + (_WAIT if self._waits else _POLL)
        return None

    def snapshot(self) -> bytes:
        """Position, clock and totals."""
        return pickle.dumps((self._position, self._done, self._clock, self._totals), protocol=5)

    def close(self) -> None:
        """Free the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _date_themselves(block: RecordBlock, events: pl.DataFrame) -> bool:
    """Whether an event of the block has another arrival than the transport gave it."""
    arrivals = events["arrival_time"].to_physical()
    if block.arrivals is None:
        return arrivals.null_count() < events.height
    given = block.arrivals
    if events.height < block.count:
        given = given[np.searchsorted(block.offsets_of_records(), events["source_offset"].to_numpy())]
    return not np.array_equal(arrivals.to_numpy(), given)


def _known(time: int) -> int | None:
    return None if time == NEVER else time


class RecordInput(FixedPartitionedSource[Item, bytes]):
    """The source of the dataflow: keyed by shard, batches for the shards and letters for the sinks.

    With `stop` set, every partition ends where it is: the last snapshot is taken, and nothing is released, since
    only a partition's own end, which is in the data, closes anything.
    """

    def __init__(
        self, settings: InputSettings, *, ahead: ReadAhead, tell: Tell, stop: threading.Event
    ) -> None:
        self._settings = settings
        self._ahead = ahead
        self._tell = tell
        self._stop = stop

    def list_parts(self) -> list[str]:
        """All partitions, on every worker; Bytewax spreads them."""
        return self._settings.source.partitions()

    def build_part(self, _step_id: str, for_part: str, resume_state: bytes | None) -> PartitionInput:
        """Open a partition, at its start or where it was."""
        return PartitionInput(
            self._settings, for_part, resume_state, ahead=self._ahead, tell=self._tell, stop=self._stop
        )
