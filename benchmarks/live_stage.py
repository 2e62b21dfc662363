"""What the live run's benchmarks stand on: a broker of their own, live runs on it, and what all of it uses.

The broker is that of the tests (`tests/kafka_broker.py`), with the whole compiler and a heap of 512 MB. Topics keep
little, so that hours of traffic fit on a disk.
"""

import os
import socket
import statistics
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from command_line import Started, wait_until
from kafka_broker import KafkaBroker, missing

OUTPUTS = {"sessions": 8, "matches": 8, "triggers": 8, "late": 2, "dead": 1, "control": 1}
PARTITIONS = 10
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 120.0
# Processors; the system itself takes some, for the disk and the network, and so does looking at the metrics.
_OTHERS = 0.4
# A closed segment goes once its partition has more than this; what is read is never that far behind.
_KEEP_BYTES = 256 << 20
_KEPT_WHOLE = "control"

# The shipped patterns and rules. A rule is in force from its first deployment on, and its triggers expire, so that none
# would fire in a past that is played: these do.
SHIPPED = '''"""All shipped patterns and rules, in force at any time."""

from dataclasses import replace

from footfall.pattern_files import read_folder

_shipped = read_folder()
globals().update({pattern.name: pattern for pattern in _shipped.patterns})
_always = {"active_from": "2020-01-01T00:00:00Z", "expires_after": "400 d"}
globals().update({f"rule_{rule.name}": replace(rule, **_always) for rule in _shipped.rules})
'''


