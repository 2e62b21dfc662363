"""Visitors who are about to leave."""

from footfall.expression import event
from footfall.pattern import Pattern
from footfall.taken import any_of, taken

# Our choice: time to read one offer, and short enough that the price is still why the visitor leaves.
LEAVING_WITHIN = "10 min"

# The inactivity that ends a session in GA4 (support.google.com/analytics/answer/12798876) and in Footfall: interest
# counts for as long as the visit lasts.
INTEREST_WITHIN = "30 min"

# Our choice: one price check is what `exit_intent` asks for; the second one is what makes it more than curiosity.
SIGNS_OF_INTEREST = 2

# Whoever began to book or to check out has the patterns about abandonment.
STEPS = ["booking_started", "booking_completed", "checkout_started", "order_completed"]

exit_intent = (
    Pattern(
        "exit_intent",
        "A price was checked and, with no booking started, the visitor turned to leave within 10 minutes",
        severity="info",
        tags=("exit", "booking"),
        owner="marketing",
    )
    .begin("checked", event == "price_checked")
    .not_followed_by("booked", event == "booking_started")
    .followed_by("leaving", event == "exit_intent")
    .within(LEAVING_WITHIN)
)

exit_intent_high_intent = (
    Pattern(
        "exit_intent_high_intent",
        "With something in the cart, or after two price checks, and no step towards a booking or an order since, "
        "the visitor turned to leave within 30 minutes",
        severity="warning",
        tags=("exit", "intent", "booking", "shop"),
        owner="marketing",
    )
    .begin("interest", event.is_in(["price_checked", "product_added"]))
    .one_or_more()
    .greedy()
    .not_followed_by("step", event.is_in(STEPS))
    .followed_by(
        "leaving",
        (event == "exit_intent")
        & (
            (any_of("interest").field("event") == "product_added")
            | (taken("interest").count() >= SIGNS_OF_INTEREST)
        ),
    )
    .within(INTEREST_WITHIN)
    .skip_past_last()
)
