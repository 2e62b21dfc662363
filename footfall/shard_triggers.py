"""A shard's triggers: what a round has settled, as its trigger book and its profiles take it.

The book decides (`footfall.trigger_book`); the profiles say what is known of a visitor as of any time in the round
(`footfall.profiles`). Here stands only what joins them to the shard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.clock import NEVER
from footfall.errors import StateError
from footfall.event_batch import Events
from footfall.expression import Expression
from footfall.hashing import fold_words, hash_texts, hex_names
from footfall.pattern import Pattern
from footfall.profile_log import LogReference, ProfileLog
from footfall.profiles import HORIZON, Profiles, ProfileValue, session_starts
from footfall.record_arrays import take_records
from footfall.sessions import ClosedSessions
from footfall.trigger_book import TriggerBook, TriggerRound
from footfall.trigger_rows import NO_TRIGGERS
from footfall.trigger_rule import TriggerRule
from footfall.trigger_withdrawals import WITHDRAWAL_SCHEMA
from footfall.visitors import VISITOR, VisitorTable, find_visitor


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """What the triggers of all shards of a run are built from.

    Attributes:
        rules: the rules.
        patterns: the run's patterns.
        first_bit: where, in the first word of the events' masks, the conditions on withdrawing events begin.
        deployed: rule -> when it was first deployed (ms); a rule that isn't there always was.
        horizon: how long (ms) a profile outlives its visitor's last event.
        folder: where profiles are kept on disk; None: in the snapshots themselves.
    """

    rules: tuple[TriggerRule, ...]
    patterns: tuple[Pattern, ...]
    first_bit: int
    deployed: Mapping[str, int] = field(default_factory=dict)
    horizon: int = HORIZON
    folder: Path | None = None


def withdrawal_conditions(
    rules: tuple[TriggerRule, ...], patterns: tuple[Pattern, ...]
) -> tuple[Expression, ...]:
    """The conditions on withdrawing events, in the order of their bits; the plan reserves these from `first_bit` on."""
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


class ShardTriggers:
    """The triggers of a shard; `state` is what a restart keeps."""

    def __init__(self, settings: TriggerSettings, shard: str) -> None:
        self._settings = settings
        self.book = TriggerBook(settings.rules, settings.patterns, settings.deployed)
        self.profiles = Profiles(settings.horizon)
        self._log = None if settings.folder is None else ProfileLog.of_shard(settings.folder, shard)

    @property
    def patterns(self) -> frozenset[str]:
        """The names of the patterns whose matches matter."""
        return self.book.patterns

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
        round_ = TriggerRound(
            settled.until,
            _in_sessions(matches, visitors, settled.closed) if matches.height and not at_end else None,
            _without_session(messages) if messages.height else None,
            None if at_end else self._withdrawing(settled),
            self._profile_at,
            at_end=at_end,
        )
        rows = self.book.take(round_)
        self.profiles.end_round()
        if self._log is not None:
            self._log.write_ahead(self.profiles)
        return rows

    def tell(self, messages: pl.DataFrame) -> pl.DataFrame:
        """What early rules make of messages that come while nothing settles: rows of the table `triggers`."""
        if not messages.height:
            return NO_TRIGGERS
        return self.book.take(TriggerRound(self.profiles.settled, messages=_without_session(messages)))

    def _withdrawing(self, settled: SettledEvents) -> pl.DataFrame | None:
        count = len(self.book.withdrawals)
        if not count or not settled.events.size:
            return None
        word = (settled.events["mask"] >> np.uint64(self._settings.first_bit)) & np.uint64((1 << count) - 1)
        taken = np.flatnonzero((word != 0) & ~settled.dropped)
        if not taken.size:
            return None
        columns = {
            "visitor_id": settled.rows["visitor_id"][settled.places[taken]],
            "time": pl.Series(settled.events["time"][taken]),
            "bits": pl.Series(word[taken]),
        }
        return pl.DataFrame(columns, schema=WITHDRAWAL_SCHEMA)

    def _profile_at(self, visitor_id: str, time: int) -> dict[str, ProfileValue] | None:
        # A partition that is added later may bring events, and so dues, from before what has settled without it.
        return self.profiles.at(visitor_id, max(time, self.profiles.settled))

    def counts(self) -> dict[str, dict[str, int]]:
        """How many decisions there were: rule -> status -> number."""
        return {rule: dict(counts) for rule, counts in self.book.counts().items()}

    def snapshot(self) -> tuple[TriggerBook, Profiles | LogReference]:
        """What is kept across a restart; profiles that have changed are made durable in their files.

        Raises:
            StateError: the files can't be written.
        """
        return self.book, self.profiles if self._log is None else self._log.snapshot(self.profiles)

    def restore(self, kept: tuple[TriggerBook, Profiles | LogReference]) -> None:
        """Go on with what `snapshot` gave.

        Raises:
            StateError: a file that it refers to is missing or damaged.
        """
        self.book, profiles = kept
        if isinstance(profiles, Profiles):
            self.profiles = profiles
        elif self._log is None:
            raise StateError("the kept state refers to profiles in files, and no folder is given for them")
        else:
            self.profiles = self._log.restore(profiles, self._settings.horizon)


def _without_session(messages: pl.DataFrame) -> pl.DataFrame:
    """Early messages: which session an unsettled event will be in isn't known."""
    return messages.with_columns(session_id=pl.lit(None, pl.String()))


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
