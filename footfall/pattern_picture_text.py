"""A pattern's picture for a terminal: the same boxes and arrows, drawn with signs.

Thick lines are strict, dashed ones relaxed, double ones lead to any event that fits; red crosses mark what must
not come.
"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from footfall.pattern_picture import (
    Arrow,
    ArrowKind,
    ChoiceBox,
    GroupBox,
    Picture,
    Shape,
    StageBox,
    Step,
)

NARROWEST = 48
"""Columns that a picture takes at least, however narrow the terminal is."""

_WIDEST = 100
_AXIS = 4
_SHAFTS: dict[ArrowKind, str] = {"begin": "│", "strict": "┃", "relaxed": "┆", "any": "║", "end": "│"}
_EDGE, _SOFT, _BAD, _LOOP = "blue", "dim", "red", "cyan"


def picture_text(picture: Picture, width: int) -> list[Text]:
    """The picture as lines of at most `width` columns (and never fewer than `NARROWEST`)."""
    width = min(max(width, NARROWEST), _WIDEST)
    room = width - 2
    lines = [_on_axis("●")]
    before = len(lines) + len(_arrow(picture.steps[0].arrow, room)) if picture.steps else 0
    lines += _steps(picture.steps, room)
    last = len(lines) - 1
    lines += _arrow(picture.end, room)
    lines.append(_on_axis("◎ match", "bold"))
    if not picture.within:
        return lines
    if picture.to_the_end:
        last = len(lines) - 1
    lines = [Text.assemble(_bracket(number, before, last), line) for number, line in enumerate(lines)]
    lines.insert(last + 1, Text(picture.within, "bold"))
    return lines


def _bracket(number: int, first: int, last: int) -> str:
    if not first <= number <= last:
        return "  "
    return "┌ " if number == first else "└ " if number == last else "│ "


def _on_axis(sign: str, style: str = "") -> Text:
    return Text.assemble(" " * _AXIS, (sign, style))


def _steps(steps: Sequence[Step], room: int) -> list[Text]:
    lines: list[Text] = []
    for step in steps:
        lines += _arrow(step.arrow, room)
        lines += _shape(step.shape, room)
    return lines


def _arrow(arrow: Arrow, room: int) -> list[Text]:
    shaft = _SHAFTS[arrow.kind]
    left = room - _AXIS - 4
    lines = [Text.assemble(" " * _AXIS, shaft, "  ", (words, _SOFT)) for words in _folded(arrow.words, left)]
    for guard in arrow.guards:
        first, *more = _folded(f"{guard.words} {guard.name}: {guard.condition}", left - 2)
        lines.append(Text.assemble(" " * _AXIS, ("✗╌╌ ", _BAD), (first, _BAD)))
        lines += [Text.assemble(" " * _AXIS, shaft, "   ", (line, _BAD)) for line in more]
    return [*(lines or [_on_axis(shaft)]), _on_axis("▼")]


def _shape(shape: Shape, room: int) -> list[Text]:
    optional = ["may be left out"] if shape.optional else []
    if isinstance(shape, StageBox):
        inside = _inside(room)
        content = [Text(line, "bold") for line in _folded(shape.name, inside)]
        content += [Text(part) for line in shape.condition.split("\n") for part in _folded(line, inside)]
        content += [Text(line, _SOFT) for line in optional]
        return _boxed(content, shape.loop, room, dashed=shape.optional)
    words = shape.name if isinstance(shape, GroupBox) else shape.words
    heads = [line for text in (words, *optional) if text for line in _folded(text, _inside(room))]
    content = [Text(line, _SOFT) for line in heads]
    if isinstance(shape, GroupBox):
        content += _steps(shape.steps, _inside(room))
    else:
        content += _branches(shape, _inside(room))
    return _boxed(content, shape.loop, room, dashed=shape.optional)


def _branches(choice: ChoiceBox, room: int) -> Iterable[Text]:
    for number, branch in enumerate(choice.branches):
        if number:
            yield _on_axis("·", _SOFT)
        yield from _shape(branch, room)


def _inside(room: int) -> int:
    # Both edges with their blanks, and the arrow of a loop.
    return max(16, room - 8)


def _boxed(content: Sequence[Text], loop: str, room: int, *, dashed: bool) -> list[Text]:
    """Lines in a box, with an arrow back to it on its right; its words stand below it in the box."""
    words = _folded(loop, _inside(room) - 2)
    content = [
        *content,
        *(Text(f"{' ' if number else '↺'} {line}", _LOOP) for number, line in enumerate(words)),
    ]
    width = max([12, *(cell_len(line.plain) for line in content)])
    flat, side = ("╌", "┆") if dashed else ("─", "│")
    top = "╭" + flat * (width + 2) + "╮"
    bottom = "╰" + flat * (width + 2) + "╯"
    lines = [Text(top, _EDGE)]
    for line in content:
        blanks = " " * (width - cell_len(line.plain))
        lines.append(Text.assemble((f"{side} ", _EDGE), line, blanks, (f" {side}", _EDGE)))
    lines.append(Text(bottom, _EDGE))
    if loop:
        for number, line in enumerate(lines[1:-1]):
            last = number == len(lines) - 3
            line.append("◀─╮" if number == 0 else "──╯" if last else "  │", _LOOP)
    return lines


def _folded(text: str, room: int) -> list[str]:
    """The text on lines of at most `room` columns, broken at blanks where they are; nothing of "" is no line."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while cell_len(word) > room:
            if line:
                lines.append(line)
                line = ""
            head = _start(word, room)
            lines.append(head)
            word = word[len(head) :]  # noqa: PLW2901  # what is left of the word is the next one
        longer = f"{line} {word}".strip()
        if cell_len(longer) > room:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line] if line else lines


def _start(word: str, room: int) -> str:
    used = 0
    for number, sign in enumerate(word):
        used += cell_len(sign)
        if used > room:
            return word[: max(1, number)]
    return word
