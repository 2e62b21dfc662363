"""`footfall models list`, `show` and `compare`, on a store with predictions and outcomes."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from control_records import control_record

from footfall.cli import main
from footfall.control_log import ControlLog
from footfall.control_record import ControlRecord
from footfall.control_table import control_rows
from footfall.scoring import quality
from footfall.scoring.paired_bootstrap import Paired
from footfall.state_folder import StateFolder
from footfall.store import open_store, parse_dsn
from footfall.tables import CONTROLS, MODEL_QUALITY, OUTCOMES, PREDICTIONS

START = datetime(2026, 3, 1, tzinfo=UTC)
ROWS, VISITORS = 900, 150
PATTERNS = """
from footfall import event
from footfall.pattern import Pattern
from footfall.scoring.feature import Feature, category, count, days_since
from footfall.scoring.score_model import (
    ScoreModel, at_event, at_session_end, days_after_last_event, earns, happens, stays_away,
)

BUY = event == "buy"
FEATURES = (
    Feature("clicks", count(event == "click"), "", "Clicks, ever"),
    Feature("since", days_since(), "days", "Since the last event"),
    Feature("kind", category({"late": event == "late", "other": event.is_not_null()}), description="What it was"),
)
bought = Pattern("bought").begin("buy", BUY)
lead = ScoreModel(
    "lead", "Buys within an hour", FEATURES, [at_session_end()], happens(BUY, within="1 h"),
    challengers=["scaled_logistic", "adaptive_tree"],
)
lost = ScoreModel(
    "lost", "Stays away", FEATURES, [at_event(BUY), days_after_last_event(1, 3, once=BUY)],
    stays_away(within="30 d", event=BUY),
)
worth = ScoreModel(
    "worth", "What comes", FEATURES, [at_event(BUY)], earns(BUY, within="30 d"), challengers=["adaptive_tree"],
)
"""


def judged() -> pl.DataFrame:
    """Labels, and what a good learner (`one`) and a worse one (`other`) predicted of them."""
    random = np.random.default_rng(5)
    sure = random.normal(size=ROWS)
    outcome = (random.random(ROWS) < 1 / (1 + np.exp(-2 * sure))).astype(float)
    noisy = sure + random.normal(size=ROWS) * 1.5
    return pl.DataFrame(
        {
            "visitor_id": [f"v{number % VISITORS}" for number in range(ROWS)],
            "one": 1 / (1 + np.exp(-2 * sure)),
            "other": 1 / (1 + np.exp(-2 * noisy)),
            "outcome": outcome,
        }
    )


def fill(dsn: str, records: tuple[ControlRecord, ...]) -> None:
    store = open_store(parse_dsn(dsn))
    frame = judged().with_row_index("number")
    shared = {
        "prediction_id": pl.format("p{}", "number"),
        "model": pl.lit("lead"),
        "model_version": pl.lit(7, pl.Int64),
        "user_id": pl.lit(None, pl.String),
        "session_id": pl.lit(None, pl.String),
        "time": pl.lit(START) + pl.duration(minutes="number"),
        "moment": pl.lit("session_end"),
        "features": pl.lit(""),
    }
    try:
        store.migrate()
        for learner, column in (("binned_logistic", "one"), ("scaled_logistic", "other")):
            rows = frame.with_columns(
                **shared, learner=pl.lit(learner), champion=pl.lit(column == "one"), predicted=pl.col(column)
            )
            store.insert(PREDICTIONS, rows.select(PREDICTIONS.schema.names()).cast(PREDICTIONS.schema))
        rows = frame.with_columns(**shared, label_time=shared["time"]).head(ROWS - 100)
        # Written twice, as after a restart.
        for _ in range(2):
            store.insert(OUTCOMES, rows.select(OUTCOMES.schema.names()).cast(OUTCOMES.schema))
        row: dict[str, Any] = dict.fromkeys(MODEL_QUALITY.schema.names())
        row |= {
            "model": "lead",
            "positives": 3,
            "window": 50,
            "drifts": 1,
            "champion": True,
            "model_version": 40,
        }
        for learner, hours, auc in (
            ("binned_logistic", 1, 0.5), ("binned_logistic", 2, 0.75), ("scaled_logistic", 2, 0.625),
        ):  # fmt: skip
            told = row | {
                "learner": learner,
                "time": START + timedelta(hours=hours),
                "roc_auc": auc,
                "labels": 1_200,
            }
            store.insert(MODEL_QUALITY, pl.DataFrame([told], schema=MODEL_QUALITY.schema))
        store.insert(CONTROLS, control_rows(records))
    finally:
        store.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    (path / "patterns").mkdir()
    (path / "patterns" / "all.py").write_text(PATTERNS)
    fill(f"chdb://{path / 'store'}", (replace(control_record(0), champions={"lead": "scaled_logistic"}),))
    state = StateFolder(path / "state")
    log = ControlLog(state, None)
    log.add(control_record(0))
    log.add(replace(control_record(1), champions={"lead": "adaptive_tree"}))
    (path / "state" / "run.json").write_text("{}")
    state.close()
    return path


class Command:
    """Runs commands of `footfall models` on the folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def __call__(self, *arguments: str, store: str = "store", state: str = "nothing", code: int = 0) -> str:
        dsn = store if store == "none" else f"chdb://{self._folder / store}"
        given = ("--patterns", str(self._folder / "patterns"), "--store", dsn)
        assert main(["models", *arguments, *given, "--state", str(self._folder / state)]) == code
        out, err = self._capsys.readouterr()
        return err if code else out


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "80")
    return Command(folder, capsys)


