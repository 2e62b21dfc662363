"""What is no trigger rule: every field is looked at, and all that is wrong is told at once."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import polars as pl

from footfall.duration import parse_duration
from footfall.envelope import EARLIEST_TIME_MS, LATEST_TIME_MS, SCHEMA
from footfall.errors import ExpressionError
from footfall.expression import Expression, as_condition
from footfall.expression_values import epoch_ms, time_from_ms
from footfall.match_output import MatchOutput
from footfall.pattern import Pattern
from footfall.pattern_check import LONGEST_WITHIN_MS
from footfall.profile_schema import PROFILE_SCHEMA

if TYPE_CHECKING:
    from footfall.trigger_rule import TriggerRule

LONGEST_WAIT_MS = LONGEST_WITHIN_MS
"""The longest delay, cooldown, cap and time to expire."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}", re.ASCII)
_NAME_WORDS = "a letter, then letters, digits and _, at most 64 in all"


def problems(rule: "TriggerRule") -> list[str]:
    """All that is wrong with a rule, as "field: what, and what to do"."""
    return [f"{field}: {problem}" for field, problem in _problems(rule)]


def misfits(rule: "TriggerRule", patterns: Mapping[str, Pattern]) -> list[str]:
    """What of a rule doesn't fit the patterns, by name, that it stands beside; as `problems` says it."""
    pattern = patterns.get(rule.pattern)
    if pattern is None:
        return [unknown_pattern(rule.pattern, patterns)]
    outputs = dict(pattern.outputs)
    return [
        f"fields: pattern {pattern.name!r} has no output {value.name!r}, which {name!r} takes; "
        f"{_known(value.name, outputs)}"
        for name, value in rule.field_values.items()
        if isinstance(value, MatchOutput) and value.name not in outputs
    ]


def unknown_pattern(name: str, patterns: Iterable[str]) -> str:
    """That there is no pattern of that name among these, as `problems` says it."""
    return f"pattern: there is no pattern {name!r}; {_known(name, patterns)}"


def iso_time(value: object) -> str:
    """A time as ISO 8601 in UTC, to the millisecond.

    Raises:
        ValueError: it is no time with a zone, or lies outside those that events can have.
    """
    return time_from_ms(time_ms(value)).isoformat(timespec="milliseconds")


def time_ms(value: object) -> int:
    """A time, as text or datetime, in ms since 1970.

    Raises:
        ValueError: as `iso_time` says.
    """
    how = "write a time with its zone, as in '2026-01-31T08:00:00Z'"
    time = value
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no time; {how}") from error
    if not isinstance(time, datetime):
        raise ValueError(f"{value!r} is no time; {how}")  # noqa: TRY004  # the value is what is wrong
    if time.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone; {how}")
    ms = epoch_ms(time.astimezone(UTC))
    if not EARLIEST_TIME_MS <= ms < LATEST_TIME_MS:
        raise ValueError(f"{value!r} is no time that events have: 1970 to 2199")
    return ms


def _problems(rule: "TriggerRule") -> Iterator[tuple[str, str]]:
    yield from _wrong_names(rule)
    yield from _wrong_times(rule)
    yield from _wrong_conditions(rule)
    yield from _wrong_fields(rule.fields)
    tags: Any = rule.tags
    if isinstance(tags, str):
        yield "tags", f'they are a tuple of words; write tags=("{tags}",)'
    elif not isinstance(tags, Iterable) or not all(map(_is_text, tags)):
        yield "tags", f"{tags!r} is no tuple of words"
    if rule.kind == "early":
        yield from _not_early(rule)


def _wrong_names(rule: "TriggerRule") -> Iterator[tuple[str, str]]:
    for name in ("name", "pattern", "cap_group"):
        value: Any = getattr(rule, name)
        if (name != "cap_group" or value is not None) and not _is_name(value, _NAME):
            yield name, f"{value!r} won't do; it is {_NAME_WORDS}"
    for name in ("action", "description", "owner"):
        if not _is_text(getattr(rule, name)):
            yield name, f"{getattr(rule, name)!r} is no text"
    if rule.action == "":
        yield "action", "it says nothing; write what the receiver is to do, as in 'send_reminder'"
    if not _is_name(rule.topic, _TOPIC):
        yield "topic", f"{rule.topic!r} is no topic's name: letters, digits, '.', '_' and '-', at most 249"
    for name, known in (("kind", ("settled", "early")), ("mode", ("live", "shadow"))):
        if getattr(rule, name) not in known:
            yield name, f"{getattr(rule, name)!r} is unknown; use {' or '.join(known)}"


