"""What the states of an automaton wait for, in words."""

import pytest

from footfall.automaton import Automaton
from footfall.condition_findings import ConditionFindings
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_lowering import ConditionBits, EventValues, lower
from footfall.wait_words import Look, TakenView, WaitWords

A, B, C, D = (event == letter for letter in "abcd")
P = Pattern("p")


class Words:
    """A pattern's words, over single letters."""

    def __init__(self, pattern: Pattern) -> None:
        self.bits, values = ConditionBits(), EventValues()
        self.automaton = Automaton(lower(pattern, self.bits, values))
        self.words = WaitWords(pattern, self.automaton, ConditionFindings(values))
        self.names: list[str] = []
        columns = [str(value) for value in values.expressions]
        assert set(columns) <= {"event", "event is 'a'", "event is 'b'", "event is 'c'", "event is 'd'"} | {
            str(condition) for condition in self.bits
        }
        values.read = lambda number, slot: (
            self.names[number] if columns[slot] == "event" else self._is(number, columns[slot])
        )

    def _is(self, number: int, condition: str) -> bool:
        return f"'{self.names[number]}'" in condition

    def look(self, letter: str, since: int = 0) -> Look:
        self.names = [letter]
        mask = sum(1 << bit for bit, condition in enumerate(self.bits) if f"'{letter}'" in str(condition))
        return Look(0, mask, since, TakenView(self.automaton, (), ()))


def test_the_first_state_waits_for_what_begins() -> None:
    words = Words(P.begin("a", A).followed_by("b", B))
    assert words.words.names_of([0]) == {"a"}
    assert [each.words for each in words.words.awaited([0], ())] == ["'a'"]
    assert words.words.not_taken([0], words.look("b")) == (
        "not taken by 'a': \"event is 'a'\" is not true: event = 'b'",
    )
    assert words.words.not_taken([0], words.look("b"), near=()) == ()


@pytest.mark.parametrize(
    ("pattern", "letter", "reason"),
    [
        (P.begin("a", A).next("b", B), "d", "contiguity"),
        (P.begin("a", A).not_followed_by("n", C).followed_by("b", B), "c", "forbidden"),
        (P.begin("a", A).not_next("n", C).followed_by("b", B), "c", "forbidden"),
    ],
)
def test_why_an_event_ends_it(pattern: Pattern, letter: str, reason: str) -> None:
    words = Words(pattern)
    (target,) = words.automaton.states[0].moves[0].targets
    assert words.words.why_ended([target], words.look(letter))[0] == reason


def test_a_step_that_is_over_is_told() -> None:
    words = Words(P.begin("a", A).followed_by("b", B, within="2 s"))
    (target,) = words.automaton.states[0].moves[0].targets
    (told,) = words.words.not_taken([target], words.look("b", since=61_000))
    assert told == "not taken by 'b': 1 min 1 s after the event before, not in less than 2 s"


def test_what_is_near() -> None:
    words = Words(P.begin("a", A).followed_by("b", B).one_or_more().until(C).followed_by("any"))
    assert words.words.near(words.look("c")) == ("b", "any")
    assert words.words.near(words.look("d")) == ("any",)


def test_a_partial_matchs_events_by_stage() -> None:
    words = Words(P.begin(P.begin("a", A).followed_by("b", B)).followed_by("c", C))
    view = TakenView(words.automaton, ((0, 4), (1, 6), (2, 7)), (4, 5, 6))
    assert list(view.taken("p")) == [4, 6]
    assert list(view.taken("c")) == [7]
    assert list(view.taken("nobody")) == []
    assert [view.before(count) for count in (1, 3, 4)] == [6, 4, -1]