def test_the_list_has_declared_models_champions_and_the_latest_figures(command: Command) -> None:
    models = {each["name"]: each for each in json.loads(command("list", "--json"))["models"]}
    assert list(models) == ["lead", "lost", "worth"]
    lead = models["lead"]
    assert (lead["champion"], lead["champion_since"]) == ("scaled_logistic", None), "that of the store"
    assert [each["learner"] for each in lead["learners"]] == [
        "binned_logistic", "scaled_logistic", "adaptive_tree",
    ]  # fmt: skip
    first, _, last = lead["learners"]
    assert (first["roc_auc"], first["labels"], first["model_version"], first["champion"]) == (
        0.75,
        1_200,
        40,
        False,
    )
    assert first["as_of"] == "2026-03-01T02:00:00.000+00:00"
    assert last == {"learner": "adaptive_tree", "champion": False, "as_of": None}
    assert models["lost"]["champion"] == "binned_logistic"
    assert models["worth"]["champion"] == "binned_poisson"
    text = command("list")
    assert "0.7500" in text
    assert "1,200" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_champion_is_that_of_the_state_folder_where_there_is_one(command: Command) -> None:
    for arguments in (("list", "--json"), ("show", "lead", "--json")):
        for store in ("store", "none"):
            told = json.loads(command(*arguments, store=store, state="state"))
            lead = told.get("models", [told])[0]
            assert lead["champion"] == "adaptive_tree"
            assert lead["champion_since"] == "2025-10-09T08:54:20.123+00:00"
    assert "No figures" in command("list", store="none")
    assert "adaptive_tree, from 2025-10-09" in command("show", "lead", store="none", state="state")


def test_show_says_all_that_is_declared(command: Command) -> None:
    told = json.loads(command("show", "lost", "--json"))
    assert told["moments"] == [
        "at each event where event is 'buy'",
        "1, 3 days after the last event of whoever had an event where event is 'buy'",
    ]
    assert told["label"] == (
        "true once 30 d have passed without an event where event is 'buy' or a new session, false if there is one"
    )
    assert told["horizon_ms"] == 30 * 86_400_000
    assert [each["name"] for each in told["features"]] == ["clicks", "since", "kind"]
    assert told["features"][1]["unit"] == "days"
    assert told["features"][2]["categories"] == ["late", "other"]
    assert told["bands"] == {"low": 0.0, "medium": 0.2, "high": 0.5}
    text = command("show", "lead")
    for words in ("when a session is over", "true if there is an event where event is 'buy' within 1 h", "0.7500",
                  "Since the last event", "Clicks, ever", "low from 0, medium from 0.2"):  # fmt: skip
        assert words in text
    assert json.loads(command("show", "worth", "--json"))["label"].startswith("the value of all events where")
    assert "there is no model 'leed'" in command("show", "leed", code=2)


