"""Files as sources: names, order, damage, and lines too long to hold."""

import gzip
from pathlib import Path

import pytest
import zstandard

from footfall.errors import SourceError, UsageError
from footfall.file_source import CHUNK_BYTES, FileSource
from footfall.records import KEPT_BYTES, MAX_RECORD_BYTES, RecordBlock, RecordReader


def _blocks(reader: RecordReader, size: int = 1000) -> list[RecordBlock]:
    blocks = []
    while block := reader.read(size):
        blocks.append(block)
    return blocks


def _only(source: FileSource, size: int = 1000) -> list[RecordBlock]:
    (partition,) = source.partitions()
    return _blocks(source.open(partition, None), size)


def _write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def test_all_bad_inputs_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    twice = _write(tmp_path / "a.ndjson", b"{}\n")
    with pytest.raises(UsageError) as caught:
        FileSource([str(tmp_path / "missing"), str(tmp_path / "empty"), twice, twice])
    text = str(caught.value)
    assert "missing: there is no such file" in text
    assert "empty: the directory has no input" in text
    assert "a.ndjson: given 2 times" in text


def test_no_input_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no input is given"):
        FileSource([])


def test_a_file_given_by_its_directory_too_is_wrong_usage(tmp_path: Path) -> None:
    path = _write(tmp_path / "in" / "a.ndjson", b"{}\n")
    with pytest.raises(UsageError, match="given 2 times"):
        FileSource([str(tmp_path / "in"), path])


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    source = FileSource([_write(tmp_path / "a.ndjson", b"")])
    assert source.partitions() == ["a.ndjson"]
    assert _only(source) == []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_an_empty_compressed_file_has_no_records(tmp_path: Path, pack: type[bytes]) -> None:
    assert _only(FileSource([_write(tmp_path / "a.gz", pack(b""))])) == []


def test_absolute_inputs_are_called_by_what_tells_them_apart(tmp_path: Path) -> None:
    one, two = _write(tmp_path / "x" / "a.ndjson", b"1\n"), _write(tmp_path / "y" / "a.ndjson", b"2\n")
    assert FileSource([one]).partitions() == ["a.ndjson"]
    assert FileSource([one, two]).partitions() == ["x/a.ndjson", "y/a.ndjson"]


def test_relative_inputs_keep_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "in" / "a.ndjson", b"1\n")
    monkeypatch.chdir(tmp_path)
    assert FileSource(["./in/a.ndjson"]).partitions() == ["in/a.ndjson"]
    assert FileSource(["in"]).partitions() == ["in"]
    assert FileSource(["in"], partitioned=True).partitions() == ["in/a.ndjson"]


def test_a_directory_is_one_partition_in_name_order(tmp_path: Path) -> None:
    for name in ("b.ndjson", "a.ndjson", "c/a.ndjson"):
        _write(tmp_path / "in" / name, name.encode() + b"\n")
    blocks = _only(FileSource([str(tmp_path / "in")]))
    assert [block.data for block in blocks] == [b"a.ndjson\n", b"b.ndjson\n", b"c/a.ndjson\n"]
    assert [block.source for block in blocks] == ["in/a.ndjson", "in/b.ndjson", "in/c/a.ndjson"]
    assert [(block.first_offset, block.first_line) for block in blocks] == [(0, 1), (1, 1), (2, 1)]


def test_partitioned_makes_each_file_one(tmp_path: Path) -> None:
    for name in ("b.ndjson", "a.ndjson"):
        _write(tmp_path / "in" / name, name.encode() + b"\n")
    source = FileSource([str(tmp_path / "in")], partitioned=True)
    assert source.partitions() == ["in/a.ndjson", "in/b.ndjson"]
    (block,) = _blocks(source.open("in/b.ndjson", None))
    assert (block.data, block.first_offset) == (b"b.ndjson\n", 0)
    assert source.identity() != FileSource([str(tmp_path / "in")]).identity()


