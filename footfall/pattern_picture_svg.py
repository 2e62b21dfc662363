"""A pattern's picture as SVG: read from top to bottom, with forbidden stages beside the arrows that they guard.

The text is a whole document that can also stand inside a page: it has no ids, scripts or style sheets. Texts wrap
inside their boxes, and boxes grow with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from footfall.pattern_picture import Arrow, ChoiceBox, GroupBox, Guard, Picture, Shape, StageBox, Step
from footfall.text_width import text_width, wrap_text

_INK, _SOFT, _PAPER = "#1f2937", "#6b7280", "#ffffff"
_BLUE, _BLUE_FILL = "#2563eb", "#eff6ff"
_RED, _RED_FILL = "#dc2626", "#fef2f2"
_GROUP, _GROUP_FILL = "#9ca3af", "#f9fafb"
_FONT = "'DejaVu Sans', Verdana, 'Segoe UI', Helvetica, Arial, sans-serif"

_NAME, _TEXT, _LABEL, _TITLE = 14.0, 12.5, 11.5, 20.0
_LEADING = 1.35
_PAD = 14.0
_MARGIN = 28.0
_BOX_ROOM = 300.0
_GUARD_ROOM = 220.0
_LABEL_ROOM = 120.0
_BRACKET_ROOM = 150.0
_NARROWEST_BOX = 150.0
_HEAD = 9.0
_BACK = 34.0
_BYPASS = 30.0
_GUARD_AWAY = 46.0
_BRANCH_GAP = 28.0
_NARROWEST = 460.0


@dataclass(frozen=True, slots=True)
class _Extent:
    """How far something reaches from its axis, and how high it is."""

    left: float
    right: float
    height: float


@dataclass(frozen=True, slots=True)
class _Lines:
    """Wrapped lines of one kind of text."""

    lines: Sequence[str]
    size: float
    bold: bool = False
    colour: str = _INK

    @property
    def width(self) -> float:
        return max((text_width(line, self.size, bold=self.bold) for line in self.lines), default=0.0)

    @property
    def height(self) -> float:
        return len(self.lines) * self.size * _LEADING


def _wrapped(text: str, room: float, size: float, *, bold: bool = False, colour: str = _INK) -> _Lines:
    lines = [part for line in text.split("\n") for part in wrap_text(line, room, size, bold=bold)]
    return _Lines(lines if text else (), size, bold, colour)


@dataclass(slots=True)
class _Canvas:
    """The marks drawn so far, as SVG text."""

    marks: list[str] = field(default_factory=list)

    def mark(self, name: str, **attributes: float | str) -> None:
        said = " ".join(f'{key.replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
        self.marks.append(f"<{name} {said}/>")

    def text(self, lines: _Lines, x: float, top: float, anchor: str = "start") -> float:
        """Write lines from `top` down; where they end is returned."""
        weight = ' font-weight="bold"' if lines.bold else ""
        for number, line in enumerate(lines.lines):
            y = top + (number + 0.5) * lines.size * _LEADING + lines.size * 0.36
            self.marks.append(
                f'<text x="{_value(x)}" y="{_value(y)}" font-size="{_value(lines.size)}" '
                f'text-anchor="{anchor}" fill="{lines.colour}"{weight}>{escape(line, quote=False)}</text>'
            )
        return top + lines.height

    def path(self, shape: str, colour: str, width: float = 1.6, dash: str = "") -> None:
        dashed = {"stroke_dasharray": dash} if dash else {}
        self.mark("path", d=shape, fill="none", stroke=colour, stroke_width=width, **dashed)

    def box(
        self, x: float, y: float, width: float, height: float, *, edge: str, fill: str, dash: str
    ) -> None:
        dashed = {"stroke_dasharray": dash} if dash else {}
        self.mark(
            "rect", x=x, y=y, width=width, height=height, rx=10, fill=fill, stroke=edge, stroke_width=1.6,
            **dashed,
        )  # fmt: skip

    def head(self, x: float, y: float, dx: float, dy: float, colour: str) -> None:
        """An arrow's head with its point at (x, y), looking along the unit step (dx, dy)."""
        back_x, back_y = x - dx * _HEAD, y - dy * _HEAD
        side = _HEAD * 0.5
        points = (
            f"{_value(x)},{_value(y)} {_value(back_x - dy * side)},{_value(back_y + dx * side)} "
            f"{_value(back_x + dy * side)},{_value(back_y - dx * side)}"
        )
        self.mark("polygon", points=points, fill=colour)


