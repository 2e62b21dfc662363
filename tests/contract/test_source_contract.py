"""What every record source keeps to, whatever its records come from."""

import gzip
import io
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from confluent_kafka import Producer
from kafka_broker import KafkaBroker

from footfall.file_source import FileSource
from footfall.kafka_client import KafkaClient
from footfall.kafka_source import KafkaSource
from footfall.records import RecordSource

COUNT = 257
LINES = [
    json.dumps(
        {
            "message_id": f"m{i}",
            "visitor_id": f"v{i % 7}",
            "event": "click é",
            "event_time": 1_700_000_000_000 + i,
        }
    )
    for i in range(COUNT)
]
DATA = "".join(f"{line}\n" for line in LINES).encode()
Maker = Callable[[Path, pytest.MonkeyPatch], RecordSource]


def _plain(folder: Path, _: pytest.MonkeyPatch) -> RecordSource:
    (folder / "a.ndjson").write_bytes(DATA)
    return FileSource([str(folder / "a.ndjson")])


def _unended(folder: Path, _: pytest.MonkeyPatch) -> RecordSource:
    (folder / "a.ndjson").write_bytes(b"\xef\xbb\xbf" + DATA[:-1])
    return FileSource([str(folder / "a.ndjson")])


def _gzip(folder: Path, _: pytest.MonkeyPatch) -> RecordSource:
    half = len(DATA) // 2  # two members, cut within a line
    (folder / "a.gz").write_bytes(gzip.compress(DATA[:half]) + gzip.compress(DATA[half:]))
    return FileSource([str(folder / "a.gz")])


def _zstd(folder: Path, _: pytest.MonkeyPatch) -> RecordSource:
    half = len(DATA) // 2
    pack = zstandard.ZstdCompressor().compress
    (folder / "a.zst").write_bytes(pack(DATA[:half]) + pack(DATA[half:]))
    return FileSource([str(folder / "a.zst")])


def _parquet(folder: Path, _: pytest.MonkeyPatch) -> RecordSource:
    pl.read_ndjson(io.BytesIO(DATA)).write_parquet(folder / "a.parquet", row_group_size=100)
    return FileSource([str(folder / "a.parquet")])


def _directory(folder: Path, _: pytest.MonkeyPatch) -> RecordSource:
    lines = DATA.splitlines(keepends=True)
    (folder / "in" / "b").mkdir(parents=True)
    (folder / "in" / "a.ndjson").write_bytes(b"".join(lines[:100]))
    (folder / "in" / "b" / "c.ndjson.gz").write_bytes(gzip.compress(b"".join(lines[100:200])))
    (folder / "in" / "c.jsonl").write_bytes(b"")
    (folder / "in" / "d.jsonl").write_bytes(b"".join(lines[200:]))
    (folder / "in" / ".hidden.ndjson").write_bytes(b"no input\n")
    (folder / "in" / "notes.txt").write_bytes(b"no input\n")
    return FileSource([str(folder / "in")])


class _Stdin:
    """Gives the same standard input at every use, as a program that is started again would."""

    @property
    def buffer(self) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(DATA))


def _stdin(_: Path, monkeypatch: pytest.MonkeyPatch) -> RecordSource:
    monkeypatch.setattr(sys, "stdin", _Stdin())
    return FileSource(["-"])


def _kafka(request: pytest.FixtureRequest) -> RecordSource:
    broker: KafkaBroker = request.getfixturevalue("kafka")
    topic = broker.new_topic()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5, "batch.num.messages": 40})
    for line in LINES:
        producer.produce(topic, line.encode(), partition=0)
    assert producer.flush(30) == 0
    return KafkaSource(KafkaClient(broker.bootstrap), [topic], live=False)


MAKERS: dict[str, Maker] = {
    "plain": _plain,
    "unended": _unended,
    "gzip": _gzip,
    "zstd": _zstd,
    "parquet": _parquet,
    "directory": _directory,
    "stdin": _stdin,
}


@pytest.fixture(params=[*MAKERS, "kafka"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordSource:
    if request.param == "kafka":
        return _kafka(request)
    return MAKERS[str(request.param)](tmp_path, monkeypatch)


def _read(
    source: RecordSource, position: tuple[int, ...] | None = None, size: int = 50
) -> tuple[list[bytes], list[int], list[Any]]:
    """A partition's records from a position on, their offsets, and the position after each block."""
    (partition,) = source.partitions()
    reader = source.open(partition, position)
    records: list[bytes] = []
    offsets: list[int] = []
    positions: list[Any] = []
    while block := reader.read(size):
        lines = block.data.splitlines()
        assert 1 <= block.count == len(lines) <= size
        assert block.data.endswith(b"\n")
        assert block.partition == partition
        records += lines
        offsets += range(block.first_offset, block.first_offset + block.count)
        positions.append(reader.position())
    assert reader.read(size) is None
    reader.close()
    reader.close()
    return records, offsets, positions


def _decoded(records: list[bytes]) -> list[Any]:
    return [json.loads(record) for record in records]


def test_every_record_comes_once_in_order(source: RecordSource) -> None:
    records, offsets, _ = _read(source)
    assert _decoded(records) == [json.loads(line) for line in LINES]
    assert offsets == list(range(COUNT))


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_block_size_does_not_matter(source: RecordSource, size: int) -> None:
    assert _read(source, size=size)[:2] == _read(source)[:2]


def test_it_resumes_from_any_position(source: RecordSource) -> None:
    records, _, positions = _read(source, size=13)
    for done, position in enumerate(positions, start=1):
        kept = pickle.loads(pickle.dumps(position))
        rest, offsets, _ = _read(pickle.loads(pickle.dumps(source)), kept)
        assert rest == records[len(records) - len(rest) :]
        assert offsets == list(range(COUNT - len(rest), COUNT))
        if done == len(positions):
            assert rest == []


def test_a_fresh_position_is_the_start(source: RecordSource) -> None:
    (partition,) = source.partitions()
    reader = source.open(partition, None)
    assert _read(source, reader.position())[0] == _read(source)[0]
    reader.close()


def test_progress_grows_to_the_total(source: RecordSource) -> None:
    (partition,) = source.partitions()
    reader = source.open(partition, None)
    seen = [reader.progress()[0]]
    while reader.read(20):
        seen.append(reader.progress()[0])
    done, total = reader.progress()
    reader.close()
    assert seen == sorted(seen)
    assert done > 0
    if total is not None:
        assert done == total


def test_identity_is_json_and_stays(source: RecordSource) -> None:
    identity = source.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert pickle.loads(pickle.dumps(source)).identity() == identity


def test_a_closed_reader_reads_no_more(source: RecordSource) -> None:
    (partition,) = source.partitions()
    reader = source.open(partition, None)
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read(1)
