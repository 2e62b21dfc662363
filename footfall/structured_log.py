"""A run's log: one line an event, as JSON for machines or as text for people.

JSON lines have `ts` (ISO 8601, UTC), `level`, `event`, `message`, and the event's fields beside them. Events come from
`footfall.run_events`, which takes secrets out.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

import msgspec

from footfall.errors import UsageError
from footfall.run_events import Field, RunEvent

LogFormat = Literal["text", "json"]
_RANKS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4}
_TAKEN = frozenset({"ts", "level", "event", "message"})


class StructuredLog:
    """Writes events as lines, whole ones even when several threads write. Where the place is gone, they are lost."""

    def __init__(self, out: TextIO, *, log_format: LogFormat = "json", level: str = "info") -> None:
        """Write to `out`, which stays the caller's, events of at least that level."""
        self._out = out
        self._line = _json_line if log_format == "json" else _text_line
        self._least = _RANKS[level]
        self._lock = threading.Lock()
        self._owned = False

    @classmethod
    def to_file(cls, path: Path, *, log_format: LogFormat = "json", level: str = "info") -> Self:
        """Append to a file, which `close` closes.

        Raises:
            UsageError: it can't be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            out = path.open("a", encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"the log can't be written to {path}: {error.strerror}; name another file"
            ) from error
        log = cls(out, log_format=log_format, level=level)
        log._owned = True
        return log

    def __call__(self, event: RunEvent) -> None:
        """Write an event, if its level is high enough."""
        if _RANKS.get(event.level, 1) < self._least:
            return
        line = self._line(event)
        # A disk that is full or a terminal that is gone must not end the run.
        with self._lock, suppress(OSError, ValueError):
            self._out.write(line + "\n")
            self._out.flush()

    def close(self) -> None:
        """Close the file, if this opened it."""
        if self._owned:
            with self._lock, suppress(OSError):
                self._out.close()

    def __enter__(self) -> Self:
        """The log itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def _stamp(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_line(event: RunEvent) -> str:
    head = {"ts": _stamp(event.time), "level": event.level, "event": event.event, "message": event.text}
    # A field can't stand in for the line's own.
    fields = {f"{name}_" if name in _TAKEN else name: value for name, value in event.fields.items()}
    return msgspec.json.encode({**head, **fields}).decode()


def _text_line(event: RunEvent) -> str:
    head = f"{_stamp(event.time)} {event.level.upper():<7} {event.event}: {_escaped(event.text)}"
    fields = " ".join(f"{name}={_shown(value)}" for name, value in event.fields.items())
    return f"{head} [{fields}]" if fields else head


def _escaped(text: str) -> str:
    """The text on one line: what a record or a driver says can't begin a line or give the terminal orders."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _shown(value: Field) -> str:
    if (
        isinstance(value, str)
        and value.isprintable()
        and value
        and not any(sign in value for sign in " \"'[]=\\")
    ):
        return value
    if isinstance(value, str | Mapping) or value is None or isinstance(value, bool):
        return _escaped(msgspec.json.encode(value).decode())
    if isinstance(value, int | float):
        return str(value)
    return _escaped(msgspec.json.encode(list(value)).decode())
