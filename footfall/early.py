"""Early answers: matches told when their last event comes, and taken back if a later record disproves them.

What stands early of a visitor is what the matcher emits for the events seen so far, in their final order, at the
event that is each match's last: not what time lets out, nor what an earlier partial match holds up. It is worked out
anew at every batch, from the settled state and the events that wait, on copies of both matchers' partial matches.
It depends on the records alone, so the messages do too: where batches end, and restarts, don't show.

A match has revision 0 when it fires first, and one more each time it is retracted or fires again. A settled match
that stands early already is no new message.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.answers import NamedMatches, match_rows, named_matches
from footfall.automaton_matcher import AutomatonMatcher, joined
from footfall.clock import FOREVER, NEVER
from footfall.early_loops import (
    OPEN_SESSION,
    UNCHANGED,
    drop_copies,
    find_visitors,
    group_events,
    lay_out_runs,
)
from footfall.event_batch import UNTOLD, Events
from footfall.matcher import Matcher, Matches
from footfall.pattern_plan import PatternPlan
from footfall.record_arrays import take_records
from footfall.row_frames import rows_at
from footfall.row_store import RowStore
from footfall.sessions import SessionTracker, new_members
from footfall.tables import MATCHES
from footfall.visitors import VisitorTable

_log = logging.getLogger(__name__)

_MOST_LAID = 4
_FEWEST = 256
"""Where runs have more than `_MOST_LAID` times the events that there are, and there are more than `_FEWEST` new ones,
the new ones are taken in parts."""

Places = npt.NDArray[np.int64]
Names = dict[tuple[int, int], int]
"""The places of matches among named ones, by id."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A shard's events that wait, in the order in which they came, of those visitors who have new ones.

    Attributes:
        events: `EVENT` records; a few may be of visitors who have no new ones.
        lanes: as in a `ShardBatch`.
        rows: a frame with their envelope columns, and perhaps other rows.
        row_of: where in it the row of each event is.
        fresh_from: the place of the first new one.
        watermarks: for each new one the partition's watermark before it was taken.
        order: the places in the final order.
        superseded: those that a copy replaces.
        next_row: the number from which on rows have no numbers yet.
    """

    events: Events
    lanes: npt.NDArray[np.uint64]
    rows: pl.DataFrame
    row_of: Places
    fresh_from: int
    watermarks: npt.NDArray[np.int64]
    order: Places
    superseded: npt.NDArray[np.bool_]
    next_row: int


@dataclass(frozen=True, slots=True)
class State:
    """The settled state of a shard, which early answers only read."""

    visitors: VisitorTable
    sessions: SessionTracker
    matcher: Matcher
    automata: AutomatonMatcher
    rows: RowStore


@dataclass(frozen=True, slots=True)
class Told:
    """Messages in their order: rows of the matches' table, and the watermark before the record behind each."""

    rows: pl.DataFrame
    watermarks: npt.NDArray[np.int64]

    def parted(self, until: int) -> tuple["Told", "Told"]:
        """Those that come before anything is settled later than that time, and the others."""
        count = int(np.searchsorted(self.watermarks, until, side="right"))
        return Told(self.rows[:count], self.watermarks[:count]), Told(
            self.rows[count:], self.watermarks[count:]
        )


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs of a batch: places and runs of their events; of each run its group, and what began it.

    `enders` are the places of the events that may end a match that is news, by their condition, and `ender_groups` the
    groups that they are in.
    """

    places: Places
    run_of: Places
    groups: Places
    changes: Places
    enders: Places
    ender_groups: Places

    @property
    def firsts(self) -> Places:
        """For each run its first event."""
        return np.flatnonzero(np.diff(self.run_of, prepend=-1))


class _Message(NamedTuple):
    """One message, to be sorted: the place of its record, fired after retracted, then by the match."""

    place: int
    fired: bool
    time: int
    name: tuple[int, int]
    match: int


class _Revision(NamedTuple):
    """How often a match has been told, and the time from which on it can't come any more."""

    number: int
    over: int


