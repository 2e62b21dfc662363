import errno
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_rows import rows

from footfall import spool as spool_module
from footfall import spool_folder
from footfall.errors import SinkError, SpoolDamageError
from footfall.spool import Spool
from footfall.spool_record import Record
from footfall.spool_segment import FILE_HEAD, Segment
from footfall.tables import TABLES


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"n": list(values)})


def noise(count: int, seed: int) -> pl.DataFrame:
    """Rows of 64 bytes each that don't compress."""
    generator = pl.Series("n", range(seed * count, seed * count + count)).hash(1)
    return pl.DataFrame({f"c{place}": (generator + place).hash(place) for place in range(8)})


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


def take_all(spool: Spool, table: str = "t", *, done: bool = True) -> list[int]:
    """All numbers of a table that can be taken, batch by batch."""
    found: list[int] = []
    while any(one.table == table for one in spool.waiting()):
        batch = spool.take(table, 1_000, 1 << 30)
        found += [value for frame in batch.frames for value in frame["n"].to_list()]
        spool.done(batch)
        if not done:
            break
    return found


def reopened(folder: Path) -> list[int]:
    spool = Spool(folder)
    try:
        return take_all(spool, done=True)
    finally:
        spool.close()


def crashed_copy(folder: Path, to: Path) -> Path:
    """What a new process finds: the files as they are now, locked by nobody."""
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(folder, to))


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


def test_rows_come_back_as_they_were_given_in_order(tmp_path: Path, spool: Spool) -> None:
    for first in (0, 20):
        for table in TABLES:
            spool.append(table.name, rows(table, 20, first=first))
        spool.sync()
    for table in TABLES:
        batch = spool.take(table.name, 1_000, 1 << 30)
        assert pl.concat(batch.frames).equals(rows(table, 40)), table.name
        assert (batch.rows, batch.count) == (40, 2)
        assert spool.take(table.name, 20, 1 << 30).rows == 20
        assert spool.take(table.name, 1, 1).rows == 20


def test_only_what_is_safe_can_be_taken(spool: Spool) -> None:
    spool.append("t", numbers(1))
    assert spool.waiting() == []
    assert spool.size().rows == 1
    spool.sync()
    spool.append("t", numbers(2))
    assert [(one.table, one.rows) for one in spool.waiting()] == [("t", 1)]
    assert spool.size().rows == 2
    assert take_all(spool) == [1]
    assert spool.size().rows == 1


def test_small_frames_of_many_parts_become_one_record_and_one_sync(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append("t", numbers(-1))
    spool.sync()
    assert take_all(spool) == [-1]
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for number in range(100):
        spool.append("t", numbers(number))
    for _ in range(8):
        spool.sync()
    assert len(synced) == 1
    batch = spool.take("t", 1_000, 1 << 30)
    assert (batch.rows, batch.count) == (100, 1)


def test_new_files_and_their_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    spool = Spool(tmp_path / "state" / "root" / "0")
    spool.append("t", numbers(1))
    spool.sync()
    assert synced == ["00000001.spool", "0", "root", "state", tmp_path.name]
    spool.close()
    synced.clear()
    again = Spool(tmp_path / "state" / "root" / "0")
    assert synced == ["00000001.spool", "0", "root"]
    again.close()


def test_what_was_sent_is_not_sent_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for number in range(6):
        spool.append("t", numbers(number))
        spool.append("u", numbers(10 + number))
        spool.sync()
    batch = spool.take("t", 4, 1 << 30)
    assert batch.count == 4
    spool.done(batch)
    crashed = crashed_copy(tmp_path / "spool", tmp_path / "crashed")
    spool.close()
    for folder in (tmp_path / "spool", crashed):
        again = Spool(folder)
        assert again.size().rows == 8
        assert take_all(again, "u") == [10, 11, 12, 13, 14, 15]
        assert take_all(again) == [4, 5]
        again.close()
        assert files(folder) == []


def test_files_go_when_all_in_them_was_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 2 << 20)
    for seed in range(6):
        spool.append("t" if seed else "kept", noise(1_500, seed))
        spool.sync()
    assert len(files(tmp_path / "spool")) == 6
    before = spool.disk_bytes
    assert before == sum(path.stat().st_size for path in files(tmp_path / "spool"))
    spool.done(spool.take("t", 1_500 * 3, 1 << 30))
    names = [path.name for path in files(tmp_path / "spool")]
    assert names == ["00000001.spool", "00000005.spool", "00000006.spool"]
    assert spool.disk_bytes == sum(path.stat().st_size for path in files(tmp_path / "spool"))
    spool.close()


