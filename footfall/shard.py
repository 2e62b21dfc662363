"""A shard: the state of one hash bucket of visitors, and what settles as its watermark moves on.

Events wait until the smallest watermark of the partitions that feed the shard has passed them. Then they are put
into their final order (event time, arrival, partition, offset), duplicates go, sessions and patterns take them,
and what they prove comes out, in event-time order. Nothing here reads a clock or knows where batches end.
"""

import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.answers import NO_SESSIONS, match_rows, match_words, named_matches, session_answers
from footfall.automaton_matcher import AutomatonMatcher, joined
from footfall.clock import FOREVER, NEVER
from footfall.compiled import compiled
from footfall.early import NOTHING_TOLD, EarlyAnswers, State, Told, Unsettled, merged
from footfall.errors import StateError
from footfall.event_batch import EVENT, QUOTED, Events, ShardBatch, halves
from footfall.matcher import Matcher, Matches
from footfall.pattern_plan import PatternPlan
from footfall.profiles import session_starts
from footfall.record_arrays import join_records, keep_records, take_records
from footfall.row_frames import join_rows, present, rows_at, whole_rows
from footfall.row_store import RowPool, RowStore
from footfall.run_messages import ShardDone, ShardStatus
from footfall.scoring.shard_scores import ScoreSettings, SettledRound, ShardScores, ShardScoring
from footfall.sessions import ClosedSessions, SessionSettings, SessionTracker, superseded
from footfall.shard_clock import ShardClock, passes_a_moment
from footfall.shard_totals import ShardTotals
from footfall.shard_triggers import SettledEvents, ShardTriggers, TriggerSettings
from footfall.tables import MATCHES, SESSIONS, TRIGGERS
from footfall.visitor_places import places_of_visitors
from footfall.visitors import ROW_FIELDS, VisitorTable

_log = logging.getLogger(__name__)

STATE_VERSION = 8

_NO_MATCHES = MATCHES.empty()
_NO_SESSIONS = SESSIONS.empty()
_NO_TRIGGERS = TRIGGERS.empty()
_MOVES = 8
_PIECES = 8
"""The rows that wait are at most in so many pieces."""


@dataclass(frozen=True, slots=True)
class ShardSettings:
    """What a shard is built from; all shards of a run share one.

    Attributes:
        sessions: the sessions' bounds.
        plan: the patterns' compiled form.
        partitions: how many source partitions feed the shard.
        wants_rows: whether events and answers are given out as rows (a sink stores them).
        event_columns: the envelope columns of the events' rows.
        early: matches are told early, too; the batches have watermarks.
        history: how many of the partitions, the first ones, hold the past of the others: nothing is told early before
            all of it has settled.
        releases: the end of all partitions closes open sessions and releases absences; else what is open stays so.
        idle_bound: as the partitions' clocks have it, in ms.
        triggers: the trigger rules; None where there are none.
        scores: features and models; None where nothing is scored.
        settle_step: a round settles once its watermark has passed the next multiple of this (ms), shifted by a part of
            it that is each shard's own, so that they don't all settle at once; more than 1 saves work where batches are
            small. What settles, and what it proves, doesn't depend on it.
    """

    sessions: SessionSettings
    plan: PatternPlan
    partitions: int
    wants_rows: bool
    event_columns: tuple[str, ...]
    early: bool = False
    releases: bool = True
    history: int = 0
    idle_bound: int = 60_000
    triggers: TriggerSettings | None = None
    settle_step: int = 1
    scores: ScoreSettings | None = None


@dataclass(slots=True)
class Settled:
    """What a round proves: rows by table, and at the end of the input the shard's last word."""

    events: pl.DataFrame | None
    sessions: pl.DataFrame
    matches: pl.DataFrame
    triggers: pl.DataFrame = field(default_factory=TRIGGERS.empty)
    done: ShardDone | None = None
    scoring: ShardScoring | None = None


