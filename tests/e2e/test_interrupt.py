"""Runs that are stopped, run twice, or lose a worker: what they say, what they leave, and how they go on."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import Started, failed, replay, run, wait_until
from stored_rows import in_store

pytestmark = pytest.mark.usefixtures("without_scores")

SLOW = ("--store", "none", "--batch-size", 20, "--snapshot-interval", "100 ms", "--shards", 2)
OF_A_LEG = ("seconds", "events_per_second", "peak_rss_mb", "restarts", "workers")


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two partitions, which take seconds to read in batches of 20."""
    folder = tmp_path_factory.mktemp("interrupt")
    run("simulate", "traffic", "--visitors", 600, "--partitions", 2, "--seed", 4, cwd=folder)
    return folder / "traffic"


@pytest.fixture(scope="module")
def plain(traffic: Path) -> dict[str, Any]:
    """What a run that nobody stops reports."""
    return _answers(replay(traffic, "--partitioned", "--store", "none", "--shards", 2, cwd=traffic.parent))


def _answers(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in OF_A_LEG}


def _slow(traffic: Path, *more: object) -> tuple[object, ...]:
    return ("replay", traffic, "--partitioned", "--json", *SLOW, *more)


def _reading(leg: Started) -> bool:
    return wait_until(lambda: leg.progress() and leg.progress()[-1] > 200, 60)


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_a_stopped_run_says_how_to_go_on_and_does(
    traffic: Path, plain: dict[str, Any], tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    command = _slow(traffic, "--state", "kept", "--workers", workers)
    with Started(*command, cwd=tmp_path, terminal=True) as leg:
        assert _reading(leg)
        leg.process.send_signal(number)
        ended = leg.ended(within=30)
        assert ended.code == 130
        assert ended.out == ""
        assert "interrupted after" in ended.err
        assert "give the same command again (with --state kept)" in ended.err
        assert leg.all_gone(within=5)
    with Started(*command, cwd=tmp_path, terminal=True) as leg:
        ended = leg.ended()
        assert _answers(ended.one_object()) == plain
        assert leg.progress()[0] > 0, "it began at the start again"
    # Once more: the run is finished, and its report stands.
    began = time.monotonic()
    again = run(*command, cwd=tmp_path).one_object()
    assert again == ended.one_object()
    assert time.monotonic() - began < 10


def test_a_run_without_state_says_that_nothing_is_kept(traffic: Path, tmp_path: Path) -> None:
    with Started(*_slow(traffic), cwd=tmp_path, terminal=True) as leg:
        assert _reading(leg)
        leg.process.send_signal(signal.SIGINT)
        ended = leg.ended(within=30)
        assert ended.code == 130
        assert "without --state nothing is kept" in ended.err
        assert leg.all_gone(within=5)


@pytest.mark.parametrize("moment", [0.3, 1.0])
def test_a_run_can_be_stopped_while_it_starts(
    traffic: Path, plain: dict[str, Any], tmp_path: Path, moment: float
) -> None:
    command = _slow(traffic, "--state", "kept")
    with Started(*command, cwd=tmp_path) as leg:
        assert wait_until((tmp_path / "kept" / "run.json").exists, 30)
        time.sleep(moment)
        leg.process.send_signal(signal.SIGINT)
        ended = leg.ended(within=30)
        assert ended.code == 130, ended.err
        assert "interrupted" in ended.err
        assert leg.all_gone(within=5)
    assert (
        _answers(replay(*_slow(traffic, "--state", "kept", "--batch-size", 5000)[1:], cwd=tmp_path)) == plain
    )


def test_a_second_ctrl_c_stops_at_once(traffic: Path, tmp_path: Path) -> None:
    with Started(*_slow(traffic, "--state", "kept"), cwd=tmp_path, terminal=True) as leg:
        assert _reading(leg)
        for worker in leg.workers():
            os.kill(worker, signal.SIGSTOP)  # so that it can't end in its own time
        leg.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert leg.process.poll() is None
        leg.process.send_signal(signal.SIGINT)
        ended = leg.ended(within=10)
        assert ended.code == 130
        assert "give the same command again" in ended.err
        assert leg.all_gone(within=5)


def test_a_state_folder_belongs_to_one_run(traffic: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.ndjson"
    small.write_bytes((traffic / "events-00.ndjson").read_bytes()[:200_000].rpartition(b"\n")[0])
    base = ("replay", small, "--state", "kept", "--quiet")
    assert run(*base, "--store", "none", cwd=tmp_path).code == 0
    said = failed(*base, "--store", "none", "--gap", "10 min", cwd=tmp_path, code=1)
    assert "gap: 30 min in the folder's run, 10 min in this one" in said
    assert "patterns" not in said
    said = failed(*base, "--store", "chdb://other", cwd=tmp_path, code=1)
    assert "store: none in the folder's run, chdb://" in said
    assert not (tmp_path / "other").exists()
    said = failed(*base, "--store", "none", "--out", "files", cwd=tmp_path, code=1)
    assert "out: none in the folder's run" in said
    with small.open("ab") as file:
        file.write(b'\n{"visitor_id":"v","event":"click","event_time":1}\n')
    said = failed(*base, "--store", "none", cwd=tmp_path, code=1)
    assert "inputs: small.ndjson changed" in said
    # What doesn't change the answers may change: the run is finished, so its report is printed.
    small.write_bytes(small.read_bytes().rpartition(b'\n{"visitor_id":"v"')[0])
    ended = run(*base, "--store", "none", "--batch-size", 10, "--workers", 2, cwd=tmp_path)
    assert ended.code == 0, ended.err


def test_two_runs_at_once_on_one_state_folder(traffic: Path, tmp_path: Path) -> None:
    with Started(*_slow(traffic, "--state", "kept"), cwd=tmp_path, terminal=True) as first:
        assert _reading(first)
        said = failed(*_slow(traffic, "--state", "kept"), cwd=tmp_path, code=1)
        assert f"in use by process {first.process.pid}" in said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_is_started_again(
    traffic: Path, plain: dict[str, Any], tmp_path: Path, workers: int
) -> None:
    command = _slow(traffic, "--state", "kept", "--workers", workers)
    with Started(*command, cwd=tmp_path, terminal=True) as leg:
        assert _reading(leg)
        leg.kill(leg.workers()[-1])
        report = leg.ended().one_object()
        assert report["restarts"] == 1
        assert _answers(report) == plain
        assert leg.all_gone(within=5)


@pytest.mark.parametrize("workers", [1, 2])
def test_without_state_a_worker_that_dies_ends_the_run(traffic: Path, tmp_path: Path, workers: int) -> None:
    with Started(*_slow(traffic, "--workers", workers), cwd=tmp_path, terminal=True) as leg:
        assert _reading(leg)
        leg.kill(leg.workers()[0])
        ended = leg.ended(within=30)
        assert ended.code == 1
        assert "worker 0 was ended by SIGKILL" in ended.err
        assert "--state" in ended.err, "it doesn't say what would have helped"
        assert leg.all_gone(within=5)


def test_a_parent_that_is_killed_leaves_nobody_behind(traffic: Path, tmp_path: Path) -> None:
    command = _slow(traffic, "--workers", 2, "--store", "chdb://store", "--batch-size", 100)
    with Started(*command, cwd=tmp_path, terminal=True) as leg:
        assert _reading(leg)
        assert len(leg.workers()) == 2
        assert len(leg.owners()) == 1
        leg.kill(leg.process.pid)
        leg.process.wait()
        assert leg.all_gone(within=10)
    assert in_store(f"chdb://{tmp_path / 'store'}")["events"][0] >= 0
