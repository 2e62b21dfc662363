"""The language against the conformance cases: their patterns, written in it and lowered, give the same matches."""

from collections import Counter
from typing import Any

import polars as pl
import pytest

from conformance.case_patterns import Json, pattern_of, schema_of
from footfall.automaton import Automaton
from footfall.pattern import Pattern
from footfall.pattern_lowering import ConditionBits, EventValues, lower
from footfall.visitor_automaton import Match, VisitorAutomaton


class _Evaluated:
    """A case's events, all conditions and values of the pattern evaluated on them as columns."""

    def __init__(self, case: Json) -> None:
        schema = schema_of(case["events"])
        self.pattern = pattern_of(case["pattern"], schema)
        bits, values = ConditionBits(), EventValues(schema)
        self.automaton = Automaton(lower(self.pattern, bits, values))
        rows = [{name: event.get(name) for name in schema} for event in case["events"]]
        frame = pl.DataFrame(rows, schema=schema)
        answers = [frame.select(condition.to_polars(schema)).to_series().to_list() for condition in bits]
        self.masks = {
            row["seq"]: sum(answer[number] << bit for bit, answer in enumerate(answers))
            for number, row in enumerate(rows)
        }
        columns = [frame.select(column).to_series().to_list() for column in values.columns()]
        place = {row["seq"]: number for number, row in enumerate(rows)}
        values.read = lambda event, slot: columns[slot][place[event]]


def test_the_language_says_the_same(case: Json) -> None:
    if case.get("time") == "event" or any(key.startswith(("expect_error", "expect_raise")) for key in case):
        assert Pattern.from_json(
            pattern_of(case["pattern"]).to_json(), schema=schema_of(case["events"])
        ) == pattern_of(case["pattern"])
        return
    evaluated = _Evaluated(case)
    visitors: dict[Any, VisitorAutomaton] = {}
    found: list[Match] = []
    for event in case["events"]:
        key = event.get(case["key_by"]) if case.get("key_by") else None
        visitor = visitors.setdefault(key, VisitorAutomaton(evaluated.automaton))
        found += visitor.advance(event["t"])
        found += visitor.take(event["seq"], event["t"], evaluated.masks[event["seq"]])
    if case.get("advance_to") is not None or case.get("end_of_input"):
        end = 10**15 if case.get("end_of_input") else case["advance_to"]
        found += [match for visitor in visitors.values() for match in visitor.advance(end)]
    whole = Counter(tuple(match.events) for match in found if not match.timed_out)
    assert whole == Counter(tuple(match) for match in case["expect"])


@pytest.mark.parametrize(
    ("predicate", "words"),
    [
        ({"not": {"name": "a"}}, "not (name is 'a' and (name is 'a') is given)"),
        ({"all": [{"name": "a"}, {"any": []}]}, "name is 'a' and False"),
        ({"if": {"name": "a"}, "then": {"type": "s"}, "else": {}},
         ("(name is 'a' and (name is 'a') is given and type is 's')"
          " or (not (name is 'a' and (name is 'a') is given) and True)")),
        ({"field": "price", "op": "gt", "ref": {"stage": "s", "pick": "last", "field": "price"}},
         "price is greater than price of the last 's'"),
        ({"agg": "count", "stage": "s", "plus_current": True, "op": "ge", "value": 2},
         "number of 's' and this event is at least 2"),
        ({"agg": "mean", "stage": "s", "field": "price", "op": "lt", "value": 2.5},
         "mean of price over 's' is less than 2.5"),
        ({"field": "name", "op": "contains", "value": "b"}, "name contains 'b'"),
    ],
)  # fmt: skip
def test_every_predicate_of_the_format_is_known(predicate: Json, words: str) -> None:
    pattern = pattern_of({"stages": [{"name": "s", "contiguity": "begin", "where": predicate}]})
    assert str(pattern.stages[0].condition) == words
