"""How the simulated site writes its records: the flat format, Segment's messages, and malformed ones of both.

A record is written twice where it is delivered twice, each time with its own arrival.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from footfall.records import MAX_RECORD_BYTES
from footfall.simulate_site import ADDRESS, Action, Origin

RecordFormat = Literal["footfall", "segment"]
_encode = msgspec.json.Encoder().encode

OVERSIZED_EVERY = 500
"""Each so many malformed records there is one that is larger than a record may be."""

USER_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/133.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/133.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.3 Safari/605.1.15",
)
BOT_USER_AGENTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who visits, as far as records tell.

    `clock_error` is how many ms the visitor's clock is ahead; below 0 it is behind.
    """

    visitor_id: str
    user_id: str | None
    user_agent: str
    bot: bool
    clock_error: int


class _Flat(msgspec.Struct, omit_defaults=True):
    message_id: str
    visitor_id: str
    event: str
    event_time: str
    arrival_time: str | msgspec.UnsetType
    url: str
    path: str
    user_id: str | None = None
    referrer: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    element: str | None = None
    x: int | None = None
    y: int | None = None
    value: float | None = None
    currency: str | None = None
    user_agent: str | None = None
    properties: dict[str, Any] | None = None


class IsoTimes:
    """Writes ms since 1970 as ISO 8601 (UTC, ms); it remembers the minutes, which come again and again."""

    def __init__(self) -> None:
        self._minutes: dict[int, str] = {}

    def __call__(self, ms: int) -> str:
        """The text for that time."""
        minute, rest = divmod(ms, 60_000)
        text = self._minutes.get(minute)
        if text is None:
            if len(self._minutes) > 10_000:
                self._minutes.clear()
            text = datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:")
            self._minutes[minute] = text
        return f"{text}{rest // 1000:02d}.{rest % 1000:03d}Z"


class RecordWriter:
    """Gives the bytes of records, a newline after each. It holds no state that changes what it writes.

    Args:
        record_format: `footfall` or `segment`.
        dated: whether records tell when they arrived; otherwise who takes them dates them.
    """

    def __init__(self, record_format: RecordFormat, *, dated: bool = True) -> None:
        self._dated = dated
        self._time = IsoTimes()
        self._write = self._flat if record_format == "footfall" else self._segment

    def write(
        self, action: Action, visitor: Visitor, origin: Origin | None, message_id: str, arrival: int
    ) -> bytes:
        """One record of `action` that arrives at `arrival` (ms); `origin` is given for a visit's first."""
        return self._write(action, visitor, origin, message_id, arrival) + b"\n"

    def _flat(
        self, action: Action, visitor: Visitor, origin: Origin | None, message_id: str, arrival: int
    ) -> bytes:
        record = _Flat(
            message_id,
            visitor.visitor_id,
            action.event,
            self._time(action.at + visitor.clock_error),
            self._time(arrival) if self._dated else msgspec.UNSET,
            ADDRESS + action.path,
            action.path,
            visitor.user_id,
            *(origin or ()),
        )
        record.element, record.x, record.y = action.element, action.x, action.y
        if action.value is not None:
            record.value = action.value
            record.currency = "EUR"
        record.properties = action.properties
        if origin or visitor.bot:
            record.user_agent = visitor.user_agent
        return _encode(record)

    def _segment(
        self, action: Action, visitor: Visitor, origin: Origin | None, message_id: str, arrival: int
    ) -> bytes:
        sent = action.at + visitor.clock_error
        page = {"url": ADDRESS + action.path, "path": action.path}
        context: dict[str, Any] = {"page": page, "userAgent": visitor.user_agent}
        properties: dict[str, Any] = dict(action.properties or {})
        if origin:
            referrer, *utm = origin
            if referrer:
                page["referrer"] = referrer
            names = ("source", "medium", "name", "term", "content")
            campaign = {name: text for name, text in zip(names, utm, strict=True) if text}
            if campaign:
                context["campaign"] = campaign
        for name in ("element", "x", "y", "value"):
            fact = getattr(action, name)
            if fact is not None:
                properties[name] = fact
        if action.value is not None:
            properties["currency"] = "EUR"
        message: dict[str, Any] = {
            "messageId": message_id,
            "anonymousId": visitor.visitor_id,
            "originalTimestamp": self._time(sent),
            # The two ends of the wait stand on one clock, so the difference is right however wrong the clock
            # is.
            "sentAt": self._time(arrival + visitor.clock_error),
            **({"receivedAt": self._time(arrival)} if self._dated else {}),
            "timestamp": self._time(action.at),
            "context": context,
        }
        if visitor.user_id is not None:
            message["userId"] = visitor.user_id
        if action.event == "page_view":
            message |= {"type": "page", "properties": {**page, **properties}}
        else:
            message |= {
                "type": "track",
                "event": action.event.replace("_", " ").title(),
                "properties": properties,
            }
        return _encode(message)


def malformed(record: bytes, turn: int) -> bytes:
    """A record that no decoder can take, made from a good one (either format), a newline at its end.

    `turn` counts the malformed ones: kinds take turns, so that a few records show all of them.
    """
    if turn % OVERSIZED_EVERY == OVERSIZED_EVERY - 1:
        return b"#" * (MAX_RECORD_BYTES + 1) + b"\n"
    return _SPOILERS[turn % len(_SPOILERS)](record.rstrip(b"\n")) + b"\n"


def _cut_short(record: bytes) -> bytes:
    return record[: 1 + zlib.crc32(record) % (len(record) - 1)]


def _no_object(record: bytes) -> bytes:
    return (b"[1,2,3]", b'"page_view"', b"42", b"null", b"true")[zlib.crc32(record) % 5]


def _backwards(record: bytes) -> bytes:
    return record[::-1]


def _bad_text(record: bytes) -> bytes:
    return record.replace(b'":"', b'":"\xff\xfe', 1)


def _nul_bytes(record: bytes) -> bytes:
    return record.replace(b'":"', b'":"\x00\x00', 1)


def _too_deep(record: bytes) -> bytes:
    return record[:-1] + b',"properties":' + b"[" * 5_000 + b"]" * 5_000 + b"}"


def _without(*names: str) -> Callable[[bytes], bytes]:
    def spoil(record: bytes) -> bytes:
        fields = msgspec.json.decode(record)
        return _encode({name: value for name, value in fields.items() if name not in names})

    return spoil


def _with(value: object, *names: str) -> Callable[[bytes], bytes]:
    def spoil(record: bytes) -> bytes:
        fields = msgspec.json.decode(record)
        present = [name for name in names if name in fields]
        return _encode(fields | dict.fromkeys(present, value))

    return spoil


_VISITOR_FIELDS = ("visitor_id", "user_id", "anonymousId", "userId")
_TIME_FIELDS = ("event_time", "timestamp", "originalTimestamp", "sentAt", "receivedAt")
_SPOILERS: tuple[Callable[[bytes], bytes], ...] = (
    _cut_short,
    _no_object,
    _backwards,
    _bad_text,
    _nul_bytes,
    _too_deep,
    _without(*_VISITOR_FIELDS),
    _with(["v", 1], *_VISITOR_FIELDS),
    _without(*_TIME_FIELDS),
    _with("yesterday", *_TIME_FIELDS),
    _without("event", "type"),
    _with({"name": "click"}, "event", "type"),
)

SMALL_KINDS = len(_SPOILERS)
"""How many kinds of malformed records there are that are no larger than a record may be; they take the first turns."""
