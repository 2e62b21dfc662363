"""Control records as rows of the table `controls`, and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from footfall.control_record import SCHEMA_NAME, ControlRecord, standing_records
from footfall.errors import ControlError
from footfall.expression_values import time_from_ms
from footfall.tables import CONTROLS

_TEXTS = ("patterns", "rules", "deployed", "champions")


def control_rows(records: Sequence[ControlRecord]) -> pl.DataFrame:
    """The records as rows of `CONTROLS`, in their order."""
    rows = []
    for record in records:
        message = json.loads(record.to_json())
        texts = {
            name: json.dumps(message[name], ensure_ascii=False, separators=(",", ":")) for name in _TEXTS
        }
        rows.append(
            {
                "number": record.number,
                "from_time": None if record.since is None else time_from_ms(record.since),
                "digest": message["digest"],
                **texts,
                "written_at": time_from_ms(record.written_at),
            }
        )
    return pl.DataFrame(rows, schema=CONTROLS.schema)


def records_of(frame: pl.DataFrame, *, where: str = "table controls") -> tuple[ControlRecord, ...]:
    """The records that stand of the table's rows, in the order of their numbers. See `standing_records`.

    Args:
        frame: rows of `CONTROLS`, in any order; a row may be there twice. A table that an earlier version wrote to has
            no champions.
        where: what the table is called in an error.

    Raises:
        ControlError: a row is no control record, or this version of Footfall can't read it.
    """
    if "champions" not in frame.columns:
        frame = frame.with_columns(champions=pl.lit("{}"))
    ordered = frame.select(CONTROLS.schema.names()).sort("written_at", "number", "digest")
    return standing_records(_record(row, where) for row in ordered.iter_rows(named=True))


def _record(row: Mapping[str, Any], where: str) -> ControlRecord:
    place = f"{where}, number {row['number']}"
    try:
        content = {name: json.loads(row[name]) for name in _TEXTS}
    except (ValueError, RecursionError) as error:
        raise ControlError(f"it is no JSON: {error}", where=place) from error
    message = {
        "schema": SCHEMA_NAME,
        "number": row["number"],
        "from": None if row["from_time"] is None else row["from_time"].isoformat(),
        "digest": row["digest"],
        **content,
        "written_at": row["written_at"].isoformat(),
    }
    return ControlRecord.from_dict(message, where=place)
