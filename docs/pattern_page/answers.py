"""What the examples match: run by `footfall.match`, and put as the page and its pictures show it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from docs.pattern_page.example import Example
from footfall import Pattern, match
from footfall.event_frame import event_frame

_START = datetime(1970, 1, 1, tzinfo=UTC)
_QUIET = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Found:
    """One match.

    Attributes:
        taken: the rows that it took, each with the stage that took it, in the order of the rows.
        settled_ms: when it was certain.
        timed_out: whether it is a partial match that ran out of time.
        outputs: JSON text of its outputs; None where the pattern asks for none.
    """

    taken: tuple[tuple[int, str], ...]
    settled_ms: int
    timed_out: bool
    outputs: str | None


def times_of(events: pl.DataFrame) -> list[int]:
    """The events' times, in ms."""
    times: list[int] = events["event_time"].to_list()
    return times


def found_in(example: Example) -> list[Found]:
    """The matches of an example, the earliest settled first; after its last event an hour passes without one."""
    until = _START + timedelta(milliseconds=max(times_of(example.events))) + _QUIET
    matches = match(example.events, example.pattern, until=until).with_columns(
        pl.col("settled_time").dt.epoch("ms")
    )
    found = [
        Found(
            tuple(sorted((taken["row"], taken["stage"]) for taken in row["rows"])),
            row["settled_time"],
            row["status"] == "timed_out",
            row["outputs"],
        )
        for row in matches.iter_rows(named=True)
    ]
    return sorted(found, key=lambda one: (one.settled_ms, one.taken))


def forbidden_rows(pattern: Pattern, events: pl.DataFrame) -> frozenset[int]:
    """The rows that a stage of the pattern forbids, or that end a loop, as far as the event alone tells."""
    every = event_frame(events)
    rows: set[int] = set()
    for stage in (one for outer in pattern.stages for one in outer.walk()):
        for condition in (stage.condition if stage.forbids else None, stage.until):
            if condition is not None and not condition.depends_on_match:
                rows |= set(every.select(condition.to_polars()).to_series().arg_true().to_list())
    return frozenset(rows)


def in_words(found: Found, example: Example) -> str:
    """A match on one line: each stage with the times of its events, then what else is to be said."""
    times = times_of(example.events)
    stages = {
        stage: [seconds(times[row]) for row, by in found.taken if by == stage]
        for stage in example.pattern.stage_names()
    }
    words = "  ".join(f"{stage} {', '.join(at)}" for stage, at in stages.items() if at)
    if found.timed_out:
        words += f"  (timed out at {seconds(found.settled_ms)})"
    elif found.settled_ms > max(times[row] for row, _ in found.taken):
        words += f"  (settled at {seconds(found.settled_ms)})"
    return words if found.outputs is None else f"{words}  {found.outputs}"


def seconds(ms: int) -> str:
    """A time as the page shows it."""
    return f"{ms / 1000:g} s"
