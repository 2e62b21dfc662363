"""Explanations on the terminal."""

import io

import pytest
from explained import VISITOR, events_of, explained
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from footfall.explanation import Explanation
from footfall.explanation_text import print_explanation
from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.trace_verdict import verdict

P = Pattern("p", "A and then B")
A, B = event == "a", event == "b"
AB = P.begin("a", A).followed_by("b", B & (field("x") > 1)).within("1 h")


def text(explanation: Explanation, *, width: int = 100, show_all: bool = False) -> str:
    out = io.StringIO()
    said = verdict(explanation.pattern.name, VISITOR, explanation.trace)
    print_explanation(explanation, said, Console(file=out, width=width), show_all=show_all)
    return out.getvalue()


def test_first_the_answer_then_event_by_event() -> None:
    told = text(explained(AB, "- a - b:1 b:2"))
    lines = told.splitlines()
    assert lines[0].startswith("✓ p fired once for v. Match 1 came out")
    titles = [line.split("  ")[0] for line in lines if line and not line.startswith(" ")]
    assert titles[1:] == ["pattern", "matches", "events", "partial matches"]
    assert "followed by 'b' (event is 'b' and x is greater than 1)" in told
    assert "… 1 event that no stage wants (other)" in told
    assert "▶ #1 begins: taken by 'a'" in told
    assert "not taken by 'b': \"x is greater than 1\" is not true: x = 1" in told
    assert "  5  08:53:24.000  b  x = 2" in told
    assert "#1  'a' 2; 'b' 5: match 1" in told
    assert explained(AB, "a b:2").trace.matches[0].match_id in text(explained(AB, "a b:2"))


def test_a_pattern_that_did_not_fire() -> None:
    told = text(explained(AB, "a b:1"))
    assert told.startswith("✗ p did not fire for v. The furthest that it came is #1:")
    assert "matches\n" not in told.replace("partial matches", "")
    assert "the input's clock stops" in told
    assert "still open" in told


def test_all_can_be_shown() -> None:
    explanation = explained(P.begin("a", A).followed_by_any("b", B), "- " * 5 + "a " + "b " * 20)
    folded, whole = text(explanation), text(explanation, show_all=True)
    assert "… 5 more (--all shows them)" in folded
    assert "--all" not in whole
    assert "no stage wants" not in whole
    assert whole.count("  other\n") == 5


def test_events_that_patterns_do_not_see_are_told() -> None:
    records = events_of("a - b")
    late = {**records[1], "message_id": "m9", "event": "a"}
    assert "∅ patterns don't see it: late:" in text(explained(AB, [*records, late]))


def abandoned() -> Explanation:
    records = events_of("a b b")
    for record, element in zip(records, "xy", strict=False):
        record["element"] = element
    return explained(P.begin("a", A).not_followed_by("b", B).within("1 h").same("element"), records)


def test_events_with_another_value_of_the_same_field_are_told() -> None:
    told = text(abandoned(), width=150)
    assert "∅ b fits 'b', but its element is 'y', not 'x'" in told
    assert "∅ b fits 'b', but it has no element, so it takes no part" in told
    assert "patterns don't see it" not in told
    (line,) = (line for line in told.splitlines() if "(of #1, by the input's end alone" in line)
    assert "1 event that fits 'b' came with another element" in line
    assert "no stage wants" not in told


def test_where_the_inputs_end_releases_a_match_its_clock_is_not_told() -> None:
    told = text(abandoned())
    assert "the input ends\n" in told
    assert "still open when the input ends" in told
    assert "clock stops" not in told


@pytest.mark.parametrize("width", [40, 60, 120])
def test_lines_are_no_longer_than_the_terminal_is_wide(width: int) -> None:
    told = text(explained(AB, "- a - b:1 b:2 - a"), width=width, show_all=True)
    assert max(map(len, told.splitlines())) <= width


@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12).filter(
        str.strip
    )
)
@settings(max_examples=30)
def test_what_visitors_send_does_not_steer_the_terminal(name: str) -> None:
    records = events_of("a b:2")
    records[0]["element"] = f"\x1b[2J[bold]{name}"
    pattern = P.begin("a", A & field("element").is_not_null()).followed_by("b", B)
    told = text(explained(pattern, records))
    assert "\x1b" not in told
    assert "[bold]" in told


def test_a_disagreement_with_the_engine_is_loud() -> None:
    explanation = explained(AB, "a b:2")
    wrong = Explanation(explanation.pattern, explanation.visitor, explanation.trace, ("one says so",))
    assert text(wrong).startswith("! What follows is not what the engine finds")
    assert "one says so" in " ".join(text(wrong).split())
