"""What an automaton remembers of one visitor: the events that partial matches have taken, and how they are kept.

Events are taken in chains that share their beginnings, so a memory is as deep as a match is long. Folded, it has no
depth: whatever goes down into what it writes can write it.
"""

import pickle
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

Key = tuple[int, int, int, int]
"""Pattern (its number in the plan), visitor's hash (high, low), hash of the `same` field's value (0 without one)."""

# A taken event: stage number, event, its time, its place in the visitor's stream, and what was taken before it. Partial
# matches with the same beginning share these.
Node = tuple[int, int, int, int, "Node | None"]

Partial = tuple[int, Node, Node]
"""A partial match: its state, the last event taken, the first event taken."""

Whole = tuple[Node, Node]
"""A whole match: the last event taken, the first."""

Memory = tuple[Sequence[Partial], Sequence[Whole], Sequence[int | None], Sequence[int], int, int]
"""All that a `VisitorAutomaton` remembers, as it is: partial matches, held ones, the times of the last events that
forbid a beginning, the latest events, how many came, how many partial matches were dropped."""


class Snapshot(NamedTuple):
    """What a `VisitorAutomaton` remembers, without depth: nodes are named by their index in `nodes`.

    Attributes:
        nodes: the taken events: stage, event, time, place, and the node before (-1 for none), which comes first.
        partials: state, last node, first node.
        held: last node, first node.
        absent: times of the last events that forbid a beginning.
        past: the latest events, where tests may ask for them.
        place: how many events came.
        dropped: how many partial matches were dropped.
    """

    nodes: tuple[tuple[int, int, int, int, int], ...]
    partials: tuple[tuple[int, int, int], ...]
    held: tuple[tuple[int, int], ...]
    absent: tuple[int | None, ...]
    past: tuple[int, ...]
    place: int
    dropped: int


def folded(memory: Memory) -> Snapshot:
    """A memory without depth."""
    partials, held, absent, past, place, dropped = memory
    numbers: dict[int, int] = {}
    nodes: list[tuple[int, int, int, int, int]] = []
    for end in [partial[1] for partial in partials] + [whole[0] for whole in held]:
        fresh: list[Node] = []
        node: Node | None = end
        while node is not None and id(node) not in numbers:
            fresh.append(node)
            node = node[4]
        parent = -1 if node is None else numbers[id(node)]
        for each in reversed(fresh):
            numbers[id(each)] = len(nodes)
            nodes.append((*each[:4], parent))
            parent = numbers[id(each)]
    return Snapshot(
        tuple(nodes),
        tuple((state, numbers[id(last)], numbers[id(root)]) for state, last, root in partials),
        tuple((numbers[id(last)], numbers[id(root)]) for last, root in held),
        tuple(absent),
        tuple(past),
        place,
        dropped,
    )


def unfolded(snapshot: Snapshot) -> Memory:
    """The memory that was folded."""
    nodes: list[Node] = []
    for stage, event, time, place, parent in snapshot.nodes:
        nodes.append((stage, event, time, place, None if parent < 0 else nodes[parent]))
    partials = [(state, nodes[last], nodes[root]) for state, last, root in snapshot.partials]
    held = [(nodes[last], nodes[root]) for last, root in snapshot.held]
    return partials, held, snapshot.absent, snapshot.past, snapshot.place, snapshot.dropped


_FOLDED = msgspec.msgpack.Decoder(list[tuple[Key, Snapshot]])


def pack_memories(memories: list[tuple[Key, Memory]]) -> tuple[bool, bytes]:
    """Whether memories had to be folded, and their bytes."""
    try:
        # Pickle goes down the chains of events, a third of the cost of folding them, if they aren't too long for it.
        return False, pickle.dumps(memories, protocol=5)
    except RecursionError:
        return True, msgspec.msgpack.encode([(key, folded(memory)) for key, memory in memories])


def unpack_memories(is_folded: bool, packed: bytes) -> list[tuple[Key, Memory]]:  # noqa: FBT001  # as it was packed
    """The memories that were packed."""
    if is_folded:
        return [(key, unfolded(snapshot)) for key, snapshot in _FOLDED.decode(packed)]
    memories: list[tuple[Key, Memory]] = pickle.loads(packed)  # noqa: S301 - from this run's own state folder
    return memories
