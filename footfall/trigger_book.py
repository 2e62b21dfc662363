"""The trigger book of a shard: what its trigger rules decide of the matches, and what waits to be decided.

A settled rule decides in event time. At one moment events come first, then matches, then what is due; matches in
the order of their settling, what is due in the order of (due time, trigger's id). So a decision depends on events and
matches alone, not on how many come at once, and it never changes:

- A match that is the first with its first event makes a trigger; the same trigger is never decided twice.
- It is due at the first event's time plus the rule's delay, but not before the match itself is settled.
- If that is before the rule is active, it is `suppressed`. The due time counts, not the event's: what was begun
  before the rule came, and is due after, is still wanted, and what was due before would come as a surprise.
- A withdrawing event later than the match's last event, up to the due time, makes it `withdrawn`, when both are known.
- When it is due, the visitor's profile as of then must meet the condition (else `unmet`), and neither the cooldown
  (`cooled`) nor the cap (`capped`) be in the way. Then it is `fired`, or `shadow` in a rule that only counts.

Early rules are in `footfall.trigger_early`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from footfall.clock import FOREVER, NEVER
from footfall.errors import StateError
from footfall.expression import Expression
from footfall.pattern import Pattern
from footfall.profile_schema import SCORE_FIELDS, ProfileAt
from footfall.scoring.scored_triggers import AskedTrigger
from footfall.trigger_early import EarlyTriggers
from footfall.trigger_generation import Generation
from footfall.trigger_limits import FiringHistory
from footfall.trigger_memory import LONGEST_MEMORY_MS, memory_ms
from footfall.trigger_rows import (
    NO_TRIGGERS,
    Decision,
    Status,
    TriggerMatch,
    decision_rows,
    trigger_matches,
)
from footfall.trigger_rule import TriggerRule
from footfall.trigger_waits import Wait, Waits
from footfall.trigger_withdrawals import Withdrawals

STATE_VERSION = 1

_FEW = 4096
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class TriggerRound:
    """What has settled in a round of a shard.

    The frames of matches have the columns of the table `matches`, and `user_id`, `session_id` and `first_message_id`
    (nullable texts): those of the match's first event.

    Attributes:
        until: everything at or before this time has settled, in ms; `NEVER` where no more has, as at the input's end.
        settled: the matches that have settled since the round before, ordered by (settled_time, match_id).
        messages: what was told of matches, in that order: early ones, retractions, and settled ones that weren't told
            early. Without early answers, the same as `settled`.
        events: those that withdraw, in their final order, as `withdrawing_events` gives them.
        profile_at: gives profiles as of any time after the round before, up to `until`; None where there are none.
    """

    until: int
    settled: pl.DataFrame | None = None
    messages: pl.DataFrame | None = None
    events: pl.DataFrame | None = None
    profile_at: ProfileAt | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come but time."""
        return not (
            (self.settled is not None and self.settled.height)
            or (self.messages is not None and self.messages.height)
            or (self.events is not None and self.events.height)
        )


