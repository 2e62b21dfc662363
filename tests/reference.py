"""What the engine should answer, in plain Python: slow, made of lists, and written from the rules alone.

Everything is in hand at once here: a partition's records are clocked one by one, what isn't late is sorted, copies
go, sessions are lists of events, and matches are looked for among all ways of assigning events to a pattern's
stages. Neither NumPy, numba nor Polars takes part.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from footfall.clock import ClockSettings
from footfall.pattern import Pattern, Stage
from footfall.sessions import SessionSettings

DAY_MS = 86_400_000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is read: times in ms, `value` in millionths."""

    visitor: str
    message: str
    name: str
    time: int
    arrival: int | None = None
    user: str | None = None
    element: str | None = None
    path: str | None = None
    referrer: str | None = None
    source: str | None = None
    campaign: str | None = None
    value: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A record whose time is decided, and its position."""

    record: Record
    time: int
    arrival: int | None
    partition: int
    offset: int

    @property
    def order(self) -> tuple[int, float, int, int]:
        """The final order: event time, arrival (none comes first), partition, offset."""
        return self.time, float("-inf") if self.arrival is None else self.arrival, self.partition, self.offset


Predicate = Callable[[Record], bool]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run is asked: `predicates` gives, by the key of a condition, what it says of a record."""

    clock: ClockSettings
    sessions: SessionSettings
    patterns: tuple[Pattern, ...]
    predicates: Mapping[str, Predicate]
    page_views: frozenset[str]
    clicks: frozenset[str]
    conversions: frozenset[str]


@dataclass(slots=True)
class Answers:
    """What stands at the end. Rows are those of the tables, without ids, times in ms."""

    events: int = 0
    duplicates: int = 0
    late: int = 0
    pending: int = 0
    kept: list[tuple[int, int]] = field(default_factory=list)
    sessions: list[Row] = field(default_factory=list)
    matches: list[Row] = field(default_factory=list)


def answers(partitions: Sequence[Sequence[Record]], rules: Rules) -> Answers:
    """The answers to the records of all partitions."""
    out = Answers()
    events: list[Event] = []
    last_watermark: float = float("-inf")
    for number, records in enumerate(partitions):
        in_time, late, watermark = clocked(records, number, rules.clock)
        events += in_time
        out.late += late
        last_watermark = max(last_watermark, watermark)
    events.sort(key=lambda event: event.order)
    gone = superseded(events, rules.sessions.gap)
    for visitor in sorted({event.record.visitor for event in events}):
        own = [event for event in events if event.record.visitor == visitor and event not in gone]
        sessions = cut_into_sessions(own, rules.sessions)
        kept = [event for session in sessions for event in session.events]
        out.events += len(kept)
        out.kept += [(event.partition, event.offset) for event in kept]
        out.sessions += [session_row(session, rules, last_watermark) for session in sessions]
        for pattern in rules.patterns:
            found, pending = find_matches(kept, pattern, rules.predicates)
            out.pending += pending
            out.matches += [match_row(match, pattern, last_watermark) for match in found]
    out.duplicates = len(events) - out.events
    return out


def clocked(
    records: Sequence[Record], partition: int, clock: ClockSettings
) -> tuple[list[Event], int, float]:
    """One partition's events that aren't late, how many are, and its last watermark."""
    in_time: list[Event] = []
    late = 0
    nothing = float("-inf")
    top, came, watermark = nothing, nothing, nothing
    for offset, record in enumerate(records):
        time = record.time
        arrival = None
        if record.arrival is not None:
            came = max(came, record.arrival)
            arrival = int(came)
            time = min(time, arrival)
            watermark = max(watermark, arrival - clock.idle_bound - 1)
        elif top > nothing and time > top + clock.future_jump:
            following = records[offset + 1].time if offset + 1 < len(records) else None
            if following is not None and following <= top + clock.future_jump:
                time = int(top)
        watermark = max(watermark, top - clock.lateness - 1)
        if time <= watermark:
            late += 1
        else:
            in_time.append(Event(record, time, arrival, partition, offset))
        top = max(top, time)
    return in_time, late, max(watermark, top - clock.lateness - 1)


def superseded(events: Sequence[Event], gap: int) -> set[Event]:
    """Of sorted events, the copies in whose place one stays that was read earlier and happened later.

    It was read from the same partition, is at most `gap` later, and has no such copy itself.
    """
    copies: dict[tuple[str, str, int], list[Event]] = {}
    for event in events:
        copies.setdefault((event.record.visitor, event.record.message, event.partition), []).append(event)
    gone: set[Event] = set()
    for alike in copies.values():
        for place, event in reversed(list(enumerate(alike))):
            staying = (copy for copy in alike[place + 1 :] if copy not in gone)
            if any(copy.offset < event.offset and copy.time - event.time <= gap for copy in staying):
                gone.add(event)
    return gone


@dataclass(slots=True)
class Session:
    """One visitor's events of a session, and the time from which no further event can belong to it."""

    events: list[Event]
    over: int


