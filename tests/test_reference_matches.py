"""The reference against facts: what Flink's tests and documentation state, and small streams written by hand.

A hand-written stream is words: each letter of a word is a condition that the event passes, `-` stands for none, and
`@` gives its time, which is otherwise its number. A match is written the same way: `a1 b3` is stage a's event 1 and
stage b's event 3.
"""

from collections import Counter
from typing import Any

import pytest
from neutral_cases import CASES_FILE, load_cases, neutral_case
from reference_matches import ReferenceResult, SkipTargetMissedError, find_matches

from footfall.pattern_spec import Contiguity, LoopSpec, PartialView, PatternSpec, StageSpec, Test

# A step_window case states what Flink does, against its documentation.
CASES = [case for case in load_cases() if case.get("flink_quirk") != "step_window"]
LETTERS = "abcdn"
UNTIL_D = LoopSpec(most=None, until=1 << LETTERS.index("d"), has_until=True)
STRICT_GREEDY, STRICT_TWICE = LoopSpec(most=None, greedy=True, inner="strict"), LoopSpec(2, 2, inner="strict")
PLUS, STAR = LoopSpec(most=None), LoopSpec(most=None, optional=True)
GREEDY, OPTIONAL = LoopSpec(most=None, greedy=True), LoopSpec(optional=True)
TWICE, RELUCTANT = LoopSpec(least=2, most=2), LoopSpec(most=None, reluctant=True)


@pytest.mark.skipif(not CASES, reason=f"{CASES_FILE.name} is absent: no ../shared/cep beside the checkout")
@pytest.mark.parametrize("case", CASES or [{"id": "none"}], ids=lambda case: str(case["id"]))
def test_a_stated_fact(case: dict[str, Any]) -> None:
    given = neutral_case(case)
    results = [find_matches(given.spec, stream.events, stream.end) for stream in given.streams]
    matches = [match for result in results for match in result.matches]
    place = {number: order for stream in given.streams for order, (number, _, _) in enumerate(stream.events)}
    found = Counter(
        frozenset((stage, tuple(numbers)) for stage, numbers in _by_stage(match.taken).items())
        for match in matches
    )
    stated = Counter(
        frozenset((stage, tuple(numbers)) for stage, numbers in stages.items())
        for stages in case["expect_stages"]
    )
    assert found == stated
    events = Counter(tuple(number for _, number in match.taken) for match in matches)
    assert events == Counter(tuple(sorted(numbers, key=place.__getitem__)) for numbers in case["expect"])
    if "emitted_by_time" in case:
        by_time = Counter(tuple(number for _, number in match.taken) for match in matches if match.by_time)
        assert by_time == Counter(tuple(numbers) for numbers in case["emitted_by_time"])
    if "expect_open_partials" in case:
        assert sum(len(result.open_partials) for result in results) == case["expect_open_partials"]
    if "expect_late" in case:
        assert list(given.late) == case["expect_late"]


def _by_stage(taken: tuple[tuple[str, int], ...]) -> dict[str, list[int]]:
    stages: dict[str, list[int]] = {}
    for stage, number in taken:
        stages.setdefault(stage, []).append(number)
    return stages


def stage(
    letter: str,
    contiguity: Contiguity = "relaxed",
    loop: LoopSpec = PLUS,
    name: str = "",
    *,
    test: Test = None,
    step_ms: int | None = None,
    absent_ms: int | None = None,
) -> StageSpec:
    own = 1 << LETTERS.index(letter) if test is None else test
    return StageSpec(name or letter, contiguity, own, loop, step_ms, absent_ms=absent_ms)


def one(letter: str, contiguity: Contiguity = "relaxed", **more: Any) -> StageSpec:
    return stage(letter, contiguity, LoopSpec(), **more)


def group(*stages: StageSpec, loop: LoopSpec = PLUS) -> StageSpec:
    return StageSpec("group", "relaxed", loop=loop, group=stages)


def pattern(*stages: StageSpec, **more: Any) -> PatternSpec:
    return PatternSpec("p", stages, **more)


def run(spec: PatternSpec, words: str, end: float | None = None) -> ReferenceResult:
    events = []
    for number, word in enumerate(words.split(), 1):
        letters, _, time = word.partition("@")
        mask = sum(1 << LETTERS.index(letter) for letter in letters.strip("-"))
        events.append((number, int(time or number), mask))
    return find_matches(spec, events, end)


def written(taken: tuple[tuple[str, int], ...]) -> str:
    return " ".join(f"{name}{number}" for name, number in taken)


def found(spec: PatternSpec, words: str, end: float | None = None) -> list[str]:
    return [written(match.taken) for match in run(spec, words, end).matches]


