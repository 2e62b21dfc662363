"""The three patterns of the journey-1 benchmark."""

from footfall.expression import event
from footfall.pattern import Pattern

P1 = (
    Pattern("P1", "A booking that is begun and not completed within half an hour")
    .begin("started", event == "booking_started")
    .not_followed_by("completed", event == "booking_completed")
    .within("30 min")
)
P2 = (
    Pattern("P2", "Three clicks on one element within a second, each element on its own")
    .begin("click", event == "click")
    .times(3)
    .within("1 s")
    .same("element")
    .skip_past_last()
)
P3 = (
    Pattern("P3", "A price is checked, then the visitor makes to leave, with no booking begun in between")
    .begin("checked", event == "price_checked")
    .not_followed_by("booked", event == "booking_started")
    .followed_by("leaving", event == "exit_intent")
    .within("10 min")
)
