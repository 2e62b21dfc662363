"""What the language's own words match, written in it and run by the automaton: small streams of letters."""

from collections.abc import Sequence

import polars as pl
import pytest

from footfall.automaton import Automaton
from footfall.envelope import SCHEMA
from footfall.expression import event, field, subtype
from footfall.pattern import Pattern, all_of_any_order, either, stage
from footfall.pattern_lowering import ConditionBits, EventValues, lower
from footfall.taken_events import any_of, first, last, prev, taken
from footfall.visitor_automaton import Match, VisitorAutomaton

A, B, C, D = (event == name for name in "abcd")


def found(pattern: Pattern, stream: str, *, end: int = 0) -> list[str]:
    """The matches as stage:event words, sorted. A word of the stream is a name and, after a colon, its x.

    Events are a second apart, from 0; after them time moves to `end` seconds.
    """
    words = [word.split(":") for word in stream.split()]
    rows = [
        dict.fromkeys(SCHEMA) | {"event": word[0], "x": int(word[1]) if word[1:] else None} for word in words
    ]
    frame = pl.DataFrame(rows, schema=SCHEMA)
    bits, values = ConditionBits(), EventValues()
    visitor = VisitorAutomaton(Automaton(lower(pattern, bits, values)))
    answers = [frame.select(condition.to_polars()).to_series().to_list() for condition in bits]
    columns = [frame.select(column).to_series().to_list() for column in values.columns()]
    values.read = lambda number, slot: columns[slot][number]
    matches: list[Match] = []
    for number in range(len(rows)):
        mask = sum(answer[number] << bit for bit, answer in enumerate(answers))
        matches += visitor.take(number, number * 1000, mask)
    matches += visitor.advance(end * 1000)
    return sorted(" ".join(f"{name}{number}" for name, number in match.steps) for match in matches)


P = Pattern("p")
START = P.begin("a", A)
EITHER = either(stage("s", subtype("book")), stage("t", field("x") > 1))
ANY_ORDER = all_of_any_order(stage("b", B), stage("c", C))


@pytest.mark.parametrize(
    ("pattern", "stream", "expected"),
    [
        # Alternation: the first that fits names it, and there is one match.
        (START.followed_by(EITHER), "a d book:2", ["a0 s2"]),
        (START.followed_by(EITHER), "a book_x d:2", ["a0 s1"]),
        (START.followed_by(EITHER), "a bookish d:2", ["a0 t2"]),
        # Permutation.
        (START.followed_by(ANY_ORDER), "a d c d b", ["a0 c2 b4"]),
        (START.followed_by(ANY_ORDER), "a b d c", ["a0 b1 c3"]),
        (START.followed_by(ANY_ORDER).consecutive(), "a b d c b", ["a0 c3 b4"]),
        (START.followed_by(ANY_ORDER).consecutive(), "a d c b", ["a0 c2 b3"]),
        # Groups.
        (START.followed_by(P.begin("b", B).next("c", C)).times(2), "a b c d b c", ["a0 b1 c2 b4 c5"]),
        (START.followed_by("g", P.begin("b", B).next("c", C)).optional().next("d", D), "a d", ["a0 d1"]),
        # What earlier stages took.
        (
            START.followed_by("b", (event == "b") & (field("x") > first("a").field("x"))),
            "a:3 b:2 b:4",
            ["a0 b2"],
        ),
        (
            START.one_or_more().followed_by("b", B & (any_of("a").field("x") == field("x"))).skip_past_last(),
            "a:1 a:2 b:3 b:2",
            ["a0 a1 b3"],
        ),
        (
            START.one_or_more().followed_by("b", B & (last("a").field("x") == 1)).skip_to_next(),
            "a:1 a:2 b a:1 b",
            ["a0 b2", "a1 a3 b4", "a3 b4"],
        ),
        (START.times(2).followed_by("b", B & (taken("a").sum("x") >= 5)), "a:1 a:2 a:3 b", ["a1 a2 b3"]),
        (
            P.begin("a", A & (taken("a").sum("x", plus_current=True) <= 3))
            .one_or_more()
            .greedy()
            .next("b", B),
            "a:1 a:2 b",
            ["a0 a1 b2", "a1 b2"],
        ),
        (P.begin("a", A & (prev("event") == "b")), "a b a c a", ["a2"]),
        (P.begin("a", A & prev("event", 2).is_null()), "a a a", ["a0", "a1"]),
    ],
)
def test_words_match(pattern: Pattern, stream: str, expected: Sequence[str]) -> None:
    assert found(pattern, stream) == list(expected)


def test_absence_at_the_start_and_at_the_end() -> None:
    quiet = P.absent("q", C, for_="2 s").begin("a", A)
    # An event exactly that long before doesn't stand in the way.
    assert found(quiet, "a c a a a") == ["a0", "a3", "a4"]
    assert found(quiet, "c a") == []
    assert found(quiet, "c d a") == ["a2"]
    silent = START.not_followed_by("n", C, within="2 s")
    assert found(silent, "a c a", end=9) == ["a2"]
    assert found(silent, "a d c", end=9) == ["a0"]


def test_a_loop_that_is_bounded_from_step_to_step() -> None:
    loop = START.followed_by("b", B).times(2, each_within="2 s").followed_by("c", C)
    assert found(loop, "a b b c") == ["a0 b1 b2 c3"]
    assert found(loop, "a b d b c") == []
    assert found(START.followed_by("b", B, within="2 s"), "a d b") == []
    assert found(START.followed_by("b", B, within="3 s"), "a d b") == ["a0 b2"]