A, B, C = one("a", "begin"), one("b"), one("c")
NO_N = one("n", "not_followed_by")


@pytest.mark.parametrize(
    ("spec", "words", "matches"),
    [
        pytest.param(pattern(A, one("b", "strict")), "a b a - b", ["a1 b2"], id="strict"),
        pytest.param(pattern(A, B), "a - b b", ["a1 b3"], id="relaxed"),
        pytest.param(pattern(A, one("b", "any")), "a - b b", ["a1 b3", "a1 b4"], id="any"),
        pytest.param(pattern(A, stage("b", loop=OPTIONAL), C), "a b c", ["a1 b2 c3", "a1 c3"], id="optional"),
        pytest.param(
            pattern(A, stage("b", loop=OPTIONAL), one("c", "strict")),
            "a - c a c",
            ["a4 c5"],
            id="strict-from-last",
        ),
        pytest.param(pattern(A, stage("b", loop=TWICE), C), "a b b b c", ["a1 b2 b3 c5"], id="exact-times"),
        pytest.param(
            pattern(A, stage("b", loop=STRICT_TWICE), C),
            "a b - b b c",
            [],
            id="twice-strict",
        ),
        pytest.param(pattern(A, one("b"), one("a", name="d")), "ab ab", [], id="an-event-is-taken-once"),
        pytest.param(pattern(A, NO_N, C), "a n c a c", ["a4 c5"], id="not-followed-by"),
        pytest.param(pattern(A, NO_N, C), "a cn c", ["a1 c2"], id="forbidden-between-only"),
        pytest.param(pattern(stage("a", "begin"), NO_N, C), "a an c", ["a2 c3"], id="forbidden-in-a-loop"),
        pytest.param(pattern(A, one("n", "not_next"), C), "a cn c", [], id="forbidden-next"),
        pytest.param(pattern(A, one("n", "not_next"), C), "a - n c a n c", ["a1 c4"], id="not-next"),
        pytest.param(pattern(A, one("n", "not_next")), "a", [], id="trailing-not-next-waits"),
        pytest.param(pattern(A, one("n", "not_next")), "a b a n", ["a1"], id="trailing-not-next"),
        pytest.param(
            pattern(stage("a", "begin", LoopSpec(2, 2)), NO_N, C),
            "a n a c",
            [],
            id="not-from-the-loops-first-event",
        ),
        pytest.param(
            pattern(A, NO_N, stage("b", loop=OPTIONAL), C),
            "a b n c",
            ["a1 b2 c4"],
            id="not-ends-with-optional",
        ),
        pytest.param(
            pattern(stage("a", "begin", LoopSpec(2, None)), one("n", "not_next"), C),
            "a n a c",
            ["a1 a3 c4"],
            id="not-next-only-after-enough",
        ),
        pytest.param(pattern(A, stage("b", loop=GREEDY), C), "a b b c", ["a1 b2 b3 c4"], id="greedy"),
        pytest.param(
            pattern(stage("a", "begin", GREEDY), one("a", name="b")), "a a a", [], id="greedy-starves"
        ),
        pytest.param(
            pattern(A, stage("b", loop=GREEDY)), "a b b", ["a1 b2", "a1 b2 b3"], id="greedy-at-the-end"
        ),
        pytest.param(
            pattern(A, stage("b", loop=STRICT_GREEDY), C),
            "a b - b c",
            [],
            id="greedy-kills-what-waits",
        ),
        pytest.param(
            pattern(A, stage("b", loop=LoopSpec(2, 2, greedy=True)), C),
            "a b b b c",
            ["a1 b2 b3 c5"],
            id="exact-greedy",
        ),
        pytest.param(
            pattern(A, stage("b", loop=UNTIL_D), C),
            "a d b b d b c",
            ["a1 b3 b4 c7", "a1 b3 c7"],
            id="until",
        ),
        pytest.param(
            pattern(one("a", "begin"), group(one("b", "begin"), C)),
            "a b - c - b c",
            ["a1 b2 c4", "a1 b2 c4 b6 c7"],
            id="group-loop",
        ),
        pytest.param(
            pattern(group(stage("a", "begin"), loop=PLUS)),
            "a a",
            ["a1", "a1 a2", "a1 a2", "a2"],
            id="loop-in-loop",
        ),
        pytest.param(
            pattern(StageSpec("x", "begin", choices=(one("a"), one("b"))), C),
            "ab c b c",
            ["a1 c2", "b3 c4"],
            id="alternation",
        ),
        pytest.param(
            pattern(A, StageSpec("x", "relaxed", members=(one("b"), C))),
            "a c - b a bc bc",
            ["a1 c2 b4", "a1 b4 c6", "a5 b6 c7"],
            id="permutation",
        ),
        pytest.param(
            pattern(one("n", "not_followed_by", absent_ms=5), B),
            "b@0 n@1 b@5 b@6 n@7 b@7",
            ["b1", "b4"],
            id="absent",
        ),
        pytest.param(pattern(stage("a", "begin", RELUCTANT), B), "a a b", ["a1 b3", "a2 b3"], id="reluctant"),
        pytest.param(
            pattern(stage("a", "begin", RELUCTANT), one("b", "strict")),
            "a a b",
            ["a1 a2 b3", "a2 b3"],
            id="must",
        ),
        pytest.param(pattern(A, B, within_ms=3), "a@1 b@4 a@5 b@7", ["a3 b4"], id="within-is-exclusive"),
        pytest.param(
            pattern(A, one("b", step_ms=3), C), "a@1 b@4 c@5 a@5 b@7 c@9", ["a4 b5 c6"], id="step-within"
        ),
        pytest.param(
            pattern(A, stage("b", loop=LoopSpec(2, 2, step_within_ms=3)), C),
            "a@0 b@3 b@4 a@5 b@6 b@9 a@9 b@9 b@11 c@99",
            ["a7 b8 b9 c10"],
            id="loop-step-within",
        ),
        pytest.param(pattern(stage("a", "begin", PLUS), skip="to_next"), "a a", ["a1", "a2"], id="to-next"),
        pytest.param(
            pattern(stage("a", "begin", TWICE), skip="past_last"),
            "a a a a",
            ["a1 a2", "a3 a4"],
            id="past-last",
        ),
        pytest.param(
            pattern(A, one("c", "any"), skip="past_last"),
            "a a c c",
            ["a1 c3"],
            id="past-last-drops-partials",
        ),
        pytest.param(
            pattern(A, stage("b", loop=STAR), C, skip="to_last", skip_stage="b"),
            "a ab ab c",
            ["a1 b2 b3 c4", "a3 c4"],
            id="to-last",
        ),
    ],
)
def test_small(spec: PatternSpec, words: str, matches: list[str]) -> None:
    assert sorted(found(spec, words)) == sorted(matches)


