"""Frames come back as they were, and a process with one Polars thread never stands still over them."""

import pickle
import subprocess
import sys

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from footfall.frame_pickling import pack_frame, pickle_frames_by_arrow, unpack_frame
from footfall.tables import TABLES, Table

pickle_frames_by_arrow()


def example() -> pl.DataFrame:
    rows = {
        "text": ["a", None, "a text of more than twelve bytes", "ü"],
        "time": pl.Series([0, None, 2, 3]).cast(pl.Datetime("ms", "UTC")),
        "flag": [True, None, False, True],
        "bytes": [b"\x00\xff", None, b"", b"x" * 20],
        "none": pl.Series([None] * 4, dtype=pl.String),
        "small": pl.Series([1, 2, None, 4], dtype=pl.Int32),
    }
    return pl.DataFrame(rows)


def test_types_and_nulls_are_kept() -> None:
    frame = example()
    assert_frame_equal(pickle.loads(pickle.dumps(frame)), frame)
    assert_frame_equal(
        pickle.loads(pickle.dumps(pl.concat([frame, frame[1:3]]))), pl.concat([frame, frame[1:3]])
    )
    assert_frame_equal(unpack_frame(pack_frame(frame[2:])), frame[2:])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_tables_schema_is_kept_without_rows(table: Table) -> None:
    assert pickle.loads(pickle.dumps(table.empty())).schema == table.schema


def test_pickling_goes_by_arrow_not_by_polars() -> None:
    assert b"_rebuild" in pickle.dumps(example())
    assert b"_rebuild" in pickle.dumps({"frame": [example()]})


def test_columns_of_nulls_alone_take_no_room() -> None:
    nothing = pl.DataFrame({"a": pl.Series([None] * 10_000, dtype=pl.String), "b": [None] * 10_000})
    packed = pickle.dumps(nothing)
    assert len(packed) < 2_000
    assert_frame_equal(pickle.loads(packed), nothing)


STRESS = """
import pickle
import numpy as np, polars as pl
from footfall.frame_pickling import pickle_frames_by_arrow
pickle_frames_by_arrow()
nothing = pl.Series([None] * 2000, dtype=pl.String)
for turn in range(1500):
    numbers = np.arange(2000) + turn
    frame = pl.DataFrame({"n": numbers, "t": pl.Series(numbers).cast(pl.String), "z": nothing})
    part = frame.with_columns(pl.col("n") + 1).filter(pl.col("n") % 3 != 0)
    assert pickle.loads(pickle.dumps(part)).height == part.height
"""


def test_one_polars_thread_is_enough() -> None:
    command = [sys.executable, "-c", STRESS]
    environment = {"POLARS_MAX_THREADS": "1", "PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run(command, env=environment, check=True, timeout=120)
