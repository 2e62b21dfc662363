"""The envelope and what is made from it."""

import json
from pathlib import Path

from footfall.envelope import ALIASES, FIELD_BY_NAME, FIELDS, SCHEMA, json_schema
from footfall.tables import EVENTS

SCHEMA_FILE = Path(__file__).resolve().parents[1] / "schemas" / "event.schema.json"


def test_the_published_schema_is_the_envelopes() -> None:
    published = json.loads(SCHEMA_FILE.read_text("utf-8"))
    assert published == json_schema(), "write json_schema() to schemas/event.schema.json"


def test_names_and_aliases_name_one_field_each() -> None:
    names = [field.name for field in FIELDS] + [alias for aliases in ALIASES.values() for alias in aliases]
    assert len(names) == len(set(names))
    assert set(ALIASES) <= {field.name for field in FIELDS if field.sent is not None}


def test_frames_and_tables_have_the_same_columns() -> None:
    assert EVENTS.schema == SCHEMA
    for name, dtype, clickhouse in EVENTS.columns:
        assert (dtype, clickhouse) == (FIELD_BY_NAME[name].dtype, FIELD_BY_NAME[name].clickhouse)
        assert ("Nullable" in clickhouse) == FIELD_BY_NAME[name].nullable
