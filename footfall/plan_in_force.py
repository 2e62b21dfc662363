"""The plan that a process of a run goes by, and how it grows while the run goes on.

A control record is taken up in two steps. First every process compiles it; nothing is read meanwhile, so no event has
been asked by the longer plan that a process doesn't have. Then reading goes on, and each shard grows its state with the
first batch that was made by the longer plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from footfall.control_record import ControlRecord
from footfall.errors import UsageError
from footfall.pattern_plan import PatternPlan
from footfall.pattern_sets import PatternSet
from footfall.scoring.shard_scores import ScoreSettings
from footfall.shard_triggers import RuleSet, TriggerSettings, withdrawal_conditions
from footfall.trigger_withdrawals import MOST_CONDITIONS


@dataclass(frozen=True, slots=True)
class InForce:
    """A plan, the triggers that go with it (None: no rules), the records behind both, and scores (None: no models)."""

    plan: PatternPlan
    triggers: TriggerSettings | None
    records: tuple[ControlRecord, ...] = ()
    scores: ScoreSettings | None = None


class PlanInForce:
    """What a process goes by.

    Attributes:
        now: the plan and the triggers; whoever reads it once has both of one moment.
    """

    def __init__(
        self,
        plan: PatternPlan,
        triggers: TriggerSettings | None = None,
        records: Sequence[ControlRecord] = (),
        scores: ScoreSettings | None = None,
    ) -> None:
        self.now = InForce(plan, triggers, tuple(records), scores)

    def take_up(self, record: ControlRecord) -> None:
        """Take up a record that comes into force later than all before it; any thread may do it.

        Raises:
            PatternError: its patterns can't be compiled.
            UsageError: its rules have too many conditions on withdrawing events.
        """
        if record.since is None:
            raise ValueError("only the first record of a run is in force from the beginning")
        now = self.now
        withdrawals = withdrawal_conditions(record.rules, record.patterns)
        plan = now.plan.followed_by(PatternSet(record.patterns, withdrawals, record.since))
        triggers = now.triggers
        if triggers is not None:
            rules = RuleSet(record.rules, record.patterns, record.deployed, record.since)
            # A later pattern may give a condition one more bit, which events that were asked before don't have.
            bits = {**{each.key(): plan.bit(each) for each in withdrawals}, **triggers.bits}
            if len(bits) > MOST_CONDITIONS:
                # What waits under earlier rules can still be withdrawn.
                raise UsageError(
                    f"with those of earlier sets, the run's trigger rules have {len(bits)} different withdrawn_by, and "
                    f"{MOST_CONDITIONS} is the most; let rules share one, or build a new state with --from-history"
                )
            triggers = replace(triggers, sets=(*triggers.sets, rules), bits=bits)
        self.now = InForce(plan, triggers, (*now.records, record), now.scores)
