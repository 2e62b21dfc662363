"""What a run that died has left in Bytewax's recovery store beyond the epoch from which the next one goes on."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, run_main

from footfall.errors import StateError
from footfall.recovery_store import forget_unfinished

Key = tuple[str, int]
DIES, NOTHING = -1, 0


class _Part(StatefulSourcePartition[Key, int]):
    def __init__(self, numbers: Sequence[int], at: int) -> None:
        self.numbers = numbers
        self.at = at

    def next_batch(self) -> list[Key]:
        if self.at >= len(self.numbers):
            raise StopIteration
        number = self.numbers[self.at]
        if number == DIES:
            raise AbortExecution
        self.at += 1
        return [] if number == NOTHING else [("key", number)]

    def snapshot(self) -> int:
        return self.at


class _Numbers(FixedPartitionedSource[Key, int]):
    """Numbers, one in each epoch; what has been read in another run is counted back by `shift`."""

    def __init__(self, numbers: Sequence[int], shift: int = 0) -> None:
        self.numbers = numbers
        self.shift = shift

    def list_parts(self) -> list[str]:
        return ["numbers"]

    def build_part(self, _step_id: str, _for_part: str, resume_state: int | None) -> _Part:
        return _Part(self.numbers, max(0, (resume_state or 0) - self.shift))


def sums(folder: Path, source: _Numbers) -> list[int]:
    """What a flow that sums up gives out."""
    out: list[tuple[str, int]] = []
    flow = Dataflow("sums")
    read = op.input("read", flow, source)

    def add(state: int | None, number: int) -> tuple[int, int]:
        return (state or 0) + number, (state or 0) + number

    op.output("out", op.stateful_map("sum", read, add), TestingSink(out))
    # All that was kept stays, as it does where a worker is slow.
    kept_whole = RecoveryConfig(str(folder), backup_interval=timedelta(days=1))
    run_main(flow, epoch_interval=timedelta(0), recovery_config=kept_whole)
    return [total for _, total in out]


def write(folder: Path, *statements: str) -> None:
    """Change the store's only part."""
    with closing(sqlite3.connect(folder / "part-0.sqlite3")) as part, part:
        for statement in statements:
            part.execute(statement)


def kept(folder: Path) -> list[tuple[str, int]]:
    """Key and epoch of all rows that are kept."""
    found = []
    for path in sorted(folder.glob("*.sqlite3")):
        with closing(sqlite3.connect(path)) as part:
            found += part.execute("SELECT state_key, snap_epoch FROM snaps").fetchall()
    return sorted(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init_db_dir(tmp_path, 1)
    return tmp_path


def test_a_run_after_one_that_died_at_its_start_does_not_go_on_with_state_that_is_ahead(folder: Path) -> None:
    assert sums(folder, _Numbers([1, 2, 4, DIES])) == [1, 3, 7]
    # As if another worker hadn't finished the epoch of the 4 when it died.
    write(folder, "UPDATE fronts SET worker_frontier = worker_frontier - 1")
    (epoch,) = {epoch for key, epoch in kept(folder) if key == "key" and epoch >= 3}
    forget_unfinished(folder)
    assert epoch not in {epoch for _, epoch in kept(folder)}
    # It dies while nothing has come yet, epochs later.
    assert sums(folder, _Numbers([1, 2, NOTHING, NOTHING, NOTHING, DIES])) == []
    forget_unfinished(folder)
    assert sums(folder, _Numbers([1, 2, 4, 8], shift=3)) == [7, 15]


def _front(worker: int, epoch: int, run: int = 0) -> str:
    return f"INSERT INTO fronts (ex_num, worker_index, worker_frontier) VALUES ({run}, {worker}, {epoch})"


def _run(number: int, workers: int, resumed: int) -> str:
    return f"INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES ({number}, {workers}, {resumed})"


@pytest.mark.parametrize(
    ("runs", "left"),
    [
        ((), (3, 4, 5, 6)),
        ((_run(0, 1, 1),), ()),
        ((_run(0, 1, 1), _front(0, 5)), (3, 4)),
        ((_run(0, 2, 1), _front(0, 6), _front(1, 5)), (3, 4)),
        ((_run(0, 2, 4), _front(0, 6)), (3,)),
        ((_run(0, 2, 1), _front(0, 9), _front(1, 9), _run(1, 2, 5)), (3, 4)),
        ((_run(0, 2, 1), _front(0, 9), _front(1, 9), _run(1, 1, 4), _front(0, 6, 1)), (3, 4, 5)),
        ((_run(0, 3, 1), _front(0, 9), _front(1, 9), _front(2, 9)), (3, 4, 5, 6)),
    ],
)
def test_what_stays_lies_before_the_epoch_of_the_last_runs_slowest_worker(
    tmp_path: Path, runs: tuple[str, ...], left: tuple[int, ...]
) -> None:
    init_db_dir(tmp_path, 3)
    row = (
        "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES ('flow.step', '{}', {}, x'00')"
    )
    for number, (key, epoch) in enumerate([("a", 3), ("a", 4), ("b", 5), ("a", 6)]):
        with closing(sqlite3.connect(tmp_path / f"part-{number % 3}.sqlite3")) as part, part:
            part.execute(row.format(key, epoch))
    for number, statement in enumerate(runs):
        with closing(sqlite3.connect(tmp_path / f"part-{number % 3}.sqlite3")) as part, part:
            part.execute(statement)
    assert forget_unfinished(tmp_path) == 4 - len(left)
    assert tuple(sorted(epoch for _, epoch in kept(tmp_path))) == left
    assert forget_unfinished(tmp_path) == 0


def _damage(folder: Path) -> None:
    (folder / "part-0.sqlite3").write_bytes(b"this is no database" * 100)


def _empty(folder: Path) -> None:
    write(folder, "DROP TABLE snaps", _run(0, 1, 1))


@pytest.mark.parametrize("harm", [_damage, _empty])
def test_damage_is_told(folder: Path, harm: Callable[[Path], None]) -> None:
    harm(folder)
    with pytest.raises(StateError, match="recovery data"):
        forget_unfinished(folder)
