"""A trigger rule in use, with all that deciding by it needs at hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from footfall.clock import NEVER
from footfall.profile_schema import PROFILE_SCHEMA, SCORE_FIELDS, ProfileAt, profile_row
from footfall.trigger_limits import RuleLimits
from footfall.trigger_rows import Decision, Status, TriggerMatch, message_fields
from footfall.trigger_rule import TriggerRule
from footfall.trigger_waits import Wait


@dataclass(frozen=True, slots=True)
class Generation:
    """A rule from one deployment of it to the next.

    Attributes:
        number: names it among all that a book has had.
        rule: the rule.
        memory_ms: how long matches of its pattern may share a first event (`footfall.trigger_memory`).
        active_from: what is due earlier isn't sent, in ms.
        version: the rule's version.
        expires_ms: how long after the due time a message may be sent, in ms.
        delay_ms: the rule's delay, in ms.
        withdrawal: the key of the condition on withdrawing events; None if there is none.
        limits: its cooldown and cap.
        meets: whether a profile's fields meet its condition; None if it has none.
        reads: the fields that this needs, and those that a message tells.
        asks: those of them that are scores which its condition reads.
    """

    number: int
    rule: TriggerRule
    memory_ms: int
    active_from: int
    version: str
    expires_ms: int
    delay_ms: int
    withdrawal: str | None
    limits: RuleLimits
    meets: Callable[[Mapping[str, object]], bool] | None
    reads: frozenset[str]
    asks: frozenset[str]

    @classmethod
    def of(cls, number: int, rule: TriggerRule, memory_ms: int, deployed: int | None) -> "Generation":
        """That of a rule which was first deployed at a time (ms; None if it always was)."""
        condition = rule.profile_condition
        asked, first = rule.active_from_ms, NEVER if deployed is None else deployed
        return cls(
            number,
            rule,
            memory_ms,
            first if asked is None else asked,
            rule.version,
            rule.expires_after_ms,
            rule.delay_ms,
            None if rule.withdrawal is None else rule.withdrawal.key(),
            RuleLimits.of(rule),
            None if condition is None else condition.to_closure(PROFILE_SCHEMA),
            frozenset(("user_id", *SCORE_FIELDS)).union(() if condition is None else condition.columns()),
            frozenset(() if condition is None else condition.columns()).intersection(SCORE_FIELDS),
        )

    def is_same(self, other: "Generation") -> bool:
        """Whether both decide alike, whatever their numbers."""
        return (self.rule, self.memory_ms, self.active_from) == (
            other.rule,
            other.memory_ms,
            other.active_from,
        )

    def profile(self, profile_at: ProfileAt | None, visitor_id: str, time: int) -> dict[str, object]:
        """What it reads of a visitor's profile as of a time."""
        return profile_row(None if profile_at is None else profile_at(visitor_id, time), self.reads)

    def wait(self, match: TriggerMatch) -> Wait:
        """The wait that a match begins."""
        return Wait(
            self.number,
            match.first_time,
            match.visitor_id,
            match.user_id,
            match.session_id,
            match.match_id,
            match.pattern_version,
            match.stages,
            message_fields(self.rule, match.outputs),
        )

    def decision(
        self,
        wait: Wait,
        trigger: bytes,
        due: int,
        status: Status,
        *,
        now: int,
        scores: str = "{}",
        revision: int = 0,
    ) -> Decision:
        """The decision on a wait, made at the time `now`."""
        return Decision(
            trigger.hex(),
            self.rule.name,
            self.version,
            self.rule.pattern,
            wait.pattern_version,
            wait.match_id,
            wait.visitor_id,
            wait.user_id,
            wait.session_id,
            wait.first_time,
            due,
            due + self.expires_ms,
            self.rule.topic,
            self.rule.action,
            wait.evidence,
            wait.fields,
            scores,
            status,
            revision,
            now,
        )
