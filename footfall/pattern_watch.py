"""Notices that a folder of patterns has changed, and reads it once the change is whole.

`look` is called again and again by who would act on a change; it compares names, sizes and times of change, which
costs next to nothing, and reads only what has been the same at two looks in a row: what an editor or a copy has half
written isn't read. There are no threads.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from footfall.content import content_folder
from footfall.errors import PatternFilesError, UsageError
from footfall.pattern_fault import fault_words
from footfall.pattern_files import PatternFolder, read_folder

_Marks = tuple[tuple[str, int, int, int], ...]
"""(name, size, time of change in ns, inode) of the files that count, by name."""


class PatternWatch:
    """Watches one folder.

    Args:
        folder: the folder; None for that of the shipped patterns.
        every: seconds from one comparison to the next; calls of `look` in between do nothing.
        clock: the time in seconds, which never goes back.

    Attributes:
        folder: the folder that is watched.
    """

    def __init__(
        self, folder: Path | None, every: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = content_folder("patterns") if folder is None else folder
        self._every = every
        self._clock = clock
        self._due = clock()
        self._read: _Marks | None = None
        self._seen: _Marks | None = None

    def look(self) -> PatternFolder | PatternFilesError | None:
        """What the folder holds, or what is wrong with it; None while there is nothing new.

        The first result comes once the folder has settled, whether or not it changed since it was last read by anyone:
        `footfall.control_record.content_digest` tells whether it says something else. A folder that is gone is an
        error; each change of what is wrong is told once. Nothing is raised for what a file does.
        """
        now = self._clock()
        if now < self._due:
            return None
        self._due = now + self._every
        marks = self._marks()
        settled, self._seen = marks == self._seen, marks
        if not settled or marks == self._read:
            return None
        found = self._found()
        if self._marks() != marks:
            return None  # it was written to meanwhile; the next looks see it
        self._read = marks
        return found

    def _marks(self) -> _Marks:
        return tuple(sorted(self._each_mark()))

    def _each_mark(self) -> Iterator[tuple[str, int, int, int]]:
        try:
            for path in self.folder.iterdir():
                if path.suffix in {".py", ".json"} and not path.name.startswith("."):
                    yield from _mark(path)
        except OSError:
            return  # a folder without marks is read as any other, and reading it says what is wrong

    def _found(self) -> PatternFolder | PatternFilesError:
        _forget_private_modules(self.folder)
        try:
            return read_folder(self.folder)
        except PatternFilesError as error:
            return error
        except UsageError as error:
            return PatternFilesError([str(error)])
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the files are the user's code: anything goes
            return PatternFilesError([f"{self.folder}: {fault_words(error)}"])


def _mark(path: Path) -> Iterator[tuple[str, int, int, int]]:
    try:
        facts = path.stat()
    except OSError:
        return  # gone since it was listed, or a link to nowhere
    yield path.name, facts.st_size, facts.st_mtime_ns, facts.st_ino


def _forget_private_modules(folder: Path) -> None:
    """Let the pattern files import `_*.py` beside them anew: Python keeps a module as it was first imported."""
    home = folder.resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__dict__", {}).get("__file__")  # asking a lazy module itself would import it
        if not isinstance(file, str):
            continue
        path = Path(file)
        if path.name.startswith("_") and path.stem != "__init__" and path.resolve().parent == home:
            del sys.modules[name]
