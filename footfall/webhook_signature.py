"""The signature of a webhook: HMAC-SHA256 over `timestamp.body`, by a secret that sender and receiver share.

The sender signs each try anew. A receiver calls `verify_webhook` with the body as it came, before it parses it.
"""

import hashlib
import hmac
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from footfall.errors import UsageError, WebhookSignatureError

TIMESTAMP_HEADER = "X-Footfall-Timestamp"
SIGNATURE_HEADER = "X-Footfall-Signature"
ID_HEADER = "X-Footfall-Id"
REVISION_HEADER = "X-Footfall-Revision"

LEAST_SECRET_BYTES = 16
TOLERANCE_SECONDS = 300.0

_SCHEME = "sha256="


class Headers(Protocol):
    """A request's headers, as a dict or a web framework has them."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Names and values."""


def read_secret(path: Path) -> bytes:
    """The secret in a file, without white space around it.

    Raises:
        UsageError: the file can't be read, or the secret is too short to be one.
    """
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"the webhook's secret {path} can't be read: {error.strerror}") from error
    if len(secret) < LEAST_SECRET_BYTES:
        raise UsageError(
            f"the webhook's secret in {path} has {len(secret)} bytes; it needs {LEAST_SECRET_BYTES} or more, as "
            "`openssl rand -hex 32` makes them"
        )
    return secret


def sign(secret: bytes, timestamp: int, body: bytes) -> str:
    """The value of the signature's header; `timestamp` is Unix time in seconds, as its own header has it."""
    signed = b"%d." % timestamp + body
    return _SCHEME + hmac.new(secret, signed, hashlib.sha256).hexdigest()


def verify_webhook(
    secret: bytes,
    headers: Headers,
    body: bytes,
    *,
    tolerance: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> None:
    """Return if a request was signed with the secret, and lately; otherwise raise.

    Args:
        secret: as `read_secret` gives it.
        headers: the request's, their names in any case.
        body: the request's body, as it came.
        tolerance: how many seconds the timestamp may be away from now, so that nobody sends an old request again.
        now: Unix time in seconds; the clock's if None.

    Raises:
        WebhookSignatureError: a header is missing or no such thing, the signature is another, or the request is old.
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = (given.get(name.lower(), "") for name in (TIMESTAMP_HEADER, SIGNATURE_HEADER))
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12) or not signature:
        raise WebhookSignatureError(
            f"the request isn't signed: it needs {TIMESTAMP_HEADER} and {SIGNATURE_HEADER}"
        )
    sent = signature.encode(errors="surrogatepass")  # as a framework may decode a header that is no text
    if not hmac.compare_digest(sign(secret, int(timestamp), body).encode(), sent):
        raise WebhookSignatureError("the signature is another: the secret or the body isn't the sender's")
    away = abs((time.time() if now is None else now) - int(timestamp))
    if away > tolerance:
        raise WebhookSignatureError(
            f"the request was signed {away:.0f} s from now, and {tolerance:.0f} s are allowed"
        )
