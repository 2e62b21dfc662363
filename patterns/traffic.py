"""Traffic that isn't people's."""

from footfall.expression import event, field
from footfall.pattern import Pattern

# More than ten page views with less than a second between them on average, the bar of a published query over
# Segment's page views (askmavis.ai/blog/identifying-bot-traffic-with-sql): 11 views, first to last in less than 10 s.
PAGE_VIEWS = 11
WITHIN = "10 s"

# Robots that name themselves in the user agent are marked already, and left out.
bot_like_traffic = (
    Pattern(
        "bot_like_traffic",
        "Eleven page views in less than 10 seconds by a visitor who isn't known to be a robot",
        severity="warning",
        tags=("bot", "quality"),
        owner="operations",
    )
    .begin("views", (event == "page_view") & ~field("bot"))
    .times(PAGE_VIEWS)
    .within(WITHIN)
    .skip_past_last()
)
