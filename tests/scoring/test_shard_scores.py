"""What a shard says of its visitors, against the definitions in plain Python."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from engine_harness import NO_COUNTS, Engine, frame_of
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Record
from reference_scores import DAY, Prediction, predictions

from footfall import event, field
from footfall.expression import Expression
from footfall.pattern_plan import PatternPlan
from footfall.scoring.feature import (
    Feature,
    category,
    count,
    days_since,
    days_since_first,
    seconds_on_site,
    sessions,
    total,
)
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.score_model import (
    ScoreModel,
    at_event,
    at_session_end,
    days_after_last_event,
    earns,
    happens,
    stays_away,
)
from footfall.scoring.shard_scores import ScoreSettings, ShardScoring

GAP = 30 * 60_000
START = 1_767_225_600_000
END = START + 60 * DAY
KINDS = ("session_end", "event", "days_after")

ORDER = event == "order_completed"
FEATURES = (
    Feature("events", count()),
    Feature("views", count(event == "page_view", over="session")),
    Feature("views_3d", count(event == "page_view", over="3 d")),
    Feature("sessions", sessions()),
    Feature("sessions_1d", sessions(over="1 d")),
    Feature("sessions_30d", sessions(over="30 d")),
    Feature("per_session", count() / sessions()),
    Feature("since", days_since()),
    Feature("since_order", days_since(ORDER)),
    Feature("since_first_order", days_since_first(ORDER)),
    Feature("seconds", seconds_on_site()),
    Feature("session_seconds", seconds_on_site(over="session")),
    Feature("value", total(ORDER)),
    Feature("average", total(ORDER) / count(ORDER)),
    Feature("mixed", (count() + 1) * 2 - total(ORDER, over="session")),
    Feature("source", category({"mail": field("utm_source") == "mail", "ad": field("utm_source") == "ad"})),
    Feature("first", category({"mail": field("utm_source") == "mail", "other": None}, session="first")),
)
MODELS = (
    ScoreModel("lead", "", FEATURES, [at_session_end()], happens(ORDER, within="2 d")),
    ScoreModel(
        "churn",
        "",
        FEATURES,
        [at_event(ORDER), days_after_last_event(1, 3, once=ORDER)],
        stays_away(within="4 d", event=ORDER),
    ),
    ScoreModel("value", "", FEATURES[:3], [at_event(ORDER)], earns(ORDER, within="3 d")),
)
PLAN = FeaturePlan.compile(MODELS)

steps = st.sampled_from((0, 1, 60_000, GAP, GAP + 1, 6 * 3_600_000, DAY, DAY + GAP, 3 * DAY, 5 * DAY))
events = st.lists(
    st.tuples(
        steps,
        st.sampled_from("ab"),
        st.sampled_from(("page_view", "click", "order_completed")),
        st.sampled_from((None, "mail", "ad")),
        st.integers(1, 9),
    ),
    max_size=14,
)


def meets(condition: Expression, record: Record) -> bool:
    return condition.to_closure()(frame_of([record]).row(0, named=True))


def records_of(drawn: Sequence[tuple[int, str, str, str | None, int]]) -> list[Record]:
    time, found = START + 7_000_000, []
    for number, (step, visitor, name, source, value) in enumerate(drawn):
        time += step
        found.append(
            Record(
                visitor,
                f"m{number}",
                name,
                time,
                time,
                source=source,
                value=value * 1_500_000,
                path=f"/{number}",
            )
        )
    return [record for record in found if record.time < END - 10 * DAY]


def engine() -> Engine:
    plan = PatternPlan.compile((), reserved=(*NO_COUNTS, *PLAN.conditions), carried=PLAN.event_columns)
    return Engine(plan, scores=ScoreSettings(PLAN))


def told(parts: Sequence[ShardScoring]) -> list[Prediction]:
    """What a shard has told, in the reference's terms; the visitor who ends the test left out."""
    labels = {}
    names = [model.name for model in MODELS]
    for part in parts:
        for label in part.labels:
            labels[int(label["id_high"]), int(label["id_low"])] = (int(label["time"]), float(label["value"]))
    from footfall.hashing import text_seed
    from footfall.scoring.prediction_loops import prediction_ids

    found = []
    for part in parts:
        assert part.texts is not None
        for number, model in enumerate(MODELS):
            high, low = np.empty(part.moments.size, np.uint64), np.empty(part.moments.size, np.uint64)
            prediction_ids(part.moments, np.uint64(text_seed(model.name)), high, low)
            for at, moment in enumerate(part.moments):
                visitor = part.texts["visitor_id"][at]
                if not (int(moment["models"]) >> number) & 1 or visitor == "end":
                    continue
                row = tuple(part.rows[at][PLAN.columns[number]].tolist())
                key = int(high[at]), int(low[at])
                kind = KINDS[int(moment["kind"])]
                found.append(
                    Prediction(names[number], visitor, kind, int(moment["time"]), row, labels.get(key))
                )
    return found


