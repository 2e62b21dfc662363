"""Live partitions of one worker that are read together, in rounds.

A live worker reads a few dozen records of each partition at a time, and what a read costs hardly depends on how many
there are. So the first partition that is asked in a round reads what all those behind it have at hand: it is decoded in
one go, and goes to each shard as one batch. What becomes of a record doesn't depend on that: each partition has its own
clock, position and totals.

A round is made of partitions of one epoch, those of which as many snapshots have been taken. What is given out by one
of them stands in the snapshots of that epoch, as do the positions of all of them.
"""

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.clock import take_together
from footfall.event_batch import split_together
from footfall.formats import DecodedTogether, Format
from footfall.letters import Letters
from footfall.records import RecordBlock

if TYPE_CHECKING:
    from footfall.input import InputSettings, Item, PartitionInput

_MOST_RECORDS = 8_192
_MOST_BYTES = 8 << 20
"""Once a round has so much, it reads no further partition: a backlog is decoded no faster together."""

Bounds = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Share:
    """What one partition has in a round: its blocks, how many events they bring, and what else.

    `before` is its latest event time before them, `own_dates` says whether an event has another arrival than the
    transport gave it; None where there is no event.
    """

    part: "PartitionInput"
    blocks: list[RecordBlock]
    before: int
    events: int = 0
    own_dates: bool | None = None
    dead: list[pl.DataFrame] = field(default_factory=list)
    letters: Letters = field(default_factory=Letters)


class ReadingRound:
    """The live partitions that one worker reads, by name, which is the order in which they are asked."""

    def __init__(self, settings: "InputSettings") -> None:
        self._settings = settings
        self._parts: list[PartitionInput] = []

    def join(self, part: "PartitionInput") -> None:
        """Have a partition read together with the others."""
        self._parts = sorted([*self._parts, part], key=lambda each: each.name)

    def leave(self, part: "PartitionInput") -> None:
        """A partition isn't read any more."""
        self._parts = [each for each in self._parts if each is not part]

    def read(self, first: "PartitionInput") -> "list[Item]":
        """What the first partition, which may read, and those behind it that may have at hand.

        The others are marked as served: they have nothing to add when they are asked themselves. What one of them fails
        with is kept until then.
        """
        shares, alone = list[_Share](), list[_Share]()
        records = size = 0
        for part in [first, *self._behind(first)]:
            if records >= _MOST_RECORDS or size >= _MOST_BYTES:
                break
            if part is not first and not (part.may_read() and part.plan is first.plan):
                continue
            try:
                blocks = list(part.blocks(_MOST_RECORDS - records))
            except Exception as error:
                if part is first:
                    raise
                part.failure = error  # raised when its own turn comes
                continue
            part.served = part is not first
            records += sum(block.count for block in blocks)
            size += sum(len(block.data) for block in blocks)
            share = _Share(part, blocks, part.clock.max_event_time)
            (shares if _fits_in(share, first) else alone).append(share)
        if len(shares) == 1:
            alone += shares
            shares = []
        found = self._take([share for share in shares if share.blocks or share.part.tick()])
        return [*found, *(item for share in alone for item in share.part.take(share.blocks))]

    def _behind(self, first: "PartitionInput") -> "list[PartitionInput]":
        if first not in self._parts:
            return []
        behind = self._parts[self._parts.index(first) + 1 :]
        return [part for part in behind if part.epoch == first.epoch and part.failure is None]

    def _take(self, shares: list[_Share]) -> "list[Item]":
        """Decode the shares together, have each partition's clock take its events, and split all of them by shard."""
        if not shares:
            return []
        first, names = shares[0].part, self._settings.shard_names
        events, bounds = _decoded(shares)
        clocks = [share.part.clock for share in shares]
        events = take_together(clocks, events, bounds, with_watermarks=self._settings.early)
        if self._settings.event_columns:
            sources = pl.Series("source_partition", [share.part.name for share in shares])
            events = events.hstack([sources[np.repeat(np.arange(len(shares)), np.diff(bounds))]])
        if events.height:
            events, bounds = _without_late(events, bounds, shares)
        else:
            events = first.blank_events()
        marks = [share.part.go_on(share.before, own_dates=share.own_dates) for share in shares]
        numbers = np.repeat(np.array([mark.partition for mark in marks], np.int32), np.diff(bounds))
        batches = split_together(events, first.plan, first.row_columns, marks, len(names), partition=numbers)
        items: list[Item] = [(names[batch.shard], batch) for batch in batches]
        for share in shares:
            items += share.part.letters_of(share.letters)
        return items


