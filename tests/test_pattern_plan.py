import pickle

import numpy as np
import polars as pl
import pytest

from footfall.clock import FOREVER, NEVER
from footfall.envelope import SCHEMA
from footfall.errors import ExpressionError, PatternError
from footfall.expression import event, field
from footfall.pattern import Pattern, all_of_any_order, either, stage
from footfall.pattern_plan import (
    ANY,
    BEGIN,
    EVERY_EVENT,
    PAST_LAST,
    RELAXED,
    STRICT,
    PatternPlan,
    is_linear,
    what_is_not_linear,
)
from footfall.pattern_sets import PatternSet
from footfall.taken_events import last

A, B, C, D = (event == name for name in "abcd")


def steps_of(plan: PatternPlan, pattern: int = 0) -> list[dict[str, int]]:
    row = plan.table[pattern]
    steps = plan.steps[row["first_step"] : row["first_step"] + row["step_count"]]
    return [{name: int(step[name]) for name in steps.dtype.names or ()} for step in steps]


def bit(plan: PatternPlan, name: str) -> int:
    (number,) = [i for i, condition in enumerate(plan.conditions[0]) if condition.same_as(event == name)]
    return 1 << number


def test_times_become_steps_of_one_stage() -> None:
    pattern = Pattern("p").begin("a", A).times(2).followed_by("b", B).times(3).consecutive().next("c", C)
    plan = PatternPlan.compile([pattern])
    assert [(step["stage"], step["contiguity"]) for step in steps_of(plan)] == [
        (0, BEGIN),
        (0, RELAXED),
        (1, RELAXED),
        (1, STRICT),
        (1, STRICT),
        (2, STRICT),
    ]
    assert [step["condition"] for step in steps_of(plan)] == [0, 0, 1, 1, 1, 2]


def test_what_is_forbidden_stands_on_the_step_that_waits() -> None:
    pattern = (
        Pattern("p")
        .begin("a", A)
        .not_next("n", C)
        .not_followed_by("m", D)
        .followed_by_any("b", B)
        .followed_by("e")
    )
    plan = PatternPlan.compile([pattern])
    first, second, third = steps_of(plan)
    assert (first["kill"], first["kill_next"], first["stage"]) == (0, 0, 0)
    assert (second["kill"], second["kill_next"]) == (bit(plan, "d"), bit(plan, "c"))
    assert (second["stage"], second["contiguity"]) == (1, ANY)
    assert (third["kill"], third["kill_next"], third["condition"]) == (0, 0, EVERY_EVENT)
    assert int(plan.table[0]["trailing_kill"]) == 0


def test_what_follows_a_loop_is_forbidden_from_its_first_event_on() -> None:
    pattern = Pattern("p").begin("a", A).followed_by("b", B).times(3)
    plan = PatternPlan.compile([pattern.not_next("m", D).not_followed_by("n", C).followed_by("d", A)])
    c, d = bit(plan, "c"), bit(plan, "d")
    assert [step["kill"] for step in steps_of(plan)] == [0, 0, c, c, c]
    assert [step["kill_next"] for step in steps_of(plan)] == [0, 0, 0, 0, d]
    trailing = PatternPlan.compile([pattern.not_followed_by("n", C).within("1 s")])
    assert [step["kill"] for step in steps_of(trailing)] == [0, 0, bit(trailing, "c"), bit(trailing, "c")]
    assert int(trailing.table[0]["trailing_kill"]) == bit(trailing, "c")


def test_a_row_for_each_pattern_by_name() -> None:
    rage = Pattern("rage").begin("a", A).times(3).within("1 s").same("element").skip_past_last()
    gone = Pattern("gone").begin("a", A).not_followed_by("b", B).within("25 h").skip_to_next()
    day = Pattern("day").begin("a", A).not_followed_by("b", B).within("24 h")
    long_match = Pattern("long").begin("a", A).followed_by("b", B).within("25 h").same("path")
    plan = PatternPlan.compile([rage, long_match, gone, day])
    assert [pattern.name for pattern in plan.patterns] == ["day", "gone", "long", "rage"]
    assert plan.same_fields == ("element", "path")
    assert plan.table["same"].tolist() == [-1, -1, 1, 0]
    assert plan.table["skip"].tolist() == [0, 1, 0, PAST_LAST]
    assert plan.table["within_ms"].tolist() == [86_400_000, 90_000_000, 90_000_000, 1000]
    assert plan.table["waits_over_24h"].tolist() == [False, True, False, False]
    assert plan.table["first_step"].tolist() == [0, 1, 2, 4]
    assert plan.table["step_count"].tolist() == [1, 1, 2, 3]
    assert plan.columns == {"event", "element", "path"}
    no_bound = PatternPlan.compile([Pattern("p").begin("a", A)])
    assert no_bound.table["within_ms"].tolist() == [-1]


