"""Bytewax's recovery store: what a run that died has left there beyond the epoch from which it goes on.

A worker may have kept its state of an epoch that others hadn't finished when the run died. The next run goes on before
that epoch, but Bytewax 0.21 leaves the rows where they are. They are replaced where a step takes part in the same epoch
again; where it doesn't (nothing has come for it yet), they count as its latest state as soon as the run is past that
epoch. A run that dies then goes on with a shard that is ahead of its source: what is read again counts twice.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from footfall.errors import StateError

_PATIENCE_SECONDS = 30.0


def forget_unfinished(folder: Path) -> int:
    """Remove the state that was kept of epochs from which on a run is done again; how many rows that were.

    Every process of a run does so before it joins the others, none of which has kept anything then.

    Raises:
        StateError: the store can't be read or written.
    """
    try:
        with ExitStack() as stack:
            parts = [stack.enter_context(_opened(path)) for path in sorted(folder.glob("part-*.sqlite3"))]
            resume = _resume_epoch(parts)
            if resume is None:
                return 0
            return sum(
                part.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (resume,)).rowcount for part in parts
            )
    except sqlite3.Error as error:
        raise StateError(
            f"the recovery data in {folder} can't be used ({error}): see that the disk has room and this user may "
            "write there; if files are damaged, begin anew with an empty --state folder"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)) as part:
        yield part


def _resume_epoch(parts: list[sqlite3.Connection]) -> int | None:
    """The epoch with which the next run begins: that of the last run's slowest worker; None if there was none."""
    runs: dict[int, tuple[int, int]] = {}
    for part in parts:
        for number, workers, resumed in part.execute("SELECT ex_num, worker_count, resume_epoch FROM exs"):
            runs[number] = workers, resumed
    if not runs:
        return None
    last = max(runs)
    workers, resumed = runs[last]
    reached = dict.fromkeys(range(workers), resumed)
    for part in parts:
        found = part.execute("SELECT worker_index, worker_frontier FROM fronts WHERE ex_num = ?", (last,))
        for worker, epoch in found:
            reached[worker] = max(reached.get(worker, resumed), epoch)
    return min(reached.values())
