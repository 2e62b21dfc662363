"""Shard names against the workers on which Bytewax really keeps their state."""

import threading
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import TestingSink, TestingSource, cluster_main

from footfall.placement import shard_names, worker_of


class Where(StatefulBatchLogic[str, tuple[str, int], None]):
    """Says on which worker thread a key is kept."""

    def on_batch(self, values: list[str]) -> tuple[list[tuple[str, int]], bool]:
        return [(value, threading.get_ident()) for value in values], StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        return None


def placed(names: tuple[str, ...], workers: int) -> list[list[str]]:
    """The names that Bytewax keeps together, by worker."""
    out: list[tuple[str, tuple[str, int]]] = []
    flow = Dataflow("placement")
    items: Any = op.input("names", flow, TestingSource([(name, name) for name in names]))
    op.output("out", op.stateful_batch("where", items, lambda _: Where()), TestingSink(out))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    groups: dict[int, list[str]] = {}
    for _, (name, thread) in out:
        groups.setdefault(thread, []).append(name)
    return sorted(groups.values())


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("shards", [1, 8, 13])
def test_no_worker_has_more_than_its_share(
    shards: int, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names = shard_names(shards)
    groups = placed(names, workers)
    with capsys.disabled():
        print(f"\n{shards} shards on {workers} workers: {[len(group) for group in groups]}", end="")
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert max(len(group) for group in groups) <= -(-shards // workers)
    predicted: dict[int, list[str]] = {}
    for name in names:
        predicted.setdefault(worker_of(name, workers), []).append(name)
    assert groups == sorted(predicted.values())


def test_names_sort_as_their_shards_do() -> None:
    names = shard_names(200)
    assert list(names) == sorted(names)
    assert len(set(names)) == 200
