import contextlib
import json
import pickle
from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall.errors import PatternError
from footfall.expression import event, field, polars_condition
from footfall.pattern import Pattern, Stage, all_of_any_order, either, pattern_list, stage
from footfall.taken_events import any_of, first, last, taken

CLICK = event == "click"

RAGE = (
    Pattern("rage_click", "Three clicks", severity="warning", tags=("ux",), owner="ux")
    .begin("click", CLICK)
    .times(3)
    .within("1 s")
    .same("element")
    .skip_past_last()
)


CONDITIONS = [CLICK, event == "a", field("x") > 3, (event == "b") & field("bot")]
GROUP = Pattern("group").begin("g1", CLICK).followed_by("g2", field("x") > 3).optional().followed_by_any("g3")
# Random steps of a builder; those that can't be taken at their place are left out.
STEPS: list[Callable[[Pattern, str], Pattern]] = [
    *(lambda p, name, c=condition: p.next(name, c) for condition in CONDITIONS),
    *(lambda p, name, c=condition: p.followed_by(name, c) for condition in CONDITIONS),
    *(lambda p, name, c=condition: p.followed_by_any(name, c, within="5 s") for condition in CONDITIONS),
    lambda p, name: p.followed_by(name, (event == "q") & (last("s0").field("x") == field("x"))),
    lambda p, name: p.followed_by(name, taken(name).sum("value", plus_current=True) < 5).one_or_more(),
    lambda p, name: p.not_next(name, CLICK),
    lambda p, name: p.not_followed_by(name, any_of("s0").field("path") == field("path")),
    lambda p, name: p.followed_by(name, GROUP),
    lambda p, name: p.next(either(stage(name + "a", CLICK), stage(name + "b", event == "b"))),
    lambda p, name: p.followed_by(all_of_any_order(stage(name + "a", CLICK), stage(name + "b"))),
    lambda p, name: p.times(2),
    lambda p, name: p.times(1, 3, each_within="2 s"),
    lambda p, name: p.times(0, 2),
    lambda p, name: p.at_least(2, each_within=700),
    lambda p, name: p.one_or_more(),
    lambda p, name: p.optional(),
    lambda p, name: p.greedy(),
    lambda p, name: p.reluctant(),
    lambda p, name: p.consecutive(),
    lambda p, name: p.combinations(),
    lambda p, name: p.until(field("x") > 7),
    lambda p, name: p.step_within("1 min"),
    lambda p, name: p.within("1 h"),
    lambda p, name: p.same("element"),
    lambda p, name: p.tie_order("message_id"),
    lambda p, name: p.with_timeouts(),
    lambda p, name: p.output(**{name: taken("s0").count(), "path": first("s0").field("path")}),
    lambda p, name: p.skip_to_next(),
    lambda p, name: p.skip_past_last(),
    lambda p, name: p.skip_to_first("s0"),
    lambda p, name: p.skip_to_last("s0", raise_on_miss=True),
]


def whole_patterns() -> st.SearchStrategy[Pattern]:
    def build(steps: list[Callable[[Pattern, str], Pattern]], absence: bool) -> Pattern:  # noqa: FBT001  # drawn
        pattern = Pattern("p")
        if absence:
            pattern = pattern.absent("quiet", event == "x", for_="30 min")
        pattern = pattern.begin("s0", CLICK)
        for number, step in enumerate(steps):
            with contextlib.suppress(PatternError):
                pattern = step(pattern, f"t{number}")
        return pattern if pattern.within_ms is not None else pattern.within("2 h")

    return st.builds(build, st.lists(st.sampled_from(STEPS), max_size=14), st.booleans())


@given(whole_patterns())
def test_a_pattern_goes_to_json_and_back(pattern: Pattern) -> None:
    again = Pattern.from_json(pattern.to_json())
    assert again == pattern
    assert hash(again) == hash(pattern)
    assert again.version == pattern.version
    assert again.describe() == pattern.describe()
    assert again.stages == pattern.stages
    assert again.outputs == () or [name for name, _ in again.outputs] == [name for name, _ in pattern.outputs]
    assert again.to_json() == pattern.to_json()


def test_what_json_says() -> None:
    assert json.loads(RAGE.to_json()) == {
        "name": "rage_click",
        "description": "Three clicks",
        "severity": "warning",
        "tags": ["ux"],
        "owner": "ux",
        "stages": [
            {
                "name": "click",
                "contiguity": "begin",
                "where": {"compare": [{"field": "event"}, "==", "click"]},
                "times": 3,
                "inner": "relaxed",
            }
        ],
        "within_ms": 1000,
        "same": "element",
        "skip": "past_last",
    }


