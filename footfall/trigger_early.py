"""Early rules: a trigger stands while one of the matches stands that it can come of.

It fires with the first of them, at once; when the last one is disproved it is retracted, and fires again if another
comes to stand. Each message has the next revision.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from footfall.trigger_generation import Generation
from footfall.trigger_rows import Decision, Status, TriggerMatch

_FEW = 4096


class _Told(NamedTuple):
    """What was told of a trigger, and which matches stand."""

    over: int
    revision: int
    standing: tuple[str, ...]


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[bytes, _Told]).decode


@dataclass(slots=True)
class EarlyTriggers:
    """The triggers of early rules, as long as matches may change them. All of it is kept across a restart."""

    _told: dict[bytes, _Told] = field(default_factory=dict)
    _left: int = 0

    def take(
        self, messages: Iterator[TriggerMatch], rules_of: Callable[[TriggerMatch], Sequence[Generation]]
    ) -> Iterator[Decision]:
        """What messages about matches, in their order, do to the triggers of the early rules that each is for.

        A match that is due before its rule is active doesn't count; it is told once, as suppressed.
        """
        for message in messages:
            if message.at_end or message.status not in ("fired", "retracted"):
                continue
            for generation in rules_of(message):
                decision = self._decide(message, generation)
                if decision is not None:
                    yield decision

    def _decide(self, message: TriggerMatch, generation: Generation) -> Decision | None:
        trigger = message.trigger_id(generation.rule.name)
        due = message.settled_time
        told = self._told.get(trigger)
        if told is None or told.over < due:
            told = _Told(message.first_time + generation.memory_ms, 0, ())
        before, after = told.standing, told.standing
        status: Status | None = None
        shadow = generation.rule.mode == "shadow"
        if due < generation.active_from:
            if message.status == "fired" and not told.revision:
                status = "suppressed"
        elif message.status == "fired":
            if message.match_id not in before:
                after = (*before, message.match_id)
            if not before:
                status = "shadow" if shadow else "fired"
        else:
            after = tuple(match for match in before if match != message.match_id)
            if before and not after:
                status = "withdrawn" if shadow else "retracted"
        if status is None and after == before:
            return None
        self._told[trigger] = _Told(told.over, told.revision + (status is not None), after)
        if status is None:
            return None
        wait = generation.wait(message)
        return generation.decision(wait, trigger, due, status, now=due, revision=told.revision)

    def forget(self, until: int) -> None:
        """Drop what no message can change once all is settled up to that time, if enough has come since the last."""
        if len(self._told) > 2 * self._left + _FEW:
            self._told = {trigger: told for trigger, told in self._told.items() if told.over > until}
            self._left = len(self._told)

    def __getstate__(self) -> tuple[bytes, int]:
        # As MessagePack, in a tenth of pickle's time for so many tuples.
        return _pack(self._told), self._left

    def __setstate__(self, state: tuple[bytes, int]) -> None:
        told, self._left = state
        self._told = _unpack(told)
