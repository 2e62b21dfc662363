"""Visitors who are all attention, and nothing comes of it."""

from footfall.expression import event, property_
from footfall.pattern import Pattern
from footfall.taken import taken

# The inactivity that ends a session in GA4 (support.google.com/analytics/answer/12798876) and in Footfall: a page view
# that long after the one before begins a visit, and the visit's conversion is waited for as long.
VISIT = "30 min"

# GA4 calls a session engaged from two page views on (same source). High engagement is our choice: five, of which four
# differ, so that reloading one page isn't enough.
PAGES = 5
DIFFERENT_PAGES = 4

# The depth at which GA4 counts a page as scrolled (its `scroll` event: 90% of the page's height).
READ_PERCENT = 90

CONVERSIONS = ["booking_completed", "order_completed"]

high_engagement_no_conversion = (
    Pattern(
        "high_engagement_no_conversion",
        "A visit began with five page views of four pages or more, a page was then read to its end, and no booking "
        "or order was completed within 30 minutes",
        severity="info",
        tags=("engagement", "conversion"),
        owner="marketing",
    )
    .absent("earlier", event == "page_view", for_=VISIT)
    .begin("pages", event == "page_view")
    .times(PAGES)
    .not_followed_by("converted_already", event.is_in(CONVERSIONS))
    .followed_by(
        "read",
        (event == "scroll_milestone")
        & (property_("percent", "number") >= READ_PERCENT)
        & (taken("pages").distinct("path") >= DIFFERENT_PAGES),
    )
    .not_followed_by("converted", event.is_in(CONVERSIONS))
    .within(VISIT)
)
