"""Patterns as JSON: writing them, reading them back, and what of them a version names."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import polars as pl

from footfall.errors import ExpressionError, PatternError
from footfall.expression import expression_from_dict
from footfall.pattern_spec import Skip
from footfall.pattern_stage import refuse_unknown, stage_from_dict
from footfall.polars_condition import JsonValue

if TYPE_CHECKING:
    from footfall.pattern import Pattern

_ABOUT = ("name", "description", "severity", "tags", "owner")
_KEYS = frozenset(
    {*_ABOUT, "stages", "within_ms", "same", "skip", "skip_stage", "skip_raises", "tie_order", "timeouts", "output"}
)  # fmt: skip


def to_dict(pattern: "Pattern") -> dict[str, JsonValue]:
    """The pattern as a JSON value; what is as usual is left out."""
    said = {
        "name": pattern.name,
        "description": pattern.description,
        "severity": pattern.severity,
        "tags": list(pattern.tags),
        "owner": pattern.owner,
        "stages": [stage.to_dict() for stage in pattern.stages],
        **_bounds(pattern),
        "output": {name: value.to_dict() for name, value in pattern.outputs},
    }
    return {name: value for name, value in said.items() if value not in ("", [], {})}


def to_text(pattern: "Pattern") -> str:
    """The pattern as JSON text."""
    return json.dumps(to_dict(pattern), ensure_ascii=False, indent=2)


def meaning(pattern: "Pattern") -> dict[str, JsonValue]:
    """What the pattern's version names, as a JSON value."""
    said = {"stages": [stage.meaning() for stage in pattern.stages], **_bounds(pattern)}
    if pattern.outputs:
        said["output"] = sorted([name, value.key()] for name, value in pattern.outputs)
    return said


def parse(text: str | bytes) -> JsonValue:
    """The JSON value of a text.

    Raises:
        PatternError: it isn't JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PatternError(f"it isn't JSON: {error}", pattern="(unnamed)") from error


def read(data: JsonValue, build: "type[Pattern]", schema: pl.Schema) -> "Pattern":
    """The pattern that `to_dict` wrote, checked as if it were built again.

    Raises:
        PatternError: it isn't such a value, or the pattern isn't well formed.
    """
    if not isinstance(data, dict):
        raise PatternError("a pattern is a JSON object", pattern="(unnamed)")
    name = str(data.get("name"))
    refuse_unknown(data, _KEYS, name)
    try:
        return _rebuilt(data, build, schema).check()
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PatternError(f"it isn't written as to_json writes it: {error!r}", pattern=name) from error
    except ExpressionError as error:
        raise PatternError(str(error), pattern=name) from error


def _rebuilt(data: Mapping[str, Any], build: "type[Pattern]", schema: pl.Schema) -> "Pattern":
    pattern = build(
        data["name"],
        data.get("description", ""),
        severity=data.get("severity", "info"),
        tags=tuple(data.get("tags", ())),
        owner=data.get("owner", ""),
        schema=schema,
    )
    for stage in data["stages"]:
        pattern = pattern.with_stage(stage_from_dict(stage, pattern.name))
    if "within_ms" in data:
        pattern = pattern.within(data["within_ms"])
    if "same" in data:
        pattern = pattern.same(data["same"])
    if "tie_order" in data:
        pattern = pattern.tie_order(data["tie_order"])
    outputs = {name: expression_from_dict(value) for name, value in data.get("output", {}).items()}
    pattern = pattern.output(**outputs)
    return replace(
        pattern,
        gives_timeouts=data.get("timeouts", False) is True,
        skip_raises=data.get("skip_raises", False) is True,
        **_skip(data, pattern.name),
    )


def _skip(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    skip, stage = data.get("skip", "no_skip"), data.get("skip_stage")
    if skip not in get_args(Skip):
        raise PatternError(f"skip {skip!r} is unknown; use {', '.join(get_args(Skip))}", pattern=name)
    if (skip in ("to_first", "to_last")) != isinstance(stage, str):
        raise PatternError(
            "skip_stage names the stage of to_first and to_last, and of no other", pattern=name
        )
    return {"skip": skip, "skip_stage": stage}


def _bounds(pattern: "Pattern") -> dict[str, JsonValue]:
    bounds = {
        "within_ms": pattern.within_ms,
        "same": pattern.same_field,
        "skip": None if pattern.skip == "no_skip" else pattern.skip,
        "skip_stage": pattern.skip_stage,
        "skip_raises": pattern.skip_raises or None,
        "tie_order": pattern.ties_by,
        "timeouts": pattern.gives_timeouts or None,
    }
    return {name: value for name, value in bounds.items() if value is not None}
