"""A person's frame of events brought into the envelope's columns and types, or an error that says what to do."""

from collections.abc import Iterable

import msgspec
import polars as pl

from footfall.envelope import (
    ALIASES,
    EARLIEST_TIME_MS,
    FIELD_BY_NAME,
    FIELDS,
    LATEST_TIME_MS,
    MILLIONTHS,
    SCHEMA,
    TIME,
    Field,
)
from footfall.errors import UsageError
from footfall.row_frames import nulls

NEEDED = ("visitor_id", "event", "event_time")
"""The columns that a frame of events must have."""

_TEXTS = (pl.String, pl.Categorical, pl.Enum)


def missing_columns(frame: pl.DataFrame, columns: Iterable[str]) -> list[str]:
    """Those of the envelope's columns asked for that a frame neither has nor can do without, sorted.

    Properties are missing if the frame has no column beyond the envelope's either.
    """
    given = {*frame.columns, *NEEDED, "message_id", "event_original", "event_time_sent"}
    given |= {name for name in SCHEMA if not FIELD_BY_NAME[name].nullable and name != "properties"}
    if _extra(frame):
        given.add("properties")
    return sorted(set(columns) - given)


def event_frame(frame: pl.DataFrame, *, with_properties: bool = True) -> pl.DataFrame:
    """The events with all columns of the envelope, in the frame's order, those marked late left out.

    `source_offset` is the row's number in the frame. Without `with_properties`, properties are left empty.

    Raises:
        UsageError: the frame lacks a needed column, or a column holds what it can't.
    """
    lacking = [name for name in NEEDED if name not in frame.columns]
    if lacking:
        raise UsageError(_lacking(frame, lacking))
    rows = pl.int_range(frame.height, dtype=pl.Int64, eager=True).alias("source_offset")
    columns = {"source_offset": rows}
    for field in FIELDS:
        if field.name in frame.columns and field.name not in {*columns, "properties"}:
            columns[field.name] = _converted(frame[field.name], field)
    for name in NEEDED:
        _check_whole(columns[name])
    defaults = {
        "message_id": rows.cast(pl.String),
        "event_original": columns["event"],
        "event_time_sent": columns["event_time"],
        "source_partition": _constant("", frame.height),
        "properties": _properties(frame) if with_properties else _constant("{}", frame.height),
    }
    for field in FIELDS:
        name = field.name
        if name not in columns:
            default = _constant(False, frame.height) if field.dtype == pl.Boolean else None
            default = defaults.get(name, default)
            columns[name] = nulls(name, frame.height) if default is None else default
        elif name in defaults:
            columns[name] = columns[name].zip_with(columns[name].is_not_null(), defaults[name])
    events = pl.DataFrame([columns[name].alias(name) for name in SCHEMA])
    return events.filter(~pl.col("late")) if events["late"].any() else events


def _constant(value: object, height: int) -> pl.Series:
    return pl.Series([value]).new_from_index(0, height)


def _extra(frame: pl.DataFrame) -> list[str]:
    return [name for name in frame.columns if name not in SCHEMA]


def _lacking(frame: pl.DataFrame, lacking: list[str]) -> str:
    renamed = {
        alias: name for name in lacking for alias in ALIASES.get(name, ()) if alias in frame.columns
    } or {"your_column": lacking[0]}
    return (
        f"the frame has no column {' and no column '.join(map(repr, lacking))}; it has "
        f"{', '.join(map(repr, frame.columns)) or 'none'}. Rename the one that holds it: frame.rename({renamed!r})"
    )


def _converted(column: pl.Series, field: Field) -> pl.Series:
    if column.dtype == pl.Null:
        converted = pl.Series(field.name, [None], dtype=field.dtype).new_from_index(0, column.len())
    elif field.dtype == pl.String:
        converted = _text(column)
    elif field.dtype == TIME:
        converted = _time(column)
    elif field.dtype == pl.Boolean:
        converted = _flag(column)
    else:
        converted = _number(column, field)
    return converted.fill_null(value=False) if field.dtype == pl.Boolean else converted


