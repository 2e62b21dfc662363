from collections.abc import Callable
from dataclasses import replace

import pytest

from footfall.errors import PatternError
from footfall.expression import event, field
from footfall.pattern import Pattern, Stage, all_of_any_order, either, stage
from footfall.taken_events import any_of, first, last, prev, taken

A, B, C = event == "a", event == "b", event == "c"
START = Pattern("p").begin("a", A)
LOOP = START.followed_by("b", B).one_or_more()
GROUP = Pattern("g").begin("g1", A).followed_by("g2", B)


@pytest.mark.parametrize(
    ("build", "at", "words"),
    [
        # Quantifiers.
        (lambda: START.times(3, 2), "a", "first not over the second"),
        (lambda: START.times(0, 0), "a", "first not over the second"),
        (lambda: START.times(-1, 2), "a", "first not over the second"),
        (lambda: START.times(1, 1001), "a", "up to 1000"),
        (lambda: START.times(1, 2.0), "a", "two whole numbers"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: START.at_least(0), "a", "from 1 to 1000"),
        (lambda: START.at_least(2).times(3), "a", "given twice"),
        (lambda: START.one_or_more().one_or_more(), "a", "given twice"),
        (lambda: START.optional().optional(), "a", "optional is given twice"),
        (START.greedy, "a", "about a loop"),
        (START.reluctant, "a", "about a loop"),
        (START.combinations, "a", r"times\(2\)"),
        (lambda: START.optional().consecutive(), "a", r"times\(2\)"),
        (lambda: START.times(1, each_within="1 s"), "a", "each_within is about a loop"),
        (lambda: LOOP.greedy().reluctant(), "b", "not both"),
        (lambda: LOOP.greedy().combinations(), "b", "not both"),
        (lambda: LOOP.combinations().greedy(), "b", "not both"),
        (lambda: LOOP.greedy().followed_by("c", C).optional(), "c", "can't follow a greedy one"),
        (lambda: LOOP.greedy().followed_by("c", C).times(0, 2), "c", "can't follow a greedy one"),
        (lambda: START.until(C), "a", r"until comes after .* \.one_or_more\(\)\.until"),
        (lambda: START.until(C).times(3), "a", "until comes after the loop's at_least or one_or_more"),
        (lambda: START.times(2).until(C), "a", "without an upper bound"),
        (lambda: START.times(2, 3).until(C), "a", "without an upper bound"),
        (lambda: LOOP.until(C).until(C), "b", "until is given twice"),
        (lambda: LOOP.until(event), "b", "must be true or false"),
        (lambda: LOOP.until("c"), "b", "is no condition"),  # type: ignore[arg-type]  # the mistake itself
        (Pattern("p").optional, None, "comes after the stage"),
        # Bounds.
        (lambda: START.next("b", B, within=0), "b", "more than 0"),
        (lambda: START.next("b", B, within="401 d"), "b", "at most 400 days"),
        (lambda: START.next("b", B, within="soon"), "b", "no length of time"),
        (lambda: START.followed_by("b", B, within="1 s").step_within("1 s"), "b", "given twice"),
        (lambda: START.step_within("1 s"), "a", "needs an event before it"),
        (lambda: START.not_next("n", C).step_within("1 s"), "n", "needs an event before it"),
        (lambda: LOOP.followed_by("c", C).times(2, each_within=-1), "c", "negative"),
        (lambda: START.with_stage(Stage("b", "strict", B, step_within_ms=-3)), "b", "is impossible"),
        (lambda: START.with_stage(Stage("b", "strict", B, step_within_ms="x")), "b", "is impossible"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: START.not_followed_by("n", C, within="1 s").next("b", B), "n", "only an absence at the end"),
        # Absence.
        (lambda: LOOP.not_next("n", C).one_or_more(), "n", "can't be repeated"),
        (lambda: LOOP.not_next("n", C).optional(), "n", "can't be optional"),
        (lambda: LOOP.not_followed_by("n", C).one_or_more(), "n", "can't be repeated"),
        (lambda: LOOP.not_followed_by("n", C).greedy(), "n", "can't be repeated"),
        (lambda: LOOP.not_followed_by("n", C).combinations(), "n", "can't be repeated"),
        (lambda: LOOP.not_followed_by("n", C).optional(), "n", "can't be optional"),
        (lambda: LOOP.optional().not_followed_by("n", C), "n", r"can't follow an optional one \('b'\)"),
        (lambda: LOOP.optional().not_next("n", C), "n", "can't follow an optional one"),
        (lambda: START.followed_by(GROUP).optional().not_next("n", C), "n", "can't follow an optional one"),
        (lambda: START.not_next("n", C).not_followed_by("m", B).check(), "m", r"needs \.within"),
        (lambda: START.absent("q", C, for_="1 s"), "q", r"absent comes before \.begin"),
        (lambda: Pattern("p").absent("q", C, for_=0), "q", "more than 0"),
        (lambda: Pattern("p").absent("q", C, for_="1 s").check(), None, "no stage"),
        (lambda: Pattern("p").absent("q", C, for_="1 s").next("a", A), "a", r"written with \.begin"),
        (lambda: Pattern("p").absent("q", C, for_="1 s").begin("a", A).optional(), "a", "can't be optional"),
        (lambda: Pattern("p").absent("q", taken("q").count() > 1, for_="1 s"), "q", "can't ask for taken"),
        (lambda: Pattern("p").with_stage(Stage("q", "begin", C, absent_ms=1)), "q", "forbids events"),
        # Groups, alternation, permutation.
        (lambda: START.followed_by(GROUP).greedy(), "g", "greedy and reluctant are about a loop"),
        (lambda: START.followed_by(GROUP).one_or_more().greedy(), "g", "a group can be neither"),
        (lambda: START.followed_by(GROUP).one_or_more().reluctant(), "g", "a group can be neither"),
        (lambda: START.followed_by("a", GROUP), "a", "name is taken"),
        (lambda: START.followed_by("g", Pattern("x").begin("a", A)), "a", "name is taken"),
        (lambda: START.followed_by(GROUP).followed_by("g2", C), "g2", "name is taken"),
        (lambda: START.followed_by(Pattern("a").begin("b", B)), "a", "name is taken"),
        (lambda: START.followed_by(GROUP, C), "g", "has its conditions"),
        (lambda: START.followed_by(stage("b", B), C), "b", "has its conditions"),
        (lambda: START.followed_by(3), "3", "1 to 64 characters"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: START.followed_by(GROUP.not_followed_by("n", C)), "n", "not_followed_by can't end a group"),
        (
            lambda: START.followed_by(Pattern("g").absent("q", C, for_="1 s").begin("g1", A)),
            "q",
            "whole pattern",
        ),
        (lambda: START.followed_by(either(stage("b", B), stage("a", C))), "a", "name is taken"),
        (lambda: START.followed_by(either(stage("b", B), stage("c", event))), "c", "must be true or false"),
        (
            lambda: START.followed_by(all_of_any_order(stage("b"), stage("c"))).times(2),
            "b & c",
            "into a group",
        ),
        (
            lambda: START.followed_by(all_of_any_order(stage("b"), stage("c"))).optional(),
            "b & c",
            "into a group",
        ),
        (lambda: START.with_stage(Stage("g", "strict", choices=(stage("b", B),))), "g", "two stages or more"),
        (
            lambda: START.with_stage(
                Stage("g", "strict", choices=(stage("b"), Stage("c", "begin", C, times=2)))
            ),
            "c",
            "stages of single events",
        ),
        (
            lambda: START.with_stage(Stage("g", "strict", C, group=GROUP.stages)),
            "g",
            "of single events, a group",
        ),
        (lambda: START.with_stage(Stage("b", "strict", B, optional=1)), "b", "true or false"),  # type: ignore[arg-type]  # the mistake itself
        (
            lambda: START.with_stage(Stage("b", "strict", B, 2, "odd")),  # type: ignore[arg-type]  # the mistake itself
            "b",
            "relaxed, strict, any",
        ),
        (lambda: START.with_stage("b"), None, "is no stage"),  # type: ignore[arg-type]  # the mistake itself
        # What earlier stages took.
        (
            lambda: START.next("b", last("z").field("x") > 1).check(),
            "b",
            "what stage 'z' took, and there is no such",
        ),
        (
            lambda: START.next("b", last("c").field("x") > 1).next("c").check(),
            "b",
            "'c' took, which comes later",
        ),
        (lambda: LOOP.until(last("c").field("x") > 1).next("c").check(), "b", "'c' took, which comes later"),
        (
            lambda: START.not_next("n", C).next("b", taken("n").count() > 1).check(),
            "b",
            "'n' took, which forbids events",
        ),
        (
            lambda: START.next(GROUP).next("b", taken("g").count() > 1).check(),
            "b",
            "'g' took, which is made of others; name one of g1, g2",
        ),
        (
            lambda: START.next(
                Pattern("g").begin("g1", first("g2").field("x") == field("x")).next("g2", B)
            ).check(),
            "g1",
            "'g2' took, which comes later",
        ),
        (
            lambda: START.next("b", any_of("a").field("x") == any_of("b").field("x")),
            "b",
            "any event of several stages",
        ),
        (lambda: START.next("b", last("a").field("elemnt") == "x"), "b", "did you mean 'element'"),
        # Skip strategies, outputs, ties.
        (lambda: START.skip_to_first("z").check(), "z", "it skips to stage 'z', and there is no such stage"),
        (lambda: START.not_next("n", C).next("b").skip_to_last("n").check(), "n", "forbids events"),
        (lambda: START.next(GROUP).skip_to_last("g").check(), "g", "made of others"),
        (lambda: START.output(n=taken("z").count()).check(), "z", "output 'n' asks for stage 'z'"),
        (lambda: START.output(n=field("x")), None, "output 'n': 'x' is of no stage"),
        (lambda: START.output(n=prev("x")), None, "a match has none"),
        (lambda: START.output(n=last("a").field("elemnt")), None, "did you mean 'element'"),
        (lambda: START.output(n=3), None, "is no expression"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: START.output(n=taken("a").count()).output(n=taken("a").count()), None, "given twice"),
        (lambda: START.tie_order("elemnt"), None, "did you mean 'element'"),
        (lambda: START.tie_order("path").tie_order("path"), None, "given twice"),
    ],
)
def test_what_is_no_pattern_is_refused(build: Callable[[], object], at: str | None, words: str) -> None:
    with pytest.raises(PatternError, match=words) as caught:
        build()
    assert (caught.value.pattern, caught.value.stage) == ("p", at)


