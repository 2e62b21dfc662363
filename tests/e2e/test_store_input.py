"""A store as the input of a replay: what an earlier run kept gives the same answers again."""

from pathlib import Path

import polars as pl
import pytest
from command_line import failed, replay, run

from footfall.store import open_store, parse_dsn
from footfall.tables import DEAD_LETTERS, LATE_EVENTS, MATCHES, SESSIONS, Table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that a run over two partitions has filled."""
    found = tmp_path_factory.mktemp("input")
    options = ("--visitors", 600, "--seed", 9, "--late", 0.02, "--duplicates", 0.02, "--partitions", 2)
    run("simulate", "traffic", *options, cwd=found)
    replay("traffic", "--partitioned", "--store", "chdb://first", cwd=found)
    return found


def rows(dsn: str, table: Table) -> pl.DataFrame:
    """The rows of a table, sorted, without what only the end of the input has closed."""
    store = open_store(parse_dsn(dsn), wait_for_owner=30, create=False)
    try:
        columns = [
            f"hex({name}) AS {name}" if dtype == pl.Binary else name for name, dtype, _ in table.columns
        ]
        found = store.query(f"SELECT {', '.join(columns)} FROM {table.name}").sort(table.key)
    finally:
        store.close()
    return found.filter(~pl.col("at_end")) if "at_end" in found.columns else found


@pytest.mark.parametrize("workers", [1, 2])
def test_a_replay_of_a_store_gives_the_same_answers(folder: Path, tmp_path: Path, workers: int) -> None:
    report = replay(
        f"chdb://{folder / 'first'}",
        "--store",
        "chdb://again",
        "--workers",
        workers,
        "--batch-size",
        700,
        cwd=tmp_path,
    )
    assert report["partitions"] == 2
    # The end of a table closes nothing, and copies weren't kept.
    assert report["sessions_at_end"] == 0
    assert report["duplicates"] == 0
    for table in (SESSIONS, MATCHES, LATE_EVENTS, DEAD_LETTERS):
        first = rows(f"chdb://{folder / 'first'}", table)
        assert first.height
        assert rows(f"chdb://{tmp_path / 'again'}", table).equals(first), table.name


def test_a_store_can_be_replayed_into_itself(folder: Path) -> None:
    dsn = f"chdb://{folder / 'first'}"
    before = {table.name: rows(dsn, table) for table in (SESSIONS, MATCHES, LATE_EVENTS, DEAD_LETTERS)}
    report = replay(dsn, "--store", dsn, cwd=folder)
    assert report["events"]
    for table in (SESSIONS, MATCHES, LATE_EVENTS, DEAD_LETTERS):
        assert rows(dsn, table).equals(before[table.name]), table.name


def test_what_is_no_store_to_read_is_told(folder: Path, tmp_path: Path) -> None:
    said = failed("replay", "chdb://nowhere", "--store", "none", cwd=tmp_path, code=2)
    assert "there is no store at chdb://nowhere" in said
    said = failed("replay", f"chdb://{folder / 'first'}", "more.ndjson", cwd=tmp_path, code=2)
    assert "a store is read alone" in said
    (tmp_path / "empty").mkdir()
    said = failed("replay", "chdb://empty", "--store", "none", cwd=tmp_path, code=2)
    assert "has no tables of Footfall's" in said
