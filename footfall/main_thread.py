"""How often the main thread of a worker among several looks for signals.

While Timely's thread works, Bytewax's main thread wakes every millisecond to look for signals. Each time it takes the
core from the worker, and often the interpreter's lock too: 1,700 times a second where there are as many workers as
cores. The kernel is asked to let that thread, and no other, sleep longer; a signal then waits for that long at most.
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

_SLEEP_NS = 5_000_000
_WORKER_THREAD = "timely:work"
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


def wake_main_thread_less() -> None:
    """From when Timely's thread has begun, on Linux; elsewhere nothing changes.

    Threads inherit the setting from the one that starts them, hence the wait.
    """
    threading.Thread(target=_when_begun, daemon=True).start()


def _when_begun() -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not any(name.startswith(_WORKER_THREAD) for name in thread_names()):
        if time.monotonic() > until:
            return
        time.sleep(_LOOK_SECONDS)
    # The process's own number is that of its main thread.
    with suppress(OSError):
        Path(f"/proc/{os.getpid()}/timerslack_ns").write_text(str(_SLEEP_NS))


def thread_names() -> list[str]:
    """The names of this process's threads, as the kernel knows them; none where the system doesn't tell."""
    names = []
    with suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            # A thread may end while we look.
            with suppress(OSError):
                names.append((task / "comm").read_text().strip())
    return names