def test_a_builder_step_leaves_the_pattern_before_it_alone() -> None:
    first = Pattern("p").begin("a", CLICK)
    longer = first.followed_by("b", CLICK).within("1 s")
    assert [stage.name for stage in first.stages] == ["a"]
    assert first.within_ms is None
    assert [stage.name for stage in longer.stages] == ["a", "b"]
    with pytest.raises(AttributeError):
        first.within_ms = 3  # type: ignore[misc]  # the mistake itself


def test_the_version_names_the_meaning_and_nothing_else() -> None:
    said_otherwise = Pattern("other", "Words", severity="critical", tags=("x",), owner="y")
    said_otherwise = said_otherwise.begin("click", CLICK).times(3).within(timedelta(seconds=1))
    said_otherwise = said_otherwise.same("element").skip_past_last()
    assert said_otherwise.version == RAGE.version
    assert said_otherwise != RAGE
    # Match ids hold the version: if this fails, every stored match gets a new name.
    assert RAGE.version == "311cdd16559c"


@pytest.mark.parametrize(
    "other",
    [
        Pattern("p").begin("click", CLICK).times(3).within("1 s").same("element").skip_to_next(),
        Pattern("p").begin("click", CLICK).times(3).within("1 s").same("element"),
        Pattern("p").begin("click", CLICK).times(3).within("1 s").same("path").skip_past_last(),
        Pattern("p").begin("click", CLICK).times(3).within("1 s").skip_past_last(),
        Pattern("p").begin("click", CLICK).times(3).within("2 s").same("element").skip_past_last(),
        Pattern("p").begin("click", CLICK).times(3).same("element").skip_past_last(),
        Pattern("p").begin("click", CLICK).times(2).within("1 s").same("element").skip_past_last(),
        Pattern("p")
        .begin("click", CLICK)
        .times(3)
        .consecutive()
        .within("1 s")
        .same("element")
        .skip_past_last(),
        Pattern("p").begin("clicks", CLICK).times(3).within("1 s").same("element").skip_past_last(),
        Pattern("p").begin("click", event == "tap").times(3).within("1 s").same("element").skip_past_last(),
        Pattern("p").begin("click").times(3).within("1 s").same("element").skip_past_last(),
    ],
)
def test_another_meaning_is_another_version(other: Pattern) -> None:
    assert other.version != RAGE.version


def test_patterns_compare_hash_and_pickle_by_value() -> None:
    again = pickle.loads(pickle.dumps(RAGE))
    assert again == RAGE
    assert len({again, RAGE, RAGE.no_skip()}) == 2


def test_a_pattern_says_itself_in_words() -> None:
    pattern = (
        Pattern("leaving", "Someone leaves")
        .begin("checked", event == "price_checked")
        .times(2)
        .consecutive()
        .not_followed_by("booked", event == "booking_started")
        .followed_by("gone")
        .within("10 min")
        .same("element")
    )
    assert pattern.describe() == (
        "leaving: Someone leaves\n"
        "  starts with 'checked' (event is 'price_checked'), 2 times in a row\n"
        "  not followed by 'booked' (event is 'booking_started')\n"
        "  followed by 'gone' (any event)\n"
        "  within less than 10 min\n"
        "  for each element on its own\n"
        "  every match counts"
    )
    assert pattern_list([RAGE, pattern]) == [
        {
            "name": "leaving",
            "version": pattern.version,
            "severity": "info",
            "stages": "starts with 'checked' (event is 'price_checked'), 2 times in a row; not followed by "
            "'booked' (event is 'booking_started'); followed by 'gone' (any event); for each element",
            "within": "10 min",
            "skip": "no_skip",
            "owner": "",
            "tags": "",
        },
        {
            "name": "rage_click",
            "version": RAGE.version,
            "severity": "warning",
            "stages": "starts with 'click' (event is 'click'), 3 times; for each element",
            "within": "1 s",
            "skip": "past_last",
            "owner": "ux",
            "tags": "ux",
        },
    ]


def test_a_pattern_knows_its_columns() -> None:
    pattern = Pattern("p").begin("a", CLICK).followed_by("b", field("x") > 3).followed_by("c").same("element")
    assert pattern.columns() == {"event", "x", "element"}


