"""Visitors whom the site doesn't answer as they expect."""

from footfall.expression import event
from footfall.pattern import Pattern

rage_click = (
    Pattern(
        "rage_click",
        "Three clicks on one element within a second",
        severity="warning",
        tags=("frustration", "ux"),
        owner="ux",
    )
    .begin("click", event == "click")
    .times(3)
    .within("1 s")
    .same("element")
    .skip_past_last()
)
