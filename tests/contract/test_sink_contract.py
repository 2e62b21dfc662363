"""What every sink must do, run on every sink."""

import json
import pickle
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from footfall.errors import SinkError
from footfall.file_sink import FileKind, FileSink
from footfall.kafka_client import KafkaClient
from footfall.kafka_sink import ROUTES, KafkaSink
from footfall.messages import CONTRACT_BY_TABLE
from footfall.sink import Sink
from footfall.store import StoreAddress, open_store
from footfall.store_owner import OwnerHandle, ensure_owner
from footfall.store_sink import StoreSink
from footfall.tables import DEAD_LETTERS, EVENTS, MATCHES, SESSIONS, TABLES, Table
from footfall.worker_spool import SpoolPlace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from kafka_broker import KafkaBroker
from kafka_messages import read_topic, topic_ends
from store_rows import rows

KINDS = ("embedded", "owner", "spooled", "parquet", "ndjson", "kafka")


class Place:
    """Somewhere that one kind of sink writes to, and a reader of what stands there."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.address = StoreAddress("embedded", folder=folder / "store")
        self.owner: OwnerHandle | None = ensure_owner(self.address) if kind == "owner" else None

    def sink(self) -> Sink:
        if self.kind in ("embedded", "owner"):
            return StoreSink(self.address, patience=5.0)
        return FileSink(self.folder / "out", cast("FileKind", self.kind))

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """What stands there, as plain values in the order of the table's key."""
        if self.kind in ("embedded", "owner"):
            store = open_store(self.address)
            try:
                store.migrate()
                frame = store.query(f"SELECT * FROM {table.name}")
            finally:
                store.close()
            found = _plain(frame.cast({name: pl.Binary for name in frame.columns if name == "bytes"}))
        elif self.kind == "parquet":
            files = sorted((self.folder / "out" / table.name).glob("*.parquet"))
            found = [row for file in files for row in _plain(pl.read_parquet(file))]
        else:
            files = sorted((self.folder / "out" / table.name).glob("*.ndjson"))
            found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return sorted(found, key=lambda row: [str(row[name]) for name in table.key])

    def expected(self, frame: pl.DataFrame, table: Table) -> list[dict[str, Any]]:
        return sorted(_plain(frame), key=lambda row: [str(row[name]) for name in table.key])

    def close(self) -> None:
        if self.owner is not None:
            self.owner.close()


class SpooledPlace(Place):
    """A store behind a spool on disk: what stands there is what a sink over the same spool brings there."""

    def __init__(self, folder: Path) -> None:
        super().__init__("embedded", folder)

    def sink(self) -> StoreSink:
        return StoreSink(self.address, patience=5.0, spool=SpoolPlace(self.folder / "spool"))

    def rows(self, table: Table) -> list[dict[str, Any]]:
        sink = self.sink()
        sink.open_part("none", None)
        assert sink.drain(60)
        sink.close()
        return super().rows(table)


KAFKA_TOPICS = {**ROUTES, "events": "decoded", "triggers": "triggers"}


class KafkaPlace(Place):
    """Topics of a broker that all tests share: what was there before doesn't count."""

    def __init__(self, folder: Path, broker: KafkaBroker) -> None:
        super().__init__("kafka", folder)
        self.broker = broker
        there = broker.admin.list_topics(timeout=10).topics
        for topic in sorted(set(KAFKA_TOPICS.values()) - set(there)):
            broker.new_topic(2, name=topic)
        self.since = {topic: topic_ends(broker.bootstrap, topic) for topic in KAFKA_TOPICS.values()}

    def sink(self) -> Sink:
        routes = {table: topic for table, topic in KAFKA_TOPICS.items() if table != "triggers"}
        return KafkaSink(KafkaClient(self.broker.bootstrap), routes=routes, patience=200.0)

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """The rows that the messages tell of, by id and revision, as a consumer keeps them."""
        topic = KAFKA_TOPICS.get(table.name)
        if topic is None:
            return []
        stand: dict[tuple[str, ...], dict[str, Any]] = {}
        for sent in read_topic(self.broker.bootstrap, topic, self.since[topic]):
            row = json.loads(sent.value)
            key = tuple(str(row[name]) for name in table.key)
            if key not in stand or table.version is None or row[table.version] >= stand[key][table.version]:
                stand[key] = _row_of_message(table, row)
        return [stand[key] for key in sorted(stand)]

    def expected(self, frame: pl.DataFrame, table: Table) -> list[dict[str, Any]]:
        if table.name not in KAFKA_TOPICS:
            return []  # control records are written before a run acts on them, not by its sinks
        shown = {each.name for each in CONTRACT_BY_TABLE[table.name].fields}
        return [
            {name: value for name, value in row.items() if name in shown}
            for row in super().expected(frame, table)
        ]


def _row_of_message(table: Table, message: dict[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in message.items() if name in table.schema}
    for each in CONTRACT_BY_TABLE[table.name].fields:
        value = row[each.name]
        if each.kind == "money" and value is not None:
            row[each.name] = int(Decimal(value).scaleb(6))
        elif each.kind == "json" and each.name not in ("properties", "stages"):
            row[each.name] = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return row


def _plain(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: _plain_value(name, value) for name, value in row.items()}
        for row in frame.iter_rows(named=True)
    ]


def _plain_value(name: str, value: object) -> object:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if name in ("properties", "stages") and isinstance(value, str):
        return json.loads(value)
    return value


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "kafka":
        place: Place = KafkaPlace(tmp_path, request.getfixturevalue("kafka"))
    elif request.param == "spooled":
        place = SpooledPlace(tmp_path)
    else:
        place = Place(request.param, tmp_path)
    yield place
    place.close()


