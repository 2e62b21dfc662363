"""Rounds of events for profiles, without a shard, and what a profile must say, reckoned the plain way."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from engine_harness import frame_of, reserved_conditions
from reference import Record

from footfall.event_batch import QUOTED, split_by_shard
from footfall.pattern_plan import PatternPlan
from footfall.profiles import Profiles, ProfileValue

PLAN = PatternPlan.compile([], reserved=reserved_conditions(("view",), ("click",), ("order",)))
START = 1_760_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """An event, and what the shard says of it."""

    record: Record
    dropped: bool = False
    begins: bool = False


def take_round(profiles: Profiles, steps: Sequence[Step], until: int, *, with_places: bool = False) -> None:
    """Begin a round of these events; its frame has a row in front, and the others the wrong way round."""
    steps = [replace(step, record=replace(step.record, arrival=None)) for step in steps]
    frame = frame_of([Record("nobody", "m", "view", START), *(step.record for step in reversed(steps))])
    (batch,) = split_by_shard(frame, PLAN, list(QUOTED), 0, 1, watermark=0, ended=False)
    places = np.arange(len(steps), 0, -1)
    dropped = np.array([step.dropped for step in steps], np.bool_)
    begins = np.array([step.begins for step in steps], np.bool_)
    events = np.take(batch.events, places)
    if not with_places:
        profiles.begin_round(events, dropped, begins, batch.rows, places, until)
        return
    visitors = list(dict.fromkeys(step.record.visitor for step in steps))
    places_of = [-1 if step.dropped else visitors.index(step.record.visitor) for step in steps]
    profiles.begin_round(events, dropped, begins, batch.rows, places, until, np.array(places_of, np.int64))


def expected(steps: Iterable[Step], visitor: str, time: int, horizon: int) -> dict[str, ProfileValue] | None:
    """A visitor's profile as of a time, from all events that there ever were."""
    profile: dict[str, ProfileValue] | None = None
    last = first_utm = currency = None
    for step in steps:
        record = step.record
        if step.dropped or record.visitor != visitor or record.time > time:
            continue
        if profile is None or last is None or record.time - last > horizon:
            profile = dict.fromkeys(("user_id", "first_source", "first_campaign", "last_conversion"))
            profile |= dict.fromkeys(
                ("events", "sessions", "page_views", "clicks", "conversions", "value"), 0
            )
            profile |= {"visitor_id": visitor, "first_seen": record.time}
            first_utm = currency = None
        last = record.time
        added = {
            "events": 1,
            "sessions": int(step.begins),
            "page_views": int(record.name == "view"),
            "clicks": int(record.name == "click"),
            "conversions": int(record.name == "order"),
        }
        if record.name == "order":
            profile["last_conversion"] = record.time
            if record.value is not None:
                currency = currency or record.currency
                added["value"] = record.value if record.currency in (None, currency) else 0
        for name, more in added.items():
            before = profile[name]
            assert isinstance(before, int)
            profile[name] = before + more
        profile["last_seen"] = record.time
        if record.user is not None:
            profile["user_id"] = record.user
        if first_utm is None and (record.source is not None or record.campaign is not None):
            first_utm = record
            profile["first_source"], profile["first_campaign"] = record.source, record.campaign
    return profile if last is not None and time - last <= horizon else None


def all_of(profiles: Profiles) -> dict[str, dict[str, ProfileValue]]:
    """Every profile that there is, by visitor."""
    table, found = profiles.table, {}
    for record in table.whole(0, table.high_water).records:
        profile = profiles.at_hash(int(record["high"]), int(record["low"]), profiles.settled)
        if profile is not None:
            found[str(profile["visitor_id"])] = profile
    return found