def test_conditions_are_shared_behind_the_reserved_ones() -> None:
    one = Pattern("one").begin("a", A & (field("x") > 1)).followed_by("b", B)
    two = Pattern("two").begin("b", event.is_in(["b"])).followed_by("a", (field("x") > 1) & A)
    plan = PatternPlan.compile([one, two], reserved=[C, C, B])
    assert [str(condition) for condition in plan.conditions[0]] == [
        "event is 'c'",
        "event is 'c'",
        "event is 'b'",
        "event is 'a' and x is greater than 1",
    ]
    assert plan.steps["condition"].tolist() == [3, 2, 2, 3]
    assert plan.interest.tolist() == [0b1100]


def test_masks_are_a_column_of_a_bit_a_condition() -> None:
    plan = PatternPlan.compile([Pattern("p").begin("a", A).followed_by("b", field("x") > 1)], reserved=[C])
    frame = pl.DataFrame(
        {"event": ["a", "b", "c", None], "x": [1, 2, None, 3]}, schema_overrides={"x": SCHEMA["x"]}
    )
    masks = plan.masks(frame)
    assert masks.dtype == np.uint64
    assert masks.tolist() == [[0b010], [0b100], [0b001], [0b100]]


@pytest.mark.parametrize(
    ("pattern", "sees_all"),
    [
        (Pattern("p").begin("a", A).followed_by("b", B).followed_by_any("c", C), 0),
        (Pattern("p").begin("a", A).times(2).not_followed_by("c", C).within(1), 0),
        (Pattern("p").begin("a", A).next("b", B), 1),
        (Pattern("p").begin("a", A).times(2).consecutive(), 1),
        (Pattern("p").begin("a", A).not_next("b", B).followed_by("c", C), 1),
        (Pattern("p").begin("a", A).followed_by("b"), 1),
        (Pattern("p").begin("a").followed_by("b", B), 2),
    ],
)
def test_which_events_must_be_seen(pattern: Pattern, sees_all: int) -> None:
    assert PatternPlan.compile([pattern]).sees_all == sees_all


def test_interest_holds_all_that_is_awaited_or_forbidden() -> None:
    pattern = (
        Pattern("p").begin("a", A).not_next("b", B).followed_by("c", C).not_followed_by("d", D).within(1)
    )
    plan = PatternPlan.compile([pattern], reserved=[event == "other"])
    assert plan.interest.tolist() == [0b11110]
    assert plan.interest.dtype == np.uint64


def test_a_plan_without_patterns_has_empty_tables() -> None:
    plan = PatternPlan.compile([], reserved=[A])
    assert (plan.table.size, plan.steps.size, plan.interest.tolist(), plan.sees_all) == (0, 0, [0], 0)
    assert plan.table.dtype.names is not None
    assert plan.masks(pl.DataFrame({"event": ["a", "b"]})).tolist() == [[1], [0]]


def test_a_patterns_conditions_lie_in_one_word() -> None:
    reserved = [field("x") == number for number in range(62)]
    fits = Pattern("p").begin("a", A).followed_by("b", B)
    assert [len(word) for word in PatternPlan.compile([fits], reserved).conditions] == [64]
    plan = PatternPlan.compile([fits.followed_by("c", C)], reserved)
    assert [len(word) for word in plan.conditions] == [62, 3]
    assert plan.table["word"].tolist() == [1]
    assert plan.interest.tolist() == [0, 0b111]
    assert plan.masks(
        pl.DataFrame({"event": ["b"], "x": [7]}, schema_overrides={"x": SCHEMA["x"]})
    ).tolist() == [[1 << 7, 0b010]]


def test_a_pattern_of_more_than_64_conditions_is_for_an_automaton() -> None:
    many = Pattern("p").begin("s0", field("x") == 0)
    for number in range(1, 65):
        many = many.followed_by(f"s{number}", field("x") == number)
    assert what_is_not_linear(many) == "more than 64 conditions"
    assert len(PatternPlan.compile([many]).automata.patterns) == 1
    with pytest.raises(PatternError, match="more than 64"):
        PatternPlan.compile([], [field("x") == number for number in range(65)])


