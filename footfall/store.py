"""The ClickHouse store: where it is, and one client for the engine inside the process and for a server.

A store is named by a DSN. `chdb:///abs/path` and `chdb://relative-folder` are the embedded engine's folder;
`clickhouse://user:password@host:port/database` is a server, `clickhouses://` one behind TLS. The embedded
folder can be open in one process only: `open_store` opens it, or goes through the process that serves it.
"""

import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import clickhouse_connect
import polars as pl
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError, StreamFailureError
from urllib3.exceptions import MaxRetryError
from urllib3.exceptions import TimeoutError as HttpTimeoutError

from footfall.errors import (
    MissingStoreError,
    SettingsError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
    UnknownHostError,
)
from footfall.migrations import migrate
from footfall.store_lock import Holder, hold_folder, leave_folder, read_holder
from footfall.store_sql import quoted_name
from footfall.tables import Table

DEFAULT_DATABASE = "footfall"

# Rows that were written twice count once without a word in the query, and times without a zone are UTC. A row
# and its copies are always in one partition, since partition keys hold only what the row's id fixes.
SESSION_SETTINGS: dict[str, int | str] = {
    "final": 1,
    "do_not_merge_across_partitions_select_final": 1,
    "session_timezone": "UTC",
}

# A file of many years touches many monthly partitions in one insert. Rows of one key replace one another when
# parts are merged and when they are read; doing it at the insert too took two thirds of an insert's time.
_INSERT_SETTINGS: dict[str, int | str] = {
    "max_partitions_per_insert_block": 0,
    "max_insert_threads": 1,
    "optimize_on_insert": 0,
}

# What the engine inside a process may take of its machine, where the run and its workers live too.
ENGINE_OPTIONS: dict[str, int | float | str] = {
    "max_server_memory_usage_to_ram_ratio": 0.4,
    "mark_cache_size": 256 << 20,
}

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_EXAMPLES = (
    "chdb:///var/lib/footfall/store, chdb://footfall-store or clickhouse://user:password@host:8123/footfall"
)

# ClickHouse's codes for what may pass: timeouts, too much at once, memory, replicas and keepers that are
# away.
TRANSIENT_CODES = frozenset({159, 202, 209, 210, 241, 242, 252, 279, 285, 319, 425, 439, 999})


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is. Its text and repr show no password.

    Attributes:
        kind: `embedded` (a folder) or `server`.
        database: the database that holds the tables.
        folder: the embedded engine's folder; None for a server.
        host: a server's host name, with `port`, `user`, `password` and `secure` (TLS).
    """

    kind: Literal["embedded", "server"]
    database: str = DEFAULT_DATABASE
    folder: Path | None = None
    host: str = ""
    port: int = 0
    user: str = "default"
    password: str = field(default="", repr=False)
    secure: bool = False

    def __str__(self) -> str:
        if self.folder is not None:
            return f"chdb://{self.folder}"
        secret = ":***" if self.password else ""
        scheme = "clickhouses" if self.secure else "clickhouse"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{self.user}{secret}@{host}:{self.port}/{self.database}"


def parse_dsn(text: str, *, database: str = DEFAULT_DATABASE) -> StoreAddress:
    """Read a DSN. The database is the one in the DSN's path (server) or `?database=` (both), else `database`.

    Raises:
        SettingsError: it is no DSN; the message says what to write and never repeats a password.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise _wrong(f"its host or port can't be read; write one like {_EXAMPLES}") from error
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    named = options.pop("database", None)
    if options:
        raise _wrong(f"unknown option {', '.join(sorted(options))}: the only one is ?database=NAME")
    if parts.fragment:
        raise _wrong("write # in a password or path as %23")
    if parts.scheme == "chdb":
        folder = unquote(parts.netloc + parts.path)
        if parts.username is not None or not folder.strip("/"):
            raise _wrong("chdb:// takes a folder alone: chdb:///abs/path or chdb://relative-folder")
        return StoreAddress("embedded", _checked(named or database), folder=Path(folder))
    if parts.scheme in ("clickhouse", "clickhouses"):
        secure = parts.scheme == "clickhouses"
        if not host:
            raise _wrong(f"there is no host: write {parts.scheme}://user:password@host:port/database")
        return StoreAddress(
            "server",
            _checked(named or unquote(parts.path).strip("/") or database),
            host=host,
            port=port or (8443 if secure else 8123),
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            secure=secure,
        )
    said = f"{parts.scheme}:// is no scheme of a store" if parts.scheme else "it has no scheme"
    raise _wrong(f"{said}; write one like {_EXAMPLES}")


def _wrong(problem: str) -> SettingsError:
    return SettingsError([f"store: {problem}"])


