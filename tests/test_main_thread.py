"""The main thread's sleep is lengthened once Timely's thread has begun, and no other thread's."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: timer slack is its own")

_PROGRAM = """
import os, threading, time
from pathlib import Path
from footfall.main_thread import thread_names, wake_main_thread_less

def slack(task):
    return int(Path(f"/proc/{task}/timerslack_ns").read_text())

def named_so():
    Path("/proc/thread-self/comm").write_text("timely:work-0")
    numbers.append(threading.get_native_id())
    done.wait()

numbers, done = [], threading.Event()
first = slack(os.getpid())
wake_main_thread_less()
time.sleep(0.2)
before = slack(os.getpid())
thread = threading.Thread(target=named_so)
thread.start()
until = time.monotonic() + 20
while slack(os.getpid()) == first and time.monotonic() < until:
    time.sleep(0.01)
assert "timely:work-0" in thread_names()
print(before == first, slack(os.getpid()) > first, slack(numbers[0]) == first)
done.set()
thread.join()
"""


def test_only_the_main_thread_sleeps_longer() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["True", "True", "True"], done.stderr
