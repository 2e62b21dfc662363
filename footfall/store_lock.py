"""Who has the embedded store's folder: a lock that the system frees when its process ends, however it ends.

The engine's folder can be open in one process only. Its holder locks `footfall.lock` in it and writes there
who it is and, where it serves the folder over HTTP, at which address. The lock is the truth; what is written
may be left over from a holder that is gone, and is read only while somebody holds the lock.
"""

import fcntl
import json
import os
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from footfall.errors import StoreError

LOCK_FILE = "footfall.lock"
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that has a folder.

    Attributes:
        pid: its process id.
        command: program and subcommand, without further arguments (they may hold a password).
        url: the address at which it speaks ClickHouse's HTTP interface; None where it doesn't.
        started: when it took the folder, ISO 8601 in UTC.
        served_for: the process that it serves the folder for and ends with; None where it ends by itself.
    """

    pid: int
    command: str
    url: str | None
    started: str
    served_for: int | None = None

    @property
    def serving(self) -> bool:
        """Whether others can go through it: it has an address, and isn't about to end with its run."""
        return self.url is not None and (self.served_for is None or _alive(self.served_for))

    def __str__(self) -> str:
        served = f", which serves it at {self.url}" if self.url else ""
        return f"process {self.pid} ({self.command}, since {self.started}{served})"


class FolderLock:
    """The lock on one folder. `acquire` makes the folder; `release`, or the process's end, frees the lock.

    A process that is forked off shares the lock with its parent for as long as it lives: start others by
    spawn.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor: int | None = None
        self._started = ""

    def acquire(self) -> bool:
        """Take the lock; False when another process (or another lock of this one) has it.

        Raises:
            StoreError: the folder can't be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(
                f"the store's folder {self.folder} can't be opened: {error.strerror}; name another one, "
                "or give this user the right to write there"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"the store's folder {self.folder} can't be locked ({error.strerror}); put it on a local disk"
            ) from error
        self._descriptor = descriptor
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self.announce(None)
        return True

    def announce(self, url: str | None, served_for: int | None = None) -> None:
        """Write who holds the folder, and its address where it has one, for those who find it locked."""
        if self._descriptor is None:
            raise StoreError(f"the folder {self.folder} isn't locked by this process")
        facts = {
            "pid": os.getpid(),
            "command": _command(),
            "url": url,
            "started": self._started,
            "served_for": served_for,
        }
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(facts).encode(), 0)

    def release(self) -> None:
        """Free the lock. Calling it twice is fine."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def read_holder(folder: Path) -> Holder | None:
    """What the lock file says; None where it says nothing (yet). It may speak of a process that is gone."""
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            facts = json.loads(file.read(_MOST_BYTES))
        return Holder(
            int(facts["pid"]),
            str(facts["command"]),
            facts["url"],
            str(facts["started"]),
            facts.get("served_for"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _command() -> str:
    program = Path(sys.argv[0]).name or "python"
    words = [word for word in sys.argv[1:3] if word.isalpha()]
    return " ".join(["python" if program == "-c" else program, *words])


_guard = threading.Lock()
_held: dict[Path, tuple[FolderLock, int]] = {}
_held_by = 0


def hold_folder(folder: Path) -> FolderLock | None:
    """Take a folder for this process, or join the hold that it has already; None when another process has it.

    Each hold is given back with `leave_folder`. All of a process's holds are of one folder, since the
    embedded engine can open only one.

    Raises:
        StoreError: the process holds another folder, or was forked from one that holds a folder.
    """
    global _held_by  # noqa: PLW0603 - one engine to a process: this state is the process's own
    folder = folder.resolve()
    with _guard:
        if _held and _held_by != os.getpid():
            raise StoreError(
                f"this process was forked from one that has the store {next(iter(_held))} open; "
                "start it by spawn instead"
            )
        other = next((held for held in _held if held != folder), None)
        if other is not None:
            raise StoreError(
                f"this process has the embedded store {other} open and can't open {folder} too: close that "
                "one first, or serve one of them from a process of its own (footfall store serve)"
            )
        if folder in _held:
            lock, count = _held[folder]
            _held[folder] = (lock, count + 1)
            return lock
        lock = FolderLock(folder)
        if not lock.acquire():
            return None
        _held[folder] = (lock, 1)
        _held_by = os.getpid()
        return lock


def leave_folder(folder: Path) -> None:
    """Give back one hold; the last one frees the folder for other processes."""
    folder = folder.resolve()
    with _guard:
        if folder not in _held:
            return
        lock, count = _held.pop(folder)
        if count > 1:
            _held[folder] = (lock, count - 1)
        else:
            lock.release()
