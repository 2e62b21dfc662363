"""An SVG document in the making: texts of known width, lines and shapes, written mark by mark."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from footfall.text_width import text_width, wrap_text

FONT = "'DejaVu Sans', Verdana, 'Segoe UI', Helvetica, Arial, sans-serif"
LEADING = 1.35
"""The height of a line of text, in its font size."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of one kind of text, one below the other."""

    lines: Sequence[str]
    size: float
    colour: str
    bold: bool = False

    @classmethod
    def wrapped(cls, text: str, room: float, size: float, colour: str, *, bold: bool = False) -> "Lines":
        """The text on lines that are no wider than `room`; none if it is empty."""
        return cls(wrap_text(text, room, size, bold=bold) if text else (), size, colour, bold)

    @property
    def width(self) -> float:
        """The most room that they take."""
        return max((text_width(line, self.size, bold=self.bold) for line in self.lines), default=0.0)

    @property
    def height(self) -> float:
        """How high they are."""
        return len(self.lines) * self.size * LEADING


@dataclass(slots=True)
class Canvas:
    """The marks drawn so far, as SVG text."""

    marks: list[str] = field(default_factory=list)

    def mark(self, name: str, **attributes: float | str) -> None:
        """Draw an element; `_` in an attribute's name stands for `-`."""
        said = " ".join(f'{key.replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
        self.marks.append(f"<{name} {said}/>")

    def text(self, lines: Lines, x: float, top: float, anchor: str = "start") -> float:
        """Write lines from `top` down; where they end is returned."""
        weight = ' font-weight="bold"' if lines.bold else ""
        for number, line in enumerate(lines.lines):
            y = top + (number + 0.5) * lines.size * LEADING + lines.size * 0.36
            self.marks.append(
                f'<text x="{_value(x)}" y="{_value(y)}" font-size="{_value(lines.size)}" '
                f'text-anchor="{anchor}" fill="{lines.colour}"{weight}>{escape(line, quote=False)}</text>'
            )
        return top + lines.height

    def path(self, shape: str, colour: str, width: float = 1.6, dash: str = "") -> None:
        """Draw a line along a path."""
        dashed = {"stroke_dasharray": dash} if dash else {}
        self.mark("path", d=shape, fill="none", stroke=colour, stroke_width=width, **dashed)

    def document(self, title: str, said: str, width: float, height: float) -> str:
        """The whole document; it has no ids, scripts or style sheets, so that it can stand inside a page."""
        wide, high = _value(width), _value(height)
        start = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
            f'height="{high}" font-family="{FONT}" role="img">'
        )
        frame = (
            f'<rect x="0.5" y="0.5" width="{_value(width - 1)}" height="{_value(height - 1)}" rx="14" '
            'fill="#ffffff" stroke="#e5e7eb"/>'
        )
        titles = (f"<title>{escape(title, quote=False)}</title>", f"<desc>{escape(said, quote=False)}</desc>")
        return "\n".join([start, *titles, frame, *self.marks, "</svg>\n"])


def _value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
