"""An explanation on the terminal: the answer, the matches, then event by event what the pattern did."""

import unicodedata
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from footfall.explanation import Explanation
from footfall.match_trace import Entry, PartialMatch, TraceTimes, What
from footfall.trace_rows import EventRow, FoldedRow, TimeRow, grouped, trace_rows
from footfall.trace_verdict import Verdict, steps_words

_MARKS: dict[What, tuple[str, str]] = {
    "begins": ("▶", "cyan"),
    "takes": ("▶", "cyan"),
    "waits": ("·", "dim"),
    "holds": ("◆", "yellow"),
    "fires": ("✓", "bold green"),
    "ends": ("✗", "red"),
    "open": ("…", "yellow"),
}
_MOST_ENTRIES = 8
_MOST_LISTED = 15
_NARROWEST = 12


def print_explanation(explanation: Explanation, said: Verdict, console: Console, *, show_all: bool) -> None:
    """Print an explanation.

    Args:
        explanation: the explanation.
        said: its verdict.
        console: where to; lines are no longer than it is wide.
        show_all: fold nothing, and list all matches and partial matches.
    """
    _Printing(explanation, console, show_all=show_all).print(said)


@dataclass(slots=True)
class _Hanging:
    """A text whose further lines begin where its first one does, behind a lead."""

    lead: Text
    body: Text

    def lines(self, console: Console) -> list[Text]:
        room = max(_NARROWEST, console.width - self.lead.cell_len)
        blank = " " * self.lead.cell_len
        wrapped = self.body.wrap(console, room)
        for line in wrapped:
            line.rstrip()
        return [
            Text.assemble(self.lead if number == 0 else blank, line) for number, line in enumerate(wrapped)
        ]


