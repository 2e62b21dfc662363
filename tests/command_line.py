"""The program as its users run it: real processes, with a working directory of their own."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import footfall

_SOURCE = str(Path(footfall.__file__).resolve().parents[1])
_MARKER = "TEST_RUN_MARKER"
LIMIT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; that it showed nobody a traceback was checked."""

    code: int
    out: str
    err: str

    def one_object(self) -> dict[str, Any]:
        """Standard output, which must be one JSON object on one line."""
        assert self.code == 0, self.err
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


SETTINGS: dict[str, str] = {}
"""Variables that every command gets; see the fixture `without_scores`."""


def environment(marker: str = "", more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command: without settings of the machine's, and marked, so that it can be found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
    return {**kept, "PYTHONPATH": _SOURCE, "COLUMNS": "200", _MARKER: marker, **SETTINGS, **(more or {})}


def command(arguments: Sequence[object]) -> list[str]:
    """The command line for some arguments of the program."""
    return [sys.executable, "-m", "footfall.cli", *map(str, arguments)]


def run(
    *arguments: object, cwd: Path, stdin: bytes | None = None, more: Mapping[str, str] | None = None
) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        command(arguments),
        cwd=cwd,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=LIMIT_SECONDS,
        env=environment(more=more),
        check=False,
    )
    return _ended(done.returncode, done.stdout, done.stderr)


def _ended(code: int, out: bytes, err: bytes) -> Ended:
    words = err.decode()
    assert "Traceback" not in words, words
    assert "panicked" not in words, words
    return Ended(code, out.decode(), words)


def replay(*arguments: object, cwd: Path) -> dict[str, Any]:
    """The report of a replay, which must succeed."""
    return run("replay", *arguments, "--json", "--quiet", cwd=cwd).one_object()


def failed(*arguments: object, cwd: Path, code: int, more: Mapping[str, str] | None = None) -> str:
    """What a command that must fail with that exit code says, without a live run's line that it starts."""
    ended = run(*arguments, cwd=cwd, more=more)
    assert ended.code == code, (ended.out, ended.err)
    assert ended.out == ""
    said = "".join(
        line for line in ended.err.splitlines(keepends=True) if '"event":"run_starting"' not in line
    )
    assert said.startswith("footfall: ")
    return said


class Started:
    """A command that runs, in a process group of its own; all of its processes can be found by a marker.

    With `terminal` its standard error is one, so that it shows its progress as it goes.
    """

    def __init__(self, *arguments: object, cwd: Path, terminal: bool = False) -> None:
        self._marker = uuid.uuid4().hex
        self._shown = bytearray()
        self._reader: threading.Thread | None = None
        ours, theirs = pty.openpty() if terminal else (-1, subprocess.PIPE)
        self.process = subprocess.Popen(
            command(arguments),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=environment(self._marker),
            start_new_session=True,
        )
        if terminal:
            os.close(theirs)
            self._reader = threading.Thread(target=self._read, args=(ours,), daemon=True)
            self._reader.start()

    def _read(self, terminal: int) -> None:
        with suppress(OSError):  # what a terminal's end gives when the last writer has gone
            while data := os.read(terminal, 4096):
                self._shown += data
        os.close(terminal)

    def progress(self) -> list[int]:
        """The numbers of records that the progress on the terminal has shown so far."""
        found = re.findall(rb"\x1b\[2K([0-9,]+) records", bytes(self._shown))
        return [int(number.replace(b",", b"")) for number in found]

    def processes(self, *words: str) -> list[int]:
        """The ids of its living processes, the parent's too, whose command lines have all these words."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if f"{_MARKER}={self._marker}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has just ended, or is another user's
            if line and all(word in line for word in words):
                found.append(int(entry.name))
        return sorted(found)

    def workers(self) -> list[int]:
        """The ids of its workers."""
        return self.processes("footfall.worker")

    def owners(self) -> list[int]:
        """The ids of the store's owners that it started."""
        return self.processes("owner_main")

    def kill(self, *pids: int) -> None:
        """Kill processes of this command with SIGKILL; those that are gone already don't matter."""
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def ended(self, within: float = LIMIT_SECONDS) -> Ended:
        """Wait for the parent's end."""
        out, err = self.process.communicate(timeout=within)
        if self._reader is not None:
            self._reader.join(within)
            err = bytes(self._shown)
        return _ended(self.process.returncode, out, err)

    def all_gone(self, within: float) -> bool:
        """Whether all its processes have ended, or end in so many seconds."""
        return wait_until(lambda: not self.processes(), within)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill what is left of it; twice is fine."""
        self.kill(*self.processes())
        self.process.wait()
        if self._reader is not None:
            self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def wait_until(condition: Callable[[], object], within: float) -> bool:
    """Whether a condition holds, now or within so many seconds."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
