"""Rows of scores, predictions, outcomes and figures; and what they say in words."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from score_worlds import DAY, MODELS, Drawn, parts_of, settings_of, shard_names, step_of

from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.model_step import ModelStep
from footfall.scoring.score_rows import ScoreRows, reason_words
from footfall.tables import MODEL_QUALITY, OUTCOMES, PREDICTIONS, SCORES

CALM: Drawn = [(0, "a", "order_completed", 4), (DAY, "a", "click", 0), (2 * DAY, "b", "order_completed", 1)]
COLUMNS = (
    FeatureColumn("price_checks", "number", "", ""),
    FeatureColumn("seconds_on_site", "number", "s", ""),
    FeatureColumn("source", "category", "", "", ("mail", "ad")),
    FeatureColumn("days_since_order", "number", "days", ""),
)


@pytest.mark.parametrize(
    ("row", "added", "words"),
    [
        ([3, 0.5, 1, 2], [1.0, -2.0, 0.5, 0.1], [
            "seconds on site: 0.5 s (lowers it)", "price checks: 3 (raises it)", "source: ad (raises it)",
        ]),
        ([3, 61.25, 5, np.nan], [0.0, 0.1, 0.3, -0.2], [
            "source: other (raises it)", "days since order not known (lowers it)",
            "seconds on site: 61.2 s (raises it)",
        ]),
        # Of equal ones the first stands first.
        ([1, 2, 0, 4], [1.0, -1.0, 1.0, 1.0], [
            "price checks: 1 (raises it)", "seconds on site: 2 s (lowers it)", "source: mail (raises it)",
        ]),
        ([1, 2, 0, 4], [0.0, 0.0, 0.0, 1.0], ["days since order: 4 days (raises it)"]),
        ([1, np.inf, 0, 1e300], [0.0, 1.0, 0.0, 0.5], [
            "seconds on site: inf s (raises it)", "days since order: 1e+300 days (raises it)",
        ]),
        ([1, 2, 0, 4], [0.0] * 4, []),
    ],
)  # fmt: skip
def test_reasons_are_the_strongest_features_in_words(
    row: list[float], added: list[float], words: list[str]
) -> None:
    assert reason_words(COLUMNS, np.array(row, float), np.array(added)) == words


def test_rows_say_whom_and_what_they_are_of() -> None:
    rows = step_of().take(parts_of(CALM, ended=False))
    predictions = rows.of(PREDICTIONS).filter(pl.col("visitor_id") == "a")
    assert predictions.schema == PREDICTIONS.schema
    kinds = predictions.group_by("model", "moment").len().sort("model", "moment").rows()
    assert kinds == [
        ("churn", "days_after", 1), ("churn", "event", 1), ("lead", "session_end", 2), ("value", "event", 1),
    ]  # fmt: skip
    by_kind = predictions.filter(pl.col("moment") == "session_end")
    assert by_kind["session_id"].null_count() == 0
    assert predictions.filter(pl.col("moment") != "session_end")["session_id"].null_count() == 3
    first = by_kind.sort("time").row(0, named=True)
    # As of the session's end, half an hour after its event.
    assert json.loads(first["features"]) == [1.0, 0.0, 1.0, 30 / 1440]
    assert first["champion"]
    scores = rows.of(SCORES).filter(pl.col("visitor_id") == "a", pl.col("model") == "lead").sort("time")
    assert scores.schema == SCORES.schema
    assert scores["change"][0] is None
    assert scores["score"].to_list() == (100 * scores["predicted"]).to_list()
    assert set(scores["status"]) == {"fired"}
    assert set(scores["learner"]) == {"binned_logistic"}
    assert not set(scores["score_id"]) & set(predictions["prediction_id"])
    outcomes = rows.of(OUTCOMES)
    assert set(outcomes["prediction_id"]) <= set(rows.of(PREDICTIONS)["prediction_id"])
    assert outcomes.schema == OUTCOMES.schema


def test_what_is_not_known_of_a_feature_is_null() -> None:
    step = step_of()
    parts = parts_of(CALM, ended=False)
    holed = [replace(part, rows=np.where(part.rows == 1.0, np.nan, part.rows)) for part in parts]
    features = step.take(holed).of(PREDICTIONS)["features"].to_list()
    assert any(None in json.loads(each) for each in features)


def test_challengers_have_rows_of_their_own_without_the_features() -> None:
    plan = FeaturePlan.compile([replace(MODELS[0], challengers=["scaled_logistic"]), *MODELS[1:]])
    step = ModelStep(settings_of(plan), shard_names())
    rows = step.take(parts_of(CALM, ended=False, plan=plan)).of(PREDICTIONS).filter(pl.col("model") == "lead")
    champion, challenger = rows.partition_by("champion", as_dict=True).values()
    assert champion["prediction_id"].to_list() == challenger["prediction_id"].to_list()
    assert set(challenger["learner"]) == {"scaled_logistic"}
    assert set(challenger["features"]) == {""}


def test_rows_are_kept_by_table_in_their_order() -> None:
    rows = ScoreRows()
    assert not rows
    rows.add(OUTCOMES, OUTCOMES.empty())
    assert not rows
    assert rows.of(MODEL_QUALITY).schema == MODEL_QUALITY.schema
    one = pl.DataFrame({name: [None] for name in OUTCOMES.schema}, schema=OUTCOMES.schema)
    rows.add(OUTCOMES, one.with_columns(outcome=pl.lit(1.0)))
    rows.add(OUTCOMES, one.with_columns(outcome=pl.lit(0.0)))
    assert rows
    assert rows.of(OUTCOMES)["outcome"].to_list() == [1.0, 0.0]
