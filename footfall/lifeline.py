"""What a parent tells a worker that runs: words on the pipe that its order came through.

The pipe stays open as a lifeline: when the parent is gone, however it went, the worker ends at once, and its last
snapshot stands. A word asks it to stop (a signal could come before there is a handler for it); another says that a
control record is there. Words are short, so that those of several threads don't mix; the record itself is in a file.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from footfall.control_record import ControlRecord

STOP = b"s"
_RECORD = b"r"
_NUMBER_BYTES = 8


def record_word(record: ControlRecord, folder: Path) -> bytes:
    """Put a control record into a folder that workers see; the word that says so.

    Raises:
        OSError: the record can't be written.
    """
    # Where a run lasts for weeks, somebody may have tidied its temporary folder away.
    folder.mkdir(mode=0o700, exist_ok=True)
    _path(folder, record.number).write_bytes(record.to_json())
    return _RECORD + record.number.to_bytes(_NUMBER_BYTES, "little")


def listen(
    pipe: int, folder: Path, stop: Callable[[], None], take_up: Callable[[ControlRecord], None]
) -> None:
    """Do as the parent says, until the pipe is closed, or a record isn't there: a worker that ends starts with it."""
    with suppress(OSError):
        while word := os.read(pipe, 1):
            if word == STOP:
                stop()
            elif word == _RECORD:
                path = _path(folder, int.from_bytes(os.read(pipe, _NUMBER_BYTES), "little"))
                take_up(ControlRecord.from_json(path.read_bytes(), where=str(path)))


def _path(folder: Path, number: int) -> Path:
    return folder / f"record-{number}.json"
