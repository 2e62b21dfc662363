import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from pattern_samples import ABSENCE, PLAIN, RICH
from rich.console import Console

from footfall.errors import UsageError
from footfall.pattern_files import load_patterns, load_rules
from footfall.pattern_picture import picture_of
from footfall.pattern_picture_svg import picture_svg
from footfall.pattern_show import pattern_named, print_pattern, rule_named, show_pattern

(RAGE,) = (pattern for pattern in load_patterns() if pattern.name == "rage_click")


def test_a_pattern_is_found_by_name() -> None:
    assert pattern_named([PLAIN, RICH], "rich") is RICH


def test_names_like_a_wrong_one_are_told() -> None:
    with pytest.raises(UsageError, match=r"no pattern 'absense': did you mean absence\?"):
        pattern_named([ABSENCE, PLAIN, RICH], "absense")
    with pytest.raises(UsageError, match="no pattern 'xyz': there are plain, rich"):
        pattern_named([PLAIN, RICH], "xyz")


def test_a_pattern_is_drawn_and_said_in_words() -> None:
    out = io.StringIO()
    print_pattern(RICH, Console(file=out, width=80, highlight=False))
    said = out.getvalue()
    assert f"rich  warning · version {RICH.version}" in said
    assert "owner ux; tags a, b" in said
    assert "◎ match" in said
    assert max(len(line) for line in said.splitlines()) <= 80
    words = said.split("in words\n")[1]
    assert [line.strip() for line in RICH.describe().splitlines()[-2:]] == [
        line.strip() for line in words.splitlines()[-2:]
    ]


def test_parameters_are_shown_with_where_they_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    show_pattern(None, "rage_click", svg=None, as_json=False)
    shown = capsys.readouterr().out.split("parameters\n")[1]
    assert shown.splitlines()[0].startswith("  times = 3  clicks; PostHog's default")
    assert "within = 1 s" in shown
    show_pattern(None, "service_completed", svg=None, as_json=False)
    assert "parameters" not in capsys.readouterr().out


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_pattern(None, "rage_click", svg=None, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["version"] == RAGE.version
    assert said["stages"] == RAGE.to_dict()["stages"]
    assert said["words"][0] == f"rage_click: {RAGE.description}"
    assert [(each["name"], each["default"]) for each in said["parameters"]] == [
        ("times", 3),
        ("within", "1 s"),
        ("distance_px", 30),
    ]
    show_pattern(None, "service_completed", svg=None, as_json=True)
    assert json.loads(capsys.readouterr().out)["parameters"] == []


def test_the_picture_goes_to_a_file_or_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = picture_svg(picture_of(RAGE))
    show_pattern(None, "rage_click", svg=str(tmp_path / "rage.svg"), as_json=False)
    assert (tmp_path / "rage.svg").read_text(encoding="utf-8") == drawn
    shown = capsys.readouterr()
    assert "3 times" in shown.out
    assert "rage.svg" in shown.err
    show_pattern(None, "rage_click", svg="-", as_json=False)
    assert capsys.readouterr().out == drawn


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't be written to .*rage\.svg: No such file"):
        show_pattern(None, "rage_click", svg=str(tmp_path / "nowhere" / "rage.svg"), as_json=False)


def test_a_rule_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    show_pattern(None, "booking_reminder", svg=None, as_json=False)
    shown = capsys.readouterr().out
    assert shown.startswith("booking_reminder  trigger rule on booking_abandoned · version ")
    assert "  is withdrawn if, by then, event is 'booking_completed'\n" in shown
    show_pattern(None, "booking_reminder", svg=None, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["pattern"], said["kind"], said["delay"]) == ("booking_abandoned", "settled", "1 h")
    assert "is due 1 h after the first event, but never before the match is settled" in said["words"]
    with pytest.raises(
        UsageError, match="a trigger rule, which has no picture; its pattern has: booking_abandoned"
    ):
        show_pattern(None, "booking_reminder", svg="-", as_json=False)
    with pytest.raises(
        UsageError, match=r"no pattern or rule 'booking_remind': did you mean booking_reminder"
    ):
        show_pattern(None, "booking_remind", svg=None, as_json=False)


def test_a_pattern_names_the_rules_that_act_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_pattern(None, "booking_abandoned", svg=None, as_json=False)
    assert capsys.readouterr().out.endswith("trigger rules  booking_reminder\n")
    show_pattern(None, "booking_abandoned", svg=None, as_json=True)
    assert json.loads(capsys.readouterr().out)["rules"] == ["booking_reminder"]
    assert rule_named(load_rules(), "booking_reminder", [PLAIN]) is not None
    with pytest.raises(
        UsageError, match="booking_reminder is a trigger rule; name its pattern: booking_abandoned"
    ):
        pattern_named(load_patterns(), "booking_reminder", load_rules())
    same = replace(PLAIN, name="booking_reminder")
    assert rule_named(load_rules(), "booking_reminder", [same]) is None, "the pattern is the one meant"
