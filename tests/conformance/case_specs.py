"""Conformance cases as patterns: the cases' own JSON to `PatternSpec`, and their events to masks.

A predicate of the event alone becomes a bit of the mask; one that looks at the partial match becomes a test.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from conformance.case_format import Json
from footfall.pattern_spec import LoopSpec, PartialView, PatternSpec, StageSpec, Test

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "prefix": lambda text, part: str(text).startswith(part),
    "contains": lambda text, part: part in str(text),
}


def _compare(op: str, left: Any, right: Any) -> bool | None:
    """None where a side is null: unknown."""
    if left is None or right is None:
        return None
    return _COMPARISONS[op](left, right)


class CaseTests:
    """The predicates of one case, over its events by seq."""

    def __init__(self, events: Mapping[int, Json]) -> None:
        self._events = events
        self._bits: list[Json] = []

    def test(self, predicate: Json | None) -> Test:
        """The predicate as a test: a bit where it depends on the event alone."""
        if predicate is None:
            return None
        if not _looks_back(predicate):
            if predicate not in self._bits:
                self._bits.append(predicate)
            return 1 << self._bits.index(predicate)
        looking_back: Json = predicate
        return lambda event, partial: self._value(looking_back, event, partial) is True

    def mask(self, event: int) -> int:
        """The bits of the predicates that an event passes."""
        return sum(
            1 << bit
            for bit, predicate in enumerate(self._bits)
            if self._value(predicate, event, None) is True
        )

    def _value(self, predicate: Json | None, event: int, partial: PartialView | None) -> bool | None:
        """Its value in three-valued logic: None is unknown."""
        value: bool | None
        match predicate or {}:
            case {"all": parts} | {"any": parts}:
                values = [self._value(part, event, partial) for part in parts]
                decisive = "any" in (predicate or {})
                value = decisive if decisive in values else None if None in values else not decisive
            case {"not": part}:
                inner = self._value(part, event, partial)
                value = None if inner is None else not inner
            case {"if": condition, "then": then, "else": other}:
                chosen = then if self._value(condition, event, partial) is True else other
                value = self._value(chosen, event, partial)
            case {"agg": _}:
                value = self._aggregate(predicate or {}, event, partial)
            case {} if not predicate:
                value = True
            case _:
                value = self._compared(predicate or {}, event, partial)
        return value

    def _compared(self, predicate: Json, event: int, partial: PartialView | None) -> bool | None:
        """A predicate of one field of the event."""
        at_hand = self._events[event]
        if "type" in predicate or "name" in predicate:
            (key,) = predicate
            return _compare("eq", at_hand.get(key), predicate[key])
        other = self._referred(predicate["ref"], partial) if "ref" in predicate else predicate["value"]
        return _compare(predicate["op"], at_hand.get(predicate["field"]), other)

    def _referred(self, ref: Json, partial: PartialView | None) -> Any:
        taken = partial.taken(ref["stage"]) if partial is not None else ()
        if not taken:
            return None
        return self._events[taken[0 if ref["pick"] == "first" else -1]].get(ref["field"])

    def _aggregate(self, predicate: Json, event: int, partial: PartialView | None) -> bool | None:
        over = list(partial.taken(predicate["stage"])) if partial is not None else []
        if predicate.get("plus_current"):
            over.append(event)
        field = predicate.get("field")
        values = [self._events[seq].get(field) for seq in over] if field else [1 for _ in over]
        known = [value for value in values if value is not None]
        result: Any
        match predicate["agg"]:
            case "sum":
                result = sum(known)
            case "count":
                result = len(known)
            case "min":
                result = min(known, default=None)
            case "max":
                result = max(known, default=None)
            case "mean":
                result = sum(known) / len(known) if known else None
            case "distinct":
                result = len(set(known))
            case other:
                message = f"no such aggregate: {other}"
                raise ValueError(message)
        return _compare(predicate["op"], result, predicate["value"])


def _looks_back(predicate: Json | None) -> bool:
    if not isinstance(predicate, dict):
        return False
    if "agg" in predicate or "ref" in predicate:
        return True
    parts = [*predicate.get("all", ()), *predicate.get("any", ())]
    parts += [predicate[key] for key in ("not", "if", "then", "else") if key in predicate]
    return any(_looks_back(part) for part in parts)


def spec_of(case: Json, tests: CaseTests) -> PatternSpec:
    """A case's pattern; its tests are made by `tests`."""
    pattern = case["pattern"]
    stages = tuple(_stage(stage, tests, f"stage {index}") for index, stage in enumerate(pattern["stages"]))
    within, kind = pattern.get("within_ms"), pattern.get("within_kind", "first_and_last")
    if within is not None and kind == "previous_and_current":
        name = pattern.get("within_stage") or _last_name(stages)
        stages = tuple(_bounded(stage, name, within) for stage in stages)
        within = None
    skip = pattern.get("skip") or {"strategy": "no_skip"}
    return PatternSpec(
        name=case["id"],
        stages=stages,
        within_ms=within,
        skip=skip["strategy"],
        skip_stage=skip.get("stage"),
        skip_must_hit=bool(skip.get("error_on_miss") or pattern.get("error_on_miss")),
        gives_timeouts="expect_timeouts" in case,
    )


def _stage(stage: Json, tests: CaseTests, place: str) -> StageSpec:
    group = tuple(
        _stage(part, tests, f"{place}.{index}") for index, part in enumerate(stage.get("group", ()))
    )
    return StageSpec(
        name=stage.get("name", place),
        contiguity=stage["contiguity"],
        test=tests.test(stage.get("where")) if not group else None,
        loop=_loop(stage["quantifier"], tests) if stage.get("quantifier") else LoopSpec(),
        group=group,
    )


def _loop(quantifier: Json, tests: CaseTests) -> LoopSpec:
    least = quantifier["min"]
    return LoopSpec(
        least=max(least, 1),
        most=quantifier["max"],
        optional=bool(quantifier.get("optional")) or least == 0,
        inner=quantifier.get("inner", "relaxed"),
        greedy=bool(quantifier.get("greedy")),
        until=tests.test(quantifier.get("until")),
        has_until=quantifier.get("until") is not None,
        step_within_ms=quantifier.get("step_window_ms"),
    )


def _last_name(stages: tuple[StageSpec, ...]) -> str:
    return stages[-1].name if not stages[-1].group else _last_name(stages[-1].group)


def _bounded(stage: StageSpec, name: str, within: int) -> StageSpec:
    """The stage, its steps bounded if it bears the name."""
    loop, step = stage.loop, stage.step_within_ms
    if stage.name == name:
        step = within
        loop = LoopSpec(
            loop.least,
            loop.most,
            loop.optional,
            loop.inner,
            loop.greedy,
            loop.reluctant,
            loop.until,
            loop.has_until,
            within,
        )
    return StageSpec(
        stage.name,
        stage.contiguity,
        stage.test,
        loop,
        step,
        tuple(_bounded(part, name, within) for part in stage.group),
        absent_ms=stage.absent_ms,
    )
