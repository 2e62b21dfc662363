"""Where a run's rows go: the embedded store, its owner, and files; and `footfall query`, which reads them."""

import csv
import io
import json
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from command_line import Started, failed, replay, run, wait_until
from stored_rows import Rows, in_files, in_store

from footfall.tables import TABLES


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with something for every table."""
    folder = tmp_path_factory.mktemp("stored")
    run("simulate", "traffic.ndjson", "--visitors", 600, "--seed", 9, cwd=folder)
    return folder / "traffic.ndjson"


@pytest.fixture(scope="module")
def stored(traffic: Path) -> Rows:
    """The rows of one run, in a store beside the file."""
    replay(traffic, "--out", "out", cwd=traffic.parent)
    rows = in_store(f"chdb://{traffic.parent / 'footfall-store'}")
    # Live runs write control records, and no horizon of a label is over within a day.
    assert {name for name, (count, _) in rows.items() if not count} == {"controls", "model_quality"}
    return rows


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[str]:
    """A running `footfall store serve` of the folder `store`; its address."""
    with Started("store", "serve", "--port", 0, "--store", "chdb://store", cwd=tmp_path) as served:
        assert served.process.stdout is not None
        line = served.process.stdout.readline().decode()
        address = re.search(r"at http://([0-9.:]+)$", line)
        assert address is not None, line
        yield address.group(1)
        served.process.send_signal(signal.SIGTERM)
        assert served.ended(within=20).code == 0


def test_the_same_run_twice_leaves_the_same_rows(traffic: Path, stored: Rows) -> None:
    replay(traffic, "--batch-size", 500, "--shards", 3, "--workers", 2, cwd=traffic.parent)
    assert in_store(f"chdb://{traffic.parent / 'footfall-store'}") == stored


def test_files_hold_the_rows_of_the_store(traffic: Path, stored: Rows, tmp_path: Path) -> None:
    assert in_files(traffic.parent / "out") == stored
    arguments = ("--store", "none", "--out", "lines", "--out-format", "ndjson")
    for _ in range(2):  # the second run clears what the first one wrote
        replay(traffic, *arguments, cwd=tmp_path)
    for table in TABLES:
        files = (tmp_path / "lines" / table.name).glob("*.ndjson")
        lines = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
        assert len(lines) == stored[table.name][0]
        assert all(line.keys() == table.schema.keys() for line in lines)
    parquet = pl.read_parquet(traffic.parent / "out" / "matches" / "*.parquet")
    files = (tmp_path / "lines" / "matches").iterdir()
    found = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    assert sorted(line["match_id"] for line in found) == sorted(parquet["match_id"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_through_an_owner_while_others_read(
    traffic: Path, stored: Rows, tmp_path: Path, owner: str, workers: int
) -> None:
    done = threading.Event()
    counts: list[int] = []

    def look() -> None:
        while not done.is_set():
            ended = run(
                "query", "SELECT count() AS n FROM events", "--json", "--store", "chdb://store", cwd=tmp_path
            )
            if ended.code == 0:
                counts.append(int(json.loads(ended.out)["n"]))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        replay(traffic, "--store", "chdb://store", "--workers", workers, "--batch-size", 500, cwd=tmp_path)
    finally:
        done.set()
        looking.join()
    assert counts == sorted(counts)
    assert in_store(f"chdb://{tmp_path / 'store'}") == stored
    assert in_store(f"clickhouse://{owner}/footfall") == stored


def test_workers_start_an_owner_that_ends_with_them(traffic: Path, tmp_path: Path) -> None:
    options = ("--store", "chdb://store", "--workers", 2, "--batch-size", 50, "--quiet")
    with Started("replay", traffic, *options, cwd=tmp_path) as leg:
        assert wait_until(leg.owners, 30)
        assert wait_until(lambda: len(leg.workers()) == 2, 30)
        # Anyone can look meanwhile, through the owner.
        ended = run("query", "SELECT 41 + 1", "--csv", "--store", "chdb://store", cwd=tmp_path)
        assert ended.code == 0, ended.err
        assert "42" in ended.out
        leg.process.send_signal(signal.SIGINT)
        assert leg.ended(within=30).code == 130
        assert leg.all_gone(within=5)


def test_a_second_opener_hears_who_has_the_folder(traffic: Path, tmp_path: Path) -> None:
    options = ("--store", "chdb://store", "--batch-size", 50)
    with Started("replay", traffic, *options, cwd=tmp_path, terminal=True) as leg:
        assert wait_until(lambda: leg.progress() and leg.progress()[-1] > 0, 60)
        (worker,) = leg.workers()
        said = failed("query", "SELECT 1", "--store", "chdb://store", cwd=tmp_path, code=1)
        assert f"is open in process {worker}" in said
        assert "footfall store serve" in said


def test_query_shows_a_table_or_csv_or_json(traffic: Path, stored: Rows) -> None:
    sql = "SELECT pattern, count() AS found FROM matches GROUP BY pattern ORDER BY pattern"
    table = run("query", sql, cwd=traffic.parent)
    assert table.code == 0, table.err
    lines = run("query", sql, "--json", cwd=traffic.parent)
    objects = [json.loads(line) for line in lines.out.splitlines()]
    assert sum(int(each["found"]) for each in objects) == stored["matches"][0]
    rows = list(csv.DictReader(io.StringIO(run("query", sql, "--csv", cwd=traffic.parent).out)))
    assert [(row["pattern"], int(row["found"])) for row in rows] == [
        (each["pattern"], int(each["found"])) for each in objects
    ]
    assert all(row["pattern"] in table.out for row in rows)
    wrong = failed("query", "SELECT nothing FROM nowhere", cwd=traffic.parent, code=1)
    assert "nowhere" in wrong
    nowhere = failed("query", "SELECT 1", "--store", "chdb://not-there", cwd=traffic.parent, code=2)
    assert "there is no store" in nowhere
    assert not (traffic.parent / "not-there").exists()
