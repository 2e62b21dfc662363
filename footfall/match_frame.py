"""The matcher as a library: patterns over a Polars frame of events, without a run around it.

    frame = pl.read_parquet("events.parquet")
    matches = footfall.match(frame, [rage_click, cart_abandoned])
    matches.explode("rows").unnest("rows").join(frame.with_row_index("row"), on="row")

The frame goes through a shard of the engine, as a run's events do, in one round.
"""

import logging
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl

from footfall.automaton_plan import MOST_PARTIALS
from footfall.clock import NEVER
from footfall.envelope import SCHEMA, TIME
from footfall.errors import UsageError
from footfall.event_batch import QUOTED, ShardBatch, split_by_shard
from footfall.event_frame import event_frame, missing_columns
from footfall.pattern import Pattern
from footfall.pattern_parameters import ParametricPattern
from footfall.pattern_plan import PatternPlan
from footfall.sessions import SessionSettings
from footfall.shard import Shard, ShardSettings
from footfall.tables import MATCHES

_log = logging.getLogger(__name__)

MATCH_SCHEMA = pl.Schema(
    {
        "pattern": pl.String(),
        "visitor_id": pl.String(),
        "first_time": TIME,
        "last_time": TIME,
        "settled_time": TIME,
        "status": pl.String(),
        "outputs": pl.String(),
        "rows": pl.List(pl.Struct({"stage": pl.String(), "row": pl.UInt32()})),
        "at_end": pl.Boolean(),
    }
)
"""The columns of the frame that `match` gives."""


def match(
    frame: pl.DataFrame,
    patterns: Pattern | ParametricPattern | Iterable[Pattern | ParametricPattern],
    *,
    until: datetime | None = None,
    limit: int | None = MOST_PARTIALS,
) -> pl.DataFrame:
    """Find patterns in a frame of events.

    The frame needs the columns `visitor_id`, `event` and `event_time` (a time without a zone is UTC, a whole number
    is milliseconds since 1970). It may have the envelope's other columns (`footfall.envelope.FIELDS`), `value` in
    units of its currency; a column of another name is a property. Where `message_id` is missing, the row's number
    stands for it; of rows with the same one in a session, one counts, as in a run. Rows whose `late` is true are left
    out, as in a run. Nothing else is read into the values: names aren't normalised, and `path` isn't taken
    from `url`.

    The rows may be in any order: they are sorted by `event_time`, and those of the same time keep their order.

    Args:
        frame: the events.
        patterns: a pattern, or several of different names; one with parameters has its defaults.
        until: up to when the frame is known to be whole; None for its last event. What waits for a time beyond it
            (that nothing came within a bound) is released by the frame's end and marked, as at the end of a file;
            an absence that takes more than 24 h is not.
        limit: partial matches of a visitor and pattern at most; beyond it the oldest are dropped, and a warning is
            logged. None for no limit.

    Returns:
        A row for each match, in the order in which they were settled, with the columns of `MATCH_SCHEMA`:

        - `pattern` and `visitor_id`;
        - `first_time` and `last_time`, of the match's own events, and `settled_time`, when it was certain;
        - `status`: `fired`, or `timed_out` for a partial match of a pattern `with_timeouts`;
        - `outputs`: JSON text of what the pattern's `output` asks for; null where it asks for nothing;
        - `rows`: the match's events, each with its `stage` and its `row`, the number of the row in `frame` from 0;
        - `at_end`: whether nothing but the frame's end released it.

    Raises:
        UsageError: the frame lacks a column, or one holds what it can't; or an argument is of another type. It says
            which, and what to do.
        PatternError: a pattern isn't whole, or two have the same name.
    """
    if not _is_frame(frame):
        raise UsageError(
            f"match takes a Polars frame, not {type(frame).__name__}: "
            "collect() a lazy one, and give one of pandas to polars.from_pandas"
        )
    chosen = _chosen(patterns)
    plan = PatternPlan.compile(chosen, limit=limit)
    events = event_frame(frame, with_properties="properties" in plan.columns)
    missing = missing_columns(frame, plan.columns)
    if missing:
        warnings.warn(
            f"the patterns read {', '.join(missing)}, which the frame doesn't have: a condition on it is not true "
            "of any event; add the column, or rename the one that holds it",
            stacklevel=2,
        )
    if not events.height or not chosen:
        return MATCH_SCHEMA.to_frame()
    return _found(events, plan, _watermark(events, until))


def _is_frame(frame: object) -> bool:
    return isinstance(frame, pl.DataFrame)


