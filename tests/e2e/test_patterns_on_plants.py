"""Each shipped pattern against what the simulator planted, through a whole replay."""

import json
from pathlib import Path

import polars as pl
import pytest
from command_line import replay, run

from footfall.demo import Score, scores
from footfall.simulate_plants import PATTERNS
from footfall.store import open_store, parse_dsn

pytestmark = pytest.mark.usefixtures("without_scores")

CALM = ("--bots", 0, "--dirty", 0, "--clock-errors", 0, "--duplicates", 0, "--late", 0)
ROUGH = ("--bots", 0.1, "--dirty", 0.02, "--clock-errors", 0.1, "--duplicates", 0.1, "--late", 0.03)
A_DAY = ("--visitors", 1_500)
A_SEASON = ("--visitors", 120, "--duration", "80 d", "--rate", 0.0006)
RARE = {"customer_inactive"}  # takes 30 days


def scores_of(tmp_path: Path, *options: object, replayed: tuple[object, ...] = ()) -> dict[str, Score]:
    summary = run("simulate", "traffic", *options, "--json", cwd=tmp_path).one_object()
    report = replay("traffic", *replayed, "--store", "chdb://store", cwd=tmp_path)
    assert report["matches"] == summary["plants"]
    store = open_store(parse_dsn(f"chdb://{tmp_path / 'store'}"), create=False)
    try:
        matches: pl.DataFrame = store.query("SELECT pattern, visitor_id, stages, outputs FROM matches")
    finally:
        store.close()
    plants_file = tmp_path / summary["plants_file"]
    check_outputs(plants_file, matches)
    return scores(plants_file, matches)


def check_outputs(plants_file: Path, matches: pl.DataFrame) -> None:
    """The output fields of matches that were planted must be those that the plants have."""
    planted = {}
    for line in plants_file.read_bytes().splitlines():
        plant = json.loads(line)
        planted[plant["pattern"], json.dumps(plant["stages"], sort_keys=True)] = plant["output"]
    compared = set()
    for pattern, stages, outputs in matches.select("pattern", "stages", "outputs").iter_rows():
        expected = planted.get((pattern, json.dumps(json.loads(stages), sort_keys=True)))
        if expected is not None:
            assert (json.loads(outputs) if outputs else {}) == expected, (pattern, stages)
            compared.add(pattern if expected else "")
    assert compared >= {"", "form_abandoned", "rage_click", "service_completed"}


def test_without_noise_every_occurrence_is_found_and_nothing_else(tmp_path: Path) -> None:
    found = scores_of(tmp_path, *A_DAY, *CALM)
    assert set(found) == set(PATTERNS) - RARE
    for pattern, score in found.items():
        assert score.planted >= 10, pattern
        assert (score.precision, score.recall) == (1.0, 1.0), pattern


@pytest.mark.parametrize("more", [("--seed", 11), ("--partitions", 3)])
def test_with_disorder_copies_wrong_clocks_and_robots_nearly_all_is(
    tmp_path: Path, more: tuple[object, ...]
) -> None:
    found = scores_of(tmp_path, *A_DAY, *ROUGH, *more, replayed=("--partitioned",) if 3 in more else ())
    assert set(found) == set(PATTERNS) - RARE
    for pattern, score in found.items():
        assert score.planted >= 10, pattern
        assert min(score.precision, score.recall) >= 0.95, pattern


@pytest.mark.parametrize("noise", [CALM, ROUGH], ids=["calm", "rough"])
def test_over_a_season_who_was_inactive_is_found(tmp_path: Path, noise: tuple[object, ...]) -> None:
    found = scores_of(tmp_path, *A_SEASON, *noise)
    assert found["customer_inactive"].planted >= 20
    for pattern, score in found.items():
        assert (score.precision, score.recall) == (1.0, 1.0), pattern
