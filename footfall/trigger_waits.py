"""Triggers that are not due yet, in little memory: a wait is one packed text, found by its time, or by its visitor."""

import heapq
from array import array

import msgspec

from footfall.clock import FOREVER

_TIME_BYTES = 8
_KEY_BYTES = 24
_BIAS = 1 << 63


class Wait(msgspec.Struct, frozen=True, array_like=True):
    """A trigger that waits for its time.

    Attributes:
        generation: the number of the rule that it waits under, as the book counts them.
        first_time: the time of the match's first event, in ms.
        visitor_id: the visitor.
        user_id: the visitor's user, if there is one.
        session_id: the session of the match's first event, if it is known.
        match_id: the match.
        pattern_version: the version of its pattern.
        evidence: JSON of stage -> message ids.
        fields: JSON of what goes with the message.
    """

    generation: int
    first_time: int
    visitor_id: str
    user_id: str | None
    session_id: str | None
    match_id: str
    pattern_version: str
    evidence: str
    fields: str


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Wait).decode


def _key(due: int, trigger: bytes) -> bytes:
    return (due + _BIAS).to_bytes(_TIME_BYTES, "big") + trigger


def _due(key: bytes) -> int:
    return int.from_bytes(key[:_TIME_BYTES], "big") - _BIAS


def _place(visitor_id: str, generation: int) -> int:
    return hash((visitor_id, generation))


def _keys(joined: bytes | bytearray) -> list[bytes]:
    return [bytes(joined[at : at + _KEY_BYTES]) for at in range(0, len(joined), _KEY_BYTES)]


class Waits:
    """All waits of a shard, ordered by (due time, trigger's id).

    A trigger's id is 16 bytes. Some waits can be withdrawn; only these are found by their visitor and rule. What a wait
    costs doesn't depend on how many its visitor has: many people may share one visitor id. All of it is kept across a
    restart.
    """

    __slots__ = ("_heap", "_of_visitor", "_waits", "_withdrawable")

    def __init__(self) -> None:
        # A withdrawn wait leaves its key in the heap until it is due.
        self._heap: list[bytes] = []
        self._waits: dict[bytes, bytes] = {}
        self._withdrawable: set[int] = set()
        # By a hash of visitor and rule that may be that of others, too; the keys one after another.
        self._of_visitor: dict[int, bytes | bytearray] = {}

    def __len__(self) -> int:
        return len(self._waits)

    @property
    def next_due(self) -> int:
        """The least due time, in ms; a withdrawn wait's may count. `FOREVER` where there is none."""
        return _due(self._heap[0]) if self._heap else FOREVER

    def add(self, due: int, trigger: bytes, wait: Wait, *, withdrawable: bool) -> None:
        """Add a wait; a trigger's id may wait only once for a time."""
        key = _key(due, trigger)
        heapq.heappush(self._heap, key)
        self._waits[key] = _pack(wait)
        if withdrawable:
            self._withdrawable.add(wait.generation)
            self._index(key, wait)

    def pop(self) -> tuple[int, bytes, Wait] | None:
        """Take out what is due first, as (due time, trigger's id, wait); None if that was withdrawn."""
        key = heapq.heappop(self._heap)
        packed = self._waits.pop(key, None)
        if packed is None:
            return None
        wait = _unpack(packed)
        if wait.generation in self._withdrawable:
            self._unindex(key, wait)
        return _due(key), key[_TIME_BYTES:], wait

    def withdraw(self, visitor_id: str, generations: frozenset[int]) -> list[tuple[int, bytes, Wait]]:
        """Take out those of a visitor that wait under one of the rules, as `pop` gives them, in their order."""
        taken = []
        for generation in generations & self._withdrawable:
            place = _place(visitor_id, generation)
            others = bytearray()
            for key in _keys(self._of_visitor.get(place, b"")):
                wait = _unpack(self._waits[key])
                if (wait.visitor_id, wait.generation) == (visitor_id, generation):
                    del self._waits[key]
                    taken.append((key, wait))
                else:
                    others += key
            if others:
                self._of_visitor[place] = others
            else:
                self._of_visitor.pop(place, None)
        taken.sort()
        return [(_due(key), key[_TIME_BYTES:], wait) for key, wait in taken]

    def generations(self) -> set[int]:
        """The numbers of the rules that something waits under."""
        return {_unpack(packed).generation for packed in self._waits.values()}

    def _index(self, key: bytes, wait: Wait) -> None:
        place = _place(wait.visitor_id, wait.generation)
        known = self._of_visitor.get(place)
        if known is None:
            self._of_visitor[place] = key
        elif isinstance(known, bytearray):
            known += key
        else:
            self._of_visitor[place] = bytearray(known + key)

    def _unindex(self, key: bytes, wait: Wait) -> None:
        place = _place(wait.visitor_id, wait.generation)
        known = self._of_visitor[place]
        if not isinstance(known, bytearray) or len(known) == _KEY_BYTES:
            del self._of_visitor[place]
            return
        # What is due first mostly came first. Where one key ends and the next begins, these bytes may stand, too.
        at = known.index(key)
        while at % _KEY_BYTES:
            at = known.index(key, at + 1)
        del known[at : at + _KEY_BYTES]

    def __getstate__(self) -> tuple[bytes, bytes, "array[int]", set[int]]:
        packed = self._waits.values()
        return b"".join(self._waits), b"".join(packed), array("I", map(len, packed)), set(self._withdrawable)

    def __setstate__(self, state: tuple[bytes, bytes, "array[int]", set[int]]) -> None:
        keys, packed, sizes, self._withdrawable = state
        self._waits, self._of_visitor = {}, {}
        at = 0
        for number, size in enumerate(sizes):
            key = keys[number * _KEY_BYTES : (number + 1) * _KEY_BYTES]
            self._waits[key] = packed[at : at + size]
            at += size
            wait = _unpack(self._waits[key])
            if wait.generation in self._withdrawable:
                self._index(key, wait)
        self._heap = sorted(self._waits)
