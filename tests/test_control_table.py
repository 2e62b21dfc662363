"""Control records as rows of a table."""

import json
import random
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from control_records import T0, control_record

from footfall.control_record import ControlRecord
from footfall.control_table import control_rows, records_of
from footfall.errors import ControlError
from footfall.messages import encoded_messages
from footfall.migrations import migrate, read_migrations
from footfall.store import StoreAddress, open_store
from footfall.tables import CONTROLS

RECORDS = tuple(control_record(number) for number in range(3))


def test_rows_read_back_in_any_order() -> None:
    frame = control_rows(RECORDS)
    assert frame.schema == CONTROLS.schema
    assert records_of(frame) == RECORDS
    assert records_of(frame.sample(fraction=1, shuffle=True, seed=3)) == RECORDS
    assert records_of(pl.concat([frame, frame])) == RECORDS
    assert records_of(CONTROLS.empty()) == ()
    assert control_rows(()).schema == CONTROLS.schema


def test_a_row_as_a_message_is_the_record_s() -> None:
    for record, message in zip(RECORDS, encoded_messages(CONTROLS, control_rows(RECORDS)), strict=True):
        assert json.loads(message) == json.loads(record.to_json())
        assert ControlRecord.from_json(message) == record


def test_a_run_that_begins_anew_ends_what_an_earlier_one_left() -> None:
    new = tuple(control_record(number, times=30, written_at=T0 + 100 + number) for number in range(2))
    assert records_of(control_rows([*RECORDS, *new])) == new


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("rules", "{", "table controls, number 1: it is no JSON"),
        ("rules", "[]", "table controls, number 1: its digest is"),
        ("digest", "0" * 64, "table controls, number 1: its digest is"),
    ],
)
def test_a_row_that_is_no_record_is_refused(column: str, value: str, said: str) -> None:
    frame = control_rows([control_record(1)]).with_columns(pl.lit(value).alias(column))
    with pytest.raises(ControlError, match=said):
        records_of(frame)


def test_records_stand_in_a_store_whatever_the_order(tmp_path: Path) -> None:
    store = open_store(StoreAddress("embedded", folder=tmp_path / "store"))
    try:
        store.migrate()
        old = control_record(0, written_at=T0)
        new = control_record(0, written_at=T0 + 5)
        for record in random.Random(1).sample([old, new, new, control_record(1)], 4):
            store.insert(CONTROLS, control_rows([record]))
        rows = store.query("SELECT * FROM controls ORDER BY number")
        assert rows["number"].to_list() == [0, 1]
        # Number 0 was written after number 1: it begins another run.
        assert records_of(rows.cast(CONTROLS.schema)) == (new,)
    finally:
        store.close()


def test_champions_stand_in_rows_and_a_table_of_before_has_none() -> None:
    promoted = replace(RECORDS[2], champions={"lead": "scaled_logistic"})
    frame = control_rows([*RECORDS[:2], promoted])
    assert frame["champions"].to_list() == ["{}", "{}", '{"lead":"scaled_logistic"}']
    assert records_of(frame) == (*RECORDS[:2], promoted)
    assert records_of(control_rows(RECORDS).drop("champions")) == RECORDS
    with pytest.raises(ControlError, match="its digest is"):
        records_of(frame.drop("champions"))


def test_rows_of_before_get_no_champions_when_the_table_gets_the_column(tmp_path: Path) -> None:
    store = open_store(StoreAddress("embedded", folder=tmp_path / "store"))
    try:
        migrations = read_migrations()
        migrate(store, migrations[:5])
        before = [name for name in CONTROLS.schema.names() if name != "champions"]
        rows = control_rows(RECORDS).select(before)
        values = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows.iter_rows())
        store.command(f"INSERT INTO controls ({', '.join(before)}) VALUES {values}")
        assert records_of(store.query("SELECT * FROM controls").cast(rows.schema)) == RECORDS
        store.migrate()
        assert (
            records_of(
                store.query("SELECT * FROM controls").select(CONTROLS.schema.names()).cast(CONTROLS.schema)
            )
            == RECORDS
        )
    finally:
        store.close()


def _literal(value: object) -> str:
    if isinstance(value, datetime):
        return f"'{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}'"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "NULL" if value is None else str(value)
