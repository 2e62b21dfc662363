import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clickhouse_connect
import lz4.frame
import polars as pl
import pyarrow as pa
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from store_rows import rows

from footfall.errors import StoreError
from footfall.store import StoreAddress, open_store
from footfall.store_codec import framed, unframed
from footfall.store_http import http_status, ping
from footfall.store_lock import read_holder
from footfall.store_owner import OwnerHandle, ensure_owner, owner_main
from footfall.store_sink import StoreSink
from footfall.tables import EVENTS


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnerHandle]:
    owner = ensure_owner(StoreAddress("embedded", folder=tmp_path_factory.mktemp("owner") / "store"))
    yield owner
    owner.close()


def ask(
    owner: OwnerHandle, body: bytes | None = None, *, headers: dict[str, str] | None = None, **parameters: str
) -> tuple[bytes, Any]:
    url = f"{owner.url}/?{urllib.parse.urlencode(parameters)}"
    request = urllib.request.Request(url, data=body, headers=headers or {})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read(), response.headers


def refused(
    owner: OwnerHandle, body: bytes | None = None, headers: dict[str, str] | None = None, **parameters: str
) -> tuple[int, str, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(owner, body, headers=headers, **parameters)
    with caught.value as error:
        return error.code, error.headers.get("X-ClickHouse-Exception-Code", ""), error.read().decode()


@pytest.fixture
def client(owner: OwnerHandle) -> Iterator[Client]:
    client = clickhouse_connect.get_client(dsn=owner.url, compress="lz4")
    yield client
    client.close()


@pytest.fixture
def table(owner: OwnerHandle) -> str:
    name = f"t{time.monotonic_ns()}"
    ask(owner, f"CREATE TABLE {name} (a Int64, s Nullable(String)) ENGINE = MergeTree ORDER BY a".encode())
    return name


def test_greeting_and_ping(owner: OwnerHandle) -> None:
    for path in ("/", "/ping", "/replicas_status"):
        with urllib.request.urlopen(owner.url + path, timeout=10) as response:
            assert response.read() == b"Ok.\n"
    parts = urllib.parse.urlsplit(owner.url)
    assert ping(str(parts.hostname), parts.port or 0)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(owner.url + "/nothing", timeout=10)
    with caught.value as error:
        assert error.code == 404


def test_a_query_in_the_url_in_the_body_and_in_both(owner: OwnerHandle) -> None:
    assert ask(owner, query="SELECT 1")[0] == b"1\n"
    assert ask(owner, b"SELECT 2;")[0] == b"2\n"
    assert ask(owner, b"+ 1 AS n FORMAT JSONEachRow", query="SELECT 2")[0] == b'{"n":3}\n'


def test_formats_and_headers(owner: OwnerHandle) -> None:
    body, headers = ask(owner, query="SELECT 1 AS a", default_format="JSONCompact", query_id="mine")
    assert json.loads(body)["data"] == [[1]]
    assert headers["X-ClickHouse-Format"] == "JSONCompact"
    assert headers["X-ClickHouse-Query-Id"] == "mine"
    assert headers["X-ClickHouse-Timezone"] == "UTC"
    assert headers["X-ClickHouse-Server-Display-Name"]
    assert json.loads(headers["X-ClickHouse-Summary"])["read_rows"] == "1"
    body, headers = ask(owner, b"SELECT 1 AS a", headers={"X-ClickHouse-Format": "CSVWithNames"})
    assert body == b'"a"\n1\n'
    assert headers["Content-Type"].startswith("text/csv")
    body, _ = ask(owner, query="SELECT number FROM numbers(3) FORMAT ArrowStream")
    assert pa.ipc.open_stream(body).read_all().column(0).to_pylist() == [0, 1, 2]
    assert ask(owner, query="SELECT number FROM numbers(3) FORMAT Parquet")[0][:4] == b"PAR1"


def test_parameters_settings_and_database(owner: OwnerHandle) -> None:
    assert (
        ask(owner, query="SELECT {x:String}, {n:UInt8} + 1", param_x="it's\\t'", param_n="4")[0]
        == b"it\\'s\\t\\'\t5\n"
    )
    assert ask(owner, query="SELECT getSetting('max_block_size')", max_block_size="17")[0] == b"17\n"
    assert ask(owner, query="SELECT getSetting('final')")[0].strip() in (b"1", b"true")
    assert ask(owner, query="SELECT getSetting('final')", final="0")[0].strip() in (b"0", b"false")
    assert ask(owner, query="SELECT currentDatabase()", database="system")[0] == b"system\n"
    assert (
        ask(owner, b"SELECT currentDatabase()", headers={"X-ClickHouse-Database": "system"})[0] == b"system\n"
    )
    # One request's settings are no other's.
    assert ask(owner, query="SELECT getSetting('max_block_size')")[0] != b"17\n"


@pytest.mark.parametrize(
    ("parameters", "status", "code", "said"),
    [
        ({"query": "SELECT foo"}, 404, "47", "UNKNOWN_IDENTIFIER"),
        ({"query": "SELEC 1"}, 400, "62", "SYNTAX_ERROR"),
        ({"query": "SELECT 1", "no_such_setting": "1"}, 404, "115", "no_such_setting"),
        ({"query": "SELECT 1", "bad name": "1"}, 404, "115", "bad name"),
        ({"query": "SELECT 1", "database": "none"}, 404, "81", "UNKNOWN_DATABASE"),
        ({"query": "SELECT 1 FORMAT Nothing"}, 404, "73", "UNKNOWN_FORMAT"),
        ({"query": "CREATE TABLE x (a Int8) ENGINE = Memory"}, 500, "164", "READONLY"),
        ({"query": "SELECT {x:UInt8}", "param_x": "text"}, 400, "457", "text"),
        ({"query": "SELECT * FROM file('/etc/passwd', LineAsString)"}, 403, "497", "file"),
        ({"query": "SELECT 1", "compress": "many"}, 400, "36", "compress"),
    ],
)
def test_exceptions(
    owner: OwnerHandle, parameters: dict[str, str], status: int, code: str, said: str
) -> None:
    found = refused(owner, None, None, **parameters)
    assert found[:2] == (status, code)
    assert said in found[2]
    assert found[2].startswith(f"Code: {code}. DB::Exception: ")


def test_empty_posts_are_refused_and_the_connection_lives_on(owner: OwnerHandle) -> None:
    parts = urllib.parse.urlsplit(owner.url)
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=10) as connection:
        for body in (b"", b"SELEC 1", b"SELECT 5"):
            connection.sendall(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            answer = connection.recv(65536)
            while not answer.endswith(b"\n"):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200" if body == b"SELECT 5" else b"HTTP/1.1 400"), answer
        assert answer.endswith(b"5\n")


def test_web_pages_are_refused(owner: OwnerHandle) -> None:
    assert refused(owner, b"SELECT 1", headers={"Origin": "https://shop.example"})[0] == 403
    assert refused(owner, b"SELECT 1", headers={"Host": "rebound.example"})[0] == 403
    assert ask(owner, b"SELECT 1", headers={"Host": "localhost:1234"})[0] == b"1\n"


def test_credentials_are_taken(owner: OwnerHandle) -> None:
    assert ask(owner, b"SELECT 1", headers={"X-ClickHouse-User": "x", "X-ClickHouse-Key": "y"})[0] == b"1\n"
    assert ask(owner, b"SELECT 1", headers={"Authorization": "Basic eDp5"})[0] == b"1\n"
    assert ask(owner, b"SELECT 1", user="x", password="y", session_id="s", session_timeout="5")[0] == b"1\n"


def test_inserts(owner: OwnerHandle, table: str) -> None:
    ask(owner, f"INSERT INTO {table} VALUES (1, 'one'), (2, NULL)".encode())
    ask(owner, b"3,three\n", query=f"INSERT INTO {table} FORMAT CSV")
    ask(owner, f"INSERT INTO {table} FORMAT TSV\n4\tfour\n".encode())
    _, headers = ask(owner, f'INSERT INTO {table} FORMAT JSONEachRow {{"a": 5}}'.encode())
    assert json.loads(headers["X-ClickHouse-Summary"])["written_rows"] == "1"
    native, _ = ask(owner, query="SELECT toInt64(6) AS a, 'six'::Nullable(String) AS s FORMAT Native")
    ask(owner, native, query=f"INSERT INTO {table} FORMAT Native")
    ask(owner, f"INSERT INTO {table} SELECT a + 10, s FROM {table} WHERE a = 1".encode())
    taken = f"INSERT INTO {table} SELECT a, s FROM input('a Int64, s String') FORMAT CSV"
    assert refused(owner, b"7,x\n", query=taken)[1] == "48"
    ask(owner, f"INSERT INTO {table} VALUES ({{n:Int64}}, 'p')".encode(), param_n="8")
    found, _ = ask(owner, query=f"SELECT a, s FROM {table} ORDER BY a FORMAT CSV")
    assert found.decode().split() == [
        '1,"one"', "2,\\N", '3,"three"', '4,"four"', "5,\\N", '6,"six"', '8,"p"', '11,"one"',
    ]  # fmt: skip
    assert refused(owner, b"x,y\n", query=f"INSERT INTO {table} FORMAT CSV")[1] == "27"
    assert refused(owner, b"1\n", query="INSERT INTO nothing FORMAT CSV")[1] == "60"


Packing = Callable[[bytes], bytes]


def unpack_zstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


@pytest.mark.parametrize(
    ("encoding", "pack", "unpack"),
    [
        ("gzip", gzip.compress, gzip.decompress),
        ("zstd", zstandard.ZstdCompressor().compress, unpack_zstd),
        ("lz4", lz4.frame.compress, lz4.frame.decompress),
    ],
)  # fmt: skip
def test_compression(owner: OwnerHandle, table: str, encoding: str, pack: Packing, unpack: Packing) -> None:
    data = "".join(f"{number},{number}\n" for number in range(50_000)).encode()
    ask(owner, pack(data), headers={"Content-Encoding": encoding}, query=f"INSERT INTO {table} FORMAT CSV")
    for sql, size in (
        (f"SELECT a FROM {table} ORDER BY a FORMAT CSV", 50_000),
        (f"SELECT count() FROM {table}", 1),
    ):
        body, headers = ask(
            owner, query=sql, headers={"Accept-Encoding": encoding}, enable_http_compression="1"
        )
        assert headers["Content-Encoding"] == encoding
        assert len(unpack(body).splitlines()) == size
        body, headers = ask(owner, query=sql, headers={"Accept-Encoding": encoding})
        assert headers["Content-Encoding"] is None
        assert len(body.splitlines()) == size
    assert refused(owner, b"no such bytes", headers={"Content-Encoding": encoding})[0] == 500
    assert refused(owner, b"x", headers={"Content-Encoding": "br"})[1] == "48"


@pytest.mark.parametrize("method", ["LZ4", "ZSTD"])
def test_clickhouses_own_framing(owner: OwnerHandle, table: str, method: str) -> None:
    data = b"".join(framed(b"".join(b"%d,x\n" % number for number in range(1000)), method))
    ask(owner, data, query=f"INSERT INTO {table} FORMAT CSV", decompress="1")
    body, _ = ask(
        owner,
        query=f"SELECT a FROM {table} ORDER BY a FORMAT CSV",
        compress="1",
        network_compression_method=method,
    )
    assert b"".join(unframed([body])).split() == [b"%d" % number for number in range(1000)]
    assert refused(owner, data[:-1], query=f"INSERT INTO {table} FORMAT CSV", decompress="1")[1] == "354"


def test_a_cut_body_inserts_nothing(owner: OwnerHandle, table: str) -> None:
    parts = urllib.parse.urlsplit(owner.url)
    query = urllib.parse.quote(f"INSERT INTO {table} FORMAT CSV")
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=10) as connection:
        connection.sendall(
            f"POST /?query={query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n1,x\n".encode()
        )
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert ask(owner, query=f"SELECT count() FROM {table}")[0] == b"0\n"


