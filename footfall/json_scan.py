"""One compiled pass over a block of JSON records that finds where the wanted values stand.

The scanner makes no objects: for each wanted field of each record it notes kind, start and length, and the
columns are built from those. It is strict and narrow. It takes a record only where it is sure of every byte
(JSON's grammar, nesting, escapes, no key twice); all others it leaves to `footfall.raw_json`, which decodes
them one by one with msgspec and has the last word. A property test holds the two to the same answers.

What it doesn't check is UTF-8: the caller does that for the whole block.
"""

# Compiled code: one long function is one loop over bytes that stay in registers; a chain of comparisons is
# quicker than membership in a tuple; and numba has no keyword arguments to offer.
# ruff: noqa: C901, PLR0912, PLR0913, PLR0915, PLR0917, PLR1714
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.compiled import compiled

# The kinds of a value, in `Scan.kinds`.
ABSENT = 0
TEXT = 1
ESCAPED = 2  # a string with a backslash in it
INTEGER = 3  # of up to 18 digits
DECIMAL = 4  # digits, a point, digits; no exponent
TRUE = 5
FALSE = 6
NULL = 7
OBJECT = 8
ARRAY = 9

# A record's state, in `Scan.states`.
TAKEN = 0
LEFT = 1

MAX_DEPTH = 64

Array = npt.NDArray[Any]  # of compiled code; numba finds the elements' type out itself
Paths = Mapping[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True, slots=True)
class Scan:
    """What the scanner found in a block of `n` records, for `m` slots.

    Attributes:
        bounds: int64[n + 1]; record i is the bytes from bounds[i] to bounds[i + 1], its newline included.
        states: uint8[n]; `TAKEN` or `LEFT`. What stands below about a record that was left means nothing.
        unknown: uint8[n]; 1 where the record has a top-level key that isn't in the layout.
        seen: uint8[m]; 1 where any record has a value in that slot.
        kinds: uint8[m, n]; the kind of the value in that slot.
        starts: int32[m, n]; where the value starts in the block; a string's first byte within the quotes.
        lengths: int32[m, n]; its bytes; a string's without the quotes.
    """

    bounds: npt.NDArray[np.int64]
    states: npt.NDArray[np.uint8]
    unknown: npt.NDArray[np.uint8]
    seen: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]


class Layout:
    """The keys whose values are wanted, and the slot each goes to.

    A key's path is its chain of object keys from the top. Several keys may share a slot (a field and its
    aliases): a record with two of them is left, as is one with a key twice. `follow` remembers which key came
    after which in the last records; it makes scanning quicker, and changes nothing else.

    Args:
        slots: slot name -> the paths that fill it.
        also_unknown: top-level keys that fill a slot and yet count as unknown.
    """

    def __init__(self, slots: Paths, also_unknown: frozenset[str] = frozenset()) -> None:
        self.slots: dict[str, int] = {}
        nodes: dict[tuple[str, ...], int] = {(): 0}
        entries: dict[tuple[str, ...], list[int]] = {}  # path -> [slot, child node, counts as unknown]
        for name, paths in slots.items():
            slot = self.slots.setdefault(name, len(self.slots))
            for path in paths:
                for depth in range(1, len(path)):
                    entry = entries.setdefault(path[:depth], [-1, -1, 0])
                    if entry[1] < 0:
                        entry[1] = nodes.setdefault(path[:depth], len(nodes))
                entries.setdefault(path, [-1, -1, 0])[0] = slot
        inner = 0
        for entry in entries.values():
            # Every known key has a slot, so that a second one of the same name is noticed.
            if entry[0] < 0:
                entry[0] = len(self.slots) + inner
                inner += 1
        self.width = len(self.slots) + inner
        for key in also_unknown:
            entries[(key,)][2] = 1
        ordered = sorted(entries, key=lambda path: nodes[path[:-1]])
        keys = [path[-1].encode() for path in ordered]
        self._bytes = np.frombuffer(b"".join(keys), np.uint8)
        self._offsets = np.cumsum([0, *map(len, keys)]).astype(np.int32)
        self._table = np.array([entries[path] for path in ordered], np.int32)
        owner = [nodes[path[:-1]] for path in ordered]
        self._first = np.searchsorted(owner, np.arange(len(nodes) + 1)).astype(np.int32)
        self._follow = np.zeros(len(ordered) + len(nodes), np.int32)

    def scan(self, data: bytes, count: int) -> Scan:
        """Scan `count` records, a newline after each.

        Raises:
            ValueError: `data` doesn't hold exactly `count` lines.
        """
        if count and not data.endswith(b"\n"):
            raise ValueError("a block's data must end with a newline")
        bounds = np.empty(count + 1, np.int64)
        states = np.empty(count, np.uint8)
        unknown = np.zeros(count, np.uint8)
        seen = np.zeros(self.width, np.uint8)
        kinds = np.zeros((self.width, count), np.uint8)
        starts = np.empty((self.width, count), np.int32)
        lengths = np.empty((self.width, count), np.int32)
        end = _scan(
            np.frombuffer(data, np.uint8), self._bytes, self._offsets, self._table, self._first, self._follow,
            bounds, states, unknown, seen, kinds, starts, lengths,
        )  # fmt: skip
        if end != len(data):
            raise ValueError(f"a block of {count} records holds another number of lines")
        return Scan(bounds, states, unknown, seen, kinds, starts, lengths)


