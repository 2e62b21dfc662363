import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pattern_samples import ABSENCE, LOOP, PLAIN, RICH
from rich.cells import cell_len
from test_pattern_picture_svg import PICTURES

from footfall.pattern_picture import Picture, picture_of
from footfall.pattern_picture_text import NARROWEST, picture_text


def lines_of(picture: Picture, width: int = 80) -> list[str]:
    return [line.plain.rstrip() for line in picture_text(picture, width)]


def test_a_loop_within_a_second() -> None:
    assert lines_of(picture_of(LOOP)) == [
        "      ●",
        "      │  starts with",
        "      ▼",
        "┌ ╭────────────────────────────────────╮",
        "│ │ click                              │◀─╮",
        "│ │ event is 'click'                   │  │",
        "│ │ ↺ 3 times, others may come between │──╯",
        "└ ╰────────────────────────────────────╯",
        "less than 1 s",
        "      │",
        "      ▼",
        "      ◎ match",
    ]


def test_an_absence_at_the_end_is_in_the_bracket() -> None:
    assert lines_of(picture_of(ABSENCE))[3:] == [
        "┌ ╭──────────────╮",
        "│ │ begun        │",
        "│ │ event is 'a' │",
        "│ ╰──────────────╯",
        "│     │  once 10 min have passed",
        "│     ✗╌╌ not followed by ended: event is 'b'",
        "│     ▼",
        "└     ◎ match",
        "less than 10 min",
    ]


def test_without_a_bound_there_is_no_bracket() -> None:
    assert lines_of(picture_of(PLAIN)) == [
        "    ●",
        "    │  starts with",
        "    ▼",
        "╭──────────────╮",
        "│ any event    │",
        "│ any event    │",
        "╰──────────────╯",
        "    ┃  directly followed by",
        "    ▼",
        "╭──────────────╮",
        "│ next one     │",
        "│ event is 'b' │",
        "╰──────────────╯",
        "    │",
        "    ▼",
        "    ◎ match",
    ]


def test_everything_of_the_rich_pattern_is_said() -> None:
    said = "\n".join(lines_of(picture_of(RICH), 100))
    for words in (
        "not preceded for 1 h by quiet: event is 'noise'", "may be left out", "↺ 2 to 5 times", "one of these",
        "event is 'chat'", "basket", "not followed by drop", "each once, in any order", "until event is 'logout'",
        "once the next event has come", "less than 2 h",
    ):  # fmt: skip
        assert words in said


@pytest.mark.parametrize("width", [1, NARROWEST, 60, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(cell_len(line) for line in lines_of(picture_of(RICH), width)) <= max(width, NARROWEST)


@given(PICTURES, st.integers(90, 120))
@settings(max_examples=60, deadline=None)
def test_any_picture_fits(picture: Picture, width: int) -> None:
    lines = [cell_len(line) for line in lines_of(picture, width)]
    assert max(lines) <= width
