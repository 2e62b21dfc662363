"""The engine in process, for tests: its parts without Bytewax, and the real flow over bytes in memory."""

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from bytewax.testing import cluster_main, run_main
from reference import Record, Row

from footfall.clock import NEVER, ClockSettings, PartitionClock
from footfall.content import load_flow
from footfall.dataflow import flow_parts, pattern_plan
from footfall.digest import Digest
from footfall.envelope import MILLIONTHS, SCHEMA
from footfall.event_batch import ENGINE_COLUMNS, QUOTED, ShardBatch, split_by_shard
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.plan_in_force import PlanInForce
from footfall.read_ahead import ReadAhead
from footfall.records import RecordBlock, RecordReader, RecordSource
from footfall.run_messages import Message, PartitionDone, ShardDone
from footfall.scoring.shard_scores import ScoreSettings
from footfall.sessions import SessionSettings
from footfall.settings import Settings
from footfall.shard import Settled, Shard, ShardSettings
from footfall.sink import Sink
from footfall.tables import MATCHES, SESSIONS, Table

EVENT_COLUMNS = ("visitor_id", "message_id", "event", "event_time", "source_partition", "source_offset")
"""The columns of the events that a run of the parts gives out."""


def frame_of(records: Sequence[Record], first_offset: int = 0) -> pl.DataFrame:
    """Records as a format decodes them, in all columns of the envelope."""
    rows = [
        {
            "message_id": record.message,
            "visitor_id": record.visitor,
            "user_id": record.user,
            "event": record.name,
            "event_original": record.name,
            "event_time": record.time,
            "event_time_sent": record.time,
            "arrival_time": record.arrival,
            "source_partition": "",
            "source_offset": first_offset + number,
            "path": record.path,
            "referrer": record.referrer,
            "utm_source": record.source,
            "utm_campaign": record.campaign,
            "element": record.element,
            "value": record.value,
            "currency": record.currency,
            "properties": "{}",
            "late": False,
            "clock_capped": False,
            "bot": False,
        }
        for number, record in enumerate(records)
    ]
    plain = {name: pl.Int64() if isinstance(kind, pl.Datetime) else kind for name, kind in SCHEMA.items()}
    return pl.DataFrame(rows, schema=plain).cast(SCHEMA)


@dataclass(slots=True)
class Outcome:
    """What a run gave: rows of each table, its shards' last words, and how many events were late."""

    events: pl.DataFrame
    sessions: pl.DataFrame
    matches: pl.DataFrame
    done: list[ShardDone]
    late: int

    def total(self, name: str) -> int:
        """A total of the shards' last words, added up."""
        return sum(int(getattr(done, name)) for done in self.done)

    def by_pattern(self, name: str = "matches") -> dict[str, int]:
        """The numbers of matches, added up over the shards."""
        total: Counter[str] = Counter()
        for done in self.done:
            total.update(getattr(done, name))
        return dict(total)

    @property
    def digest(self) -> str:
        """The shards' digests, added up."""
        whole = Digest()
        for done in self.done:
            whole.merge(Digest(*done.digest))
        return str(whole)

    @property
    def session_rows(self) -> list[Row]:
        """Sessions without their ids, times in ms."""
        return _plain_rows(self.sessions.drop("session_id"))

    @property
    def match_rows(self) -> list[Row]:
        """Matches without their ids and ordinals, times in ms, stages as pairs."""
        rows = _plain_rows(self.matches.drop("match_id", "ordinal", "outputs"))
        return [{**row, "stages": _pairs(str(row["stages"]))} for row in rows]

    def stages(self) -> list[dict[str, list[str]]]:
        """The stages of every match with the messages they took, in the rows' order."""
        return [json.loads(text) for text in self.matches["stages"]]


def _plain_rows(frame: pl.DataFrame) -> list[Row]:
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(name).to_physical() for name in times).to_dicts()


