"""`footfall patterns explain` on simulated traffic, as its users run it."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from command_line import failed, run

pytestmark = pytest.mark.usefixtures("without_scores")

VISITORS = 120


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with traffic, noise and all, in two partitions, and what was planted in it."""
    folder = tmp_path_factory.mktemp("traffic")
    noise = ("--duplicates", 0.1, "--late", 0.05, "--dirty", 0.02, "--clock-errors", 0.1)
    options = ("--visitors", VISITORS, "--duration", "3 h", "--partitions", 2, *noise)
    made = run("simulate", "events", *options, "--json", cwd=folder).one_object()
    assert sum(made["plants"].values()) > 0
    return folder


def planted(folder: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The plants by pattern and visitor."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    (file,) = folder.rglob("*plants.ndjson")
    for line in file.read_text(encoding="utf-8").splitlines():
        plant = json.loads(line)
        found[plant["pattern"]][plant["visitor_id"]].append(plant)
    return found


def explain(folder: Path, pattern: str, visitor: str, *more: object) -> dict[str, Any]:
    given = ("patterns", "explain", pattern, "--visitor", visitor, "events", "--partitioned", "--json", *more)
    return run(*given, cwd=folder).one_object()


def test_what_is_planted_fires_and_says_so(traffic: Path) -> None:
    plants = planted(traffic)
    assert len(plants) >= 5
    for pattern in sorted(plants)[:6]:
        visitor, expected = next(iter(plants[pattern].items()))
        said = explain(traffic, pattern, visitor)
        assert said["agrees_with_engine"], pattern
        assert said["fired"], pattern
        names = {row["number"]: row["message_id"] for row in said["timeline"] if row["kind"] == "event"}
        taken = [
            {names[step["event"]] for step in match["steps"]}
            for match in said["matches"]
            if match["match_id"]
        ]
        for plant in expected:
            assert {message for stage in plant["stages"].values() for message in stage} in taken, pattern


def test_of_who_did_nothing_of_the_kind_it_says_why_not(traffic: Path) -> None:
    plants = planted(traffic)
    visitor = next(one for one in plants["exit_intent"] if one not in plants["booking_abandoned"])
    given = ("patterns", "explain", "booking_abandoned", "--visitor", visitor, "events", "--partitioned")
    told = run(*given, cwd=traffic)
    assert told.code == 0, told.err
    assert told.out.startswith(f"✗ booking_abandoned did not fire for {visitor}. ")
    assert "No match began" in told.out or "The furthest that it came" in told.out
    assert "events that no stage wants" in told.out
    assert "\x1b" not in told.out
    whole = run(*given, "--all", cwd=traffic)
    assert len(whole.out) > len(told.out)


def test_the_picture(traffic: Path) -> None:
    visitor = next(iter(planted(traffic)["exit_intent"]))
    given = (
        "patterns",
        "explain",
        "exit_intent",
        "--visitor",
        visitor,
        "events",
        "--partitioned",
        "--picture",
    )
    told = run(*given, "why.svg", cwd=traffic)
    assert told.code == 0, told.err
    assert told.err == "picture written to why.svg\n"
    drawn = run(*given, "-", cwd=traffic).out
    assert drawn == (traffic / "why.svg").read_text(encoding="utf-8")
    assert ET.fromstring(drawn).tag.endswith("svg")


def test_a_pipe_and_another_format_are_read(traffic: Path) -> None:
    made = run("simulate", "segment.ndjson", "--format", "segment", "--visitors", 40, "--json", cwd=traffic)
    assert made.code == 0, made.err
    lines = (traffic / "segment.plants.ndjson").read_text(encoding="utf-8").splitlines()
    plant = json.loads(lines[0])
    data = (traffic / "segment.ndjson").read_bytes()
    given = (
        "patterns",
        "explain",
        plant["pattern"],
        "--visitor",
        plant["visitor_id"],
        "-",
        "--format",
        "segment",
    )
    said = run(*given, "--json", cwd=traffic, stdin=data).one_object()
    assert said["fired"]
    assert said["agrees_with_engine"]


def test_what_is_wrong_is_told(traffic: Path) -> None:
    given = ("events", "--partitioned")
    said = failed("patterns", "explain", "exit_intend", "--visitor", "v", *given, cwd=traffic, code=2)
    assert "did you mean exit_intent" in said
    said = failed("patterns", "explain", "exit_intent", "--visitor", "nobody!", *given, cwd=traffic, code=2)
    assert "no event of visitor 'nobody!'" in said
    assert "there are " in said
    said = failed("patterns", "explain", "exit_intent", *given, cwd=traffic, code=2)
    assert "--visitor" in said
    said = failed("patterns", "explain", "exit_intent", "--visitor", "v", "nowhere", cwd=traffic, code=2)
    assert "nowhere" in said


def test_json_and_the_picture_on_standard_output_are_refused(traffic: Path) -> None:
    given = ("exit_intent", "--visitor", "v", "events", "--partitioned", "--json", "--picture", "-")
    assert "--json and --picture -" in failed("patterns", "explain", *given, cwd=traffic, code=2)


def test_help_has_examples(tmp_path: Path) -> None:
    shown = run("patterns", "explain", "--help", cwd=tmp_path).out
    assert "examples:\n  footfall patterns explain booking_abandoned" in shown
    assert "footfall patterns explain" in run("patterns", "--help", cwd=tmp_path).out
