"""Champions that change while a live run reads, with kills: as if the run had always known of it."""

import json
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from command_line import run
from kafka_broker import KafkaBroker
from kafka_messages import read_topic
from live_runs import Answers, LiveCase, differences, running
from test_live_patterns import Changing

from footfall.expression_values import time_from_ms
from footfall.scoring.shard_scores import TICK
from footfall.trigger_rule_check import time_ms

LEARNER = "scaled_logistic"


class Promoting(Changing):
    """A live run whose champions change after part of the records."""

    def models(self, *arguments: str) -> dict[str, Any]:
        """What a command of `footfall models` says of this run."""
        ended = run("models", *arguments, "--state", self.case.state, "--json", cwd=self.case.folder)
        return ended.one_object()


def knowing_all(folder: Path, broker: KafkaBroker, topic: str, state: Path) -> Answers:
    """What a run answers that has had another one's control records from the start."""
    with running(LiveCase(folder, broker, topic)) as case:
        case.state.mkdir()
        (case.state / "controls.json").write_bytes((state / "controls.json").read_bytes())
        leg = case.start()
        case.wait_until_settled(leg)
        return case.answers(case.stop(leg))


def reigns(rows: pl.DataFrame, model: str) -> list[tuple[str, int, int]]:
    """A model's champions by its predictions: the learner, and the first and last moment (ms) of its reign."""
    own = rows.filter((pl.col("model") == model) & pl.col("champion")).sort("time")
    runs = own.with_columns(reign=pl.col("learner").rle_id()).group_by("reign", maintain_order=True)
    found = runs.agg(
        pl.col("learner").first(),
        pl.col("time").first().dt.epoch("ms").alias("first"),
        pl.col("time").last().dt.epoch("ms").alias("last"),
    )
    return [(row["learner"], row["first"], row["last"]) for row in found.iter_rows(named=True)]


@pytest.mark.timeout(580)
def test_champions_that_change_under_kills_answer_as_if_they_had_always_been_known(
    tmp_path: Path, kafka: KafkaBroker
) -> None:
    run_ = Promoting(tmp_path / "changed", kafka, workers=2)
    with running(run_.case, run_.feed):
        run_.read(0.3)
        said = run("models", "promote", "lead", "nobody", "--state", run_.case.state, cwd=tmp_path)
        assert said.code == 2
        assert "there are binned_logistic, scaled_logistic" in said.err
        first = run_.models("promote", "lead", LEARNER)
        assert (first["champion"], first["changed"], first["control_record"]) == (LEARNER, True, 1)
        run_.kill("worker", Random(1))
        run_.read(0.5)
        run_.kill("all", Random(1))
        run_.case.wait_until_ready(run_.leg)
        run_.read(0.6)
        assert run_.models("promote", "churn", LEARNER)["control_record"] == 2
        assert run_.models("promote", "churn", LEARNER)["changed"] is False
        run_.read(0.75)
        last = run_.models("rollback", "lead")
        assert last["champion"] == "binned_logistic"
        changed = run_.finish()
        records = run_.controls()
    assert [each["champions"] for each in records] == [
        {}, {"lead": LEARNER}, {"churn": LEARNER, "lead": LEARNER}, {"churn": LEARNER},
    ]  # fmt: skip
    told = [
        json.loads(each.value) for each in read_topic(kafka.bootstrap, "control", run_.case.since("control"))
    ]
    assert told[-4:] == records

    predictions = changed.rows["predictions"]
    begin, end = time_ms(first["from"]), time_ms(last["from"])
    one, two, three = reigns(predictions, "lead")
    assert (one[0], two[0], three[0]) == ("binned_logistic", LEARNER, "binned_logistic")
    assert one[2] < -(-begin // TICK) * TICK <= two[1], time_from_ms(begin)
    assert two[2] < -(-end // TICK) * TICK <= three[1]
    assert [learner for learner, _, _ in reigns(predictions, "churn")][-1] == LEARNER

    whole = knowing_all(tmp_path / "whole", kafka, run_.topic, run_.case.state)
    assert differences(whole, changed) == []
    for controls in ("kafka://control", run_.case.store):
        ended = run(
            "replay",
            f"kafka://{run_.topic}",
            *("--kafka", kafka.bootstrap, "--keyed-by-visitor", "--store", "none", "--json"),
            *("--patterns", controls),
            cwd=tmp_path,
        )
        assert ended.code == 0, ended.err
        assert json.loads(ended.out)["answer"] == changed.answer, controls

    # Once it is stopped there is nobody to ask.
    said = run("models", "rollback", "lead", "--state", run_.case.state, cwd=tmp_path)
    assert said.code == 1
    assert "no run is live" in said.err
