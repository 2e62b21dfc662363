"""The dataflow's input: a source's partitions, decoded, clocked and split by shard where they are read.

Everything that depends on a partition's order (offsets, watermark, lateness) is decided here, before any split.
A partition's resume state holds its position, its clock and its totals.
"""

import pickle
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from footfall.clock import FOREVER, NEVER, WATERMARK, ClockSettings, PartitionClock
from footfall.digest import Digest, frame_words
from footfall.envelope import SCHEMA
from footfall.event_batch import ENGINE_COLUMNS, QUOTED, Mark, ShardBatch, split_by_shard
from footfall.formats import Decoder
from footfall.letters import Letters
from footfall.pattern_plan import PatternPlan
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import ReadAhead
from footfall.reading_round import ReadingRound, block_dates_itself
from footfall.records import RecordBlock, RecordReader, RecordSource
from footfall.run_messages import PartitionDone, Progress, Tell

_WAIT = timedelta(milliseconds=2)
_POLL = timedelta(milliseconds=5)
BLOCK = 8_192
_TICK_MS = 1_000
_MOST_FORMATS = 64
_LATE_CONTENT = ("visitor_id", "message_id", "event", "event_time")
_FILLED_LATER = frozenset({"source_partition", "late", "clock_capped"})


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
    """One source partition as Bytewax reads it.

    Attributes:
        name: its name.
        number: its number among all partitions.
        clock: its clock.
        epoch: how many snapshots have been taken of it; Bytewax takes one at each epoch's end.
        served: another partition has read for it since it was asked last.
        failure: what that failed with, to be raised when it is asked itself.
        plan: the plan that it goes by.
        columns: the columns that are decoded for that.
        row_columns: those of the rows that travel on.
        blank: no events, with these columns as they are decoded.

    Args:
        settings: what the input is made of.
        partition: its name.
        resume: its last snapshot.
        ahead: keeps partitions in step.
        tell: takes progress and totals.
        stop: once set, it ends where it is.
        together: the live partitions that are read together with it; None if it is read alone.
    """

    def __init__(
        self,
        settings: InputSettings,
        partition: str,
        resume: bytes | None,
        *,
        ahead: ReadAhead,
        tell: Tell,
        stop: threading.Event,
        together: ReadingRound | None = None,
    ) -> None:
        self._settings = settings
        self.name = partition
        self.number = settings.source.partitions().index(partition)
        self.epoch = 0
        self.served = False
        self.failure: Exception | None = None
        self._ahead = ahead
        self._tell = tell
        self._stop = stop
        self._waits = self._quiet = False
        self._before = NEVER
        self._ticked = NEVER
        position: Any = None
        self._done = self._ended = False
        self._dated: bool | None = None
        self.clock = PartitionClock(settings.clock)
        self._totals = _Totals()
        if resume is not None:
            position, self._done, self.clock, self._totals = pickle.loads(resume)  # noqa: S301 - our own state
        self._position = position
        self._formats: dict[str | None, Decoder] = {}
        self._reader: RecordReader | None = None
        self._go_by(settings.in_force.now.plan)
        self._live = settings.source.is_live(partition)
        self._together = together if self._live else None
        if self._together is not None:
            self._together.join(self)
        tell(self._progress())
        ahead.note(self.number, NEVER)
        if self._done:
            ahead.note(self.number, FOREVER)
            ahead.leave(self.number, self._reached)
        elif resume is not None:
            ahead.note(self.number, self.clock.max_event_time)

    def _go_by(self, plan: PatternPlan) -> None:
        self.plan = plan
        if self._settings.event_columns and self._formats:
            return  # all columns are decoded
        self.columns = list(self._settings.decoded_columns(plan))
        self.row_columns = list(self._settings.row_columns(plan))
        self.blank = pl.DataFrame(schema={name: SCHEMA[name] for name in self.columns})
        self._formats = {}

    @property
    def _reached(self) -> int:
        """Up to when (ms) anything of the partition may have been taken or settled.

        The watermark of one that is quiet, or whose events come long after they happened, is ahead of all of them.
        """
        return max(self.clock.max_event_time, self.clock.watermark)

    def next_batch(self) -> Sequence[Item]:
        """Read, decode and split the next records."""
        if self._done or self._stop.is_set():
            self._tell_progress(final=True)
            self.close()
            raise StopIteration
        if self.failure is not None:
            raise self.failure
        if self.served:
            self.served = False
            return []
        if not self.may_read():
            return []
        if self._together is not None:
            return self._together.read(self)
        return self.take(self.blocks(self._settings.batch_size))

    def may_read(self) -> bool:
        """Whether it is neither held nor to let others catch up; it then goes by the plan that is in force."""
        if self._done:
            return False
        self._quiet = False
        self._waits = self._ahead.is_held(self.number, self._reached) or self._ahead.must_wait(self._before)
        if self._waits:
            self._tell_progress()
            return False
        plan = self._settings.in_force.now.plan
        if plan is not self.plan:
            self._go_by(plan)
        return True

    def blocks(self, most: int) -> Iterator[RecordBlock]:
        """The blocks of one read, of up to so many records."""
        if self._reader is None:
            self._reader = self._settings.source.open(self.name, self._position)
        self._ended = False
        left = min(most, self._settings.batch_size)
        if self._live:
            # A backlog is read in steps that leave the other partitions, and snapshots, their turn.
            left = min(left, BLOCK)
        while left > 0:
            block = self._reader.read(min(left, BLOCK))
            if block is None:
                self._ended = not self._live
                return
            left -= block.count
            yield block
            if self._live and not self._reader.has_more():
                return

    def take(self, blocks: Iterable[RecordBlock]) -> list[Item]:
        """What these blocks of records bring, none of them after the blocks of another read."""
        before = self.clock.max_event_time
        letters = Letters()
        records, events = self._decode(blocks, letters)
        if self._live and not records and not self.tick():
            return []
        ended = self._ended
        events = self.clock.take(events, ended=ended, with_watermarks=self._settings.early)
        events = self._part_late(events, letters)
        mark = self.go_on(before, own_dates=self._dated)
        batches = split_by_shard(
            events,
            self.plan,
            self.row_columns,
            self.number,
            len(self._settings.shard_names),
            watermark=mark.watermark,
            ended=ended,
            arrival=mark.arrival,
        )
        names = self._settings.shard_names
        items: list[Item] = [(names[batch.shard], batch) for batch in batches]
        if ended:
            self._done = True
            self._ahead.leave(self.number, self._reached)
            letters.done = self._last_word()
        return [*items, *self.letters_of(letters)]

    def go_on(self, before: int, *, own_dates: bool | None) -> Mark:
        """Records have been taken: the position moves on.

        `before` was the latest event time, `own_dates` says whether a record dated itself; None where there was none.
        """
        reader = self._reader
        if reader is None:
            raise RuntimeError("a partition goes on before it has been opened")
        self._position = reader.position()
        self._before = before
        ended = self._ended
        self._ahead.note(self.number, FOREVER if ended or self._quiet else self.clock.max_event_time)
        self._tell_progress()
        if self._live and own_dates is not None:
            reader.note_dating(own=own_dates)
        return Mark(self.number, self.clock.watermark, ended, max(self.clock.last_arrival, self._ticked))

    def letters_of(self, letters: Letters) -> list[Item]:
        """The letters as an item; none if there is nothing in them."""
        if letters.late is None and letters.dead is None and letters.done is None:
            return []
        names = self._settings.shard_names
        return [(names[self.number % len(names)], letters)]

    def tick(self) -> bool:
        """A live partition has nothing at hand: whether that it stands at its end lets anything settle."""
        self._quiet = True
        self._ahead.note(self.number, FOREVER)
        until = None if self._reader is None else self._reader.read_until()
        if until is None or until < self._ticked + _TICK_MS or not self.clock.read_until(until):
            self._tell_progress()
            return False
        self._ticked = until
        return True

    def _decode(self, blocks: Iterable[RecordBlock], letters: Letters) -> tuple[int, pl.DataFrame]:
        """Decode blocks, one after the other, while they are in the processor's cache."""
        decoded, dead = [self.blank], list[pl.DataFrame]()
        records = 0
        self._dated = None
        for block in blocks:
            out = self.format_of(block.format).decode(block)
            records += block.count
            if out.events.height:
                decoded.append(out.events[self.columns])
                if self._live:
                    self._dated = block_dates_itself(block, out.events) or bool(self._dated)
            if out.dead.height:
                dead.append(out.dead)
        self.count(records, dead, letters)
        return records, pl.concat(decoded) if len(decoded) > 2 else decoded[-1]

    def format_of(self, name: str | None) -> Decoder:
        """The format of that name (None: the run's own) for the columns that are wanted."""
        known = self._formats.get(name)
        if known is None:
            known = self._settings.new_format(name, frozenset(self.columns))
            if len(self._formats) < _MOST_FORMATS:  # a header may say anything
                self._formats[name] = known
        return known

    def _part_late(self, events: pl.DataFrame, letters: Letters) -> pl.DataFrame:
        if events.height == 0:
            return self.blank_events()
        if self._settings.event_columns:
            named = pl.Series("source_partition", [self.name]).new_from_index(0, events.height)
            events = events.hstack([named])
        rows = events.filter("late") if events["late"].any() else None
        self.count_clocked(int(events["clock_capped"].sum()), rows, letters)
        return events if rows is None else events.filter(~pl.col("late"))

    def blank_events(self) -> pl.DataFrame:
        """No events, with all columns that those have whose times are decided."""
        events = self.blank
        if self._settings.event_columns:
            events = events.with_columns(pl.Series("source_partition", [], pl.String))
        events = events.with_columns(late=pl.lit(False), clock_capped=pl.lit(False))
        return events.with_columns(pl.lit(0).alias(WATERMARK)) if self._settings.early else events

    def count(self, records: int, dead: list[pl.DataFrame], letters: Letters) -> None:
        """Count records that have been read; what they have of dead letters goes to the letters."""
        totals = self._totals
        totals.records += records
        if not dead:
            return
        rows = letters.dead = pl.concat(dead)
        totals.dead += rows.height
        for reason, count in rows["reason"].value_counts().iter_rows():
            totals.dead_reasons[reason] = totals.dead_reasons.get(reason, 0) + count
        totals.digest.add("dead", frame_words(rows.select("reason", "bytes")))

    def count_clocked(self, capped: int, late: pl.DataFrame | None, letters: Letters) -> None:
        """Count the events whose times the clock has set back, and the late ones, which go to the letters."""
        self._totals.clock_capped += capped
        if late is not None:
            self._totals.late += late.height
            self._totals.digest.add("late", frame_words(late.select(_LATE_CONTENT)))
            letters.late = late

    def _tell_progress(self, *, final: bool = False) -> None:
        if self._reader is not None:
            self._tell(self._progress(final=final))

    def _progress(self, *, final: bool = False) -> Progress:
        reader, totals = self._reader, self._totals
        bytes_read, bytes_total = (0, None) if reader is None else reader.progress()
        # What has ended in a live run holds nothing up any more, and nobody waits for it.
        over = self._done and self._settings.source.live
        return Progress(
            self.name,
            totals.records,
            bytes_read,
            bytes_total,
            _known(self.clock.max_event_time),
            0 if over else None if reader is None else reader.lag(),
            None if over else _known(self.clock.watermark),
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
            self.name,
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
        """Position, clock and totals; with it, the partition's epoch ends."""
        self.epoch += 1
        return pickle.dumps((self._position, self._done, self.clock, self._totals), protocol=5)

    def close(self) -> None:
        """Free the reader."""
        if self._together is not None:
            self._together.leave(self)
        if self._reader is not None:
            self._reader.close()
            self._reader = None


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
        self._together: dict[int, ReadingRound] = {}

    def list_parts(self) -> list[str]:
        """All partitions, on every worker; Bytewax spreads them."""
        return self._settings.source.partitions()

    def build_part(self, _step_id: str, for_part: str, resume_state: bytes | None) -> PartitionInput:
        """Open a partition, at its start or where it was."""
        # A process may have several workers, each a thread of its own.
        together = self._together.setdefault(threading.get_ident(), ReadingRound(self._settings))
        return PartitionInput(
            self._settings,
            for_part,
            resume_state,
            ahead=self._ahead,
            tell=self._tell,
            stop=self._stop,
            together=together,
        )
