"""Answers as rows: closed sessions and matches, each with a name that is the same in every run.

`session_id` is a hash of the visitor and of the session's first event (its message and its time); `match_id` of
the visitor, the pattern, its version, each stage with its events, and the ordinal among equal matches.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.envelope import TIME
from footfall.event_batch import UTM_COLUMNS
from footfall.hashing import U64, fold_words, hex_names, text_seed
from footfall.matcher import Matches
from footfall.pattern_plan import PatternPlan
from footfall.row_store import RowStore
from footfall.sessions import ClosedSessions
from footfall.tables import MATCHES, SESSIONS


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of a round, numbered from `since` on in the order of `places`, and the kept ones before them."""

    store: RowStore
    rows: pl.DataFrame
    places: npt.NDArray[np.int64]
    since: int

    def take(self, numbers: npt.NDArray[np.int64], *columns: str) -> list[pl.Series]:
        """Columns of the rows with these numbers (-1: null)."""
        return self.store.take(numbers, self.rows, self.places, self.since, columns)


def _times(values: npt.NDArray[np.int64]) -> pl.Series:
    return pl.Series(np.ascontiguousarray(values)).cast(TIME)


def _constant(value: object, *, count: int) -> pl.Series:
    return pl.Series([value]).new_from_index(0, count)


def session_rows(closed: ClosedSessions, window: Window, *, at_end: bool) -> pl.DataFrame:
    """Closed sessions as rows of the sessions table, ordered by the time they were over, then by id."""
    count = closed.records.size
    if count == 0:
        return SESSIONS.empty()
    records = closed.records
    parts = ("high", "low", "first_high", "first_low", "start")
    high, low = fold_words(np.stack([records[name].astype(np.uint64) for name in parts]))
    order = np.lexsort((low, high, closed.times))
    visitors, high, low = records[order], high[order], low[order]

    def quoted(row: str, column: str) -> pl.Series:
        return window.take(visitors[row].copy(), column)[0]

    columns = {
        "session_id": hex_names(high, low),
        "visitor_id": quoted("first_row", "visitor_id"),
        "user_id": quoted("user_row", "user_id"),
        "start_time": _times(visitors["start"]),
        "end_time": _times(visitors["last"]),
        "duration_ms": pl.Series(visitors["last"] - visitors["start"]),
        "events": pl.Series(visitors["events"].copy()),
        "page_views": pl.Series(visitors["page_views"].copy()),
        "clicks": pl.Series(visitors["clicks"].copy()),
        "conversions": pl.Series(visitors["conversions"].copy()),
        "distinct_pages": pl.Series(visitors["pages"].copy()),
        "longest_idle_ms": pl.Series(visitors["longest_idle"].copy()),
        "bounce": pl.Series(visitors["events"] == 1),
        "entry_page": quoted("entry_row", "path"),
        "exit_page": quoted("exit_row", "path"),
        "referrer": quoted("referrer_row", "referrer"),
        **dict(zip(UTM_COLUMNS, window.take(visitors["utm_row"].copy(), *UTM_COLUMNS), strict=True)),
        "value": pl.Series(visitors["value"].copy()),
        "currency": quoted("currency_row", "currency"),
        "mixed_currencies": pl.Series(visitors["mixed"] != 0),
        "at_end": _constant(at_end, count=count),
        "status": _constant("fired", count=count),
        "revision": pl.Series(np.zeros(count, np.uint32)),
    }
    return pl.DataFrame(columns)


def _ordinals(bases: tuple[U64, U64]) -> npt.NDArray[np.uint32]:
    """The number of each among the equal ones before it."""
    high, low = bases
    order = np.lexsort((low, high))
    sorted_high, sorted_low = high[order], low[order]
    begins = np.ones(high.size, np.bool_)
    begins[1:] = (sorted_high[1:] != sorted_high[:-1]) | (sorted_low[1:] != sorted_low[:-1])
    places = np.arange(high.size)
    ordinals = np.empty(high.size, np.uint32)
    ordinals[order] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return ordinals


