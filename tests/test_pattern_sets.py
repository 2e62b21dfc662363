from dataclasses import replace

import pytest

from footfall.clock import FOREVER, NEVER
from footfall.errors import PatternError
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_sets import PatternSet, PlacedPattern, placed_patterns

A, B, C = (Pattern(name).begin("x", event == name) for name in "abc")
OTHER_A = Pattern("a").begin("x", event == "other")


def placed(*sets: PatternSet) -> list[list[tuple[str, int, int]]]:
    """By set the name of each pattern that is new with it, and between which times its matches begin."""
    return [
        [(one.pattern.name, one.begins_from, one.begins_until) for one in each]
        for each in placed_patterns(sets, lambda _pattern: None)
    ]


def test_the_first_set_is_in_force_always() -> None:
    assert placed(PatternSet((B, A))) == [[("a", NEVER, FOREVER), ("b", NEVER, FOREVER)]]
    assert placed(PatternSet(())) == [[]]


def test_what_the_next_set_has_as_well_goes_on() -> None:
    assert placed(PatternSet((A, B)), PatternSet((B, C, A), since=5)) == [
        [("a", NEVER, FOREVER), ("b", NEVER, FOREVER)],
        [("c", 5, FOREVER)],
    ]


def test_what_is_said_about_a_pattern_is_no_other_version() -> None:
    told = replace(A, description="another text")
    assert placed(PatternSet((A,)), PatternSet((told,), since=5)) == [[("a", NEVER, FOREVER)], []]


def test_what_the_next_set_has_not_begins_until_then() -> None:
    assert placed(PatternSet((A, B)), PatternSet((B,), since=5), PatternSet((), since=9)) == [
        [("a", NEVER, 5), ("b", NEVER, 9)],
        [],
        [],
    ]


def test_a_changed_pattern_is_one_that_goes_and_one_that_comes() -> None:
    sets = PatternSet((A,)), PatternSet((OTHER_A,), since=5), PatternSet((A,), since=9)
    assert placed(*sets) == [[("a", NEVER, 5)], [("a", 5, 9)], [("a", 9, FOREVER)]]
    first, second, third = placed_patterns(sets, lambda _pattern: None)
    assert [one.pattern for one in (*first, *second, *third)] == [A, OTHER_A, A]


def test_a_pattern_that_comes_back_is_new() -> None:
    assert placed(PatternSet((A,)), PatternSet((), since=5), PatternSet((A,), since=9)) == [
        [("a", NEVER, 5)],
        [],
        [("a", 9, FOREVER)],
    ]


def test_new_patterns_stand_by_name_behind_those_that_come_first() -> None:
    sets = PatternSet((C, B, A)), PatternSet((A, *(Pattern(name).begin("x") for name in "fed")), since=5)
    found = placed_patterns(sets, lambda pattern: "later" if pattern.name in "be" else None)
    assert [[one.pattern.name for one in each] for each in found] == [["a", "c", "b"], ["d", "f", "e"]]


def test_later_sets_change_nothing_in_the_earlier_ones_but_how_long_they_begin() -> None:
    sets = [PatternSet((A, B)), PatternSet((A, C), since=5), PatternSet((OTHER_A, C), since=9)]
    whole = placed_patterns(sets, lambda _pattern: None)
    for count in (1, 2):
        short = placed_patterns(sets[:count], lambda _pattern: None)
        assert [[(one.pattern, one.begins_from) for one in each] for each in short] == [
            [(one.pattern, one.begins_from) for one in each] for each in whole[:count]
        ]


@pytest.mark.parametrize(
    ("sets", "problem"),
    [
        ([PatternSet((A, OTHER_A))], "two patterns have this name"),
        ([PatternSet((A,)), PatternSet((B, B), since=5)], "two patterns have this name"),
        ([PatternSet((A,), since=5), PatternSet((B,), since=5)], "after the one before it"),
        ([PatternSet((A,)), PatternSet((B,), since=5), PatternSet((C,), since=4)], "after the one before it"),
        ([PatternSet((A,)), PatternSet((B,))], "after the one before it"),
        ([PatternSet((Pattern("none"),))], "none"),
    ],
)
def test_what_is_no_row_of_sets_is_refused(sets: list[PatternSet], problem: str) -> None:
    with pytest.raises(PatternError, match=problem):
        placed_patterns(sets, lambda _pattern: None)


def test_a_placed_pattern_begins_at_any_time_unless_told_otherwise() -> None:
    assert (PlacedPattern(A).begins_from, PlacedPattern(A).begins_until) == (NEVER, FOREVER)
