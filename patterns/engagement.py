"""Visitors who are all attention, and nothing comes of it."""

from footfall import Pattern, event, property_, taken
from footfall.pattern_parameters import parameters
from footfall.trigger_rule import TriggerRule

CONVERSIONS = ["booking_completed", "order_completed"]


@parameters(
    pages="page views at a visit's beginning; GA4 calls a session engaged from two on "
    "(support.google.com/analytics/answer/12798876); that five are high engagement is our choice",
    different_pages="of which so many differ; our choice, so that reloading one page isn't enough",
    read_percent="how far a page is then scrolled; GA4's `scroll` event comes at 90% of its height "
    "(support.google.com/analytics/answer/9216061)",
    within="the visit's conversion is waited for as long, and a page view that long after the one before begins a "
    "visit; 30 minutes of inactivity end a session in GA4 (support.google.com/analytics/answer/12798876) and here",
)
def high_engagement_no_conversion(
    pages: int = 5, different_pages: int = 4, read_percent: int = 90, within: str = "30 min"
) -> Pattern:
    """A visit with many pages, one of them read to its end, and no conversion."""
    return (
        Pattern(
            "high_engagement_no_conversion",
            f"A visit began with {pages} page views of {different_pages} pages or more, a page was then read to "
            f"{read_percent}%, and no booking or order was completed within {within}",
            severity="info",
            tags=("engagement", "conversion"),
            owner="marketing",
        )
        .absent("earlier", event == "page_view", for_=within)
        .begin("pages", event == "page_view")
        .times(pages)
        .not_followed_by("converted_already", event.is_in(CONVERSIONS))
        .followed_by(
            "read",
            (event == "scroll_milestone")
            & (property_("percent", "number") >= read_percent)
            & (taken("pages").distinct("path") >= different_pages),
        )
        .not_followed_by("converted", event.is_in(CONVERSIONS))
        .within(within)
    )


engaged_visitor_offer = TriggerRule(
    "engaged_visitor_offer",
    pattern="high_engagement_no_conversion",
    action="send_offer",
    delay="24 h",
    withdrawn_by=event.is_in(CONVERSIONS),
    cooldown="72 h",
    description="Make an offer a day after a visit that was all attention and led to no booking or order. A day is our "
    "choice, within the 48 hours in which Postscript writes to who looked around, once in 72 hours as there "
    "(help.postscript.io, article 6036205168539)",
    owner="marketing",
    tags=("engagement", "conversion"),
)
