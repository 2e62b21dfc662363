"""A shard's triggers: what a round has settled, as its trigger book and its profiles take it.

The book decides (`footfall.trigger_book`); the profiles say what is known of a visitor as of any time in the round
(`footfall.profiles`). Here stands only what joins them to the shard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.clock import FOREVER, NEVER
from footfall.condition_words import WORD_BITS
from footfall.errors import StateError
from footfall.event_batch import Events
from footfall.expression import Expression
from footfall.hashing import fold_words, hash_texts, hex_names
from footfall.pattern import Pattern
from footfall.profile_log import LogReference, ProfileLog
from footfall.profiles import HORIZON, Profiles, ProfileValue, session_starts
from footfall.record_arrays import take_records
from footfall.scoring.scored_triggers import AskedTrigger
from footfall.sessions import ClosedSessions
from footfall.trigger_book import TriggerBook, TriggerRound
from footfall.trigger_rows import NO_TRIGGERS
from footfall.trigger_rule import TriggerRule
from footfall.trigger_withdrawals import WITHDRAWAL_SCHEMA
from footfall.visitors import VISITOR, VisitorTable, find_visitor


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The trigger rules in force from a time on: for what settles then or later.

    Attributes:
        rules: the rules.
        patterns: the patterns in force with them.
        deployed: rule -> when it was first deployed (ms); a rule that isn't there always was.
        since: event time in ms; `NEVER` for the first set.
    """

    rules: tuple[TriggerRule, ...]
    patterns: tuple[Pattern, ...]
    deployed: Mapping[str, int] = field(default_factory=dict)
    since: int = NEVER


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """What the triggers of all shards of a run are built from.

    Attributes:
        sets: the rules, in the order in which they come into force.
        bits: the key of each condition on withdrawing events -> its bit's number, over all words of the events' masks.
        horizon: how long (ms) a profile outlives its visitor's last event.
        folder: where profiles are kept on disk; None: in the snapshots themselves.
        scores: the fields of profiles that models fill.
    """

    sets: tuple[RuleSet, ...]
    bits: Mapping[str, int]
    horizon: int = HORIZON
    folder: Path | None = None
    scores: frozenset[str] = frozenset()


def withdrawal_conditions(
    rules: tuple[TriggerRule, ...], patterns: tuple[Pattern, ...]
) -> tuple[Expression, ...]:
    """The conditions on withdrawing events, which the plan of the patterns reserves bits for."""
    return TriggerBook(rules, patterns).withdrawals if rules else ()


@dataclass(frozen=True, slots=True)
class SettledEvents:
    """What a round of a shard has settled before its triggers are asked.

    Attributes:
        events: `EVENT` records in their final order, with their rows' numbers.
        dropped: which of them are duplicates.
        rows: a frame with their texts; `places` says where in it each event's row is.
        touched: the places of the visitors that took an event.
        places_of: the place of each event's visitor; -1 for a duplicate.
        closed: the sessions that closed.
        since: the number of the round's first row.
        until: the event time up to which the round settles.
        masks: the words of the events' masks.
    """

    events: Events
    dropped: npt.NDArray[np.bool_]
    rows: pl.DataFrame
    places: npt.NDArray[np.int64]
    touched: npt.NDArray[np.int64]
    places_of: npt.NDArray[np.int64]
    closed: ClosedSessions
    since: int
    until: int
    masks: Sequence[npt.NDArray[np.uint64]]


