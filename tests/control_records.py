"""Control records for tests."""

from footfall.control_record import ControlRecord
from footfall.expression import event
from footfall.match_output import output
from footfall.pattern import Pattern
from footfall.taken_events import last
from footfall.trigger_rule import TriggerRule

T0 = 1_760_000_000_123
"""An event time (ms)."""

LEFT = (
    Pattern("left", "Éine Seite 🛒 verlassen", tags=("a",))
    .begin("cart", event == "cart")
    .not_followed_by("buy", event.is_in(["buy", "order"]))
    .within("30 min")
    .output(form=last("cart").field("element"))
)
REMIND = TriggerRule(
    "remind",
    pattern="left",
    action="mail",
    delay="1 h",
    withdrawn_by=event == "buy",
    cap=(2, "7 d"),
    fields={"form": output("form"), "all": 3, "x": 1.5},
)


def clicks(times: int) -> Pattern:
    """A version of the pattern `clicks`, as many clicks long."""
    return Pattern("clicks").begin("click", event == "click").times(times).within("1 s").same("element")


def control_record(number: int, *, times: int | None = None, written_at: int | None = None) -> ControlRecord:
    """Record `number`: in force from a minute after the one before it; `times` makes a version of one pattern."""
    return ControlRecord(
        number=number,
        since=None if number == 0 else T0 + 60_000 * number,
        patterns=(LEFT, clicks(number + 2 if times is None else times)),
        rules=(REMIND,),
        deployed={"remind": T0 - 1},
        written_at=T0 + number if written_at is None else written_at,
    )
