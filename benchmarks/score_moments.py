"""Predictions of a replay with their features, outcomes and, for simulated lives, their true probabilities."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.pattern_files import read_folder
from footfall.run import Run, RunRequest
from footfall.scoring.feature import DAY_MS
from footfall.scoring.score_model import ScoreModel
from footfall.settings import Settings

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Moments:
    """The predictions of a model in the order of their times.

    Attributes:
        rows: features, shape (moments, features).
        categories: which features are categories.
        time: when it was predicted, ms.
        due: when its horizon was over, ms.
        visitor: the visitor's number.
        label: what came; NaN where the horizon reaches beyond the end.
        predicted: by learner.
        champion: the champion's name.
        truth: the true probability; None where nobody knows it.
    """

    rows: Floats
    categories: Flags
    time: Times
    due: Times
    visitor: Times
    label: Floats
    predicted: dict[str, Floats]
    champion: str
    truth: Floats | None = None

    def at(self, which: Flags) -> "Moments":
        """Some of them."""
        return replace(
            self,
            rows=self.rows[which],
            time=self.time[which],
            due=self.due[which],
            visitor=self.visitor[which],
            label=self.label[which],
            predicted={name: each[which] for name, each in self.predicted.items()},
            truth=None if self.truth is None else self.truth[which],
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """The tables of a replay that tell of scores, and its models."""

    predictions: pl.DataFrame
    outcomes: pl.DataFrame
    quality: pl.DataFrame
    models: tuple[ScoreModel, ...]

    def moments(self, name: str, truth: Path | None = None) -> Moments:
        """The predictions of a model; `truth`: the file beside simulated lives."""
        model = next(each for each in self.models if each.name == name)
        own = self.predictions.filter(pl.col("model") == name)
        first = own.filter(pl.col("champion")).join(
            self.outcomes.filter(pl.col("model") == name).select("prediction_id", "outcome"),
            on="prediction_id",
            how="left",
        )
        first = first.with_columns(at=pl.col("time").dt.epoch("ms")).sort("at", "visitor_id", "prediction_id")
        rows = np.array(
            first["features"]
            .str.json_decode(pl.List(pl.Float64))
            .list.to_array(len(model.columns))
            .to_list(),
            np.float64,
        )
        time = first["at"].to_numpy()
        last = [column.name for column in model.columns].index("days_since_last")
        waited = np.where(first["moment"].to_numpy() == "days_after", rows[:, last], 0.0)
        due = time + model.label.within - np.round(waited).astype(np.int64) * DAY_MS
        # Where the horizon reaches beyond the end, the labels that are known are of one class.
        end = max(int(times.dt.epoch("ms").max()) for times in (own["time"], self.outcomes["label_time"]))  # type: ignore[arg-type]  # numbers
        others = own.filter(~pl.col("champion")).select("prediction_id", "learner", "predicted")
        predicted = {first["learner"][0]: first["predicted"].to_numpy()}
        for (learner,), table in others.group_by("learner", maintain_order=True):
            joined = first.select("prediction_id").join(
                table, on="prediction_id", how="left", maintain_order="left"
            )
            predicted[str(learner)] = joined["predicted"].to_numpy()
        return Moments(
            rows,
            np.array([column.kind == "category" for column in model.columns]),
            time,
            due,
            first["visitor_id"].rank("dense").cast(pl.Int64).to_numpy() - 1,
            np.where(due <= end, first["outcome"].to_numpy().astype(np.float64), np.nan),
            predicted,
            first["learner"][0],
            None if truth is None else _true(first, name, truth),
        )


def _true(rows: pl.DataFrame, name: str, path: Path) -> Floats:
    kinds = {"order": "event"}
    lines = pl.read_ndjson(path, schema_overrides={"days": pl.Int64}).filter(pl.col("label") == name)
    lines = lines.select(
        "visitor_id",
        "probability",
        at=pl.col("time").str.to_datetime(time_unit="ms", time_zone="UTC").dt.epoch("ms"),
        moment=pl.col("moment").replace(kinds),
    )
    keys = ["visitor_id", "at", "moment"]
    found = rows.join(lines, on=keys, how="left", maintain_order="left")["probability"]
    if found.null_count():
        raise ValueError(f"{found.null_count()} predictions of {name} have no line in {path.name}")
    return found.to_numpy()


def replayed(records: Path, patterns: Path | None = None) -> Replay:
    """Replay a file through the whole engine with one worker, and read what it wrote of scores."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        settings = Settings(store="none", out=out, workers=1, patterns=patterns)
        Run(RunRequest(settings, (str(records),))).execute()
        predictions, outcomes, rows = (
            pl.read_parquet(out / name / "**" / "*.parquet")
            for name in ("predictions", "outcomes", "model_quality")
        )
        return Replay(predictions, outcomes, rows, read_folder(patterns).models)
