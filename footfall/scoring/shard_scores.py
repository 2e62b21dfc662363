"""A shard's part in scores: what it knows of its visitors, the moments at which models predict, and what came of them.

It decides nothing: moments and labels go to the step of the models, with how far the shard has settled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from footfall.clock import FOREVER, NEVER
from footfall.errors import StateError
from footfall.event_batch import Events
from footfall.expression import Expression
from footfall.hashing import fold_words, hash_texts, hex_names
from footfall.pattern import Pattern
from footfall.record_log import LogReference, RecordKind, RecordLog
from footfall.record_table import RecordTable
from footfall.row_frames import whole_rows
from footfall.row_store import RowPool
from footfall.scoring.feature import DAY_MS
from footfall.scoring.feature_loops import (
    AFTER_LAST_EVENT,
    ASKED,
    AT_EVENT,
    AT_SESSION_END,
    AT_TRIGGER,
    CLOSE,
    LABEL,
    LABELS,
    MATCHED,
    MOMENT,
    MOMENTS,
    NEXT_DEADLINE,
    NEXT_TIMER,
    VISITOR_AT,
    WAIT,
    WAIT_AT,
    featured,
    scan_visitors,
    scan_waits,
    take_round,
)
from footfall.scoring.feature_plan import FeaturePlan
from footfall.scoring.scored_triggers import AskedTrigger
from footfall.sessions import ClosedSessions

TICK = 120_000
"""The length of a tick (ms), unless the settings say otherwise."""

MOMENT_TEXTS = pl.Schema({"visitor_id": pl.String(), "user_id": pl.String(), "session_id": pl.String()})
"""What rows say of a moment's visitor. A moment after the last event has the user of the event that it waits for."""

_NO_TEXTS = MOMENT_TEXTS.to_frame()
_MOST_CODES = 65_536
_LEAST_ROOM, _MOST_ROOM = 1_024, 65_536


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """What the scores of all shards of a run are built from.

    Attributes:
        plan: features and models.
        tick: the length of a tick, in ms.
        horizon: how long (ms) a visitor is known after their last event.
        wants_rows: whether moments are told with their visitors' texts.
        folder: where what is known of visitors is kept on disk; None: in the snapshots themselves.
        contents: a digest of what the features are declared as, for the files there.
    """

    plan: FeaturePlan
    tick: int = TICK
    horizon: int = 400 * 86_400_000
    wants_rows: bool = True
    folder: Path | None = None
    contents: str = ""


@dataclass(slots=True)
class ShardScoring:
    """What a round of a shard means to the models.

    Attributes:
        shard: the shard's name.
        until: the event time up to which it has settled, but for what the input's end settles.
        moments: `MOMENT` records.
        rows: their features, shape (moments, features).
        texts: their `MOMENT_TEXTS`; None where nobody wants rows.
        labels: `LABEL` records.
        asked: the triggers that some of the moments are of.
        final: nothing more comes.
    """

    shard: str
    until: int
    moments: npt.NDArray[np.void]
    rows: npt.NDArray[np.float64]
    texts: pl.DataFrame | None
    labels: npt.NDArray[np.void]
    asked: Sequence[AskedTrigger] = ()
    final: bool = False


@dataclass(frozen=True, slots=True)
class SettledRound:
    """What a round of a shard has settled before its scores are asked.

    Attributes:
        events: `EVENT` records in their final order.
        dropped: which of them are duplicates.
        begins: which of them begin a session.
        masks: their masks, shape (events, words).
        rows: a frame with their texts; `places` says where in it each event's row is.
        new_visitors: at most so many visitors are new.
        closed: the sessions that closed; none at the input's end.
        matches: `MATCH` records of the settled matches.
        patterns: the patterns by their numbers.
        pool: the rows that closed sessions quote.
        until: the event time up to which the round settles.
        asked: the triggers that wait for scores.
        numbers: the numbers of the events, shape (events, numbers).
    """

    events: Events
    dropped: npt.NDArray[np.bool_]
    begins: npt.NDArray[np.bool_]
    masks: npt.NDArray[np.uint64]
    rows: pl.DataFrame
    places: npt.NDArray[np.int64]
    new_visitors: int
    closed: ClosedSessions
    matches: npt.NDArray[np.void]
    patterns: Sequence[Pattern]
    pool: RowPool
    until: int
    asked: Sequence[AskedTrigger]
    numbers: npt.NDArray[np.int64]


