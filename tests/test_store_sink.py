import logging
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from store_rows import rows

from footfall import store_sender, worker_spool
from footfall.errors import FootfallError, StoreBusyError, StoreError, StoreUnavailableError
from footfall.run_messages import SinkStatus
from footfall.spool import Spool
from footfall.store import Store, StoreAddress, open_store
from footfall.store_sink import StoreSink
from footfall.tables import EVENTS, SESSIONS, Table
from footfall.worker_spool import SpoolPlace


class FakeStore:
    """Takes inserts as told: `failures` are raised one after the other, then all goes well."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.inserts: list[tuple[str, int]] = []
        self.let = threading.Event()
        self.let.set()
        self.closed = 0

    def migrate(self) -> int:
        return 0

    def insert(self, table: Table, frame: pl.DataFrame) -> None:
        assert self.let.wait(20)
        if self.failures:
            raise self.failures.pop(0)
        self.inserts.append((table.name, frame.height))

    def close(self) -> None:
        self.closed += 1


ADDRESS = StoreAddress("server", host="nowhere", port=1)


def use(monkeypatch: pytest.MonkeyPatch, fake: FakeStore) -> None:
    monkeypatch.setattr(store_sender, "open_store", lambda *_, **__: fake)


def test_small_frames_go_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeStore()
    use(monkeypatch, fake)
    sink = StoreSink(ADDRESS)
    for part in ("a", "b"):
        sink.open_part(part, None)
    for _ in range(10):
        sink.write("a", EVENTS, rows(EVENTS, 10))
        sink.write("b", EVENTS, rows(EVENTS, 10))
        sink.write("b", SESSIONS, rows(SESSIONS, 3))
    assert sink.flush("a") == 100
    assert sink.flush("b") == 130
    sink.close()
    assert sorted(fake.inserts) == [("events", 200), ("sessions", 30)]
    assert fake.closed == 1


def test_rows_do_not_wait_for_a_flush_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_sender, "_MOST_AGE_SECONDS", 0.05)
    fake = FakeStore()
    use(monkeypatch, fake)
    sink = StoreSink(ADDRESS)
    sink.open_part("a", None)
    sink.write("a", EVENTS, rows(EVENTS, 10))
    until = time.monotonic() + 10
    while not fake.inserts and time.monotonic() < until:
        time.sleep(0.01)
    assert fake.inserts == [("events", 10)]
    sink.close()


def test_only_a_full_spool_presses_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeStore()
    fake.let.clear()
    use(monkeypatch, fake)
    frame = rows(EVENTS, 100)
    sink = StoreSink(ADDRESS, memory_bytes=int(frame.estimated_size() * 3.5))
    sink.open_part("a", None)
    written: list[int] = []

    def write() -> None:
        for number in range(5):
            sink.write("a", EVENTS, frame)
            written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.5)
    assert written == [0, 1, 2]
    fake.let.set()
    writer.join(10)
    assert written == [0, 1, 2, 3, 4]
    assert sink.flush("a") == 500
    sink.close()


def test_what_may_pass_is_tried_again_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_sender, "_FIRST_PAUSE_SECONDS", 0.01)
    fake = FakeStore(StoreUnavailableError("away"), StoreUnavailableError("still away"))
    use(monkeypatch, fake)
    lines: list[str] = []
    sink = StoreSink(ADDRESS, report=lines.append)
    sink.open_part("a", None)
    sink.write("a", EVENTS, rows(EVENTS, 10))
    assert sink.flush("a") == 10
    sink.close()
    assert fake.inserts == [("events", 10)]
    assert len(lines) == 2
    assert "away" in lines[0]
    assert "works again" in lines[1]


def test_patience_ends(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeStore(*[StoreUnavailableError("away")] * 100)
    use(monkeypatch, fake)
    sink = StoreSink(ADDRESS, patience=0.2)
    sink.open_part("a", None)
    sink.write("a", EVENTS, rows(EVENTS, 10))
    with caplog.at_level(logging.WARNING), pytest.raises(StoreUnavailableError, match="away"):
        sink.flush("a")
    assert "10 rows wait" in caplog.text
    sink.close()


@pytest.mark.parametrize("failure", [StoreError("no such column", code=16), ValueError("a surprise")])
def test_what_will_not_pass_surfaces(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    fake = FakeStore(failure)
    use(monkeypatch, fake)
    sink = StoreSink(ADDRESS)
    sink.open_part("a", None)
    sink.write("a", EVENTS, rows(EVENTS, 10))
    with pytest.raises(StoreError, match=str(failure)):
        sink.flush("a")
    with pytest.raises(StoreError, match=str(failure)):
        sink.write("a", EVENTS, rows(EVENTS, 10))
    sink.close()


def test_close_is_quick_while_a_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeStore(*[StoreUnavailableError("away")] * 100)
    use(monkeypatch, fake)
    sink = StoreSink(ADDRESS, report=lambda _: None)
    sink.open_part("a", None)
    sink.write("a", EVENTS, rows(EVENTS, store_sender.INSERT_ROWS // 1000))
    began = time.monotonic()
    sink.close()
    assert time.monotonic() - began < 4


def test_a_schema_that_does_not_fit_is_a_permanent_error(tmp_path: Path) -> None:
    address = StoreAddress("embedded", folder=tmp_path / "store")
    sink = StoreSink(address)
    sink.open_part("a", None)
    side: Store = open_store(address)
    side.command("ALTER TABLE events DROP COLUMN url")
    sink.write("a", EVENTS, rows(EVENTS, 10))
    with pytest.raises(FootfallError, match="url") as caught:
        sink.flush("a")
    assert not isinstance(caught.value, StoreUnavailableError)
    side.close()
    sink.close()


# ---- with a spool on disk


def until(true: Callable[[], object], seconds: float = 15.0) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it didn't come true in time"
        time.sleep(0.01)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_sender, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(store_sender, "_LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(store_sender, "_FIRST_REFUSED_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(store_sender, "_LONGEST_REFUSED_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(store_sender, "_MOST_AGE_SECONDS", 0.05)
    monkeypatch.setattr(store_sender, "_POLL_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
def test_a_store_that_is_away_holds_neither_flush_nor_close(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = FakeStore(*[StoreUnavailableError("away")] * 100_000)
    use(monkeypatch, fake)
    lines: list[str] = []
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path), patience=0.1, report=lines.append)
    sink.open_part("a", None)
    began = time.monotonic()
    for number in range(20):
        sink.write("a", EVENTS, rows(EVENTS, 10, first=10 * number))
        assert sink.flush("a") == 10 * (number + 1)
    assert time.monotonic() - began < 5
    until(lambda: lines)
    time.sleep(0.5)  # many failures and much longer than patience, and said once
    assert len(lines) == 1
    assert not sink.drain(0.2)
    fake.failures.clear()
    until(lambda: sum(count for _, count in fake.inserts) == 200)
    until(lambda: len(lines) == 2)
    assert "works again" in lines[1]
    sink.close()
    assert list((tmp_path / "0").glob("*.spool")) == []


def test_a_store_that_can_not_be_opened_is_no_reason_not_to_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    fake = FakeStore()
    failures: list[Exception] = [
        StoreUnavailableError("away"),
        StoreBusyError("busy"),
        StoreError("wrong password", code=516),
        ValueError("a surprise"),
    ]

    def open_store(*_: object, **__: object) -> FakeStore:
        if failures:
            raise failures.pop(0)
        return fake

    monkeypatch.setattr(store_sender, "open_store", open_store)
    monkeypatch.setattr(store_sender, "_REPEAT_SECONDS", 0.0)
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path))
    with caplog.at_level(logging.WARNING):
        sink.open_part("a", None)
        sink.write("a", EVENTS, rows(EVENTS, 10))
        sink.flush("a")
        assert sink.drain(20)
    assert fake.inserts == [("events", 10)]
    said = [(record.levelname, record.message) for record in caplog.records]
    assert [level for level, _ in said] == ["WARNING", "WARNING", "ERROR", "ERROR", "WARNING"]
    assert "wrong password; 10 rows wait" in said[2][1]
    assert "opening the store: ValueError('a surprise')" in said[3][1]
    sink.close()


class ChoosyStore(FakeStore):
    """Refuses one table's rows for as long as it is told to."""

    refused: str | None = "events"

    def insert(self, table: Table, frame: pl.DataFrame) -> None:
        if table.name == self.refused:
            raise StoreError(f"no column in {table.name}", code=16)
        super().insert(table, frame)


