"""A pattern's own cases: small event sequences, and the matches that must come of each, and no others.

They stand in `cases/<pattern>.json` beside the patterns:

    {"pattern": "rage_click",
     "cases": [{"name": "third click within the second",
                "events": [{"t": 0, "event": "click", "element": "#buy"}, ...],
                "matches": [{"click": [0, 1, 2]}]}]}

An event's `t` is its time from the case's start, in milliseconds or as text ("10 min"); `visitor` names who acted
("v" if absent), `bot` (true) that it was a robot; other names are fields of the envelope as a record sends them, and
what else there is goes to the properties. A match is, for each stage that took events, their numbers in the case; a
stage that may do without events can be left out. After a case's last event time goes on without end, so absences that
are pending then count as matches; a case with an `end` ("29 d") stops at that time from its start, and what is due
later stays open. An empty list of matches says that there is none.

A case may also say `outputs`, an object for each match in the same order, with the output fields that are looked at
and their values; and `timed_out`, the partial matches that the pattern gives out as timed out, written as matches are,
with the stages that took events until then. What it doesn't say isn't looked at.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import polars as pl

from footfall.duration import parse_duration
from footfall.envelope import FIELD_BY_NAME, MILLIONTHS, SCHEMA
from footfall.errors import PatternFilesError
from footfall.pattern import Pattern
from footfall.pattern_stage import Stage
from footfall.polars_condition import JsonValue

START_MS = 1_760_000_000_000
"""The time at which every case starts, in ms."""

_CASE_KEYS = {"name", "events", "matches"}
_MORE_KEYS = {"end", "outputs", "timed_out"}
_FILLED = {
    "event_time": "write t, the time from the case's start",
    "visitor_id": "write visitor",
    "message_id": "it is the event's number in the case",
    "source_offset": "it is the event's number in the case",
    "properties": 'write each property in the event itself, beside t and event, as in "query": "usb"',
}


@dataclass(frozen=True, slots=True)
class PatternCase:
    """One case.

    Attributes:
        pattern: the pattern's name.
        name: what the case shows.
        events: the events as they are written, in the order in which they arrive.
        matches: for each match, stage -> the numbers of its events; stages without events are left out.
        end: the time at which the case ends, in ms since 1970; None if time goes on without end.
        outputs: for each match, in their order, output fields with their values; None if none are looked at.
        timed_out: partial matches that are given out as timed out, written as `matches` are; None if these aren't
            looked at.
    """

    pattern: str
    name: str
    events: tuple[Mapping[str, JsonValue], ...]
    matches: tuple[Mapping[str, tuple[int, ...]], ...]
    end: int | None = None
    outputs: tuple[Mapping[str, JsonValue], ...] | None = None
    timed_out: tuple[Mapping[str, tuple[int, ...]], ...] | None = None

    def frame(self) -> pl.DataFrame:
        """The events in the envelope's columns, row i for event i; its message_id is "<i>"."""
        rows = [_row(number, event) for number, event in enumerate(self.events)]
        plain = {name: _plain(dtype) for name, dtype in SCHEMA.items()}
        return pl.DataFrame(rows, schema=plain).select(
            pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()
        )


def load_cases(folder: Path, patterns: Sequence[Pattern]) -> tuple[PatternCase, ...]:
    """The cases in `folder`, in the order of files and lines, each checked against the pattern that it names.

    Raises:
        PatternFilesError: files are wrong; it names all of them.
    """
    return load_case_files(sorted(folder.glob("*.json")), patterns)


def load_case_files(paths: Iterable[Path], patterns: Sequence[Pattern]) -> tuple[PatternCase, ...]:
    """The cases in these files, as `load_cases` gives those of a folder.

    Raises:
        PatternFilesError: files are wrong or can't be read; it names all of them.
    """
    known = {pattern.name: pattern for pattern in patterns}
    problems: list[str] = []
    cases: list[PatternCase] = []
    for path in paths:
        try:
            cases.extend(_read_cases(path, known))
        except _CaseError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise PatternFilesError(problems)
    return tuple(cases)


