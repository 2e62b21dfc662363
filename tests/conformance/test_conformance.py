"""The matcher against the conformance cases: a test a case, named by the case's id."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from conformance.case_specs import CaseTests, Json, spec_of

from footfall.automaton import Automaton
from footfall.errors import MatchError
from footfall.visitor_automaton import NEVER, Match, VisitorAutomaton

_EVER = NEVER - 1


@dataclass
class _Run:
    """One case, run: an automaton for each key."""

    case: Json
    matches: list[Match] = field(default_factory=list)
    late: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events = {event["seq"]: event for event in self.case["events"]}
        self.tests = CaseTests(self.events)
        self.automaton = Automaton(spec_of(self.case, self.tests))
        self.visitors: dict[Hashable, VisitorAutomaton] = {}

    def visitor(self, event: Json) -> VisitorAutomaton:
        key = event.get(self.case["key_by"]) if self.case.get("key_by") else None
        return self.visitors.setdefault(key, VisitorAutomaton(self.automaton))

    def take(self, event: Json) -> None:
        visitor = self.visitor(event)
        self.matches += visitor.advance(event["t"])
        self.matches += visitor.take(event["seq"], event["t"], self.tests.mask(event["seq"]))

    def advance(self, time: int) -> None:
        for visitor in self.visitors.values():
            self.matches += visitor.advance(time)

    def run(self) -> None:
        if self.case.get("time") == "event":
            self._run_in_event_time()
        else:
            for event in self.case["events"]:
                self.take(event)
        if self.case.get("advance_to") is not None:
            self.advance(self.case["advance_to"])
        if self.case.get("end_of_input"):
            self.advance(_EVER)

    def _run_in_event_time(self) -> None:
        waiting: list[Json] = []
        watermark: int | None = None
        for arrived in self._arrivals():
            if isinstance(arrived, int):
                watermark = arrived
                self._settle(waiting, watermark)
            elif watermark is not None and arrived["t"] <= watermark:
                self.late.append(arrived["seq"])
            else:
                waiting.append(arrived)
        if "watermarks" not in self.case or self.case.get("end_of_input"):
            for event in sorted(waiting, key=self._order):
                self.take(event)

    def _settle(self, waiting: list[Json], watermark: int) -> None:
        ready = sorted((event for event in waiting if event["t"] <= watermark), key=self._order)
        waiting[:] = [event for event in waiting if event["t"] > watermark]
        for event in ready:
            self.take(event)
        self.advance(watermark)

    def _arrivals(self) -> Iterator[Json | int]:
        """Events and watermarks in order of arrival."""
        marks: dict[int, list[int]] = {}
        for seq, mark in self.case.get("watermarks", ()):
            marks.setdefault(seq, []).append(_EVER if mark is None else mark)
        yield from marks.get(0, ())
        for event in self.case["events"]:
            yield event
            yield from marks.get(event["seq"], ())

    def _order(self, event: Json) -> tuple[Any, ...]:
        tie = self.case.get("tie_order_by") or self.case["pattern"].get("tie_order_by")
        keys = [tie] if isinstance(tie, str) else tie or []
        return (event["t"], *(event.get(key) for key in keys))


def _counted(matches: Iterable[Iterable[int]]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(match) for match in matches)


def _by_stage(matches: Iterable[dict[str, list[int]]]) -> Counter[tuple[tuple[str, tuple[int, ...]], ...]]:
    return Counter(
        tuple(sorted((stage, tuple(events)) for stage, events in match.items())) for match in matches
    )


def test_case(case: Json) -> None:
    run = _Run(case)
    if any(key.startswith(("expect_error", "expect_raise")) and case[key] for key in case):
        with pytest.raises(MatchError):
            run.run()
        return
    run.run()
    whole = [match for match in run.matches if not match.timed_out]
    if "expect" in case:
        assert _counted(match.events for match in whole) == _counted(case["expect"])
    if "expect_stages" in case:
        assert _by_stage(match.stages() for match in whole) == _by_stage(case["expect_stages"])
    if "emitted_by_time" in case:
        released = _counted(match.events for match in whole if match.by_time)
        assert released == _counted(case["emitted_by_time"])
    if "emission_order" in case:
        assert [list(match.events) for match in whole] == case["emission_order"]
    if "expect_stage_order" in case:
        assert all(list(match.stages()) == case["expect_stage_order"] for match in whole)
    if "expect_late" in case:
        assert sorted(run.late) == sorted(case["expect_late"])
    if "expect_open_partials" in case:
        assert sum(visitor.open_partials for visitor in run.visitors.values()) == case["expect_open_partials"]
    if "expect_timeouts" in case:
        _check_timeouts(case, [match for match in run.matches if match.timed_out])


def _check_timeouts(case: Json, timed_out: list[Match]) -> None:
    """Timed-out partial matches: how often each comes isn't compared where the case says that it compares a set."""
    found = Counter((match.time, *_by_stage([match.stages()])) for match in timed_out)
    expected = Counter((timeout["t"], *_by_stage([timeout["stages"]])) for timeout in case["expect_timeouts"])
    compare = str(case.get("timeouts_compare", ""))
    if ("set" in compare and "multiset" not in compare) or "distinct" in compare:
        assert set(found) == set(expected)
    else:
        assert found == expected
