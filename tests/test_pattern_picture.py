import pytest
from pattern_samples import ABSENCE, PLAIN, RICH

from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.pattern_picture import (
    LONGEST_CONDITION,
    ChoiceBox,
    GroupBox,
    Guard,
    StageBox,
    picture_of,
    printable,
)


def test_a_plain_pattern() -> None:
    picture = picture_of(PLAIN)
    assert (picture.name, picture.description, picture.within) == ("plain", "", "")
    assert picture.facts == f"info · version {PLAIN.version}"
    first, second = picture.steps
    assert (first.arrow.kind, first.arrow.words) == ("begin", "starts with")
    assert (second.arrow.kind, second.arrow.words) == ("strict", "directly followed by")
    assert first.shape == StageBox("any event", "any event")
    assert second.shape == StageBox("next one", "event is 'b'")
    assert picture.end.words == ""
    assert not picture.to_the_end
    assert picture.notes == ("Every match counts.",)


def test_an_absence_at_the_end_guards_the_way_to_the_match() -> None:
    picture = picture_of(ABSENCE)
    assert picture.end.guards == (Guard("not followed by", "ended", "event is 'b'"),)
    assert picture.end.words == "once 10 min have passed"
    assert picture.within == "less than 10 min"
    assert picture.to_the_end


def test_conditions_that_all_must_hold_have_a_line_each_and_long_ones_are_cut() -> None:
    many = field("element").is_in([f"button-{number}" for number in range(100)])
    picture = picture_of(
        Pattern("p").begin("a", (event == "a") & ((field("x") > 1) | (field("y") > 1)) & many).check()
    )
    shape = picture.steps[0].shape
    assert isinstance(shape, StageBox)
    first, second, third = shape.condition.split("\n")
    assert (first, second) == ("event is 'a'", "and (x is greater than 1 or y is greater than 1)")
    assert third.startswith("and element is one of 'button-0', ")
    assert third.endswith("…")
    assert len(third) <= LONGEST_CONDITION + len("and ")


def test_an_absence_since_the_last_event() -> None:
    pattern = Pattern("p").begin("a", event == "a").not_followed_by("b", event == "b", within="5 min")
    assert picture_of(pattern).end.words == "once 5 min have passed since the last event"


def test_the_rich_pattern() -> None:
    picture = picture_of(RICH)
    start, clicks, choice, basket, orders, last = picture.steps
    assert start.arrow.guards == (Guard("not preceded for 1 h by", "quiet", "event is 'noise'"),)
    assert clicks.shape == StageBox(
        "clicks",
        "event is 'click'",
        "2 to 5 times, others may come between, each less than 10 s after the one before",
        optional=True,
    )
    assert choice.arrow.words == "directly followed by, less than 5 min after the event before"
    assert isinstance(choice.shape, ChoiceBox)
    assert choice.shape.words == "one of these"
    assert choice.shape.branches == (StageBox("call", "event is 'call'"), StageBox("chat", "event is 'chat'"))
    assert isinstance(basket.shape, GroupBox)
    assert (basket.arrow.kind, basket.shape.name) == ("any", "basket")
    assert basket.shape.loop == "2 times, others may come between"
    add, look = basket.shape.steps
    assert add.arrow.guards == ()
    assert [guard.name for guard in look.arrow.guards] == ["drop"]
    assert look.shape.loop == "1 or more times, others may come between, as often as possible"
    assert isinstance(orders.shape, ChoiceBox)
    assert orders.shape.words == "each once, in any order"
    assert last.shape.loop == "3 or more times, in a row, until event is 'logout'"
    assert picture.end.words == "once the next event has come"
    assert not picture.to_the_end
    assert picture.notes == (
        "For each element on its own.",
        "After a match, others that begin before its first event of start are dropped.",
        "Events at the same time are taken in the order of their element.",
        "Partial matches that run out of time are given out too.",
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\n lines\t and  blanks ", "two lines and blanks"),
        ("bell\x07", "bell\\x07"),
        ("lone \ud800", "lone \\ud800"),
        ("Größe → ≤", "Größe → ≤"),
    ],
)
def test_what_has_no_shape_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
