"""The interface of the input formats, and the decoding that they share: records in, columns out.

A format says where in a record its values stand (`slots`) and how an event's name and time come from them.
The records of a block are scanned in one compiled pass and turned into columns; a record that the fast pass
isn't sure of is read by the generic one, which either refuses it (a dead letter, with the reason) or writes
it down anew in a plain form that the fast pass takes. So a record gives the same event whatever stands beside
it in its block.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from footfall import columns as col
from footfall.envelope import FIELDS, SCHEMA
from footfall.errors import UsageError
from footfall.event_names import EventNames
from footfall.json_scan import LEFT, TAKEN, Layout, Scan
from footfall.page_address import CAMPAIGN, page_campaign, page_path
from footfall.raw_json import READERS, UnfitError, is_object, members, merge_properties, read_members
from footfall.record_part import Part
from footfall.records import RecordBlock
from footfall.robots import is_robot
from footfall.tables import DEAD_LETTERS
from footfall.user_agents import browser_of, device_of

# Why a record is a dead letter; the codes are part of the store's contract.
REASONS: dict[str, str] = {
    "empty": "the line is blank",
    "too_large": "the record is larger than a record may be",
    "nul": "it holds a NUL, as a byte or escaped",
    "invalid_utf8": "it isn't UTF-8",
    "not_json": "it isn't well-formed JSON",
    "too_deep": "it is nested too deep",
    "not_an_object": "it is JSON, but no object",
    "wrong_type": "a field has a value of the wrong type",
    "bad_time": "a time is none, or lies outside 1970 to 2200",
    "bad_number": "an amount in a string is no decimal number",
    "overflow": "a number doesn't fit its column",
    "no_visitor": "it names neither a visitor nor a user",
    "no_event": "it has no event name, or one without a letter or digit",
    "no_time": "it has no event time",
    "unknown_type": "its message type isn't one that the format knows",
}

ALWAYS = frozenset({"message_id", "visitor_id", "event_time", "arrival_time", "source_offset"})

_DECODED = tuple(f.name for f in FIELDS if f.name != "source_partition")
_CACHED_NAMES = 65_536
_OF_AGENTS: Mapping[str, Callable[[str], str | None]] = {"device": device_of, "browser": browser_of}
"""What user agents say, as columns."""

_NO_LETTERS = DEAD_LETTERS.empty()


@dataclass(frozen=True, slots=True)
class Slot:
    """One value that a record may carry.

    Attributes:
        kind: how it is read; "raw" is any JSON value.
        paths: the key paths under which it may stand. The first that holds a value counts.
        strict: whether a value of another kind makes the record a dead letter; it counts as absent if not.
    """

    kind: Literal["text", "time", "number", "money", "raw"]
    paths: tuple[tuple[str, ...], ...]
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a block of records.

    Attributes:
        events: the good ones in the order of their offsets, with the wanted columns of the envelope (always those
            in `ALWAYS`), in its order and types. `event_time` is the time as sent, `late` and `clock_capped`
            are false: the clock comes after. `source_partition` is left out; it is the block's.
        dead: the others, as rows of the dead letters' table.
        count: how many records there were: `events.height + dead.height`.
    """

    events: pl.DataFrame
    dead: pl.DataFrame
    count: int


@dataclass(frozen=True, slots=True)
class DecodedTogether:
    """What became of several blocks of records.

    Attributes:
        events: as in `Decoded`, one block's after the other's.
        bounds: int64[blocks + 1]; block i's events are the rows from bounds[i] to bounds[i + 1].
        dead: for each block its dead letters, as in `Decoded`.
    """

    events: pl.DataFrame
    bounds: npt.NDArray[np.int64]
    dead: tuple[pl.DataFrame, ...]


class Decoder(Protocol):
    """What decodes one partition's records."""

    def decode(self, block: RecordBlock) -> Decoded:
        """Turn a block's records into events and dead letters."""


