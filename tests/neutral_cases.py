"""The facts of `../shared/cep/cases.json` as `PatternSpec`s and masked events, for the reference and for the engine."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footfall.pattern_spec import LoopSpec, PartialView, PatternSpec, StageSpec, Test

CASES_FILE = Path(__file__).resolve().parents[1].parent / "shared" / "cep" / "cases.json"

Predicate = Mapping[str, Any] | None
Row = Mapping[str, Any]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda one, other: one == other,
    "ne": lambda one, other: one != other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "prefix": lambda one, other: one.startswith(other),
    "contains": lambda one, other: other in one,
}


def load_cases() -> list[dict[str, Any]]:
    """The cases; none where the file is absent."""
    if not CASES_FILE.exists():
        return []
    cases: list[dict[str, Any]] = json.loads(CASES_FILE.read_text())["cases"]
    return cases


@dataclass(frozen=True)
class KeyedStream:
    """What one key's matcher sees: its events in processing order, and how far the clock goes after the last."""

    events: tuple[tuple[int, int, int], ...]
    end: float | None


@dataclass(frozen=True)
class NeutralCase:
    """A case, in the matcher's own terms. Events are numbered by the case's `seq`."""

    spec: PatternSpec
    streams: tuple[KeyedStream, ...]
    late: tuple[int, ...]


def neutral_case(case: Mapping[str, Any]) -> NeutralCase:
    """A case of the file, in the matcher's own terms."""
    rows = {row["seq"]: row for row in case["events"]}
    lowering = _Lowering(rows)
    spec = lowering.spec(case)
    taken, late, end = _in_order(case)
    masks = {number: lowering.mask(rows[number]) for number in taken}
    key = case.get("key_by")
    keys = [None] if key is None else sorted({row[key] for row in rows.values()}, key=str)
    streams = tuple(
        KeyedStream(
            tuple(
                (number, rows[number]["t"], masks[number])
                for number in taken
                if key is None or rows[number][key] == value
            ),
            end,
        )
        for value in keys
    )
    return NeutralCase(spec, streams, late)


def _in_order(case: Mapping[str, Any]) -> tuple[list[int], tuple[int, ...], float | None]:
    """The events that are taken, in the order in which they are; those that are late; where the clock goes."""
    rows = case["events"]
    end = math.inf if case.get("end_of_input") else case.get("advance_to")
    if case.get("time") != "event":
        return [row["seq"] for row in rows], (), end
    clock = -math.inf
    late, waiting = [], []
    marks: dict[int, float] = {}
    for after, mark in case.get("watermarks", ()):
        marks[after] = math.inf if mark is None else mark
    clock = max(clock, marks.get(0, clock))
    for row in rows:
        if row["t"] <= clock:
            late.append(row["seq"])
        else:
            waiting.append(row)
        clock = max(clock, marks.get(row["seq"], clock))
    if end is not None:
        clock = max(clock, end)
    ties = case.get("tie_order_by")
    waiting.sort(key=lambda row: (row["t"], row[ties]) if ties else (row["t"],))
    return [row["seq"] for row in waiting if row["t"] <= clock], tuple(late), clock