def _is_time(until: object) -> bool:
    return isinstance(until, datetime)


def _chosen(patterns: object) -> list[Pattern]:
    several = (
        patterns if isinstance(patterns, Iterable) and not isinstance(patterns, (str, bytes)) else [patterns]
    )
    chosen = []
    for one in several:
        pattern = one() if isinstance(one, ParametricPattern) else one
        if not isinstance(pattern, Pattern):
            raise UsageError(
                f"match takes patterns, and {one!r} is none: build one with footfall.Pattern, or import a shipped one, "
                "as in 'from patterns.frustration import rage_click'"
            )
        chosen.append(pattern)
    return chosen


def _watermark(events: pl.DataFrame, until: datetime | None) -> int:
    latest = int(events["event_time"].to_physical().to_numpy().max())
    if until is None:
        return latest
    if not _is_time(until):
        raise UsageError(f"until is a datetime, not {until!r}")
    aware = until.replace(tzinfo=UTC) if until.tzinfo is None else until
    # Whole milliseconds, rounded down; a float's timestamp() isn't exact.
    asked = int(pl.Series([aware.astimezone(UTC)]).dt.epoch("ms").item())
    if asked < latest:
        raise UsageError(
            f"until is {until}, but the frame has events after it: leave them out with "
            "frame.filter(polars.col('event_time') <= until), or give a later time"
        )
    return asked


def _found(events: pl.DataFrame, plan: PatternPlan, watermark: int) -> pl.DataFrame:
    settings = ShardSettings(SessionSettings(), plan, 1, wants_rows=True, event_columns=("message_id",))
    rows_of_ids = _rows_of_ids(events, plan)
    names = [name for name in SCHEMA if name in {*QUOTED, *plan.row_columns}]
    (batch,) = split_by_shard(events, plan, names, 0, 1, watermark=watermark, ended=True)
    _keep_order(batch)
    if rows_of_ids is None:
        # Matches quote the message's id: in this place, the number of the row.
        batch.rows = batch.rows.with_columns(message_id=events["source_offset"].cast(pl.String))
    shard = Shard("frame", settings)
    settled = shard.take([batch])
    if shard.totals.dropped_partials:
        _log.warning(
            "%d partial matches were dropped at the limit of %s for a visitor and pattern: matches may be missing; "
            "give a larger limit, or bound the pattern by within or until",
            shard.totals.dropped_partials,
            plan.automata.limit,
        )
    found = pl.concat([MATCHES.empty(), *(each.matches for each in settled)])
    outputs = pl.when(pl.col("outputs") != "").then(pl.col("outputs"))
    return (
        found.with_columns(outputs, _rows(found["stages"], rows_of_ids))
        .select(MATCH_SCHEMA.names())
        .cast(MATCH_SCHEMA)
        .sort("settled_time", "pattern", "visitor_id", "first_time", "last_time", maintain_order=True)
    )


def _keep_order(batch: ShardBatch) -> None:
    """Let rows of the same time keep their order, wherever they were read from and whenever they arrived."""
    batch.events["arrival"] = NEVER
    batch.events["offset"] = np.arange(batch.events.size)


def _rows_of_ids(events: pl.DataFrame, plan: PatternPlan) -> dict[str, int] | None:
    """Message id -> row, where an automaton reads the ids, so that row numbers can't take their place."""
    if "message_id" not in plan.row_columns:
        return None
    ids = events["message_id"]
    twice = ids.is_duplicated()
    if twice.any():
        raise UsageError(
            f"column 'message_id': {ids.filter(twice)[0]!r} comes more than once, and a pattern reads it; keep one row "
            "of each with frame.unique('message_id', keep='first', maintain_order=True)"
        )
    return dict(zip(ids.to_list(), events["source_offset"].to_list(), strict=True))


def _rows(stages: pl.Series, rows_of_ids: dict[str, int] | None) -> pl.Series:
    """Each match's events as structs of stage and row; `stages` are JSON texts of stage -> message ids."""
    decode = msgspec.json.Decoder(dict[str, list[str]]).decode
    taken = [
        (match, stage, int(one) if rows_of_ids is None else rows_of_ids[one])
        for match, text in enumerate(stages)
        for stage, ids in decode(text).items()
        for one in ids
    ]
    schema = pl.Schema({"match": pl.Int64(), "stage": pl.String(), "row": pl.UInt32()})
    # A match took one event at least, so none is missing here.
    of_match = pl.DataFrame(taken, schema, orient="row").group_by("match", maintain_order=True)
    return of_match.agg(rows=pl.struct("stage", "row"))["rows"]
