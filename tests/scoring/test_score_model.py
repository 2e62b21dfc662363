"""Models as they are declared, and what is refused before a run begins."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from footfall import event
from footfall.errors import FeatureError, PatternFilesError, UsageError
from footfall.pattern_files import read_folder
from footfall.pattern_source import score_models
from footfall.scoring.feature import Feature, count, total
from footfall.scoring.model_check import check_models
from footfall.scoring.score_model import (
    DaysAfter,
    ScoreModel,
    at_event,
    at_session_end,
    days_after_last_event,
    earns,
    happens,
    models_digest,
    stays_away,
)
from footfall.settings import load_settings

DAY = 86_400_000
ORDER = event == "order_completed"
VIEWS = Feature("views", count())
LEAD = ScoreModel("lead", "", [VIEWS], [at_session_end()], happens(ORDER, within="7 d"))
AFTER = days_after_last_event(1, 27, once=ORDER)


def test_a_model_has_the_columns_of_its_features() -> None:
    assert LEAD.columns == (VIEWS.column,)
    assert LEAD.label.within == 7 * DAY


def test_days_are_times_after_the_last_event() -> None:
    assert isinstance(AFTER, DaysAfter)
    assert AFTER.delays == (DAY, 27 * DAY)


def test_who_stays_away_neither_orders_nor_visits_unless_it_is_said() -> None:
    assert stays_away(within="1 d").or_session
    assert not stays_away(within="1 d", event=ORDER, sessions=False).or_session


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(LEAD, name="Lead"), "letters, digits and underscores, not 'Lead'"),
        (lambda: replace(LEAD, features=[VIEWS, VIEWS]), "model lead: two features are called views"),
        (lambda: replace(LEAD, features=[]), "model lead has no features"),
        (lambda: replace(LEAD, predict=[]), "model lead never predicts"),
        (
            lambda: replace(LEAD, predict=[at_event(ORDER), at_event(ORDER)]),
            "two moments of the kind AtEvent",
        ),
        (lambda: replace(LEAD, changed_by=101), "changed_by is 0 to 100, not 101"),
        (lambda: replace(LEAD, bands={}), "the first band begins at 0"),
        (lambda: replace(LEAD, bands={"a": 0.1}), "the first band begins at 0"),
        (lambda: replace(LEAD, bands={"a": 0.0, "b": 0.5, "c": 0.5}), "each later one higher"),
        (lambda: days_after_last_event(once=ORDER), "rising whole days from 1 on, not ()"),
        (lambda: days_after_last_event(3, 1, once=ORDER), "rising whole days"),
        (lambda: days_after_last_event(0, once=ORDER), "rising whole days"),
        (lambda: stays_away(within="1 d", sessions=False), "needs an event, or sessions=True"),
        (lambda: happens(ORDER, within="soon"), "within: 'soon' is no length of time"),
        (lambda: earns(ORDER, within="0 s"), "a horizon is longer than nothing"),
        (
            lambda: ScoreModel("churn", "", [VIEWS], [AFTER], stays_away(within="27 d")),
            "model churn: 27 days after the last event, its horizon (27 d) is over; predict earlier",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(FeatureError) as caught:
        make()
    assert words in str(caught.value)


def test_a_prediction_may_be_made_until_just_before_its_horizon_is_over() -> None:
    label = stays_away(within=f"{27 * DAY + 1} ms")
    assert ScoreModel("churn", "", [VIEWS], [AFTER], label).predict == [AFTER]


@pytest.mark.parametrize(
    ("models", "horizon", "words"),
    [
        ([LEAD, LEAD], 400, "two models are called lead"),
        (
            [LEAD], 7,
            "waits 7 d for what becomes of a visitor, who is forgotten 7 d after their last event: set a longer",
        ),
        ([replace(LEAD, learner="binned")], 400, "model lead: there is no learner 'binned' for a probability"),
        ([replace(LEAD, challengers=["adaptive_forest@2"])], 400, "a share above 0, up to 1, not 2"),
        ([replace(LEAD, challengers=["adaptive_forest@x"])], 400, "a share such as 0.1, not 'x'"),
        ([replace(LEAD, challengers=["binned_poisson"])], 400, "there is no learner 'binned_poisson'"),
        ([replace(LEAD, challengers=["binned_logistic"])], 400, "names a learner twice"),
        (
            [LEAD, replace(LEAD, name="other", features=[Feature("views", total(ORDER))])], 400,
            "two features are called views: count of events, and value of event is 'order_completed' of model other",
        ),
        ([replace(LEAD, label=happens(event > 3, within="1 d"))], 400, "model lead: "),
    ],
)  # fmt: skip
def test_models_that_cannot_run_are_refused(models: list[ScoreModel], horizon: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_models(models, horizon * DAY)
    assert words in str(caught.value)


def test_the_shipped_models_can_run() -> None:
    check_models(read_folder().models, 400 * DAY)
    check_models((), DAY)


def test_a_run_checks_the_models_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from footfall import Pattern, event\n"
        "from footfall.scoring.feature import Feature, count\n"
        "from footfall.scoring.score_model import ScoreModel, at_session_end, happens\n"
        "seen = Pattern('seen', '').begin('a', event == 'a').within('1 h')\n"
        "lead = ScoreModel('lead', '', [Feature('n', count())], [at_session_end()],\n"
        "    happens(event == 'a', within='2 d'), challengers=['forest'])\n"
    )
    settings = load_settings({"patterns": tmp_path, "store": "none"}, environment={})
    with pytest.raises(UsageError, match="model lead: there is no learner 'forest'"):
        score_models(settings)
    assert score_models(replace(settings, scores=False)) == ()
    (tmp_path / "more.py").write_text("from own_models import lead\n")
    with pytest.raises(PatternFilesError, match="own_models"):
        score_models(settings)


def test_a_digest_names_all_that_is_declared_in_every_process() -> None:
    code = (
        "from footfall.pattern_files import read_folder;"
        "from footfall.scoring.score_model import models_digest; print(models_digest(read_folder().models))"
    )
    root = Path(__file__).resolve().parents[2]
    found = subprocess.run(
        [sys.executable, "-c", code],
        check=True, capture_output=True, text=True, cwd=root,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert found.stdout.strip() == models_digest(read_folder().models)
    other = [
        replace(LEAD, title="x"), replace(LEAD, changed_by=6.0), replace(LEAD, challengers=["scaled_logistic"]),
        replace(LEAD, features=[Feature("views", count() * 1.0000001)]),
        replace(LEAD, label=happens(ORDER, within="8 d")),
    ]  # fmt: skip
    assert len({models_digest([each]) for each in (LEAD, *other)}) == len(other) + 1