def _text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, _TEXTS) or column.dtype.is_integer():
        return column.cast(pl.String)
    raise _wrong(column, "texts", f"polars.col({column.name!r}).cast(polars.String)")


def _time(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        times = column.dt.convert_time_zone("UTC")
    elif isinstance(kind, pl.Datetime):
        times = column.dt.replace_time_zone("UTC")
    elif kind == pl.Date:
        times = column.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    elif kind.is_integer():
        times = column.cast(pl.Int64).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    else:
        raise _wrong(column, "times", f'polars.col({column.name!r}).str.to_datetime(time_zone="UTC")')
    times = times.cast(TIME)
    ms = times.to_physical()
    outside = (ms < EARLIEST_TIME_MS) | (ms > LATEST_TIME_MS)
    if outside.any():
        row = outside.arg_true()[0]
        raise UsageError(
            f"column {column.name!r}, row {row}: {column[row]} lies outside the years 1970 to 2199; whole numbers are "
            "milliseconds since 1970: bring other units to them first"
        )
    return times


def _flag(column: pl.Series) -> pl.Series:
    if column.dtype != pl.Boolean:
        raise _wrong(column, "true and false", f"polars.col({column.name!r}).cast(polars.Boolean)")
    return column


def _number(column: pl.Series, field: Field) -> pl.Series:
    if not column.dtype.is_numeric():
        raise _wrong(column, "numbers", f"polars.col({column.name!r}).cast(polars.Float64)")
    try:
        if field.sent != "money":
            return column.cast(pl.Float64).round().cast(field.dtype)
        if column.dtype.is_integer():
            return column.cast(pl.Int64) * MILLIONTHS
        return (column.cast(pl.Float64) * MILLIONTHS).round().cast(field.dtype)
    except pl.exceptions.InvalidOperationError as error:
        raise UsageError(
            f"column {column.name!r}: a number in it is too large, or none ({error}); "
            f"leave such rows out, or fill them with fill_nan(None)"
        ) from error


def _wrong(column: pl.Series, wanted: str, instead: str) -> UsageError:
    return UsageError(f"column {column.name!r} must hold {wanted}, not {column.dtype}: give it as {instead}")


def _check_whole(column: pl.Series) -> None:
    empty = column.is_null()
    if column.dtype == pl.String:
        empty |= (column.str.strip_chars() == "").fill_null(value=False)
    if empty.any():
        raise UsageError(
            f"column {column.name!r} is empty in {empty.sum()} rows, the first of them row {empty.arg_true()[0]}: "
            f"leave them out with frame.drop_nulls({column.name!r}) or a filter"
        )


def _properties(frame: pl.DataFrame) -> pl.Series:
    extra = _extra(frame)
    own = _own_properties(frame["properties"]) if "properties" in frame.columns else None
    if not extra:
        return _constant("{}", frame.height) if own is None else own
    for name in extra:
        if any(kind in str(frame[name].dtype) for kind in ("Binary", "Object")):
            raise UsageError(
                f"column {name!r} holds {frame[name].dtype}, which can't be a property: leave it out with "
                f"frame.drop({name!r}), or give it as text"
            )
    added = frame.select(pl.struct(extra).struct.json_encode()).to_series()
    if own is None:
        return added
    decode, encode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode, msgspec.json.encode
    merged = [encode({**decode(old), **decode(new)}).decode() for old, new in zip(own, added, strict=True)]
    return pl.Series(merged, dtype=pl.String)


def _own_properties(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Struct):
        return column.struct.json_encode()
    if column.dtype == pl.Null:
        return _constant("{}", column.len())
    texts = _text(column).fill_null("{}")
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    for row, text in enumerate(texts):
        try:
            decode(text)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise UsageError(
                f"column 'properties', row {row}: {text[:40]!r} is no JSON object ({error}); write one, such as "
                '{"service": "screen"}, or null'
            ) from error
    return texts
