"""What happens to customers over days and months."""

from footfall import Pattern, event, field, last
from footfall.match_output import output
from footfall.pattern_parameters import parameters
from footfall.trigger_rule import TriggerRule


@parameters(
    within="from the last event; who did nothing for 30 days is no monthly active user any more, as Mapp "
    "(docs.mapp.com/docs/active-users-monthly-mau) and Braze (braze.com/docs, get_kpi_mau_30_days) count them",
)
def customer_inactive(within: str = "30 d") -> Pattern:
    """Nothing was seen of a visitor for long, robots left out.

    Visitors who aren't known are in it too: whom to write to is the trigger rule's to say.
    """
    return (
        Pattern(
            "customer_inactive",
            f"No event of a visitor for {within}",
            severity="info",
            tags=("churn",),
            owner="marketing",
        )
        .begin("last", ~field("bot"))
        .not_followed_by("returned", event.is_not_null())
        .within(within)
    )


# At once, and without a threshold: how long to wait before a cross-sell is the trigger rule's to say.
service_completed = (
    Pattern(
        "service_completed",
        "A service was completed",
        severity="info",
        tags=("service", "cross-sell"),
        owner="marketing",
    )
    .begin("completed", event == "service_completed")
    .output(
        service=last("completed").property_("service"),
        branch=last("completed").property_("branch"),
    )
)


win_back = TriggerRule(
    "win_back",
    pattern="customer_inactive",
    action="send_win_back",
    condition=field("user_id").is_not_null() & (field("conversions") > 0),
    description="Win back a known customer who has done nothing for as long as the pattern waits. At once: the pattern "
    "has waited long enough; that only who has bought is a customer is our choice",
    owner="marketing",
    tags=("churn",),
)

cross_sell = TriggerRule(
    "cross_sell",
    pattern="service_completed",
    action="send_cross_sell",
    delay="7 d",
    withdrawn_by=event == "booking_completed",
    cooldown="7 d",
    fields={"service": output("service"), "branch": output("branch")},
    description="Offer something else a week after a service, unless the next is booked already. A week after it came "
    "is when Acelle Mail writes again (knowledge.acellemail.com/articles/post-purchase-follow-up-automation); that one "
    "mail stands for all services of a week is our choice",
    owner="marketing",
    tags=("service", "cross-sell"),
)
