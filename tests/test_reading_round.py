"""Live partitions that are read together: what comes of each is what would have come had it been read alone."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_partitions import (
    BEGIN,
    KINDS,
    BlockPlan,
    Inputs,
    Script,
    Unhindered,
    blocks_of,
    new_inputs,
    outcome,
    scripts,
)

from footfall.clock import NEVER
from footfall.errors import SourceError
from footfall.records import RecordBlock

PARTITIONS = 3
GOOD = BlockPlan(("good", "good"))


def play(inputs: Inputs, turns: list[list[list[RecordBlock]]], *, quiet: bool = True) -> None:
    """Have the partitions read their script, round by round, and then stand at their end."""
    for turn in turns:
        for reader, blocks in zip(inputs.readers.values(), turn, strict=True):
            reader.at_hand += blocks
        for name in inputs.parts:
            inputs.ask(name)
    for reader in inputs.readers.values():
        reader.now = BEGIN + 60_000 if quiet else None
    for name in inputs.parts:
        inputs.ask(name)


@settings(max_examples=60, deadline=None)
@given(script=scripts(PARTITIONS, 5), early=st.booleans(), stored=st.booleans())
def test_a_partition_doesnt_show_that_others_were_read_with_it(
    *, script: Script, early: bool, stored: bool
) -> None:
    found = []
    for together in (False, True):
        columns = {} if stored else {"columns": ()}
        inputs = new_inputs(PARTITIONS, together=together, early=early, **columns)  # type: ignore[arg-type]
        play(inputs, blocks_of(script))
        found.append(outcome(inputs))
    alone, joint = found
    assert joint == alone


@settings(max_examples=20, deadline=None)
@given(scripts(PARTITIONS, 5))
def test_a_shard_hears_of_an_event_before_its_watermark_has_passed(script: Script) -> None:
    inputs = new_inputs(PARTITIONS, together=True)
    play(inputs, blocks_of(script))
    known: dict[tuple[int, int], int] = {}
    for _, batch in inputs.batches():
        for event in batch.events:
            assert event["time"] > known.get((batch.shard, int(event["partition"])), NEVER)
        known |= {(batch.shard, mark.partition): mark.watermark for mark in batch.marks}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(KINDS), min_size=4, max_size=4), min_size=PARTITIONS, max_size=PARTITIONS
    ),
    st.lists(
        st.tuples(st.integers(0, PARTITIONS - 1), st.sampled_from(["ask", "snapshot", "record"])),
        min_size=10,
        max_size=30,
    ),
)
def test_a_snapshot_has_what_was_given_up_to_the_end_of_its_epoch(
    kinds: list[list[str]], schedule: list[tuple[int, str]]
) -> None:
    """Whichever partition gave it, and in whatever order they are asked and their epochs end."""
    (turn,) = blocks_of([[[BlockPlan((kind,)) for kind in each] for each in kinds]])
    waiting = [list(blocks) for blocks in turn]
    inputs = new_inputs(PARTITIONS, together=True)
    positions: dict[tuple[str, int], int] = {}
    for number, action in [*schedule, *((each, "snapshot") for each in range(PARTITIONS))]:
        name = f"p{number}"
        if action == "record" and waiting[number]:
            inputs.readers[name].at_hand.append(waiting[number].pop(0))
        elif action == "ask":
            inputs.ask(name)
        elif action == "snapshot":
            epoch = inputs.parts[name].epoch
            positions[name, epoch] = pickle.loads(inputs.parts[name].snapshot())[0] or 0
    given_in = _epochs_of_records(inputs)
    for (name, epoch), position in positions.items():
        until_then = [offset for offset, given_in_epoch in given_in[name] if given_in_epoch <= epoch]
        assert sorted(until_then) == list(range(position))


def _epochs_of_records(inputs: Inputs) -> dict[str, list[tuple[int, int]]]:
    """By partition the offset of each record, and the epoch in which it was given."""
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in inputs.parts}
    for epoch, batch in inputs.batches():
        for event in batch.events:
            found[f"p{event['partition']}"].append((int(event["offset"]), epoch))
    for epoch, _, letters in inputs.letters():
        for rows in (letters.late, letters.dead):
            if rows is not None:
                for name, offset in rows.select("source_partition", "source_offset").iter_rows():
                    found[name].append((offset, epoch))
    return found


def put(inputs: Inputs, *plans: BlockPlan) -> None:
    """Put a block at each partition's hand, by the plans."""
    (turn,) = blocks_of([[[plan] for plan in plans]])
    for reader, blocks in zip(inputs.readers.values(), turn, strict=True):
        reader.at_hand += blocks


