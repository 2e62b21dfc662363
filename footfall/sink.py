"""The contract of a sink: one process's outlet for rows.

A run writes its rows through sinks in *parts* (its shards). One sink object serves all parts of one worker
process; a part is open in one process at a time. Its life:

1. `open_part(part, resume)`, once, before the part's first row. `resume` is what `flush` returned for the part at
   the snapshot that the run goes on from, None at a fresh start. What the part wrote after that snapshot is
   undone, or is overwritten by the rows that the run writes again (a table's key and version decide which row
   stands).
2. `write(part, table, frame)`, any number of times. The rows are taken, not yet kept. It may block, but only while
   the sink is full: a place that is away or slow holds the stream only once the sink's buffer is used up.
3. `flush(part)` at each snapshot. When it returns, all rows written for the part are durable: a process that is
   killed the next moment has lost none of them.
4. `close()`, once, at the end and also after errors and Ctrl-C. It only frees: what was flushed stays, the rest may
   or may not be there. It is quick, and raises nothing.

So delivery is at least once, and the rows that stand at the end are those of a run without interruption. A
sink pickles before it is first used, and opens nothing before `open_part`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import polars as pl

from footfall.errors import SinkError
from footfall.tables import Table
from footfall.trigger_rule import TriggerRule


class Sink(ABC):
    """One process's outlet; the module says what each method promises. One thread calls them all."""

    @property
    def name(self) -> str:
        """What its states are called in a snapshot; a run has at most one sink of a name."""
        return type(self).__name__

    @abstractmethod
    def open_part(self, part: str, resume: object | None) -> None:
        """Make ready for a part, and undo what it wrote after the snapshot that gave `resume`.

        Raises:
            FootfallError: the sink's place can't be opened.
        """

    @abstractmethod
    def write(self, part: str, table: Table, frame: pl.DataFrame) -> None:
        """Take rows of a table, in the table's columns and types; an empty frame is fine.

        Raises:
            SinkError: the frame doesn't fit the table, or the part isn't open.
            FootfallError: rows taken earlier couldn't be kept, for good.
        """

    @abstractmethod
    def flush(self, part: str) -> object:
        """Make the part's rows durable; the state, small and pickled, for `open_part` when the run resumes.

        Raises:
            FootfallError: they can't be kept.
        """

    def go_by(self, rules: Sequence[TriggerRule]) -> None:  # noqa: B027 - few sinks need to know
        """These trigger rules come into force; any thread may call it. What others have decided may still come."""

    @abstractmethod
    def close(self) -> None:
        """Free what is open. Calling it twice is fine."""


def fitting(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame's columns in the table's order, checked: every column there, of its type, and none besides.

    Raises:
        SinkError: a column is missing, unknown, of another type, or lacks values that its table needs.
    """
    wanted = table.schema
    if frame.schema != wanted:
        problems = [f"no column {name!r}" for name in wanted if name not in frame.schema]
        problems += [f"unknown column {name!r}" for name in frame.schema if name not in wanted]
        problems += [
            f"column {name!r} is {frame.schema[name]}, not {dtype}"
            for name, dtype in wanted.items()
            if name in frame.schema and frame.schema[name] != dtype
        ]
        if problems:
            raise SinkError("; ".join(problems), table=table.name)
        frame = frame.select(wanted.names())
    needed = [name for name, _, kind in table.columns if "Nullable(" not in kind]
    lacking = [name for name in needed if frame[name].null_count()]
    if lacking:
        raise SinkError(f"rows without a value for {', '.join(lacking)}", table=table.name)
    return frame
