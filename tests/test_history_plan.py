"""Where history ends and a topic goes on."""

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from store_rows import rows

from footfall.errors import UsageError
from footfall.history_plan import OVERLAP_MS, HistoryPlan, kept_plan, plan_history, restored_plan
from footfall.settings import load_settings
from footfall.store import StoreAddress, open_store
from footfall.store_source import StoreSource
from footfall.tables import DEAD_LETTERS, EVENTS, LATE_EVENTS, TRIGGERS, Table

LATEST = datetime(2025, 3, 1, 12, tzinfo=UTC)
LATEST_MS = int(LATEST.timestamp() * 1000)
OLD, RECENT = LATEST - timedelta(days=2), LATEST - timedelta(hours=3)
EARLIEST = {
    "events/0000": 0, "events/0001": 0, "events/0002": 0, "events/0003": 20, "events/0004": 0, "events/0005": 5,
}  # fmt: skip


def offsets(at: str | int) -> Mapping[str, int]:
    """A cluster's answer: every partition ends at 100, and at any time is at 50."""
    return EARLIEST if at == "earliest" else dict.fromkeys(EARLIEST, 100 if at == "latest" else 50)


def events(partition: str, *parts: tuple[Sequence[int], datetime], table: Table = EVENTS) -> pl.DataFrame:
    """Events of a partition: offsets, and the time of all of these."""
    frames = []
    for places, time in parts:
        frame = rows(table, len(places), first=places[0]).with_columns(
            source_partition=pl.lit(partition), source_offset=pl.Series(places, dtype=pl.Int64)
        )
        if "event_time" in frame.columns:
            frame = frame.with_columns(event_time=pl.lit(time).cast(table.schema["event_time"]))
        frames.append(frame)
    return pl.concat(frames)


def _triggers() -> pl.DataFrame:
    """Two rules, of which one was in force after a while."""
    due = pl.Series([OLD, RECENT, LATEST, LATEST], dtype=TRIGGERS.schema["due_time"])
    return rows(TRIGGERS, 4).with_columns(
        rule=pl.Series(["a", "a", "a", "b"]),
        due_time=due,
        status=pl.Series(["suppressed", "fired", "unmet", "suppressed"]),
    )


