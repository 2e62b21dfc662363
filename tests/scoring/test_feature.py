"""Features as they are declared: what they say of themselves, and what is refused."""

from collections.abc import Callable

import pytest

from footfall import event, field
from footfall.errors import FeatureError
from footfall.scoring.feature import (
    Category,
    Combined,
    Count,
    Feature,
    Number,
    Quantity,
    category,
    count,
    days_since,
    days_since_first,
    highest,
    matches,
    seconds_on_site,
    sessions,
    total,
)

VIEW = event == "page_view"
SOURCES = {"mail": field("utm_source") == "mail", "ad": field("utm_source") == "ad"}


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        (count(), "count of events"),
        (count(VIEW, over="session"), "count of event is 'page_view' in the latest session"),
        (count(VIEW, over="7 d") / 2, "(count of event is 'page_view' in 7 days / 2)"),
        (sessions(over="24 h") + 1 - 0.5, "((sessions in 1 days + 1) - 0.5)"),
        (total(VIEW) * 3, "(value of event is 'page_view' * 3)"),
        (days_since(), "days since the last events"),
        (days_since_first(VIEW), "days since the first event is 'page_view'"),
        (seconds_on_site(over="session"), "seconds on site in the latest session"),
        (matches("a", "b"), "matches of a, b"),
        (highest(field("value"), VIEW), "highest value of event is 'page_view'"),
        (category(SOURCES, session="first"), "mail | ad of the first session"),
    ],
)
def test_a_feature_without_a_description_says_what_it_is(quantity: Quantity, words: str) -> None:
    assert Feature("some", quantity).column.description == words
    assert Feature("some", quantity, description="Another").column.description == "Another"


def test_its_column_is_a_number_or_a_category() -> None:
    number = Feature("spent", total(VIEW), "money").column
    assert (number.name, number.kind, number.unit, number.words) == ("spent", "number", "money", ())
    words = Feature("source", category(SOURCES)).column
    assert (words.kind, words.words) == ("category", ("mail", "ad"))


def test_whole_days_count_however_they_are_written() -> None:
    for over in ("2 d", "48 h", "2880 min"):
        assert isinstance(counted := count(over=over), Count)
        assert counted.over == 2


def test_parts_are_all_that_it_is_made_of() -> None:
    found = [type(part) for part in ((count() + 1) / sessions()).parts()]
    assert found == [Combined, Combined, Count, Number, type(sessions())]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Feature("Page views", count()),
            "lower case letters, digits and underscores, not 'Page views'",
        ),
        (lambda: Feature("views ", count()), "not 'views '"),
        (lambda: Feature("both", category(SOURCES) + 1), "feature both: a category can't be calculated with"),
        (lambda: count(over="soon"), "over='soon': write ever, session, or whole days up to 32 d"),
        (lambda: count(over="90 min"), "over='90 min': write ever"),
        (lambda: count(over="33 d"), "over='33 d'"),
        (lambda: sessions(over="session"), "is always 1"),
        (matches, "needs the name of a pattern"),
        (lambda: category({}), "has 1 to 32 words, not 0"),
        (lambda: category({str(n): VIEW for n in range(33)}), "not 33"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(FeatureError) as caught:
        make()
    assert words in str(caught.value)


def test_a_category_keeps_the_order_of_its_words() -> None:
    made = category({"b": VIEW, "a": VIEW})
    assert isinstance(made, Category)
    assert made.words == ("b", "a")
