"""The folders of spools: `root/<worker number>`, each locked by the process that uses it."""

import fcntl
import os
import time
from pathlib import Path

from footfall.errors import SinkError

LOCK_FILE = "lock"


class SpoolFolder:
    """A spool's folder, locked until `close`. The lock ends with the process, however it ends."""

    def __init__(self, folder: Path, wait: float) -> None:
        """Make the folder if need be, and lock it.

        Raises:
            SinkError: another process keeps it for longer than `wait` seconds, or it can't be made.
        """
        self.path = folder
        # What is to be synced once: those folders above the parent that are to hold new ones.
        self._grown = [each.parent for each in folder.parents if not each.exists()]
        until = time.monotonic() + wait
        while True:
            try:
                descriptor = _locked(folder)
            except OSError as error:
                raise SinkError(f"the spool {folder} can't be made or locked: {error.strerror}") from error
            if descriptor is not None:
                self._descriptor = descriptor
                return
            if time.monotonic() >= until:
                raise SinkError(
                    f"the spool {folder} is in use by another process: wait until it ends, or name another folder"
                )
            time.sleep(0.02)

    def sync(self) -> None:
        """Make the folder's list of files safe on disk, that of the folder that it is in, and of those made for it."""
        grown, self._grown = self._grown, []
        for path in (self.path, self.path.parent, *grown):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        """Remove the folder, which must hold nothing any more; it stays locked until `close`."""
        (self.path / LOCK_FILE).unlink()
        self.path.rmdir()

    def close(self) -> None:
        """Free the folder."""
        os.close(self._descriptor)


def left_folders(root: Path, workers: int) -> list[Path]:
    """The folders of workers beyond the first `workers`, which nobody uses unless a run is still ending."""
    if not root.is_dir():
        return []
    numbers = sorted(
        int(path.name) for path in root.iterdir() if path.name.isdecimal() and path.name.isascii()
    )
    return [root / str(number) for number in numbers if number >= workers and (root / str(number)).is_dir()]


def _locked(folder: Path) -> int | None:
    """The descriptor of the folder's lock; None where another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        return None  # removed since: the next try makes it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever adopted the folder may have removed it meanwhile, and the lock with it.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
