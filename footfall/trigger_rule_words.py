"""A trigger rule in words for people, and as the JSON value that the commands on patterns print."""

from collections.abc import Iterable, Iterator

from footfall.match_output import MatchOutput
from footfall.polars_condition import JsonValue
from footfall.trigger_rule import TriggerRule


def rule_summary(rule: TriggerRule) -> str:
    """What the rule acts on, its kind, when it is due, and what is to be done: one line."""
    return f"on {rule.pattern} · {rule.kind} · {due_words(rule)} · action {rule.action}"


def due_words(rule: TriggerRule) -> str:
    """When a trigger of the rule is due."""
    return f"due {rule.delay} after the first event" if rule.delay_ms else "due at once"


def rule_words(rule: TriggerRule) -> Iterator[str]:
    """All that the rule says, a line each; what is as usual is left out."""
    yield f"acts on a match of {rule.pattern}"
    if rule.kind == "early":
        yield "fires with the early match, and retracts what turns out wrong"
    else:
        yield f"is {due_words(rule)}, but never before the match is settled"
    if rule.withdrawal is not None:
        yield f"is withdrawn if, by then, {rule.withdrawal}"
    if rule.profile_condition is not None:
        yield f"is fired only if, of the visitor's profile, {rule.profile_condition}"
    if rule.cooldown is not None:
        yield f"is not fired again for the visitor within {rule.cooldown}"
    if rule.cap is not None:
        count, length = rule.cap
        together = f", counted together with all rules of {rule.cap_group}" if rule.cap_group else ""
        yield f"is fired at most {count} time{'' if count == 1 else 's'} in {length} for the visitor{together}"
    yield f"asks for the action {rule.action}"
    for name, value in rule.field_values.items():
        own = f"the match's output {value.name}" if isinstance(value, MatchOutput) else repr(value)
        yield f"says {name}: {own}"
    yield f"goes to the topic {rule.topic}, until {rule.expires_after} after it was due"
    if rule.active_from is not None:
        yield f"is active from {rule.active_from}"
    if rule.mode == "shadow":
        yield "is only counted, and not sent (mode shadow)"


def rule_facts(rule: TriggerRule) -> str:
    """Owner and tags; empty if there are none."""
    facts = [f"owner {rule.owner}"] if rule.owner else []
    facts += [f"tags {', '.join(rule.tags)}"] if rule.tags else []
    return "; ".join(facts)


def rule_json(rule: TriggerRule) -> dict[str, JsonValue]:
    """The rule as a JSON value with its version; kind, delay, topic and mode are there even where they are as usual."""
    always = {name: getattr(rule, name) for name in ("kind", "delay", "topic", "mode")}
    return {"version": rule.version, "name": rule.name, **always, **rule.to_dict()}


def acting_on(rules: Iterable[TriggerRule], pattern: str) -> list[str]:
    """The names of the rules that act on that pattern."""
    return [rule.name for rule in rules if rule.pattern == pattern]
