"""Each rule of matching by an example of its own: one visitor's events, by letter, and the matches."""

from dataclasses import dataclass

import numpy as np
import pytest
from engine_harness import Engine, Outcome, reserved_conditions, run_parts
from reference import Record

from footfall.clock import ClockSettings
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_plan import PatternPlan
from footfall.sessions import SessionSettings

START = 1_760_000_000_000
CLOCK = ClockSettings(lateness=0)
A, B, C, D = (event == name for name in "abcd")
AB = event.is_in(("a", "b"))


def sequence(text: str, *, visitor: str = "v", element: str | None = None) -> list[Record]:
    """`a b@5 c`: events of those names, 1 ms after each other or at the time given; named a0, b1, c2."""
    records = []
    time = -1
    for number, word in enumerate(text.split()):
        name, _, at = word.partition("@")
        name, _, own = name.partition("#")
        time = int(at) if at else time + 1
        records.append(Record(visitor, f"{name}{number}", name, START + time, element=own or element))
    return records


def run(pattern: Pattern, text: str) -> Outcome:
    return run_parts(sequence(text), [pattern], clock=CLOCK)


def found(pattern: Pattern, text: str) -> list[str]:
    """The matches as their messages, sorted."""
    return sorted(
        " ".join(message for messages in stages.values() for message in messages)
        for stages in run(pattern, text).stages()
    )


a = Pattern("p").begin("a", A)
any_first = Pattern("p").begin("x")


@dataclass(frozen=True)
class Example:
    about: str
    pattern: Pattern
    events: str
    matches: tuple[str, ...]


