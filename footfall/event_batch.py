"""One shard's events as they travel from a source partition to the shard: numbers for the engine, rows for people.

The engine's loops see an event as one record of `EVENT`; its texts stay in the frame `rows` (row i belongs to
event i) and are looked up only where an answer quotes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.clock import NEVER, WATERMARK
from footfall.compiled import compiled
from footfall.condition_words import WORD_BITS
from footfall.envelope import MILLIONTHS, SCHEMA
from footfall.errors import StateError
from footfall.expression_leaves import EventProperty
from footfall.frame_pickling import pickle_frames_by_arrow
from footfall.hashing import hash_texts
from footfall.pattern_plan import PatternPlan
from footfall.record_arrays import take_records
from footfall.row_frames import filled_columns, present_rows, whole_numbers

pickle_frames_by_arrow()

HAS_PATH, HAS_REFERRER, HAS_UTM, HAS_USER, HAS_VALUE, HAS_CURRENCY = (1 << bit for bit in range(6))

_MOST_MILLIONTHS = 2.0**62

UNTOLD = 1 << 6
"""The mark of an event that came while nothing was told early: matches that it completes are told when they settle."""

UTM_COLUMNS = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")

QUOTED = ("visitor_id", "message_id", "user_id", "path", "referrer", "currency", *UTM_COLUMNS)
"""The envelope columns that sessions and the evidence of matches quote; a batch's rows always have them."""

ENGINE_COLUMNS = frozenset({*QUOTED, "value", "event_time", "arrival_time", "source_offset"})
"""The envelope columns that the engine reads."""

EVENT = np.dtype(
    [
        ("time", np.int64),
        ("arrival", np.int64),
        ("offset", np.int64),
        ("row", np.int64),
        ("visitor_high", np.uint64),
        ("visitor_low", np.uint64),
        ("message_high", np.uint64),
        ("message_low", np.uint64),
        ("mask", np.uint64),
        ("page", np.uint64),
        ("campaign", np.uint64),
        ("currency", np.uint64),
        ("value", np.int64),
        ("partition", np.int32),
        ("marks", np.int32),
    ]
)
"""An event to the engine: times in ms (`NEVER` for no arrival), hashes (0 for null), `mask` the first word of
the plan's mask, `value` in millionths, `row` its number among all rows a shard has seen."""

Events = npt.NDArray[np.void]


class Mark(NamedTuple):
    """How far a source partition has come: its number, and what `ShardBatch` has under these names."""

    partition: int
    watermark: int
    ended: bool = False
    arrival: int = NEVER


@dataclass(slots=True)
class ShardBatch:
    """What one read of a source partition means to one shard; there may be no events in it.

    Where several partitions were read together, it is what all of them mean.

    Attributes:
        shard: the shard's number.
        partition: the source partition's number.
        watermark: the partition's watermark after these events.
        ended: the partition has no more records.
        events: `EVENT` records in offset order, late ones left out.
        lanes: shape (events, `plan.lanes`): the hashes of the fields that patterns run separately for, then the
            words of the masks behind the first.
        rows: the events' envelope columns: those quoted, and those that the run stores. Columns without a value
            are left out.
        watermarks: for each event the partition's watermark before it was taken; None where nothing asks for it.
        arrival: the latest arrival (ms) that the partition has had, or the time up to which a live one has been read to
            its end; `NEVER` where neither is known.
        generation: that of the plan by which masks and lanes were made.
        others: how far the other partitions have come that were read together with this one. Each partition's events
            stand together, in offset order.
        numbers: shape (events, `plan.read_numbers`): the numbers that features read, in millionths; `NEVER` where an
            event has none.
    """

    shard: int
    partition: int
    watermark: int
    ended: bool
    events: Events
    lanes: npt.NDArray[np.uint64]
    rows: pl.DataFrame
    watermarks: npt.NDArray[np.int64] | None = None
    arrival: int = NEVER
    generation: int = 0
    others: tuple[Mark, ...] = ()
    numbers: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    @property
    def marks(self) -> tuple[Mark, ...]:
        """How far the partitions have come whose events are here, this one first."""
        return (Mark(self.partition, self.watermark, self.ended, self.arrival), *self.others)


