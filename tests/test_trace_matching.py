"""What each event does to each partial match, and why, as traces tell it."""

from dataclasses import replace
from typing import Any

import pytest
from explained import events_of, explained, lines_of, steps_of, trace_of

from footfall.errors import MatchError
from footfall.expression import event, field
from footfall.match_trace import Trace
from footfall.pattern import Pattern, all_of_any_order, either, stage
from footfall.taken_events import last, prev

A, B, C, D = (event == letter for letter in "abcd")
P = Pattern("p")
AB = P.begin("a", A).followed_by("b", B)


def ending(trace: Trace, number: int = 1) -> tuple[str, str]:
    row = trace.partials[number - 1]
    return row.reason, row.ending


def test_a_relaxed_stage_passes_over_what_it_does_not_want() -> None:
    trace = trace_of(AB, "a - b")
    assert lines_of(trace) == ["1 #1 begins: taken by 'a'", "3 #1 taken by 'b'", "3 #1 match 1"]
    assert trace.entries[0].details == ("waits for 'b'",)
    assert [entry.stage for entry in trace.entries] == ["a", "b", ""]
    assert trace.entries[2].match == 1


def test_of_an_event_that_nearly_fits_it_is_said_which_part_fails_with_which_values() -> None:
    pattern = P.begin("a", A).followed_by("b", B & (field("x") > last("a").field("x")) & (field("x") < 9))
    trace = trace_of(pattern, "a:5 b:3 b:12 b -")
    waits = [entry for entry in trace.entries if entry.what == "waits"]
    assert [entry.event for entry in waits] == [1, 2, 3]
    greater = "x is greater than x of the last 'a'"
    less = '"x is less than 9" is unknown: x = missing'
    assert ["; ".join(entry.details) for entry in waits] == [
        f"not taken by 'b': \"{greater}\" is not true: x = 3, x of the last 'a' = 5",
        "not taken by 'b': \"x is less than 9\" is not true: x = 12",
        f"not taken by 'b': \"{greater}\" is unknown: x = missing, x of the last 'a' = 5; {less}",
    ]
    assert trace.events[1].near == ("b",)
    assert trace.events[4].near == ()


def test_an_event_that_nearly_begins_a_match_says_why_it_does_not() -> None:
    trace = trace_of(P.begin("a", A & (field("x") > 3)), "a:1 -")
    assert trace.partials == []
    assert trace.events[0].not_begun == ("not taken by 'a': \"x is greater than 3\" is not true: x = 1",)
    assert trace.events[1].not_begun == ()
    assert trace.begins_with == ("a",)


def test_strict_contiguity_is_broken() -> None:
    trace = trace_of(P.begin("a", A).next("b", B), "a - b")
    assert ending(trace) == ("contiguity", "'b' had to come directly next, and another event came")
    assert trace.partials[0].details == ("not taken by 'b': \"event is 'b'\" is not true: event = 'other'",)
    assert trace.partials[0].end_event == 1


def test_a_forbidden_event_ends_it() -> None:
    trace = trace_of(AB.not_followed_by("n", C & (field("x") > 1)).followed_by("d", D), "a b c:1 c:2 d")
    assert ending(trace) == ("forbidden", "'n' must not come, and came")
    (waited,) = (entry for entry in trace.entries if entry.what == "waits")
    assert (waited.event, waited.details) == (
        2, ("not forbidden by 'n': \"x is greater than 1\" is not true: x = 1",),
    )  # fmt: skip
    assert trace.partials[0].details == (
        "not followed by event is 'c' and x is greater than 1; event = 'c'; x = 2",
    )
    assert ending(trace_of(P.begin("a", A).not_next("n", C).followed_by("b", B), "a c b"))[0] == "forbidden"


def test_of_two_absences_alike_the_one_in_force_is_named() -> None:
    pattern = AB.not_followed_by("early", C).followed_by("d", D).not_followed_by("late", C).within("1 min")
    assert ending(trace_of(pattern, "a b c"))[1] == "'early' must not come, and came"
    trace = trace_of(pattern, "a b d c")
    assert ending(trace)[1] == "'late' must not come, and came"
    taken = [entry.details for entry in trace.entries if entry.what in ("begins", "takes")]
    assert taken[1][1] == "'early' must not come before 08:54:20.000"
    assert taken[2] == ("'late' must not come before 08:54:20.000",)


