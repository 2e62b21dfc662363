"""Visitors whom the site doesn't answer as they expect."""

from footfall import Pattern, event, field, first, last, taken
from footfall.pattern_parameters import parameters

element = field("element")
named = element.lower()

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
ON_BUTTON = (
    named.starts_with("button")
    | (named.starts_with("input") & (named.contains("submit") | named.contains("button")))
    | named.contains("role=button")
    | named.contains('role="button"')
)

# What posthog-js leaves out as well: next and previous, + and -, and text fields, where three clicks select a line
# (`content_ignorelist` and `ignore_text_selection`: github.com/PostHog/posthog-js, release 1.382.0).
# A bare sign is meant where it is all there is; `__next` is the frame that Next.js puts around a whole site.
MEANT_FOR_FAST_CLICKS = (
    (named.contains("next") & ~named.contains("__next"))
    | (named.contains("prev") & ~named.contains("preview") & ~named.contains("prevent"))
    | named.contains("plus")
    | named.contains("minus")
    | named.is_in(["+", "-", "<", ">"])
    | named.starts_with("textarea")
    | named.contains("contenteditable")
    | (
        named.starts_with("input")
        & ~named.contains("submit")
        & ~named.contains("button")
        & ~named.contains("checkbox")
        & ~named.contains("radio")
        & ~named.contains("image")
    )
)

POSTHOG = "PostHog's default (posthog.com/docs/references/posthog-js, RageclickConfig:"


@parameters(
    times=f"clicks; {POSTHOG} `click_count` 3)",
    within=f"from the first to the last of them; {POSTHOG} `timeout_ms` 1000)",
    distance_px=f"how far from the first one the others may be on other elements; {POSTHOG} `threshold_px` 30)",
)
def rage_click(times: int = 3, within: str = "1 s", distance_px: int = 30) -> Pattern:
    """Clicks in quick succession on something that doesn't answer."""
    to_the_right = field("x") - first("click").field("x")
    downwards = field("y") - first("click").field("y")
    hits_the_first = (element == first("click").field("element")) | (
        to_the_right * to_the_right + downwards * downwards <= distance_px * distance_px
    )
    return (
        Pattern(
            "rage_click",
            f"{times} clicks within {within} on one element or within {distance_px} px, on nothing that is meant for "
            "fast clicking",
            severity="warning",
            tags=("frustration", "ux"),
            owner="ux",
        )
        .begin(
            "click",
            (event == "click")
            & (element.is_null() | ~MEANT_FOR_FAST_CLICKS)
            & ((taken("click").count() == 0) | hits_the_first),
        )
        .times(times)
        .within(within)
        .skip_past_last()
        .output(element=first("click").field("element"), path=first("click").field("path"))
    )


@parameters(
    within="how long the page may take to answer; 2500 ms in posthog-js (`mutation_threshold_ms`) and in Statsig's "
    "client (`MUTATION_DELAY_MS`)",
)
def dead_click(within: str = "2500 ms") -> Pattern:
    """A click on a button, and nothing happens."""
    return (
        Pattern(
            "dead_click",
            f"A button was clicked, and for {within} nothing came of it",
            severity="info",
            tags=("frustration", "ux"),
            owner="ux",
        )
        .begin("click", (event == "click") & ON_BUTTON)
        .not_followed_by("reaction", ~event.is_in(NO_REACTIONS))
        .within(within)
    )


@parameters(
    within='from the click to the error; Datadog (docs.datadoghq.com, frustration signals: "right before a JavaScript '
    'error occurs") and Fullstory (help.fullstory.com, 360020624154) say no number. Two seconds are our choice: time '
    "for one request to fail, and too short for the next thing that a visitor does",
)
def error_click(within: str = "2 s") -> Pattern:
    """A script failed after a click; the last click before the error is the one that is blamed."""
    return (
        Pattern(
            "error_click",
            f"A script failed within {within} of a click",
            severity="warning",
            tags=("frustration", "error", "ux"),
            owner="engineering",
        )
        .begin("click", event == "click")
        .not_followed_by("another", event == "click")
        .followed_by("error", event == "script_error")
        .within(within)
    )


@parameters(
    swings="times there and back; Amplitude asks for 10 turns of either axis, however small "
    "(amplitude/Amplitude-TypeScript, track-thrashed-cursor: `directionChanges`). Three wide ones are our choice: more "
    "than looking for something takes",
    within="from the first to the last move; 2000 ms at Amplitude (the same file, `thresholdMs`)",
    width_px="how wide each way is at least; our choice, about a button's width: a trembling hand doesn't count",
)
def thrashed_cursor(swings: int = 3, within: str = "2 s", width_px: int = 100) -> Pattern:
    """The pointer is shaken to and fro, "erratically back and forth" (Fullstory, help.fullstory.com, 360020624154)."""
    return (
        Pattern(
            "thrashed_cursor",
            f"The pointer went right and back {swings} times within {within}, {width_px} px or more each way",
            severity="info",
            tags=("frustration", "ux"),
            owner="ux",
        )
        .begin("start", event == "mouse_moved")
        .followed_by(
            "swing",
            Pattern("swing")
            .begin("there", (event == "mouse_moved") & (field("x") - first("start").field("x") >= width_px))
            .followed_by(
                "back", (event == "mouse_moved") & (last("there").field("x") - field("x") >= width_px)
            ),
        )
        .times(swings)
        .within(within)
        .skip_past_last()
    )
