"""`footfall models evaluate`: a labelled table through a model's learner, predict first, then learn, in file order."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from footfall.errors import SinkError
from footfall.scoring import quality
from footfall.scoring.evaluate_table import LabelledTable, read_table
from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.learners import default_learner, new_learner

Floats = npt.NDArray[np.float64]

_WARMING_ROWS = 600
_WINDOWS = 20
_LEAST_WINDOW = 200


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of a table.

    Attributes:
        predicted: each row's probability before its label was learnt, in file order.
        labels: 0 or 1.
        figures: by name, as they are printed.
        auc_over_time: windows of rows, in the order of `order`.
        order: rows by time, those without one left out; in file order where no time was asked for.
    """

    predicted: Floats
    labels: Floats
    figures: dict[str, float | int | None]
    auc_over_time: list[quality.Window]
    order: npt.NDArray[np.int64]


def evaluate(
    file: Path, label: str, time_column: str | None, model: str, *, as_json: bool, report: Path | None
) -> int:
    """Run the command; the exit code."""
    table = read_table(file, label, time_column)
    done = run_table(table)
    for line in _remarks(table, label):
        print(f"footfall: {line}", file=sys.stderr)
    if report is not None:
        from footfall.scoring.evaluate_picture import picture  # noqa: PLC0415 - plotly takes a second to load

        try:
            report.write_text(picture(done, table, f"{file.name}, {label}"), encoding="utf-8")
        except OSError as error:
            raise SinkError(f"the report can't be written to {report}: {error.strerror}") from error
    if as_json:
        about = {"file": str(file), "label": label, "model": model, "learner": default_learner("probability")}
        print(json.dumps({**done.figures, **about}))
    else:
        _print(done, table, model)
    return 0


def run_table(table: LabelledTable) -> Evaluation:
    """Predict each row, then learn it, in file order."""
    _warm(table.columns)
    learner = new_learner("", table.columns, "probability")
    begun = time.perf_counter()
    predicted = learner.learn(table.rows, table.labels)
    seconds = time.perf_counter() - begun
    found = quality.figures(predicted, table.labels)
    figures = {
        "n": int(table.labels.size),
        "positives": int(table.labels.sum()),
        **found,
        "seconds": round(seconds, 6),
        "left_out": table.left_out.total(),
    }
    if table.times is None:
        order = np.arange(table.labels.size)
    else:
        order = np.argsort(table.times, kind="stable")[: int((~np.isnan(table.times)).sum())]
    window = max(_LEAST_WINDOW, order.size // _WINDOWS)
    over_time = quality.rolling(
        quality.roc_auc, predicted[order], table.labels[order], window, max(window // 4, 1)
    )
    return Evaluation(predicted, table.labels, figures, over_time, order)


def _warm(columns: tuple[FeatureColumn, ...]) -> None:
    """Have the loops compiled, or loaded, so that the seconds are those of the work."""
    rows = np.outer(np.arange(_WARMING_ROWS) % 7, np.ones(len(columns)))
    new_learner("", columns, "probability").learn(rows, (np.arange(_WARMING_ROWS) % 2).astype(np.float64))


def _remarks(table: LabelledTable, label: str) -> list[str]:
    """What was passed over."""
    remarks = []
    if table.left_out:
        kinds = ", ".join(f"{word!r} {count} times" for word, count in table.left_out.most_common(3))
        remarks.append(
            f"{table.left_out.total()} rows have no label in column {label!r} and are left out: {kinds}"
        )
    for name, count in table.not_numbers.items():
        remarks.append(f"column {name!r} holds numbers, {count} values are none and count as not known")
    if table.times is not None and np.isnan(table.times).any():
        missing = int(np.isnan(table.times).sum())
        remarks.append(f"{missing} rows have no time; they are left out of the AUC over time alone")
    return remarks


def _print(done: Evaluation, table: LabelledTable, model: str) -> None:
    console = Console()
    console.print(f"{model}: each row predicted first, then learnt, in file order")
    shown = Table()
    shown.add_column("figure")
    shown.add_column("value", justify="right")
    for name, value in done.figures.items():
        shown.add_row(
            name, "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        )
    console.print(shown)
    numbers = sum(column.kind == "number" for column in table.columns)
    console.print(f"{numbers} columns of numbers, {len(table.columns) - numbers} of categories")