def test_a_table_that_is_refused_holds_no_other_and_goes_out_once_mended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    fake = ChoosyStore()
    use(monkeypatch, fake)
    statuses: list[SinkStatus] = []
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path, worker=3, workers=4), tell=statuses.append)
    sink.open_part("a", None)
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            sink.write("a", EVENTS, rows(EVENTS, 10, first=10 * number))
            sink.write("a", SESSIONS, rows(SESSIONS, 1, first=number))
            sink.flush("a")
        until(lambda: sum(count for name, count in fake.inserts if name == "sessions") == 5)
        until(lambda: any(record.levelname == "ERROR" for record in caplog.records))
        assert not sink.drain(0.3)
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
        until(lambda: statuses and statuses[-1].rows.get("sessions") == 5)
        last = statuses[-1]
        assert (last.worker, last.sink, last.waiting_rows, last.rows) == (3, "store", 50, {"sessions": 5})
        assert last.waiting_bytes > 0
        assert last.oldest_seconds > 0
        assert last.errors > 0
        fake.refused = None
        assert sink.drain(20)
    assert "writing to events works again" in caplog.text
    sink.close()
    assert statuses[-1].rows == {"sessions": 5, "events": 50}
    assert (statuses[-1].waiting_rows, statuses[-1].waiting_bytes, statuses[-1].oldest_seconds) == (0, 0, 0)


