"""An explanation as a picture: events from top to bottom, and beside them the partial matches as lines.

A line begins where its partial match does. A numbered dot is an event that a stage took; what became of the partial
match stands where its line ends, and in words to the right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from footfall.explanation import Explanation
from footfall.match_trace import PartialMatch, TraceTimes, What
from footfall.pattern_picture import printable
from footfall.pattern_stage import STAGE_WORDS, Stage
from footfall.svg_canvas import Canvas, Lines
from footfall.text_width import text_width
from footfall.trace_rows import EventRow, FoldedRow, Row, Said, TimeRow, grouped, trace_rows
from footfall.trace_verdict import Verdict

_INK, _SOFT, _LINE, _PAPER = "#1f2937", "#6b7280", "#94a3b8", "#ffffff"
_GREEN, _RED, _AMBER, _STRIPE = "#15803d", "#dc2626", "#b45309", "#f8fafc"
_STAGES = ("#2563eb", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f", "#c2410c", "#0f766e", "#6d28d9")
_COLOURS: dict[What, str] = {
    "begins": _INK, "takes": _INK, "waits": _SOFT, "holds": _AMBER, "fires": _GREEN, "ends": _RED, "open": _AMBER,
}  # fmt: skip

_TITLE, _NAME, _TEXT, _SMALL = 20.0, 13.0, 12.0, 10.5
_MARGIN = 28.0
_PAD = 7.0
_DOT = 9.0
_LEAST = 2 * _DOT + 12
"""The least height of a row with dots: one, and the partial match's number below it."""
_LANE = 26.0
_EVENT_ROOM, _NOTE_ROOM = 250.0, 430.0
_NARROWEST = 760.0
_MOST_LANES = 24
_MOST_NOTES = 5
_MANY_ROWS = 40
"""In a picture with more rows than this, one partial match that waits on speaks for the others."""


def trace_picture(explanation: Explanation, said: Verdict, *, fold: bool) -> str:
    """The picture as an SVG document.

    Args:
        explanation: the explanation.
        said: its verdict.
        fold: fold events that did nothing, if nothing is to be said of that.
    """
    return _Drawing(explanation, fold=fold).draw(said)


@dataclass(slots=True)
class _Track:
    """A partial match's line: the rows in which it begins and ends, and its column."""

    row: PartialMatch
    first: int
    last: int
    column: int = 0


@dataclass(slots=True)
class _Band:
    """A row of the picture: its words on the left and on the right, and where it is."""

    row: Row
    head: list[Lines]
    notes: list[Lines]
    top: float = 0.0
    marks: dict[int, list[Said]] = field(default_factory=dict)

    @property
    def height(self) -> float:
        """How high it is."""
        inner = max(sum(lines.height for lines in part) for part in (self.head, self.notes))
        return max(inner, 0 if isinstance(self.row, FoldedRow) else _LEAST) + 2 * _PAD

    @property
    def middle(self) -> float:
        """Where its dots are."""
        return self.top + _PAD + _DOT + 1


