"""The drawn pictures: well-formed, and every text inside its box and clear of the others."""

import re
from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pattern_samples import ABSENCE, PLAIN, RICH

from footfall.pattern import Pattern
from footfall.pattern_files import load_patterns
from footfall.pattern_picture import (
    Arrow,
    ArrowKind,
    ChoiceBox,
    GroupBox,
    Guard,
    Picture,
    Shape,
    StageBox,
    Step,
    picture_of,
)
from footfall.pattern_picture_svg import picture_svg
from footfall.text_width import text_width

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Area:
    left: float
    top: float
    right: float
    bottom: float

    @property
    def size(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)

    def holds(self, other: "Area") -> bool:
        return (
            self.left <= other.left
            and self.top <= other.top
            and self.right >= other.right
            and self.bottom >= other.bottom
        )

    def meets(self, other: "Area") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def texts_of(root: ET.Element) -> list[tuple[str, Area]]:
    found = []
    for mark in root.iter(f"{SVG}text"):
        words, size = mark.text or "", float(mark.attrib["font-size"])
        width = text_width(words, size, bold=mark.get("font-weight") == "bold")
        x, y = float(mark.attrib["x"]), float(mark.attrib["y"])
        left = {"start": x, "middle": x - width / 2, "end": x - width}[mark.attrib["text-anchor"]]
        found.append((words, Area(left, y - 0.76 * size, left + width, y + 0.24 * size)))
    return found


def boxes_of(root: ET.Element) -> list[Area]:
    areas = []
    for mark in root.iter(f"{SVG}rect"):
        x, y, width, height = (float(mark.attrib[name]) for name in ("x", "y", "width", "height"))
        areas.append(Area(x, y, x + width, y + height))
    return areas


def check_drawn(svg: str) -> None:
    root = ET.fromstring(svg)
    boxes, texts = boxes_of(root), texts_of(root)
    for words, area in texts:
        around = [box for box in boxes if box.meets(area)]
        assert around, words
        assert all(box.holds(area) for box in around), words
    for (one, area), (other, there) in combinations(texts, 2):
        assert not area.meets(there), (one, other)
    for one_box, other_box in combinations(boxes, 2):
        assert not one_box.meets(other_box) or one_box.holds(other_box) or other_box.holds(one_box)


@pytest.mark.parametrize(
    "pattern", [*load_patterns(), RICH, ABSENCE, PLAIN], ids=lambda pattern: str(pattern.name)
)
def test_texts_lie_in_their_boxes(pattern: Pattern) -> None:
    check_drawn(picture_svg(picture_of(pattern)))


def test_everything_is_said() -> None:
    root = ET.fromstring(picture_svg(picture_of(RICH)))
    said = " ".join(words for words, _ in texts_of(root))
    for words in (
        "rich", "Something of everything: <tags> & more", "warning", "quiet", "event is 'noise'", "basket",
        "not preceded for 1 h by", "2 to 5 times,", "one of these", "drop", "each once, in any order", "match",
        "less than 2 h", "starts with", "For each element on its own.", "may be left out",
    ):  # fmt: skip
        assert words in said
    assert root.findtext(f"{SVG}title") == "rich"


def test_a_picture_can_stand_in_a_page_beside_others() -> None:
    svg = picture_svg(picture_of(RICH))
    assert not re.search(r"<style|<script|\bid=|<defs", svg)


def test_each_kind_of_arrow_looks_its_own_way() -> None:
    drawn = {}
    kinds: tuple[ArrowKind, ...] = ("strict", "relaxed", "any")
    for kind in kinds:
        step = Step(Arrow(kind, "word"), StageBox("a", "b"))
        picture = Picture("p", "", "", (step,), Arrow("end"), "", ())
        root = ET.fromstring(picture_svg(picture))
        paths = [mark for mark in root.iter(f"{SVG}path") if mark.get("stroke") != "#e5e7eb"]
        drawn[kind] = [(mark.get("stroke-width"), mark.get("stroke-dasharray")) for mark in paths[:-1]]
    assert drawn == {"strict": [("3.4", None)], "relaxed": [("1.8", "6 5")], "any": [("1.4", "5 4")] * 2}


def test_what_is_forbidden_is_red_and_a_loop_has_an_arrow_back() -> None:
    red = 'stroke="#dc2626"'
    assert red in picture_svg(picture_of(ABSENCE))
    assert red not in picture_svg(picture_of(PLAIN))
    (rage,) = (pattern for pattern in load_patterns() if pattern.name == "rage_click")
    loop = re.compile(r'<path d="[^"]*q[^"]*" fill="none" stroke="#2563eb"')
    assert loop.search(picture_svg(picture_of(rage)))
    assert not loop.search(picture_svg(picture_of(PLAIN)))


WORDS = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=70)
MAYBE = st.one_of(st.just(""), WORDS)
GUARDS = st.lists(st.builds(Guard, WORDS, WORDS, WORDS), max_size=2).map(tuple)
ARROWS = st.builds(Arrow, st.sampled_from(["begin", "strict", "relaxed", "any"]), MAYBE, GUARDS)
STAGES = st.builds(StageBox, WORDS, WORDS, MAYBE, st.booleans())


def _larger(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    steps = st.lists(st.builds(Step, ARROWS, inner), min_size=1, max_size=3).map(tuple)
    branches = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(GroupBox, MAYBE, steps, MAYBE, st.booleans()),
        st.builds(ChoiceBox, WORDS, branches, MAYBE, st.booleans()),
    )


SHAPES: st.SearchStrategy[Shape] = st.recursive(STAGES, _larger, max_leaves=5)
PICTURES = st.builds(
    Picture,
    st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,63}", fullmatch=True),
    st.just("info"),
    MAYBE,
    st.lists(st.builds(Step, ARROWS, SHAPES), min_size=1, max_size=4).map(tuple),
    st.builds(Arrow, st.just("end"), MAYBE, GUARDS),
    MAYBE,
    st.lists(WORDS, max_size=2).map(tuple),
    st.booleans(),
)


@given(PICTURES)
@settings(max_examples=60, deadline=None)
def test_any_picture_is_drawn_without_overlaps(picture: Picture) -> None:
    check_drawn(picture_svg(picture))
