"""Rules that ask for scores: one decision by itself, and the real flow against an independent reckoning."""

import json
import pickle
from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from reference import Record
from scored_flows import SCORED, Content, rows_of, run_scored

from footfall import Pattern, event, field
from footfall.scoring.feature import Feature, count, sessions
from footfall.scoring.feature_loops import AT_TRIGGER, LABEL, MOMENT
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.learners import new_learner
from footfall.scoring.model_step import ModelStep
from footfall.scoring.score_model import ScoreModel, at_session_end, happens
from footfall.scoring.scored_triggers import (
    AskedTrigger,
    ScoredTriggers,
    score_fields,
    scores_asked,
)
from footfall.scoring.shard_scores import ScoreSettings, ShardScoring
from footfall.tables import OUTCOMES, PREDICTIONS, TRIGGERS
from footfall.trigger_rows import Decision
from footfall.trigger_rule import TriggerRule

START, MINUTE, HOUR = 1_767_225_600_000, 60_000, 3_600_000
TICK, GAP = 120_000, 30 * MINUTE
BOUGHT, ASKS = event == "bought", event == "ask"


def rule_of(name: str = "warm", condition: Any = None, **more: Any) -> TriggerRule:
    return TriggerRule(
        name,
        pattern="asks",
        action="offer",
        condition=field("lead_score") > 50.0 if condition is None else condition,
        active_from="1970-01-01T00:00:00Z",
        **more,
    )


def asked(rule: TriggerRule, due: int, profile: Mapping[str, object] | None = None) -> AskedTrigger:
    decision = Decision(
        f"{due:032x}", rule.name, rule.version, "asks", "1", "m", "v", None, None, due, due, due + HOUR, "triggers",
        "offer", "{}", "{}", "{}", "shadow" if rule.mode == "shadow" else "fired", 0, due,
    )  # fmt: skip
    return AskedTrigger(rule, decision, profile or {})


@pytest.mark.parametrize(
    ("scores", "status"),
    [({"lead": 50.1}, "fired"), ({"lead": 50.0}, "unmet"), ({}, "unmet"), ({"churn": 99.0}, "unmet")],
)
def test_a_rule_is_met_by_the_score_it_asks_for(scores: dict[str, float], status: str) -> None:
    decided = ScoredTriggers().decide(asked(rule_of(), 5), scores)
    assert decided.status == status
    assert json.loads(decided.scores) == {f"{model}_score": score for model, score in scores.items()}


def test_the_rest_of_a_condition_is_that_of_the_profile() -> None:
    rule = rule_of(condition=(field("lead_score") > 50.0) & (field("sessions") >= 2))
    triggers = ScoredTriggers()
    assert triggers.decide(asked(rule, 1, {"sessions": 1}), {"lead": 60.0}).status == "unmet"
    assert triggers.decide(asked(rule, 2, {"sessions": 2}), {"lead": 60.0}).status == "fired"
    assert triggers.counts == {"warm": {"unmet": 1, "fired": 1}}


def test_limits_count_what_was_fired_over_restarts() -> None:
    rule = rule_of(cooldown="1 h", cap=(2, "1 d"))
    triggers = ScoredTriggers()
    found = []
    for due, score in (
        (0, 60),
        (1, 60),
        (HOUR - 1, 60),
        (HOUR, 10),
        (HOUR + 1, 60),
        (3 * HOUR, 60),
        (25 * HOUR, 60),
    ):
        found.append(triggers.decide(asked(rule, due), {"lead": score}).status)
        triggers = pickle.loads(pickle.dumps(triggers))
        triggers.forget(due)
    assert found == ["fired", "cooled", "cooled", "unmet", "fired", "capped", "fired"]


def test_shadow_rules_count_for_themselves() -> None:
    triggers = ScoredTriggers()
    shadow, live = rule_of("shade", cooldown="1 h", mode="shadow"), rule_of(cooldown="1 h")
    found = [
        triggers.decide(asked(rule, due), {"lead": 60}).status
        for due, rule in enumerate((shadow, live, shadow))
    ]
    assert found == ["shadow", "fired", "cooled"]


def test_an_asked_trigger_goes_to_another_process() -> None:
    rule = rule_of(condition=(field("lead_score") > 50.0) & field("user_id").is_not_null())
    one = asked(rule, 7, {"user_id": "u"})
    other = pickle.loads(pickle.dumps(one))
    assert (other.rule, other.decision, other.models) == (one.rule, one.decision, ("lead",))
    assert ScoredTriggers().decide(other, {"lead": 60}).status == "fired"


