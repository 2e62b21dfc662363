"""Visitors who are about to leave."""

from footfall.expression import event
from footfall.pattern import Pattern

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
    .within("10 min")
)