def test_a_match_waits_for_an_earlier_partial() -> None:
    # The match of events 2 and 3 waits for the partial match that begins with event 1, until that times out.
    spec = pattern(A, B, one("c", step_ms=None), skip="past_last", within_ms=5)
    two = pattern(A, stage("b", loop=OPTIONAL), one("c", "strict"), skip="past_last", within_ms=5)
    assert found(spec, "a@0 a@1 b@2 c@3") == ["a1 b3 c4"]
    held = run(two, "a@0 a@1 c@2 -@9")
    assert [written(match.taken) for match in held.matches] == ["a2 c3"]
    assert not held.open_partials


def test_a_time_out_releases_a_match() -> None:
    spec = pattern(A, StageSpec("x", "relaxed", choices=(one("b"),)), NO_N, within_ms=10, skip="past_last")
    result = run(spec, "a@0 a@1 b@2", end=100)
    assert [(written(match.taken), match.at, match.by_time) for match in result.matches] == [
        ("a1 b3", 10, True)
    ]


def test_a_trailing_absence_needs_no_further_event() -> None:
    spec = pattern(A, stage("b"), NO_N, within_ms=10)
    result = run(spec, "a@0 b@1 b@2", end=10)
    assert sorted((written(match.taken), match.at) for match in result.matches) == [
        ("a1 b2", 10),
        ("a1 b2 b3", 10),
    ]
    assert found(spec, "a@0 b@1 b@2", end=9) == []
    assert found(spec, "a@0 b@1 n@9", end=10) == []
    assert found(spec, "a@0 b@1 n@10") == ["a1 b2"]


def test_timed_out_partials() -> None:
    result = run(pattern(A, B, C, within_ms=5), "a@0 b@1 a@2 -@6", end=7)
    assert result.timed_out == {(5, (("a", 1), ("b", 2))), (7, (("a", 3),))}


def test_a_missing_skip_target() -> None:
    spec = pattern(A, stage("b", loop=OPTIONAL), C, skip="to_first", skip_stage="b", skip_must_hit=True)
    with pytest.raises(SkipTargetMissedError):
        run(spec, "a c")


def test_a_test_sees_the_partial_match() -> None:
    def second_after(event: int, partial: PartialView) -> bool:
        return partial.before(1) in partial.taken("a") and event == 4

    assert found(pattern(A, one("b", test=second_after)), "a b a b") == ["a3 b4"]
    with_none = pattern(one("b", "begin", test=lambda event, partial: partial.before(1) == -1))
    assert found(with_none, "b b") == ["b1"]