def test_an_error_in_the_middle_is_no_whole_answer(owner: OwnerHandle, client: Client) -> None:
    sql = "SELECT number, throwIf(number = 900000) FROM numbers(1000000)"
    with pytest.raises((OSError, ValueError, Exception)) as caught:
        ask(owner, query=f"{sql} FORMAT CSV")
    assert "IncompleteRead" in type(caught.value).__name__
    found = refused(owner, query=f"{sql} FORMAT CSV", wait_end_of_query="1")
    assert found[:2] == (500, "395")
    with pytest.raises(StreamFailureError, match="throwIf"), client.query_row_block_stream(sql) as stream:
        for _ in stream:
            pass


def test_large_results_stream(owner: OwnerHandle) -> None:
    url = f"{owner.url}/?{urllib.parse.urlencode({'query': 'SELECT number FROM system.numbers FORMAT CSV'})}"
    with urllib.request.urlopen(url, timeout=30) as response:
        assert response.read(10) == b"0\n1\n2\n3\n4\n"
    assert ask(owner, query="SELECT 1")[0] == b"1\n"


def test_a_small_query_is_answered_while_a_slow_one_runs(owner: OwnerHandle) -> None:
    slow = "SELECT sleepEachRow(0.5) FROM numbers(8) SETTINGS max_block_size = 1"
    with ThreadPoolExecutor(2) as pool:
        began = time.monotonic()
        running = [pool.submit(ask, owner, query=slow) for _ in range(2)]
        time.sleep(0.3)
        assert ask(owner, query="SELECT 1")[0] == b"1\n"
        answered = time.monotonic() - began
        assert not any(one.done() for one in running)
        for one in running:
            one.result()
        assert answered < (time.monotonic() - began) / 2