@compiled
def _skip_space(buf: Array, i: int) -> int:
    while buf[i] == 32 or buf[i] == 9 or buf[i] == 13:
        i += 1
    return i


@compiled
def _hex(c: int) -> int:
    if 48 <= c <= 57:
        return c - 48
    c |= 32
    if 97 <= c <= 102:
        return c - 87
    return -1


@compiled
def _escape_end(buf: Array, i: int) -> int:
    """The index after the escape whose backslash stands at `i`; -1 where it is wrong, NUL or a surrogate."""
    c = buf[i + 1]
    if c == 117:
        code = 0
        for j in range(i + 2, i + 6):
            digit = _hex(buf[j])
            if digit < 0:
                return -1
            code = code * 16 + digit
        if code == 0 or 0xD800 <= code <= 0xDFFF:
            return -1
        return i + 6
    if c == 34 or c == 92 or c == 47 or c == 98 or c == 102 or c == 110 or c == 114 or c == 116:
        return i + 2
    return -1


@compiled
def _number_end(buf: Array, i: int) -> int:
    """Twice the index after the number at `i`, plus 1 for a decimal; -1 where the generic way must decide."""
    first = i
    if buf[i] == 45:
        i += 1
    digits = i
    while 48 <= buf[i] <= 57:
        i += 1
    if i == digits or i - digits > 18 or (buf[digits] == 48 and i - digits > 1):
        return -1
    decimal = 0
    if buf[i] == 46:
        decimal = 1
        i += 1
        digits = i
        while 48 <= buf[i] <= 57:
            i += 1
        if i == digits or i - first > 40:
            return -1
    if buf[i] == 101 or buf[i] == 69:
        return -1
    return i * 2 + decimal


@compiled
def _find_key(
    buf: Array, i: int, length: int, names: Array, offsets: Array, first: int, last: int, guess: int
) -> int:
    """The entry in [first, last) whose name is the `length` bytes at `i`, from `guess` on; -1 if none is."""
    for step in range(last - first):
        entry = guess + step
        if entry >= last:
            entry -= last - first
        at = offsets[entry]
        if offsets[entry + 1] - at != length:
            continue
        same = True
        for j in range(length):
            if names[at + j] != buf[i + j]:
                same = False
                break
        if same:
            return entry
    return -1