def test_compare_goes_by_the_same_predictions(command: Command) -> None:
    told = json.loads(command("compare", "lead", "--json"))
    assert told["champion"] == "scaled_logistic"
    (found,) = told["comparisons"]
    frame = judged().head(ROWS - 100)
    assert (found["challenger"], found["predictions"], found["visitors"]) == (
        "binned_logistic",
        ROWS - 100,
        VISITORS,
    )
    labels = frame["outcome"].to_numpy()
    one, other = (quality.figures(frame[name].to_numpy(), labels) for name in ("other", "one"))
    assert found["figures"] == {
        "scaled_logistic": pytest.approx(one, rel=1e-12), "binned_logistic": pytest.approx(other, rel=1e-12),
    }  # fmt: skip
    for name, better in (("roc_auc", 1), ("log_loss", -1), ("brier", -1)):
        each = found["differences"][name]
        assert each["difference"] == pytest.approx((one[name] or 0) - (other[name] or 0), abs=1e-12)
        assert each["low"] < each["difference"] < each["high"]
        assert each["difference"] * better < 0
        assert each["better"] == "challenger"
    assert json.loads(command("compare", "lead", "--json")) == told, "the draws are seeded"
    text = command("compare", "lead", "--against", "binned_logistic")
    assert "95 % interval" in text
    assert "The challenger, binned_logistic, is better by roc auc, log loss, brier." in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (
            ("compare", "lead", "--against", "nobody"),
            {},
            "its challengers are binned_logistic, adaptive_tree",
        ),
        (("compare", "lead", "--against", "scaled_logistic"), {}, "its champion is scaled_logistic"),
        (("compare", "lead", "--against", "adaptive_tree"), {}, "the store has no outcome of a prediction"),
        (("compare", "lost"), {}, "the store has no outcome of a prediction"),
        (("compare", "leed"), {}, "there are lead, lost, worth"),
        (("compare", "lead"), {"store": "none"}, "needs a store"),
        (("compare", "lead"), {"store": "elsewhere"}, "there is no store at"),
        (("list",), {"store": "elsewhere"}, "there is no store at"),
    ],
)
def test_what_there_is_not_is_refused(
    command: Command, arguments: tuple[str, ...], options: dict[str, str], said: str
) -> None:
    assert said in command(*arguments, code=2, **options)


def test_a_store_of_an_earlier_version_has_no_models_yet(command: Command, folder: Path) -> None:
    store = open_store(parse_dsn(f"chdb://{folder / 'old'}"))
    store.close()
    assert json.loads(command("list", "--json", store="old"))["models"][0]["champion"] == "binned_logistic"


def test_intervals_are_of_visitors_and_narrow_with_them() -> None:
    frame = judged()
    arrays = tuple(frame[name].to_numpy() for name in ("outcome", "one", "other"))
    labels, one, other = arrays
    rows = Paired(labels, one, other, np.arange(ROWS)).intervals(values=False, draws=300)
    few = Paired(labels, one, other, np.arange(ROWS) // 90).intervals(values=False, draws=300)
    assert rows.keys() == few.keys() == {"roc_auc", "log_loss", "brier"}
    # A row's worth drawn 90 at a time says the same of far less.
    first, second, third = (np.repeat(each[:10], 90) for each in arrays)
    many = Paired(first, second, third, np.arange(ROWS) // 90).intervals(values=False, draws=300)
    single = Paired(first, second, third, np.arange(ROWS)).intervals(values=False, draws=300)
    width = {name: many[name].high - many[name].low for name in many}
    assert all(width[name] > 3 * (single[name].high - single[name].low) for name in ("log_loss", "brier"))
    same = Paired(labels, one, one, np.arange(ROWS)).intervals(values=False, draws=20)
    assert set(same.values()) == {(0.0, 0.0, 0.0)}
    one_class = Paired(np.zeros(4), np.full(4, 0.5), np.full(4, 0.5), np.arange(4)).intervals(
        values=False, draws=20
    )
    assert set(one_class) == {"log_loss", "brier"}
    empty = np.empty(0)
    assert Paired(empty, empty, empty, np.empty(0, np.int64)).intervals(values=False) == {}
    values = Paired(np.array([1.0, 5.0]), np.array([1.0, 4.0]), np.array([3.0, 3.0]), np.arange(2))
    assert values.intervals(values=True, draws=50)["mean_absolute_error"].difference == pytest.approx(-1.5)
