"""The tables that a run fills: their columns, and what names a row.

Frames, files and ClickHouse take their columns from here; a test holds the migrations to it. A table's key
holds only what the row's id fixes, so that a row that is written again replaces itself.
"""

from dataclasses import dataclass

import polars as pl

from footfall.envelope import FIELDS, TIME

Column = tuple[str, pl.DataType, str]

_TIME_TYPE = "DateTime64(3, 'UTC')"
_NAME_TYPE = "LowCardinality(Nullable(String))"


@dataclass(frozen=True, slots=True)
class Table:
    """One table: `columns` in order (name, frame type, ClickHouse type), `key` the columns that name a row.

    `version` names the column whose highest value wins among rows of one key; None where all are the same.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    version: str | None = None

    @property
    def schema(self) -> pl.Schema:
        """The schema of a frame of this table's rows."""
        return pl.Schema({name: dtype for name, dtype, _ in self.columns})

    def empty(self) -> pl.DataFrame:
        """A frame of this table without rows."""
        return pl.DataFrame(schema=self.schema)


_EVENT_COLUMNS: tuple[Column, ...] = tuple((field.name, field.dtype, field.clickhouse) for field in FIELDS)

EVENTS = Table("events", _EVENT_COLUMNS, key=("visitor_id", "event_time", "message_id"))

# A partition's name may come again with other records (yesterday's file and today's), so a position isn't enough.
LATE_EVENTS = Table(
    "late_events",
    _EVENT_COLUMNS,
    key=("source_partition", "source_offset", "visitor_id", "event_time", "message_id"),
)

SESSIONS = Table(
    "sessions",
    (
        ("session_id", pl.String(), "String"),
        ("visitor_id", pl.String(), "String"),
        ("user_id", pl.String(), "Nullable(String)"),
        ("start_time", TIME, _TIME_TYPE),
        ("end_time", TIME, _TIME_TYPE),
        ("duration_ms", pl.Int64(), "Int64"),
        ("events", pl.Int64(), "Int64"),
        ("page_views", pl.Int64(), "Int64"),
        ("clicks", pl.Int64(), "Int64"),
        ("conversions", pl.Int64(), "Int64"),
        ("distinct_pages", pl.Int64(), "Int64"),
        ("longest_idle_ms", pl.Int64(), "Int64"),
        ("bounce", pl.Boolean(), "Bool"),
        ("entry_page", pl.String(), "Nullable(String)"),
        ("exit_page", pl.String(), "Nullable(String)"),
        ("referrer", pl.String(), "Nullable(String)"),
        ("utm_source", pl.String(), _NAME_TYPE),
        ("utm_medium", pl.String(), _NAME_TYPE),
        ("utm_campaign", pl.String(), _NAME_TYPE),
        ("utm_term", pl.String(), _NAME_TYPE),
        ("utm_content", pl.String(), _NAME_TYPE),
        ("value", pl.Int64(), "Int64"),
        ("currency", pl.String(), _NAME_TYPE),
        ("mixed_currencies", pl.Boolean(), "Bool"),
        ("at_end", pl.Boolean(), "Bool"),
        ("status", pl.String(), "LowCardinality(String)"),
        ("revision", pl.UInt32(), "UInt32"),
    ),
    key=("start_time", "session_id"),
    version="revision",
)

MATCHES = Table(
    "matches",
    (
        ("match_id", pl.String(), "String"),
        ("pattern", pl.String(), "LowCardinality(String)"),
        ("pattern_version", pl.String(), "LowCardinality(String)"),
        ("visitor_id", pl.String(), "String"),
        ("first_time", TIME, _TIME_TYPE),
        ("last_time", TIME, _TIME_TYPE),
        ("settled_time", TIME, _TIME_TYPE),
        ("stages", pl.String(), "String"),
        ("ordinal", pl.UInt32(), "UInt32"),
        ("at_end", pl.Boolean(), "Bool"),
        ("status", pl.String(), "LowCardinality(String)"),
        ("revision", pl.UInt32(), "UInt32"),
        ("outputs", pl.String(), "String"),
    ),
    key=("pattern", "first_time", "match_id"),
    version="revision",
)

# A trigger's id is a hash of the rule's name, the visitor and the match's first event, its time included. What
# the rule, the pattern and the match then were isn't in it, and so isn't in the key.
TRIGGERS = Table(
    "triggers",
    (
        ("trigger_id", pl.String(), "String"),
        ("rule", pl.String(), "LowCardinality(String)"),
        ("rule_version", pl.String(), "LowCardinality(String)"),
        ("pattern", pl.String(), "LowCardinality(String)"),
        ("pattern_version", pl.String(), "LowCardinality(String)"),
        ("match_id", pl.String(), "String"),
        ("visitor_id", pl.String(), "String"),
        ("user_id", pl.String(), "Nullable(String)"),
        ("session_id", pl.String(), "Nullable(String)"),
        ("event_time", TIME, _TIME_TYPE),
        ("due_time", TIME, _TIME_TYPE),
        ("expires_time", TIME, _TIME_TYPE),
        ("topic", pl.String(), "LowCardinality(String)"),
        ("action", pl.String(), "LowCardinality(String)"),
        ("evidence", pl.String(), "String"),
        ("fields", pl.String(), "String"),
        ("scores", pl.String(), "String"),
        ("status", pl.String(), "LowCardinality(String)"),
        ("revision", pl.UInt32(), "UInt32"),
        ("decided_time", TIME, _TIME_TYPE),
    ),
    key=("rule", "event_time", "trigger_id"),
    version="revision",
)

