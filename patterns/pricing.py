"""Visitors who weigh up a price."""

from footfall import Pattern, event
from footfall.pattern_parameters import parameters


@parameters(
    within="from the quote; our choice: a day lets people sleep on it, and is still soon enough for a call or a mail "
    "while the quote is fresh. It is also the longest wait that the end of an input releases",
)
def quote_viewed_not_booked(within: str = "1 d") -> Pattern:
    """A quote was seen, and nothing was booked."""
    return (
        Pattern(
            "quote_viewed_not_booked",
            f"A quote was viewed and no booking completed within {within}",
            severity="info",
            tags=("booking", "price"),
            owner="sales",
        )
        .begin("quote", event == "quote_viewed")
        .not_followed_by("booked", event == "booking_completed")
        .within(within)
    )


@parameters(
    times="looks at one price; our choice: the third is the first that neither a reload nor going back once explains",
    within="from the first to the last of them; our choice: people compare repairs over days, not over months",
)
def price_checked_repeatedly(times: int = 3, within: str = "7 d") -> Pattern:
    """The same price again and again.

    One price is one page: a site with a calculator for all prices on one page counts its uses.
    """
    return (
        Pattern(
            "price_checked_repeatedly",
            f"The price on one page was checked {times} times within {within}",
            severity="info",
            tags=("price", "intent"),
            owner="sales",
        )
        .begin("checked", event == "price_checked")
        .times(times)
        .within(within)
        .same("path")
        .skip_past_last()
    )