def test_numbers_of_files_need_not_be_new(tmp_path: Path) -> None:
    for number in range(3):
        spool = Spool(tmp_path / "spool")
        spool.append("t", numbers(number))
        spool.sync()
        assert [path.name for path in files(tmp_path / "spool")] == ["00000001.spool"]
        assert take_all(spool) == [number]
        spool.close()


# ---- crashes


@pytest.fixture(scope="module")
def three_records(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    """A file of three records, and where each begins and the last ends."""
    folder = tmp_path_factory.mktemp("three") / "spool"
    spool = Spool(folder)
    ends = [len(FILE_HEAD)]
    for number in range(3):
        spool.append("t", numbers(number))
        spool.sync()
        ends.append(files(folder)[0].stat().st_size)
    data = files(folder)[0].read_bytes()
    spool.close()
    return data, ends


def lay(folder: Path, *contents: bytes) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, content in enumerate(contents, 1):
        (folder / f"{number:08d}.spool").write_bytes(content)
    return folder


def test_a_tail_torn_at_any_byte_is_dropped(tmp_path: Path, three_records: tuple[bytes, list[int]]) -> None:
    data, ends = three_records
    assert len(data) == ends[3]
    for cut in range(ends[2], ends[3]):
        assert reopened(lay(tmp_path / "cut", data[:cut])) == [0, 1], cut


@pytest.mark.parametrize("garbage", [b"\x00" * 5000, b"\x89FFR" * 100, os.urandom(3000), b"\x89"])
def test_garbage_behind_a_torn_tail_is_dropped(
    tmp_path: Path, three_records: tuple[bytes, list[int]], garbage: bytes
) -> None:
    data, ends = three_records
    for cut in (ends[2], *range(ends[2] + 1, ends[3], 37)):
        assert reopened(lay(tmp_path / "cut", data[:cut] + garbage)) == [0, 1], cut
    assert reopened(lay(tmp_path / "cut", data + garbage)) == [0, 1, 2]


def test_a_flipped_bit_at_any_byte_of_the_tail_drops_it(
    tmp_path: Path, three_records: tuple[bytes, list[int]]
) -> None:
    data, ends = three_records
    mark = range(ends[2] + 4, ends[2] + 8)
    for place in range(ends[2], ends[3]):
        spoilt = bytearray(data)
        spoilt[place] ^= 0x10
        # Half a mark is none: at worst rows are sent again.
        expected = [0, 1, 2] if place in mark else [0, 1]
        assert reopened(lay(tmp_path / "cut", bytes(spoilt))) == expected, place


def test_a_file_cut_within_its_own_head_is_dropped(
    tmp_path: Path, three_records: tuple[bytes, list[int]]
) -> None:
    data, _ = three_records
    for cut in range(len(FILE_HEAD) + 1):
        assert reopened(lay(tmp_path / "cut", data, data[:cut])) == [0, 1, 2], cut


def test_after_a_torn_tail_all_goes_on(
    tmp_path: Path, three_records: tuple[bytes, list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    data, ends = three_records
    folder = lay(tmp_path / "cut", data[: ends[3] - 1])
    with caplog.at_level(logging.WARNING):
        spool = Spool(folder)
    assert f"byte {ends[2]}" in caplog.text
    spool.append("t", numbers(7))
    spool.sync()
    crashed = crashed_copy(folder, tmp_path / "crashed")
    spool.close()
    assert reopened(crashed) == [0, 1, 7]


def test_damage_to_what_was_safe_is_an_error_that_says_where(
    tmp_path: Path, three_records: tuple[bytes, list[int]]
) -> None:
    data, ends = three_records
    marks = {begin + place for begin in ends[:2] for place in range(4, 8)}
    for place in range(ends[1]):
        spoilt = bytearray(data)
        spoilt[place] ^= 0x10
        folder = lay(tmp_path / "cut", bytes(spoilt))
        if place in marks:
            assert reopened(folder) == [0, 1, 2]
            continue
        with pytest.raises(SpoolDamageError, match="put back a good copy") as caught:
            Spool(folder)
        assert caught.value.file == str(folder / "00000001.spool")
        assert caught.value.offset == (0 if place < len(FILE_HEAD) else ends[0])
        assert (folder / "00000001.spool").read_bytes() == bytes(spoilt)


def test_damage_in_an_earlier_file(tmp_path: Path, three_records: tuple[bytes, list[int]]) -> None:
    data, ends = three_records
    for cut in (0, 3, ends[1] + 10, ends[3] - 1):
        folder = lay(tmp_path / "cut", data[:cut], data)
        with pytest.raises(SpoolDamageError, match="damaged"):
            Spool(folder)
    spoilt = bytearray(data)
    spoilt[ends[2] - 3] ^= 1
    spool = Spool(lay(tmp_path / "cut", bytes(spoilt), data))
    batch = spool.take("t", 1_000, 1 << 30)
    assert batch.count == 1
    spool.done(batch)
    with pytest.raises(SpoolDamageError, match="1 rows of t are damaged") as caught:
        spool.take("t", 1_000, 1 << 30)
    assert caught.value.offset == ends[1]
    # What is behind it goes out all the same; the file with the damaged rows stays.
    assert take_all(spool) == [2, 0, 1, 2]
    assert spool.size().rows == 1
    spool.close()
    assert [path.name for path in files(tmp_path / "cut")] == ["00000001.spool"]


Step = tuple[str, int]


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["t", "u"]), st.integers(1, 40)),
            st.tuples(st.sampled_from(["sync", "tend", "reopen", "crash"]), st.just(0)),
            st.tuples(st.just("send"), st.integers(1, 60)),
        ),
        max_size=40,
    )
)
def test_nothing_that_was_synced_is_lost_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    base = tmp_path_factory.mktemp("steps")
    folder = base / "0"
    spool = Spool(folder, 1 << 20)
    safe: dict[str, list[int]] = {"t": [], "u": []}
    unsafe: dict[str, list[int]] = {"t": [], "u": []}
    next_number = 0
    for turn, (what, count) in enumerate(steps):
        if what in safe:
            taken = list(range(next_number, next_number + count))
            next_number += count
            spool.append(what, numbers(*taken))
            unsafe[what] += taken
        elif what == "sync":
            spool.sync()
            for table in safe:
                safe[table] += unsafe[table]
                unsafe[table] = []
        elif what == "tend":
            spool.tend()
        elif what == "send":
            for one in spool.waiting():
                batch = spool.take(one.table, count, 1 << 30)
                sent = [value for frame in batch.frames for value in frame["n"].to_list()]
                assert sent == safe[one.table][: len(sent)]
                spool.done(batch)
                del safe[one.table][: len(sent)]
        else:
            if what == "crash":
                folder = crashed_copy(folder, base / str(turn + 1))
            spool.close()
            spool = Spool(folder, 1 << 20)
            unsafe = {"t": [], "u": []}
        assert spool.size().rows == sum(map(len, safe.values())) + sum(map(len, unsafe.values()))
    spool.sync()
    for table, expected in safe.items():
        assert take_all(spool, table) == expected + unsafe[table]
    assert spool.size().size == 0
    spool.close()
    assert files(folder) == []


