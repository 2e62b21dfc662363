"""What happens to customers over days and months."""

from footfall import Pattern, event, field, last
from footfall.pattern_parameters import parameters


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
