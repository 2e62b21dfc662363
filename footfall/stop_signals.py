"""What SIGINT and SIGTERM mean to a run: the first asks its workers to stop, the second ends them at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from footfall.worker_pool import WorkerPool


class StopSignals:
    """Takes the signals of a run in the main thread; elsewhere nothing is taken.

    Attributes:
        number: the first signal that came; None so far.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self.number: int | None = None
        self._pool = pool
        self._preparing = False

    def asked(self) -> bool:
        """Whether the run was asked to stop."""
        return self.number is not None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take the signals within."""
        in_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if in_main else ()
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Within, nothing runs yet that could stop in good order: a signal raises KeyboardInterrupt."""
        self._preparing = True
        try:
            yield
        finally:
            self._preparing = False

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        again = self.asked()
        if not again:
            self.number = number
            # For who pressed Ctrl-C; in a log it would be a line like no other.
            with suppress(OSError):
                if os.isatty(2):
                    os.write(2, b"\nstopping; once more stops at once\n")
        if self._preparing:
            raise KeyboardInterrupt
        if again:
            self._pool.kill()
        else:
            self._pool.ask_to_stop()
