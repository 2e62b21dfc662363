"""Rows of every table, for the tests of the store and the sinks."""

from datetime import UTC, datetime, timedelta

import polars as pl

from footfall.tables import (
    DEAD_LETTERS,
    EVENTS,
    LATE_EVENTS,
    MATCHES,
    MODEL_QUALITY,
    OUTCOMES,
    PREDICTIONS,
    SCORES,
    SESSIONS,
    TRIGGERS,
    Table,
)

START = datetime(2025, 1, 31, 23, 59, 59, 250_000, tzinfo=UTC)
BIG = 2**63 - 1
TEXTS = ["plain", "naïve café", "日本語 🛒", 'it\'s "quoted" \\ back\tslash\nline', "", " spaced "]


def rows(table: Table, count: int, *, first: int = 0) -> pl.DataFrame:
    """`count` rows of a table, those of numbers `first` and up: always the same for the same number."""
    return pl.DataFrame([_row(table, number) for number in range(first, first + count)], schema=table.schema)


def _row(table: Table, number: int) -> dict[str, object]:
    row: dict[str, object] = {}
    for name, dtype, kind in table.columns:
        nullable = "Nullable" in kind
        row[name] = None if nullable and number % 3 == 0 else _value(dtype, name, number)
    if table in (EVENTS, LATE_EVENTS):
        row |= {"message_id": f"m{number}", "visitor_id": f"v{number % 7}", "event_time": _time(number)}
        row |= {"source_offset": number, "properties": f'{{"n": [{number}, {{"text": "é"}}], "none": null}}'}
    elif table is SESSIONS:
        row |= {"session_id": f"s{number}", "start_time": _time(number), "revision": 0}
    elif table is MATCHES:
        row |= {"match_id": f"x{number}", "first_time": _time(number), "revision": 0}
        row |= {"stages": f'[{{"stage": "a", "events": ["m{number}"]}}]'}
    elif table is TRIGGERS:
        # Such as are sent, wherever the test stands in time.
        row |= {"trigger_id": f"t{number}", "event_time": _time(number), "revision": 0, "status": "fired"}
        row |= {"topic": "triggers", "expires_time": _time(number).replace(year=2200)}
        row |= {"evidence": f'{{"cart": ["m{number}"]}}', "fields": '{"value": "12.3"}', "scores": "{}"}
    elif table is SCORES:
        row |= {
            "score_id": f"s{number}",
            "time": _time(number),
            "revision": 0,
            "reasons": '["orders: 3 (raises it)"]',
        }
    elif table in (PREDICTIONS, OUTCOMES):
        row |= {"prediction_id": f"p{number}", "model": "lead"}
        if table is PREDICTIONS:
            row |= {"learner": "binned_logistic", "time": _time(number), "features": "[1.0,null]"}
    elif table is MODEL_QUALITY:
        row |= {"model": "lead", "learner": "binned_logistic", "time": _time(number)}
    elif table is DEAD_LETTERS:
        row |= {"source_offset": number, "bytes": bytes((number * 7 + i) % 256 for i in range(number % 40))}
    return row


def _time(number: int) -> datetime:
    return START + timedelta(milliseconds=997 * number)


def _value(dtype: pl.DataType, name: str, number: int) -> object:
    if isinstance(dtype, pl.Datetime):
        return _time(number)
    if dtype == pl.Boolean:
        return number % 2 == 0
    if dtype == pl.Binary:
        return b""
    if dtype == pl.Int64:
        return (BIG - number, -BIG, 0, number)[number % 4]
    if dtype == pl.Float64:
        return (number - 5) / 8
    if dtype in (pl.Int32, pl.UInt32):
        return number
    return TEXTS[(number + len(name)) % len(TEXTS)]