# ---- room


def test_a_full_spool_presses_back_until_rows_are_sent(tmp_path: Path) -> None:
    wake = threading.Event()
    spool = Spool(tmp_path / "spool", 400_000, wake=wake)
    written: list[int] = []

    def write() -> None:
        for seed in range(20):
            spool.append("t", noise(1_500, seed))
            written.append(seed)

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.7)
    assert writer.is_alive()
    assert 3 <= len(written) <= 6
    assert wake.is_set()
    assert spool.pressed
    assert spool.disk_bytes <= 500_000
    sent = 0
    until = time.monotonic() + 20
    while sent < 20 * 1_500 and time.monotonic() < until:
        spool.tend()
        for one in spool.waiting():
            batch = spool.take(one.table, 3_000, 1 << 30)
            sent += batch.rows
            spool.done(batch)
        assert spool.disk_bytes <= 500_000
        if not writer.is_alive():
            spool.sync()
    writer.join(5)
    assert sent == 20 * 1_500
    spool.close()


def send(spool: Spool, table: str) -> None:
    while any(one.table == table for one in spool.waiting()):
        spool.done(spool.take(table, 100_000, 1 << 30))


def refuse_one_table(spool: Spool, first: int, rounds: int) -> None:
    """Many rows of a table that are sent, and a few of another one that aren't."""
    for number in range(first, first + rounds):
        assert spool._room(), f"it is full, with {spool.size()}"
        spool.append("t", noise(300, number))
        spool.append("u", numbers(number))
        spool.sync()
        send(spool, "t")
        spool.tend()


