"""The demonstration, the simulator, and what the program says of itself."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from command_line import command, environment, replay, run

from footfall.demo import scores
from footfall.simulate_plants import PATTERNS
from footfall.store import open_store, parse_dsn

SHIPPED = sorted(PATTERNS)
IN_A_DAY = [name for name in SHIPPED if name != "customer_inactive"]


def test_the_demonstration_finds_what_was_planted(tmp_path: Path) -> None:
    for _ in range(2):  # and again, in the same folder
        ended = run("demo", "--visitors", 800, cwd=tmp_path)
        assert ended.code == 0, ended.err
    rows = re.findall(r"^(\w+) +([\d,]+) +([\d,]+) +(\d\.\d+|-) +(\d\.\d+|-)$", ended.out, re.MULTILINE)
    assert [row[0] for row in rows] == SHIPPED
    assert ("customer_inactive", "0", "0", "-", "-") in rows
    assert "absences wait for longer than the day lasts" in ended.out
    for name, planted, found, precision, recall in rows:
        if name not in IN_A_DAY:
            continue
        assert (planted, precision, recall) == (found, "1.0000", "1.0000"), name
        assert int(planted.replace(",", "")) > 0
    assert "completed a booking" in ended.out
    # The commands that it proposes work as they stand.
    proposed = re.findall(r"^  footfall (.+)$", ended.out, re.MULTILINE)
    assert len(proposed) == 3
    done = subprocess.run(
        " ".join(command(())) + " " + proposed[0],
        shell=True,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert b"rage_click" in done.stdout


def test_one_seed_gives_one_traffic(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert run("simulate", f"{name}.ndjson", "--visitors", 100, "--seed", seed, cwd=tmp_path).code == 0
    first, again, other = ((tmp_path / f"{name}.ndjson").read_bytes() for name in "abc")
    assert first == again
    assert first != other
    plants = [(tmp_path / f"{name}.plants.ndjson").read_bytes() for name in "ab"]
    assert plants[0] == plants[1]


@pytest.mark.parametrize("form", ["footfall", "segment"])
def test_a_replay_finds_exactly_what_the_simulator_planted(tmp_path: Path, form: str) -> None:
    options = ("--format", form, "--visitors", 500, "--dirty", 0.01, "--clock-errors", 0.05, "--json")
    summary = run("simulate", "traffic.ndjson.gz", *options, cwd=tmp_path).one_object()
    report = replay("traffic.ndjson.gz", "--format", form, "--store", "chdb://store", cwd=tmp_path)
    assert report["records"] == summary["lines"]
    assert report["dead"] == summary["dirty"]
    assert report["late"] >= summary["late"]
    assert report["sessions"] == summary["sessions"]
    assert report["matches"] == summary["plants"]
    store = open_store(parse_dsn(f"chdb://{tmp_path / 'store'}"), create=False)
    try:
        found = scores(tmp_path / summary["plants_file"], store.query("SELECT * FROM matches"))
    finally:
        store.close()
    # Segment's messages don't say where the pointer was.
    assert sorted(found) == [name for name in IN_A_DAY if form == "footfall" or name != "thrashed_cursor"]
    assert all(score.precision == score.recall == 1.0 for score in found.values())


def test_the_shipped_patterns_are_listed(tmp_path: Path) -> None:
    ended = run("patterns", "list", "--json", cwd=tmp_path)
    assert [pattern["name"] for pattern in json.loads(ended.out)["patterns"]] == SHIPPED
    shown = run("patterns", "list", cwd=tmp_path)
    assert shown.code == 0
    assert all(name in shown.out for name in SHIPPED)


def test_help_shows_examples_and_every_command_has_some(tmp_path: Path) -> None:
    shown = run("--help", cwd=tmp_path)
    assert shown.code == 0
    assert "examples:" in shown.out
    assert shown.out.count("\n  footfall ") >= 5
    for name in ("replay", "query", "simulate", "demo", "patterns list", "store serve"):
        ended = run(*name.split(), "--help", cwd=tmp_path)
        assert ended.code == 0
        assert "usage: footfall " + name in ended.out
    assert re.fullmatch(r"footfall \d+\.\d+\.\d+\n", run("--version", cwd=tmp_path).out)
