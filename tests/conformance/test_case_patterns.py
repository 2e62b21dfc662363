"""The language against the conformance cases: their patterns, written in it and lowered, give the same matches."""

import polars as pl
import pytest

from conformance.case_format import CaseFormatError, Json, check_case
from conformance.case_patterns import pattern_of, schema_of
from conformance.case_run import CaseRun
from footfall.automaton import Automaton
from footfall.pattern import Pattern
from footfall.pattern_lowering import ConditionBits, EventValues, lower


class _Evaluated:
    """A case's events, all conditions and values of the pattern evaluated on them as columns."""

    def __init__(self, case: Json) -> None:
        schema = schema_of(case["events"])
        pattern = pattern_of(case["pattern"], schema, gives_timeouts="expect_timeouts" in case)
        assert Pattern.from_json(pattern.to_json(), schema=schema) == pattern
        bits, values = ConditionBits(), EventValues(schema)
        self.automaton = Automaton(lower(pattern, bits, values))
        rows = [{name: event.get(name) for name in schema} for event in case["events"]]
        frame = pl.DataFrame(rows, schema=schema)
        answers = [frame.select(condition.to_polars(schema)).to_series().to_list() for condition in bits]
        self.masks = {
            row["seq"]: sum(bool(answer[number]) << bit for bit, answer in enumerate(answers))
            for number, row in enumerate(rows)
        }
        columns = [frame.select(column).to_series().to_list() for column in values.columns()]
        place = {row["seq"]: number for number, row in enumerate(rows)}
        values.read = lambda event, slot: columns[slot][place[event]]


def test_the_language_says_the_same(case: Json) -> None:
    check_case(case)
    evaluated = _Evaluated(case)
    CaseRun(case, evaluated.automaton, evaluated.masks.__getitem__).check()


@pytest.mark.parametrize(
    ("predicate", "words"),
    [
        ({"not": {"name": "a"}}, "not (name is 'a')"),
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


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expect_something": 1}, "'expect_something' is not in the format"),
        ({"time": "ingestion"}, "time 'ingestion' is not in the format"),
        ({"pattern": {"stages": [], "windows": 3}}, "pattern: 'windows'"),
        ({"pattern": {"stages": [], "within_kind": "each"}}, "within_kind 'each'"),
        ({"pattern": {"stages": [], "skip": {"strategy": "to_next", "by": 1}}}, "skip: 'by'"),
        ({"pattern": {"stages": [{"name": "a", "contiguity": "begin", "test": 1}]}}, "stage 'a': 'test'"),
        ({"pattern": {"stages": [{"name": "a", "contiguity": "first"}]}}, "contiguity 'first'"),
        ({"pattern": {"stages": [{"name": "a", "quantifier": {"min": 1, "step": 3}}]}}, "quantifier: 'step'"),
        ({"pattern": {"stages": [{"group": [{"name": "b", "where": {"nam": "x"}}]}]}}, "stage 'b': no such"),
        ({"pattern": {"stages": [{"where": {"not": {"field": "a", "op": "like", "value": 1}}}]}}, "op 'like'"),
        ({"events": [{"seq": 1}]}, "an event without"),
    ],
)  # fmt: skip
def test_what_the_format_does_not_know_is_refused(change: Json, says: str) -> None:
    case = {"id": "x/y", "pattern": {"stages": []}, "events": [], **change}
    with pytest.raises(CaseFormatError, match=says) as caught:
        check_case(case)
    assert str(caught.value).startswith("case 'x/y'")