def test_clickhouse_connect_reads_and_writes(client: Client, table: str) -> None:
    assert client.ping()
    assert client.command("SELECT 1") == 1
    client.insert(table, [[1, "é"], [2, None]], column_names=["a", "s"])
    client.insert_arrow(table, pa.table({"a": [3], "s": ["arrow"]}))
    client.raw_insert(table, ["a", "s"], b"4,raw\n", fmt="CSV")
    client.raw_insert(table, ["a", "s"], gzip.compress(b"5,packed\n"), fmt="CSV", compression="gzip")
    client.insert(table, [[number, "x" * 50] for number in range(100, 5100)], column_names=["a", "s"])
    found = client.query(f"SELECT a, s FROM {table} WHERE a < {{most:Int64}} ORDER BY a", {"most": 100})
    assert found.result_rows == [(1, "é"), (2, None), (3, "arrow"), (4, "raw"), (5, "packed")]
    assert client.query(f"SELECT a FROM {table} WHERE s = %(s)s", {"s": "it's \\ \n"}).result_rows == []
    assert client.query_arrow(f"SELECT count() AS n FROM {table}").to_pylist() == [{"n": 5005}]
    assert client.query(f"SELECT a FROM {table} LIMIT 0").column_names == ("a",)
    with_setting = client.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 99})
    assert with_setting.result_rows == [(99,)]
    with client.query_row_block_stream("SELECT number FROM numbers(300000)") as stream:
        assert sum(len(block) for block in stream) == 300_000
    frame = client.query_df(f"SELECT a FROM {table} WHERE a <= 5 ORDER BY a")
    assert frame["a"].tolist() == [1, 2, 3, 4, 5]
    client.insert_df(table, frame)
    rich = client.query(
        "SELECT toLowCardinality('x') AS l, [1, 2] AS a, map('k', 1) AS m, now() AS t, today() AS d"
    )
    assert [row[0] for row in rich.result_rows] == ["x"]
    with pytest.raises(DatabaseError, match="nothing") as caught:
        client.query("SELECT * FROM nothing")
    assert caught.value.code == 60
    many = {f"p{number}": "x" * 2000 for number in range(60)}
    sql = "SELECT " + " || ".join(f"{{p{number}:String}}" for number in range(60))
    assert len(client.query(sql, many).result_rows[0][0]) == 120_000