def test_rows_stand_as_they_were_given(place: Place) -> None:
    sink = place.sink()
    sink.open_part("shard-0", None)
    for table in TABLES:
        sink.write("shard-0", table, rows(table, 60))
    sink.flush("shard-0")
    sink.close()
    for table in TABLES:
        assert place.rows(table) == place.expected(rows(table, 60), table), table.name


def test_the_same_rows_twice_are_the_same_rows(place: Place) -> None:
    for _ in range(2):
        sink = place.sink()
        for part in ("a", "a-1"):
            sink.open_part(part, None)
            first = 0 if part == "a" else 100
            for begin in (first, first + 20):
                for table in TABLES:
                    sink.write(part, table, rows(table, 20, first=begin))
                sink.flush(part)
        sink.close()
    for table in TABLES:
        wanted = pl.concat([rows(table, 40), rows(table, 40, first=100)])
        assert place.rows(table) == place.expected(wanted, table), table.name


def test_a_run_that_dies_between_write_and_flush_leaves_the_rows_of_one_that_did_not(place: Place) -> None:
    sink = place.sink()
    sink.open_part("p", None)
    sink.write("p", EVENTS, rows(EVENTS, 30))
    resume = pickle.loads(pickle.dumps(sink.flush("p")))
    sink.write("p", EVENTS, rows(EVENTS, 30, first=30))
    sink.write("p", SESSIONS, rows(SESSIONS, 5))
    sink.flush("p")
    sink.write("p", EVENTS, rows(EVENTS, 5, first=60))
    sink.close()

    sink = place.sink()
    sink.open_part("p", resume)
    sink.write("p", EVENTS, rows(EVENTS, 35, first=30))
    sink.write("p", SESSIONS, rows(SESSIONS, 5))
    sink.write("p", MATCHES, rows(MATCHES, 5))
    sink.flush("p")
    sink.close()
    assert place.rows(EVENTS) == place.expected(rows(EVENTS, 65), EVENTS)
    assert place.rows(SESSIONS) == place.expected(rows(SESSIONS, 5), SESSIONS)
    assert place.rows(MATCHES) == place.expected(rows(MATCHES, 5), MATCHES)


_CHILD = """
import os, pickle, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from store_rows import rows
from footfall.tables import EVENTS, DEAD_LETTERS
sink = pickle.loads(bytes.fromhex({sink!r}))
sink.open_part("p", None)
sink.write("p", EVENTS, rows(EVENTS, 40))
sink.write("p", DEAD_LETTERS, rows(DEAD_LETTERS, 40))
sink.flush("p")
sink.write("p", EVENTS, rows(EVENTS, 40, first=40))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_flushed_survives_sigkill(place: Place) -> None:
    tests = str(Path(__file__).resolve().parents[1])
    code = _CHILD.format(tests=tests, sink=pickle.dumps(place.sink()).hex())
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert place.rows(DEAD_LETTERS) == place.expected(rows(DEAD_LETTERS, 40), DEAD_LETTERS)
    stand = place.rows(EVENTS)
    assert all(row in stand for row in place.expected(rows(EVENTS, 40), EVENTS))


def test_close_without_flush_frees(place: Place) -> None:
    sink = place.sink()
    sink.open_part("p", None)
    sink.write("p", EVENTS, rows(EVENTS, 3))
    sink.close()
    sink.close()
    with pytest.raises(SinkError):
        sink.open_part("p", None)
    again = place.sink()
    again.open_part("p", None)
    again.write("p", EVENTS, rows(EVENTS, 3))
    again.flush("p")
    again.close()
    assert len(place.rows(EVENTS)) == 3


def test_empty_frames_are_fine_and_leave_nothing(place: Place) -> None:
    sink = place.sink()
    sink.open_part("p", None)
    for table in TABLES:
        sink.write("p", table, table.empty())
    sink.flush("p")
    sink.close()
    for table in TABLES:
        assert place.rows(table) == []
    if place.kind in ("parquet", "ndjson"):
        assert [path for path in (place.folder / "out").rglob("*") if path.is_file()] == []


def test_a_flush_without_rows_keeps_the_state(place: Place) -> None:
    sink = place.sink()
    sink.open_part("p", None)
    sink.write("p", EVENTS, rows(EVENTS, 3))
    state = sink.flush("p")
    assert sink.flush("p") == state
    sink.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop("event"), "no column 'event'"),
        (lambda frame: frame.with_columns(more=1), "unknown column 'more'"),
        (lambda frame: frame.with_columns(pl.col("x").cast(pl.Int64)), "column 'x' is Int64, not Int32"),
        (lambda frame: frame.with_columns(event=pl.lit(None, pl.String)), "without a value for event"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    place: Place, change: Callable[[pl.DataFrame], pl.DataFrame], said: str
) -> None:
    sink = place.sink()
    sink.open_part("p", None)
    with pytest.raises(SinkError, match=said) as caught:
        sink.write("p", EVENTS, change(rows(EVENTS, 3)))
    assert caught.value.table == "events"
    with pytest.raises(SinkError, match="isn't open"):
        sink.write("q", EVENTS, rows(EVENTS, 3))
    sink.close()


def test_columns_in_another_order_are_put_right(place: Place) -> None:
    sink = place.sink()
    sink.open_part("p", None)
    frame = rows(EVENTS, 3)
    sink.write("p", EVENTS, frame.select(reversed(frame.columns)))
    sink.flush("p")
    sink.close()
    assert place.rows(EVENTS) == place.expected(frame, EVENTS)


def test_a_sink_pickles_before_it_opens(place: Place) -> None:
    sink = pickle.loads(pickle.dumps(place.sink()))
    sink.open_part("p", None)
    sink.write("p", EVENTS, rows(EVENTS, 3))
    sink.flush("p")
    sink.close()
    assert len(place.rows(EVENTS)) == 3
