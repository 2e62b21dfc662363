"""Cooldowns and caps: what was fired for a visitor of late, counted over event time."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from footfall.trigger_rows import Status
from footfall.trigger_rule import TriggerRule

_FEW = 4096


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a rule: at most `most` triggers in `window_ms`, counted over the histories `counted`.

    A trigger more, at a time t, counts those that were due later than t - `window_ms`.
    """

    status: Status
    most: int
    window_ms: int
    counted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleLimits:
    """The limits of a rule, and the histories that its triggers go into."""

    limits: tuple[Limit, ...]
    recorded: tuple[str, ...]

    @classmethod
    def of(cls, rule: TriggerRule) -> "RuleLimits":
        """Those of a rule.

        A shadow rule counts its own triggers as if they were sent, but nobody else does.
        """
        limits = []
        own, shadow = f"rule {rule.name}", f"shadow {rule.name}"
        seen = (shadow,) if rule.mode == "shadow" else ()
        recorded = []
        if rule.cooldown_ms:
            limits.append(Limit("cooled", 1, rule.cooldown_ms, (own, *seen)))
            recorded.append(own)
        if rule.cap is not None:
            group = f"group {rule.cap_group}" if rule.cap_group is not None else f"cap {rule.name}"
            limits.append(Limit("capped", rule.cap_count, rule.cap_ms, (group, *seen)))
            recorded.append(group)
        if rule.mode == "shadow":
            recorded = [shadow] if limits else []
        return cls(tuple(limits), tuple(recorded))


@dataclass(slots=True)
class FiringHistory:
    """When triggers were due that were fired, by history and visitor, as long as a limit may count them.

    Triggers are recorded in the order of their due times. All of it is kept across a restart.
    """

    _times: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    _kept_ms: dict[str, int] = field(default_factory=dict)
    _left: int = 0
    _size: int = 0

    def use(self, rules: Iterable[RuleLimits]) -> None:
        """Keep from now on what these rules count."""
        kept: dict[str, int] = {}
        for rule in rules:
            for limit in rule.limits:
                for history in limit.counted:
                    kept[history] = max(kept.get(history, 0), limit.window_ms)
        self._kept_ms = kept
        self._times = {history: self._times.get(history, {}) for history in kept}

    def refusal(self, rule: RuleLimits, visitor_id: str, due: int) -> Status | None:
        """The status of the limit that is in the way of a trigger; None if none is."""
        for limit in rule.limits:
            since = due - limit.window_ms
            found = 0
            for history in limit.counted:
                found += sum(time > since for time in self._times[history].get(visitor_id, ()))
            if found >= limit.most:
                return limit.status
        return None

    def record(self, rule: RuleLimits, visitor_id: str, due: int) -> None:
        """Take note of a trigger that was fired."""
        for history in rule.recorded:
            times = self._times[history]
            known = times.get(visitor_id, ())
            since = due - self._kept_ms[history]
            times[visitor_id] = (*(time for time in known if time > since), due)
            self._size += not known

    def forget(self, until: int) -> None:
        """Drop what no trigger that is due after `until` counts, if enough has come since the last time."""
        if self._size <= 2 * self._left + _FEW:
            return
        for history, times in self._times.items():
            since = until - self._kept_ms[history]
            self._times[history] = {who: known for who, known in times.items() if known[-1] > since}
        self._size = self._left = sum(map(len, self._times.values()))
