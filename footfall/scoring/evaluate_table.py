"""A labelled table from a file, its columns typed automatically, as rows and labels for a learner."""

import gzip
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.errors import SourceError, UsageError
from footfall.scoring.feature_column import FeatureColumn
from footfall.setting_kinds import closest

Floats = npt.NDArray[np.float64]

_NOT_KNOWN = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
_TRUE = frozenset({"1", "1.0", "true", "t", "yes", "y"})
_FALSE = frozenset({"0", "0.0", "false", "f", "no", "n"})
_SEPARATORS = ",;\t|"
_MOSTLY = 0.95
"""A column is of numbers if so many of its values that are known are."""


@dataclass(frozen=True, slots=True)
class LabelledTable:
    """What a file holds, in its order.

    Attributes:
        columns: what the rows hold; all columns but the label.
        rows: float64, shape (rows, columns), NaN where not known.
        labels: float64, 0 or 1.
        left_out: rows without a usable label, by what stood there; they are neither in `rows` nor in `labels`.
        not_numbers: values in columns of numbers that are none, by column; they count as not known.
        times: float64, the time column as numbers (dates: ms since 1970), NaN where there is none; None if not asked
            for.
        times_are_dates: whether those are dates.
    """

    columns: tuple[FeatureColumn, ...]
    rows: Floats
    labels: Floats
    left_out: Counter[str]
    not_numbers: dict[str, int]
    times: Floats | None
    times_are_dates: bool


def read_table(path: Path, label: str, time: str | None = None) -> LabelledTable:
    """Read a table of .csv, .csv.gz, .tsv or .parquet and type its columns.

    Numbers are columns of which at least 95 % of the known values are such; truth values and other texts are
    categories, with codes as they are first seen. CSV may be separated by comma, semicolon, tab or |.

    Raises:
        UsageError: the file or a column isn't there.
        SourceError: it can't be read, or there is nothing to learn from.
    """
    frame = _read(path)
    for name in (label, time):
        if name is not None and name not in frame.columns:
            near = closest(name, frame.columns) or "."
            raise UsageError(
                f"{path} has no column {name!r}{near} Its columns are {', '.join(frame.columns)}"
            )
    labels, left_out = _labels(frame[label], path, label)
    frame = frame.filter(~pl.Series(np.isnan(labels)))
    labels = labels[~np.isnan(labels)]
    if labels.min() == labels.max():
        raise SourceError(
            f"all {labels.size} labels in column {label!r} are {'positive' if labels[0] else 'negative'}; "
            "both kinds are needed",
            source=str(path),
        )
    not_numbers: dict[str, int] = {}
    columns, values = [], []
    for series in frame.drop(label).iter_columns():
        column, of_column, wrong = _typed(series)
        columns.append(column)
        values.append(of_column)
        if wrong:
            not_numbers[series.name] = wrong
    if not columns:
        raise SourceError(f"there is no column but the label {label!r} to predict from", source=str(path))
    times, are_dates = _times(frame[time], path) if time is not None else (None, False)
    return LabelledTable(
        tuple(columns), np.column_stack(values), labels, left_out, not_numbers, times, are_dates
    )


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise SourceError(f"it can't be read as a table: {error}", source=str(path)) from error
    if frame.is_empty():
        raise SourceError(
            "it has no rows; a table has a line of column names, and one line a row", source=str(path)
        )
    return frame


def _read_csv(path: Path) -> pl.DataFrame:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"byte {error.start} is not UTF-8; convert it, as with iconv -f LATIN1 -t UTF-8",
            source=str(path),
            line=line,
        ) from error
    header = text.partition("\n")[0]
    if not header.strip():
        raise SourceError("it is empty, or its first line has no column names", source=str(path))
    separator = max(_SEPARATORS, key=header.count)
    return pl.read_csv(text.encode(), separator=separator, infer_schema=False)


def _labels(series: pl.Series, path: Path, name: str) -> tuple[Floats, Counter[str]]:
    """The labels, NaN where there is none, and what stands there instead."""
    words = _words(series)
    labels = np.array(
        [1.0 if word in _TRUE else 0.0 if word in _FALSE else np.nan for word in words.str.to_lowercase()]
    )
    left_out = Counter(words.filter(pl.Series(np.isnan(labels))).to_list())
    written = left_out.total() - left_out[""]
    if written > np.count_nonzero(~np.isnan(labels)) or left_out.total() == labels.size:
        found = ", ".join(repr(word) for word, _ in left_out.most_common(5))
        raise SourceError(
            f"column {name!r} has no labels; write true or false, yes or no, 1 or 0, not {found}",
            source=str(path),
        )
    return labels, left_out


def _words(series: pl.Series) -> pl.Series:
    return series.cast(pl.String).fill_null("").str.strip_chars()


def _typed(series: pl.Series) -> tuple[FeatureColumn, Floats, int]:
    """A column, its values, and how many that should be numbers are none."""
    if series.dtype.is_temporal():
        series = series.to_physical()
    if series.dtype.is_numeric():
        values = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return FeatureColumn(series.name), values, 0
    words = _words(series)
    known = ~words.str.to_lowercase().is_in(list(_NOT_KNOWN))
    numbers = words.cast(pl.Float64, strict=False)
    wrong = int((known & numbers.is_null()).sum())
    if known.any() and wrong <= (1 - _MOSTLY) * int(known.sum()):
        return FeatureColumn(series.name), numbers.fill_null(float("nan")).to_numpy(), wrong
    codes: dict[str, int] = {}
    coded = np.array([codes.setdefault(word, len(codes)) if word else np.nan for word in words])
    return FeatureColumn(series.name, "category", words=tuple(codes)), coded.astype(np.float64), 0


def _times(series: pl.Series, path: Path) -> tuple[Floats, bool]:
    if series.dtype.is_temporal():
        stamps = series.cast(pl.Datetime("ms")).to_physical().cast(pl.Float64)
        return stamps.fill_null(float("nan")).to_numpy(), True
    words = _words(series)
    numbers = words.cast(pl.Float64, strict=False)
    if numbers.is_not_null().any():
        return numbers.fill_null(float("nan")).to_numpy(), False
    try:
        dates = words.str.to_datetime(time_unit="ms", time_zone="UTC", strict=False)
    except pl.exceptions.PolarsError:
        dates = pl.Series([None] * len(words), dtype=pl.Datetime("ms"))
    if not dates.is_not_null().any():
        raise SourceError(
            f"column {series.name!r} holds no times; write dates as 2026-11-21 or 2026-11-21T22:57:00Z, or numbers "
            f"that grow, not {words[0]!r}",
            source=str(path),
        )
    return dates.to_physical().cast(pl.Float64).fill_null(float("nan")).to_numpy(), True