class ScoresState(NamedTuple):
    """What a restart keeps."""

    visitors: RecordTable | LogReference
    waits: RecordTable | LogReference
    cursor: tuple[int, int]
    names: dict[tuple[int, int], tuple[str, str | None]]
    told: int
    until: int
    swept: int


@dataclass(slots=True)
class ShardScores:
    """The state of a shard's scores; `snapshot` gives what a restart keeps.

    Attributes:
        settings: features and models.
        shard: the shard's name.
        bit_of: gives the bit of a condition in the events' masks.
        visitors: what is kept of the visitors.
        waits: the predictions that wait for their labels.
        tables: the plan as the loops take it.
        codes: the codes of categories, by the values that they are made of; not kept across a restart.
        next_scans: when all visitors, and all that waits, are to be looked through next.
    """

    settings: ScoreSettings
    shard: str
    bit_of: Callable[[Expression], int]
    visitors: RecordTable = field(init=False)
    waits: RecordTable = field(init=False)
    tables: tuple[Any, ...] = field(init=False)
    next_scans: tuple[int, int] = (FOREVER, FOREVER)
    _names: dict[tuple[int, int], tuple[str, str | None]] = field(default_factory=dict)
    codes: dict[tuple[Any, ...], tuple[int, ...]] = field(default_factory=dict)
    _told: int = NEVER
    _until: int = NEVER
    _swept: int = NEVER
    _logs: tuple[RecordLog[RecordTable], RecordLog[RecordTable]] | None = None

    def __post_init__(self) -> None:
        plan = self.settings.plan
        self.visitors = RecordTable(featured(plan.blank.size))
        self.waits = RecordTable(WAIT)
        if self.settings.folder is not None:
            kinds = (
                RecordKind(
                    "features", lambda: RecordTable(featured(plan.blank.size)), self.settings.contents
                ),
                RecordKind("labels", lambda: RecordTable(WAIT), self.settings.contents),
            )
            first, second = (RecordLog.of_shard(self.settings.folder, self.shard, kind) for kind in kinds)
            self._logs = first, second
        self.go_on_with(self.bit_of)

    def go_on_with(self, bit_of: Callable[[Expression], int]) -> None:
        """Go on with masks whose conditions have these bits."""
        plan = self.settings.plan
        self.bit_of = bit_of
        self.tables = (
            plan.operations(bit_of),
            plan.groups(bit_of),
            plan.resets,
            plan.blank,
            plan.steps,
            plan.ends,
            plan.model_records(bit_of),
            plan.timers(),
            plan.once_bits(bit_of),
        )

    @property
    def next_due(self) -> int:
        """The end of the tick that isn't told yet (ms): the models wait for it."""
        return NEVER if self._told == NEVER else (self._told + 1) * self.settings.tick - 1

    def settle(self, settled: SettledRound, *, at_end: bool = False) -> ShardScoring | None:
        """Take a round; what it means to the models, None if that is nothing.

        At the input's end, the sessions that it closes make no moments, and nothing that waits is told.
        """
        now = _Round(self, settled, at_end=at_end)
        until = self._until if at_end else settled.until
        self._until = until
        tick = (until + 1) // self.settings.tick
        scans = not at_end and tick > self._told
        now.run(scans=scans)
        self.next_scans = now.next
        texts = None
        moments, rows, labels = now.parts()
        if self.settings.wants_rows:
            texts = now.texts(moments)
            now.keep_texts()
        if scans:
            # Only now: moments of the round may be of visitors whom it has forgotten.
            self._sweep(settled.until)
        self._write_ahead()
        if not moments.size and not labels.size and tick <= self._told and not at_end:
            return None
        self._told = tick
        return ShardScoring(self.shard, until, moments, rows, texts, labels, settled.asked, at_end)

    def remember(self, high: int, low: int, visitor: str, user: str | None) -> None:
        """Keep the texts of a visitor, for moments after their last event."""
        self._names[high, low] = visitor, user

    def texts_of(self, high: int, low: int) -> tuple[str, str | None]:
        """The texts kept of a visitor."""
        return self._names[high, low]

    def sweeps(self, until: int) -> bool:
        """Whether those whose horizon is over are to be forgotten now: once a day."""
        return until // DAY_MS > self._swept // DAY_MS

    def _sweep(self, until: int) -> None:
        """Forget the texts of visitors who are forgotten."""
        if self.sweeps(until):
            self._swept = until
            gone = [key for key in self._names if self.visitors.find(*key) < 0]
            for key in gone:
                del self._names[key]

    def _write_ahead(self) -> None:
        """Write what has changed to the files where that is a lot, so that a snapshot never has much to do."""
        if self._logs is not None:
            self._logs[0].write_ahead(self.visitors)
            self._logs[1].write_ahead(self.waits)

    def snapshot(self, settled: int) -> ScoresState:
        """What is kept across a restart; what has changed is made durable in the files.

        Raises:
            StateError: the files can't be written.
        """
        visitors: RecordTable | LogReference = self.visitors
        waits: RecordTable | LogReference = self.waits
        if self._logs is not None:
            # Side by side: the disk takes about as long for both as for one.
            self._logs[0].begin_snapshot(self.visitors)
            self._logs[1].begin_snapshot(self.waits)
            visitors = self._logs[0].snapshot(self.visitors, settled)
            waits = self._logs[1].snapshot(self.waits, settled)
        return ScoresState(
            visitors, waits, self.next_scans, self._names, self._told, self._until, self._swept
        )

    def restore(self, kept: ScoresState) -> None:
        """Go on with what `snapshot` gave.

        Raises:
            StateError: a file that it refers to is missing or damaged, or of other features.
        """
        visitors, waits, self.next_scans, self._names, self._told, self._until, self._swept = kept
        for name, table, number in (("visitors", visitors, 0), ("waits", waits, 1)):
            if isinstance(table, RecordTable):
                setattr(self, name, table)
            elif self._logs is None:
                raise StateError("the kept state refers to scores in files, and no folder is given for them")
            else:
                setattr(self, name, self._logs[number].restore(table))


