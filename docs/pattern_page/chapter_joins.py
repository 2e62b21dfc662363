"""How stages join on to each other, and what must not come between, behind and before them."""

from docs.pattern_page.example import Chapter, stream
from footfall import Pattern, event

JOINS = Chapter(
    "How stages join on",
    "A pattern is a row of stages. Each takes one event, and the method that adds it says what may lie between that "
    "event and the one before it. The same stream three times:",
)


@JOINS.example("Strict: next", stream("view buy view help buy"))
def _strict() -> Pattern:
    """`next` takes the visitor's very next event; if that one doesn't fit, the partial match ends."""
    return Pattern("strict").begin("view", event == "view").next("buy", event == "buy")


@JOINS.example("Relaxed: followed_by", stream("view buy view help buy"))
def _relaxed() -> Pattern:
    """`followed_by` takes the first later event that fits, and skips what doesn't."""
    return Pattern("relaxed").begin("view", event == "view").followed_by("buy", event == "buy")


@JOINS.example("Non-deterministic relaxed: followed_by_any", stream("view buy view help buy"))
def _any() -> Pattern:
    """`followed_by_any` takes each later event that fits, for a match each; it may skip what fits too.

    Give such a pattern a bound (`within`), since each of its partial matches goes on waiting.
    """
    return Pattern("any").begin("view", event == "view").followed_by_any("buy", event == "buy")


ABSENCES = Chapter(
    "What must not come",
    "These stages take no event. In the pictures, an event that the pattern forbids is red. What `not_followed_by` "
    "forbids must not come in between: an event that the next stage takes isn't, even if it is of the forbidden kind, "
    "too.",
)


@ABSENCES.example("Not next", stream("view help buy view search buy"))
def _not_next() -> Pattern:
    """The very next event must not be like this; what comes after it may.

    The first view is followed directly by help, so it is given up.
    """
    return (
        Pattern("not_next")
        .begin("view", event == "view")
        .not_next("help", event == "help")
        .followed_by("buy", event == "buy")
    )


@ABSENCES.example("Not next, at the end", stream("view help view search view"))
def _not_next_at_the_end() -> Pattern:
    """At the end, `not_next` waits for one more event, and that event must not be like this.

    Nothing follows the last view, so it stays open: no time releases it.
    """
    return Pattern("not_next_at_the_end").begin("view", event == "view").not_next("help", event == "help")


@ABSENCES.example("Not followed by, in between", stream("view search help buy view search buy"))
def _not_followed_by() -> Pattern:
    """No such event may come before the next stage has taken its own."""
    return (
        Pattern("not_followed_by")
        .begin("view", event == "view")
        .not_followed_by("help", event == "help")
        .followed_by("buy", event == "buy")
    )


@ABSENCES.example("Not followed by, at the end", stream("cart search buy cart search", at=[0, 1, 2, 3, 4]))
def _not_followed_by_at_the_end() -> Pattern:
    """At the end, an absence is waited for until `within`, from the first event, is over: abandonment.

    The match comes when the time is up (the ring). An event exactly then comes too late to prevent it.
    """
    return (
        Pattern("cart_abandoned")
        .begin("cart", event == "cart")
        .not_followed_by("buy", event == "buy")
        .within("3 s")
    )


@ABSENCES.example(
    "Not followed by, at the end, from the last event", stream("view cart search", at=[0, 2, 3])
)
def _not_followed_by_within() -> Pattern:
    """With a `within` of its own, the absence is waited for from the last event that was taken."""
    return (
        Pattern("cart_left")
        .begin("view", event == "view")
        .followed_by("cart", event == "cart")
        .not_followed_by("buy", event == "buy", within="3 s")
    )


@ABSENCES.example("Absent, at the start", stream("view help view view", at=[0, 2, 4, 5]))
def _absent() -> Pattern:
    """Before `begin`: for so long, no such event came. The time before the visitor's first event is quiet.

    An event exactly that long before doesn't stand in the way, as the last view shows.
    """
    return Pattern("absent").absent("help", event == "help", for_="3 s").begin("view", event == "view")
