import pytest

from footfall.errors import PatternError
from footfall.expression import event
from footfall.pattern import Pattern, Stage, all_of_any_order, either, stage
from footfall.pattern_stage import stage_from_dict

A, B = stage("a", event == "a"), stage("b", event == "b")
C = stage("c")


def test_alternation_is_written_with_a_bar() -> None:
    assert either(A, B) == (A | B)
    assert either(A, B, C) == (A | B | C)
    assert either(A, B, C) == (A | (B | C))
    assert (A | B) != (B | A)
    assert (A | B).name == "a | b"
    assert either(A, B, name="one").name == "one"
    assert all_of_any_order(A, B).name == "a & b"
    long = [stage(f"a_rather_long_name_{number}") for number in range(9)]
    assert len(either(*long).name) <= 64


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (A,),
        (A, "b"),
        (A, event == "b"),
        (A, either(B, C)),
        (A, Stage("b", "strict")),
        (A, Stage("b", "begin", None, 2)),
    ],
)
def test_only_stages_of_single_events_are_joined(parts: tuple[Stage, ...]) -> None:
    with pytest.raises(PatternError, match=r"either takes"):
        either(*parts)
    with pytest.raises(PatternError, match=r"all_of_any_order takes"):
        all_of_any_order(*parts)


def test_stages_compare_and_hash_by_meaning() -> None:
    one = Stage("a", "strict", (event == "a") & (event == "b"))
    other = Stage("a", "strict", (event == "b") & (event == "a"))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Stage("a", "relaxed", (event == "b") & (event == "a"))
    assert one != "a"


def test_a_stage_knows_what_is_in_it() -> None:
    group = Pattern("g").begin("x", event == "x").not_next("n", event == "n").followed_by(A | B)
    (outer,) = Pattern("p").begin(group).one_or_more().until(event == "u").stages
    assert [one.name for one in outer.walk()] == ["g", "x", "n", "a | b", "a", "b"]
    assert [one.name for one in outer.takers()] == ["x", "a", "b"]
    assert [str(condition) for condition in outer.conditions()] == [
        "event is 'u'",
        "event is 'x'",
        "event is 'n'",
        "event is 'a'",
        "event is 'b'",
    ]
    assert (outer.loops, outer.most, outer.forbids, len(outer.parts)) == (True, None, False, 3)


def test_a_stage_goes_to_json_and_back() -> None:
    group = Pattern("g").begin("x", event == "x").followed_by(all_of_any_order(A, B)).consecutive()
    (outer,) = Pattern("p").begin(group).times(2, 3, each_within="1 s").optional().stages
    assert stage_from_dict(outer.to_dict(), "p") == outer
    with pytest.raises(PatternError, match="'wher' is unknown"):
        stage_from_dict({"name": "g", "contiguity": "begin", "group": [{"name": "a", "wher": 3}]}, "p")
    with pytest.raises(PatternError, match="'later' is unknown"):
        stage_from_dict({"name": "g", "contiguity": "later"}, "p")