@pytest.mark.parametrize("cut", [1, 9, 400])
@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_cut_file_gives_what_can_be_read_and_then_an_error(tmp_path: Path, kind: str, cut: int) -> None:
    lines = [f'{{"n":{i * 7919 % 10_007}}}\n'.encode() for i in range(3000)]
    data = b"".join(lines)
    packed = gzip.compress(data) if kind == "gzip" else zstandard.ZstdCompressor().compress(data)
    source = FileSource([_write(tmp_path / "a", packed[:-cut])])
    reader = source.open("a", None)
    got = b""

    def read_all() -> None:
        nonlocal got
        while block := reader.read(100):
            got += block.data

    with pytest.raises(SourceError) as caught:
        read_all()
    assert data.startswith(got)
    if kind == "gzip":
        assert len(got) > len(data) // 2
    assert "cut off" in str(caught.value)
    assert caught.value.source == "a"
    assert caught.value.line == got.count(b"\n") + 1
    with pytest.raises(SourceError, match="cut off"):
        reader.read(100)


def test_damage_within_gzip_is_an_error(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"".join(b"%d\n" % (i * 7919 % 10_007) for i in range(3000))))
    packed[len(packed) // 2] ^= 0xFF
    reader = FileSource([_write(tmp_path / "a.gz", bytes(packed))]).open("a.gz", None)
    with pytest.raises(SourceError, match=r"gzip data are damaged|cut off"):
        _blocks(reader)


def test_garbage_after_gzip_is_an_error_and_padding_is_none(tmp_path: Path) -> None:
    packed = gzip.compress(b"{}\n")
    assert _only(FileSource([_write(tmp_path / "a.gz", packed + b"\0" * 100)]))[0].data == b"{}\n"
    with pytest.raises(SourceError, match="damaged"):
        _only(FileSource([_write(tmp_path / "b.gz", packed + b"garbage")]))


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\x89PNG\r\n", b"%PDF-1.7"])
def test_a_foreign_file_is_named_for_what_it_is(tmp_path: Path, magic: bytes) -> None:
    with pytest.raises(SourceError, match="looks like a"):
        _only(FileSource([_write(tmp_path / "a.ndjson", magic + bytes(range(256)))]))


def test_a_broken_parquet_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="isn't a whole Parquet file"):
        _only(FileSource([_write(tmp_path / "a.parquet", b"PAR1" + b"x" * 100)]))


def test_any_other_binary_file_is_read_as_lines(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20
    assert (
        b"".join(block.data for block in _only(FileSource([_write(tmp_path / "a.ndjson", data)])))
        == data + b"\n"
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_shrank_is_an_error(tmp_path: Path, pack: type[bytes]) -> None:
    path = _write(tmp_path / "a", pack(b"{}\n" * 100))
    source = FileSource([path])
    reader = source.open("a", None)
    reader.read(50)
    position = reader.position()
    reader.close()
    _write(tmp_path / "a", pack(b"{}\n" * 10))
    with pytest.raises(SourceError, match="shorter than when the run began"):
        source.open("a", position)


def test_a_file_that_vanished_is_an_error(tmp_path: Path) -> None:
    source = FileSource([_write(tmp_path / "a", b"{}\n")])
    (tmp_path / "a").unlink()
    with pytest.raises(SourceError, match="No such file"):
        source.open("a", None)


@pytest.mark.parametrize(
    "size", [MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1, CHUNK_BYTES - 5, CHUNK_BYTES, 2 * CHUNK_BYTES + 3]
)
@pytest.mark.parametrize("last", [False, True])
def test_a_line_too_long_is_cut_and_counted(tmp_path: Path, size: int, last: bool) -> None:  # noqa: FBT001
    data = b'{"n":1}\n' + b"x" * size + (b"" if last else b'\n{"n":2}\n')
    source = FileSource([_write(tmp_path / "a", data)])
    reader = source.open("a", None)
    lines: list[bytes] = []
    sizes: dict[int, int] = {}
    positions = []
    while block := reader.read(1):
        sizes |= {block.first_offset + row: full for row, full in block.oversized.items()}
        lines += block.data.splitlines()
        positions.append(reader.position())
    cut = size > MAX_RECORD_BYTES
    assert sizes == ({1: size} if cut else {})
    assert lines == [b'{"n":1}', b"x" * (KEPT_BYTES if cut else size), *([] if last else [b'{"n":2}'])]
    assert positions[-1][1] == len(data)
    rest = _blocks(source.open("a", positions[1]))
    assert [block.data for block in rest] == ([] if last else [b'{"n":2}\n'])


def test_identity_follows_the_content(tmp_path: Path) -> None:
    path = _write(tmp_path / "a", b"1\n")
    before = FileSource([path]).identity()
    assert FileSource([path]).identity() == before
    _write(tmp_path / "a", b"2\n")
    assert FileSource([path]).identity() != before
