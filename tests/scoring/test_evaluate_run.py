import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from learner_rows import COLUMNS, random_labels, random_rows

from footfall.cli import main
from footfall.scoring import quality
from footfall.scoring.evaluate_run import run_table
from footfall.scoring.evaluate_table import read_table
from footfall.scoring.learners import new_learner

KEYS = ["n", "positives", "roc_auc", "pr_auc", "log_loss", "brier", "ece", "precision_top10", "seconds"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = random_rows(1_500, 1)
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    frame = pl.DataFrame(rows, schema=[column.name for column in COLUMNS]).with_columns(
        pl.col("source").fill_nan(None).cast(pl.Int64).cast(pl.String).str.replace("^", "s"),
        pl.Series("converted", random_labels(rows, 1) == 1),
        pl.Series(
            "when", [begun + timedelta(minutes=7 * (n * 977 % 1_500)) for n in range(1_500)]
        ).dt.to_string(),
    )
    path = tmp_path / "table.csv"
    frame.write_csv(path)
    return path


def test_the_figures_are_those_of_the_learner_in_file_order(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "evaluate", str(table), "--label", "converted", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    read = read_table(table, "converted")
    predicted = new_learner("", read.columns, "probability").learn(read.rows, read.labels)
    expected = quality.figures(predicted, read.labels)
    assert {name: printed[name] for name in expected} == expected
    assert set(KEYS) <= printed.keys()
    assert printed["n"] == 1_500
    assert printed["positives"] == int(read.labels.sum())
    assert 0 < printed["seconds"] < 60
    assert (printed["model"], printed["learner"], printed["left_out"]) == ("lead", "binned_logistic", 0)


def test_time_changes_the_auc_over_time_alone(table: Path) -> None:
    plain, timed = (
        run_table(read_table(table, "converted")),
        run_table(read_table(table, "converted", "when")),
    )
    assert timed.predicted.tobytes() == plain.predicted.tobytes()
    read = read_table(table, "converted", "when")
    assert read.times is not None
    assert np.all(np.diff(read.times[timed.order]) > 0)
    window = timed.auc_over_time[2]
    rows = timed.order[window.begin : window.end]
    assert window.figure == quality.roc_auc(plain.predicted[rows], plain.labels[rows])
    assert [each.end for each in plain.auc_over_time] == [each.end for each in timed.auc_over_time]


def test_for_people(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text(table.read_text() + ",,,,,perhaps,\n")
    assert main(["models", "evaluate", str(table), "--label", "converted", "--model", "churn"]) == 0
    told = capsys.readouterr()
    for name in KEYS:
        assert name in told.out
    assert "churn: each row predicted first" in told.out
    assert "1 rows have no label in column 'converted' and are left out: 'perhaps' 1 times" in told.err


@pytest.mark.parametrize("timed", [[], ["--time", "when"]])
def test_the_report_needs_no_network(table: Path, tmp_path: Path, timed: list[str]) -> None:
    report = tmp_path / "report.html"
    arguments = ["models", "evaluate", str(table), "--label", "converted", "--report", str(report), *timed]
    assert main(arguments) == 0
    page = report.read_text(encoding="utf-8")
    assert "<title>table.csv, converted</title>" in page
    for word in ("ROC curve", "Calibration", "ROC AUC over time", "log_loss"):
        assert word in page
    assert "<script src" not in page
    assert "<link" not in page
    assert len(page) > 1_000_000


def test_nothing_is_written_unasked(table: Path, tmp_path: Path) -> None:
    assert main(["models", "evaluate", str(table), "--label", "converted"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.csv", "--label", "x"], 2, "there is no file none.csv"),
        (["{table}", "--label", "converte"], 2, "did you mean converted?"),
        (["{table}"], 2, "--label"),
        (["{table}", "--label", "converted", "--model", "value"], 2, "--model"),
        (["{table}", "--label", "age"], 1, "yes or no"),
        (["{table}", "--label", "converted", "--report", "{folder}/none/report.html"], 1, "can't be written"),
    ],
)
def test_what_is_wrong_is_told(
    table: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [each.format(table=table, folder=table.parent) for each in arguments]
    assert main(["models", "evaluate", *filled]) == code
    assert message in capsys.readouterr().err
