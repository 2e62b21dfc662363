"""What events must be like: their own values, those of events taken before, and figures over these."""

import polars as pl

from docs.pattern_page.example import Chapter, stream
from footfall import (
    Pattern,
    any_of,
    event,
    field,
    first,
    last,
    prev,
    property_,
    subtype,
    taken,
)
from footfall.expression import polars_condition

CONDITIONS = Chapter(
    "Conditions on an event",
    "`event` is the event's name, `field` one of the envelope's fields, `property_` a value in its properties. "
    "Compare and calculate with them, ask `is_in`, `starts_with`, `ends_with`, `contains`, `is_null`, and join with "
    "`&`, `|` and `~` (Python's `and`, `or` and `not` are refused). A condition is checked when the pattern is built.",
)


@CONDITIONS.example(
    "Fields and properties",
    stream("view view view", path=["/shop/tv", "/shop/radio", "/help"], price=[900, 40, 900]),
)
def _fields() -> Pattern:
    """In a run, `price` comes in the event's properties; in a frame for `match`, a column of its own will do."""
    dear = property_("price", "number") * 1.2 > 1000
    return Pattern("fields").begin("view", (event == "view") & field("path").starts_with("/shop") & dear)


@CONDITIONS.example("Missing values", stream("view view view view", value=[10, None, 90, None]))
def _missing() -> Pattern:
    """A comparison with a missing value is unknown, so is its opposite, and unknown is not true.

    So neither `field("value") < 50` nor its opposite takes an event without a value.
    """
    return Pattern("missing").begin("not_small", ~(field("value") < 50))


@CONDITIONS.example("Missing values, asked for", stream("view view view view", value=[10, None, 90, None]))
def _asked_for() -> Pattern:
    """`is_null` and `is_not_null` are never unknown."""
    return Pattern("asked_for").begin("not_small", ~(field("value") < 50) | field("value").is_null())


@CONDITIONS.example("Event subtypes", stream("booking booking_paid bookings view_booking"))
def _subtypes() -> Pattern:
    """The type is in the event's name: `subtype("booking")` takes `booking` and all that begins with `booking_`."""
    return Pattern("subtypes").begin("booking", subtype("booking"))


@CONDITIONS.example("A Polars expression", stream("view view view", path=["/a", "/shop/tv", "/b"]))
def _polars() -> Pattern:
    """What the language lacks is written in Polars, with words for people; it must judge each event alone.

    It reads the columns as they are kept: `value` in millionths. Import it from `footfall.expression`.
    """
    return Pattern("polars").begin(
        "deep", polars_condition(pl.col("path").str.count_matches("/") > 1, words="a deep page")
    )


TAKEN = Chapter(
    "Conditions on what was taken before",
    "A condition can ask what earlier stages of the same partial match took, and what its own stage took so far.",
)


@TAKEN.example("first", stream("click click click click", x=[10, 30, 200, 15]))
def _first() -> Pattern:
    """The first event that a stage took: two more clicks within 30 px of it. `first("click", 1)` is the second one."""
    right = field("x") - first("start").field("x")
    return (
        Pattern("first")
        .begin("start", event == "click")
        .followed_by("near", (event == "click") & (right < 30) & (right > -30))
        .times(2)
    )


@TAKEN.example("last", stream("view view buy buy", value=[30, 20, 25, 15]))
def _last() -> Pattern:
    """The last event that a stage took so far: for less than it. `last("view", 1)` is the one before the last."""
    return (
        Pattern("last")
        .begin("view", event == "view")
        .times(2)
        .followed_by("buy", (event == "buy") & (field("value") < last("view").field("value")))
    )


@TAKEN.example("Each more than the one before", stream("bid bid bid bid", value=[10, 30, 20, 40]))
def _rising() -> Pattern:
    """A loop that asks its own stage: nothing was taken yet, or this is more than the last.

    The lower bid at 2 s is skipped, since the loop is relaxed.
    """
    higher = (taken("bid").count() == 0) | (field("value") > last("bid").field("value"))
    return Pattern("rising").begin("bid", (event == "bid") & higher).times(3)


@TAKEN.example("any_of", stream("view view buy buy", path=["/tv", "/radio", "/oven", "/tv"]))
def _any_of() -> Pattern:
    """True if it is true of one of the stage's events."""
    return (
        Pattern("any_of")
        .begin("view", event == "view")
        .times(2)
        .followed_by("buy", (event == "buy") & (field("path") == any_of("view").field("path")))
    )


@TAKEN.example("prev", stream("search view help view search view"))
def _prev() -> Pattern:
    """A value of the visitor's event before this one (`n` events before: `prev("event", n)`), taken or not."""
    return Pattern("prev").begin("view", (event == "view") & (prev("event") == "search"))


AGGREGATES = Chapter(
    "Figures over what was taken",
    "`taken(stage)` gives count, sum, min, max, mean and distinct over the events that a stage took so far. Missing "
    "values are left out. Over nothing, count, sum and distinct are 0; min, max and mean are unknown. The event at "
    "hand is left out too, unless `plus_current` asks for it.",
)


@AGGREGATES.example("count", stream("view help view view help"))
def _count() -> Pattern:
    """Help after at least three views."""
    return (
        Pattern("count")
        .begin("view", event == "view")
        .one_or_more()
        .greedy()
        .followed_by_any("help", (event == "help") & (taken("view").count() >= 3))
        .skip_past_last()
    )


@AGGREGATES.example("sum", stream("add add add", value=[40, 50, 30]))
def _sum() -> Pattern:
    """The event that carries the total over 100, itself included."""
    return (
        Pattern("sum")
        .begin("add", event == "add")
        .one_or_more()
        .next("over", (event == "add") & (taken("add").sum("value") + field("value") > 100))
    )


@AGGREGATES.example("sum, plus_current", stream("add add add pay", value=[40, 50, 30, None]))
def _plus_current() -> Pattern:
    """In a loop's own condition, `plus_current` counts the event that is being judged: up to 100 in all.

    The third one would make it 120, so it isn't taken.
    """
    up_to_100 = taken("add").sum("value", plus_current=True) <= 100
    return (
        Pattern("plus_current")
        .begin("add", (event == "add") & up_to_100)
        .one_or_more()
        .greedy()
        .followed_by("pay", event == "pay")
        .skip_past_last()
    )


@AGGREGATES.example("min, max", stream("view view view buy", value=[20, 90, 50, None]))
def _min_max() -> Pattern:
    """The prices that were looked at lie far apart."""
    return (
        Pattern("min_max")
        .begin("view", event == "view")
        .times(3)
        .followed_by("buy", (event == "buy") & (taken("view").max("value") > 4 * taken("view").min("value")))
    )


@AGGREGATES.example("mean", stream("view view buy buy", value=[20, 40, 50, 25]))
def _mean() -> Pattern:
    """A purchase for less than the mean of what was looked at."""
    return (
        Pattern("mean")
        .begin("view", event == "view")
        .times(2)
        .followed_by("buy", (event == "buy") & (field("value") < taken("view").mean("value")))
    )


@AGGREGATES.example("distinct", stream("view view view help", path=["/tv", "/tv", "/radio", None]))
def _distinct() -> Pattern:
    """Two different pages, or more; reloading one isn't enough."""
    return (
        Pattern("distinct")
        .begin("view", event == "view")
        .at_least(2)
        .followed_by("help", (event == "help") & (taken("view").distinct("path") >= 2))
    )
