"""What a pattern's matches in one visitor's events are, said as plainly as possible: the engine is checked against it.

Every partial match is kept apart, with the list of ways in which it could go on; nothing is shared and nothing is
compiled, so it takes exponential time and is for a dozen events. What is still to do of a pattern is a tuple of
items; `_ways_on` reads off it which events could be taken next, and under which rules:

- A way that is waited in is chosen at the first event after the one taken last: from then on only that way's own
  condition is tested (a loop's next event, or the stage behind it: not both).
- An event that a not-stage in force forbids ends the partial match. A not_followed_by is about what lies between
  two events taken, so the event that is taken behind it may be such a one; a not_next is about that one as well.
- Two ways that differ in what they skip, begin or repeat are two matches, even of the same events in the same
  stages; two orders of a permutation are not.
- Of matches with the same first event, the order is that of preference: where two part, the one that waits for or
  takes the earlier stage before the one that has gone on, and who takes the event before who passes it over.
- Time goes from deadline to deadline before each event, and to `end` after the last.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import dropwhile, takewhile

from footfall.pattern_spec import PatternSpec, StageSpec, Test

Event = tuple[int, int, int]
"""Number, time and mask. Numbers are unique, times don't go back."""

Taken = tuple[tuple[str, int], ...]
"""The events of a match in order: name of the stage, number of the event."""


class SkipTargetMissedError(Exception):
    """The stage to skip to took no event, or the match's first one, and the pattern forbids that."""


@dataclass(frozen=True)
class ReferenceMatch:
    """A match as it comes out.

    Attributes:
        taken: its events.
        at: what the clock shows when it comes out.
        by_time: the clock's going on brings it out, rather than an event.
    """

    taken: Taken
    at: int
    by_time: bool


@dataclass(frozen=True)
class ReferenceResult:
    """All that comes of a pattern and a stream.

    Attributes:
        matches: in the order in which they come out.
        timed_out: the partial matches that a bound ended, each with its deadline; the spec need not ask for them.
        open_partials: the events of those still waiting.
        waiting: complete matches held back by the skip strategy.
    """

    matches: tuple[ReferenceMatch, ...]
    timed_out: frozenset[tuple[int, Taken]]
    open_partials: tuple[Taken, ...]
    waiting: tuple[Taken, ...]


@dataclass(frozen=True, eq=False)
class _Until:
    """One loop's stop condition; two loops' are two, though they test the same."""

    test: Test


@dataclass(frozen=True)
class _Guard:
    """A greedy loop that is left, or left out: what it could take must not come; its `until` lifts that.

    `directly`: a not_next stands behind it, and it is about the next event alone.
    """

    tests: tuple[Test, ...]
    until: _Until | None
    directly: bool = False


@dataclass(frozen=True)
class _NextNot:
    """A not_next, and the greedy loops that are left before it: it is asked only of events that they wouldn't take."""

    stage: StageSpec
    guards: tuple[_Guard, ...]


@dataclass(frozen=True)
class _First:
    """A stage that is still to begin; `contiguity` is its group's where it is a group's head."""

    stage: StageSpec
    contiguity: str
    untils: tuple[_Until, ...]


@dataclass(frozen=True)
class _More:
    """A loop that has come `done` times."""

    stage: StageSpec
    done: int
    untils: tuple[_Until, ...]
    own_until: _Until | None


@dataclass(frozen=True)
class _Others:
    """A permutation's stages that are still to come."""

    stage: StageSpec
    members: tuple[StageSpec, ...]
    untils: tuple[_Until, ...]


_Item = _First | _More | _Others


@dataclass(frozen=True)
class _Way:
    """One way on: an event to take, or (`ends`) nothing but the rest of the time.

    Attributes:
        names: stage names and tests; an event is taken under the first name whose test it passes.
        contiguity: strict, relaxed or any.
        take_untils: an event that passes one isn't taken.
        skip_untils: an event that passes one isn't skipped.
        bound: exclusive, from the last event taken; infinite for none.
        rest: what is to do once it is taken.
        nots: the not_followed_by stages of which nothing must come before it is taken.
        lasting: those of them that stand further behind, and of which it mustn't be one itself.
        next_nots: that must not come directly after the last event taken.
        guards: greedy loops that must not be able to take an event until then, either.
        trailing: for `ends`: the absences that are still to be seen.
        yields_to: a reluctant loop's way is there only where none of these is.
        label: says which way it is.
    """

    label: tuple[str, ...]
    ends: bool = False
    names: tuple[tuple[str, Test], ...] = ()
    contiguity: str = "relaxed"
    take_untils: tuple[_Until, ...] = ()
    skip_untils: tuple[_Until, ...] = ()
    bound: float = math.inf
    rest: tuple[_Item, ...] = ()
    nots: tuple[StageSpec, ...] = ()
    lasting: tuple[StageSpec, ...] = ()
    next_nots: tuple[_NextNot, ...] = ()
    guards: tuple[_Guard, ...] = ()
    trailing: tuple[StageSpec, ...] = ()
    yields_to: tuple["_Way", ...] = ()


