"""Bounds on time, time-outs, and the order of events of the same time."""

from docs.pattern_page.example import Chapter, stream
from footfall import Pattern, event
from footfall.duration import format_duration
from footfall.pattern import LONGEST_WITHIN_MS

TIME = Chapter(
    "Time",
    'Durations are texts ("30 min", "1.5 h", "500 ms") in the units ms, s, min, h and d, a `timedelta`, or a number of '
    f"milliseconds; a bound is at most {format_duration(LONGEST_WITHIN_MS)}. All bounds are exclusive: an event that "
    "comes exactly then is too late. Time is the events' own; no clock is read.",
)


@TIME.example("within, of the whole match", stream("view buy view buy", at=[0, 2, 3, 6]))
def _within() -> Pattern:
    """All events lie less than this from the match's first one. It also bounds what the engine keeps in mind."""
    return Pattern("within").begin("view", event == "view").followed_by("buy", event == "buy").within("3 s")


@TIME.example("within, of a step", stream("view cart buy view cart buy", at=[0, 1, 3, 4, 5, 5.5]))
def _step_within() -> Pattern:
    """On the step into one stage: less than this since the last event that was taken."""
    return (
        Pattern("step_within")
        .begin("view", event == "view")
        .followed_by("cart", event == "cart")
        .followed_by("buy", event == "buy", within="1 s")
    )


@TIME.example(
    "within, of the step into a loop", stream("view click click view click click", at=[0, 2, 2.5, 4, 5, 7])
)
def _into_a_loop() -> Pattern:
    """`step_within` behind the stage says the same; of a loop, it bounds the step to its first event alone."""
    return (
        Pattern("into_a_loop")
        .begin("view", event == "view")
        .followed_by("click", event == "click")
        .times(2)
        .step_within("2 s")
    )


@TIME.example("within, of a loop's steps", stream("click click click click click", at=[0, 0.5, 1, 3, 3.5]))
def _each_within() -> Pattern:
    """`each_within` bounds every step of the loop, from each event to the next."""
    return Pattern("each_within").begin("click", event == "click").times(3, each_within="1 s")


@TIME.example("Timed-out partial matches", stream("cart pay cart search", at=[0, 1, 2, 3]))
def _timeouts() -> Pattern:
    """A partial match that ran out of time is given too, with the status `timed_out` and what it took."""
    return (
        Pattern("timeouts")
        .begin("cart", event == "cart")
        .followed_by("pay", event == "pay")
        .within("3 s")
        .with_timeouts()
    )


@TIME.example("Events of the same time", stream("buy view help", at=[1, 1, 2]))
def _same_time() -> Pattern:
    """They keep the order of arrival."""
    return Pattern("same_time").begin("view", event == "view").followed_by("buy", event == "buy")


@TIME.example("Events of the same time, ordered", stream("buy view help", at=[1, 1, 2], x=[2, 1, 0]))
def _tie_order() -> Pattern:
    """With `tie_order`, a field decides first: the view, with the smaller `x`, comes before the purchase.

    Those without the field go first.
    """
    return (
        Pattern("tie_order").begin("view", event == "view").followed_by("buy", event == "buy").tie_order("x")
    )