def test_native_of_a_later_revision(owner: OwnerHandle) -> None:
    sql = (
        "SELECT number AS a, toString(number) AS s, toLowCardinality('x') AS l FROM numbers(3) FORMAT Native"
    )
    plain, _ = ask(owner, query=sql)
    assert plain[:3] == b"\x03\x03\x01"
    later, _ = ask(owner, query=sql, client_protocol_version="54460")
    assert later[:11] == b"\x01\x00\x02\xff\xff\xff\xff\x00" + plain[:3]
    assert len(later) == len(plain) + 8 + 3
    assert ask(owner, query=sql, client_protocol_version="54405")[0] == plain
    assert refused(owner, query="SELECT '{}'::JSON FORMAT Native", client_protocol_version="54460")[1] == "48"
    described, _ = ask(owner, query="DESCRIBE (SELECT 1 AS a) FORMAT Native", client_protocol_version="54460")
    assert described.startswith(b"\x01\x00\x02")


def test_rows_through_the_owner_count_once(tmp_path: Path) -> None:
    address = StoreAddress("embedded", folder=tmp_path / "store")
    with contextlib.closing(ensure_owner(address)) as owner:
        assert owner.started
        for _ in range(2):
            sink = StoreSink(address)
            sink.open_part("p", None)
            sink.write("p", EVENTS, rows(EVENTS, 300))
            sink.flush("p")
            sink.close()
        assert ask(owner, query="SELECT count() FROM footfall.events")[0] == b"300\n"
        other = ensure_owner(address)
        assert (other.url, other.started) == (owner.url, False)
        other.close()
        assert other.alive()
        store = open_store(address)
        assert not store.embedded
        assert store.query("SELECT * FROM events ORDER BY source_offset").equals(rows(EVENTS, 300))
        store.close()
        folder = address.folder
        assert folder is not None
        holder = read_holder(folder)
        assert holder is not None
        assert holder.url == owner.url
    store = open_store(address)
    assert store.embedded
    assert store.query("SELECT count() FROM events").item() == 300
    store.close()