def test_status_comes_once_a_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: None) -> None:
    use(monkeypatch, FakeStore())
    times: list[float] = []
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path), tell=lambda _: times.append(time.monotonic()))
    sink.open_part("a", None)
    end = time.monotonic() + 2.3
    while time.monotonic() < end:
        sink.write("a", EVENTS, rows(EVENTS, 1))
        time.sleep(0.005)
    sink.close()
    assert 3 <= len(times) <= 4  # the last one at the end
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(times[:-1]))


def test_what_was_flushed_and_not_sent_goes_out_after_a_restart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: None
) -> None:
    away = FakeStore(*[StoreUnavailableError("away")] * 100_000)
    use(monkeypatch, away)
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path), report=lambda _: None)
    sink.open_part("a", None)
    sink.write("a", EVENTS, rows(EVENTS, 30))
    resume = sink.flush("a")
    sink.write("a", EVENTS, rows(EVENTS, 5, first=30))
    sink.close()
    fake = FakeStore()
    use(monkeypatch, fake)
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path))
    sink.open_part("a", resume)
    sink.write("a", EVENTS, rows(EVENTS, 5, first=30))
    assert sink.flush("a") == 35
    assert sink.drain(20)
    assert sum(count for _, count in fake.inserts) == 35
    sink.close()


def test_spools_of_workers_that_are_gone_are_adopted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: None
) -> None:
    monkeypatch.setattr(worker_spool, "_LOOK_SECONDS", 0.05)
    away, fake = FakeStore(*[StoreUnavailableError("away")] * 100_000), FakeStore()
    monkeypatch.setattr(store_sender, "open_store", lambda address, **_: away if address == ADDRESS else fake)
    there = StoreAddress("server", host="there", port=1)
    sinks = [
        StoreSink(ADDRESS, spool=SpoolPlace(tmp_path, worker, 3), report=lambda _: None)
        for worker in range(3)
    ]
    for worker, sink in enumerate(sinks):
        sink.open_part(f"p{worker}", None)
        sink.write(f"p{worker}", EVENTS, rows(EVENTS, 10, first=10 * worker))
        sink.flush(f"p{worker}")
    for sink in sinks[:2]:
        sink.close()
    # Worker 1 of 2 adopts nothing, and worker 0 leaves it its own.
    one = StoreSink(there, spool=SpoolPlace(tmp_path, 1, 2))
    one.open_part("p1", None)
    assert one.drain(20)
    one.close()
    assert fake.inserts == [("events", 10)]
    nought = StoreSink(there, spool=SpoolPlace(tmp_path, 0, 2))
    nought.open_part("p0", None)
    assert nought.drain(20)
    assert fake.inserts == [("events", 10)] * 2
    # The third worker is still there; when it ends, its rows are taken over.
    assert (tmp_path / "2").is_dir()
    sinks[2].close()
    until(lambda: len(fake.inserts) == 3)
    until(lambda: not (tmp_path / "2").exists())
    nought.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_a_damaged_spool_of_a_former_worker_ends_no_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    monkeypatch.setattr(worker_spool, "_LOOK_SECONDS", 0.05)
    fake = FakeStore()
    use(monkeypatch, fake)
    (tmp_path / "1").mkdir()
    for number in (1, 2):
        (tmp_path / "1" / f"0000000{number}.spool").write_bytes(b"not a spool")
    with caplog.at_level(logging.ERROR):
        sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path))
        sink.open_part("a", None)
        sink.write("a", EVENTS, rows(EVENTS, 10))
        assert sink.drain(20)
        time.sleep(0.3)
        sink.close()
    assert len(caplog.records) == 1
    assert "byte 0" in caplog.text
    assert len(list((tmp_path / "1").glob("*.spool"))) == 2


