"""What a visitor's profile says: the fields that conditions of trigger rules read.

A profile is a mapping from these names to values, as of some time: what of the visitor's events lies at or before
it. A value that isn't known is None or not there.
"""

from collections.abc import Callable, Mapping

import polars as pl

from footfall.envelope import TIME
from footfall.expression_values import time_from_ms

SCORE_FIELDS = ("lead_score", "churn_score")
"""The scores among the fields; None until a model gives them."""

PROFILE_SCHEMA = pl.Schema(
    {
        "visitor_id": pl.String(),
        "user_id": pl.String(),
        "first_seen": TIME,
        "last_seen": TIME,
        "events": pl.Int64(),
        "sessions": pl.Int64(),
        "page_views": pl.Int64(),
        "clicks": pl.Int64(),
        "conversions": pl.Int64(),
        "value": pl.Int64(),
        "first_source": pl.String(),
        "first_campaign": pl.String(),
        "last_conversion": TIME,
        "lead_score": pl.Float64(),
        "churn_score": pl.Float64(),
    }
)
"""The fields and their types. `value` is the money of all conversions, in millionths; conditions read it in units."""

ProfileAt = Callable[[str, int], Mapping[str, object] | None]
"""Gives a visitor's profile as of a time (ms since 1970, that moment's events included), None for an unknown visitor.

Times in it are whole milliseconds since 1970, or datetimes with a zone.
"""


def profile_row(profile: Mapping[str, object] | None, names: frozenset[str]) -> dict[str, object]:
    """These fields of a profile as conditions read them: what isn't known is None, times are datetimes."""
    known = profile or {}
    row = {name: known.get(name) for name in names}
    for name, value in row.items():
        if isinstance(value, int) and PROFILE_SCHEMA[name] == TIME:
            row[name] = time_from_ms(value)
    return row
