"""What consumers of triggers have noted, and messages to give them."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from store_rows import rows

from footfall.messages import encoded_messages
from footfall.tables import TRIGGERS

NEVER = datetime(2200, 1, 1, tzinfo=UTC)


def message(number: int, revision: int = 0, status: str = "fired", *, expires: datetime = NEVER) -> bytes:
    """A trigger's message; each copy has a time of sending of its own."""
    row = rows(TRIGGERS, 1, first=number).with_columns(
        visitor_id=pl.lit(f"v{number % 10}"),
        action=pl.lit("mail"),
        status=pl.lit(status),
        revision=pl.lit(revision, pl.UInt32),
        expires_time=pl.lit(expires).cast(TRIGGERS.schema["expires_time"]),
    )
    return encoded_messages(TRIGGERS, row, sent_at=datetime.now(UTC) + timedelta(milliseconds=number))[0]


def orders(file: Path) -> list[tuple[str, int, str]]:
    """The orders that a consumer noted: trigger, revision, and what was to be done."""
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT trigger_id, revision, what FROM orders ORDER BY rowid").fetchall()
