"""Rounds for trigger books out of plain matches and events, and their decisions as plain values again."""

import pickle
from collections.abc import Iterable, Sequence

import msgspec
import polars as pl
from reference_triggers import Decided, Found, Happened, messages

from footfall.profile_schema import ProfileAt
from footfall.tables import MATCHES, TRIGGERS
from footfall.trigger_book import TriggerBook, TriggerRound
from footfall.trigger_withdrawals import withdrawing_events

MATCH_COLUMNS = pl.Schema(
    {**MATCHES.schema, "user_id": pl.String(), "session_id": pl.String(), "first_message_id": pl.String()}
)


def match_frame(told: Iterable[tuple[bool, int, Found]], *, outputs: str = "") -> pl.DataFrame:
    """Rows of matches: whether each fires, its revision, and the match."""
    rows = [
        {
            "match_id": match.match_id,
            "pattern": match.pattern,
            "pattern_version": "v1",
            "visitor_id": match.visitor,
            "first_time": match.first,
            "last_time": match.last,
            "settled_time": match.settled,
            "stages": msgspec.json.encode({"a": [match.message]}).decode(),
            "ordinal": 0,
            "at_end": False,
            "status": "fired" if fires else "retracted",
            "revision": revision,
            "outputs": outputs,
            "user_id": f"user of {match.visitor}",
            "session_id": "s",
            "first_message_id": match.message,
        }
        for fires, revision, match in told
    ]
    plain = {name: pl.Int64() if name.endswith("_time") else dtype for name, dtype in MATCH_COLUMNS.items()}
    return pl.DataFrame(rows, plain).cast(MATCH_COLUMNS)


def event_frame(events: Iterable[Happened]) -> pl.DataFrame:
    """The events with the columns that withdrawals read."""
    rows = [(event.visitor, event.time, event.name) for event in events]
    frame = pl.DataFrame(
        rows, {"visitor_id": pl.String, "event_time": pl.Int64, "event": pl.String}, orient="row"
    )
    return frame.cast({"event_time": pl.Datetime("ms", "UTC")})


def rounds(
    book: TriggerBook,
    matches: Sequence[Found],
    events: Sequence[Happened],
    cuts: Sequence[int],
    profile_at: ProfileAt | None = None,
) -> list[TriggerRound]:
    """A round for each of the cuts, which are the watermarks, in rising order."""
    made = []
    since = -1
    settled = sorted(matches, key=lambda match: (match.settled, match.match_id))
    told = messages(matches, cuts[-1])
    for until in cuts:
        taken = [event for event in sorted(events, key=lambda one: one.time) if since < event.time <= until]
        now = [(True, 0, match) for match in settled if since < match.settled <= until]
        said = [(fires, 0, match) for at, fires, match in told if since < at <= until]
        made.append(
            TriggerRound(
                until,
                match_frame(now) if now else None,
                match_frame(said) if said else None,
                withdrawing_events(book.withdrawals, event_frame(taken)) if taken else None,
                profile_at,
            )
        )
        since = until
    return made


def decisions(book: TriggerBook, given: Iterable[TriggerRound], *, restarts: bool = False) -> pl.DataFrame:
    """What a book decides of rounds; with `restarts`, it is pickled and brought back after each."""
    found = [TRIGGERS.empty()]
    for one in given:
        rows = book.take(one)
        assert rows.schema == TRIGGERS.schema
        if rows.height:
            found.append(rows)
        if restarts:
            book = pickle.loads(pickle.dumps(book))
    return pl.concat(found)


def plain(rows: pl.DataFrame) -> list[Decided]:
    """The rows as the reference has them, in their order."""
    times = [name for name in rows.columns if name.endswith("_time")]
    stages = msgspec.json.Decoder(dict[str, list[str]])
    return [
        Decided(
            row["rule"],
            row["visitor_id"],
            stages.decode(row["evidence"])["a"][0],
            row["event_time"],
            row["match_id"],
            row["due_time"],
            row["status"],
            row["revision"],
            row["decided_time"],
        )
        for row in rows.with_columns(pl.col(times).to_physical()).to_dicts()
    ]
