"""Runs a conformance case through automata, and checks what the case states."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from conformance.case_format import Json, must_hit, states_an_error
from footfall.automaton import Automaton
from footfall.errors import MatchError
from footfall.visitor_automaton import NEVER, Match, VisitorAutomaton

_EVER = NEVER - 1


@dataclass
class CaseRun:
    """One case, run: an automaton for each key.

    Attributes:
        case: the case.
        automaton: its pattern.
        mask: gives an event's mask by its `seq`.
        matches: what came out, in order.
        late: the `seq` of events that came too late.
    """

    case: Json
    automaton: Automaton
    mask: Callable[[int], int]
    matches: list[Match] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    visitors: dict[Hashable, VisitorAutomaton] = field(default_factory=dict)

    def check(self) -> None:
        """Run the case, and check all that it states."""
        if states_an_error(self.case):
            with pytest.raises(MatchError):
                self.run()
            return
        try:
            self.run()
        except MatchError:
            # A pattern that raises on a miss, and no match stated: that is what the case states.
            if not must_hit(self.case) or self.case.get("expect"):
                raise
        _check_stated(self)

    def run(self) -> None:
        """Give it all events, and move the clock as the case says."""
        if self.case.get("time") == "event":
            self._run_in_event_time()
        else:
            for event in self.case["events"]:
                self._take(event)
        if self.case.get("advance_to") is not None:
            self._advance(self.case["advance_to"])
        if self.case.get("end_of_input"):
            self._advance(_EVER)

    def _visitor(self, event: Json) -> VisitorAutomaton:
        name = self._said("key_by")
        key = event.get(name) if name else None
        return self.visitors.setdefault(key, VisitorAutomaton(self.automaton))

    def _said(self, key: str) -> Any:
        return self.case.get(key) or self.case["pattern"].get(key)

    def _take(self, event: Json) -> None:
        visitor = self._visitor(event)
        self.matches += visitor.advance(event["t"])
        self.matches += visitor.take(event["seq"], event["t"], self.mask(event["seq"]))

    def _advance(self, time: int) -> None:
        for visitor in self.visitors.values():
            self.matches += visitor.advance(time)

    def _run_in_event_time(self) -> None:
        waiting: list[Json] = []
        watermark: int | None = None
        for arrived in self._arrivals():
            if isinstance(arrived, int):
                watermark = arrived if watermark is None else max(arrived, watermark)
                self._settle(waiting, watermark)
            elif watermark is not None and arrived["t"] <= watermark:
                self.late.append(arrived["seq"])
            else:
                waiting.append(arrived)
        if "watermarks" not in self.case or self.case.get("end_of_input"):
            for event in sorted(waiting, key=self._order):
                self._take(event)

    def _settle(self, waiting: list[Json], watermark: int) -> None:
        ready = sorted((event for event in waiting if event["t"] <= watermark), key=self._order)
        waiting[:] = [event for event in waiting if event["t"] > watermark]
        for event in ready:
            self._take(event)
        self._advance(watermark)

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
        tie = self._said("tie_order_by")
        values = [event.get(key) for key in ([tie] if isinstance(tie, str) else tie or ())]
        return (event["t"], *((value is not None, value) for value in values))


def _counted(matches: Iterable[Iterable[int]]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(match) for match in matches)


def _by_stage(matches: Iterable[dict[str, list[int]]]) -> Counter[tuple[tuple[str, tuple[int, ...]], ...]]:
    return Counter(
        tuple(sorted((stage, tuple(events)) for stage, events in match.items())) for match in matches
    )


def _check_stated(run: CaseRun) -> None:
    case = run.case
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