def _not_early(rule: "TriggerRule") -> Iterator[tuple[str, str]]:
    given: dict[str, object] = {
        "delay": _is_wait(rule.delay),
        "withdrawn_by": rule.withdrawn_by is not None,
        "condition": rule.condition is not None,
        "cooldown": rule.cooldown is not None,
        "cap": rule.cap is not None,
        "cap_group": rule.cap_group is not None,
    }
    for name, is_given in given.items():
        if is_given:
            yield name, "an early rule fires at once, so it has none; leave it out, or make the rule settled"


def _is_wait(delay: Any) -> bool:
    try:
        return parse_duration(delay) > 0
    except (ValueError, TypeError, AttributeError):
        return False  # told already


def _wrong_times(rule: "TriggerRule") -> Iterator[tuple[str, str]]:
    for name, least in (("delay", 0), ("cooldown", 1), ("expires_after", 1)):
        value = getattr(rule, name)
        if name != "cooldown" or value is not None:
            yield from _wrong_length(name, value, least)
    cap: Any = rule.cap
    if cap is not None:
        if not isinstance(cap, (tuple, list)) or len(cap) != 2 or type(cap[0]) is not int or cap[0] < 1:
            yield "cap", f'{cap!r} won\'t do; write how many from 1, and in how long, as in (2, "7 d")'
        else:
            yield from _wrong_length("cap", cap[1], 1)
    if rule.cap_group is not None and cap is None:
        yield "cap_group", 'it is counted together, so it needs a cap, as in cap=(1, "1 d")'
    if rule.active_from is not None:
        try:
            time_ms(rule.active_from)
        except (ValueError, OverflowError) as error:
            yield "active_from", str(error)


def _wrong_length(name: str, value: Any, least: int) -> Iterator[tuple[str, str]]:
    try:
        ms = parse_duration(value)
    except (ValueError, TypeError, AttributeError) as error:
        yield name, str(error)
        return
    if not least <= ms <= LONGEST_WAIT_MS:
        lower = "1 ms" if least else "0"
        yield name, f"{value!r} is not within {lower} and {LONGEST_WAIT_MS // 86_400_000} days"


def _wrong_conditions(rule: "TriggerRule") -> Iterator[tuple[str, str]]:
    for name, schema in (("withdrawn_by", SCHEMA), ("condition", PROFILE_SCHEMA)):
        given: Any = getattr(rule, name)
        if given is None:
            continue
        if not isinstance(given, (Expression, pl.Expr)):
            example = (
                'event == "booking_completed"' if name == "withdrawn_by" else 'field("conversions") == 0'
            )
            yield name, f"{given!r} is no condition; write one, as in {example}"
            continue
        try:
            yield from ((name, problem) for problem in _wrong_condition(as_condition(given), schema))
        except ExpressionError as error:
            yield name, str(error)


def _wrong_condition(condition: Expression, schema: pl.Schema) -> Iterator[str]:
    if condition.depends_on_match:
        yield f"'{condition}' is asked of a partial match, and there is none any more"
        return
    if schema is PROFILE_SCHEMA:
        unknown = sorted(condition.columns() - set(schema))
        if unknown:
            yield from (f"profiles have no field {name!r}; {_known(name, schema)}" for name in unknown)
            return
    condition.check(schema)


def _wrong_fields(fields: Any) -> Iterator[tuple[str, str]]:
    try:
        given = dict(fields)
    except (TypeError, ValueError):
        yield (
            "fields",
            f'{fields!r} won\'t do; write a dict, as in {{"campaign": "spring", "form": output("form")}}',
        )
        return
    if len(given) != len(fields):
        yield "fields", "a name is given twice"
    for name, value in given.items():
        if not _is_text(name) or not name:
            yield "fields", f"{name!r} is no name"
        own = value.name if isinstance(value, MatchOutput) else value
        number = isinstance(own, int) or (isinstance(own, float) and math.isfinite(own))
        if not number and not _is_text(own):
            yield "fields", f"{name!r} can't be {value!r}; it is a text, a number, True, False or output(...)"


def _is_name(value: object, form: re.Pattern[str]) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _is_text(value: object) -> bool:
    """Whether a value is a text that can be written as UTF-8: half of a surrogate pair, as JSON may have, can't."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _known(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}There are {', '.join(names) or 'none'}"
