from typing import Any

import pytest

from footfall.errors import PatternError
from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_parameters import Parameter, parameters


@parameters(times="how many", within="how long", share="how much")
def loop(times: int = 3, within: str = "1 s", share: float = 0.5) -> Pattern:
    made = Pattern("loop", f"{share}").begin("a", event == "a").times(times).within(within)
    return made if share < 1 else Pattern("other").begin("a")


def test_the_defaults_make_the_pattern_and_values_a_variant_of_it() -> None:
    usual = loop()
    assert usual == Pattern("loop", "0.5").begin("a", event == "a").times(3).within("1 s")
    other = loop(times=4, within="2 s")
    assert (other.name, other.within_ms, other.stages[0].times) == ("loop", 2_000, 4)
    assert other.version != usual.version
    assert loop() == usual
    assert loop(share=0).description == "0"


def test_what_is_known_of_the_parameters() -> None:
    assert loop.name == "loop"
    assert loop.parameters == (
        Parameter("times", 3, "how many"),
        Parameter("within", "1 s", "how long"),
        Parameter("share", 0.5, "how much"),
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"time": 3}, "no parameter 'time'; there are times, within, share"),
        ({"times": "3"}, "parameter 'times' can't be '3'; write a whole number such as 3"),
        ({"times": True}, "can't be True"),
        ({"times": 2.0}, "can't be 2.0"),
        ({"within": 1000}, "'within' can't be 1000; write a text such as '1 s'"),
        ({"share": "much"}, "write a number such as 0.5"),
        ({"within": "soon"}, "within: 'soon' is no length of time"),
        ({"share": 1}, "has to return a pattern of its own name, not pattern 'other'"),
    ],
)
def test_a_value_that_will_not_do_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(PatternError, match="pattern 'loop'") as caught:
        loop(**values)
    assert words in str(caught.value)


def test_a_function_that_returns_no_pattern_is_told() -> None:
    def nothing() -> Any:
        return None

    with pytest.raises(
        PatternError, match="pattern 'nothing': the function nothing has to return a pattern of its own"
    ):
        parameters()(nothing)()


def test_every_parameter_has_a_default_and_words() -> None:
    def bare(times: int) -> Any: ...

    def listed(names: tuple[str, ...] = ()) -> Any: ...

    def silent(times: int = 3) -> Any: ...

    with pytest.raises(
        PatternError, match="pattern 'bare': parameter 'times' needs a default: a number or a text"
    ):
        parameters(times="how many")(bare)
    with pytest.raises(PatternError, match="pattern 'listed': parameter 'names' needs a default"):
        parameters(names="which")(listed)
    with pytest.raises(PatternError, match="pattern 'silent': nothing is said about parameter 'times'"):
        parameters()(silent)
    with pytest.raises(
        PatternError, match="pattern 'silent': @parameters says something about 'time', which is no arg"
    ):
        parameters(time="how many", times="how many")(silent)