@dataclass(frozen=True)
class _Passed:
    """What lies between the last event taken and a way on.

    Attributes:
        greedily: a greedy loop that took that event was left.
        never_ends: it was, and an optional stage left out after it: the pattern can't end so, but with an absence.
    """

    label: tuple[str, ...] = ()
    nots: tuple[StageSpec, ...] = ()
    next_nots: tuple[_NextNot, ...] = ()
    guards: tuple[_Guard, ...] = ()
    trailing: tuple[StageSpec, ...] = ()
    greedily: bool = False
    never_ends: bool = False

    def absence(self, stage: StageSpec) -> "_Passed":
        passed = replace(self, trailing=(*self.trailing, stage), never_ends=False)
        if stage.contiguity == "not_next":
            asked = _NextNot(stage, self.guards)
            directly = tuple(replace(guard, directly=True) for guard in self.guards)
            return replace(passed, next_nots=(*self.next_nots, asked), guards=directly)
        return replace(passed, nots=(*self.nots, stage))

    def beyond(self, stage: StageSpec, word: str, own_until: _Until | None) -> "_Passed":
        """A stage is left out, or a loop left."""
        guards = self.guards
        greedy = stage.loop.greedy and stage.loop.least != stage.loop.most
        never_ends = self.never_ends or (word == "without" and self.greedily)
        if greedy:
            guards = (*guards, _Guard(tuple(test for _, test in _names(stage)), own_until))
        trailing = self.trailing if word == "after" else ()
        return replace(
            self,
            label=(*self.label, word, stage.name),
            guards=guards,
            trailing=trailing,
            greedily=self.greedily or (greedy and word == "after"),
            never_ends=never_ends,
        )


def _forbids(stage: StageSpec) -> bool:
    return stage.contiguity in {"not_next", "not_followed_by"}


def _names(stage: StageSpec) -> tuple[tuple[str, Test], ...]:
    return tuple((one.name, one.test) for one in stage.choices) or ((stage.name, stage.test),)


def _least(*bounds: float | None) -> float:
    return min((bound for bound in bounds if bound is not None), default=math.inf)


def _to_do(
    stages: Iterable[StageSpec], untils: tuple[_Until, ...] = (), head: str = "begin"
) -> tuple[_Item, ...]:
    return tuple(
        _First(stage, head if number == 0 else stage.contiguity, untils)
        for number, stage in enumerate(stages)
    )


def _begun_nots(rest: tuple[_Item, ...]) -> tuple[StageSpec, ...]:
    """What stands behind a loop as a not_followed_by is in force wherever the loop is waited for again.

    It may end the group, and so the loop, that this one is the last of.
    """
    behind = dropwhile(lambda item: isinstance(item, _More), rest)
    nots = takewhile(lambda item: isinstance(item, _First) and _is_not_followed_by(item.stage), behind)
    return tuple(item.stage for item in nots)


def _is_not_followed_by(stage: StageSpec) -> bool:
    return stage.contiguity == "not_followed_by"


def _under(nots: tuple[StageSpec, ...], way: _Way) -> _Way:
    lasting = tuple(stage for stage in nots if stage not in way.nots)
    return replace(way, nots=(*way.nots, *lasting), lasting=(*way.lasting, *lasting))


def _ways_on(to_do: tuple[_Item, ...], passed: _Passed) -> list[_Way]:
    if not to_do:
        if passed.never_ends:
            return []
        bound = _least(*(stage.step_within_ms for stage in passed.trailing))
        return [_way(passed, replace(_Way(()), ends=True, bound=bound, trailing=passed.trailing))]
    item, rest = to_do[0], to_do[1:]
    if isinstance(item, _Others):
        return _in_any_order(item, "relaxed", rest, passed)
    stage, loop = item.stage, item.stage.loop
    if isinstance(item, _First):
        if _forbids(stage):
            return _ways_on(rest, passed.absence(stage))
        own_until = _Until(loop.until) if loop.has_until else None
        ways = _once_more(_More(stage, 0, item.untils, own_until), item.contiguity, rest, passed)
        without = _ways_on(rest, passed.beyond(stage, "without", own_until)) if loop.optional else []
        return _no_more_than_it_must(stage, ways, without) + without
    again = []
    if loop.most is None or item.done < loop.most:
        again = [_under(_begun_nots(rest), way) for way in _once_more(item, loop.inner, rest, passed)]
    leave = []
    if item.done >= loop.least:
        leave = _ways_on(rest, passed.beyond(stage, "after", item.own_until))
    return _no_more_than_it_must(stage, again, leave) + leave


