import json

import pytest

from footfall.pattern_files import load_patterns, load_rules
from footfall.pattern_list import print_patterns


def test_each_pattern_is_listed_with_its_facts_and_parameters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_patterns(None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    patterns = load_patterns()
    every = [*(pattern.name for pattern in patterns), *(rule.name for rule in load_rules())]
    names = [line.removeprefix("rule ").split()[0] for line in lines if not line.startswith(" ")]
    assert names == [*every, "footfall"]
    (rage,) = (
        number for number, line in enumerate(lines) if line.startswith("rage_click  warning · version ")
    )
    (pattern,) = (pattern for pattern in patterns if pattern.name == "rage_click")
    assert lines[rage + 1 : rage + 3] == [
        f"    {pattern.description}",
        "    owner ux; tags frustration, ux; times = 3; within = 1 s; distance_px = 30",
    ]


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_patterns(None, as_json=True)
    whole = json.loads(capsys.readouterr().out)
    assert set(whole) == {"patterns", "rules"}
    said = {each["name"]: each for each in whole["patterns"]}
    assert list(said) == [pattern.name for pattern in load_patterns()]
    assert said["rage_click"]["parameters"][0]["name"] == "times"
    assert said["service_completed"]["parameters"] == []


def test_rules_are_listed_with_what_they_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_patterns(None, as_json=False)
    shown = capsys.readouterr().out
    assert (
        "\n    on booking_abandoned · settled · due 1 h after the first event · action send_booking_reminder\n"
        in shown
    )
    assert "\n    on customer_inactive · settled · due at once · action send_win_back\n" in shown
    print_patterns(None, as_json=True)
    said = {each["name"]: each for each in json.loads(capsys.readouterr().out)["rules"]}
    assert list(said) == [rule.name for rule in load_rules()]
    win_back = said["win_back"]
    assert (win_back["pattern"], win_back["kind"], win_back["delay"], win_back["action"]) == (
        "customer_inactive",
        "settled",
        "0 ms",
        "send_win_back",
    )
