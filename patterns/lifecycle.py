"""What happens to customers over days and months."""

from footfall.expression import event, field
from footfall.pattern import Pattern

# Who did nothing for 30 days is no "monthly active user" any more, as Mapp and Braze count them (unique users within
# the last 30 days: docs.mapp.com/docs/active-users-monthly-mau, braze.com/docs, kpi/mau).
INACTIVE_AFTER = "30 d"

# Visitors who aren't known are in it too: whom to write to is the trigger rule's to say.
customer_inactive = (
    Pattern(
        "customer_inactive",
        "No event of a visitor for 30 days",
        severity="info",
        tags=("churn",),
        owner="marketing",
    )
    .begin("last", ~field("bot"))
    .not_followed_by("returned", event.is_not_null())
    .within(INACTIVE_AFTER)
)

# At once, without a threshold: how long to wait before a cross-sell is the trigger rule's to say.
service_completed = Pattern(
    "service_completed",
    "A service was completed",
    severity="info",
    tags=("service", "cross-sell"),
    owner="marketing",
).begin("completed", event == "service_completed")
