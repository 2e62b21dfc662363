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
    assert (third["number"], third["event"], third["fields"], third["near"]) == (3, "b", {"x": 1}, ["b"])
    assert [(entry["partial"], entry["what"]) for entry in third["entries"]] == [(1, "waits")]
    assert said["partial_matches"][0]["status"] == "fired"


KINDS = """
from footfall.expression import event, field, property_
from footfall.pattern import Pattern

kinds = (
    Pattern("kinds").begin("a", (event == "a") & (field("path") != "/") & field("event_time").is_not_null())
    .not_followed_by("b", (event == "b") & (field("x") > 1) & (property_("cost", "number") > 0)
        & property_("ok", "boolean").is_null())
    .within("1 min").same("path")
)
"""


def test_the_fields_in_json_are_values_not_words(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine" / "kinds.py").write_text(KINDS)
    records = events_of("a b:2 b:3")
    records[0]["path"], records[1]["path"], records[1]["x"] = "/it's", "/c", 2
    records[0]["properties"], records[1]["properties"] = {"cost": 2.5, "ok": True}, {"cost": 7}
    (tmp_path / "kinds.ndjson").write_text("".join(json.dumps(record) + "\n" for record in records))
    said = json.loads(run("kinds", file="kinds.ndjson", as_json=True)[1])
    events = [row for row in said["timeline"] if row["kind"] == "event"]
    assert [row["fields"] for row in events] == [
        {
            "path": "/it's",
            "event_time": "2025-10-09T08:53:20.000Z",
            "property cost": 2.5,
            "property ok": True,
        },
        {"path": "/c", "x": 2, "property cost": 7, "event_time": "2025-10-09T08:53:21.000Z"},
        {"x": 3, "event_time": "2025-10-09T08:53:22.000Z"},
    ]
    assert events[1]["elsewhere"] == ["b fits 'b', but its path is '/c', not \"/it's\""]
    (match,) = said["matches"]
    assert match["elsewhere"][0] == "1 event that fits 'b' came with another path"
    assert (match["whole_at"], match["let_out"]) == (None, "")


def test_json_and_a_picture_cannot_both_go_to_standard_output(run: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--json and --picture - both write to standard output"):
        run(as_json=True, picture="-")
    code, out, _ = run(as_json=True, picture=str(tmp_path / "why.svg"))
    assert (code, json.loads(out)["fired"]) == (0, True)


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