def cut_into_sessions(events: Sequence[Event], settings: SessionSettings) -> list[Session]:
    """One visitor's sorted events in sessions; copies are left out."""
    sessions: list[Session] = []
    for event in events:
        current = sessions[-1] if sessions else None
        if current is not None:
            start, last = current.events[0].time, current.events[-1].time
            fits = event.time - last <= settings.gap and event.time - start <= settings.max_length
            if fits and event.record.message in (known.record.message for known in current.events):
                continue
            named_later = event.record.campaign is not None and event.time > start
            if fits and settings.split_on_campaign and named_later:
                named = (known.record.campaign for known in current.events)
                if event.record.campaign != next((name for name in named if name is not None), None):
                    current.over = min(current.over, event.time)
                    fits = False
            if fits:
                current.events.append(event)
            else:
                current = None
        if current is None:
            current = Session([event], 0)
            sessions.append(current)
        start, last = current.events[0].time, current.events[-1].time
        current.over = min(last + settings.gap, start + settings.max_length)
    return sessions


def session_row(session: Session, rules: Rules, last_watermark: float) -> Row:
    """What the table of sessions says of it."""
    records = [event.record for event in session.events]
    times = [event.time for event in session.events]
    paths = [record.path for record in records if record.path is not None]
    tagged = [record for record in records if record.source is not None or record.campaign is not None]
    users = [record.user for record in records if record.user is not None]
    referrers = [record.referrer for record in records if record.referrer is not None]
    value, currency, mixed = money(records)
    return {
        "visitor_id": records[0].visitor,
        "user_id": users[-1] if users else None,
        "start_time": times[0],
        "end_time": times[-1],
        "duration_ms": times[-1] - times[0],
        "events": len(records),
        "page_views": sum(record.name in rules.page_views for record in records),
        "clicks": sum(record.name in rules.clicks for record in records),
        "conversions": sum(record.name in rules.conversions for record in records),
        "distinct_pages": len(set(paths)),
        "longest_idle_ms": max((b - a for a, b in pairwise(times)), default=0),
        "bounce": len(records) == 1,
        "entry_page": paths[0] if paths else None,
        "exit_page": paths[-1] if paths else None,
        "referrer": referrers[0] if referrers else None,
        "utm_source": tagged[0].source if tagged else None,
        "utm_medium": None,
        "utm_campaign": tagged[0].campaign if tagged else None,
        "utm_term": None,
        "utm_content": None,
        "value": value,
        "currency": currency,
        "mixed_currencies": mixed,
        "at_end": session.over > last_watermark,
        "status": "fired",
        "revision": 0,
    }


def money(records: Sequence[Record]) -> tuple[int, str | None, bool]:
    """The sum of the values in the session's currency, which is the first that a value names.

    A value without a currency counts as one in it; one in another isn't added, and marks the session.
    """
    currencies = [record.currency for record in records if record.value is not None]
    first = next((currency for currency in currencies if currency is not None), None)
    total = sum(
        record.value
        for record in records
        if record.value is not None and (record.currency is None or record.currency == first)
    )
    return total, first, any(currency is not None and currency != first for currency in currencies)


@dataclass(frozen=True, slots=True)
class Match:
    """The events of each stage that takes some, in order, and the time at which it is certain."""

    stages: tuple[tuple[str, tuple[Event, ...]], ...]
    settled: int

    @property
    def events(self) -> list[Event]:
        return [event for _, events in self.stages for event in events]


def match_row(match: Match, pattern: Pattern, last_watermark: float) -> Row:
    """What the table of matches says of it, `stages` as pairs."""
    events = match.events
    return {
        "pattern": pattern.name,
        "pattern_version": pattern.version,
        "visitor_id": events[0].record.visitor,
        "first_time": events[0].time,
        "last_time": events[-1].time,
        "settled_time": match.settled,
        "stages": tuple(
            (name, tuple(event.record.message for event in taken)) for name, taken in match.stages
        ),
        "at_end": match.settled > max(last_watermark, events[-1].time),
        "status": "fired",
        "revision": 0,
    }


def find_matches(
    events: Sequence[Event], pattern: Pattern, predicates: Mapping[str, Predicate]
) -> tuple[list[Match], int]:
    """One visitor's matches of a pattern, and how many absences are still waited for at the end.

    Those are all of a pattern that waits for over a day, as events here span less than that.
    """
    found: list[Match] = []
    pending = 0
    for own in parted(events, pattern.same_field):
        candidates = [
            places
            for places in assignments(own, pattern, predicates)
            if fits(places, own, pattern, predicates)
        ]
        within = pattern.within_ms
        if pattern.stages[-1].forbids and within is not None and within > DAY_MS:
            pending += len(candidates)
        else:
            found += [named(places, own, pattern) for places in skip(candidates, own, pattern)]
    return found, pending


