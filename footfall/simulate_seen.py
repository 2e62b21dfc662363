"""What the simulator knows of its own events, and how it says what a pattern must find in them."""

from collections.abc import Mapping
from typing import NamedTuple


class Seen(NamedTuple):
    """One event as the engine should see it.

    `at` is the event time as used, in ms; `field` is the name of a form's field, `percent` how far a page was
    scrolled, `bot` whether the user agent names a robot, `service` what is to be repaired or was, `branch` where.
    """

    at: int
    event: str
    element: str | None
    message_id: str
    path: str | None = None
    x: int | None = None
    y: int | None = None
    field: str | None = None
    percent: float | None = None
    bot: bool = False
    service: str | None = None
    branch: str | None = None


class Plant(NamedTuple):
    """One occurrence of a pattern.

    Attributes:
        stages: name of the stage -> ids of the messages that it took, in order.
        first_time: event time of the first of them, ms.
        last_time: event time of the last of them, ms.
        due: event time at which it is certain, ms: the deadline of an absence, otherwise `last_time`.
        output: the output fields of the match, by name.
    """

    pattern: str
    stages: Mapping[str, tuple[str, ...]]
    first_time: int
    last_time: int
    due: int
    output: Mapping[str, str | None] = {}


def plant(pattern: str, *, due: int | None = None, **stages: tuple[Seen, ...]) -> Plant:
    """A plant of these events by stage; it is certain with the last of them unless `due` says when."""
    times = [seen.at for taken in stages.values() for seen in taken]
    ids = {name: tuple(seen.message_id for seen in taken) for name, taken in stages.items()}
    return Plant(pattern, ids, times[0], times[-1], times[-1] if due is None else due)