def _pairs(stages: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((name, tuple(messages)) for name, messages in json.loads(stages).items())


class Engine:
    """Partition clocks, the split and the shards, read and fed as a test says.

    Args:
        plan: the compiled patterns.
        sessions: the sessions' bounds.
        clock: the partitions' clock bounds.
        partitions: how many source partitions there are.
        shards: how many shards there are.
        early: matches are told early, too.
        scores: features and models; their conditions are among those of the plan.
    """

    def __init__(
        self,
        plan: PatternPlan,
        *,
        sessions: SessionSettings | None = None,
        clock: ClockSettings | None = None,
        partitions: int = 1,
        shards: int = 1,
        early: bool = False,
        scores: ScoreSettings | None = None,
    ) -> None:
        wanted = {*EVENT_COLUMNS, *ENGINE_COLUMNS, *plan.columns, "event"}
        self._decoded = [name for name in SCHEMA if name in wanted and name != "source_partition"]
        carried = {*EVENT_COLUMNS, *QUOTED, *plan.row_columns}
        self._rows = tuple(name for name in SCHEMA if name in carried)
        self.settings = ShardSettings(
            sessions=sessions or SessionSettings(),
            plan=plan,
            partitions=partitions,
            wants_rows=True,
            event_columns=EVENT_COLUMNS,
            early=early,
            scores=scores,
        )
        self.clocks = [PartitionClock(clock or ClockSettings()) for _ in range(partitions)]
        self.shards = [Shard(f"s{number}", self.settings) for number in range(shards)]
        self.settled: list[Settled] = []
        self._offsets = [0] * partitions
        self._late = 0
        self._waiting: list[list[ShardBatch]] = [[] for _ in range(shards)]

    def read(self, partition: int, records: Sequence[Record], *, ended: bool = False) -> None:
        """Read records of a partition; the shards get them with the next `feed`."""
        self.read_frame(partition, frame_of(records, self._offsets[partition]), ended=ended)

    def read_frame(self, partition: int, frame: pl.DataFrame, *, ended: bool = False) -> None:
        """Read decoded events of a partition, offsets included."""
        self._offsets[partition] += frame.height
        events = self.clocks[partition].take(
            frame.select(self._decoded), ended=ended, with_watermarks=self.settings.early
        )
        events = events.with_columns(source_partition=pl.lit(f"p{partition}"))
        if events.height:
            self._late += int(events["late"].sum())
            events = events.filter(~pl.col("late"))
        batches = split_by_shard(
            events,
            self.settings.plan,
            list(self._rows),
            partition,
            len(self.shards),
            watermark=self.clocks[partition].watermark,
            ended=ended,
        )
        for waiting, batch in zip(self._waiting, batches, strict=True):
            waiting.append(batch)

    def feed(self) -> list[Settled]:
        """Give the shards what has been read; what that settles, of all shards."""
        settled: list[Settled] = []
        for number, batches in enumerate(self._waiting):
            if batches:
                settled += self.shards[number].take(batches)
        self._waiting = [[] for _ in self.shards]
        self.settled += settled
        return settled

    def restart(self) -> None:
        """Put fresh shards in the place of the ones there are, from their snapshots."""
        self.shards = [Shard.restore(self.settings, shard.snapshot()) for shard in self.shards]

    def outcome(self) -> Outcome:
        """What all of it gave."""
        blank = pl.DataFrame(schema={name: SCHEMA[name] for name in EVENT_COLUMNS})
        return Outcome(
            events=pl.concat([blank, *(each.events for each in self.settled if each.events is not None)]),
            sessions=pl.concat([SESSIONS.empty(), *(each.sessions for each in self.settled)]),
            matches=pl.concat([MATCHES.empty(), *(each.matches for each in self.settled)]),
            done=[each.done for each in self.settled if each.done is not None],
            late=self._late,
        )


def run_parts(
    records: Sequence[Record],
    patterns: Sequence[Pattern] = (),
    *,
    sessions: SessionSettings | None = None,
    clock: ClockSettings | None = None,
    batch: int = 1_000_000,
    shards: int = 1,
) -> Outcome:
    """Run the parts over one partition, `batch` records at a time."""
    plan = PatternPlan.compile(patterns, reserved=NO_COUNTS)
    engine = Engine(plan, sessions=sessions, clock=clock, shards=shards)
    for start in range(0, len(records), batch):
        engine.read(0, records[start : start + batch])
        engine.feed()
    engine.read(0, [], ended=True)
    engine.feed()
    return engine.outcome()


def reserved_conditions(
    page_views: Sequence[str] = ("page_view",),
    clicks: Sequence[str] = ("click",),
    conversions: Sequence[str] = ("order_completed",),
) -> tuple[Any, ...]:
    """The conditions that sessions count by."""
    settings = Settings(
        page_views=tuple(page_views), clicks=tuple(clicks), conversions=tuple(conversions), store="none"
    )
    return pattern_plan(settings, ()).reserved


NO_COUNTS = reserved_conditions()


@dataclass(frozen=True)
class MemorySource(RecordSource):
    """Partitions that are lines of bytes in memory; a position is the number of lines read."""

    lines: Mapping[str, Sequence[bytes]]

    def partitions(self) -> list[str]:
        return sorted(self.lines)

    def open(self, partition: str, position: Any | None) -> RecordReader:
        return _MemoryReader(partition, self.lines[partition], position or 0)

    def identity(self) -> dict[str, Any]:
        return {"memory": {name: len(lines) for name, lines in self.lines.items()}}


class _MemoryReader(RecordReader):
    def __init__(self, partition: str, lines: Sequence[bytes], position: int) -> None:
        self._partition = partition
        self._lines = lines
        self._position = position

    def read(self, max_records: int) -> RecordBlock | None:
        lines = self._lines[self._position : self._position + max_records]
        if not lines:
            return None
        block = RecordBlock(
            partition=self._partition,
            first_offset=self._position,
            count=len(lines),
            data=b"".join(line + b"\n" for line in lines),
            source=self._partition,
            first_line=self._position + 1,
        )
        self._position += len(lines)
        return block

    def position(self) -> int:
        return self._position

    def progress(self) -> tuple[int, int | None]:
        return self._position, len(self._lines)

    def close(self) -> None:
        self._lines = ()


@dataclass
class CollectingSink(Sink):
    """Keeps every frame that it is given, by table."""

    frames: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    parts: set[str] = field(default_factory=set)

    def open_part(self, part: str, resume: object | None) -> None:
        self.parts.add(part)

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        assert part in self.parts
        assert frame.schema == table.schema
        self.frames.setdefault(table.name, []).append(frame)

    def flush(self, part: str) -> object:
        return None

    def close(self) -> None:
        self.parts.clear()

    def rows(self, table: Table) -> pl.DataFrame:
        """All rows of a table."""
        return pl.concat([table.empty(), *self.frames.get(table.name, [])])


def line_of(record: Record) -> bytes:
    """The record in the flat format."""
    named = {
        "message_id": record.message,
        "visitor_id": record.visitor,
        "event": record.name,
        "event_time": record.time,
        "arrival_time": record.arrival,
        "user_id": record.user,
        "element": record.element,
        "path": record.path,
        "referrer": record.referrer,
        "utm_source": record.source,
        "utm_campaign": record.campaign,
        "value": None if record.value is None else record.value / MILLIONTHS,
        "currency": record.currency,
    }
    return json.dumps({name: value for name, value in named.items() if value is not None}).encode()


def run_flow(
    partitions: Sequence[Sequence[Record]],
    patterns: Sequence[Pattern],
    settings: Settings,
    *,
    workers: int = 1,
) -> Outcome:
    """Run the real flow over the records, as lines of bytes, with that many worker threads."""
    lines = {f"p{number}": [line_of(record) for record in each] for number, each in enumerate(partitions)}
    sink = CollectingSink()
    messages: list[Message] = []
    parts = flow_parts(
        settings,
        MemorySource(lines),
        PlanInForce(pattern_plan(settings, patterns)),
        [sink],
        tell=messages.append,
        stop=threading.Event(),
        ahead=ReadAhead.alone([NEVER] * len(lines), settings.read_ahead),
    )
    flow = load_flow("journeys")(parts)
    if workers == 1:
        run_main(flow)
    else:
        cluster_main(flow, [], 0, worker_count_per_proc=workers)
    by_name = {table.name: table for table in (SESSIONS, MATCHES)}
    events = [frame.select(EVENT_COLUMNS) for frame in sink.frames.get("events", [])]
    return Outcome(
        events=pl.concat([pl.DataFrame(schema={name: SCHEMA[name] for name in EVENT_COLUMNS}), *events]),
        sessions=sink.rows(by_name["sessions"]),
        matches=sink.rows(by_name["matches"]),
        done=[message for message in messages if isinstance(message, ShardDone)],
        late=sum(message.late for message in messages if isinstance(message, PartitionDone)),
    )
