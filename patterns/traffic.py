"""Traffic that isn't people's."""

from footfall import Pattern, event, field
from footfall.pattern_parameters import parameters

SOURCE = (
    "Narrator's query over Segment's page views takes visitors with more than 10 of them, less than a second apart on "
    "average (askmavis.ai/blog/identifying-bot-traffic-with-sql)"
)


@parameters(
    times=f"page views; {SOURCE}: 11",
    within=f"from the first to the last of them; {SOURCE}: ten gaps of less than 1 s are less than 10 s",
)
def bot_like_traffic(times: int = 11, within: str = "10 s") -> Pattern:
    """Pages faster than anyone reads; robots that name themselves in the user agent are known, and left out."""
    return (
        Pattern(
            "bot_like_traffic",
            f"{times} page views within {within} by a visitor who isn't known to be a robot",
            severity="warning",
            tags=("bot", "quality"),
            owner="operations",
        )
        .begin("views", (event == "page_view") & ~field("bot"))
        .times(times)
        .within(within)
        .skip_past_last()
    )