def _fits_in(share: _Share, first: "PartitionInput") -> bool:
    """Whether the share's blocks can be decoded with others, and each record's time is decided at once."""
    return share.part.clock.held is None and all(
        block.arrivals is not None and isinstance(first.format_of(block.format), Format)
        for block in share.blocks
    )


def _decoded(shares: list[_Share]) -> tuple[pl.DataFrame, Bounds]:
    """The events of all shares, one's after the other's, and where each one's begin."""
    first = shares[0].part
    owned = [(share, block) for share in shares for block in share.blocks]
    frames = [first.blank]
    for (name, _), group in groupby(owned, key=lambda each: (each[1].format, each[1].own_arrivals)):
        pairs = list(group)
        decoder = first.format_of(name)
        assert isinstance(decoder, Format)  # noqa: S101 - `_fits_in` has asked
        found = decoder.decode_together([block for _, block in pairs])
        _deal_out(found, pairs)
        frames.append(found.events[first.columns])
    for share in shares:
        share.part.count(sum(block.count for block in share.blocks), share.dead, share.letters)
    events = pl.concat(frames) if len(frames) > 2 else frames[-1]
    return events, np.cumsum([0, *(share.events for share in shares)])


def _deal_out(found: DecodedTogether, pairs: list[tuple[_Share, RecordBlock]]) -> None:
    """Note of each share what became of its blocks."""
    arrivals = found.events["arrival_time"].to_physical().to_numpy()
    given = [block.arrivals for _, block in pairs if block.arrivals is not None]
    as_given = np.array_equal(arrivals, np.concatenate(given))
    bounds = found.bounds.tolist()
    for (share, block), start, end, dead in zip(pairs, bounds, bounds[1:], found.dead, strict=False):
        if end > start:
            own = not as_given and block_dates_itself(block, found.events[start:end])
            share.own_dates = own or bool(share.own_dates)
        share.events += end - start
        if dead.height:
            share.dead.append(dead)


def _without_late(events: pl.DataFrame, bounds: Bounds, shares: list[_Share]) -> tuple[pl.DataFrame, Bounds]:
    """The events without the late ones, which go to the letters of their shares."""
    late, capped = events["late"].to_numpy(), events["clock_capped"].to_numpy()
    if not late.any() and not capped.any():
        return events, bounds
    for share, start, end in zip(shares, bounds.tolist(), bounds[1:].tolist(), strict=False):
        of_share = late[start:end]
        rows = events[start:end].filter(of_share) if of_share.any() else None
        share.part.count_clocked(int(capped[start:end].sum()), rows, share.letters)
    kept = np.concatenate([[0], np.cumsum(~late)])
    return events.filter(~late), kept[bounds]


def block_dates_itself(block: RecordBlock, events: pl.DataFrame) -> bool:
    """Whether an event of the block has another arrival than the transport gave it."""
    arrivals = events["arrival_time"].to_physical()
    if block.arrivals is None:
        return arrivals.null_count() < events.height
    given = block.arrivals
    if events.height < block.count:
        given = given[np.searchsorted(block.offsets_of_records(), events["source_offset"].to_numpy())]
    return not np.array_equal(arrivals.to_numpy(), given)