A = Pattern("p").begin("a", CLICK)


@pytest.mark.parametrize(
    ("build", "stage", "words"),
    [
        (lambda: Pattern("two words"), None, "a letter, then letters"),
        (lambda: Pattern("p", severity="loud"), None, "info, warning, critical"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: Pattern("p", tags="ux"), None, r"tags=\(\"ux\",\)"),
        (lambda: Pattern("p").followed_by("a", CLICK), "a", r"first stage is written with \.begin"),
        (lambda: Pattern("p").not_next("a", CLICK), "a", r"first stage is written with \.begin"),
        (lambda: A.begin("b", CLICK), "b", "begin is for the first stage"),
        (lambda: A.followed_by("b", CLICK).next("a", CLICK), "a", "names are unique"),
        (lambda: A.next(" ", CLICK), " ", "1 to 64 characters"),
        (lambda: A.not_followed_by("n", CLICK).times(2), "n", "can't be repeated"),
        (lambda: A.not_next("n", CLICK).times(2), "n", "can't be repeated"),
        (lambda: A.not_next("n", None), "n", "needs a condition"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: A.with_stage(Stage("b", "later", CLICK)), "b", "relaxed, any"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: A.with_stage(Stage("b", "strict", CLICK, times=0)), "b", "from 1 to 1000"),
        (lambda: A.times(0), "a", "from 1 to 1000"),
        (lambda: A.times(-1), "a", "from 1 to 1000"),
        (lambda: A.times(2.5), "a", "from 1 to 1000"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: A.times(True), "a", "from 1 to 1000"),
        (lambda: A.times(2).times(3), "a", "given twice"),
        (A.consecutive, "a", r"times\(2\)"),
        (lambda: Pattern("p").times(2), None, "after the stage"),
        (lambda: Pattern("p").begin("a", event), "a", "must be true or false"),
        (lambda: Pattern("p").begin("a", "click"), "a", "is no condition"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: Pattern("p").begin("a", True), "a", "is no condition"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: A.next("b", field("elemnt") == "x"), "b", "did you mean 'element'"),
        (lambda: A.next("b", field("x") == "x"), "b", "compares a number with a text"),
        (lambda: A.within(0), None, "more than 0"),
        (lambda: A.within("-1 s"), None, "within"),
        (lambda: A.within("401 d"), None, "at most 400 days"),
        (lambda: A.within("soon"), None, "no length of time"),
        (lambda: A.within(None), None, "within"),  # type: ignore[arg-type]  # the mistake itself
        (lambda: A.within("1 s").within("2 s"), None, "given twice"),
        (lambda: A.same("elemnt"), None, "did you mean 'element'"),
        (lambda: A.same("x"), None, "takes one with texts"),
        (lambda: A.same("element").same("path"), None, "given twice"),
        (lambda: Pattern("p").check(), None, "no stage"),
        (lambda: A.not_followed_by("n", CLICK).check(), "n", r"needs \.within"),
    ],
)
def test_what_is_no_pattern_is_refused(build: Callable[[], object], stage: str | None, words: str) -> None:
    with pytest.raises(PatternError, match=words) as caught:
        build()
    assert caught.value.pattern in ("p", "two words")
    assert caught.value.stage == stage


def test_the_bounds_themselves_are_fine() -> None:
    assert A.within("400 d").within_ms == 400 * 86_400_000
    assert A.within(1).within_ms == 1
    assert A.times(1000).stages[0].times == 1000
    assert A.times(1).version == A.version


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"name": "p"}',
        '{"name": "p", "stages": []}',
        '{"name": "p", "stages": [{"name": "a"}]}',
        '{"name": "p", "stages": [{"name": "a", "contiguity": "begin", "wher": null}]}',
        '{"name": "p", "stages": [{"name": "a", "contiguity": "later"}]}',
        '{"name": "p", "stages": [{"name": "a", "contiguity": "begin", "where": {"field": "nothing"}}]}',
        '{"name": "p", "stages": [{"name": "a", "contiguity": "begin", "where": {"no": 1}}]}',
        '{"name": "p", "stages": [{"name": "a", "contiguity": "begin"}], "skip": "all"}',
        '{"name": "p", "stages": [{"name": "a", "contiguity": "begin"}], "until": 3}',
        '{"name": 3, "stages": [{"name": "a", "contiguity": "begin"}]}',
        '{"name": "p", "stages": [3]}',
    ],
)
def test_json_that_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(PatternError):
        Pattern.from_json(text)


