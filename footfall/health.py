"""What a live run answers over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever keeps it running.

`/healthz` is 200 while the parent works and its workers live, `/readyz` once all partitions are open and all shards
have their state; both are 503 with the reasons as JSON otherwise. Nothing can be changed here, and nothing secret is
told.
"""

import errno
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import msgspec

from footfall.errors import UsageError
from footfall.live_totals import LiveTotals
from footfall.metrics import metrics_page

HOW_TO_WRITE = 'write "HOST:PORT", as in "127.0.0.1:9464" (port 0: any that is free)'
_REQUEST_SECONDS = 10.0
_JSON = "application/json; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """What a path answers with."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Address(NamedTuple):
    """A host and port to listen on."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """The host and port of "HOST:PORT"; an IPv6 address stands in brackets.

    Raises:
        UsageError: it is neither.
    """
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UsageError(f"{text!r} is no address to listen on; {HOW_TO_WRITE}")
    return Address(host, int(port))


class HealthServer:
    """The server, in threads of its own; `port` is the one it listens on."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self.host, self.port = server.server_address[:2]
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        host = str(self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def close(self) -> None:
        """Stop answering. Calling it twice is fine."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def start(address: str, totals: LiveTotals) -> HealthServer:
    """Answer at "HOST:PORT" from now on, with the figures of `totals`.

    Raises:
        UsageError: the address isn't one, isn't this machine's, or its port is taken.
    """
    host, port = parse_address(address)
    answers = _answers(totals)

    class Handler(_Handler):
        paths = answers

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            # HTTPServer's own asks for the host's full name, which can take seconds where there is no name server.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(self.server_address)
            self.server_address = self.socket.getsockname()
            self.server_name, self.server_port = str(host), int(self.server_address[1])

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Who asked has gone before the answer; that is their affair."""

    try:
        return HealthServer(Server((host, port), Handler))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = "the port is taken by another process"
        elif error.errno == errno.EACCES:
            why = "the port is one that only an administrator may use"
        else:
            why = error.strerror or str(error)
        raise UsageError(
            f"metrics can't be served at {address}: {why}; name another place with --metrics HOST:PORT"
        ) from error


def _answers(totals: LiveTotals) -> dict[str, Callable[[str], Answer]]:
    """Path -> what answers a request with that Accept header."""
    page = metrics_page(totals)

    def metrics(accept: str) -> Answer:
        body, content_type = page(accept)
        return Answer(HTTPStatus.OK, content_type, body)

    def health(_accept: str) -> Answer:
        now = totals.snapshot()
        return _state(now.phase, now.healthy, reasons=now.troubles, alerts=now.alerts)

    def ready(_accept: str) -> Answer:
        now = totals.snapshot()
        reasons = (*now.troubles, *now.missing)
        if now.phase == "stopping":
            reasons = ("the run is being stopped", *reasons)
        return _state(now.phase, now.ready, reasons=reasons, alerts=now.alerts)

    return {"/metrics": metrics, "/healthz": health, "/readyz": ready}


def _state(phase: str, good: bool, **more: Any) -> Answer:  # noqa: FBT001 - read at two places, both above
    body = {"status": "ok" if good else "unavailable", "phase": phase, **more}
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, _JSON, msgspec.json.encode(body) + b"\n")


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; a client that says nothing is let go."""

    paths: dict[str, Callable[[str], Answer]] = {}  # noqa: RUF012 - each server's class has its own
    timeout = _REQUEST_SECONDS
    server_version = "footfall"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        answer = self.paths.get(path)
        if answer is None:
            places = " ".join(self.paths)
            made = Answer(HTTPStatus.NOT_FOUND, _TEXT, f"there is nothing here; ask {places}\n".encode())
        else:
            made = answer(self.headers.get("Accept", ""))
        self.send_response(made.status)
        self.send_header("Content-Type", made.content_type)
        self.send_header("Content-Length", str(len(made.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(made.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Requests aren't logged: one comes every few seconds."""