def _no_more_than_it_must(stage: StageSpec, again: list[_Way], leave: list[_Way]) -> list[_Way]:
    """A reluctant loop doesn't go on where the pattern can end; see `_gives_way` for the rest."""
    if not stage.loop.reluctant:
        return again
    if any(way.ends for way in leave):
        return []
    return [replace(way, yields_to=(*way.yields_to, *leave)) for way in again]


def _once_more(item: _More, contiguity: str, rest: tuple[_Item, ...], passed: _Passed) -> list[_Way]:
    """The ways in which a stage's next occurrence can begin; its first one if none is done."""
    stage, loop, own = item.stage, item.stage.loop, item.own_until
    first = item.done == 0
    bound = _least(loop.step_within_ms, stage.step_within_ms if first else None)
    untils = item.untils if own is None else (*item.untils, own)
    once = loop.least == loop.most == 1
    after = rest if once else (replace(item, done=item.done + 1), *rest)
    here = replace(passed, label=(*passed.label, "first" if first else "again", stage.name), trailing=())
    if stage.group:
        ways = [way for way in _ways_on(_to_do(stage.group, untils, contiguity), here) if not way.ends]
        ways = [replace(way, rest=way.rest + after, bound=_least(way.bound, bound)) for way in ways]
    elif stage.members:
        ways = [
            replace(way, rest=way.rest + after, bound=_least(way.bound, bound))
            for way in _in_any_order(_Others(stage, stage.members, untils), contiguity, (), here)
        ]
    else:
        ways = [_way(here, _Way((), False, _names(stage), contiguity, untils, untils, bound, after))]
    if first:
        ways = [replace(way, skip_untils=tuple(u for u in way.skip_untils if u is not own)) for way in ways]
    return ways


def _in_any_order(item: _Others, contiguity: str, rest: tuple[_Item, ...], passed: _Passed) -> list[_Way]:
    ways = []
    for number, member in enumerate(item.members):
        others = item.members[:number] + item.members[number + 1 :]
        after = (replace(item, members=others), *rest) if others else rest
        begins = len(item.members) == len(item.stage.members)
        how = member.contiguity if not begins and member.contiguity in {"strict", "any"} else contiguity
        bound = _least(member.step_within_ms)
        ways.append(
            _way(passed, _Way((), False, _names(member), how, item.untils, item.untils, bound, after))
        )
    return ways


def _way(passed: _Passed, way: _Way) -> _Way:
    return replace(
        way, label=passed.label, nots=passed.nots, next_nots=passed.next_nots, guards=passed.guards
    )


@dataclass(frozen=True)
class _Partial:
    """A partial match; `fresh` until an event has come after the one taken last.

    Attributes:
        path: which ways it went, and the places of their events in the stream: what makes it one match.
        first: the place of its first event in the stream.
        nots: those of all its ways, also of those whose time is over.
    """

    taken: Taken
    path: tuple[tuple[tuple[str, ...], int], ...]
    first: int
    start: int
    last: int
    ways: tuple[_Way, ...]
    nots: tuple[StageSpec, ...] = ()
    next_nots: tuple[_NextNot, ...] = ()
    fresh: bool = True


class _View:
    """A partial match as a test sees it."""

    def __init__(self, taken: Taken, numbers: Sequence[int]) -> None:
        self._taken = taken
        self._numbers = numbers

    def taken(self, stage: str) -> Sequence[int]:
        return [number for name, number in self._taken if name == stage]

    def before(self, count: int) -> int:
        return self._numbers[-count] if 0 < count <= len(self._numbers) else -1