def test_what_more_json_says() -> None:
    pattern = (
        Pattern("p")
        .absent("quiet", event == "x", for_="30 min")
        .begin("a", CLICK)
        .one_or_more(each_within="5 s")
        .greedy()
        .until(event == "u")
        .followed_by("b", last("a").field("path") == field("path"), within="1 min")
        .skip_to_last("a", raise_on_miss=True)
        .tie_order("message_id")
        .with_timeouts()
        .output(path=last("a").field("path"))
    )
    assert json.loads(pattern.to_json()) == {
        "name": "p",
        "severity": "info",
        "stages": [
            {
                "name": "quiet",
                "contiguity": "not_followed_by",
                "where": {"compare": [{"field": "event"}, "==", "x"]},
                "absent_ms": 1_800_000,
            },
            {
                "name": "a",
                "contiguity": "begin",
                "where": {"compare": [{"field": "event"}, "==", "click"]},
                "until": {"compare": [{"field": "event"}, "==", "u"]},
                "times": 1,
                "inner": "relaxed",
                "more": None,
                "greedy": True,
                "each_within_ms": 5000,
            },
            {
                "name": "b",
                "contiguity": "relaxed",
                "where": {"compare": [{"last": ["a", 0, {"field": "path"}]}, "==", {"field": "path"}]},
                "step_within_ms": 60_000,
            },
        ],
        "skip": "to_last",
        "skip_stage": "a",
        "skip_raises": True,
        "tie_order": "message_id",
        "timeouts": True,
        "output": {"path": {"last": ["a", 0, {"field": "path"}]}},
    }


B = A.followed_by("b", event == "b").one_or_more()


def test_every_word_is_part_of_the_meaning() -> None:
    others = [
        A.followed_by("b", event == "b"),
        A.followed_by("b", event == "b").at_least(2),
        A.followed_by("b", event == "b").times(1, 2),
        B,
        B.optional(),
        B.greedy(),
        B.reluctant(),
        B.consecutive(),
        B.combinations(),
        B.until(event == "u"),
        B.until(event == "v"),
        B.step_within("1 s"),
        A.followed_by("b", event == "b").one_or_more(each_within="1 s"),
        A.followed_by("b", event == "b").one_or_more(each_within="2 s"),
        B.skip_to_first("b"),
        B.skip_to_last("b"),
        B.skip_to_last("a"),
        B.skip_to_last("b", raise_on_miss=True),
        B.tie_order("path"),
        B.with_timeouts(),
        B.output(n=taken("b").count()),
        B.output(m=taken("b").count()),
        B.output(n=taken("a").count()),
        Pattern("p").absent("q", event == "q", for_="1 s").begin("a", CLICK),
        Pattern("p").absent("q", event == "q", for_="2 s").begin("a", CLICK),
        A.followed_by("g", GROUP),
        A.followed_by(GROUP),
        A.followed_by(either(stage("x", CLICK), stage("y"))),
        A.followed_by(either(stage("y"), stage("x", CLICK))),
        A.followed_by(all_of_any_order(stage("x", CLICK), stage("y"))),
        A.followed_by(all_of_any_order(stage("x", CLICK), stage("y"))).consecutive(),
        A.not_next("b", event == "b"),
    ]
    assert len({other.version for other in others}) == len(others)
    assert len({str(other) for other in others}) == len(others)


def test_the_order_in_which_it_is_said_does_not_matter() -> None:
    conditions = (event == "u", field("bot"))
    one, other = B.until(conditions[0] & conditions[1]), B.until(conditions[1] & conditions[0])
    assert one == other
    assert one.stages == other.stages
    assert hash(one.stages[1]) == hash(other.stages[1])
    assert B.combinations().step_within("1 s") == B.step_within("1 s").combinations()
    assert B.output(m=taken("b").count(), n=taken("a").count()).version == (
        B.output(n=taken("a").count()).output(m=taken("b").count()).version
    )


