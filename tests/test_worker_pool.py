"""What the parent says to workers that run."""

import os
import threading
from pathlib import Path

from control_records import control_record

from footfall.control_record import ControlRecord
from footfall.lifeline import listen
from footfall.read_ahead import ReadingTable
from footfall.worker_pool import WorkerPool


def test_all_workers_are_handed_a_record(tmp_path: Path) -> None:
    pool = WorkerPool(2)
    pool.table = ReadingTable(tmp_path / "ahead", 1)
    pipes = [os.pipe() for _ in range(2)]
    pool._lifelines = [write for _, write in pipes]
    pool.hand(control_record(1))
    pool.ask_to_stop()
    for read, write in pipes:
        os.close(write)
        records: list[ControlRecord] = []
        stop = threading.Event()
        listen(read, tmp_path, stop.set, records.append)
        os.close(read)
        assert records == [control_record(1)]
        assert stop.is_set()
    pool.table.close()


def test_a_worker_that_has_gone_hinders_nobody(tmp_path: Path) -> None:
    pool = WorkerPool(2)
    pool.table = ReadingTable(tmp_path / "ahead", 1)
    (gone, to_gone), (read, write) = os.pipe(), os.pipe()
    os.close(gone)
    pool._lifelines = [to_gone, write]
    pool.hand(control_record(1))
    for each in (to_gone, write):
        os.close(each)
    records: list[ControlRecord] = []
    listen(read, tmp_path, lambda: None, records.append)
    os.close(read)
    assert records == [control_record(1)]
    pool.table.close()


def test_without_workers_nothing_is_said(tmp_path: Path) -> None:
    pool = WorkerPool(1)
    read, write = os.pipe()
    pool._lifelines = [write]
    pool.hand(control_record(1))
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)