@compiled
def _order_ties(events: Any, order: Any, most: int) -> bool:
    """Insertion sort of the runs of equal times by (arrival, partition, offset); False after `most` moves."""
    moves = 0
    for i in range(1, order.size):
        here = order[i]
        j = i
        while j > 0:
            a = events[order[j - 1]]
            b = events[here]
            if a.time != b.time:
                break
            if a.arrival < b.arrival or (
                a.arrival == b.arrival
                and (a.partition < b.partition or (a.partition == b.partition and a.offset < b.offset))
            ):
                break
            order[j] = order[j - 1]
            j -= 1
            moves += 1
        order[j] = here
        if moves > most:
            return False
    return True


def final_order(events: Events) -> npt.NDArray[np.int64]:
    """The places of events sorted by (event time, arrival, partition, offset)."""
    order = np.argsort(events["time"], kind="stable")
    # Nearly always runs are short and in order already; many equal times from many partitions aren't.
    if _order_ties(events, order, _MOVES * order.size):
        return order
    return np.lexsort((events["offset"], events["partition"], events["arrival"], events["time"]))


def _rows_at(rows: pl.DataFrame, places: npt.NDArray[np.int64]) -> pl.DataFrame:
    """The rows at these places, which ascend; those at the end are not copied."""
    begin = rows.height - places.size
    return rows[begin:] if places.size and places[0] == begin else rows[places]


