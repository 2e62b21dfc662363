import json
from pathlib import Path

import polars as pl
import pytest
from store_rows import rows

from footfall import file_sink
from footfall.errors import SinkError
from footfall.file_sink import FileSink, clear_files, ndjson
from footfall.tables import DEAD_LETTERS, EVENTS, MATCHES


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_are_named_by_table_part_and_number(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, "parquet")
    for part in ("shard/1", "..", "a"):
        sink.open_part(part, None)
        for _ in range(2):
            sink.write(part, EVENTS, rows(EVENTS, 2))
            state = sink.flush(part)
        assert state == {"events": 2}
    sink.close()
    assert names(tmp_path) == [
        "events/%2E%2E-000000.parquet",
        "events/%2E%2E-000001.parquet",
        "events/a-000000.parquet",
        "events/a-000001.parquet",
        "events/shard%2F1-000000.parquet",
        "events/shard%2F1-000001.parquet",
    ]


def test_resuming_removes_what_came_after_and_leaves_other_parts(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, "ndjson")
    for part in ("a", "a-1", "b"):
        sink.open_part(part, None)
        for _ in range(3):
            sink.write(part, EVENTS, rows(EVENTS, 2))
            sink.flush(part)
    (tmp_path / "events" / "a-000003.ndjson.tmp").write_text("half a li")
    (tmp_path / "events" / "notes.txt").write_text("mine")
    again = FileSink(tmp_path, "ndjson")
    again.open_part("a", {"events": 1})
    assert [name for name in names(tmp_path) if "/a-0" in name] == ["events/a-000000.ndjson"]
    assert len(names(tmp_path)) == 8
    again.open_part("a", None)
    assert [name for name in names(tmp_path) if "/a-0" in name] == []
    assert clear_files(tmp_path) == 6
    assert names(tmp_path) == ["events/notes.txt"]


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_sink, "FILE_ROWS", 25)
    sink = FileSink(tmp_path, "parquet")
    sink.open_part("a", None)
    for begin in range(0, 100, 10):
        sink.write("a", EVENTS, rows(EVENTS, 10, first=begin))
    assert len(names(tmp_path)) == 3
    sink.flush("a")
    found = pl.concat([pl.read_parquet(path) for path in sorted((tmp_path / "events").iterdir())])
    assert found.equals(rows(EVENTS, 100))
    monkeypatch.setattr(file_sink, "_MOST_HELD_BYTES", 1)
    sink.write("a", EVENTS, rows(EVENTS, 1))
    assert len(names(tmp_path)) == 5
    sink.close()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(SinkError, match="can't be written"):
        FileSink(tmp_path / "out", "parquet").open_part("a", None)


def test_ndjson_values() -> None:
    event = json.loads(ndjson(rows(EVENTS, 2)).splitlines()[1])
    assert list(event)[-1] == "properties"
    assert event["event_time"] == "2025-02-01T00:00:00.247Z"
    assert event["properties"] == {"n": [1, {"text": "é"}], "none": None}
    assert event["source_offset"] == 1
    assert event["value"] == -(2**63 - 1)
    assert json.loads(ndjson(rows(DEAD_LETTERS, 2)).splitlines()[1])["bytes"] == "Bw=="
    assert ndjson(EVENTS.empty()) == b""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":\n  1\r\n}', {"a": 1}),
        ("[1, 2.50]", [1, 2.5]),
        ("null", None),
        ("no json", "no json"),
        ("", ""),
        ("1,2", "1,2"),
        ('{"a": 1}, {"b": 2}', '{"a": 1}, {"b": 2}'),
    ],
)
def test_json_texts_stay_on_their_line(text: str, value: object) -> None:
    frame = rows(MATCHES, 3).with_columns(stages=pl.Series(["[]", text, "{}"]))
    lines = ndjson(frame).decode().split("\n")
    assert len(lines) == 4
    assert [json.loads(line)["stages"] for line in lines[:-1]] == [[], value, {}]
