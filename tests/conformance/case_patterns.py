"""Conformance cases' patterns in the language: all of the cases' own format to `Pattern`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from conformance.case_format import Json, check_pattern
from footfall.expression import Expression, constant, field
from footfall.expression_nodes import AllOf, AnyOf, Comparison
from footfall.pattern import Pattern, Stage
from footfall.taken_events import first, last, taken

CASE_SCHEMA = pl.Schema(
    {
        "seq": pl.Int64(),
        "t": pl.Int64(),
        "id": pl.Int64(),
        "name": pl.String(),
        "price": pl.Float64(),
        "type": pl.String(),
        "volume": pl.Float64(),
    }
)
"""The fields that the cases' format names; `schema_of` adds those of a case's events."""

_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_TEXT: dict[str, Callable[[Expression, str], Expression]] = {
    "prefix": lambda value, text: value.starts_with(text),
    "contains": lambda value, text: value.contains(text),
}


def schema_of(events: Iterable[Mapping[str, Any]]) -> pl.Schema:
    """The schema of a case's events; numbers that the format doesn't name are floats."""
    schema = dict(CASE_SCHEMA)
    for event in events:
        for name, value in event.items():
            if name not in schema and value is not None:
                schema[name] = pl.String() if isinstance(value, str) else pl.Float64()
    return pl.Schema(schema)


def pattern_of(
    case_pattern: Json, schema: pl.Schema = CASE_SCHEMA, *, gives_timeouts: bool = False
) -> Pattern:
    """A case's pattern; with `gives_timeouts` it gives out partial matches that time out.

    Raises:
        PatternError: it is no valid one.
        CaseFormatError: it says what the format doesn't know.
    """
    check_pattern(case_pattern)
    pattern = Pattern("case", schema=schema)
    step = None
    within, stages = case_pattern.get("within_ms"), case_pattern["stages"]
    if within is not None and case_pattern.get("within_kind") == "previous_and_current":
        step = (case_pattern.get("within_stage") or _last_name(stages), within)
    for number, stage in enumerate(stages):
        pattern = pattern.with_stage(_stage(stage, f"stage {number}", step))
    if within is not None and step is None:
        pattern = pattern.within(within)
    pattern = _skipping(pattern, case_pattern)
    return (pattern.with_timeouts() if gives_timeouts else pattern).check()


def condition_of(predicate: Json | None) -> Expression | None:
    """A case's predicate as a condition; None for the one that every event passes."""
    return _condition(predicate) if predicate else None


def _skipping(pattern: Pattern, case_pattern: Json) -> Pattern:
    skip = case_pattern.get("skip") or {"strategy": "no_skip"}
    must_hit = bool(skip.get("error_on_miss") or case_pattern.get("error_on_miss"))
    match skip["strategy"]:
        case "no_skip":
            return pattern.no_skip()
        case "to_next":
            return pattern.skip_to_next()
        case "past_last":
            return pattern.skip_past_last()
        case "to_first":
            return pattern.skip_to_first(skip["stage"], raise_on_miss=must_hit)
        case "to_last":
            return pattern.skip_to_last(skip["stage"], raise_on_miss=must_hit)
        case other:
            raise ValueError(f"no such skip strategy: {other}")


def _stage(stage: Json, place: str, step: tuple[str, int] | None) -> Stage:
    quantifier = stage.get("quantifier") or {"min": 1, "max": 1}
    least, most = quantifier["min"], quantifier["max"]
    loops, from_none = most != 1, least == 0 and most != 0
    least = 1 if from_none else least
    group = stage.get("group", ())
    name = stage.get("name", place)
    bound = step[1] if step is not None and step[0] == name else None
    return Stage(
        name,
        stage["contiguity"],
        None if group else condition_of(stage.get("where")),
        times=least,
        inner=quantifier.get("inner", "relaxed") if loops else "relaxed",
        more=None if most is None else most - least,
        optional=bool(quantifier.get("optional")) or from_none,
        greedy=bool(quantifier.get("greedy")),
        until=condition_of(quantifier.get("until")),
        step_within_ms=bound,
        each_within_ms=bound if bound is not None and loops else quantifier.get("step_window_ms"),
        group=tuple(_stage(part, f"{place}.{number}", step) for number, part in enumerate(group)),
    )


def _last_name(stages: list[Json]) -> str:
    last_one = stages[-1]
    return _last_name(last_one["group"]) if last_one.get("group") else str(last_one["name"])


def _condition(predicate: Json | None) -> Expression:
    if not predicate:
        return constant(True)
    if "op" in predicate:
        return _comparison(predicate)
    match predicate:
        case {"type": value} | {"name": value}:
            return Comparison("==", field("type" if "type" in predicate else "name"), constant(value))
        case {"not": part}:
            return ~_condition(part)
        case {"if": test, "then": then, "else": other}:
            sure = _sure(_condition(test))
            return (sure & _condition(then)) | (~sure & _condition(other))
    return _joined(predicate)


def _joined(predicate: Json) -> Expression:
    ((word, parts),) = predicate.items()
    joins: dict[str, type[AllOf | AnyOf]] = {"all": AllOf, "any": AnyOf}
    if not parts:
        return constant(word == "all")
    return joins[word](tuple(_condition(part) for part in parts))


def _comparison(predicate: Json) -> Expression:
    op, right = predicate["op"], constant(predicate.get("value", ""))
    if "agg" in predicate:
        return Comparison(_COMPARE[op], _aggregate(predicate["agg"], predicate), right)
    left = field(predicate["field"])
    if op in _TEXT:
        return _TEXT[op](left, predicate["value"])
    if "ref" in predicate:
        ref = predicate["ref"]
        pick = first if ref["pick"] == "first" else last
        right = pick(ref["stage"]).field(ref["field"])
    return Comparison(_COMPARE[op], left, right)


def _aggregate(function: str, predicate: Json) -> Expression:
    over, plus_current = taken(predicate["stage"]), bool(predicate.get("plus_current"))
    name: str | None = predicate.get("field")
    match function, name:
        case "count", _:
            return over.count(name, plus_current=plus_current)
        case (("sum" | "min" | "max" | "mean" | "distinct"), str(known)):
            aggregate: Expression = getattr(over, function)(known, plus_current=plus_current)
            return aggregate
        case _:
            raise ValueError(f"no such aggregate: {predicate}")


def _sure(condition: Expression) -> Expression:
    """What an `if` asks: where that is unknown, it is the `else` that goes."""
    return condition & condition.is_not_null()