_RUN = """
import os, signal, sys
from pathlib import Path
from footfall.store import StoreAddress
from footfall.store_owner import ensure_owner
owner = ensure_owner(StoreAddress("embedded", folder=Path(sys.argv[1])))
print(owner.url, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_owner_ends_with_its_run_even_by_sigkill(tmp_path: Path) -> None:
    address = StoreAddress("embedded", folder=tmp_path / "store")
    arguments = [sys.executable, "-c", _RUN, str(address.folder)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdin is not None
        url = run.stdout.readline().strip()
        through = open_store(address)
        assert not through.embedded
        through.migrate()
        through.insert(EVENTS, rows(EVENTS, 50))
        through.close()
        run.stdin.write("\n")
        run.stdin.flush()
        run.wait(20)
    assert run.returncode == -signal.SIGKILL
    store = open_store(address, wait_for_owner=30)
    assert store.embedded
    assert store.query("SELECT count() FROM events").item() == 50
    store.close()
    parts = urllib.parse.urlsplit(url)
    assert not ping(str(parts.hostname), parts.port or 0)


def test_a_sink_finds_an_owner_that_came_back_elsewhere(tmp_path: Path) -> None:
    address = StoreAddress("embedded", folder=tmp_path / "store")
    first = ensure_owner(address)
    lines: list[str] = []
    sink = StoreSink(address, report=lines.append)
    sink.open_part("p", None)
    sink.write("p", EVENTS, rows(EVENTS, 10))
    sink.flush("p")
    first.close()
    second = ensure_owner(address)
    sink.write("p", EVENTS, rows(EVENTS, 10, first=10))
    assert sink.flush("p") == 20
    sink.close()
    assert ask(second, query="SELECT count() FROM footfall.events")[0] == b"20\n"
    second.close()
    assert len(lines) == 2


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_an_owner_cleanly_after_its_requests(tmp_path: Path, which: signal.Signals) -> None:
    code = "import sys; from footfall.store_owner import owner_main; sys.exit(owner_main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", code, str(tmp_path / "store"), "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().rsplit(" ", 1)[1].strip()
        owner = OwnerHandle(url, None, None)
        answers: list[bytes] = []
        slow = "SELECT count() FROM (SELECT sleepEachRow(0.3) FROM numbers(4) SETTINGS max_block_size = 1)"
        asking = threading.Thread(target=lambda: answers.append(ask(owner, query=slow)[0]))
        asking.start()
        time.sleep(0.4)
        process.send_signal(which)
        assert process.wait(20) == 0
        asking.join(5)
        assert answers == [b"4\n"]
        assert process.stderr.read() == ""


def test_a_port_and_a_folder_that_are_taken(
    tmp_path: Path, owner: OwnerHandle, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(urllib.parse.urlsplit(owner.url).port)
    assert owner_main([str(tmp_path / "one"), "--port", port]) == 1
    assert "name another port" in capsys.readouterr().err
    store = open_store(StoreAddress("embedded", folder=tmp_path / "two"))
    code = "import sys; from footfall.store_owner import owner_main; sys.exit(owner_main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", code, str(tmp_path / "two"), "--port", "0"]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 75
    assert f"is open in process {os.getpid()} " in run.stderr
    store.close()
    with pytest.raises(StoreError, match="only an embedded store"):
        ensure_owner(StoreAddress("server", host="h", port=1))


def test_status_of_codes() -> None:
    assert [http_status(code) for code in (62, 60, 48, 202, 241)] == [400, 404, 501, 503, 500]


def test_polars_frames_keep_their_types(tmp_path: Path, owner: OwnerHandle) -> None:
    parts = urllib.parse.urlsplit(owner.url)
    store = open_store(StoreAddress("server", "typed", host=str(parts.hostname), port=parts.port or 0))
    store.migrate()
    store.insert(EVENTS, rows(EVENTS, 20))
    assert store.query("SELECT * FROM events").schema == EVENTS.schema
    assert isinstance(store.query("SELECT 1 AS a"), pl.DataFrame)
    store.close()
