"""SVG documents: well-formed, whatever texts stand in them."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from footfall.svg_canvas import LEADING, Canvas, Lines
from footfall.text_width import text_width

SVG = "{http://www.w3.org/2000/svg}"
WORDS = st.text(st.characters(exclude_categories=["C"]), max_size=40)


@given(words=WORDS)
def test_texts_are_escaped(words: str) -> None:
    canvas = Canvas()
    canvas.text(Lines([words], 12, "#000"), 1, 2)
    root = ET.fromstring(canvas.document(words, words, 100, 50))
    (text,) = root.iter(f"{SVG}text")
    assert (text.text or "") == words
    assert (root.findtext(f"{SVG}title") or "") == words
    assert root.attrib["viewBox"] == "0 0 100 50"


@given(words=WORDS, room=st.floats(30, 300))
def test_wrapped_lines_know_their_room(words: str, room: float) -> None:
    lines = Lines.wrapped(words, room, 12, "#000", bold=True)
    assert lines.height == len(lines.lines) * 12 * LEADING
    longest = max((text_width(line, 12, bold=True) for line in lines.lines), default=0)
    assert lines.width == longest <= max(room, text_width("W", 24, bold=True))


def test_text_goes_down_from_its_top() -> None:
    canvas = Canvas()
    end = canvas.text(Lines(["one", "two"], 10, "#000", bold=True), 5, 20, "end")
    assert end == 20 + 2 * 10 * LEADING
    root = ET.fromstring(canvas.document("t", "d", 9, 9))
    found = [
        (each.text, float(each.attrib["y"]), each.attrib["text-anchor"]) for each in root.iter(f"{SVG}text")
    ]
    assert [words for words, _, _ in found] == ["one", "two"]
    assert 20 < found[0][1] < found[1][1] < end
    assert {anchor for _, _, anchor in found} == {"end"}


def test_marks_have_their_attributes() -> None:
    canvas = Canvas()
    canvas.mark("circle", cx=1.25, cy=2.0, stroke_width=1.5, fill="none")
    canvas.path("M 0 0 h 1", "#123456", 2, "3 3")
    circle, line = canvas.marks
    assert circle == '<circle cx="1.2" cy="2" stroke-width="1.5" fill="none"/>'
    assert 'stroke-dasharray="3 3"' in line
    canvas.path("M 0 0 h 1", "#123456")
    assert "dash" not in canvas.marks[-1]