@compiled
def _group(shard_of: Any, starts: Any, order: Any) -> None:
    for i in range(shard_of.size):
        starts[shard_of[i] + 1] += 1
    for k in range(1, starts.size):
        starts[k] += starts[k - 1]
    fill = starts.copy()
    for i in range(shard_of.size):
        shard = shard_of[i]
        order[fill[shard]] = i
        fill[shard] += 1


def _marks(frame: pl.DataFrame) -> npt.NDArray[np.int32]:
    marks = np.zeros(frame.height, np.int32)
    bits = {
        "path": HAS_PATH,
        "referrer": HAS_REFERRER,
        "user_id": HAS_USER,
        "value": HAS_VALUE,
        "currency": HAS_CURRENCY,
        **dict.fromkeys(UTM_COLUMNS, HAS_UTM),
    }
    for column, bit in bits.items():
        nulls = frame[column].null_count()
        if nulls == 0:
            marks |= bit
        elif nulls < frame.height:
            marks[present_rows(frame[column])] |= bit
    return marks


def engine_events(frame: pl.DataFrame, partition: int | npt.NDArray[np.int32]) -> Events:
    """Turn decoded events whose times are decided into `EVENT` records; `row` and `mask` are left to others.

    `partition` is the number of the partition that they are of; an array has that of each.
    """
    events = np.empty(frame.height, EVENT)
    events["time"] = whole_numbers(frame["event_time"], NEVER)
    events["arrival"] = whole_numbers(frame["arrival_time"], NEVER)
    events["offset"] = frame["source_offset"].to_numpy()
    events["row"] = 0
    events["mask"] = 0
    events["visitor_high"], events["visitor_low"] = hash_texts(frame["visitor_id"])
    events["message_high"], events["message_low"] = hash_texts(frame["message_id"])
    for name, column in (("page", "path"), ("campaign", "utm_campaign"), ("currency", "currency")):
        texts = frame[column]
        events[name] = 0 if texts.null_count() == frame.height else hash_texts(texts)[1]
    events["value"] = whole_numbers(frame["value"], 0)
    events["partition"] = partition
    events["marks"] = _marks(frame)
    return events


