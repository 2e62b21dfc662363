"""The answer in a few sentences: what fired, or how far it came and what stopped it."""

import pytest
from explained import VISITOR, events_of, explained, trace_of

from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.taken_events import last
from footfall.trace_verdict import Verdict, steps_words, verdict

P = Pattern("p")
A, B, C = (event == letter for letter in "abc")
AB = P.begin("a", A).followed_by("b", B)
ABANDONED = P.begin("a", A).not_followed_by("b", B)


def said(pattern: Pattern, stream: str, clock: int | None = None) -> Verdict:
    return verdict("p", VISITOR, trace_of(pattern, stream, clock=clock))


def test_a_match_is_told_with_its_events() -> None:
    assert str(said(AB, "a - b")) == (
        "p fired once for v. Match 1 came out at 08:53:22.000, when it was whole: "
        "'a' took event 1 (a, 08:53:20.000); 'b' took event 3 (b, 08:53:22.000)."
    )
    assert said(AB, "a - b").fired
    assert said(AB, "a a a a b").head == "p fired 4 times for v."
    assert len(said(AB, "a a a a b").sentences) == 3
    assert "'a' took 3 events, event 1 (a, 08:53:20.000) to event 3" in str(
        said(P.begin("a", A).times(3), "a a a")
    )


def test_one_by_time_says_so() -> None:
    told = str(said(ABANDONED.within("2 s"), "a - - -"))
    assert "came out at 08:53:22.000, when its time was over" in told
    told = str(said(ABANDONED.within("1 min"), "a -", clock=3000))
    assert told.startswith("p fired once for v only because the input ends.")
    both = said(ABANDONED.within("3 s"), "a - - - a -", clock=5000)
    assert both.head == "p fired twice for v, once of them only because the input ends."


def test_one_that_was_held_back_says_when_it_was_whole_and_what_let_it_out() -> None:
    pattern = P.begin("a", A).followed_by("b", B & (field("x") == last("a").field("x"))).within("5 s")
    told = str(said(pattern.skip_past_last(), "a:1 a:2 b:2 - - - -"))
    assert (
        "Match 1 was whole at 08:53:22.000, and came out at 08:53:25.000, "
        "when #1, which began earlier, ran out of time: 'a' took event 2 (a, 08:53:21.000);"
    ) in told


def test_events_with_another_value_of_the_same_field_are_told_with_the_match() -> None:
    records = events_of("a b c", apart=500)
    for record, element in zip(records, "xy", strict=False):
        record["element"] = element
    told = str(
        verdict("p", VISITOR, explained(ABANDONED.within("2 s").same("element"), records, clock=9000).trace)
    )
    assert "'a' took event 1 (a, 08:53:20.000); 1 event that fits 'b' came with another element." in told


def test_how_far_it_came_and_what_stopped_it() -> None:
    pattern = AB.followed_by("c", C).not_followed_by("n", event == "n").within("10 s")
    told = said(ABANDONED.within("1 h"), "a - b")
    assert not told.fired
    assert str(told) == (
        "p did not fire for v. The furthest that it came is #1: 'a' took event 1 (a, 08:53:20.000); "
        "then, 2 s after its first event, event 3 (b, 08:53:22.000) ended it: 'b' must not come, and came "
        "(not followed by event is 'b'; event = 'b')."
    )
    told = said(pattern, "a a b -", clock=60_000)
    assert "The furthest that it came is #1 (1 other came as far): " in str(told)
    assert "then, 10 s after its first event, time ended it: within 10 s ran out" in str(told)
    assert told.sentences[1] == "In all, 2 partial matches came to nothing: 2 out of time."


def test_one_that_is_still_open_goes_first() -> None:
    told = said(AB.within("1500 ms"), "a - - a")
    assert "#2 (1 other came as far)" in str(told)
    assert (
        "it is still open: the input's clock stops at 08:53:22.999 (waits until 08:53:24.500 for 'b')"
        in str(told)
    )
    assert "1 out of time, 1 still open" in str(told)


def test_one_that_is_held_back_is_told() -> None:
    pattern = P.begin("a", A).followed_by("b", B & (field("x") > 1)).next("c", C & (field("x") == 3))
    held = P.begin("a", A).one_or_more().followed_by("b", B).skip_past_last()
    assert said(held, "a b").fired
    assert "whole and held back" not in str(said(pattern, "a b:2"))


def test_no_match_began() -> None:
    assert str(said(AB, "c c -")) == (
        "p did not fire for v. No match began: none of their 3 events is one of 'a', with which it begins; "
        "they are 2 c, 1 other."
    )
    told = str(said(P.begin("a", A & (field("x") > 1)), "a:1 - a:0"))
    assert (
        "2 events come near to what a match begins with, but event 1 (a, 08:53:20.000) is not taken by 'a'"
        in told
    )
    assert '"x is greater than 1" is not true: x = 1, and the others likewise' in told
    assert "1 event comes near" in str(said(P.begin("a", A & (field("x") > 1)), "a:1 -"))


def test_an_event_that_is_not_seen_is_minded() -> None:
    records = events_of("a - -")
    late = {**records[1], "message_id": "m9", "event": "b"}
    told = verdict("p", VISITOR, explained(AB, [*records, late]).trace)
    assert told.sentences[-1].startswith(
        "Mind event 3 (b, 08:53:21.000): 'b' would look at it, but it is late:"
    )


def test_none_of_the_events_is_seen() -> None:
    told = verdict("p", VISITOR, explained(AB.same("element"), "a b").trace)
    records = events_of("a b")
    records[0]["element"] = "x"
    minded = verdict("p", VISITOR, explained(AB.same("element"), records).trace).sentences[-1]
    assert "'b' would look at it, but it has no 'element', and the pattern runs for each value" in minded
    assert "Patterns see none of their 2 events: it has no 'element'" in str(told)


def test_timed_out_partial_matches_are_no_matches() -> None:
    told = said(AB.within("2 s").with_timeouts(), "a - - -")
    assert not told.fired


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([("a", 0), ("a", 1), ("b", 4)], "'a' 1, 2; 'b' 5"),
        ([("a", 0), ("b", 1), ("a", 2)], "'a' 1; 'b' 2; 'a' 3"),
    ],
)
def test_steps_in_words(steps: list[tuple[str, int]], words: str) -> None:
    assert steps_words(steps) == words
