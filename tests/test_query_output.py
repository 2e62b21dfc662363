import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_rows import TEXTS, rows

from footfall import query_output
from footfall.errors import StoreError
from footfall.query_output import OutputForm, ResultTable, render, run_query
from footfall.store import StoreAddress, open_store
from footfall.store_owner import ensure_owner
from footfall.tables import DEAD_LETTERS, EVENTS, SESSIONS


@pytest.fixture(scope="module", params=["embedded", "owner"])
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StoreAddress]:
    address = StoreAddress("embedded", folder=tmp_path_factory.mktemp("query") / "store")
    owner = ensure_owner(address) if request.param == "owner" else None
    store = open_store(address)
    store.migrate()
    for _ in range(2):
        for table in (SESSIONS, EVENTS, DEAD_LETTERS):
            store.insert(table, rows(table, 30))
    store.close()
    yield address
    if owner is not None:
        owner.close()


def answer(address: StoreAddress, sql: str, form: OutputForm = "table", width: int | None = 80) -> str:
    out = io.BytesIO()
    run_query(address, sql, form, out, width=width)
    return out.getvalue().decode()


def test_rows_written_twice_count_once(address: StoreAddress) -> None:
    lines = answer(address, "SELECT count() FROM sessions;").splitlines()
    assert lines[0].strip() == "count()"
    assert lines[2].strip() == "30"
    assert lines[-1] == "1 row"


def test_csv_and_json_lose_nothing(address: StoreAddress) -> None:
    sql = "SELECT event, event_time, value, source_offset FROM events ORDER BY source_offset -- all"
    wanted = rows(EVENTS, 30)
    found = list(csv.DictReader(io.StringIO(answer(address, sql, "csv"), newline="")))
    assert [row["event"] for row in found] == wanted["event"].to_list()
    assert [row["value"] for row in found] == [str(v) if v is not None else "\\N" for v in wanted["value"]]
    assert found[1]["event_time"] == "2025-02-01 00:00:00.247"
    objects = [json.loads(line) for line in answer(address, sql, "json").splitlines()]
    assert [row["value"] for row in objects] == wanted["value"].to_list()
    assert [row["event"] for row in objects] == wanted["event"].to_list()


def test_other_statements(address: StoreAddress) -> None:
    assert "sessions" in answer(address, "SHOW TABLES")
    assert answer(address, "SELECT 1 AS a FORMAT JSONCompactEachRow;") == "[1]\n"
    assert answer(address, "CREATE TABLE IF NOT EXISTS mine (a Int8) ENGINE = MergeTree ORDER BY a") == ""
    assert answer(address, "SELECT a FROM mine").splitlines()[-1] == "0 rows"
    assert "abc" in answer(address, "DESCRIBE TABLE (SELECT 1 AS abc)", "csv")


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_errors_say_what_is_wrong(address: StoreAddress, form: OutputForm) -> None:
    with pytest.raises(StoreError, match="sesions"):
        answer(address, "SELECT * FROM sesions", form)
    with pytest.raises(StoreError, match="no statement"):
        answer(address, " ; ", form)


def test_bytes_and_control_characters_cannot_break_the_table(address: StoreAddress) -> None:
    text = answer(address, "SELECT unhex('FF00416E0A1B5B') AS raw, '\\x1b[31mred' AS red")
    assert "\x1b" not in text
    assert "\x00" not in text
    assert len(text.splitlines()) == 4
    assert answer(address, "SELECT bytes FROM dead_letters LIMIT 30").splitlines()[-1] == "30 rows"


def test_long_results_are_counted_and_cut(address: StoreAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_output, "MOST_TABLE_ROWS", 5)
    lines = answer(address, "SELECT number FROM numbers(100000)").splitlines()
    assert len(lines) == 8
    assert lines[-1].startswith("100,000 rows, of which the first 5 are shown")


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        answer(StoreAddress("embedded", folder=tmp_path / "none"), "SELECT 1")


def test_numbers_stand_to_the_right_and_values_fit_the_width() -> None:
    table = ResultTable(["name", "n"], ["String", "Nullable(Int64)"], [["x" * 200, "1"], ["é", None]], 2)
    lines = render(table, width=40).splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[2].endswith("   1")
    assert "…" in lines[2]
    assert lines[3].endswith("NULL")
    assert lines[4] == "2 rows"


def test_any_text_is_one_line() -> None:
    table = ResultTable(["t"], ["String"], [[text] for text in TEXTS], len(TEXTS))
    assert len(render(table, width=60).splitlines()) == 2 + len(TEXTS) + 1


def test_too_many_columns_become_lists() -> None:
    names = [f"column_{number}" for number in range(30)]
    table = ResultTable(names, ["String"] * 30, [["x" * 100] * 30] * 2, 2)
    lines = render(table, width=60).splitlines()
    assert len(lines) == 2 * 31 + 1
    assert max(map(len, lines)) <= 60
    assert lines[1].startswith("column_0   xxx")


def test_null_and_text_are_told_apart_by_the_engine(address: StoreAddress) -> None:
    lines = answer(address, "SELECT NULL AS a, 'b' AS b").splitlines()
    assert lines[2].split() == ["NULL", "b"]