@dataclass(slots=True)
class EarlyAnswers:
    """What early answers remember: the revisions of matches that have been retracted, until they are settled.

    All of it is kept across a restart.
    """

    fired: int = 0
    retracted: int = 0
    mixed: bool = False
    _revisions: dict[tuple[int, int], _Revision] = field(default_factory=dict)

    def take(
        self,
        unsettled: Unsettled,
        state: State,
        plan: PatternPlan,
        *,
        wants_rows: bool,
        with_origin: bool = False,
    ) -> Told | None:
        """The messages that new events bring; None, and no change, if they are to come in smaller parts.

        Each event out of order has its visitor's events laid out once more, so many of them are dear at once.
        """
        runs = _runs(unsettled, plan)
        if runs is None:
            return None
        self._warn_of_mixture(unsettled.events)
        if not runs.places.size:
            return NOTHING_TOLD
        matches = _run(runs, unsettled, state, plan)
        events_of = matches.records["row"] - unsettled.next_row
        run_of = runs.run_of[events_of]
        named = named_matches(matches, plan, run_of.astype(np.uint64))
        events_of = named.matches.records["row"] - unsettled.next_row
        messages = sorted(self._messages(named, runs, events_of, unsettled.fresh_from))
        if not messages:
            return NOTHING_TOLD
        over = _over(named, plan)
        revisions = np.array(
            [self._revise(message, int(over[message.match])) for message in messages], np.uint32
        )
        fired = np.array([message.fired for message in messages])
        self.fired += int(fired.sum())
        self.retracted += int((~fired).sum())
        watermarks = unsettled.watermarks[[message.place - unsettled.fresh_from for message in messages]]
        # Of several partitions none knows the others' watermarks; the order of their messages is that of their coming.
        watermarks = np.minimum.accumulate(watermarks[::-1])[::-1]
        if not wants_rows:
            return Told(NOTHING_TOLD.rows, watermarks)
        rows = match_rows(
            named.at(np.array([message.match for message in messages])),
            plan,
            state.rows.pool(unsettled.rows, unsettled.row_of[runs.places], unsettled.next_row),
            status=pl.Series(["fired" if message.fired else "retracted" for message in messages]),
            revision=revisions,
            with_origin=with_origin,
        )
        return Told(rows, watermarks)

    def _warn_of_mixture(self, events: Events) -> None:
        """Say, once, that a visitor's records come from several partitions: how they mix depends on the reading."""
        if self.mixed or not events.size or events["partition"].min() == events["partition"].max():
            return
        order = np.lexsort((events["visitor_high"], events["visitor_low"]))
        low, high, partition = (events[name][order] for name in ("visitor_low", "visitor_high", "partition"))
        same = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
        if np.any(same & (partition[1:] != partition[:-1])):
            self.mixed = True
            _log.warning(
                "keyed_by_visitor is set, but a visitor's records come from several partitions: which matches are told "
                "early, and taken back, depends on how these are read; what stands at the end doesn't"
            )

    def _messages(
        self, named: NamedMatches, runs: _Runs, events_of: Places, fresh_from: int
    ) -> Iterator[_Message]:
        """What each new record changes in what stands, in any order."""
        run_of, place_of = runs.run_of[events_of], runs.places[events_of]
        times = named.matches.records["last_time"].tolist()
        names = list(zip(named.high.tolist(), named.low.tolist(), strict=True))
        changed_by = runs.changes[run_of]
        fresh = (place_of >= fresh_from) & (place_of > changed_by)
        for match in np.flatnonzero(fresh).tolist():
            yield _Message(int(place_of[match]), True, times[match], names[match], match)
        for run in np.flatnonzero(runs.changes != UNCHANGED).tolist():
            place = int(runs.changes[run])
            before = {names[match]: match for match in np.flatnonzero(run_of == run - 1).tolist()}
            mine = np.flatnonzero((run_of == run) & (place_of <= place)).tolist()
            after = {names[match]: match for match in mine}
            for name in before.keys() - after.keys():
                yield _Message(place, False, times[before[name]], name, before[name])
            for name in after.keys() - before.keys():
                yield _Message(place, True, times[after[name]], name, after[name])

    def _revise(self, message: _Message, over: int) -> int:
        known = self._revisions.get(message.name)
        if known is None and message.fired:
            return 0
        number = 1 if known is None else known.number + 1
        self._revisions[message.name] = _Revision(number, over)
        return number

    def news(self, named: NamedMatches, events: Events) -> tuple[Places, npt.NDArray[np.uint32]]:
        """Which of the matches settled now, at these events, are no message yet, and their revisions."""
        told = at_their_last_event(named.matches)
        if events.size:
            places = np.clip(named.matches.records["row"] - events["row"][0], 0, events.size - 1)
            told &= (events["marks"][places] & UNTOLD) == 0
        news = np.flatnonzero(~told)
        revisions = np.zeros(news.size, np.uint32)
        if self._revisions:
            for place, match in enumerate(news.tolist()):
                known = self._revisions.pop((int(named.high[match]), int(named.low[match])), None)
                revisions[place] = 0 if known is None else known.number + 1
        return news, revisions

    def forget(self, until: int) -> None:
        """What can't come any more once all is settled up to that time needs no revision."""
        if self._revisions:
            left = ((name, known) for name, known in self._revisions.items() if known.over > until)
            self._revisions = dict(left)