def test_damaged_rows_are_told_and_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    use(monkeypatch, FakeStore(*[StoreUnavailableError("away")] * 100_000))
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path), report=lambda _: None)
    sink.open_part("a", None)
    for number in range(2):
        sink.write("a", EVENTS, rows(EVENTS, 10, first=10 * number))
        sink.flush("a")
    sink.close()
    first = tmp_path / "0" / "00000001.spool"
    spoilt = bytearray(first.read_bytes())
    spoilt[3000] ^= 1
    fake = FakeStore()
    use(monkeypatch, fake)
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path))
    (tmp_path / "0" / "00000002.spool").write_bytes(first.read_bytes())
    first.write_bytes(spoilt)
    with caplog.at_level(logging.ERROR):
        sink.open_part("a", None)
        assert not sink.drain(0.5)
    assert sum(count for _, count in fake.inserts) == 30
    assert "10 rows of events are damaged" in caplog.text
    sink.close()
    assert first.exists()


def test_rows_of_an_earlier_version_get_its_new_columns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    spool = Spool(tmp_path / "0")
    spool.append("events", rows(EVENTS, 10).drop("utm_content"))
    spool.append("sessions", rows(SESSIONS, 10).with_columns(later=1))
    spool.append("unheard_of", pl.DataFrame({"a": [1]}))
    spool.sync()
    spool.close()
    taken: list[pl.DataFrame] = []
    fake = FakeStore()
    monkeypatch.setattr(fake, "insert", lambda _, frame: taken.append(frame))
    use(monkeypatch, fake)
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path))
    with caplog.at_level(logging.ERROR):
        sink.open_part("a", None)
        assert not sink.drain(0.5)
    sink.close()
    assert [frame.schema for frame in taken] == [EVENTS.schema]
    assert taken[0]["utm_content"].null_count() == 10
    assert "unknown column 'later'" in caplog.text
    assert "this version has no such table" in caplog.text


def test_other_tables_are_not_held_back_by_a_large_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: None
) -> None:
    monkeypatch.setattr(store_sender, "_MOST_INSERT_ROWS", 20)
    monkeypatch.setattr(store_sender, "_MOST_AGE_SECONDS", 0.0)
    use(monkeypatch, FakeStore(*[StoreUnavailableError("away")] * 100_000))
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path), report=lambda _: None)
    sink.open_part("a", None)
    for number in range(10):
        sink.write("a", EVENTS, rows(EVENTS, 20, first=20 * number))
        sink.write("a", SESSIONS, rows(SESSIONS, 1, first=number))
        sink.flush("a")
    sink.close()
    fake = FakeStore()
    use(monkeypatch, fake)
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path))
    sink.open_part("a", None)
    assert sink.drain(20)
    sink.close()
    assert fake.inserts.index(("sessions", 10)) <= 2


class SmallStore(FakeStore):
    """Runs out of memory at more than so many rows at once."""

    most = 25
    tries = 0

    def insert(self, table: Table, frame: pl.DataFrame) -> None:
        self.tries += 1
        if frame.height > self.most:
            raise StoreUnavailableError("memory limit exceeded", code=241)
        super().insert(table, frame)


def test_what_is_too_much_at_once_for_a_store_goes_in_smaller_parts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: None
) -> None:
    use(monkeypatch, FakeStore(*[StoreUnavailableError("away")] * 100_000))
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path), report=lambda _: None)
    sink.open_part("a", None)
    for number in range(10):
        sink.write("a", EVENTS, rows(EVENTS, 20, first=20 * number))
        sink.flush("a")
    sink.close()
    small = SmallStore()
    use(monkeypatch, small)
    sink = StoreSink(ADDRESS, spool=SpoolPlace(tmp_path), report=lambda _: None)
    sink.open_part("a", None)
    assert sink.drain(20)
    assert sum(count for _, count in small.inserts) == 200
    assert small.tries < 40
    # Once there is memory again, so are larger inserts.
    small.most = 1_000_000
    for number in range(40):
        sink.write("a", EVENTS, rows(EVENTS, 1, first=number))
        sink.flush("a")
        assert sink.drain(20)
    assert sink._sender is not None
    assert sink._sender._most_rows == {}
    sink.close()
