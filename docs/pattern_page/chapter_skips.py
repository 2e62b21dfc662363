"""Which of several matches count, for which values a pattern runs, and what goes with a match."""

from docs.pattern_page.example import Chapter, stream
from footfall import Pattern, event, first, last, taken

SKIPS = Chapter(
    "After a match",
    "A skip strategy says which further matches a match rules out. Matches count in the order of their first events; "
    "one that a partial match with an earlier first event could still rule out waits for it: for ever, where nothing "
    "bounds that partial match, so give a pattern with a skip strategy a `within`. The same pattern over the same "
    "stream five times: three views, then two or three purchases.",
)
WALK = "view view view buy view view view buy buy"


@SKIPS.example("no_skip", stream(WALK))
def _no_skip() -> Pattern:
    """Every match counts; the default."""
    return (
        Pattern("no_skip")
        .begin("view", event == "view")
        .times(3)
        .followed_by("buy", event == "buy")
        .times(2, 3)
        .no_skip()
    )


@SKIPS.example("skip_to_next", stream(WALK))
def _skip_to_next() -> Pattern:
    """A match rules out the others that begin with the same event."""
    return (
        Pattern("skip_to_next")
        .begin("view", event == "view")
        .times(3)
        .followed_by("buy", event == "buy")
        .times(2, 3)
        .skip_to_next()
    )


@SKIPS.example("skip_past_last", stream(WALK))
def _skip_past_last() -> Pattern:
    """A match rules out those that begin before its last event has passed: no two matches overlap."""
    return (
        Pattern("skip_past_last")
        .begin("view", event == "view")
        .times(3)
        .followed_by("buy", event == "buy")
        .times(2, 3)
        .skip_past_last()
    )


@SKIPS.example("skip_to_first", stream(WALK))
def _skip_to_first() -> Pattern:
    """A match rules out those that begin before its first event of a stage.

    The first match's first purchase is at 3 s; what begins from there on counts.
    """
    return (
        Pattern("skip_to_first")
        .begin("view", event == "view")
        .times(3)
        .followed_by("buy", event == "buy")
        .times(2, 3)
        .skip_to_first("buy")
    )


@SKIPS.example("skip_to_last", stream(WALK))
def _skip_to_last() -> Pattern:
    """A match rules out those that begin before its last event of a stage.

    Where that stage took none (it may be optional), nothing is ruled out; `raise_on_miss=True` makes it an error.
    """
    return (
        Pattern("skip_to_last")
        .begin("view", event == "view")
        .times(3)
        .followed_by("buy", event == "buy")
        .times(2, 3)
        .skip_to_last("view")
    )


SAME = Chapter(
    "For each value of a field, and what goes with a match",
    "A pattern always runs for each visitor on its own.",
)


@SAME.example("same(field)", stream("click click click click", element=["#buy", "#help", None, "#buy"]))
def _same() -> Pattern:
    """It then runs for each value of the field on its own, skip strategies included.

    An event without the field takes no part.
    """
    return Pattern("same").begin("click", event == "click").times(2).same("element")


@SAME.example("Not the same", stream("click click click click", element=["#buy", "#help", None, "#buy"]))
def _not_same() -> Pattern:
    """Without it, any two clicks will do."""
    return Pattern("not_same").begin("click", event == "click").times(2)


@SAME.example(
    "same, with an absence",
    stream("type type submit", element=["#name", "#mail", "#mail"]),
)
def _same_with_an_absence() -> Pattern:
    """What must not come is looked for among the events with the same value, too.

    The `submit` of `#mail` stands in the way of what was typed there alone; one without an `element` would stand in
    nobody's way.
    """
    return (
        Pattern("same_with_an_absence")
        .begin("type", event == "type")
        .not_followed_by("submit", event == "submit")
        .within("5 s")
        .same("element")
    )


@SAME.example(
    "Output",
    stream("add add pay", value=[20, 35, None], sku=["tv", "radio", None], method=[None, None, "card"]),
)
def _output() -> Pattern:
    """Values that go with the match, made from its events by stage: one event's, a figure, or a sum of such."""
    return (
        Pattern("output")
        .begin("add", event == "add")
        .one_or_more()
        .greedy()
        .followed_by("pay", event == "pay")
        .skip_past_last()
        .output(
            first=first("add").property_("sku"),
            total=taken("add").sum("value"),
            dearest=taken("add").max("value"),
            waited_ms=last("pay").field("event_time") - last("add").field("event_time"),
            paid_by=last("pay").property_("method"),
        )
    )