EXAMPLES = (
    Example("a single stage matches each event", a, "a b a", ("a0", "a2")),
    Example("a stage without a condition takes any event", any_first, "a b", ("a0", "b1")),
    Example("relaxed skips what doesn't fit", a.followed_by("b", B), "a c b b", ("a0 b2",)),
    Example("relaxed serves every beginning", a.followed_by("b", B), "a a b", ("a0 b2", "a1 b2")),
    Example("strict takes the very next event", a.next("b", B), "a b", ("a0 b1",)),
    Example("strict is broken by an unrelated event", a.next("b", B), "a z b", ()),
    Example("strict may take any event", a.next("x"), "a z b", ("a0 z1",)),
    Example("any branches at each event that fits", a.followed_by_any("b", B), "a b c b", ("a0 b1", "a0 b3")),
    Example(
        "each branch goes on by itself",
        a.followed_by_any("b", B).followed_by("c", C),
        "a b c b c",
        ("a0 b1 c2", "a0 b3 c4"),
    ),
    Example(
        "any after any takes every pair",
        a.followed_by_any("b", B).followed_by_any("c", C),
        "a b b c c",
        ("a0 b1 c3", "a0 b1 c4", "a0 b2 c3", "a0 b2 c4"),
    ),
    Example("times takes that many, others between", a.times(3), "a b a a", ("a0 a2 a3",)),
    Example("times begins at each event", a.times(2), "a a a", ("a0 a1", "a1 a2")),
    Example("consecutive times lets nothing between", a.times(2).consecutive(), "a b a a", ("a2 a3",)),
    Example(
        "a loop after any begins at each event that fits",
        a.followed_by_any("b", B).times(2),
        "a b b b",
        ("a0 b1 b2", "a0 b2 b3"),
    ),
    Example("one event serves one step only", Pattern("p").begin("x", AB).followed_by("y", AB), "a", ()),
    Example(
        "what must not come between ends it",
        a.not_followed_by("n", C).followed_by("b", B),
        "a c b a b",
        ("a3 b4",),
    ),
    Example(
        "a forbidden event that is taken isn't in between",
        a.not_followed_by("n", AB).followed_by("b", B),
        "a b b",
        ("a0 b1",),
    ),
    Example(
        "taken or not, nobody waits on over it",
        a.not_followed_by("n", B).followed_by_any("b", B),
        "a b b",
        ("a0 b1",),
    ),
    Example(
        "a loop's own events are in between",
        a.times(2).not_followed_by("n", A).followed_by("b", B),
        "a a a b",
        (),
    ),
    Example(
        "not_next speaks of the very next event, taken or not",
        a.not_next("n", AB).followed_by("b", B),
        "a b b",
        (),
    ),
    Example(
        "a forbidden event ends the branch that waits, not the match there is",
        a.not_followed_by("n", C).followed_by_any("b", B),
        "a b c b",
        ("a0 b1",),
    ),
    Example(
        "an absence ends with the stage that it guards",
        a.not_followed_by("n", C).followed_by("b", B).followed_by("d", D),
        "a b c d",
        ("a0 b1 d3",),
    ),
    Example(
        "an absence after a loop is in force from the loop's first event",
        a.times(2).not_followed_by("n", C).followed_by("b", B),
        "a c a b",
        (),
    ),
    Example(
        "an absence before a loop is not in force in it",
        a.not_followed_by("n", C).followed_by("b", B).times(2),
        "a b c b",
        ("a0 b1 b3",),
    ),
    Example(
        "not_next looks at the very next event",
        a.not_next("n", C).followed_by("b", B),
        "a c b",
        (),
    ),
    Example(
        "not_next looks no further",
        a.not_next("n", C).followed_by("b", B),
        "a d c b",
        ("a0 b3",),
    ),
    Example(
        "not_next looks no further either where any goes on waiting",
        a.not_next("n", C).followed_by_any("b", B),
        "a b c b",
        ("a0 b1", "a0 b3"),
    ),
    Example(
        "not_next counts from the event taken last",
        a.times(2).not_next("n", C).followed_by("b", B),
        "a c a b a c b",
        ("a0 a2 b3",),
    ),
    Example(
        "not_next holds for the event that the next stage would take",
        a.not_next("n", B).followed_by("b", B),
        "a b b",
        (),
    ),
    Example("within is exclusive", a.followed_by("b", B).within(10), "a@0 b@10", ()),
    Example("just inside within", a.followed_by("b", B).within(10), "a@0 b@9", ("a0 b1",)),
    Example(
        "within counts from the first event",
        a.followed_by("b", B).followed_by("c", C).within(10),
        "a@0 b@9 c@10 a@20 b@28 c@29",
        ("a3 b4 c5",),
    ),
    Example("a trailing absence comes true", a.not_followed_by("n", B).within(10), "a@0 c@5 b@11", ("a0",)),
    Example(
        "a forbidden event at the deadline is too late",
        a.not_followed_by("n", B).within(10),
        "a@0 b@10",
        ("a0",),
    ),
    Example("one just before it is not", a.not_followed_by("n", B).within(10), "a@0 b@9", ()),
    Example(
        "several trailing absences all hold",
        a.not_followed_by("n", B).not_followed_by("m", C).within(10),
        "a@0 c@5 a@20 b@25 a@40",
        ("a4",),
    ),
    Example(
        "a trailing absence after a loop counts from its first event",
        a.times(2).not_followed_by("n", B).within(10),
        "a@0 b@3 a@5",
        (),
    ),
    Example(
        "a trailing absence is released at the end", a.not_followed_by("n", B).within(10), "c@0 a@1", ("a1",)
    ),
    Example("no_skip gives all", a.followed_by_any("b", B), "a a b b", ("a0 b2", "a0 b3", "a1 b2", "a1 b3")),
    Example(
        "to_next drops the others of that beginning",
        a.followed_by_any("b", B).skip_to_next(),
        "a a b b",
        ("a0 b2", "a1 b2"),
    ),
    Example(
        "past_last begins anew behind the last event",
        a.times(3).skip_past_last(),
        "a a a a a a",
        ("a0 a1 a2", "a3 a4 a5"),
    ),
    Example(
        "past_last lets a match begin right behind",
        a.followed_by("b", B).skip_past_last(),
        "a a b a b",
        ("a0 b2", "a3 b4"),
    ),
    Example(
        "past_last with an absence at the end: by the deadline, not by the last event",
        a.not_followed_by("n", B).within(10).skip_past_last(),
        "a@0 a@1",
        ("a0", "a1"),
    ),
    Example(
        "to_next with an absence at the end: one a beginning",
        a.followed_by_any("c", C).not_followed_by("n", B).within(10).skip_to_next(),
        "a@0 c@1 c@2",
        ("a0 c1",),
    ),
    Example(
        "what timed out holds nothing back",
        a.times(2).followed_by("b", B).within(10).skip_past_last(),
        "a@0 a@8 a@9 b@12",
        ("a1 a2 b3",),
    ),
    Example(
        "same runs for each value",
        a.followed_by("b", B).same("element"),
        "a#x a#y b#y b#x b#y",
        ("a0 b3", "a1 b2"),
    ),
    Example(
        "an event without the value takes no part, not even to break a strict step",
        a.next("b", B).same("element"),
        "a#x z a z#y b#x",
        ("a0 b4",),
    ),
    Example(
        "skip strategies run for each value",
        a.times(2).same("element").skip_past_last(),
        "a#x a#y a#x a#y a#x a#y",
        ("a0 a2", "a1 a3"),
    ),
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.about)
def test_rule(example: Example) -> None:
    assert found(example.pattern, example.events) == sorted(example.matches)


def test_six_clicks_on_one_element_are_two_rages() -> None:
    rage = Pattern("rage").begin("click", A).times(3).within(1000).same("element").skip_past_last()
    assert found(rage, "a#x a#x a#y a#x a#x a#x a#x") == ["a0 a1 a3", "a4 a5 a6"]


