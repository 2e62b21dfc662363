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
from footfall.pattern_cases import case_file, event_counts, load_case_files, load_cases
from footfall.pattern_files import load_patterns
from footfall.pattern_stage import all_of_any_order, stage
from footfall.taken_events import last

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
        {"t": 600, "event": "click", "bot": True},
    ]
    write(tmp_path, [{"name": "one", "events": events, "matches": [{"click": [2, 0]}]}])
    (case,) = load_cases(tmp_path, [RAGE])
    assert (case.pattern, case.name, case.matches) == ("rage", "one", ({"click": (2, 0)},))
    frame = case.frame()
    assert frame.schema == SCHEMA
    assert frame["message_id"].to_list() == ["0", "1", "2"]
    assert frame["bot"].to_list() == [False, False, True]
    assert frame["visitor_id"].to_list() == ["v", "anna", "v"]
    assert frame["value"].to_list() == [99_500_000, None, None]
    assert frame["properties"].to_list() == ['{"service": "iphone"}', "{}", "{}"]
    assert frame["event_time"][0] - frame["event_time"][1] == timedelta(milliseconds=500)
    assert frame["late"].null_count() == 0


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (
            {"name": "c", "events": []},
            "a case has events, matches, name, and it may have end, outputs, timed_out",
        ),
        ({"name": "c", "events": 3, "matches": []}, "events is a list, not 3"),
        ({"name": "c", "events": [], "matches": [], "outputs": {}}, "outputs is a list"),
        ({"name": "c", "events": [], "matches": [], "more": 1}, "it may have end, outputs, timed_out; found"),
        ({"name": "c", "events": [{**CLICK, "bot": 1}], "matches": []}, "bot is true or false, not 1"),
        ({"name": "c", "events": [], "matches": [], "outputs": [3]}, "outputs are objects"),
        (
            {"name": "c", "events": [], "matches": [], "outputs": [{}]},
            "one for each match; 1 stand beside 0 matches",
        ),
        (
            {"name": "c", "events": [], "matches": [], "outputs": [{"size": 1}]},
            "no output field 'size'; there are none",
        ),
        ({"name": "c", "events": [], "matches": [], "timed_out": []}, "it would with .with_timeouts()"),
        ({"name": "c", "events": [CLICK], "matches": [], "end": "soon"}, "end: 'soon' is no length of time"),
        ({"name": "c", "events": [{**CLICK, "t": 2}], "matches": [], "end": 1}, "has events after its end"),
        ({"name": "c", "events": [{"t": 0}], "matches": []}, "event 0: it has no 'event'"),
        ({"name": "c", "events": ["click"], "matches": []}, "event 0: it has no 't'"),
        ({"name": "c", "events": [{**CLICK, "x": 10**30}], "matches": []}, "don't fit the envelope"),
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
        (
            {"name": "c", "events": [CLICK, CLICK], "matches": [{"click": [True, 0]}]},
            "aren't numbers of events; the case has 0 to 1",
        ),
        ({"name": "c", "events": [CLICK, CLICK], "matches": [{"click": [0]}]}, "takes 2 events, not 1"),
        ({"name": "c", "events": [CLICK, CLICK], "matches": [{}]}, "names the events of click"),
        (
            {"name": "c", "events": [CLICK, {**CLICK, "visitor": "b"}], "matches": [{"click": [0, 1]}]},
            "of one visitor",
        ),
    ],
)
def test_a_wrong_case_is_refused(tmp_path: Path, case: dict[str, Any], words: str) -> None:
    write(tmp_path, [case])
    assert words in problem_of(tmp_path)


