"""One try to post a message to a webhook, and what the answer means for the message."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import unquote

from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    LocationParseError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from urllib3.util import Retry, make_headers, parse_url

from footfall.errors import UsageError
from footfall.webhook_signature import (
    ID_HEADER,
    REVISION_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    read_secret,
    sign,
)

# What a receiver may want to be asked later for, whatever is in the message; all of 5xx besides.
_LATER = frozenset({408, 425, 429})
# What tells of the receiver as a whole, not of one message: a limit of its own, or a gateway before it.
_BUSY = frozenset({429, 502, 503, 504})
_NOT_REACHED = (NewConnectionError, ConnectTimeoutError, SSLError, ProxyError)
_MOST_RETRY_AFTER = 3600.0
_SHOWN_BYTES = 300
_MOST_ANSWER_BYTES = 4096

Fate = Literal["delivered", "refused", "later", "away"]


class Answer(NamedTuple):
    """What became of a try.

    Attributes:
        fate: `delivered`; `refused`: the receiver won't have this message, ever; `later`: this message failed and may
            yet go through; `away`: the receiver can't be reached or takes nothing just now.
        detail: why, for people.
        retry_after: seconds that the receiver asks to be left alone for; 0 if it doesn't.
    """

    fate: Fate
    detail: str = ""
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where messages are posted, and how.

    Attributes:
        url: the address; a user and password in it are sent as basic authentication.
        secret: what signs the messages.
        connections: how many messages are posted at the same time.
        timeout: seconds to wait for a connection, and for each part of an answer.
    """

    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    connections: int = 4
    timeout: float = 10.0

    def __post_init__(self) -> None:
        try:
            parsed = parse_url(self.url)
        except LocationParseError:
            parsed = None
        if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError("the webhook's address won't do; write https://HOST/PATH")

    @property
    def shown(self) -> str:
        """The address without what may be secret: all but the host. A path often is, as where it names the account."""
        parsed = parse_url(self.url)
        port = f":{parsed.port}" if parsed.port else ""
        hidden = "" if (parsed.path or "/") == "/" else "…"
        return f"{parsed.scheme}://{parsed.host}{port}/{hidden}"


def open_target(url: str, secret_file: Path | None) -> WebhookTarget:
    """The target that the settings `webhook` and `webhook_secret` name.

    Raises:
        UsageError: the address won't do, or there is no secret to sign with.
    """
    if secret_file is None:
        raise UsageError(
            "webhooks are signed: name the file with the secret in webhook_secret (--webhook-secret FILE), made by "
            "`openssl rand -hex 32`"
        )
    return WebhookTarget(url, read_secret(secret_file))


class WebhookPost:
    """Posts messages over kept connections; any thread may."""

    def __init__(self, target: WebhookTarget) -> None:
        parsed = parse_url(target.url)
        self._target = target
        self._url = parsed._replace(auth=None, fragment=None).url
        self._headers = {"Content-Type": "application/json", "User-Agent": "footfall"}
        if parsed.auth:
            self._headers |= make_headers(basic_auth=unquote(parsed.auth))
        self._pool = PoolManager(
            num_pools=1,
            maxsize=target.connections,
            retries=False,
            timeout=Timeout(connect=target.timeout, read=target.timeout),
        )

    def post(self, trigger_id: str, revision: int, body: bytes, timestamp: int) -> Answer:
        """Post a message, signed as of `timestamp` (Unix time in seconds)."""
        headers = self._headers | {
            ID_HEADER: trigger_id,
            REVISION_HEADER: str(revision),
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: sign(self._target.secret, timestamp, body),
        }
        try:
            # A redirect isn't followed: what is signed is meant for this address.
            answer = self._pool.request(
                "POST", self._url, body=body, headers=headers, redirect=False, preload_content=False
            )
        except _NOT_REACHED as error:
            return Answer("away", f"no connection: {_reason(error)}")
        except HTTPError as error:
            return Answer("later", f"no answer: {_reason(error)}")
        return _judge(answer.status, _said(answer), answer.headers.get("Retry-After"))

    def close(self) -> None:
        """Close the connections that aren't in use."""
        self._pool.clear()


def _said(answer: BaseHTTPResponse) -> bytes:
    """The beginning of what an answer says; a status stands, whatever becomes of the rest."""
    said = b""
    try:
        said = answer.read(_MOST_ANSWER_BYTES + 1)
    except HTTPError:
        answer.close()
    if len(said) > _MOST_ANSWER_BYTES:
        answer.close()
    answer.release_conn()
    return said


def _judge(status: int, said: bytes, retry_after: str | None) -> Answer:
    if 200 <= status < 300:
        return Answer("delivered")
    text = said[:_SHOWN_BYTES].decode(errors="replace").strip()
    detail = f"answer {status}" + (f": {text}" if text else "")
    if status < 400:
        return Answer("refused", f"{detail} (redirects aren't followed: name the final address)")
    if status in _LATER or status >= 500:
        return Answer("away" if status in _BUSY else "later", detail, _seconds(retry_after))
    return Answer("refused", detail)


def _seconds(retry_after: str | None) -> float:
    """The seconds that a Retry-After header asks for; 0 if it is missing or makes no sense."""
    if not retry_after:
        return 0.0
    try:
        seconds = Retry(0).parse_retry_after(retry_after)
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
    return min(seconds, _MOST_RETRY_AFTER) if math.isfinite(seconds) else 0.0


def _reason(error: HTTPError) -> str:
    # The first argument may be the connection, the rest is for people; addresses may hold secrets in their query.
    return str(error).rpartition(": ")[2] or type(error).__name__
