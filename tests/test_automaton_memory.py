"""Memories of automata come back as they were, however deep they are."""

from typing import Any

import pytest

from footfall.automaton_memory import Key, Memory, Node, folded, pack_memories, unfolded, unpack_memories


def chain(length: int, node: Node | None = None) -> Node:
    for number in range(length):
        node = (number % 3, 7 * number, 100 * number, number, node)
    assert node is not None
    return node


def first(node: Node) -> Node:
    while node[4] is not None:
        node = node[4]
    return node


def memory(length: int) -> Memory:
    """Two partial matches that share all but their last events, and a match that is held."""
    shared, held = chain(length), chain(length + 2)
    ends = [(1, 1_000_000, 2_000_000, 500, shared), (2, 1_000_001, 2_000_001, 501, shared)]
    return (
        [(4, end, first(shared)) for end in ends],
        [(held, first(held))],
        [None, 17],
        (5, 6),
        1_000,
        3,
    )


def listed(value: Any) -> Any:
    """With chains as lists, which compare at any depth."""
    if isinstance(value, tuple) and len(value) == 5:
        nodes: list[Any] = []
        while value is not None:
            nodes.append(value[:4])
            value = value[4]
        return nodes
    return [listed(each) for each in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize(("length", "is_folded"), [(1, False), (40, False), (30_000, True)])
def test_memories_come_back(*, length: int, is_folded: bool) -> None:
    keys: list[Key] = [(1, 2**64 - 1, 3, 0), (2, 4, 5, 6)]
    memories = [(keys[0], memory(length)), (keys[1], memory(3))]
    packed = pack_memories(memories)
    assert packed[0] is is_folded
    back = unpack_memories(*packed)
    assert [(tuple(key), listed(kept)) for key, kept in back] == [
        (key, listed(kept)) for key, kept in memories
    ]
    (one, other), _held, *_ = back[0][1]
    assert one[1][4] is other[1][4], "the shared beginning is there once"


def test_a_folded_memory_names_each_event_once() -> None:
    snapshot = folded(memory(10))
    assert len(snapshot.nodes) == 10 + 2 + 12
    assert listed(unfolded(snapshot)) == listed(memory(10))