def case_file(folder: Path, pattern: str) -> Path:
    """Where the cases of a pattern stand whose own file is in `folder`, whether there are any or not."""
    return folder / "cases" / f"{pattern}.json"


def event_counts(stages: Iterable[Stage]) -> dict[str, tuple[int, int | None]]:
    """How many events each stage takes in a match, at least and at most (None: without bound).

    Stages that forbid events aren't there; of groups and choices the stages inside are.
    """
    counts: dict[str, tuple[int, int | None]] = {}
    for stage in stages:
        if stage.forbids:
            continue
        least, most = 0 if stage.optional else stage.times, stage.most
        if not stage.parts:
            counts[stage.name] = (least, most)
        for name, (inner_least, inner_most) in event_counts(stage.parts).items():
            fewest = 0 if stage.choices else least * inner_least
            counts[name] = (fewest, None if most is None or inner_most is None else most * inner_most)
    return counts


class _CaseError(Exception):
    pass


def _read_cases(path: Path, known: Mapping[str, Pattern]) -> list[PatternCase]:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise _CaseError(f"it can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _CaseError(f"it isn't JSON: {error}") from error
    if not isinstance(data, dict) or set(data) != {"pattern", "cases"} or not isinstance(data["cases"], list):
        raise _CaseError('it must be {"pattern": name, "cases": [...]}')
    pattern = known.get(str(data["pattern"]))
    if pattern is None or path.stem != pattern.name:
        raise _CaseError(
            f"it is about pattern {data['pattern']!r}; the file is named after a pattern that exists"
        )
    cases = [_read_case(pattern, case) for case in data["cases"]]
    names = [case.name for case in cases]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise _CaseError(f"two cases have the name {double[0]!r}")
    return cases


def _read_case(pattern: Pattern, data: JsonValue) -> PatternCase:
    if not isinstance(data, dict) or not _CASE_KEYS <= set(data) <= _CASE_KEYS | _MORE_KEYS:
        raise _CaseError(
            f"a case has {', '.join(sorted(_CASE_KEYS))}, and it may have {', '.join(sorted(_MORE_KEYS))}; "
            f"found {str(data)[:60]}"
        )
    name = str(data["name"])
    for key in ("events", "matches", "outputs", "timed_out"):
        if not isinstance(data.get(key, []), list):
            raise _CaseError(f"case {name!r}: {key} is a list, not {data[key]!r}")
    for number, event in enumerate(data["events"]):
        try:
            _row(number, event)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
            raise _CaseError(f"case {name!r}, event {number}: {error}") from error
    events = data["events"]
    case = PatternCase(
        pattern.name,
        name,
        tuple(events),
        tuple(_read_match(pattern, name, match, events) for match in data["matches"]),
        _read_end(name, data),
        _read_outputs(pattern, name, data),
        _read_timed_out(pattern, name, data),
    )
    try:
        case.frame()
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise _CaseError(f"case {name!r}: its events don't fit the envelope: {error}") from error
    return case


def _read_outputs(
    pattern: Pattern, case: str, data: Mapping[str, JsonValue]
) -> tuple[Mapping[str, JsonValue], ...] | None:
    if "outputs" not in data:
        return None
    known = dict(pattern.outputs)
    for fields in data["outputs"]:
        if not isinstance(fields, dict):
            raise _CaseError(f"case {case!r}: outputs are objects, field -> value; found {fields!r}")
        unknown = sorted(set(fields) - set(known))
        if unknown:
            names = ", ".join(known) or "none"
            raise _CaseError(
                f"case {case!r}: the pattern has no output field {unknown[0]!r}; there are {names}"
            )
    if len(data["outputs"]) != len(data["matches"]):
        raise _CaseError(
            f"case {case!r}: outputs are one for each match; {len(data['outputs'])} stand beside "
            f"{len(data['matches'])} matches"
        )
    return tuple(data["outputs"])


def _read_timed_out(
    pattern: Pattern, case: str, data: Mapping[str, JsonValue]
) -> tuple[Mapping[str, tuple[int, ...]], ...] | None:
    if "timed_out" not in data:
        return None
    if not pattern.gives_timeouts:
        raise _CaseError(
            f"case {case!r}: the pattern gives out no partial matches; it would with .with_timeouts()"
        )
    return tuple(
        _read_match(pattern, case, match, data["events"], whole=False) for match in data["timed_out"]
    )


def _read_end(case: str, data: Mapping[str, JsonValue]) -> int | None:
    if "end" not in data:
        return None
    try:
        end = parse_duration(data["end"])
    except (ValueError, TypeError, AttributeError) as error:
        raise _CaseError(f"case {case!r}: end: {error}") from error
    if any(parse_duration(event["t"]) > end for event in data["events"]):
        raise _CaseError(f"case {case!r}: it has events after its end")
    return START_MS + end


def _read_match(
    pattern: Pattern,
    case: str,
    match: JsonValue,
    events: Sequence[Mapping[str, JsonValue]],
    *,
    whole: bool = True,
) -> dict[str, tuple[int, ...]]:
    taking = event_counts(pattern.stages)
    needed = {stage for stage, (least, _) in taking.items() if least and whole}
    if not isinstance(match, dict) or not needed <= set(match) <= set(taking):
        raise _CaseError(f"case {case!r}: a match names the events of {', '.join(taking)}; found {match}")
    found = {}
    for stage, (least, most) in taking.items():
        numbers = match.get(stage, [])
        if not isinstance(numbers, list) or not all(_is_number(n, len(events)) for n in numbers):
            raise _CaseError(
                f"case {case!r}, stage {stage!r}: {numbers} aren't numbers of events; the case has "
                + (f"0 to {len(events) - 1}" if events else "none")
            )
        if (whole and len(numbers) < least) or (most is not None and len(numbers) > most):
            raise _CaseError(
                f"case {case!r}, stage {stage!r}: it takes {_count_words(least, most)}, not {len(numbers)}"
            )
        if numbers:
            found[stage] = tuple(numbers)
    visitors = {events[n].get("visitor", "v") for numbers in found.values() for n in numbers}
    if len(visitors) > 1:
        raise _CaseError(f"case {case!r}: a match is of one visitor, and {match} has events of several")
    return found


def _is_number(value: JsonValue, events: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < events


def _count_words(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} events or more"
    if least == most:
        return f"{least} event" + ("" if least == 1 else "s")
    return f"{least} to {most} events"


def _row(number: int, event: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    missing = [key for key in ("t", "event") if not isinstance(event, dict) or key not in event]
    if missing:
        raise ValueError(f"it has no {missing[0]!r}; an event is at least {{'t': 0, 'event': 'click'}}")
    time = START_MS + parse_duration(event["t"])
    name = str(event["event"])
    row: dict[str, JsonValue] = {
        "message_id": str(number),
        "visitor_id": str(event.get("visitor", "v")),
        "event": name,
        "event_original": name,
        "event_time": time,
        "event_time_sent": time,
        "arrival_time": time,
        "source_partition": "case",
        "source_offset": number,
        "late": False,
        "clock_capped": False,
        "bot": False,
    }
    properties = {}
    for key, value in event.items():
        field = FIELD_BY_NAME.get(key)
        if key in ("t", "event", "visitor"):
            continue
        if key == "bot":
            if not isinstance(value, bool):
                raise ValueError(f"bot is true or false, not {value!r}")
            row["bot"] = value
            continue
        if field is None:
            properties[key] = value
        elif field.sent is None or key in _FILLED:
            instead = _FILLED.get(key, "leave it out")
            raise ValueError(f"{key} is filled in, and can't be given; {instead}")
        elif field.sent == "text" and not isinstance(value, str):
            raise ValueError(f"{key} is a text, not {value!r}")
        elif field.sent == "number" and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValueError(f"{key} is a number, not {value!r}")
        else:
            row[key] = int(Decimal(str(value)) * MILLIONTHS) if field.sent == "money" else value
    row["properties"] = json.dumps(properties, ensure_ascii=False)
    return row


def _plain(dtype: pl.DataType) -> pl.DataType:
    return pl.Int64() if isinstance(dtype, pl.Datetime) else dtype