def run(
    records: Sequence[Record], batches: Sequence[int] = (), *, restarts: bool = False
) -> list[ShardScoring]:
    one, at = engine(), 0
    for size in (*batches, len(records)):
        one.read(0, records[at : at + size])
        one.feed()
        at += size
        if restarts:
            one.restart()
    one.read(0, [Record("end", "end", "click", END, END)])
    one.feed()
    return [each.scoring for each in one.settled if each.scoring is not None]


def comparable(found: Sequence[Prediction]) -> Counter[str]:
    return Counter(
        repr(
            (*(getattr(each, name) for name in ("model", "visitor", "kind", "time", "label")), each.features)
        )
        for each in found
    )


@settings(max_examples=60, deadline=None)
@given(events, st.lists(st.integers(0, 5), max_size=4), st.booleans())
def test_moments_features_and_labels_are_what_their_definitions_say(
    drawn: list[tuple[int, str, str, str | None, int]],
    batches: list[int],
    restarts: bool,  # noqa: FBT001 - Hypothesis gives it
) -> None:
    records = records_of(drawn)
    wanted = predictions(records, MODELS, GAP, END - 1, meets)
    assert comparable(told(run(records, batches, restarts=restarts))) == comparable(wanted)


@settings(max_examples=30, deadline=None)
@given(events, st.integers(0, 14))
def test_no_feature_looks_into_the_future(
    drawn: list[tuple[int, str, str, str | None, int]], cut: int
) -> None:
    records = records_of(drawn)
    whole = told(run(records))
    part = told(run(records[:cut]))
    last = records[min(cut, len(records)) - 1].time if records[:cut] else START
    known: dict[tuple[str, str, str, int], list[str]] = {}
    for each in part:
        known.setdefault((each.model, each.visitor, each.kind, each.time), []).append(repr(each.features))
    for each in whole:
        if each.time < last:
            assert repr(each.features) in known[each.model, each.visitor, each.kind, each.time]


def test_a_horizon_includes_its_last_millisecond() -> None:
    first = START + 7_000_000
    over = first + GAP
    for late, label in ((0, (over + 2 * DAY, 1.0)), (1, (over + 2 * DAY, 0.0))):
        records = [
            Record("a", "1", "click", first, first),
            Record("a", "2", "order_completed", over + 2 * DAY + late, over + 2 * DAY + late),
        ]
        (lead, *_) = (each for each in told(run(records)) if each.model == "lead")
        assert lead.label == label


def test_matches_count_from_when_they_have_settled() -> None:
    from footfall import Pattern
    from footfall.scoring.feature import matches

    model = ScoreModel(
        "lead", "", [Feature("two", matches("two"))], [at_event(event == "ask")], happens(ORDER, within="1 d")
    )
    plan = FeaturePlan.compile([model])
    two = Pattern("two", "").begin("a", event == "a").followed_by("b", event == "b").within("1 h")
    whole = PatternPlan.compile((two,), reserved=(*NO_COUNTS, *plan.conditions), carried=plan.event_columns)
    one = Engine(whole, scores=ScoreSettings(plan))
    names = ("ask", "a", "ask", "b", "ask", "a", "b", "ask")
    one.read(0, [Record("v", str(n), name, START + n, START + n) for n, name in enumerate(names)])
    one.read(0, [], ended=True)
    one.feed()
    rows = [part.scoring.rows for part in one.settled if part.scoring is not None]
    assert np.concatenate(rows).ravel().tolist() == [0.0, 0.0, 1.0, 2.0]


@pytest.mark.parametrize("texts", [True, False])
def test_texts_go_with_moments(*, texts: bool) -> None:
    first = START + 7_000_000
    records = [
        Record("a", "1", "click", first, first, user="u1"),
        Record("a", "2", "order_completed", first + 1, first + 1, user="u2"),
        Record("a", "3", "click", first + 2, first + 2),
    ]
    one = engine()
    if not texts:
        from dataclasses import replace

        one = Engine(
            one.settings.plan, scores=replace(one.settings.scores or ScoreSettings(PLAN), wants_rows=False)
        )
    one.read(0, [*records, Record("end", "end", "click", END, END)])
    one.feed()
    parts = [each.scoring for each in one.settled if each.scoring is not None]
    if not texts:
        assert all(part.texts is None for part in parts)
        return
    found = pl.concat([part.texts for part in parts if part.texts is not None])
    assert found["visitor_id"].unique().to_list() == ["a"]
    # The order's own user, that of the session, and the order's for the days after.
    assert found["user_id"].to_list() == ["u2", "u2", "u2", "u2"]
    assert found["session_id"].is_not_null().sum() == 1
