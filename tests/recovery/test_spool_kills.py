"""Real kills: of the process that writes to a spool, and of the one that has the store."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from store_rows import rows

from footfall.store import StoreAddress, open_store
from footfall.store_sink import StoreSink
from footfall.tables import EVENTS, SESSIONS
from footfall.worker_spool import SpoolPlace

TESTS = Path(__file__).resolve().parents[1]
KILLS = 7
EVENT_ROWS = 20


class Owner:
    """The process that has the store, as `footfall store serve` runs it."""

    def __init__(self, folder: Path) -> None:
        code = "import sys; from footfall.store_owner import owner_main; sys.exit(owner_main(sys.argv[1:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), "--port", "0", "--wait", "10"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert "http" in self.process.stdout.readline()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def owner(folder: Path) -> Iterator[Owner]:
    owner = Owner(folder)
    yield owner
    if owner.process.poll() is None:
        owner.kill(signal.SIGTERM)


# Each turn's rows follow from its number. What it prints has been flushed.
_WRITER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from store_rows import rows
from footfall import spool, store_sender
from footfall.store import StoreAddress
from footfall.store_sink import StoreSink
from footfall.tables import EVENTS, SESSIONS
from footfall.worker_spool import SpoolPlace
store_sender._MOST_AGE_SECONDS = 0.02
spool._SYNC_SECONDS = 0.03
sink = StoreSink(
    StoreAddress("embedded", folder=Path(sys.argv[1])),
    spool=SpoolPlace(Path(sys.argv[2]), limit_bytes=8_000_000),
)
os.write(1, b"opening\\n")
for part in "ab":
    sink.open_part(part, None)
turn = int(sys.argv[3])
while True:
    for part in "ab":
        sink.write(part, EVENTS, rows(EVENTS, 10, first=turn * 20 + 10 * (part == "b")))
    sink.write("a", SESSIONS, rows(SESSIONS, 1, first=turn))
    if turn % 3 == 2:
        for part in "ab":
            sink.flush(part)
        os.write(1, b"%d\\n" % turn)
    turn += 1
"""


def write_until_killed(folder: Path, root: Path, first: int, seconds: float, *, flushes: bool) -> int:
    """Run a writer from a turn on and kill it so many seconds after its start, or after its first flush.

    The last turn that it flushed.
    """
    arguments = [sys.executable, "-c", _WRITER, str(folder), str(root), str(first), str(TESTS)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"opening\n"
        said = writer.stdout.readline() if flushes else b""
        time.sleep(seconds)
        writer.kill()
        said += writer.stdout.read()
    assert writer.returncode == -signal.SIGKILL
    # Only whole lines: the last may have been cut.
    turns = said.decode().split("\n")[:-1]
    return int(turns[-1]) if turns else first - 1


def drained(folder: Path, root: Path) -> dict[str, list[int]]:
    """The numbers of the rows in the store, once all that waits has been sent."""
    sink = StoreSink(StoreAddress("embedded", folder=folder), spool=SpoolPlace(root))
    sink.open_part("a", None)
    assert sink.drain(60)
    sink.close()
    assert list((root / "0").glob("*.spool")) == []
    store = open_store(StoreAddress("embedded", folder=folder))
    try:
        events = store.query("SELECT * FROM events ORDER BY source_offset")
        sessions = store.query("SELECT session_id FROM sessions")
    finally:
        store.close()
    stand = events["source_offset"].to_list()
    assert events.head(500).equals(rows(EVENTS, 500)[: events.height])
    return {"events": stand, "sessions": sorted(int(name[1:]) for name in sessions["session_id"])}


def test_what_was_flushed_is_in_the_store_whenever_the_writer_is_killed(
    tmp_path: Path, folder: Path, owner: Owner
) -> None:
    chance = random.Random(20251)
    root = tmp_path / "spool"
    flushed = -1
    for number in range(KILLS):
        # A new writer never repeats what was flushed: it must come from the spool.
        seconds = chance.uniform(0.0, 0.7)
        flushed = write_until_killed(folder, root, flushed + 1, seconds, flushes=number % 2 == 0)
    assert flushed >= KILLS
    found = drained(folder, root)
    turns = flushed + 1
    assert found["events"][: EVENT_ROWS * turns] == list(range(EVENT_ROWS * turns))
    assert found["sessions"][:turns] == list(range(turns))
    # No row stands twice, and none that was never written.
    assert found["events"] == sorted(set(found["events"]))
    assert found["events"][-1] < EVENT_ROWS * (turns + 1_000)


def test_a_killed_store_holds_no_writes_and_gets_all_rows_in_the_end(
    tmp_path: Path, folder: Path, owner: Owner
) -> None:
    root = tmp_path / "spool"
    lines: list[str] = []
    sink = StoreSink(StoreAddress("embedded", folder=folder), spool=SpoolPlace(root), report=lines.append)
    sink.open_part("a", None)
    frames = [rows(EVENTS, EVENT_ROWS, first=EVENT_ROWS * turn) for turn in range(300)]
    durations: list[float] = []
    for turn, frame in enumerate(frames):
        if turn == 60:
            assert sink.drain(30)
            sink.write("a", EVENTS, frame)
            owner.kill()
        if turn == 250:
            owner = Owner(folder)
        began = time.monotonic()
        sink.write("a", EVENTS, frame)
        sink.write("a", SESSIONS, rows(SESSIONS, 1, first=turn))
        if turn % 10 == 9:
            sink.flush("a")
        if 60 <= turn < 250:
            durations.append(time.monotonic() - began)
        time.sleep(0.015)
    sink.flush("a")
    # Some may be slow on a busy machine.
    assert sorted(durations)[len(durations) * 9 // 10] < 0.5
    assert sink.drain(60)
    sink.close()
    found = drained(folder, root)
    assert found["events"] == list(range(EVENT_ROWS * 300))
    assert found["sessions"] == list(range(300))
    assert "works again" in lines[-1]
    owner.kill(signal.SIGTERM)