def picture_svg(picture: Picture) -> str:
    """The picture as an SVG document."""
    bracket = _wrapped(picture.within, _BRACKET_ROOM, _LABEL, bold=True)
    bracket_room = bracket.width + 34 if picture.within else 0.0
    inside = _steps_extent(picture.steps)
    end = _arrow_extent(picture.end)
    left = max(inside.left, end.left) + bracket_room
    right = max(inside.right, end.right)
    title = _Lines([picture.name], _TITLE, bold=True)
    width = max(left + right, _NARROWEST, title.width)
    description = _wrapped(picture.description, width, _TEXT)
    facts = _wrapped(picture.facts, width, _LABEL, colour=_SOFT)
    axis = _MARGIN + left + (width - left - right) / 2
    canvas = _Canvas()
    y = canvas.text(title, _MARGIN, _MARGIN)
    y = canvas.text(facts, _MARGIN, y + 2)
    y = canvas.text(description, _MARGIN, y + 6) + 22
    first = y + 6 + sum(_arrow_extent(step.arrow).height for step in picture.steps[:1])
    canvas.mark("circle", cx=axis, cy=y, r=6, fill=_INK)
    y = last = _draw_steps(canvas, picture.steps, axis, y + 6)
    y = _draw_arrow(canvas, picture.end, axis, y)
    canvas.mark("circle", cx=axis, cy=y + 11, r=11, fill=_PAPER, stroke=_INK, stroke_width=1.6)
    canvas.mark("circle", cx=axis, cy=y + 11, r=6.5, fill=_INK)
    canvas.text(_Lines(["match"], _NAME, bold=True), axis + 20, y + 11 - _NAME * _LEADING / 2)
    y += 22
    if picture.within:
        x = axis - left + bracket.width + 12
        _draw_bracket(canvas, bracket, x, first, y - 11 if picture.to_the_end else last)
    y += 22
    canvas.path(f"M {_value(_MARGIN)} {_value(y)} h {_value(width)}", "#e5e7eb", 1)
    y += 8
    for note in picture.notes:
        y = canvas.text(_wrapped(note, width, _LABEL, colour=_SOFT), _MARGIN, y)
    return _document(picture, canvas, width + 2 * _MARGIN, y + _MARGIN - 8)


def _document(picture: Picture, canvas: _Canvas, width: float, height: float) -> str:
    size = f"{_value(width)} {_value(height)}"
    said = ". ".join(text for text in (picture.description, *picture.notes) if text)
    frame = (
        f'<rect x="0.5" y="0.5" width="{_value(width - 1)}" height="{_value(height - 1)}" rx="14" '
        f'fill="{_PAPER}" stroke="#e5e7eb"/>'
    )
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{_value(width)}" '
        f'height="{_value(height)}" font-family="{_FONT}" role="img">'
    )
    return "\n".join(
        [
            start,
            f"<title>{escape(picture.name, quote=False)}</title>",
            f"<desc>{escape(said, quote=False)}</desc>",
            frame,
            *canvas.marks,
            "</svg>\n",
        ]
    )


def _draw_bracket(canvas: _Canvas, label: _Lines, x: float, top: float, bottom: float) -> None:
    canvas.path(
        f"M {_value(x + 10)} {_value(top)} h -4 q -6 0 -6 6 V {_value(bottom - 6)} q 0 6 6 6 h 4", _INK
    )
    canvas.text(label, x - 8, (top + bottom) / 2 - label.height / 2, "end")


def _steps_extent(steps: Sequence[Step]) -> _Extent:
    left = right = height = 0.0
    for step in steps:
        for part in (_arrow_extent(step.arrow), _shape_extent(step.shape)):
            left, right = max(left, part.left), max(right, part.right)
            height += part.height
    return _Extent(left, right, height)


def _draw_steps(canvas: _Canvas, steps: Sequence[Step], x: float, y: float) -> float:
    for step in steps:
        y = _draw_arrow(canvas, step.arrow, x, y)
        y = _draw_shape(canvas, step.shape, x, y)
    return y


def _arrow_label(arrow: Arrow) -> _Lines:
    return _wrapped(arrow.words, _LABEL_ROOM, _LABEL, colour=_SOFT)


def _arrow_extent(arrow: Arrow) -> _Extent:
    label = _arrow_label(arrow)
    guards = [_guard_extent(guard) for guard in arrow.guards]
    stacked = sum(guard.height + 12 for guard in guards)
    widest = max((guard.right for guard in guards), default=0.0)
    height = max(46.0, label.height + 22, stacked + 34 if guards else 0.0)
    # The word beside the end stands to the right of it.
    beside = text_width("match", _NAME, bold=True) + 20 if arrow.kind == "end" else 12.0
    return _Extent(label.width + 16, max(_GUARD_AWAY + widest if guards else 0.0, beside), height)


