"""What a shard forgets of its visitors, and that nothing it says depends on when it does."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_harness import Engine
from reference import Record
from score_worlds import DAY, MODELS, START, settings_of, whole_plan

from footfall.scoring.feature_loops import AFTER_LAST_EVENT
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.shard_scores import ScoreSettings, ShardScoring


def record(visitor: str, day: float, name: str = "click", value: int = 1_000_000) -> Record:
    time = START + int(day * DAY)
    return Record(visitor, f"{visitor}{day}", name, time, time, value=value, path="/")


def run(batches: Sequence[Sequence[Record]], settings: ScoreSettings, *, restarts: bool = False) -> Engine:
    one = Engine(whole_plan(settings.plan), scores=settings)
    for batch in batches:
        one.read(0, batch)
        one.feed()
        if restarts:
            one.restart()
    return one


def told(engine: Engine) -> list[ShardScoring]:
    return [each.scoring for each in engine.settled if each.scoring is not None]


@pytest.mark.parametrize("models", [MODELS[:1], MODELS], ids=["session ends alone", "all"])
def test_a_visitor_is_forgotten_after_the_horizon(models: Sequence[object]) -> None:
    plan = FeaturePlan.compile([model for model in MODELS if model in models])
    settings = replace(settings_of(plan), horizon=5 * DAY)
    early = [record(f"v{n}", n / 100, "order_completed") for n in range(50)]
    engine = run([early, *([record("on", day)] for day in range(1, 12))], settings)
    scores = engine.shards[0].scores
    assert scores is not None
    assert scores.visitors.live == 1
    assert scores.waits.live <= 2
    assert not scores._names


def test_who_is_forgotten_in_a_round_still_has_a_name_in_it() -> None:
    # All of it lies in one round: moments after an order, a visit long after, and the day on which that is over.
    settings = replace(settings_of(), horizon=5 * DAY)
    batches = [
        [record("a", 0, "order_completed"), record("b", 0.1)],
        [record("a", 20), record("b", 60), record("b", 60.1)],
    ]
    found = [part for part in told(run(batches, settings)) if part.texts is not None and part.moments.size]
    after = [
        name
        for part in found
        if part.texts is not None
        for name, kind in zip(part.texts["visitor_id"], part.moments["kind"], strict=True)
        if kind == AFTER_LAST_EVENT
    ]
    assert after == ["a"]


def test_a_moment_that_waits_keeps_its_visitor() -> None:
    # Their horizon is over before the moment: no model of a run may ask for that, and none is lost.
    settings = replace(settings_of(), horizon=DAY // 2)
    batches = [[record("a", 0, "order_completed")], *([record("b", day / 10)] for day in range(1, 30))]
    kinds = [kind for part in told(run(batches, settings)) for kind in part.moments["kind"].tolist()]
    assert kinds.count(AFTER_LAST_EVENT) == 1


def test_refunds_earn_nothing_less_than_nothing() -> None:
    batches = [[record("a", 0, "order_completed"), record("a", 0.01, "order_completed", -9_000_000)]]
    labels = np.concatenate([part.labels for part in told(run([*batches, [record("b", 9)]], settings_of()))])
    value = [model.name for model in MODELS].index("value")
    assert labels["value"][labels["model"] == value].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("restarts", [False, True])
def test_files_keep_what_snapshots_would(tmp_path: Path, *, restarts: bool) -> None:
    batches = [
        [
            record(visitor, day + n / 10, ("order_completed", "click")[(day + n) % 2])
            for n, visitor in enumerate("abc")
        ]
        for day in range(12)
    ]
    plain = run(batches, settings_of())
    kept = run(batches, settings_of(folder=tmp_path), restarts=restarts)
    for one, two in zip(told(plain), told(kept), strict=True):
        for name in ("high", "low", "time", "due", "value", "model"):
            assert sorted(one.labels[name].tolist()) == sorted(two.labels[name].tolist())
        assert sorted(one.moments["time"].tolist()) == sorted(two.moments["time"].tolist())
        assert sorted(map(repr, one.rows.tolist())) == sorted(map(repr, two.rows.tolist()))
    scores = kept.shards[0].scores
    other = plain.shards[0].scores
    assert scores is not None
    assert other is not None
    used = [table.records[: table.high_water] for table in (scores.visitors, other.visitors)]
    # What a visitor's record says of its waits is in the files, too.
    assert [sorted(records["waits"][records["flags"] & 1 == 1].tolist()) for records in used] == [
        sorted(other.visitors.records["waits"][: other.visitors.high_water].tolist())
    ] * 2


def test_what_changes_is_written_between_snapshots(tmp_path: Path) -> None:
    many = [record(f"v{n}", n / 80_000, "order_completed") for n in range(40_000)]
    run([many, [record("end", 1)]], settings_of(folder=tmp_path))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.features")) > 1_000_000
