"""Waiting until the workers of a run that others connect to are listening.

Each worker connects to those of a lower number. One that does so too early is refused, and Timely, which makes the
connections, then sleeps for a second; and a trial connection of ours would be taken for a worker's.
"""

import time
from collections.abc import Sequence
from pathlib import Path

_SOCKETS = Path("/proc/net/tcp")
_LISTENS = "0A"
_PAUSE = 0.002


def listening_ports() -> frozenset[int] | None:
    """The TCP ports (IPv4) that something on this machine listens on; None where the system doesn't tell."""
    try:
        lines = _SOCKETS.read_text().splitlines()[1:]
    except OSError:
        return None
    fields = (line.split() for line in lines)
    return frozenset(int(field[1].rpartition(":")[2], 16) for field in fields if field[3] == _LISTENS)


def await_listening(addresses: Sequence[str], seconds: float) -> bool:
    """Wait until all these local addresses (host:port) are listened on; whether they were within that time."""
    wanted = {int(address.rpartition(":")[2]) for address in addresses}
    until = time.monotonic() + seconds
    while wanted:
        found = listening_ports()
        if found is None:
            return False
        if wanted <= found:
            break
        if time.monotonic() > until:
            return False
        time.sleep(_PAUSE)
    return True