def _over(named: NamedMatches, plan: PatternPlan) -> npt.NDArray[np.int64]:
    """For each match the time from which on it can't be let out: a skip strategy may hold it up beyond its last event.

    What holds it up began before it, and is over when its own bound is. Without a bound, it may come at any time.
    """
    records = named.matches.records
    numbers = records["pattern"]
    skips = np.array([pattern.skip != "no_skip" for pattern in plan.patterns])[numbers]
    bounds = np.array([-1 if p.within_ms is None else p.within_ms for p in plan.patterns], np.int64)[numbers]
    held = np.where(bounds < 0, FOREVER, records["first_time"] + bounds)
    over: npt.NDArray[np.int64] = np.where(skips, held, records["last_time"])
    return over


def at_their_last_event(matches: Matches) -> npt.NDArray[np.bool_]:
    """Which matches the very event let out that is their last."""
    records = matches.records
    last = matches.nodes["row"][records["first_node"] + records["node_count"] - 1]
    at_last: npt.NDArray[np.bool_] = (records["row"] >= 0) & (records["row"] == last) & (records["kind"] == 0)
    return at_last


def _runs(unsettled: Unsettled, plan: PatternPlan) -> _Runs | None:
    """The runs of those visitors for whom new events may change what stands; None if they are too long.

    That is where a new event can end a match. Where it isn't the visitor's last in the final order, a match may have
    ended, or end no more, with any of the visitor's events.
    """
    events = unsettled.events
    ending = np.ones(events.size, np.bool_)
    if plan.endings is not None:
        ending = np.any((_masks(unsettled, plan) & plan.endings) != 0, axis=1)
    ranks = np.empty(events.size, np.int64)
    ranks[unsettled.order] = np.arange(events.size)
    members, enders, ender_groups = (np.empty(events.size, np.int64) for _ in range(3))
    starts = np.zeros(events.size + 1, np.int64)
    groups, ends, largest = group_events(
        np.lexsort((events["visitor_high"], events["visitor_low"])),
        events,
        ranks,
        ending,
        unsettled.fresh_from,
        # Ties in an order of their own are laid out in every case.
        plan.automata.orders_ties,
        (members, starts),
        (enders, ender_groups),
    )
    starts = starts[: groups + 1]
    members, enders, ender_groups = members[: starts[-1]], enders[:ends], ender_groups[:ends]
    queue = np.empty(largest, np.int64)
    times = events["time"].copy()

    def lay_out(laid: int, runs: int) -> tuple[_Runs, tuple[int, int]]:
        places, run_of, of_group, changes = (np.empty(size, np.int64) for size in (laid, laid, runs, runs))
        into = _Runs(places, run_of, of_group, changes, enders, ender_groups)
        counts = lay_out_runs(
            members,
            starts,
            ranks,
            times,
            unsettled.fresh_from,
            plan.automata.orders_ties,
            queue,
            (into.places, into.run_of),
            (into.groups, into.changes),
        )
        return into, counts

    # Nearly always nobody's events are out of order, and each has one run.
    laid, counts = lay_out(members.size, groups)
    if counts == (members.size, groups):
        return laid
    fresh_count = events.size - unsettled.fresh_from
    if counts[0] > _MOST_LAID * events.size and fresh_count > _FEWEST:
        return None
    return lay_out(*counts)[0]