class _Drawing:
    def __init__(self, explanation: Explanation, *, fold: bool) -> None:
        self._explanation = explanation
        trace = explanation.trace
        self._times = TraceTimes(trace.events)
        top = explanation.pattern.stages
        self._takers = [stage for one in top for stage in one.takers()]
        self._numbers = {stage.name: number for number, stage in enumerate(self._takers)}
        rows = trace_rows(trace, fold=fold)
        self._waits = _MOST_NOTES if len(rows) <= _MANY_ROWS else 1
        self._bands = [self._band(row) for row in rows]
        self._tracks = self._tracked()
        self._canvas = Canvas()
        longest = max(text_width(self._times.words(event.time), _TEXT) for event in trace.events)
        longest = max(longest, text_width(self._times.words(trace.end), _TEXT))
        digits = text_width(str(len(trace.events)), _TEXT) + 10
        self._time = _MARGIN + digits
        self._event = self._time + longest + 14
        self._lanes = self._event + _widest(band.head for band in self._bands) + 24
        columns = max((track.column for track in self._tracks.values()), default=0) + 1
        self._notes = self._lanes + columns * _LANE + 14
        notes = _widest(band.notes for band in self._bands)
        self._width = max(self._notes + notes + _MARGIN, _NARROWEST)

    def draw(self, said: Verdict) -> str:
        """The document."""
        y = self._head(said)
        y = self._legend(y + 10) + 12
        for band in self._bands:
            band.top = y
            y += band.height
        for number, band in enumerate(self._bands):
            self._stripe(band, number)
        for track in self._tracks.values():
            self._line(track)
        for band in self._bands:
            self._words(band)
            self._marks(band)
        y = self._foot(y + 8)
        title = f"{self._explanation.pattern.name}, {self._explanation.visitor.visitor}"
        return self._canvas.document(printable(title), printable(str(said)), self._width, y + _MARGIN)

    def _head(self, said: Verdict) -> float:
        room = self._width - 2 * _MARGIN
        pattern, visitor = self._explanation.pattern, self._explanation.visitor.visitor
        y = self._canvas.text(_lines(f"{pattern.name}, {visitor}", room, _TITLE, bold=True), _MARGIN, _MARGIN)
        if self._explanation.disagreement:
            wrong = "This is not what the engine finds, which is a fault of Footfall's; please report it."
            y = self._canvas.text(_lines(wrong, room, _NAME, _RED, bold=True), _MARGIN, y + 6)
        colour = _GREEN if said.fired else _RED
        y = self._canvas.text(_lines(said.head, room, _NAME, colour, bold=True), _MARGIN, y + 6)
        return self._canvas.text(_lines(" ".join(said.sentences), room, _TEXT), _MARGIN, y + 4)

    def _legend(self, y: float) -> float:
        """The stages: those that take events with the numbers of their dots, and those that must not come."""
        room = self._width - 2 * _MARGIN - 30
        for stage in (
            part for one in self._explanation.pattern.stages for part in one.walk() if not part.parts
        ):
            lines = _lines(_stage_words(stage), room, _TEXT)
            x, middle = _MARGIN + _DOT, y + _TEXT * 0.675
            if stage.forbids:
                self._cross(x, middle, _RED)
            else:
                self._dot(x, middle, self._numbers[stage.name])
            y = self._canvas.text(lines, _MARGIN + 30, y) + 7
        within = [line.strip() for line in self._explanation.pattern.describe().splitlines()[1:]]
        rest = "; ".join(within[len(self._explanation.pattern.stages) :])
        return self._canvas.text(_lines(rest, room, _TEXT, _SOFT), _MARGIN, y)

    def _band(self, row: Row) -> _Band:
        if isinstance(row, FoldedRow):
            return _Band(row, [_lines(f"… {row.words}", _EVENT_ROOM, _SMALL, _SOFT)], [])
        said, left = grouped(row.entries, _MOST_NOTES)
        waiting = [one for one in said if one.entry.what == "waits"][self._waits :]
        said = [one for one in said if one not in waiting]
        left += sum(len(one.partials) for one in waiting)
        notes = [lines for one in said for lines in _note(one)]
        more = left + (row.unsaid if isinstance(row, EventRow) else 0)
        if isinstance(row, EventRow):
            event = row.event
            quiet = not (row.entries or event.not_begun or event.elsewhere)
            head = [_lines(event.name, _EVENT_ROOM, _NAME, _SOFT if quiet else _INK, bold=not quiet)]
            fields = ", ".join(f"{name} = {value}" for name, value in event.fields)
            head += [_lines(fields, _EVENT_ROOM, _SMALL, _SOFT)] if fields else []
            if event.left_out and not event.elsewhere:
                notes.append(_lines(f"not seen by patterns: {event.left_out}", _NOTE_ROOM, _TEXT, _AMBER))
            if not any(one.entry.what == "begins" for one in said):
                notes += [
                    _lines(f"begins no match: {reason}", _NOTE_ROOM, _SMALL, _SOFT)
                    for reason in event.not_begun
                ]
            notes += [_lines(reason, _NOTE_ROOM, _TEXT, _AMBER) for reason in event.elsewhere]
        else:
            head = [_lines(row.words, _EVENT_ROOM, _TEXT, _SOFT)]
        if more:
            notes.append(_lines(f"… and {more:,} more", _NOTE_ROOM, _SMALL, _SOFT))
        band = _Band(row, head, notes)
        for one in grouped(row.entries)[0]:
            for partial in one.partials:
                band.marks.setdefault(partial, []).append(one)
        return band

    def _tracked(self) -> dict[int, _Track]:
        """The lines that are drawn, each in a column that is free from its first row to its last."""
        rows = {row.number: row for row in self._explanation.trace.partials}
        spans: dict[int, _Track] = {}
        for place, band in enumerate(self._bands):
            for partial in band.marks:
                track = spans.setdefault(partial, _Track(rows[partial], place, place))
                track.last = place
        chosen = sorted(
            spans.values(), key=lambda track: (not track.row.matches, -len(track.row.steps), track.row.number)
        )
        free: list[int] = []
        tracks = sorted(chosen, key=lambda track: track.row.number)
        while True:
            free = []
            for track in sorted(tracks, key=lambda track: (track.first, track.row.number)):
                place = next((n for n, until in enumerate(free) if until < track.first), len(free))
                free[place : place + 1] = [track.last]
                track.column = place
            if len(free) <= _MOST_LANES:
                return {track.row.number: track for track in tracks}
            chosen = chosen[: max(_MOST_LANES, len(chosen) * 3 // 4)]
            tracks = sorted(chosen, key=lambda track: track.row.number)

    def _x(self, track: _Track) -> float:
        return self._lanes + (track.column + 0.5) * _LANE

    def _stripe(self, band: _Band, number: int) -> None:
        box = {"x": _MARGIN / 2, "y": band.top, "width": self._width - _MARGIN, "height": band.height}
        if isinstance(band.row, TimeRow):
            self._canvas.mark("rect", **box, fill="#fffbeb")
        elif isinstance(band.row, EventRow) and number % 2:
            self._canvas.mark("rect", **box, fill=_STRIPE)

    def _words(self, band: _Band) -> None:
        canvas, row, top = self._canvas, band.row, band.top + _PAD
        if isinstance(row, EventRow) or (isinstance(row, TimeRow) and not row.releases):
            time = row.event.time if isinstance(row, EventRow) else row.time
            canvas.text(Lines([self._times.words(time)], _TEXT, _SOFT), self._time, top)
        if isinstance(row, EventRow):
            number = Lines([str(row.event.number + 1)], _TEXT, _SOFT)
            canvas.text(number, self._time - 10, top, "end")
        for x, part in ((self._event, band.head), (self._notes, band.notes)):
            y = top
            for lines in part:
                y = canvas.text(lines, x, y)

    def _line(self, track: _Track) -> None:
        first, last = self._bands[track.first], self._bands[track.last]
        x = self._x(track)
        parent = None if track.row.parent is None else self._tracks.get(track.row.parent)
        if parent is not None:
            self._canvas.path(f"M {self._x(parent):.1f} {first.middle:.1f} H {x:.1f}", _LINE, 1.8)
        name = f"#{track.row.number}"
        size = min(8.5, (_LANE - 6) / text_width(name, 1))
        self._canvas.text(Lines([name], size, _SOFT), x + 3, first.middle + _DOT + 3.5)
        if last is not first:
            self._canvas.path(f"M {x:.1f} {first.middle:.1f} V {last.middle:.1f}", _LINE, 2.4)

    def _marks(self, band: _Band) -> None:
        for partial, said in band.marks.items():
            track = self._tracks.get(partial)
            if track is not None:
                self._mark(self._x(track), band.middle, said)

    def _mark(self, x: float, y: float, said: Sequence[Said]) -> None:
        """What happened to a partial match in a row: a dot for the event that it took, and what came of it."""
        what = {one.entry.what for one in said}
        stage = next((one.entry.stage for one in said if one.entry.stage), "")
        ring = next((word for word in _RINGS if word in what), None)
        if stage:
            if ring is not None:
                self._canvas.mark(
                    "circle", cx=x, cy=y, r=_DOT + 3, fill=_PAPER, stroke=_COLOURS[ring], stroke_width=2.4
                )
            self._dot(x, y, self._numbers[stage])
        elif ring == "ends":
            self._cross(x, y, _RED)
        elif ring == "fires":
            self._canvas.mark("circle", cx=x, cy=y, r=_DOT, fill=_GREEN, stroke=_PAPER, stroke_width=1.5)
            self._canvas.path(f"M {x - 4.2:.1f} {y + 0.2:.1f} l 3 3.2 l 5.4 -6.4", _PAPER, 2)
        elif ring is not None:
            self._canvas.mark("circle", cx=x, cy=y, r=_DOT - 2, fill=_PAPER, stroke=_AMBER, stroke_width=2.4)
        else:
            self._canvas.mark("circle", cx=x, cy=y, r=3.2, fill=_LINE)

    def _dot(self, x: float, y: float, number: int) -> None:
        colour = _STAGES[number % len(_STAGES)]
        self._canvas.mark("circle", cx=x, cy=y, r=_DOT, fill=colour, stroke=_PAPER, stroke_width=1.5)
        label = Lines([str(number + 1)], 11 if number < 9 else 9, _PAPER, bold=True)
        self._canvas.text(label, x, y - label.height / 2, "middle")

    def _cross(self, x: float, y: float, colour: str) -> None:
        self._canvas.mark("circle", cx=x, cy=y, r=_DOT, fill=_PAPER, stroke=colour, stroke_width=1.6)
        self._canvas.path(f"M {x - 4:.1f} {y - 4:.1f} l 8 8 m 0 -8 l -8 8", colour, 2.2)

    def _foot(self, y: float) -> float:
        undrawn = len(self._explanation.trace.partials) - len(self._tracks)
        said = (
            "A line is a partial match; a numbered dot an event that this stage took; a green ring or tick a match; a "
            "red ring or cross its end; a hollow amber dot: it is still open or held back; times are in UTC"
            + (f", {self._times.date}" if self._times.date else "")
            + (f". {undrawn:,} more partial matches have no line here" if undrawn else "")
            + "."
        )
        return self._canvas.text(_lines(said, self._width - 2 * _MARGIN, _SMALL, _SOFT), _MARGIN, y)


_RINGS: tuple[What, ...] = ("fires", "ends", "open", "holds")


def _note(said: Said) -> Iterable[Lines]:
    entry = said.entry
    bold = entry.what in ("fires", "ends")
    yield _lines(f"{said.names} {said.words}", _NOTE_ROOM, _TEXT, _COLOURS[entry.what], bold=bold)
    if entry.details:
        yield _lines("; ".join(entry.details), _NOTE_ROOM, _SMALL, _SOFT)


def _widest(parts: Iterable[Sequence[Lines]]) -> float:
    return max((lines.width for part in parts for lines in part), default=0.0)


def _lines(text: str, room: float, size: float, colour: str = _INK, *, bold: bool = False) -> Lines:
    return Lines.wrapped(printable(text), room, size, colour, bold=bold)


def _stage_words(stage: Stage) -> str:
    condition = "any event" if stage.condition is None else str(stage.condition)
    return f"{STAGE_WORDS[stage.contiguity]} {stage.name}: {condition}"
