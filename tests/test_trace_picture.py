"""Pictures of explanations: well-formed, nothing over anything else, and all that is drawn is there."""

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest
from explained import SETTINGS, VISITOR, events_of, explained, pattern_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from matching_strategies import Features, patterns
from test_pattern_picture_svg import texts_of

from footfall.errors import PatternError
from footfall.explanation import Explanation
from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.pattern_spec import PatternSpec
from footfall.trace_picture import trace_picture
from footfall.trace_verdict import verdict

SVG = "{http://www.w3.org/2000/svg}"
P = Pattern("p", "Some pattern")
A, B = event == "a", event == "b"
AB = P.begin("a", A).followed_by("b", B)
ANY = (
    P.begin("a", A)
    .followed_by_any("b", B & (field("x") > 1))
    .not_followed_by("n", event == "n")
    .within("1 h")
)


def drawn(explanation: Explanation, *, fold: bool = True) -> ET.Element:
    said = verdict(explanation.pattern.name, VISITOR, explanation.trace)
    return ET.fromstring(trace_picture(explanation, said, fold=fold))


def words_of(root: ET.Element) -> str:
    return " ".join(words for words, _ in texts_of(root))


def check_drawn(root: ET.Element) -> None:
    """Texts lie inside the picture, and clear of each other and of the dots."""
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    texts = texts_of(root)
    for words, area in texts:
        assert area.left >= 0, words
        assert area.top >= 0, words
        assert area.right <= width, words
        assert area.bottom <= height, words
    placed = sorted(texts, key=lambda each: each[1].top)
    for number, (one, area) in enumerate(placed):
        for other, there in placed[number + 1 :]:
            if there.top >= area.bottom:
                break
            assert not area.meets(there), (one, other)
    dots = [
        tuple(float(mark.attrib[name]) for name in ("cx", "cy", "r")) for mark in root.iter(f"{SVG}circle")
    ]
    for x, y, r in dots:
        for words, area in texts:
            if not words.isdigit() or not area.left <= x <= area.right:
                nearest_x, nearest_y = min(max(x, area.left), area.right), min(max(y, area.top), area.bottom)
                assert (x - nearest_x) ** 2 + (y - nearest_y) ** 2 >= (r - 0.5) ** 2, (words, x, y)
    columns = sorted({x for x, _, _ in dots})
    assert all(right - left >= 20 for left, right in pairwise(columns))


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize(
    ("pattern", "stream"),
    [
        (AB, "- a - b -"),
        (AB.skip_past_last(), "a a a b"),
        (ANY, "a b:2 b:1 b:3 n a b:2 n"),
        (ANY, "a - b:1"),
        (P.begin("z", event == "z"), "a b"),
    ],
)  # fmt: skip
def test_nothing_lies_over_anything_else(pattern: Pattern, stream: str, fold: bool) -> None:  # noqa: FBT001
    check_drawn(drawn(explained(pattern, stream), fold=fold))


def test_two_hundred_events_are_readable() -> None:
    stream = " ".join(["a", "b:1", "-", "-", "b:5", "n", "-", "a", "-", "b:3"] * 20)
    root = drawn(explained(ANY, stream), fold=False)
    check_drawn(root)
    assert words_of(root).count("other") == 80


def test_no_more_lines_than_there_is_room_for() -> None:
    root = drawn(explained(ANY, "a " * 40 + "b:2 " * 2 + "n"))
    check_drawn(root)
    columns = {mark.attrib["cx"] for mark in root.iter(f"{SVG}circle")}
    assert 10 < len(columns) <= 26
    assert "more partial matches have no line here" in words_of(root)


@given(
    spec=patterns(Features(partial_tests=False)), words=st.lists(st.sampled_from(["a", "b", "ab", "cd", "-"]))
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])
def test_random_patterns_are_drawn_without_overlap(spec: PatternSpec, words: list[str]) -> None:
    try:
        pattern = pattern_of(spec)
    except PatternError:
        assume(False)
    assume(words)
    records = events_of(" ".join("click" for _ in words), apart=2)
    for record, element in zip(records, words, strict=True):
        record["element"] = element
    check_drawn(drawn(explained(pattern, records)))


def test_everything_is_said() -> None:
    root = drawn(explained(ANY, "- a b:1 b:2 n"))
    said = words_of(root)
    for words in (
        "p, v", "p did not fire for v.", "starts with a: event is 'a'", "followed by any b:", "less than 1 h",
        "not followed by n: event is 'n'", "#1 begins: taken by 'a'", "x = 2", "must not come, and came",
        "1 event that no stage wants", "the input's clock stops", "times are in UTC, 2025-10-09",
    ):  # fmt: skip
        assert words in said
    assert root.findtext(f"{SVG}title") == "p, v"
    assert "did not fire" in str(root.findtext(f"{SVG}desc"))


def test_events_with_another_value_of_the_same_field_are_said() -> None:
    records = events_of("a b b")
    for record, element in zip(records, "xy", strict=False):
        record["element"] = element
    pattern = P.begin("a", A).not_followed_by("b", B).within("1 h").same("element")
    root = drawn(explained(pattern, records))
    check_drawn(root)
    said = words_of(root)
    for words in (
        "b fits 'b', but its element is 'y', not 'x'", "b fits 'b', but it has no element, so it takes no part",
        "1 event that fits 'b' came with another element", "the input ends",
    ):  # fmt: skip
        assert words in said
    assert "clock stops" not in said
    assert "no stage wants" not in said


def test_what_visitors_send_stays_text() -> None:
    records = events_of("a b")
    records[0]["element"] = "<script>\x1b\n&"
    pattern = P.begin("a", A & field("element").is_not_null()).followed_by("b", B)
    explanation = explained(pattern, records)
    said = verdict("p", VISITOR, explanation.trace)
    svg = trace_picture(explanation, said, fold=True)
    check_drawn(ET.fromstring(svg))
    assert "&lt;script>" in svg or "&lt;script&gt;" in svg
    assert "<script" not in svg
    assert not re.search(r"<style|\bid=|<defs", svg)


def test_a_match_is_green_and_an_end_red() -> None:
    def strokes(pattern: Pattern, stream: str) -> set[str]:
        root = drawn(explained(pattern, stream, settings=SETTINGS))
        return {mark.attrib.get("stroke", "") for mark in root.iter(f"{SVG}circle")}

    green, red, amber = "#15803d", "#dc2626", "#b45309"
    assert green in strokes(AB, "a b")
    assert red not in strokes(AB, "a b")
    assert red in strokes(AB.not_next("n", event == "n"), "a b n")
    assert amber in strokes(AB, "a -")


def test_a_split_is_joined_to_its_parent() -> None:
    root = drawn(explained(P.begin("a", A).followed_by_any("b", B), "a b b"))
    lines = [mark.attrib["d"] for mark in root.iter(f"{SVG}path") if " H " in mark.attrib["d"]]
    assert len(lines) == 2
    for one, other in combinations(lines, 2):
        assert one != other
