import gzip
import math
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from footfall.errors import FootfallError, SourceError, UsageError
from footfall.scoring.evaluate_table import read_table

TABLE = """id,views,price,source,is_new,bought
a,3,1.5,paid,TRUE,yes
b,,n/a,email,FALSE,No
c,0,-2,paid,TRUE,1
d,7,1e3,,FALSE,0
"""


def written(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_columns_are_typed(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, TABLE), "bought")
    assert [(column.name, column.kind, column.words) for column in table.columns] == [
        ("id", "category", ("a", "b", "c", "d")),
        ("views", "number", ()),
        ("price", "number", ()),
        ("source", "category", ("paid", "email")),
        ("is_new", "category", ("TRUE", "FALSE")),
    ]
    assert table.labels.tolist() == [1, 0, 1, 0]
    nan = math.nan
    np.testing.assert_array_equal(
        table.rows, [[0, 3, 1.5, 0, 0], [1, nan, nan, 1, 1], [2, 0, -2, 0, 0], [3, 7, 1000, nan, 1]]
    )
    assert not table.left_out
    assert table.times is None


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators(tmp_path: Path, separator: str) -> None:
    table = read_table(written(tmp_path, TABLE.replace(",", separator)), "bought")
    assert table.rows.shape == (4, 5)


def test_a_byte_order_mark_and_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeff"a, b",label\r\n"x, y",1\r\n"z",0\r\n')
    table = read_table(path, "label")
    assert (table.columns[0].name, table.columns[0].words) == ("a, b", ("x, y", "z"))


def test_gzip_and_parquet_hold_the_same(tmp_path: Path) -> None:
    plain = read_table(written(tmp_path, TABLE), "bought")
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress(TABLE.encode()))
    columns = tmp_path / "table.parquet"
    pl.read_csv(tmp_path / "table.csv", null_values=["", "n/a"]).with_columns(
        pl.col("is_new").cast(pl.Boolean)
    ).write_parquet(columns)
    for path in (packed, columns):
        table = read_table(path, "bought")
        np.testing.assert_array_equal(table.rows, plain.rows)
        assert table.labels.tolist() == plain.labels.tolist()


def test_a_few_values_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    lines = "\n".join(f"{n},{n % 2}" for n in range(40))
    table = read_table(written(tmp_path, f"amount,label\n{lines}\nlots,1\n"), "label")
    assert table.columns[0].kind == "number"
    assert table.not_numbers == {"amount": 1}
    assert np.isnan(table.rows[40, 0])


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "x,label\n1,yes\n2,maybe\n3,\n4,no\n5,maybe\n6,\n"), "label")
    assert table.left_out == {"maybe": 2, "": 2}
    assert table.rows[:, 0].tolist() == [1, 4]


def test_times(tmp_path: Path) -> None:
    text = "x,day,hour,label\n1,2026-01-02,5,1\n2,2026-01-01T00:00:00,4,0\n3,soon,,1\n"
    dates = read_table(written(tmp_path, text.replace("T00:00:00", "")), "label", "day")
    assert dates.times_are_dates
    assert dates.times is not None
    assert dates.times[:2].tolist() == [1767312000000.0, 1767225600000.0]
    assert np.isnan(dates.times[2])
    hours = read_table(written(tmp_path, text), "label", "hour")
    assert not hours.times_are_dates
    assert hours.times is not None
    assert hours.times[:2].tolist() == [5, 4]
    path = tmp_path / "t.parquet"
    pl.DataFrame({"x": [1, 2], "day": [date(2026, 1, 2), None], "label": [True, False]}).write_parquet(path)
    from_parquet = read_table(path, "label", "day")
    assert from_parquet.times is not None
    assert from_parquet.times[0] == 1767312000000.0


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", SourceError, "no column names"),
        ("x,bought\n", SourceError, "no rows"),
        ("x,bougt\n1,1\n", UsageError, "no column 'bought'; did you mean bougt"),
        ("x,bought\n1,1\n2,1\n", SourceError, "all 2 labels .* positive"),
        ("x,bought\n1,0\n2,No\n", SourceError, "all 2 labels .* negative"),
        ("x,bought\n1,often\n2,rarely\n", SourceError, "yes or no, 1 or 0, not 'often', 'rarely'"),
        (
            "x,bought\n1,1\n2,0\n3,often\n4,rarely\n5,2\n",
            SourceError,
            "yes or no, 1 or 0, not 'often', 'rarely', '2'",
        ),
        ("x,bought\n1,\n2,\n", SourceError, "yes or no, 1 or 0, not ''"),
        ("bought\n1\n0\n", SourceError, "no column but the label"),
        ("x,bought\n1,0\n2,1,3\n", SourceError, "can't be read as a table"),
    ],
)
def test_bad_tables_are_told(tmp_path: Path, text: str, error: type[FootfallError], message: str) -> None:
    with pytest.raises(error, match=message):
        read_table(written(tmp_path, text), "bought")


def test_what_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("x,label\n1,1\ncafé,0\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"latin\.csv, line 3: byte 15 is not UTF-8"):
        read_table(path, "label")


@pytest.mark.parametrize(
    ("name", "content"), [("t.csv.gz", b"no gzip"), ("t.parquet", b"PAR1"), ("t.parquet", b"")]
)
def test_damaged_files_are_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match="can't be read as a table"):
        read_table(tmp_path / name, "label")


def test_missing_files_and_times_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read_table(tmp_path / "none.csv", "label")
    path = written(tmp_path, "x,when,label\n1,soon,1\n2,later,0\n")
    with pytest.raises(SourceError, match="'when' holds no times"):
        read_table(path, "label", "when")
    with pytest.raises(UsageError, match="no column 'wen'; did you mean when"):
        read_table(path, "label", "wen")