class Stage:
    """A broker with the topics that a live run writes to, and a folder; within `with`."""

    def __init__(self, folder: Path) -> None:
        lacking = missing()
        if lacking:
            sys.exit(f"{lacking}; this benchmark needs a real one")
        self.folder = folder
        self.broker = KafkaBroker(folder / "kafka", java_options=())

    def __enter__(self) -> Self:
        self.broker.__enter__()
        for name, partitions in OUTPUTS.items():
            self._topic(name, partitions, bounded=name != _KEPT_WHOLE)
        return self

    def __exit__(self, *_: object) -> None:
        self.broker.close()

    def input_topic(self, name: str, *, bounded: bool = False) -> str:
        """A topic of ten partitions that the broker dates; `bounded`: it keeps its last records alone."""
        return self._topic(name, PARTITIONS, bounded=bounded)

    def _topic(self, name: str, partitions: int, *, bounded: bool) -> str:
        config = {"retention.ms": "-1"}
        if bounded:
            config |= {"retention.bytes": str(_KEEP_BYTES), "segment.bytes": str(_KEEP_BYTES // 4)}
        return self.broker.new_topic(partitions, name=name, config=config)

    def patterns(self, name: str, source: str) -> Path:
        """A folder of patterns with that source."""
        folder = self.folder / f"patterns-{name}"
        folder.mkdir()
        (folder / "all.py").write_text(source, encoding="utf-8")
        return folder


class LiveRun:
    """`footfall live` on a topic, started at once; its state and store are in the stage's folder under its name.

    Args:
        stage: where.
        name: names the state and the store: a run of the same name goes on from there.
        topic: what it reads.
        patterns: a folder of patterns.
        workers: how many.
        store: a store's DSN; an embedded one of its own if it is empty.
        more: further arguments.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        topic: str,
        *more: object,
        patterns: Path,
        workers: int = 1,
        store: str = "",
    ) -> None:
        self.state = stage.folder / f"state-{name}"
        self.store = store or f"chdb://{stage.folder / f'store-{name}'}"
        self.peak_mb: dict[int, float] = {}
        self._port = _free_port()
        self._started = Started(
            "live",
            *("--kafka", stage.broker.bootstrap, "--input-topics", topic, "--patterns", patterns),
            *("--keyed-by-visitor", "--store", self.store, "--state", self.state, "--workers", workers),
            *("--quiet", "--json", "--metrics", f"127.0.0.1:{self._port}", "--log-format", "json"),
            *more,
            cwd=stage.folder,
            terminal=True,
        )

    def pids(self) -> dict[str, list[int]]:
        """The living processes by what they do."""
        workers, owners = self._started.workers(), self._started.owners()
        others = set(self._started.processes()) - {*workers, *owners}
        return {"workers": workers, "store": owners, "parent": sorted(others)}

    def metrics(self) -> dict[str, float]:
        """The metrics as they are now, by name and labels; none while it doesn't serve them."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return {}
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def ready(self) -> bool:
        """Whether it says that it is ready."""
        return total(self.metrics(), "ready") == 1

    def wait_until_ready(self) -> None:
        """Wait until it is ready."""
        wait_until(lambda: self.ready() or not self.alive, _PATIENCE)
        self.check()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._started.process.poll() is None

    def check(self) -> None:
        """See that it still runs."""
        if not self.alive:
            raise RuntimeError(f"the live run has ended: {self.said()}")

    def said(self) -> str:
        """What it has logged."""
        return bytes(self._started._shown).decode(errors="replace")[-4_000:]  # noqa: SLF001 - while it runs there is no other way

    def note_peaks(self) -> None:
        """Note the peak memory of each worker so far."""
        for pid in self._started.workers():
            self.peak_mb[pid] = memory_mb(pid, "VmHWM")

    def stop(self) -> dict[str, Any]:
        """Ask it to stop, with a snapshot; its report."""
        self.check()
        self._started.process.terminate()
        ended = self._started.ended(_PATIENCE)
        self._started.close()
        if ended.code != 143:
            raise RuntimeError(f"the live run ended with {ended.code}: {ended.err[-4_000:]}")
        report = msgspec.json.decode(ended.out)
        if not isinstance(report, dict):
            raise TypeError("the live run's report is no object")
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()


def total(metrics: Mapping[str, float], name: str, having: Sequence[str] = ()) -> float:
    """The sum of a metric's series whose labels have these texts; 0 if there is none."""
    return sum(
        value
        for series, value in metrics.items()
        if series.partition("{")[0] == f"footfall_{name}" and all(text in series for text in having)
    )


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """A line of a process's memory (`VmRSS`, `VmHWM`, `RssAnon`), in MB; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:")), 0.0)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processors have done up to a moment, in seconds: for each process, and for all there are."""

    at: float
    processes: dict[str, dict[int, float]]
    busy: float
    load: tuple[float, float, float] = field(default_factory=os.getloadavg)

    @classmethod
    def now(cls, processes: Mapping[str, Sequence[int]]) -> Self:
        """Look at processes, by what they do."""
        numbers = [
            int(each) for each in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:]
        ]
        # user, nice, system, then idle and iowait, then interrupts and what the machine's host took
        busy = (sum(numbers[:8]) - numbers[3] - numbers[4]) / _TICKS
        found = {name: {pid: _cpu_seconds(pid) for pid in pids} for name, pids in processes.items()}
        return cls(time.monotonic(), found, busy)

    def since(self, before: "Usage") -> dict[str, float]:
        """Processors in use since then: by what for, and by others (`others`), of so many (`machine`)."""
        seconds = self.at - before.at
        own = {
            name: sum(used - before.processes.get(name, {}).get(pid, 0.0) for pid, used in of.items())
            / seconds
            for name, of in self.processes.items()
        }
        others = max(0.0, (self.busy - before.busy) / seconds - sum(own.values()))
        return {name: round(used, 2) for name, used in own.items()} | {
            "others": round(others, 2),
            "machine": float(os.cpu_count() or 1),
        }


def _cpu_seconds(pid: int) -> float:
    try:
        words = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / _TICKS


def disturbed(processors: Mapping[str, float]) -> bool:
    """Whether others used so much of the processors that figures are only an indication."""
    return processors["others"] > _OTHERS


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies, of sorted values."""
    return values[min(len(values) - 1, int(share * len(values)))]


def median(values: Sequence[float]) -> float:
    """The median; 0 of nothing."""
    return statistics.median(values) if values else 0.0


def folder_mb(folder: Path) -> float:
    """The size of a folder's files, in MB; what goes while one looks doesn't matter."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return size / 1e6


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
