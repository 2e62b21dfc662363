"""Partitions are read in step, by the bound and one batch beyond it, and hold when they are asked to."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from footfall.clock import FOREVER, NEVER
from footfall.read_ahead import NOT_READ, READ_TO_THE_END, ReadAhead, ReadingTable

ROOT = Path(__file__).resolve().parents[1]


def ahead(*times: int) -> ReadAhead:
    return ReadAhead.alone(list(times), 10)


def test_its_times_are_those_of_the_clock() -> None:
    assert (NOT_READ, READ_TO_THE_END) == (NEVER, FOREVER)


def test_the_slowest_never_waits() -> None:
    for before in (NEVER, 0, 5):
        assert not ahead(5, 100).must_wait(before)


def test_one_that_was_ahead_before_its_last_batch_waits() -> None:
    assert not ahead(5, 100).must_wait(15)
    assert ahead(5, 100).must_wait(16)


def test_nobody_goes_far_before_all_have_begun() -> None:
    assert not ahead(NEVER, 100).must_wait(NEVER)
    assert ahead(NEVER, 100).must_wait(0)


def test_who_has_ended_holds_nobody_up() -> None:
    assert not ahead(FOREVER, 5, 100).must_wait(15)
    assert ahead(FOREVER, 5, 100).must_wait(16)
    assert not ahead(FOREVER, FOREVER).must_wait(100)


# ---- holding


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ReadingTable]:
    """The table of three partitions."""
    table = ReadingTable(tmp_path / "ahead", 3)
    yield table
    table.close()


def partitions(table: ReadingTable) -> ReadAhead:
    """The same table as a worker has it."""
    return ReadAhead.mapped(table.path, 10)


def test_a_table_of_a_file_is_as_one_of_a_process(table: ReadingTable) -> None:
    one, other = partitions(table), partitions(table)
    one.note(1, 100)
    assert other.must_wait(0), "the others haven't begun"
    for partition in (0, 2):
        other.note(partition, 5)
    assert one.must_wait(16)
    assert not one.must_wait(15)


def test_nothing_is_held_unasked(table: ReadingTable) -> None:
    assert not partitions(table).is_held(0, 5)
    assert table.held_at() is None


def test_all_have_to_answer_and_the_latest_time_counts(table: ReadingTable) -> None:
    workers = [partitions(table), partitions(table)]
    table.hold()
    for partition, read in enumerate((7, 30, NOT_READ)):
        assert table.held_at() is None
        assert workers[partition % 2].is_held(partition, read)
    assert table.held_at() == 30
    assert workers[0].is_held(0, 7), "it stays so"
    table.release()
    assert not workers[0].is_held(0, 7)
    assert table.held_at() is None, "they read again"


def test_where_nothing_has_been_read_it_says_so(table: ReadingTable) -> None:
    table.hold()
    for partition in range(3):
        partitions(table).is_held(partition, NOT_READ)
    assert table.held_at() == NOT_READ


def test_an_answer_is_to_one_hold_alone(table: ReadingTable) -> None:
    worker = partitions(table)
    table.hold()
    for partition in range(3):
        worker.is_held(partition, 5)
    table.release()
    table.hold()
    assert table.held_at() is None
    for partition in range(3):
        worker.is_held(partition, 6 + partition)
    assert table.held_at() == 8


def test_one_that_was_read_to_its_end_answers_to_every_hold(table: ReadingTable) -> None:
    worker = partitions(table)
    worker.leave(1, 500)
    for number in range(2):
        table.hold()
        worker.is_held(0, 5 + number)
        assert table.held_at() is None
        worker.is_held(2, 5)
        assert table.held_at() == 500
        table.release()


def test_without_partitions_a_hold_is_answered_at_once(tmp_path: Path) -> None:
    table = ReadingTable(tmp_path / "ahead", 0)
    table.hold()
    assert table.held_at() == NOT_READ
    table.close()


def test_partitions_of_a_process_of_their_own_are_never_held() -> None:
    alone = ahead(5, 7, 9)
    assert not any(alone.is_held(partition, 5) for partition in range(3))
    alone.leave(2, 9)
    assert not alone.must_wait(15), "leaving is no reading"


def test_what_killed_processes_had_read_counts_as_read(tmp_path: Path) -> None:
    """They may have told what they found there, before those that follow come to it again."""
    path = tmp_path / "ahead"
    for furthest in (500, 500, 900):
        table = ReadingTable(path, 3)
        worker = partitions(table)
        for partition in range(3):
            assert not worker.must_wait(NEVER)
            worker.note(partition, 7)
        if furthest == 900:
            worker.leave(1, furthest)
        else:
            worker.note(1, furthest)
            worker.note(1, 8)
        worker.note(1, FOREVER)
        table.close()
    table = ReadingTable(path, 2)
    worker = partitions(table)
    assert worker.must_wait(0), "it is read anew"
    table.hold()
    for partition in range(2):
        assert worker.is_held(partition, 10)
    assert table.held_at() == 900
    table.close()


@pytest.mark.parametrize("left", [b"", b"half of a"])
def test_a_damaged_table_says_nothing(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "ahead"
    path.write_bytes(left)
    table = ReadingTable(path, 1)
    table.hold()
    assert partitions(table).is_held(0, 10)
    assert table.held_at() == 10
    table.close()


def test_a_closed_table_does_nothing_more(table: ReadingTable) -> None:
    worker = partitions(table)
    table.hold()
    for partition in range(3):
        worker.is_held(partition, 5)
    table.close()
    table.close()
    table.hold()
    table.release()
    assert table.held_at() is None
    assert worker.is_held(0, 5), "the file is as it was"


def test_closing_while_others_use_it_is_no_fault(tmp_path: Path) -> None:
    for _ in range(20):
        table = ReadingTable(tmp_path / "ahead", 2)
        faults: list[BaseException] = []
        ended = threading.Event()

        def use(table: ReadingTable, ended: threading.Event, faults: list[BaseException]) -> None:
            try:
                while not ended.is_set():
                    table.hold()
                    table.held_at()
                    table.release()
            except BaseException as error:  # noqa: BLE001 - the test shows it
                faults.append(error)

        threads = [threading.Thread(target=use, args=(table, ended, faults)) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.005)
        table.close()
        ended.set()
        for thread in threads:
            thread.join(10)
        assert faults == []


READER = """
import sys, time
from pathlib import Path
from footfall.read_ahead import ReadAhead
ahead, mine = ReadAhead.mapped(Path(sys.argv[1]), 10), int(sys.argv[2])
read, until = 0, time.monotonic() + 30
ahead.note(mine, read)
while read < 10_000_000 and time.monotonic() < until:
    if ahead.is_held(mine, read):
        time.sleep(0.0005)
    else:
        read += 1
        ahead.note(mine, read)
"""


def test_across_processes_nothing_is_read_while_all_hold(tmp_path: Path) -> None:
    table = ReadingTable(tmp_path / "ahead", 2)
    cells = np.memmap(table.path, np.int64, mode="r")
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, str(table.path), str(number)], cwd=ROOT)
        for number in range(2)
    ]
    try:
        before = -1
        for _ in range(20):
            table.hold()
            until = time.monotonic() + 20
            while (at := table.held_at()) is None:
                assert time.monotonic() < until, "they don't hold"
            time.sleep(0.002)
            assert int(cells[:2].max()) == at, "the latest of all, and nobody went on"
            assert at > before
            before = at
            table.release()
            while int(cells[:2].max()) == at:
                assert time.monotonic() < until, "they don't go on"
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
        table.close()
