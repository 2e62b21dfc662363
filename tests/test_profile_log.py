"""The log of profiles: kills at any moment, recovery to any of the last snapshots, compaction, faults of the disk."""

import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_rounds import START, Step, all_of, take_round
from reference import Record

from footfall import record_frames, record_log
from footfall.errors import StateError
from footfall.profile_log import PROFILE_RECORDS, ProfileLog
from footfall.profile_table import PROFILE, ProfileTable
from footfall.profiles import Profiles
from footfall.record_log import KEPT_SNAPSHOTS, LogReference, RecordKind

Dump = dict[str, dict[str, Any]]
AGE = 40


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test of a few profiles comes to."""
    monkeypatch.setattr(record_log, "_SLICE", 3 * PROFILE.itemsize)
    monkeypatch.setattr(record_log, "_WRITE_AHEAD", 6 * PROFILE.itemsize)
    monkeypatch.setattr(record_log, "COMPACTION_SLACK", 400)
    monkeypatch.setattr(record_log, "_MOST_FILES", 4)


def came(profiles: Profiles, visitors: list[str], now: int, user: str | None = None) -> None:
    take_round(profiles, [Step(Record(visitor, "m", "view", now, user=user)) for visitor in visitors], now)
    profiles.end_round()


def idle() -> None:
    """Wait until the background has nothing to do."""
    record_log._background.submit(int).result()


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


visitors = st.integers(0, 15).map("v{}".format)
moves = st.one_of(
    st.tuples(st.lists(visitors, max_size=9), st.sampled_from((None, "u", "user" * 9)), st.integers(0, 20)),
    st.sampled_from(("snapshot", "snapshot", "snapshot", "idle", "kill")),
)


def torn(folder: Path, reference: LogReference, data: st.DataObject) -> None:
    """What a kill may leave: files cut anywhere behind what is referred to, or with something else there."""
    kept = dict(reference.parts)
    for path in sorted(folder.glob("*")):
        size, length = path.stat().st_size, kept.get(path.name)
        if length is None and size:
            os.truncate(path, data.draw(st.integers(0, size), label="cut"))
        elif length is not None and size > length:
            if data.draw(st.booleans(), label="cut or spoilt"):
                os.truncate(path, data.draw(st.integers(length, size), label="cut"))
            else:
                with path.open("r+b") as file:
                    file.seek(data.draw(st.integers(length, size), label="spoilt"))
                    file.write(b"\xff" * 7)


@settings(deadline=None, max_examples=120)
@given(st.lists(moves, max_size=45), st.data())
def test_every_kill_can_be_recovered_from(steps: list[Any], data: st.DataObject) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        recover_from_kills(root, steps, data)
    finally:
        idle()
        shutil.rmtree(root)


def recover_from_kills(root: Path, steps: list[Any], data: st.DataObject) -> None:
    log, profiles, now = ProfileLog.of_shard(root, "s0000-1"), Profiles(AGE), START
    snapshots: list[tuple[bytes, Dump]] = []
    for step in steps:
        if step == "snapshot":
            reference = log.snapshot(profiles)
            snapshots.append((pickle.dumps(reference), all_of(profiles)))
        elif step == "idle":
            idle()
        elif step == "kill":
            if not snapshots:
                continue
            log.close()
            idle()
            back = data.draw(st.integers(1, min(3, len(snapshots))), label="snapshots back")
            snapshots = snapshots[: len(snapshots) - back + 1]
            state, known = snapshots[-1]
            reference = pickle.loads(state)
            torn(log.folder, reference, data)
            log = ProfileLog.of_shard(root, "s0000-1")
            profiles = log.restore(reference, AGE)
            assert all_of(profiles) == known
            now = max(reference.settled, START)
        else:
            names, user, passed = step
            now += passed
            came(profiles, names, now, user)
            log.write_ahead(profiles)
    for state, known in snapshots[-3:]:
        again = ProfileLog.of_shard(root, "s0000-1").restore(pickle.loads(state), AGE)
        assert all_of(again) == known
    log.close()


def test_a_snapshot_appends_what_changed_and_no_more(tmp_path: Path) -> None:
    log, profiles = ProfileLog(tmp_path / "s"), Profiles()
    for number in range(500):
        came(profiles, [f"v{number}"], START + number)
    first = log.snapshot(profiles)
    came(profiles, ["v7"], START + 500)
    second = log.snapshot(profiles)
    assert second.size - first.size <= 200
    third = log.snapshot(profiles)
    assert third == second
    log.close()


def test_without_profiles_nothing_is_written(tmp_path: Path) -> None:
    log = ProfileLog(tmp_path / "s")
    reference = log.snapshot(Profiles())
    assert reference.parts == ()
    assert files_in(tmp_path) == set()
    assert ProfileLog(tmp_path / "s").restore(reference).table.live == 0


def test_files_of_the_kept_snapshots_stay_and_others_go(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    log, profiles, references = ProfileLog(folder), Profiles(), []
    seen: set[str] = set()
    for number in range(150):
        came(profiles, [f"v{n}" for n in range(number % 30, number % 30 + 5)], START + number, f"u{number}")
        references.append((log.snapshot(profiles), all_of(profiles)))
        idle()
        here = files_in(folder)
        seen |= here
        for reference, _ in references[-KEPT_SNAPSHOTS:]:
            assert {name for name, _ in reference.parts} <= here
        if number % 10 == 0:
            for reference, known in references[-KEPT_SNAPSHOTS:]:
                assert all_of(ProfileLog(folder).restore(reference)) == known
        if number % 40 == 39:
            log.close()
            log = ProfileLog(folder)
            profiles = log.restore(references[-1][0])
    assert len(seen) > 20
    assert len(files_in(folder)) < 12
    log.close()


def test_a_compaction_costs_no_snapshot_its_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, plain = Event(), record_log._compacted

    def held(folder: Path, kind: RecordKind[ProfileTable], reference: LogReference) -> tuple[str, int]:
        assert go_on.wait(30)
        return plain(folder, kind, reference)

    monkeypatch.setattr(record_log, "_compacted", held)
    log, profiles = ProfileLog(tmp_path / "s"), Profiles()
    snapshots = []
    for number in range(60):
        came(profiles, [f"v{n}" for n in range(number % 3, 6)], START + number, f"user-{number}")
        snapshots.append((log.snapshot(profiles), all_of(profiles)))
    before = snapshots[-1][0]
    assert len(before.parts) == 2
    go_on.set()
    idle()
    came(profiles, ["late"], START + 60)
    after = log.snapshot(profiles)
    assert after.parts[0] not in before.parts
    assert after.parts[1][0] == before.parts[1][0]
    assert after.size < before.size
    snapshots.append((after, all_of(profiles)))
    for reference, known in snapshots[-KEPT_SNAPSHOTS:]:
        assert all_of(ProfileLog(tmp_path / "s").restore(reference)) == known
    log.close()


def test_a_compaction_that_fails_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    log, profiles = ProfileLog(tmp_path / "s"), Profiles()
    came(profiles, [f"v{n}" for n in range(12)], START)
    for number in range(1, 9):
        came(profiles, ["v1"], START + number, "x" * 1_000 * number)
        with monkeypatch.context() as patched:
            before = files_in(log.folder)
            log.snapshot(profiles)
            patched.setattr(ProfileTable, "whole", full)
            idle()
        if "can't be compacted" in caplog.text:
            break
    else:
        pytest.fail("no compaction was tried")
    assert "No space left" in caplog.text
    assert files_in(log.folder) <= before | {name for name, _ in log.snapshot(profiles).parts}
    log.close()


def test_a_folder_that_cant_be_written_is_told_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, profiles = ProfileLog(tmp_path / "s"), Profiles()
    came(profiles, ["a", "b"], START, "user")
    log.snapshot(profiles)
    came(profiles, ["a", "c"], START + 1, "other")
    plain, calls = os.pwrite, []

    def full(descriptor: int, data: bytes, at: int) -> int:
        calls.append(at)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return plain(descriptor, data[:50], at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(StateError, match="No space left on device"):
            log.snapshot(profiles)
    reference = log.snapshot(profiles)
    assert all_of(ProfileLog(tmp_path / "s").restore(reference)) == all_of(profiles)
    log.close()


def test_a_log_that_is_restored_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    one, profiles = ProfileLog(tmp_path / "s"), Profiles()
    came(profiles, ["a"], START)
    reference = one.snapshot(profiles)
    two = ProfileLog(tmp_path / "s")
    others = two.restore(reference)
    came(profiles, ["b"], START + 1)
    came(others, ["c"], START + 1)
    for log, own in ((one, profiles), (two, others)):
        known = all_of(ProfileLog(tmp_path / "s").restore(log.snapshot(own)))
        assert known == all_of(own)
        log.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: os.truncate(path, path.stat().st_size - 1), "isn't whole"),
        (lambda path: os.truncate(path, 20), "no frame begins at byte 0"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "no frame begins at byte 0"),
        (lambda path: _turn_byte(path, 100), "isn't whole"),
        (lambda path: _turn_byte(path, 9), "no frame begins"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    log, profiles = ProfileLog(tmp_path / "s"), Profiles()
    came(profiles, ["a", "b"], START, "user")
    reference = log.snapshot(profiles)
    log.close()
    spoil(tmp_path / "s" / reference.parts[0][0])
    with pytest.raises(StateError, match=message):
        ProfileLog(tmp_path / "s").restore(reference)


def _turn_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_files_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, profiles = ProfileLog(tmp_path / "s"), Profiles()
    came(profiles, ["a"], START)
    reference = log.snapshot(profiles)
    log.close()
    monkeypatch.setattr(record_frames, "FORMAT_VERSION", 2)
    with pytest.raises(StateError, match="have format 1, this Footfall reads 2"):
        ProfileLog(tmp_path / "s").restore(reference)


def test_files_and_references_from_before_logs_of_other_records_are_read(tmp_path: Path) -> None:
    profiles = Profiles()
    came(profiles, ["a", "b"], START, "user")
    frame = bytearray(PROFILE_RECORDS.frames().frame(profiles.table.changes()))
    frame[24:28] = bytes(4)
    frame[28:32] = zlib.crc32(frame[:28]).to_bytes(4, "little")
    (tmp_path / "00000001.profiles").write_bytes(frame)
    kept = pickle.dumps(LogReference((("00000001.profiles", len(frame)),), START), protocol=0)
    reference = pickle.loads(kept.replace(b"footfall.record_log", b"footfall.profile_log"))
    assert all_of(ProfileLog(tmp_path).restore(reference)) == all_of(profiles)


def test_a_kill_while_it_writes_loses_nothing(tmp_path: Path) -> None:
    """A process that is really killed, at a random moment, while it takes rounds and snapshots."""
    script = Path(__file__).parent / "profile_log_victim.py"
    dice = random.Random(5)
    for _ in range(4):
        victim = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert victim.stdout is not None
        begun = victim.stdout.readline()
        if begun.strip() != "begun":
            pytest.fail(f"the victim didn't begin: {begun}")
        time.sleep(dice.random() * 0.4)
        victim.kill()
        victim.wait()
        victim.stdout.close()
        for state in sorted((tmp_path / "snapshots").glob("*.pickle"))[-3:]:
            reference, known = pickle.loads(state.read_bytes())
            assert all_of(ProfileLog.of_shard(tmp_path / "log", "s").restore(reference)) == known
