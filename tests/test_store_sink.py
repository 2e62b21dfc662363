import logging
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from store_rows import rows

from footfall import store_sink
from footfall.errors import FootfallError, StoreError, StoreUnavailableError
from footfall.store import Store, StoreAddress, open_store
from footfall.store_sink import StoreSink
from footfall.tables import EVENTS, SESSIONS, Table


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
    monkeypatch.setattr(store_sink, "open_store", lambda *_, **__: fake)


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
    monkeypatch.setattr(store_sink, "_MOST_AGE_SECONDS", 0.05)
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
    sink = StoreSink(ADDRESS, spool_bytes=int(frame.estimated_size() * 3.5))
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
    monkeypatch.setattr(store_sink, "_FIRST_PAUSE_SECONDS", 0.01)
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
    sink.write("a", EVENTS, rows(EVENTS, store_sink.INSERT_ROWS // 1000))
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
