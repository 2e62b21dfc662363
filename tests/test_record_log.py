"""The log of records: kills at any moment, recovery to any of the last snapshots, compaction, faults, other records."""

import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_rounds import KIND, OTHER_KIND, SUMS, Model, add, all_of, free

from footfall import record_frames, record_log
from footfall.errors import StateError
from footfall.record_log import KEPT_SNAPSHOTS, LogReference, RecordKind, RecordLog
from footfall.record_table import KEYED, RecordTable


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test of a few records comes to."""
    monkeypatch.setattr(record_log, "_SLICE", 3 * SUMS.itemsize)
    monkeypatch.setattr(record_log, "_WRITE_AHEAD", 6 * SUMS.itemsize)
    monkeypatch.setattr(record_log, "COMPACTION_SLACK", 600)
    monkeypatch.setattr(record_log, "_MOST_FILES", 4)


def idle() -> None:
    """Wait until the background has nothing to do."""
    record_log._background.submit(int).result()


def files_in(folder: Path, kind: RecordKind[RecordTable] = KIND) -> set[str]:
    return {path.name for path in folder.glob(f"*{kind.suffix}")}


def restored(folder: Path, reference: LogReference) -> Model:
    return all_of(RecordLog(folder, KIND).restore(reference))


visitors = st.lists(st.integers(0, 15), max_size=9)
Move = tuple[str, list[int]]
moves: st.SearchStrategy[Move] = st.one_of(
    st.tuples(st.just("add"), visitors),
    st.tuples(st.just("free"), visitors),
    st.tuples(st.sampled_from(("snapshot", "snapshot", "snapshot", "idle", "kill")), st.just([])),
)


def torn(folder: Path, references: list[LogReference], data: st.DataObject) -> None:
    """What a kill may leave: files cut anywhere behind what is referred to, or with something else there."""
    kept = dict(part for reference in references for part in reference.parts)
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
def test_every_kill_can_be_recovered_from(steps: list[Move], data: st.DataObject) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        recover_from_kills(root, steps, data)
    finally:
        idle()
        shutil.rmtree(root)


def logs_of(root: Path) -> list[RecordLog[RecordTable]]:
    return [RecordLog.of_shard(root, "s0000-1", kind) for kind in (KIND, OTHER_KIND)]


def references_of(
    logs: list[RecordLog[RecordTable]], tables: list[RecordTable], number: int
) -> list[LogReference]:
    """A snapshot of both, which is begun with none, one or two of them."""
    both = list(zip(logs, tables, strict=True))
    for log, table in both[: number % 3]:
        log.begin_snapshot(table)
    return [log.snapshot(table, number) for log, table in both]


def recover_from_kills(root: Path, steps: list[Move], data: st.DataObject) -> None:
    """Two tables side by side; the second one takes only every other step."""
    logs, tables = logs_of(root), [KIND.make(), OTHER_KIND.make()]
    models: list[Model] = [{}, {}]
    snapshots: list[tuple[bytes, list[Model]]] = []
    for number, (step, names) in enumerate(steps):
        concerned = list(zip(logs, tables, models, strict=True))[: 1 + number % 2]
        if step == "snapshot":
            references = references_of(logs, tables, number)
            snapshots.append((pickle.dumps(references), deepcopy(models)))
        elif step == "idle":
            idle()
        elif step == "kill":
            if not snapshots:
                continue
            for log in logs:
                log.close()
            idle()
            back = data.draw(st.integers(1, min(3, len(snapshots))), label="snapshots back")
            snapshots = snapshots[: len(snapshots) - back + 1]
            state, known = snapshots[-1]
            references = pickle.loads(state)
            torn(root / "s0000-1", references, data)
            logs, models = logs_of(root), deepcopy(known)
            tables = [log.restore(reference) for log, reference in zip(logs, references, strict=True)]
            assert [all_of(table) for table in tables] == known
        else:
            for log, table, model in concerned:
                (add(table, model, names, number) if step == "add" else free(table, model, names))
                log.write_ahead(table)
    for state, known in snapshots[-3:]:
        kept = zip(logs_of(root), pickle.loads(state), strict=True)
        assert [all_of(log.restore(reference)) for log, reference in kept] == known
    for log in logs:
        log.close()


def test_a_snapshot_appends_what_changed_and_no_more(tmp_path: Path) -> None:
    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    add(table, model, range(500), 1)
    first = log.snapshot(table, 7)
    assert (first.settled, first.size) == (7, (tmp_path / first.parts[0][0]).stat().st_size)
    add(table, model, [7, 7], 2)
    free(table, model, [8])
    second = log.snapshot(table, 8)
    assert second.size - first.size == 32 + 8 + 2 * SUMS.itemsize + -(2 * SUMS.itemsize) % 8
    assert log.snapshot(table, 8) == second
    assert restored(tmp_path, first).keys() == set(range(500))
    assert restored(tmp_path, second) == model
    log.close()


def test_what_is_written_ahead_is_not_written_again(tmp_path: Path) -> None:
    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    add(table, model, range(5), 1)
    log.write_ahead(table)
    assert (table.changes_pending, files_in(tmp_path)) == (5, set())
    add(table, model, [5], 1)
    log.write_ahead(table)
    assert table.changes_pending == 0
    (path,) = tmp_path.iterdir()
    before = path.stat().st_size
    assert log.snapshot(table).parts == ((path.name, before),)
    log.close()


def test_logs_that_begin_their_snapshots_together_are_made_durable_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, both, lengths = os.fdatasync, Barrier(2), []

    def together(descriptor: int) -> None:
        # A thread of the process may still be at a file of a test before this one.
        if tmp_path in Path(f"/proc/self/fd/{descriptor}").readlink().parents:
            both.wait(30)
            lengths.append(os.fstat(descriptor).st_size)
        plain(descriptor)

    logs, tables = logs_of(tmp_path), [KIND.make(), OTHER_KIND.make()]
    for number, table in enumerate(tables):
        add(table, {}, range(number + 3), 1)
    monkeypatch.setattr(os, "fdatasync", together)
    for log, table in zip(logs, tables, strict=True):
        log.begin_snapshot(table)
    references = [log.snapshot(table) for log, table in zip(logs, tables, strict=True)]
    assert sorted(lengths) == [reference.size for reference in references]
    for log, reference, table in zip(logs, references, tables, strict=True):
        assert all_of(log.restore(reference)) == all_of(table)
        log.begin_snapshot(table)
        log.close()
    assert len(lengths) == 2


def test_what_comes_after_a_snapshot_began_is_in_it_and_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, synced = os.fdatasync, dict[int, int]()

    def noted(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        plain(descriptor)
        synced[descriptor] = size

    monkeypatch.setattr(os, "fdatasync", noted)
    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    add(table, model, [1], 1)
    log.begin_snapshot(table)
    add(table, model, [2], 1)
    log.begin_snapshot(table)
    add(table, model, [3], 1)
    reference = log.snapshot(table)
    assert list(synced.values()) == [reference.size]
    assert restored(tmp_path, reference) == model
    log.close()


def test_a_disk_that_fails_after_a_snapshot_began_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    add(table, model, [1], 1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", failing)
        log.begin_snapshot(table)
        with pytest.raises(StateError, match=r"the sums can't be written to .*: Input/output error"):
            log.snapshot(table)
        log.begin_snapshot(table)
        log.close()
    assert files_in(tmp_path) == {"00000001.sums"}


def test_without_records_nothing_is_written(tmp_path: Path) -> None:
    log = RecordLog(tmp_path / "s", KIND)
    reference = log.snapshot(KIND.make())
    assert reference.parts == ()
    assert not (tmp_path / "s").exists()
    assert log.restore(reference).live == 0


def test_files_of_the_kept_snapshots_stay_and_others_go_but_not_those_of_other_records(
    tmp_path: Path,
) -> None:
    other, table, model = RecordLog(tmp_path, OTHER_KIND), OTHER_KIND.make(), Model()
    add(table, model, [1], 1)
    others = other.snapshot(table)
    other.close()
    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    snapshots: list[tuple[LogReference, Model]] = []
    seen: set[str] = set()
    for number in range(150):
        add(table, model, range(number % 30, number % 30 + 5), number)
        free(table, model, [number % 17])
        snapshots.append((log.snapshot(table), deepcopy(model)))
        idle()
        here = files_in(tmp_path)
        seen |= here
        for reference, _ in snapshots[-KEPT_SNAPSHOTS:]:
            assert {name for name, _ in reference.parts} <= here
        if number % 10 == 0:
            for reference, known in snapshots[-KEPT_SNAPSHOTS:]:
                assert restored(tmp_path, reference) == known
        if number % 40 == 39:
            log.close()
            log = RecordLog(tmp_path, KIND)
            table = log.restore(snapshots[-1][0])
    assert len(seen) > 20
    assert len(files_in(tmp_path)) < 12
    assert RecordLog(tmp_path, OTHER_KIND).restore(others).live == 1
    log.close()


def test_a_compaction_costs_no_snapshot_its_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, plain = Event(), record_log._compacted

    def held(folder: Path, kind: RecordKind[RecordTable], reference: LogReference) -> tuple[str, int]:
        assert go_on.wait(30)
        return plain(folder, kind, reference)

    monkeypatch.setattr(record_log, "_compacted", held)
    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    snapshots: list[tuple[LogReference, Model]] = []
    for number in range(60):
        add(table, model, range(number % 3, 6), number)
        free(table, model, [number % 6])
        snapshots.append((log.snapshot(table), deepcopy(model)))
    before = snapshots[-1][0]
    assert len(before.parts) == 2
    go_on.set()
    idle()
    add(table, model, [99], 1)
    after = log.snapshot(table)
    assert after.parts[0] not in before.parts
    assert after.parts[1][0] == before.parts[1][0]
    assert after.size < before.size
    snapshots.append((after, model))
    for reference, known in snapshots[-KEPT_SNAPSHOTS:]:
        assert restored(tmp_path, reference) == known
    log.close()


def test_a_compaction_that_fails_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    add(table, model, range(12), 1)
    for number in range(40):
        add(table, model, range(12), number)
        before = files_in(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(RecordTable, "whole", full)
            reference = log.snapshot(table)
            idle()
        if "can't be compacted" in caplog.text:
            break
    else:
        pytest.fail("no compaction was tried")
    assert f"the sums in {tmp_path} can't be compacted" in caplog.text
    assert "No space left" in caplog.text
    assert files_in(tmp_path) <= before | {name for name, _ in reference.parts}
    assert restored(tmp_path, reference) == model
    log.close()


@pytest.mark.parametrize("ahead", [False, True])
def test_a_folder_that_cant_be_written_is_told_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ahead: bool
) -> None:
    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    add(table, model, range(3), 1)
    log.snapshot(table)
    add(table, model, range(2, 20), 2)
    plain, calls = os.pwrite, []

    def full(descriptor: int, data: bytes, at: int) -> int:
        calls.append(at)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return plain(descriptor, data[:50], at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(
            StateError, match=r"the sums can't be written to .*: No space left on device; make room"
        ):
            (log.write_ahead if ahead else log.snapshot)(table)
    assert restored(tmp_path, log.snapshot(table)) == model
    log.close()


def test_a_log_that_is_restored_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    one, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    add(table, model, [1], 1)
    reference = one.snapshot(table)
    two = RecordLog(tmp_path, KIND)
    other_table, other_model = two.restore(reference), deepcopy(model)
    add(table, model, [2], 2)
    add(other_table, other_model, [3], 3)
    for log, own, known in ((one, table, model), (two, other_table, other_model)):
        assert restored(tmp_path, log.snapshot(own)) == known
        log.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: os.truncate(path, path.stat().st_size - 1), "isn't whole"),
        (lambda path: os.truncate(path, 20), "no frame begins at byte 0"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "no frame begins at byte 0"),
        (lambda path: turn_byte(path, 100), "isn't whole"),
        (lambda path: turn_byte(path, 9), "no frame begins"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    add(table, model, [1, 2], 1)
    reference = log.snapshot(table)
    log.close()
    spoil(tmp_path / reference.parts[0][0])
    with pytest.raises(
        StateError, match=rf"the sums in .*\.sums can't be restored: .*{message}.* Put the file back"
    ):
        RecordLog(tmp_path, KIND).restore(reference)


def turn_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def kind_of(fields: list[Any], meaning: str = KIND.meaning) -> RecordKind[RecordTable]:
    return RecordKind(KIND.name, lambda: RecordTable(np.dtype(fields)), meaning)


FIELDS: list[Any] = [*KEYED, ("first", np.int64), ("slots", np.int64, (4,))]


@pytest.mark.parametrize(
    "other",
    [
        kind_of([*FIELDS, ("more", np.int64)]),
        kind_of([*FIELDS[:-1], ("slots", np.float64, (4,))]),
        kind_of([*FIELDS[:-1], ("slots", np.int64, (2, 2))]),
        kind_of([*FIELDS[:-2], ("last", np.int64), FIELDS[-1]]),
        kind_of([*FIELDS[:-2], FIELDS[-1], FIELDS[-2]]),
        kind_of(FIELDS, "of other features"),
    ],
)
def test_records_of_another_type_or_meaning_are_refused(
    tmp_path: Path, other: RecordKind[RecordTable]
) -> None:
    mine = kind_of(FIELDS)
    table = mine.make()
    table.reserve(1)
    table.places[1:3] = 1
    table.records[0] = (1, 2, 1, 0, 7, [1, 2, 3, 4])
    frame = mine.frames().frame(table.whole(0, 1))
    (tmp_path / "00000001.sums").write_bytes(frame)
    reference = LogReference((("00000001.sums", len(frame)),))
    assert RecordLog(tmp_path, kind_of(FIELDS)).restore(reference).records[0]["slots"].tolist() == [
        1,
        2,
        3,
        4,
    ]
    with pytest.raises(
        StateError, match=r"the sums in .* with other fields, .*: finish the run with .* or start anew"
    ):
        RecordLog(tmp_path, other).restore(reference)


def test_files_of_another_version_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, table, model = RecordLog(tmp_path, KIND), KIND.make(), Model()
    add(table, model, [1], 1)
    reference = log.snapshot(table)
    log.close()
    monkeypatch.setattr(record_frames, "FORMAT_VERSION", 2)
    with pytest.raises(StateError, match=r"the sums in .* have format 1, this Footfall reads 2"):
        RecordLog(tmp_path, KIND).restore(reference)


@pytest.mark.parametrize("name", ["", "more.sums", "../sums", "*"])
def test_a_name_that_isnt_a_word_is_refused(name: str) -> None:
    with pytest.raises(StateError, match="give them a name that is one word"):
        RecordKind(name, KIND.make)


def test_a_kill_while_it_writes_loses_nothing(tmp_path: Path) -> None:
    """A process that is really killed, at a random moment, while it fills its tables and takes snapshots."""
    script = Path(__file__).parent / "record_log_victim.py"
    dice = random.Random(6)
    compared = 0
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
            references, models = pickle.loads(state.read_bytes())
            for kind, reference, known in zip((KIND, OTHER_KIND), references, models, strict=True):
                log = RecordLog.of_shard(tmp_path / "log", "s", kind)
                assert all_of(log.restore(reference)) == known
                compared += 1
    assert compared == 24