@compiled
def _scan(
    buf: Array, names: Array, offsets: Array, table: Array, first: Array, follow: Array,
    bounds: Array, states: Array, unknown: Array, seen: Array, kinds: Array, starts: Array, lengths: Array,
) -> int:  # fmt: skip
    rows = states.size
    entries = table.shape[0]
    nodes = np.empty(MAX_DEPTH + 1, np.int32)
    slots = np.empty(MAX_DEPTH + 1, np.int32)
    previous = np.empty(MAX_DEPTH + 1, np.int32)
    objects = np.empty(MAX_DEPTH + 1, np.uint8)
    end = buf.size
    i = 0
    for row in range(rows):
        bounds[row] = i
        if i >= end:
            return -1
        states[row] = LEFT
        i = _skip_space(buf, i)
        good = buf[i] == 123
        depth = -1
        value = good  # a value is expected
        slot = -1
        node = 0
        while good:
            if value:
                c = buf[i]
                kind = ABSENT
                at = i
                if c == 34:
                    i += 1
                    at = i
                    kind = TEXT
                    while True:
                        c = buf[i]
                        if c == 34:
                            break
                        if c == 92:
                            kind = ESCAPED
                            i = _escape_end(buf, i)
                            if i < 0:
                                i = at
                                good = False
                                break
                        elif c < 32:
                            good = False
                            break
                        else:
                            i += 1
                    if not good:
                        break
                    if slot >= 0:
                        kinds[slot, row] = kind
                        starts[slot, row] = at
                        lengths[slot, row] = i - at
                    i += 1
                elif c == 123 or c == 91:
                    if depth + 1 >= MAX_DEPTH:
                        good = False
                        break
                    depth += 1
                    slots[depth] = slot
                    if slot >= 0:
                        kinds[slot, row] = OBJECT if c == 123 else ARRAY
                        starts[slot, row] = i
                    i = _skip_space(buf, i + 1)
                    if c == 123:
                        objects[depth] = 1
                        nodes[depth] = node
                        previous[depth] = entries + node
                        if buf[i] != 125:
                            if buf[i] != 34:
                                good = False
                                break
                            value = False
                            continue
                    else:
                        objects[depth] = 0
                        slot = -1
                        node = -1
                        if buf[i] != 93:
                            continue
                elif c == 45 or 48 <= c <= 57:
                    found = _number_end(buf, i)
                    if found < 0:
                        good = False
                        break
                    i = found >> 1
                    if slot >= 0:
                        kinds[slot, row] = INTEGER + (found & 1)
                        starts[slot, row] = at
                        lengths[slot, row] = i - at
                else:
                    if c == 116 and buf[i + 1] == 114 and buf[i + 2] == 117 and buf[i + 3] == 101:
                        kind = TRUE
                        i += 4
                    elif c == 110 and buf[i + 1] == 117 and buf[i + 2] == 108 and buf[i + 3] == 108:
                        kind = NULL
                        i += 4
                    elif (
                        c == 102
                        and buf[i + 1] == 97
                        and buf[i + 2] == 108
                        and buf[i + 3] == 115
                        and buf[i + 4] == 101
                    ):
                        kind = FALSE
                        i += 5
                    else:
                        good = False
                        break
                    if slot >= 0:
                        kinds[slot, row] = kind
                        starts[slot, row] = at
                        lengths[slot, row] = i - at
                # after a value: close what closes here, then a comma
                i = _skip_space(buf, i)
                while depth >= 0 and buf[i] == (125 if objects[depth] == 1 else 93):
                    i += 1
                    slot = slots[depth]
                    if slot >= 0:
                        lengths[slot, row] = i - starts[slot, row]
                    depth -= 1
                    i = _skip_space(buf, i)
                if depth < 0:
                    break
                if buf[i] != 44:
                    good = False
                    break
                i = _skip_space(buf, i + 1)
                slot = -1
                node = -1
                value = objects[depth] == 0
                if not value and buf[i] != 34:
                    good = False
                    break
            else:
                i += 1
                at = i
                escaped = False
                while True:
                    c = buf[i]
                    if c == 34:
                        break
                    if c == 92:
                        escaped = True
                        i = _escape_end(buf, i)
                        if i < 0:
                            i = at
                            good = False
                            break
                    elif c < 32:
                        good = False
                        break
                    else:
                        i += 1
                owner = nodes[depth]
                slot = -1
                node = -1
                if not good or (escaped and owner >= 0):
                    good = False
                    break
                if owner >= 0:
                    before = previous[depth]
                    entry = _find_key(
                        buf, at, i - at, names, offsets, first[owner], first[owner + 1],
                        max(follow[before], first[owner]),
                    )  # fmt: skip
                    if entry < 0:
                        if owner == 0:
                            unknown[row] = 1
                    else:
                        follow[before] = entry
                        previous[depth] = entry
                        slot = table[entry, 0]
                        node = table[entry, 1]
                        if table[entry, 2] == 1:
                            unknown[row] = 1
                        if kinds[slot, row] != ABSENT:
                            good = False
                            break
                        seen[slot] = 1
                i = _skip_space(buf, i + 1)
                if buf[i] != 58:
                    good = False
                    break
                i = _skip_space(buf, i + 1)
                value = True
        if good and buf[i] == 10:
            states[row] = TAKEN
        else:
            while buf[i] != 10:
                i += 1
        i += 1
    bounds[rows] = i
    return i
