"""The answer to why a pattern fired, or not, for a visitor, in a few sentences."""

from collections import Counter
from dataclasses import dataclass
from itertools import groupby

from footfall.match_trace import PartialMatch, Reason, SeenEvent, Trace, TracedMatch, TraceTimes, span_words

_MOST_MATCHES = 3

_REASONS: dict[Reason, str] = {
    "": "ended",
    "forbidden": "ended by an event that must not come",
    "within": "out of time",
    "step": "out of time for a step",
    "contiguity": "ended by an event in between",
    "until": "ended by an until",
    "greedy": "ended by a greedy loop",
    "refused": "ended by an event that couldn't be taken",
    "skip": "dropped by the skip strategy",
    "repeat": "the same as another but for the order",
    "limit": "dropped by the limit on their number",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer.

    Attributes:
        fired: whether there is a match.
        head: the answer in a sentence.
        sentences: what it rests on.
    """

    fired: bool
    head: str
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.head, *self.sentences))


def steps_words(steps: "tuple[tuple[str, int], ...] | list[tuple[str, int]]") -> str:
    """The events that were taken, by stage: "'click' 3, 4, 5; 'left' 9"; events are numbered from 1."""
    return "; ".join(
        f"{stage!r} {', '.join(str(event + 1) for _, event in taken)}"
        for stage, taken in groupby(steps, key=lambda step: step[0])
    )


def verdict(pattern: str, visitor: str, trace: Trace) -> Verdict:
    """The answer of a trace.

    Args:
        pattern: the pattern's name.
        visitor: the visitor.
        trace: what happened; there is at least one event.
    """
    words = _Words(trace)
    fired = trace.fired()
    if fired:
        at_end = sum(match.at_end for match in fired)
        head = f"{pattern} fired {_times(len(fired))} for {visitor}"
        if at_end:
            some = "" if at_end == len(fired) else f", {_times(at_end)} of them"
            head += f"{some} only because the input ends"
        sentences = [words.match(match) for match in fired[:_MOST_MATCHES]]
        return Verdict(True, f"{head}.", (*sentences, *words.rest(), *words.left_out()))
    head = f"{pattern} did not fire for {visitor}."
    if trace.partials:
        return Verdict(False, head, (words.furthest(), *words.rest(), *words.left_out()))
    return Verdict(False, head, (words.nothing_began(), *words.left_out()))


class _Words:
    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._times = TraceTimes(trace.events)

    def event(self, number: int) -> str:
        event = self._trace.events[number]
        return f"event {number + 1} ({event.name}, {self._times.words(event.time)})"

    def match(self, match: TracedMatch) -> str:
        out = f"came out at {self._times.words(match.time)}, when"
        if match.whole_at is not None:
            how = f"was whole at {self._times.words(match.whole_at)}, and {out} {match.let_out}"
        else:
            how = f"{out} {'its time was over' if match.by_time else 'it was whole'}"
        steps = "; ".join((*self._taken(list(match.steps)), *match.elsewhere))
        return f"Match {match.number} {how}: {steps}."

    def _taken(self, steps: list[tuple[str, int]]) -> list[str]:
        said = []
        for stage, taken in groupby(steps, key=lambda step: step[0]):
            numbers = [number for _, number in taken]
            if len(numbers) < 3:
                said.append(f"{stage!r} took {' and '.join(map(self.event, numbers))}")
            else:
                listed = f"{self.event(numbers[0])} to {self.event(numbers[-1])}"
                said.append(f"{stage!r} took {len(numbers)} events, {listed}")
        return said

    def furthest(self) -> str:
        """How far the partial match that got furthest came, and what stopped it."""
        reach = [(len({stage for stage, _ in row.steps}), len(row.steps)) for row in self._trace.partials]
        most = max(reach)
        best = [row for row, far in zip(self._trace.partials, reach, strict=True) if far == most]
        row = next((row for row in best if row.status in ("held", "open")), best[0])
        others = len(best) - 1
        as_far = f" ({others:,} other{'' if others == 1 else 's'} came as far)" if others else ""
        steps = "; ".join(self._taken(row.steps))
        return f"The furthest that it came is #{row.number}{as_far}: {steps}; {self._ending(row)}."

    def _ending(self, row: PartialMatch) -> str:
        details = f" ({'; '.join(row.details)})" if row.details else ""
        if row.ended_at is None:
            return f"it is {row.ending}{details}"
        after = span_words(row.ended_at - self._trace.events[row.steps[0][1]].time)
        by = "time" if row.end_event is None else self.event(row.end_event)
        return f"then, {after} after its first event, {by} ended it: {row.ending}{details}"

    def rest(self) -> list[str]:
        """What became of all partial matches without a match, where there are several."""
        rows = [row for row in self._trace.partials if not row.matches]
        fired = len(self._trace.partials) > len(rows)
        if not rows or (len(rows) == 1 and not fired):
            return []
        kinds = Counter(_kind(row) for row in rows)
        listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        many = f"{len(rows):,} partial match{'' if len(rows) == 1 else 'es'}"
        timed_out = sum(match.timed_out for match in self._trace.matches)
        said = [f"{'Besides, ' if fired else 'In all, '}{many} came to nothing: {listed}."]
        if timed_out:
            said.append(f"{timed_out:,} timed out, which the pattern gives out too.")
        return said

    def nothing_began(self) -> str:
        """Why there is no partial match at all."""
        events = self._trace.events
        seen = [event for event in events if not event.fate]
        first = " or ".join(f"{name!r}" for name in self._trace.begins_with)
        if not seen:
            return f"Patterns see none of their {_events(len(events))}: {_why_left_out(events)}."
        near = [event for event in seen if event.not_begun]
        if not near:
            names = Counter(event.name for event in seen).most_common(5)
            listed = ", ".join(f"{count:,} {name}" for name, count in names)
            said = (
                f"No match began: none of their {_events(len(seen))} is one of {first}, with which it begins"
            )
            return f"{said}; they are {listed}{', …' if len({e.name for e in seen}) > 5 else ''}."
        example = f"{self.event(near[0].number)} is {'; '.join(near[0].not_begun)}"
        some = (
            f"{_events(len(near))} {'comes' if len(near) == 1 else 'come'} near to what a match begins with"
        )
        also = "" if len(near) == 1 else ", and the others likewise or for other parts of it"
        return f"No match began: {some}, but {example}{also}."

    def left_out(self) -> list[str]:
        """The events that a stage wants and that patterns don't see."""
        wanted = [event for event in self._trace.events if event.fate in ("late", "same") and event.near]
        if not wanted or all(event.fate for event in self._trace.events):
            return []
        one = wanted[0]
        more = f", and {len(wanted) - 1:,} more" if len(wanted) > 1 else ""
        names = " and ".join(f"{name!r}" for name in one.near)
        why = one.left_out if one.fate == "same" else f"it is {one.left_out}"
        return [f"Mind {self.event(one.number)}{more}: {names} would look at it, but {why}."]


def _kind(row: PartialMatch) -> str:
    if row.status == "open":
        return "still open"
    return "whole and held back" if row.status == "held" else _REASONS[row.reason]


def _why_left_out(events: list[SeenEvent]) -> str:
    reasons = Counter(event.left_out for event in events)
    if len(reasons) == 1:
        return next(iter(reasons))
    return "; ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
