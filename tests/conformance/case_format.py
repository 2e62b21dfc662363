"""What a conformance case may say: every other key or word is refused, so that nothing in a case is passed over.

The format is described in the `format` entry of the cases' file.
"""

from collections.abc import Collection, Mapping
from typing import Any

Json = dict[str, Any]

_CASE = frozenset(
    (
        "id",
        "group",
        "source",
        "note",
        "pattern",
        "events",
        "time",
        "watermarks",
        "tie_order_by",
        "key_by",
        "advance_to",
        "end_of_input",
        "flink_quirk",
        "expect",
        "expect_from",
        "expect_stages",
        "expect_stage_order",
        "emitted_by_time",
        "emission_order",
        "expect_late",
        "expect_open_partials",
        "expect_timeouts",
        "timeouts_compare",
    )
)
_RAISES = ("expect_error", "expect_raise", "expect_exception")
_PATTERN = frozenset(
    ("stages", "within_ms", "within_kind", "within_stage", "skip", "error_on_miss", "tie_order_by", "key_by")
)
_STAGE = frozenset(("name", "contiguity", "where", "quantifier", "group"))
_QUANTIFIER = frozenset(("min", "max", "optional", "inner", "greedy", "until", "step_window_ms"))
_OPS = ("eq", "ne", "lt", "le", "gt", "ge", "prefix", "contains")
_WORDS: Mapping[str, Collection[object]] = {
    "contiguity": ("begin", "strict", "relaxed", "any", "not_next", "not_followed_by"),
    "inner": ("relaxed", "strict", "any"),
    "within_kind": (None, "first_and_last", "previous_and_current"),
    "strategy": ("no_skip", "to_next", "past_last", "to_first", "to_last"),
    "time": (None, "event", "processing"),
    "flink_quirk": (None, "step_window", "held_match"),
    "op": _OPS,
    "pick": ("first", "last"),
    "agg": ("count", "sum", "min", "max", "mean", "distinct"),
}
_PREDICATES: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (frozenset(("name",)), frozenset()),
    (frozenset(("type",)), frozenset()),
    (frozenset(("all",)), frozenset()),
    (frozenset(("any",)), frozenset()),
    (frozenset(("not",)), frozenset()),
    (frozenset(("if", "then", "else")), frozenset()),
    (frozenset(("field", "op", "value")), frozenset()),
    (frozenset(("field", "op", "ref")), frozenset()),
    (frozenset(("agg", "stage", "op", "value")), frozenset(("field", "plus_current"))),
)
"""The keys of each kind of predicate: those that it has, and those that it may have."""


class CaseFormatError(ValueError):
    """A case says something that the format doesn't know; the message names the case and the place in it."""


def states_an_error(case: Json) -> bool:
    """Whether the case states that matching raises."""
    return any(key.startswith(_RAISES) and bool(case[key]) for key in case)


def must_hit(case: Json) -> bool:
    """Whether matching raises where the skip strategy's stage isn't where it must be."""
    pattern = case["pattern"]
    return bool((pattern.get("skip") or {}).get("error_on_miss") or pattern.get("error_on_miss"))


def check_case(case: Json) -> None:
    """Check that the case says nothing but what the format knows. A text under another key is taken for a note.

    Raises:
        CaseFormatError: it does.
    """
    place = f"case {case.get('id')!r}"
    said = {key for key, value in case.items() if key in _CASE or not isinstance(value, str)}
    _keys({key: case[key] for key in said if not key.startswith(_RAISES)}, _CASE, place)
    for key in ("id", "pattern", "events"):
        if key not in case:
            raise CaseFormatError(f"{place}: it has no {key!r}")
    for event in case["events"]:
        if not {"seq", "t"} <= event.keys():
            raise CaseFormatError(f"{place}: an event without 'seq' or 't': {event}")
    check_pattern(case["pattern"], place)


def check_pattern(pattern: Json, place: str = "pattern") -> None:
    """Check a case's pattern; `place` says where it stands.

    Raises:
        CaseFormatError: it says what the format doesn't know.
    """
    _keys(pattern, _PATTERN, f"{place}, pattern")
    _keys(pattern.get("skip") or {}, frozenset(("strategy", "stage", "error_on_miss")), f"{place}, skip")
    for number, stage in enumerate(pattern["stages"]):
        _check_stage(stage, f"{place}, stage {stage.get('name', number)!r}")


def _check_stage(stage: Json, place: str) -> None:
    _keys(stage, _STAGE, place)
    quantifier = stage.get("quantifier") or {}
    _keys(quantifier, _QUANTIFIER, f"{place}, quantifier")
    for predicate in (stage.get("where"), quantifier.get("until")):
        check_predicate(predicate, place)
    for number, part in enumerate(stage.get("group") or ()):
        _check_stage(part, f"{place}, stage {part.get('name', number)!r}")


def check_predicate(predicate: Json | None, place: str) -> None:
    """Check a predicate; `place` says where it stands.

    Raises:
        CaseFormatError: it says what the format doesn't know.
    """
    if not predicate:
        return
    keys = predicate.keys()
    if not any(must <= keys <= must | may for must, may in _PREDICATES):
        raise CaseFormatError(f"{place}: no such predicate: {predicate}")
    _words(predicate, place)
    if "ref" in predicate:
        _keys(predicate["ref"], frozenset(("stage", "pick", "field")), f"{place}, ref")
    for part in (*predicate.get("all", ()), *predicate.get("any", ())):
        check_predicate(part, place)
    for key in ("not", "if", "then", "else"):
        check_predicate(predicate.get(key), place)


def _keys(said: Json, known: frozenset[str], place: str) -> None:
    unknown = sorted(said.keys() - known)
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise CaseFormatError(f"{place}: {names} is not in the format; known are {', '.join(sorted(known))}")
    _words(said, place)


def _words(said: Json, place: str) -> None:
    for key, value in said.items():
        if key in _WORDS and value not in _WORDS[key]:
            known = ", ".join(str(word) for word in _WORDS[key] if word is not None)
            raise CaseFormatError(f"{place}: {key} {value!r} is not in the format; known are {known}")
