"""Footfall: a stream-processing engine for customer journeys.

In a notebook, the pattern language and the matcher are here:

    from footfall import Pattern, event, match
    bought = Pattern("bought").begin("saw", event == "view").followed_by("bought", event == "buy").within("1 h")
    match(frame, bought)

Trigger rules are written with `TriggerRule` and `output`. All of this is loaded when it is first asked for, so that
importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from footfall.expression import event, field, property_, subtype
    from footfall.match_frame import match
    from footfall.match_output import output
    from footfall.pattern import Pattern, all_of_any_order, either, stage
    from footfall.pattern_files import shipped_pattern, shipped_patterns, shipped_rules
    from footfall.pattern_parameters import parameters
    from footfall.taken_events import any_of, first, last, prev, taken
    from footfall.trigger_rule import TriggerRule

__version__ = "0.1.0"

__all__ = [
    "Pattern",
    "TriggerRule",
    "all_of_any_order",
    "any_of",
    "either",
    "event",
    "field",
    "first",
    "last",
    "match",
    "output",
    "parameters",
    "prev",
    "property_",
    "shipped_pattern",
    "shipped_patterns",
    "shipped_rules",
    "stage",
    "subtype",
    "taken",
]

_MODULE_OF = {
    "TriggerRule": "trigger_rule",
    "match": "match_frame",
    "output": "match_output",
    "parameters": "pattern_parameters",
    **dict.fromkeys(("shipped_pattern", "shipped_patterns", "shipped_rules"), "pattern_files"),
    **dict.fromkeys(("Pattern", "all_of_any_order", "either", "stage"), "pattern"),
    **dict.fromkeys(("event", "field", "property_", "subtype"), "expression"),
    **dict.fromkeys(("any_of", "first", "last", "prev", "taken"), "taken_events"),
}


if not TYPE_CHECKING:  # a type checker would take any name

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