def test_the_first_one_reads_for_all_and_each_shard_gets_one_batch() -> None:
    inputs = new_inputs(3, together=True)
    put(inputs, GOOD, GOOD, GOOD)
    items = inputs.ask("p0")
    assert [key for key, _ in items] == ["s0", "s1", "s2"]
    assert sum(batch.events.size for _, batch in inputs.batches()) == 6
    assert [[mark.partition for mark in batch.marks] for _, batch in inputs.batches()] == [[0, 1, 2]] * 3
    put(inputs, GOOD, GOOD, GOOD)
    # They have been read for, so it isn't their turn again.
    assert inputs.ask("p1") == inputs.ask("p2") == []
    assert inputs.ask("p1") != []
    assert inputs.ask("p2") == []
    assert inputs.ask("p0") != []


def test_one_that_is_in_another_epoch_is_read_for_itself() -> None:
    inputs = new_inputs(3, together=True)
    inputs.parts["p1"].snapshot()
    put(inputs, GOOD, GOOD, GOOD)
    inputs.ask("p0")
    assert {mark.partition for _, batch in inputs.batches() for mark in batch.marks} == {0, 2}
    assert inputs.ask("p2") == []
    assert {mark.partition for _, item in inputs.ask("p1") for mark in item.marks} == {1}  # type: ignore[union-attr]


def test_what_one_fails_with_is_raised_in_its_own_turn() -> None:
    inputs = new_inputs(3, together=True)
    put(inputs, GOOD, GOOD, GOOD)
    inputs.readers["p1"].damage = SourceError("gone", source="p1")
    inputs.ask("p0")
    assert {mark.partition for _, batch in inputs.batches() for mark in batch.marks} == {0, 2}
    for _ in range(2):
        with pytest.raises(SourceError, match="gone"):
            inputs.ask("p1")
    assert inputs.ask("p2") == []


def test_what_the_first_fails_with_is_raised_and_the_others_are_read_without_it() -> None:
    inputs = new_inputs(2, together=True)
    put(inputs, GOOD, GOOD)
    inputs.readers["p0"].damage = SourceError("gone", source="p0")
    with pytest.raises(SourceError, match="gone"):
        inputs.ask("p0")
    assert {mark.partition for _, item in inputs.ask("p1") for mark in item.marks} == {1}  # type: ignore[union-attr]


def test_one_that_is_held_isnt_read() -> None:
    class Holding(Unhindered):
        held = frozenset({1})

        def is_held(self, partition: int, time: int) -> bool:
            return partition in self.held

    ahead = Holding.alone([NEVER] * 3, 1_000)
    inputs = new_inputs(3, together=True, ahead=ahead)
    put(inputs, GOOD, GOOD, GOOD)
    inputs.ask("p0")
    assert {mark.partition for _, batch in inputs.batches() for mark in batch.marks} == {0, 2}
    assert inputs.ask("p1") == []
    ahead.held = frozenset()
    assert {mark.partition for _, item in inputs.ask("p1") for mark in item.marks} == {1}  # type: ignore[union-attr]


def test_when_the_run_stops_what_has_been_given_stands_in_the_snapshots() -> None:
    inputs = new_inputs(2, together=True)
    put(inputs, GOOD, GOOD)
    inputs.ask("p0")
    inputs.stop.set()
    put(inputs, GOOD, GOOD)
    for name, part in inputs.parts.items():
        with pytest.raises(StopIteration):
            inputs.ask(name)
        assert pickle.loads(part.snapshot())[0] == 1


def test_one_that_has_stopped_is_read_no_more() -> None:
    inputs = new_inputs(2, together=True)
    inputs.parts["p1"].close()
    put(inputs, GOOD, GOOD)
    inputs.ask("p0")
    assert {mark.partition for _, batch in inputs.batches() for mark in batch.marks} == {0}


def test_a_backlog_isnt_read_together() -> None:
    """A round that has enough leaves the others their own turn."""
    inputs = new_inputs(3, together=True)
    many = BlockPlan(("good",) * 8_192)
    put(inputs, GOOD, many, GOOD)
    inputs.ask("p0")
    assert {mark.partition for _, batch in inputs.batches() for mark in batch.marks} == {0, 1}
    assert inputs.ask("p1") == []
    assert inputs.ask("p2") != []


def test_with_nothing_at_hand_nothing_comes_and_the_partitions_rest() -> None:
    inputs = new_inputs(2, together=True)
    assert inputs.ask("p0") == inputs.ask("p1") == []
    assert all(part.next_awake() is not None for part in inputs.parts.values())
    put(inputs, GOOD, GOOD)
    assert inputs.ask("p0") != []
    assert inputs.parts["p0"].next_awake() is None
