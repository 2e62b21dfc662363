"""From places in a block of records to columns: compiled loops over what `json_scan` found.

A text is a pair of arrays (start, length): length -1 is null, and a start below zero counts from the end of a
side buffer, `~start`, for what doesn't stand in the records as such. A loop that meets a value it isn't sure
of marks the record `LEFT`, for the generic way to decide. Blank text (ASCII whitespace alone) is null.
"""

# Compiled code, as in `json_scan`, and the same exceptions.
# ruff: noqa: C901, FBT001, PLR0911, PLR0912, PLR0913, PLR0915, PLR0917, PLR1714, SIM109
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from footfall.compiled import compiled
from footfall.envelope import EARLIEST_TIME_MS, LATEST_TIME_MS
from footfall.json_scan import ABSENT, DECIMAL, ESCAPED, INTEGER, LEFT, NULL, TEXT, Array, Scan

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_MONEY_DIGITS = 6
_NO_TEXT = pl.Series([None], dtype=pl.String)


class Spans(NamedTuple):
    """Where each record's text stands: int32 starts and lengths (-1: null); whether it has escapes."""

    starts: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    escaped: npt.NDArray[np.bool_]

    def where(self, condition: npt.NDArray[np.bool_], other: "Spans") -> "Spans":
        """These spans where the condition holds, the other ones elsewhere."""
        return Spans(
            np.where(condition, self.starts, other.starts),
            np.where(condition, self.lengths, other.lengths),
            np.where(condition, self.escaped, other.escaped),
        )

    def compress(self, taken: npt.NDArray[np.bool_]) -> "Spans":
        """The spans of the records that the mask names."""
        return Spans(self.starts[taken], self.lengths[taken], self.escaped[taken])


def text_spans(buffer: Bytes, scan: Scan, slots: list[int], *, strict: bool) -> Spans:
    """The first text among the slots, blank ones passed over.

    A value that is no text (or null) makes its record `LEFT` if `strict`, and counts as absent if not.
    """
    rows = scan.states.size
    lengths = np.full(rows, -1, np.int32)
    starts = np.zeros(rows, np.int32)
    escaped = np.zeros(rows, np.bool_)
    for slot in slots:
        if scan.seen[slot]:
            _pick_text(
                buffer, scan.kinds[slot], scan.starts[slot], scan.lengths[slot], strict,
                scan.states, starts, lengths, escaped,
            )  # fmt: skip
    return Spans(starts, lengths, escaped)


def raw_spans(scan: Scan, slot: int) -> Spans:
    """The value in the slot as JSON text, a string with its quotes; null where it is absent or null."""
    kinds = scan.kinds[slot]
    quotes = ((kinds == TEXT) | (kinds == ESCAPED)).astype(np.int32)
    lengths = np.where((kinds == ABSENT) | (kinds == NULL), np.int32(-1), scan.lengths[slot] + 2 * quotes)
    return Spans(scan.starts[slot] - quotes, lengths, np.zeros(kinds.size, np.bool_))


def check_text(scan: Scan, slot: int) -> None:
    """Mark the records `LEFT` whose value in that slot is neither text nor null."""
    if scan.seen[slot]:
        kinds = scan.kinds[slot]
        scan.states[(kinds > ESCAPED) & (kinds != NULL)] = LEFT