class _Lowering:
    """Gives each condition on the event alone a bit; the others become tests of event and partial match."""

    def __init__(self, rows: Mapping[int, Row]) -> None:
        self._rows = rows
        self._conditions: list[Predicate] = []

    def mask(self, row: Row) -> int:
        return sum(
            1 << bit for bit, condition in enumerate(self._conditions) if _holds(condition, row) is True
        )

    def spec(self, case: Mapping[str, Any]) -> PatternSpec:
        pattern = case["pattern"]
        # The file says these of the case or of the pattern.
        said = {**case, **pattern}
        skip = said["skip"]
        bounds: dict[str, int] = {}
        within = said.get("within_ms")
        if within is not None and said.get("within_kind") == "previous_and_current":
            bounds[said["within_stage"]] = within
            within = None
        return PatternSpec(
            name=case["id"],
            stages=self._stages(pattern["stages"], bounds),
            within_ms=within,
            skip=skip["strategy"],
            skip_stage=skip.get("stage"),
            skip_must_hit=bool(skip.get("error_on_miss")),
            gives_timeouts="expect_timeouts" in case,
        )

    def _stages(
        self, stages: Iterable[Mapping[str, Any]], bounds: Mapping[str, int]
    ) -> tuple[StageSpec, ...]:
        return tuple(self._stage(stage, number, bounds) for number, stage in enumerate(stages))

    def _stage(self, stage: Mapping[str, Any], number: int, bounds: Mapping[str, int]) -> StageSpec:
        name = stage.get("name", f"group{number}")
        return StageSpec(
            name=name,
            contiguity=stage["contiguity"],
            test=self._test(stage.get("where")),
            loop=self._loop(stage.get("quantifier")),
            step_within_ms=bounds.get(name),
            group=self._stages(stage.get("group", ()), bounds),
        )

    def _loop(self, quantifier: Mapping[str, Any] | None) -> LoopSpec:
        if quantifier is None:
            return LoopSpec()
        return LoopSpec(
            least=quantifier["min"],
            most=quantifier["max"],
            optional=quantifier["optional"],
            inner=quantifier["inner"],
            greedy=quantifier["greedy"],
            until=self._test(quantifier.get("until")),
            has_until=quantifier.get("until") is not None,
            step_within_ms=quantifier.get("step_window_ms"),
        )

    def _test(self, where: Predicate) -> Test:
        if where is None:
            return None
        if not _looks_back(where):
            if where not in self._conditions:
                self._conditions.append(where)
            return 1 << self._conditions.index(where)
        rows = self._rows

        def test(event: int, partial: PartialView) -> bool:
            value = _holds(
                where, rows[event], lambda stage: [rows[number] for number in partial.taken(stage)]
            )
            return value is True

        return test


def _looks_back(where: Predicate) -> bool:
    if where is None:
        return False
    if "agg" in where or "ref" in where:
        return True
    parts = [*where.get("all", ()), *where.get("any", ())]
    parts += [where[word] for word in ("not", "if", "then", "else") if word in where]
    return any(_looks_back(part) for part in parts)


def _nothing_taken(_stage: str) -> Sequence[Row]:
    return ()


def _holds(where: Predicate, row: Row, taken: Callable[[str], Sequence[Row]] = _nothing_taken) -> bool | None:
    """Three-valued: a comparison with null is unknown, which is None."""
    if where is None:
        return True
    if "all" in where or "any" in where:
        decides = "any" in where
        values = {_holds(part, row, taken) for part in where["any" if decides else "all"]}
        return decides if decides in values else None if None in values else not decides
    if "not" in where:
        value = _holds(where["not"], row, taken)
        return None if value is None else not value
    if "if" in where:
        return _holds(where["then" if _holds(where["if"], row, taken) else "else"], row, taken)
    return _compares(where, row, taken)


def _compares(where: Mapping[str, Any], row: Row, taken: Callable[[str], Sequence[Row]]) -> bool | None:
    if "type" in where or "name" in where:
        ((field, wanted),) = where.items()
        return None if row.get(field) is None else bool(row[field] == wanted)
    if "agg" in where:
        counted = [*taken(where["stage"]), *([row] if where.get("plus_current") else [])]
        total = len(counted) if where["agg"] == "count" else sum(one[where["field"]] for one in counted)
        return _COMPARE[where["op"]](total, where["value"])
    value = row.get(where["field"])
    other = where.get("value")
    if "ref" in where:
        rows = taken(where["ref"]["stage"])
        other = (
            rows[0 if where["ref"]["pick"] == "first" else -1].get(where["ref"]["field"]) if rows else None
        )
    if value is None or other is None:
        return None
    return _COMPARE[where["op"]](value, other)
