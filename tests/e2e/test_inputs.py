"""What people give the program to read, good and bad: a clear report or a clear error, and a telling exit code."""

import gzip
import json
import random
from pathlib import Path

import polars as pl
import pytest
import zstandard
from command_line import failed, replay, run

pytestmark = pytest.mark.usefixtures("without_scores")

NO_STORE = ("--store", "none")
START = 1_760_000_000_000


def lines(count: int, *, first: int = 0, visitors: int = 10) -> bytes:
    """Good records, of the numbers `first` and up, a second after the other."""
    return b"".join(
        b'{"message_id":"m%d","visitor_id":"v%d","event":"page_view","event_time":%d,"path":"/%d"}\n'
        % (number, number % visitors, START + 1000 * number, number % 7)
        for number in range(first, first + count)
    )


def test_an_empty_file_gives_an_empty_report(tmp_path: Path) -> None:
    (tmp_path / "empty.ndjson").touch()
    report = replay("empty.ndjson", *NO_STORE, cwd=tmp_path)
    assert report["records"] == report["events"] == report["sessions"] == report["dead"] == 0
    assert int(report["answer"], 16) == 0


def test_wrong_inputs_are_all_named_before_anything_begins(tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "notes.txt").write_text("no input")
    said = failed("replay", "gone.ndjson", "hollow", cwd=tmp_path, code=2)
    assert "gone.ndjson: there is no such file" in said
    assert "hollow: the directory has no input in it" in said
    assert [entry.name for entry in tmp_path.iterdir()] == ["hollow"], "nothing was made"
    assert "given 2 times" in failed("replay", "hollow/notes.txt", "hollow/notes.txt", cwd=tmp_path, code=2)


def test_a_directory_is_one_partition_in_name_order_or_several(tmp_path: Path) -> None:
    folder = tmp_path / "days"
    (folder / "b").mkdir(parents=True)
    (folder / "a.ndjson").write_bytes(lines(300))
    (folder / "b" / "1.jsonl.gz").write_bytes(gzip.compress(lines(300, first=300)))
    (folder / "c.json.zst").write_bytes(zstandard.compress(lines(300, first=600)))
    (folder / ".hidden.ndjson").write_bytes(b"no record\n")
    whole = replay("days", *NO_STORE, cwd=tmp_path)
    assert (whole["events"], whole["partitions"], whole["late"], whole["dead"]) == (900, 1, 0, 0)
    assert whole["sessions"] == 10
    parted = replay("days", "--partitioned", *NO_STORE, cwd=tmp_path)
    assert (parted["events"], parted["partitions"], parted["late"]) == (900, 3, 0)
    # Read in another order as one partition, a part of the records would be late; as inputs each is on its own.
    several = replay("days/c.json.zst", "days/b/1.jsonl.gz", "days/a.ndjson", *NO_STORE, cwd=tmp_path)
    assert (several["events"], several["partitions"], several["late"]) == (900, 3, 0)
    assert whole["answer"] == parted["answer"] == several["answer"]


