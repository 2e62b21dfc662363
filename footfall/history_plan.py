"""What a live run knows of its past before it begins: where history ends and each topic partition goes on.

**A store's rows of a topic** are read from the store, then, from an exact offset on, from the topic. That offset is the
first of which it isn't sure that the store has what was read there. A run keeps an event once it has settled, so the
events that hadn't settled when it stopped are missing, among others that are there. They have later times than all that
had settled; so a record of an offset before that of one which is older by more than the longest lateness has settled,
if it ever can. Behind the last such record, the first offset that is missing is where the topic takes over. (An offset
may be missing for other reasons too, as those of copies are; then more is read from the topic than need be, a day's
records at most.) What the topic has deleted in the meantime is read from the store, as far as the store has it.

**Files, and rows of other partitions** don't say where in the topic they end. They are read beside the topics, each a
partition of its own; a topic partition of which the store has nothing begins with the first record whose timestamp is
that of the history's end, or later.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from footfall.clock import NEVER, ClockSettings, PartitionClock
from footfall.errors import UsageError
from footfall.event_names import EventNames
from footfall.file_source import FileSource
from footfall.formats import format_by_name
from footfall.input_source import is_store
from footfall.records import RecordSource
from footfall.setting_kinds import as_moment
from footfall.settings import Settings
from footfall.store import Store, parse_dsn
from footfall.store_source import StoreSource, store_stretches
from footfall.tables import DEAD_LETTERS, EVENTS, LATE_EVENTS, TRIGGERS

SURELY_SETTLED_MS = 86_400_000
"""How far behind the latest settled event a record is sure to have settled: the longest lateness that can be set."""

OVERLAP_MS = 60_000
"""How far before a store's last settled event sending begins: shards and sinks weren't all equally far when it stopped.

What the earlier run sent in that time is sent again, with the same ids and revisions.
"""

_BLOCK = 8_192

Offsets = Callable[[str | int], Mapping[str, int]]
"""Partition of the live topics -> the offset at which reading from there ("earliest", "latest", a time) begins."""


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """What of the past is read, and where the topics go on. It is kept with the run's state: a restart goes by it.

    Attributes:
        pasts: sources whose partitions end, and which no topic goes on with.
        stored: what is read from a store before its topic partition goes on, if anything is.
        begins: topic partition -> the first offset that is read from it.
        since: event time (ms) from which on decisions are sent.
        rules: trigger rule -> since when (ms) it was in force in this past, for those that were. They decide anew as
            they did then, so that cooldowns and caps know what was sent.
        notes: what a person should know of it.
    """

    pasts: tuple[RecordSource, ...]
    stored: StoreSource | None
    begins: Mapping[str, int]
    since: int
    rules: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def stores(self) -> list[StoreSource]:
        """Those of its sources that read a store."""
        return [source for source in (*self.pasts, self.stored) if isinstance(source, StoreSource)]


class _Taken(NamedTuple):
    pasts: list[RecordSource]
    stored: StoreSource | None
    begins: dict[str, int]
    since: int
    rules: dict[str, int]
    notes: list[str]


def kept_plan(plan: HistoryPlan) -> bytes:
    """The plan as bytes that hold no password."""
    copy: HistoryPlan = pickle.loads(pickle.dumps(plan))  # noqa: S301 - our own
    for source in copy.stores():
        source.address = replace(source.address, password="")
    return pickle.dumps(copy)


def restored_plan(kept: bytes, settings: Settings, inputs: Sequence[str]) -> HistoryPlan:
    """The plan that `kept_plan` gave; the inputs, which are the same, say how to log on to the store."""
    plan: HistoryPlan = pickle.loads(kept)  # noqa: S301 - it comes from this run's own state folder
    for source in plan.stores():
        for dsn in filter(is_store, inputs):
            source.address = parse_dsn(dsn, database=settings.database)
    return plan


def plan_history(settings: Settings, inputs: Sequence[str], offsets: Offsets) -> HistoryPlan:
    """Look at the past, and decide where the topics go on.

    Files are read once for that, unless `start` says a time.

    Raises:
        FootfallError: an input can't be read, or doesn't go with the topics.
    """
    stores = [each for each in inputs if is_store(each)]
    files = [each for each in inputs if not is_store(each)]
    if len(stores) > 1:
        raise UsageError(
            "history comes from one store at most; copy the others' events into it, or export them"
        )
    taken = _Taken([], None, {}, NEVER, {}, [])
    if stores:
        taken = _take_store(settings, stores[0], offsets)
    start = as_moment(settings.start)
    since = taken.since
    if files:
        source = FileSource(files, partitioned=settings.partitioned)
        taken.pasts.insert(0, source)
        since = max(since, _end_of_files(settings, source) if start is None else start)
    elif start is not None:
        since = max(since, start)
    names = [name for past in taken.pasts for name in past.partitions()]
    clash = sorted({name for name in names if names.count(name) > 1 or name in offsets("latest")})
    if clash:
        raise UsageError(f"the history has two partitions called {', '.join(clash)}: rename the file")
    at = settings.start if settings.start == "latest" else since if start is None else start
    begins = {**offsets(at), **taken.begins}
    return HistoryPlan(tuple(taken.pasts), taken.stored, begins, since, taken.rules, tuple(taken.notes))


def _take_store(settings: Settings, dsn: str, offsets: Offsets) -> _Taken:
    source = StoreSource(parse_dsn(dsn, database=settings.database), {})
    with source.opened() as store:
        stretches = store_stretches(store)
        first, last = offsets("earliest"), offsets("latest")
        own = {name: stretch for name, stretch in stretches.items() if name in first}
        others = {name: stretch for name, stretch in stretches.items() if name not in first}
        notes: list[str] = []
        begins: dict[str, int] = {}
        latest = _latest(store, sorted(own))
        for name, stretch in own.items():
            begins[name] = _handover(store, name, latest - SURELY_SETTLED_MS, first[name])
            if last[name] < stretch[1]:
                raise UsageError(
                    f"{name} ends at offset {last[name]}, and the history has offsets up to {stretch[1] - 1}: the "
                    "topic was created anew, or is another cluster's, so nobody knows where the history ends in it"
                )
            if first[name] > stretch[1]:
                notes.append(
                    f"{name}: offsets {stretch[1]} to {first[name] - 1} are in neither the store nor the topic"
                )
        rules = _rules_in_force(store) if own else {}
        since = latest - OVERLAP_MS if own else _latest(store, sorted(others))
    pasts: list[RecordSource] = []
    if others:
        other = StoreSource(source.address, others)
        pasts.append(other)
    source.stretches = {
        name: (stretch[0], min(stretch[1], begins[name]))
        for name, stretch in own.items()
        if stretch[0] < begins[name]
    }
    stored = source if source.stretches else None
    return _Taken(pasts, stored, begins, since, rules, notes)


def _latest(store: Store, partitions: Sequence[str]) -> int:
    """The latest time (ms) of an event of these partitions that has settled."""
    found = store.query(
        f"SELECT toUnixTimestamp64Milli(max(event_time)) AS latest, count() AS rows FROM {EVENTS.name} "
        "WHERE source_partition IN {partitions:Array(String)} SETTINGS final = 0",
        {"partitions": list(partitions)},
    )
    latest, rows = found.row(0)
    return max(int(latest), OVERLAP_MS) if rows else OVERLAP_MS


def _rules_in_force(store: Store) -> dict[str, int]:
    """Trigger rule -> the earliest due time (ms) at which it decided anything but that it wasn't in force yet."""
    found = store.query(
        f"SELECT rule, toUnixTimestamp64Milli(min(due_time)) AS since FROM {TRIGGERS.name} "
        "WHERE status != 'suppressed' GROUP BY rule"
    )
    return {str(rule): int(since) for rule, since in found.iter_rows()}


