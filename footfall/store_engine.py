"""The embedded engine as a server runs it: one connection handle to a request, over one open folder.

Queries on one handle wait for one another, those on several run side by side, and a new handle costs under a
millisecond. The engine is loaded when `Engine` is made, so only the process that owns the folder loads it.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from footfall.store import ENGINE_OPTIONS, SESSION_SETTINGS
from footfall.store_native import (
    CUSTOM_SERIALIZATION_REVISION,
    UnskippableTypeError,
    with_protocol,
)
from footfall.store_sql import Statement, quoted, quoted_name, read_statement

# Formats whose blocks, one after the other, are the format again; all others are made in memory as a whole.
STREAM_SAFE_FORMATS = frozenset(
    {
        "native", "csv", "tabseparated", "tsv", "tabseparatedraw", "tsvraw", "rowbinary", "jsoneachrow",
        "jsonlines", "ndjson", "jsoncompacteachrow", "jsonstringseachrow", "lineasstring",
    }
)  # fmt: skip

UNKNOWN_SETTING = 115
NOT_IMPLEMENTED = 48
ACCESS_DENIED = 497
QUERY_TOO_LARGE = 307
TOO_MANY_QUERIES = 202
BAD_ARGUMENTS = 36
CANNOT_READ_BODY = 354
EMPTY_QUERY = 62

# How much of an INSERT's statement may stand before its data, and how large any other statement may be.
_MOST_HEAD = 1 << 18
_MOST_STATEMENT = 1 << 26
_SLICE = 1 << 20

_SETTING = re.compile(r"[A-Za-z_]\w*")
_CODE = re.compile(r"Code: (\d+)\.")


class EngineError(Exception):
    """What ClickHouse calls an exception: its code, and its text as a server words it."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        super().__init__(text)


def engine_error(code: int, text: str, name: str) -> EngineError:
    """An exception of this program's own, in the server's words."""
    return EngineError(code, f"Code: {code}. DB::Exception: {text} ({name})")


@dataclass(slots=True)
class Request:
    """One request to the engine.

    Attributes:
        query: the statement, or its beginning: the body goes on with it.
        body: what follows the query, in chunks; it is read as far as it is needed.
        settings: ClickHouse settings of this request alone.
        parameters: values of `{name:Type}`, escaped as in TabSeparated.
        database: the default database; None for the engine's.
        default_format: the format of a result whose statement names none.
        readonly: whether the request may only read.
        protocol_version: the Native revision that the client asks for; 0 for none.
    """

    query: bytes
    body: Iterable[bytes] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    default_format: str = "TabSeparated"
    readonly: bool = False
    protocol_version: int = 0


@dataclass(slots=True)
class Answer:
    """What a request gave.

    Attributes:
        format: the result's format; None where the statement has no result.
        chunks: the result's bytes. Taking them may raise EngineError; closing them ends the query.
        summary: counts of rows and bytes, as far as they are known when the answer begins.
    """

    format: str | None
    chunks: Iterator[bytes]
    summary: dict[str, str]


class _Result(Protocol):
    def bytes(self) -> bytes: ...

    def rows_read(self) -> int: ...

    def bytes_read(self) -> int: ...

    def elapsed(self) -> float: ...


class _Stream(Protocol):
    def __iter__(self) -> Iterator[_Result]: ...

    def __next__(self) -> _Result: ...

    def close(self) -> None: ...


class _Connection(Protocol):
    def query(self, query: bytes | str, format: str, params: Mapping[str, str] | None = None) -> _Result: ...  # noqa: A002 - the engine names it so

    def send_query(self, query: bytes | str, format: str, params: Mapping[str, str]) -> _Stream: ...  # noqa: A002 - as above

    def close(self) -> None: ...