class ShardTriggers:
    """The triggers of a shard; `snapshot` gives what a restart keeps.

    Profiles are kept from when the first rules come into force.
    """

    def __init__(self, settings: TriggerSettings, shard: str) -> None:
        self._settings = settings
        first = settings.sets[0]
        self.book = TriggerBook(first.rules, first.patterns, first.deployed)
        self.book.asks = settings.scores
        self.profiles = Profiles(settings.horizon)
        self._log = None if settings.folder is None else ProfileLog.of_shard(settings.folder, shard)
        self._in_force = 1
        self._active = bool(first.rules)
        self._announce()

    @property
    def patterns(self) -> frozenset[str]:
        """The names of the patterns whose matches matter, now or to rules that are still to come into force."""
        return self.book.patterns.union(rule.pattern for later in self._later for rule in later.rules)

    @property
    def next_switch(self) -> int:
        """When other rules come into force (ms): nothing later is to be settled before `switch`."""
        return self._later[0].since if self._later else FOREVER

    @property
    def _later(self) -> tuple[RuleSet, ...]:
        return self._settings.sets[self._in_force :]

    def go_on_with(self, settings: TriggerSettings) -> None:
        """Go on with settings to which later sets have been added."""
        self._settings = settings
        self._announce()

    def switch(self) -> None:
        """Go by the next set of rules: all before `next_switch` has been settled."""
        rules = self._later[0]
        self.book.switch(rules.rules, self._patterns_until(self._in_force + 1), rules.deployed)
        self._in_force += 1
        self._active |= bool(rules.rules)
        self._announce()

    def _announce(self) -> None:
        self.book.announce(
            [
                (later.since, later.rules, self._patterns_until(number), later.deployed)
                for number, later in enumerate(self._later, start=self._in_force + 1)
            ]
        )

    def _patterns_until(self, count: int) -> list[Pattern]:
        """All patterns of the first sets: matches of versions that are no longer in force go on to their end."""
        return [pattern for rules in self._settings.sets[:count] for pattern in rules.patterns]

    @property
    def next_due(self) -> int:
        """Nothing is decided before this time (ms) without an event or a match."""
        return self.book.next_due

    def settle(
        self,
        settled: SettledEvents,
        visitors: VisitorTable,
        matches: pl.DataFrame,
        messages: pl.DataFrame,
        *,
        at_end: bool = False,
    ) -> pl.DataFrame:
        """Decide what a round lets decide: rows of the table `triggers`.

        What the input's end settles, beyond the last watermark, is decided by early rules alone: what else would be due
        by then depends on how late the last event of all is, which a shard doesn't know.

        Args:
            settled: what the round has settled.
            visitors: the shard's live visitors, after the round.
            matches: the round's settled matches of `patterns`, with `user_id` and `first_message_id`.
            messages: what is told of matches of `patterns` in the round, the same.
            at_end: the input has ended.
        """
        if settled.until == NEVER:  # the input ends, and nothing ever came
            return NO_TRIGGERS
        if self._active:
            self._begin_profiles(settled, visitors)
        round_ = TriggerRound(
            NEVER if at_end else settled.until,
            _in_sessions(matches, visitors, settled.closed) if matches.height and not at_end else None,
            _without_session(messages) if messages.height else None,
            None if at_end else self._withdrawing(settled),
            self._profile_at,
        )
        rows = self.book.take(round_)
        if self._active:
            self.profiles.end_round()
            if self._log is not None:
                self._log.write_ahead(self.profiles)
        return rows

    def _begin_profiles(self, settled: SettledEvents, visitors: VisitorTable) -> None:
        starts = np.zeros(settled.events.size, np.bool_)
        if settled.events.size:
            first_rows = take_records(visitors.records, settled.touched)["first_row"]
            known = np.concatenate([settled.closed.records["first_row"], first_rows])
            starts = session_starts(known, settled.since, settled.events.size)
        self.profiles.begin_round(
            settled.events,
            settled.dropped,
            starts,
            settled.rows,
            settled.places,
            settled.until,
            settled.places_of,
        )

    def tell(self, messages: pl.DataFrame) -> pl.DataFrame:
        """What early rules make of messages that come while nothing settles: rows of the table `triggers`."""
        if not messages.height:
            return NO_TRIGGERS
        return self.book.take(TriggerRound(NEVER, messages=_without_session(messages)))

    def take_asked(self) -> list[AskedTrigger]:
        """The triggers that have become due since the last time and wait for scores."""
        return self.book.take_asked()

    def _withdrawing(self, settled: SettledEvents) -> pl.DataFrame | None:
        if not settled.events.size:
            return None
        bits = np.zeros(settled.events.size, np.uint64)
        for number, condition in enumerate(self.book.withdrawals):
            word, bit = divmod(self._settings.bits[condition.key()], WORD_BITS)
            bits |= ((settled.masks[word] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(number)
        taken = np.flatnonzero((bits != 0) & ~settled.dropped)
        if not taken.size:
            return None
        columns = {
            "visitor_id": settled.rows["visitor_id"][settled.places[taken]],
            "time": pl.Series(settled.events["time"][taken]),
            "bits": pl.Series(bits[taken]),
        }
        return pl.DataFrame(columns, schema=WITHDRAWAL_SCHEMA)

    def _profile_at(self, visitor_id: str, time: int) -> dict[str, ProfileValue] | None:
        # A partition that is added later may bring events, and so dues, from before what has settled without it.
        return self.profiles.at(visitor_id, max(time, self.profiles.settled))

    def counts(self) -> dict[str, dict[str, int]]:
        """How many decisions there were: rule -> status -> number."""
        return {rule: dict(counts) for rule, counts in self.book.counts().items()}

    def snapshot(self) -> "TriggerState":
        """What is kept across a restart; profiles that have changed are made durable in their files.

        Raises:
            StateError: the files can't be written.
        """
        profiles = self.profiles if self._log is None else self._log.snapshot(self.profiles)
        return TriggerState(self.book, profiles, self._in_force, self._active)

    def restore(self, kept: "TriggerState") -> None:
        """Go on with what `snapshot` gave.

        Raises:
            StateError: a file that it refers to is missing or damaged.
        """
        self.book, profiles, self._in_force, self._active = kept
        self.book.asks = self._settings.scores
        self._announce()
        if isinstance(profiles, Profiles):
            self.profiles = profiles
        elif self._log is None:
            raise StateError("the kept state refers to profiles in files, and no folder is given for them")
        else:
            self.profiles = self._log.restore(profiles, self._settings.horizon)


class TriggerState(NamedTuple):
    """What a restart keeps: book and profiles, how many sets of rules have come into force, and whether any had one."""

    book: TriggerBook
    profiles: Profiles | LogReference
    in_force: int
    active: bool


def _without_session(messages: pl.DataFrame) -> pl.DataFrame:
    """Early messages: which session an unsettled event will be in isn't known."""
    unknown = pl.Series("session_id", [None], dtype=pl.String()).new_from_index(0, messages.height)
    return messages.hstack([unknown])


def _in_sessions(matches: pl.DataFrame, visitors: VisitorTable, closed: ClosedSessions) -> pl.DataFrame:
    """The matches with the session of their first event; null if it was over before the match settled."""
    high, low = hash_texts(matches["visitor_id"])
    times = matches["first_time"].to_physical().to_numpy()
    settled = matches["settled_time"].to_physical().to_numpy()
    by_visitor: dict[tuple[int, int], list[int]] = {}
    records = closed.records
    for place, key in enumerate(zip(records["high"].tolist(), records["low"].tolist(), strict=True)):
        by_visitor.setdefault(key, []).append(place)
    sessions = np.zeros(matches.height, VISITOR)
    found = np.zeros(matches.height, np.bool_)
    for number, (one, other, time) in enumerate(
        zip(high.tolist(), low.tolist(), times.tolist(), strict=True)
    ):
        places = by_visitor.get((one, other), [])
        candidates = [records[place] for place in places if closed.times[place] >= settled[number]]
        slot = find_visitor(visitors.index, visitors.records, high[number], low[number])
        if slot >= 0 and visitors.records[slot]["open"]:
            candidates.append(visitors.records[slot])
        for session in candidates:
            if session["start"] <= time <= session["last"]:
                sessions[number] = session
                found[number] = True
    parts = ("high", "low", "first_high", "first_low", "start")
    ids = hex_names(*fold_words(np.stack([sessions[name].astype(np.uint64) for name in parts])))
    named = ids.set(pl.Series(~found), None) if not found.all() else ids
    return matches.with_columns(session_id=named)