def _draw_arrow(canvas: _Canvas, arrow: Arrow, x: float, y: float) -> float:
    extent = _arrow_extent(arrow)
    end = y + extent.height
    _draw_line(canvas, arrow, x, y, end)
    label = _arrow_label(arrow)
    canvas.text(label, x - 14, (y + end) / 2 - label.height / 2 - 2, "end")
    top = y + 14
    for guard in arrow.guards:
        top = _draw_guard(canvas, guard, x, top) + 12
    return end


def _draw_line(canvas: _Canvas, arrow: Arrow, x: float, y: float, end: float) -> None:
    tip = end - _HEAD + 1
    if arrow.kind == "strict":
        canvas.path(f"M {_value(x)} {_value(y)} V {_value(tip)}", _INK, 3.4)
    elif arrow.kind == "any":
        for side in (-2.5, 2.5):
            canvas.path(f"M {_value(x + side)} {_value(y)} V {_value(tip)}", _INK, 1.4, "5 4")
    else:
        canvas.path(
            f"M {_value(x)} {_value(y)} V {_value(tip)}", _INK, 1.8, "6 5" if arrow.kind == "relaxed" else ""
        )
    canvas.head(x, end, 0, 1, _INK)


def _guard_lines(guard: Guard) -> tuple[_Lines, _Lines, _Lines]:
    return (
        _wrapped(guard.words, _GUARD_ROOM, _LABEL, colour=_RED),
        _wrapped(guard.name, _GUARD_ROOM, _NAME, bold=True, colour=_RED),
        _wrapped(guard.condition, _GUARD_ROOM, _TEXT),
    )


def _guard_extent(guard: Guard) -> _Extent:
    lines = _guard_lines(guard)
    return _Extent(0, max(line.width for line in lines) + 2 * _PAD, sum(line.height for line in lines) + 20)


def _draw_guard(canvas: _Canvas, guard: Guard, x: float, top: float) -> float:
    extent = _guard_extent(guard)
    middle = top + extent.height / 2
    left = x + _GUARD_AWAY
    canvas.path(f"M {_value(left)} {_value(middle)} H {_value(x + 9)}", _RED, 1.6, "4 3")
    canvas.mark("circle", cx=x, cy=middle, r=9, fill=_PAPER, stroke=_RED, stroke_width=1.6)
    canvas.path(
        f"M {_value(x - 4)} {_value(middle - 4)} l 8 8 m 0 -8 l -8 8",
        _RED,
        2.2,
    )
    canvas.box(left, top, extent.right, extent.height, edge=_RED, fill=_RED_FILL, dash="5 4")
    y = top + 10
    for lines in _guard_lines(guard):
        y = canvas.text(lines, left + _PAD, y)
    return top + extent.height


def _shape_extent(shape: Shape) -> _Extent:
    body = _body_extent(shape)
    right = body.right
    height = body.height
    if shape.loop:
        label = _loop_label(shape.loop)
        right += _BACK + label.width
        height = max(height, label.height)
    left = body.left + (_BYPASS if shape.optional else 0.0)
    return _Extent(left, right, height + (24 if shape.optional else 0.0))


def _draw_shape(canvas: _Canvas, shape: Shape, x: float, y: float) -> float:
    whole, body = _shape_extent(shape), _body_extent(shape)
    top, end = y, y + whole.height
    if shape.optional:
        far = x - body.left - _BYPASS + 6
        canvas.path(
            f"M {_value(x)} {_value(y)} V {_value(y + 4)} H {_value(far + 8)} q -8 0 -8 8 "
            f"V {_value(end - 12)} q 0 8 8 8 H {_value(x)}",
            _SOFT,
            1.4,
            "3 3",
        )
        canvas.path(f"M {_value(x)} {_value(y)} v 12", _INK, 1.8)
        canvas.path(f"M {_value(x)} {_value(end)} v -12", _INK, 1.8)
        top, end = y + 12, end - 12
    if isinstance(shape, StageBox):
        _draw_stage(canvas, shape, x, top, end - top)
    elif isinstance(shape, GroupBox):
        _draw_group(canvas, shape, x, top, body)
    else:
        _draw_choice(canvas, shape, x, top, body)
    if shape.loop:
        _draw_loop(canvas, shape.loop, x + body.right, top, end)
    return y + whole.height


def _loop_label(words: str) -> _Lines:
    return _wrapped(words, _LABEL_ROOM + 20, _LABEL, bold=True, colour=_BLUE)


