"""ClickHouse's HTTP interface over the embedded engine: one handler to a connection.

Known apart from a server's: `session_id` is taken and means nothing, since each request has an engine handle
of its own (a SET or a temporary table ends with its request); a query id is answered, but KILL QUERY doesn't
know it; users and passwords are taken and not checked; external tables are refused; so is what reaches for
local files (`file()`, INTO OUTFILE …). Native goes out as of revision 0, or of the clients' since 54454.

No page of a browser gets in: a request with an Origin, or for a host name that isn't this machine's, is
refused.
"""

import base64
import binascii
import json
import socket
import tempfile
import uuid
from collections.abc import Iterator
from email.parser import BytesParser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import IO, TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from footfall.store_codec import (
    REQUEST_ENCODINGS,
    RESPONSE_ENCODINGS,
    BodyError,
    Encoder,
    decoded,
    framed,
    unframed,
)
from footfall.store_engine import (
    ACCESS_DENIED,
    BAD_ARGUMENTS,
    CANNOT_READ_BODY,
    NOT_IMPLEMENTED,
    TOO_MANY_QUERIES,
    EngineError,
    Request,
    engine_error,
)

if TYPE_CHECKING:
    from footfall.store_owner import OwnerServer

# Parameters of the interface itself, which are no settings of the engine's. The last row are settings that a
# server's HTTP layer alone would act on.
_TRANSPORT = frozenset(
    {
        "query", "database", "default_format", "query_id", "quota_key", "user", "password", "role",
        "buffer_size", "session_id", "session_timeout", "session_check", "compress", "decompress",
        "wait_end_of_query", "client_protocol_version", "close_session", "stacktrace",
        "enable_http_compression", "http_zlib_compression_level", "send_progress_in_http_headers",
        "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close",
        "network_compression_method", "network_zstd_compression_level",
    }
)  # fmt: skip

_BAD_REQUESTS = frozenset(
    {6, 26, 27, 36, 38, 41, 43, 44, 49, 53, 62, 69, 70, 72, 117, 130, 131, 190, 386, 456, 457}
)
_NOT_FOUND = frozenset({16, 46, 47, 50, 55, 56, 60, 63, 73, 81, 115, 116})

_HELD = 1 << 16
_HELD_IN_MEMORY = 1 << 23
_READ = 1 << 18
_MOST_DRAINED = 1 << 30
_IDLE_SECONDS = 300
_BUSY_SECONDS = 900
_WAIT_FOR_SLOT = 60


def http_status(code: int) -> int:
    """The HTTP status that a server answers an exception of that code with."""
    if code in _BAD_REQUESTS:
        return 400
    if code in _NOT_FOUND:
        return 404
    special = {NOT_IMPLEMENTED: 501, 159: 408, ACCESS_DENIED: 403, TOO_MANY_QUERIES: 503, 307: 413, 164: 500}
    return special.get(code, 500)


class _CutShortError(Exception):
    """The client ended the connection in the middle of its body."""


