"""Answers: closed sessions and matches, each with a name that is the same in every run.

`session_id` is a hash of the visitor and of the session's first event (its message and its time); `match_id` of
the visitor, the pattern, its version, each stage with its events, and the ordinal among equal matches. The digest
takes an answer as words: its name, which stands for all that it is a hash of, and the rest of its content. Rows are
made only where a sink wants them.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.digest import Words, text_words
from footfall.envelope import TIME
from footfall.event_batch import UTM_COLUMNS
from footfall.hashing import U64, fold_words, hex_names, text_seed
from footfall.matcher import Matches
from footfall.pattern_plan import PatternPlan
from footfall.record_arrays import take_records
from footfall.row_store import RowPool
from footfall.sessions import ClosedSessions
from footfall.tables import SESSIONS

Ordinals = npt.NDArray[np.uint32]

_STATUS = ("fired", "timed_out")
_SESSION_NUMBERS = (
    "start", "last", "events", "page_views", "clicks", "conversions", "pages", "longest_idle", "value", "mixed",
)  # fmt: skip
_SESSION_TEXTS = (
    ("user_id", "user_row", "user_id"),
    ("entry_page", "entry_row", "path"),
    ("exit_page", "exit_row", "path"),
    ("referrer", "referrer_row", "referrer"),
    *((name, "utm_row", name) for name in UTM_COLUMNS),
    ("currency", "currency_row", "currency"),
)
"""The text columns of a session: each with the row that it quotes and that row's column."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of one kind: `words` for the digest, and `rows` of its table, without rows where none are wanted."""

    words: Words
    rows: pl.DataFrame


def _times(values: npt.NDArray[np.int64]) -> pl.Series:
    return pl.Series(np.ascontiguousarray(values)).cast(TIME)


def _constant(value: object, *, count: int) -> pl.Series:
    return pl.Series([value]).new_from_index(0, count)


def session_answers(closed: ClosedSessions, pool: RowPool, *, at_end: bool, wants_rows: bool) -> Answers:
    """Closed sessions, ordered by the time they were over, then by id."""
    records = closed.records
    count = records.size
    parts = ("high", "low", "first_high", "first_low", "start")
    high, low = fold_words(np.stack([records[name].astype(np.uint64) for name in parts]))
    order = np.lexsort((low, high, closed.times))
    visitors, high, low = take_records(records, order), high[order], low[order]
    texts = {name: pool.take(visitors[row].copy(), (column,))[0] for name, row, column in _SESSION_TEXTS}
    words = [high, low, np.full(count, at_end, np.uint64)]
    words += [visitors[name].astype(np.uint64) for name in _SESSION_NUMBERS]
    words += [word for column in texts.values() for word in text_words(column)]
    if not wants_rows:
        return Answers(words, _NO_SESSIONS)
    columns = {
        **texts,
        "session_id": hex_names(high, low),
        "visitor_id": pool.take(visitors["first_row"].copy(), ("visitor_id",))[0],
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
        "value": pl.Series(visitors["value"].copy()),
        "mixed_currencies": pl.Series(visitors["mixed"] != 0),
        "at_end": _constant(at_end, count=count),
        "status": _constant("fired", count=count),
        "revision": pl.Series(np.zeros(count, np.uint32)),
    }
    return Answers(words, pl.DataFrame({name: columns[name] for name in _NO_SESSIONS.columns}))


def _ordinals(bases: tuple[U64, U64]) -> Ordinals:
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
    kinds = seeds[records["pattern"]] + records["kind"].astype(np.uint64)
    return fold_words(np.stack([records["visitor_high"], records["visitor_low"], kinds, *sums]))


def match_names(matches: Matches, plan: PatternPlan, runs: U64 | None = None) -> tuple[U64, U64, Ordinals]:
    """The words of each match's id, and its ordinal among equal ones (of the same run, if there are several)."""
    bases = _match_bases(matches, plan)
    equal = bases if runs is None else fold_words(np.stack([*bases, runs]))
    ordinals = _ordinals(equal)
    high, low = fold_words(np.stack([*bases, ordinals.astype(np.uint64)]))
    return high, low, ordinals


