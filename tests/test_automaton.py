"""What a pattern is compiled to."""

import pytest
from automaton_patterns import bit, either, group, in_any_order, optional, pattern, run, some, stage

from footfall.automaton import Automaton
from footfall.automaton_states import Guard, MoveKind
from footfall.errors import PatternError
from footfall.pattern_spec import LoopSpec, PartialView, PatternSpec


def test_a_relaxed_stage_waits_and_a_strict_one_does_not() -> None:
    automaton = Automaton(pattern(stage("a"), stage("b"), stage("c", "strict")))
    waiting, strict = automaton.states[1], automaton.states[2]
    assert [(move.kind, move.guard, move.targets) for move in waiting.moves] == [
        (MoveKind.TAKE, Guard(need=bit("b")), (2,)),
        (MoveKind.PASS, Guard(forbid=bit("b")), (1,)),
    ]
    assert [(move.kind, move.targets, move.completes) for move in strict.moves] == [(MoveKind.TAKE, (), True)]
    assert not waiting.restless
    assert strict.restless


def test_only_patterns_with_strict_parts_need_to_see_all_events() -> None:
    relaxed = Automaton(
        pattern(stage("a"), stage("n", "not_followed_by"), stage("b", loop=some()), within_ms=9)
    )
    assert relaxed.interest == bit("a") | bit("b") | bit("n")
    assert not relaxed.sees_all
    # After the loop's event the stop is there for the loop and for what follows it; after another event for each apart.
    greedy = stage("a", loop=some(greedy=True))
    assert not Automaton(pattern(greedy, stage("n", "not_followed_by"), stage("b"), within_ms=9)).sees_all
    assert Automaton(pattern(stage("a"), stage("b", "strict"))).sees_all
    assert Automaton(pattern(stage("a"), stage("n", "not_next"))).sees_all
    assert Automaton(pattern(stage("a"), stage("b", test=None))).sees_all
    assert Automaton(pattern(stage("a"), stage("b"), looks_back=1)).sees_all


def test_a_test_of_the_partial_match_needs_to_see_all_unless_it_names_a_bit() -> None:
    class Second:
        bit = 1

        def __call__(self, event: int, partial: PartialView) -> bool:
            return event == 1 and partial.taken("a") == [0]

    assert not Automaton(pattern(stage("a"), stage("x", test=Second()))).sees_all
    assert Automaton(pattern(stage("a"), stage("x", test=Second().__call__))).sees_all
    assert len(run(pattern(stage("a"), stage("x", test=Second())), "a b b")) == 1
    assert not run(pattern(stage("a"), stage("x", test=Second())), "a c b")


def test_stages_are_numbered_in_the_patterns_order_and_groups_know_their_parts() -> None:
    automaton = Automaton(
        pattern(stage("a"), group("g", stage("b"), either("c", "d")), in_any_order("e", "f"))
    )
    assert automaton.stages == ("a", "b", "c", "d", "e", "f")
    assert automaton.parts["g"] == {1, 2, 3}
    assert automaton.permuted == (0, 1, 2, 3, 4, 4)


def test_a_long_loop_compiles() -> None:
    automaton = Automaton(pattern(stage("a", loop=LoopSpec(least=3000, most=3000)), stage("b")))
    assert len(automaton.states) == 3001


@pytest.mark.parametrize(
    ("wrong", "stage_name", "says"),
    [
        (pattern(stage("a"), stage("n", "not_followed_by")), "n", "needs within"),
        (pattern(stage("a"), group("g", stage("b"), loop=some(greedy=True))), "g", "greedy"),
        (pattern(stage("a", loop=some(greedy=True, reluctant=True))), "a", "not both"),
        (pattern(stage("a", loop=LoopSpec(least=0))), "a", "at least one"),
        (pattern(stage("a", loop=LoopSpec(least=3, most=2))), "a", "at least"),
        (pattern(stage("a"), stage("a")), "a", "two stages"),
        (PatternSpec("test", (stage("n", "not_next"), stage("a"))), "n", "start"),
        (PatternSpec("test", (stage("n", "not_followed_by", absent_ms=5),)), None, "takes an event"),
    ],
)
def test_what_has_no_meaning_is_refused(wrong: PatternSpec, stage_name: str | None, says: str) -> None:
    with pytest.raises(PatternError, match=says) as caught:
        Automaton(wrong)
    assert caught.value.pattern == "test"
    assert caught.value.stage == stage_name


def test_an_optional_choice_is_refused() -> None:
    alternation = either("a", "b")
    inner = (stage("a", "begin", optional()), alternation.choices[1])
    with pytest.raises(PatternError, match="optional"):
        Automaton(pattern(stage("x"), type(alternation)("alternation", "relaxed", choices=inner)))
