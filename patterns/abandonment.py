"""Visitors who began something and didn't finish it in time."""

from footfall import Pattern, event, last
from footfall.pattern_parameters import parameters
from footfall.trigger_rule import TriggerRule

SESSION_END = (
    "from what was begun; 30 minutes of inactivity end a session in GA4 (support.google.com/analytics/answer/12798876) "
    "and in Footfall: who hasn't finished by then left. Shops wait 10 minutes (developer.youcan.shop, abandoned-cart) "
    "to an hour (dev.wix.com, onCartAbandoned)"
)
FORM_SESSION_END = (
    "from the field; 30 minutes without an event end a form's session at Zuko, which then counts as abandoned "
    "(docs.zuko.io/knowledge-base/concepts)"
)


@parameters(within=SESSION_END)
def booking_abandoned(within: str = "30 min") -> Pattern:
    """A booking was started and not completed."""
    return (
        Pattern(
            "booking_abandoned",
            f"A booking was started and not completed within {within}",
            severity="warning",
            tags=("abandonment", "booking"),
            owner="marketing",
        )
        .begin("started", event == "booking_started")
        .not_followed_by("completed", event == "booking_completed")
        .within(within)
    )


@parameters(within=SESSION_END)
def cart_abandoned(within: str = "30 min") -> Pattern:
    """A cart was filled and nothing was ordered."""
    return (
        Pattern(
            "cart_abandoned",
            f"A product was put into the cart and no order completed within {within}",
            severity="info",
            tags=("abandonment", "shop"),
            owner="marketing",
        )
        .begin("added", event == "product_added")
        .not_followed_by("ordered", event == "order_completed")
        .within(within)
    )


@parameters(within=SESSION_END)
def checkout_abandoned(within: str = "30 min") -> Pattern:
    """A checkout was started and nothing was ordered."""
    return (
        Pattern(
            "checkout_abandoned",
            f"A checkout was started and no order completed within {within}",
            severity="warning",
            tags=("abandonment", "shop"),
            owner="marketing",
        )
        .begin("started", event == "checkout_started")
        .not_followed_by("ordered", event == "order_completed")
        .within(within)
    )


@parameters(within=FORM_SESSION_END)
def form_abandoned(within: str = "30 min") -> Pattern:
    """A form was begun and not submitted; the match names the field that was touched last.

    Each touch of a field ends the wait that the one before it began, so what stands is the last field touched, the
    "field abandon" of form analytics (zuko.io/guides/metric-definitions). `element` is the form: two don't mix.
    """
    return (
        Pattern(
            "form_abandoned",
            f"A field of a form was filled in, and for {within} no other field of it and no submission followed",
            severity="info",
            tags=("abandonment", "form"),
            owner="ux",
        )
        .begin("touched", event == "form_field_changed")
        .not_followed_by("continued", event.is_in(["form_field_changed", "form_submit"]))
        .within(within)
        .same("element")
        .output(form=last("touched").field("element"), last_field=last("touched").property_("field"))
    )


AN_HOUR = (
    "The hour is that after which Recover My Cart sends its first mail (intercom.help/recovermycart, article 8310107); "
    "once a day is our choice"
)

booking_reminder = TriggerRule(
    "booking_reminder",
    pattern="booking_abandoned",
    action="send_booking_reminder",
    delay="1 h",
    withdrawn_by=event == "booking_completed",
    cooldown="1 d",
    description=f"Remind of a booking that was begun an hour ago and not made. {AN_HOUR}",
    owner="marketing",
    tags=("abandonment", "booking"),
)

# Who goes on to the checkout is reminded of that alone.
cart_reminder = TriggerRule(
    "cart_reminder",
    pattern="cart_abandoned",
    action="send_cart_reminder",
    delay="1 h",
    withdrawn_by=event.is_in(["order_completed", "checkout_started"]),
    cooldown="1 d",
    description=f"Remind of a cart that was filled an hour ago and not ordered. {AN_HOUR}",
    owner="marketing",
    tags=("abandonment", "shop"),
)

checkout_reminder = TriggerRule(
    "checkout_reminder",
    pattern="checkout_abandoned",
    action="send_checkout_reminder",
    delay="1 h",
    withdrawn_by=event == "order_completed",
    cooldown="1 d",
    description=f"Remind of a checkout that was begun an hour ago and not finished. {AN_HOUR}",
    owner="marketing",
    tags=("abandonment", "shop"),
)
