"""All that watches a live run, in one place: figures, events, the terminal or the log, and the answers over HTTP.

A `LiveWatch` is what `Run` takes as `watch`: every message of the workers goes to it, and what only the parent knows
is told with `happened`.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self, TextIO

from footfall import health
from footfall.live_totals import LiveTotals
from footfall.live_view import LiveView
from footfall.run_events import EventWatch, Field, RunEvent
from footfall.run_messages import Message
from footfall.structured_log import StructuredLog

# What is logged below it elsewhere than here is for who works on that.
_OTHERS_LEAST = logging.WARNING


class Expected(NamedTuple):
    """What a run is made of; it is ready once all of this has been heard of.

    `spool_limit` are the bytes that a worker's spool may take, None where there is no spool.
    """

    partitions: Iterable[str]
    shards: Iterable[str]
    workers: int
    spool_limit: int | None = None


class LogTo(NamedTuple):
    """How to log: the format ("auto" is JSON), a file to append to, the least level."""

    format: Literal["auto", "text", "json"] = "auto"
    file: Path | None = None
    level: str = "info"


class _LogHandler(logging.Handler):
    """Makes events of what this process logs, so that no line goes past the run's own log."""

    def __init__(self, watch: "LiveWatch") -> None:
        super().__init__()
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a record as a notice."""
        if record.levelno < _OTHERS_LEAST and record.name.partition(".")[0] != "footfall":
            return
        try:
            self._watch.happened("notice", self.format(record), level=record.levelname.lower())
        except Exception:  # noqa: BLE001 - as every handler does: who logs is not to fail by it
            self.handleError(record)


class LiveWatch:
    """Watches a run until `close`. Any thread may call it.

    What the process logs meanwhile (`logging`) is told as notices.

    Attributes:
        totals: the run's figures.
        url: where metrics are served, empty if nowhere.
    """

    def __init__(
        self,
        expected: Expected,
        *,
        address: str = "",
        log_to: LogTo = LogTo(),  # noqa: B008 - a tuple, which can't change
        out: TextIO | None = None,
        quiet: bool = False,
        resumed: bool = False,
        secrets: Sequence[str] = (),
    ) -> None:
        """Begin to watch; the picture comes with the first message.

        On a terminal there is a picture and, where a file is named, a log in that file. Elsewhere, or where a format
        was asked for and no file, the log goes to `out`, with the figures as an event every few seconds.

        Args:
            expected: the run's partitions, shards and workers.
            address: "HOST:PORT" to answer at; nowhere if empty or "none".
            log_to: the log's format, file and level.
            out: standard error if None.
            quiet: no picture and no figures; events are logged all the same.
            resumed: whether the run goes on from a state.
            secrets: texts that must not show, such as the passwords of the settings.

        Raises:
            UsageError: the address or the log file can't be used; nothing was started.
        """
        out = out or sys.stderr
        self.totals = LiveTotals(
            partitions=expected.partitions,
            shards=expected.shards,
            workers=expected.workers,
            resumed=resumed,
            spool_limit=expected.spool_limit,
        )
        written: Literal["text", "json"] = "text" if log_to.format == "text" else "json"
        with ExitStack() as opened:
            self._log: StructuredLog | None = None
            if log_to.file is not None:
                self._log = StructuredLog.to_file(log_to.file, log_format=written, level=log_to.level)
                opened.callback(self._log.close)
            elif quiet or log_to.format != "auto" or not out.isatty():
                self._log = StructuredLog(out, log_format=written, level=log_to.level)
            self.url = ""
            if address not in {"", "none"}:
                server = health.start(address, self.totals)
                opened.callback(server.close)
                self.url = server.url
            self._opened = opened.pop_all()
        self._view: LiveView | None = (
            None
            if quiet
            else LiveView(
                self.totals,
                out,
                url=self.url,
                log=self._log,
                pictures=self._log is None or log_to.file is not None,
            )
        )
        self._events = EventWatch(self._tell, resumed=resumed, secrets=secrets)
        self._opened.callback(_taken_over(_LogHandler(self), log_to.level))

    def __call__(self, message: Message) -> None:
        """Take a message of a worker."""
        self.totals.note(message)
        self._events.note(message)
        if self._view is not None:
            self._view(message)

    def happened(self, event: str, text: str, *, level: str | None = None, **fields: Field) -> None:
        """Take what only the parent knows; `footfall.run_events.LEVELS` has the names."""
        self._events.happened(event, text, level=level, **fields)

    def _tell(self, event: RunEvent) -> None:
        self.totals.happened(event)
        if self._log is not None:
            self._log(event)

    def close(self) -> None:
        """Tell what is left to tell, end the picture, stop answering. Calling it twice is fine."""
        self._events.close()
        if self._view is not None:
            self._view.close()
        self._opened.close()

    def __enter__(self) -> Self:
        """The watch itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it; an error that ends the run is told before."""
        if isinstance(error, Exception):
            self.happened("run_failed", str(error) or type(error).__name__)
        self.close()


def _taken_over(handler: logging.Handler, level: str) -> Callable[[], None]:
    """Let a handler have what this process logs, Footfall's own from that level on; what gives it back."""
    own, everyone = logging.getLogger("footfall"), logging.getLogger()
    before = own.level
    own.setLevel(level.upper())
    everyone.addHandler(handler)

    def give_back() -> None:
        everyone.removeHandler(handler)
        own.setLevel(before)

    return give_back
