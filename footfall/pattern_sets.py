"""The sets of patterns that one run has had, each in force from an event time on, and what becomes of each pattern.

A pattern that the next set has as well, in the same version, goes on. One that it hasn't begins no more matches from
that set's time on; those under way go on to their end. One that is new sees only events from that time on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter

from footfall.clock import FOREVER, NEVER
from footfall.errors import PatternError
from footfall.expression import Expression
from footfall.pattern import Pattern


@dataclass(frozen=True, slots=True)
class PatternSet:
    """The patterns in force from a time on.

    Attributes:
        patterns: the patterns, in any order.
        reserved: conditions of others that events are asked for, too.
        since: event time in ms; `NEVER` for the first set.
    """

    patterns: tuple[Pattern, ...]
    reserved: tuple[Expression, ...] = ()
    since: int = NEVER


@dataclass(frozen=True, slots=True)
class PlacedPattern:
    """A pattern in a plan: its matches begin with events at `begins_from` or later, and before `begins_until` (ms)."""

    pattern: Pattern
    begins_from: int = NEVER
    begins_until: int = FOREVER


def placed_patterns(
    sets: Sequence[PatternSet], first_by: Callable[[Pattern], object]
) -> list[list[PlacedPattern]]:
    """For each set the patterns that are new with it, by name; those first for which `first_by` gives nothing.

    Raises:
        PatternError: a pattern isn't whole, two of a set have one name, or a set isn't later than the one before it.
    """
    found: list[list[PlacedPattern]] = []
    in_force: dict[tuple[str, str], tuple[int, int]] = {}
    for one, other in pairwise(sets):
        if other.since <= one.since:
            raise PatternError(
                "a set of patterns must come into force after the one before it", pattern="(all)"
            )
    for number, each in enumerate(sets):
        patterns = _by_name(each.patterns)
        known = {(pattern.name, pattern.version) for pattern in patterns}
        for name in in_force.keys() - known:
            of, at = in_force.pop(name)
            found[of][at] = replace(found[of][at], begins_until=each.since)
        new = [pattern for pattern in patterns if (pattern.name, pattern.version) not in in_force]
        new.sort(key=lambda pattern: first_by(pattern) is not None)
        in_force |= {(pattern.name, pattern.version): (number, at) for at, pattern in enumerate(new)}
        found.append([PlacedPattern(pattern, each.since) for pattern in new])
    return found


def _by_name(patterns: Sequence[Pattern]) -> list[Pattern]:
    ordered = sorted((pattern.check() for pattern in patterns), key=attrgetter("name"))
    for one, other in pairwise(ordered):
        if one.name == other.name:
            raise PatternError("two patterns have this name", pattern=one.name)
    return ordered
