"""Trigger rules: what is to happen when a pattern was found, for whom, and when.

    booking_reminder = TriggerRule(
        "booking_reminder",
        pattern="booking_abandoned",
        action="send_booking_reminder",
        delay="1 h",
        withdrawn_by=event == "booking_completed",
        condition=field("user_id").is_not_null(),
        cooldown="1 d",
    )

A rule is a value, checked when it is built. `footfall.trigger_book` decides by it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Literal

from footfall import trigger_rule_check, trigger_rule_json
from footfall.duration import format_duration, parse_duration
from footfall.errors import TriggerRuleError
from footfall.expression import Condition, Expression, as_condition
from footfall.expression_values import canonical_json
from footfall.match_output import FieldValue
from footfall.pattern import Duration
from footfall.polars_condition import JsonValue

Kind = Literal["settled", "early"]
Mode = Literal["live", "shadow"]


@dataclass(frozen=True, slots=True, eq=False)
class TriggerRule:
    """A trigger rule.

    Two rules are equal if everything said of them is. `version` names the meaning alone: name, description, owner and
    tags don't change it. Lengths of time are kept in their shortest writing ("1 h"), times in ISO 8601 and UTC.

    Attributes:
        name: names the rule, and with it its triggers, for good: letters, digits and `_`.
        pattern: the name of the pattern whose matches it acts on.
        action: what is to be done, as the receiver knows it.
        delay: how long after the match's first event a trigger is due, but never before the match is settled.
        kind: `settled` decides once, when the watermark has passed the due time; `early` fires at once with the match,
            and may have to retract. An early rule has no delay, withdrawal, condition, cooldown or cap.
        withdrawn_by: an event like this withdraws the trigger, if it is later than the match's last event and not later
            than the due time.
        condition: what the visitor's profile must say at the due time (`footfall.profile_schema`); unknown is not true.
        cooldown: after a trigger, how long no other of the rule is fired for the visitor.
        cap: (how many, in how long): more triggers aren't fired for the visitor.
        cap_group: rules with the same group are counted together by the cap of each.
        fields: what goes with the message: constants, and `output("name")` for outputs of the match.
        topic: where the message goes.
        active_from: what is due earlier isn't sent; None for the time at which the rule was first deployed.
        expires_after: how long after the due time the message may still be sent.
        mode: `shadow` counts without sending.
        description: one sentence for people; where its defaults come from.
        owner: who answers for it.
        tags: words to sort rules by.
    """

    name: str
    _: KW_ONLY
    pattern: str
    action: str
    delay: Duration = 0
    kind: Kind = "settled"
    withdrawn_by: Condition | None = None
    condition: Condition | None = None
    cooldown: Duration | None = None
    cap: tuple[int, Duration] | None = None
    cap_group: str | None = None
    fields: Mapping[str, FieldValue] | Sequence[tuple[str, FieldValue]] = ()
    topic: str = "triggers"
    active_from: str | datetime | None = None
    expires_after: Duration = "24 h"
    mode: Mode = "live"
    description: str = ""
    owner: str = ""
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        problems = trigger_rule_check.problems(self)
        if problems:
            raise TriggerRuleError(problems, rule=str(self.name), pattern=str(self.pattern))
        for name in ("delay", "cooldown", "expires_after"):
            length = getattr(self, name)
            self._set(name, None if length is None else format_duration(parse_duration(length)))
        for name in ("withdrawn_by", "condition"):
            condition = getattr(self, name)
            self._set(name, None if condition is None else as_condition(condition))
        if self.cap is not None:
            self._set("cap", (self.cap[0], format_duration(parse_duration(self.cap[1]))))
        if self.active_from is not None:
            self._set("active_from", trigger_rule_check.iso_time(self.active_from))
        self._set("fields", tuple(dict(self.fields).items()))
        self._set("tags", tuple(self.tags))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def delay_ms(self) -> int:
        """The delay in ms."""
        return parse_duration(self.delay)

    @property
    def cooldown_ms(self) -> int:
        """The cooldown in ms; 0 for none."""
        return 0 if self.cooldown is None else parse_duration(self.cooldown)

    @property
    def cap_count(self) -> int:
        """How many triggers the cap allows; 0 if there is no cap."""
        return 0 if self.cap is None else self.cap[0]

    @property
    def cap_ms(self) -> int:
        """In how long the cap counts, in ms; 0 if there is no cap."""
        return 0 if self.cap is None else parse_duration(self.cap[1])

    @property
    def expires_after_ms(self) -> int:
        """How long after the due time the message may be sent, in ms."""
        return parse_duration(self.expires_after)

    @property
    def active_from_ms(self) -> int | None:
        """The time given, in ms since 1970; None if it is the rule's first deployment."""
        return None if self.active_from is None else trigger_rule_check.time_ms(self.active_from)

    @property
    def withdrawal(self) -> Expression | None:
        """The condition on events that withdraw a trigger."""
        return None if self.withdrawn_by is None else as_condition(self.withdrawn_by)

    @property
    def profile_condition(self) -> Expression | None:
        """The condition on the visitor's profile."""
        return None if self.condition is None else as_condition(self.condition)

    @property
    def field_values(self) -> dict[str, FieldValue]:
        """What goes with the message, by name."""
        return dict(self.fields)

    @property
    def version(self) -> str:
        """12 hexadecimal digits that name what the rule means."""
        meaning = canonical_json(trigger_rule_json.meaning(self))
        return hashlib.sha256(meaning.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, JsonValue]:
        """The rule as a JSON value; what is as usual is left out."""
        return trigger_rule_json.to_dict(self)

    def to_json(self) -> str:
        """The rule as JSON text, for `from_json`."""
        return trigger_rule_json.to_text(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> "TriggerRule":
        """The rule that `to_json` wrote, checked as if it were built again.

        Raises:
            TriggerRuleError: it isn't such text, or the rule won't do.
        """
        return trigger_rule_json.read(trigger_rule_json.parse(text), cls)

    @classmethod
    def from_dict(cls, data: JsonValue) -> "TriggerRule":
        """The rule that `to_dict` wrote, checked as if it were built again.

        Raises:
            TriggerRuleError: it isn't such a value, or the rule won't do.
        """
        return trigger_rule_json.read(data, cls)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TriggerRule) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        return (self.name, self.description, self.owner, tuple(self.tags), self.version)
