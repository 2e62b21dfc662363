"""Scores, predictions and outcomes as rows of their tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from footfall.envelope import TIME
from footfall.hashing import fold_words, hex_names, text_seed
from footfall.scoring.feature_column import FeatureColumn
from footfall.scoring.feature_loops import AFTER_LAST_EVENT, AT_EVENT, AT_SESSION_END
from footfall.scoring.learner import Floats
from footfall.scoring.running_model import Predictions, RunningModel
from footfall.tables import MODEL_QUALITY, OUTCOMES, PREDICTIONS, SCORES, Table

MOST_REASONS = 3
_LONGEST = 1e15

_MOMENTS = {AT_SESSION_END: "session_end", AT_EVENT: "event", AFTER_LAST_EVENT: "days_after"}


@dataclass(slots=True)
class ScoreRows:
    """Rows by table, in the order in which they came."""

    frames: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def add(self, table: Table, rows: pl.DataFrame) -> None:
        """Add rows of a table."""
        if rows.height:
            self.frames.setdefault(table.name, []).append(rows)

    def of(self, table: Table) -> pl.DataFrame:
        """All rows of a table."""
        frames = self.frames.get(table.name)
        return pl.concat(frames) if frames else table.empty()

    def __bool__(self) -> bool:
        return bool(self.frames)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model made of moments.

    Attributes:
        moments: `MOMENT` records.
        rows: the model's own features.
        texts: the moments' `MOMENT_TEXTS`.
        found: the predictions.
        scores: 0 to 100.
        bands: the numbers of their bands.
        before: the scores told last; NaN: none.
        shown: the places of those scores that are told.
        reasons: what each feature adds, for those that are told.
    """

    moments: npt.NDArray[np.void]
    rows: Floats
    texts: pl.DataFrame
    found: Predictions
    scores: Floats
    bands: npt.NDArray[np.int64]
    before: Floats
    shown: npt.NDArray[np.int64]
    reasons: Floats


def add_scored(model: RunningModel, scored: Scored, out: ScoreRows) -> None:
    """Add the rows of predictions, and of the scores that are told."""
    out.add(PREDICTIONS, _prediction_rows(model, scored))
    if scored.shown.size:
        out.add(SCORES, _told_rows(model, scored))


def add_outcomes(model: RunningModel, labels: npt.NDArray[np.void], out: ScoreRows) -> None:
    """Add the rows of what came of predictions."""
    names = hex_names(labels["id_high"].copy(), labels["id_low"].copy())
    columns = {
        "prediction_id": names,
        "model": _constant(model.model.name, labels.size),
        "label_time": _times(labels["time"]),
        "outcome": pl.Series(labels["value"].copy()),
    }
    out.add(OUTCOMES, pl.DataFrame(columns, schema=OUTCOMES.schema))


def add_quality(model: RunningModel, time: int, out: ScoreRows) -> None:
    """Add the rows of how good each learner has been, where it is time for them; `time` is that of the last label."""
    for number, figures in model.quality.due(time):
        model.note_quality(model.names[number], figures)
        row = {
            "model": model.model.name,
            "learner": model.names[number],
            "time": time,
            "champion": number == model.champion,
            "model_version": model.learners[number].version,
            **msgspec.structs.asdict(figures),
        }
        frame = pl.DataFrame([row], schema={**MODEL_QUALITY.schema, "time": pl.Int64})
        out.add(MODEL_QUALITY, frame.with_columns(pl.col("time").cast(TIME)))


def _prediction_rows(model: RunningModel, scored: Scored) -> pl.DataFrame:
    count = scored.moments.size
    names = hex_names(*scored.found.ids)
    features = pl.Series(
        [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY).decode() for row in scored.rows]
    )
    shared = {
        "prediction_id": names,
        "model": _constant(model.model.name, count),
        "time": _times(scored.moments["time"]),
        "moment": _moments(scored.moments),
        "visitor_id": scored.texts["visitor_id"],
        "user_id": scored.texts["user_id"],
        "session_id": scored.texts["session_id"],
    }
    parts = []
    for number, name in enumerate(model.names):
        champion = number == scored.found.champion
        columns = shared | {
            "learner": _constant(name, count),
            "champion": _constant(champion, count),
            "model_version": _constant(scored.found.versions[number], count),
            "predicted": pl.Series(np.ascontiguousarray(scored.found.predicted[:, number])),
            "features": features if champion else _constant("", count),
        }
        parts.append(
            pl.DataFrame({each: columns[each] for each in PREDICTIONS.schema}, schema=PREDICTIONS.schema)
        )
    return pl.concat(parts)


def _told_rows(model: RunningModel, scored: Scored) -> pl.DataFrame:
    shown = scored.shown
    moments, found = scored.moments[shown], scored.found
    seed = np.full(shown.size, text_seed("score"), np.uint64)
    names = hex_names(*fold_words(np.stack([found.ids[0][shown], found.ids[1][shown], seed])))
    scores, before = scored.scores[shown], scored.before[shown]
    change = pl.Series(scores - before).fill_nan(None)
    columns = {
        "score_id": names,
        "model": _constant(model.model.name, shown.size),
        "visitor_id": scored.texts["visitor_id"][shown],
        "user_id": scored.texts["user_id"][shown],
        "session_id": scored.texts["session_id"][shown],
        "time": _times(moments["time"]),
        "moment": _moments(moments),
        "score": pl.Series(scores),
        "predicted": pl.Series(np.ascontiguousarray(found.predicted[shown, found.champion])),
        "band": pl.Series([model.band_names[band] for band in scored.bands[shown].tolist()], dtype=pl.String),
        "learner": _constant(model.names[found.champion], shown.size),
        "model_version": _constant(found.versions[found.champion], shown.size),
        "reasons": pl.Series(
            [
                orjson.dumps(reason_words(model.model.columns, row, added)).decode()
                for row, added in zip(scored.rows[shown], scored.reasons, strict=True)
            ],
            dtype=pl.String,
        ),
        "change": change,
        "status": _constant("fired", shown.size),
        "revision": pl.Series(np.zeros(shown.size, np.uint32)),
    }
    return pl.DataFrame({each: columns[each] for each in SCORES.schema}, schema=SCORES.schema)


def reason_words(columns: Sequence[FeatureColumn], row: Floats, added: Floats) -> list[str]:
    """The features that add or take most, strongest first, as people say it: `3 price checks (raises it)`."""
    strongest = np.lexsort((np.arange(added.size), -np.abs(added)))[:MOST_REASONS]
    words = []
    for place in strongest.tolist():
        if added[place] == 0.0:
            break
        words.append(
            f"{_feature_words(columns[place], float(row[place]))} ({'raises' if added[place] > 0 else 'lowers'} it)"
        )
    return words


def _feature_words(column: FeatureColumn, value: float) -> str:
    name = column.name.replace("_", " ")
    if np.isnan(value):
        return f"{name} not known"
    if column.kind == "category":
        code = int(value)
        return f"{name}: {column.words[code] if code < len(column.words) else 'other'}"
    number = f"{value:.0f}" if value.is_integer() and abs(value) < _LONGEST else f"{value:.3g}"
    return f"{name}: {number} {column.unit}".rstrip()


def _moments(moments: npt.NDArray[np.void]) -> pl.Series:
    return pl.Series([_MOMENTS[kind] for kind in moments["kind"].tolist()], dtype=pl.String)


def _times(values: npt.NDArray[np.int64]) -> pl.Series:
    return pl.Series(np.ascontiguousarray(values)).cast(TIME)


def _constant(value: object, count: int) -> pl.Series:
    return pl.Series([value]).new_from_index(0, count)