def test_all_words_say_themselves() -> None:
    pattern = (
        Pattern("p")
        .absent("quiet", event == "x", for_="30 min")
        .begin("a", CLICK)
        .times(2, 4, each_within="5 s")
        .reluctant()
        .followed_by(Pattern("g").begin("g1", CLICK).next("g2", event == "b"))
        .times(0, 2)
        .next(stage("call", event == "call") | stage("chat", event == "chat"), within="1 min")
        .followed_by(all_of_any_order(stage("x"), stage("y"), stage("z")))
        .combinations()
        .followed_by("end", event == "end")
        .at_least(3)
        .greedy()
        .until(event == "u")
        .skip_to_first("g1", raise_on_miss=True)
        .tie_order("path")
        .with_timeouts()
        .output(path=last("a").field("path"))
    )
    assert pattern.describe().splitlines() == [
        "p",
        "  not preceded for 30 min by 'quiet' (event is 'x')",
        (
            "  starts with 'a' (event is 'click'), 2 to 4 times, as seldom as possible, each within less than "
            "5 s of the one before"
        ),
        (
            "  followed by 'g' (starts with 'g1' (event is 'click'); directly followed by 'g2' (event is 'b')), "
            "1 to 2 times, or not at all"
        ),
        (
            "  directly followed by either 'call' (event is 'call') or 'chat' (event is 'chat'), within less "
            "than 1 min of the event before"
        ),
        "  followed by all of 'x' (any event) and 'y' (any event) and 'z' (any event), in any order in any combination",
        "  followed by 'end' (event is 'end'), 3 or more times, as often as possible, until event is 'u'",
        "  events of the same time in the order of path",
        "  after a match, the next one begins at or behind its first 'g1', which must not be missing",
        "  partial matches that time out are given out too",
        "  gives path: path of the last 'a'",
    ]
    assert pattern.stage_names() == ("a", "g1", "g2", "call", "chat", "x", "y", "z", "end")
    assert pattern.columns() == {"event", "path"}


def test_a_pattern_is_checked_against_its_own_schema() -> None:
    schema = pl.Schema({"name": pl.String(), "price": pl.Float64()})
    pattern = (
        Pattern("p", schema=schema)
        .begin("a", (field("name") == "a") & (field("price") > 3))
        .tie_order("name")
    )
    assert Pattern.from_json(pattern.to_json(), schema=schema) == pattern
    with pytest.raises(PatternError, match="no field 'name'"):
        Pattern.from_json(pattern.to_json())
    with pytest.raises(PatternError, match="no field 'event'"):
        pattern.next("b", CLICK)


def test_a_patterns_schema_is_none_of_what_is_compared() -> None:
    assert Pattern("p", schema=pl.Schema({"event": pl.String()})).begin("a", CLICK) == A


def test_a_polars_expression_is_a_condition_as_it_is() -> None:
    long = pl.col("path").str.len_chars() > 3
    pattern = (
        Pattern("p")
        .absent("none", pl.col("event") == "x", for_="1 s")
        .begin("a", long)
        .one_or_more()
        .until(pl.col("event") == "y")
        .not_followed_by("b", pl.col("x") > 1)
        .within("1 min")
        .check()
    )
    first_taking = pattern.stages[1]
    assert first_taking.condition is not None
    assert first_taking.condition.key() == polars_condition(long).key()
    assert 'col("path")' in pattern.describe()
    assert Pattern.from_json(pattern.to_json()) == pattern
    with pytest.raises(PatternError, match="'p', stage 'a'"):
        Pattern("p").begin("a", pl.col("x").sum() > 3)


def test_what_stands_beside_a_condition_may_be_polars() -> None:
    joined = (event == "a") & (pl.col("value") > 1)
    pattern = Pattern("p").begin("a", joined).check()
    assert pattern.columns() == {"event", "value"}
    either_one = stage("a", pl.col("event") == "a") | stage("b", event == "b")
    assert Pattern("p").begin(either_one).check().stage_names() == ("a", "b")


@pytest.mark.parametrize("wrong", ["x", 3, True])
def test_a_stage_takes_no_condition_but_a_condition(wrong: object) -> None:
    with pytest.raises(PatternError, match=r"stage 'a'.*is no condition"):
        stage("a", wrong)  # type: ignore[arg-type]  # that is the point


def test_consecutive_and_combinations_contradict_each_other() -> None:
    loop = Pattern("p").begin("a", event == "a").one_or_more()
    with pytest.raises(PatternError, match="contradict"):
        loop.consecutive().combinations()
    assert loop.consecutive().consecutive() == loop.consecutive()


def test_a_length_of_time_is_no_fraction() -> None:
    with pytest.raises(PatternError, match="no length of time"):
        Pattern("p").begin("a", event == "a").within(1.5)  # type: ignore[arg-type]  # that is the point
