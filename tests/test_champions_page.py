"""What the page about scores says of champions and challengers is there."""

import re
from pathlib import Path

import pytest

from footfall.cli import main
from footfall.messages import CONTROL
from footfall.run_events import LEVELS
from footfall.scoring.champion_requests import FOLDER
from footfall.scoring.learners import learner_names
from footfall.scoring.paired_bootstrap import DRAWS
from footfall.scoring.quality_over_time import WINDOW
from footfall.settings import SETTING_NAMES, Settings
from footfall.tables import TABLE_BY_NAME

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
SECTION = re.split(r"^## ", PAGE.partition("## Champions and challengers\n")[2], flags=re.MULTILINE)[0]


def test_commands_are_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {*re.findall(r"footfall models (\w+)", SECTION)}
    assert commands == {"list", "show", "compare", "promote", "rollback", "export"}
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(["models", command, "--help"])
        assert ended.value.code == 0
        told = capsys.readouterr().out
        for flag in ("--json", *(("--wait",) if command in {"promote", "rollback"} else ())):
            assert flag in told, command
    assert "--wait` (60 s)" in SECTION
    assert "default: 60" in " ".join(_help("promote", capsys).split())


def _help(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main(["models", command, "--help"])
    return capsys.readouterr().out


def test_names_and_numbers_are_those_that_there_are() -> None:
    assert {"predictions", "outcomes", "model_quality", "controls"} <= set(TABLE_BY_NAME)
    assert {"tick", "pattern_check", "scores", "snapshot_interval"} <= set(SETTING_NAMES)
    assert f"`pattern_check` ({Settings().pattern_check // 1000} s)" in SECTION
    assert f"(`tick`, {Settings().tick // 60_000} min of event time)" in SECTION
    assert f"last {WINDOW:,} labels" in SECTION
    assert f"{DRAWS:,} draws" in SECTION
    assert f"the folder `{FOLDER}`" in SECTION
    assert set(re.findall(r"event `(\w+)`", SECTION)) <= set(LEVELS)
    assert "champions" in {each.name for each in CONTROL.fields}
    named = set(re.findall(r"\b(?:binned|scaled|adaptive|bagged)_[a-z]+", SECTION))
    assert named <= {*learner_names("probability"), *learner_names("value")}
    assert len(named) == 4