class OwnerHandler(BaseHTTPRequestHandler):
    """Serves one connection, request after request."""

    protocol_version = "HTTP/1.1"
    server_version = "Footfall"
    disable_nagle_algorithm = True
    timeout = _IDLE_SECONDS
    wbufsize = 1 << 16
    server: "OwnerServer"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: requests may hold secrets, and errors go to the client."""

    def do_GET(self) -> None:
        """Answer a query that reads, `/ping` or a greeting."""
        self._handle()

    def do_HEAD(self) -> None:
        """Answer as GET does, without a body."""
        self._handle()

    def do_POST(self) -> None:
        """Answer any query."""
        self._handle()

    def _handle(self) -> None:
        self.connection.settimeout(_BUSY_SECONDS)
        self._body: Iterator[bytes] = self._raw_body()
        self._begun = False
        with self.server.busy():
            try:
                self._route()
            except EngineError as error:
                self._fail(error)
            except BodyError as error:
                self._fail(engine_error(CANNOT_READ_BODY, str(error), "CANNOT_DECOMPRESS"))
            except (_CutShortError, TimeoutError, ConnectionError):
                self.close_connection = True
        self.connection.settimeout(_IDLE_SECONDS)

    def _route(self) -> None:
        self._check_sender()
        parts = urlsplit(self.path)
        values = dict(parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape"))
        if parts.path in ("/ping", "/replicas_status") or (
            parts.path == "/" and self.command != "POST" and "query" not in values
        ):
            self._drain()
            self._send(HTTPStatus.OK, b"Ok.\n", {"Content-Type": "text/html; charset=UTF-8"})
        elif parts.path == "/":
            self._answer(values)
        else:
            self._drain()
            text = f"There is no handle {parts.path}\nUse / or /ping for health checks.\n"
            self._send(HTTPStatus.NOT_FOUND, text.encode(), {"Content-Type": "text/plain; charset=UTF-8"})

    def _check_sender(self) -> None:
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        if self.headers.get("Origin") is not None or not self.server.serves(host):
            raise engine_error(
                ACCESS_DENIED,
                "this store answers programs on its own machine: no web pages (Origin), and no host name but "
                f"{', '.join(sorted(self.server.host_names))}",
                "ACCESS_DENIED",
            )

    def _answer(self, values: dict[str, str]) -> None:
        self._check_credentials()
        body = self._plain_body(values)
        if self.headers.get_content_type() == "multipart/form-data":
            values = {**values, **self._form(body)}
            body = iter(())
        query = values.get("query", "").encode(errors="surrogateescape")
        request = Request(
            query=query,
            body=body,
            settings={
                name: value
                for name, value in values.items()
                if name not in _TRANSPORT and not name.startswith("param_")
            },
            parameters={
                name.removeprefix("param_"): value
                for name, value in values.items()
                if name.startswith("param_")
            },
            database=values.get("database") or self.headers.get("X-ClickHouse-Database"),
            default_format=values.get("default_format")
            or self.headers.get("X-ClickHouse-Format")
            or "TabSeparated",
            readonly=self.command != "POST",
            protocol_version=_number(values, "client_protocol_version"),
        )
        if not self.server.slots.acquire(timeout=_WAIT_FOR_SLOT):
            raise engine_error(
                TOO_MANY_QUERIES, "Too many simultaneous queries", "TOO_MANY_SIMULTANEOUS_QUERIES"
            )
        try:
            answer = self.server.engine.run(request)
            self._drain()
            headers = {
                "Content-Type": _content_type(answer.format),
                "X-ClickHouse-Server-Display-Name": self.server.engine.display_name,
                "X-ClickHouse-Query-Id": values.get("query_id") or str(uuid.uuid4()),
                "X-ClickHouse-Timezone": values.get("session_timezone") or "UTC",
                "X-ClickHouse-Summary": json.dumps(_summary(answer.summary)),
            }
            if answer.format is not None:
                headers["X-ClickHouse-Format"] = answer.format
            response = _Response(self, headers, values)
            try:
                for chunk in answer.chunks:
                    response.take(chunk)
                response.end()
            except EngineError as error:
                response.fail(error)
            finally:
                response.close()
                close = getattr(answer.chunks, "close", None)
                if close is not None:
                    close()
        finally:
            self.server.slots.release()

    def _check_credentials(self) -> None:
        """Credentials are read so that a malformed header is an error, as it is on a server, and not used."""
        said = self.headers.get("Authorization", "")
        if said.lower().startswith("basic "):
            try:
                base64.b64decode(said[6:], validate=True)
            except (ValueError, binascii.Error) as error:
                raise engine_error(
                    BAD_ARGUMENTS, "the Authorization header is no base64", "BAD_ARGUMENTS"
                ) from error

    # ---- the request's body

    def _raw_body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            yield from self._chunked_body()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0:
            data = self.rfile.read(min(left, _READ))
            if not data:
                raise _CutShortError
            left -= len(data)
            yield data

    def _chunked_body(self) -> Iterator[bytes]:
        while True:
            line = self.rfile.readline(1024)
            try:
                left = int(line.split(b";")[0], 16)
            except ValueError:
                raise _CutShortError from None
            if left == 0:
                break
            while left > 0:
                data = self.rfile.read(min(left, _READ))
                if not data:
                    raise _CutShortError
                left -= len(data)
                yield data
            self.rfile.readline(8)
        while self.rfile.readline(65536).strip():
            pass

    def _plain_body(self, values: dict[str, str]) -> Iterator[bytes]:
        body = self._body
        encoding = self.headers.get("Content-Encoding", "").strip().lower()
        if encoding and encoding != "identity":
            if encoding not in REQUEST_ENCODINGS:
                raise engine_error(
                    NOT_IMPLEMENTED,
                    f"Content-Encoding {encoding} is not known here: use {', '.join(REQUEST_ENCODINGS)}",
                    "NOT_IMPLEMENTED",
                )
            body = decoded(body, encoding)
        return unframed(body) if _number(values, "decompress") else body

    def _form(self, body: Iterator[bytes]) -> dict[str, str]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = BytesParser().parsebytes(head + b"".join(body))
        values: dict[str, str] = {}
        for part in message.get_payload() if message.is_multipart() else ():
            if isinstance(part, str) or part.get_filename() is not None:
                raise engine_error(NOT_IMPLEMENTED, "external tables are not known here", "NOT_IMPLEMENTED")
            name = part.get_param("name", header="content-disposition")
            payload = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(payload, bytes):
                values[name] = payload.decode(errors="surrogateescape")
        return values

    def _drain(self) -> None:
        """Read what is left of the body, so that the connection can serve the next request."""
        left = _MOST_DRAINED
        for chunk in self._body:
            left -= len(chunk)
            if left < 0:
                self.close_connection = True
                return

    # ---- the response

    def _fail(self, error: EngineError) -> None:
        try:
            self._drain()
            headers = {
                "Content-Type": "text/plain; charset=UTF-8",
                "X-ClickHouse-Exception-Code": str(error.code),
                "X-ClickHouse-Timezone": "UTC",
            }
            self._send(http_status(error.code), error.text.encode() + b"\n", headers)
        except (_CutShortError, OSError):
            self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.begin(status, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        """Send the status and the headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value.replace("\r", " ").replace("\n", " "))
        if self.close_connection:
            self.send_header("Connection", "close")
        else:
            self.send_header("Connection", "Keep-Alive")
            self.send_header("Keep-Alive", f"timeout={_IDLE_SECONDS}")
        self.end_headers()