def test_rows_that_are_refused_keep_no_room_from_others(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, 400_000)
    refuse_one_table(spool, 0, 100)
    batch = spool.take("u", 10, 1 << 30)
    crashed = crashed_copy(folder, tmp_path / "crashed")
    refuse_one_table(spool, 100, 50)  # while a batch is under way
    assert batch.frames[0].equals(numbers(0))
    spool.done(batch)
    assert spool.size().rows == 140
    assert take_all(spool, "u") == list(range(10, 150))
    send(spool, "t")
    assert (spool.size().rows, spool.size().size) == (0, 0)
    spool.close()
    assert files(folder) == []
    again = Spool(crashed)
    assert sorted(take_all(again, "u")) == list(range(100))
    again.close()
    assert files(crashed) == []


def test_a_crash_while_rows_are_written_anew_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, 400_000)
    found: list[Path] = []
    real_append, real_sync, real_remove = Segment.append, Segment.sync, Segment.remove
    anew = False

    def crash() -> None:
        if anew:
            found.append(crashed_copy(folder, tmp_path / str(len(found))))

    def append(segment: Segment, table: str, rows: pl.DataFrame) -> Record:
        crash()
        return real_append(segment, table, rows)

    def sync(segment: Segment) -> None:
        crash()
        real_sync(segment)
        crash()

    def remove(segment: Segment) -> None:
        crash()
        real_remove(segment)
        crash()

    monkeypatch.setattr(Segment, "append", append)
    monkeypatch.setattr(Segment, "sync", sync)
    monkeypatch.setattr(Segment, "remove", remove)
    real_write_anew = spool._write_anew

    def write_anew(segment: Segment) -> None:
        nonlocal anew
        anew = True
        real_write_anew(segment)
        anew = False

    monkeypatch.setattr(spool, "_write_anew", write_anew)
    number = 0
    while len(found) < 20:
        refuse_one_table(spool, number, 1)
        number += 1
        for copy in found:
            if copy.is_dir():
                # Twice is fine, since a row that is sent again replaces itself.
                again = Spool(copy)
                assert set(take_all(again, "u")) == set(range(number))
                again.close()
                shutil.rmtree(copy)
    spool.close()


