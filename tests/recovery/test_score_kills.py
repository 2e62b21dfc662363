"""Scores, predictions, outcomes, figures and scored triggers, whatever the workers and batches, and after kills."""

import time
from pathlib import Path
from random import Random

from command_line import Started, replay, run, wait_until
from stored_rows import Rows, in_files

KILLS = 2
SCORED = ("scores", "predictions", "outcomes", "model_quality", "triggers")

PATTERNS = """
from dataclasses import replace

from footfall import TriggerRule, event, field
from footfall.pattern_files import read_folder, shipped_patterns
from footfall.scoring.score_model import at_event, at_session_end, days_after_last_event, earns, happens, stays_away

globals().update(shipped_patterns())
shipped = {model.name: model for model in read_folder().models}
STARTED = event.is_in(["booking_started", "booking_completed"])
lead = replace(shipped["lead"], predict=[at_session_end()], label=happens(STARTED, within="1 h"), changed_by=1)
churn = replace(
    shipped["churn"],
    predict=[at_event(STARTED), days_after_last_event(1, once=STARTED)],
    label=stays_away(within="30 h", event=STARTED),
)
value = replace(shipped["value"], label=earns(event == "booking_completed", within="1 h"))
warm = TriggerRule(
    "warm", pattern="exit_intent", action="offer", delay="2 h", condition=field("lead_score") > 5.0,
    cooldown="3 h", active_from="1970-01-01T00:00:00Z",
)
shipped_models = [shipped.pop(name) for name in list(shipped)]
"""


def rows_of(folder: Path) -> Rows:
    found = in_files(folder)
    assert all(found[name][0] for name in SCORED), {name: found[name][0] for name in SCORED}
    return found


def test_scores_are_the_same_with_two_workers_other_batches_and_after_kills(tmp_path: Path) -> None:
    run("simulate", "traffic", "--visitors", 400, "--partitions", 2, "--seed", 5, cwd=tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "models.py").write_text(PATTERNS)
    options = ("traffic", "--partitioned", "--shards", 3, "--patterns", "own", "--store", "none")
    report = replay(*options, "--out", "plain", cwd=tmp_path)
    plain = rows_of(tmp_path / "plain")

    arguments = (
        *("replay", *options, "--out", "out", "--state", "state", "--json"),
        *("--workers", 2, "--batch-size", 150, "--snapshot-interval", "100 ms"),
    )
    random, resumed = Random(3), []
    leg = Started(*arguments, cwd=tmp_path, terminal=True)
    try:
        for number in range(KILLS):
            goal = report["records"] * (number + 1) / (KILLS + 1)
            seen = len(leg.progress())
            wait_until(lambda: len(leg.progress()) > seen or leg.process.poll() is not None, 60)  # noqa: B023 - waited for at once
            wait_until(
                lambda: leg.progress()[-1:] >= [goal] or leg.process.poll() is not None,  # noqa: B023 - waited for at once
                60,
            )
            time.sleep(random.uniform(0, 0.1))
            if leg.process.poll() is not None:
                break
            leg.kill(*leg.processes())
            assert wait_until(lambda: not leg.processes(), 15)  # noqa: B023 - waited for at once
            leg.close()
            leg = Started(*arguments, cwd=tmp_path, terminal=True)
            resumed.append(goal)
        ended = leg.ended().one_object()
    finally:
        leg.close()
    assert resumed, "no kill in the middle of reading"
    assert ended["answer"] == report["answer"]
    assert rows_of(tmp_path / "out") == plain
