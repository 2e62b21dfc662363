import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from footfall.content import content_folder
from footfall.envelope import SCHEMA
from footfall.errors import PatternFilesError
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_cases import load_cases
from footfall.pattern_files import load_patterns

RAGE = (
    Pattern("rage").begin("click", event == "click").times(2).not_followed_by("n", event == "x").within("1 s")
)
CLICK = {"t": 0, "event": "click"}


def write(folder: Path, cases: object, pattern: str = "rage", name: str = "rage.json") -> None:
    (folder / name).write_text(json.dumps({"pattern": pattern, "cases": cases}), encoding="utf-8")


def problem_of(folder: Path) -> str:
    with pytest.raises(PatternFilesError) as caught:
        load_cases(folder, [RAGE])
    (problem,) = caught.value.problems
    return problem


def test_every_shipped_pattern_has_cases_for_and_against_it() -> None:
    patterns = load_patterns()
    cases = load_cases(content_folder("patterns") / "cases", patterns)
    of = Counter(case.pattern for case in cases)
    against = Counter(case.pattern for case in cases if not case.matches)
    for pattern in patterns:
        assert against[pattern.name] >= 3
        assert of[pattern.name] - against[pattern.name] >= 3


def test_a_case_gives_a_frame_in_the_envelope(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"t": "1 s", "event": "click", "element": "#buy", "x": 3, "value": 99.5, "service": "iphone"},
        {"t": 500, "event": "page_view", "visitor": "anna"},
        {"t": 600, "event": "click"},
    ]
    write(tmp_path, [{"name": "one", "events": events, "matches": [{"click": [2, 0]}]}])
    (case,) = load_cases(tmp_path, [RAGE])
    assert (case.pattern, case.name, case.matches) == ("rage", "one", ({"click": (2, 0)},))
    frame = case.frame()
    assert frame.schema == SCHEMA
    assert frame["message_id"].to_list() == ["0", "1", "2"]
    assert frame["visitor_id"].to_list() == ["v", "anna", "v"]
    assert frame["value"].to_list() == [99_500_000, None, None]
    assert frame["properties"].to_list() == ['{"service": "iphone"}', "{}", "{}"]
    assert frame["event_time"][0] - frame["event_time"][1] == timedelta(milliseconds=500)
    assert frame["late"].null_count() == 0


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"name": "c", "events": []}, "exactly events, matches, name"),
        ({"name": "c", "events": 3, "matches": []}, "are lists"),
        ({"name": "c", "events": [{"t": 0}], "matches": []}, "event 0: 'event'"),
        ({"name": "c", "events": [{"t": "soon", "event": "a"}], "matches": []}, "no length of time"),
        ({"name": "c", "events": [{**CLICK, "late": True}], "matches": []}, "late is filled in"),
        ({"name": "c", "events": [{**CLICK, "element": 3}], "matches": []}, "element is a text"),
        ({"name": "c", "events": [{**CLICK, "value": "much"}], "matches": []}, "event 0: "),
        ({"name": "c", "events": [{**CLICK, "x": "far"}], "matches": []}, "x is a number"),
        (
            {"name": "c", "events": [CLICK, CLICK], "matches": [{"klick": [0, 1]}]},
            "names the events of click",
        ),
        ({"name": "c", "events": [CLICK, CLICK], "matches": [{"click": [0, 2]}]}, "aren't numbers of events"),
        ({"name": "c", "events": [CLICK, CLICK], "matches": [{"click": [0]}]}, "takes 2 events, not 1"),
        (
            {"name": "c", "events": [CLICK, {**CLICK, "visitor": "b"}], "matches": [{"click": [0, 1]}]},
            "of one visitor",
        ),
    ],
)
def test_a_wrong_case_is_refused(tmp_path: Path, case: dict[str, Any], words: str) -> None:
    write(tmp_path, [case])
    assert words in problem_of(tmp_path)


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [], pattern="unknown")
    assert "named after a pattern that exists" in problem_of(tmp_path)
    write(tmp_path, {})
    assert '{"pattern": name, "cases": [...]}' in problem_of(tmp_path)
    fine = {"name": "c", "events": [], "matches": []}
    write(tmp_path, [fine, fine])
    assert "two cases have the name 'c'" in problem_of(tmp_path)
    (tmp_path / "rage.json").write_text("{", encoding="utf-8")
    assert "it isn't JSON" in problem_of(tmp_path)
    (tmp_path / "rage.json").write_text("[]", encoding="utf-8")
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    with pytest.raises(PatternFilesError) as caught:
        load_cases(tmp_path, [RAGE])
    assert len(caught.value.problems) == 2