def same_keys(frame: pl.DataFrame, fields: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    """The hashes of the fields of `same(...)`, shape (rows, fields); 0 where an event lacks the field."""
    keys = np.zeros((frame.height, len(fields)), np.uint64)
    for position, name in enumerate(fields):
        column = frame[name]
        texts = column if column.dtype == pl.String else column.to_physical().cast(pl.String)
        keys[:, position] = hash_texts(texts)[1]
    return keys


def event_numbers(
    frame: pl.DataFrame, plan: PatternPlan, masks: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """What `ShardBatch.numbers` holds, for events with these masks."""
    found = np.full((frame.height, len(plan.read_numbers)), NEVER, np.int64)
    for lane, (number, condition) in enumerate(plan.read_numbers):
        word, bit = divmod(plan.bit(condition), WORD_BITS)
        rows = np.flatnonzero((masks[:, word] >> np.uint64(bit)) & np.uint64(1))
        read = frame[sorted(number.columns())][rows] if rows.size else frame.clear()
        if isinstance(number, EventProperty) and rows.size:
            # Most documents don't have it, and looking for its name is much quicker than reading them.
            text = pl.col("properties")
            named = text.str.contains(number.path[0], literal=True) | text.str.contains("\\", literal=True)
            rows = rows[read.select(named.fill_null(value=False)).to_series().to_numpy()]
            read = frame[["properties"]][rows]
        if rows.size:
            values = read.select(number.column(SCHEMA)).to_series()
            exact = (values.cast(pl.Float64) * MILLIONTHS).round()
            # What isn't a number, or too large for one in millionths, counts as absent.
            known = exact.is_between(-_MOST_MILLIONTHS, _MOST_MILLIONTHS).fill_null(value=False).to_numpy()
            found[rows[known], lane] = exact.to_numpy()[known].astype(np.int64)
    return found


def split_by_shard(
    frame: pl.DataFrame,
    plan: PatternPlan,
    columns: list[str],
    partition: int,
    shards: int,
    *,
    watermark: int,
    ended: bool,
    arrival: int = NEVER,
) -> list[ShardBatch]:
    """One batch for every shard, from one read of a partition: a visitor's events all go to the same shard.

    `columns` are those of the batches' rows.
    """
    mark = Mark(partition, watermark, ended, arrival)
    return split_together(frame, plan, columns, [mark], shards, partition=partition)


def split_together(
    frame: pl.DataFrame,
    plan: PatternPlan,
    columns: list[str],
    marks: Sequence[Mark],
    shards: int,
    *,
    partition: int | npt.NDArray[np.int32],
) -> list[ShardBatch]:
    """One batch for every shard, from one read of several partitions; as `split_by_shard` otherwise.

    `marks` say how far the partitions have come, `partition` is the number of each event's, or that of all of them.
    The events of one partition stand together in the frame, in offset order.
    """
    (number, watermark, ended, arrival), *others = marks
    rest = tuple(others)
    events = engine_events(frame, partition)
    masks = plan.masks(frame)
    events["mask"] = masks[:, 0]
    lanes = np.hstack([same_keys(frame, plan.same_fields), masks[:, 1:]])
    watermarks = frame[WATERMARK].to_numpy() if WATERMARK in frame.columns else None
    numbers = event_numbers(frame, plan, masks)
    frame = filled_columns(frame[columns])
    if shards == 1:
        only = ShardBatch(
            0, number, watermark, ended, events, lanes, frame, watermarks, arrival, plan.generation, rest,
            numbers,
        )  # fmt: skip
        return [only]
    shard_of = (events["visitor_low"] % np.uint64(shards)).astype(np.int64)
    starts = np.zeros(shards + 1, np.int64)
    order = np.empty(frame.height, np.int64)
    _group(shard_of, starts, order)
    events, lanes = take_records(events, order), lanes[order]
    frame = frame[order]
    watermarks = None if watermarks is None else watermarks[order]
    numbers = numbers[order]
    batches = []
    for shard in range(shards):
        start, end = int(starts[shard]), int(starts[shard + 1])
        part = slice(start, end)
        rows = frame.slice(start, end - start)
        before = None if watermarks is None else watermarks[part]
        batches.append(
            ShardBatch(
                shard,
                number,
                watermark,
                ended,
                events[part],
                lanes[part],
                rows,
                before,
                arrival,
                plan.generation,
                rest,
                numbers[part],
            )
        )
    return batches


def halves(batches: Sequence[ShardBatch]) -> tuple[list[ShardBatch], list[ShardBatch]]:
    """The same in two parts; a single batch, which must have its events' watermarks, is cut in the middle."""
    if len(batches) > 1:
        middle = len(batches) // 2
        return list(batches[:middle]), list(batches[middle:])
    (batch,) = batches
    middle = batch.events.size // 2
    before = batch.watermarks
    if before is None or not middle:
        msg = "a batch without watermarks can't be cut; this is a fault of Footfall's"
        raise StateError(msg)
    (number, watermark, ended, arrival), *others = _marks_before(batch, before, middle)
    first = ShardBatch(
        batch.shard,
        number,
        watermark,
        ended,
        batch.events[:middle],
        batch.lanes[:middle],
        batch.rows.slice(0, middle),
        before[:middle],
        arrival,
        batch.generation,
        tuple(others),
        batch.numbers[:middle],
    )
    second = replace(
        batch,
        events=batch.events[middle:],
        lanes=batch.lanes[middle:],
        rows=batch.rows.slice(middle),
        watermarks=before[middle:],
        numbers=batch.numbers[middle:],
    )
    return [first], [second]


def _marks_before(batch: ShardBatch, before: npt.NDArray[np.int64], place: int) -> list[Mark]:
    """How far a batch's partitions have come before the event at that place."""
    coming = batch.events["partition"][place:]
    found = []
    for mark in batch.marks:
        own = np.flatnonzero(coming == mark.partition)
        earlier = mark._replace(watermark=int(before[place + own[0]]), ended=False) if own.size else mark
        found.append(earlier)
    return found
