from collections.abc import Callable

import pytest

from footfall import Pattern, all_of_any_order, any_of, either, event, field, last, prev, stage, subtype
from footfall.event_names import EventNames
from footfall.expression import Expression, constant
from footfall.pattern_warnings import compared_names, pattern_warnings

A, B = event == "a", event == "b"
START = Pattern("p").begin("a", A)
LOOP = START.one_or_more().followed_by("b", B)
OWN = START.followed_by("b", field("x") == last("a").field("x"))
NAMES = EventNames({"search": "products_searched"})


def warned(pattern: Pattern) -> list[tuple[str | None, str]]:
    return [(each.stage, each.message) for each in pattern_warnings(pattern.check(), NAMES)]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (event == "A B", ["A B"]),
        (constant("A B") == event, ["A B"]),
        (event != "A B", ["A B"]),
        (event.is_in(["A", "b"]), ["A", "b"]),
        (~((field("x") > 3) & ((event == "A") | event.is_in(["B"]))), ["A", "B"]),
        (event.lower() == "a b", ["a b"]),
        (last("a").field("event") == "A", ["A"]),
        (any_of("a").field("event").is_in(["A"]), ["A"]),
        (prev("event") == "A", ["A"]),
        (subtype("Booking"), ["Booking"]),
        (field("path") == "A B", []),
        (event > "A", []),
        (event == field("path"), []),
    ],
)
def test_the_names_that_a_condition_compares_with(condition: Expression, names: list[str]) -> None:
    assert list(compared_names(condition)) == names


@pytest.mark.parametrize(
    "make",
    [
        lambda bad: Pattern("p").begin("here", bad),
        lambda bad: START.not_followed_by("here", bad).within("1 s"),
        lambda bad: Pattern("p").begin("here").one_or_more().until(bad),
        lambda bad: START.followed_by(Pattern("g").begin("here", bad)),
        lambda bad: START.followed_by(either(stage("b", B), stage("here", bad))),
        lambda bad: START.followed_by(all_of_any_order(stage("b", B), stage("here", bad))),
    ],
)
def test_names_that_no_replay_gives_are_told_wherever_they_stand(
    make: Callable[[Expression], Pattern],
) -> None:
    ((where, message),) = warned(make(event == "Product Added"))
    assert where == "here"
    assert message == (
        "no event of a run is called 'Product Added': names are normalised there, and it becomes "
        "'product_added'; write 'product_added'"
    )
    assert warned(make(event == "product_added")) == []


def test_names_that_the_table_changes_or_that_are_none_are_told_once() -> None:
    names = ["search", "Search", "!", "search", "x"]
    told = [message for _, message in warned(Pattern("p").begin("a", event.is_in(names)))]
    assert len(told) == 3
    assert told[0].endswith("'products_searched' by the table of event names; write 'products_searched'")
    assert told[2] == "no event of a run is called '!'"


def test_an_absence_is_cut_by_same_too() -> None:
    def left(condition: Expression) -> Pattern:
        return START.not_followed_by("gone", condition).within("1 s")

    ((where, message),) = warned(left(B).same("element"))
    assert where == "gone"
    assert message.startswith("with same('element'), only an event with the same 'element' counts")
    assert warned(left(B)) == []
    assert warned(left(B).same("element"))
    assert warned(left(B & field("element").is_not_null()).same("element")) == []


@pytest.mark.parametrize(
    ("pattern", "waits"),
    [
        (OWN.skip_past_last(), True),
        (OWN.skip_to_next(), True),
        (OWN.no_skip(), False),
        (OWN.skip_past_last().within("1 h"), False),
        (START.followed_by("b", field("x") == last("a").field("x"), within="1 s").skip_past_last(), False),
        (LOOP.skip_to_last("a"), True),
        (LOOP.skip_to_first("a"), True),
        (LOOP.skip_to_first("a").within("1 h"), False),
        (LOOP.skip_past_last(), False),
        (LOOP.skip_to_next(), False),
        (LOOP, False),
        (START.followed_by("b", B).optional().skip_to_first("a"), True),
        (START.followed_by("b", B).skip_to_first("a"), False),
        (START.at_least(2, each_within="1 s").skip_to_first("a"), False),
        (START.followed_by("b", B).at_least(2, each_within="1 s").skip_to_first("a"), False),
        (START.at_least(2, each_within="1 s").followed_by("b", B).skip_to_first("a"), True),
        (START.followed_by(Pattern("g").begin("b", B)).one_or_more().skip_to_first("a"), True),
    ],
)
def test_matches_that_may_wait_for_ever_are_told(pattern: Pattern, *, waits: bool) -> None:
    told = [message for _, message in warned(pattern)]
    assert [message[:40] for message in told] == (
        ["a skip strategy without .within(...): he"] if waits else []
    )


@pytest.mark.parametrize(
    ("pattern", "stages"),
    [
        (START.followed_by_any("b", B), ["b"]),
        (START.followed_by_any("b", B, within="1 s"), []),
        (START.followed_by_any("b", B).within("1 s"), []),
        (START.one_or_more().combinations().followed_by_any("b", B), ["a", "b"]),
        (START.one_or_more(each_within="1 s").combinations(), []),
        (START.times(2).combinations(), []),
        (START.one_or_more(), []),
        (START.followed_by(Pattern("g").begin("b", B).followed_by_any("c", B)), ["c"]),
    ],
)
def test_partial_matches_that_may_grow_are_told(pattern: Pattern, stages: list[str]) -> None:
    told = warned(pattern)
    assert [where for where, _ in told] == stages
    assert all("partial matches may grow up to partial_limit" in message for _, message in told)