def test_fields_of_scores() -> None:
    assert score_fields(["lead", "value"]) == {"lead_score"}
    assert scores_asked(rule_of(condition=field("sessions") > 1)) == ()
    assert set(scores_asked(rule_of(condition=(field("lead_score") > 1) | (field("churn_score") > 1)))) == {
        "lead", "churn",
    }  # fmt: skip


def part_of(shard: str, until: int, dues: Sequence[int] = ()) -> ShardScoring:
    """A shard's part that asks for scores of one visitor at these times."""
    moments = np.zeros(len(dues), MOMENT)
    moments["time"], moments["kind"], moments["source"] = dues, AT_TRIGGER, np.arange(len(dues))
    moments["high"], moments["models"] = ord(shard[-1]), 1
    waiting = [asked(rule_of(cooldown="1 min", condition=field("lead_score") > 0), due) for due in dues]
    for place, each in enumerate(waiting):
        waiting[place] = each._replace(decision=each.decision._replace(visitor_id=shard))
    rows = np.zeros((len(dues), len(FEATURES)))
    return ShardScoring(shard, until, moments, rows, None, np.zeros(0, LABEL), waiting)


def step_for(*shards: str) -> ModelStep:
    return ModelStep(ScoreSettings(FeaturePlan.compile([LEAD]), TICK, wants_rows=False), shards)


def test_cooldowns_count_whichever_shard_is_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    # What has been fired is looked through each time.
    monkeypatch.setattr("footfall.trigger_limits._FEW", -1)
    found = []
    for first_ahead in (True, False):
        step = step_for("s1", "s2")
        step.take([part_of("s1", 10 * TICK - 1), part_of("s2", 10 * TICK - 1)])
        # Both in the tick after that: the visitor of s2 is asked for twice within a minute, the one of s1 later.
        ahead, early = part_of("s1", 11 * TICK - 2, [11 * TICK - 2]), part_of("s2", 10 * TICK, [10 * TICK])
        later = part_of("s2", 11 * TICK - 2, [10 * TICK + 59_999])
        order = [early, ahead, later] if first_ahead else [early, later, ahead]
        rows = pl.concat([step.take([part]).of(TRIGGERS) for part in order]).sort("visitor_id", "due_time")
        found.append(rows["status"].to_list())
    assert found == [["fired", "fired", "cooled"]] * 2


def test_what_is_decided_does_not_wait_any_longer() -> None:
    step = step_for("s1", "s2")
    step.take([part_of("s2", 3 * TICK)])
    for tick in range(10, 40):
        # The other shard is five ticks behind.
        step.take(
            [
                part_of("s1", tick * TICK, [tick * TICK - n for n in range(20)]),
                part_of("s2", (tick - 5) * TICK),
            ]
        )
        assert sum(len(each.asked) for each in step._moments) == sum(
            each.moments.size for each in step._moments
        )
        assert sum(len(each.asked) for each in step._moments) < 200
    restored = step_for("s1", "s2")
    restored.restore(step.snapshot())
    ends = [part_of(shard, 60 * TICK) for shard in ("s1", "s2")]
    assert restored.take(ends).of(TRIGGERS).equals(step.take(ends).of(TRIGGERS))
    assert step._triggers.counts["warm"].total() == 30 * 20
    assert not step._moments


# The real flow ------------------------------------------------------------------------------------------------------

FEATURES = [Feature("events", count()), Feature("sessions", sessions()), Feature("asks", count(ASKS))]
LEAD = ScoreModel("lead", "", FEATURES, [at_session_end()], happens(BOUGHT, within="1 h"), changed_by=1)
LIMIT = 30.0
CONTENT = Content(
    (Pattern("asks", "").begin("ask", ASKS).within("1 min"),),
    (
        rule_of(condition=field("lead_score") > LIMIT, delay="45 min", cooldown="3 h"),
        rule_of("plain", condition=field("sessions") > 0, delay="45 min"),
    ),
    (LEAD,),
)


@lru_cache(1)
def world() -> tuple[Record, ...]:
    """Sixty visitors over two days; those who ask often buy, so that a model has something to learn."""
    random, found = Random(4), []
    for number in range(60):
        keen, time = number % 3 == 0, START + random.randrange(6 * HOUR)
        while time < START + 48 * HOUR:
            for name in (
                "view",
                *("ask",) * (keen or random.random() < 0.3),
                *("bought",) * (keen and random.random() < 0.6),
            ):
                time += random.randrange(MINUTE, 20 * MINUTE)
                found.append((time, f"v{number}", name))
            time += random.randrange(20 * MINUTE, 9 * HOUR)
    ordered = sorted(found)
    return tuple(
        Record(who, f"m{place}", name, time, time, path="/")
        for place, (time, who, name) in enumerate(ordered)
    )


