"""A real export of a shop, in Segment's format: its counts, and one answer whichever way it is read."""

from pathlib import Path
from typing import Any

import pytest
from command_line import replay

pytestmark = pytest.mark.usefixtures("without_scores")


@pytest.fixture(scope="module")
def plain(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report with every setting as it is by default, but without a store."""
    return _replayed(shared_data, tmp_path_factory.mktemp("plain"))


def _replayed(shared: Path, cwd: Path, *options: object) -> dict[str, Any]:
    export = shared / "data" / "shop-segment.ndjson.gz"
    return replay(export, "--format", "segment", "--store", "none", *options, cwd=cwd)


def test_the_counts(plain: dict[str, Any]) -> None:
    assert plain["records"] == 16_008
    assert plain["events"] == 16_004
    assert plain["duplicates"] == 4
    assert plain["dead"] == 0
    assert plain["late"] == 0
    assert plain["sessions"] == 2_220
    assert plain["matches"]["cart_abandoned"] == 542
    assert plain["matches"]["checkout_abandoned"] == 362


@pytest.mark.parametrize(
    ("shards", "workers", "batch_size"),
    [(1, 1, 10), (2, 2, 10_000), (7, 1, 1_000)],
)
def test_the_answer_doesnt_depend_on_the_way(
    plain: dict[str, Any], shared_data: Path, tmp_path: Path, shards: int, workers: int, batch_size: int
) -> None:
    options = ("--shards", shards, "--workers", workers, "--batch-size", batch_size)
    report = _replayed(shared_data, tmp_path, *options)
    assert (report["shards"], report["workers"]) == (shards, workers)
    same = (
        "records",
        "events",
        "duplicates",
        "sessions",
        "session_sums",
        "matches",
        "matches_at_end",
        "answer",
    )
    assert {name: report[name] for name in same} == {name: plain[name] for name in same}