def _handover(store: Store, partition: str, settled: int, first: int) -> int:
    """The offset at which the topic takes over; `first` is the topic's first."""
    place: dict[str, object] = {"partition": partition, "settled": settled}
    found = store.query(
        f"SELECT max(source_offset) AS last, count() AS rows FROM {EVENTS.name} WHERE source_partition = "
        "{partition:String} AND event_time <= fromUnixTimestamp64Milli({settled:Int64}) SETTINGS final = 0",
        place,
    )
    last, rows = found.row(0)
    sure = max(int(last) if rows else -1, first - 1)
    place = {"partition": partition, "sure": sure}
    tables = " UNION DISTINCT ".join(
        f"SELECT source_offset FROM {table.name} "
        "WHERE source_partition = {partition:String} AND source_offset > {sure:Int64}"
        for table in (EVENTS, LATE_EVENTS, DEAD_LETTERS)
    )
    # Offsets without a gap, the n-th behind the sure ones is n behind them.
    found = store.query(
        f"SELECT count() AS rows, countIf(source_offset = {{sure:Int64}} + place) AS unbroken FROM "
        f"(SELECT source_offset, row_number() OVER (ORDER BY source_offset) AS place FROM ({tables})) "
        "SETTINGS final = 0",
        place,
    )
    return sure + 1 + int(found["unbroken"][0])


def _end_of_files(settings: Settings, source: FileSource) -> int:
    """The last arrival (ms) in the files, as their clocks have it; the latest event's time where none is known."""
    names = EventNames.load(settings.event_names)
    ends = []
    for partition in source.partitions():
        decoder = format_by_name(settings.format)(names, frozenset())
        clock = PartitionClock(ClockSettings(settings.lateness, settings.idle_bound, settings.future_jump))
        reader = source.open(partition, None)
        try:
            while (block := reader.read(_BLOCK)) is not None:
                clock.take(decoder.decode(block).events, ended=False)
        finally:
            reader.close()
        ends.append(clock.max_event_time if clock.last_arrival == NEVER else clock.last_arrival)
    latest = max(ends, default=NEVER)
    if latest == NEVER:
        raise UsageError("the history has no events: leave --from-history away")
    return latest
