"""What is known of each visitor of a shard: when they came, how often, what they did; as of any event time.

A round's events don't go straight into the table. `begin_round` works out what becomes of the profiles that they
touch and keeps the visitors' events chained; until `end_round`, `at` can therefore give the profile as of every event
time of the round: what the table says, then the visitor's events up to that time, one after another. So an answer
doesn't depend on where rounds end.

A visitor who comes back later than `horizon` after they were last seen begins a new profile, and nobody has one by
then; the sweep that frees such profiles bit by bit changes no answer.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.clock import FOREVER, NEVER
from footfall.errors import StateError
from footfall.event_batch import EVENT, Events
from footfall.hashing import hash_texts
from footfall.profile_loops import TOUCHED, profile_as_of, take_round, write_back
from footfall.profile_table import PROFILE, ProfileTable, TextColumn
from footfall.row_frames import column_of

HORIZON = 400 * 86_400_000
"""How long (ms) a profile lives after its visitor was last seen, unless the settings say otherwise."""

_SWEPT_AT_ONCE = 2_048

_NO_PLACES = np.zeros(0, np.int64)

ProfileValue = str | int | None

_NO_BYTES = np.zeros(1, np.uint8)
_NO_COLUMN = TextColumn(np.zeros(1, np.int64), np.zeros(1, np.int32), _NO_BYTES)


def _text_column(texts: pl.Series) -> TextColumn:
    count, nulls = len(texts), texts.null_count()
    if nulls == count:
        return TextColumn(np.zeros(count + 1, np.int64), np.full(count + 1, -1, np.int32), _NO_BYTES)
    arrow: Any = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = arrow.buffers()
    starts = np.frombuffer(offsets, np.int64)[arrow.offset : arrow.offset + count + 1].copy()
    sizes = np.diff(starts).astype(np.int32)
    if nulls:
        sizes[texts.is_null().to_numpy()] = -1
    # A copy, since what Arrow owns can't be written to, and the loops are compiled for what can.
    content = np.frombuffer(data, np.uint8).copy() if data is not None and data.size else _NO_BYTES
    return TextColumn(starts, sizes, content)


@dataclass(slots=True)
class _Round:
    """A round that has begun: its events, and what becomes of the profiles that they touch."""

    events: Events
    begins: npt.NDArray[np.bool_]
    rows: pl.DataFrame
    places: npt.NDArray[np.int64]
    until: int
    local: npt.NDArray[np.int32]
    profiles: npt.NDArray[np.void]
    touched: npt.NDArray[np.void]
    later: npt.NDArray[np.int64]
    count: int

    def text(self, name: str, event: int) -> str | None:
        """A text of one event."""
        if name not in self.rows.columns:
            return None
        found: str | None = self.rows[name][int(self.places[event])]
        return found

    def texts(self, name: str, events: npt.NDArray[np.int64]) -> TextColumn:
        """A text of many events."""
        if not events.size:
            return _NO_COLUMN
        return _text_column(column_of(self.rows, name)[self.places[events]])


def session_starts(first_rows: npt.NDArray[np.int64], since: int, count: int) -> npt.NDArray[np.bool_]:
    """Which of a round's events begin a session.

    Args:
        first_rows: the first rows of all sessions that the round's events are in, closed and open ones; others
            and doubles do no harm.
        since: the number of the round's first row.
        count: how many events it has.
    """
    begins = np.zeros(count, np.bool_)
    begins[first_rows[first_rows >= since] - since] = True
    return begins


@dataclass(slots=True)
class Profiles:
    """The profiles of one shard's visitors.

    A profile counts the visitor's events as they settle, in their final order, without duplicates and late ones.
    `sessions` are those that have begun. `value` is the money of all conversions in the currency of the first that
    names one (those that name another are left out). `user_id` is the last one seen. First source and campaign are
    those of the first event with any UTM parameter. A visitor without an event for longer than `horizon` (ms) has no
    profile.

    What pickles hold is the state between rounds.
    """

    horizon: int = HORIZON
    table: ProfileTable = field(default_factory=ProfileTable)
    settled: int = NEVER
    _round: _Round | None = None
    _swept: int = 0

    def begin_round(
        self,
        events: Events,
        dropped: npt.NDArray[np.bool_],
        begins: npt.NDArray[np.bool_],
        rows: pl.DataFrame,
        places: npt.NDArray[np.int64],
        until: int,
        places_of: npt.NDArray[np.int64] = _NO_PLACES,
    ) -> None:
        """Take a round's events; the profiles change with `end_round`, which must follow.

        Args:
            events: those that settle, in their final order, masks and all.
            dropped: which of them are duplicates.
            begins: which of them begin a session (`session_starts`).
            rows: a frame with their texts, and perhaps other rows.
            places: where in `rows` each event's row is.
            until: the event time up to which the round settles.
            places_of: for each event the place of its visitor among the live ones, -1 for a duplicate. It may be
                left out, and saves the search for the visitor of each event.
        """
        if self._round is not None:
            raise StateError("a round of profiles begins within another; this is a fault of Footfall's")
        count = events.size
        numbers = np.full(int(places_of.max(initial=-1)) + 1, -1, np.int32)
        local = np.full(1 << max(4, (2 * count).bit_length()), -1, np.int32)
        profiles, touched = np.empty(count, PROFILE), np.empty(count, TOUCHED)
        later = np.empty(count, np.int64)
        table = self.table
        found = take_round(
            events,
            dropped,
            places_of,
            begins,
            table.index,
            table.records,
            numbers,
            local,
            profiles,
            touched,
            later,
            self.horizon,
        )
        self._round = _Round(events, begins, rows, places, until, local, profiles, touched, later, int(found))

    def at(self, visitor_id: str, time: int) -> dict[str, ProfileValue] | None:
        """A visitor's profile as of an event time of this round, that moment included; None if they have none.

        It is what conditions of trigger rules read (`footfall.profile_schema`), without the scores: times are ms
        since 1970, `value` is in millionths, `last_conversion` is None before the first one.

        Args:
            visitor_id: the visitor, known or not.
            time: no earlier than the end of the round before. Between rounds, any time from there on will do.

        Raises:
            StateError: the time lies before this round, and what was known then isn't kept.
        """
        high, low = hash_texts(pl.Series([visitor_id], dtype=pl.String))
        return self.at_hash(int(high[0]), int(low[0]), time)

    def at_hash(self, high: int, low: int, time: int) -> dict[str, ProfileValue] | None:
        """`at` for the visitor with that hash, its high and its low 64 bits, as `EVENT` has it."""
        if time < self.settled:
            raise StateError(
                f"a profile is asked for as of {time}, and all is settled up to {self.settled}; "
                "this is a fault of Footfall's"
            )
        now = self._round or _NO_ROUND
        found, source = np.empty(1, PROFILE), np.empty(1, TOUCHED)
        table = self.table
        if not profile_as_of(
            np.uint64(high),
            np.uint64(low),
            time,
            now.events,
            now.begins,
            table.index,
            table.records,
            now.local,
            now.touched,
            now.later,
            self.horizon,
            found,
            source,
        ):
            return None
        profile, origin = found[0], source[0]
        slot = int(origin["slot"])
        visitor, user, first_source, campaign = (
            (now.text("visitor_id", int(origin["first"])), None, None, None)
            if slot < 0
            else table.texts_of(profile)
        )
        if origin["user"] >= 0:
            user = now.text("user_id", int(origin["user"]))
        if origin["utm"] >= 0:
            first_source = now.text("utm_source", int(origin["utm"]))
            campaign = now.text("utm_campaign", int(origin["utm"]))
        conversion = int(profile["last_conversion"])
        return {
            "visitor_id": visitor,
            "user_id": user,
            "first_seen": int(profile["first_seen"]),
            "last_seen": int(profile["last_seen"]),
            "events": int(profile["events"]),
            "sessions": int(profile["sessions"]),
            "page_views": int(profile["page_views"]),
            "clicks": int(profile["clicks"]),
            "conversions": int(profile["conversions"]),
            "value": int(profile["value"]),
            "first_source": first_source,
            "first_campaign": campaign,
            "last_conversion": None if conversion == NEVER else conversion,
        }

    def end_round(self) -> None:
        """Make the round's profiles the table's, and free some of those that are past their horizon."""
        now = self._round
        if now is None:
            raise StateError("a round of profiles ends that hasn't begun; this is a fault of Footfall's")
        self._round = None
        self.settled = max(self.settled, now.until)
        if now.count:
            self._write(now)
        # The end of all input is no time at which anything gets old.
        if NEVER < now.until < FOREVER - 1:
            self._sweep(now.until)

    def _write(self, now: _Round) -> None:
        touched, table = now.touched[: now.count], self.table
        is_new = np.flatnonzero(touched["slot"] < 0)
        users = touched["user"][touched["user"] >= 0]
        utms = touched["utm"][touched["utm"] >= 0]
        columns = (
            now.texts("visitor_id", touched["first"][is_new]),
            now.texts("user_id", users),
            now.texts("utm_source", utms),
            now.texts("utm_campaign", utms),
        )
        kept = now.profiles[: now.count]
        sizes = ("visitor_size", "user_size", "source_size", "campaign_size")
        table.reserve(is_new.size)
        table.reserve_texts(
            sum(column.data.size for column in columns)
            + sum(int(np.maximum(kept[name], 0).sum()) for name in sizes)
        )
        write_back(
            now.count,
            now.profiles,
            now.touched,
            table.index,
            table.records,
            table.places,
            table.changed,
            table.heap,
            columns,
        )

    def _sweep(self, until: int) -> None:
        start = self._swept if self._swept < self.table.high_water else 0
        end = start + max(_SWEPT_AT_ONCE, self.table.high_water // 64)
        self._swept = end
        self.table.sweep(start, end, until - self.horizon)

    def __getstate__(self) -> tuple[int, ProfileTable, int]:
        if self._round is not None:
            raise StateError("profiles are kept within a round; this is a fault of Footfall's")
        return self.horizon, self.table, self.settled

    def __setstate__(self, state: tuple[int, ProfileTable, int]) -> None:
        self.horizon, self.table, self.settled = state
        self._round = None
        self._swept = 0


_NO_ROUND = _Round(
    np.zeros(0, EVENT),
    np.zeros(0, np.bool_),
    pl.DataFrame(),
    np.zeros(0, np.int64),
    NEVER,
    np.zeros(0, np.int32),
    np.zeros(0, PROFILE),
    np.zeros(0, TOUCHED),
    np.zeros(0, np.int64),
    0,
)


def load_loops() -> None:
    """Have numba load all loops of profiles, so that no round, question or snapshot of a running shard waits for it."""
    profiles = Profiles()
    events = np.zeros(1, EVENT)
    events["visitor_high"] = 1
    rows = pl.DataFrame({"visitor_id": ["warm-up"]})
    one = np.zeros(1, np.int64)
    profiles.begin_round(events, one != 0, one == 0, rows, one, 0, one)
    profiles.at("warm-up", 0)
    profiles.end_round()
    profiles.table.load_loops()