def split(records: Sequence[Record], partitions: int) -> list[list[Record]]:
    return [
        [record for record in records if int(record.visitor[1:]) % partitions == number]
        for number in range(partitions)
    ]


def reckoned(records: Sequence[Record], until: int) -> list[tuple[str, int, str, float | None]]:
    """What the rule `warm` should decide: who, when due, its status and the score; all from the definitions."""
    learner = new_learner("", LEAD.columns, "probability")
    by_visitor: dict[str, list[Record]] = {}
    for record in records:
        by_visitor.setdefault(record.visitor, []).append(record)

    def row(who: str, time: int) -> list[float]:
        seen = [each for each in by_visitor[who] if each.time <= time]
        begun = sum(not n or each.time - seen[n - 1].time > GAP for n, each in enumerate(seen))
        return [len(seen), begun, sum(each.name == "ask" for each in seen)]

    labels = []
    for who, own in by_visitor.items():
        for n, each in enumerate(own):
            over = each.time + GAP
            if (n + 1 == len(own) or own[n + 1].time > over) and over <= until:
                bought = any(
                    over < other.time <= over + HOUR and other.name == "bought" for other in own[n + 1 :]
                )
                labels.append((over + HOUR, who, row(who, over), float(bought)))
    dues = []
    for who, own in by_visitor.items():
        dues += [(each.time + 45 * MINUTE, who) for each in own if each.name == "ask"]
    found, fired = [], dict[str, int]()
    # The ties of labels: hashes of visitors decide, so there are to be none.
    labels.sort(key=lambda each: each[0])
    assert len({each[0] for each in labels}) == len(labels)
    for due, who in sorted(dues):
        if due > until:
            continue
        while labels and labels[0][0] // TICK <= due // TICK - 2:
            _, _, features, value = labels.pop(0)
            learner.learn(np.array([features]), np.array([value]))
        score = 100 * float(learner.predict(np.array([row(who, due)], np.float64))[0])
        status = (
            "unmet"
            if score <= LIMIT
            else "cooled"
            if due - fired.get(who, -10 * HOUR) < 3 * HOUR
            else "fired"
        )
        if status == "fired":
            fired[who] = due
        found.append((who, due, status, score))
    return sorted(found)


def decided(rows: pl.DataFrame, rule: str) -> list[tuple[str, int, str, float | None]]:
    chosen = rows.filter(pl.col("rule") == rule).with_columns(pl.col("due_time").to_physical())
    return sorted(
        (row["visitor_id"], row["due_time"], row["status"], json.loads(row["scores"]).get("lead_score"))
        for row in chosen.iter_rows(named=True)
    )


def test_the_flow_decides_as_reckoned() -> None:
    records = world()
    sink = run_scored(split(records, 1), CONTENT)
    found = decided(rows_of(sink, TRIGGERS), "warm")
    until = max(record.time for record in records) - 5_000 - 1
    wanted = reckoned(records, until)
    assert found == wanted
    assert {each[2] for each in found} == {"fired", "cooled", "unmet"}
    # A rule that asks for no score is decided by its shard.
    plain = decided(rows_of(sink, TRIGGERS), "plain")
    assert [each[:2] for each in plain] == [each[:2] for each in found]
    assert {each[2:] for each in plain} == {("fired", None)}


@pytest.mark.parametrize(
    ("partitions", "settings"),
    [
        (1, {"batch_size": 37}),
        (1, {"shards": 3, "batch_size": 500}),
        (2, {"shards": 5}),
        (2, {"shards": 2, "batch_size": 101, "workers": 2}),
    ],
)
def test_the_flow_says_the_same_however_it_runs(partitions: int, settings: dict[str, int]) -> None:
    plain = run_scored(split(world(), 1), CONTENT)
    other = run_scored(split(world(), partitions), CONTENT, workers=settings.pop("workers", 1), **settings)
    for table in SCORED:
        one, two = rows_of(plain, table), rows_of(other, table)
        assert one.height
        assert one.equals(two), table.name
    outcomes = rows_of(plain, OUTCOMES)
    known = rows_of(plain, PREDICTIONS)["prediction_id"].implode()
    assert outcomes["prediction_id"].is_in(known).all()
