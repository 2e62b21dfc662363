import json

import pytest

from footfall.pattern_files import load_patterns
from footfall.pattern_list import print_patterns


def test_each_pattern_is_listed_with_its_facts_and_parameters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    print_patterns(None, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    patterns = load_patterns()
    names = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert names == [*(pattern.name for pattern in patterns), "footfall"]
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
    said = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert list(said) == [pattern.name for pattern in load_patterns()]
    assert said["rage_click"]["parameters"][0]["name"] == "times"
    assert said["service_completed"]["parameters"] == []
