"""Runs that are killed, again and again, and resumed: nothing is lost, nothing comes twice, no answer changes.

`make torture` kills one worker's runs, too, and each twenty times.
"""

import os
import shutil
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command_line import Ended, Started, replay, run, wait_until
from stored_rows import in_files, in_store

LONG = os.environ.get("TORTURE") == "1"
KILLS = 20 if LONG else 6
pytestmark = (
    [] if LONG else [pytest.mark.usefixtures("without_scores")]
)  # those of test_score_kills.py are enough
OF_A_LEG = ("seconds", "events_per_second", "peak_rss_mb", "restarts", "workers")


def answers(report: dict[str, Any]) -> dict[str, Any]:
    """What a report says of the whole run, whichever way it went."""
    return {name: value for name, value in report.items() if name not in OF_A_LEG}


class Case:
    """A run that is to be killed: its place, its command, and what it gives when nobody kills it."""

    def __init__(self, folder: Path, *, workers: int, visitors: int, batch_size: int) -> None:
        self.folder = folder
        self.kills: list[str] = []
        self.resumed_at: list[int] = []
        self.finished = 0
        run("simulate", "traffic", "--visitors", visitors, "--partitions", 2, "--seed", 11, cwd=folder)
        # Scores have kill tests of their own; without them, a leg begins a second sooner.
        options = ("traffic", "--partitioned", "--shards", 3, "--scores", "false")
        began = time.monotonic()
        # Answers don't depend on how the input is read: the reference is the plainest run there is.
        report = replay(*options, "--store", "chdb://plain-store", "--out", "plain-out", cwd=folder)
        self.startup = time.monotonic() - began - report["seconds"]
        self.report = answers(report)
        self.rows = in_store(f"chdb://{folder / 'plain-store'}")
        lacking = {name for name, (count, _) in self.rows.items() if not count}
        assert lacking == {"controls", "scores", "predictions", "outcomes", "model_quality"}, (
            "no table without rows that could be lost; live runs alone write controls"
        )
        assert in_files(folder / "plain-out") == self.rows
        self.arguments = (
            *("replay", *options, "--store", "chdb://store", "--out", "out", "--state", "state", "--json"),
            *("--workers", workers, "--batch-size", batch_size, "--snapshot-interval", "100 ms"),
        )

    def start(self) -> Started:
        return Started(*self.arguments, cwd=self.folder, terminal=True)

    def check(self, ended: Ended) -> None:
        assert answers(ended.one_object()) == self.report
        assert in_store(f"chdb://{self.folder / 'store'}") == self.rows
        assert in_files(self.folder / "out") == self.rows
        self.finished += 1

    def wait_for_moment(self, leg: Started, random: Random, *, starting: bool) -> None:
        """Wait for a random moment of a leg's start-up, or for one on the way to the end of the input.

        Those on the way are spread by records, so that they are where they are on a slow machine, too.
        """
        if starting:
            time.sleep(random.uniform(0, self.startup))
            return
        shown = len(leg.progress())
        wait_until(lambda: len(leg.progress()) > shown or leg.process.poll() is not None, 60)
        if leg.process.poll() is not None:
            return
        if not shown:
            self.resumed_at.append(leg.progress()[0])
        here = leg.progress()[-1]
        step = (self.report["records"] - here) / (KILLS - len(self.kills))
        goal = here + random.uniform(0, 1.5 * step)
        wait_until(lambda: leg.progress()[-1] >= goal or leg.process.poll() is not None, 60)
        time.sleep(random.uniform(0, 0.2))

    def kill(self, leg: Started, target: str, random: Random) -> bool:
        """Kill a part of a leg, or all of it; whether there was anything left to kill."""
        if leg.process.poll() is not None:
            return False
        workers = leg.workers()
        if target == "worker":
            if workers:
                leg.kill(random.choice(workers))
        else:
            leg.kill(*([leg.process.pid] if target == "parent" else leg.processes()))
            assert wait_until(lambda: not leg.processes(), 15), "something outlives a run that was killed"
        self.kills.append(target)
        return True


@pytest.mark.parametrize(
    ("workers", "visitors", "batch_size"), [(1, 1500, 200), (2, 500, 150)] if LONG else [(2, 500, 150)]
)
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(
    tmp_path: Path, workers: int, visitors: int, batch_size: int
) -> None:
    case = Case(tmp_path, workers=workers, visitors=visitors, batch_size=batch_size)
    random = Random(workers)
    leg = case.start()
    try:
        while len(case.kills) < KILLS:
            number = len(case.kills)
            case.wait_for_moment(leg, random, starting=number % 4 == 3)
            if not case.kill(leg, ("parent", "worker", "all")[number % 3], random):
                # It got to its end between two kills: the next ones are for a run that begins anew.
                case.check(leg.ended())
                shutil.rmtree(tmp_path / "state")
            elif case.kills[-1] == "worker":
                continue
            leg.close()
            leg = case.start()
        case.check(leg.ended())
    finally:
        leg.close()
    print(f"killed {case.kills}, resumed at {case.resumed_at}, finished {case.finished} times")
    # Each of these legs was begun by a kill in the middle of reading.
    went_on = [records for records in case.resumed_at if records]
    assert len(went_on) >= KILLS // 4, f"too few kills in the middle of reading: {case.resumed_at}"
