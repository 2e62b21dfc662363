"""What the matcher's compiled loops work on: partial matches, the events they have taken, matches, and counters."""

import numpy as np

PARTIAL = np.dtype(
    [
        ("start", np.int64),
        ("last", np.int64),
        ("deadline", np.int64),
        ("start_event", np.int64),
        ("last_event", np.int64),
        ("key", np.uint64),
        ("pattern", np.int32),
        ("step", np.int32),
        ("node", np.int32),
        ("next", np.int32),
        ("fresh", np.int32),
        ("state", np.int32),
    ]
)
"""A partial match: times in ms, `*_event` numbers of events in the order taken, `key` the hash of the `same`
field, `step` the step it awaits, `fresh` while the visitor's very next event is the next one it sees."""

NODE = np.dtype(
    [
        ("row", np.int64),
        ("time", np.int64),
        ("message_high", np.uint64),
        ("message_low", np.uint64),
        ("prev", np.int32),
        ("refs", np.int32),
        ("stage", np.int32),
        ("unused", np.int32),
    ]
)
"""An event that a partial match has taken, and the one before it."""

MATCH = np.dtype(
    [
        ("first_time", np.int64),
        ("last_time", np.int64),
        ("settled_time", np.int64),
        ("visitor_high", np.uint64),
        ("visitor_low", np.uint64),
        ("first_node", np.int64),
        ("node_count", np.int64),
        ("row", np.int64),
        ("pattern", np.int32),
        ("kind", np.int32),
    ]
)
"""A match: times in ms; its events are `node_count` nodes from `first_node` on, in the order taken. `row` is that of
the event that let it out, -1 where time did. `kind` is 0, or `TIMED_OUT` for a partial match whose time ran out."""

TIMED_OUT = 1

FREE_PARTIAL, PARTIALS, FREE_NODE, NODES, OUT, OUT_NODES, FRESH, EVENTS, PENDING = range(9)
"""What the counters count: the heads of the lists of free places, the places ever used, what came out this round,
the new nodes of this round, the events seen, the absences still waited for at the input's end."""