@dataclass
class _Run:
    spec: PatternSpec
    events: Sequence[Event]
    partials: list[_Partial] = field(default_factory=list)
    completed: list[_Partial] = field(default_factory=list)
    matches: list[ReferenceMatch] = field(default_factory=list)
    timed_out: set[tuple[int, Taken]] = field(default_factory=set)

    def within(self) -> float:
        return math.inf if self.spec.within_ms is None else self.spec.within_ms

    def deadline(self, partial: _Partial, way: _Way) -> float:
        return min(partial.start + self.within(), partial.last + way.bound)

    def advance(self, time: float) -> None:
        """Go from deadline to deadline up to `time`."""
        while True:
            due = min(
                (self.deadline(partial, way) for partial in self.partials for way in partial.ways),
                default=math.inf,
            )
            if due > time or due == math.inf:
                return
            self._expire(int(due))

    def _expire(self, due: int) -> None:
        kept, complete = [], []
        for partial in self.partials:
            over = [way for way in partial.ways if self.deadline(partial, way) <= due]
            ways = tuple(way for way in partial.ways if way not in over)
            absent = any(way.ends and _waits_for_time(way) for way in over)
            if absent:
                complete.append(partial)
            if ways:
                kept.append(replace(partial, ways=ways))
            elif not absent:
                self.timed_out.add((due, partial.taken))
        self.partials = kept
        self._give(complete, due, by_time=True)

    def take(self, place: int) -> None:
        """Let the event at a place of the stream come."""
        _, time, _ = self.events[place]
        complete: list[_Partial] = []
        found: list[_Partial] = []
        for partial in self.partials:
            found += self._go_on(partial, place, complete)
        found += self._begin(place, complete)
        self.partials = found
        self._give(complete, time, by_time=False)

    def _passes(self, place: int, taken: Taken) -> Callable[[Test], bool]:
        number, _, mask = self.events[place]
        view = _View(taken, [before for before, _, _ in self.events[:place]])

        def passes(test: Test) -> bool:
            if test is None:
                return True
            return bool(mask & test) if isinstance(test, int) else bool(test(number, view))

        return passes

    def _begin(self, place: int, complete: list[_Partial]) -> list[_Partial]:
        _, time, _ = self.events[place]
        stages = self.spec.stages
        absences = list(takewhile(_forbids, stages))
        for absence in absences:
            for earlier in range(place):
                since = -math.inf if absence.absent_ms is None else time - absence.absent_ms
                recent = self.events[earlier][1] > since
                if recent and self._passes(earlier, ())(absence.test):
                    return []
        nothing = _Partial((), (), place, time, time, ())
        passes = self._passes(place, ())
        found = []
        for way in _ways_on(_to_do(stages[len(absences) :]), _Passed()):
            stops = self._stops(way, passes, fresh=True) or self._gives_way(nothing, way, place, passes)
            if not way.ends and not stops:
                found += self._taking(nothing, way, place, passes, complete)
        return found

    def _go_on(self, partial: _Partial, place: int, complete: list[_Partial]) -> list[_Partial]:
        passes = self._passes(place, partial.taken)
        if partial.fresh and any(_is_broken(asked, passes) for asked in partial.next_nots):
            return []
        forbidden = any(passes(stage.test) for stage in partial.nots)
        found = []
        for way in partial.ways:
            if self._stops(way, passes, fresh=partial.fresh) or self._gives_way(partial, way, place, passes):
                continue
            if forbidden:
                if way.ends and not _waits_for_time(way):
                    complete.append(partial)
                elif not way.ends and not any(passes(stage.test) for stage in way.lasting):
                    found += self._taking(partial, way, place, passes, complete)
                continue
            lifted = tuple(
                guard
                for guard in way.guards
                if not (partial.fresh and (guard.directly or _lifted(guard, passes)))
            )
            left = (replace(way, guards=lifted),)
            waiting = replace(partial, ways=left, nots=way.nots, fresh=False)
            if not way.ends:
                found += self._taking(partial, way, place, passes, complete)
                if _may_skip(way, passes):
                    found.append(waiting)
            elif _waits_for_time(way):
                found.append(waiting)
            else:
                complete.append(partial)
        return found

    @staticmethod
    def _stops(way: _Way, passes: Callable[[Test], bool], *, fresh: bool) -> bool:
        """A greedy loop that is left would take the event."""
        for guard in way.guards:
            if not (fresh and _lifted(guard, passes)) and any(passes(test) for test in guard.tests):
                return True
        return False

    def _gives_way(self, partial: _Partial, way: _Way, place: int, passes: Callable[[Test], bool]) -> bool:
        """A reluctant loop isn't begun or gone on with if what follows can take the event, or wait longer."""
        time = self.events[place][1]
        for other in way.yields_to if partial.fresh else ():
            over = self.deadline(partial, other) <= time or self._stops(other, passes, fresh=True)
            if not over and (_may_skip(other, passes) or _name_for(other, passes) is not None):
                return True
        return False

    def _taking(
        self,
        partial: _Partial,
        way: _Way,
        place: int,
        passes: Callable[[Test], bool],
        complete: list[_Partial],
    ) -> list[_Partial]:
        number, time, _ = self.events[place]
        name = _name_for(way, passes)
        if name is None:
            return []
        ways = _ways_on(way.rest, _Passed())
        then = replace(
            partial,
            taken=(*partial.taken, (name, number)),
            path=(*partial.path, (way.label, place)),
            last=time,
            ways=tuple(on for on in ways if not on.ends or on.trailing),
            nots=tuple(stage for on in ways for stage in on.nots),
            next_nots=tuple(asked for on in ways for asked in on.next_nots),
            fresh=True,
        )
        if any(on.ends and not on.trailing for on in ways):
            complete.append(then)
        return [then] if then.ways else []

    def _give(self, complete: list[_Partial], time: int, *, by_time: bool) -> None:
        """Let those matches out that no earlier partial match holds back, in order, each skipping what it does."""
        seen = set()
        for partial in complete:
            if partial.path not in seen:
                seen.add(partial.path)
                self.completed.append(partial)
        # Sorting keeps the order of those with the same first event: the order of preference.
        self.completed.sort(key=lambda partial: partial.first)
        while self.completed:
            match = self.completed[0]
            if self.spec.skip != "no_skip" and any(partial.first < match.first for partial in self.partials):
                return
            del self.completed[0]
            if self.spec.skip in {"to_first", "to_last"}:
                self._target(match)
            self.matches.append(ReferenceMatch(match.taken, time, by_time))
            self.partials = [partial for partial in self.partials if not self._skips(match, partial)]
            self.completed = [partial for partial in self.completed if not self._skips(match, partial)]

    def _skips(self, match: _Partial, other: _Partial) -> bool:
        skip = self.spec.skip
        if skip == "no_skip":
            return False
        if skip == "to_next":
            return other.first == match.first
        if skip == "past_last":
            return other.first <= match.path[-1][1]
        target = self._target(match)
        return target is not None and other.first < target

    def _target(self, match: _Partial) -> int | None:
        """The place of the event to skip to, for `to_first` and `to_last`."""
        taken = zip(match.taken, match.path, strict=True)
        there = [place for (name, _), (_, place) in taken if name == self.spec.skip_stage]
        target = None if not there else there[0 if self.spec.skip == "to_first" else -1]
        if self.spec.skip_must_hit and target in {None, match.first}:
            raise SkipTargetMissedError(self.spec.skip_stage)
        return target