def parted(events: Sequence[Event], same: str | None) -> Iterator[list[Event]]:
    """The events by the value of the field `same`; those without it take no part."""
    if same is None:
        yield list(events)
        return
    attribute = {"element": "element", "path": "path", "utm_campaign": "campaign"}[same]
    values = [getattr(event.record, attribute) for event in events]
    for value in sorted({value for value in values if value is not None}):
        yield [event for event, own in zip(events, values, strict=True) if own == value]


def _says(predicates: Mapping[str, Predicate], stage: Stage, event: Event) -> bool:
    return stage.condition is None or predicates[stage.condition.key()](event.record)


def assignments(
    events: Sequence[Event], pattern: Pattern, predicates: Mapping[str, Predicate]
) -> list[tuple[int, ...]]:
    """All ways of giving each stage as many events as it takes, in order, each of which it is true of.

    They are given as the places of the events in `events`, in lexicographic order.
    """
    takers = [stage for stage in pattern.stages if not stage.forbids for _ in range(stage.times)]
    ways: list[tuple[int, ...]] = [()]
    for stage in takers:
        true = [place for place, event in enumerate(events) if _says(predicates, stage, event)]
        ways = [(*way, place) for way in ways for place in true if not way or place > way[-1]]
    return ways


def fits(
    places: tuple[int, ...], events: Sequence[Event], pattern: Pattern, predicates: Mapping[str, Predicate]
) -> bool:
    """Whether an assignment keeps to the pattern's contiguity, its absences and its bound."""
    first_time = events[places[0]].time
    if pattern.within_ms is not None and events[places[-1]].time - first_time >= pattern.within_ms:
        return False
    taken = 0
    begun = -1
    last = -1
    forbidding: list[Stage] = []
    for stage in pattern.stages:
        if stage.forbids:
            forbidding.append(stage)
            continue
        own = places[taken : taken + stage.times]
        taken += stage.times
        if not _absent(forbidding, events, predicates, since=begun, last=last, until=own[0]):
            return False
        forbidding = []
        joins = [stage.contiguity] + ["strict" if stage.inner == "strict" else "relaxed"] * (stage.times - 1)
        for join, place in zip(joins, own, strict=True):
            if join == "strict" and place != last + 1:
                return False
            if join == "relaxed" and any(
                _says(predicates, stage, events[between]) for between in range(last + 1, place)
            ):
                return False
            last = place
        begun = own[0]
    if forbidding and pattern.within_ms is not None:
        # A forbidden event exactly at the deadline comes too late.
        end = first_time + pattern.within_ms
        until = next((place for place, event in enumerate(events) if event.time >= end), len(events))
        return _absent(forbidding, events, predicates, since=begun, last=last, until=until)
    return True


def _absent(
    forbidding: Sequence[Stage],
    events: Sequence[Event],
    predicates: Mapping[str, Predicate],
    *,
    since: int,
    last: int,
    until: int,
) -> bool:
    """Whether nothing forbidden stands in its way: from the loop's first event, or right after its last one.

    The event that the next stage takes isn't in between, but it may be the very next one, which `not_next` speaks of.
    """
    for stage in forbidding:
        barred = (
            range(since + 1, until) if stage.contiguity == "not_followed_by" else range(last + 1, last + 2)
        )
        if any(_says(predicates, stage, events[place]) for place in barred if place < len(events)):
            return False
    return True


def skip(
    candidates: list[tuple[int, ...]], events: Sequence[Event], pattern: Pattern
) -> list[tuple[int, ...]]:
    """The matches that the skip strategy leaves, which takes them as they are completed.

    What is completed at once comes in the order of first events, then in that of the others. That a match waits
    for a partial one that started earlier shows nowhere: in this language whatever step a later start has taken,
    an earlier one that is alive has taken with the same event, so it is completed no later.
    """
    if pattern.skip == "no_skip":
        return candidates
    left: list[tuple[int, ...]] = []
    for match in sorted(candidates, key=lambda places: (_completed(places, events, pattern), places)):
        ruled_out = any(
            match[0] == earlier[0] if pattern.skip == "to_next" else match[0] <= earlier[-1]
            for earlier in left
        )
        if not ruled_out:
            left.append(match)
    return left


def _completed(places: tuple[int, ...], events: Sequence[Event], pattern: Pattern) -> int:
    if pattern.stages[-1].forbids and pattern.within_ms is not None:
        return events[places[0]].time + pattern.within_ms
    return places[-1]


def named(places: tuple[int, ...], events: Sequence[Event], pattern: Pattern) -> Match:
    """The match with its stages' names and the time at which it is certain."""
    stages = []
    taken = 0
    for stage in pattern.stages:
        if not stage.forbids:
            own = places[taken : taken + stage.times]
            stages.append((stage.name, tuple(events[place] for place in own)))
            taken += stage.times
    settled = events[places[-1]].time
    if pattern.stages[-1].forbids and pattern.within_ms is not None:
        settled = events[places[0]].time + pattern.within_ms
    return Match(tuple(stages), settled)


def counted(rows: Sequence[Row]) -> Counter[tuple[tuple[str, object], ...]]:
    """Rows as a multiset."""
    return Counter(tuple(sorted(row.items())) for row in rows)
