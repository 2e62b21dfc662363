"""The page's code that isn't an example of one feature: the matcher in a notebook, a pattern as a value, refusals."""

from collections.abc import Callable

import polars as pl

from docs.pattern_page.example import stream
from footfall import Pattern, event, field, last, match, taken

FRAME = stream("view help buy view", at=[0, 20, 65, 90], value=[None, None, 40, None])
"""What `matches` and `evidence` are shown with."""


def matches(frame: pl.DataFrame) -> pl.DataFrame:
    """Three lines with the import."""
    bought = Pattern("bought").begin("view", event == "view").followed_by("buy", event == "buy").within("1 h")
    return match(frame, bought)


def evidence(frame: pl.DataFrame, matches: pl.DataFrame) -> pl.DataFrame:
    """The matches' events."""
    return matches.explode("rows").unnest("rows").join(frame.with_row_index("row"), on="row")


def cart_abandoned() -> Pattern:
    """A pattern with all that can be said of one."""
    return (
        Pattern(
            "cart_abandoned",
            "Something was put into the cart and not bought within 30 minutes",
            severity="warning",
            tags=("abandonment", "shop"),
            owner="marketing",
        )
        .begin("added", event == "product_added")
        .one_or_more()
        .greedy()
        .not_followed_by("bought", event == "order_completed")
        .within("30 min")
        .skip_past_last()
        .output(last_value=last("added").field("value"), total=taken("added").sum("value"))
    )


def _misspelt() -> Pattern:
    """No such field."""
    return Pattern("misspelt").begin("click", field("elemnt") == "#buy")


def _different_types() -> Pattern:
    """A text compared with a number."""
    return Pattern("different_types").begin("view", field("path") > 3)


def _python_words() -> Pattern:
    """The word `and`."""
    return Pattern("python_words").begin("view", (event == "view") and (field("value") > 50))


def _open_end() -> Pattern:
    """An absence without a bound."""
    return Pattern("open_end").begin("cart", event == "cart").not_followed_by("buy", event == "buy").check()


def _bounded_until() -> Pattern:
    """A stop for a loop that stops by itself."""
    return Pattern("bounded_until").begin("click", event == "click").times(3).until(event == "leave")


def _no_such_stage() -> Pattern:
    """A stage that isn't there."""
    return Pattern("no_such_stage").begin("cart", field("value") > last("viewed").field("value")).check()


REFUSED: tuple[Callable[[], Pattern], ...] = (
    _misspelt,
    _different_types,
    _python_words,
    _open_end,
    _bounded_until,
    _no_such_stage,
)
"""Each raises an error when it is called."""