def test_a_full_disk_while_rows_are_written_anew_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, 400_000)
    number = 0
    while spool._sparse() is None:
        spool.append("t", noise(300, number))
        spool.append("u", numbers(number))
        spool.sync()
        send(spool, "t")
        number += 1
    disk = Disk(monkeypatch, folder, spool.disk_bytes + 1_000)
    before = spool.disk_bytes
    spool.tend()
    assert spool.size().rows == number
    assert spool.disk_bytes >= before
    assert spool._sparse() is None, "it is not tried again at once"
    disk.room = 1_000_000
    spool._sparse_at = 0.0
    spool.tend()
    assert spool.disk_bytes < before
    assert take_all(spool, "u") == list(range(number))
    assert spool.size().rows == 0
    spool.close()
    assert files(folder) == []


def test_a_damaged_file_is_not_written_anew(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, 400_000)
    spool.append("u", numbers(-1))
    spool.sync()
    with files(folder)[0].open("r+b") as file:
        file.seek(200)
        file.write(b"\xff" * 8)
    refuse_one_table(spool, 0, 100)
    assert files(folder)[0].name == "00000001.spool"
    with pytest.raises(SpoolDamageError):
        spool.take("u", 1, 1)
    spool._sparse_at = 0.0
    refuse_one_table(spool, 100, 20)
    assert files(folder)[0].name == "00000001.spool"
    assert take_all(spool, "u") == list(range(120))
    spool.close()


def test_room_that_sent_rows_keep_counts_as_taken(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 400_000)
    for number in range(12):
        spool.append("t", noise(300, number))
        spool.append("u", numbers(number))
        spool.sync()
        send(spool, "t")
    assert spool.disk_bytes > 200_000
    assert spool.size().size >= spool.disk_bytes - spool._segment_bytes
    spool.close()


def test_a_frame_larger_than_the_limit_goes_through_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 10_000)
    spool.append("t", noise(5_000, 1))
    spool.sync()
    assert spool.waiting()[0].rows == 5_000
    while spool.waiting():
        spool.done(spool.take("t", 1_000, 1 << 30))
    spool.tend()
    spool.append("t", noise(5_000, 2))
    spool.close()


