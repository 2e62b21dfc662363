"""Where patterns come from: folders and files, stores, topics."""

import json
from pathlib import Path

import pytest
from control_records import control_record
from kafka_broker import KafkaBroker
from kafka_fixtures import NewTopic

from footfall.cli import main
from footfall.control_record import ControlRecord
from footfall.control_table import control_rows
from footfall.control_topic import ControlTopic
from footfall.errors import ControlError, FootfallError, PatternFilesError, StoreError, UsageError
from footfall.kafka_client import KafkaClient
from footfall.pattern_files import read_folder
from footfall.pattern_source import pattern_history
from footfall.settings import Settings
from footfall.store import open_store, parse_dsn
from footfall.tables import CONTROLS

RECORDS = tuple(control_record(number) for number in range(3))
HERE = Settings()


def filled(folder: Path, *records: ControlRecord) -> str:
    """The DSN of a store with those records."""
    dsn = f"chdb://{folder}"
    store = open_store(parse_dsn(dsn))
    try:
        store.migrate()
        store.insert(CONTROLS, control_rows(records))
    finally:
        store.close()
    return dsn


@pytest.mark.parametrize("place", [None, "folder", Path("folder")], ids=repr)
def test_a_folder_is_one_record_that_always_holds(
    place: str | Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "left.json").write_text(RECORDS[0].patterns[1].to_json(), "utf-8")
    (record,) = pattern_history(place, HERE)
    found = read_folder(None if place is None else Path(place))
    assert (record.number, record.since, record.deployed, record.written_at) == (0, None, {}, 0)
    assert (record.patterns, record.rules) == (found.patterns, found.rules)


def test_a_folder_that_is_wrong_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no pattern"):
        pattern_history(tmp_path, HERE)
    (tmp_path / "wrong.py").write_text("1 +", "utf-8")
    with pytest.raises(PatternFilesError, match="it isn't Python"):
        pattern_history(tmp_path, HERE)
    with pytest.raises(UsageError, match="is no folder"):
        pattern_history(tmp_path / "none", HERE)


# ---- files


def test_files_of_control_messages(tmp_path: Path) -> None:
    messages = [record.to_json() for record in RECORDS]
    lines, many, one = (tmp_path / name for name in ("all.ndjson", "all.json", "one.json"))
    lines.write_bytes(b"\n".join([*messages, b""]))
    many.write_bytes(b"[" + b",\n".join(messages) + b"]")
    one.write_text(json.dumps(json.loads(messages[0]), indent=2), "utf-8")
    for place in (lines, many, str(many)):
        assert pattern_history(place, HERE) == RECORDS
    assert pattern_history(one, HERE) == RECORDS[:1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.ndjson", RECORDS[0].to_json() + b"\n\n{}\n", "a.ndjson, line 3: its schema is None"),
        ("a.json", b"[" + RECORDS[0].to_json() + b", 3]", "a.json, record 2: it is no JSON object"),
        ("a.json", b"{", "a.json: it is no JSON"),
        ("a.json", b"{}", "a.json: its schema is None"),
        ("a.ndjson", b"", "a.ndjson: it holds no control records"),
        ("a.ndjson", RECORDS[1].to_json(), "control record 0 is missing, and 1 is there"),
    ],
)
def test_files_that_hold_no_history_are_refused(tmp_path: Path, name: str, text: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(ControlError, match=said):
        pattern_history(tmp_path / name, HERE)


# ---- stores


def test_a_store_which_is_free_again_afterwards(tmp_path: Path) -> None:
    dsn = filled(tmp_path / "one", *RECORDS)
    assert pattern_history(dsn, HERE) == RECORDS
    open_store(parse_dsn(dsn)).close()


def test_a_store_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"table controls of chdb://.*: it holds no control records"):
        pattern_history(filled(tmp_path / "empty"), HERE)
    bare = f"chdb://{tmp_path / 'bare'}"
    open_store(parse_dsn(bare)).close()
    with pytest.raises(ControlError, match="it holds no control records"):
        pattern_history(bare, HERE)
    with pytest.raises(StoreError, match="there is no store"):
        pattern_history(f"chdb://{tmp_path / 'none'}", HERE)
    assert not (tmp_path / "none").exists()


def test_no_password_is_told() -> None:
    with pytest.raises(FootfallError) as caught:
        pattern_history("clickhouse://ann:hunter2@127.0.0.1:1/footfall", HERE)
    assert "hunter2" not in str(caught.value)


# ---- topics


def test_a_topic(kafka: KafkaBroker, new_topic: NewTopic) -> None:
    name = new_topic(1, log_append_time=False)
    settings = Settings(kafka=kafka.bootstrap)
    topic = ControlTopic(KafkaClient(kafka.bootstrap), name)
    with pytest.raises(ControlError, match=f"topic {name} at .* holds no control records"):
        pattern_history(f"kafka://{name}", settings)
    for record in RECORDS:
        topic.write(record)
    assert pattern_history(f"kafka://{name}", settings) == RECORDS
    with pytest.raises(ControlError, match="it holds no control records"):
        pattern_history("kafka://no-such-control", settings)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("kafka://control", "write --kafka HOST:PORT"),
        ("kafka://", "names no topic"),
        ("kafka://a/b", "names no topic"),
        ("kafka://control?from=2026-01-01", "names no topic"),
    ],
)
def test_a_topic_that_is_not_said_well_is_refused(place: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pattern_history(place, HERE)


@pytest.mark.parametrize(
    "command",
    [
        "patterns list",
        "patterns show rage_click",
        "patterns test",
        "patterns explain rage_click events.ndjson --visitor v",
        "patterns new mine",
        "live --kafka 127.0.0.1:1",
    ],
)
def test_what_needs_the_files_takes_a_folder_alone(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), "--patterns", "clickhouse://ann:hunter2@host/db"]) == 2
    said = capsys.readouterr().err
    assert "clickhouse://ann:***@host/db holds control records, which only a replay takes" in said
    assert list(tmp_path.iterdir()) == []