class _Round:
    """A round under way: its inputs as the loops take them, and what has come out."""

    def __init__(self, scores: ShardScores, settled: SettledRound, *, at_end: bool) -> None:
        self._scores = scores
        self._settled = settled
        self._at_end = at_end
        self._plan = scores.settings.plan
        self._pieces: list[tuple[npt.NDArray[np.void], npt.NDArray[np.float64], npt.NDArray[np.void]]] = []
        timers = scores.tables[7]
        self._room = int(timers.size) + 2
        moments = settled.closed.records.size + settled.events.size // 4 + 4 * self._room
        self._capacity = min(max(moments, _LEAST_ROOM), _MOST_ROOM)
        self._labels = 4 * self._capacity
        self._cursor = np.zeros(10, np.int64)
        self._cursor[[NEXT_TIMER, NEXT_DEADLINE]] = scores.next_scans
        self._closes = _closes(settled.closed) if not at_end else np.zeros(0, CLOSE)
        self._matched = self._counted_matches()
        self._asked = self._asked_records()
        self._once: dict[tuple[int, int], list[tuple[int, str, str | None]]] = {}
        self._latest: list[tuple[int, int, str, str | None]] = []

    @property
    def next(self) -> tuple[int, int]:
        """When the scans are due next."""
        return int(self._cursor[NEXT_TIMER]), int(self._cursor[NEXT_DEADLINE])

    def run(self, *, scans: bool) -> None:
        """Take all of the round."""
        scores, settled = self._scores, self._settled
        if settled.events.size or self._closes.size or self._matched.size or self._asked.size:
            lanes, codes = np.ascontiguousarray(settled.numbers), self._codes()
            scores.visitors.reserve(settled.new_visitors)
            masks = np.ascontiguousarray(settled.masks)
            self._until_done(
                lambda table, waits, out: take_round(
                    settled.events, masks, settled.dropped, settled.begins, lanes, codes, self._closes,
                    self._matched, self._asked, table, waits, scores.tables, out, self._cursor, scores.settings.horizon,
                    self._room,
                )
            )  # fmt: skip
        if not scans:
            return
        until = settled.until
        if self._cursor[NEXT_TIMER] <= until or scores.sweeps(until):
            self._cursor[NEXT_TIMER], self._cursor[VISITOR_AT] = FOREVER, 0
            self._until_done(
                lambda table, waits, out: scan_visitors(
                    table,
                    waits,
                    scores.tables,
                    out,
                    self._cursor,
                    until,
                    scores.settings.horizon,
                    self._room,
                )
            )
        if self._cursor[NEXT_DEADLINE] <= until:
            self._cursor[NEXT_DEADLINE], self._cursor[WAIT_AT] = FOREVER, 0
            self._until_done(
                lambda table, waits, out: scan_waits(table, waits, scores.tables, out, self._cursor, until)
            )

    def _until_done(self, loop: Callable[..., bool]) -> None:
        scores, plan = self._scores, self._plan
        while True:
            out = (
                np.zeros(self._capacity, MOMENT),
                np.empty((self._capacity, len(plan.features))),
                np.zeros(self._labels, LABEL),
            )
            self._cursor[[MOMENTS, LABELS]] = 0
            scores.waits.reserve(self._capacity * len(plan.models))
            tables = [(t.index, t.records, t.places, t.changed) for t in (scores.visitors, scores.waits)]
            done = loop(*tables, out)
            moments, labels = int(self._cursor[MOMENTS]), int(self._cursor[LABELS])
            if moments or labels:
                # Copies where little of the room is used: what goes on is kept for as long as it waits.
                self._pieces.append(
                    (out[0][:moments].copy(), out[1][:moments].copy(), out[2][:labels].copy())
                )
            if done:
                return
            if not moments and not labels:
                self._labels *= 2

    def parts(self) -> tuple[npt.NDArray[np.void], npt.NDArray[np.float64], npt.NDArray[np.void]]:
        """Moments, their rows and labels."""
        if len(self._pieces) == 1:
            return self._pieces[0]
        if not self._pieces:
            return np.zeros(0, MOMENT), np.empty((0, len(self._plan.features))), np.zeros(0, LABEL)
        moments, rows, labels = zip(*self._pieces, strict=True)
        return np.concatenate(moments), np.concatenate(rows), np.concatenate(labels)

    def texts(self, moments: npt.NDArray[np.void]) -> pl.DataFrame:
        """The `MOMENT_TEXTS` of moments, in their order."""
        self._remember()
        if not moments.size:
            return _NO_TEXTS
        kinds, sources = moments["kind"], moments["source"]
        parts, places = [], []
        at_end = np.flatnonzero(kinds == AT_SESSION_END)
        if at_end.size:
            parts.append(self._texts_of_sessions(sources[at_end]))
            places.append(at_end)
        at_event = np.flatnonzero(kinds == AT_EVENT)
        if at_event.size:
            parts.append(self._texts_of_events(sources[at_event]))
            places.append(at_event)
        at_trigger = np.flatnonzero(kinds == AT_TRIGGER)
        if at_trigger.size:
            asked = [self._settled.asked[place].decision for place in sources[at_trigger].tolist()]
            found = [(each.visitor_id, each.user_id, each.session_id) for each in asked]
            parts.append(pl.DataFrame(found, schema=MOMENT_TEXTS, orient="row"))
            places.append(at_trigger)
        after = np.flatnonzero(kinds == AFTER_LAST_EVENT)
        if after.size:
            parts.append(self._texts_of_visitors(moments[after]))
            places.append(after)
        order = np.argsort(np.concatenate(places), kind="stable")
        return pl.concat(parts)[order]

    def _texts_of_sessions(self, sources: npt.NDArray[np.int64]) -> pl.DataFrame:
        records = self._settled.closed.records[sources]
        parts = ("high", "low", "first_high", "first_low", "start")
        names = hex_names(*fold_words(np.stack([records[name].astype(np.uint64) for name in parts])))
        pool = self._settled.pool
        (visitors,) = pool.take(records["first_row"].copy(), ("visitor_id",))
        (users,) = pool.take(records["user_row"].copy(), ("user_id",))
        return pl.DataFrame([visitors, users, names], schema=MOMENT_TEXTS)

    def _texts_of_events(self, sources: npt.NDArray[np.int64]) -> pl.DataFrame:
        found = self._settled.rows[self._settled.places[sources]]
        users = (
            found["user_id"]
            if "user_id" in found.columns
            else pl.Series([None] * found.height, dtype=pl.String)
        )
        blank = pl.Series([None] * found.height, dtype=pl.String)
        return pl.DataFrame([found["visitor_id"], users, blank], schema=MOMENT_TEXTS)

    def _texts_of_visitors(self, moments: npt.NDArray[np.void]) -> pl.DataFrame:
        once = self._once
        found = []
        for high, low, time in zip(
            *(moments[name].tolist() for name in ("high", "low", "time")), strict=True
        ):
            earlier = [texts for texts in once.get((high, low), ()) if texts[0] < time]
            if earlier:
                found.append((earlier[-1][1], earlier[-1][2], None))
            else:
                found.append((*self._scores.texts_of(high, low), None))
        return pl.DataFrame(found, schema=MOMENT_TEXTS, orient="row")

    def _remember(self) -> None:
        """Keep the texts of visitors who have an event that moments after the last one ask for.

        Those who had one before the round keep their texts until the round's moments have been told.
        """
        settled = self._settled
        bits = self._scores.tables[8]
        if not bits.size or not settled.events.size:
            return
        wanted = np.zeros(settled.events.size, np.bool_)
        for bit in bits.tolist():
            wanted |= (settled.masks[:, bit >> 6] >> np.uint64(bit & 63)) & np.uint64(1) != 0
        taken = np.flatnonzero(wanted & ~settled.dropped)
        if not taken.size:
            return
        texts = self._texts_of_events(taken)
        keys = zip(
            *(settled.events[name][taken].tolist() for name in ("visitor_high", "visitor_low")), strict=True
        )
        times = settled.events["time"][taken].tolist()
        visitors, users = texts["visitor_id"].to_list(), texts["user_id"].to_list()
        for key, time, visitor, user in zip(keys, times, visitors, users, strict=True):
            self._once.setdefault(key, []).append((time, visitor, user))
            self._latest.append((*key, visitor, user))

    def keep_texts(self) -> None:
        """Have the shard keep the texts of the round's last events."""
        for high, low, visitor, user in self._latest:
            self._scores.remember(high, low, visitor, user)

    def _codes(self) -> npt.NDArray[np.int64]:
        """The codes of the events that begin sessions, remembered by the values that they are made of."""
        settled, plan, known = self._settled, self._plan, self._scores.codes
        codes = np.full((len(plan.categories), settled.events.size), -1, np.int64)
        taken = np.flatnonzero(settled.begins)
        if not plan.categories or not taken.size:
            return codes
        # Columns without a value in this round are left out of the keys.
        names = [name for name in sorted(plan.event_columns) if name in settled.rows.columns]
        rows = settled.rows[settled.places[taken], names or settled.rows.columns[:1]]
        filled = [
            each for each in rows.iter_columns() if each.name in names and each.null_count() < rows.height
        ]
        values = [column.to_list() for column in filled] or [[None] * rows.height]
        keys = list(zip([tuple(column.name for column in filled)] * rows.height, *values, strict=True))
        new = {key: place for place, key in enumerate(keys) if key not in known}
        if new:
            if len(known) + len(new) > _MOST_CODES:
                known.clear()
                new = {key: place for place, key in enumerate(keys)}
            wanted = whole_rows(rows[list(new.values())], sorted(plan.event_columns))
            # A category of constants alone would give a single row.
            found = wanted.with_columns(plan.code_columns).select(str(n) for n in range(len(plan.categories)))
            known.update(zip(new, found.rows(), strict=True))
        codes[:, taken] = np.array([known[key] for key in keys], np.int64).T
        return codes

    def _asked_records(self) -> npt.NDArray[np.void]:
        numbers = {model.name: number for number, model in enumerate(self._plan.models)}
        records = np.zeros(len(self._settled.asked), ASKED)
        if not records.size:
            return records
        visitors = pl.Series([each.decision.visitor_id for each in self._settled.asked], dtype=pl.String)
        records["high"], records["low"] = hash_texts(visitors)
        for place, each in enumerate(self._settled.asked):
            name = int(each.decision.trigger_id, 16)
            models = sum(1 << numbers[model] for model in each.models if model in numbers)
            records[["trigger_high", "trigger_low", "time", "models", "source"]][place] = (
                name >> 64, name & (1 << 64) - 1, each.decision.due_time, models, place
            )  # fmt: skip
        return records[np.lexsort((records["trigger_low"], records["trigger_high"], records["time"]))]

    def _counted_matches(self) -> npt.NDArray[np.void]:
        records, slots = self._settled.matches, self._plan.match_slots
        if not records.size or not slots:
            return np.zeros(0, MATCHED)
        parts = []
        names = [pattern.name for pattern in self._settled.patterns]
        for number in np.unique(records["pattern"]).tolist():
            for slot in slots.get(names[number], ()):
                of_pattern = records[(records["pattern"] == number) & (records["kind"] == 0)]
                part = np.zeros(of_pattern.size, MATCHED)
                part["high"], part["low"] = of_pattern["visitor_high"], of_pattern["visitor_low"]
                part["time"], part["slot"] = of_pattern["settled_time"], slot
                parts.append(part)
        if not parts:
            return np.zeros(0, MATCHED)
        found = np.concatenate(parts)
        return found[np.lexsort((found["slot"], found["low"], found["high"], found["time"]))]


def _closes(closed: ClosedSessions) -> npt.NDArray[np.void]:
    records = closed.records
    closes = np.zeros(records.size, CLOSE)
    for name in ("high", "low", "first_high", "first_low"):
        closes[name] = records[name]
    closes["time"], closes["source"] = closed.times, np.arange(records.size)
    return closes[np.lexsort((closes["first_low"], closes["low"], closes["high"], closes["time"]))]