def test_time_runs_out() -> None:
    trace = trace_of(AB.within("2 s"), "a - - -")
    assert ending(trace) == ("within", "within 2 s ran out at 08:53:22.000")
    assert trace.partials[0].details == ("it waited for 'b'",)
    assert (trace.partials[0].end_event, trace.partials[0].ended_at) == (None, trace.events[2].time)
    trace = trace_of(P.begin("a", A).followed_by("b", B, within="1500 ms"), "a - b")
    assert ending(trace) == (
        "step",
        "the step's bound of 1500 ms after its last event ran out at 08:53:21.500",
    )
    assert trace.entries[0].details == (
        "waits until 08:53:21.500 for 'b', less than 1500 ms after the event before",
    )


def test_an_absence_at_the_end_is_released_by_time() -> None:
    trace = trace_of(P.begin("a", A).not_followed_by("b", B).within("2 s"), "a - - -")
    assert lines_of(trace)[1:] == ["t #1 match 1: its time is over, and nothing forbidden came"]
    (match,) = trace.matches
    assert (match.by_time, match.at_end, match.time) == (True, False, trace.events[2].time)


def test_what_is_open_when_the_input_ends() -> None:
    trace = trace_of(AB.within("10 s"), "a -", clock=3000)
    assert trace.partials[0].status == "open"
    assert trace.partials[0].ending == "still open: the input's clock stops at 08:53:23.000"
    assert trace.partials[0].details == ("waits until 08:53:30.000 for 'b'",)
    trace = trace_of(AB, "a -", clock=3000)
    assert trace.partials[0].details == ("waits for 'b'",)


def test_an_absence_that_only_the_inputs_end_releases() -> None:
    pattern = P.begin("a", A).not_followed_by("b", B).within("10 s")
    trace = trace_of(pattern, "a -", clock=3000)
    assert [entry.what for entry in trace.entries] == ["begins", "open", "fires"]
    assert trace.entries[1].details == ("'b' must not come before 08:53:30.000",)
    assert trace.matches[0].at_end
    assert trace.entries[1].words == "still open when the input ends"
    assert trace.partials[0].status == "fired"
    assert "by the input's end alone" in trace.partials[0].ending
    long = P.begin("a", A).not_followed_by("b", B).within("2 d")
    trace = trace_of(long, "a -", clock=3000)
    assert (trace.matches, trace.partials[0].status) == ([], "open")
    assert trace.partials[0].ending == "still open: the input's clock stops at 08:53:23.000"


def test_until_ends_a_loop() -> None:
    pattern = P.begin("a", A).followed_by("b", B).one_or_more().until(D).followed_by("c", C)
    trace = trace_of(pattern, "a b d b c")
    (told,) = (entry for entry in trace.entries if entry.what == "waits")
    assert (told.event, told.words) == (2, "waits on for 'c', and no longer for 'b'")
    assert told.details == ("not taken by 'b': \"event is 'b'\" is not true: event = 'd'",)
    refused = trace_of(P.begin("a", A).followed_by("b", B).at_least(2).until(field("x") > 1), "a b b:2")
    assert ending(refused)[0] == "until"


def test_a_greedy_loop_ends_what_has_left_it() -> None:
    pattern = P.begin("a", A).followed_by("b", B).one_or_more().greedy().followed_by("c", C)
    trace = trace_of(pattern, "a b - b c")
    assert len(trace.matches) == 1
    reasons = [row.reason for row in trace.partials if row.status == "ended"]
    assert set(reasons) <= {"greedy", ""}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (AB.skip_past_last(), "(past_last) drops it after match 1: it began no later than that match's last event"),
        (AB.skip_to_first("b"), "(to_first) drops it after match 1: it began before that match's first event of 'b'"),
        (AB.skip_to_last("b"), "(to_last) drops it after match 1: it began before that match's last event of 'b'"),
    ],
    ids=lambda value: value.skip if isinstance(value, Pattern) else "",
)  # fmt: skip
def test_a_skip_strategy_drops_others(pattern: Pattern, words: str) -> None:
    trace = trace_of(pattern, "a a b")
    assert [row.status for row in trace.partials] == ["fired", "ended"]
    assert ending(trace, 2) == ("skip", f"the skip strategy {words}")


def test_what_is_dropped_meanwhile_is_still_said_to_have_waited() -> None:
    pattern = P.begin("a", A).followed_by("b", B & (field("x") > last("a").field("x"))).skip_past_last()
    trace = trace_of(pattern, "a:1 a:5 b:3")
    waits, fires, ends = lines_of(trace)[3:]
    assert (waits, fires) == ("3 #2 waits on for 'b'", "3 #1 match 1")
    assert ends.startswith("3 #2 ends: the skip strategy (past_last) drops it after match 1")


