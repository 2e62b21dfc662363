"""Patterns that have something of everything that a picture shows, for tests of how patterns are shown."""

from footfall.expression import event
from footfall.pattern import Pattern
from footfall.pattern_stage import all_of_any_order, stage

RICH = (
    Pattern("rich", "Something of everything: <tags> & more", severity="warning", tags=("a", "b"), owner="ux")
    .absent("quiet", event == "noise", for_="1 h")
    .begin("start", event == "session_started")
    .followed_by("clicks", event == "click")
    .times(2, 5, each_within="10 s")
    .optional()
    .next(stage("call", event == "call") | stage("chat", event == "chat"), within="5 min")
    .followed_by_any(
        "basket",
        Pattern("basket")
        .begin("add", event == "product_added")
        .not_followed_by("drop", event == "product_removed")
        .followed_by("look", event == "cart_viewed")
        .one_or_more()
        .greedy(),
    )
    .times(2)
    .followed_by(all_of_any_order(stage("price", event == "price_checked"), stage("terms", event == "terms")))
    .followed_by("last", event == "page_view")
    .at_least(3)
    .consecutive()
    .until(event == "logout")
    .not_next("gone", event == "x")
    .within("2 h")
    .same("element")
    .skip_to_first("start")
    .tie_order("element")
    .with_timeouts()
    .check()
)

ABSENCE = (
    Pattern("absence", "Begun and not ended")
    .begin("begun", event == "a")
    .not_followed_by("ended", event == "b")
    .within("10 min")
    .check()
)

LOOP = Pattern("loop").begin("click", event == "click").times(3).within("1 s").check()

PLAIN = Pattern("plain").begin("any event").next("next one", event == "b").check()
