"""Who listens is known from the kernel, without a connection."""

import socket
import sys
import threading
import time
from pathlib import Path

import pytest

import footfall.listening
from footfall.listening import await_listening, listening_ports

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc tells who listens")


@linux
def test_a_bound_socket_is_none_that_listens() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        ports = listening_ports()
        assert ports is not None
        assert port not in ports
        one.listen()
        ports = listening_ports()
        assert ports is not None
        assert port in ports


@linux
def test_waits_until_all_listen() -> None:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]
        one.listen()
        assert not await_listening(addresses, 0.05)
        timer = threading.Timer(0.1, other.listen)
        timer.start()
        began = time.monotonic()
        assert await_listening(addresses, 10.0)
        assert time.monotonic() - began >= 0.05
        timer.join()


def test_the_first_worker_waits_for_nobody() -> None:
    assert await_listening((), 0.0)


def test_a_system_that_does_not_tell_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(footfall.listening, "_SOCKETS", tmp_path / "none")
    assert listening_ports() is None
    assert not await_listening(["127.0.0.1:1"], 60.0)
