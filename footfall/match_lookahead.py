"""The pre-filter before a partial match: whether the visitor's events that are in hand can complete it at all.

A round's events are all there are up to the time it settles. Where a pattern's bound ends before that, a match that
begins is worth following only if the visitor's later events within the bound satisfy the later steps' conditions, in
their order. What is in between, and skips, don't matter to that: nothing that could match is left out. A beginning
that can't lead anywhere can't hold another match up either: what completes within its bound would complete it, too.
"""

from typing import Any

import numpy as np

from footfall.compiled import compiled, compiled_inline

_FURTHEST = 64


@compiled
def link_events(places_of: Any, visitors: Any, next_of: Any, last: Any, crowd: Any) -> None:
    """For each event the visitor's next one, -1 for none; `crowd` becomes each visitor's partial matches and events.

    `last` (all -1) and `crowd` (all 0) have a cell for each place of the visitors' table.
    """
    for back in range(places_of.size):
        i = places_of.size - 1 - back
        slot = places_of[i]
        next_of[i] = -1
        if slot < 0:
            continue
        if last[slot] < 0:
            crowd[slot] = visitors[slot].partials
        next_of[i] = last[slot]
        last[slot] = i
        crowd[slot] += 1


@compiled_inline
def may_complete(
    i: Any, events: Any, lanes: Any, fields: Any, next_of: Any, until: Any, steps: Any, pattern: Any
) -> Any:
    """Whether a match of the pattern that begins with event `i` may be completed, as far as events are in hand.

    It looks at some of the next events alone, and takes what is beyond for possible.
    """
    over = events[i].time + pattern.within_ms
    if over - 1 > until:
        return True
    step = 1
    j = next_of[i]
    for _ in range(_FURTHEST):
        if j < 0 or events[j].time >= over:
            return False
        if pattern.same < 0 or lanes[j, pattern.same] == lanes[i, pattern.same]:
            mask = events[j].mask
            if pattern.word > 0:
                mask = lanes[j, fields + pattern.word - 1]
            condition = steps[pattern.first_step + step].condition
            if condition < 0 or (mask >> np.uint64(condition)) & np.uint64(1):
                step += 1
                if step == pattern.step_count:
                    return True
        j = next_of[j]
    return True
