"""What a run that began with its past sends, and what not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from control_records import REMIND
from store_rows import rows

from footfall.clock import FOREVER
from footfall.held_back import HoldingSink, Outset
from footfall.sink import Sink
from footfall.tables import (
    DEAD_LETTERS,
    EVENTS,
    LATE_EVENTS,
    MATCHES,
    SCORES,
    SESSIONS,
    TABLES,
    TRIGGERS,
    Table,
)
from footfall.trigger_rule import TriggerRule

SINCE = datetime(2025, 3, 1, tzinfo=UTC)
GAP = 1_800_000
TICK = 120_000
OUTSET = Outset(int(SINCE.timestamp() * 1000), {"events/0000": 40, "old.ndjson": FOREVER})


class Recording(Sink):
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Table, int]] = []
        self.opened: list[tuple[str, object | None]] = []
        self.closed = 0
        self.rules: list[Sequence[TriggerRule]] = []

    def open_part(self, part: str, resume: object | None) -> None:
        self.opened.append((part, resume))

    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        self.written.append((part, table, frame.height))

    def flush(self, part: str) -> object:
        return f"state of {part}"

    def go_by(self, rules: Sequence[TriggerRule]) -> None:
        self.rules.append(rules)

    def close(self) -> None:
        self.closed += 1


def at(table: Table, column: str, *seconds: float) -> pl.DataFrame:
    """Rows of a table of which that column lies so many seconds behind the outset."""
    times = [SINCE + timedelta(seconds=each) for each in seconds]
    return rows(table, len(times)).with_columns(pl.Series(column, times).cast(table.schema[column]))


def sent(table: Table, frame: pl.DataFrame) -> list[int]:
    """The numbers of the rows that are sent."""
    numbered = frame.with_row_index("row_number")
    found = OUTSET.news(table, numbered, GAP, TICK)
    assert found.drop("row_number").schema == table.schema
    return found["row_number"].to_list()


def test_matches_and_triggers_go_by_the_time_of_their_decision() -> None:
    assert sent(MATCHES, at(MATCHES, "settled_time", -1, -0.001, 0, 0.001)) == [2, 3]
    assert sent(TRIGGERS, at(TRIGGERS, "decided_time", -86_400, -0.001, 0, 5)) == [2, 3]


def test_a_session_is_past_once_its_gap_is() -> None:
    frame = at(SESSIONS, "end_time", -1_800.001, -1_800, -1, 10)
    assert sent(SESSIONS, frame) == [1, 2, 3]


def test_a_score_is_past_once_its_moment_lies_a_tick_behind() -> None:
    assert sent(SCORES, at(SCORES, "time", -120.001, -120, -1, 10)) == [1, 2, 3]


def test_letters_go_by_where_they_were_read() -> None:
    places = [("events/0000", 39), ("events/0000", 40), ("old.ndjson", 10**9), ("events/0007", 0)]
    for table in (LATE_EVENTS, DEAD_LETTERS):
        frame = rows(table, 4).with_columns(
            source_partition=pl.Series([name for name, _ in places]),
            source_offset=pl.Series([offset for _, offset in places], dtype=pl.Int64),
        )
        assert sent(table, frame) == [1, 3]


def test_the_rest_passes_and_an_empty_frame_too() -> None:
    assert sent(EVENTS, rows(EVENTS, 3)) == [0, 1, 2]
    for table in TABLES:
        assert sent(table, table.empty()) == []


def test_a_sink_gets_what_is_left_and_all_else_as_it_is() -> None:
    inner = Recording()
    sink = HoldingSink(inner, OUTSET, GAP, TICK)
    sink.open_part("a", 3)
    sink.write("a", MATCHES, at(MATCHES, "settled_time", -1, -1, 1))
    sink.write("a", MATCHES, at(MATCHES, "settled_time", -1))
    assert sink.flush("a") == "state of a"
    sink.close()
    assert inner.opened == [("a", 3)]
    # A sink serves its connection when it is written to, so it is, even if nothing is left.
    assert inner.written == [("a", MATCHES, 1), ("a", MATCHES, 0)]
    assert inner.closed == 1
    assert sink.held == {"matches": 3}


def test_the_sink_behind_hears_of_rules_that_come() -> None:
    inner = Recording()
    HoldingSink(inner, OUTSET, GAP, TICK).go_by((REMIND,))
    assert inner.rules == [(REMIND,)]
