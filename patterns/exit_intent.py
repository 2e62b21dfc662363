"""Visitors who are about to leave."""

from footfall import Pattern, any_of, event, taken
from footfall.pattern_parameters import parameters

# Whoever began to book or to check out has the patterns about abandonment.
STEPS = ["booking_started", "booking_completed", "checkout_started", "order_completed"]


@parameters(
    within="from the price to leaving; our choice: time to read one offer, and short enough that the price is still "
    "why the visitor leaves",
)
def exit_intent(within: str = "10 min") -> Pattern:
    """A price was looked at, and the pointer left the page."""
    return (
        Pattern(
            "exit_intent",
            f"A price was checked and, with no booking started, the visitor turned to leave within {within}",
            severity="info",
            tags=("exit", "booking"),
            owner="marketing",
        )
        .begin("checked", event == "price_checked")
        .not_followed_by("booked", event == "booking_started")
        .followed_by("leaving", event == "exit_intent")
        .within(within)
    )


@parameters(
    checks="price checks that are as good as a full cart; our choice: one is what `exit_intent` asks for, the second "
    "is more than curiosity",
    within="how long interest counts; 30 minutes of inactivity end a session in GA4 "
    "(support.google.com/analytics/answer/12798876) and in Footfall: for as long as the visit lasts",
)
def exit_intent_high_intent(checks: int = 2, within: str = "30 min") -> Pattern:
    """Price checks or a full cart, and then the pointer left the page."""
    return (
        Pattern(
            "exit_intent_high_intent",
            f"With something in the cart, or after {checks} price checks, and no step towards a booking or an order "
            f"since, the visitor turned to leave within {within}",
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
                (any_of("interest").field("event") == "product_added") | (taken("interest").count() >= checks)
            ),
        )
        .within(within)
        .skip_past_last()
    )