def test_to_next_drops_what_begins_with_the_same_event() -> None:
    trace = trace_of(P.begin("a", A).followed_by_any("b", B).skip_to_next(), "a b b")
    assert len(trace.matches) == 1
    assert ending(trace, 1)[1].endswith("it begins with the same event")


def test_a_match_is_held_back_by_an_earlier_partial_match() -> None:
    pattern = P.begin("a", A).followed_by("b", B & (field("x") == last("a").field("x"))).skip_past_last()
    trace = trace_of(pattern.within("5 s"), "a:1 a:2 b:2 - - - -")
    assert lines_of(trace)[4] == "3 #2 whole, and held back by #1, which began earlier"
    assert lines_of(trace)[-1] == "t #2 match 1"
    let_out = "#1, which began earlier, ran out of time"
    assert trace.entries[-1].details == (f"it was whole at 08:53:22.000, and waited until {let_out}",)
    (match,) = trace.matches
    assert (match.time, match.whole_at, match.let_out) == (
        trace.events[5].time,
        trace.events[2].time,
        let_out,
    )
    open_end = trace_of(pattern, "a:1 a:2 b:2")
    assert [row.status for row in open_end.partials] == ["open", "held"]


SAME_X = P.begin("a", A).followed_by("b", B & (field("x") == last("a").field("x")))


def test_an_event_lets_a_held_match_out() -> None:
    pattern = SAME_X.not_followed_by("n", C & (field("x") == last("b").field("x")))
    pattern = pattern.followed_by("d", D & (field("x") == last("b").field("x"))).skip_to_next()
    (match,) = trace_of(pattern, "a:1 a:2 b:1 b:2 d:2 c:1").matches
    assert (match.whole_at, match.let_out) == (match.time - 1000, "#1, which began earlier, ended")
    came = trace_of(SAME_X.skip_to_next(), "a:1 a:2 b:2 b:1").matches
    assert [match.let_out for match in came] == ["", "#1, which began earlier, came out as match 1"]
    assert [match.whole_at for match in came] == [None, came[0].time - 1000]
    at_once = trace_of(SAME_X.skip_to_next(), "a:1 b:1 a:2 b:2").matches
    assert [match.whole_at for match in at_once] == [None, None]


def test_a_match_that_time_completes_is_held_back_too() -> None:
    pattern = SAME_X.not_followed_by("n", C, within="1 s").within("9 s").skip_past_last()
    trace = trace_of(pattern, "a:1 a:2 b:2 - - - - - - - - -")
    (match,) = trace.matches
    start = trace.events[0].time
    assert (match.by_time, match.whole_at, match.time) == (True, start + 3000, start + 9000)
    assert match.let_out == "#1, which began earlier, ran out of time"
    assert lines_of(trace)[-1] == "t #2 match 1"


def at_paths(stream: str) -> list[dict[str, Any]]:
    """Events as in `events_of`, with the path behind a slash: "a/x"."""
    words = [word.partition("/") for word in stream.split()]
    records = events_of(" ".join(name for name, _, _ in words))
    return [
        {**record, **({"path": path} if path else {})}
        for record, (_, _, path) in zip(records, words, strict=True)
    ]


ABSENT = (
    P.begin("a", A).at_least(2).greedy().not_followed_by("b", B).within("10 s").same("path").skip_past_last()
)


def test_an_event_that_fits_but_has_another_value_of_the_same_field_says_so() -> None:
    trace = explained(ABSENT, at_paths("b/x a/x a/x - b/y b b/z a/y"), clock=20_000).trace
    assert [event.elsewhere for event in trace.events] == [
        (), (), (), (), ("b fits 'b', but its path is 'y', not 'x'",),
        ("b fits 'b', but it has no path, so it takes no part",), ("b fits 'b', but its path is 'z', not 'x'",),
        (),
    ]  # fmt: skip
    (match,) = trace.matches
    said = ("2 events that fit 'b' came with another path", "1 event that fits 'b' came without any path")
    assert match.elsewhere == said
    words = f"t #1 match 1: its time is over, and nothing forbidden came; {said[0]} and {said[1]}"
    assert words in lines_of(trace)


def test_what_fits_elsewhere_is_said_of_open_partial_matches_alone() -> None:
    trace = explained(ABSENT, at_paths("a/x a/x b/x b/y"), clock=20_000).trace
    assert [event.elsewhere for event in trace.events] == [()] * 4
    trace = explained(replace(ABSENT, within_ms=2000), at_paths("a/x a/x - b/y b"), clock=20_000).trace
    assert [event.elsewhere for event in trace.events[:3]] == [()] * 3
    assert trace.matches[0].elsewhere == ()


