"""The `footfall` format: flat JSON with the envelope's own names, or one of their aliases.

Where a record has a field's name and an alias of it too, the name counts and the alias goes to the properties
with the unknown fields. `user_agent` is an unknown field that also tells robots.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from footfall.columns import Spans
from footfall.envelope import ALIASES, FIELDS
from footfall.formats import Format, Slot
from footfall.record_part import Part

_KINDS: Mapping[str, Any] = {"object": "raw"}


class FlatFormat(Format):
    """Flat JSON, one event a record."""

    name: ClassVar[str] = "footfall"
    slots: ClassVar[Mapping[str, Slot]] = {
        **{
            field.name: Slot(
                _KINDS.get(field.sent, field.sent),
                tuple((name,) for name in (field.name, *ALIASES.get(field.name, ()))),
            )
            for field in FIELDS
            if field.sent is not None
        },
        "user_agent": Slot("text", (("user_agent",),), strict=False),
    }
    texts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        field.name: (field.name,)
        for field in FIELDS
        if field.sent == "text" and field.name not in {"message_id", "visitor_id", "user_id", "event"}
    }
    amounts: ClassVar[tuple[str, ...]] = ("value",)
    keeps_unknown: ClassVar[bool] = True
    also_unknown: ClassVar[frozenset[str]] = frozenset({"user_agent"})

    def _event_texts(self, part: Part) -> Spans:
        return part.text("event")

    def _event_times(self, part: Part) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        return part.times("event_time")

    def _own_properties(self, part: Part) -> Spans:
        return part.raw("properties")

    def _own_slots(self) -> frozenset[str]:
        return frozenset({"event"})

    def _event_name_of(self, values: Mapping[str, Any]) -> str | None:
        name: str | None = values.get("event")
        return name

    def _event_time_of(self, values: Mapping[str, Any]) -> int | None:
        time: int | None = values.get("event_time")
        return time

    def _own_properties_of(self, values: Mapping[str, Any]) -> bytes | None:
        properties: bytes | None = values.get("properties")
        return properties
