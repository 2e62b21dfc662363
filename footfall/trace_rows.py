"""A trace as rows to be shown, in the order of time: events, deadlines, the input's end, and what is folded away."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from footfall.match_trace import Entry, Fate, SeenEvent, Trace, What

_RANKS: dict[What, int] = {
    "fires": 0, "ends": 1, "begins": 2, "takes": 2, "holds": 2, "open": 2, "waits": 3,
}  # fmt: skip
_PLURALS = {"begins": "begin", "ends": "end", "goes": "go", "waits": "wait"}
_FATES: dict[Fate, str] = {"late": "late", "duplicate": "double", "same": "without the field to run for"}


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event, and what it did."""

    event: SeenEvent
    entries: tuple[Entry, ...]
    unsaid: int


@dataclass(frozen=True, slots=True)
class TimeRow:
    """A time at which something was over.

    Attributes:
        time: it, in ms; of the input's end, what its clock stands at.
        entries: what was over.
        ends: it is the input's end.
        releases: the input's end lets matches out, at times of their own: its clock isn't to be shown.
    """

    time: int
    entries: tuple[Entry, ...]
    ends: bool = False
    releases: bool = False

    @property
    def words(self) -> str:
        """What it is, in words."""
        if not self.ends:
            return "time is over"
        return "the input ends" if self.releases else "the input's clock stops"


@dataclass(frozen=True, slots=True)
class FoldedRow:
    """Events one after another that did nothing, and that nothing was to be said of."""

    events: tuple[SeenEvent, ...]

    @property
    def words(self) -> str:
        """What they are, in words: how many, their commonest names, and how many of them patterns don't see."""
        count = len(self.events)
        names = Counter(event.name for event in self.events)
        said = "1 event that no stage wants" if count == 1 else f"{count:,} events that no stage wants"
        listed = [name if times == 1 else f"{times:,} {name}" for name, times in names.most_common(3)]
        more = ["…"] if len(names) > len(listed) else []
        fates = Counter(event.fate for event in self.events if event.fate)
        unseen = [f"{times:,} {_FATES[fate]}" for fate, times in fates.items()]
        return f"{said} ({', '.join(listed + more)}{'; ' if unseen else ''}{', '.join(unseen)})"


Row = EventRow | TimeRow | FoldedRow


def trace_rows(trace: Trace, *, fold: bool) -> list[Row]:
    """The rows of a trace.

    Args:
        trace: the trace.
        fold: fold events that did nothing, if nothing is to be said of that.
    """
    of_event: dict[int, list[Entry]] = {}
    of_time: dict[int, list[Entry]] = {}
    at_end = []
    for entry in trace.entries:
        if entry.what == "open":
            at_end.append(entry)
        elif entry.event is None:
            of_time.setdefault(entry.time, []).append(entry)
        else:
            of_event.setdefault(entry.event, []).append(entry)
    last = max((event.time for event in trace.events), default=trace.end)
    ordered: list[tuple[tuple[int, int, int], EventRow | TimeRow]] = [
        ((event.time, 1, event.number), _event_row(event, of_event, trace)) for event in trace.events
    ]
    ordered += [((time, 0, 0), TimeRow(time, tuple(entries))) for time, entries in of_time.items()]
    ordered.append(
        (
            (max(trace.end, last), 2, 0),
            TimeRow(trace.end, tuple(at_end), ends=True, releases=trace.end_releases),
        )
    )
    rows = [row for _, row in sorted(ordered, key=lambda each: each[0])]
    return list(_folded(rows)) if fold else list(rows)


def _event_row(event: SeenEvent, of_event: dict[int, list[Entry]], trace: Trace) -> EventRow:
    entries = tuple(of_event.get(event.number, ()))
    return EventRow(event, entries, trace.unsaid.get(event.number, 0))


def _folded(rows: Sequence[EventRow | TimeRow]) -> Iterable[Row]:
    taken = {row.event.message for row in rows if isinstance(row, EventRow) and row.entries}
    waiting: list[SeenEvent] = []
    for row in rows:
        if isinstance(row, EventRow) and not _is_telling(row, taken):
            waiting.append(row.event)
            continue
        if waiting:
            yield FoldedRow(tuple(waiting))
            waiting = []
        yield row


def _is_telling(row: EventRow, taken: Container[str]) -> bool:
    """Whether something is to be said of an event; of a copy, only if the event itself did something."""
    event = row.event
    if event.elsewhere:
        return True
    if event.fate:
        return bool(event.near) and (event.fate != "duplicate" or event.message in taken)
    return bool(row.entries or event.not_begun)


@dataclass(frozen=True, slots=True)
class Said:
    """Entries of a row that say the same of several partial matches.

    Attributes:
        entry: the first of them.
        partials: the partial matches' numbers.
    """

    entry: Entry
    partials: tuple[int, ...]

    @property
    def names(self) -> str:
        """The partial matches: "#2, #4 to #7"."""
        runs: list[list[int]] = []
        for number in self.partials:
            if runs and number == runs[-1][-1] + 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        return ", ".join(
            f"#{run[0]}" if len(run) == 1 else f"#{run[0]}{' to' if len(run) > 2 else ','} #{run[-1]}"
            for run in runs
        )

    @property
    def words(self) -> str:
        """What is said, of one or of several."""
        verb, _, rest = self.entry.words.partition(" ")
        many = _PLURALS.get(verb.rstrip(":")) if len(self.partials) > 1 else None
        return self.entry.words if many is None else f"{many}{':' if verb.endswith(':') else ''} {rest}"


def grouped(entries: Iterable[Entry], most: int | None = None) -> tuple[list[Said], int]:
    """What a row's entries say, the same thing once.

    Args:
        entries: the row's entries.
        most: say at most so much, and leave out the waiting first; None for all.

    Returns:
        What is said, in order, and how many entries are left out.
    """
    groups: dict[tuple[What, str, tuple[str, ...], str], list[Entry]] = {}
    for entry in entries:
        # A match has a line of its own.
        single = str(entry.match) if entry.what == "fires" else ""
        groups.setdefault((entry.what, entry.words, entry.details, single), []).append(entry)
    said = [Said(group[0], tuple(sorted({entry.partial for entry in group}))) for group in groups.values()]
    if most is None or len(said) <= most:
        return said, 0
    kept = sorted(range(len(said)), key=lambda place: (_RANKS[said[place].entry.what], place))[:most]
    left = sum(len(one.partials) for place, one in enumerate(said) if place not in kept)
    return [said[place] for place in sorted(kept)], left