def test_outputs_and_partial_matches_that_time_out_are_read(tmp_path: Path) -> None:
    pattern = (
        Pattern("rage")
        .begin("click", event == "click")
        .followed_by("x", event == "x")
        .within("1 s")
        .with_timeouts()
        .output(where=last("click").field("element"), size=last("click").property_("size", "number"))
        .check()
    )
    events = [{**CLICK, "size": 3}, {"t": 1, "event": "x"}, {"t": 2, "event": "click"}]
    case: dict[str, Any] = {"name": "c", "events": events, "matches": [{"click": [0], "x": [1]}]}
    write(tmp_path, [case])
    (bare,) = load_cases(tmp_path, [pattern])
    assert (bare.outputs, bare.timed_out) == (None, None)
    write(tmp_path, [{**case, "outputs": [{"size": 3}], "timed_out": [{"click": [2]}]}])
    (whole,) = load_cases(tmp_path, [pattern])
    assert (whole.outputs, whole.timed_out) == (({"size": 3},), ({"click": (2,)},))
    write(tmp_path, [{**case, "outputs": [{"site": 3}]}])
    with pytest.raises(PatternFilesError, match=r"no output field 'site'; there are where, size"):
        load_cases(tmp_path, [pattern])
    write(tmp_path, [{**case, "timed_out": [{"klick": [2]}]}])
    with pytest.raises(PatternFilesError, match="names the events of click, x"):
        load_cases(tmp_path, [pattern])


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


def test_stages_may_take_as_many_events_as_their_loops_allow() -> None:
    inner = Pattern("group").begin("x", event == "x").times(2).followed_by("y", event == "y").optional()
    pattern = (
        Pattern("p")
        .begin("start")
        .followed_by("some", event == "b")
        .times(2, 4)
        .followed_by("many", event == "c")
        .at_least(3)
        .followed_by("group", inner)
        .times(1, 3)
        .followed_by(stage("this", event == "d") | stage("that", event == "e"))
        .times(2)
        .followed_by(all_of_any_order(stage("one", event == "f"), stage("two", event == "g")))
        .not_followed_by("never", event == "h")
        .within("1 h")
    )
    assert event_counts(pattern.stages) == {
        "start": (1, 1),
        "some": (2, 4),
        "many": (3, None),
        "x": (2, 6),
        "y": (0, 3),
        "this": (0, 2),
        "that": (0, 2),
        "one": (1, 1),
        "two": (1, 1),
    }


def test_a_match_of_a_loop_names_the_events_that_it_took(tmp_path: Path) -> None:
    pattern = (
        Pattern("rage")
        .begin("click", event == "click")
        .times(1, 2)
        .followed_by("maybe", event == "x")
        .optional()
        .check()
    )
    matches: list[dict[str, list[int]]] = [
        {"click": [0]},
        {"click": [0, 1], "maybe": []},
        {"click": [0], "maybe": [2]},
    ]
    events = [CLICK, CLICK, {"t": 1, "event": "x"}]
    write(tmp_path, [{"name": "c", "events": events, "matches": matches}])
    (case,) = load_cases(tmp_path, [pattern])
    assert case.matches == ({"click": (0,)}, {"click": (0, 1)}, {"click": (0,), "maybe": (2,)})
    wrongs: list[dict[str, list[int]]] = [{"click": [0, 1, 0]}, {"click": []}, {"maybe": [2]}]
    for wrong in wrongs:
        write(tmp_path, [{"name": "c", "events": events, "matches": [wrong]}])
        with pytest.raises(PatternFilesError, match=r"takes 1 to 2 events|names the events of click, maybe"):
            load_cases(tmp_path, [pattern])


def test_one_file_is_read_on_its_own(tmp_path: Path) -> None:
    path = case_file(tmp_path, "rage")
    assert path == tmp_path / "cases" / "rage.json"
    path.parent.mkdir()
    write(path.parent, [])
    write(path.parent, {}, name="other.json")
    assert load_case_files([path], [RAGE]) == ()
    with pytest.raises(PatternFilesError, match=r"nothing\.json: it can't be read"):
        load_case_files([tmp_path / "nothing.json"], [RAGE])