class _Response:
    """The body of one answer, held back until it is clear that it begins well.

    With `wait_end_of_query` all of it is held (beyond some megabytes, in a file), so that every error has its
    status; otherwise its first 64 KiB, and what comes after goes out as it comes.
    """

    def __init__(self, handler: OwnerHandler, headers: dict[str, str], values: dict[str, str]) -> None:
        self._handler = handler
        self._headers = headers
        self._tag = uuid.uuid4().hex[:16]
        self._waits = bool(_number(values, "wait_end_of_query"))
        self._framing = (
            values.get("network_compression_method", "LZ4") if _number(values, "compress") else None
        )
        self._encoder: Encoder | None = None
        accepted = (
            handler.headers.get("Accept-Encoding", "") if _number(values, "enable_http_compression") else ""
        )
        encoding = _accepted(accepted)
        if encoding is not None:
            self._encoder = Encoder(encoding)
            headers["Content-Encoding"] = encoding
        self._held: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_HELD_IN_MEMORY)  # noqa: SIM115 - see close
        self._size = 0
        self._taken = False
        self._started = False

    def take(self, chunk: bytes) -> None:
        """Take a piece of the result."""
        self._taken = True
        pieces = framed(chunk, self._framing) if self._framing is not None else iter((chunk,))
        for piece in pieces:
            self._out(self._encoder.take(piece) if self._encoder is not None else piece)

    def end(self) -> None:
        """The result is complete."""
        if self._encoder is not None and self._taken:
            self._out(self._encoder.end())
        if self._started:
            self._handler.wfile.write(b"0\r\n\r\n")
            return
        if not self._size:
            self._headers.pop("Content-Encoding", None)
        self._handler.begin(HTTPStatus.OK, {**self._headers, "Content-Length": str(self._size)})
        if self._handler.command != "HEAD":
            self._held.seek(0)
            while data := self._held.read(_READ):
                self._handler.wfile.write(data)

    def fail(self, error: EngineError) -> None:
        """The query failed: with a status where nothing went out yet, else at the end of what did."""
        if not self._started:
            raise error
        text = error.text.encode()
        tag = self._tag.encode()
        note = b"\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n" % (tag, text, len(text) + 1, tag)
        if self._encoder is not None:
            note = self._encoder.take(note) + self._encoder.end()
        self._chunk(note)
        # Without the closing chunk no client takes what it has for the whole.
        self._handler.close_connection = True

    def close(self) -> None:
        """Free what was held."""
        self._held.close()

    def _out(self, data: bytes) -> None:
        if not data:
            return
        if self._started:
            self._chunk(data)
            return
        self._held.write(data)
        self._size += len(data)
        if self._size > _HELD and not self._waits:
            self._start()

    def _start(self) -> None:
        self._started = True
        self._headers["X-ClickHouse-Exception-Tag"] = self._tag
        self._handler.begin(HTTPStatus.OK, {**self._headers, "Transfer-Encoding": "chunked"})
        self._held.seek(0)
        self._chunk(self._held.read())

    def _chunk(self, data: bytes) -> None:
        if data and self._handler.command != "HEAD":
            self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def _number(values: dict[str, str], name: str) -> int:
    value = values.get(name, "0") or "0"
    if value.lower() in ("true", "false"):
        return int(value.lower() == "true")
    try:
        return int(value)
    except ValueError:
        raise engine_error(BAD_ARGUMENTS, f"{name} must be a number", "BAD_ARGUMENTS") from None