def _waits_for_time(way: _Way) -> bool:
    return _is_not_followed_by(way.trailing[-1])


def _lifted(guard: _Guard, passes: Callable[[Test], bool]) -> bool:
    return guard.until is not None and passes(guard.until.test)


def _is_broken(asked: _NextNot, passes: Callable[[Test], bool]) -> bool:
    if any(not _lifted(guard, passes) and any(map(passes, guard.tests)) for guard in asked.guards):
        return False
    return passes(asked.stage.test)


def _name_for(way: _Way, passes: Callable[[Test], bool]) -> str | None:
    if any(passes(until.test) for until in way.take_untils):
        return None
    return next((name for name, test in way.names if passes(test)), None)


def _may_skip(way: _Way, passes: Callable[[Test], bool]) -> bool:
    if any(passes(until.test) for until in way.skip_untils):
        return False
    if way.contiguity == "relaxed":
        return not any(passes(test) for _, test in way.names)
    return way.contiguity == "any"


def find_matches(spec: PatternSpec, events: Sequence[Event], end: float | None = None) -> ReferenceResult:
    """All matches of a pattern in one visitor's events.

    Args:
        spec: the pattern.
        events: in their final order.
        end: what the clock goes to after the last event; infinite for the end of all time.

    Raises:
        SkipTargetMissedError: see `PatternSpec.skip_must_hit`; the first event of a match counts as a miss too.
    """
    run = _Run(spec, events)
    for place, (_, time, _) in enumerate(events):
        run.advance(time)
        run.take(place)
    if end is not None:
        run.advance(end)
    return ReferenceResult(
        tuple(run.matches),
        frozenset(run.timed_out),
        tuple(partial.taken for partial in run.partials),
        tuple(partial.taken for partial in run.completed),
    )
