"""The table that keeps source partitions in step, and that holds them while the run takes something up.

All processes of a run on one machine map it. Each cell has one writer, and is an int64: for each partition how far it
has been read, in event time; the same as of when it was held; the number of the hold that it answers to; and the
furthest that it was ever read. The last cell, the parent's, has the number of the hold in force, 0 for none.
"""

import mmap
import sys
import threading
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

NOT_READ = -(2**63)
READ_TO_THE_END = 2**63 - 1
_CELL = 8
_COLUMNS = 4


class ReadAhead:
    """The table as the partitions of a process use it.

    A partition's cell is `NOT_READ` before its first event, and `READ_TO_THE_END` when it has ended. A stale read does
    no harm.

    Args:
        cells: the table.
        bound: how far (ms of event time) a partition may be ahead of the slowest.
    """

    def __init__(self, cells: npt.NDArray[np.int64], bound: int) -> None:
        count = cells.size // _COLUMNS
        self._times, self._held, self._answers, self._furthest = (
            cells[number * count : (number + 1) * count] for number in range(_COLUMNS)
        )
        self._hold = cells[-1:]
        self._bound = bound

    @classmethod
    def alone(cls, times: list[int], bound: int) -> Self:
        """A table of one process, whose partitions have been read that far."""
        count = len(times)
        unread = [NOT_READ] * count
        return cls(np.array([*times, *unread, *[0] * count, *unread, 0], np.int64), bound)

    @classmethod
    def mapped(cls, path: Path, bound: int) -> Self:
        """The table in the file that a `ReadingTable` has made."""
        return cls(np.memmap(path, dtype=np.int64, mode="r+"), bound)

    def note(self, partition: int, time: int) -> None:
        """This partition has been read up to that event time."""
        self._times[partition] = time
        if time != READ_TO_THE_END:
            self._furthest[partition] = max(time, int(self._furthest[partition]))

    def must_wait(self, before: int) -> bool:
        """Whether a partition must let the others catch up.

        `before` is the event time that it had been read up to before its last batch (`NOT_READ`: it has read one at
        most). So it may be one batch further ahead of the slowest than the bound says: a batch often spans more
        event time than the bound, and partitions that are read in turns would wait for each other at every one.
        """
        if before == NOT_READ:
            return False
        slowest = int(self._times.min())
        return slowest != READ_TO_THE_END and (slowest == NOT_READ or before > slowest + self._bound)

    def is_held(self, partition: int, time: int) -> bool:
        """Whether a partition is to read nothing now; it answers that it has been read up to that event time."""
        hold = int(self._hold[0])
        if hold:
            # In this order: who sees the answer sees the time.
            self._held[partition] = time
            self._answers[partition] = hold
        return bool(hold)

    def leave(self, partition: int, time: int) -> None:
        """A partition has been read to its end, up to that event time, and answers to every hold."""
        self._furthest[partition] = max(time, int(self._furthest[partition]))
        self._held[partition] = time
        self._answers[partition] = READ_TO_THE_END


class ReadingTable:
    """The table as the parent of the processes uses it; it makes the file at `path`. Any thread may use it.

    Where a file is there already, processes that were killed left it. They may have read further than those that go on
    from their last snapshot, and have told what they found: that counts as read, too.
    """

    def __init__(self, path: Path, partitions: int) -> None:
        self.path = path
        self._before = _furthest_of(path)
        order = sys.byteorder
        unread, none, before = (
            number.to_bytes(_CELL, order, signed=True) for number in (NOT_READ, 0, self._before)
        )
        cells = unread * 2 * partitions + none * partitions + before * partitions + none
        draft = path.with_name(f"{path.name}.new")
        draft.write_bytes(cells)
        draft.replace(path)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._cells = memoryview(self._map).cast("q")
        self._partitions = partitions
        self._number = 0
        self._using = threading.Lock()
        self._closed = False

    def hold(self) -> None:
        """Ask all partitions to read nothing until `release`."""
        self._number += 1
        self._set_hold(self._number)

    def held_at(self) -> int | None:
        """The latest event time that any partition has been read up to; None before all have answered that they hold.

        `NOT_READ` where nothing has been read yet. While no hold is in force it is None, too.
        """
        count = self._partitions
        with self._using:
            if self._closed or not self._cells[-1]:
                return None
            if any(answer < self._number for answer in self._cells[2 * count : 3 * count]):
                return None
            return max((*self._cells[count : 2 * count], self._before))

    def release(self) -> None:
        """Let them read on."""
        self._set_hold(0)

    def _set_hold(self, number: int) -> None:
        with self._using:
            if not self._closed:
                self._cells[-1] = number

    def close(self) -> None:
        """Let go of the file; whatever else is called afterwards does nothing."""
        with self._using:
            self._closed = True
            self._cells.release()
            self._map.close()


def _furthest_of(path: Path) -> int:
    """The latest event time that the processes of a former table had read; `NOT_READ` if there was none."""
    try:
        cells = np.frombuffer(path.read_bytes(), np.int64)
    except (OSError, ValueError):
        return NOT_READ
    count = cells.size // _COLUMNS
    return int(cells[(_COLUMNS - 1) * count : _COLUMNS * count].max(initial=NOT_READ))