def _match_bases(matches: Matches, plan: PatternPlan) -> tuple[U64, U64]:
    """What names each match but its ordinal: it fixes the visitor, the pattern and the events by stage."""
    seeds = np.array(
        [
            text_seed(f"{pattern.name}@{version}")
            for pattern, version in zip(plan.patterns, plan.versions, strict=True)
        ],
        np.uint64,
    )
    records, nodes = matches.records, matches.nodes
    node_high, node_low = fold_words(
        np.stack(
            [
                nodes["stage"].astype(np.uint64),
                nodes["message_high"],
                nodes["message_low"],
                nodes["time"].astype(np.uint64),
            ]
        )
    )
    # The events of a match are folded by sums of their hashes, each mixed with its place.
    place = np.arange(nodes.size) - np.repeat(records["first_node"], records["node_count"])
    mixed_high, mixed_low = fold_words(np.stack([node_high, node_low, place.astype(np.uint64)]))
    ends = np.concatenate([[0], np.cumsum(records["node_count"])])
    sums = []
    for lane in (mixed_high, mixed_low):
        running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(lane, dtype=np.uint64)])
        sums.append(running[ends[1:]] - running[ends[:-1]])
    return fold_words(
        np.stack([records["visitor_high"], records["visitor_low"], seeds[records["pattern"]], *sums])
    )


def match_rows(matches: Matches, plan: PatternPlan, window: Window, *, at_end: bool) -> pl.DataFrame:
    """Matches as rows of the matches table, ordered by the time they were settled at, then by id.

    With `at_end`, those that no event completed are marked as released by the input's end. `stages` is JSON:
    stage name -> message ids of the events it took, in their order.
    """
    count = matches.records.size
    if count == 0:
        return MATCHES.empty()
    bases = _match_bases(matches, plan)
    ordinals = _ordinals(bases)
    high, low = fold_words(np.stack([*bases, ordinals.astype(np.uint64)]))
    order = np.lexsort((low, high, matches.records["settled_time"]))
    records = matches.records[order]
    message_ids, visitor_ids = window.take(matches.nodes["row"].copy(), "message_id", "visitor_id")
    numbers = records["pattern"].copy()
    columns = {
        "match_id": hex_names(high[order], low[order]),
        "pattern": pl.Series([pattern.name for pattern in plan.patterns]).gather(numbers),
        "pattern_version": pl.Series(plan.versions).gather(numbers),
        "visitor_id": visitor_ids.gather(records["first_node"].copy()),
        "first_time": _times(records["first_time"]),
        "last_time": _times(records["last_time"]),
        "settled_time": _times(records["settled_time"]),
        "stages": pl.Series(_stages(records, matches.nodes, message_ids.to_list(), plan)),
        "ordinal": pl.Series(ordinals[order]),
        "at_end": pl.Series((records["settled_time"] > records["last_time"]) & at_end),
        "status": _constant("fired", count=count),
        "revision": pl.Series(np.zeros(count, np.uint32)),
    }
    return pl.DataFrame(columns)


def _stages(
    records: npt.NDArray[np.void], nodes: npt.NDArray[np.void], message_ids: list[str], plan: PatternPlan
) -> list[str]:
    names_of = [[stage.name for stage in pattern.stages] for pattern in plan.patterns]
    stage_of = nodes["stage"].tolist()
    encode = msgspec.json.Encoder().encode
    stages = []
    fields = ("first_node", "node_count", "pattern")
    for first, count, pattern in zip(*(records[name].tolist() for name in fields), strict=True):
        names = names_of[pattern]
        taken: dict[str, list[str]] = {}
        for at in range(first, first + count):
            taken.setdefault(names[stage_of[at]], []).append(message_ids[at])
        stages.append(encode(taken).decode())
    return stages