def test_what_cannot_be_compiled_is_refused() -> None:
    whole = Pattern("p").begin("a", A)
    with pytest.raises(PatternError, match="two patterns have this name"):
        PatternPlan.compile([whole, whole.followed_by("b", B)])
    with pytest.raises(PatternError, match=r"needs \.within"):
        PatternPlan.compile([whole.not_followed_by("b", B)])
    with pytest.raises(ExpressionError, match="must be true or false"):
        PatternPlan.compile([whole], reserved=[event])


WHOLE = Pattern("p").begin("a", A)
LOOP = WHOLE.followed_by("b", B).times(2)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (WHOLE.one_or_more(), "loops without an exact count"),
        (WHOLE.times(1, 2), "loops without an exact count"),
        (LOOP.optional(), "optional stages"),
        (LOOP.combinations(), "combinations"),
        (LOOP.reluctant(), "reluctant loops"),
        (LOOP.step_within("1 s"), "bounds on single steps"),
        (WHOLE.followed_by("b", B).times(2, each_within="1 s"), "bounds on single steps"),
        (WHOLE.not_followed_by("b", B, within="1 s"), "bounds on single steps"),
        (WHOLE.not_next("b", B), "not_next at the end"),
        (WHOLE.not_next("b", B).not_followed_by("c", C).within("1 s"), "not_next at the end"),
        (Pattern("p").absent("q", C, for_="1 s").begin("a", A), "absence at the start"),
        (Pattern("p").begin(WHOLE), "groups"),
        (WHOLE.next(either(stage("b", B), stage("c", C))), "alternations"),
        (WHOLE.next(all_of_any_order(stage("b", B), stage("c", C))), "permutations"),
        (WHOLE.next("b", last("a").field("x") > 1), "conditions on the partial match"),
        (WHOLE.skip_to_first("a"), "skip_to_first"),
        (WHOLE.tie_order("path"), "tie_order"),
        (WHOLE.with_timeouts(), "timed-out"),
    ],
)
def test_what_is_no_chain_of_steps_is_told(pattern: Pattern, problem: str) -> None:
    assert not is_linear(pattern)
    assert problem in str(what_is_not_linear(pattern))


@pytest.mark.parametrize(
    "pattern",
    [LOOP, LOOP.greedy(), LOOP.consecutive(), WHOLE.not_next("b", B).followed_by_any("c").skip_to_next()],
)
def test_a_chain_of_steps_is_compiled(pattern: Pattern) -> None:
    assert is_linear(pattern)
    assert PatternPlan.compile([pattern]).patterns == (pattern,)


def test_a_plan_pickles() -> None:
    pattern = Pattern("p").begin("a", A & (field("x") > 1)).within("1 s")
    plan = PatternPlan.compile([pattern], reserved=[B])
    again = pickle.loads(pickle.dumps(plan))
    assert again.patterns == plan.patterns
    assert [c.key() for c in again.conditions[0]] == [c.key() for c in plan.conditions[0]]
    assert again.table.tolist() == plan.table.tolist()
    assert again.steps.tolist() == plan.steps.tolist()


LOOSE = Pattern("loose").begin("a", A).one_or_more().followed_by("b", B & (field("x") > 1)).within("1 s")
TALLY = LOOSE.output(pages=last("a").field("path"))
FIRST = (Pattern("p").begin("a", A).followed_by("b", B).same("path").within("1 s"), TALLY)
SECOND = (
    Pattern("new").begin("c", C).followed_by("d", D).same("element").within("1 s"),
    Pattern("auto").begin("d", D).one_or_more().followed_by("p", field("path") == last("d").field("path")),
)


def many(name: str, first: int, count: int) -> Pattern:
    pattern = Pattern(name).begin("a", field("x") == first)
    for number in range(first + 1, first + count):
        pattern = pattern.followed_by(f"s{number}", field("x") == number)
    return pattern


SETS = (
    PatternSet((FIRST[0], *SECOND), since=100),
    PatternSet((FIRST[0], many("many", 0, 60)), (C, event == "later"), since=200),
    PatternSet((many("more", 100, 60), TALLY), (D, event == "last"), since=300),
)


