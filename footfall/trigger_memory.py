"""How long what was decided of a match may matter: until no other match can have the same first event."""

from footfall.pattern import Pattern

LONGEST_MEMORY_MS = 400 * 86_400_000
"""How long matches of a pattern without a bound are told apart; such a match may come at any time."""


def memory_ms(pattern: Pattern) -> int:
    """From a match's first event to the last moment at which a match that begins with it can settle, in ms.

    The events of a match lie less than `within` from the first one; one event alone lies there itself. What then still
    holds a match up is over as soon: an absence at the end when its own time is up, and an earlier partial match, which
    a skip strategy waits for, before that. Without `within`, matches of several events have no bound, and
    `LONGEST_MEMORY_MS` stands for it.
    """
    waits = sum(stage.step_within_ms or 0 for stage in pattern.stages if stage.forbids)
    if pattern.within_ms is not None:
        return pattern.within_ms + waits
    takers = [one for stage in pattern.stages for one in stage.walk() if not one.forbids]
    alone = len(takers) == 1 and not takers[0].loops and pattern.skip == "no_skip"
    strict = any(stage.contiguity == "not_next" for stage in pattern.stages)
    return waits if alone and not strict else LONGEST_MEMORY_MS
