"""The `segment` format: messages in the shape of Segment's spec, as analytics.js and its kin send them.

A track message's event is its name; a message of another type has its type as name as sent ("page",
"identify" …), which the table of event names makes `page_view` and `screen_view` of; a page's own name stays
in its properties. The event time is receivedAt - (sentAt - originalTimestamp) where all three are given,
which takes the clock of the visitor's device out of it; else timestamp, else originalTimestamp. Ids, times,
`event` and `type` must have the right types. What stands in `context` and `properties` is free in Segment's
spec, so a value of another type there counts as absent and stays in the properties; only an amount that
overflows makes a dead letter. Properties are the message's own as sent, or its traits (before the properties
in identify and group messages).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from footfall.columns import Spans, distinct
from footfall.envelope import EARLIEST_TIME_MS, LATEST_TIME_MS
from footfall.formats import Format, Slot
from footfall.page_address import CAMPAIGN
from footfall.raw_json import UnfitError, bounded_time
from footfall.record_part import Part

TYPES = ("track", "page", "screen", "identify", "group", "alias")

_CAMPAIGN_KEYS = {"utm_campaign": "name"}


def _text(*paths: str) -> Slot:
    return Slot("text", tuple(tuple(path.split(".")) for path in paths))


def _free(*paths: str) -> Slot:
    return Slot("text", tuple(tuple(path.split(".")) for path in paths), strict=False)


def _time(path: str) -> Slot:
    return Slot("time", ((path,),))


def _free_amount(key: str) -> Slot:
    return Slot("money", (("properties", key),), strict=False)


class SegmentFormat(Format):
    """Segment's page, track, identify, screen, group and alias messages."""

    name: ClassVar[str] = "segment"
    slots: ClassVar[Mapping[str, Slot]] = {
        "type": _text("type"),
        "message_id": _text("messageId"),
        "visitor_id": _text("anonymousId"),
        "user_id": _text("userId"),
        "event": _text("event"),
        "arrival_time": _time("receivedAt"),
        "timestamp": _time("timestamp"),
        "original_timestamp": _time("originalTimestamp"),
        "sent_at": _time("sentAt"),
        "page_url": _free("context.page.url"),
        "page_path": _free("context.page.path"),
        "page_referrer": _free("context.page.referrer"),
        "url": _free("properties.url"),
        "path": _free("properties.path"),
        "referrer": _free("properties.referrer"),
        **{name: _free(f"context.campaign.{_CAMPAIGN_KEYS.get(name, name[4:])}") for name in CAMPAIGN},
        **{f"own_{name}": _free(f"properties.{name}") for name in CAMPAIGN},
        "element": _free("properties.element"),
        "selector": _free("properties.selector"),
        "revenue": _free_amount("revenue"),
        "total": _free_amount("total"),
        "value": _free_amount("value"),
        "currency": _free("properties.currency"),
        "user_agent": _free("context.userAgent"),
        "properties": Slot("raw", (("properties",),)),
        "traits": Slot("raw", (("traits",),)),
    }
    texts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "url": ("page_url", "url"),
        "path": ("page_path", "path"),
        "referrer": ("page_referrer", "referrer"),
        **{name: (name, f"own_{name}") for name in CAMPAIGN},
        "element": ("element", "selector"),
        "currency": ("currency",),
    }
    amounts: ClassVar[tuple[str, ...]] = ("revenue", "total", "value")

    def _event_texts(self, part: Part) -> Spans:
        types = part.text("type")
        known, tracks = _of_types(part, types, TYPES), _of_types(part, types, ("track",))
        part.leave(~known)
        return part.text("event").where(tracks, types)

    def _event_times(self, part: Part) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        stamps, stamped = part.times("timestamp")
        originals, given = part.times("original_timestamp")
        sent, was_sent = part.times("sent_at")
        received, arrived = part.times("arrival_time")
        exact = given & was_sent & arrived
        values = np.where(exact, received - (sent - originals), np.where(stamped, stamps, originals))
        fits = (values >= EARLIEST_TIME_MS) & (values <= LATEST_TIME_MS)
        return values, (exact | stamped | given) & fits

    def _own_properties(self, part: Part) -> Spans:
        properties, traits = part.raw("properties"), part.raw("traits")
        people = _of_types(part, part.text("type"), ("identify", "group"))
        return properties.where((properties.lengths >= 0) & ~(people & (traits.lengths >= 0)), traits)

    def _own_slots(self) -> frozenset[str]:
        return frozenset({"type", "event"})

    def _event_name_of(self, values: Mapping[str, Any]) -> str | None:
        kind: str | None = values.get("type")
        if kind not in TYPES:
            raise UnfitError(
                "unknown_type", f"type must be one of {', '.join(TYPES)}, not {str(kind)[:80]!r}"
            )
        name: str | None = values.get("event") if kind == "track" else kind
        return name

    def _event_time_of(self, values: Mapping[str, Any]) -> int | None:
        original, sent, received = (values.get(k) for k in ("original_timestamp", "sent_at", "arrival_time"))
        if original is not None and sent is not None and received is not None:
            return bounded_time("receivedAt - (sentAt - originalTimestamp)", received - (sent - original))
        stamp: int | None = values.get("timestamp")
        return original if stamp is None else stamp

    def _own_properties_of(self, values: Mapping[str, Any]) -> bytes | None:
        order = (
            ("traits", "properties") if values["type"] in {"identify", "group"} else ("properties", "traits")
        )
        found: list[bytes] = [values[name] for name in order if values.get(name) is not None]
        return found[0] if found else None


def _of_types(part: Part, types: Spans, wanted: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Where the message's type is one of those."""
    usable = Spans(types.starts, np.where(types.escaped, np.int32(-1), types.lengths), types.escaped)
    codes, firsts = distinct(part.buffer, usable)
    names = [
        part.data[usable.starts[row] : usable.starts[row] + usable.lengths[row]] for row in firsts.tolist()
    ]
    return np.array([*(name.decode("latin-1") in wanted for name in names), False])[codes]