def test_later_sets_change_no_number_bit_or_lane_of_the_earlier_ones() -> None:
    plan = PatternPlan.compile(FIRST, reserved=[A, C])
    for later in SETS:
        longer = plan.followed_by(later)
        count = len(plan.patterns)
        assert longer.generation == plan.generation + 1
        assert longer.sets == (*plan.sets, later)
        assert longer.patterns[:count] == plan.patterns
        assert longer.versions[:count] == plan.versions
        assert longer.stage_names[:count] == plan.stage_names
        assert longer.numbers.tolist()[: plan.numbers.size] == plan.numbers.tolist()
        assert longer.same_fields[: len(plan.same_fields)] == plan.same_fields
        assert longer.layouts[:-1] == plan.layouts
        for longer_word, word in zip(longer.conditions, plan.conditions, strict=False):
            assert [one.key() for one in longer_word[: len(word)]] == [one.key() for one in word]
        assert longer.steps.tolist()[: plan.steps.size] == plan.steps.tolist()
        names = [name for name in longer.table.dtype.names or () if name != "begins_until"]
        assert longer.table[names].tolist()[: plan.table.size] == plan.table[names].tolist()
        slots = [one.key() for one in plan.automata.values.expressions]
        assert [one.key() for one in longer.automata.values.expressions][: len(slots)] == slots
        known = [(one.number, one.same, one.memory_ms, one.begins_from) for one in plan.automata.patterns]
        assert [(one.number, one.same, one.memory_ms, one.begins_from) for one in longer.automata.patterns][
            : len(known)
        ] == known
        assert plan.columns <= longer.columns
        plan = longer
    assert len(plan.conditions) == 3


def test_each_version_has_the_times_between_which_its_matches_begin() -> None:
    plan = PatternPlan.compile(FIRST, [A, C], later=SETS)
    assert [pattern.name for pattern in plan.patterns] == [
        "p", "loose", "new", "auto", "many", "more", "loose"
    ]  # fmt: skip
    assert plan.numbers.tolist() == [0, 2, 4, 5]
    assert plan.table["begins_from"].tolist() == [NEVER, 100, 200, 300]
    assert plan.table["begins_until"].tolist() == [300, 200, 300, FOREVER]
    found = [(one.number, one.begins_from, one.automaton.begins_until) for one in plan.automata.patterns]
    assert found == [(1, NEVER, 100), (3, 100, 200), (6, 300, FOREVER)]
    prefilters = [one.prefilter for one in plan.automata.patterns if one.prefilter is not None]
    assert [one.begins_until for one in prefilters] == [100, FOREVER]


def test_lanes_of_earlier_sets_are_widened_by_what_is_new() -> None:
    plan = PatternPlan.compile(FIRST, [A, C], later=SETS)
    assert plan.layouts == ((1, 1), (2, 1), (2, 2), (2, 3))
    assert plan.lanes == 4
    old = np.array([[7], [8]], np.uint64)
    assert plan.widened(old, 0).tolist() == [[7, 0, 0, 0], [8, 0, 0, 0]]
    third = np.array([[7, 1, 5]], np.uint64)
    assert plan.widened(third, 2).tolist() == [[7, 1, 5, 0]]
    last_ones = np.array([[7, 1, 5, 6]], np.uint64)
    assert plan.widened(last_ones, 3) is last_ones
    assert plan.widened(np.zeros((0, 1), np.uint64), 0).shape == (0, 4)


def test_a_conditions_bit_is_found_by_what_it_says() -> None:
    plan = PatternPlan.compile(FIRST, [A, C], later=SETS)
    assert (plan.bit(event == "a"), plan.bit(C)) == (0, 1)
    flat = {
        number * 64 + place: condition
        for number, word in enumerate(plan.conditions)
        for place, condition in enumerate(word)
    }
    for condition in (B, D, event == "later", event == "last", field("x") == 159):
        assert flat[plan.bit(condition)].same_as(condition)
    assert plan.bit(field("x") == 159) >= 64
    with pytest.raises(KeyError):
        plan.bit(event == "nobody asked")


def test_a_plan_of_several_sets_pickles() -> None:
    plan = PatternPlan.compile(FIRST, [A, C], 7, SETS)
    again = pickle.loads(pickle.dumps(plan))
    assert [(each.patterns, each.since) for each in again.sets] == [
        (each.patterns, each.since) for each in plan.sets
    ]
    assert again.automata.limit == 7
    assert (again.layouts, again.versions) == (plan.layouts, plan.versions)
    assert again.table.tolist() == plan.table.tolist()
    step_by_step = PatternPlan.compile(FIRST, [A, C], 7)
    for later in SETS:
        step_by_step = step_by_step.followed_by(later)
    assert step_by_step.table.tolist() == plan.table.tolist()
    assert step_by_step.automata.limit == 7


def test_a_set_that_comes_too_early_is_refused() -> None:
    plan = PatternPlan.compile(FIRST).followed_by(SETS[1])
    with pytest.raises(PatternError, match="after the one before it"):
        plan.followed_by(SETS[0])