class Disk:
    """Lets a folder's files take so many bytes; a write beyond that writes what fits, then fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, room: int) -> None:
        self.folder = folder
        self.room = room
        self._write = os.pwrite
        monkeypatch.setattr(os, "pwrite", self._pwrite)

    def _pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        size = os.fstat(descriptor).st_size
        growth = max(0, offset + len(data) - size)
        left = self.room - sum(path.stat().st_size for path in files(self.folder))
        if growth and left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(descriptor, data[: len(data) - max(0, growth - left)], offset)


def test_a_full_disk_is_an_error_only_after_patience_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "_FULL_PAUSE_SECONDS", 0.02)
    folder = tmp_path / "spool"
    disk = Disk(monkeypatch, folder, 3_000)
    spool = Spool(folder, patience=0.3)
    kept: list[int] = []
    said = ""
    while not said:
        spool.append("t", numbers(len(kept)))
        began = time.monotonic()
        try:
            spool.sync()
        except SinkError as error:
            said = str(error)
        else:
            kept.append(len(kept))
    assert f"the disk of the spool {folder} is full, and stayed so" in said
    assert time.monotonic() - began >= 0.3
    assert len(kept) >= 2
    # With room again, what couldn't be written is still there.
    disk.room = 1_000_000
    spool.sync()
    crashed = crashed_copy(folder, tmp_path / "crashed")
    spool.close()
    assert reopened(crashed) == [*kept, kept[-1] + 1]


def test_a_full_disk_is_waited_for_while_rows_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spool_module, "_FULL_PAUSE_SECONDS", 0.02)
    folder = tmp_path / "spool"
    Disk(monkeypatch, folder, 20_000)
    spool = Spool(folder, patience=20)
    found: list[int] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set() or spool.waiting():
            spool.tend()
            found.extend(take_all(spool))
            time.sleep(0.01)

    sender = threading.Thread(target=send)
    sender.start()
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            spool.append("t", numbers(number))
            spool.sync()
        for seed in range(100, 104):
            spool.append("t", numbers(*range(seed * 1_000, seed * 1_000 + 1_500)))
            spool.sync()
    stop.set()
    sender.join(10)
    assert found[:100] == list(range(100))
    assert set(range(100_000, 101_500)) <= set(found)
    assert "is full" in caplog.text
    assert "room again" in caplog.text
    spool.close()


def test_another_failure_of_the_disk_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool")

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        spool.append("t", numbers(1))
        with pytest.raises(SinkError, match="can't be written: Input/output error"):
            spool.sync()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(SinkError, match="can't be written: Input/output error"):
            spool.sync()
    # A sync after one that failed proves nothing.
    with pytest.raises(SinkError, match="can't be written"):
        spool.sync()
    with pytest.raises(SinkError, match="can't be written"):
        spool.append("t", numbers(2))
    spool.close()


def test_rows_become_safe_by_themselves(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append("t", numbers(1))
    spool.tend()
    assert spool.waiting() == []
    monkeypatch.setattr(spool_module, "_SYNC_SECONDS", 0.0)
    spool.tend()
    assert take_all(spool) == [1]


def test_large_frames_are_written_in_pieces(spool: Spool) -> None:
    frame = pl.DataFrame({"n": range(350_000)})
    spool.append("t", frame)
    spool.sync()
    batch = spool.take("t", 150_000, 1 << 30)
    assert (batch.rows, batch.count) == (100_000, 1)
    assert take_all(spool) == list(range(350_000))


def test_size_and_age(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.size().oldest_seconds == 0.0
    spool.append("t", numbers(1, 2))
    time.sleep(0.05)
    spool.sync()
    spool.append("u", numbers(3))
    size = spool.size()
    assert size.rows == 3
    assert size.size > 0
    assert 0.05 <= size.oldest_seconds < 5
    spool.close()
    time.sleep(0.05)
    again = Spool(tmp_path / "spool")
    assert again.size().rows == 2
    assert 0.05 <= again.size().oldest_seconds < 5
    assert take_all(again) == [1, 2]
    assert (again.size().rows, again.size().size, again.size().oldest_seconds) == (0, 0, 0.0)
    again.close()


# ---- folders


def test_a_folder_is_of_one_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    with pytest.raises(SinkError, match="in use by another process"):
        Spool(tmp_path / "spool", wait=0.05)
    threading.Timer(0.2, spool.close).start()
    other = Spool(tmp_path / "spool", wait=10)
    other.close()
    other.close()
    for call in (lambda: other.append("t", numbers(1)), other.sync, lambda: other.take("t", 1, 1)):
        with pytest.raises((SinkError, KeyError)):
            call()


def test_an_empty_folder_is_removed_and_whoever_waited_makes_it_anew(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append("t", numbers(1))
    spool.sync()
    spool.close(remove=True)
    assert (tmp_path / "spool").is_dir()
    spool = Spool(tmp_path / "spool")
    assert take_all(spool) == [1]
    threading.Timer(0.2, lambda: spool.close(remove=True)).start()
    other = Spool(tmp_path / "spool", wait=10)
    other.append("t", numbers(2))
    other.sync()
    other.close()
    assert reopened(tmp_path / "spool") == [2]


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="can't be made or locked"):
        Spool(tmp_path / "file" / "spool")


def test_left_folders(tmp_path: Path) -> None:
    assert spool_folder.left_folders(tmp_path / "none", 1) == []
    for name in ("0", "1", "2", "10", "x", "²"):
        (tmp_path / name).mkdir()
    (tmp_path / "3").write_text("")
    assert [path.name for path in spool_folder.left_folders(tmp_path, 1)] == ["1", "2", "10"]
    assert [path.name for path in spool_folder.left_folders(tmp_path, 3)] == ["10"]
