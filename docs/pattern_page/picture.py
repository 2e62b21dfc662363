"""An example's picture: the stream on top, and below it a lane for each match, as an SVG document.

It has a ground of its own and follows the viewer's light or dark theme, so that it can be read on any page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from docs.pattern_page.answers import Found, forbidden_rows, found_in, in_words, seconds, times_of
from docs.pattern_page.example import Example
from docs.pattern_page.timeline import Timeline, timeline
from footfall.text_width import text_width

WIDTH = 720.0
_PAD = 20.0
_GUTTER = 100.0
_RIGHT = WIDTH - _PAD
_EVENT, _PILL, _SMALL = 12.5, 11.5, 11.0
_CHIP_HEIGHT, _PILL_HEIGHT = 28.0, 24.0
_ROW, _LANE = 20.0, 42.0
_FONT = "'DejaVu Sans', Verdana, 'Segoe UI', Helvetica, Arial, sans-serif"
_COLOURS = ("#2563eb", "#b45309", "#15803d", "#9333ea", "#be185d")

_STYLE = """
.ground { fill: #ffffff; stroke: #d8dee4 } .ink { fill: #1f2328 } .soft { fill: #59636e } .red { fill: #cf222e }
.pill { fill: #ffffff } .chip { fill: #f6f8fa; stroke: #8c959f } .no { fill: #ffebe9; stroke: #cf222e }
.idle { opacity: .5 } .axis { stroke: #8c959f } .guide { stroke: #d8dee4 } .way { stroke: #8c959f }
.window { fill: #ddf4ff } .windowend { stroke: #54aeff } .quiet { fill: #ffebe9 } .quietend { stroke: #ff8182 }
.out { fill: #ffffff; stroke: #59636e }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; stroke: #3d444d } .ink { fill: #f0f6fc } .soft { fill: #9198a1 } .red { fill: #ff7b72 }
.chip { fill: #212830; stroke: #656c76 } .no { fill: #3c1618; stroke: #f85149 }
.axis { stroke: #656c76 } .guide { stroke: #2a313c } .way { stroke: #656c76 }
.window { fill: #12263f } .windowend { stroke: #316dca } .quiet { fill: #2d1214 } .quietend { stroke: #b62324 }
.out { fill: #0d1117; stroke: #9198a1 }
}
""".strip()


def picture(example: Example) -> str:
    """The picture of an example and its matches, as a whole SVG document.

    Raises:
        ValueError: the stream is too long for a picture.
    """
    return _Picture(example, found_in(example)).document()


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of time that a lane shows behind its match, in ms."""

    start: int
    end: int
    kind: str
    bound: str
    words: str


class _Picture:
    def __init__(self, example: Example, found: Sequence[Found]) -> None:
        self._example, self._found = example, found
        self._times = times_of(example.events)
        self._forbidden = forbidden_rows(example.pattern, example.events)
        names = example.pattern.stage_names()
        self._colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}
        self._marks: list[str] = []
        self._line = self._timeline()

    def document(self) -> str:
        """Draw from top to bottom."""
        guides = len(self._marks)
        top = _PAD
        self._chips(top)
        top += _CHIP_HEIGHT + 6
        for name in self._columns():
            self._column(name, top)
            top += _ROW
        self._axis(top + 10)
        top += 42
        first_lane = top
        for number, found in enumerate(self._found, 1):
            self._lane(found, number, top)
            top += _LANE
        if not self._found:
            self._text("no match", _PAD, top + 18, "soft", _EVENT, extra=' font-style="italic"')
            top += 30
        self._marks[guides:guides] = list(self._guides(first_lane, top - 12)) if self._found else []
        return self._whole(top + _PAD - 12)

    def _timeline(self) -> Timeline:
        widths = []
        for row, name in enumerate(self._example.events["event"]):
            texts = [text_width(name, _EVENT) + 22]
            texts += [text_width(value, _SMALL) + 8 for value in self._values(row)]
            texts += [_pill_width(stage) for one in self._found for taken, stage in one.taken if taken == row]
            widths.append(max(texts))
        spans = [span for found in self._found for span in self._spans(found)]
        latest = max(
            [*self._times, *(found.settled_ms for found in self._found), *(span.end for span in spans)]
        )
        return timeline(self._times, widths, latest, left=_PAD + _GUTTER, right=_RIGHT)

    def _columns(self) -> list[str]:
        known = ("visitor_id", "event", "event_time")
        return [name for name in self._example.events.columns if name not in known]

    def _values(self, row: int) -> list[str]:
        return [_value(self._example.events[name][row]) for name in self._columns()]

    def _spans(self, found: Found) -> Iterator[_Span]:
        pattern = self._example.pattern
        start = self._times[found.taken[0][0]]
        if pattern.within_ms is not None:
            yield _Span(start, start + pattern.within_ms, "window", "end", f"< {seconds(pattern.within_ms)}")
        for stage in pattern.stages:
            if stage.absent_ms is not None:
                yield _Span(start - stage.absent_ms, start, "quiet", "start", seconds(stage.absent_ms))
        last = pattern.stages[-1]
        if last.forbids and last.step_within_ms is not None:
            latest = self._times[found.taken[-1][0]]
            yield _Span(latest, latest + last.step_within_ms, "quiet", "end", seconds(last.step_within_ms))

    def _chips(self, top: float) -> None:
        used = {row for found in self._found for row, _ in found.taken}
        self._text("events", _PAD, top + 18.5, "soft", _SMALL)
        for row, name in enumerate(self._example.events["event"]):
            width = text_width(name, _EVENT) + 18
            x = self._line.places[row]
            kind = "no" if row in self._forbidden else "chip"
            idle = "" if row in used or row in self._forbidden else ' class="idle"'
            self._marks.append(f"<g{idle}>")
            self._box(x - width / 2, top, width, _CHIP_HEIGHT, 8, kind)
            self._text(name, x, top + 18.5, "red" if kind == "no" else "ink", _EVENT, anchor="middle")
            self._marks.append("</g>")

    def _column(self, name: str, top: float) -> None:
        self._text(name, _PAD, top + 13, "soft", _SMALL)
        for row, x in enumerate(self._line.places):
            value = self._example.events[name][row]
            self._text(
                _value(value), x, top + 13, "soft" if value is None else "ink", _SMALL, anchor="middle"
            )

    def _axis(self, y: float) -> None:
        places = self._line.places
        self._text("time", _PAD, y + 4, "soft", _SMALL)
        end = _number(self._line.right)
        self._marks.append(
            f'<path d="M {_number(places[0])} {_number(y)} H {end}" class="axis" fill="none"/>'
        )
        self._marks.append(
            f'<path d="M {end} {_number(y - 3.5)} l 5 3.5 l -5 3.5" class="axis" fill="none"/>'
        )
        for at in sorted(set(self._times)):
            same = [x for x, time in zip(places, self._times, strict=True) if time == at]
            for x in same:
                self._marks.append(f'<circle cx="{_number(x)}" cy="{_number(y)}" r="3" class="soft"/>')
            middle = (same[0] + same[-1]) / 2
            self._text(seconds(at), middle, y + 18, "soft", _SMALL, anchor="middle")

    def _guides(self, top: float, bottom: float) -> Iterator[str]:
        for x in self._line.places:
            yield (
                f'<path d="M {_number(x)} {_number(top - 6)} V {_number(bottom)}" class="guide" fill="none" '
                'stroke-dasharray="1 5" stroke-linecap="round"/>'
            )

    def _lane(self, found: Found, number: int, top: float) -> None:
        middle = top + _LANE / 2 - 6
        self._text("timed out" if found.timed_out else f"match {number}", _PAD, middle + 4, "soft", _SMALL)
        for span in self._spans(found):
            self._window(span, middle)
        first, last = (
            self._line.place(self._times[row], row) for row in (found.taken[0][0], found.taken[-1][0])
        )
        self._way(first, last, middle)
        if found.settled_ms > self._times[found.taken[-1][0]]:
            self._settled(found, last, middle)
        for row, stage in found.taken:
            self._pill(stage, self._line.places[row], middle, hollow=found.timed_out)

    def _window(self, span: _Span, middle: float) -> None:
        start, end = (max(self._line.left, self._line.place(at)) for at in (span.start, span.end))
        top, height = middle - 17, 34.0
        self._box(start, top, end - start, height, 4, span.kind)
        edge = end if span.bound == "end" else start
        if edge > self._line.left:
            self._marks.append(
                f'<path d="M {_number(edge)} {_number(top)} v {_number(height)}" class="{span.kind}end" '
                'fill="none" stroke-width="1.5"/>'
            )
            inner = edge - 7 if span.bound == "end" else edge + 7
            self._text(span.words, inner, top + 11, "soft", 10.0, anchor=span.bound)

    def _way(self, start: float, end: float, y: float, *, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._marks.append(
            f'<path d="M {_number(start)} {_number(y)} H {_number(end)}" class="way" fill="none" '
            f'stroke-width="2"{dash}/>'
        )

    def _settled(self, found: Found, last: float, y: float) -> None:
        x = self._line.place(found.settled_ms)
        self._way(last, x, y, dashed=True)
        self._marks.append(
            f'<circle cx="{_number(x)}" cy="{_number(y)}" r="5.5" class="out" stroke-width="2"/>'
        )

    def _pill(self, stage: str, x: float, middle: float, *, hollow: bool) -> None:
        width = _pill_width(stage)
        colour = self._colours[stage]
        left, top = x - width / 2, middle - _PILL_HEIGHT / 2
        size = f'x="{_number(left)}" y="{_number(top)}" width="{_number(width)}" height="{_number(_PILL_HEIGHT)}"'
        if hollow:
            self._marks.append(
                f'<rect {size} rx="12" class="out" style="stroke: {colour}" stroke-width="2"/>'
            )
        else:
            self._marks.append(f'<rect {size} rx="12" fill="{colour}"/>')
        self._text(stage, x, middle + 4, "ink" if hollow else "pill", _PILL, anchor="middle", bold=True)

    def _box(self, x: float, y: float, width: float, height: float, round_: float, kind: str) -> None:
        self._marks.append(
            f'<rect x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}" '
            f'rx="{_number(round_)}" class="{kind}"/>'
        )

    def _text(
        self, words: str, x: float, y: float, kind: str, size: float, *, anchor: str = "start", bold: bool = False,
        extra: str = "",
    ) -> None:  # fmt: skip
        placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
        weight = ' font-weight="bold"' if bold else ""
        self._marks.append(
            f'<text x="{_number(x)}" y="{_number(y)}" class="{kind}" font-size="{_number(size)}"{placed}{weight}'
            f"{extra}>{escape(words, quote=False)}</text>"
        )

    def _whole(self, height: float) -> str:
        said = "; ".join(in_words(found, self._example) for found in self._found) or "no match"
        size = f"{_number(WIDTH)} {_number(height)}"
        start = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{_number(WIDTH)}" '
            f'height="{_number(height)}" role="img" font-family="{_FONT}">'
        )
        ground = (
            f'<rect x="0.5" y="0.5" width="{_number(WIDTH - 1)}" height="{_number(height - 1)}" rx="10" '
            'class="ground"/>'
        )
        return "\n".join(
            [
                start,
                f"<title>{escape(self._example.title, quote=False)}</title>",
                f"<desc>{escape(said, quote=False)}</desc>",
                f"<style>{_STYLE}</style>",
                ground,
                *self._marks,
                "</svg>\n",
            ]
        )


def _pill_width(stage: str) -> float:
    return text_width(stage, _PILL, bold=True) + 18


def _value(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    # Sums of floats differ in their last bits from one Python to another; rounded twice, they read the same.
    return f"{round(value, 3):.1f}".removesuffix(".0")