class _Printing:
    def __init__(self, explanation: Explanation, console: Console, *, show_all: bool) -> None:
        self._explanation = explanation
        self._trace = explanation.trace
        self._times = TraceTimes(explanation.trace.events)
        self._console = console
        self._all = show_all
        self._digits = len(str(len(explanation.trace.events)))

    def print(self, said: Verdict) -> None:
        """All of it."""
        if self._explanation.disagreement:
            self._disagreement()
        mark = ("✓ ", "bold green") if said.fired else ("✗ ", "bold red")
        self._say(Text.assemble(mark), Text.assemble((said.head, "bold"), " ", " ".join(said.sentences)))
        self._pattern()
        self._matches()
        self._timeline()
        self._partials()

    def _disagreement(self) -> None:
        said = "What follows is not what the engine finds, which is a fault of Footfall's; please report it: "
        words = "; ".join(self._explanation.disagreement)
        self._say(Text("! ", "bold white on red"), Text.assemble((said, "bold red"), words))

    def _say(self, lead: Text, body: Text) -> None:
        lead.plain, body.plain = _harmless(lead.plain), _harmless(body.plain)
        for line in _Hanging(lead, body).lines(self._console):
            self._console.print(line, no_wrap=True, overflow="ignore", crop=False)

    def _title(self, title: str, about: str = "") -> None:
        self._console.print()
        self._say(Text(""), Text.assemble((title, "bold"), (f"  {about}" if about else "", "dim")))

    def _pattern(self) -> None:
        head, *lines = self._explanation.pattern.describe().splitlines()
        self._title("pattern", head)
        for line in lines:
            self._say(Text("  "), Text(line.strip()))

    def _matches(self) -> None:
        matches = self._trace.matches
        if not matches:
            return
        self._title("matches")
        for match in matches if self._all else matches[:_MOST_LISTED]:
            marks = [f"of #{match.partial}"]
            marks += ["timed out"] if match.timed_out else []
            marks += ["by the input's end alone"] if match.at_end else []
            marks += match.elsewhere
            named = f"  {match.match_id}" if match.match_id else ""
            head = Text(f"  {match.number:>3}  {self._times.words(match.time)}  ")
            self._say(
                head,
                Text.assemble((steps_words(match.steps), "green"), f"  ({', '.join(marks)})", (named, "dim")),
            )
        self._more(len(matches))

    def _more(self, count: int) -> None:
        if count > _MOST_LISTED and not self._all:
            self._say(Text("       "), Text(f"… {count - _MOST_LISTED:,} more (--all shows them)", "dim"))

    def _timeline(self) -> None:
        trace = self._trace
        many = "1 event" if len(trace.events) == 1 else f"{len(trace.events):,} events"
        day = f", {self._times.date}" if self._times.date else ""
        self._title("events", f"{many}{day}, times in UTC")
        for row in trace_rows(trace, fold=not self._all):
            if isinstance(row, FoldedRow):
                self._say(Text(f"  {'':>{self._digits}}  "), Text(f"… {row.words}", "dim"))
            elif isinstance(row, TimeRow):
                self._time_row(row)
            else:
                self._event_row(row)

    def _time_row(self, row: TimeRow) -> None:
        time = self._times.words(row.time)
        head = Text(f"  {'':>{self._digits}}  {' ' * len(time) if row.releases else time}  ")
        self._say(head, Text(row.words, "italic"))
        self._entries(row.entries)

    def _event_row(self, row: EventRow) -> None:
        event = row.event
        wanted = bool(row.entries or event.not_begun or event.elsewhere)
        fields = ", ".join(f"{name} = {value}" for name, value in event.fields)
        same = self._explanation.pattern.same_field
        lane = f"  [{same} {event.same}]" if same and event.same else ""
        head = Text(f"  {event.number + 1:>{self._digits}}  {self._times.words(event.time)}  ")
        if not wanted:
            head.stylize("dim")
        self._say(
            head,
            Text.assemble(
                (event.name, "bold" if wanted else "dim"), lane, (f"  {fields}" if fields else "", "dim")
            ),
        )
        if event.left_out and not event.elsewhere:
            self._note("∅", "magenta", f"patterns don't see it: {event.left_out}")
        self._entries(row.entries)
        if row.unsaid:
            self._note("·", "dim", f"{row.unsaid:,} more partial matches wait on")
        began = any(entry.what == "begins" for entry in row.entries)
        if not began:
            for reason in event.not_begun:
                self._note("·", "dim", f"begins no match: {reason}")
        for reason in event.elsewhere:
            self._note("∅", "magenta", reason)

    def _entries(self, entries: tuple[Entry, ...]) -> None:
        said, left = grouped(entries, None if self._all else _MOST_ENTRIES)
        for one in said:
            mark, style = _MARKS[one.entry.what]
            self._note(mark, style, f"{one.names} {one.words}")
            for detail in one.entry.details:
                self._say(Text(" " * (self._digits + 8)), Text(detail, "dim"))
        if left:
            self._note("…", "dim", f"{left:,} more (--all shows them)")

    def _note(self, mark: str, style: str, words: str) -> None:
        self._say(Text.assemble(" " * (self._digits + 4), (f"{mark} ", style)), Text(words, style))

    def _partials(self) -> None:
        rows = self._trace.partials
        if not rows:
            return
        self._title("partial matches")
        width = len(str(len(rows))) + 1
        for row in rows if self._all else rows[:_MOST_LISTED]:
            split = f" (split from #{row.parent})" if row.parent else ""
            head = Text(f"  {'#' + str(row.number):>{width}}  ")
            self._say(head, Text.assemble(steps_words(row.steps), split, ": ", self._became(row)))
        self._more(len(rows))

    def _became(self, row: PartialMatch) -> Text:
        if row.status == "fired":
            numbers = ", ".join(map(str, row.matches))
            return Text(f"match{'' if len(row.matches) == 1 else 'es'} {numbers}", "green")
        if row.ended_at is None:
            return Text(row.ending, "yellow")
        by = "" if row.end_event is None else f" by event {row.end_event + 1}"
        return Text(f"ended at {self._times.words(row.ended_at)}{by}: {row.ending}", "red")


def _harmless(text: str) -> str:
    """The text with its control signs written out: what visitors send must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        sign.encode("unicode_escape").decode() if unicodedata.category(sign).startswith("C") else sign
        for sign in text
    )
