"""Events that fit a stage, with another value of the `same` field: how that is counted and said."""

import pytest

from footfall.trace_elsewhere import Elsewhere, elsewhere_words


@pytest.mark.parametrize(
    ("value", "others", "words"),
    [
        ("'/c'", ["'/a'"], "bought fits 'b', but its path is '/c', not '/a'"),
        ("'/c'", ["'/a'", "'/b'", "'/a'"], "bought fits 'b', but its path is '/c', not '/a' or '/b'"),
        ("5", list("12346"), "bought fits 'b', but its path is 5, not 1, 2, 3 or any of 2 more"),
        ("", ["'/a'"], "bought fits 'b', but it has no path, so it takes no part"),
    ],
)
def test_an_event_says_why_it_takes_no_part(value: str, others: list[str], words: str) -> None:
    assert elsewhere_words("bought", {"b": others}, "path", value) == (words,)


def test_several_stages_are_named() -> None:
    (said,) = elsewhere_words("e", {"b": ["1"], "c": ["2"]}, "path", "")
    assert said == "e fits 'b' and 'c', but it has no path, so it takes no part"
    assert elsewhere_words("e", {"b": ["1"], "c": ["1"], "d": ["1", "2"]}, "path", "3") == (
        "e fits 'b' and 'c', but its path is 3, not 1",
        "e fits 'd', but its path is 3, not 1 or 2",
    )


def test_what_is_noted_is_counted_by_stage_and_kind() -> None:
    noted = Elsewhere("path")
    assert noted.forbidden(1) == ()
    noted.note(1, "b", forbids=True, missing=False)
    noted.split(1, 2)
    noted.split(7, 8)
    noted.note(1, "b", forbids=True, missing=False)
    noted.note(1, "c", forbids=False, missing=True)
    assert noted.forbidden(1) == ("2 events that fit 'b' came with another path",)
    assert noted.forbidden(2) == ("1 event that fits 'b' came with another path",)
    assert noted.awaited(1, {"c"}) == ("1 event that fits 'c' came without any path",)
    assert (noted.awaited(1, {"b"}), noted.awaited(2, {"c"}), noted.forbidden(8)) == ((), (), ())
