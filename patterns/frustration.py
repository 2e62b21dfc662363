"""Visitors whom the site doesn't answer as they expect."""

from footfall.expression import event, field
from footfall.pattern import Pattern
from footfall.taken import first, last, taken

# PostHog's defaults for its $rageclick (posthog.com/docs/references/posthog-js, RageclickConfig: `click_count` 3,
# `timeout_ms` 1000 "between the first and last click", `threshold_px` 30, "maximum pixel distance between clicks").
RAGE_CLICKS = 3
RAGE_WITHIN = "1 s"
RAGE_DISTANCE_PX = 30

# How long PostHog waits for the page to change before it calls a click dead (`mutation_threshold_ms`: 2500 in
# posthog-js; Statsig's `MUTATION_DELAY_MS` is the same).
REACTION_WITHIN = "2500 ms"

# Datadog and Fullstory count a script error "right after" a click without saying how long; two seconds is our
# choice: time for one request to fail, and too short for the next thing that the visitor does.
ERROR_WITHIN = "2 s"

# What isn't an answer of the page: the visitor's own doings, and errors, which nobody sees.
NO_REACTIONS = [
    "click",
    "exit_intent",
    "heartbeat",
    "mouse_moved",
    "page_left",
    "script_error",
    "scroll_milestone",
]

# Buttons alone: a link may lead to another site, a telephone or a download, which leaves no trace here (posthog-js
# leaves links out for the same reason since 1.374.0).
element = field("element")
ON_BUTTON = (
    element.starts_with("button")
    | (element.starts_with("input") & (element.contains("submit") | element.contains("button")))
    | element.contains("role=button")
    | element.contains('role="button"')
)

# Controls that are meant to be clicked fast: posthog-js leaves out next, previous and +/- controls and text fields too
# (`content_ignorelist`, `ignore_text_selection`).
named = element.lower()
MEANT_FOR_FAST_CLICKS = (
    named.contains("next")
    | (named.contains("prev") & ~named.contains("preview"))
    | named.contains("plus")
    | named.contains("minus")
    | (
        named.starts_with("input")
        & ~named.contains("submit")
        & ~named.contains("button")
        & ~named.contains("checkbox")
        & ~named.contains("radio")
        & ~named.contains("image")
    )
    | named.starts_with("textarea")
    | named.contains("contenteditable")
)

to_the_right = field("x") - first("click").field("x")
downwards = field("y") - first("click").field("y")
HITS_THE_FIRST = (element == first("click").field("element")) | (
    to_the_right * to_the_right + downwards * downwards <= RAGE_DISTANCE_PX * RAGE_DISTANCE_PX
)

rage_click = (
    Pattern(
        "rage_click",
        "Three clicks within a second on one element or within 30 px, on nothing that is meant for fast clicking",
        severity="warning",
        tags=("frustration", "ux"),
        owner="ux",
    )
    .begin(
        "click",
        (event == "click")
        & (element.is_null() | ~MEANT_FOR_FAST_CLICKS)
        & ((taken("click").count() == 0) | HITS_THE_FIRST),
    )
    .times(RAGE_CLICKS)
    .within(RAGE_WITHIN)
    .skip_past_last()
)

dead_click = (
    Pattern(
        "dead_click",
        "A button was clicked, and for 2.5 seconds nothing came of it",
        severity="info",
        tags=("frustration", "ux"),
        owner="ux",
    )
    .begin("click", (event == "click") & ON_BUTTON)
    .not_followed_by("reaction", ~event.is_in(NO_REACTIONS))
    .within(REACTION_WITHIN)
)

# The last click before the error is the one that is blamed.
error_click = (
    Pattern(
        "error_click",
        "A script failed within 2 seconds of a click",
        severity="warning",
        tags=("frustration", "error", "ux"),
        owner="engineering",
    )
    .begin("click", event == "click")
    .not_followed_by("another", event == "click")
    .followed_by("error", event == "script_error")
    .within(ERROR_WITHIN)
)

# Fullstory calls it a thrashed cursor when it is moved "erratically back and forth" and says no number. Ours: there and
# back three times in two seconds, 100 px or more each way, is more than looking for something takes.
SWINGS = 3
SWINGS_WITHIN = "2 s"
SWING_PX = 100

thrashed_cursor = (
    Pattern(
        "thrashed_cursor",
        "The pointer went right and back three times within 2 seconds, 100 px or more each way",
        severity="info",
        tags=("frustration", "ux"),
        owner="ux",
    )
    .begin("start", event == "mouse_moved")
    .followed_by(
        "swing",
        Pattern("swing")
        .begin("there", (event == "mouse_moved") & (field("x") - first("start").field("x") >= SWING_PX))
        .followed_by("back", (event == "mouse_moved") & (last("there").field("x") - field("x") >= SWING_PX)),
    )
    .times(SWINGS)
    .within(SWINGS_WITHIN)
    .skip_past_last()
)