@pytest.fixture(scope="module")
def dsn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that a live run has filled, and before it a replay."""
    folder = tmp_path_factory.mktemp("history") / "store"
    store = open_store(StoreAddress("embedded", folder=folder))
    try:
        store.migrate()
        for frame in (
            events("events/0000", (range(10), OLD), (range(10, 15), RECENT), ([15], LATEST)),
            # A copy was dropped long ago, at 3; at 12 an event that hadn't settled is missing.
            events("events/0001", ([0, 1, 2, 4, 5, 6], OLD), ([7, 8, 11, 13, 14], RECENT)),
            events("events/0002", (range(1, 5), RECENT)),
            events("events/0003", (range(10), OLD)),
            events("events/0005", (range(10), RECENT)),
            events("old.ndjson", (range(4), OLD)),
        ):
            store.insert(EVENTS, frame)
        store.insert(LATE_EVENTS, events("events/0001", ([9], OLD), table=LATE_EVENTS))
        store.insert(DEAD_LETTERS, events("events/0001", ([10], OLD), table=DEAD_LETTERS))
        store.insert(TRIGGERS, _triggers())
    finally:
        store.close()
    return f"chdb://{folder}"


@pytest.fixture(scope="module")
def plan(dsn: str) -> HistoryPlan:
    return plan_history(load_settings(environment={}), [dsn], offsets)


def test_a_topic_takes_over_at_the_first_offset_that_may_be_missing(plan: HistoryPlan) -> None:
    assert plan.begins == {
        "events/0000": 16,
        "events/0001": 12,
        "events/0002": 0,
        # What the topic has no more is read from the store, as far as it goes.
        "events/0003": 20,
        # A partition that the store doesn't know begins where the history ends.
        "events/0004": 50,
        "events/0005": 10,
    }
    assert plan.stored is not None
    assert plan.stored.stretches == {
        "events/0000": (0, 16), "events/0001": (0, 12), "events/0003": (0, 10), "events/0005": (0, 10),
    }  # fmt: skip
    assert plan.notes == ("events/0003: offsets 10 to 19 are in neither the store nor the topic",)
    assert plan.since == LATEST_MS - OVERLAP_MS
    assert plan.rules == {"a": int(RECENT.timestamp() * 1000)}


def test_what_is_no_topics_is_a_past_of_its_own(plan: HistoryPlan) -> None:
    (past,) = plan.pasts
    assert past.partitions() == ["old.ndjson"]
    assert isinstance(past, StoreSource)
    assert past.stretches == {"old.ndjson": (0, 4)}


def test_a_kept_plan_is_the_same_and_has_no_password(plan: HistoryPlan) -> None:
    settings = load_settings(environment={})
    dsn = "clickhouse://ann:secret@host/shop"
    secret = StoreAddress("server", "shop", host="host", port=8123, user="ann", password="secret")
    copy = pickle.loads(pickle.dumps(plan))
    for source in copy.stores():
        source.address = secret
    kept = kept_plan(copy)
    assert b"secret" not in kept
    assert copy.stores()[0].address == secret
    restored = restored_plan(kept, settings, [dsn])
    assert [source.address for source in restored.stores()] == [secret, secret]
    assert restored.begins == plan.begins
    assert replace(restored, pasts=(), stored=None) == replace(plan, pasts=(), stored=None)


def test_a_topic_that_was_made_anew_is_refused(dsn: str) -> None:
    def anew(at: str | int) -> Mapping[str, int]:
        return dict.fromkeys(EARLIEST, 0 if at == "earliest" else 12)

    with pytest.raises(
        UsageError, match="events/0000 ends at offset 12, and the history has offsets up to 15"
    ):
        plan_history(load_settings(environment={}), [dsn], anew)


def test_files_end_with_their_last_arrival(tmp_path: Path) -> None:
    asked: list[str | int] = []

    def noted(at: str | int) -> Mapping[str, int]:
        asked.append(at)
        return offsets(at)

    for name, minute in (("a", 7), ("b", 9)):
        record = {
            "visitor_id": "v", "event": "click", "event_time": "2025-03-01T12:00:00Z",
            "arrival_time": f"2025-03-01T12:0{minute}:00Z",
        }  # fmt: skip
        (tmp_path / f"{name}.ndjson").write_text(json.dumps(record) + "\nnot JSON\n")
    files = [str(tmp_path / f"{name}.ndjson") for name in "ab"]
    plan = plan_history(load_settings(environment={}), files, noted)
    assert plan.since == LATEST_MS + 9 * 60_000
    assert plan.begins == dict.fromkeys(EARLIEST, 50)
    assert asked[-1] == plan.since
    assert plan.stored is None
    # A start goes before what the files say.
    plan = plan_history(load_settings({"start": "2025-03-01T11:00:00Z"}, environment={}), files, noted)
    assert asked[-1] == plan.since == LATEST_MS - 3_600_000
    (tmp_path / "a.ndjson").write_text("not JSON\n")
    with pytest.raises(UsageError, match="no events"):
        plan_history(load_settings(environment={}), files[:1], noted)


def test_one_store_and_names_that_differ(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(environment={})
    with pytest.raises(UsageError, match="one store at most"):
        plan_history(settings, [dsn, "chdb://other"], offsets)
    monkeypatch.chdir(tmp_path)
    Path("old.ndjson").write_text('{"visitor_id": "v", "event": "click", "event_time": 1740830400000}\n')
    with pytest.raises(UsageError, match=r"two partitions called old\.ndjson"):
        plan_history(settings, [dsn, "old.ndjson"], offsets)