DEAD_LETTERS = Table(
    "dead_letters",
    (
        ("source_partition", pl.String(), "LowCardinality(String)"),
        ("source_offset", pl.Int64(), "Int64"),
        ("source", pl.String(), "LowCardinality(String)"),
        ("line", pl.Int64(), "Int64"),
        ("reason", pl.String(), "LowCardinality(String)"),
        ("detail", pl.String(), "String"),
        ("bytes", pl.Binary(), "String"),
        ("bytes_total", pl.Int64(), "Int64"),
        ("digest", pl.String(), "String"),
    ),
    key=("source_partition", "source_offset", "digest"),
)

# A run that begins anew numbers its records from 0 again; `footfall.control_record` says which then stand.
CONTROLS = Table(
    "controls",
    (
        ("number", pl.UInt32(), "UInt32"),
        ("from_time", TIME, "Nullable(DateTime64(3, 'UTC'))"),
        ("digest", pl.String(), "String"),
        ("patterns", pl.String(), "String"),
        ("rules", pl.String(), "String"),
        ("deployed", pl.String(), "String"),
        ("written_at", TIME, _TIME_TYPE),
        ("champions", pl.String(), "String"),
    ),
    key=("number", "digest"),
    version="written_at",
)

# What a model says of a visitor, where it has changed enough to be told.
SCORES = Table(
    "scores",
    (
        ("score_id", pl.String(), "String"),
        ("model", pl.String(), "LowCardinality(String)"),
        ("visitor_id", pl.String(), "String"),
        ("user_id", pl.String(), "Nullable(String)"),
        ("session_id", pl.String(), "Nullable(String)"),
        ("time", TIME, _TIME_TYPE),
        ("moment", pl.String(), "LowCardinality(String)"),
        ("score", pl.Float64(), "Float64"),
        ("predicted", pl.Float64(), "Float64"),
        ("band", pl.String(), "LowCardinality(String)"),
        ("learner", pl.String(), "LowCardinality(String)"),
        ("model_version", pl.Int64(), "Int64"),
        ("reasons", pl.String(), "String"),
        ("change", pl.Float64(), "Nullable(Float64)"),
        ("status", pl.String(), "LowCardinality(String)"),
        ("revision", pl.UInt32(), "UInt32"),
    ),
    key=("model", "time", "score_id"),
    version="revision",
)

PREDICTIONS = Table(
    "predictions",
    (
        ("prediction_id", pl.String(), "String"),
        ("model", pl.String(), "LowCardinality(String)"),
        ("learner", pl.String(), "LowCardinality(String)"),
        ("champion", pl.Boolean(), "Bool"),
        ("model_version", pl.Int64(), "Int64"),
        ("visitor_id", pl.String(), "String"),
        ("user_id", pl.String(), "Nullable(String)"),
        ("session_id", pl.String(), "Nullable(String)"),
        ("time", TIME, _TIME_TYPE),
        ("moment", pl.String(), "LowCardinality(String)"),
        ("predicted", pl.Float64(), "Float64"),
        ("features", pl.String(), "String"),
    ),
    key=("model", "learner", "time", "prediction_id"),
)

OUTCOMES = Table(
    "outcomes",
    (
        ("prediction_id", pl.String(), "String"),
        ("model", pl.String(), "LowCardinality(String)"),
        ("label_time", TIME, _TIME_TYPE),
        ("outcome", pl.Float64(), "Float64"),
    ),
    key=("model", "prediction_id"),
)

MODEL_QUALITY = Table(
    "model_quality",
    (
        ("model", pl.String(), "LowCardinality(String)"),
        ("learner", pl.String(), "LowCardinality(String)"),
        ("time", TIME, _TIME_TYPE),
        ("champion", pl.Boolean(), "Bool"),
        ("model_version", pl.Int64(), "Int64"),
        ("labels", pl.Int64(), "Int64"),
        ("positives", pl.Int64(), "Int64"),
        ("window", pl.Int64(), "Int64"),
        ("roc_auc", pl.Float64(), "Nullable(Float64)"),
        ("pr_auc", pl.Float64(), "Nullable(Float64)"),
        ("log_loss", pl.Float64(), "Nullable(Float64)"),
        ("brier", pl.Float64(), "Nullable(Float64)"),
        ("ece", pl.Float64(), "Nullable(Float64)"),
        ("precision_top10", pl.Float64(), "Nullable(Float64)"),
        ("lift_top10", pl.Float64(), "Nullable(Float64)"),
        ("mean_absolute_error", pl.Float64(), "Nullable(Float64)"),
        ("drifts", pl.Int64(), "Int64"),
    ),
    key=("model", "learner", "time"),
)

TABLES: tuple[Table, ...] = (
    EVENTS, LATE_EVENTS, SESSIONS, MATCHES, TRIGGERS, SCORES, PREDICTIONS, OUTCOMES, MODEL_QUALITY, DEAD_LETTERS,
    CONTROLS,
)  # fmt: skip
TABLE_BY_NAME = {table.name: table for table in TABLES}
