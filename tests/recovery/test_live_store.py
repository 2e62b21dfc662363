"""A live run whose store goes away, or whose disk is full: triggers go on, and in the end every row is there.

`make torture` runs the long form, with the store away for a minute.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import Started, wait_until
from kafka_broker import KafkaBroker
from live_runs import (
    LIMIT,
    Feed,
    LiveCase,
    differences,
    early_latencies,
    in_one_piece,
    running,
    traffic,
)

LONG = os.environ.get("TORTURE") == "1"
AWAY = 60.0 if LONG else 8.0
VISITORS = 12_000 if LONG else 800
ALERT = 'footfall_alert{name="store_away"}'
OFTEN = ("--snapshot-interval", "500 ms", "--batch-size", 1_000)


class Server:
    """`footfall store serve` on a port of its own, which is kept when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.dsn = f"clickhouse://default@127.0.0.1:{self._port}"
        self._process: Started | None = None

    def start(self) -> None:
        self._process = Started(
            *("store", "serve", "--store", f"chdb://{self.folder / 'store'}", "--port", self._port),
            cwd=self.folder,
            terminal=True,
        )
        assert wait_until(self._answers, LIMIT), "the store doesn't answer"

    def kill(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def test_while_the_store_is_away_triggers_go_on_in_time(tmp_path: Path, kafka: KafkaBroker) -> None:
    topic = kafka.new_topic(3)
    feed = Feed(kafka.bootstrap, topic, traffic(tmp_path, VISITORS))
    feed.begin()
    steps = 40
    with (
        serving(tmp_path / "served") as server,
        running(LiveCase(tmp_path / "away", kafka, topic, store=server.dsn), feed) as case,
    ):
        leg = case.start()
        case.wait_until_ready(leg)
        feed.release(0.2)
        assert wait_until(lambda: case.records() >= 0.18 * len(feed.records), LIMIT)
        server.kill()
        began = int(time.time() * 1000)
        for step in range(steps):
            feed.release(0.2 + 0.6 * (step + 1) / steps)
            time.sleep(AWAY / steps)
        feed.flush()
        ended = int(time.time() * 1000)
        alerted = wait_until(lambda: case.metrics().get(ALERT) == 1, LIMIT)
        assert alerted, case.said(leg)
        away = case.metrics()
        latencies = early_latencies(kafka, topic, case.since("triggers"), began, ended)
        server.start()
        feed.seal(3)
        case.wait_until_settled(leg)
        back = case.metrics()
        answers = case.answers(case.stop(leg))
    assert away['footfall_sink_waiting_rows{sink="store"}'] > 0, away
    assert back[ALERT] == 0, back
    assert len(latencies) >= 10
    middle, most = latencies[len(latencies) // 2], latencies[-1]
    print(
        f"\n{len(latencies)} early triggers while the store was away: p50 {middle} ms, the slowest {most} ms"
    )
    # Far from the goal, which a benchmark is for, but not for as long as the store is away.
    assert middle < 1_500
    assert differences(in_one_piece(tmp_path / "whole", kafka, topic), answers) == []


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own over a folder, in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    for command in (mount, ["sudo", "-n", *mount]):
        if shutil.which(command[0]) is None:
            continue
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("neither this user nor sudo may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run([*command[: -len(mount)], "umount", "-l", str(folder)], check=False)


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all room on a disk but so many bytes; the file to remove when there should be room again."""
    ballast = disk / "ballast"
    usage = shutil.disk_usage(disk)
    with ballast.open("wb") as file:
        try:
            left = usage.free - leave
            while left > 0:
                left -= file.write(b"\0" * min(left, 1 << 16))
            file.flush()
        except OSError:
            pass  # now it is full
    return ballast


def test_a_full_disk_under_the_spool_holds_the_stream_and_loses_nothing(
    tmp_path: Path, kafka: KafkaBroker
) -> None:
    topic = kafka.new_topic(2)
    feed = Feed(kafka.bootstrap, topic, traffic(tmp_path, VISITORS))
    feed.begin()
    with (
        serving(tmp_path / "served") as server,
        running(LiveCase(tmp_path / "full", kafka, topic, *OFTEN, store=server.dsn), feed) as case,
    ):
        first = case.start()
        case.wait_until_ready(first)
        feed.release(0.2)
        assert wait_until(lambda: case.records() >= 0.18 * len(feed.records), LIMIT)
        case.stop(first)
        spool = case.state / "spool"
        left = spool.rename(tmp_path / "left")
        with small_disk(spool, "20m") as disk:
            shutil.copytree(left, disk, dirs_exist_ok=True)
            server.kill()
            ballast = fill(disk, leave=300_000)
            leg = case.start()
            case.wait_until_ready(leg)
            feed.release(0.9)
            feed.flush()
            held = wait_until(lambda: shutil.disk_usage(disk).free < 20_000, LIMIT)
            assert held, f"{shutil.disk_usage(disk)} {case.metrics()}"
            time.sleep(3)
            assert case.records() < 0.9 * len(feed.records), "it goes on without room for its rows"
            assert leg.process.poll() is None, case.said(leg)
            server.start()
            ballast.unlink()
            feed.seal(2)
            case.wait_until_settled(leg)
            answers = case.answers(case.stop(leg))
    assert differences(in_one_piece(tmp_path / "whole", kafka, topic), answers) == []


def test_a_full_disk_under_the_store_holds_nothing_up(tmp_path: Path, kafka: KafkaBroker) -> None:
    topic = kafka.new_topic(2)
    feed = Feed(kafka.bootstrap, topic, traffic(tmp_path, VISITORS))
    feed.begin()
    with (
        small_disk(tmp_path / "disk", "300m") as disk,
        serving(disk) as server,
        running(LiveCase(tmp_path / "full", kafka, topic, *OFTEN, store=server.dsn), feed) as case,
    ):
        leg = case.start()
        case.wait_until_ready(leg)
        feed.release(0.2)
        assert wait_until(lambda: case.records() >= 0.18 * len(feed.records), LIMIT)
        ballast = fill(disk)
        feed.release(0.9)
        feed.flush()
        went_on = wait_until(lambda: case.records() >= feed.sent, LIMIT)
        assert went_on, f"{case.metrics()}\n{case.said(leg)}"
        refused = wait_until(lambda: case.total("sink_errors_total", having="store"), LIMIT)
        assert refused, f"the store takes rows for which there is no room: {case.metrics()}"
        ballast.unlink()
        feed.seal(2)
        case.wait_until_settled(leg)
        answers = case.answers(case.stop(leg))
    assert differences(in_one_piece(tmp_path / "whole", kafka, topic), answers) == []
