"""What the signals of a run say, and what they do, in a process of their own."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Takes two signals, one after the other, and tells on standard output what became of each.
CODE = """
import os, signal
from footfall.stop_signals import StopSignals

class Pool:
    def ask_to_stop(self):
        os.write(1, b"asked ")
    def kill(self):
        os.write(1, b"killed ")

signals = StopSignals(Pool())
with signals.taken():
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    os.write(1, b"%d " % signals.number)
    with signals.preparing():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            os.write(1, b"went on ")
        except KeyboardInterrupt:
            os.write(1, b"interrupted")
"""
DONE = b"asked killed %d interrupted" % signal.SIGTERM


def run(stderr: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT, check=True, timeout=60
    )


def test_in_a_log_they_say_nothing_that_would_be_no_line_of_it() -> None:
    done = run(subprocess.PIPE)
    assert (done.stdout, done.stderr) == (DONE, b"")


@pytest.mark.skipif(not hasattr(pty, "openpty"), reason="no pseudo-terminals here")
def test_on_a_terminal_the_first_says_what_a_second_would_do() -> None:
    ours, theirs = pty.openpty()
    try:
        done = run(theirs)
        assert done.stdout == DONE
        assert os.read(ours, 1_000).split() == b"stopping; once more stops at once".split()
    finally:
        os.close(ours)
        os.close(theirs)