def _checked(database: str) -> str:
    if _DATABASE.fullmatch(database) is None:
        raise _wrong(f"{database!r} is no database name: use letters, digits and _")
    return database


class Store:
    """An open store. One thread at a time uses it; `close` frees it, and the folder with its last user.

    Every query sees a row once, however often it was written (`final = 1`), unless it says otherwise itself.
    """

    def __init__(self, client: Client, address: StoreAddress, *, folder: Path | None) -> None:
        self.address = address
        self._client = client
        self._folder = folder
        self._closed = False

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process."""
        return self._folder is not None

    def migrate(self) -> int:
        """Make and change the tables as this version needs them; the number of migrations applied.

        Raises:
            StoreError: see `footfall.migrations.migrate`.
        """
        return migrate(self)

    def insert(self, table: Table, frame: pl.DataFrame) -> None:
        """Write rows, which are in when it returns. The frame has the table's columns and types.

        Raises:
            StoreUnavailableError: the store is away or overloaded: the same call may succeed later, and does
                no harm if the rows are in already.
            StoreError: the store refuses the rows.
        """
        if frame.is_empty():
            return
        rows = frame.select(table.schema.names()).to_arrow(compat_level=pl.CompatLevel.oldest())
        with _said(self.address, f"writing {frame.height} rows to {table.name}"):
            self._client.insert_arrow(
                table.name, rows.combine_chunks(), self.address.database, dict(_INSERT_SETTINGS)
            )

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """The rows of a SELECT, all in memory. Text that isn't UTF-8 comes as binary.

        Args:
            sql: one statement without FORMAT; `{name:Type}` stands for a parameter.
            parameters: the parameters' values.

        Raises:
            StoreError: it can't be answered.
        """
        with _said(self.address, "query"):
            found = self._client.query_arrow(sql, dict(parameters) if parameters else None, use_strings=False)
        return cast("pl.DataFrame", pl.from_arrow(_texts(found)))

    def stream(self, sql: str, output_format: str) -> IO[bytes]:
        """A SELECT's result as the bytes of one of ClickHouse's formats, taken as they come; close it.

        Raises:
            StoreError: it can't be answered. An error in the middle comes from reading it.
        """
        with _said(self.address, "query"):
            return cast("IO[bytes]", self._client.raw_stream(sql, fmt=output_format))

    def raw(self, sql: str) -> bytes:
        """What a statement that names its own FORMAT, or a SHOW or the like, answers.

        Raises:
            StoreError: it can't be answered.
        """
        with _said(self.address, "query"):
            return self._client.raw_query(sql)

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement for its effect.

        Raises:
            StoreError: it failed.
        """
        with _said(self.address, "statement"):
            self._client.command(sql, dict(parameters) if parameters else None)

    def close(self) -> None:
        """Free the client and, for the folder's last user in this process, the folder. Twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            self._client.close()
        finally:
            if self._folder is not None:
                leave_folder(self._folder)


def open_store(address: StoreAddress, *, wait_for_owner: float = 0.0, create: bool = True) -> Store:
    """Open a store, and make its database where it lacks it.

    An embedded folder that another process serves (`footfall store serve`, or a run with several workers) is
    reached through that process, without a word.

    Args:
        address: where it is.
        wait_for_owner: seconds to wait while another process has the folder without serving it: one that is
            ending, or one that is about to serve.
        create: make an embedded folder that isn't there yet; otherwise that is an error.

    Raises:
        StoreBusyError: another process has the folder.
        StoreUnavailableError: the server can't be reached; UnknownHostError where nobody knows its name.
        MissingStoreError: there is no folder, and none is to be made.
        StoreError: the engine or the server refuses.
    """
    if address.folder is None:
        return _prepared(_server_client(address), address, None)
    folder = address.folder.absolute()
    if not create and not folder.is_dir():
        raise MissingStoreError(
            f"there is no store at {address}: fill it with footfall replay, or name another one"
        )
    until = time.monotonic() + wait_for_owner
    while True:
        if hold_folder(folder) is not None:
            return _embedded(address, folder)
        holder = read_holder(folder)
        if holder is not None and holder.url is not None and holder.serving:
            try:
                return _through_owner(address, holder.url)
            except StoreUnavailableError:
                if time.monotonic() >= until:
                    raise
        if time.monotonic() >= until:
            raise busy_error(address, holder)
        time.sleep(0.05)


def busy_error(address: StoreAddress, holder: Holder | None) -> StoreBusyError:
    """The error that says who has a folder and what to do about it."""
    who = str(holder) if holder else "another process"
    return StoreBusyError(
        f"the store {address} is open in {who}, and the embedded engine's folder can be open in one process "
        "only: wait until that ends, or stop it and serve the folder to all with: footfall store serve",
        owner=None if holder is None else str(holder),
    )


def owner_address(address: StoreAddress, url: str) -> StoreAddress:
    """The address of the process that serves an embedded store at `url`."""
    parts = urlsplit(url)
    return replace(address, kind="server", folder=None, host=parts.hostname or "", port=parts.port or 8123)


def _embedded(address: StoreAddress, folder: Path) -> Store:
    try:
        # The engine is half a gigabyte of code, loaded where it is opened and nowhere else.
        with _said(address, "opening the embedded engine"):
            client = clickhouse_connect.get_client(
                interface="chdb",
                path=str(folder.resolve()),
                settings=dict(SESSION_SETTINGS),
                chdb_options=dict(ENGINE_OPTIONS),
            )
        return _prepared(client, address, folder)
    except BaseException:
        leave_folder(folder)
        raise


def _through_owner(address: StoreAddress, url: str) -> Store:
    served = owner_address(address, url)
    return _prepared(_server_client(served), address, None)


def _server_client(address: StoreAddress) -> Client:
    with _said(address, "connecting"):
        return clickhouse_connect.get_client(
            host=address.host,
            port=address.port,
            username=address.user,
            password=address.password,
            secure=address.secure,
            compress=address.host not in _LOOPBACK,
            settings=dict(SESSION_SETTINGS),
            autogenerate_session_id=False,
            connect_timeout=10,
            send_receive_timeout=300,
            query_retries=0,
        )


def _prepared(client: Client, address: StoreAddress, folder: Path | None) -> Store:
    try:
        with _said(address, "making the database"):
            known = client.query_arrow(
                "SELECT count() FROM system.databases WHERE name = {name:String}", {"name": address.database}
            )
            if not known.column(0)[0].as_py():
                client.command(f"CREATE DATABASE IF NOT EXISTS {quoted_name(address.database)}")
            client.database = address.database
    except BaseException:
        client.close()
        raise
    return Store(client, address, folder=folder)


@contextmanager
def _said(address: StoreAddress, doing: str) -> Iterator[None]:
    try:
        yield
    except ClickHouseError as error:
        code = getattr(error, "code", None)
        unreached = unreached_words(error)
        if unreached is not None:
            kind = UnknownHostError if _unknown_host(error) else StoreUnavailableError
            raise kind(f"{address}: {doing}: {unreached}") from error
        text = _first_lines(str(error))
        away = isinstance(error, OperationalError | StreamFailureError) and code is None
        if code in TRANSIENT_CODES or away or re.search(r"HTTP status (429|5\d\d)", text):
            raise StoreUnavailableError(f"{address}: {doing}: {text}", code=code) from error
        raise StoreError(f"{address}: {doing}: {text}", code=code) from error


def unreached_words(error: BaseException) -> str | None:
    """Host, port and reason, where a request found nobody to take it or nobody who answered; else None."""
    causes = list(_causes(error))
    pool = next((each.pool for each in causes if isinstance(each, MaxRetryError)), None)
    if pool is None:
        return None
    if any(isinstance(each, socket.gaierror) for each in causes):
        known = "unknown host" if _unknown_host(error) else "no name server answers"
        return f"{pool.host}:{pool.port}: {known}"
    reason = getattr(causes[-1], "strerror", None)
    if reason is None:
        late = any(isinstance(each, (TimeoutError, HttpTimeoutError)) for each in causes)
        reason = "no answer in time" if late else str(causes[-1]).rsplit(": ", 1)[-1]
    return f"{pool.host}:{pool.port}: {reason}"


def _unknown_host(error: BaseException) -> bool:
    unknown = (socket.EAI_NONAME, socket.EAI_NODATA)
    return any(isinstance(each, socket.gaierror) and each.errno in unknown for each in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that led to it, back to the first."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _first_lines(text: str) -> str:
    text = re.sub(r" \(for url [^)]*\)\Z", "", text.strip())
    text = re.sub(r"\AReceived ClickHouse exception, code: \d+, server response: ", "", text)
    return text if len(text) <= 2000 else text[:2000] + " …"


def _texts(table: pa.Table) -> pa.Table:
    """Binary columns as text, wherever all of a column's values are UTF-8."""
    for place, name in enumerate(table.column_names):
        column = table.column(place)
        wanted = _as_text(column.type)
        if wanted != column.type:
            try:
                table = table.set_column(place, name, column.cast(wanted))
            except pa.ArrowInvalid:
                continue
    return table


def _as_text(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.large_string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.large_list(_as_text(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_as_text(kind.key_type), _as_text(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct(
            [kind.field(i).with_type(_as_text(kind.field(i).type)) for i in range(kind.num_fields)]
        )
    return kind