class Engine:
    """One open folder; `close` closes it. Threads may call `run` at once."""

    def __init__(self, folder: Path) -> None:
        import chdb  # noqa: PLC0415 - half a gigabyte, loaded where it is opened

        connect: Any = chdb.connect
        self._connect: Callable[[str], _Connection] = connect
        self._path = str(folder.resolve())
        # This handle keeps the engine open between requests.
        self._keeper = self._connect(f"{self._path}?{urlencode(ENGINE_OPTIONS)}")
        row = bytes(self._keeper.query("SELECT version(), hostName()", "TabSeparated").bytes()).decode()
        self.version, self.display_name = row.rstrip("\n").split("\t")

    def close(self) -> None:
        """Close the folder; requests that still run are cut off."""
        self._keeper.close()

    def run(self, request: Request) -> Answer:
        """Run a request up to its first rows.

        Raises:
            EngineError: the engine refuses it, or it failed before it gave a row.
        """
        statement, text, data = _read(request)
        if statement.local_access is not None:
            raise engine_error(
                ACCESS_DENIED,
                f"{statement.local_access} would reach the files or programs of the machine that serves the "
                "store, which is not allowed over HTTP",
                "ACCESS_DENIED",
            )
        if statement.takes_input:
            raise engine_error(
                NOT_IMPLEMENTED,
                "INSERT … SELECT from input() is not known here: insert into a table and select from that",
                "NOT_IMPLEMENTED",
            )
        connection = self._connect(self._path)
        try:
            native = self._prepare(connection, request, statement)
            if statement.data_at is not None and not request.parameters:
                return self._insert(connection, statement, chain((text[statement.data_at :],), data))
            text = b"".join([text, *data])
            return self._ask(connection, request, statement, text, native=native)
        except BaseException as error:
            connection.close()
            if isinstance(error, RuntimeError):
                raise self._said(error) from error
            raise

    def _prepare(self, connection: _Connection, request: Request, statement: Statement) -> bool:
        wanted = (statement.format or request.default_format).lower()
        native = (
            wanted == "native"
            and statement.answers
            and request.protocol_version >= CUSTOM_SERIALIZATION_REVISION
        )
        settings: dict[str, Any] = {**SESSION_SETTINGS, **request.settings}
        readonly = settings.pop("readonly", None)
        for name in settings:
            if _SETTING.fullmatch(name) is None:
                raise engine_error(UNKNOWN_SETTING, f"Unknown setting '{name}'", "UNKNOWN_SETTING")
        if request.database:
            connection.query(f"USE {quoted_name(request.database)}", "Null")
        pairs = ", ".join(f"{name} = {quoted(str(value))}" for name, value in settings.items())
        connection.query(f"SET {pairs}", "Null")
        if readonly is not None:
            connection.query(f"SET readonly = {quoted(str(readonly))}", "Null")
        elif request.readonly:
            connection.query("SET readonly = 2", "Null")
        return native

    def _insert(self, connection: _Connection, statement: Statement, data: Iterator[bytes]) -> Answer:
        # The engine's own streamed INSERT says that all is well when its last step fails, on a full disk for one. From
        # a file it says what went wrong.
        with tempfile.NamedTemporaryFile(prefix="footfall-insert-") as held:
            for chunk in data:
                held.write(chunk)
            held.flush()
            head, settings = statement.head[: statement.settings_at], statement.head[statement.settings_at :]
            done = connection.query(
                f"{head.decode()} FROM INFILE {quoted(held.name)} {settings.decode()} FORMAT {statement.format}",
                "Null",
            )
        connection.close()
        summary = {
            "written_rows": str(done.rows_read()),
            "written_bytes": str(done.bytes_read()),
            "elapsed_ns": str(int(done.elapsed() * 1e9)),
        }
        return Answer(None, iter(()), summary)

    def _ask(
        self, connection: _Connection, request: Request, statement: Statement, text: bytes, *, native: bool
    ) -> Answer:
        answers = statement.answers
        output = statement.format or request.default_format
        parameters = dict(request.parameters)
        if statement.streams and output.lower() in STREAM_SAFE_FORMATS:
            try:
                stream = connection.send_query(text, output, params=parameters)
                first = next(stream, None)
            except RuntimeError as error:
                if self._said(error).code != BAD_ARGUMENTS or "Streaming query" not in str(error):
                    raise
            else:
                summary = {} if first is None else _counts(first)
                chunks = self._streamed(connection, stream, first, native=native)
                return Answer(output, chunks, summary)
        result = connection.query(text, output, params=parameters)
        data = bytes(result.bytes())
        summary = _counts(result)
        connection.close()
        chunks = _native((data,)) if native else _slices(data)
        return Answer(output if answers or data else None, chunks, summary)

    def _streamed(
        self, connection: _Connection, stream: _Stream, first: _Result | None, *, native: bool
    ) -> Iterator[bytes]:
        try:
            chunks = (bytes(one.bytes()) for one in chain(() if first is None else (first,), stream))
            yield from _native(chunks) if native else chunks
        except RuntimeError as error:
            raise self._said(error) from error
        finally:
            stream.close()
            connection.close()

    def _said(self, error: Exception) -> EngineError:
        text = str(error)
        match = _CODE.search(text)
        if match is None:
            return engine_error(1001, text, "STD_EXCEPTION")
        text = text[match.start() :].strip()
        if "(version " not in text:
            text = f"{text} (version {self.version})"
        return EngineError(int(match.group(1)), text)


def _read(request: Request) -> tuple[Statement, bytes, Iterator[bytes]]:
    """The statement, its text as far as it was read, and what is left of the body (an INSERT's data)."""
    body = iter(request.body)
    parts = [request.query.rstrip() + b"\n"] if request.query.strip() else []
    size = sum(map(len, parts))
    whole = False
    while size < _MOST_HEAD and not whole:
        chunk = next(body, None)
        whole = chunk is None
        parts.append(chunk or b"")
        size += len(parts[-1])
    text = b"".join(parts)
    statement = read_statement(text)
    if not statement.first:
        raise engine_error(EMPTY_QUERY, "Empty query", "SYNTAX_ERROR")
    if whole or statement.first == b"INSERT":
        return statement, text, body
    for chunk in body:
        parts.append(chunk)
        size += len(chunk)
        if size > _MOST_STATEMENT:
            raise engine_error(
                QUERY_TOO_LARGE, f"the statement is larger than {_MOST_STATEMENT} bytes", "QUERY_IS_TOO_LARGE"
            )
    text = b"".join(parts)
    return read_statement(text), text, iter(())


def _counts(result: _Result) -> dict[str, str]:
    return {
        "read_rows": str(result.rows_read()),
        "read_bytes": str(result.bytes_read()),
        "elapsed_ns": str(int(result.elapsed() * 1e9)),
    }


def _native(chunks: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from with_protocol(chunks)
    except UnskippableTypeError as error:
        raise engine_error(
            NOT_IMPLEMENTED,
            f"a column of type {error} can't be sent as Native of the revision that this client asks for; "
            "convert it in the query, with toString() say",
            "NOT_IMPLEMENTED",
        ) from error


def _slices(data: bytes) -> Iterator[bytes]:
    for begin in range(0, len(data), _SLICE):
        yield data[begin : begin + _SLICE]
