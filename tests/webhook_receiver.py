"""A receiver of webhooks for tests: a real HTTP server on 127.0.0.1 that keeps what it gets and answers as told."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SECRET = b"a secret that only tests know"


@dataclass(frozen=True, slots=True)
class Request:
    """What came: `path` with its query; the message's id and revision as the headers have them."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> tuple[str, int]:
        return self.headers["X-Footfall-Id"], int(self.headers["X-Footfall-Revision"])


@dataclass(frozen=True, slots=True)
class Reply:
    """How to answer: after a while, with a status; status 0 closes the connection without an answer."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after: float = 0.0


class Receiver:
    """Answers each request with what `reply` makes of it; used as a context manager, or stopped and started.

    Attributes:
        requests: all that came, in the order in which they were answered; `accepted` those that got a 2xx.
        most_at_once: how many requests were under way together.
    """

    def __init__(self, reply: Callable[[Request], Reply] | None = None, port: int = 0) -> None:
        self.reply = reply or (lambda _request: Reply())
        self.port = port
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[tuple[str, int]]:
        return [request.id for request in self.accepted]

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                receiver._connections.add(self.connection)

            def finish(self) -> None:
                receiver._connections.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # the sender was killed
                    self.close_connection = True
                    return
                request = Request(self.path, dict(self.headers.items()), body)
                with receiver._lock:
                    receiver._at_once += 1
                    receiver.most_at_once = max(receiver.most_at_once, receiver._at_once)
                reply = receiver.reply(request)
                time.sleep(reply.after)
                with receiver._lock:
                    receiver._at_once -= 1
                    receiver.requests.append(request)
                    if 200 <= reply.status < 300:
                        receiver.accepted.append(request)
                if not reply.status:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None: ...

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        """Go away: what connects is refused, and connections that are open are cut."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
