"""What a store gives back: every row once, in the order of its offsets, from any position on."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from store_rows import rows

from footfall import store_source
from footfall.envelope import SCHEMA
from footfall.errors import StoreError, UsageError
from footfall.event_names import EventNames
from footfall.store import Store, StoreAddress, open_store
from footfall.store_source import StoreReader, StoreSource, store_stretches
from footfall.stored_records import STORED, StoredBlock, StoredRecords
from footfall.tables import DEAD_LETTERS, EVENTS, LATE_EVENTS, Table

EVERYTHING = frozenset(SCHEMA)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store with its tables."""
    found = open_store(StoreAddress("embedded", folder=tmp_path / "store"))
    try:
        found.migrate()
        yield found
    finally:
        found.close()


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_source, "PAGE_OFFSETS", 10)


def kept(table: Table, offsets: list[int], partition: str = "events/0000") -> pl.DataFrame:
    """Rows of a table at these offsets."""
    found = rows(table, max(offsets) + 1)[offsets]
    return found.with_columns(
        source_partition=pl.lit(partition), source_offset=pl.Series(offsets, dtype=pl.Int64)
    )


def reader(store: Store, position: tuple[int, int] | None = None, end: int = 1_000) -> StoreReader:
    return StoreReader(store.address, "events/0000", (0, end), position)


def read_all(found: StoreReader, count: int = 3) -> list[StoredBlock]:
    blocks = []
    while (block := found.read(count)) is not None:
        blocks.append(block)
    found.close()
    return blocks


def offsets_of(blocks: list[StoredBlock]) -> list[int]:
    return [int(offset) for block in blocks for offset in block.offsets_of_records()]


def test_rows_of_three_tables_come_in_the_order_of_their_offsets(store: Store) -> None:
    store.insert(EVENTS, kept(EVENTS, [0, 1, 4, 5, 6, 7, 8, 9, 10, 150]))
    store.insert(LATE_EVENTS, kept(LATE_EVENTS, [2, 11]))
    store.insert(DEAD_LETTERS, kept(DEAD_LETTERS, [3, 151]))
    store.insert(EVENTS, kept(EVENTS, [0, 1], "events/0001"))
    blocks = read_all(reader(store))
    assert offsets_of(blocks) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 150, 151]
    assert all(0 < block.count <= 3 for block in blocks)
    assert all(block.events.height + block.dead.height == block.count for block in blocks)
    assert pl.concat([block.dead for block in blocks])["source_offset"].to_list() == [3, 151]
    assert offsets_of(read_all(reader(store, end=4))) == [0, 1, 2, 3]


def test_a_reader_goes_on_from_every_position(store: Store) -> None:
    store.insert(EVENTS, kept(EVENTS, [*range(25), 300]))
    whole = offsets_of(read_all(reader(store), 4))
    found = reader(store)
    taken: list[int] = []
    while True:
        position = pickle.loads(pickle.dumps(found.position()))
        assert taken + offsets_of(read_all(reader(store, position), 4)) == whole
        block = found.read(4)
        if block is None:
            break
        taken += offsets_of([block])
    assert taken == whole
    found.close()


def test_a_row_that_another_run_wrote_again_comes_once(store: Store) -> None:
    first = kept(EVENTS, [0, 1, 2])
    store.insert(EVENTS, first)
    store.insert(EVENTS, first)
    # With other settings an event's time may be set back, and an event may be late.
    capped = first[:1].with_columns(event_time=pl.col("event_time").dt.offset_by("-1m"))
    store.insert(EVENTS, capped)
    store.insert(LATE_EVENTS, first[1:2])
    assert offsets_of(read_all(reader(store))) == [0, 1, 2]


def test_stretches_are_all_offsets_of_a_partition(store: Store) -> None:
    with pytest.raises(UsageError, match="no events"):
        store_stretches(store)
    store.insert(EVENTS, kept(EVENTS, [4, 7]))
    store.insert(DEAD_LETTERS, kept(DEAD_LETTERS, [9]))
    store.insert(LATE_EVENTS, kept(LATE_EVENTS, [0], "a.ndjson"))
    assert store_stretches(store) == {"events/0000": (4, 10), "a.ndjson": (0, 1)}


def test_a_store_that_is_none_is_told(tmp_path: Path, store: Store) -> None:
    store.command("DROP TABLE late_events")
    with pytest.raises(UsageError, match="no tables"):
        store_stretches(store)
    with pytest.raises(StoreError, match="there is no store"):
        StoreSource(StoreAddress("embedded", folder=tmp_path / "none"), {}).attend()


def test_a_stored_record_is_as_it_was_before_a_run_decided_anything_of_it(store: Store) -> None:
    sent = kept(EVENTS, [0, 1, 2]).with_columns(
        event=pl.lit("old_name"),
        event_original=pl.Series(["Old Name", "PageViewed", "Old Name"]),
        event_time_sent=pl.col("event_time").dt.offset_by("5m"),
        late=pl.lit(True),
        clock_capped=pl.lit(True),
    )
    store.insert(EVENTS, sent)
    (block,) = read_all(reader(store), 10)
    assert block.format == STORED
    decoded = StoredRecords(EventNames({"old_name": "new_name"}), EVERYTHING).decode(block)
    events = decoded.events
    assert events["event"].to_list() == ["new_name", "page_viewed", "new_name"]
    assert events["event_time"].to_list() == sent["event_time_sent"].to_list()
    assert not events["late"].any()
    assert not events["clock_capped"].any()
    same = [
        name
        for name in SCHEMA
        if name not in {"event", "event_time", "late", "clock_capped", "source_partition"}
    ]
    assert events[same].equals(sent[same])
    assert events.schema == {name: dtype for name, dtype in SCHEMA.items() if name != "source_partition"}


def test_a_dead_letter_stays_one(store: Store) -> None:
    letters = kept(DEAD_LETTERS, [0, 1, 2, 3])
    store.insert(DEAD_LETTERS, letters)
    (block,) = read_all(reader(store), 10)
    decoded = StoredRecords(EventNames(), EVERYTHING).decode(block)
    assert decoded.count == 4
    assert decoded.events.height == 0
    assert decoded.dead.equals(letters)
