"""`footfall patterns explain` in process: what it prints and writes, and what it refuses."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from explained import VISITOR, events_of

from footfall import pattern_explain
from footfall.errors import SourceError, UsageError
from footfall.explanation import Explainer, Explanation
from footfall.pattern_explain import explain_pattern
from footfall.settings import Settings

PATTERNS = """
from footfall.expression import event, field
from footfall.pattern import Pattern

ab = Pattern("ab").begin("a", event == "a").followed_by("b", (event == "b") & (field("x") > 1)).within("1 min")
"""


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "ab.py").write_text(PATTERNS)
    records = [json.dumps(record) for record in events_of("- a b:1 b:2 -")]
    (tmp_path / "in.ndjson").write_text("\n".join(records) + "\n")
    settings = Settings(store="none", patterns=folder, lateness=0)

    def call(
        name: str = "ab", visitor: str = VISITOR, file: str = "in.ndjson", **how: Any
    ) -> tuple[int, str, str]:
        chosen = {"picture": None, "as_json": False, "show_all": False, **how}
        chosen_settings = replace(settings, **chosen.pop("settings", {}))
        code = explain_pattern(chosen_settings, name, visitor, [str(tmp_path / file)], **chosen)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_text(run: Any) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.startswith("✓ ab fired once for v.")


def test_json(run: Any) -> None:
    code, out, _ = run(as_json=True)
    said = json.loads(out)
    assert code == 0
    assert (said["pattern"], said["visitor"], said["records"], said["fired"]) == ("ab", "v", 5, True)
    assert said["agrees_with_engine"]
    assert said["clock_stops"] == "2025-10-09T08:53:23.999Z"
    (match,) = said["matches"]
    assert match["steps"] == [{"stage": "a", "event": 2}, {"stage": "b", "event": 4}]
    assert len(match["match_id"]) == 32
    assert [row["kind"] for row in said["timeline"]] == ["event"] * 5 + ["input_ends"]
    third = said["timeline"][2]
    assert (third["number"], third["event"], third["fields"], third["near"]) == (3, "b", {"x": "1"}, ["b"])
    assert [(entry["partial"], entry["what"]) for entry in third["entries"]] == [(1, "waits")]
    assert said["partial_matches"][0]["status"] == "fired"


def test_a_picture(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "why.svg"
    code, out, err = run(picture=str(path))
    assert (code, err) == (0, f"picture written to {path}\n")
    assert out.startswith("✓ ab fired")
    assert ET.fromstring(path.read_text(encoding="utf-8")).tag.endswith("svg")
    _, out, err = run(picture="-")
    assert (out, err) == (path.read_text(encoding="utf-8"), "")
    with pytest.raises(UsageError, match="the picture can't be written to"):
        run(picture=str(tmp_path / "nowhere" / "why.svg"))


def test_what_there_is_not_is_told(run: Any) -> None:
    with pytest.raises(UsageError, match="there is no pattern 'abb': did you mean ab"):
        run("abb")
    with pytest.raises(UsageError, match=r"no event of visitor 'V' .* did you mean v\?"):
        run(visitor="V")
    with pytest.raises((UsageError, SourceError), match=r"nothing\.ndjson"):
        run(file="nothing.ndjson")


def test_the_settings_count(run: Any) -> None:
    names = {"settings": {"event_names": None, "lateness": 60_000}}
    assert run(**names)[1].startswith("✓")
    assert "clock stops" in run(**names)[1]


def test_a_disagreement_fails(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Explainer):
        def explain(self, visitor: Any) -> Explanation:
            return replace(super().explain(visitor), disagreement=("the trace alone finds one",))

    monkeypatch.setattr(pattern_explain, "Explainer", Wrong)
    code, out, err = run()
    assert code == 1
    assert "is not what the engine finds" in out
    assert err == "footfall: the explanation isn't what the engine finds: the trace alone finds one\n"
    code, out, _ = run(as_json=True)
    assert (code, json.loads(out)["agrees_with_engine"]) == (1, False)