@dataclass(frozen=True, slots=True)
class NamedMatches:
    """Matches in an order, each with its id's words and its ordinal."""

    matches: Matches
    high: U64
    low: U64
    ordinals: Ordinals

    def at(self, places: npt.NDArray[np.int64]) -> "NamedMatches":
        """Those at the places, in that order."""
        outputs = self.matches.outputs
        taken = Matches(
            take_records(self.matches.records, places),
            self.matches.nodes,
            [outputs[place] for place in places.tolist()] if outputs else [],
        )
        return NamedMatches(taken, self.high[places], self.low[places], self.ordinals[places])


def named_matches(matches: Matches, plan: PatternPlan, runs: U64 | None = None) -> NamedMatches:
    """Matches with their names, ordered by the time they were settled at, then by id."""
    high, low, ordinals = match_names(matches, plan, runs)
    order = np.lexsort((low, high, matches.records["settled_time"]))
    return NamedMatches(matches, high, low, ordinals).at(order)


def match_words(named: NamedMatches, *, at_end: bool) -> Words:
    """The matches as the digest takes them."""
    records = named.matches.records
    times = [records[name].astype(np.uint64) for name in ("first_time", "last_time", "settled_time")]
    return [named.high, named.low, *times, _released(records, at_end=at_end).astype(np.uint64)]


def match_rows(
    named: NamedMatches,
    plan: PatternPlan,
    pool: RowPool,
    *,
    at_end: bool = False,
    status: pl.Series | None = None,
    revision: npt.NDArray[np.uint32] | None = None,
    with_origin: bool = False,
) -> pl.DataFrame:
    """The matches as rows of their table; `with_origin`, `user_id` and `first_message_id` of the first event as well.

    With `at_end`, those that no event completed are marked as released by the input's end. `stages` is JSON:
    stage name -> message ids of the events it took, in their order. `status` is by the matches' kinds, and
    `revision` 0, where they aren't given.
    """
    records, nodes = named.matches.records, named.matches.nodes
    count = records.size
    message_ids, visitor_ids = pool.take(np.ascontiguousarray(nodes["row"]), ("message_id", "visitor_id"))
    numbers = records["pattern"].tolist()
    first = pl.Series(records["first_node"].astype(np.uint32))
    columns = {
        "match_id": hex_names(named.high, named.low),
        "pattern": pl.Series([plan.patterns[number].name for number in numbers], dtype=pl.String),
        "pattern_version": pl.Series([plan.versions[number] for number in numbers], dtype=pl.String),
        "visitor_id": visitor_ids[first],
        "first_time": _times(records["first_time"]),
        "last_time": _times(records["last_time"]),
        "settled_time": _times(records["settled_time"]),
        "stages": pl.Series(_stages(records, nodes, message_ids.to_list(), plan)),
        "ordinal": pl.Series(named.ordinals),
        "at_end": pl.Series(_released(records, at_end=at_end)),
        "status": _statuses(records) if status is None else status,
        "revision": pl.Series(np.zeros(count, np.uint32) if revision is None else revision),
        "outputs": pl.Series(plan.outputs.texts(records, nodes, named.matches.outputs, pool)),
    }
    if with_origin:
        (users,) = pool.take(nodes["row"][records["first_node"]], ("user_id",))
        columns |= {"user_id": users, "first_message_id": message_ids[first]}
    return pl.DataFrame([column.alias(name) for name, column in columns.items()])


def _statuses(records: npt.NDArray[np.void]) -> pl.Series:
    return pl.Series([_STATUS[kind] for kind in records["kind"].tolist()], dtype=pl.String)


def _released(records: npt.NDArray[np.void], *, at_end: bool) -> npt.NDArray[np.bool_]:
    released: npt.NDArray[np.bool_] = (records["settled_time"] > records["last_time"]) & at_end
    return released


def _stages(
    records: npt.NDArray[np.void], nodes: npt.NDArray[np.void], message_ids: list[str], plan: PatternPlan
) -> list[str]:
    names_of = plan.stage_names
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


_NO_SESSIONS = SESSIONS.empty()
NO_SESSIONS = Answers([np.zeros(0, np.uint64)], _NO_SESSIONS)
"""No sessions; given where a round has none."""
