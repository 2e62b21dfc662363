import hashlib
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import urllib3
from store_rows import rows
from urllib3.exceptions import MaxRetryError, ReadTimeoutError

from footfall.errors import (
    SettingsError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
    UnknownHostError,
)
from footfall.migrations import Migration, migrate, read_migrations
from footfall.store import Store, StoreAddress, open_store, parse_dsn, unreached_words
from footfall.store_lock import LOCK_FILE, hold_folder, leave_folder, read_holder
from footfall.tables import EVENTS, MATCHES, SESSIONS, TABLES, Table


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("chdb:///var/store", StoreAddress("embedded", folder=Path("/var/store"))),
        ("chdb://store", StoreAddress("embedded", folder=Path("store"))),
        ("chdb://a/b%20c?database=other", StoreAddress("embedded", "other", folder=Path("a/b c"))),
        ("clickhouse://host", StoreAddress("server", host="host", port=8123)),
        (
            "clickhouse://ann:p%40ss@host:9000/shop",
            StoreAddress("server", "shop", host="host", port=9000, user="ann", password="p@ss"),
        ),
        ("clickhouses://host/", StoreAddress("server", host="host", port=8443, secure=True)),
    ],
)
def test_dsn(text: str, address: StoreAddress) -> None:
    assert parse_dsn(text) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no scheme"),
        ("/var/store", "no scheme"),
        ("mysql://host/x", "mysql:// is no scheme"),
        ("chdb://", "takes a folder"),
        ("chdb:///", "takes a folder"),
        ("clickhouse://:secret@", "no host"),
        ("clickhouse://ann:secret@host:notaport/x", "port"),
        ("clickhouse://ann:secret@host/x?compress=1", "compress"),
        ("clickhouse://ann:secret@host/a-b", "no database name"),
        ("clickhouse://ann:secret@host/x#y", "%23"),
    ],
)
def test_wrong_dsn_says_what_to_write_and_no_password(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        parse_dsn(text)
    assert "secret" not in str(caught.value)


def test_an_address_shows_no_password() -> None:
    address = parse_dsn("clickhouse://ann:secret@host/shop")
    assert str(address) == "clickhouse://ann:***@host:8123/shop"
    assert "secret" not in repr(address)
    assert pickle.loads(pickle.dumps(address)) == address


@pytest.fixture
def address(tmp_path: Path) -> StoreAddress:
    return StoreAddress("embedded", folder=tmp_path / "store")


def test_migrations_make_the_tables_that_the_engine_writes(address: StoreAddress) -> None:
    store = open_store(address)
    try:
        assert store.migrate() == len(read_migrations())
        assert store.migrate() == 0
        for table in TABLES:
            found = store.query(
                "SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String} "
                "ORDER BY position",
                {"d": "footfall", "t": table.name},
            ).rows()
            assert found == [(name, kind) for name, _, kind in table.columns], table.name
            engine, keys, partition = store.query(
                "SELECT engine_full, sorting_key, partition_key FROM system.tables "
                "WHERE database = 'footfall' AND name = {t:String}",
                {"t": table.name},
            ).row(0)
            assert tuple(keys.split(", ")) == table.key
            version = f"({table.version})" if table.version else ""
            assert engine.startswith(f"ReplacingMergeTree{version} ")
            assert partition == "" or partition.removeprefix("toYYYYMM(").removesuffix(")") in table.key
    finally:
        store.close()


def digest(store: Store, table: Table) -> tuple[int, str]:
    frame = store.query(f"SELECT * FROM {table.name} ORDER BY {', '.join(table.key)}")
    return frame.height, hashlib.sha256(repr(frame.rows()).encode()).hexdigest()


def test_the_same_rows_twice_count_once(address: StoreAddress) -> None:
    store = open_store(address)
    try:
        store.migrate()
        before: dict[str, tuple[int, str]] = {}
        for _ in range(2):
            for table in TABLES:
                store.insert(table, rows(table, 200))
            after = {table.name: digest(store, table) for table in TABLES}
            assert not before or after == before
            before = after
        for table in TABLES:
            assert before[table.name][0] == 200
            assert store.query(f"SELECT count() FROM {table.name}").item() == 200
            assert store.query(f"SELECT count() FROM {table.name} SETTINGS final = 0").item() > 200
    finally:
        store.close()


def test_a_row_twice_in_one_insert_counts_once(address: StoreAddress) -> None:
    store = open_store(address)
    try:
        store.migrate()
        for table in TABLES:
            frame = rows(table, 20)
            store.insert(table, pl.concat([frame, frame]))
            assert store.query(f"SELECT count() FROM {table.name}").item() == 20
            store.command(f"OPTIMIZE TABLE {table.name} FINAL")
            assert store.query(f"SELECT count() FROM {table.name} SETTINGS final = 0").item() == 20
    finally:
        store.close()


def test_the_highest_revision_stands_whatever_the_order(address: StoreAddress) -> None:
    store = open_store(address)
    try:
        store.migrate()
        for revision in (1, 2, 0):
            for table in (SESSIONS, MATCHES):
                frame = rows(table, 3).with_columns(
                    revision=pl.lit(revision, pl.UInt32), status=pl.lit(f"status {revision}")
                )
                store.insert(table, frame)
        for table in (SESSIONS, MATCHES):
            assert store.query(f"SELECT DISTINCT revision, status FROM {table.name}").rows() == [
                (2, "status 2")
            ]
    finally:
        store.close()


def test_one_insert_may_reach_over_centuries(address: StoreAddress) -> None:
    store = open_store(address)
    try:
        store.migrate()
        frame = rows(EVENTS, 300).with_columns(
            event_time=(pl.int_range(300) * 30 * 86_400_000).cast(pl.Datetime("ms", "UTC"))
        )
        store.insert(EVENTS, frame)
        assert store.query("SELECT count(), uniq(toYYYYMM(event_time)) > 200 FROM events").row(0) == (
            300,
            True,
        )
    finally:
        store.close()


def test_what_comes_back_is_what_went_in(address: StoreAddress) -> None:
    store = open_store(address)
    try:
        store.migrate()
        for table in TABLES:
            store.insert(table, rows(table, 50))
            found = store.query(f"SELECT * FROM {table.name} ORDER BY {', '.join(table.key)}")
            assert found.schema == table.schema
            assert found.sort(table.key).equals(rows(table, 50).sort(table.key)), table.name
        assert store.query("SELECT ['a', 'é'] AS a, map('k', 'v') AS m, NULL AS n").row(0)[0] == ["a", "é"]
    finally:
        store.close()


def test_a_changed_migration_is_refused(address: StoreAddress) -> None:
    store = open_store(address)
    one = Migration(
        1, "0001_one.sql", "CREATE TABLE IF NOT EXISTS one (a Int8) ENGINE = MergeTree ORDER BY a;"
    )
    two = Migration(
        2, "0002_two.sql", "-- two; statements\nALTER TABLE one ADD COLUMN IF NOT EXISTS b Int8; SELECT 1"
    )
    try:
        assert migrate(store, [one]) == 1
        assert migrate(store, [one, two]) == 1
        changed = Migration(1, "0001_one.sql", one.sql.replace("Int8", "Int16"))
        with pytest.raises(StoreError, match=r"0001_one\.sql has changed.*put the file back"):
            migrate(store, [changed, two])
        spaced = Migration(1, "0001_one.sql", one.sql + "  \n\n")
        assert migrate(store, [spaced, two]) == 0
        with pytest.raises(StoreError, match=r"0002_two\.sql, which this version"):
            migrate(store, [one])
        broken = Migration(3, "0003_broken.sql", "CREATE TABEL x")
        with pytest.raises(StoreError, match=r"migration 0003_broken\.sql"):
            migrate(store, [one, two, broken])
    finally:
        store.close()


@pytest.mark.parametrize("names", [["0002_b.sql"], ["0001_a.sql", "0001_b.sql"], ["one.sql"]])
def test_misnumbered_migrations_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(StoreError, match="0001"):
        read_migrations(tmp_path)


def test_errors_carry_the_engines_code(address: StoreAddress) -> None:
    store = open_store(address)
    try:
        with pytest.raises(StoreError, match="nothing_here") as caught:
            store.query("SELECT * FROM nothing_here")
        assert caught.value.code == 60
        with pytest.raises(StoreError, match="events"):
            store.insert(EVENTS, rows(EVENTS, 1))
    finally:
        store.close()


def test_one_process_opens_one_folder_any_number_of_times(address: StoreAddress, tmp_path: Path) -> None:
    first, second = open_store(address), open_store(address)
    first.migrate()
    assert second.query("SELECT count() FROM events").item() == 0
    first.close()
    with pytest.raises(StoreError, match=r"has the embedded store .* open and can't open"):
        open_store(StoreAddress("embedded", folder=tmp_path / "other"))
    second.close()
    second.close()
    other = open_store(StoreAddress("embedded", folder=tmp_path / "other"))
    other.close()


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(StoreError, match="can't be opened"):
        open_store(StoreAddress("embedded", folder=file))
    with pytest.raises(StoreError, match="there is no store"):
        open_store(StoreAddress("embedded", folder=tmp_path / "none"), create=False)
    assert not (tmp_path / "none").exists()


_HOLDER = """
import sys
from pathlib import Path
from footfall.store import StoreAddress, open_store
from footfall.tables import EVENTS
store = open_store(StoreAddress("embedded", folder=Path(sys.argv[1])))
store.migrate()
print("open", flush=True)
sys.path.insert(0, sys.argv[2])
from store_rows import rows
first = 0
while sys.argv[3] == "write":
    store.insert(EVENTS, rows(EVENTS, 50, first=first))
    print(first, flush=True)
    first += 50
sys.stdin.readline()
"""


def holder(address: StoreAddress, what: str) -> "subprocess.Popen[str]":
    tests = str(Path(__file__).resolve().parent)
    arguments = [sys.executable, "-c", _HOLDER, str(address.folder), tests, what]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_a_second_process_is_told_who_has_the_folder(address: StoreAddress) -> None:
    with holder(address, "wait") as process:
        try:
            with pytest.raises(StoreBusyError, match=r"footfall store serve") as caught:
                open_store(address)
            assert f"process {process.pid} " in str(caught.value)
            assert caught.value.owner is not None
        finally:
            process.communicate("\n")
    open_store(address, wait_for_owner=10).close()


def test_waiting_outlasts_a_holder_that_ends(address: StoreAddress) -> None:
    with holder(address, "wait") as process:
        process.kill()
        store = open_store(address, wait_for_owner=20)
    assert store.query("SELECT count() FROM events").item() == 0
    store.close()


def test_sigkill_in_the_middle_of_inserts_leaves_a_store_that_opens(address: StoreAddress) -> None:
    with holder(address, "write") as process:
        assert process.stdout is not None
        done = [int(process.stdout.readline()) for _ in range(5)]
        process.send_signal(signal.SIGKILL)
    store = open_store(address, wait_for_owner=20)
    try:
        assert store.migrate() == 0
        found = store.query("SELECT count() FROM events").item()
        assert found >= len(done) * 50
        assert found % 50 == 0
    finally:
        store.close()


def test_what_a_dead_holder_wrote_means_nothing(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text(
        '{"pid": 1, "command": "old", "url": "http://127.0.0.1:9", "started": "x"}'
    )
    lock = hold_folder(tmp_path)
    assert lock is not None
    found = read_holder(tmp_path)
    assert found is not None
    assert found.url is None
    leave_folder(tmp_path)
    assert read_holder(tmp_path) is None


@pytest.mark.parametrize("scheme", ["clickhouse", "clickhouses"])
def test_who_is_not_reached_is_told_by_host_port_and_reason(scheme: str) -> None:
    with pytest.raises(StoreUnavailableError) as refused:
        open_store(parse_dsn(f"{scheme}://ann:secret@127.0.0.1:1/db"))
    assert type(refused.value) is StoreUnavailableError
    assert (
        str(refused.value)
        == f"{scheme}://ann:***@127.0.0.1:1/db: connecting: 127.0.0.1:1: Connection refused"
    )


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (socket.EAI_NONAME, UnknownHostError, "unknown host"),
        (socket.EAI_AGAIN, StoreUnavailableError, "no name server answers"),
    ],
)
def test_a_host_that_nobody_knows_is_told_apart(
    number: int, error: type[StoreUnavailableError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "in the name server's words")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StoreUnavailableError) as refused:
        open_store(parse_dsn("clickhouse://nosuch.example/db"))
    assert type(refused.value) is error
    assert str(refused.value).endswith(f": connecting: nosuch.example:8123: {words}")


def test_an_answer_that_does_not_come_is_told() -> None:
    pool = urllib3.HTTPConnectionPool("ch", 8123)
    late = MaxRetryError(pool, "/?query_id=5", ReadTimeoutError(pool, "/", "Read timed out."))
    late.__cause__ = late.reason
    assert unreached_words(late) == "ch:8123: no answer in time"
    assert unreached_words(ValueError("no request")) is None