def test_times_of_a_match_and_when_it_settles() -> None:
    rows = run(a.followed_by("b", B).within(10), "a@1 b@3 c@50").match_rows
    assert [(row["first_time"], row["last_time"], row["settled_time"]) for row in rows] == [
        (START + 1, START + 3, START + 3)
    ]
    rows = run(a.not_followed_by("b", B).within(10), "a@1 c@50").match_rows
    assert [(row["last_time"], row["settled_time"], row["at_end"]) for row in rows] == [
        (START + 1, START + 11, False)
    ]


def test_what_only_the_end_of_the_input_releases_is_marked() -> None:
    outcome = run(a.not_followed_by("b", B).within(10), "a@1 a@5 c@11")
    assert [(row["settled_time"], row["at_end"]) for row in outcome.match_rows] == [
        (START + 11, True),
        (START + 15, True),
    ]
    assert outcome.by_pattern("matches_at_end") == {"p": 2}


def test_the_stages_hold_their_events_by_name() -> None:
    pattern = Pattern("p").begin("one", A).times(2).not_followed_by("no", C).followed_by("two", B)
    assert run(pattern, "a a b").stages() == [{"one": ["a0", "a1"], "two": ["b2"]}]


def test_visitors_are_matched_apart() -> None:
    records = [*sequence("a", visitor="ann"), *sequence("z b", visitor="bob")]
    assert run_parts(records, [a.followed_by("b", B)], clock=CLOCK).matches.height == 0


def test_patterns_are_matched_apart_in_one_run() -> None:
    second = Pattern("q").begin("a", A).next("b", B).skip_past_last()
    outcome = run_parts(sequence("a b a c b"), [a.followed_by_any("b", B), second], clock=CLOCK)
    assert outcome.by_pattern() == {"p": 3, "q": 1}


def test_an_absence_longer_than_a_day_is_pending_at_the_end() -> None:
    long = a.not_followed_by("b", B).within("25 h")
    outcome = run(long, "a@0 a@1 c@2 a@3")
    assert (outcome.matches.height, outcome.total("pending")) == (0, 3)
    day = a.not_followed_by("b", B).within("24 h")
    outcome = run(day, "a@0 a@1 c@2 a@3")
    assert (outcome.matches.height, outcome.total("pending")) == (3, 0)


def test_a_long_absence_that_the_last_event_disproves_is_not_pending() -> None:
    outcome = run(a.not_followed_by("b", B).within("25 h"), "a@0 b@5")
    assert (outcome.matches.height, outcome.total("pending")) == (0, 0)


def test_a_long_absence_comes_true_in_a_long_stream() -> None:
    clock = ClockSettings(lateness=0, future_jump=10**9)
    records = sequence(f"a@0 c@{26 * 3_600_000}")
    outcome = run_parts(records, [a.not_followed_by("b", B).within("25 h")], clock=clock)
    assert (outcome.by_pattern(), outcome.by_pattern("matches_at_end")) == ({"p": 1}, {})


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("begun", [85, 100, 1000])
def test_one_visitor_may_begin_many_times(begun: int, batch: int) -> None:
    text = " ".join(["a"] * begun + ["b"])
    outcome = run_parts(sequence(text), [a.followed_by("b", B)], clock=CLOCK, batch=batch)
    assert outcome.matches.height == begun


def test_many_branches_end_at_once() -> None:
    text = " ".join(["a"] + ["b"] * 300 + ["c"])
    outcome = run_parts(sequence(text), [a.followed_by_any("b", B).followed_by("c", C)], clock=CLOCK)
    assert outcome.matches.height == 300


def test_many_patterns_begin_at_once() -> None:
    patterns = [Pattern(f"p{n:03}").begin("a", A).followed_by("b", B) for n in range(300)]
    assert run_parts(sequence("a b"), patterns, clock=CLOCK).matches.height == 300


def test_many_absences_come_true_at_once() -> None:
    records = [Record(f"v{n}", f"m{n}", "a", START + n // 100) for n in range(5_000)]
    outcome = run_parts(records, [a.not_followed_by("b", B).within(10)], clock=CLOCK)
    assert outcome.matches.height == 5_000


def test_the_pools_hold_what_is_live_and_no_more() -> None:
    pattern = a.followed_by_any("b", B).followed_by("c", C).within(20)
    plan = PatternPlan.compile([pattern], reserved_conditions())
    engine = Engine(plan, clock=CLOCK, sessions=SessionSettings(gap=10))
    sizes = []
    for step in range(60):
        engine.read(0, [
            Record(f"v{step}-{n}", f"{step}-{n}-{k}", name, START + 30 * step + k)
            for k, name in enumerate("abbcb")
            for n in range(100)
        ])  # fmt: skip
        engine.feed()
        matcher = engine.shards[0].matcher
        sizes.append((matcher.partials.size, matcher.pool.size))
        assert np.count_nonzero(matcher.pool["refs"] > 0) <= 100 * 4 * 5
    assert sizes[-1] == sizes[5]
    engine.read(0, [], ended=True)
    engine.feed()
    assert engine.shards[0].matcher.held_rows().size == 0
    assert engine.outcome().by_pattern() == {"p": 60 * 100 * 2}
