import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.text_width import text_width, wrap_text

TEXTS = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=60)


def test_wide_signs_take_more_room_than_narrow_ones() -> None:
    assert text_width("iii", 10) < text_width("aaa", 10) < text_width("WWW", 10)
    assert text_width("a", 20) == 2 * text_width("a", 10)
    assert text_width("a", 10, bold=True) > text_width("a", 10)


def test_an_accent_makes_a_letter_hardly_wider_and_other_scripts_are_wide() -> None:
    assert text_width("e", 10) < text_width("é", 10) < text_width("m", 10)
    assert text_width("漢", 10) > text_width("W", 10)


def test_lines_break_at_blanks_where_they_can() -> None:
    room = text_width("one two", 10)
    assert wrap_text("one two three", room, 10) == ["one two", "three"]
    assert wrap_text("", room, 10) == [""]


def test_a_long_word_is_broken_anywhere() -> None:
    lines = wrap_text("see /a/very/long/path/without/blanks now", text_width("0123456789", 10), 10)
    assert len(lines) > 3
    assert "".join(lines).replace(" ", "") == "see/a/very/long/path/without/blanksnow"


@given(TEXTS, st.floats(25, 300))
def test_no_line_is_wider_than_its_room(text: str, room: float) -> None:
    for bold in (False, True):
        lines = wrap_text(text, room, 12, bold=bold)
        assert lines
        assert all(text_width(line, 12, bold=bold) <= room + 1e-9 for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("room", [0.0, 1.0])
def test_where_nothing_fits_a_sign_stands_on_each_line(room: float) -> None:
    assert wrap_text("abc", room, 12) == ["a", "b", "c"]
