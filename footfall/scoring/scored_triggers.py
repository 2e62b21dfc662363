"""Triggers whose rules ask for scores: the shard decides all else, the step of the models the rest.

A shard's trigger book knows no scores: models score later than it decides, and a flow has no loops. So where a rule's
condition reads a score, the book decides all but condition and limits, as of the due time; the models then score the
visitor as of that time, and what remains is decided here, in the order of due times. Cooldowns and caps of such rules
count here, and don't count with those of other rules.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from footfall.profile_schema import PROFILE_SCHEMA, SCORE_FIELDS
from footfall.trigger_limits import FiringHistory, RuleLimits
from footfall.trigger_rows import Decision
from footfall.trigger_rule import TriggerRule

_SUFFIX = "_score"

_encode = msgspec.json.Encoder().encode


class AskedTrigger(NamedTuple):
    """A trigger that waits for scores as of its due time.

    Attributes:
        rule: its rule.
        decision: what it becomes if the rule's condition and limits let it.
        profile: the fields of the visitor's profile that the condition reads, without the scores.
    """

    rule: TriggerRule
    decision: Decision
    profile: Mapping[str, object]

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose scores the rule asks for."""
        return scores_asked(self.rule)


def score_field(model: str) -> str:
    """The field of the profile that has a model's score."""
    return model + _SUFFIX


def score_fields(models: Sequence[str]) -> frozenset[str]:
    """The fields of the profile that these models fill."""
    return frozenset(map(score_field, models)).intersection(SCORE_FIELDS)


def scores_asked(rule: TriggerRule) -> tuple[str, ...]:
    """The models whose scores a rule's condition reads."""
    condition = rule.profile_condition
    read = frozenset[str]() if condition is None else condition.columns()
    return tuple(name.removesuffix(_SUFFIX) for name in SCORE_FIELDS if name in read)


@dataclass(slots=True)
class ScoredTriggers:
    """Decides what shards have asked scores for; all of it but the closures is kept across a restart."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    _history: FiringHistory = field(default_factory=FiringHistory)
    _limits: dict[tuple[str, str], RuleLimits] = field(default_factory=dict)
    _meets: dict[tuple[str, str], Callable[[Mapping[str, object]], bool]] = field(default_factory=dict)

    def decide(self, asked: AskedTrigger, scores: Mapping[str, float]) -> Decision:
        """Decide one; they come in the order of their due times. `scores` are those of its models that there are."""
        rule, decision = asked.rule, asked.decision
        limits, meets = self._rule(rule, decision.rule_version)
        row = {**asked.profile, **dict.fromkeys(map(score_field, asked.models))}
        row |= {score_field(model): score for model, score in scores.items()}
        visitor, due = decision.visitor_id, decision.due_time
        known = {name: row[name] for name in SCORE_FIELDS if row.get(name) is not None}
        decision = decision._replace(scores=_encode(known).decode())
        if not meets(row):
            decision = decision._replace(status="unmet")
        else:
            refusal = self._history.refusal(limits, visitor, due)
            if refusal is None:
                self._history.record(limits, visitor, due)
            else:
                decision = decision._replace(status=refusal)
        self.counts.setdefault(rule.name, Counter())[decision.status] += 1
        return decision

    def forget(self, until: int) -> None:
        """Drop what no trigger that is due later counts."""
        self._history.forget(until)

    def _rule(
        self, rule: TriggerRule, version: str
    ) -> tuple[RuleLimits, Callable[[Mapping[str, object]], bool]]:
        key = rule.name, version
        if key not in self._limits:
            self._limits[key] = RuleLimits.of(rule)
            self._history.use(self._limits.values())
        if key not in self._meets:
            condition = rule.profile_condition
            assert condition is not None  # noqa: S101 - else the rule asks for no score
            self._meets[key] = condition.to_closure(PROFILE_SCHEMA)
        return self._limits[key], self._meets[key]

    def __getstate__(self) -> tuple[Any, ...]:
        return self.counts, self._history, self._limits

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.counts, self._history, self._limits = state
        self._meets = {}