def test_what_is_waited_for_may_come_with_another_value() -> None:
    pattern = P.begin("a", A).followed_by("b", B & (field("x") > 1)).within("9 s").same("path")
    records = at_paths("a/x a/y b/z b/z")
    records[2]["x"] = 2
    trace = explained(pattern, records, clock=20_000).trace
    assert [event.elsewhere for event in trace.events] == [
        (), (), ("b fits 'b', but its path is 'z', not 'x' or 'y'",), (),
    ]  # fmt: skip
    assert trace.partials[0].details == ("it waited for 'b'", "1 event that fits 'b' came with another path")
    still_open = explained(pattern, records).trace.partials[0]
    assert still_open.details[-1] == "1 event that fits 'b' came with another path"


def test_one_splits_where_it_may_go_on_in_two_ways() -> None:
    trace = trace_of(P.begin("a", A).followed_by_any("b", B), "a b b")
    assert [(row.number, row.parent, steps_of(row), row.status) for row in trace.partials] == [
        (1, None, "a1", "open"), (2, 1, "a1 b2", "fired"), (3, 1, "a1 b3", "fired"),
    ]  # fmt: skip
    assert "2 #2 splits from #1: taken by 'b'" in lines_of(trace)


def test_alternations_and_permutations() -> None:
    pattern = P.begin("a", A).followed_by(either(stage("s", B), stage("t", C)))
    trace = trace_of(pattern, "a c")
    assert trace.entries[0].details == ("waits for 's'", "waits for 't'")
    assert steps_of(trace.partials[0]) == "a1 t2"
    pattern = P.begin("a", A).followed_by(all_of_any_order(stage("s", B | C), stage("t", B | C)))
    trace = trace_of(pattern, "a b c")
    assert len(trace.matches) == 1
    repeated = [row for row in trace.partials if row.reason == "repeat"]
    assert [row.ending for row in repeated] == ["the same events made a match in another order already"]


def test_an_absence_before_the_start_forbids_to_begin() -> None:
    trace = trace_of(P.absent("n", B, for_="3 s").begin("a", A), "b a - a")
    assert trace.events[1].not_begun == ("an event of 'n' came less than 3 s ago: event is 'b'",)
    assert [steps_of(row) for row in trace.partials] == ["a4"]


def test_partial_matches_that_time_out_are_given_out() -> None:
    trace = trace_of(AB.within("2 s").with_timeouts(), "a - - -")
    (match,) = trace.matches
    assert match.timed_out
    assert trace.fired() == []
    assert lines_of(trace)[-1] == "t #1 match 1: it timed out, and the pattern gives that out"


def test_one_that_has_fired_goes_no_further() -> None:
    trace = trace_of(P.begin("a", A).one_or_more().consecutive(), "a a -")
    assert lines_of(trace)[-2:] == [
        "3 #1 goes no further: 'a' had to come directly next, and another event came",
        "3 #2 goes no further: 'a' had to come directly next, and another event came",
    ]
    assert [row.status for row in trace.partials] == ["fired", "fired"]


def test_a_loop_says_how_far_it_is() -> None:
    trace = trace_of(P.begin("a", A).times(2, 3), "a")
    assert trace.entries[0].details == ("waits for 'a' (event 2; it takes 2 to 3)",)
    trace = trace_of(P.begin("a", A).at_least(2), "a")
    assert trace.entries[0].details == ("waits for 'a' (event 2; it takes 2 or more)",)


def test_a_step_that_comes_too_late_is_not_taken() -> None:
    pattern = P.begin("a", A).followed_by("b", B).times(2, each_within="1500 ms")
    trace = trace_of(pattern, "a b - b")
    assert ending(trace)[0] == "step"


def test_with_prev_the_events_before_count_whether_taken_or_not() -> None:
    trace = trace_of(P.begin("a", A).followed_by("b", B & (prev("event") == "c")), "a b c b")
    assert [entry.what for entry in trace.entries] == ["begins", "waits", "takes", "fires"]
    assert "event of the event before = 'a'" in trace.entries[1].details[0]


def test_many_that_only_wait_are_counted() -> None:
    pattern = P.begin("a", A).followed_by("b", B & (field("x") > 1))
    trace = trace_of(pattern, " ".join(["a"] * 25 + ["b:1"]))
    assert sum(entry.what == "waits" for entry in trace.entries) == 20
    assert trace.unsaid == {25: 5}


def test_a_skip_that_must_hit_and_does_not_is_an_error() -> None:
    pattern = P.begin("a", A).followed_by("b", B).optional().followed_by("c", C)
    with pytest.raises(MatchError, match="took no event"):
        explained(pattern.skip_to_first("b", raise_on_miss=True), "a c")
