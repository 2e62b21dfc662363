"""Trigger rules as JSON: writing them, reading them back, and what of them a version names."""

import json
from typing import TYPE_CHECKING, Any

from footfall.errors import ExpressionError, TriggerRuleError
from footfall.expression import expression_from_dict
from footfall.match_output import FieldValue, MatchOutput
from footfall.polars_condition import JsonValue

if TYPE_CHECKING:
    from footfall.trigger_rule import TriggerRule

_ABOUT = ("name", "description", "owner", "tags")
_MEANING = (
    "pattern", "action", "delay", "kind", "withdrawn_by", "condition", "cooldown", "cap", "cap_group", "fields",
    "topic", "active_from", "expires_after", "mode",
)  # fmt: skip
_USUAL: dict[str, JsonValue] = {
    "delay": "0 ms", "kind": "settled", "topic": "triggers", "expires_after": "1 d", "mode": "live",
}  # fmt: skip


def to_dict(rule: "TriggerRule") -> dict[str, JsonValue]:
    """The rule as a JSON value; what is as usual is left out."""
    said = {name: _written(rule, name) for name in (*_ABOUT, *_MEANING)}
    return {
        name: value
        for name, value in said.items()
        if value not in ("", [], {}, None) and value != _USUAL.get(name)
    }


def to_text(rule: "TriggerRule") -> str:
    """The rule as JSON text."""
    return json.dumps(to_dict(rule), ensure_ascii=False, indent=2)


def meaning(rule: "TriggerRule") -> dict[str, JsonValue]:
    """What the rule's version names, as a JSON value."""
    said = {name: value for name, value in to_dict(rule).items() if name in _MEANING}
    for name, condition in (("withdrawn_by", rule.withdrawal), ("condition", rule.profile_condition)):
        if condition is not None:
            said[name] = condition.key()
    if "fields" in said:
        said["fields"] = [[name, value] for name, value in sorted(said["fields"].items())]
    return said


def parse(text: str | bytes) -> JsonValue:
    """The JSON value of a text.

    Raises:
        TriggerRuleError: it isn't JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TriggerRuleError([f"JSON: it isn't any: {error}"], rule="(unnamed)") from error


def read(data: JsonValue, build: "type[TriggerRule]") -> "TriggerRule":
    """The rule that `to_dict` wrote, checked as if it were built again.

    Raises:
        TriggerRuleError: it isn't such a value, or the rule won't do.
    """
    if not isinstance(data, dict):
        raise TriggerRuleError(["JSON: a rule is a JSON object"], rule="(unnamed)")
    rule = str(data.get("name"))
    wrong = [f"{name}: a rule has no such field" for name in sorted(set(data) - {*_ABOUT, *_MEANING})]
    wrong += [f"{name}: it is missing" for name in ("name", "pattern", "action") if name not in data]
    given: dict[str, Any] = {}
    for name, value in data.items():
        try:
            given[name] = _read(name, value)
        except (ExpressionError, TypeError, AttributeError, LookupError, RecursionError) as error:
            wrong.append(f"{name}: it isn't written as to_json writes it: {error}")
    if wrong:
        raise TriggerRuleError(wrong, rule=rule)
    return build(**given)


def _written(rule: "TriggerRule", name: str) -> JsonValue:
    match name:
        case "withdrawn_by":
            return None if rule.withdrawal is None else rule.withdrawal.to_dict()
        case "condition":
            return None if rule.profile_condition is None else rule.profile_condition.to_dict()
        case "fields":
            return {key: _written_value(value) for key, value in rule.field_values.items()}
        case "tags" | "cap":
            value = getattr(rule, name)
            return None if value is None else list(value)
        case _:
            return getattr(rule, name)


def _written_value(value: FieldValue) -> JsonValue:
    return {"output": value.name} if isinstance(value, MatchOutput) else value


def _read(name: str, value: JsonValue) -> object:
    match name:
        case "withdrawn_by" | "condition":
            return None if value is None else expression_from_dict(value)
        case "fields":
            return {key: _read_value(one) for key, one in value.items()}
        case "cap":
            return tuple(value) if isinstance(value, list) else value
        case _:
            return value


def _read_value(value: JsonValue) -> JsonValue:
    if isinstance(value, dict) and set(value) == {"output"}:
        return MatchOutput(value["output"])
    return value
