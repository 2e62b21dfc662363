"""Control records as rows of a table."""

import json
import random
from pathlib import Path

import polars as pl
import pytest
from control_records import T0, control_record

from footfall.control_record import ControlRecord
from footfall.control_table import control_rows, records_of
from footfall.errors import ControlError
from footfall.messages import encoded_messages
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