def _accepted(header: str) -> str | None:
    """The encoding of the response: the first of ours that the client takes."""
    taken: set[str] = set()
    for part in header.lower().split(","):
        name, _, weight = part.strip().partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0"):
            taken.add(name.strip())
    return next((encoding for encoding in RESPONSE_ENCODINGS if encoding in taken), None)


def _summary(counts: dict[str, str]) -> dict[str, str]:
    names = ("read_rows", "read_bytes", "written_rows", "written_bytes", "total_rows_to_read", "result_rows")
    return {**dict.fromkeys((*names, "result_bytes", "elapsed_ns"), "0"), **counts}


def _content_type(output_format: str | None) -> str:
    name = (output_format or "TabSeparated").lower()
    if name in ("json", "jsoncompact", "jsonstrings"):
        return "application/json; charset=UTF-8"
    if name.startswith("csv"):
        return f"text/csv; charset=UTF-8; header={'present' if 'names' in name else 'absent'}"
    if name.startswith(("tab", "tsv")):
        return "text/tab-separated-values; charset=UTF-8"
    if name.startswith(("json", "pretty", "vertical", "values", "ndjson")):
        return "text/plain; charset=UTF-8"
    return "application/octet-stream"


def ping(host: str, port: int, timeout: float = 2.0) -> bool:
    """Whether something at that address answers `/ping` as this interface does."""
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(f"GET /ping HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answer = b""
            while len(answer) < 4096 and (data := connection.recv(4096)):
                answer += data
    except OSError:
        return False
    return answer.endswith(b"Ok.\n")