def _draw_loop(canvas: _Canvas, words: str, x: float, top: float, end: float) -> None:
    high, low = top + min(14.0, (end - top) / 4), end - min(14.0, (end - top) / 4)
    canvas.path(
        f"M {_value(x)} {_value(low)} h 10 q 12 0 12 -12 V {_value(high + 12)} q 0 -12 -12 -12 h -3",
        _BLUE,
        1.8,
    )
    canvas.head(x, high, -1, 0, _BLUE)
    label = _loop_label(words)
    canvas.text(label, x + _BACK - 4, (top + end) / 2 - label.height / 2)


def _body_extent(shape: Shape) -> _Extent:
    if isinstance(shape, StageBox):
        lines = _stage_lines(shape)
        width = max(_NARROWEST_BOX, max(line.width for line in lines) + 2 * _PAD)
        return _Extent(width / 2, width / 2, sum(line.height for line in lines) + 20)
    head = _frame_head(shape)
    if isinstance(shape, GroupBox):
        inside = _steps_extent(shape.steps)
        left, right = inside.left + _PAD, inside.right + _PAD
        missing = max(0.0, head.width + 2 * _PAD - left - right) / 2
        return _Extent(left + missing, right + missing, head.height + inside.height + 32)
    extents = [_shape_extent(branch) for branch in shape.branches]
    width = sum(extent.left + extent.right for extent in extents) + _BRANCH_GAP * (len(extents) - 1)
    width = max(width, head.width) + 2 * _PAD
    return _Extent(width / 2, width / 2, max(extent.height for extent in extents) + head.height + 76)


def _stage_lines(box: StageBox) -> list[_Lines]:
    optional = [_Lines(["may be left out"], _LABEL, colour=_SOFT)] if box.optional else []
    return [
        _wrapped(box.name, _BOX_ROOM, _NAME, bold=True),
        _wrapped(box.condition, _BOX_ROOM, _TEXT),
        *optional,
    ]


def _draw_stage(canvas: _Canvas, box: StageBox, x: float, top: float, height: float) -> None:
    extent = _body_extent(box)
    dash = "6 4" if box.optional else ""
    canvas.box(x - extent.left, top, extent.left * 2, height, edge=_BLUE, fill=_BLUE_FILL, dash=dash)
    y = top + (height - extent.height) / 2 + 10
    for lines in _stage_lines(box):
        y = canvas.text(lines, x, y, "middle")


def _frame_head(shape: GroupBox | ChoiceBox) -> _Lines:
    words = shape.name if isinstance(shape, GroupBox) else shape.words
    if shape.optional:
        words = f"{words} (may be left out)".strip()
    return _wrapped(words, _BOX_ROOM, _LABEL, bold=True, colour=_SOFT)


def _draw_frame(canvas: _Canvas, shape: GroupBox | ChoiceBox, x: float, top: float, extent: _Extent) -> float:
    width = extent.left + extent.right
    canvas.box(
        x - extent.left, top, width, extent.height, edge=_GROUP, fill=_GROUP_FILL,
        dash="6 4" if shape.optional else "",
    )  # fmt: skip
    return canvas.text(_frame_head(shape), x - extent.left + _PAD, top + 8)


def _draw_group(canvas: _Canvas, box: GroupBox, x: float, top: float, extent: _Extent) -> None:
    y = _draw_frame(canvas, box, x, top, extent)
    end = _draw_steps(canvas, box.steps, x, y + 4)
    canvas.path(f"M {_value(x)} {_value(end)} V {_value(top + extent.height)}", _INK, 1.8)


def _draw_choice(canvas: _Canvas, box: ChoiceBox, x: float, top: float, extent: _Extent) -> None:
    y = _draw_frame(canvas, box, x, top, extent) + 4
    extents = [_shape_extent(branch) for branch in box.branches]
    used = sum(each.left + each.right for each in extents) + _BRANCH_GAP * (len(extents) - 1)
    left = x - used / 2
    bottom = top + extent.height
    canvas.path(f"M {_value(x)} {_value(y)} v 8", _INK, 1.8)
    canvas.path(f"M {_value(x)} {_value(bottom)} v -14", _INK, 1.8)
    for branch, each in zip(box.branches, extents, strict=True):
        axis = left + each.left
        canvas.path(f"M {_value(x)} {_value(y + 8)} H {_value(axis)} V {_value(y + 22)}", _INK, 1.8)
        canvas.head(axis, y + 30, 0, 1, _INK)
        end = _draw_shape(canvas, branch, axis, y + 30)
        canvas.path(f"M {_value(axis)} {_value(end)} V {_value(bottom - 14)} H {_value(x)}", _INK, 1.8)
        left += each.left + each.right + _BRANCH_GAP


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
