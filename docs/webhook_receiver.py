"""Takes triggers from webhooks, each once: python -m docs.webhook_receiver PORT FILE SECRET_FILE."""

import json
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from docs.trigger_consumer import TABLES, take
from footfall.errors import WebhookSignatureError
from footfall.webhook_signature import read_secret, verify_webhook

MOST_BYTES = 1_000_000


def server(port: int, file: str, secret: bytes) -> HTTPServer:
    """A server on 127.0.0.1, for a proxy in front of it that speaks TLS."""
    database = sqlite3.connect(file, check_same_thread=False)
    database.executescript(TABLES)

    class Receiver(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            self.send_response(self.take())
            self.end_headers()

        def take(self) -> int:
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 < length <= MOST_BYTES:
                return 413
            body = self.rfile.read(length)
            try:
                verify_webhook(secret, self.headers, body)  # before anything is read of it
            except WebhookSignatureError:
                return 401
            with database:
                take(database, json.loads(body))
            return 204  # only now: without an answer it is posted again, and `take` knows it

    return HTTPServer(("127.0.0.1", port), Receiver)


if __name__ == "__main__":
    server(int(sys.argv[1]), sys.argv[2], read_secret(Path(sys.argv[3]))).serve_forever()