@pytest.mark.parametrize(
    "group",
    [GROUP.within("1 s"), GROUP.same("path"), GROUP.skip_to_next(), GROUP.with_timeouts(), Pattern("g")],
)
def test_a_group_is_made_of_stages_alone(group: Pattern) -> None:
    with pytest.raises(PatternError, match="stages alone") as caught:
        START.followed_by(group)
    assert caught.value.pattern == "g"


@pytest.mark.parametrize(
    "pattern",
    [
        LOOP.greedy().not_next("n", C).followed_by("c", C),
        START.times(2).greedy(),
        START.optional(),
        START.times(0, 1),
        LOOP.not_next("n", C),
        LOOP.not_next("n", C).not_followed_by("m", A).within("1 s"),
        LOOP.not_followed_by("n", C).not_next("m", A),
        START.next(GROUP.not_next("n", C)).times(2),
        START.not_followed_by("n", C, within="1 s"),
        START.followed_by("b", (taken("b").sum("x") < 5) & (last("a").field("x") > 1)).one_or_more(),
        START.next(
            Pattern("g").begin("g1", last("g2").field("x").is_null()).next("g2", last("a").field("x") > 1)
        ).one_or_more(),
        START.next(all_of_any_order(stage("b", last("c").field("x").is_null()), stage("c", C))),
        START.next(either(stage("b", B), stage("c", C))).one_or_more().greedy().until(A),
        START.next("whole", Pattern("h").begin(GROUP).optional().followed_by("h2", C)).times(2),
        Pattern("p").absent("q", C, for_="1 s").absent("r", B, for_="2 s").begin(GROUP),
        START.next(GROUP).skip_to_first("g2").output(x=last("g1").field("x")),
        Pattern("p").begin(Pattern("g").begin("b", B).followed_by("c", C)).one_or_more().until(A),
    ],
)
def test_what_is_a_pattern_is_accepted(pattern: Pattern) -> None:
    assert pattern.check() is pattern
    assert Pattern.from_json(pattern.to_json()) == pattern


def test_zero_to_n_is_optional() -> None:
    (stage_,) = START.times(0, 3).stages
    assert (stage_.times, stage_.more, stage_.most, stage_.optional) == (1, 2, 3, True)
    assert START.times(0, 3) == START.times(1, 3).optional()
    assert START.times(2, 2) == START.times(2)
    assert START.one_or_more().stages[0].most is None
    assert replace(START.one_or_more().stages[0], more=0) == START.stages[0]
