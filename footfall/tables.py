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
    ),
    key=("number", "digest"),
    version="written_at",
)

TABLES: tuple[Table, ...] = (EVENTS, LATE_EVENTS, SESSIONS, MATCHES, TRIGGERS, DEAD_LETTERS, CONTROLS)
TABLE_BY_NAME = {table.name: table for table in TABLES}
