"""Visitors who weigh up a price."""

from footfall.expression import event
from footfall.pattern import Pattern

# Our choice; no source settles it. A day lets people sleep on it and is still soon enough for a call or a mail
# while the quote is fresh. It is also the longest wait that the end of an input releases.
QUOTE_VALID = "1 d"

# Our choice: the third look is the first that neither a reload nor going back once explains; a week, because
# people compare repairs over days and not over months.
CHECKS = 3
CHECKS_WITHIN = "7 d"

quote_viewed_not_booked = (
    Pattern(
        "quote_viewed_not_booked",
        "A quote was viewed and no booking completed within a day",
        severity="info",
        tags=("booking", "price"),
        owner="sales",
    )
    .begin("quote", event == "quote_viewed")
    .not_followed_by("booked", event == "booking_completed")
    .within(QUOTE_VALID)
)

# One price is one page: a site with a calculator for all prices on one page counts its uses.
price_checked_repeatedly = (
    Pattern(
        "price_checked_repeatedly",
        "The price on one page was checked three times within a week",
        severity="info",
        tags=("price", "intent"),
        owner="sales",
    )
    .begin("checked", event == "price_checked")
    .times(CHECKS)
    .within(CHECKS_WITHIN)
    .same("path")
    .skip_past_last()
)