def test_parquet_and_standard_input_give_the_same_answer(tmp_path: Path) -> None:
    (tmp_path / "plain.ndjson").write_bytes(lines(500)[:-1])  # no newline at the end
    pl.read_ndjson(tmp_path / "plain.ndjson").write_parquet(tmp_path / "table.parquet")
    plain = replay("plain.ndjson", *NO_STORE, cwd=tmp_path)
    assert plain["records"] == plain["events"] == 500
    piped = run("replay", "-", "--json", "--quiet", *NO_STORE, cwd=tmp_path, stdin=lines(500)).one_object()
    assert piped["answer"] == plain["answer"]
    table = replay("table.parquet", *NO_STORE, cwd=tmp_path)
    assert table["answer"] == plain["answer"]


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_file_cut_in_the_middle_ends_the_run_and_is_named(tmp_path: Path, suffix: str) -> None:
    data = lines(20_000)
    whole = gzip.compress(data) if suffix == "gz" else zstandard.compress(data)
    (tmp_path / f"cut.ndjson.{suffix}").write_bytes(whole[: len(whole) // 2])
    said = failed("replay", f"cut.ndjson.{suffix}", *NO_STORE, "--quiet", cwd=tmp_path, code=1)
    assert f"cut.ndjson.{suffix}, line " in said


def test_a_parquet_file_cut_in_the_middle_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"visitor_id": ["v"] * 10_000, "event": ["e"] * 10_000}).write_parquet(tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(data[: len(data) // 2])
    assert "cut.parquet" in failed("replay", "cut.parquet", *NO_STORE, "--quiet", cwd=tmp_path, code=1)


@pytest.mark.parametrize("name", ["noise.ndjson", "noise.gz"])
def test_a_binary_file_is_all_dead_letters(tmp_path: Path, name: str) -> None:
    noise = random.Random(2).randbytes(300_000)
    (tmp_path / name).write_bytes(noise)
    report = replay(name, *NO_STORE, cwd=tmp_path)
    assert report["events"] == 0
    assert report["dead"] == report["records"] == noise.count(b"\n") + (not noise.endswith(b"\n"))
    assert sum(report["dead_reasons"].values()) == report["dead"]


def test_the_summary_for_people_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "some.ndjson").write_bytes(lines(50) + b"junk\n")
    ended = run("replay", "some.ndjson", *NO_STORE, cwd=tmp_path)
    assert ended.code == 0
    assert "50 events of 51 records" in ended.out
    assert "not_json 1" in ended.out
    assert "10 sessions" in ended.out


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "some.ndjson").write_bytes(lines(1))
    (tmp_path / "footfall.toml").write_text('gap = "soon"\nlatness = "5 s"\n')
    said = failed(
        *("replay", "some.ndjson", "--workers", "0", "--format", "segmnt"),
        cwd=tmp_path,
        code=2,
        more={"FOOTFALL_SHARDS": "many", "FOOTFALL_STROE": "none"},
    )
    assert "6 settings are wrong" in said
    for words in (
        *(
            "footfall.toml, line 1, gap",
            "did you mean lateness?",
            "FOOTFALL_SHARDS",
            "did you mean FOOTFALL_STORE?",
        ),
        *("flag --workers", "did you mean segment?"),
    ):
        assert words in said, words


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", "--no-such-flag", "some.ndjson"),
        ("replay",),
        ("no-such-command",),
        (),
        ("simulate", "out.ndjson", "--visitors", "many"),
        ("simulate", "out.ndjson", "--duration", "soon"),
        ("simulate", "out.ndjson", "--late", "0.9"),
        ("store", "serve", "--store", "none"),
        ("query", "SELECT 1", "--store", "none"),
        ("patterns", "list", "--patterns", "no-such-folder"),
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    failed(*arguments, cwd=tmp_path, code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_away_is_an_error_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "some.ndjson").write_bytes(lines(5))
    away = "clickhouse://ann:s3cr3t@localhost:1/footfall"
    for command in (("replay", "some.ndjson", "--quiet"), ("query", "SELECT 1")):
        said = failed(*command, "--store", away, cwd=tmp_path, code=1)
        assert "s3cr3t" not in said
        assert "localhost:1" in said
    wrong = failed("replay", "some.ndjson", "--store", "click://ann:s3cr3t@localhost", cwd=tmp_path, code=2)
    assert "s3cr3t" not in wrong


def test_places_that_cant_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "some.ndjson").write_bytes(lines(5))
    (tmp_path / "file").write_text("in the way")
    for flag in ("--out", "--state"):
        for place in ("file", "file/below"):
            said = run("replay", "some.ndjson", "--quiet", *NO_STORE, flag, place, cwd=tmp_path)
            assert said.code in {1, 2}
            assert "'file'" in said.err or "/file" in said.err
    assert "file" in run("replay", "some.ndjson", "--quiet", "--store", "chdb://file", cwd=tmp_path).err


def test_numbers_in_the_object_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "some.ndjson").write_bytes(lines(5))
    ended = run("replay", "some.ndjson", "--json", *NO_STORE, cwd=tmp_path)
    report = json.loads(ended.out)
    assert report["matches"].keys() == report["pattern_versions"].keys()
    assert report["seconds"] > 0
    assert report["peak_rss_mb"] > 50