def _masks(unsettled: Unsettled, plan: PatternPlan) -> npt.NDArray[np.uint64]:
    lanes = unsettled.lanes[:, len(plan.same_fields) :]
    masks: npt.NDArray[np.uint64] = np.column_stack([unsettled.events["mask"], lanes])
    return masks


def _wanted_runs(runs: _Runs, unsettled: Unsettled, plan: PatternPlan) -> dict[int, npt.NDArray[np.bool_]]:
    """For each automaton's pattern, by number, the runs in which an event may end a match of it that is news."""
    masks = _masks(unsettled, plan)[runs.enders]
    wanted = {}
    for number, endings in plan.automaton_endings.items():
        ends = slice(None) if endings is None else np.any((masks & endings) != 0, axis=1)
        groups = np.zeros(int(runs.groups.max(initial=-1)) + 1, np.bool_)
        groups[runs.ender_groups[ends]] = True
        wanted[number] = groups[runs.groups]
    return wanted


def _run(runs: _Runs, unsettled: Unsettled, state: State, plan: PatternPlan) -> Matches:
    """Run the matchers' copies over the runs: the matches at their last events, `row` telling which that is."""
    real = take_records(unsettled.events, runs.places)
    lanes = unsettled.lanes[runs.places]
    firsts = take_records(real, runs.firsts)
    slots = np.empty(firsts.size, np.int64)
    find_visitors(state.visitors.index, state.visitors.records, firsts, slots)
    dropped = unsettled.superseded[runs.places]
    drop_copies(
        real,
        runs.run_of,
        slots,
        state.visitors.records,
        state.sessions.members,
        new_members(1 << (2 * real.size).bit_length()),
        np.zeros(5, np.int64),
        state.sessions.bounds,
        (dropped, np.zeros(1, OPEN_SESSION)),
    )
    events = real.copy()
    events["visitor_high"] = events["visitor_low"] = runs.run_of
    events["row"] = unsettled.next_row + np.arange(events.size)
    places_of = np.where(dropped, np.int64(-1), runs.run_of)
    matcher, visitors = state.matcher.fork(slots, state.visitors)
    found = [matcher.settle(plan, events, lanes, places_of, NEVER, visitors)]
    if plan.automata.patterns:
        who = list(zip(firsts["visitor_high"].tolist(), firsts["visitor_low"].tolist(), strict=True))
        wanted = _wanted_runs(runs, unsettled, plan)
        automata = state.automata.fork(plan.automata, who, wanted)

        def values(places: Places) -> pl.DataFrame:
            return plan.automata.values_of(unsettled.rows, unsettled.row_of[runs.places[places]])

        only = {number: mask[runs.run_of] for number, mask in wanted.items()}
        found.append(automata.settle(plan.automata, events, lanes, places_of, values, NEVER, only=only))
    matches = joined(found)
    matches = matches.kept(at_their_last_event(matches))
    matches = matches.kept((real["marks"][matches.records["row"] - unsettled.next_row] & UNTOLD) == 0)
    records = matches.records
    run_of = runs.run_of[records["row"] - unsettled.next_row]
    for name in ("visitor_high", "visitor_low"):
        records[name] = firsts[name][run_of]
    return matches


NOTHING_TOLD = Told(MATCHES.empty(), np.zeros(0, np.int64))


def merged(told: Told, settled: pl.DataFrame) -> pl.DataFrame:
    """Early messages and settled ones, in the order in which they come if records come one by one.

    `settled` are ordered by their times; one comes before the messages of a record that came when the watermark
    had passed that time.
    """
    early = told.rows
    if not early.height or not settled.height:
        return early if early.height else settled
    times = settled["settled_time"].to_physical().to_numpy()
    before = np.searchsorted(times, told.watermarks, side="right")
    place = np.concatenate([before + np.arange(early.height), np.arange(settled.height)])
    after = np.searchsorted(before, np.arange(settled.height), side="right")
    place[early.height :] += after
    return rows_at(early.vstack(settled), np.argsort(place, kind="stable"))
