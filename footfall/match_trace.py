"""The trace of a pattern on one visitor's events: what each event did to each partial match, and why.

A partial match has a number. Where it may go on in several ways (it takes an event, and also goes on waiting for
another one), the second way is a partial match of its own, that splits from the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from footfall.expression_values import time_from_ms

What = Literal["begins", "takes", "waits", "holds", "fires", "ends", "open"]
Status = Literal["live", "held", "fired", "ended", "open"]
Fate = Literal["", "late", "duplicate", "same"]
"""Why a pattern doesn't see an event: it came late, it is a copy, or it has no value of the pattern's `same` field."""
Reason = Literal[
    "", "forbidden", "within", "step", "contiguity", "until", "greedy", "refused", "skip", "repeat", "limit"
]
"""What ended a partial match: a `not` stage, a bound, strict contiguity, …; empty while nothing did."""

_DAY_MS = 86_400_000
_UNITS = (("d", _DAY_MS, 1 << 62), ("h", 3_600_000, 24), ("min", 60_000, 60), ("s", 1000, 60))


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """One of the visitor's events, in their order.

    Attributes:
        number: its number, from 0; entries name it.
        time: in ms.
        name: the event's name.
        message: its message id.
        fields: what the pattern's conditions read: names and values in words.
        values: the values themselves; times in ms as `datetime`.
        fate: why the pattern doesn't see it; empty if it does.
        left_out: the same in words.
        same: the value of the field that the pattern runs separately for; empty without one.
        near: the stages whose conditions it meets, or nearly meets.
        not_begun: why no match begins with it, for the first stages that it is near to.
        elsewhere: the stages of open partial matches that it fits, and that these run for another value than `same`.
    """

    number: int
    time: int
    name: str
    message: str
    fields: tuple[tuple[str, str], ...]
    fate: Fate = ""
    left_out: str = ""
    same: str = ""
    near: tuple[str, ...] = ()
    not_begun: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened to a partial match.

    Attributes:
        partial: the partial match's number.
        what: what happened.
        time: when, in ms: an event's time, or a deadline.
        event: the event's number; None where time did it.
        words: what happened, in words.
        details: more about it: conditions with their values, what is waited for.
        stage: the stage that took the event, for `begins` and `takes`.
        match: the number of the match that came out.
        at_end: it happened only because the input ended.
    """

    partial: int
    what: What
    time: int
    event: int | None
    words: str
    details: tuple[str, ...] = ()
    stage: str = ""
    match: int | None = None
    at_end: bool = False


@dataclass(slots=True)
class PartialMatch:
    """A partial match, from its first event to its end.

    Attributes:
        number: its number, from 1.
        parent: the partial match that it split from; None if it began with an event of its own.
        same: the value of the field that the pattern runs separately for.
        steps: the events that it took: stage and number of each.
        status: what became of it; one that gave a match is `fired`, whatever came later.
        reason: what ended it.
        ending: how it ended, or what it still waits for, in words.
        details: more about that.
        ended_at: when it ended, in ms; None while it is open.
        end_event: the event that ended it; None where time did.
        matches: the numbers of the matches that came of it.
    """

    number: int
    parent: int | None
    same: str
    steps: list[tuple[str, int]]
    status: Status = "live"
    reason: Reason = ""
    ending: str = ""
    details: tuple[str, ...] = ()
    ended_at: int | None = None
    end_event: int | None = None
    matches: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TracedMatch:
    """A match that came out.

    Attributes:
        number: its number, from 1.
        partial: the partial match that it came of.
        steps: stage and event number, for each event.
        time: when it came out, in ms.
        by_time: time let it out, not an event.
        timed_out: it is a partial match that ran out of time, which the pattern gives out too.
        at_end: only the input's end let it out.
        match_id: its id among the run's answers; empty where that isn't known.
        whole_at: when it was whole, in ms, where an earlier partial match held it back until `time`; else None.
        let_out: what let it out then, in words.
        elsewhere: which events fit a stage that must not come, and came with another value of the `same` field.
    """

    number: int
    partial: int
    steps: tuple[tuple[str, int], ...]
    time: int
    by_time: bool
    timed_out: bool
    at_end: bool
    match_id: str = ""
    whole_at: int | None = None
    let_out: str = ""
    elsewhere: tuple[str, ...] = ()


@dataclass(slots=True)
class Trace:
    """All that happened, in order.

    Attributes:
        events: the visitor's events.
        entries: what happened.
        partials: the partial matches, in the order in which they began or split.
        matches: what came out.
        end: the time to which the clock had moved when the input ended, in ms.
        begins_with: the stages with which a match can begin, in words.
        end_releases: the input's end lets matches out.
        unsaid: for an event's number, how many partial matches waited on besides those that entries name.
    """

    events: list[SeenEvent]
    entries: list[Entry] = field(default_factory=list)
    partials: list[PartialMatch] = field(default_factory=list)
    matches: list[TracedMatch] = field(default_factory=list)
    end: int = 0
    begins_with: tuple[str, ...] = ()
    end_releases: bool = False
    unsaid: dict[int, int] = field(default_factory=dict)

    def fired(self) -> list[TracedMatch]:
        """The matches, without partial matches that timed out."""
        return [match for match in self.matches if not match.timed_out]


@dataclass(frozen=True, slots=True)
class TraceInput:
    """What a trace is made of.

    Attributes:
        events: the visitor's events in their final order.
        masks: each one's mask of the pattern's conditions.
        order: the numbers of those that the pattern sees, in the order in which it does.
        end: the time to which the clock had moved when the input ended, in ms.
        limit: partial matches at most; None for no limit.
        memory_ms: as in `PlannedAutomaton`.
        same: the field that the pattern runs separately for each value of; empty without one.
        stays_open: what still waits when the input ends stays open (the pattern waits longer than a day).
    """

    events: Sequence[SeenEvent]
    masks: Sequence[int]
    order: Sequence[int]
    end: int
    limit: int | None = None
    memory_ms: int | None = None
    same: str = ""
    stays_open: bool = False


def time_words(ms: int) -> str:
    """A time in UTC, to the millisecond."""
    return time_from_ms(ms).strftime("%Y-%m-%d %H:%M:%S.") + f"{ms % 1000:03}"


class TraceTimes:
    """Writes the times of a trace: the date is left out where all events are of one day, and the time is too.

    Attributes:
        date: that day; empty where there are several.
    """

    def __init__(self, events: Sequence[SeenEvent]) -> None:
        days = {event.time // _DAY_MS for event in events}
        self._day = next(iter(days)) if len(days) == 1 else None
        self.date = "" if self._day is None else time_words(self._day * _DAY_MS)[:10]

    def words(self, ms: int) -> str:
        """The time in UTC, to the millisecond."""
        said = time_words(ms)
        return said[11:] if ms // _DAY_MS == self._day else said


def span_words(ms: int) -> str:
    """A length of time in its two largest units: "15 min 52 s", "2 d 3 h", "1.25 s"; rounded down."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.3f}".rstrip("0").rstrip(".") + " s"
    parts = [f"{ms // unit % most} {name}" for name, unit, most in _UNITS]
    first = next(place for place, part in enumerate(parts) if not part.startswith("0 "))
    return " ".join(part for part in parts[first : first + 2] if not part.startswith("0 "))