class Format(ABC):
    """An input format. An instance belongs to one partition's reader and keeps only caches.

    Args:
        names: what event names become.
        columns: the wanted columns of the envelope; None for all. Records are checked in full all the same.

    Raises:
        ValueError: a wanted column isn't one of the envelope's.
    """

    name: ClassVar[str]
    slots: ClassVar[Mapping[str, Slot]]
    texts: ClassVar[Mapping[str, tuple[str, ...]]]
    """Text columns of the envelope -> the slots that fill them, in order."""
    amounts: ClassVar[tuple[str, ...]]
    """The slots that fill `value`, in order."""
    keeps_unknown: ClassVar[bool] = False
    """Whether unknown top-level fields go to the properties."""
    also_unknown: ClassVar[frozenset[str]] = frozenset()
    """Top-level fields that are read and yet go to the properties."""

    def __init__(self, names: EventNames, columns: frozenset[str] | None = None) -> None:
        wanted = frozenset(SCHEMA) if columns is None else columns | ALWAYS
        if unknown := sorted(wanted - set(SCHEMA)):
            raise ValueError(f"not columns of the envelope: {', '.join(unknown)}")
        self._names = names
        self._columns = tuple(name for name in _DECODED if name in wanted)
        self._wanted = frozenset(self._columns)
        self._layout = Layout({name: slot.paths for name, slot in self.slots.items()}, self.also_unknown)
        self._event_names: dict[bytes, tuple[str, str]] = {}
        # Slots that no column asks for are checked all the same.
        read = {"message_id", "visitor_id", "user_id"}
        self._unread = [
            name
            for name, slot in self.slots.items()
            if slot.kind == "text" and slot.strict and name not in read | self._own_slots()
        ]

    @abstractmethod
    def _event_texts(self, part: Part) -> col.Spans:
        """Where each event's name as sent stands; a record whose message type is unknown is left."""

    @abstractmethod
    def _event_times(self, part: Part) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Each event's time and where there is one."""

    @abstractmethod
    def _own_properties(self, part: Part) -> col.Spans:
        """Where each event's properties stand."""

    @abstractmethod
    def _own_slots(self) -> frozenset[str]:
        """The text slots that `_event_texts` checks."""

    @abstractmethod
    def _event_name_of(self, values: Mapping[str, Any]) -> str | None:
        """One record's event name as sent, from its slots' values.

        Raises:
            UnfitError: its message type is unknown.
        """

    @abstractmethod
    def _event_time_of(self, values: Mapping[str, Any]) -> int | None:
        """One record's event time.

        Raises:
            UnfitError: it lies out of bounds.
        """

    @abstractmethod
    def _own_properties_of(self, values: Mapping[str, Any]) -> bytes | None:
        """One record's properties as JSON text."""

    def decode(self, block: RecordBlock) -> Decoded:
        """Turn a block's records into events and dead letters.

        Raises:
            ValueError: the block's data aren't `count` lines, each with its newline.
        """
        found = self.decode_together([block])
        return Decoded(found.events, found.dead[0], block.count)

    def decode_together(self, blocks: Sequence[RecordBlock]) -> DecodedTogether:
        """Decode several blocks, of any partitions, at once: to each the same happens as in `decode`.

        For small blocks this takes little longer than one of them would. They are of one kind: in all of them the
        transport knows the arrivals or in none, and what records say of theirs counts in all or in none.

        Raises:
            ValueError: there is no block, one's data aren't `count` lines, or they are of several kinds.
        """
        first, *others = blocks
        if any(
            (each.arrivals is None, each.own_arrivals) != (first.arrivals is None, first.own_arrivals)
            for each in others
        ):
            raise ValueError("blocks that differ in where their arrivals come from can't be decoded together")
        starts = np.cumsum([0, *(block.count for block in blocks)])
        data = b"".join([block.data for block in blocks]) if others else first.data
        count = int(starts[-1])
        scan = self._layout.scan(data, count)
        if others and not np.array_equal(
            scan.bounds[starts], np.cumsum([0, *(len(block.data) for block in blocks)])
        ):
            raise ValueError("one of the blocks holds another number of lines than it has records")
        if count == 0:
            none = (_NO_LETTERS,) * len(blocks)
            return DecodedTogether(pl.DataFrame(schema=self._schema()), starts, none)
        _leave_broken_text(data, scan)
        for block, start in zip(blocks, starts.tolist(), strict=False):
            for row in block.oversized:
                scan.states[start + row] = LEFT
        offsets, arrivals = first.offsets_of_records(), first.arrivals
        if others:
            offsets = np.concatenate([block.offsets_of_records() for block in blocks])
            known = [block.arrivals for block in blocks if block.arrivals is not None]
            arrivals = np.concatenate(known) if known else None
        part = self._part(data, scan, offsets, arrivals, own_arrivals=first.own_arrivals)
        events = self._frame(part)
        left = np.flatnonzero(scan.states != TAKEN)
        if not left.size:
            return DecodedTogether(events, starts, (_NO_LETTERS,) * len(blocks))
        taken = np.flatnonzero(scan.states == TAKEN)
        again, rows, dead = self._decode_left(blocks, starts, part, left)
        if again is not None:
            taken = np.concatenate([taken, rows])
            order = np.argsort(taken)
            events, taken = pl.concat([events, again])[order], taken[order]
        return DecodedTogether(events, np.searchsorted(taken, starts), dead)

    def _schema(self) -> dict[str, pl.DataType]:
        return {name: SCHEMA[name] for name in self._columns}

    def _part(
        self,
        data: bytes,
        scan: Scan,
        offsets: npt.NDArray[np.int64],
        arrivals: npt.NDArray[np.int64] | None,
        properties: list[bytes] | None = None,
        *,
        own_arrivals: bool,
    ) -> Part:
        buffer = np.frombuffer(data, np.uint8)
        slots = self._layout.slots
        return Part(data, scan, slots, buffer, offsets, arrivals, own_arrivals, properties)

    # --- the fast way: columns
    # -------------------------------------------------------------------------------

    def _frame(self, part: Part) -> pl.DataFrame:
        """The columns of the records that are taken; `part.scan.states` says which, after it."""
        scan = part.scan
        messages, users = part.text("message_id"), part.text("user_id")
        visitors = part.text("visitor_id", "user_id")
        part.leave(visitors.lengths < 0)
        times, timed = self._event_times(part)
        part.leave(~timed)
        arrivals = part.times("arrival_time")
        numbers = {
            "x": self._whole(part, "x"),
            "y": self._whole(part, "y"),
            "value": col.money(
                part.buffer,
                scan,
                [part.slots[name] for name in self.amounts],
                strict=self.slots["value"].strict,
            ),
        }
        for name in self._unread:
            col.check_text(scan, part.slots[name])
        codes, names = self._event_codes(part, self._event_texts(part))

        taken = scan.states == TAKEN
        if part.arrivals is not None:
            own, given = arrivals
            if not part.own_arrivals:
                given = np.zeros_like(given)
            arrivals = (np.where(given, own, part.arrivals), np.ones_like(given))
        numbers |= {"event_time": (times, timed), "event_time_sent": (times, timed), "arrival_time": arrivals}
        numbers["source_offset"] = (part.offsets, np.ones_like(taken))
        self._identify(part, messages, taken)
        texts = {"message_id": messages, "visitor_id": visitors, "user_id": users}
        texts |= self._page_texts(part, taken)
        if "properties" in self._wanted:
            texts["properties"] = self._properties(part, taken)
        flags = {"late": np.zeros_like(taken), "clock_capped": np.zeros_like(taken)}
        agents = self._agents(part, taken)
        flags["bot"] = np.array([*map(is_robot, agents[1]), False])[agents[0]]

        rows = None if taken.all() else taken
        series: dict[str, pl.Series] = {}
        # Escapes are resolved into the side buffer, so it is complete only after all of them.
        spans = {name: part.resolved(texts[name], rows) for name in texts if name in self._wanted}
        side = bytes(part.side)
        for name, found in spans.items():
            series[name] = col.text_series(name, part.buffer, side, found)
        indices = codes[taken]
        for name, words in zip(("event_original", "event"), names, strict=True):
            series[name] = pl.Series(name, words, dtype=pl.String)[indices]
        for name in numbers.keys() & self._wanted:
            values, valid = numbers[name]
            series[name] = col.integer_series(name, values[taken], valid[taken], SCHEMA[name])
        for name in flags.keys() & self._wanted:
            series[name] = pl.Series(name, flags[name][taken])
        series |= self._agent_columns(agents, taken)
        return pl.DataFrame([series[name] for name in self._columns])

    def _whole(self, part: Part, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        slots = [part.slots[name]] if name in part.slots else []
        return col.decimals(part.buffer, part.scan, slots, digits=0, bits=31)

    def _event_codes(
        self, part: Part, spans: col.Spans
    ) -> tuple[npt.NDArray[np.int32], tuple[list[str], list[str]]]:
        """Each record's event as an index into two lists: the names as sent, and as used."""
        part.leave(spans.lengths < 0)
        spans.lengths[part.scan.states != TAKEN] = -1
        codes, firsts = col.distinct(part.buffer, spans)
        originals, used = [], []
        for row in firsts.tolist():
            start = int(spans.starts[row])
            raw = part.data[start : start + int(spans.lengths[row])]
            known = self._event_names.get(raw)
            if known is None:
                sent = part.read(spans, row)
                known = sent, self._names.normalise(sent)
                if len(self._event_names) < _CACHED_NAMES:
                    self._event_names[raw] = known
            originals.append(known[0])
            used.append(known[1])
        nameless = [code for code, name in enumerate(used) if not name]
        if nameless:
            part.leave(np.isin(codes, nameless))
        return codes, (originals, used)

    def _identify(self, part: Part, messages: col.Spans, taken: npt.NDArray[np.bool_]) -> None:
        for row in np.flatnonzero((messages.lengths < 0) & taken).tolist():
            part.write(messages, row, letter_digest(part.line(row)).encode())

    def _page_texts(self, part: Part, taken: npt.NDArray[np.bool_]) -> dict[str, col.Spans]:
        """The wanted text columns that a record's fields, or its page's address, give."""
        campaign = self._wanted & set(CAMPAIGN)
        found = {
            name: part.text(*slots, strict=self.slots[slots[0]].strict)
            for name, slots in self.texts.items()
            if name in self._wanted or (name == "url" and (campaign or "path" in self._wanted))
        }
        urls = found.get("url")
        if urls is None or not (urls.lengths >= 0).any():
            return found
        urls.lengths[~taken] = -1
        if "path" in found:
            mine = found["path"]
            lacking = mine.lengths < 0
            paths = mine.where(~lacking, col.path_spans(part.buffer, urls))
            for row in np.flatnonzero(lacking & urls.escaped & taken).tolist():
                path = page_path(part.read(urls, row))
                if path is not None:
                    part.write(paths, row, path.encode())
            found["path"] = paths
        if campaign:
            candidates = urls.escaped & taken
            candidates[col.campaign_rows(part.buffer, urls)] = True
            for row in np.flatnonzero(candidates).tolist():
                for name, text in page_campaign(part.read(urls, row)).items():
                    if name in campaign and found[name].lengths[row] < 0:
                        part.write(found[name], row, text.encode())
        return found

    def _properties(self, part: Part, taken: npt.NDArray[np.bool_]) -> col.Spans:
        if part.properties is not None:
            count = len(part.properties)
            spans = col.Spans(np.zeros(count, np.int32), np.zeros(count, np.int32), np.zeros(count, np.bool_))
            for row, text in enumerate(part.properties):
                part.write(spans, row, text)
            return spans
        spans = self._own_properties(part)
        if self.keeps_unknown:
            for row in np.flatnonzero((part.scan.unknown == 1) & taken).tolist():
                found = members(part.line(row))
                own = next(
                    (found[path[0]] for path in self.slots["properties"].paths if path[0] in found), None
                )
                part.write(spans, row, merge_properties(own, self._unknown(found, frozenset(found))))
        none = spans.lengths < 0
        if none.any():
            spans.starts[none] = ~len(part.side)
            spans.lengths[none] = 2
            part.side += b"{}"
        return spans

    def _agents(self, part: Part, taken: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int32], list[str]]:
        """Each record's user agent as a place in a list; -1 where it has none, or nobody asks."""
        if self._wanted.isdisjoint(("bot", *_OF_AGENTS)):
            return np.full(taken.size, -1, np.int32), []
        agents = part.text("user_agent", strict=False)
        if not (agents.lengths >= 0).any():
            return np.full(taken.size, -1, np.int32), []
        agents.lengths[~taken] = -1
        codes, firsts = col.distinct(part.buffer, agents)
        return codes, [part.read(agents, row) for row in firsts.tolist()]

    def _agent_columns(
        self, agents: tuple[npt.NDArray[np.int32], list[str]], taken: npt.NDArray[np.bool_]
    ) -> dict[str, pl.Series]:
        """What the taken records' user agents say, by column."""
        places = np.where(agents[0] < 0, len(agents[1]), agents[0])[taken]
        columns = {}
        for name in _OF_AGENTS.keys() & self._wanted:
            words = pl.Series(name, [*map(_OF_AGENTS[name], agents[1]), None], dtype=pl.String)
            columns[name] = words[places]
        return columns

    # --- the generic way: one record at a time
    # ---------------------------------------------------------------

    def _decode_left(
        self,
        blocks: Sequence[RecordBlock],
        starts: npt.NDArray[np.int64],
        part: Part,
        left: npt.NDArray[np.int64],
    ) -> tuple[pl.DataFrame | None, npt.NDArray[np.int64], tuple[pl.DataFrame, ...]]:
        """The events of the records that were left, their rows, and by block the letters of those that are none."""
        dead: list[list[tuple[Any, ...]]] = [[] for _ in blocks]
        lines: list[bytes] = []
        properties: list[bytes] = []
        rows: list[int] = []
        block_of = np.searchsorted(starts, left, side="right") - 1
        for row, number in zip(left.tolist(), block_of.tolist(), strict=True):
            block, inner = blocks[number], row - int(starts[number])
            line = part.line(row)
            size = block.oversized.get(inner)
            try:
                if size is not None:
                    raise UnfitError("too_large", f"{size} bytes")
                plain, own = self._plain(line)
            except UnfitError as error:
                place = (block.partition, int(part.offsets[row]), block.source, block.first_line + inner)
                total = len(line) if size is None else size
                dead[number].append((*place, error.reason, error.detail, line, total, letter_digest(line)))
            else:
                rows.append(row)
                lines.append(plain)
                properties.append(own)
        letters = tuple(
            pl.DataFrame(each, schema=DEAD_LETTERS.schema, orient="row") if each else _NO_LETTERS
            for each in dead
        )
        again_rows = np.array(rows, np.int64)
        if not rows:
            return None, again_rows, letters
        data = b"\n".join([*lines, b""])
        arrivals = None if part.arrivals is None else part.arrivals[rows]
        again = self._part(
            data,
            self._layout.scan(data, len(rows)),
            part.offsets[rows],
            arrivals,
            properties,
            own_arrivals=part.own_arrivals,
        )
        events = self._frame(again)
        if events.height != len(rows):
            raise RuntimeError("a record in plain form wasn't taken; this is a fault of Footfall's decoding")
        return events, again_rows, letters

    def _plain(self, line: bytes) -> tuple[bytes, bytes]:
        """The record in a form that the fast way takes, and its properties.

        Raises:
            UnfitError: the record is a dead letter.
        """
        found = read_members(line)
        values, used = self._values(found)
        if values.get("visitor_id") is None and values.get("user_id") is None:
            raise UnfitError("no_visitor", "neither a visitor nor a user is named")
        sent = self._event_name_of(values)
        if sent is None:
            raise UnfitError("no_event", "the event has no name")
        if not self._names.normalise(sent):
            raise UnfitError("no_event", f"the event's name has neither letter nor digit: {sent[:80]!r}")
        if self._event_time_of(values) is None:
            raise UnfitError("no_time", "the event has no time")
        if values.get("message_id") is None:
            values["message_id"] = letter_digest(line)
        properties = self._own_properties_of(values)
        unknown = self._unknown(found, frozenset(used)) if self.keeps_unknown else {}
        plain: dict[str, Any] = {}
        for name, slot in self.slots.items():
            if slot.kind != "raw" and (value := values.get(name)) is not None:
                place = plain
                for key in slot.paths[0][:-1]:
                    place = place.setdefault(key, {})
                place[slot.paths[0][-1]] = msgspec.Raw(_amount(value)) if slot.kind == "money" else value
        return msgspec.json.encode(plain), merge_properties(properties, unknown)

    def _values(self, found: dict[str, bytes]) -> tuple[dict[str, Any], set[str]]:
        """The slots' values among a record's members, and the members that they were taken from."""
        values: dict[str, Any] = {}
        used: set[str] = set()
        inner: dict[tuple[str, ...], dict[str, bytes]] = {(): found}
        for name, slot in self.slots.items():
            for path in slot.paths:
                raw = _at(inner, path)
                if raw is not None and raw != b"null":
                    used.add(path[0])
                    values[name] = _read(slot, path, raw)
                    break
        return values, used

    def _unknown(self, found: Mapping[str, bytes], used: frozenset[str]) -> dict[str, bytes]:
        """The top-level members that no slot took: unknown ones, and aliases beside the name that counts."""
        known = {path[0] for slot in self.slots.values() for path in slot.paths} - self.also_unknown
        return {
            name: raw
            for name, raw in found.items()
            if name not in known or (name not in used and raw != b"null")
        }


