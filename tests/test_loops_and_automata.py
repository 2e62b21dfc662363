"""A chain of single events means the same to the compiled loops and to an automaton: every short stream is tried."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import product

import polars as pl
import pytest

from footfall import Pattern, field, match
from footfall.automaton_plan import AutomatonPlan
from footfall.condition_words import ConditionWords
from footfall.expression import Expression
from footfall.pattern_plan import is_linear
from footfall.visitor_automaton import VisitorAutomaton

CONDITIONS = {"a": field("element").is_in(["a", "ab"]), "b": field("element").is_in(["b", "ab"])}
ELEMENTS = ("-", "a", "b", "ab")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STREAMS = [stream for length in range(1, 5) for stream in product(ELEMENTS, repeat=length)]
FRAME = pl.DataFrame(
    [
        {
            "message_id": f"{visitor}-{place}",
            "visitor_id": f"{visitor}",
            "event": "click",
            "event_time": BEGIN + timedelta(seconds=place),
            "element": element,
        }
        for visitor, stream in enumerate(STREAMS)
        for place, element in enumerate(stream)
    ]
)


def chains(first: int, forbids: str) -> list[Pattern]:
    """Patterns of a loop of that many, what must not come behind it, and one or two stages more."""
    found = []
    for kind, joins, taken, times, more in product(
        CONDITIONS, ("followed_by", "next", "followed_by_any"), CONDITIONS, (1, 2), (False, True)
    ):
        pattern = Pattern("p").begin("first", CONDITIONS["a"])
        pattern = pattern.times(first) if first > 1 else pattern
        if forbids:
            pattern = getattr(pattern, forbids)("not", CONDITIONS[kind])
        pattern = getattr(pattern, joins)("then", CONDITIONS[taken])
        pattern = pattern.times(times) if times > 1 else pattern
        found.append(pattern.followed_by("last", CONDITIONS["a"]) if more else pattern)
    return found


def by_automaton(pattern: Pattern) -> Counter[str]:
    """How many matches an automaton finds, by visitor."""
    bits = ConditionWords()
    (planned,) = AutomatonPlan.compile([(0, pattern)], bits.number, (), None).patterns
    bit_of = {condition.key(): bit for bit, condition in enumerate(bits.words[0])}

    def says(condition: Expression, name: str, element: str) -> int:
        bit = bit_of.get(condition.key())
        return 0 if bit is None or name not in element else 1 << bit

    found: Counter[str] = Counter()
    for visitor, stream in enumerate(STREAMS):
        automaton = VisitorAutomaton(planned.automaton)
        for place, element in enumerate(stream):
            mask = sum(says(condition, name, element) for name, condition in CONDITIONS.items())
            found[f"{visitor}"] += len(automaton.take(place, place * 1000, mask))
    return +found


@pytest.mark.parametrize("forbids", ["", "not_followed_by", "not_next"])
@pytest.mark.parametrize("first", [1, 2])
def test_both_find_the_same(first: int, forbids: str) -> None:
    tried = 0
    for pattern in chains(first, forbids):
        assert is_linear(pattern)
        assert Counter(match(FRAME, pattern)["visitor_id"].to_list()) == by_automaton(pattern), pattern
        tried += 1
    assert tried == 48