class TriggerBook:
    """The triggers of a shard. It is kept across a restart by pickling it, its rules included.

    Args:
        rules: the rules.
        patterns: the patterns that they act on, at least; all versions of one that matches may be of.
        deployed: rule -> when it was first deployed, in ms since 1970; a rule that isn't there always was.

    Attributes:
        asks: the fields of profiles that models fill: a rule whose condition reads one of them waits for the models
            (`take_asked`). Not kept across a restart.

    Raises:
        UsageError: the rules have more than 64 different conditions on withdrawing events.
    """

    def __init__(
        self,
        rules: Iterable[TriggerRule],
        patterns: Iterable[Pattern],
        deployed: Mapping[str, int] | None = None,
    ) -> None:
        self._generations: dict[int, Generation] = {}
        self._current: dict[str, int] = {}
        self._announced: list[tuple[int, dict[str, list[Generation]]]] = []
        self._last_number = 0
        self._until = NEVER
        self._waits = Waits()
        self._decided: dict[bytes, int] = {}
        self._decided_left = 0
        self._withdrawals = Withdrawals()
        self._history = FiringHistory()
        self._early = EarlyTriggers()
        self._counts: dict[str, Counter[str]] = {}
        self.asks: frozenset[str] = frozenset()
        self._asked: list[AskedTrigger] = []
        self.switch(rules, patterns, deployed)

    @property
    def withdrawals(self) -> tuple[Expression, ...]:
        """The conditions on withdrawing events, in the order of their bits. `switch` may change them."""
        return tuple(self._withdrawals.conditions.values())

    @property
    def patterns(self) -> frozenset[str]:
        """The names of the patterns whose matches the rules act on."""
        return frozenset((*self._settled_rules, *self._early_rules))

    @property
    def next_due(self) -> int:
        """A time before which nothing becomes due by itself, in ms; `FOREVER` if nothing waits."""
        return self._waits.next_due

    @property
    def waiting(self) -> int:
        """How many triggers wait for their time."""
        return len(self._waits)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How many decisions there were: rule -> status -> number."""
        return {rule: dict(counts) for rule, counts in self._counts.items()}

    def switch(
        self,
        rules: Iterable[TriggerRule],
        patterns: Iterable[Pattern],
        deployed: Mapping[str, int] | None = None,
    ) -> None:
        """Go by these rules from now on.

        What waits is decided by the rule under which its wait began; if no rule of that name is left, it is suppressed
        when it is due. Trigger ids, cooldowns and caps go on, so nobody is mailed twice because a rule has changed.

        Raises:
            UsageError: as for a new book, which this one then still isn't.
        """
        memory = _memory_of(patterns)
        used = self._waits.generations()
        generations = {number: one for number, one in self._generations.items() if number in used}
        current = {}
        number = self._last_number
        for rule in sorted(rules, key=lambda rule: rule.name):
            known = self._generations.get(self._current.get(rule.name, 0))
            memory_of = memory.get(rule.pattern, LONGEST_MEMORY_MS)
            new = Generation.of(number + 1, rule, memory_of, (deployed or {}).get(rule.name))
            if known is None or not known.is_same(new):
                number += 1
                known = new
            generations[known.number] = known
            current[rule.name] = known.number
        self._use(generations, current)
        self._last_number = number

    def announce(
        self,
        later: Sequence[tuple[int, Iterable[TriggerRule], Iterable[Pattern], Mapping[str, int]]],
    ) -> None:
        """Know the rules that `switch` will bring, each set with the event time (ms) from which on it is in force.

        Early rules act on matches that have not settled. So which rules a message is for goes by its match's time, not
        by how far all has settled. Not kept across a restart: it is to be told again, and after each switch.

        Args:
            later: since when, rules, patterns, and when they were first deployed.
        """
        self._announced = []
        for since, rules, patterns, deployed in later:
            memory = _memory_of(patterns)
            early: dict[str, list[Generation]] = {}
            for rule in sorted(rules, key=lambda rule: rule.name):
                if rule.kind == "early":
                    memory_of = memory.get(rule.pattern, LONGEST_MEMORY_MS)
                    one = Generation.of(0, rule, memory_of, deployed.get(rule.name))
                    early.setdefault(rule.pattern, []).append(one)
            self._announced.append((since, early))

    def _early_rules_of(self, message: TriggerMatch) -> Sequence[Generation]:
        rules = self._early_rules
        for since, later in self._announced:
            if message.settled_time >= since:
                rules = later
        return rules.get(message.pattern, ())

    def take(self, round_: TriggerRound) -> pl.DataFrame:
        """Decide what a round lets decide: rows of the table `triggers`.

        What early rules say stands first, in the order of the messages; then what settled rules have decided, in the
        order in which they did.
        """
        until = round_.until
        self._until = max(self._until, until)
        if round_.is_empty and self._waits.next_due > until:
            return NO_TRIGGERS
        decisions = list(self._early.take(trigger_matches(round_.messages), self._early_rules_of))
        decisions.extend(self._settle(round_))
        self._forget(self._until)
        for decision in decisions:
            self._counts.setdefault(decision.rule, Counter())[decision.status] += 1
        return decision_rows(decisions)

    def _settle(self, round_: TriggerRound) -> Iterator[Decision]:
        events = _events(round_.events)
        matches = trigger_matches(round_.settled)
        event, match = next(events, None), next(matches, None)
        while True:
            at_event = FOREVER if event is None else event[1]
            at_match = FOREVER if match is None else match.settled_time
            due = self._waits.next_due
            if event is not None and at_event <= min(at_match, due):
                yield from self._withdraw(*event)
                event = next(events, None)
            elif match is not None and at_match <= due:
                yield from self._begin(match)
                match = next(matches, None)
            elif due <= round_.until or event is not None or match is not None:
                waited = self._waits.pop()
                decided = None if waited is None else self._decide(*waited, round_.profile_at)
                if decided is not None:
                    yield decided
            else:
                return

    def _withdraw(self, visitor_id: str, time: int, bits: int) -> Iterator[Decision]:
        keys = [key for number, key in enumerate(self._withdrawals.conditions) if bits >> number & 1]
        self._withdrawals.take(visitor_id, time, keys)
        under = frozenset().union(*(self._withdrawn_by.get(key, frozenset()) for key in keys))
        for due, trigger, wait in self._waits.withdraw(visitor_id, under):
            yield self._generations[wait.generation].decision(wait, trigger, due, "withdrawn", now=time)

    def _begin(self, match: TriggerMatch) -> Iterator[Decision]:
        if match.status != "fired":
            return
        now = match.settled_time
        for generation in self._settled_rules.get(match.pattern, ()):
            trigger = match.trigger_id(generation.rule.name)
            if self._decided.get(trigger, NEVER) >= now:
                continue
            self._decided[trigger] = match.first_time + generation.memory_ms
            due = max(match.first_time + generation.delay_ms, now)
            wait = generation.wait(match)
            key = generation.withdrawal
            if due < generation.active_from:
                yield generation.decision(wait, trigger, due, "suppressed", now=now)
            elif key is not None and self._withdrawals.since(key, match.visitor_id, match.last_time):
                yield generation.decision(wait, trigger, due, "withdrawn", now=now)
            else:
                self._waits.add(due, trigger, wait, withdrawable=key is not None)

    def take_asked(self) -> list[AskedTrigger]:
        """What has become due since the last time and waits for scores, in the order of due times."""
        asked, self._asked = self._asked, []
        return asked

    def _decide(self, due: int, trigger: bytes, wait: Wait, profile_at: ProfileAt | None) -> Decision | None:
        """The decision on a wait that is over; None if it is for the models to make."""
        generation = self._generations[wait.generation]
        visitor = wait.visitor_id
        if generation.rule.name not in self._current:
            return generation.decision(wait, trigger, due, "suppressed", now=due)
        profile = generation.profile(profile_at, visitor, due)
        user = profile["user_id"]
        if wait.user_id is None and isinstance(user, str):
            wait = msgspec.structs.replace(wait, user_id=user)  # who has become known since the first event
        if generation.asks & self.asks:
            status: Status = "shadow" if generation.rule.mode == "shadow" else "fired"
            waiting = generation.decision(wait, trigger, due, status, now=due)
            self._asked.append(AskedTrigger(generation.rule, waiting, profile))
            return None
        if generation.meets is not None and not generation.meets(profile):
            return generation.decision(wait, trigger, due, "unmet", now=due)
        refusal = self._history.refusal(generation.limits, visitor, due)
        if refusal is not None:
            return generation.decision(wait, trigger, due, refusal, now=due)
        self._history.record(generation.limits, visitor, due)
        known = {name: profile[name] for name in SCORE_FIELDS if profile[name] is not None}
        status = "shadow" if generation.rule.mode == "shadow" else "fired"
        scores = _encode(known).decode() if known else "{}"
        return generation.decision(wait, trigger, due, status, now=due, scores=scores)

    def _forget(self, until: int) -> None:
        if len(self._decided) > 2 * self._decided_left + _FEW:
            self._decided = {trigger: over for trigger, over in self._decided.items() if over > until}
            self._decided_left = len(self._decided)
        self._withdrawals.forget(until)
        self._history.forget(until)
        self._early.forget(until)

    def _use(self, generations: dict[int, Generation], current: dict[str, int]) -> None:
        """Go by these generations; `current` are those of the rules in force, by name."""
        in_force = set(current.values())
        ordered = [generations[number] for number in sorted(generations)]
        withdrawn_by: dict[str, frozenset[int]] = {}
        waits = []
        settled: dict[str, list[Generation]] = {}
        early: dict[str, list[Generation]] = {}
        for one in ordered:
            if one.withdrawal is not None and one.rule.withdrawal is not None:
                withdrawn_by[one.withdrawal] = withdrawn_by.get(one.withdrawal, frozenset()) | {one.number}
                waits.append((one.rule.withdrawal, one.memory_ms if one.number in in_force else 0))
        for name in sorted(current):
            one = generations[current[name]]
            (early if one.rule.kind == "early" else settled).setdefault(one.rule.pattern, []).append(one)
        self._withdrawals.use(waits)
        self._history.use(one.limits for one in ordered)
        self._generations, self._current = generations, current
        self._withdrawn_by, self._settled_rules, self._early_rules = withdrawn_by, settled, early

    def __getstate__(self) -> dict[str, Any]:
        rules = [
            (one.number, one.rule.to_json(), one.memory_ms, one.active_from)
            for one in self._generations.values()
        ]
        return {
            "version": STATE_VERSION,
            "rules": rules,
            "current": self._current,
            "last_number": self._last_number,
            "until": self._until,
            "waits": self._waits,
            "decided": self._decided,
            "decided_left": self._decided_left,
            "withdrawals": self._withdrawals,
            "history": self._history,
            "early": self._early,
            "counts": self._counts,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["version"] != STATE_VERSION:
            raise StateError(
                f"the kept triggers have version {state['version']}, this Footfall reads {STATE_VERSION}: "
                "go on with the version that kept them, or start anew from history"
            )
        self._last_number, self._until = state["last_number"], state["until"]
        self._waits, self._decided = state["waits"], state["decided"]
        self._decided_left = state["decided_left"]
        self._withdrawals, self._history = state["withdrawals"], state["history"]
        self._early = state["early"]
        self._counts = state["counts"]
        self._announced = []
        self.asks, self._asked = frozenset(), []
        generations = {
            number: Generation.of(number, TriggerRule.from_json(text), memory, active_from)
            for number, text, memory, active_from in state["rules"]
        }
        self._use(generations, state["current"])


def _memory_of(patterns: Iterable[Pattern]) -> dict[str, int]:
    """For each name how long what was decided of a match may matter: that of the version for which it is longest."""
    memory: dict[str, int] = {}
    for pattern in patterns:
        memory[pattern.name] = max(memory_ms(pattern), memory.get(pattern.name, 0))
    return memory


def _events(events: pl.DataFrame | None) -> Iterator[tuple[str, int, int]]:
    if events is None or not events.height:
        return iter(())
    return zip(*(events.get_column(name).to_list() for name in ("visitor_id", "time", "bits")), strict=True)
