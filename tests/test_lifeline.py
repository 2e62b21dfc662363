"""What a parent tells a worker over the pipe."""

import os
import threading
from pathlib import Path

import pytest
from control_records import control_record

from footfall.control_record import ControlRecord
from footfall.lifeline import STOP, listen, record_word

NUMBER = 0x737273
"""A record whose number has the bytes of words."""


class Worker:
    """Listens at the end of a pipe, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[int | str] = []
        self.records: list[ControlRecord] = []
        self.faults: list[BaseException] = []
        self._pipe, self.parent = os.pipe()
        self._folder = folder
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            listen(self._pipe, self._folder, lambda: self.heard.append("stop"), self._take_up)
        except BaseException as error:  # noqa: BLE001 - the tests look at it
            self.faults.append(error)

    def _take_up(self, record: ControlRecord) -> None:
        self.heard.append(record.number)
        self.records.append(record)

    def ends(self) -> bool:
        """Whether it listens no more, or not for long."""
        self._thread.join(10)
        return not self._thread.is_alive()

    def let_go(self) -> bool:
        """Close the pipe, as the parent's death does; whether the worker ends."""
        os.close(self.parent)
        ended = self.ends()
        os.close(self._pipe)
        return ended


def test_words_are_done_in_their_order_until_the_pipe_closes(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    records = [control_record(number) for number in (1, 2, 300)]
    for record in records:
        os.write(worker.parent, record_word(record, tmp_path))
    os.write(worker.parent, STOP)
    os.write(worker.parent, STOP)
    assert worker.let_go()
    assert worker.heard == [1, 2, 300, "stop", "stop"]
    assert worker.records == records
    assert worker.faults == []


def test_a_parent_that_goes_without_a_word_ends_it(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    assert worker.let_go()
    assert (worker.heard, worker.faults) == ([], [])


def test_words_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    word = record_word(control_record(NUMBER, times=1), tmp_path)

    def say(words: list[bytes]) -> None:
        for each in words:
            os.write(worker.parent, each)

    threads = [threading.Thread(target=say, args=([each] * 200,)) for each in (word, STOP)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert worker.let_go()
    assert sorted(worker.heard, key=str) == [NUMBER] * 200 + ["stop"] * 200


def test_a_folder_that_was_tidied_away_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    worker = Worker(folder)
    os.write(worker.parent, record_word(control_record(1), folder))
    assert worker.let_go()
    assert worker.heard == [1]
    assert folder.stat().st_mode & 0o077 == 0, "nobody else's patterns get in"


def test_a_record_that_is_not_there_ends_it(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    word = record_word(control_record(1), tmp_path)
    (tmp_path / "record-1.json").unlink()
    os.write(worker.parent, word)
    assert worker.ends()
    assert (worker.heard, worker.faults) == ([], [])
    worker.let_go()


@pytest.mark.parametrize("text", [b"{", b"{}"])
def test_a_damaged_record_is_an_error(tmp_path: Path, text: bytes) -> None:
    worker = Worker(tmp_path)
    word = record_word(control_record(1), tmp_path)
    (tmp_path / "record-1.json").write_bytes(text)
    os.write(worker.parent, word)
    assert worker.ends()
    assert [type(fault).__name__ for fault in worker.faults] == ["ControlError"]
    assert "record-1.json" in str(worker.faults[0])
    worker.let_go()