def times(buffer: Bytes, scan: Scan, slot: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Milliseconds since 1970, UTC, and whether there is a time."""
    values = np.zeros(scan.states.size, np.int64)
    valid = np.zeros(scan.states.size, np.bool_)
    if scan.seen[slot]:
        _times(
            buffer, scan.kinds[slot], scan.starts[slot], scan.lengths[slot],
            EARLIEST_TIME_MS, LATEST_TIME_MS, scan.states, values, valid,
        )  # fmt: skip
    return values, valid


def decimals(
    buffer: Bytes,
    scan: Scan,
    slots: list[int],
    *,
    digits: int,
    bits: int,
    texts: bool = False,
    strict: bool = True,
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The first number among the slots in units of 10^-digits, and whether there is one.

    It is rounded half to even.

    Args:
        buffer: the block's bytes.
        scan: where the values stand.
        slots: the slots to look in, in order.
        digits: digits after the point that are kept.
        bits: the result lies between -2^bits and 2^bits; a record whose doesn't is `LEFT`.
        texts: whether a string may hold the number.
        strict: whether a value that is no number makes its record `LEFT`; it counts as absent if not.
    """
    values = np.zeros(scan.states.size, np.int64)
    valid = np.zeros(scan.states.size, np.bool_)
    for slot in slots:
        if scan.seen[slot]:
            _decimals(
                buffer, scan.kinds[slot], scan.starts[slot], scan.lengths[slot],
                digits, (1 << bits) - 1, texts, strict, scan.states, values, valid,
            )  # fmt: skip
    return values, valid


def money(buffer: Bytes, scan: Scan, slots: list[int], *, strict: bool) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """The first amount among the slots, in millionths, and whether there is one."""
    return decimals(buffer, scan, slots, digits=_MONEY_DIGITS, bits=63, texts=True, strict=strict)


def path_spans(buffer: Bytes, urls: Spans) -> Spans:
    """The path within each address (`page_path`'s rule); null where the address is, or has escapes in it."""
    starts, lengths = np.zeros_like(urls.starts), np.full_like(urls.lengths, -1)
    _paths(buffer, urls.starts, urls.lengths, urls.escaped, starts, lengths)
    return Spans(starts, lengths, np.zeros_like(urls.escaped))


def campaign_rows(buffer: Bytes, urls: Spans) -> Ints:
    """The rows whose address has "utm_" after a question mark."""
    found = np.zeros(urls.starts.size, np.bool_)
    _campaigns(buffer, urls.starts, urls.lengths, found)
    return np.flatnonzero(found)


def distinct(buffer: Bytes, spans: Spans) -> tuple[npt.NDArray[np.int32], Ints]:
    """Number the distinct texts: each row's number (-1: null) and the first row of each number."""
    rows = spans.starts.size
    codes = np.empty(rows, np.int32)
    firsts = np.empty(rows, np.int64)
    size = 1024
    while True:
        count = _distinct(buffer, spans.starts, spans.lengths, np.full(size, -1, np.int32), codes, firsts)
        if count >= 0:
            return codes, firsts[:count]
        size *= 8


def _arrow_buffer(size: int) -> tuple[Any, Bytes]:
    """A buffer of Arrow's own memory, and a view to fill it by.

    It mustn't be memory that Python owns: freeing that takes the interpreter's lock, which the thread that waits for
    the Polars thread that frees it may be holding.
    """
    buffer = pa.allocate_buffer(size)
    return buffer, np.frombuffer(buffer, np.uint8)


def text_series(name: str, buffer: Bytes, side: bytes, spans: Spans) -> pl.Series:
    """A String column of its own memory; the texts must be UTF-8 without escapes."""
    rows = spans.starts.size
    if not (spans.lengths >= 0).any():
        return _NO_TEXT.new_from_index(0, rows).alias(name)
    total = int(spans.lengths[spans.lengths > 12].sum(dtype=np.int64))
    views_buffer, views_bytes = _arrow_buffer(rows * 16)
    data_buffer, data = _arrow_buffer(total)
    views_bytes[:] = 0
    views = views_bytes.reshape(rows, 16)
    extra = np.frombuffer(side, np.uint8) if side else np.zeros(1, np.uint8)
    nulls = _views(buffer, extra, spans.starts, spans.lengths, views, views.view(np.int32), data)
    valid = None
    if nulls:
        bits = np.packbits(spans.lengths >= 0, bitorder="little")
        valid, valid_bytes = _arrow_buffer(bits.size)
        valid_bytes[:] = bits
    return pl.Series(name, pa.Array.from_buffers(pa.string_view(), rows, [valid, views_buffer, data_buffer]))


def integer_series(name: str, values: Ints, valid: npt.NDArray[np.bool_], dtype: pl.DataType) -> pl.Series:
    """A column of integers or times, null where not `valid`."""
    if not valid.any():
        return pl.Series(name, [None], dtype=dtype).new_from_index(0, values.size)
    if valid.all():
        return pl.Series(name, values).cast(dtype)
    return pl.Series(name, values).set(pl.Series(~valid), None).cast(dtype)


@compiled
def _hex(c: int) -> int:
    return c - 48 if c <= 57 else (c | 32) - 87


@compiled
def _blank(buf: Array, i: int, end: int) -> bool:
    while i < end:
        c = buf[i]
        i += 1
        if c == 92:
            c = buf[i]
            i += 1
            if c == 117:
                c = 0
                for j in range(i, i + 4):
                    c = c * 16 + _hex(buf[j])
                i += 4
            elif c == 116 or c == 110 or c == 114 or c == 102:
                c = 32
        if not (c == 32 or 9 <= c <= 13):
            return False
    return True


@compiled
def _pick_text(
    buf: Array,
    kinds: Array,
    starts: Array,
    lengths: Array,
    strict: bool,
    states: Array,
    to: Array,
    long: Array,
    escaped: Array,
) -> None:
    for row in range(states.size):
        kind = kinds[row]
        if kind == TEXT or kind == ESCAPED:
            at = starts[row]
            length = lengths[row]
            if long[row] < 0 and length > 0:
                c = buf[at]
                if (c > 32 and c != 92) or not _blank(buf, at, at + length):
                    to[row] = at
                    long[row] = length
                    escaped[row] = kind == ESCAPED
        elif strict and kind != ABSENT and kind != NULL:
            states[row] = LEFT


@compiled
def _two(buf: Array, i: int) -> int:
    """The number that two digits make; -1000 where they aren't both digits."""
    a = buf[i] - 48
    b = buf[i + 1] - 48
    if a < 0 or a > 9 or b < 0 or b > 9:
        return -1000
    number: int = a * 10 + b
    return number


@compiled
def _iso_time(buf: Array, i: int, end: int) -> int:
    """YYYY-MM-DDTHH:MM:SS, up to 9 digits of a second, Z or hours and minutes of offset; -1 for all else."""
    if end - i < 19:
        return -1
    if buf[i + 4] != 45 or buf[i + 7] != 45 or buf[i + 13] != 58 or buf[i + 16] != 58:
        return -1
    if buf[i + 10] != 84 and buf[i + 10] != 32:
        return -1
    year = _two(buf, i) * 100 + _two(buf, i + 2)
    month = _two(buf, i + 5)
    day = _two(buf, i + 8)
    hour = _two(buf, i + 11)
    minute = _two(buf, i + 14)
    second = _two(buf, i + 17)
    if year < 1900 or month < 1 or month > 12 or day < 1 or hour < 0 or hour > 23:
        return -1
    if minute < 0 or minute > 59 or second < 0 or second > 59:
        return -1
    longest = 31
    if month == 4 or month == 6 or month == 9 or month == 11:
        longest = 30
    elif month == 2:
        longest = 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28
    if day > longest:
        return -1
    i += 19
    ms = 0
    if i < end and buf[i] == 46:
        i += 1
        first = i
        scale = 100
        while i < end and 48 <= buf[i] <= 57:
            ms += (buf[i] - 48) * scale
            scale //= 10
            i += 1
        if i == first or i - first > 9:
            return -1
    offset = 0
    if i < end:
        if buf[i] == 90:
            i += 1
        elif (buf[i] == 43 or buf[i] == 45) and end - i == 6 and buf[i + 3] == 58:
            hours = _two(buf, i + 1)
            minutes = _two(buf, i + 4)
            if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
                return -1
            offset = hours * 60 + minutes
            if buf[i] == 45:
                offset = -offset
            i += 6
        if i != end:
            return -1
    # Days since 1970 of a civil date, with the year counted from March.
    if month <= 2:
        year -= 1
        month += 12
    days = (
        365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 1 - 719468
    )
    return (((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + ms


@compiled
def _times(
    buf: Array,
    kinds: Array,
    starts: Array,
    lengths: Array,
    earliest: int,
    latest: int,
    states: Array,
    values: Array,
    valid: Array,
) -> None:
    for row in range(states.size):
        kind = kinds[row]
        if kind == ABSENT or kind == NULL:
            continue
        value = -1
        at = starts[row]
        if kind == INTEGER:
            if buf[at] != 45:
                value = 0
                for i in range(at, at + lengths[row]):
                    value = value * 10 + buf[i] - 48
        elif kind == TEXT:
            value = _iso_time(buf, at, at + lengths[row])
        if earliest <= value <= latest and value >= 0:
            values[row] = value
            valid[row] = True
        else:
            states[row] = LEFT


@compiled
def _decimals(
    buf: Array, kinds: Array, starts: Array, lengths: Array, digits: int, highest: int, texts: bool,
    strict: bool, states: Array, values: Array, valid: Array,
) -> None:  # fmt: skip
    scale = 1
    for _ in range(digits):
        scale *= 10
    for row in range(states.size):
        kind = kinds[row]
        if valid[row] or kind == ABSENT or kind == NULL:
            continue
        i = starts[row]
        end = i + lengths[row]
        if not (kind == INTEGER or kind == DECIMAL or (kind == TEXT and texts)):
            if strict or kind == ESCAPED:
                states[row] = LEFT
            continue
        if kind == TEXT and not strict and (i == end or buf[i] > 57):
            continue
        negative = i < end and buf[i] == 45
        if negative:
            i += 1
        first = i
        whole = 0
        while i < end and 48 <= buf[i] <= 57 and i - first < 18:
            whole = whole * 10 + buf[i] - 48
            i += 1
        good = i > first and whole <= highest // scale
        part = 0
        if good and i < end and buf[i] == 46:
            i += 1
            first = i
            kept = 0
            half = 0  # of what is cut: the first digit, then whether anything follows
            rest = False
            while i < end and 48 <= buf[i] <= 57:
                digit = buf[i] - 48
                if kept < digits:
                    part = part * 10 + digit
                    kept += 1
                elif i - first == digits:
                    half = digit
                elif digit != 0:
                    rest = True
                i += 1
            good = i > first
            while kept < digits:
                part *= 10
                kept += 1
            if half > 5 or (half == 5 and (rest or (whole * scale + part) % 2 == 1)):
                part += 1
        if good and i == end and part <= highest - whole * scale:
            value = whole * scale + part
            values[row] = -value if negative else value
            valid[row] = True
        else:
            states[row] = LEFT


@compiled
def _paths(buf: Array, starts: Array, lengths: Array, escaped: Array, to: Array, long: Array) -> None:
    for row in range(starts.size):
        if lengths[row] < 0 or escaped[row]:
            continue
        i = starts[row]
        end = i + lengths[row]
        j = i
        while j < end and buf[j] != 58 and buf[j] != 47 and buf[j] != 63 and buf[j] != 35:
            j += 1
        if j < end and buf[j] == 58 and j > i:
            i = j + 1
        authority = end - i >= 2 and buf[i] == 47 and buf[i + 1] == 47
        if authority:
            i += 2
            while i < end and buf[i] != 47 and buf[i] != 63 and buf[i] != 35:
                i += 1
        j = i
        while j < end and buf[j] != 63 and buf[j] != 35:
            j += 1
        if j > i and not _blank(buf, i, j):
            to[row] = i
            long[row] = j - i
        elif authority:
            to[row] = -1
            long[row] = 1


@compiled
def _campaigns(buf: Array, starts: Array, lengths: Array, found: Array) -> None:
    for row in range(starts.size):
        i = starts[row]
        end = i + lengths[row]
        while i < end and buf[i] != 63:
            i += 1
        while i + 4 < end:
            i += 1
            if buf[i] == 117 and buf[i + 1] == 116 and buf[i + 2] == 109 and buf[i + 3] == 95:
                found[row] = True
                break


@compiled
def _distinct(buf: Array, starts: Array, lengths: Array, table: Array, codes: Array, firsts: Array) -> int:
    """The count of distinct texts; -1 where the table is too small."""
    count = 0
    mask = table.size - 1
    for row in range(starts.size):
        length = lengths[row]
        if length < 0:
            codes[row] = -1
            continue
        at = starts[row]
        mixed = np.uint64(0xCBF29CE484222325)
        for i in range(at, at + length):
            mixed = (mixed ^ np.uint64(buf[i])) * np.uint64(0x100000001B3)
        place = np.int64((mixed >> np.uint64(20)) & np.uint64(mask))
        while True:
            code = table[place]
            if code < 0:
                if count * 2 > mask:
                    return -1
                table[place] = count
                firsts[count] = row
                codes[row] = count
                count += 1
                break
            other = firsts[code]
            if lengths[other] == length:
                same = True
                start = starts[other]
                for i in range(length):
                    if buf[start + i] != buf[at + i]:
                        same = False
                        break
                if same:
                    codes[row] = code
                    break
            place = (place + 1) & mask
    return count


@compiled
def _views(
    buf: Array, side: Array, starts: Array, lengths: Array, views: Array, words: Array, data: Array
) -> int:
    """Write Arrow's string views, texts of over 12 bytes to `data`; the count of nulls."""
    nulls = 0
    used = 0
    for row in range(starts.size):
        length = lengths[row]
        if length < 0:
            nulls += 1
            continue
        at = starts[row]
        source = buf
        if at < 0:
            at = ~at
            source = side
        words[row, 0] = length
        if length <= 12:
            for i in range(length):
                views[row, 4 + i] = source[at + i]
        else:
            for i in range(4):
                views[row, 4 + i] = source[at + i]
            words[row, 3] = used
            for i in range(length):
                data[used + i] = source[at + i]
            used += length
    return nulls