@dataclass(slots=True)
class Shard:
    """The state of a shard. `snapshot` gives it as bytes, `restore` takes them back.

    A restart keeps: how far the partitions are, waiting events, live visitors with their open sessions and partial
    matches, the rows that these quote, and the totals.
    """

    name: str
    settings: ShardSettings
    clock: ShardClock = field(init=False)
    settled: int = NEVER
    waiting: Events = field(default_factory=lambda: np.zeros(0, EVENT))
    waiting_lanes: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros((0, 0), np.uint64))
    waiting_rows: pl.DataFrame | None = None
    waiting_numbers: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    next_row: int = 0
    visitors: VisitorTable = field(default_factory=VisitorTable)
    sessions: SessionTracker = field(init=False)
    triggers: ShardTriggers | None = field(init=False)
    scores: ShardScores | None = field(init=False)
    matcher: Matcher = field(default_factory=Matcher)
    automata: AutomatonMatcher = field(default_factory=AutomatonMatcher)
    rows: RowStore = field(default_factory=RowStore)
    early: EarlyAnswers = field(default_factory=EarlyAnswers)
    totals: ShardTotals = field(default_factory=ShardTotals)
    limited: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions = SessionTracker(self.settings.sessions)
        rules = self.settings.triggers
        self.triggers = None if rules is None else ShardTriggers(rules, self.name)
        scores = self.settings.scores
        self.scores = None if scores is None else ShardScores(scores, self.name, self.settings.plan.bit)
        self.clock = ShardClock.of(self.settings.partitions, untold=bool(self.settings.history))
        self.waiting_lanes = np.zeros((0, self.settings.plan.lanes), np.uint64)
        self.waiting_numbers = np.zeros((0, len(self.settings.plan.read_numbers)), np.int64)

    @property
    def _quoted(self) -> tuple[str, ...]:
        return (*QUOTED, *sorted(self.settings.plan.outputs.columns.difference(QUOTED)))

    def go_on_with(self, plan: PatternPlan, triggers: TriggerSettings | None) -> None:
        """Go on with a plan, and settings of triggers, that have grown from those so far."""
        generation = self.settings.plan.generation
        self.settings = replace(self.settings, plan=plan, triggers=triggers)
        if triggers is not None and self.triggers is None:
            self.triggers = ShardTriggers(triggers, self.name)
        elif triggers is not None and self.triggers is not None:
            self.triggers.go_on_with(triggers)
        if self.scores is not None:
            self.scores.go_on_with(plan.bit)
        self._fit_to_plan(generation)

    def _fit_to_plan(self, generation: int) -> None:
        """Make state that was made by the plan's sets up to that one fit the whole plan."""
        plan = self.settings.plan
        if generation < plan.generation:
            self.waiting_lanes = plan.widened(self.waiting_lanes, generation)
            self.automata.go_on_with(plan.automata, len(plan.conditions), self.settled)

    def take(self, batches: Sequence[ShardBatch]) -> list[Settled]:
        """Take what the source partitions have read; give out what that settles, in order."""
        plan = self.settings.plan
        for batch in batches:
            batch.lanes = plan.widened(batch.lanes, batch.generation)
            batch.generation = plan.generation
        arrived = [batch for batch in batches if batch.events.size]
        if self.settings.early:
            self.clock.mark_untold(batches, self.settled, self.settings.history)
        before = self.waiting, self.waiting_lanes, self.waiting_numbers, self.waiting_rows, self.clock
        self.clock = self.clock.copy()
        self.clock.take(batches)
        waited = self.waiting.size
        if arrived or self.waiting_rows is None:
            self._wait(arrived, batches[0].rows)
        told = self._tell_early(waited, arrived) if self.settings.early and arrived else NOTHING_TOLD
        if told is None:
            self.waiting, self.waiting_lanes, self.waiting_numbers, self.waiting_rows, self.clock = before
            return [settled for part in halves(batches) for settled in self.take(part)]
        until = self.clock.watermark()
        if until is not None:
            if not passes_a_moment(self.settled, until, self.name, self.settings.settle_step):
                return self._only_told(told)
            if self._nothing_due(until):
                self.settled = until
                return self._only_told(told)
            settled = self._settle_by_rules(until, told)
        elif not self.settings.releases:
            end = self.clock.end_of_stretch(self.settings.idle_bound)
            settled = self._settle_by_rules(max(end, self.settled), told)
            settled[-1].done = self._last_word()
        else:
            # The clock's last time doesn't depend on which partition happened to end last.
            settled = self._settle_by_rules(int(self.clock.watermarks.max()), told)
            settled.append(self._settle(FOREVER - 1, NOTHING_TOLD, at_end=True))
        return settled

    def _settle_by_rules(self, until: int, told: Told) -> list[Settled]:
        """Settle up to a time, each part of it by the trigger rules that are in force then."""
        parts = []
        while self.triggers is not None and self.triggers.next_switch <= until:
            before = self.triggers.next_switch - 1
            if before > self.settled:
                first, told = told.parted(before)
                parts.append(self._settle(before, first))
            self.triggers.switch()
        return [*parts, self._settle(until, told)]

    def _only_told(self, told: Told) -> list[Settled]:
        """Early messages, with nothing settled."""
        if not told.rows.height:
            return []
        triggers = _NO_TRIGGERS if self.triggers is None else self.triggers.tell(self._of_rules(told.rows))
        return [Settled(None, _NO_SESSIONS, told.rows, triggers)]

    def _of_rules(self, matches: pl.DataFrame) -> pl.DataFrame:
        """Those matches that trigger rules act on."""
        names = () if self.triggers is None else self.triggers.patterns
        wanted = [place for place, name in enumerate(matches["pattern"].to_list()) if name in names]
        return matches if len(wanted) == matches.height else rows_at(matches, np.array(wanted, np.int64))

    def _tell_early(self, waited: int, arrived: Sequence[ShardBatch]) -> Told | None:
        known = [batch.watermarks for batch in arrived if batch.watermarks is not None]
        if self.waiting_rows is None or len(known) < len(arrived):
            msg = "events without their watermarks can't be told early; this is a fault of Footfall's"
            raise StateError(msg)
        # Only those matter whose visitors have new events; where events wait for seconds these are few.
        concerned = places_of_visitors(self.waiting["visitor_low"], self.waiting["visitor_low"][waited:])
        events = take_records(self.waiting, concerned)
        order = final_order(events)
        unsettled = Unsettled(
            events,
            self.waiting_lanes[concerned],
            self.waiting_rows,
            concerned,
            int(np.searchsorted(concerned, waited)),
            np.concatenate(known),
            order,
            superseded(events, order[::-1].copy(), self.settings.sessions.gap),
            self.next_row,
        )
        state = State(self.visitors, self.sessions, self.matcher, self.automata, self.rows)
        with_origin = self.triggers is not None
        return self.early.take(
            unsettled,
            state,
            self.settings.plan,
            wants_rows=self.settings.wants_rows or with_origin,
            with_origin=with_origin,
        )

    def _wait(self, arrived: list[ShardBatch], blank: pl.DataFrame) -> None:
        # Many small pieces would each be searched for every row that is looked up: ten times the cost of joining them.
        rows = join_rows([batch.rows for batch in arrived], rechunk=True) if arrived else blank.clear()
        if self.waiting_rows is not None:
            rows = join_rows([self.waiting_rows, rows])
        self.waiting_rows = rows.rechunk() if rows.n_chunks() > _PIECES else rows
        self.waiting = join_records([self.waiting, *(batch.events for batch in arrived)])
        self.waiting_lanes = np.concatenate([self.waiting_lanes, *(batch.lanes for batch in arrived)])
        self.waiting_numbers = np.concatenate([self.waiting_numbers, *(batch.numbers for batch in arrived)])

    def _nothing_due(self, until: int) -> bool:
        earliest = int(self.waiting["time"].min()) if self.waiting.size else FOREVER
        due = self.sessions.next_due, self.matcher.next_due, self.automata.next_due
        triggers = FOREVER if self.triggers is None else self.triggers.next_due
        scores = FOREVER if self.scores is None else self.scores.next_due
        return min(earliest, *due, triggers, scores) > until

    def _settle(self, until: int, told: Told, *, at_end: bool = False) -> Settled:
        self.settled = until
        waiting, lanes = self.waiting, self.waiting_lanes
        rows = self.waiting_rows
        if rows is None:
            msg = "a shard settled before its first batch; this is a fault of Footfall's"
            raise StateError(msg)
        order = final_order(waiting)
        due = int(np.searchsorted(waiting["time"][order], until, side="right"))
        dropped = superseded(waiting, order[::-1].copy(), self.settings.sessions.gap)
        taken, left = order[:due], np.sort(order[due:])
        since = self.next_row
        self.next_row += due
        events = take_records(waiting, taken)
        events["row"] = np.arange(since, since + due)
        dropped = dropped[taken]
        self.waiting, self.waiting_lanes = take_records(waiting, left), lanes[left]
        numbers, self.waiting_numbers = self.waiting_numbers[taken], self.waiting_numbers[left]
        self.waiting_rows = _rows_at(rows, left) if due else rows

        places_of, touched, closed = self.sessions.settle(events, dropped, until, self.visitors)
        lanes = lanes[taken]
        plan = self.settings.plan
        matches = self.matcher.settle(plan, events, lanes, places_of, until, self.visitors, at_end=at_end)
        if plan.automata.patterns:
            more = self.automata.settle(
                plan.automata,
                events,
                lanes,
                places_of,
                lambda places: plan.automata.values_of(rows, taken[places]),
                until,
                at_end=at_end,
            )
            matches = joined([matches, more])
        self._warn_of_limit()
        wants_rows = self.settings.wants_rows
        pool = self.rows.pool(rows, taken, since)
        session_part = NO_SESSIONS
        if closed.records.size:
            session_part = session_answers(closed, pool, at_end=at_end, wants_rows=wants_rows)
        match_frame, of_rules = self._tell_matches(matches, pool, events, until, at_end=at_end)
        match_frame = merged(told, match_frame)
        triggers = _NO_TRIGGERS
        if self.triggers is not None:
            triggers = self.triggers.settle(
                SettledEvents(
                    events,
                    dropped,
                    rows,
                    taken,
                    touched,
                    places_of,
                    closed,
                    since,
                    until,
                    (events["mask"], *lanes[:, len(plan.same_fields) :].T),
                ),
                self.visitors,
                of_rules,
                self._of_rules(match_frame),
                at_end=at_end,
            )
        scoring = None
        if self.scores is not None:
            masks = np.column_stack([events["mask"], lanes[:, len(plan.same_fields) :]])
            asked = () if self.triggers is None else self.triggers.take_asked()
            begins = self._begins(touched, closed, since, due)
            round_ = SettledRound(
                events, dropped, begins, masks, rows, taken, touched.size, closed, matches.records, plan.patterns,
                pool, until, asked, numbers,
            )  # fmt: skip
            scoring = self.scores.settle(round_, at_end=at_end)
        self._keep_quoted(touched, rows, taken, since)
        self.visitors.free_idle()
        self._count_round(dropped, matches, at_end=at_end)
        self.totals.count_sessions(closed, session_part, at_end=at_end)
        kept = whole_rows(rows[taken[~dropped]], self.settings.event_columns) if wants_rows and due else None
        done = self._last_word() if at_end else None
        return Settled(kept, session_part.rows, match_frame, triggers, done, scoring)

    def _count_round(self, dropped: npt.NDArray[np.bool_], matches: Matches, *, at_end: bool) -> None:
        totals = self.totals
        totals.events += int((~dropped).sum())
        totals.duplicates += int(dropped.sum())
        totals.pending = self.matcher.pending + self.automata.pending
        totals.dropped_partials = int(self.matcher.dropped.sum()) + self.automata.dropped.total()
        names = [pattern.name for pattern in self.settings.plan.patterns]
        totals.count_matches(matches.records, names, at_end=at_end)

    def _begins(
        self, touched: npt.NDArray[np.int64], closed: ClosedSessions, since: int, count: int
    ) -> npt.NDArray[np.bool_]:
        """Which of a round's events begin a session."""
        firsts = take_records(self.visitors.records, touched)["first_row"]
        return session_starts(np.concatenate([closed.records["first_row"], firsts]), since, count)

    def _warn_of_limit(self) -> None:
        """Say of each pattern, once, that its limit has cost partial matches."""
        plan = self.settings.plan
        dropped = [*plan.numbers[np.flatnonzero(self.matcher.dropped)].tolist(), *self.automata.dropped]
        for number in dropped:
            name = plan.patterns[number].name
            if name not in self.limited:
                self.limited.append(name)
                _log.warning(
                    "pattern %s: a visitor has more than %d partial matches; the oldest are dropped and counted "
                    "(partial_limit; the report has the number)",
                    name,
                    plan.automata.limit,
                )

    def _last_word(self) -> ShardDone:
        totals = self.totals
        return ShardDone(
            self.name,
            totals.events,
            totals.duplicates,
            totals.sessions,
            totals.sessions_at_end,
            totals.matches,
            totals.matches_at_end,
            totals.pending,
            totals.timed_out,
            totals.dropped_partials,
            self.early.fired,
            self.early.retracted,
            totals.session_sums,
            (totals.digest.high, totals.digest.low),
        )

    def status(self, state_bytes: int, snapshot_seconds: float, *, final: bool = False) -> ShardStatus:
        """Where the shard stands, beside the size of its last snapshot and the time that it took."""
        totals = self.totals
        return ShardStatus(
            self.name,
            None if self.settled == NEVER else self.settled,
            totals.events,
            totals.duplicates,
            totals.sessions,
            dict(totals.matches),
            self.early.fired,
            self.early.retracted,
            totals.dropped_partials,
            totals.timed_out,
            int(self.waiting.size),
            self.visitors.live,
            self.matcher.held_rows().size + self.automata.live,
            state_bytes,
            snapshot_seconds,
            {} if self.triggers is None else self.triggers.counts(),
            (totals.digest.high, totals.digest.low),
            final=final,
        )

    def _keep_quoted(
        self,
        touched: npt.NDArray[np.int64],
        rows: pl.DataFrame,
        places: npt.NDArray[np.int64],
        since: int,
    ) -> None:
        """Keep the rows of this round that open sessions and partial matches quote from now on."""
        records = take_records(self.visitors.records, touched)
        records = keep_records(records, records["open"] != 0)
        quoted = [records[name] for name in ROW_FIELDS]
        quoted += [self.matcher.fresh_rows(since), self.automata.fresh_rows(since)]
        numbers = np.unique(np.concatenate(quoted))
        numbers = numbers[np.searchsorted(numbers, since) :]
        if numbers.size:
            self.rows.keep(numbers, rows[places[numbers - since], present(rows, self._quoted)])
        if self.rows.wants_sweep():
            live = self.visitors.records[: self.visitors.high_water]
            live = keep_records(live, (live["used"] != 0) & (live["open"] != 0))
            held = [self.matcher.held_rows(), self.automata.held_rows()]
            self.rows.sweep(np.concatenate([*(live[name] for name in ROW_FIELDS), *held]))

    def _tell_matches(
        self, matches: Matches, pool: RowPool, events: Events, until: int, *, at_end: bool
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Settled matches go into the digest, and come as rows.

        Returns:
            What is to be told, which those aren't that stand early already; and all that trigger rules act on.
        """
        if not matches.records.size:
            self.early.forget(until)
            return _NO_MATCHES, _NO_MATCHES
        plan = self.settings.plan
        named = named_matches(matches, plan)
        self.totals.digest.add("match", match_words(named, at_end=at_end))
        of_rules = _NO_MATCHES
        if self.triggers is not None:
            numbers = [n for n, pattern in enumerate(plan.patterns) if pattern.name in self.triggers.patterns]
            acted_on = np.flatnonzero(np.isin(named.matches.records["pattern"], numbers))
            if acted_on.size:
                of_rules = match_rows(named.at(acted_on), plan, pool, at_end=at_end, with_origin=True)
        revision = None
        if self.settings.early:
            news, revision = self.early.news(named, events)
            self.early.forget(until)
            named = named.at(news)
        wanted = self.settings.wants_rows or (self.settings.early and self.triggers is not None)
        if not wanted or not named.matches.records.size:
            return (of_rules if not self.settings.early else _NO_MATCHES), of_rules
        with_origin = self.triggers is not None
        rows = match_rows(named, plan, pool, at_end=at_end, revision=revision, with_origin=with_origin)
        return rows, of_rules

    def snapshot(self) -> bytes:
        """The state as bytes; later rounds don't touch them."""
        parts = {
            "version": STATE_VERSION,
            "name": self.name,
            "patterns": _pattern_names(self.settings.plan),
            "generation": self.settings.plan.generation,
            "clock": self.clock,
            "settled": self.settled,
            "waiting": self.waiting,
            "waiting_lanes": self.waiting_lanes,
            "waiting_numbers": self.waiting_numbers,
            "waiting_rows": self.waiting_rows,
            "next_row": self.next_row,
            "visitors": self.visitors,
            "sessions": self.sessions,
            "matcher": self.matcher,
            "automata": self.automata,
            "rows": self.rows,
            "early": self.early,
            "trigger_state": None if self.triggers is None else self.triggers.snapshot(),
            "score_state": None if self.scores is None else self.scores.snapshot(self.settled),
            "totals": self.totals,
            "limited": self.limited,
        }
        return pickle.dumps(parts, protocol=5)

    @classmethod
    def restore(cls, settings: ShardSettings, state: bytes) -> "Shard":
        """A shard with the state that `snapshot` gave.

        Raises:
            StateError: the state was written by another version of Footfall, or with patterns that aren't in the plan.
        """
        parts = pickle.loads(state)  # noqa: S301 - it comes from this run's own state folder
        version = parts.pop("version", None)
        if version != STATE_VERSION:
            msg = (
                f"the kept state has version {version}, this Footfall reads {STATE_VERSION}: "
                "finish the run with the version that began it, or start anew with an empty --state folder"
            )
            raise StateError(msg)
        shard = cls(parts.pop("name"), settings)
        kept, generation = parts.pop("trigger_state"), parts.pop("generation")
        known, patterns = _pattern_names(settings.plan), parts.pop("patterns")
        plan = settings.plan
        if generation > plan.generation or known[: plan.counts[generation]] != patterns:
            raise StateError(
                "the kept state was made with other patterns, or with control records that are missing now: give it "
                "the patterns that it had, or begin anew with an empty --state folder"
            )
        if shard.triggers is not None and kept is not None:
            shard.triggers.restore(kept)
        scored = parts.pop("score_state")
        if shard.scores is not None and scored is not None:
            shard.scores.restore(scored)
        for name, value in parts.items():
            setattr(shard, name, value)
        shard._fit_to_plan(generation)
        # What the source has got since the state was kept stands behind the others.
        shard.clock.add(settings.partitions - shard.clock.watermarks.size)
        return shard


def _pattern_names(plan: PatternPlan) -> tuple[str, ...]:
    return tuple(f"{one.name}@{version}" for one, version in zip(plan.patterns, plan.versions, strict=True))