def format_by_name(name: str) -> type[Format]:
    """The format of that name.

    Raises:
        UsageError: there is none.
    """
    # Imported here, since the formats build on this module.
    from footfall.flat_format import FlatFormat  # noqa: PLC0415
    from footfall.segment_format import SegmentFormat  # noqa: PLC0415

    formats: dict[str, type[Format]] = {kind.name: kind for kind in (FlatFormat, SegmentFormat)}
    if name not in formats:
        raise UsageError(f"there is no input format {name!r}; the formats are {', '.join(formats)}")
    return formats[name]


def _leave_broken_text(data: bytes, scan: Scan) -> None:
    """Leave the records that aren't UTF-8."""
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError:
        bounds = scan.bounds.tolist()
        for row, (start, end) in enumerate(pairwise(bounds)):
            try:
                data[start:end].decode()
            except UnicodeDecodeError:
                scan.states[row] = LEFT


def _at(inner: dict[tuple[str, ...], dict[str, bytes]], path: tuple[str, ...]) -> bytes | None:
    """The JSON text at that path; `inner` keeps the objects on the way, by their paths."""
    for depth in range(1, len(path)):
        if path[:depth] not in inner:
            raw = inner[path[: depth - 1]].get(path[depth - 1])
            inner[path[:depth]] = members(raw) if raw is not None and is_object(raw) else {}
    return inner[path[:-1]].get(path[-1])


def _read(slot: Slot, path: tuple[str, ...], raw: bytes) -> str | int | bytes | None:
    if slot.kind == "raw":
        return raw
    try:
        value: str | int | None = READERS[slot.kind](".".join(path), raw)
    except UnfitError as error:
        if slot.strict or error.reason == "overflow":
            raise
        return None
    return value


def _amount(millionths: int) -> bytes:
    whole, part = divmod(abs(millionths), 1_000_000)
    return f"{'-' if millionths < 0 else ''}{whole}.{part:06}".encode()


def letter_digest(line: bytes) -> str:
    """What names a message that has no id of its own: 128 bits of its bytes, in hex."""
    return hashlib.blake2b(line, digest_size=16).hexdigest()
