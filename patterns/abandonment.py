"""Visitors who began something and didn't finish it in time."""

from footfall.expression import event
from footfall.pattern import Pattern

# Half an hour is the gap after which a session is taken to have ended.
PATIENCE = "30 min"

booking_abandoned = (
    Pattern(
        "booking_abandoned",
        "A booking was started and not completed within 30 minutes",
        severity="warning",
        tags=("abandonment", "booking"),
        owner="marketing",
    )
    .begin("started", event == "booking_started")
    .not_followed_by("completed", event == "booking_completed")
    .within(PATIENCE)
)

cart_abandoned = (
    Pattern(
        "cart_abandoned",
        "A product was put into the cart and no order completed within 30 minutes",
        severity="info",
        tags=("abandonment", "shop"),
        owner="marketing",
    )
    .begin("added", event == "product_added")
    .not_followed_by("ordered", event == "order_completed")
    .within(PATIENCE)
)

checkout_abandoned = (
    Pattern(
        "checkout_abandoned",
        "A checkout was started and no order completed within 30 minutes",
        severity="warning",
        tags=("abandonment", "shop"),
        owner="marketing",
    )
    .begin("started", event == "checkout_started")
    .not_followed_by("ordered", event == "order_completed")
    .within(PATIENCE)
)
