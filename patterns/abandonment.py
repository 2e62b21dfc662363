"""Visitors who began something and didn't finish it in time."""

from footfall.expression import event
from footfall.pattern import Pattern
from footfall.taken import last

# The inactivity that ends a session in GA4 ("By default, a session ends (times out) after 30 minutes of user
# inactivity", support.google.com/analytics/answer/12798876) and in Footfall: who hasn't finished by then left.
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

# Each touch of a field ends the wait that the one before it began, so what stands is the last field touched: the
# "field abandon" of form analytics ("the last field a visitor was interacting with before abandoning", Zuko,
# zuko.io/guides/metric-definitions). `element` is the form, so that two forms don't mix.
form_abandoned = (
    Pattern(
        "form_abandoned",
        "A field of a form was filled in, and for 30 minutes no other field of it and no submission followed",
        severity="info",
        tags=("abandonment", "form"),
        owner="ux",
    )
    .begin("touched", event == "form_field_changed")
    .not_followed_by("continued", event.is_in(["form_field_changed", "form_submit"]))
    .within(PATIENCE)
    .same("element")
    .output(form=last("touched").field("element"), last_field=last("touched").property_("field"))
)
